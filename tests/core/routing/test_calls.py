"""One call through the router: slots, queues, trials, and what is given back on every way out."""

from __future__ import annotations

import pytest

from llm_gateway.core.routing.admission import TicketState
from llm_gateway.core.routing.attempts import Why
from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.calls import Router
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind
from llm_gateway.core.routing.resolving import Served, resolve
from llm_gateway.core.routing.settings import (
    CredentialUse,
    Fallback,
    Hedging,
    Limits,
    ModelSettings,
    ProviderSettings,
    Retries,
    RoutingSettings,
    Strategy,
)
from tests.core.routing.desk import OK, A, B, C, Desk, as_attempt, as_given_up, as_retry, as_ticket

K = OutcomeKind


def limited(in_flight: int = 1, queue: int = 100, **providers: int) -> RoutingSettings:
    """``a`` takes so many calls."""
    caps = {"a": in_flight, **providers}
    return RoutingSettings(
        providers={name: ProviderSettings(Limits(cap, queue, wait_s=5.0)) for name, cap in caps.items()}
    )


def test_good_call_takes_one_slot_and_gives_it_back() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A, B))
    attempt = desk.sent(routed)
    assert (attempt.candidate, attempt.number, desk.router.admission.in_use) == (A, 1, 1)
    desk.now += 0.5
    assert routed.content(attempt, desk.now)
    assert desk.router.admission.in_use == 1
    desk.now += 2
    assert routed.ended(attempt, OK, desk.now) is None
    assert desk.router.admission.in_use == 0
    assert attempt.lane.speed.estimate(desk.now) == 0.5
    assert [breaker.passed for breaker in attempt.lane.four] == [1, 1, 1, 1]


def test_end_is_told_once() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    attempt = desk.sent(routed)
    desk.failed(routed, K.INVALID)
    assert routed.ended(attempt, Outcome(K.DISCONNECTED), desk.now) is None
    assert not routed.content(attempt, desk.now)
    assert attempt.lane.four[0].failed == 0
    assert desk.router.admission.in_use == 0


def test_answer_without_content_is_an_answer() -> None:
    """A 204 has none."""
    desk = Desk()
    routed = desk.call(desk.route(A, B))
    attempt = desk.sent(routed)
    assert routed.ended(attempt, OK, desk.now) is None
    assert attempt.lane.four[0].passed == 1
    assert desk.router.admission.in_use == 0


def test_call_that_fails_twice_is_one_failure_and_takes_nothing_from_other_tenants() -> None:
    """With the fifth call the candidate is out, and for that tenant alone."""
    desk = Desk()
    route = desk.route(A)
    for _ in range(4):
        routed = desk.call(route, Call("poison"))
        desk.sent(routed)
        as_retry(desk.failed(routed, K.SERVER_ERROR))
        desk.now += 1
        as_attempt(routed.turn(desk.now))
        as_given_up(desk.failed(routed, K.SERVER_ERROR))
        assert desk.changes == []
    routed = desk.call(route, Call("poison"))
    desk.sent(routed)
    as_given_up(desk.failed(routed, K.SERVER_ERROR))
    assert [change.after for change in desk.changes] == [State.OPEN]
    as_given_up(desk.call(route, Call("poison")).start(desk.now))
    other = desk.call(route, Call("other"))
    assert desk.sent(other).candidate == A
    desk.ok(other)


def test_stream_that_breaks_counts_against_its_provider_although_it_began_well() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    attempt = desk.sent(routed)
    routed.content(attempt, desk.now)
    assert as_given_up(desk.failed(routed, K.DISCONNECTED)).why is Why.BEGUN
    assert (attempt.lane.four[0].passed, attempt.lane.four[0].failed) == (1, 1)


def test_slot_is_free_while_a_retry_waits() -> None:
    desk = Desk(limited())
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    as_retry(desk.failed(routed, K.OVERLOADED))
    assert desk.router.admission.in_use == 0
    other = desk.call(desk.route(A))
    desk.sent(other)
    desk.now += 1
    ticket = as_ticket(routed.turn(desk.now))
    desk.ok(other)
    assert desk.woken == [ticket]
    assert as_attempt(routed.turn(desk.now)).number == 2


def test_turn_without_anything_to_wait_for_is_a_mistake() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    desk.sent(routed)
    with pytest.raises(RuntimeError):
        routed.turn(desk.now)


# Limits


def test_full_candidate_is_passed_over_for_one_with_room() -> None:
    desk = Desk(limited())
    route = desk.route(A, B)
    assert desk.sent(desk.call(route)).candidate is A
    assert desk.sent(desk.call(route)).candidate is B


