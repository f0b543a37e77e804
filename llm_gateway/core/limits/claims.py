"""What is asked of the limits for one call, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_gateway.core.limits.counter import Counter
    from llm_gateway.core.limits.values import Limit

__all__ = ["LARGEST", "NOTHING", "Amounts", "Held", "Refused", "Reservation", "Standing", "Want", "amounts_of"]

Amounts = tuple[int, int, int, int, int, int]
"""By column: requests, tokens in, tokens out, tokens, calls in flight, billionths of a dollar."""


class Want(msgspec.Struct, frozen=True):
    """How much a call is going to use, or used."""

    requests: int = 1
    input: int = 0
    """Tokens that are read."""
    output: int = 0
    """Tokens that are written."""
    nano: int = 0
    """Billionths of a dollar."""


NOTHING = Want(requests=0)

LARGEST = 10**15
"""What one call can be counted as of anything, whatever a provider says that it was: a million dollars, in billionths.
Thousands of such fit into 64 bits."""


def amounts_of(want: Want, in_flight: int) -> Amounts:
    """
    :param in_flight: how many calls more are running with it.
    :return: what it asks of each column.
    """
    read, written, nano = want.input, want.output, want.nano
    if read + written + nano > LARGEST:
        read, written, nano = min(read, LARGEST // 2), min(written, LARGEST // 2), min(nano, LARGEST)
    return want.requests, read, written, read + written, in_flight, nano


class Held(msgspec.Struct, eq=False):
    """What one call holds of one limit that it has asked for more of."""

    counter: Counter
    n: int
    """How much of it is reserved and not known to be used."""
    known: int = 0
    """How much is known to be used, and counted as that."""
    last: int = 0
    """How much of this was counted last."""
    mark: int = 0
    """And where."""


class Reservation(msgspec.Struct, eq=False):
    """
    What one call has of its limits, from when it was let in until it is settled.

    It belongs to the store that gave it; others only read it.
    """

    granted: Want
    """How much was reserved when it was let in: less than was wanted, where less was said to be enough."""
    amounts: Amounts
    """The same by column."""
    kept: Sequence[Counter]
    """Of the limits of which it holds something until it is settled."""
    counted: Sequence[tuple[Counter, int, int]]
    """By limit that counts at once: how much, and where."""
    held: list[Held] | None = None
    """What it holds of each of ``kept``, once that is not ``amounts`` any more."""
    shadowed: tuple[Limit, ...] = ()
    """Limits that are only watched and would have refused it."""
    warned: tuple[Limit, ...] = ()
    """Limits whose share for a warning was passed by letting it in."""
    left_out: tuple[Limit, ...] = ()
    """Limits whose store could not be reached when it was let in: it is counted there when it is settled."""
    local: bool = False
    """Whether this process alone counts it."""
    settled: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A call that a limit does not let in. Nothing of it was counted anywhere."""

    limit: Limit
    """The one to wait longest for."""
    retry_after_s: float | None
    """When it can be let in if nobody else comes; ``None`` where waiting does not help."""
    remaining: int = 0
    """How much of the limit is free."""
    unreachable: bool = False
    """Whether nobody could count, and the limit wants calls to be refused then."""


class Standing(msgspec.Struct, frozen=True):
    """How one limit stands."""

    limit: Limit
    used: int
    """Of what is in its window, known to be used."""
    held: int
    """Reserved by calls that are running."""
    remaining: int
    """How much the next call can have at most."""
    reset_s: float | None
    """When all of it is free again if nobody comes; ``None`` if never, or if it depends on running calls alone."""
