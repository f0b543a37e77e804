"""Long work of the reactor's thread, done in slices between which it serves."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["SLICE_S", "at_once", "in_slices"]

T = TypeVar("T")

SLICE_S: Final = 0.002
"""Less than what a call takes: nobody notices that his waited for a slice."""


def in_slices(steps: Iterator[object], clock: IReactorTime, slice_s: float = SLICE_S) -> Deferred[None]:
    """
    Do the first slice now, so that what is short is done when this returns, and the others in turn with the reactor.

    Twisted's ``Cooperator`` would begin later, and would do with what is short as with what is long.

    :param steps: each of them short.
    :return: fires when all is done, and fails as a step does. Cancelled, there is no further step.
    """
    next_one: list[IDelayedCall] = []

    def cancel(_: Deferred[None]) -> None:
        for each in next_one:
            each.cancel()

    done: Deferred[None] = Deferred(cancel)

    def slice() -> None:
        next_one.clear()
        until = clock.seconds() + slice_s
        try:
            for _ in steps:
                if done.called:
                    return
                if clock.seconds() >= until:
                    next_one.append(clock.callLater(0, slice))
                    return
        except Exception:
            if not done.called:
                done.errback()
        else:
            if not done.called:
                done.callback(None)

    slice()
    return done


def at_once(steps: Generator[object, None, T]) -> T:
    """
    Do all of it now.

    :return: what the generator does.
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
