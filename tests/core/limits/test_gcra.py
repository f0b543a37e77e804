"""What flows away steadily: never more than the burst and what flowed, exactly."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_gateway.core.limits.counter import NEVER, SEATS
from llm_gateway.core.limits.gcra import Gcra, window_ns
from llm_gateway.core.limits.values import Limit
from tests.core.limits.told import NOON, limit

START = int(NOON * 1e9)


def counter(told: Limit) -> Gcra:
    return Gcra(told, [0] * Gcra.length(told, 0), 0, 0)


@pytest.mark.parametrize("name", ["requests_per_second", "requests_per_minute", "requests_per_hour"])
@pytest.mark.parametrize("amount", [1, 3, 7, 60, 1_000])
def test_exactly_the_limit_is_let_in_at_once(name: str, amount: int) -> None:
    count = counter(limit(name, amount))
    for _ in range(amount):
        assert count.fits(START, 1)
        count.use(START, 1)
    assert not count.fits(START, 1)
    assert count.standing(START).remaining == 0
    assert count.used(START) == amount


@pytest.mark.parametrize(("amount", "burst"), [(7, None), (60, 1), (60, 10), (1_000, 999)])
def test_who_waits_as_long_as_told_is_let_in_and_a_nanosecond_earlier_is_not(amount: int, burst: int | None) -> None:
    count = counter(limit("requests_per_minute", amount, burst=burst))
    now = START
    while count.fits(now, 1):
        count.use(now, 1)
    for _ in range(20):
        wait = count.wait(now, 1)
        assert 0 < wait <= window_ns(count.limit) // amount + 1
        assert not count.fits(now + wait - 1, 1)
        assert count.fits(now + wait, 1)
        now += wait
        count.use(now, 1)


def test_more_at_once_than_the_burst_is_never_let_in() -> None:
    count = counter(limit("tokens_per_minute", 1_000, burst=100))
    assert not count.fits(START, 101)
    assert count.wait(START, 101) == NEVER
    assert count.fits(START, 100)


USES = st.lists(st.tuples(st.integers(0, 90_000_000_000), st.integers(0, 40)), max_size=60)


@given(amount=st.integers(1, 50), burst=st.none() | st.integers(1, 50), uses=USES)
def test_no_time_has_more_than_the_burst_and_what_flows_away_in_it(
    amount: int, burst: int | None, uses: list[tuple[int, int]]
) -> None:
    """For every span between two uses, and so for all: what is let in is at most burst + amount * time / window."""
    count = counter(limit("tokens_per_minute", amount, burst=burst))
    window, capacity = window_ns(count.limit), min(amount, burst or amount)
    let_in = []
    for now, (_, n) in zip(accumulate((gap for gap, _ in uses), initial=START), uses, strict=False):
        if count.fits(now, n):
            count.use(now, n)
            let_in.append((now, n))
    for first in range(len(let_in)):
        total = 0
        for now, n in let_in[first:]:
            total += n
            assert (total - capacity) * window <= amount * (now - let_in[first][0])


@settings(max_examples=60)
@given(data=st.data(), amount=st.integers(1, 4))
def test_what_is_given_back_is_not_free_twice(data: st.DataObject, amount: int) -> None:
    """However late a call takes back that it was one: those that were real are never more than the limit lets in."""
    count = counter(limit("requests_per_minute", amount))
    window = window_ns(count.limit)
    now = START
    real: list[int] = []
    open_: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(3, 30))):
        now += data.draw(st.sampled_from([0, 0, window // amount, window // 2, window])) + 1
        ends, real_one = data.draw(st.tuples(st.booleans(), st.booleans()))
        if open_ and ends:
            at, mark = open_.pop(data.draw(st.integers(0, len(open_) - 1)))
            if not real_one:
                count.give_back(now, 1, mark)
            else:
                real.append(at)
        elif count.fits(now, 1):
            open_.append((now, count.use(now, 1)))
    real = sorted(real + [at for at, _ in open_])
    for first in range(len(real)):
        for last in range(first, len(real)):
            assert (last - first + 1 - amount) * window <= amount * (real[last] - real[first])


def test_what_has_flowed_away_is_not_given_back() -> None:
    """It would be free a second time: ten of the second minute would stand beside ten more."""
    count = counter(limit("requests_per_minute", 10))
    window = window_ns(count.limit)
    marks = [count.use(START, 1) for _ in range(10)]
    for _ in range(10):
        count.use(START + window, 1)
    for mark in marks:
        count.give_back(START + window, 1, mark)
    assert not count.fits(START + window, 1)


def test_what_moved_forward_by_others_giving_back_has_flowed_away_earlier() -> None:
    count = counter(limit("requests_per_minute", 2))
    half = window_ns(count.limit) // 2
    first, second = count.use(START, 1), count.use(START, 1)
    count.give_back(START, 1, first)
    # The second one is first in line now, and gone after half a minute.
    assert count.fits(START + half, 2)
    count.use(START + half, 2)
    count.give_back(START + half, 1, second)
    assert not count.fits(START + half, 1)


def test_what_is_given_back_at_once_is_free_at_once() -> None:
    count = counter(limit("requests_per_minute", 5))
    marks = [count.use(START, 1) for _ in range(5)]
    count.give_back(START, 1, marks[4])
    count.give_back(START, 1, marks[3])
    assert count.standing(START).remaining == 2


def test_what_is_held_does_not_flow_away() -> None:
    count = counter(limit("tokens_per_minute", 60))
    count.hold(50)
    assert not count.fits(START + 10 * window_ns(count.limit), 11)
    count.release(50)
    assert count.fits(START, 60)


@given(n=st.integers(0, 10**15), amount=st.integers(1, 10**6))
@example(10**15, 10**6)
def test_use_beyond_the_limit_keeps_nobody_out_for_longer_than_one_window(n: int, amount: int) -> None:
    """A call that used a thousand times what it held, or any number of calls in shadow."""
    count = counter(limit("tokens_per_minute", amount))
    count.use(START, n)
    assert count.fits(START + window_ns(count.limit) + count._each, 1)


@pytest.mark.parametrize("amount", [7, 58_000_000, 59_999_999])
def test_half_a_window_gives_back_half_and_never_more(amount: int) -> None:
    """Nanoseconds are rounded: less than a thousandth is lost by it, nothing is won."""
    count = counter(limit("tokens_per_minute", amount))
    count.use(START, amount)
    assert amount // 2 * 0.999 <= count.standing(START + window_ns(count.limit) // 2).remaining <= amount / 2


def test_numbers_fit_into_64_bits() -> None:
    told = limit("tokens_per_hour", 1_000_000_000)
    cells = memoryview(bytearray(8 * Gcra.length(told, 3))).cast("q")
    count = Gcra(told, cells, 3, SEATS)
    count.hold(10**15)
    count.use(START, 10**15)
    assert not count.fits(START, 1)


def test_amounts_too_large_for_nanoseconds_are_counted_in_steps() -> None:
    assert Gcra.serves(limit("tokens_per_minute", 60_000_000))
    assert not Gcra.serves(limit("tokens_per_minute", 60_060_000))
    assert not Gcra.serves(limit("tokens_per_minute", 0))
