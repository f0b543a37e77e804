"""What is read of an answer while it goes by."""

from __future__ import annotations

import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.usage.metering import Reading, meter_for
from llm_gateway.core.usage.values import NOTHING, Source, Usage


def read(
    answer: bytes, dialect: str = "openai", api: Api = Api.CHAT, *, stream: bool = False, whole: bool = True
) -> Reading:
    meter = meter_for(dialect, api, stream, False)
    meter.feed(answer)
    return meter.finish(whole, 1000)


CHAT = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-5.4-mini","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":'
    b'7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2'
    b"}}}"
)


def test_numbers_of_a_whole_answer_are_the_providers_own() -> None:
    reading = read(CHAT)
    assert reading == Reading(Usage(input=8, cached=3, output=5, reasoning=2), Source.PROVIDER, "gpt-5.4-mini")


@pytest.mark.parametrize("api", [Api.MODELS, Api.COUNT_TOKENS, Api.GEMINI_COUNT_TOKENS, Api.RESPONSES_COUNT_TOKENS])
def test_nothing_is_used_by_what_nobody_bills(api: Api) -> None:
    assert read(CHAT, api=api) == Reading(NOTHING, Source.NONE)
