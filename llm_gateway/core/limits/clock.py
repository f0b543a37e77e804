"""A clock that nobody sets."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Steady", "Timeline"]


class Steady:
    """
    Tells the time that it was when it began, and what has passed since.

    When somebody sets the machine's clock, nothing that is limited comes free earlier or later for it.
    """

    def __init__(self, offset_s: float, passed: Callable[[], float]) -> None:
        """
        :param offset_s: the time of day, in seconds since the epoch, when ``passed`` was 0.
        :param passed: seconds, never set; of the whole machine, where processes share counts.
        """
        self._offset_s = offset_s
        self._passed = passed

    def __call__(self) -> float:
        """:return: seconds since the epoch, about."""
        return self._offset_s + self._passed()


class Timeline:
    """
    Nanoseconds that never go back, whatever clock they come from.

    Where the clock is set back, time goes on from where it was: nobody is locked out until it comes there again.
    """

    __slots__ = ("_last", "_shift")

    def __init__(self) -> None:
        self._last = 0
        self._shift = 0

    def __call__(self, now_s: float) -> int:
        """:return: nanoseconds for a time in seconds."""
        now = int(now_s * 1e9) + self._shift
        last = self._last
        if now < last:
            self._shift += last - now
            return last
        self._last = now
        return now
