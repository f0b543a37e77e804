"""Answers of every operation: documents, sound and images, compressed, cut and too long to be held."""

from __future__ import annotations

import base64
import gzip
import json
import math
import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.apis import Api
from llm_gateway.core.estimate import estimate_text
from llm_gateway.core.usage.metering import HELD_BYTES, Reading, meter_for
from llm_gateway.core.usage.values import NOTHING, Source, Usage
from tests.core.usage.recordings import (
    CHAT,
    CHAT_READ,
    CHAT_USAGE,
    GEMINI_EVENTS,
    GEMINI_READ,
    MESSAGE_START,
    RESPONSE_ITEMS,
    RESPONSE_READ,
    RESPONSE_USAGE,
    chunk,
    response,
    sse,
)

EXPECTED = 1000
CASES = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}


def encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def read(
    answer: bytes,
    dialect: str = "openai",
    api: Api | None = None,
    *,
    stream: bool = False,
    whole: bool = True,
    path: bytes = b"",
    pieces: dict[str, int] | None = None,
) -> Reading:
    meter = meter_for(dialect, CASES[dialect] if api is None else api, stream, path=path)
    for at in range(0, len(answer), 1000):
        meter.feed(answer[at : at + 1000])
    return meter.finish(whole, EXPECTED, pieces or {})


def completion(text: str = "Hello.", usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "model": "gpt-5.4-mini", "choices": [choice], "usage": usage, **more}


DOCUMENTS: dict[str, tuple[str, Any, Usage, str | None]] = {
    "chat": (
        "openai",
        completion('"usage": {"prompt_tokens": 1}', CHAT_USAGE, service_tier="priority"),
        Usage(input=176, cached=1024, output=30, reasoning=40, tier="priority"),
        "gpt-5.4-mini",
    ),
    "response": (
        "openai",
        response(
            "completed", output=RESPONSE_ITEMS, usage=RESPONSE_USAGE, tool_usage={"web_search": {"num_requests": 2}}
        ),
        Usage(
            input=72,
            cached=128,
            cache_write=100,
            output=30,
            reasoning=20,
            pieces={"web_search": 2, "file_search": 1},
        ),
        "gpt-5.6",
    ),
    "compacted response": (
        "openai",
        {"id": "resp_1", "object": "response.compaction", "output": [], "usage": RESPONSE_USAGE},
        RESPONSE_READ,
        None,
    ),
    "message": (
        "anthropic",
        {
            "type": "message",
            "model": "claude-sonnet-4-5",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "name": "f", "input": {"usage": {"input_tokens": 9}}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
        Usage(input=5, output=7),
        "claude-sonnet-4-5",
    ),
    "gemini": ("gemini", GEMINI_EVENTS[-1], GEMINI_READ, "gemini-3-pro"),
    "gemini's stream as a list": ("gemini", GEMINI_EVENTS, GEMINI_READ, "gemini-3-pro"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_whole_document_is_what_its_provider_says(name: str) -> None:
    dialect, document, usage, model = DOCUMENTS[name]
    assert read(encoded(document), dialect) == Reading(usage, Source.PROVIDER, model)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_cut_anywhere_is_at_least_what_came(name: str) -> None:
    dialect, document, usage, _ = DOCUMENTS[name]
    body = encoded(document)
    before = 0
    for end in range(len(body)):
        reading = read(body[:end], dialect, whole=False)
        if reading.source is Source.ESTIMATED:
            assert reading.usage.input_tokens == EXPECTED, end
            assert reading.usage.output_tokens >= before, end
            before = reading.usage.output_tokens
        elif name != "gemini's stream as a list":
            assert (reading.usage.input_tokens, reading.usage.output_tokens) == (
                usage.input_tokens,
                usage.output_tokens,
            ), end
    assert before > 0 or name in ("compacted response", "gemini")


def test_a_document_without_numbers_is_estimated() -> None:
    reading = read(encoded(completion("Hello, world.")))
    assert reading == Reading(
        Usage(input=EXPECTED, output=math.ceil(estimate_text("Hello, world."))), Source.ESTIMATED, "gpt-5.4-mini"
    )


@pytest.mark.parametrize("body", [b'{"error":{"message":"no"}}', b'{"type":"error","error":{"type":"api_error"}}'])
def test_an_error_has_used_nothing(body: bytes) -> None:
    for dialect in CASES:
        assert read(body, dialect) == Reading(NOTHING, Source.NONE)
        assert read(b"data: " + body + b"\n\n", dialect, stream=True).usage in (NOTHING, Usage(input=EXPECTED))


def test_a_stream_that_fails_before_its_first_word_has_used_nothing() -> None:
    assert read(sse({"error": {"message": "no"}}), stream=True) == Reading(NOTHING, Source.NONE)
    failed = sse({"type": "error", "error": {"type": "overloaded_error"}}, named=True)
    assert read(failed, "anthropic", stream=True) == Reading(NOTHING, Source.NONE)


def test_a_stream_that_begins_with_0_has_not_told_what_it_read() -> None:
    start = {"type": "message_start", "message": {"model": "glm-5", "usage": {"input_tokens": 0, "output_tokens": 0}}}
    delta = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 0, "output_tokens": 5}}
    cut = read(sse(start, named=True), "anthropic", stream=True, whole=False)
    assert cut == Reading(Usage(input=EXPECTED), Source.PARTLY, "glm-5")
    assert read(sse(start, delta, named=True), "anthropic", stream=True).usage == Usage(output=5)


def test_a_0_before_the_end_is_no_number_of_what_was_written() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    chat = read(sse(chunk({"content": "Hello there"}, usage=zeros)), stream=True, whole=False)
    assert chat.usage == Usage(input=EXPECTED, output=math.ceil(estimate_text("Hello there")))
    event = GEMINI_EVENTS[0] | {"usageMetadata": {"promptTokenCount": 0, "candidatesTokenCount": 0}}
    gemini = read(sse(event), "gemini", stream=True, whole=False)
    assert gemini.usage == Usage(input=EXPECTED, output=math.ceil(estimate_text("Noon ")))


def test_a_0_behind_a_number_does_not_take_it_back() -> None:
    told = {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49}
    zeros = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    events = sse(chunk({"content": "Hello"}, usage=told), chunk({"content": ""}, usage=zeros))
    assert read(events, stream=True, whole=False).usage == Usage(input=9, output=40)
    first, second = GEMINI_EVENTS[1], GEMINI_EVENTS[0] | {"candidates": []}
    gemini = read(sse(first, second), "gemini", stream=True, whole=False)
    assert gemini.usage == Usage(input=500, output=6, reasoning=20)


def test_an_answer_that_broke_off_before_its_first_byte_is_what_was_asked() -> None:
    assert read(b"", whole=False) == Reading(Usage(input=EXPECTED), Source.ESTIMATED)
    assert read(b"", stream=True, whole=False) == Reading(Usage(input=EXPECTED), Source.ESTIMATED)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"{" * 2000, b'{"usage":[]}', b'{"usage":{"prompt_tokens":"x"}}', b"[1]", b"null"]
)
def test_nonsense_counts_for_nothing(body: bytes) -> None:
    for dialect in CASES:
        assert read(body, dialect).usage.output_tokens == 0
        assert read(b"data: " + body + b"\n\n", dialect, stream=True).usage.output_tokens == 0


