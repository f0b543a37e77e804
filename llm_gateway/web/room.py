"""How much more a stream may write."""

from __future__ import annotations

from collections.abc import Callable

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Reservation, Want

__all__ = ["QUANTUM", "more_room"]

QUANTUM = 1_024
"""Tokens written: what a call that may write more than there is room for begins with, and what is added at a time."""

_QUANTA = (QUANTUM, QUANTUM // 4, QUANTUM // 16)
"""What is asked for, one after the other: what is left is used, too."""


def more_room(
    limiter: Limiter, reservation: Reservation, granted: int, written: int, nano: Callable[[int], int]
) -> int:
    """
    Ask for room for some more tokens.

    :param granted: how many may be written, all in all, as far as has been asked for.
    :param written: how many have been, so far.
    :param nano: what a call costs at most with so many tokens written.
    :return: how many may be from now on: as before, where there is no room.
    """
    behind, before = max(0, written - granted), nano(granted)
    for quantum in _QUANTA:
        more = behind + quantum
        if limiter.extend(reservation, Want(0, 0, more, nano(granted + more) - before)):
            return granted + more
    return granted