def test_call_waits_at_its_first_choice_if_nobody_has_room() -> None:
    desk = Desk(limited(b=1))
    route = desk.route(A, B)
    running = [desk.call(route), desk.call(route)]
    for each in running:
        desk.sent(each)
    waiting = desk.call(route)
    ticket = as_ticket(waiting.start(desk.now))
    assert ticket.provider.name == "a"
    assert waiting.turn(desk.now) is ticket
    desk.ok(running[1])
    assert desk.woken == []
    desk.ok(running[0])
    assert desk.woken == [ticket]
    assert as_attempt(waiting.turn(desk.now)).candidate is A


def test_full_queue_is_told_with_when_to_come_back() -> None:
    desk = Desk(limited(queue=0))
    route = desk.route(A)
    desk.sent(desk.call(route))
    given_up = as_given_up(desk.call(route).start(desk.now))
    assert (given_up.kind, given_up.why) == (K.BUSY, Why.BUSY)
    assert given_up.retry_after_s is not None
    assert given_up.retry_after_s >= 1


def test_wait_that_is_too_long_is_given_up() -> None:
    desk = Desk(limited())
    route = desk.route(A)
    desk.sent(desk.call(route))
    waiting = desk.call(route)
    ticket = as_ticket(waiting.start(desk.now))
    assert desk.router.admission.next_deadline() == desk.now + 5
    desk.now += 5
    desk.router.expire(desk.now)
    assert desk.woken == [ticket]
    assert as_given_up(waiting.turn(desk.now)).why is Why.BUSY


def test_call_that_has_to_leave_the_queue_for_another_one_is_told() -> None:
    desk = Desk(limited(queue=2))
    route = desk.route(A)
    desk.sent(desk.call(route))
    flood = [desk.call(route, Call("flood")) for _ in range(2)]
    tickets = [as_ticket(each.start(desk.now)) for each in flood]
    as_ticket(desk.call(route, Call("small")).start(desk.now))
    assert desk.woken == tickets[1:]
    assert tickets[1].state is TicketState.SHED
    assert as_given_up(flood[1].turn(desk.now)).kind is K.BUSY
    # Now each has its share.
    assert as_given_up(desk.call(route, Call("small")).start(desk.now)).kind is K.BUSY


def test_full_queue_leads_to_another_model_if_the_operator_wants_that() -> None:
    desk = Desk(limited(queue=0))
    desk.sent(desk.call(desk.route(A)))
    assert desk.sent(desk.call(desk.route(A, fallbacks=[B]))).candidate is B
    picky = desk.route(A, fallbacks=[C], on=frozenset({K.CONTEXT_OVERFLOW}))
    assert as_given_up(desk.call(picky).start(desk.now)).kind is K.BUSY


def test_limit_of_a_credential_holds_beside_its_provider_s() -> None:
    desk = Desk(RoutingSettings(credentials={"a-key": Limits(1)}))
    route = desk.route(A, Candidate("a", "a-other-key", "model"))
    assert [desk.sent(desk.call(route)).candidate.credential for _ in range(3)] == ["a-key", *["a-other-key"] * 2]


def test_candidate_that_went_out_is_not_asked_by_those_who_waited_for_it() -> None:
    """Their slots are free again at once, and they go elsewhere or are told."""
    desk = Desk(limited(b=1))
    running = desk.call(desk.route(A))
    desk.sent(running)
    busy = desk.call(desk.route(B))
    desk.sent(busy)
    waiting, alone = desk.call(desk.route(A, B)), desk.call(desk.route(A))
    as_ticket(waiting.start(desk.now))
    as_ticket(alone.start(desk.now))
    desk.ok(busy)
    desk.break_(A)
    desk.ok(running)
    assert as_attempt(waiting.turn(desk.now)).candidate is B
    assert len(desk.woken) == 2
    assert as_given_up(alone.turn(desk.now)).kind is K.UNAVAILABLE
    assert desk.router.admission.in_use == 1


# Leaving


def test_client_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    desk = Desk(limited())
    route = desk.route(A)
    running, waiting, behind = (desk.call(route) for _ in range(3))
    desk.sent(running)
    as_ticket(waiting.start(desk.now))
    ticket = as_ticket(behind.start(desk.now))
    waiting.leave(desk.now)
    desk.ok(running)
    assert desk.woken == [ticket]


def test_client_that_leaves_between_its_turn_and_hearing_of_it_passes_the_slot_on() -> None:
    desk = Desk(limited())
    route = desk.route(A)
    running, waiting, behind = (desk.call(route) for _ in range(3))
    desk.sent(running)
    first = as_ticket(waiting.start(desk.now))
    second = as_ticket(behind.start(desk.now))
    desk.ok(running)
    assert first.state is TicketState.ADMITTED
    waiting.leave(desk.now)
    assert desk.woken == [first, second]
    assert as_attempt(behind.turn(desk.now)).number == 1
    assert desk.router.admission.in_use == 1


