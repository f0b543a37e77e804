"""A test of any input whatever, and what no input may do, whatever else the test says of it."""

from __future__ import annotations

import functools
import gc
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

MAX_S = 20
"""Of work for one input. A test takes milliseconds; what takes this long never ends."""

MAX_BYTES = 32 * 1024 * 1024
"""For one input, which has some 100 KB at most: what needs more grows with numbers that somebody else has written."""


def fuzzed(**inputs: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """
    Make a test of a function.

    An input that once broke it stays with it as an ``@example(...)`` in the line above.

    :param inputs: where each of the function's arguments comes from.
    """

    def wrap(check: Callable[..., None]) -> Callable[[], None]:
        @settings(deadline=None, suppress_health_check=list(HealthCheck))
        @given(**inputs)
        @functools.wraps(check)
        def test(**values: Any) -> None:
            with _bounded_time(), _nothing_logged(), _bounded_memory():
                check(**values)

        return test

    return wrap


@contextmanager
def _bounded_time() -> Iterator[None]:
    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"still not done after {MAX_S} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _nothing_logged() -> Iterator[None]:
    """
    :raises AssertionError: something went wrong in a way that Twisted logs and otherwise hides.
    """
    faults: list[LogEvent] = []

    @implementer(ILogObserver)
    def look(event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical) or "log_failure" in event:
            faults.append(event)

    globalLogPublisher.addObserver(look)
    try:
        yield
        # What nobody has dealt with is logged when it is collected. It is young: there is no need to look at all else.
        gc.collect(1)
    finally:
        globalLogPublisher.removeObserver(look)
    if faults:
        error = getattr(faults[0].get("log_failure"), "value", None)
        raise AssertionError(f"logged: {formatEvent(faults[0])} {error}") from error


@contextmanager
def _bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MAX_BYTES, f"{most} bytes at once"
