"""Limits in few words, and what is true of them however they are counted."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.core.limits.table import Table
from llm_gateway.core.limits.values import Limit, Measure, Scope, Unreachable, Window

NOON = 1_800_000_000.0
"""When simulated time begins: seconds since the epoch, as the gateway has them."""


def limit(
    name: str,
    amount: int,
    *,
    burst: int | None = None,
    warn_at: float | None = None,
    shadow: bool = False,
    unreachable: Unreachable = Unreachable.CLOSED,
    scope: Scope = Scope.KEY,
    subject: str = "k",
) -> Limit:
    """
    :param name: as in the configuration: ``requests_per_minute``.
    """
    measure, _, window = name.rpartition("_per_") if "_per_" in name else name.rpartition("_")
    if name == "in_flight":
        measure, window = name, "now"
    return Limit(scope, subject, Measure(measure), Window(window), amount, burst, warn_at, shadow, unreachable)


class World:
    """A limiter, and a clock that moves by hand."""

    def __init__(self, *limits: Limit, store: Table | None = None, processes: int = 1) -> None:
        self.now = NOON
        self.limits = limits
        self.warned: list[Limit] = []
        self.shadowed: list[Limit] = []
        self.limiter = Limiter(
            store or Table(),
            lambda: self.now,
            processes=processes,
            on_warning=self.warned.append,
            on_shadow=self.shadowed.append,
        )

    def reserve(self, want: Want, at_least: Want | None = None) -> Reservation | Refused:
        return self.limiter.reserve(self.limits, want, at_least=at_least)

    def let_in(self, want: Want) -> Reservation:
        """:return: the reservation, which there must be."""
        found = self.reserve(want)
        assert isinstance(found, Reservation), found
        return found

    def refused(self, want: Want) -> Refused:
        """:return: the refusal, which there must be."""
        found = self.reserve(want)
        assert isinstance(found, Refused), found
        return found

    def call(self, used: Want) -> bool:
        """:return: whether a call was let in; it is over at once."""
        found = self.reserve(used)
        if isinstance(found, Refused):
            return False
        self.limiter.settle(found, used)
        return True

    def free(self) -> list[int]:
        """:return: how much of each limit is free."""
        return [each.remaining for each in self.limiter.state(self.limits)]


def most_in_any(window: int, uses: Sequence[tuple[int, int]]) -> int:
    """
    :param window: nanoseconds; both ends count, less one.
    :param uses: when, and how much; oldest first.
    :return: the most that was used in any time of this length.
    """
    most = total = first = 0
    for at, n in uses:
        total += n
        while uses[first][0] <= at - window:
            total -= uses[first][1]
            first += 1
        most = max(most, total)
    return most
