"""Waits, and the share of calls that may be retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.routing.backoff import ShareOfCalls, wait_before
from llm_gateway.core.routing.settings import Retries

CHANCE = st.floats(0, 1, exclude_max=True)


def longest() -> float:
    return 0.999999


def test_waits_double_up_to_the_longest() -> None:
    retries = Retries(first_wait_s=0.5, longest_wait_s=8.0, spread=False)
    assert [wait_before(again, None, retries, longest) for again in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert wait_before(10_000, None, retries, longest) == 8


@given(st.integers(0, 200), CHANCE)
def test_waits_are_spread_over_their_whole_length(again: int, chance: float) -> None:
    """Calls that failed at one moment do not come back at one moment."""
    retries = Retries()
    wait = wait_before(again, None, retries, lambda: chance)
    full = wait_before(again, None, Retries(spread=False), longest)
    assert full is not None
    assert wait == pytest.approx(full * chance)


@given(st.integers(0, 5), st.floats(0, 20), CHANCE)
def test_provider_s_time_is_obeyed(again: int, said: float, chance: float) -> None:
    """Never sooner, and hardly later."""
    wait = wait_before(again, said, Retries(), lambda: chance)
    assert wait is not None
    assert said <= wait <= max(1.1 * said, 8.0)


@pytest.mark.parametrize(("said", "waits"), [(20.0, True), (20.1, False), (3600.0, False)])
def test_longer_time_than_there_is_patience_for_is_not_waited_for(said: float, waits: bool) -> None:
    assert (wait_before(0, said, Retries(retry_after_cap_s=20.0), longest) is not None) == waits


@given(st.floats(0, 1), st.integers(0, 20), st.lists(st.booleans(), max_size=300))
def test_never_more_than_the_share_and_the_reserve(share: float, reserve: int, history: list[bool]) -> None:
    """Whatever the order in which calls come and retries are asked for."""
    bucket = ShareOfCalls(share, reserve)
    calls = 0
    for came in history:
        if came:
            bucket.call()
            calls += 1
        else:
            there = bucket.is_there
            assert bucket.take() == there
        assert bucket.taken <= reserve + share * calls + 1e-9


def test_share_is_used_up_to_the_last() -> None:
    """A fifth of 1,000 calls and the reserve, asked for all the time."""
    bucket = ShareOfCalls(0.2, 10)
    for _ in range(1000):
        bucket.call()
        bucket.take()
    assert bucket.taken == pytest.approx(210, abs=1)


def test_share_without_a_reserve_can_still_be_saved_up() -> None:
    bucket = ShareOfCalls(0.25, 0)
    assert not bucket.take()
    for _ in range(100):
        bucket.call()
    assert bucket.take()
    assert not bucket.take()


def test_new_settings_count_from_now_on() -> None:
    bucket = ShareOfCalls(0.5, 10)
    bucket.configure(0.0, 2)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    bucket.call()
    assert not bucket.take()
