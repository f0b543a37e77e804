"""Counts of a gateway that is one process."""

from __future__ import annotations

import time

from llm_gateway.core.limits.clock import Steady
from llm_gateway.core.limits.table import Table
from llm_gateway.limits.machine import passed

__all__ = ["MemoryStore"]


class MemoryStore(Table):
    """Counts in this process's memory. They are gone with it: seed them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Steady(time.time() - passed(), passed).__call__
        """The time that fits it."""
