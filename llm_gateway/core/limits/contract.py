"""
What keeps the counts, as the limiter sees it.

Each operation is one step that happens as a whole or not at all, with everything it needs in its arguments: where the
store is another machine it is one round trip, and nothing is decided between two of them. Such a store answers the same
values later; those that exist answer at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from llm_gateway.core.limits.claims import Refused, Reservation, Standing, Want
from llm_gateway.core.limits.values import Limit

__all__ = ["Store", "StoreLost"]


class StoreLost(Exception):
    """The counts cannot be reached. What was asked has not happened."""


class Store(Protocol):
    """
    Counts. Times are whole nanoseconds of one clock for all who share it, never less than before.

    Every operation may raise ``StoreLost``.
    """

    def take(self, limits: Sequence[Limit], want: Want, now: int) -> Reservation | Refused:
        """Let a call in under all of the limits, or count nothing. Those in shadow let everybody in."""
        ...

    def extend(self, reservation: Reservation, more: Want, used: Want | None, now: int) -> bool:
        """
        Hold more for a call under all of its limits, or under none.

        :param used: what is known by now to be used of what it holds, all in all: it is counted as used either way.
        :return: whether there is room.
        """
        ...

    def settle(self, reservation: Reservation, used: Want, now: int) -> tuple[Limit, ...]:
        """
        Count what a call used, all in all, and give back what it holds.

        :return: limits whose share for a warning was passed.
        """
        ...

    def charge(self, limits: Iterable[Limit], used: Want, now: int) -> tuple[Limit, ...]:
        """Count what was used, whether there is room or not; as ``settle`` without a reservation."""
        ...

    def read(self, limits: Iterable[Limit], now: int) -> list[Standing]:
        """Tell how limits stand."""
        ...

    def unseeded(self, limits: Iterable[Limit]) -> list[Limit]:
        """:return: those that do not know yet what was used before the store began."""
        ...

    def seed(self, limit: Limit, uses: Sequence[tuple[int, int]], now: int) -> bool:
        """
        Tell a limit what was used before, the first time only.

        :param uses: nanoseconds at which, and how much; oldest first.
        :return: whether it is the first time.
        """
        ...

    def sweep(self) -> int:
        """
        Give back what processes hold that have died.

        :return: how many they were.
        """
        ...
