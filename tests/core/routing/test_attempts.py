"""What follows each outcome: where, when, and when not."""

from __future__ import annotations

import pytest

from llm_gateway.core.routing.attempts import Why
from llm_gateway.core.routing.calls import Attempt
from llm_gateway.core.routing.candidates import Call, Candidate, Effect
from llm_gateway.core.routing.outcomes import FALLS_BACK, RULES, TABLE, Acted, Again, Outcome, OutcomeKind, Scope
from llm_gateway.core.routing.plans import Route, Tier
from llm_gateway.core.routing.settings import ProviderSettings, Repeat, Retries, RoutingSettings, Strategy
from tests.core.routing.desk import (
    A2,
    A_SMALL,
    A,
    B,
    C,
    Desk,
    as_attempt,
    as_given_up,
    as_retry,
)

K = OutcomeKind
FAILURES = [rule for rule in TABLE if rule.kind is not K.OK]
FREELY = RoutingSettings(retries=Retries(repeat=Repeat.ALL))


def after(
    kind: OutcomeKind, *candidates: Candidate, settings: RoutingSettings = FREELY
) -> list[tuple[Candidate, bool]]:
    """Whom a call asks after its first attempt, and whether it waits for that, until it gives up."""
    desk = Desk(settings)
    routed = desk.call(desk.route(*candidates))
    desk.sent(routed)
    seen = []
    step = desk.failed(routed, kind)
    while not hasattr(step, "why"):
        retry = as_retry(step)
        seen.append((retry.candidate, retry.after_s > 0))
        desk.now += retry.after_s
        as_attempt(routed.turn(desk.now))
        step = desk.failed(routed, kind)
    return seen


@pytest.mark.parametrize("rule", FAILURES, ids=lambda rule: rule.kind.value)
def test_table_says_who_is_asked_next(rule: object) -> None:
    """Among another key for the model, another model with the key, and another provider."""
    assert isinstance(rule, type(TABLE[0]))
    shares = {Scope.PROVIDER: {A2, A_SMALL}, Scope.MODEL: {A2}, Scope.CREDENTIAL: {A_SMALL}, Scope.ACCESS: set()}
    wanted = {A2, A_SMALL, B} - shares.get(rule.scope, set()) if rule.elsewhere else set()
    for other in (A2, A_SMALL, B):
        asked = {candidate for candidate, _ in after(rule.kind, A, other)}
        assert (other in asked) == (other in wanted)


@pytest.mark.parametrize("rule", FAILURES, ids=lambda rule: rule.kind.value)
def test_table_says_whether_the_same_one_is_asked_again(rule: object) -> None:
    assert isinstance(rule, type(TABLE[0]))
    again = after(rule.kind, A)
    assert again == {Again.NEVER: [], Again.LAST: [(A, True)]}[rule.again]


def test_elsewhere_at_once_and_the_same_place_again_after_a_wait() -> None:
    assert after(K.OVERLOADED, A, B, C) == [(B, False), (C, False), (A, True)]


def test_what_failed_with_one_is_not_asked_through_another() -> None:
    """A second key does not help against an overload, nor does a second model against a connection that fails."""
    assert [each for each, _ in after(K.OVERLOADED, A, A2, B)] == [B, A, B]
    assert [each for each, _ in after(K.UNREACHABLE, A, A2, A_SMALL, B)] == [B, A, B]
    assert [each for each, _ in after(K.OVERLOADED, A, A_SMALL)] == [A_SMALL, A, A_SMALL]
    assert [each for each, _ in after(K.KEY_REFUSED, A, A_SMALL, A2)] == [A2]


def test_all_that_has_failed_counts_and_not_only_the_last() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A, B, A2, C))
    desk.sent(routed)
    assert as_retry(desk.failed(routed, K.OVERLOADED)).candidate is B
    as_attempt(routed.turn(desk.now))
    assert as_retry(desk.failed(routed, K.RATE_LIMITED, 3600.0)).candidate is C


# Not again


