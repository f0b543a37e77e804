"""Models that are called otherwise by their provider, or that a key may not call."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from llm_gateway.config.values import Configuration
from llm_gateway.core.model_rules import ModelRule, ModelRules
from tests.memory import MemoryGateway, configuration, provider, virtual_key

ALIASES = ModelRules([ModelRule("fast", "gpt-5-nano"), ModelRule("gpt-*")])
BODY = b'{ "temperature":1.0,\t"model" : "fast", "messages": [{"content": "\\"model\\": \\"fast\\"", "role":"user"}] }'


def gateway_with(allowed: ModelRules | None, **changes: Any) -> MemoryGateway:
    key = attrs.evolve(virtual_key("vk_openai", "openai"), models=allowed)
    return MemoryGateway(configuration([key], [provider("openai", "https://o.test/v1/chat/completions", **changes)]))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1/responses", "/v1/embeddings"])
def test_only_the_models_name_is_exchanged(path: str) -> None:
    """Spaces, numbers and the order of fields stay, and so does what only looks like the field."""
    gateway = gateway_with(ALIASES)
    gateway.client().ask("POST", path, BODY, authorization="Bearer vk_openai")
    assert gateway.sent.body == BODY.replace(b'"model" : "fast"', b'"model" : "gpt-5-nano"')
    gateway.sent.answer(length=2).end()
    assert gateway.record.model == "fast"


def test_allowed_model_is_sent_as_it_came() -> None:
    gateway = gateway_with(ALIASES)
    body = BODY.replace(b'"model" : "fast"', b'"model" : "gpt-x"')
    gateway.client().ask("POST", "/v1/chat/completions", body, authorization="Bearer vk_openai")
    assert gateway.sent.body == body


def test_other_models_are_refused() -> None:
    gateway = gateway_with(ALIASES)
    client = gateway.client()
    client.chat(b'{"model":"o9","messages":[]}')
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (404, "model_not_found")
    assert "'o9'" in json.loads(body)["error"]["message"]
    assert not gateway.agent.sent


def test_body_that_names_two_models_is_refused() -> None:
    """Parsers differ in which of them counts."""
    gateway = gateway_with(ALIASES)
    client = gateway.client()
    client.chat(b'{"model":"gpt-a","model":"o9","messages":[]}')
    assert client.answer()[0] == 400
    assert not gateway.agent.sent


def test_provider_may_call_a_model_otherwise() -> None:
    """For every key."""
    gateway = gateway_with(None, models=ModelRules([ModelRule("big", "deployment-7")]))
    gateway.client().chat(b'{"model":"big","messages":[]}')
    assert gateway.sent.body == b'{"model":"deployment-7","messages":[]}'


def test_upload_without_a_model_passes() -> None:
    gateway = gateway_with(ALIASES)
    gateway.client().ask("POST", "/v1/files", b"--x\r\nmodel", authorization="Bearer vk_openai")
    assert gateway.sent.body == b"--x\r\nmodel"


def test_gemini_paths_name_the_providers_model() -> None:
    key = attrs.evolve(virtual_key("vk_g", "gemini"), models=ModelRules([ModelRule("fast", "gemini-9-flash")]))
    gateway = MemoryGateway(configuration([key], [provider("gemini", "https://g.test/v1beta", "gemini")]))
    target = "/v1beta/models/fast:streamGenerateContent?alt=sse"
    gateway.client().ask("POST", target, b'{"contents":[]}', x_goog_api_key="vk_g")
    assert gateway.sent.url == b"https://g.test/v1beta/models/gemini-9-flash:streamGenerateContent?alt=sse"
    assert gateway.sent.body == b'{"contents":[]}'


def azure() -> Configuration:
    url = "https://r.openai.azure.test/openai/chat/completions"
    changes = {"base_url": "https://r.openai.azure.test/openai", "api_version": "2024-10-21", "auth": "api-key"}
    return configuration([virtual_key("vk_openai", "openai")], [provider("openai", url, **changes)])


def test_azures_sdk_names_the_model_in_the_path() -> None:
    """``AzureOpenAI`` with the gateway for its endpoint."""
    gateway = gateway_with(None)
    target = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21&x=1"
    gateway.client().ask("POST", target, b'{"messages":[]}', api_key="vk_openai")
    assert gateway.sent.url == b"https://o.test/v1/chat/completions?x=1"
    assert json.loads(gateway.sent.body) == {"model": "gpt-4o", "messages": []}
    gateway.sent.answer(length=2).end()
    assert (gateway.record.model, gateway.record.ended) == ("gpt-4o", "ok")


def test_azure_is_asked_for_the_deployment() -> None:
    gateway = MemoryGateway(azure())
    gateway.client().chat(b'{"model":"my-gpt","messages":[]}')
    assert gateway.sent.url == (
        b"https://r.openai.azure.test/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    )
    assert gateway.sent.header("api-key") is not None


def test_azure_needs_to_be_told_the_model() -> None:
    gateway = MemoryGateway(azure())
    client = gateway.client()
    client.chat(b'{"messages":[]}')
    assert client.answer()[0] == 400
    assert not gateway.agent.sent


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/audio/transcriptions", b"--x\r\nmodel=o9"),
        ("/v1/batches", b'{"input_file_id": "f", "endpoint": "/v1/chat/completions"}'),
        ("/v1/chat/completions", b'{"model": 5}'),
        ("/p/openai/v1/chat/completions", b'{"model": "o9"}'),
        ("/p/openai/v1/chat/completions", b"[]"),
        ("/chat/completions", b'{"model": "o9"}'),
    ],
)
def test_limited_key_cannot_get_round_its_limits(target: str, body: bytes) -> None:
    """By a path that nothing is looked into, or a body that cannot be read."""
    gateway = gateway_with(ALIASES)
    client = gateway.client()
    client.ask("POST", target, body, authorization="Bearer vk_openai")
    assert client.answer()[0] in (400, 404)
    assert not gateway.agent.sent


def test_native_path_of_azure_names_the_deployment() -> None:
    gateway = MemoryGateway(azure())
    gateway.client().ask("POST", "/chat/completions", b'{"model":"my-gpt"}', authorization="Bearer vk_openai")
    assert gateway.sent.url.endswith(b"/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21")
