"""The JSON Schemas that ship: in step with the formats, and of one mind with the reader."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_gateway.config.formats import AUTH_STYLES
from llm_gateway.config.load import load_configuration
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.schema import aiservices_schema, keys_schema, schemas, write_schemas
from tests.config.test_broken_files import (
    DIALECTS_AND_MODELS,
    GOOD_KEYS,
    GOOD_SERVICES,
    KEY_MODELS,
    KEYS,
    PROVIDERS,
    SECRETS,
    URLS,
    Broken,
)
from tests.config.test_broken_routing import ROUTING

SHIPPED = resources.files("llm_gateway") / "data"
CHECKED = ROUTING + KEYS + SECRETS + PROVIDERS + URLS + KEY_MODELS + DIALECTS_AND_MODELS

BEYOND_A_SCHEMA = {
    "alias-of-a-key-twice",
    "alias-with-a-star-of-its-own",
    "base-url-with-chat-path",
    "base-url-with-query",
    "breaking-longer-than-the-longest",
    "breaking-longest-below-the-first",
    "credential-name-holds-its-key",
    "credential-name-is-a-virtual-key",
    "credential-provider-and-key-swapped",
    "credential-twice",
    "credential-variable-not-set",
    "dialect-among-several-with-a-chat-path",
    "dialect-among-several-with-a-model-twice",
    "dialect-that-a-preset-does-not-speak",
    "dialect-that-is-not-among-them",
    "fallback-on-the-same-twice",
    "fallback-to-itself",
    "fallback-twice",
    "field-of-a-key-twice",
    "first-wait-longer-than-the-longest",
    "forwarded-header-cookie",
    "forwarded-header-of-an-account",
    "forwarded-header-twice",
    "forwarded-header-with-the-virtual-key",
    "forwarded-headers-with-wildcard",
    "hash-of-nothing",
    "header-host",
    "header-of-the-connection",
    "header-of-the-key",
    "header-of-the-key-of-another-dialect",
    "header-twice-in-different-capitals",
    "header-variable-not-set",
    "header-with-line-end",
    "header-with-space-at-its-end",
    "key-beyond-latin-1",
    "key-itself-after-file",
    "key-with-bearer",
    "key-with-line-end",
    "model-of-a-key-twice",
    "model-with-space-at-its-end",
    "name-is-the-key",
    "name-is-the-key-of-a-credential",
    "own-dialect-twice",
    "place-beside-a-url",
    "preset-with-the-place-of-another",
    "preset-without-what-it-needs",
    "provider-and-key-swapped",
    "provider-is-a-key",
    "provider-twice",
    "routed-model-twice",
    "routed-model-with-space-at-its-end",
    "routing-twice",
    "same-virtual-key-twice",
    "secret-file-a-directory",
    "secret-file-empty",
    "secret-file-missing",
    "secret-file-of-two-lines",
    "secret-file-too-large",
    "secret-file-without-path",
    "target-of-a-misspelt-preset",
    "target-of-a-preset-that-lacks-something",
    "target-of-an-unknown-provider",
    "target-twice",
    "upstream-name-with-a-star-of-its-own",
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
    "use-misspelt",
    "use-misspelt-in-an-object",
    "use-twice",
    "use-without-any-credential",
    "variable-empty",
    "variable-not-closed",
    "variable-not-set",
    "variable-with-line-end",
    "variable-without-braces",
    "version-of-a-preset-that-has-none",
    "version-of-the-newer-api",
    "virtual-key-and-its-own-hash",
    "virtual-keys-twice",
}
"""Broken files that an editor with the schema does not mark: it knows neither the machine nor the other file."""


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@cache
def validators() -> tuple[jsonschema.Draft202012Validator, jsonschema.Draft202012Validator]:
    return validator(keys_schema()), validator(aiservices_schema())


def accepted(keys: Any, services: Any) -> bool:
    of_keys, of_services = validators()
    return of_keys.is_valid(keys) and of_services.is_valid(services)


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


A_LIMIT = {"limit": 5, "burst": 2, "warn_at": 0.8, "shadow": True, "unreachable": "open"}
A_BUDGET = {"limit": "12.50", "warn_at": 1, "shadow": False, "unreachable": "local_share"}
LIMITS = {
    "requests_per_second": 5,
    "requests_per_minute": A_LIMIT,
    "requests_per_hour": 100,
    "requests_per_day": 1000,
    "input_tokens_per_minute": 100,
    "input_tokens_per_hour": 100,
    "input_tokens_per_day": 100,
    "output_tokens_per_minute": 100,
    "output_tokens_per_hour": 100,
    "output_tokens_per_day": 100,
    "tokens_per_minute": 100,
    "tokens_per_hour": 100,
    "tokens_per_day": 100,
    "in_flight": {"limit": 4, "shadow": True},
    "usd_per_day": A_BUDGET,
    "usd_per_week": "0.000000001",
    "usd_per_month": 20,
    "usd_total": "100",
}
FULL_KEYS: dict[str, Any] = {
    "$schema": "keys.schema.json",
    "credentials": {
        "openai-main": {"provider": "openai", "api_key": "${KEY}", "in_flight": 50, "limits": {"tokens_per_day": 5}},
        "it": {"provider": "it", "api_key": "sk-two"},
    },
    "groups": {"research": {"labels": {"team": "blue"}, "limits": LIMITS}},
    "limits": {"usd_per_day": 10.5, "requests_per_second": 0},
    "label_from": {"feature": "header:X-Feature", "project": "metadata:project", "user": "user"},
    "virtual_keys": {
        "vk_several": {"credentials": ["openai-main", {"name": "it", "order": 1, "weight": 0.5}]},
        "vk_one": {
            "provider": "openai",
            "api_key": "${KEY}",
            "name": "one",
            "models": {"fast": "gpt-5.4-mini", "gpt-*": True},
            "on_unsupported": "drop",
            "operations": ["chat", "embeddings"],
            "expires": "2999-01-31T00:00:00+01:00",
            "group": "research",
            "labels": {"team": "red"},
            "limits": LIMITS,
            "on_disconnect": "drain_and_bill",
            "on_unpriced": "allow",
        },
        "sha256:" + "0a" * 32: {"provider": "it", "api_key": "sk-${KEY}", "models": ["m", "n-*"]},
        "SHA256:" + "0B" * 32: {"provider": "it", "api_key": "x"},
    },
}
_CLASSES = {
    "input": "2.50",
    "cached": "0.25",
    "cache_write": "3.125",
    "cache_write_1h": 5,
    "audio_input": 40,
    "cached_audio": 2.5,
    "image_input": "5",
    "output": "15",
    "reasoning": "15",
    "audio_output": "80",
    "image_output": "30.00",
}
PRICES: dict[str, Any] = {
    **_CLASSES,
    "request": "0.005",
    "pieces": {"web_search": "0.01"},
    "above": {"200000": _CLASSES},
    "tiers": {"flex": {**_CLASSES, "above": {"200000": _CLASSES}}},
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
        "dialects": {
            "openai": "https://a.example/openai/v1",
            "anthropic": {
                "base_url": "https://a.example/anthropic/v1",
                "url": "https://a.example/anthropic",
                "auth": "bearer",
                "models": ["claude-*", "m"],
            },
        },
        "apis": ["chat"],
        "models": {
            "m": {
                "upstream_name": "their-m",
                "title": "M",
                "context_window": 1000,
                "max_output_tokens": 100,
                "reasoning": True,
                "sampling": False,
                "prices": PRICES,
                "inputs": ["text", "image"],
                "outputs": ["text"],
                "operations": ["chat"],
            },
            "n-*": {"upstream_name": "their-*", "prices": {"times": "0.85"}},
        },
        "on_unsupported": "reject",
        "ask_usage": False,
        "forward_beta": ["computer-use-*"],
        "limits": {"in_flight": 100, "queue": 0, "wait_s": 0.5},
        "breaking": {
            "enabled": True,
            "failures": 3,
            "failure_share": 1,
            "volume": 5,
            "window_s": 20,
            "dead_share": 0.95,
            "refusals": 1,
            "probes": 4,
            "open_s": 1,
            "longest_open_s": 2.5,
            "refused_open_s": 60,
            "longest_refused_open_s": 60,
            "trials": 1,
            "trial_s": 5,
            "ramp_s": 0,
            "ramp_from": 0.5,
            "cooling_s": 3,
            "longest_cooling_s": 4,
        },
        "retry_share": 0,
        "retry_reserve": 0,
    },
    "azure": {"resource": "contoso", "api_version": "2024-10-21", "models": ["gpt", "other-*"]},
    "bedrock-eu": {"preset": "bedrock", "region": "eu-west-1", "forward_beta": False},
    "vertex": {"project": "p-1", "location": "eu", "dialect": "openai"},
    "mistral": {"timeouts": {"idle_s": 60}},
    "both": {"dialects": {"anthropic": "https://a.example/v1", "openai": "https://a.example/v1"}},
    "$routing": {
        "strategy": "weighted",
        "sticky": True,
        "explore": 0,
        "usual_s": 60,
        "retries": {
            "attempts": 20,
            "again": 0,
            "deadline_s": 30,
            "first_wait_s": 1,
            "longest_wait_s": 1,
            "patience_s": 0,
            "retry_after_cap_s": 0,
            "repeat": "generations",
            "spread": False,
        },
        "hedging": {"after_s": 2, "times_usual": 1.5, "share": 0.1, "reserve": 0},
        "models": {
            "fast": {
                "targets": [
                    "openai/gpt-5.4-mini",
                    {"provider": "it", "model": "m/n", "order": 1, "weight": 0.5},
                ],
                "fallbacks": ["smart", {"to": "it/m", "on": ["context_overflow", "filtered"]}],
                "strategy": "least_busy",
                "sticky": False,
            },
            "smart": {"targets": ["openai/gpt-5.5"]},
            "gpt-5.4": {"fallbacks": ["a-model-that-is-new"]},
        },
    },
}


def test_schema_and_reader_accept_every_field(tmp_path: Path) -> None:
    """Nothing that the reader knows is marked in an editor."""
    assert accepted(FULL_KEYS, FULL_SERVICES)
    (tmp_path / "keys.json").write_text(json.dumps(FULL_KEYS))
    (tmp_path / "aiservices.json").write_text(json.dumps(FULL_SERVICES))
    files = str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json")
    configuration = load_configuration(*files, {"KEY": "sk-one"})
    assert len(configuration.keys) == 4
    assert list(configuration.providers) == [name for name in FULL_SERVICES if not name.startswith("$")]
    assert configuration.warnings == ()
    assert accepted(json.loads(GOOD_KEYS), json.loads(GOOD_SERVICES))


def test_full_example_has_every_field() -> None:
    """The test above leaves out no field."""
    defined = {**keys_schema()["$defs"], **aiservices_schema()["$defs"]}
    providers = [entry for name, entry in FULL_SERVICES.items() if isinstance(entry, dict) and name != "$routing"]
    it: Any = FULL_SERVICES["it"]
    routing: Any = FULL_SERVICES["$routing"]
    keys: Any = FULL_KEYS["virtual_keys"]
    credentials: Any = FULL_KEYS["credentials"]
    full = {
        "ProviderEntry": {name for entry in providers for name in entry},
        "TimeoutsEntry": it["timeouts"],
        "HealthEntry": it["health"],
        "DialectEntry": it["dialects"]["anthropic"],
        "ModelEntry": it["models"]["m"],
        "PricesEntry": {**PRICES, **it["models"]["n-*"]["prices"]},
        "TierPricesEntry": PRICES["tiers"]["flex"],
        "ClassPricesEntry": PRICES["above"]["200000"],
        "VirtualKeyEntry": {**keys["vk_one"], **keys["vk_several"]},
        "CredentialEntry": credentials["openai-main"],
        "CredentialUseEntry": keys["vk_several"]["credentials"][1],
        "GroupEntry": FULL_KEYS["groups"]["research"],
        "LimitSetEntry": LIMITS,
        "LimitEntry": A_LIMIT,
        "BudgetEntry": A_BUDGET,
        "LimitsEntry": it["limits"],
        "BreakingEntry": it["breaking"],
        "RoutingEntry": routing,
        "RetriesEntry": routing["retries"],
        "HedgingEntry": routing["hedging"],
        "ModelRoutingEntry": routing["models"]["fast"],
        "TargetEntry": routing["models"]["fast"]["targets"][1],
        "FallbackEntry": routing["models"]["fast"]["fallbacks"][1],
    }
    assert full.keys() == defined.keys()
    for shape, entry in full.items():
        assert set(entry) == set(defined[shape]["properties"]), shape


@pytest.mark.parametrize("name", sorted(shipped_presets().presets))
def test_editor_knows_every_preset_by_name(name: str) -> None:
    """Under a preset's name nothing else is needed; under any other, an address or the preset."""
    _, check = validators()
    assert check.is_valid({name: {}})
    assert check.is_valid({"mine": {"preset": name}})
    assert not check.is_valid({"mine": {}})


@pytest.mark.parametrize("style", AUTH_STYLES)
def test_every_auth_style_is_in_the_schema(style: str) -> None:
    """Editors complete the names that the reader takes."""
    services = {"it": {"url": "http://localhost", "auth": style}}
    assert validators()[1].is_valid(services)


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