@pytest.mark.parametrize("rule", FAILURES, ids=lambda rule: rule.kind.value)
def test_nothing_follows_the_first_byte(rule: object) -> None:
    assert isinstance(rule, type(TABLE[0]))
    desk = Desk(FREELY)
    routed = desk.call(desk.route(A, B, fallbacks=[C]))
    assert routed.content(desk.sent(routed), desk.now)
    given_up = as_given_up(desk.failed(routed, rule.kind))
    assert given_up.why is (Why.CLIENT_GONE if rule.kind is K.CLIENT_GONE else Why.BEGUN)
    assert given_up.kind is rule.kind


@pytest.mark.parametrize("rule", FAILURES, ids=lambda rule: rule.kind.value)
def test_nothing_follows_when_the_client_has_left(rule: object) -> None:
    assert isinstance(rule, type(TABLE[0]))
    desk = Desk(FREELY)
    routed = desk.call(desk.route(A, B, fallbacks=[C]))
    attempt = desk.sent(routed)
    routed.leave(desk.now)
    assert desk.hung_up == [attempt]
    # The end of the attempt is told all the same, by a connection that closes.
    assert routed.ended(attempt, Outcome(rule.kind), desk.now) is None


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("repeat", list(Repeat))
@pytest.mark.parametrize("rule", [rule for rule in TABLE if rule.elsewhere], ids=lambda rule: rule.kind.value)
def test_nothing_is_sent_twice_that_may_have_been_acted_on(rule: object, repeat: Repeat, effect: Effect) -> None:
    assert isinstance(rule, type(TABLE[0]))
    desk = Desk(RoutingSettings(retries=Retries(repeat=repeat)))
    routed = desk.call(desk.route(A, B, fallbacks=[C]), Call("t", effect))
    desk.sent(routed)
    step = desk.failed(routed, rule.kind)
    fine = (
        rule.acted is Acted.NO
        or effect is Effect.SAFE
        or repeat is Repeat.ALL
        or (effect is Effect.GENERATES and (rule.acted is Acted.FAILED or repeat is Repeat.GENERATIONS))
    )
    if fine:
        as_retry(step)
    else:
        assert as_given_up(step).why is Why.MAY_HAVE_ACTED


@pytest.mark.parametrize("kind", [K.INVALID, K.NOT_FOUND, K.FILTERED, K.FAULT])
def test_what_fails_the_same_way_anywhere_is_not_tried_anywhere(kind: OutcomeKind) -> None:
    desk = Desk(FREELY)
    routed = desk.call(desk.route(A, B, fallbacks=[C]))
    desk.sent(routed)
    given_up = as_given_up(desk.failed(routed, kind))
    assert given_up.why is Why.NO_USE
    assert given_up.outcome is not None


def test_attempts_are_counted() -> None:
    desk = Desk(RoutingSettings(retries=Retries(attempts=2)))
    routed = desk.call(desk.route(A, B, C))
    desk.sent(routed)
    as_retry(desk.failed(routed, K.OVERLOADED))
    assert as_attempt(routed.turn(desk.now)).number == 2
    assert as_given_up(desk.failed(routed, K.OVERLOADED)).why is Why.ATTEMPTS


def test_nothing_is_sent_after_the_deadline() -> None:
    desk = Desk(RoutingSettings(retries=Retries(deadline_s=10)))
    routed = desk.call(desk.route(A, B))
    desk.sent(routed)
    desk.now += 10
    assert as_given_up(desk.failed(routed, K.UNREACHABLE)).why is Why.DEADLINE


def test_no_wait_reaches_beyond_the_deadline() -> None:
    desk = Desk(RoutingSettings(retries=Retries(deadline_s=10)))
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    desk.now += 6
    given_up = as_given_up(desk.failed(routed, K.RATE_LIMITED, 5.0))
    assert given_up.why is Why.NOWHERE
    assert given_up.retry_after_s == 5.0


def test_one_candidate_is_asked_again_so_often_and_no_more() -> None:
    settings = RoutingSettings(retries=Retries(attempts=10, again=3))
    assert len(after(K.OVERLOADED, A, settings=settings)) == 3
    assert after(K.OVERLOADED, A, settings=RoutingSettings(retries=Retries(again=0))) == []


