"""The demo provider in the place of every other one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration
from llm_gateway.demo.listener import DemoListener
from tests.memory import MemoryGateway

KEYS = ("openai", "anthropic", "gemini", "deepseek", "zai", "ollama", "azure", "older", "vertex")


@pytest.fixture
def played(tmp_path: Path) -> Configuration:
    """Providers of one dialect and of several, with addresses, keys and paths of all kinds."""
    keys = {f"vk_{name}": {"provider": name, "api_key": f"sk-real-{name}"} for name in KEYS}
    azure = {"preset": "azure", "resource": "contoso"}
    services = {"azure": azure, "older": {**azure, "api_version": "2024-10-21"}, "vertex": {"project": "p"}}
    (tmp_path / "keys.json").write_text(json.dumps({"virtual_keys": keys}))
    (tmp_path / "aiservices.json").write_text(json.dumps(services))
    read = load_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    return DemoListener(None).stand_in(read)


def test_no_address_of_a_real_provider_is_left(played: Configuration) -> None:
    """Its real key would be sent there, by a program that promises to ask nobody."""
    assert set(played.providers) >= set(KEYS)
    for provider in played.providers.values():
        addresses = [provider.url, provider.base_url, provider.health.url]
        addresses += [address for each in provider.others for address in (each.url, each.base_url)]
        assert all(address.startswith("http://127.0.0.1:") for address in addresses), provider.name


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
    ],
)
def test_every_key_leads_to_something_that_is_played(
    played: Configuration, name: str, path: str, body: dict[str, object]
) -> None:
    gateway = MemoryGateway(played)
    gateway.client().ask("POST", path, json.dumps(body).encode(), authorization=f"Bearer vk_{name}")
    url = gateway.sent.url.decode().removeprefix("http://127.0.0.1:0/")
    headers = {
        "openai/v1/chat/completions": "authorization",
        "deepseek/v1/chat/completions": "authorization",
        "anthropic/v1/messages": "x-api-key",
        "gemini/v1beta/models/m:generateContent": "x-goog-api-key",
    }
    credential = gateway.sent.header(headers[url])
    assert credential is not None
    assert credential.removeprefix("Bearer ") == f"sk-real-{name}"
