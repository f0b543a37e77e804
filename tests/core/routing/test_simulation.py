"""What operators are promised of the whole, in simulated time. A seed that fails is told with how to play it again."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from llm_gateway.core.routing.attempts import Why
from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.outcomes import OutcomeKind, Scope
from tests.core.routing import scenarios
from tests.core.routing.scenarios import A, B
from tests.core.routing.simulation import Simulation


def seeds(count: int) -> Callable[[Callable[[int], None]], Callable[[int], None]]:
    """Run a test for so many seeds; say of one that fails how to see it."""

    def decorate(test: Callable[[int], None]) -> Callable[[int], None]:
        @functools.wraps(test)
        def told(seed: int) -> None:
            try:
                test(seed)
            except AssertionError as error:
                code = test.__code__
                names = [name for name in scenarios.SCENARIOS if name in code.co_names + code.co_consts]
                for name in names:
                    error.add_note(f"see it: python -m tests.core.routing.scenarios {name} {seed}")
                raise

        parametrized: Callable[[int], None] = pytest.mark.parametrize("seed", range(count))(told)
        return parametrized

    return decorate


@functools.lru_cache(maxsize=4)
def day(name: str, seed: int) -> Simulation:
    """Several tests look at one."""
    return scenarios.SCENARIOS[name](seed)


def opened(sim: Simulation, scope: Scope, provider: str = "a") -> list[float]:
    """When a part was taken out."""
    return [change.at for change in sim.turns(scope, provider) if change.after is State.OPEN]


# Callers do not notice


@seeds(3)
def test_provider_that_is_gone_costs_no_call(seed: int) -> None:
    sim = day("blackout", seed)
    assert sim.share_ok() == 1.0
    assert all(len(caller.sent) <= 2 for caller in sim.callers)


@seeds(3)
def test_provider_that_is_gone_is_noticed_at_once_and_hardly_asked(seed: int) -> None:
    """Within 3 s at ten calls a second; then single trials, a hundredth of what would have come."""
    sim = day("blackout", seed)
    assert 60 <= opened(sim, Scope.PROVIDER)[0] <= 63
    assert sim.providers["a"].came(63, 120) <= 6
    assert len(sim.between(63, 120)) > 400


@seeds(3)
def test_traffic_returns_gradually(seed: int) -> None:
    """The first trial comes within half a minute, and half a minute after the last one all is as before."""
    sim = day("blackout", seed)
    closed = [change.at for change in sim.turns(Scope.PROVIDER, "a") if change.after is State.CLOSED]
    assert len(closed) == 1
    assert 120 <= closed[0] <= 155
    shares = [sim.share_of("a", closed[0] + at, closed[0] + at + 10) for at in (0, 10, 20, 30)]
    assert 0.1 < shares[0] < 0.45
    assert 0.3 < shares[1] < 0.75
    assert 0.6 < shares[2] < 1.0
    assert shares[3] == 1.0


@seeds(2)
def test_provider_that_takes_calls_and_says_nothing_costs_no_call(seed: int) -> None:
    """Where the operator allows a second send. Each of the first calls waits for its first byte's clock, then none."""
    sim = scenarios.silence(seed)
    assert sim.share_ok() == 1.0
    noticed = opened(sim, Scope.MODEL)[0]
    assert noticed <= 60 + 5 + 3
    waits = [caller.first_token_s or 0.0 for caller in sim.between(noticed, 120)]
    assert sum(wait > 5 for wait in waits) <= 3


@seeds(2)
def test_brownout_is_mended_by_single_retries(seed: int) -> None:
    """Each call that fails is sent once more, elsewhere; seven of ten still go where the operator wants them."""
    sim = scenarios.brownout(seed)
    assert sim.share_ok() == 1.0
    assert sim.share_of("a", 60, 180) > 0.5
    came = len(sim.between(60, 180))
    assert sim.providers["a"].came(60, 180) <= came
    assert sim.providers["b"].came(60, 180) <= 0.45 * came


@seeds(2)
def test_flapping_provider_costs_no_call_and_is_not_believed_at_once(seed: int) -> None:
    sim = scenarios.flapping(seed)
    assert sim.share_ok() == 1.0
    assert len(opened(sim, Scope.PROVIDER)) <= 14
    failed = sum(len(caller.sent) - 1 for caller in sim.between(60, 360))
    assert failed <= 0.1 * len(sim.between(60, 360))
    assert sim.share_of("a", 440, 480) == 1.0


@seeds(2)
def test_bad_credential_costs_no_call_and_is_told_once(seed: int) -> None:
    """The provider stays in with its other credential; a person is told, and trials go on at growing distances."""
    sim = scenarios.bad_credential(seed)
    assert sim.share_ok() == 1.0
    alerts = [change for change in sim.changes if change.alert]
    assert alerts[0].part.credential == A.credential
    assert {change.part.scope for change in sim.changes} == {Scope.CREDENTIAL}
    refused = sim.providers["a"].came(30, 630, A.credential)
    assert refused <= 9
    assert sim.providers["a"].came(1270, 1300, A.credential) > 0