def test_retries_of_a_provider_are_a_share_of_its_calls() -> None:
    """Ten calls with a share of a fifth: two are sent again, the others are told so."""
    settings = RoutingSettings(providers={"a": ProviderSettings(retry_share=0.2, retry_reserve=0)})
    desk = Desk(settings)
    route, whys = desk.route(A), []
    for _ in range(10):
        routed = desk.call(route)
        desk.sent(routed)
        step = desk.failed(routed, K.CONFLICT)
        whys.append(getattr(step, "why", None))
    assert whys.count(None) == 2
    assert whys.count(Why.BUDGET) == 8


def test_going_elsewhere_is_no_retry_of_that_provider() -> None:
    """However many calls fail at one provider: the other one sees each of them once."""
    none = ProviderSettings(retry_share=0.0, retry_reserve=0)
    desk = Desk(RoutingSettings(providers={"a": none, "b": none}))
    route = desk.route(A, B)
    for _ in range(50):
        routed = desk.call(route)
        desk.sent(routed)
        assert as_retry(desk.failed(routed, K.CONFLICT)).candidate is B


# Waits


def test_provider_s_retry_after_is_waited_for() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    retry = as_retry(desk.failed(routed, K.RATE_LIMITED, 3.0))
    assert 3.0 <= retry.after_s <= 3.3
    desk.now += retry.after_s
    assert as_attempt(routed.turn(desk.now)).candidate is A


def test_long_retry_after_is_told_to_the_client_instead() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    given_up = as_given_up(desk.failed(routed, K.RATE_LIMITED, 600.0))
    assert (given_up.why, given_up.retry_after_s) == (Why.NOWHERE, 600.0)


def test_short_wait_comes_before_another_model_and_a_long_one_after() -> None:
    for said, first in ((1.0, A), (5.0, C)):
        desk = Desk()
        routed = desk.call(desk.route(A, fallbacks=[C]))
        desk.sent(routed)
        assert as_retry(desk.failed(routed, K.RATE_LIMITED, said)).candidate is first


def test_soonest_of_several_is_waited_for() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A, B))
    desk.sent(routed)
    as_retry(desk.failed(routed, K.RATE_LIMITED, 9.0))
    as_attempt(routed.turn(desk.now))
    retry = as_retry(desk.failed(routed, K.RATE_LIMITED, 4.0))
    assert retry.candidate is B
    desk.now += retry.after_s
    as_attempt(routed.turn(desk.now))
    # Its second time was its last; the first one's time comes.
    assert as_retry(desk.failed(routed, K.RATE_LIMITED, 4.0)).candidate is A


def test_what_went_out_while_a_call_waited_for_it_is_not_asked() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    retry = as_retry(desk.failed(routed, K.OVERLOADED))
    desk.break_(A)
    desk.now += retry.after_s
    given_up = as_given_up(routed.turn(desk.now))
    assert (given_up.kind, given_up.why) == (K.OVERLOADED, Why.NOWHERE)
    assert desk.router.admission.in_use == 0


# Other models


def test_whole_fallback_comes_before_anybody_is_asked_again() -> None:
    """The other model may be had in several places, too."""
    desk = Desk(RoutingSettings(retries=Retries(attempts=6)))
    lanes = [desk.router.lane(each) for each in (A, B, C)]
    fallback = Tier.of(lanes[1:], Strategy.IN_ORDER, on=FALLS_BACK)
    routed = desk.call(Route.of(Tier.of(lanes[:1], Strategy.IN_ORDER), [fallback]))
    desk.sent(routed)
    seen = []
    for _ in range(4):
        retry = as_retry(desk.failed(routed, K.OVERLOADED))
        seen.append((retry.candidate, retry.after_s > 0))
        desk.now += retry.after_s
        as_attempt(routed.turn(desk.now))
    assert seen == [(A, True), (B, False), (C, False), (B, True)]


def test_fallback_is_for_what_it_says() -> None:
    for kind, goes in ((K.CONTEXT_OVERFLOW, True), (K.OVERLOADED, False)):
        desk = Desk(RoutingSettings(retries=Retries(again=0)))
        routed = desk.call(desk.route(A, fallbacks=[A_SMALL], on=frozenset({K.CONTEXT_OVERFLOW})))
        desk.sent(routed)
        step = desk.failed(routed, kind)
        assert (isinstance(step, Attempt) or not hasattr(step, "why")) == goes


