"""The clocks of one call to a provider, as arithmetic: no timer runs here."""

from __future__ import annotations

from functools import cached_property

import msgspec


class Timeouts(msgspec.Struct, frozen=True, dict=True):
    """
    How long a provider may take. Each clock is apart from the others.

    The defaults suit language models: a reasoning model that does not stream may think for ten minutes before its first
    byte, as the official SDKs allow; between two pieces of a stream five minutes is what coding agents wait.
    """

    connect_s: float = 10.0
    """Until a connection stands; TLS included, except where Twisted's own HTTP is used."""
    first_byte_s: float = 600.0
    """From sending the call until the first byte of the answer's body."""
    idle_s: float = 300.0
    """Between two pieces of the answer."""
    total_s: float = 3600.0
    """From sending the call until the answer is whole."""

    @cached_property
    def first_look_s(self) -> float:
        """From sending the call until a clock can run out at the earliest, whatever comes until then."""
        return min(self.first_byte_s, self.idle_s, self.total_s)


class CallClock:
    """
    Says which of the clocks has run out, and when it is worth asking again.

    The connect clock is not here: only the one that connects can tell connecting from waiting.
    """

    __slots__ = ("_started_at", "_timeouts", "last_byte_at")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        """
        :param now: seconds on any monotonic scale, the same for all calls of this object.
        """
        self._timeouts = timeouts
        self._started_at = now
        self.last_byte_at: float | None = None
        """When the last piece of the answer came."""

    def byte_came(self, now: float) -> None:
        """Note that a piece of the answer came."""
        self.last_byte_at = now

    def due_at(self) -> float:
        """
        :return: the earliest moment at which a clock can run out, if nothing more comes. Every byte but the first moves
            it away.
        """
        if self.last_byte_at is None:
            waiting = self._started_at + self._timeouts.first_byte_s
        else:
            waiting = self.last_byte_at + self._timeouts.idle_s
        return min(waiting, self._started_at + self._timeouts.total_s)

    def expired(self, now: float) -> str | None:
        """
        :return: ``total``, ``first_byte`` or ``idle`` if that clock has run out at ``now``, else ``None``.
        """
        if now >= self._started_at + self._timeouts.total_s:
            return "total"
        if self.last_byte_at is None:
            return "first_byte" if now >= self._started_at + self._timeouts.first_byte_s else None
        return "idle" if now >= self.last_byte_at + self._timeouts.idle_s else None
