"""Counts of one process."""

from __future__ import annotations

import time

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.limits.memory import MemoryStore
from tests.core.limits.told import limit


def test_its_clock_is_the_time_of_day() -> None:
    assert abs(MemoryStore().clock() - time.time()) < 5


def test_a_limiter_works_with_its_clock() -> None:
    store = MemoryStore()
    limits = [limit("requests_per_hour", 1)]
    limiter = Limiter(store, store.clock)
    assert isinstance(limiter.reserve(limits, Want()), Reservation)
    refused = limiter.reserve(limits, Want())
    assert isinstance(refused, Refused)
    assert refused.retry_after_s is not None
    assert 3_500 < refused.retry_after_s <= 3_600
