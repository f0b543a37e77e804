"""What the machine's clocks tell."""

from __future__ import annotations

import time

__all__ = ["passed"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The same for all processes, never set, and counting on while the machine sleeps, where there is such a one."""


def passed() -> float:
    """:return: seconds since some point in time, the same until the machine is started again."""
    return time.clock_gettime(_CLOCK)
