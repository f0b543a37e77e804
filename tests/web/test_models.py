"""What a key may call, as SDKs ask for it."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules
from tests.memory import Client, MemoryGateway, configuration, provider, virtual_key

OWN = ModelRules([ModelRule("small", "gpt-5-nano", ModelFacts(title="Small")), ModelRule("big")])


def gateway_with(key_models: ModelRules | None, **changes: Any) -> MemoryGateway:
    key = attrs.evolve(virtual_key("vk_openai", "acme"), models=key_models)
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


def test_head_has_no_body() -> None:
    gateway = gateway_with(None, models=OWN)
    client = gateway.client()
    client.ask("HEAD", "/v1/models", authorization="Bearer vk_openai")
    status, _, body = client.answer()
    assert (status, body) == (200, b"")