def test_client_that_leaves_has_its_attempt_hung_up_before_the_slot_is_another_s() -> None:
    """Or the provider would see one more than its limit."""
    desk = Desk(limited())
    route = desk.route(A)
    running, waiting = desk.call(route), desk.call(route)
    attempt = desk.sent(running)
    as_ticket(waiting.start(desk.now))
    seen: list[int] = []
    running.hang_up = lambda _attempt: seen.append(len(desk.woken))
    running.leave(desk.now)
    assert seen == [0]
    assert len(desk.woken) == 1
    assert running.ended(attempt, Outcome(K.DISCONNECTED), desk.now) is None
    running.leave(desk.now)
    assert desk.router.admission.in_use == 1


def test_client_that_leaves_is_no_failure_of_the_provider() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    attempt = desk.sent(routed)
    routed.leave(desk.now)
    assert [(breaker.passed, breaker.failed) for breaker in attempt.lane.four] == [(0, 0)] * 4


def test_trial_whose_client_leaves_lets_the_next_one_be_made() -> None:
    desk = Desk()
    route = desk.route(A)
    desk.break_(A)
    desk.now += 6
    trial = desk.call(route)
    assert desk.sent(trial).trials
    assert as_given_up(desk.call(route).start(desk.now)).kind is K.UNAVAILABLE
    trial.leave(desk.now)
    assert desk.sent(desk.call(route)).trials


# Hedging


def hedging(share: float = 1.0, reserve: int = 10, **more: float) -> RoutingSettings:
    return RoutingSettings(hedging=Hedging(after_s=1.0, share=share, reserve=reserve, **more))


def test_nothing_is_hedged_unless_it_is_wanted() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A, B))
    desk.sent(routed)
    assert routed.hedge_after_s(desk.now) is None


def test_first_content_wins_and_the_other_one_is_hung_up_and_settled() -> None:
    desk = Desk(hedging())
    routed = desk.call(desk.route(A, B))
    first = desk.sent(routed)
    assert routed.hedge_after_s(desk.now) == 1.0
    desk.now += 1
    second = routed.hedge(desk.now)
    assert second is not None
    assert second.candidate is B
    assert desk.router.admission.in_use == 2
    desk.now += 1
    assert routed.content(second, desk.now)
    assert desk.hung_up == [first]
    assert desk.router.admission.in_use == 1
    assert not routed.content(first, desk.now)
    assert routed.ended(first, Outcome(K.DISCONNECTED), desk.now) is None
    assert routed.ended(second, OK, desk.now) is None
    # It was at least so slow; it has not failed.
    assert first.lane.speed.estimate(desk.now) == 2.0
    assert first.lane.four[0].failed == 0


def test_attempt_that_fails_is_out_of_the_race_and_the_other_one_goes_on() -> None:
    desk = Desk(hedging())
    routed = desk.call(desk.route(A, B))
    first = desk.sent(routed)
    second = routed.hedge(desk.now + 1)
    assert second is not None
    assert routed.ended(second, Outcome(K.ERROR_FRAME), desk.now + 1.1) is None
    assert routed.live == [first]
    assert routed.content(first, desk.now + 2)
    assert routed.ended(first, OK, desk.now + 2) is None


def test_race_that_nobody_wins_goes_on_like_any_call() -> None:
    desk = Desk(hedging())
    routed = desk.call(desk.route(A, B, C))
    first = desk.sent(routed)
    second = routed.hedge(desk.now + 1)
    assert second is not None
    assert routed.ended(first, Outcome(K.OVERLOADED), desk.now + 2) is None
    assert as_retry(routed.ended(second, Outcome(K.OVERLOADED), desk.now + 2)).candidate is C


def test_race_in_which_one_may_have_acted_is_not_run_again() -> None:
    """Whichever of the two was the last to fail."""
    desk = Desk(hedging())
    routed = desk.call(desk.route(A, B, C))
    first = desk.sent(routed)
    second = routed.hedge(desk.now + 1)
    assert second is not None
    assert routed.ended(first, Outcome(K.SILENT), desk.now + 2) is None
    assert as_given_up(routed.ended(second, Outcome(K.OVERLOADED), desk.now + 3)).why is Why.MAY_HAVE_ACTED


def test_hedging_is_among_the_attempts_of_a_call() -> None:
    desk = Desk(RoutingSettings(hedging=Hedging(after_s=1.0), retries=Retries(attempts=2)))
    routed = desk.call(desk.route(A, B, C))
    desk.sent(routed)
    desk.failed(routed, K.OVERLOADED)
    as_attempt(routed.turn(desk.now))
    assert routed.hedge(desk.now + 1) is None


