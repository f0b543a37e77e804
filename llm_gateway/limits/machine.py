"""What the machine's clocks tell."""

from __future__ import annotations

import time
from functools import partial

__all__ = ["passed"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The same for all processes, never set, and counting on while the machine sleeps, where there is such a one."""

passed = partial(time.clock_gettime, _CLOCK)
"""Returns seconds since some point in time, the same until the machine is started again. It is read for each call."""
