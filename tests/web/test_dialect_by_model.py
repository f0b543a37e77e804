"""In which of its dialects a provider is asked, where not all of its models can be asked for in each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.load import load_configuration
from tests.memory import Client, MemoryGateway
from tests.web.routed import CHAT, MESSAGES, STEADY, chat, fails, messages, works

RESPONSES = "/v1/responses"
COUNT = "/v1/messages/count_tokens"
EMBEDDINGS = "/v1/embeddings"
AZURE_OPENAI = "https://contoso.openai.azure.com/openai/v1"
AZURE_ANTHROPIC = "https://contoso.services.ai.azure.com/anthropic/v1"
BEDROCK = "https://bedrock-runtime.eu-west-1.amazonaws.com"
VERTEX = "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global"
GEMINI_BODY = b'{"contents":[{"role":"user","parts":[{"text":"Say hi"}]}]}'

SERVICES: dict[str, Any] = {
    "azure": {
        "resource": "contoso",
        "models": {"claude-sonnet-4-5": {"upstream_name": "prod-1"}, "sonnet": {"upstream_name": "prod-gpt-5"}},
    },
    "bedrock": {"region": "eu-west-1"},
    "vertex": {"project": "p-1"},
    "older": {"preset": "azure", "resource": "contoso", "api_version": "2024-10-21"},
    "both": {
        "dialects": {
            "openai": "https://both.test/v1",
            "anthropic": {"base_url": "https://both.test/claude/v1", "models": ["claude-*", "ours"]},
        }
    },
}

CHAT_ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "n",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "n",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.fixture
def gateway(tmp_path: Path) -> MemoryGateway:
    """Its keys have their providers' names."""
    return made(tmp_path)


def made(folder: Path, **more: Any) -> MemoryGateway:
    """
    :param more: what else the file of services says.
    """
    keys = {f"vk_{name}": {"provider": name, "api_key": f"sk-{name}-real-canary-0123"} for name in SERVICES}
    (folder / "keys.json").write_text(json.dumps({"virtual_keys": keys}))
    (folder / "aiservices.json").write_text(json.dumps({**SERVICES, **more}))
    files = str(folder / "keys.json"), str(folder / "aiservices.json")
    return MemoryGateway(load_configuration(*files, {}), retries=STEADY)


def call(gateway: MemoryGateway, key: str, path: str, model: str) -> Client:
    """A client that has sent its call, in the dialect of the path."""
    client = gateway.client()
    body = messages(model) if path in (MESSAGES, COUNT) else chat(model)
    if path in (RESPONSES, EMBEDDINGS):
        body = json.dumps({"model": model, "input": "Say hi"}).encode()
    if path.startswith("/v1beta/"):
        body = GEMINI_BODY
    client.ask("POST", path.format(model=model), body, authorization=f"Bearer vk_{key}")
    return client


def asked(gateway: MemoryGateway) -> tuple[str, str | None]:
    """Where the last call went, and for which model, if the body says so."""
    sent = gateway.agent.sent[-1]
    return sent.url.decode(), json.loads(sent.body).get("model")


GEMINI = "/v1beta/models/{model}:generateContent"


