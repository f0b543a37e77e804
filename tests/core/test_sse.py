"""Event streams: the standard's rules, limits, and that cutting the bytes anywhere changes nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gateway.core.sse import Event, EventStreamParser, EventTooLarge, TruncatedStream


def parse(*chunks: bytes, limit: int = 1_048_576) -> list[Event]:
    parser = EventStreamParser(limit)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    parser.close()
    return events


def outcome(chunks: list[bytes], limit: int) -> tuple[list[Event], str]:
    """Everything that a reader can see of a stream: its events and how it ended."""
    parser = EventStreamParser(limit)
    events: list[Event] = []
    try:
        for chunk in chunks:
            events += parser.feed(chunk)
        parser.close()
    except EventTooLarge as error:
        return [*events, *error.events], "too large"
    except TruncatedStream:
        return events, "truncated"
    return events, "whole"


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(borders)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\n", [Event("message", "one")]),
        (b"data:one\n\n", [Event("message", "one")]),
        (b"data:  one\n\n", [Event("message", " one")]),
        (b"data: one\r\n\r\n", [Event("message", "one")]),
        (b"data: one\r\r", [Event("message", "one")]),
        (b"data: one\n\r", [Event("message", "one")]),
        (b"data: one\ndata\ndata: three\n\n", [Event("message", "one\n\nthree")]),
        (b"data\n\n", [Event("message", "")]),
        (b"data: \n\n", [Event("message", "")]),
        (b"event: ping\ndata: {}\n\n", [Event("ping", "{}")]),
        (b"event: a\nevent: b\ndata: x\n\n", [Event("b", "x")]),
        (b"event: lost\n\ndata: x\n\n", [Event("message", "x")]),
        (b": hello\ndata: x\n:\n\n: bye\n", [Event("message", "x")]),
        (b"\n\n\ndata: x\n\n\n\n", [Event("message", "x")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [Event("message", "a", "7"), Event("message", "b", "7")]),
        (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [Event("message", "a", "7"), Event("message", "b", "")]),
        (b"id: 1\0\ndata: a\n\n", [Event("message", "a", None)]),
        (b"retry: 10\nfoo: bar\n data: no\nDATA: no\ndata: x\n\n", [Event("message", "x")]),
        (b"data: a:b: c\n\n", [Event("message", "a:b: c")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event("message", "x")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"data: 1\n\n\xef\xbb\xbfdata: x\n\n", [Event("message", "1")]),
        ("data: 🙂 ü\u2028\x85\x0b\x1c\n\n".encode(), [Event("message", "🙂 ü\u2028\x85\x0b\x1c")]),
        (b"data: \xff\xe2\x82\n\n", [Event("message", "\ufffd\ufffd")]),
        (b"", []),
    ],
)
def test_streams_are_read_as_the_standard_says(stream: bytes, expected: list[Event]) -> None:
    assert parse(stream) == expected
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == expected


LINES = st.sampled_from(
    [b"data: a", b"data:", b"data", b"event: x", b"id: 1", b"id", b":", b": c", b"retry: 1", b"", "data: é🙂".encode()]
)
STREAMS = st.one_of(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])).map(b"".join)).map(b"".join),
    st.binary(),
    st.text(alphabet="\r\n:dat \ufeffé").map(str.encode),
)


@given(stream=STREAMS, places=st.lists(st.integers(min_value=0)), limit=st.one_of(st.just(1 << 20), st.integers(0, 20)))
@example(stream=b"data: x\r\n\r\n", places=[8, 8, 9], limit=1 << 20)
@example(stream=b"\xef\xbb\xbfdata: x\n\n", places=[1], limit=1 << 20)
def test_any_chunking_gives_the_same_events_and_the_same_end(stream: bytes, places: list[int], limit: int) -> None:
    assert outcome(cut(stream, places), limit) == outcome([stream], limit)


@pytest.mark.parametrize(
    "rest",
    [
        b"event: a\ndata: x\n\nevent: b\ndata: y\n\n",
        b"data: x\n\n\n\nevent: b\n\ndata: y\n\n",
        b"event: a\nevent: b\ndata: x\ndata: y\n\n: c\n\ndata:z\n\n",
        b"event: \ndata: \xff\n\nid: 7\ndata: x\n\nevent:  a\ndata: y\n\n",
    ],
)
def test_whole_events_at_once_are_what_they_are_byte_by_byte(rest: bytes) -> None:
    first = b"data: begun\n\n"
    assert parse(first, rest) == parse(*(bytes([byte]) for byte in first + rest))


@given(data=st.text(), name=st.text(), ending=st.sampled_from(["\n", "\r", "\r\n"]))
def test_what_was_written_is_what_is_read(data: str, name: str, ending: str) -> None:
    one_line = "".join(name.replace("\0", "").split())
    lines = [f"event: {one_line}", *(f"data: {line}" for line in data.replace("\r", "\n").split("\n")), "", ""]
    stream = ending.join(lines).encode("utf-8", "replace")
    [event] = parse(stream)
    expected = data.replace("\r", "\n").encode("utf-8", "replace").decode()
    assert (event.event, event.data) == (one_line.encode("utf-8", "replace").decode() or "message", expected)


def test_an_event_is_given_out_with_its_last_byte() -> None:
    """An empty line that ends in CR completes the event; waiting for the LF could wait for ever."""
    parser = EventStreamParser()
    assert parser.feed(b"data: x\r\n\r") == [Event("message", "x")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"") == []
    assert parser.feed(b"\n") == []
    parser.close()


@pytest.mark.parametrize("tail", [b"d", b"data: x", b"data: x\n", b"event: e\n", b"\xef\xbb\xbfdata", b"data: x\r"])
def test_end_inside_an_event_is_reported(tail: bytes) -> None:
    with pytest.raises(TruncatedStream, match="ended inside an event"):
        parse(tail)


@pytest.mark.parametrize(
    "tail", [b"", b"\n", b": keep-al", b": done\n", b"id: 4\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf: c"]
)
def test_end_between_events_is_a_good_end(tail: bytes) -> None:
    assert parse(tail) == []
    assert parse(b"data: x\n\n" + tail.removeprefix(b"\xef\xbb\xbf")) == [Event("message", "x")]


@pytest.mark.parametrize(
    "stream",
    [b"data: 12345\n\n", b"data: 12345", b"data:\ndata:\ndata", b": 123456789", b"event:a\ndata", b"x" * 11],
)
def test_event_over_the_limit_is_refused_while_it_grows(stream: bytes) -> None:
    with pytest.raises(EventTooLarge, match="longer than 10 bytes"):
        parse(stream, limit=10)
    with pytest.raises(EventTooLarge):
        parse(*(stream[i : i + 1] for i in range(len(stream))), limit=10)


def test_limit_is_per_event_and_comments_do_not_add_up() -> None:
    stream = b"data: 1234\n\n" * 3 + b": a\n" * 100 + b"data: 1\n: a\n: b\n\n"
    assert [event.data for event in parse(stream, limit=10)] == ["1234"] * 3 + ["1"]


def test_events_before_an_oversized_one_are_not_lost() -> None:
    parser = EventStreamParser(10)
    with pytest.raises(EventTooLarge) as caught:
        parser.feed(b"data: a\n\ndata: 1234567890\n\n")
    assert caught.value.events == (Event("message", "a"),)
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: b\n\n")


def test_one_long_line_in_small_pieces_costs_linear_time() -> None:
    """Every piece is searched once: the bytes handed to the search are those that came."""
    searched = 0

    class Counted(bytes):
        def splitlines(self, keepends: bool = False) -> list[bytes]:
            nonlocal searched
            searched += len(self)
            return super().splitlines(keepends)

    parser = EventStreamParser()
    pieces = [Counted(b"data: "), *[Counted(b"x" * 10)] * 5_000, Counted(b"\n\n")]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert [len(event.data) for event in events] == [50_000]
    assert searched == sum(map(len, pieces))
