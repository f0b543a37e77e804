"""Which bytes of an answer may go out as they come."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.framing import Unframed, WholeEvents

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from([b"data: x", b"event: ping", b": comment", b"data:", b"id: 7", "data: é☃".encode()])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Event streams with one kind of line end each, as servers write them, and perhaps an unfinished event."""
    end = draw(LINE_ENDS)
    events = draw(st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5))
    whole = b"".join(end.join(event) + end + end for event in events)
    return whole + draw(st.sampled_from([b"", b"data: half", b"data: line" + end]))


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream and the same stream in pieces."""
    stream = draw(streams())
    places = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *places, len(stream)]
    return stream, [stream[a:b] for a, b in pairwise(edges) if a < b]


@given(cut())
@settings(deadline=None)
def test_any_cutting_gives_the_same_bytes(example: tuple[bytes, list[bytes]]) -> None:
    """What goes in comes out, in order, nothing added."""
    stream, pieces = example
    framing = WholeEvents()
    assert b"".join(map(framing.feed, pieces)) + framing.rest() == stream


@given(cut())
@settings(deadline=None)
def test_only_whole_events_go_out(example: tuple[bytes, list[bytes]]) -> None:
    """After every piece, what went out ends with a blank line."""
    _, pieces = example
    framing, out = WholeEvents(), b""
    for piece in pieces:
        out += framing.feed(piece)
        assert not out or re.search(rb"(\n\n|\r\n\r\n?|\r\r)\Z", out), out
        assert not framing.inside


def test_event_goes_out_with_the_piece_that_completes_it() -> None:
    """Nothing waits for the next event."""
    framing = WholeEvents()
    assert framing.feed(b"data: 1\n") == b""
    assert framing.feed(b"\ndata: 2\n\ndata") == b"data: 1\n\ndata: 2\n\n"
    assert framing.feed(b": 3\n\n") == b"data: 3\n\n"


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r\n", b"\r\r", b"\r\r\n", b"\n\r", b"\r\n\r"])
def test_any_two_line_ends_end_an_event(blank: bytes) -> None:
    """Servers behind proxies mix them; the event goes out, but for a last LF that may belong to nothing yet."""
    for before in (b"", b"data: 0"):
        framing = WholeEvents()
        passed = framing.feed(before) + framing.feed(b"data: 1" + blank)
        assert passed + framing.rest() == before + b"data: 1" + blank
        assert passed.removesuffix(b"\n") == (before + b"data: 1" + blank).removesuffix(b"\n")


def test_giant_event_passes_in_pieces() -> None:
    """An image in an event is not gathered in memory, and the stream is known to be inside it."""
    framing = WholeEvents(max_held_bytes=10)
    assert framing.feed(b"data: 4567") == b""
    assert framing.feed(b"8901") == b"data: 45678901"
    assert framing.inside
    assert framing.feed(b"more") == b"more"
    assert framing.feed(b"\n\nda") == b"\n\n"
    assert not framing.inside
    assert framing.rest() == b"da"


def test_many_tiny_pieces_of_one_event_cost_little() -> None:
    """What was searched is not searched again: a megabyte byte by byte would take minutes otherwise."""
    framing = WholeEvents(max_held_bytes=200_000)
    for _ in range(100_000):
        framing.feed(b"x")
    assert len(framing.feed(b"\n\n")) == 100_002


@pytest.mark.parametrize("piece", [b"", b"\x00\xff", b"data: half"])
def test_unframed_holds_nothing(piece: bytes) -> None:
    """Bytes without a known structure pass at once."""
    framing = Unframed()
    assert framing.feed(piece) == piece
    assert framing.rest() == b""
