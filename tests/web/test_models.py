"""What a key may call, as SDKs ask for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules
from tests.memory import Client, MemoryGateway, configuration, provider, virtual_key

OWN = ModelRules([ModelRule("small", "gpt-5-nano", ModelFacts(title="Small")), ModelRule("big")])


def gateway_with(key_models: ModelRules | None, **changes: Any) -> MemoryGateway:
    key = replace(virtual_key("vk_openai", "acme"), models=key_models)
    return MemoryGateway(configuration([key], [provider("acme", "https://o.test/v1/chat/completions", **changes)]))


def ask(gateway: MemoryGateway, path: str, **headers: str) -> Client:
    client = gateway.client()
    client.ask("GET", path, None, authorization="Bearer vk_openai", **headers)
    return client


@pytest.mark.parametrize(
    ("path", "headers", "names"),
    [
        ("/v1/models", {}, lambda body: [each["id"] for each in body["data"]]),
        ("/models", {}, lambda body: [each["id"] for each in body["data"]]),
        ("/v1/models", {"anthropic_version": "2023-06-01"}, lambda body: [each["id"] for each in body["data"]]),
        ("/v1/models", {"x_goog_api_key": "vk_openai"}, lambda body: [each["name"][7:] for each in body["models"]]),
        ("/v1beta/models", {}, lambda body: [each["name"].removeprefix("models/") for each in body["models"]]),
    ],
)
def test_list_is_in_the_callers_dialect(path: str, headers: dict[str, str], names: Any) -> None:
    """Whatever the provider's; no provider is asked."""
    gateway = gateway_with(None, models=OWN)
    client = ask(gateway, path, **headers)
    status, answered, body = client.answer()
    assert (status, answered["content-type"]) == (200, "application/json")
    assert names(json.loads(body)) == ["small", "big"]
    assert client.whole
    assert not gateway.agent.sent
    assert (gateway.record.ended, gateway.record.status) == ("ok", 200)


def test_key_sees_only_what_it_may_call() -> None:
    gateway = gateway_with(ModelRules([ModelRule("b*")]), models=OWN)
    assert [each["id"] for each in json.loads(ask(gateway, "/v1/models").answer()[2])["data"]] == ["big"]
    assert ask(gateway, "/v1/models/small").answer()[0] == 404


def test_one_model_can_be_asked_for() -> None:
    gateway = gateway_with(None, models=OWN)
    assert json.loads(ask(gateway, "/v1/models/small").answer()[2])["id"] == "small"
    assert json.loads(ask(gateway, "/v1beta/models/big").answer()[2])["name"] == "models/big"


def test_model_that_nobody_knows_is_not_found() -> None:
    gateway = gateway_with(None, models=OWN)
    status, headers, _ = ask(gateway, "/v1/models/nothing").answer()
    assert (status, headers["x-gw-error"]) == (404, "model_not_found")


def test_name_that_the_key_gives_a_model_can_be_asked_for() -> None:
    """A pattern's names are not in the list, and calls with them are answered all the same."""
    gateway = gateway_with(ModelRules([ModelRule("claude-*", "gpt-5.4-mini"), ModelRule("gpt-*")]), family="openai")
    anthropics = {"anthropic_version": "2023-06-01"}
    status, _, body = ask(gateway, "/v1/models/claude-haiku-4-5", **anthropics).answer()
    assert (status, json.loads(body)["id"]) == (200, "claude-haiku-4-5")
    assert json.loads(body)["display_name"] == "GPT-5.4 mini"
    assert ask(gateway, "/v1/models/gpt-nothing", **anthropics).answer()[0] == 404
    assert ask(gateway, "/v1/models/gemini-pro", **anthropics).answer()[0] == 404


def test_model_can_be_asked_for_under_any_of_its_names() -> None:
    gateway = gateway_with(None, family="openai")
    status, _, body = ask(gateway, "/v1/models/gpt-4.1-2025-04-14").answer()
    assert (status, json.loads(body)["id"]) == (200, "gpt-4.1-2025-04-14")
    assert not gateway.agent.sent


