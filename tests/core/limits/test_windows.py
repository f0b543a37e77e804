"""Counts kept whole: no window has more than the limit, wherever it begins."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.limits.counter import NEVER, SUM
from llm_gateway.core.limits.gcra import window_ns
from llm_gateway.core.limits.values import Limit, Window
from llm_gateway.core.limits.windows import InFlight, Sliding, Total, steps_of
from tests.core.limits.told import NOON, limit, most_in_any

START = int(NOON * 1e9)
HOUR = 3_600_000_000_000


def sliding(told: Limit) -> Sliding:
    return Sliding(told, [0] * Sliding.length(told, 0), 0, 0)


GAPS = st.one_of(
    st.sampled_from([0, 1, HOUR // 2 - 1, HOUR // 2, 3 * HOUR, 12 * HOUR, 24 * HOUR - 1, 24 * HOUR]),
    st.integers(0, 3 * HOUR),
    st.integers(0, 60 * HOUR),
)
"""Steps and windows are among them, and a nanosecond less."""


@settings(max_examples=60)
@given(name=st.sampled_from(["usd_per_day", "usd_per_week"]), uses=st.lists(st.tuples(GAPS, st.integers(0, 60))))
def test_no_window_has_more_than_the_limit(name: str, uses: list[tuple[int, int]]) -> None:
    count = sliding(limit(name, 100))
    let_in = []
    for now, (_, n) in zip(accumulate((gap for gap, _ in uses), initial=START), uses, strict=False):
        if count.fits(now, n):
            count.use(now, n)
            let_in.append((now, n))
        assert count.cells[SUM] >= 0
    assert most_in_any(window_ns(count.limit), let_in) <= 100


def test_what_was_used_late_in_a_step_counts_for_a_whole_window() -> None:
    """With as many buckets as steps, it would be dropped a step too early."""
    count = sliding(limit("usd_per_day", 100))
    late = START // HOUR * HOUR + HOUR - 1
    count.use(late, 100)
    assert not count.fits(late + 24 * HOUR - 1, 1)
    assert count.fits(late + 24 * HOUR + HOUR // 2, 1)


@settings(max_examples=60)
@given(uses=st.lists(st.tuples(GAPS, st.integers(0, 60)), min_size=1), later=GAPS)
def test_what_was_used_comes_free_a_step_late_at_most(uses: list[tuple[int, int]], later: int) -> None:
    """What is free is at least what it would be in a window of one step more, whose edges are exact."""
    count = sliding(limit("usd_per_day", 10**6))
    window = window_ns(count.limit)
    step = window // steps_of(Window.DAY)
    known = list(zip(accumulate((gap for gap, _ in uses), initial=START), (n for _, n in uses), strict=False))
    for now, n in known:
        count.use(now, n)
    now = known[-1][0] + later
    still = sum(n for at, n in known if at > now - window - step)
    must = sum(n for at, n in known if at > now - window)
    assert must <= count.used(now) <= still


@settings(max_examples=60)
@given(uses=st.lists(st.tuples(GAPS, st.integers(1, 60)), min_size=1), n=st.integers(1, 120))
def test_who_waits_as_long_as_told_is_let_in(uses: list[tuple[int, int]], n: int) -> None:
    count = sliding(limit("usd_per_day", 100))
    now = START
    for gap, much in uses:
        now += gap
        count.use(now, much)
    wait = count.wait(now, n)
    if n > 100:
        assert wait == NEVER
    elif not count.fits(now, n):
        assert not count.fits(now + wait - 1, n)
        assert count.fits(now + wait, n)


@pytest.mark.parametrize("amount", [1, 7, 100])
@pytest.mark.parametrize("name", ["requests_per_day", "tokens_per_day", "usd_per_month"])
def test_exactly_the_limit_is_let_in(name: str, amount: int) -> None:
    count = sliding(limit(name, amount))
    for _ in range(amount):
        assert count.fits(START, 1)
        count.use(START, 1)
    assert not count.fits(START, 1)
    assert count.standing(START).remaining == 0


def test_a_limit_of_nothing_lets_nothing_in() -> None:
    for told in [limit("requests_per_minute", 0), limit("usd_per_day", 0)]:
        count = sliding(told)
        assert not count.fits(START, 1)
        assert count.wait(START, 1) == NEVER


def test_the_window_is_empty_when_it_says_so() -> None:
    count = sliding(limit("usd_per_week", 100))
    count.use(START, 5)
    count.use(START + 9 * HOUR, 5)
    now = START + 10 * HOUR
    reset = count.standing(now).reset_s
    assert reset is not None
    assert count.used(now + round(reset * 1e9) - 1_000_000) == 5
    assert count.used(now + round(reset * 1e9) + 1_000_000) == 0


@settings(max_examples=60)
@given(st.data())
def test_what_is_given_back_was_counted(data: st.DataObject) -> None:
    """What is in the window is what was really used in it, plus at most a step's: never less."""
    count = sliding(limit("requests_per_day", 10**6))
    window, now = window_ns(count.limit), START
    real: list[tuple[int, int]] = []
    open_: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(0, 30))):
        now += data.draw(GAPS)
        ends, real_one = data.draw(st.tuples(st.booleans(), st.booleans()))
        if open_ and ends:
            at, mark = open_.pop(data.draw(st.integers(0, len(open_) - 1)))
            if not real_one:
                count.give_back(now, 1, mark)
            else:
                real.append((at, 1))
        else:
            open_.append((now, count.use(now, 1)))
    counted = sum(n for at, n in [*real, *((at, 1) for at, _ in open_)] if at > now - window)
    assert count.used(now) >= counted
    assert all(each >= 0 for each in list(count.cells))  # type: ignore[call-overload]  # it is a list


@given(before=st.lists(st.tuples(st.integers(-200 * HOUR, 5 * HOUR), st.integers(0, 10**9))))
def test_seeds_count_from_when_they_were_used(before: list[tuple[int, int]]) -> None:
    """Those of a time that is still to come (the clock was wrong then) count from now."""
    count = sliding(limit("usd_per_week", 10**12))
    for at, n in sorted(before):
        count.seed(START, min(START, START + at), n)
    window = window_ns(count.limit)
    assert count.used(START) >= sum(n for at, n in before if at > -window)
    assert count.used(START + window + window // 56) == 0


def test_a_total_never_comes_free() -> None:
    told = limit("usd_total", 100)
    count = Total(told, [0] * Total.length(told, 0), 0, 0)
    count.use(START, 60)
    assert count.fits(START, 40)
    assert not count.fits(START + 10**20, 41)
    assert count.wait(START, 41) == NEVER
    count.hold(30)
    assert count.wait(START, 20) > 0, "what is held may come back"
    assert count.standing(START).reset_s is None


def test_calls_in_flight_are_all_that_run() -> None:
    told = limit("in_flight", 2)
    count = InFlight(told, [0] * InFlight.length(told, 0), 0, 0)
    count.hold(1)
    assert count.fits(START, 1)
    count.hold(1)
    assert not count.fits(START, 1)
    assert count.standing(START).remaining == 0
    count.release(1)
    assert count.fits(START, 1)