@given(st.binary(max_size=300), st.sampled_from(sorted(CASES)), st.booleans(), st.booleans())
def test_no_bytes_do_any_harm(body: bytes, dialect: str, stream: bool, compressed: bool) -> None:
    meter = meter_for(dialect, CASES[dialect], stream, compressed)
    meter.feed(body)
    meter.so_far()
    meter.finish(False, EXPECTED)
    assert meter.output_bytes == len(body)


# What is billed, and what is not


@pytest.mark.parametrize("api", [Api.MODELS, Api.COUNT_TOKENS, Api.GEMINI_COUNT_TOKENS, Api.RESPONSES_COUNT_TOKENS])
def test_nothing_is_used_by_what_nobody_bills(api: Api) -> None:
    assert read(encoded(completion(usage=CHAT_USAGE)), api=api) == Reading(NOTHING, Source.NONE)


def test_a_response_that_is_looked_up_is_not_billed_again() -> None:
    meter = meter_for("openai", Api.OTHER, False, method=b"GET", path=b"/v1/responses/resp_1")
    meter.feed(encoded(response("completed", usage=RESPONSE_USAGE)))
    assert meter.finish(True) == Reading(NOTHING, Source.NONE)


@pytest.mark.parametrize(
    "path", [b"/v1/moderations", b"/v1/files", b"/v1/messages/batches", b"/v1/responses/resp_1/cancel"]
)
def test_nothing_is_used_by_operations_that_are_free(path: bytes) -> None:
    reading = read(encoded({"usage": {"input_tokens": 5}}), api=Api.OTHER, path=path)
    assert reading == Reading(NOTHING, Source.NONE)


def test_an_operation_that_nobody_knows_is_billed_as_far_as_it_says() -> None:
    assert read(b'{"object":"thing"}', api=Api.OTHER, path=b"/v1/things").source is Source.NONE
    said = read(encoded({"object": "thing", "usage": CHAT_USAGE}), api=Api.OTHER, path=b"/v1/things")
    assert said == Reading(CHAT_READ, Source.PROVIDER)


