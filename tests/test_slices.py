"""Long work of the reactor's thread, in slices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from llm_gateway.slices import SLICE_S, in_slices


class TickingClock(Clock):
    """Looking at it takes a third of a slice."""

    def seconds(self) -> float:
        self.rightNow += SLICE_S / 3
        return self.rightNow


def counted(done: list[int], until: int) -> Iterator[None]:
    for number in range(until):
        done.append(number)
        yield


def fired(deferred: Deferred[None]) -> list[object]:
    results: list[object] = []
    deferred.addBoth(results.append)
    return results


def test_what_is_short_is_done_at_once() -> None:
    clock, done = Clock(), list[int]()
    assert fired(in_slices(counted(done, 100), clock)) == [None]
    assert len(done) == 100
    assert clock.getDelayedCalls() == []


def test_others_have_their_turn_between_two_slices() -> None:
    clock, done = TickingClock(), list[int]()
    over = fired(in_slices(counted(done, 7), clock))
    seen = [len(done)]
    while not over:
        clock.callLater(0, lambda: seen.append(len(done)))
        clock.advance(0)
    assert done == list(range(7))
    assert seen[0] < seen[1] < 7


def test_fault_of_a_step_ends_the_work() -> None:
    def steps() -> Iterator[None]:
        yield
        raise ValueError("second step")

    failed = in_slices(steps(), Clock())
    failure = fired(failed)[0]
    assert "second step" in str(failure)


def test_cancelled_work_does_not_go_on() -> None:
    clock, done = TickingClock(), list[int]()
    working = in_slices(counted(done, 100), clock)
    so_far = len(done)
    working.cancel()
    with pytest.raises(CancelledError):
        fired(working)[0].raiseException()  # type: ignore[attr-defined]  # a Failure
    assert clock.getDelayedCalls() == []
    assert len(done) == so_far


def test_work_that_one_of_its_steps_cancels_ends_there() -> None:
    clock, done = TickingClock(), list[int]()
    working: list[Deferred[None]] = []

    def steps() -> Iterator[None]:
        for number in range(100):
            done.append(number)
            if number == 50:
                working[0].cancel()
            yield

    working.append(in_slices(steps(), clock))
    over = fired(working[0])
    while clock.getDelayedCalls():
        clock.advance(0)
    assert len(done) == 51
    assert len(over) == 1
