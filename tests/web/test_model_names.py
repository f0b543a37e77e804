"""Models that are called otherwise by their provider, or that a key may not call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from llm_gateway.config.values import Configuration
from llm_gateway.core.model_rules import ModelRule, ModelRules
from tests.memory import MemoryGateway, configuration, provider, virtual_key
from tests.wires import WIRE

ALIASES = ModelRules([ModelRule("fast", "gpt-5-nano"), ModelRule("gpt-*")])
BODY = b'{ "temperature":1.0,\t"model" : "fast", "messages": [{"content": "\\"model\\": \\"fast\\"", "role":"user"}] }'


def gateway_with(allowed: ModelRules | None, **changes: Any) -> MemoryGateway:
    key = replace(virtual_key("vk_openai", "openai"), models=allowed)
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
    key = replace(virtual_key("vk_g", "gemini"), models=ModelRules([ModelRule("fast", "gemini-9-flash")]))
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
        # A batch has a model in every line.
        ("/v1/batches", b'{"model": "gpt-5", "input_file_id": "f", "endpoint": "/v1/chat/completions"}'),
        ("/p/openai/batches", b'{"model": "gpt-5", "input_file_id": "f"}'),
        ("/v1/fine_tuning/jobs", b'{"model": "gpt-5", "training_file": "f"}'),
        # Paths that name one themselves.
        ("/v1/engines/o9/completions", b'{"model": "gpt-5"}'),
        ("/v1/chat%2Fcompletions", b'{"model": "gpt-5"}'),
        # Names that some providers take for the model's.
        ("/v1/chat/completions", b'{"model": "gpt-5", "Model": "o9"}'),
        ("/v1/chat/completions", b'{"model": "gpt-5", "models": ["o9"]}'),
        # Azure's paths name a model, and providers of OpenAI's own API do not look there.
        ("/openai/deployments/gpt-5/audio/transcriptions", b"--x\r\nmodel=o9"),
        ("/openai/deployments/gpt-5/chat/completions", b'{"Model": "o9"}'),
        ("/openai/deployments/gpt-5/chat/completions", b"{" + b'"x":1,' * 1100 + b'"model":"o9"}'),
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


LIMITED = ModelRules([ModelRule("mine")])
ONE_OF_EACH = b'{"model": "mine", "contents": [], "messages": []}'
"""Names the model that may be called; the path names another."""


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/other:generateContent",
        "/v1beta/models/other%3AgenerateContent",
        "/v1beta/models%2Fother:generateContent",
        "/v1beta/%6dodels/other:generateContent",
        "/v1beta/v1beta/models/other:generateContent",
        "/v1beta/tunedModels/other:generateContent",
        "/v1beta/dynamic/other:generateContent",
        "/v1beta/models/mine:generateContent%2Fother:generateContent",
        "/p/gemini/models/other:generateContent",
        "/p/gemini/v1beta/models/other:generateContent",
        "/p/gemini/v1beta/v1beta/models/other:generateContent",
        "/p/gemini/%6dodels/other:generateContent",
    ],
)
def test_limited_key_cannot_name_another_model_in_googles_paths(target: str) -> None:
    key = replace(virtual_key("vk_g", "gemini"), models=LIMITED)
    gateway = MemoryGateway(configuration([key], [provider("gemini", "https://g.test/v1beta", "gemini")]))
    client = gateway.client()
    client.ask("POST", target, ONE_OF_EACH, x_goog_api_key="vk_g")
    assert client.answer()[0] in (400, 404)
    assert not gateway.agent.sent


@pytest.mark.parametrize(
    "target",
    [
        "/openai/deployments/other/chat/completions",
        "/openai/%64eployments/other/chat/completions",
        "/openai/v1/deployments/other/chat/completions",
        "/v1/deployments/other/chat/completions",
        "/p/openai/deployments/other/chat/completions",
    ],
)
def test_limited_key_cannot_name_another_of_azures_deployments(target: str) -> None:
    [azures] = azure().providers.values()
    key = replace(virtual_key("vk_openai", "openai"), models=LIMITED)
    gateway = MemoryGateway(configuration([key], [azures]))
    client = gateway.client()
    client.ask("POST", target, ONE_OF_EACH, api_key="vk_openai")
    assert client.answer()[0] in (400, 404)
    assert not gateway.agent.sent


@pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own HTTP gathers bodies, and the path's model is put in")
def test_limited_key_cannot_hide_the_model_in_a_body_that_still_comes() -> None:
    """The path names one that it may call, the body another, and OpenAI reads the body."""
    key = replace(virtual_key("vk_openai", "openai"), models=LIMITED)
    gateway = MemoryGateway(configuration([key], [provider("openai", "https://o.test/v1/chat/completions")]))
    client = gateway.client()
    head = "POST /openai/deployments/mine/chat/completions HTTP/1.1\r\nHost: g\r\nApi-Key: vk_openai\r\n"
    client.send(f"{head}Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    client.send(b'14\r\n{"model": "another"}\r\n0\r\n\r\n')
    assert client.answer()[0] == 400
    assert not gateway.agent.sent


def test_limited_key_may_call_its_models_in_every_way() -> None:
    key = replace(virtual_key("vk_g", "gemini"), models=ModelRules([ModelRule("fast", "gemini-9-flash")]))
    gateway = MemoryGateway(configuration([key], [provider("gemini", "https://g.test/v1beta", "gemini")]))
    for path in ("/v1beta/models/fast:generateContent", "/p/gemini/models/fast:generateContent"):
        gateway.client().ask("POST", path, b'{"contents":[]}', x_goog_api_key="vk_g")
    # A call without a body runs no model.
    gateway.client().ask("POST", "/v1beta/batches/b1:cancel", x_goog_api_key="vk_g")
    assert [sent.url.removeprefix(b"https://g.test/v1beta") for sent in gateway.agent.sent] == [
        b"/models/gemini-9-flash:generateContent",
        b"/models/gemini-9-flash:generateContent",
        b"/batches/b1:cancel",
    ]
