"""How soon a first token comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.routing.speeds import Speed


def test_nothing_is_known_at_first() -> None:
    assert Speed(60).estimate(0.0) is None


def test_new_times_count_more_the_longer_ago_the_last_one_was() -> None:
    soon, late = Speed(60), Speed(60)
    for speed, gap in ((soon, 1.0), (late, 200.0)):
        speed.took(1.0, 0.0)
        speed.took(3.0, gap)
    assert soon.estimate(1.0) == pytest.approx(1.2)
    assert (late.estimate(200.0) or 0) > 2.9


def test_many_times_at_once_do_not_freeze_the_mean() -> None:
    speed = Speed(60)
    for _ in range(1000):
        speed.took(0.2, 10.0)
    for _ in range(30):
        speed.took(4.0, 10.0)
    assert (speed.estimate(10.0) or 0) > 3.5


def test_what_is_old_is_not_known_any_more() -> None:
    speed = Speed(60)
    speed.took(1.0, 0.0)
    assert speed.estimate(299.0) == 1.0
    assert speed.estimate(301.0) is None


def test_giving_up_on_a_slow_one_makes_it_slower_and_never_faster() -> None:
    speed = Speed(60)
    speed.at_least(5.0, 0.0)
    assert speed.estimate(0.0) == 5.0
    speed.at_least(1.0, 10.0)
    assert speed.estimate(10.0) == 5.0
    speed.at_least(50.0, 20.0)
    assert (speed.estimate(20.0) or 0) > 5.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1))
def test_mean_is_within_what_was_seen(history: list[tuple[float, float]]) -> None:
    speed, now = Speed(60), 0.0
    for seconds, gap in history:
        now += gap
        speed.took(seconds, now)
    seen = [seconds for seconds, _ in history]
    mean = speed.estimate(now)
    assert mean is not None
    assert min(seen) - 1e-9 <= mean <= max(seen) + 1e-9