def test_embeddings_are_read_and_not_written() -> None:
    body = encoded(
        {
            "object": "list",
            "model": "e-3",
            "data": [{"embedding": [0.1] * 30}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    )
    assert read(body, api=Api.EMBEDDINGS) == Reading(Usage(input=8), Source.PROVIDER, "e-3")
    assert read(body[:90], api=Api.EMBEDDINGS, whole=False).usage == Usage(input=EXPECTED)
    silent = read(b'{"embedding":{"values":[0.1]}}', "gemini", Api.GEMINI_EMBEDDINGS)
    assert silent == Reading(Usage(input=EXPECTED), Source.ESTIMATED)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"results": [], "usage": {"total_tokens": 15}}, Usage(input=15)),
        ({"results": [], "meta": {"billed_units": {"search_units": 2}}}, Usage(pieces={"search_units": 2})),
        ({"pages": [], "model": "mistral-ocr-4", "usage_info": {"pages_processed": 29}}, Usage(pieces={"pages": 29})),
        ({"embeddings": [], "meta": {"billed_units": {"input_tokens": 7}}}, Usage(input=7)),
    ],
)
def test_rankings_and_scans_are_billed_by_tokens_or_by_the_search(answer: dict[str, Any], usage: Usage) -> None:
    assert read(encoded(answer), api=Api.OTHER, path=b"/v2/rerank").usage == usage


IMAGES = b"/v1/images/generations"


def test_images_are_billed_by_tokens_where_there_are_any_and_else_one_by_one() -> None:
    data = [{"b64_json": "iVBOR"}, {"b64_json": "iVBOR"}]
    usage = {"input_tokens": 50, "input_tokens_details": {"image_tokens": 40}, "output_tokens": 4160}
    told = read(encoded({"created": 1, "data": data, "usage": usage}), api=Api.OTHER, path=IMAGES)
    assert told == Reading(Usage(input=10, image_input=40, image_output=4160), Source.PROVIDER)
    counted = read(encoded({"created": 1, "data": data}), api=Api.OTHER, path=IMAGES)
    assert counted == Reading(Usage(pieces={"images": 2}), Source.PROVIDER)


@pytest.mark.parametrize("size", [1000, 200_000])
def test_images_too_large_to_be_held_are_counted_all_the_same(size: int) -> None:
    image = base64.b64encode(random.Random(5).randbytes(size)).decode()
    body = {"created": 1, "data": [{"b64_json": image}, {"b64_json": image}, {"b64_json": image}]}
    assert read(encoded(body), api=Api.OTHER, path=IMAGES) == Reading(Usage(pieces={"images": 3}), Source.PROVIDER)
    usage = {"input_tokens": 50, "output_tokens": 4160}
    told = read(encoded(body | {"usage": usage}), api=Api.OTHER, path=IMAGES)
    assert told == Reading(Usage(input=50, image_output=4160), Source.PROVIDER)
    done = sse({"type": "image_generation.completed", "b64_json": image, "usage": usage}, named=True)
    assert read(done, api=Api.OTHER, path=IMAGES, stream=True).usage == Usage(input=50, image_output=4160)


def test_speech_is_billed_by_what_it_says_or_by_what_was_asked() -> None:
    path = b"/v1/audio/speech"
    events = sse(
        {"type": "speech.audio.delta", "audio": "AAAA"},
        {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}},
    )
    told = read(events, api=Api.OTHER, path=path, stream=True)
    assert told == Reading(Usage(input=14, audio_output=101), Source.PROVIDER)
    sound = read(b"\xff\xf3\x84" + bytes(200_000), api=Api.OTHER, path=path, pieces={"characters": 40})
    assert sound == Reading(Usage(input=EXPECTED, audio_output=56, pieces={"characters": 40}), Source.ESTIMATED)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 8.2}}, Usage(pieces={"seconds": 9})),
        ({"text": "Hi", "duration": 8.47, "task": "transcribe"}, Usage(pieces={"seconds": 9})),
        ({"text": "Hi", "duration": "8.0"}, Usage(pieces={"seconds": 8})),
        (
            {
                "text": "Hi",
                "usage": {"input_tokens": 14, "input_token_details": {"audio_tokens": 10}, "output_tokens": 2},
            },
            Usage(input=4, audio_input=10, output=2),
        ),
    ],
)
def test_transcriptions_are_billed_by_the_second_or_by_tokens(answer: dict[str, Any], usage: Usage) -> None:
    path = b"/v1/audio/transcriptions"
    assert read(encoded(answer), api=Api.OTHER, path=path) == Reading(usage, Source.PROVIDER)


def test_a_transcription_that_says_nothing_is_billed_by_what_was_asked() -> None:
    reading = read(b"1\n00:00 --> 00:02\nHi\n", api=Api.OTHER, path=b"/v1/audio/transcriptions", pieces={"seconds": 2})
    assert (reading.source, reading.usage.pieces) == (Source.ESTIMATED, {"seconds": 2})