def test_key_can_ask_for_what_it_may_call_where_nobody_knows_the_models() -> None:
    gateway = gateway_with(ModelRules([ModelRule("anthropic/claude-*")]))
    status, _, body = ask(gateway, "/v1/models/anthropic/claude-haiku-4.5").answer()
    assert (status, json.loads(body)["id"]) == (200, "anthropic/claude-haiku-4.5")
    assert ask(gateway, "/v1/models/openai/gpt-5.4").answer()[0] == 404


def test_providers_own_patterns_are_of_its_callers_names() -> None:
    gateway = gateway_with(None, models=ModelRules([ModelRule("qwen-*", "Qwen/*")]))
    assert json.loads(ask(gateway, "/v1/models/qwen-coder").answer()[2])["id"] == "qwen-coder"


def test_provider_of_which_nothing_is_known_is_asked_itself() -> None:
    """A server of the operator's own, say."""
    gateway = gateway_with(None)
    ask(gateway, "/v1/models?limit=5")
    assert gateway.sent.url == b"https://o.test/v1/models?limit=5"


OPENAIS = b"""{"object": "list", "data": [
    {"id": "meta/llama-9", "object": "model", "created": 1750000000, "owned_by": "meta", "context_length": 1000},
    {"id": "gpt-5.4", "object": "model", "created": 0, "owned_by": "x"},
    {"id": "secret/one", "object": "model", "created": 1750000000, "owned_by": "x"}]}"""
TOGETHERS = b'[{"id": "meta/llama-9"}, {"id": "other"}]'
GOOGLES = b'{"models": [{"name": "models/meta/llama-9", "displayName": "Llama 9", "inputTokenLimit": 1000}]}'
GOOGLES_URL = "https://g.test/v1beta"


def names(client: Client) -> list[str]:
    return [each["id"] for each in json.loads(client.answer()[2])["data"]]


def provides(gateway: MemoryGateway, body: bytes, status: int = 200) -> None:
    """What the provider answers that was asked for its list."""
    response = gateway.sent.answer(status)
    response.write(body)
    response.end()


@pytest.mark.parametrize("models", [OPENAIS, TOGETHERS])
def test_key_sees_of_a_providers_own_list_what_it_may_call(models: bytes) -> None:
    """Where a pattern of the key's fits nothing that is known here."""
    gateway = gateway_with(ModelRules([ModelRule("meta/*"), ModelRule("mine")]))
    client = ask(gateway, "/v1/models")
    assert (gateway.sent.method, gateway.sent.url) == (b"GET", b"https://o.test/v1/models")
    assert gateway.sent.header("authorization") == "Bearer sk-real-canary-0123456789"
    provides(gateway, models)
    assert names(client) == ["meta/llama-9", "mine"]
    assert client.answer()[1]["content-type"] == "application/json"
    assert (gateway.record.ended, gateway.record.status) == ("ok", 200)


def test_names_that_the_key_gives_to_what_a_pattern_fits_are_shown() -> None:
    gateway = gateway_with(ModelRules([ModelRule("llama-*", "meta/llama-*")]))
    client = ask(gateway, "/v1/models")
    provides(gateway, OPENAIS)
    assert names(client) == ["llama-9"]


def test_pattern_that_fits_what_is_known_asks_nobody() -> None:
    gateway = gateway_with(ModelRules([ModelRule("gpt-5.4*")]), family="openai")
    assert "gpt-5.4" in names(ask(gateway, "/v1/models"))
    assert not gateway.agent.sent


def test_facts_of_both_are_told() -> None:
    """The catalogue's count more."""
    gateway = gateway_with(None, family="unknown")
    client = ask(gateway, "/v1/models", anthropic_version="2023-06-01")
    assert gateway.sent.url == b"https://o.test/v1/models"
    provides(gateway, OPENAIS)
    told = {each["id"]: each for each in json.loads(client.answer()[2])["data"]}
    assert (told["meta/llama-9"]["max_input_tokens"], told["meta/llama-9"]["created_at"][:10]) == (1000, "2025-06-15")
    assert told["gpt-5.4"]["display_name"] == "GPT-5.4"


