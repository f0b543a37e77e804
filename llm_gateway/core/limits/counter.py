"""
What a limit's count is made of: a row of whole numbers, and the sums done on it.

The row lies wherever the store wants it to be, in a list or in memory that processes share: the algorithms only read
and write its places. Times are whole nanoseconds, so that sums are exact.

What is reserved and not yet known to be used is *held*. It does not age: a call that runs for ten minutes keeps what it
holds for ten minutes. What is used ages by the limit's algorithm, from when it became known.

A process may die between any two writes, while others go on with the row. Hence the order: what is used is written
before what is held is given back, and what can be worked out from other places (all that is held, from what each
process holds; the sum of a ring) is worked out again by who comes next.
"""

from __future__ import annotations

from typing import Protocol

from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.values import Limit, Measure

__all__ = ["FLAGS", "HELD", "MAIN", "RUNNING", "SEATS", "SEEDED", "WARNED", "Cells", "Counter"]

HELD, MAIN, SUM, FLAGS, BACK, SEATS = range(6)
"""Places: all that is held; the algorithm's own three (with ``BACK``); marks; what the first of the processes holds."""

WARNED, SEEDED = 1, 2
"""Marks: it was warned of; it knows what was used before the store began."""

NEVER = -1
"""No number of nanoseconds is enough."""

BUSY_NS = 1_000_000_000
"""What to wait for running calls, of which nobody knows when they end: a second."""

RUNNING = 4
"""The column of calls in flight, of which nothing is ever used."""

_COLUMNS = {
    Measure.REQUESTS: 0,
    Measure.INPUT_TOKENS: 1,
    Measure.OUTPUT_TOKENS: 2,
    Measure.TOKENS: 3,
    Measure.IN_FLIGHT: RUNNING,
    Measure.DOLLARS: 5,
}


class Cells(Protocol):
    """A row of whole numbers of 64 bits."""

    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...


class Counter:
    """One limit over its row."""

    kind = ""
    __slots__ = ("at_once", "capacity", "cells", "column", "limit", "refuses", "seat", "seats", "warn_from")

    def __init__(self, limit: Limit, cells: Cells, seats: int, seat: int) -> None:
        """
        :param seats: how many processes have a place of their own in the row.
        :param seat: which place is this process's, from ``SEATS`` on; 0 where there are none.
        """
        self.limit = limit
        self.cells = cells
        self.seats = seats
        self.seat = seat
        self.column = _COLUMNS[limit.measure]
        self.at_once = limit.measure is Measure.REQUESTS
        """Whether a call counts from when it is let in: nothing of it is held."""
        self.refuses = not limit.shadow
        self.capacity = limit.amount
        """How much of it there is when nothing is used."""
        self.warn_from = None if limit.warn_at is None else limit.warn_at * self.capacity

    @classmethod
    def length(cls, limit: Limit, seats: int) -> int:
        """:return: how many places the row has."""
        return SEATS + seats

    def hold(self, n: int) -> None:
        """Keep so much for a call."""
        cells = self.cells
        cells[HELD] += n
        if self.seat:
            cells[self.seat] += n

    def release(self, n: int) -> None:
        """Give back what was kept. What this process holds goes first: it is the number that the sum is mended from."""
        cells = self.cells
        if self.seat:
            cells[self.seat] -= n
        cells[HELD] -= n

    def reserve(self, now: int, n: int) -> bool:
        """
        Keep so much for a call where it fits, and of what is only watched anyway.

        :return: whether it fits.
        """
        is_room = self.fits(now, n)
        if is_room or not self.refuses:
            self.hold(n)
        return is_room

    def pay(self, now: int, n: int, kept: int) -> None:
        """
        Count what a call has used, and give back what was kept for it, in this order.

        :param n: may be 0.
        """
        if n:
            self.use(now, n)
        self.release(kept)

    def passed(self, now: int) -> bool:
        """:return: whether the share for a warning has just been passed. It can be again after a tenth less of use."""
        assert self.warn_from is not None
        cells = self.cells
        used = self.used(now)
        flags = cells[FLAGS]
        if flags & WARNED:
            if used < 0.9 * self.warn_from:
                cells[FLAGS] = flags & ~WARNED
            return False
        if used < self.warn_from:
            return False
        cells[FLAGS] = flags | WARNED
        return True

    def standing(self, now: int) -> Standing:
        """:return: how it stands."""
        raise NotImplementedError

    def fits(self, now: int, n: int) -> bool:
        """
        :param now: nanoseconds, never less than before.
        :return: whether so much more can be let in.
        """
        raise NotImplementedError

    def use(self, now: int, n: int) -> int:
        """
        Count what is used, whether there is room or not.

        :return: what ``give_back`` wants to know.
        """
        raise NotImplementedError

    def give_back(self, now: int, n: int, mark: int) -> None:
        """Count less, of what was counted: as much as can still matter."""
        raise NotImplementedError

    def wait(self, now: int, n: int) -> int:
        """:return: nanoseconds until so much fits, if nobody comes, and ``NEVER``."""
        raise NotImplementedError

    def used(self, now: int) -> int:
        """:return: how much of what is counted as used is still in the window."""
        raise NotImplementedError

    def seed(self, now: int, at: int, n: int) -> None:
        """Count what was used before, from the oldest to the newest."""
        raise NotImplementedError