@seeds(2)
def test_slow_provider_is_left_and_found_again(seed: int) -> None:
    sim = scenarios.slow(seed)
    assert sim.share_ok() == 1.0
    assert sim.share_of("a", 60, 120) > 0.85
    assert sim.share_of("a", 140, 240) < 0.1
    assert sim.share_of("b", 140, 240) > 0.8
    assert sim.share_of("a", 330, 480) > 0.8


# Nothing is made worse


@seeds(2)
def test_overload_is_not_multiplied(seed: int) -> None:
    """The only provider fails every call: retries add no more than the budget, and then it is left alone."""
    sim = scenarios.overload_alone(seed)
    noticed = opened(sim, Scope.MODEL)[0]
    assert noticed <= 64
    came = len(sim.between(60, noticed))
    budget = sim.settings.provider("a")
    assert sim.providers["a"].came(60, noticed) <= came * (1 + budget.retry_share) + budget.retry_reserve
    assert sim.providers["a"].came(noticed + 1, 180) <= 10
    assert sim.share_ok(0, 60) == sim.share_ok(215) == 1.0


@seeds(2)
def test_nothing_up_fails_fast_and_says_when_to_come_back(seed: int) -> None:
    """Each provider takes 3 s to fail; once both are known to be down, callers wait for none of them."""
    sim = scenarios.everything_down(seed)
    known = max(opened(sim, Scope.PROVIDER, name)[0] for name in "ab")
    assert known < 75
    callers = sim.between(known + 1, 118)
    refused = [caller for caller in callers if not caller.sent]
    assert len(refused) > 0.97 * len(callers)
    for caller in refused:
        assert caller.over_at == caller.came_at
        assert caller.gave_up is not None
        assert caller.gave_up.kind is OutcomeKind.UNAVAILABLE
        assert 0 <= (caller.gave_up.retry_after_s or 0.0) <= 33
    assert sim.share_ok(0, 60) == sim.share_ok(160) == 1.0


@seeds(2)
def test_what_answers_some_calls_is_asked_if_nothing_else_is_there(seed: int) -> None:
    """A breaker that cut off what still answers four of ten calls would turn a brown-out into a black-out."""
    sim = scenarios.half_broken_alone(seed)
    assert sim.share_ok(60, 180) > 0.4
    came = len(sim.between(60, 180))
    assert sim.providers["a"].came(60, 180) <= 1.2 * came + 10


@seeds(2)
def test_rate_limited_provider_is_left_alone_until_it_said(seed: int) -> None:
    sim = scenarios.storm(seed)
    assert sim.share_ok() == 1.0
    cooled = [change for change in sim.changes if change.after is State.COOLING]
    assert len(cooled) > 10
    log = [at for at, _ in sim.providers["a"].log]
    for change in cooled:
        # What was sent before the first refusal came back is on its way.
        assert not [at for at in log if change.at < at < (change.until or 0.0)]
    assert {change.part.scope for change in sim.changes} == {Scope.ACCESS}


@seeds(2)
def test_rate_limit_of_the_only_provider_becomes_a_refusal_with_the_time_to_wait(seed: int) -> None:
    """Most of what it can take gets through, and few calls ask it in vain."""
    sim = scenarios.storm(seed, alone=True)
    gave_up = [caller.gave_up for caller in sim.callers if caller.gave_up is not None]
    assert {each.kind for each in gave_up} == {OutcomeKind.RATE_LIMITED}
    assert all(each.retry_after_s is not None and each.retry_after_s <= 3.0 for each in gave_up)
    script = sim.providers["a"].script
    assert isinstance(script, scenarios.Metered)
    assert len(script.refused) <= 0.1 * len(sim.callers)
    assert len(sim.callers) - len(gave_up) >= 0.6 * 5 * 60


@seeds(1)
def test_one_model_s_overload_leaves_the_others(seed: int) -> None:
    sim = scenarios.one_model_overloaded(seed)
    assert sim.share_ok(tenant="other") == 1.0
    assert sim.share_ok(40, 85, tenant="model") == 0.0
    assert [change.part.model for change in sim.changes if change.after is State.OPEN]
    assert {change.part.model for change in sim.changes} == {"model"}


# Never twice


@seeds(2)
def test_nothing_is_sent_again_after_the_first_byte(seed: int) -> None:
    """Even where the operator allows every repetition; the simulation itself would stop at a second send."""
    sim = scenarios.cut_off(seed)
    cut = [caller for caller in sim.callers if caller.ended == "failed"]
    assert len(cut) > 100
    for caller in cut:
        assert caller.gave_up is not None
        assert caller.gave_up.why is Why.BEGUN
        assert len(caller.sent) == 1


@seeds(2)
def test_nothing_is_sent_for_a_client_that_has_left(seed: int) -> None:
    """Nor is a slot, a place in a queue or a trial lost: the simulation checks after every step, and at the end."""
    sim = scenarios.restless(seed)
    left = [caller for caller in sim.callers if caller.ended == "left"]
    assert len(left) > 500
    for caller in left:
        assert all(at <= (caller.over_at or 0.0) for at, _ in caller.sent)