def test_list_of_a_provider_of_another_dialect_is_told_in_the_callers() -> None:
    key = virtual_key("vk_openai", "g")
    gateway = MemoryGateway(configuration([key], [provider("g", GOOGLES_URL, "gemini")]))
    client = ask(gateway, "/v1/models")
    assert gateway.sent.url == b"https://g.test/v1beta/models?pageSize=1000"
    provides(gateway, GOOGLES)
    assert names(client) == ["meta/llama-9"]


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'{"data": 1}', b"<html>", b"\xff", b"[" * 5_000])
def test_what_is_no_list_of_models_is_a_fault_of_the_providers(body: bytes) -> None:
    gateway = gateway_with(ModelRules([ModelRule("meta/*")]))
    client = ask(gateway, "/v1/models")
    provides(gateway, body)
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (502, "upstream_malformed")


def test_page_that_cannot_be_is_the_callers_fault() -> None:
    gateway = gateway_with(ModelRules([ModelRule("meta/*")]))
    client = ask(gateway, "/v1/models?limit=x", anthropic_version="2023-06-01")
    provides(gateway, OPENAIS)
    assert client.answer()[0] == 400


def test_what_is_known_is_told_where_the_provider_has_no_list() -> None:
    """Or its error, where nothing is."""
    gateway = gateway_with(ModelRules([ModelRule("meta/*"), ModelRule("mine")]))
    client = ask(gateway, "/v1/models")
    provides(gateway, b'{"error": {"message": "no such page"}}', 404)
    assert names(client) == ["mine"]
    gateway = gateway_with(ModelRules([ModelRule("meta/*")]))
    client = ask(gateway, "/v1/models")
    provides(gateway, b'{"error": {"message": "no such page"}}', 404)
    assert client.answer()[0] == 404


def test_model_that_was_tuned_is_one_of_its_providers() -> None:
    """Under the facts of what it was made of, but for its name and day."""
    tuned = "ft:gpt-4.1-mini-2025-04-14:acme::BX1"
    for key in (None, ModelRules([ModelRule("ft:*"), ModelRule("gpt-*")])):
        gateway = gateway_with(key, family="openai")
        anthropics = {"anthropic_version": "2023-06-01"}
        status, _, body = ask(gateway, f"/v1/models/{tuned}", **anthropics).answer()
        told = json.loads(body)
        assert (status, told["id"], told["display_name"]) == (200, tuned, tuned)
        assert told["max_input_tokens"] > 1_000_000
        assert ask(gateway, "/v1/models/ft:nothing:acme::BX1", **anthropics).answer()[0] == 404
        assert not gateway.agent.sent


def test_one_model_of_which_nobody_knows_can_be_asked_for() -> None:
    """In the dialect of its provider, that one tells; in another, that it may be called."""
    gateway = gateway_with(None, family="unknown")
    assert ask(gateway, "/v1/models/x", anthropic_version="2023-06-01").answer()[0] == 200
    assert not gateway.agent.sent
    ask(gateway, "/v1/models/x")
    assert gateway.sent.url == b"https://o.test/v1/models/x"


def test_head_of_a_providers_own_list_has_no_body() -> None:
    gateway = gateway_with(ModelRules([ModelRule("meta/*")]))
    client = gateway.client()
    client.ask("HEAD", "/v1/models", authorization="Bearer vk_openai")
    provides(gateway, OPENAIS)
    status, _, body = client.answer()
    assert (status, body) == (200, b"")


def test_head_has_no_body() -> None:
    gateway = gateway_with(None, models=OWN)
    client = gateway.client()
    client.ask("HEAD", "/v1/models", authorization="Bearer vk_openai")
    status, _, body = client.answer()
    assert (status, body) == (200, b"")
