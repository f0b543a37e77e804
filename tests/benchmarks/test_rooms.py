"""Counting what is executed, and sampling whose code runs."""

from __future__ import annotations

import json
import signal
import sys
import textwrap

import attrs
import pytest

from benchmarks.rooms import STANDARD_LIBRARY, Counts, InstructionCount, Profile, TimeSamples, room_of, rooms_of
from tests.benchmarks.records import profile

HERE = "tests"


@attrs.frozen
class Value:
    number: int


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("llm_gateway.web.forward", "llm_gateway.web"),
        ("llm_gateway.core.dialects.base", "llm_gateway.core"),
        ("llm_gateway.service", "llm_gateway"),
        ("twisted.internet.epollreactor", "twisted.internet"),
        ("klein._app", "klein"),
        ("treq", "treq"),
        ("collections.abc", STANDARD_LIBRARY),
        ("namedtuple_ParseResult", STANDARD_LIBRARY),
    ],
)
def test_code_belongs_to_the_room_of_its_module(module: str, room: str) -> None:
    assert room_of((lambda: None).__code__, {"__name__": module}) == room


def test_code_that_attrs_wrote_belongs_to_the_room_of_its_class() -> None:
    assert room_of(Value.__init__.__code__, {}) == "tests.benchmarks".partition(".")[0]


def work(times: int) -> list[str]:
    return [str(abs(number)) for number in range(times)]


def counted(times: int) -> dict[str, Counts]:
    count = InstructionCount()
    count.start()
    work(times)
    json.dumps({})
    textwrap.dedent("x")
    count.stop()
    return count.rooms


def test_counting_twice_gives_the_same() -> None:
    # The first time caches of regular expressions and the like are filled.
    counted(10)
    assert counted(10) == counted(10)


def test_more_work_is_more_instructions_and_calls() -> None:
    few, many = counted(10)[HERE], counted(20)[HERE]
    assert many.instructions > few.instructions > 10
    # abs is a function in C and str a type, which counts as none.
    assert many.c_functions - few.c_functions == 10
    assert counted(1)[STANDARD_LIBRARY].functions > 0


def test_what_counted_before_counts_on() -> None:
    """Coverage, for example."""
    seen: list[str] = []
    before, count = sys.gettrace(), InstructionCount()
    trace = lambda frame, event, argument: seen.append(event)  # noqa: E731
    sys.settrace(trace)
    try:
        count.start()
        count.stop()
        restored = sys.gettrace()
    finally:
        sys.settrace(before)
    assert restored is trace


def test_sample_tells_room_and_stack() -> None:
    samples = TimeSamples()
    samples.start()
    try:
        signal.raise_signal(signal.SIGPROF)
    finally:
        samples.stop()
    assert samples.rooms[HERE] >= 1
    assert any(stack.endswith("test_rooms:test_sample_tells_room_and_stack") for stack in samples.stacks)


def test_rooms_are_per_call_and_the_largest_comes_first() -> None:
    samples, count = TimeSamples(), InstructionCount()
    samples.rooms.update({"llm_gateway.wire": 30, "klein": 10})
    count.rooms.update({"klein": Counts(500, 20, 30), "treq": Counts(100, 10, 0)})
    found = rooms_of(samples, count, 10)
    assert [attrs.astuple(room) for room in found] == [
        ("llm_gateway.wire", 75.0, 0.0, 0.0, 0.0),
        ("klein", 25.0, 50.0, 2.0, 3.0),
        ("treq", 0.0, 10.0, 1.0, 0.0),
    ]


def test_profile_survives_its_way_between_processes() -> None:
    assert Profile.from_json(profile().to_json()) == profile()
