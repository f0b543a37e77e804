"""The validating provider of the Gemini API as Google's own SDK sees it, with no gateway between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.real.validating.files import PNG_BASE64
from tests.real.validating.gemini_answers import (
    Answered,
    Blocked,
    Broken,
    Called,
    Counted,
    Drawn,
    Failing,
    Ran,
    Said,
    Thought,
)
from tests.real.validating.gemini_models import NEWEST
from tests.real.validating.gemini_provider import KEY, GeminiProvider, running_gemini

ANSWERS = {
    "text": Answered((Said("Grüße aus Zürich, schön ist es hier.", "c2lnMQ=="),)),
    "thoughts and calls": Answered(
        (
            Thought("Two cities, so two calls."),
            Said("I look."),
            Called("get_weather", {"location": "Zürich \U0001f5fb", "days": [1, 2]}, "a", "c2lnMg=="),
            Called("get_time", None, "b"),
        )
    ),
    "code and a picture": Answered((Ran("1+1"), Drawn(PNG_BASE64), Said("So."))),
    "two candidates": Answered((Said("One, as long as it is."),), others=((Said("Two."),),)),
    "nothing": Answered((), "SAFETY", "Unsafe."),
}


@pytest.fixture
def provider() -> Iterator[GeminiProvider]:
    with running_gemini() as running:
        yield running
        running.forget()


@pytest.fixture
def client(provider: GeminiProvider) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=provider.base_url.removesuffix("/v1beta"), api_version="v1beta")
    with genai.Client(api_key=KEY, http_options=options) as made:
        yield made


def gathered(chunks: Any) -> dict[int, list[tuple[str, str]]]:
    """Every candidate's parts, texts that follow each other as one."""
    found: dict[int, list[tuple[str, str]]] = {}
    for chunk in chunks:
        for candidate in chunk.candidates:
            parts = found.setdefault(candidate.index, [])
            for part in (candidate.content and candidate.content.parts) or ():
                fields = part.model_dump(mode="json", exclude_none=True)
                fields.pop("thought_signature", None)
                kind = "thought" if fields.get("thought") else next(iter(fields))
                value = str(fields.get("text", fields))
                if parts and parts[-1][0] == kind and "text" in fields:
                    parts[-1] = (kind, parts[-1][1] + value)
                elif value:
                    parts.append((kind, value))
    return found


@pytest.mark.parametrize("name", ANSWERS)
def test_stream_comes_to_the_same_as_the_whole(provider: GeminiProvider, client: genai.Client, name: str) -> None:
    provider.plays(ANSWERS[name], ANSWERS[name])
    whole = client.models.generate_content(model=NEWEST, contents="Hello")
    chunks = list(client.models.generate_content_stream(model=NEWEST, contents="Hello"))
    assert gathered(chunks) == gathered([whole])
    ends = [(each.finish_reason, each.finish_message) for each in chunks[-1].candidates or ()]
    assert ends == [(each.finish_reason, each.finish_message) for each in whole.candidates or ()]
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert len(chunks) > 1 or name == "nothing"


def test_signatures_come_back_with_what_they_sign(provider: GeminiProvider, client: genai.Client) -> None:
    provider.plays(ANSWERS["text"], ANSWERS["text"], ANSWERS["text"])
    chat = client.chats.create(model=NEWEST)
    for _ in range(2):
        chat.send_message("Hello")
    assert provider.last["contents"][1]["parts"][0]["thoughtSignature"] == "c2lnMQ=="
    history: Any = chat.get_history()
    history[1].parts[0].text = "Something else."
    with pytest.raises(errors.ClientError, match="not the part that it was on"):
        client.chats.create(model=NEWEST, history=history).send_message("Hello")
    assert len(provider.refusals) == 1
    provider.refusals.clear()
    client.models.generate_content(model=NEWEST, contents="Hello")


def test_prompt_may_be_blocked_or_counted(provider: GeminiProvider, client: genai.Client) -> None:
    provider.plays(Blocked("SAFETY"), Counted(7))
    answer = client.models.generate_content(model=NEWEST, contents="Hello")
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason is types.BlockedReason.SAFETY
    assert client.models.count_tokens(model=NEWEST, contents="Hello").total_tokens == 7


def test_errors_are_the_sdks_own(provider: GeminiProvider, client: genai.Client) -> None:
    provider.plays(Failing(429, "RESOURCE_EXHAUSTED", "Slow down"))
    with pytest.raises(errors.ClientError, match=r"429 RESOURCE_EXHAUSTED.*Slow down"):
        client.models.generate_content(model=NEWEST, contents="Hello")
    broken = Broken(ANSWERS["text"], 2, Failing(503, "UNAVAILABLE", "Overloaded"))
    provider.plays(Failing(500, "INTERNAL", "Oh"), broken)
    for complaint in ("Oh", "Overloaded"):
        with pytest.raises(errors.ServerError, match=complaint):
            list(client.models.generate_content_stream(model=NEWEST, contents="Hello"))


def test_invalid_request_is_refused_and_remembered(provider: GeminiProvider, client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="valid role"):
        client.models.generate_content(
            model=NEWEST, contents=[types.Content(role="tool", parts=[types.Part(text="Hello")])]
        )
    with pytest.raises(AssertionError, match="valid role"):
        provider.forget()
