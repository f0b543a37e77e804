"""
A process that writes attempts down until somebody ends it.

It says on standard output what it is about to do and what it has done, in letters without a buffer: ``b`` and ``B``
for the beginning of the next attempt, ``e`` and ``E`` for the end of the oldest one that runs, ``p`` and ``P`` for
progress. Attempts have numbers, from the third argument on.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.sqlite import SqliteStore
from llm_gateway.ledger.store import Written
from llm_gateway.ledger.writer import Ledger
from tests.ledger.rows import ended, running

STEPS = ("before", "inside", "after")
"""Of a group that is written to the store: what one may ask the process to end itself at, the third time."""


class Threads:
    """What a ledger needs of a reactor, without one: each thread does itself what it asks for."""

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any:
        return threading.Timer(delay, callable, args)


class Ending(SqliteStore):
    """A store that ends the process at a step."""

    def __init__(self, path: str, step: str) -> None:
        super().__init__(path)
        self._step = step
        self._groups = 0

    def write(self, rows: Sequence[Row]) -> Written:
        self._groups += 1
        self._end_at("before")
        written = super().write(rows)
        self._end_at("after")
        return written

    def _insert(self, transaction: Any, rows: Sequence[Row]) -> int:
        new = super()._insert(transaction, rows)
        self._end_at("inside")
        return new

    def _end_at(self, step: str) -> None:
        if self._groups == 3 and self._step == step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(path: str, folder: str, first: str, step: str) -> None:
    """
    :param step: one of ``STEPS``, or empty.
    """
    ledger = Ledger(Ending(path, step), folder, Threads(), linger_s=0.002, segment_bytes=16_384)
    ledger.start()
    number, oldest = int(first), int(first)
    choose = random.Random(number)
    while True:
        what = choose.choice("bbbeeep")
        if what == "b" and number - oldest < 60:
            say("b")
            ledger.begin(running(number))
            number += 1
            say("B")
        elif what == "e" and oldest < number:
            say("e")
            ledger.end(ended(oldest))
            oldest += 1
            say("E")
        elif what == "p" and oldest < number:
            say("p")
            ledger.progress(running(oldest, usage=Usage(input=9, output=oldest), cost=oldest))
            say("P")


def say(letter: str) -> None:
    """Tell whoever started this process."""
    os.write(1, letter.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
