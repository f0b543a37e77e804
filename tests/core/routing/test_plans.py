"""Whom a call asks first, and next."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind
from llm_gateway.core.routing.plans import Route
from llm_gateway.core.routing.settings import RoutingSettings, Strategy
from tests.core.routing.desk import A2, A, B, C, Desk

K = OutcomeKind
WEIGHTED = [Candidate(each.provider, each.credential, each.model, weight=weight) for each, weight in ((A, 1), (B, 3))]


def firsts(desk: Desk, route: Route, count: int = 1000) -> Counter[str]:
    """Which provider so many calls ask first."""
    return Counter(desk.sent(desk.call(route)).candidate.provider for _ in range(count))


def a_random_desk(**settings: float) -> Desk:
    return Desk(RoutingSettings(**settings), random.Random(7).random)  # type: ignore[arg-type]  # all of them are floats


@pytest.mark.parametrize("strategy", list(Strategy))
def test_lower_order_comes_first_whatever_the_strategy(strategy: Strategy) -> None:
    desk = a_random_desk()
    late = Candidate("a", "a-key", "model", order=1, weight=100)
    for _ in range(20):
        assert [each.provider for each in desk.order(desk.route(late, B, C, strategy=strategy))][2:] == ["a"]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_weight_of_nothing_is_for_when_the_others_are_out(strategy: Strategy) -> None:
    desk = a_random_desk()
    spare = Candidate("a", "a-key", "model", weight=0)
    route = desk.route(spare, B, strategy=strategy)
    assert firsts(desk, route, 50) == {"b": 50}
    desk.break_(B)
    assert firsts(desk, route, 50) == {"a": 50}


def test_in_order_asks_as_they_are_listed() -> None:
    desk = Desk()
    assert desk.order(desk.route(C, A, B)) == [C, A, B]


def test_weights_share_the_calls() -> None:
    desk = a_random_desk()
    counts = firsts(desk, desk.route(*WEIGHTED, strategy=Strategy.WEIGHTED), 2000)
    assert counts["b"] / 2000 == pytest.approx(0.75, abs=0.03)


def test_least_busy_fills_up_by_weight() -> None:
    desk = a_random_desk()
    counts = firsts(desk, desk.route(*WEIGHTED, strategy=Strategy.LEAST_BUSY), 400)
    assert counts == {"a": 100, "b": 300}


def test_least_busy_shares_calls_that_come_one_at_a_time() -> None:
    desk = a_random_desk()
    route = desk.route(A, B, strategy=Strategy.LEAST_BUSY)
    counts: Counter[str] = Counter()
    for _ in range(200):
        routed = desk.call(route)
        counts[desk.sent(routed).candidate.provider] += 1
        desk.ok(routed)
    assert min(counts["a"], counts["b"]) > 60


def test_cheapest_comes_first_and_what_has_no_price_last() -> None:
    desk = Desk()
    prices = {"a": None, "b": 3.0, "c": 0.5}
    route = desk.route(A, B, C, strategy=Strategy.CHEAPEST, price=lambda candidate: prices[candidate.provider])
    assert desk.order(route) == [C, B, A]


def test_new_price_counts_for_routes_made_after_it() -> None:
    desk = Desk()
    old = desk.route(A, B, strategy=Strategy.CHEAPEST, price=lambda candidate: ord(candidate.provider))
    new = desk.route(A, B, strategy=Strategy.CHEAPEST, price=lambda candidate: -ord(candidate.provider))
    assert (desk.order(old), desk.order(new)) == ([A, B], [B, A])


def test_fastest_comes_first_and_some_calls_explore() -> None:
    desk = a_random_desk(explore=0.1)
    route = desk.route(A, B, C, strategy=Strategy.FASTEST)
    for candidate, seconds in ((A, 2.0), (B, 0.5), (C, 1.0)):
        desk.router.lane(candidate).speed.took(seconds, desk.now)
    counts = firsts(desk, route, 2000)
    assert counts["b"] / 2000 == pytest.approx(0.9 + 0.1 / 3, abs=0.02)
    assert min(counts["a"], counts["c"]) > 30


def test_fastest_does_not_send_everything_to_what_nobody_knows() -> None:
    """Its first token has not come yet: hundreds of calls would be there before that."""
    desk = a_random_desk(explore=0.05)
    desk.router.lane(A).speed.took(0.5, desk.now)
    counts = firsts(desk, desk.route(A, B, strategy=Strategy.FASTEST))
    assert 5 < counts["b"] < 60


def test_fastest_without_any_knowledge_goes_by_chance() -> None:
    desk = a_random_desk()
    counts = firsts(desk, desk.route(A, B, C, strategy=Strategy.FASTEST), 900)
    assert all(counts[name] > 230 for name in "abc")


# Conversations


@pytest.mark.parametrize("strategy", list(Strategy))
def test_conversation_stays_whatever_the_strategy(strategy: Strategy) -> None:
    desk = a_random_desk()
    route = desk.route(A, B, C, strategy=strategy, sticky=True)
    for number in range(20):
        call = Call("t", conversation=f"session {number}")
        assert len({tuple(desk.order(route, call)) for _ in range(5)}) == 1


def test_conversation_is_of_no_account_where_nobody_wants_it() -> None:
    desk = a_random_desk()
    route = desk.route(A, B, strategy=Strategy.WEIGHTED, sticky=False)
    call = Call("t", conversation="session")
    assert len({desk.order(route, call)[0] for _ in range(50)}) == 2


def test_call_without_a_conversation_goes_by_the_strategy() -> None:
    desk = Desk()
    assert desk.order(desk.route(C, A, B, sticky=True)) == [C, A, B]


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_conversation_whose_candidate_leaves_goes_to_its_second_choice(conversation: str) -> None:
    desk = Desk()
    call = Call("t", conversation=conversation)
    before = desk.order(desk.route(A, B, C, sticky=True), call)
    desk.break_(before[0])
    after = desk.order(desk.route(A, B, C, sticky=True), call)
    assert after[:2] == before[1:]


def test_conversation_comes_back_once() -> None:
    """While the share of calls grows, one conversation is not thrown to and fro."""
    desk = Desk(chance=random.Random(1).random)
    route = desk.route(A, B, sticky=True)
    desk.break_(A)
    for _ in range(2):
        desk.now += 40
        routed = desk.call(desk.route(A))
        desk.sent(routed)
        desk.ok(routed)
    seen: dict[str, str] = {}
    for _ in range(16):
        for number in map(str, range(40)):
            routed = desk.call(route, Call("t", conversation=number))
            seen[number] = seen.get(number, "") + desk.sent(routed).candidate.provider
            desk.ok(routed)
        desk.now += 2
    assert not any("ab" in visits for visits in seen.values())
    # At moments of their own.
    assert len({visits for visits in seen.values() if visits[-1] == "a"}) > 5


# Health


def test_what_is_out_is_passed_over() -> None:
    desk = Desk()
    route = desk.route(A, B)
    desk.break_(A)
    assert desk.order(route) == [B]


def test_first_trial_goes_where_the_order_says() -> None:
    desk = Desk()
    route = desk.route(A, B)
    desk.break_(A)
    desk.now += 6
    trial, other = desk.call(route), desk.call(route)
    assert desk.sent(trial).candidate is A
    assert desk.sent(other).candidate is B


def test_what_comes_back_gets_a_part_of_the_calls() -> None:
    desk = a_random_desk()
    route = desk.route(A, B)
    desk.break_(A)
    for _ in range(2):
        desk.now += 6
        routed = desk.call(route)
        desk.sent(routed)
        desk.ok(routed)
    desk.now += 15
    counts = firsts(desk, route, 1000)
    assert counts["a"] / 1000 == pytest.approx(0.55, abs=0.06)


def test_what_comes_back_gets_all_calls_if_it_is_alone() -> None:
    desk = a_random_desk()
    route = desk.route(A)
    desk.break_(A)
    for _ in range(2):
        desk.now += 6
        routed = desk.call(route)
        desk.sent(routed)
        desk.ok(routed)
    assert firsts(desk, route, 50) == {"a": 50}


def test_bound_call_asks_the_first_candidate_and_no_other() -> None:
    """A file is with one account; weights, speed and conversations do not move it."""
    desk = a_random_desk()
    for strategy in Strategy:
        route = desk.route(A, A2, B, strategy=strategy, sticky=True, fallbacks=[C])
        for _ in range(5):
            assert desk.order(route, Call("t", bound=True, conversation=str(_))) == [A]
    desk.break_(A)
    assert desk.order(desk.route(A, B), Call("t", bound=True)) == []


@settings(max_examples=50)
@given(st.sets(st.sampled_from([A, A2, B, C])), st.sampled_from(list(Strategy)), st.booleans(), st.integers(0, 99))
def test_each_candidate_is_asked_once_and_only_if_it_is_in(
    broken: set[Candidate], strategy: Strategy, sticky: bool, seed: int
) -> None:
    desk = Desk(chance=random.Random(seed).random)
    route = desk.route(A, A2, B, C, strategy=strategy, sticky=sticky)
    for each in broken:
        for _ in range(3):
            desk.router.health.note(desk.router.lane(each).four, Outcome(K.KEY_REFUSED), desk.now)
    routed = desk.call(route, Call("t", conversation=str(seed)))
    plan, asked = routed.attempts.plan, []
    while (lane := plan.pick(desk.now, lambda lane: lane.candidate in asked)) is not None:
        asked.append(lane.candidate)
    assert len(asked) == len(set(asked))
    assert set(asked) == {A, A2, B, C} - broken
