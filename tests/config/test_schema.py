"""The JSON Schemas that ship: in step with the formats, and of one mind with the reader."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_gateway.config.formats import AUTH_STYLES
from llm_gateway.config.load import load_configuration
from llm_gateway.config.schema import aiservices_schema, keys_schema, schemas, write_schemas
from tests.config.test_broken_files import GOOD_KEYS, GOOD_SERVICES, KEYS, PROVIDERS, SECRETS, URLS, Broken

SHIPPED = resources.files("llm_gateway") / "data"
CHECKED = KEYS + SECRETS + PROVIDERS + URLS

BEYOND_A_SCHEMA = {
    "field-of-a-key-twice",
    "forwarded-header-twice",
    "forwarded-header-cookie",
    "forwarded-header-of-an-account",
    "forwarded-header-with-the-virtual-key",
    "forwarded-headers-with-wildcard",
    "base-url-with-chat-path",
    "base-url-with-query",
    "hash-of-nothing",
    "header-host",
    "header-of-the-connection",
    "header-of-the-key",
    "header-twice-in-different-capitals",
    "header-variable-not-set",
    "header-with-line-end",
    "header-with-space-at-its-end",
    "key-beyond-latin-1",
    "key-itself-after-file",
    "key-with-bearer",
    "key-with-line-end",
    "name-is-the-key",
    "provider-and-key-swapped",
    "provider-is-a-key",
    "provider-twice",
    "same-virtual-key-twice",
    "secret-file-a-directory",
    "secret-file-empty",
    "secret-file-missing",
    "secret-file-of-two-lines",
    "secret-file-too-large",
    "secret-file-without-path",
    "url-beyond-ascii",
    "url-with-bad-address",
    "url-with-bad-host",
    "url-with-bad-ipv6",
    "url-with-broken-escape",
    "url-with-fragment",
    "url-with-key",
    "url-with-password",
    "url-with-port-in-letters",
    "url-with-port-too-high",
    "url-with-space",
    "url-without-host",
    "variable-empty",
    "variable-not-closed",
    "variable-not-set",
    "variable-with-line-end",
    "variable-without-braces",
    "virtual-key-and-its-own-hash",
    "virtual-keys-twice",
}
"""Broken files that an editor with the schema does not mark: it knows neither the machine nor the other file."""


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def accepted(keys: Any, services: Any) -> bool:
    return validator(keys_schema()).is_valid(keys) and validator(aiservices_schema()).is_valid(services)


@pytest.mark.parametrize("name", sorted(schemas()))
def test_shipped_schema_is_up_to_date(name: str) -> None:
    """`python -m llm_gateway.config.schema` has been run since the formats changed."""
    assert (SHIPPED / name).read_bytes() == schemas()[name]


def test_writing_the_schemas_gives_what_ships(tmp_path: Path) -> None:
    """The command that renews them writes both, under the names that they have in the wheel."""
    write_schemas(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == schemas()


def test_shipped_examples_are_valid() -> None:
    """An editor marks nothing in the files that people start from."""
    assert accepted(
        json.loads((SHIPPED / "keys.example.json").read_bytes()), json.loads((SHIPPED / "aiservices.json").read_bytes())
    )


@pytest.mark.parametrize("broken", [pytest.param(broken, id=broken.name) for broken in CHECKED])
def test_schema_marks_what_it_can(broken: Broken) -> None:
    """Of the broken files, an editor marks all but those whose fault no schema can tell."""
    assert broken.keys is not None
    assert broken.services is not None
    marked = not accepted(json.loads(broken.keys), json.loads(broken.services))
    assert marked == (broken.name not in BEYOND_A_SCHEMA)


FULL_KEYS = {
    "$schema": "keys.schema.json",
    "virtual_keys": {
        "vk_one": {"provider": "openai", "api_key": "${KEY}", "name": "one"},
        "sha256:" + "0a" * 32: {"provider": "it", "api_key": "sk-${KEY}"},
        "SHA256:" + "0B" * 32: {"provider": "it", "api_key": "x"},
    },
}
FULL_SERVICES = {
    "$schema": "aiservices.schema.json",
    "openai": "http://localhost:1",
    "base-only": {"base_url": "http://localhost:1"},
    "it": {
        "url": "https://a.example/chat/completions?x=1",
        "base_url": "https://a.example/v1",
        "dialect": "gemini",
        "auth": "none",
        "headers": {"X-Team": "red ${KEY}"},
        "forward_headers": ["x-trace"],
        "timeouts": {"connect_s": 1, "first_byte_s": 2.5, "idle_s": 3, "total_s": 86400},
        "health": {"enabled": True, "url": "https://a.example/up", "method": "HEAD"},
    },
}


def test_schema_and_reader_accept_every_field(tmp_path: Path) -> None:
    """Nothing that the reader knows is marked in an editor."""
    assert accepted(FULL_KEYS, FULL_SERVICES)
    (tmp_path / "keys.json").write_text(json.dumps(FULL_KEYS))
    (tmp_path / "aiservices.json").write_text(json.dumps(FULL_SERVICES))
    files = str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json")
    configuration = load_configuration(*files, {"KEY": "sk-one"})
    assert len(configuration.keys) == 3
    assert list(configuration.providers) == ["openai", "base-only", "it"]
    assert accepted(json.loads(GOOD_KEYS), json.loads(GOOD_SERVICES))


def test_full_example_has_every_field() -> None:
    """The test above leaves out no field."""
    defined = aiservices_schema()["$defs"]
    provider = FULL_SERVICES["it"]
    assert isinstance(provider, dict)
    assert set(provider) == set(defined["ProviderEntry"]["properties"])
    assert set(provider["timeouts"]) == set(defined["TimeoutsEntry"]["properties"])
    assert set(provider["health"]) == set(defined["HealthEntry"]["properties"])
    assert set(FULL_KEYS["virtual_keys"]["vk_one"]) == set(keys_schema()["$defs"]["VirtualKeyEntry"]["properties"])  # type: ignore[index]  # a dict


@pytest.mark.parametrize("style", AUTH_STYLES)
def test_every_auth_style_is_in_the_schema(style: str) -> None:
    """Editors complete the names that the reader takes."""
    services = {"it": {"url": "http://localhost", "auth": style}}
    assert validator(aiservices_schema()).is_valid(services)


def test_every_field_is_described() -> None:
    """Hovering over a field in an editor explains it."""
    defined = {**aiservices_schema()["$defs"], **keys_schema()["$defs"]}
    plain = [
        f"{shape}.{name}"
        for shape, schema in defined.items()
        for name, field in schema["properties"].items()
        if not field.get("description") and "$ref" not in field
    ]
    assert plain == []
