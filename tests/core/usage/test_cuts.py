"""Streams of every dialect, cut at every byte, by whoever it may be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.apis import Api
from llm_gateway.core.estimate import estimate_text, vocabulary_factor
from llm_gateway.core.sse import EventStreamParser
from llm_gateway.core.usage.metering import Meter, Reading, meter_for
from llm_gateway.core.usage.values import Source, Usage
from tests.core.usage.recordings import CHAT_SILENT, STREAMS, Recording

EXPECTED = 1000
"""Tokens that the gateway thought were read."""

APIS = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}


def meter_of(recording: Recording) -> Meter:
    return meter_for(recording.dialect, APIS[recording.dialect], True)


def read(recording: Recording, end: int, *, whole: bool = False) -> Reading:
    meter = meter_of(recording)
    meter.feed(recording.body[:end])
    return meter.finish(whole, EXPECTED)


def documents(stream: bytes) -> list[dict[str, Any]]:
    """The events that came whole; the blank line behind the last one is left away by many."""
    found = []
    for event in EventStreamParser().feed(stream + b"\n\n"):
        try:
            document = json.loads(event.data)
        except ValueError:
            continue
        found.append(document)
    return found


def texts(event: dict[str, Any]) -> Iterator[str]:
    """What a model wrote in one event, read in the plainest way."""
    for choice in event.get("choices", ()):
        delta = choice.get("delta", {})
        yield choice.get("text", "")
        yield delta.get("content") or ""
        yield delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", ()):
            yield call["function"].get("name", "")
            yield call["function"].get("arguments", "")
    kind = event.get("type", "")
    if kind.startswith("response.") and kind.endswith(".delta"):
        yield event["delta"]
    if kind == "content_block_start":
        yield event["content_block"].get("name", "")
    if kind == "content_block_delta":
        delta = event["delta"]
        yield delta.get("text", "") + delta.get("thinking", "") + delta.get("partial_json", "")
    for candidate in event.get("candidates", ()):
        yield from (part["text"] for part in candidate["content"]["parts"])


def numbers(event: dict[str, Any]) -> dict[str, Any]:
    found = event.get("usage") or event.get("usageMetadata") or event.get("x_groq", {}).get("usage")
    for choice in event.get("choices", ()):
        found = found or choice.get("usage")
    found = found or event.get("response", {}).get("usage") or event.get("message", {}).get("usage")
    return found or {}


READ = (
    "prompt_tokens",
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "promptTokenCount",
    "toolUsePromptTokenCount",
)


def ruled(recording: Recording, end: int) -> tuple[int | None, int]:
    """
    :return: how many tokens were read, if the provider has told, and how many have been written, by the rule: the
        provider's last number and the text that came behind it.
    """
    said: dict[str, int] = {}
    told, least, text = 0, 0, ""
    for event in documents(recording.body[:end]):
        found = numbers(event)
        text += "".join(texts(event))
        said |= {name: found[name] for name in READ if name in found}
        if event.get("type") == "message_start":
            least = found["output_tokens"]
        elif {"completion_tokens", "output_tokens", "candidatesTokenCount"} & found.keys():
            told = found.get("completion_tokens", found.get("output_tokens", 0))
            told += found.get("candidatesTokenCount", 0) + found.get("thoughtsTokenCount", 0)
            text = ""
    behind = math.ceil(estimate_text(text) * vocabulary_factor(recording.model or ""))
    return sum(said.values()) if said else None, max(told + behind, least)


@pytest.mark.parametrize("name", STREAMS)
def test_a_whole_stream_is_what_its_provider_says(name: str) -> None:
    recording = STREAMS[name]
    assert read(recording, len(recording.body), whole=True) == Reading(
        recording.usage, Source.PROVIDER, recording.model
    )


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_anywhere_is_billed_by_the_rule(name: str) -> None:
    recording = STREAMS[name]
    final = False
    before = 0
    for end in range(len(recording.body)):
        reading = read(recording, end)
        told, written = ruled(recording, end)
        usage = reading.usage
        assert usage.output_tokens == written, end
        assert usage.input_tokens == (EXPECTED if told is None else told), end
        if told is None:
            assert reading.source is Source.ESTIMATED, end
            # More came, more was written. With its own numbers a provider may take that back.
            assert written >= before, end
            before = written
        elif not final:
            assert reading.source in (Source.PARTLY, Source.PROVIDER), end
            final = reading.source is Source.PROVIDER
        else:
            # Once the numbers are the last ones, nothing that follows changes them.
            assert (reading.usage, reading.source) == (recording.usage, Source.PROVIDER), end
    assert final


@pytest.mark.parametrize("line", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_any_end_of_lines_will_do(name: str, line: bytes) -> None:
    recording = STREAMS[name]
    meter = meter_of(recording)
    meter.feed(recording.body.replace(b"\n", line))
    assert meter.finish(True, EXPECTED) == Reading(recording.usage, Source.PROVIDER, recording.model)


@given(st.sampled_from(sorted(STREAMS)), st.data())
def test_how_the_bytes_are_split_makes_no_difference(name: str, data: st.DataObject) -> None:
    recording = STREAMS[name]
    end = data.draw(st.integers(0, len(recording.body)))
    meter, at = meter_of(recording), 0
    while at < end:
        size = data.draw(st.integers(1, end - at))
        meter.feed(recording.body[at : at + size])
        if data.draw(st.booleans()):
            meter.so_far()
        at += size
    assert meter.output_bytes == end
    assert meter.finish(False, EXPECTED) == read(recording, end)


def test_a_whole_stream_without_numbers_is_estimated() -> None:
    meter = meter_for("openai", Api.CHAT, True)
    meter.feed(CHAT_SILENT)
    written = math.ceil(estimate_text("Hello, world."))
    assert meter.finish(True, EXPECTED) == Reading(
        Usage(input=EXPECTED, output=written), Source.ESTIMATED, "gpt-5.4-mini"
    )


def test_what_was_read_is_worked_out_only_if_nobody_tells() -> None:
    recording = STREAMS["messages"]
    meter = meter_of(recording)
    meter.feed(recording.body)

    def never() -> int:
        raise AssertionError("the provider told")

    assert meter.finish(False, never).source is Source.PROVIDER
    silent = meter_for("openai", Api.CHAT, True)
    assert silent.finish(False, lambda: 7).usage == Usage(input=7)
