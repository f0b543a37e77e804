"""The events of a stream can be told apart however they are cut, and nothing that is wrong with them is missed."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.shapes import EVENTS, LAST_EVENT, StreamCheck, WrongStream, answer, call_body, event, is_answer

STREAM = [event(number, 1000 + number) for number in range(EVENTS)] + [LAST_EVENT]


def check(body: bytes, *cuts: int) -> list[int]:
    """The clocks that a stream told, cut at these places."""
    stream, clocks = StreamCheck(), []
    borders = [0, *sorted(cuts), len(body)]
    for begin, end in pairwise(borders):
        clocks += stream.feed(body[begin:end])
    stream.finish()
    return clocks


def test_events_are_those_of_a_chat_stream() -> None:
    for each in STREAM[:-1]:
        data = each.removeprefix(b"data: ").removesuffix(b"\n\n")
        assert json.loads(data)["object"] == "chat.completion.chunk"


@settings(deadline=None)
@given(st.lists(st.integers(0, len(b"".join(STREAM))), max_size=8))
def test_any_cut_gives_every_event_once(cuts: list[int]) -> None:
    assert check(b"".join(STREAM), *cuts) == [1000 + number for number in range(EVENTS)]


def test_stream_cut_at_every_byte_is_whole() -> None:
    body = b"".join(STREAM)
    assert len(check(body, *range(1, len(body)))) == EVENTS


def test_events_that_a_gateway_wrote_anew_are_the_same_events() -> None:
    spaced = [each.replace(b'","', b'", "').replace(b'":', b'": ') for each in STREAM]
    assert len(check(b": hello\n\n" + b"".join(spaced))) == EVENTS


def test_events_without_a_clock_tell_none() -> None:
    assert check(b"".join([*(event(number, 0) for number in range(EVENTS)), LAST_EVENT])) == []


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("lost", [*STREAM[:40], *STREAM[41:]]),
        ("repeated", [*STREAM[:40], *STREAM[39:]]),
        ("two exchanged", [*STREAM[:40], STREAM[41], STREAM[40], *STREAM[42:]]),
        ("damaged number", [*STREAM[:40], STREAM[40].replace(b"000040", b"0000x0"), *STREAM[41:]]),
        ("damaged clock", [*STREAM[:40], STREAM[40].replace(b"1040 ", b"10x0 "), *STREAM[41:]]),
        ("damaged text", [*STREAM[:40], STREAM[40].replace(b"sixteen", b"sixteem"), *STREAM[41:]]),
        ("one too many", [*STREAM[:-1], event(EVENTS - 1, 1), LAST_EVENT]),
        ("no end marker", STREAM[:-1]),
        ("nothing", []),
        ("last event lost", [*STREAM[:-2], LAST_EVENT]),
    ],
)
def test_wrong_stream_is_seen(name: str, events: list[bytes]) -> None:
    with pytest.raises(WrongStream):
        check(b"".join(events))


def test_endless_nonsense_is_not_collected() -> None:
    stream = StreamCheck()
    stream.feed(b": comment\n\n" * 10)
    with pytest.raises(WrongStream, match="no event 0"):
        stream.feed(b": comment\n\n" * 1000)


def test_answer_is_known_again_when_its_json_was_written_anew() -> None:
    assert is_answer(answer())
    assert is_answer(json.dumps(json.loads(answer()), indent=2).encode())
    assert not is_answer(b'{"error": {}}')


def test_call_and_answer_are_about_a_kilobyte() -> None:
    for body in (call_body(stream=False), call_body(stream=True), answer()):
        assert 900 < len(body) < 1200