def test_new_settings_of_hedging_count_at_once() -> None:
    desk = Desk()
    desk.router.configure(hedging(), desk.now)
    routed = desk.call(desk.route(A, B))
    assert routed.hedge_after_s(desk.now) is None
    desk.sent(routed)
    assert routed.hedge_after_s(desk.now) == 1.0


def test_content_may_be_told_more_than_once() -> None:
    desk = Desk()
    routed = desk.call(desk.route(A))
    attempt = desk.sent(routed)
    assert routed.content(attempt, desk.now)
    assert routed.content(attempt, desk.now + 5)
    assert attempt.lane.four[0].passed == 1
    assert attempt.content_at == desk.now


def test_call_waits_again_if_its_next_candidate_wants_that() -> None:
    """It was waiting for one that went out; another one may be asked again, and not yet."""
    desk = Desk()
    routed = desk.call(desk.route(A, B))
    desk.sent(routed)
    as_retry(desk.failed(routed, K.RATE_LIMITED, 9.0))
    as_attempt(routed.turn(desk.now))
    retry = as_retry(desk.failed(routed, K.RATE_LIMITED, 4.0))
    assert retry.candidate is B
    desk.break_(B)
    desk.now += retry.after_s
    later = as_retry(routed.turn(desk.now))
    assert later.candidate is A
    assert later.after_s > 4
    desk.now += later.after_s
    assert as_attempt(routed.turn(desk.now)).candidate is A


def test_client_that_leaves_ends_both() -> None:
    desk = Desk(hedging())
    routed = desk.call(desk.route(A, B))
    first = desk.sent(routed)
    second = routed.hedge(desk.now + 1)
    routed.leave(desk.now + 2)
    assert desk.hung_up == [first, second]
    assert desk.router.admission.in_use == 0
    assert routed.hedge(desk.now + 3) is None


def test_nobody_is_hedged_with_who_is_not_there() -> None:
    desk = Desk(hedging())
    alone = desk.call(desk.route(A))
    desk.sent(alone)
    assert alone.hedge(desk.now + 1) is None
    begun = desk.call(desk.route(A, B))
    begun.content(desk.sent(begun), desk.now)
    assert begun.hedge(desk.now + 1) is None
    full = Desk(RoutingSettings(providers=limited(9, b=1).providers, hedging=Hedging(after_s=1.0, share=1.0)))
    full.sent(full.call(full.route(B)))
    routed = full.call(full.route(A, B))
    full.sent(routed)
    assert routed.hedge(full.now + 1) is None
    assert full.router.admission.in_use == 2


# Routes


def serves(provider: str, model: str) -> Served | str:
    return Served(model) if provider != "groq" or model == "llama" else "no such model"


def test_route_is_made_from_what_a_name_stands_for() -> None:
    settings = RoutingSettings(
        models={"gpt": ModelSettings(strategy=Strategy.WEIGHTED, sticky=True, fallbacks=(Fallback("groq/llama"),))}
    )
    uses = [CredentialUse("main", "openai"), CredentialUse("spare", "openai"), CredentialUse("g", "groq")]
    resolved = resolve("gpt", uses, settings, serves)
    desk = Desk(settings)
    route = desk.router.route(resolved)
    assert [lane.candidate.credential for group in route.main.groups for lane in group] == ["main", "spare"]
    assert (route.main.strategy, route.main.sticky) == (Strategy.WEIGHTED, True)
    [fallback] = route.fallbacks
    assert fallback.groups[0][0].candidate == Candidate("groq", "g", "llama")
    assert route.only is None
    assert desk.router.route(resolve("groq/llama", uses, settings, lambda _provider, model: Served(model))).only


def test_candidates_of_different_routes_share_what_is_known() -> None:
    desk = Desk()
    first, second = desk.route(A, B), desk.route(B, A)
    desk.break_(A)
    assert desk.order(first) == [B]
    assert desk.order(second) == [B]
    assert first.main.groups[0][0] is second.main.groups[0][1]


def test_new_settings_keep_what_is_known() -> None:
    desk = Desk()
    route = desk.route(A, B)
    desk.break_(A)
    routed = desk.call(desk.route(B))
    desk.sent(routed)
    desk.router.configure(limited(7, b=1), desk.now)
    assert desk.router.lane(A).four[1].state is State.OPEN
    assert desk.router.admission.in_use == 1
    as_ticket(desk.call(route).start(desk.now))


def test_names_that_callers_make_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "MAX_LANES", 20)
    desk = Desk()
    desk.router.lane(A).speed.took(1.0, desk.now)
    for number in range(100):
        desk.router.lane(Candidate("b", "b-key", f"model-{number}"))
        desk.router.lane(A)
    assert desk.router.lane(A).speed.estimate(desk.now) == 1.0
    assert len(desk.router.health.report(desk.now)) <= 2 * 20 + 4