# Compressed


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_compressed_answer_is_read(compress: Any, size: int) -> None:
    body = compress(CHAT)
    meter = meter_for("openai", Api.CHAT, True, True)
    for at in range(0, len(body), size):
        meter.feed(body[at : at + size])
    assert meter.output_bytes == len(body)
    assert meter.finish(True) == Reading(CHAT_READ, Source.PROVIDER, "gpt-5.4-mini")


def test_an_answer_that_cannot_be_decompressed_is_what_was_asked() -> None:
    meter = meter_for("openai", Api.CHAT, False, True)
    meter.feed(b"\x8b\x01\x80{}\x03" * 100)
    assert meter.finish(True, EXPECTED) == Reading(Usage(input=EXPECTED), Source.ESTIMATED)


def test_a_bomb_is_left_alone_before_it_takes_long() -> None:
    body = zlib.compress(bytes(20_000_000), 9)
    meter = meter_for("openai", Api.CHAT, False, True)
    meter.feed(body)
    assert meter.finish(True, EXPECTED).usage == Usage(input=EXPECTED)


# Too long to be held


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "into", "deep", "woods"]


def long_stream(count: int) -> tuple[list[bytes], str]:
    chosen = random.Random(3)
    words = [" " + chosen.choice(WORDS) for _ in range(count)]
    return [sse(chunk({"content": word})) for word in words], "".join(words)


def test_a_long_stream_keeps_its_numbers() -> None:
    events, _ = long_stream(1500)
    assert read(b"".join(events) + CHAT[-500:], stream=True) == Reading(CHAT_READ, Source.PROVIDER, "gpt-5.4-mini")
    start = sse(MESSAGE_START, named=True)
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word " * 10}}
    end = sse({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9000}}, named=True)
    usage = read(start + sse(delta, named=True) * 2000 + end, "anthropic", stream=True).usage
    assert (usage.input_tokens, usage.output_tokens, usage.tier) == (1325, 9000, "priority")


def test_a_long_stream_that_is_cut_is_estimated_within_a_few_percent() -> None:
    events, text = long_stream(3000)
    reading = read(b"".join(events), stream=True, whole=False)
    assert reading.source is Source.ESTIMATED
    assert reading.usage.output == pytest.approx(estimate_text(text), rel=0.08)


def test_a_long_stream_tells_meanwhile_what_it_has_used() -> None:
    events, text = long_stream(2000)
    meter = meter_for("openai", Api.CHAT, True)
    seen = []
    for number, event in enumerate(events):
        meter.feed(event)
        if number % 40 == 39:
            seen.append(meter.so_far().output)
    assert seen == sorted(seen)
    assert estimate_text(text) <= seen[-1] <= 2.5 * estimate_text(text)
    meter.feed(CHAT[-500:])
    assert meter.so_far().output_tokens == CHAT_READ.output_tokens


def test_a_document_too_long_to_be_held_keeps_its_numbers() -> None:
    text = "word " * 40_000
    assert read(encoded(completion(text, CHAT_USAGE))) == Reading(CHAT_READ, Source.PROVIDER, "gpt-5.4-mini")
    silent = read(encoded(completion(text)), whole=False)
    assert silent.source is Source.ESTIMATED
    assert silent.usage.output == pytest.approx(40_000, rel=0.3)


def test_an_event_too_long_to_be_held_keeps_its_numbers() -> None:
    image = "A" * 300_000
    part = {"inlineData": {"mimeType": "image/png", "data": image}}
    event = {
        "candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": GEMINI_EVENTS[1]["usageMetadata"],
    }
    reading = read(sse(GEMINI_EVENTS[0], event), "gemini", stream=True)
    assert reading == Reading(Usage(input=500, output=6, reasoning=20), Source.PROVIDER, "gemini-3-pro")
    completed = {"type": "response.completed", "response": response("completed", output=[image], usage=RESPONSE_USAGE)}
    assert read(sse(completed), stream=True) == Reading(RESPONSE_READ, Source.PROVIDER, "gpt-5.6")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [20, 60_000])
def test_what_is_held_is_bounded(stream: bool, size: int) -> None:
    events, _ = long_stream(6000)
    body = b"".join(events) if stream else encoded(completion("x" * 1_200_000, CHAT_USAGE))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    meter = meter_for("openai", Api.CHAT, stream)
    meter.feed(b" ")
    tracemalloc.start()
    try:
        for piece in pieces:
            meter.feed(piece)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.3 * HELD_BYTES
    # Copies of what is held and of one piece, while it is looked at.
    assert peak < 6 * HELD_BYTES