@pytest.mark.parametrize(
    ("key", "path", "model", "url", "upstream"),
    [
        # Who calls in the dialect that has the model is passed on.
        ("azure", CHAT, "gpt-5.4", f"{AZURE_OPENAI}/chat/completions", "gpt-5.4"),
        ("azure", MESSAGES, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", "claude-opus-4-5"),
        ("bedrock", CHAT, "openai.gpt-oss-120b-1:0", f"{BEDROCK}/openai/v1/chat/completions", ...),
        ("bedrock", MESSAGES, "us.anthropic.claude-sonnet-4-6", f"{BEDROCK}/anthropic/v1/messages", ...),
        ("vertex", GEMINI, "gemini-3.5-flash", f"{VERTEX}/publishers/google/models/gemini-3.5-flash", None),
        ("vertex", CHAT, "meta/llama-4-maas", f"{VERTEX}/endpoints/openapi/chat/completions", ...),
        ("vertex", CHAT, "google/gemini-3.5-flash", f"{VERTEX}/endpoints/openapi/chat/completions", ...),
        # The others are translated.
        ("azure", CHAT, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", ...),
        ("azure", RESPONSES, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", ...),
        ("azure", MESSAGES, "grok-4.5", f"{AZURE_OPENAI}/chat/completions", ...),
        ("azure", GEMINI, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", ...),
        ("azure", GEMINI, "gpt-4o", f"{AZURE_OPENAI}/chat/completions", ...),
        ("bedrock", MESSAGES, "openai.gpt-oss-120b-1:0", f"{BEDROCK}/openai/v1/chat/completions", ...),
        ("bedrock", MESSAGES, "eu.amazon.nova-pro-v1:0", f"{BEDROCK}/openai/v1/chat/completions", ...),
        ("bedrock", CHAT, "anthropic.claude-opus-4-8", f"{BEDROCK}/anthropic/v1/messages", ...),
        ("bedrock", CHAT, "global.anthropic.claude-opus-4-8", f"{BEDROCK}/anthropic/v1/messages", ...),
        ("vertex", MESSAGES, "gemini-3.5-flash", f"{VERTEX}/publishers/google/models/gemini-3.5-flash", None),
        ("vertex", MESSAGES, "openai/gpt-oss-120b-maas", f"{VERTEX}/endpoints/openapi/chat/completions", ...),
        ("vertex", GEMINI, "google/gemini-3.5-flash", f"{VERTEX}/publishers/google/models/gemini-3.5-flash", None),
        # The OpenAI endpoint of Vertex wants to be told whose model it is.
        ("vertex", CHAT, "gemini-3.5-flash", f"{VERTEX}/endpoints/openapi/chat/completions", "google/gemini-3.5-flash"),
        # A deployment's own name tells more than the callers', and theirs counts where it tells nothing.
        ("azure", CHAT, "claude-sonnet-4-5", f"{AZURE_ANTHROPIC}/messages", "prod-1"),
        ("azure", MESSAGES, "sonnet", f"{AZURE_OPENAI}/chat/completions", "prod-gpt-5"),
        # What nobody knows goes to the caller's dialect, or the provider's own.
        ("azure", CHAT, "blue", f"{AZURE_OPENAI}/chat/completions", ...),
        ("azure", MESSAGES, "blue", f"{AZURE_ANTHROPIC}/messages", ...),
        ("bedrock", CHAT, "arn:aws:bedrock:x:1:y/z", f"{BEDROCK}/openai/v1/chat/completions", ...),
        ("bedrock", MESSAGES, "arn:aws:bedrock:x:1:y/z", f"{BEDROCK}/anthropic/v1/messages", ...),
        ("bedrock", GEMINI, "blue", f"{BEDROCK}/openai/v1/chat/completions", ...),
        ("vertex", CHAT, "blue", f"{VERTEX}/endpoints/openapi/chat/completions", ...),
        ("vertex", GEMINI, "blue", f"{VERTEX}/publishers/google/models/blue", None),
        ("vertex", MESSAGES, "blue", f"{VERTEX}/publishers/google/models/blue", None),
        # Azure's older API has paths and a query of its own, which Anthropic's has not.
        ("older", CHAT, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", ...),
        ("older", MESSAGES, "claude-opus-4-5", f"{AZURE_ANTHROPIC}/messages", ...),
        # What the operator says of a dialect.
        ("both", CHAT, "claude-x", "https://both.test/claude/v1/messages", ...),
        ("both", CHAT, "ours", "https://both.test/claude/v1/messages", ...),
        ("both", CHAT, "theirs", "https://both.test/v1/chat/completions", ...),
        ("both", MESSAGES, "theirs", "https://both.test/claude/v1/messages", ...),
    ],
)
def test_dialect_that_has_the_model_is_spoken(
    key: str, path: str, model: str, url: str, upstream: Any, gateway: MemoryGateway
) -> None:
    call(gateway, key, path, model)
    assert len(gateway.agent.sent) == 1
    sent_to, named = asked(gateway)
    assert sent_to.partition(":generateContent")[0] == url
    assert named == (model if upstream is ... else upstream)


def test_translated_answer_comes_back_in_the_callers_dialect(gateway: MemoryGateway) -> None:
    """Both ways, with the caller's name for the model and the dialect that was spoken in the record."""
    client = call(gateway, "bedrock", MESSAGES, "openai.gpt-oss-20b-1:0")
    works(gateway.agent.sent[-1], json.dumps(CHAT_ANSWER).encode())
    assert json.loads(client.answer()[2])["content"] == [{"type": "text", "text": "Hi"}]
    client = call(gateway, "azure", CHAT, "claude-sonnet-4-5")
    works(gateway.agent.sent[-1], json.dumps(MESSAGE).encode())
    assert json.loads(client.answer()[2])["choices"][0]["message"]["content"] == "Hi"
    assert [(each.dialect, each.model) for each in gateway.records.written] == [
        ("openai", "openai.gpt-oss-20b-1:0"),
        ("anthropic", "claude-sonnet-4-5"),
    ]


def test_key_of_the_dialect_that_is_spoken_is_sent_in_its_header(gateway: MemoryGateway) -> None:
    call(gateway, "azure", CHAT, "claude-opus-4-5")
    (sent,) = gateway.agent.sent
    assert sent.header("x-api-key") == "sk-azure-real-canary-0123"
    assert sent.header("api-key") is None


def test_one_call_may_need_two_dialects_of_one_credential(tmp_path: Path) -> None:
    """First for the model itself, then for its fallback."""
    fallbacks = {"bedrock/openai.a": {"fallbacks": ["bedrock/anthropic.claude-b"]}}
    gateway = made(tmp_path, **{"$routing": {"models": fallbacks}})
    client = call(gateway, "bedrock", CHAT, "bedrock/openai.a")
    for _ in range(9):
        if "anthropic" in asked(gateway)[0]:
            break
        fails(gateway.agent.sent[-1], 503)
        gateway.clock.advance(5)
    assert asked(gateway) == (f"{BEDROCK}/anthropic/v1/messages", "anthropic.claude-b")
    works(gateway.agent.sent[-1], json.dumps(MESSAGE).encode())
    assert json.loads(client.answer()[2])["choices"][0]["message"]["content"] == "Hi"


def test_count_for_a_model_of_another_dialect_is_not_asked_where_it_is_not(gateway: MemoryGateway) -> None:
    """OpenAI's dialect has no count: it is an estimate."""
    status, _, body = call(gateway, "bedrock", COUNT, "openai.gpt-oss-20b-1:0").answer()
    assert (status, gateway.agent.sent) == (200, [])
    assert json.loads(body)["input_tokens"] > 0
    call(gateway, "bedrock", COUNT, "anthropic.claude-opus-4-8")
    assert asked(gateway)[0] == f"{BEDROCK}/anthropic/v1/messages/count_tokens"


def test_what_cannot_be_translated_goes_where_it_always_went(gateway: MemoryGateway) -> None:
    """Nobody knows better than the provider why that does not work."""
    call(gateway, "azure", EMBEDDINGS, "claude-opus-4-5")
    assert asked(gateway)[0] == f"{AZURE_OPENAI}/embeddings"


@pytest.mark.parametrize(
    ("key", "path", "model", "url"),
    [
        ("azure", "/chat/completions", "claude-opus-4-5", f"{AZURE_OPENAI}/chat/completions"),
        ("azure", "/p/azure/v1/chat/completions", "claude-opus-4-5", f"{AZURE_OPENAI}/chat/completions"),
    ],
)
def test_paths_that_are_not_translated_lead_to_its_own_dialect(
    key: str, path: str, model: str, url: str, gateway: MemoryGateway
) -> None:
    call(gateway, key, path, model)
    assert asked(gateway) == (url, model)


def test_explanation_and_list_have_the_models_of_every_dialect(gateway: MemoryGateway) -> None:
    client = gateway.client()
    client.ask("GET", "/v1/gateway/route?model=gemini-3.5-flash", authorization="Bearer vk_vertex")
    (candidate,) = json.loads(client.answer()[2])["candidates"]
    assert (candidate["provider"], candidate["model"], candidate["in"]) == ("vertex", "google/gemini-3.5-flash", True)
    client = gateway.client()
    client.ask("GET", "/v1/models", authorization="Bearer vk_vertex")
    assert "gemini-3.5-flash" in [each["id"] for each in json.loads(client.answer()[2])["data"]]


HOLDERS: dict[str, Any] = {
    **{name: {} for name in ("openai", "anthropic", "mistral", "openrouter", "ollama")},
    "bedrock": {"region": "eu-west-1"},
    "azure": {"resource": "contoso"},
    "own": "http://10.0.0.7:8000/v1/chat/completions",
    "listing": {"url": "http://10.0.0.8:8000/v1/chat/completions", "models": ["claude-opus-5-5", "blue"]},
}


def several(folder: Path, providers: str, routing: dict[str, Any] | None = None) -> MemoryGateway:
    """Whose key has a credential of each."""
    names = providers.split()
    keys = {
        "credentials": {name: {"provider": name, "api_key": f"sk-{name}-real-canary-0123"} for name in names},
        "virtual_keys": {"vk_all": {"credentials": names}},
    }
    (folder / "keys.json").write_text(json.dumps(keys))
    (folder / "aiservices.json").write_text(json.dumps({**HOLDERS, "$routing": routing or {}}))
    files = str(folder / "keys.json"), str(folder / "aiservices.json")
    return MemoryGateway(load_configuration(*files, {}))


def candidates(folder: Path, providers: str, model: str, routing: dict[str, Any] | None = None) -> list[str]:
    """Who would be asked."""
    client = several(folder, providers, routing).client()
    client.ask("GET", f"/v1/gateway/route?model={model}", authorization="Bearer vk_all")
    return [each["provider"] for each in json.loads(client.answer()[2])["candidates"] if each["in"]]


@pytest.mark.parametrize(
    ("providers", "model", "expected"),
    [
        # Bedrock's own names for models are nobody else's.
        ("anthropic bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock"),
        ("anthropic bedrock", "anthropic.claude-opus-4-8", "bedrock"),
        ("openai bedrock", "openai.gpt-oss-120b-1:0", "bedrock"),
        ("anthropic bedrock", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-x", "bedrock"),
        # Nor is one known to have what is called otherwise there.
        ("anthropic bedrock", "claude-haiku-4-5", "anthropic"),
        ("bedrock anthropic", "claude-haiku-4-5", "anthropic"),
        ("openai bedrock", "claude-haiku-4-5", "bedrock"),
        # A model of the day is told by its name.
        ("openai anthropic", "claude-of-tomorrow", "anthropic"),
        ("anthropic openai", "gpt-of-tomorrow", "openai"),
        ("anthropic mistral", "open-mixtral-of-tomorrow", "mistral"),
        ("openai anthropic bedrock", "claude-of-tomorrow", "anthropic bedrock"),
        # Some may have any.
        ("openai openrouter", "anthropic/claude-haiku-4.5", "openrouter"),
        ("openai ollama", "qwen3:8b", "ollama"),
        ("openai own", "gpt-of-tomorrow", "openai own"),
        ("anthropic azure", "blue", "azure"),
        ("openai anthropic", "blue", "openai anthropic"),
        # The operator's word counts.
        ("anthropic listing", "claude-opus-5-5", "anthropic listing"),
        ("anthropic listing", "blue", "listing"),
        ("own listing", "blue", "own listing"),
    ],
)
def test_providers_that_have_the_model_are_asked(providers: str, model: str, expected: str, tmp_path: Path) -> None:
    assert candidates(tmp_path, providers, model) == expected.split()


def test_targets_of_the_operators_own_names_are_asked_whoever_is_known_to_have_them(tmp_path: Path) -> None:
    """It is not guessed who may have a model where somebody has said it."""
    targets = ["openai/gpt-5.4", "bedrock/claude-haiku-4-5", "openrouter/anthropic/claude-haiku-4.5"]
    routing = {"models": {"fast": {"targets": targets}}}
    assert candidates(tmp_path, "openai bedrock openrouter", "fast", routing) == ["openai", "bedrock", "openrouter"]


def test_call_that_no_provider_of_a_key_has_a_counterpart_of_is_told_what_each_speaks(tmp_path: Path) -> None:
    client = several(tmp_path, "openai mistral").client()
    client.ask("POST", "/v1/messages/batches", b'{"requests": []}', authorization="Bearer vk_all")
    status, headers, body = client.answer()
    message = json.loads(body)["error"]["message"]
    assert (status, headers["x-gw-error"]) == (400, "dialect_mismatch")
    assert "speaks Anthropic, and of this key's 'openai' speaks OpenAI, and 'mistral' speaks OpenAI. " in message
    assert "/p/openai/ or /p/mistral/" in message
