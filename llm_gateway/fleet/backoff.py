"""How long to wait before a process that has died is started again."""

from __future__ import annotations

import msgspec

FIRST_S = 0.5
LONGEST_S = 30.0
FORGIVEN_S = 60.0
"""A process that lived so long is started again as if it were the first time."""


class Backoff(msgspec.Struct):
    """The waits between the lives of one process; each is twice the one before."""

    _next_s: float = FIRST_S

    def after(self, lived_s: float) -> float:
        """
        :param lived_s: how long the process that has just died was there.
        :return: seconds.
        """
        if lived_s >= FORGIVEN_S:
            self._next_s = FIRST_S
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_S)
        return wait_s
