"""The validating provider of OpenAI's dialects as OpenAI's own SDK sees it, with no gateway between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.core.translation.responses.official import checked_stream
from tests.real.validating.openai_answers import (
    Answered,
    Broken,
    Called,
    Cited,
    Counted,
    Failing,
    Ran,
    Refusing,
    Said,
    Thought,
    Wrote,
)
from tests.real.validating.openai_models import NEWEST, PLAIN
from tests.real.validating.openai_provider import KEY, OpenAIProvider, running_openai

CHAT: Any = {"model": PLAIN, "messages": [{"role": "user", "content": "Hello"}]}
RESPONSE: Any = {
    "model": NEWEST,
    "input": "Hello",
    "store": False,
    "include": ["reasoning.encrypted_content"],
}

CALLS = (
    Called("call_1", "get_weather", json.dumps({"location": "Zürich \U0001f5fb", "days": [1, 2]})),
    Called("call_2", "get_time"),
)
ANSWERS = {
    "text": Answered((Said("Grüße aus Zürich.", (Cited("https://a.test", "A", 0, 5),)),), usage=Counted(cached=7)),
    "calls": Answered((Said("I look."), *CALLS)),
    "a custom tool": Answered((Wrote("call_3", "patch", "*** Begin\n\\n"),)),
    "a refusal": Answered((Refusing("I'm sorry, I can't."),)),
    "too long": Answered((Said("And so"),), "length"),
}
REASONED = Answered(
    (Thought("Two cities.", "gAAAA"), Ran("weather"), Thought("", "gBBBB", "rs_02"), *CALLS), usage=Counted(reasoning=9)
)


@pytest.fixture
def provider() -> Iterator[OpenAIProvider]:
    with running_openai() as running:
        yield running
        running.forget()


@pytest.fixture
def client(provider: OpenAIProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0) as made:
        made._client.event_hooks["request"] = [_without_own_headers]
        yield made


def _without_own_headers(request: Any) -> None:
    """The provider takes no headers of the SDK's: they show which dialect the caller of a gateway speaks."""
    for name in [name for name in request.headers if name.startswith("x-stainless-")]:
        del request.headers[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_chats_stream_comes_to_the_same_as_the_whole(
    provider: OpenAIProvider, client: openai.OpenAI, name: str
) -> None:
    provider.plays(ANSWERS[name], ANSWERS[name])
    whole = client.chat.completions.create(**CHAT).choices[0]
    streamed: dict[str, Any] = {"content": "", "refusal": "", "calls": {}}
    reason = None
    usage = None
    for one in client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}):
        usage = one.usage
        for choice in one.choices:
            reason = choice.finish_reason or reason
            streamed["content"] += choice.delta.content or ""
            streamed["refusal"] += choice.delta.refusal or ""
            for call in choice.delta.tool_calls or ():
                _add(streamed["calls"].setdefault(call.index, {}), call.to_dict())
    message = whole.message
    assert streamed["content"] == (message.content or "")
    assert streamed["refusal"] == (message.refusal or "")
    assert [*streamed["calls"].values()] == [call.to_dict() for call in message.tool_calls or ()]
    assert reason == whole.finish_reason
    assert usage is not None
    assert usage.total_tokens == 38


def _add(call: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if isinstance(value, dict):
            _add(call.setdefault(name, {}), value)
        elif name in ("arguments", "input"):
            call[name] = call.get(name, "") + value
        elif name != "index":
            call[name] = value


@pytest.mark.parametrize("answer", [*ANSWERS.values(), REASONED], ids=[*ANSWERS, "reasoning"])
def test_responses_stream_comes_to_the_same_as_the_whole(
    provider: OpenAIProvider, client: openai.OpenAI, answer: Answered
) -> None:
    provider.plays(answer, answer)
    whole = client.responses.create(**RESPONSE)
    stream: Any = client.responses.create(**RESPONSE, stream=True)
    events, completed = checked_stream(stream.response.read())
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.to_dict() == whole.to_dict()
    assert (completed is None) == (whole.status == "incomplete")


def test_errors_are_the_sdks_own(provider: OpenAIProvider, client: openai.OpenAI) -> None:
    provider.plays(Failing(429, "Slow down.", "requests", "rate_limit_exceeded"))
    with pytest.raises(openai.RateLimitError, match="Slow down"):
        client.chat.completions.create(**CHAT)
    broken = Broken(ANSWERS["text"], 4, Failing(500, "Broken", "server_error", "server_error"))
    provider.plays(broken, broken)
    with pytest.raises(openai.APIError, match="Broken"):
        list(client.chat.completions.create(**CHAT, stream=True))
    with pytest.raises(openai.APIError, match="Broken"):
        list(client.responses.create(**RESPONSE, stream=True))


def test_invalid_request_is_refused_and_remembered(provider: OpenAIProvider, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="empty array"):
        client.chat.completions.create(model=PLAIN, messages=[])
    with pytest.raises(AssertionError, match="empty array"):
        provider.forget()