def test_caller_s_mistake_leads_to_another_model_only_if_it_is_said() -> None:
    for on, goes in ((FALLS_BACK, False), (frozenset({K.FILTERED}), True)):
        desk = Desk()
        routed = desk.call(desk.route(A, B, fallbacks=[C], on=on))
        desk.sent(routed)
        step = desk.failed(routed, K.FILTERED)
        assert (not hasattr(step, "why")) == goes
        if goes:
            assert as_retry(step).candidate is C


def test_fallback_is_asked_when_nothing_that_was_asked_for_is_in() -> None:
    desk = Desk()
    route = desk.route(A, fallbacks=[B])
    desk.break_(A)
    assert desk.sent(desk.call(route)).candidate is B
    picky = desk.route(A, fallbacks=[B], on=frozenset({K.CONTEXT_OVERFLOW}))
    assert as_given_up(desk.call(picky).start(desk.now)).kind is K.UNAVAILABLE


def test_well_fallback_comes_before_the_last_resort() -> None:
    desk = Desk()
    route = desk.route(A, fallbacks=[B])
    for _ in range(20):
        desk.break_(A, kind=K.SERVER_ERROR, times=2)
        desk.router.health.well(desk.router.lane(A).four, desk.now)
    assert desk.sent(desk.call(route)).candidate is B
    desk.break_(B)
    assert desk.sent(desk.call(route)).candidate is A


# Nobody


def test_nobody_in_is_told_with_when_to_come_back() -> None:
    desk = Desk()
    route = desk.route(A, B)
    desk.break_(A, B)
    given_up = as_given_up(desk.call(route).start(desk.now))
    assert (given_up.kind, given_up.why, given_up.outcome) == (K.UNAVAILABLE, Why.NOWHERE, None)
    assert given_up.retry_after_s == pytest.approx(5.0)


def test_everybody_cooling_is_a_rate_limit() -> None:
    desk = Desk()
    route = desk.route(A, B)
    for each, seconds in ((A, 40.0), (B, 30.0)):
        desk.router.health.note(desk.router.lane(each).four, Outcome(K.RATE_LIMITED, 429, seconds), desk.now)
    given_up = as_given_up(desk.call(route).start(desk.now))
    assert (given_up.kind, given_up.retry_after_s) == (K.RATE_LIMITED, 30.0)


def test_no_candidate_at_all_is_told() -> None:
    desk = Desk()
    given_up = as_given_up(desk.call(desk.route()).start(desk.now))
    assert (given_up.kind, given_up.why, given_up.retry_after_s) == (K.UNAVAILABLE, Why.NOWHERE, None)


def test_callers_own_mistake_ends_the_call_also_where_somebody_could_be_asked_again() -> None:
    desk = Desk(FREELY)
    routed = desk.call(desk.route(A, B))
    desk.sent(routed)
    as_retry(desk.failed(routed, K.UNREACHABLE))
    as_attempt(routed.turn(desk.now))
    assert as_given_up(desk.failed(routed, K.INVALID)).why is Why.NO_USE


@pytest.mark.parametrize("kind", [K.RATE_LIMITED, K.UNREACHABLE])
def test_call_whose_body_is_gone_is_sent_once(kind: K) -> None:
    desk = Desk(FREELY)
    routed = desk.call(desk.route(A, B, fallbacks=[C]), Call("tenant", once=True))
    desk.sent(routed)
    assert as_given_up(desk.failed(routed, kind)).why is Why.SPENT


def test_every_reason_to_give_up_has_its_test() -> None:
    assert set(Why) == {
        Why.NO_USE, Why.BEGUN, Why.CLIENT_GONE, Why.MAY_HAVE_ACTED, Why.SPENT, Why.ATTEMPTS, Why.DEADLINE, Why.BUDGET,
        Why.NOWHERE, Why.BUSY,
    }  # fmt: skip
    assert RULES[K.BUSY].elsewhere
