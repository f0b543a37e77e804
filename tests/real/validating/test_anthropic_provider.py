"""The validating provider of the Messages API as Anthropic's own SDK sees it, with no gateway between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.real.validating.anthropic_answers import Answered, Broken, Called, Failing, Found, Redacted, Said, Thought
from tests.real.validating.anthropic_models import ADAPTIVE
from tests.real.validating.anthropic_provider import KEY, AnthropicProvider, running_anthropic

QUESTION: Any = {"model": ADAPTIVE, "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}

ANSWERS = {
    "text": Answered((Said("Grüße aus Zürich, schön ist es hier."),)),
    "thinking and calls": Answered(
        (
            Thought("Two cities, so two calls.", "c2ln"),
            Redacted("cmVkYWN0ZWQ="),
            Said("I look."),
            Called("toolu_1", "get_weather", {"location": "Zürich \U0001f5fb", "days": [1, 2]}),
            Called("toolu_2", "get_time", {}),
        ),
        "tool_use",
    ),
    "an own tool": Answered((Found("weather"), Said("Sunny."))),
    "a refusal": Answered((), "refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "No."}),
}


@pytest.fixture
def provider() -> Iterator[AnthropicProvider]:
    with running_anthropic() as running:
        yield running
        running.forget()


@pytest.fixture
def client(provider: AnthropicProvider) -> Iterator[anthropic.Anthropic]:
    base_url = provider.url.removesuffix("/v1/messages")
    headers = {"x-api-key": KEY, "authorization": anthropic.Omit()}
    with anthropic.Anthropic(base_url=base_url, api_key=KEY, max_retries=0, default_headers=headers) as made:  # type: ignore[arg-type]
        made._client.event_hooks["request"] = [_without_own_headers]
        yield made


def _without_own_headers(request: Any) -> None:
    """The provider takes no headers of the SDK's: they show which dialect the caller of a gateway speaks."""
    for name in [name for name in request.headers if name.startswith("x-stainless-")]:
        del request.headers[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_stream_comes_to_the_same_as_the_whole(
    provider: AnthropicProvider, client: anthropic.Anthropic, name: str
) -> None:
    provider.plays(ANSWERS[name], ANSWERS[name])
    whole = client.messages.create(**QUESTION)
    with client.messages.stream(**QUESTION) as stream:
        streamed = stream.get_final_message()
    assert streamed.to_dict() == whole.to_dict()
    assert [request.get("stream") for request in provider.requests] == [None, True]


def test_errors_are_the_sdks_own(provider: AnthropicProvider, client: anthropic.Anthropic) -> None:
    provider.plays(Failing(529, "overloaded_error", "Overloaded"))
    with pytest.raises(anthropic.OverloadedError, match="Overloaded"):
        client.messages.create(**QUESTION)
    provider.plays(Broken(ANSWERS["text"], 4, Failing(500, "api_error", "Broken")))
    with pytest.raises(anthropic.APIStatusError, match="Broken"), client.messages.stream(**QUESTION) as stream:
        stream.get_final_message()


def test_invalid_request_is_refused_and_remembered(provider: AnthropicProvider, client: anthropic.Anthropic) -> None:
    provider.plays(ANSWERS["text"])
    with pytest.raises(anthropic.BadRequestError, match="first message"):
        client.messages.create(**{**QUESTION, "messages": [{"role": "assistant", "content": "Hello"}]})
    with pytest.raises(AssertionError, match="first message"):
        provider.forget()
