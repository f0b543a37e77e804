"""However long an answer is, and whatever its provider sends: so much is held of it, and then it ends with an error."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import msgspec
import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation import room
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.conversation import (
    Citation,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Text,
    Thinking,
    TokenLogprob,
    Tool,
    ToolCall,
)
from llm_gateway.core.translation.events import Begun, Delta, Event, PartBegun, PartEnded
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.translation import Translation, failure_of
from llm_gateway.errors import UpstreamMalformed

LIMIT = 200_000
X = "x" * 1_000

ASKED = Request(
    "m",
    (Message(Role.USER, (Text("Hi"),)),),
    stream=True,
    tools=(Tool("free", custom=msgspec.Raw(b'{"type":"text"}')),),
    dialect="responses",
)


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_HELD_BYTES", LIMIT)


# Answers that never end, as callers get them

Endless = Iterator[list[Event]]


def one_part(part: Part, *deltas: Delta) -> Endless:
    yield [Begun("a", "m"), PartBegun(part)]
    while True:
        yield list(deltas)


def many_parts(*parts: Part) -> Endless:
    yield [Begun("a", "m")]
    while True:
        yield [event for part in parts for event in (PartBegun(part), PartEnded())]


TEXT = Delta(X)
CITED = Delta("a", citation=Citation("https://e.test/" + X, "t", start=0, end=1))
LIKELY = Delta("a", logprobs=tuple(TokenLogprob("a", 0.0, (97,)) for _ in range(50)))
SIGNED = Opaque("gemini", "p", X)

HELD: dict[str, tuple[Api, Any]] = {
    "text": (Api.RESPONSES, lambda: one_part(Text(""), TEXT)),
    "refusal": (Api.RESPONSES, lambda: one_part(Refusal(""), TEXT)),
    "thinking": (Api.RESPONSES, lambda: one_part(Thinking(), TEXT)),
    "arguments": (Api.RESPONSES, lambda: one_part(ToolCall("c", "f", ""), TEXT)),
    "citations": (Api.RESPONSES, lambda: one_part(Text(""), CITED)),
    "logprobs": (Api.RESPONSES, lambda: one_part(Text(""), LIKELY)),
    "images": (Api.RESPONSES, lambda: many_parts(Image(Inline("image/png", X)))),
    "signatures": (Api.RESPONSES, lambda: many_parts(Text("", opaque=SIGNED))),
    "thoughts": (Api.RESPONSES, lambda: many_parts(Thinking("", opaque=SIGNED))),
    "calls": (Api.RESPONSES, lambda: many_parts(ToolCall("c", X, "{}"))),
    "free text": (Api.CHAT, lambda: one_part(ToolCall("c", "free", ""), TEXT)),
    "whole arguments": (Api.GEMINI, lambda: one_part(ToolCall("c", "f", ""), TEXT)),
    "cited": (Api.GEMINI, lambda: one_part(Text(""), CITED)),
}

PASSED_ON: dict[str, tuple[Api, Any]] = {
    f"{name} to {api.value}": (api, make)
    for name, make in {
        "text": lambda: one_part(Text(""), TEXT),
        "thinking": lambda: one_part(Thinking(), TEXT),
        "texts": lambda: many_parts(Text("")),
        "signatures": lambda: one_part(Thinking(), Delta(opaque=SIGNED)),
    }.items()
    for api in (Api.CHAT, Api.MESSAGES, Api.GEMINI)
} | {
    "arguments to chat": (Api.CHAT, lambda: one_part(ToolCall("c", "f", ""), TEXT)),
    "citations to chat": (Api.CHAT, lambda: one_part(Text(""), CITED)),
    "citations to messages": (Api.MESSAGES, lambda: one_part(Text(""), CITED)),
    "logprobs to chat": (Api.CHAT, lambda: one_part(Text(""), LIKELY)),
    "images to chat": (Api.CHAT, lambda: many_parts(Image(Inline("image/png", X)))),
    "calls to messages": (Api.MESSAGES, lambda: many_parts(ToolCall("c", X, "{}"))),
}


def passed_on(take: Callable[[Any], object], pieces: Iterator[Any]) -> None:
    """Twice as much as there is room for, and more."""
    for piece in islice(pieces, 4 * LIMIT // 100):
        take(piece)


@pytest.mark.parametrize("name", HELD)
def test_answer_that_has_to_be_held_ends_when_there_is_no_more_room(name: str) -> None:
    api, make = HELD[name]
    with pytest.raises(UpstreamMalformed, match="too long"):
        passed_on(CODECS[api].stream_encoder(ASKED).encode, make())


@pytest.mark.parametrize("name", PASSED_ON)
def test_answer_that_is_passed_on_may_be_as_long_as_it_likes(name: str) -> None:
    api, make = PASSED_ON[name]
    encoder = CODECS[api].stream_encoder(ASKED)
    pieces = make()
    for _ in range(100):
        encoder.encode(next(pieces))
    tracemalloc.start()
    try:
        for _ in range(1_000):
            encoder.encode(next(pieces))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < LIMIT


# Streams that never end, as providers send them


def framed(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(document).encode() for document in documents)


def chat(delta: dict[str, Any]) -> bytes:
    return framed({"id": "c", "choices": [{"index": 0, "delta": delta}]})


def call(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


OPEN = call(0, id="c0", function={"name": "f", "arguments": '{"a'})


def chat_calls_with_long_ids() -> Iterator[bytes]:
    for number in count():
        yield chat(call(number, id=f"c{number}{X}", function={"name": "f", "arguments": "{}"}))


def chat_calls_with_long_names() -> Iterator[bytes]:
    for number in count():
        yield chat(call(number, id=f"c{number}"))
        yield chat(call(number, function={"name": X, "arguments": "{}"}))


def responses(kind: str, **fields: Any) -> bytes:
    return framed({"type": f"response.{kind}", **fields})


def responses_items_that_wait(*later: bytes) -> Iterator[bytes]:
    yield responses("output_item.added", output_index=0, item={"type": "message", "id": "a"})
    yield responses("output_item.added", output_index=1, item={"type": "message", "id": "b"})
    while True:
        yield from later


def responses_items_in_a_queue() -> Iterator[bytes]:
    for number in count():
        yield responses("output_item.added", output_index=number, item={"type": "message", "id": X})


NOTE = {"type": "url_citation", "url": "https://e.test/" + X, "title": "t", "start_index": 0, "end_index": 1}
WAITING = {"output_index": 1, "content_index": 0}

STREAMS: dict[str, tuple[Api, Any]] = {
    "ids": (Api.CHAT, chat_calls_with_long_ids),
    "names": (Api.CHAT, chat_calls_with_long_names),
    "deltas": (
        Api.RESPONSES,
        lambda: responses_items_that_wait(responses("output_text.delta", **WAITING, delta=X)),
    ),
    "empty deltas": (
        Api.RESPONSES,
        lambda: responses_items_that_wait(responses("output_text.delta", **WAITING, delta="")),
    ),
    "notes": (
        Api.RESPONSES,
        lambda: responses_items_that_wait(responses("output_text.annotation.added", **WAITING, annotation=NOTE)),
    ),
    "parts": (
        Api.RESPONSES,
        lambda: responses_items_that_wait(
            responses("refusal.delta", **WAITING, delta="x"), responses("output_text.delta", **WAITING, delta="x")
        ),
    ),
    "queue": (Api.RESPONSES, responses_items_in_a_queue),
}


@pytest.mark.parametrize("caller", CODECS)
@pytest.mark.parametrize("name", STREAMS)
def test_stream_of_which_too_much_would_be_held_ends_with_one_error(name: str, caller: Api) -> None:
    provider, make = STREAMS[name]
    if caller is provider:
        caller = Api.MESSAGES
    made = Translation(CODECS[caller], CODECS[provider], ASKED, Destination("m", "p", 99), Losses())
    stream = made.streamed()
    with pytest.raises(UpstreamMalformed) as caught:
        passed_on(stream.feed, make())
    end = stream.fail(failure_of(caught.value))
    assert caught.value.message in end.decode()
    assert stream.over
    assert stream.fail(failure_of(caught.value)) == b""
    assert stream.feed(next(make())) == b""


def test_images_do_not_wait_for_a_call_that_does_not_end() -> None:
    """It is taken for ended, rather than have them all held."""
    decoder = CODECS[Api.CHAT].stream_decoder(provider="p")
    image = {"image_url": {"url": "data:image/png;base64," + "x" * 60_000}}
    told: list[Event] = [*decoder.feed(chat(OPEN))]
    for _ in range(5):
        told += decoder.feed(chat({"images": [image]}))
    assert sum(isinstance(event, PartBegun) and isinstance(event.part, Image) for event in told) >= 3


def test_what_was_held_and_told_makes_room_again() -> None:
    """Calls may interleave for as long as an answer takes."""
    decoder = CODECS[Api.CHAT].stream_decoder(provider="p")
    for number in range(0, 400, 2):
        decoder.feed(chat(call(number, id=f"c{number}", function={"name": "f", "arguments": '{"a'})))
        decoder.feed(chat(call(number + 1, id=f"c{number + 1}", function={"name": "f", "arguments": '{"a":"' + X})))
        decoder.feed(chat(call(number, function={"arguments": '":1}'})))
        decoder.feed(chat(call(number + 1, function={"arguments": '"}'})))
