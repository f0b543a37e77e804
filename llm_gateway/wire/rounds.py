"""
Doing the same step of many calls in a row.

What a call takes is spread over more than a hundred functions. Done from the beginning to the end for one call after
the other, each of them is out of the processor's nearest cache when the next call comes to it. So where a reactor
serves many sockets in one round, a step that can wait is done when all that came has come as far: for all of them, and
then the next step. With 64 calls at once that takes a quarter off the time of each; a single one loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_tb
from typing import Any, TypeVar

from twisted.logger import Logger

__all__ = ["begin", "end", "go_through", "together"]

T = TypeVar("T")

_log = Logger()

_steps: dict[Callable[[Any], object], list[Any]] | None = None
"""In the round that is going on, who waits for which step. First come, first done."""


def together(step: Callable[[T], object], whose: T) -> None:
    """
    Do a step of one call together with the same one of others: later in this round, before anything that it writes is
    sent and before any other event; at once where no round is going on.

    :param step: the same function for all. It sees to its own faults; another one's is logged. What has happened to the
        call meanwhile by steps of other calls it has to look at itself.
    """
    steps = _steps
    if steps is None:
        step(whose)
        return
    waiting = steps.get(step)
    if waiting is None:
        steps[step] = [whose]
    else:
        waiting.append(whose)


def begin() -> None:
    """A round begins. Whoever says so says ``end`` before the reactor goes on."""
    global _steps
    _steps = {}


def go_through() -> None:
    """Do all that waits, and what comes of it."""
    steps = _steps
    while steps:
        step = next(iter(steps))
        for whose in steps.pop(step):
            try:
                step(whose)
            except BaseException as fault:
                # As Twisted's reactors with a fault behind an event: nobody else's call ends by it. Where, but not what
                # it says of itself: that may be of what is passed on.
                trace = "".join(format_tb(fault.__traceback__))
                _log.critical("A step of a call failed with {kind}\n{trace}", kind=type(fault).__name__, trace=trace)


def end() -> None:
    """The round is over."""
    global _steps
    try:
        go_through()
    finally:
        _steps = None
