"""How soon a first token comes, as a mean that forgets."""

from __future__ import annotations

import math

__all__ = ["Speed"]


_LEAST = 0.1
"""What a new time weighs at least, among many that come at once."""


class Speed:
    """The usual time to the first token at one place, recent ones weighing most."""

    LEAST = _LEAST
    STALE = 5.0
    """After so many times ``usual_s`` without a new one it is not known any more."""

    __slots__ = ("__weakref__", "_at", "_mean_s", "_soon_s", "_usual_s")

    def __init__(self, usual_s: float) -> None:
        """
        :param usual_s: seconds after which an old mean weighs a third beside a new time.
        """
        self._usual_s = usual_s
        self._soon_s = -usual_s * math.log(1.0 - self.LEAST)
        """What comes within this of the one before it weighs least."""
        self._mean_s: float | None = None
        self._at = 0.0

    def took(self, seconds: float, now: float) -> None:
        """Note that a first token came after so long."""
        mean = self._mean_s
        if mean is None:
            self._mean_s = seconds
        else:
            ago = now - self._at
            weight = _LEAST if ago <= self._soon_s else 1.0 - math.exp(-ago / self._usual_s)
            self._mean_s = mean + weight * (seconds - mean)
        self._at = now

    def at_least(self, seconds: float, now: float) -> None:
        """Note that none had come after so long: a slow place whose callers give up must not look fast."""
        if self._mean_s is None or seconds > self._mean_s:
            self.took(seconds, now)

    def estimate(self, now: float) -> float | None:
        """
        :return: seconds; ``None`` where nothing is known, or nothing recent.
        """
        return None if now - self._at > self.STALE * self._usual_s else self._mean_s
