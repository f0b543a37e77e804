"""Looking at running calls after a while."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Watched(Protocol):
    """What wants to be looked at."""

    def look(self) -> None:
        """The time has come; it is not watched any more."""


class Watch:
    """
    Looks at each of many after the same time, with one timer.

    Nearly all calls are over long before any of their clocks could run out. A timer of its own for each would cost more
    than what it guards; here a call that begins takes a place at the end of a queue, and gives it up when it is over.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        """
        :param seconds: after which each is looked at.
        """
        self._clock = clock
        self._seconds = seconds
        self._due: dict[Watched, float] = {}
        """In the order in which they came, and so in the order in which they are due."""
        self._timer: IDelayedCall | None = None

    def enter(self, watched: Watched, now: float) -> None:
        """Look at it, unless it leaves before."""
        self._due[watched] = now + self._seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._look)

    def leave(self, watched: Watched) -> None:
        """Do not look at it; nothing happens if it was looked at."""
        due = self._due
        due.pop(watched, None)
        if not due and self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        late = []
        for watched, due in self._due.items():
            if due > now:
                break
            late.append(watched)
        for watched in late:
            # Looking at one may end another.
            if self._due.pop(watched, None) is not None:
                watched.look()
        if self._due and self._timer is None:
            self._timer = self._clock.callLater(max(0.0, next(iter(self._due.values())) - now), self._look)
