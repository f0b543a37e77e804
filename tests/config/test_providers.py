"""What an entry of ``aiservices.json`` becomes: the defaults, and what they are told from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration, HealthCheck, Provider
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import DIALECTS


def write(folder: Path, services: dict[str, Any]) -> None:
    (folder / "keys.json").write_text('{"virtual_keys": {}}')
    (folder / "aiservices.json").write_text(json.dumps(services))


def load(folder: Path) -> Configuration:
    return load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})


def provider(folder: Path, entry: Any, name: str = "it") -> Provider:
    write(folder, {name: entry})
    return load(folder).providers[name]


@pytest.mark.parametrize(
    ("url", "base_url", "dialect"),
    [
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1", "openai"),
        ("https://api.openai.com/v1/responses", "https://api.openai.com/v1", "openai"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1", "anthropic"),
        ("https://api.anthropic.com/v1/messages/", "https://api.anthropic.com/v1", "anthropic"),
        ("https://api.anthropic.com/v1/chat/completions", "https://api.anthropic.com/v1", "openai"),
        ("http://localhost:8000/chat/completions", "http://localhost:8000", "openai"),
        ("https://chat/completions", "https://chat", "openai"),
        ("https://messages", "https://messages", "openai"),
        ("http://[::1]:8000/v1/messages", "http://[::1]:8000/v1", "anthropic"),
        ("https://a.example/d/gpt/chat/completions?api-version=1", "https://a.example/d/gpt", "openai"),
        ("https://a.example?x=/messages", "https://a.example", "openai"),
        (
            "https://generativelanguage.googleapis.com/v1beta",
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "openai",
        ),
    ],
)
def test_plain_url_tells_base_and_dialect(url: str, base_url: str, dialect: str, tmp_path: Path) -> None:
    """The plain form needs nothing but the URL; the URL itself is kept as it is written."""
    found = provider(tmp_path, url)
    assert (found.url, found.base_url, found.dialect) == (url, base_url, dialect)
    assert found.auth == DIALECTS[dialect].auth


@pytest.mark.parametrize(
    ("name", "base_url", "url", "dialect"),
    [
        ("it", "https://a.example/v1/", "https://a.example/v1/chat/completions", "openai"),
        ("it", "https://a.example", "https://a.example/chat/completions", "openai"),
        ("Anthropic", "https://a.example/v1", "https://a.example/v1/messages", "anthropic"),
        ("claude", "https://api.anthropic.com/v1//", "https://api.anthropic.com/v1/messages", "anthropic"),
        ("gemini", "https://a.example/v1beta", "https://a.example/v1beta", "gemini"),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
            "openai",
        ),
    ],
)
def test_base_url_alone_tells_the_url(name: str, base_url: str, url: str, dialect: str, tmp_path: Path) -> None:
    """Where only the base is given, chat goes to the dialect's own path below it."""
    found = provider(tmp_path, {"base_url": base_url}, name)
    assert (found.url, found.dialect) == (url, dialect)
    assert found.base_url == base_url.rstrip("/")


def test_everything_can_be_said(tmp_path: Path) -> None:
    """Each field of the object form arrives where it belongs; a schema reference is not a provider."""
    found = provider(
        tmp_path,
        {
            "url": "https://a.example/special?api-version=2",
            "base_url": "https://b.example/v1",
            "dialect": "anthropic",
            "auth": "api-key",
            "headers": {"X-Team": "red"},
            "forward_headers": ["X-Trace"],
            "timeouts": {"connect_s": 1, "first_byte_s": 2, "idle_s": 0.5, "total_s": 86400},
            "health": {"enabled": False, "url": "https://c.example/up", "method": "HEAD"},
        },
    )
    assert found == Provider(
        name="it",
        url="https://a.example/special?api-version=2",
        base_url="https://b.example/v1",
        dialect="anthropic",
        auth="api-key",
        headers=found.headers,
        forward_headers=("x-trace",),
        timeouts=Timeouts(connect_s=1.0, first_byte_s=2.0, idle_s=0.5, total_s=86400.0),
        health=HealthCheck(url="https://c.example/up", enabled=False, method="HEAD"),
    )
    assert [(name, value.reveal()) for name, value in found.headers] == [("x-team", "red")]


def test_defaults_suit_language_models(tmp_path: Path) -> None:
    """Without a word about it, a provider gets patient clocks and a free health check."""
    found = provider(tmp_path, {"url": "https://a.example/v1/chat/completions", "timeouts": {"idle_s": 60}})
    assert found.timeouts == Timeouts(connect_s=10.0, first_byte_s=600.0, idle_s=60.0, total_s=3600.0)
    assert found.health == HealthCheck(url="https://a.example/v1/models", enabled=True, method="GET")
    assert (found.headers, found.forward_headers) == ((), ())


@pytest.mark.parametrize(
    ("timeouts", "place", "said"),
    [
        ({"first_byte_s": 5}, "first_byte_s", 'is not above "connect_s", which is 10'),
        ({"connect_s": 2.5, "first_byte_s": 2.5}, "first_byte_s", 'is not above "connect_s", which is 2.5'),
        ({"connect_s": 900}, "connect_s", 'is not below "first_byte_s", which is 600'),
        ({"connect_s": 2.5, "first_byte_s": 2.6}, None, None),
        ({}, None, None),
    ],
)
def test_first_byte_that_is_not_waited_for_longer_than_a_connection_is_a_warning(
    timeouts: dict[str, float], place: str | None, said: str | None, tmp_path: Path
) -> None:
    """Connecting counts towards it: a provider that takes no connection would never be found out of reach."""
    write(tmp_path, {"openai": "https://api.openai.com/v1", "it": {"url": "https://a.example", "timeouts": timeouts}})
    warnings = [f"{each.place}: {each.message}" for each in load(tmp_path).warnings if each.place != "virtual_keys"]
    told = f"it.timeouts.{place}: {said}: a provider that takes no connection passes for a silent one"
    assert warnings == ([f"{told}, and calls may not go on with another"] if place else [])


def test_key_may_travel_in_a_header_of_ones_own(tmp_path: Path) -> None:
    """With ``"auth": "none"`` the provider's key can be sent under any name."""
    found = provider(
        tmp_path, {"base_url": "https://a.example", "auth": "none", "headers": {"Authorization": "Token abc"}}
    )
    assert [(name, value.reveal()) for name, value in found.headers] == [("authorization", "Token abc")]


@pytest.mark.parametrize("host", ["localhost", "my_service", "10.0.0.1", "xn--bcher-kva.example", "a.example."])
def test_hosts_of_every_kind_are_accepted(host: str, tmp_path: Path) -> None:
    """Container names, addresses and encoded names are hosts."""
    assert provider(tmp_path, f"http://{host}:1/v1").base_url == f"http://{host}:1/v1"


def test_schema_reference_is_not_a_provider(tmp_path: Path) -> None:
    """Editors may be told where the schema is."""
    (tmp_path / "keys.json").write_text('{"$schema": "keys.schema.json", "virtual_keys": {}}')
    (tmp_path / "aiservices.json").write_text('{"$schema": "x", "openai": "https://a.example/v1/chat/completions"}')
    configuration = load_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    assert list(configuration.providers) == ["openai"]