# Fairness


@seeds(2)
def test_flood_of_one_tenant_does_not_starve_another(seed: int) -> None:
    sim = scenarios.flood(seed)
    assert sim.share_ok(tenant="small") == 1.0
    assert max(caller.first_token_s or 0.0 for caller in sim.between(0, 30, "small")) < 1.5
    assert sim.share_ok(tenant="flood") < 0.2
    # Nothing is wasted on being fair: ten slots of a second each.
    assert sim.providers["a"].came(5, 25) >= 0.97 * 10 * 20
    shed = [caller.gave_up for caller in sim.callers if caller.gave_up is not None]
    assert {each.kind for each in shed} == {OutcomeKind.BUSY}
    assert all(1 <= (each.retry_after_s or 0) <= 30 for each in shed)


# Hedging and staying


@seeds(1)
def test_hedging_cuts_the_tail_within_its_share(seed: int) -> None:
    without, hedged = scenarios.tail(seed, hedged=False), scenarios.tail(seed)
    assert late(without) > 0.03
    assert late(hedged) < 0.005
    extra = sum(len(caller.sent) - 1 for caller in hedged.callers)
    assert 0 < extra <= 0.1 * len(hedged.callers)
    assert hedged.share_ok() == 1.0


def late(sim: Simulation) -> float:
    """The share of calls that waited for more than 3 s."""
    return sum((caller.first_token_s or 0.0) > 3 for caller in sim.callers) / len(sim.callers)


@seeds(1)
def test_error_frame_does_not_win_a_race(seed: int) -> None:
    sim = scenarios.error_frames(seed)
    assert sim.share_ok() == 1.0
    assert sum(len(caller.sent) == 2 for caller in sim.callers) > 100
    assert all(caller.first_token_s == pytest.approx(1.0) for caller in sim.callers)


POISON = (OutcomeKind.SERVER_ERROR, OutcomeKind.DISCONNECTED, OutcomeKind.KEY_REFUSED, OutcomeKind.FORBIDDEN)


@seeds(2)
def test_poison_of_one_tenant_costs_others_no_call(seed: int) -> None:
    """
    Not with one candidate either, and none of theirs is sent twice. The calls that fail are sent again no more often
    than the share of retries allows.
    """
    for kind in POISON:
        for model in ("model", ""):
            sim = scenarios.poison(seed, kind, model=model)
            came = len(sim.between(20, 140, "poison"))
            assert came > 500
            assert {change.after for change in sim.changes} >= {State.OPEN, State.CLOSED}
            for tenant in ("often", "seldom"):
                assert sim.share_ok(tenant=tenant) == 1.0
                assert sim.sends(0, 200, tenant) == len(sim.between(0, 200, tenant))
            assert sim.sends(20, 140, "poison") <= 1.35 * came


@seeds(2)
def test_poison_leaves_others_where_they_are_for_the_most_part(seed: int) -> None:
    """Where there are two candidates, calls of others try the first one, and do so before the one who took it out."""
    sim = scenarios.poison(seed, alone=False)
    assert sim.share_ok(tenant="often") == sim.share_ok(tenant="seldom") == 1.0
    others = sim.between(20, 140, "often")
    assert sum(caller.sent[0][1] == A for caller in others) > 0.6 * len(others)


@seeds(2)
def test_conversation_stays_where_it_is(seed: int) -> None:
    """One whose provider is well is not moved by another's outage; the others leave and come back once each."""
    sim = scenarios.conversations(seed)
    visits: dict[str, list[str]] = {}
    for caller in sim.callers:
        assert caller.call.conversation is not None
        visits.setdefault(caller.call.conversation, []).append(caller.sent[-1][1].provider)
    homes = Counter(seen[0] for seen in visits.values())
    assert set(homes) == {"a", "b", "c"}
    for seen in visits.values():
        moves = sum(here != there for here, there in pairwise(seen))
        # The first calls after the outage began were sent to it and then elsewhere; trials and the way back add some.
        assert moves == 0 if seen[0] != "a" else moves <= 6


# Anything


@seeds(8)
def test_nothing_is_lost_whatever_happens(seed: int) -> None:
    """
    Slots, limits, single endings and second sends are checked at every step. After a minute without trouble every call
    for which there is room succeeds: nothing stays out for good.
    """
    sim = scenarios.anything(seed)
    for caller in sim.callers:
        assert (caller.gave_up is not None) == (caller.ended == "failed")
    last = [caller for caller in sim.between(240, 300) if caller.ended != "left"]
    failed = [caller.gave_up for caller in last if caller.gave_up and caller.gave_up.kind is not OutcomeKind.BUSY]
    assert len(last) > 50
    assert failed == []


def test_the_same_seed_plays_the_same_day() -> None:
    first, second = scenarios.anything(3), scenarios.anything(3)
    assert first.changes == second.changes
    assert [caller.over_at for caller in first.callers] == [caller.over_at for caller in second.callers]


def test_scenarios_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    scenarios.main(["error_frames", "4"])
    shown = capsys.readouterr().out
    assert "seed 4" in shown
    assert B.provider in shown
