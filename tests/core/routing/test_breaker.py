"""One part's health, from outcome to outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.routing.breaker import Breaker, Change, Fitness, Part, State
from llm_gateway.core.routing.outcomes import RULES, TABLE, Outcome, OutcomeKind, Scope, Verdict
from llm_gateway.core.routing.settings import Breaking

PART = Part(Scope.MODEL, "openai", None, "gpt")
FAILED, LIMITED, REFUSED = OutcomeKind.SERVER_ERROR, OutcomeKind.RATE_LIMITED, OutcomeKind.KEY_REFUSED


class Bench:
    """A breaker, a clock that moves by calls, and what was told."""

    def __init__(self, chance: Callable[[], float] = lambda: 0.5, **settings: float) -> None:
        self.changes: list[Change] = []
        self.now = 1000.0
        self.breaker = Breaker(
            PART,
            Breaking(**settings),  # type: ignore[arg-type]  # whole numbers are among them
            chance,
            lambda _breaker, change: self.changes.append(change),
        )

    def good(self, times: int = 1, *, every_s: float = 0.1, trial: bool = False, tenant: str = "x") -> None:
        for _ in range(times):
            self.now += every_s
            self.breaker.good(self.now, trial, tenant)

    def bad(
        self,
        times: int = 1,
        kind: OutcomeKind = FAILED,
        *,
        every_s: float = 0.1,
        trial: bool = False,
        retry_after_s: float | None = None,
        tenant: str = "x",
        repeated: bool = False,
    ) -> None:
        for _ in range(times):
            self.now += every_s
            self.breaker.bad(RULES[kind], Outcome(kind, None, retry_after_s), self.now, trial, tenant, repeated)

    def fitness(self, later_s: float = 0.0, lot: float = 0.0, tenant: str = "x") -> Fitness:
        return self.breaker.fitness(self.now + later_s, lot, tenant)

    def try_it(self, *, well: bool) -> None:
        """Wait for the trial that is due, and make it."""
        assert self.breaker.until is not None
        self.now = max(self.now, self.breaker.until)
        self.breaker.refresh(self.now)
        assert self.breaker.begin_trial(self.now, "x")
        if well:
            self.good(trial=True)
        else:
            self.bad(trial=True)
        self.breaker.trial_over()

    def is_in(self, state: State) -> bool:
        return self.breaker.state is state

    @property
    def states(self) -> list[State]:
        return [change.after for change in self.changes]


def test_healthy_part_is_in_and_tells_nothing() -> None:
    bench = Bench()
    bench.good(100)
    bench.bad(4)
    bench.good(100)
    assert bench.fitness() is Fitness.IN
    assert not bench.breaker.troubled
    assert bench.changes == []


# Opening


def test_failures_in_a_row_open_it() -> None:
    bench = Bench()
    bench.bad(4, every_s=30)
    assert bench.is_in(State.CLOSED)
    bench.bad(every_s=30)
    assert bench.is_in(State.OPEN)
    assert bench.states == [State.OPEN]
    assert bench.changes[0].reason == "5 calls in a row failed, the last one: server error"


def test_few_failures_in_a_row_among_many_good_calls_do_not() -> None:
    bench = Bench()
    bench.good(200, every_s=0.02)
    bench.bad(10, every_s=0.02)
    assert bench.is_in(State.CLOSED)


def test_many_failures_in_a_row_open_it_whatever_was_before() -> None:
    bench = Bench()
    bench.good(200, every_s=0.02)
    bench.bad(20, every_s=0.02)
    assert bench.is_in(State.OPEN)


def test_share_of_many_calls_opens_it_without_a_row() -> None:
    bench = Bench()
    for _ in range(9):
        bench.bad()
        bench.good()
    assert bench.is_in(State.CLOSED)
    for _ in range(2):
        bench.bad()
        bench.good()
    assert bench.is_in(State.OPEN)
    assert "of the last" in bench.changes[0].reason


def test_share_below_the_limit_does_not_open_it_however_many_calls() -> None:
    bench = Bench()
    for _ in range(500):
        bench.bad(2)
        bench.good(3)
    assert bench.changes == []


def test_old_failures_are_forgotten() -> None:
    bench = Bench()
    for _ in range(40):
        bench.bad(every_s=3)
        bench.good(2, every_s=3)
    assert bench.changes == []
    bench.bad(4)
    bench.good()
    bench.now += 60
    bench.bad(4)
    assert bench.is_in(State.CLOSED)


def test_switched_off_it_counts_and_stays_closed() -> None:
    bench = Bench(enabled=False)
    bench.bad(100)
    bench.bad(10, LIMITED, retry_after_s=10)
    bench.bad(10, REFUSED)
    bench.breaker.probed("gone", bench.now)
    assert bench.fitness() is Fitness.IN
    assert (bench.breaker.failed, bench.breaker.cooled) == (110, 10)


def test_call_that_is_sent_twice_is_one_in_a_row() -> None:
    bench = Bench()
    for _ in range(4):
        bench.bad()
        bench.bad(repeated=True)
    assert bench.is_in(State.CLOSED)
    bench.bad()
    assert bench.changes[0].reason == "5 calls in a row failed, the last one: server error"


# Failures of one tenant


@pytest.mark.parametrize(("kind", "times"), [(FAILED, 5), (OutcomeKind.DISCONNECTED, 5), (REFUSED, 3)])
def test_failures_of_one_tenant_take_it_from_that_tenant_alone(kind: OutcomeKind, times: int) -> None:
    bench = Bench()
    bench.bad(times, kind)
    assert bench.is_in(State.OPEN)
    assert bench.fitness() is Fitness.OUT
    assert bench.fitness(tenant="y") is Fitness.LAST_RESORT


def test_failure_of_a_second_tenant_makes_it_dead_for_all() -> None:
    """Before it opens or after."""
    before, after = Bench(), Bench()
    before.bad(4)
    before.bad(tenant="y")
    after.bad(5)
    after.bad(tenant="y")
    for bench in (before, after):
        assert {bench.fitness(tenant=each) for each in "xyz"} == {Fitness.OUT}


def test_good_call_of_a_second_tenant_begins_the_streak_anew() -> None:
    bench = Bench()
    bench.bad(3, tenant="y")
    bench.good(tenant="y")
    bench.bad(9)
    assert bench.is_in(State.OPEN)
    assert bench.fitness(tenant="y") is Fitness.LAST_RESORT


@pytest.mark.parametrize("kind", [OutcomeKind.UNREACHABLE, OutcomeKind.CONNECT_TIMEOUT])
def test_no_connection_is_nobodys_fault(kind: OutcomeKind) -> None:
    bench = Bench()
    bench.bad(5, kind)
    assert bench.fitness(tenant="y") is Fitness.OUT


def test_failures_of_nobody_in_particular_count_for_all() -> None:
    bench = Bench()
    bench.bad(5, tenant="")
    assert bench.fitness(tenant="y") is Fitness.OUT


def test_probe_that_fails_is_nobodys_fault() -> None:
    bench = Bench()
    bench.bad(5)
    bench.now += 6
    bench.breaker.refresh(bench.now)
    bench.breaker.probed("gone", bench.now)
    assert bench.fitness(tenant="y") is Fitness.OUT


def test_answers_to_others_do_not_let_the_one_in_who_took_it_out() -> None:
    bench = Bench()
    bench.bad(5)
    bench.good(50, tenant="y", every_s=0.01)
    assert bench.fitness() is Fitness.OUT
    assert bench.fitness(tenant="y") is Fitness.LAST_RESORT


def test_others_try_first_and_close_it_for_all() -> None:
    bench = Bench(open_s=5, trials=2)
    bench.bad(5)
    assert bench.fitness(2.4, tenant="y") is Fitness.LAST_RESORT
    bench.now += 2.6
    assert bench.fitness(tenant="y") is Fitness.IN
    assert not bench.breaker.begin_trial(bench.now, "x")
    assert bench.breaker.begin_trial(bench.now, "y")
    assert bench.is_in(State.HALF_OPEN)
    assert bench.fitness() is Fitness.OUT
    assert bench.fitness(tenant="z") is Fitness.LAST_RESORT
    bench.good(tenant="y", trial=True)
    bench.breaker.trial_over()
    assert bench.breaker.begin_trial(bench.now, "z")
    bench.good(tenant="z", trial=True)
    assert bench.is_in(State.CLOSED)


def test_trial_of_another_tenant_that_fails_makes_it_dead_for_all() -> None:
    bench = Bench()
    bench.bad(5)
    bench.now += 3
    assert bench.breaker.begin_trial(bench.now, "y")
    bench.bad(tenant="y", trial=True)
    assert bench.is_in(State.OPEN)
    assert bench.fitness(3, tenant="z") is Fitness.OUT


def test_half_open_one_still_says_what_led_to_it() -> None:
    bench = Bench()
    bench.bad(5)
    bench.now += 6
    bench.breaker.refresh(bench.now)
    words = "time for a trial, after this: 5 calls in a row failed, the last one: server error"
    assert bench.breaker.reason == words


# Out, and back


def test_open_one_is_out_until_its_trial() -> None:
    bench = Bench()
    bench.bad(5)
    assert bench.fitness() is Fitness.OUT
    assert bench.fitness(4.9) is Fitness.OUT
    assert bench.fitness(5.1) is Fitness.IN


def test_asking_changes_nothing() -> None:
    bench = Bench()
    bench.bad(5)
    assert bench.fitness(100) is Fitness.IN
    assert bench.is_in(State.OPEN)


def test_trials_are_made_one_at_a_time() -> None:
    bench = Bench()
    bench.bad(5)
    bench.now += 6
    bench.breaker.refresh(bench.now)
    assert bench.is_in(State.HALF_OPEN)
    assert bench.breaker.begin_trial(bench.now, "x")
    assert not bench.breaker.begin_trial(bench.now, "x")
    assert bench.fitness() is Fitness.OUT
    bench.breaker.trial_over()
    assert bench.fitness() is Fitness.IN


def test_trial_that_never_ends_does_not_keep_it_out_for_good() -> None:
    bench = Bench(trial_s=30)
    bench.bad(5)
    bench.now += 6
    bench.breaker.refresh(bench.now)
    assert bench.breaker.begin_trial(bench.now, "x")
    assert bench.fitness(29) is Fitness.OUT
    assert bench.fitness(31) is Fitness.IN


def test_good_trials_close_it_and_its_share_grows() -> None:
    bench = Bench(trials=2, ramp_s=30, ramp_from=0.1)
    bench.bad(5)
    bench.try_it(well=True)
    assert bench.is_in(State.HALF_OPEN)
    assert bench.breaker.begin_trial(bench.now, "x")
    bench.good(trial=True)
    assert bench.is_in(State.CLOSED)
    assert bench.breaker.share(bench.now) == pytest.approx(0.1)
    assert bench.breaker.share(bench.now + 15) == pytest.approx(0.55)
    assert bench.fitness(15, lot=0.5) is Fitness.IN
    assert bench.fitness(15, lot=0.6) is Fitness.RAMPING
    assert bench.fitness(30, lot=0.999) is Fitness.IN
    assert bench.breaker.troubled
    assert not bench.breaker.refresh(bench.now + 31)


def test_bad_trial_opens_it_for_twice_as_long() -> None:
    bench = Bench(open_s=5, longest_open_s=30)
    bench.bad(5)
    waits = []
    for _ in range(5):
        assert bench.breaker.until is not None
        waits.append(bench.breaker.until - bench.now)
        bench.try_it(well=False)
    assert waits == pytest.approx([5, 10, 20, 30, 30])


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 4.5), (0.999, 5.5)])
def test_many_gateways_do_not_try_at_the_same_moment(chance: float, wait: float) -> None:
    bench = Bench(lambda: chance)
    bench.bad(5)
    assert bench.breaker.until == pytest.approx(bench.now + wait, abs=0.01)


def test_one_that_failed_again_soon_is_believed_later() -> None:
    """And one that was well for a long time begins anew."""
    bench = Bench(trials=1, open_s=5, longest_open_s=30)
    bench.bad(5)
    bench.try_it(well=True)
    bench.bad(5)
    assert (bench.breaker.until or 0) - bench.now == pytest.approx(10)
    bench.try_it(well=True)
    bench.good(10, every_s=10)
    bench.bad(5)
    assert (bench.breaker.until or 0) - bench.now == pytest.approx(5)


def test_late_news_of_old_calls_neither_closes_nor_opens_it() -> None:
    bench = Bench(trials=1)
    bench.bad(5)
    bench.good(5)
    assert bench.is_in(State.OPEN)
    bench.now += 6
    bench.breaker.refresh(bench.now)
    bench.bad(30)
    bench.good(5)
    assert bench.is_in(State.HALF_OPEN)


def test_one_that_still_answers_is_a_last_resort_and_a_dead_one_is_none() -> None:
    sick, dead = Bench(), Bench()
    for _ in range(15):
        sick.bad(2)
        sick.good()
    dead.bad(30)
    assert sick.breaker.state is dead.breaker.state is State.OPEN
    assert sick.fitness() is Fitness.LAST_RESORT
    assert sick.fitness(2) is Fitness.LAST_RESORT
    assert dead.fitness() is Fitness.OUT


def test_sudden_death_after_many_good_calls_is_no_last_resort() -> None:
    """The good calls before it are still in the window."""
    bench = Bench()
    bench.good(500, every_s=0.01)
    bench.bad(20, every_s=0.01)
    assert bench.fitness() is Fitness.OUT


# Rate limits


def test_rate_limit_cools_until_the_time_that_was_said() -> None:
    bench = Bench()
    bench.bad(1, LIMITED, retry_after_s=7)
    assert bench.is_in(State.COOLING)
    assert bench.breaker.opens_at() == bench.now + 7
    assert bench.fitness(0.5) is Fitness.OUT
    assert bench.fitness(7) is Fitness.IN
    assert not bench.breaker.refresh(bench.now + 7)
    assert bench.states == [State.COOLING, State.CLOSED]


def test_rate_limits_are_not_failures() -> None:
    bench = Bench()
    for _ in range(50):
        bench.bad(1, LIMITED, retry_after_s=0.01)
        bench.now += 1
        bench.breaker.refresh(bench.now)
    assert State.OPEN not in bench.states
    assert bench.breaker.failed == 0
    assert bench.breaker.cooled == 50


def test_long_times_are_cut_and_still_told() -> None:
    """The gateway looks again after a minute; clients hear what the provider said."""
    bench = Bench(longest_cooling_s=60)
    bench.bad(1, LIMITED, retry_after_s=3600)
    assert bench.fitness(59.0, lot=0.0) is not Fitness.IN
    assert bench.fitness(60.1) is Fitness.IN
    assert bench.breaker.opens_at() == bench.now + 3600


def test_without_a_time_each_limit_in_a_row_cools_for_twice_as_long() -> None:
    bench = Bench(cooling_s=1, longest_cooling_s=10)
    waits = []
    for _ in range(6):
        bench.bad(1, LIMITED)
        assert bench.breaker.until is not None
        waits.append(bench.breaker.until - bench.now)
        bench.now = bench.breaker.until
        bench.breaker.refresh(bench.now)
    assert waits == pytest.approx([1, 2, 4, 8, 10, 10])
    bench.good()
    bench.bad(1, LIMITED)
    assert bench.breaker.until == pytest.approx(bench.now + 1)


def test_limits_that_came_together_count_once_and_the_longest_time_holds() -> None:
    bench = Bench()
    bench.bad(1, LIMITED, retry_after_s=2)
    bench.bad(1, LIMITED, retry_after_s=9)
    bench.bad(20, LIMITED, retry_after_s=1)
    assert bench.states == [State.COOLING]
    assert bench.fitness(6.5) is not Fitness.IN
    assert bench.fitness(9) is Fitness.IN


def test_limits_that_came_together_make_the_next_wait_no_longer() -> None:
    bench = Bench(cooling_s=1)
    bench.bad(20, LIMITED, every_s=0.01)
    assert bench.breaker.until is not None
    bench.now = bench.breaker.until
    bench.breaker.refresh(bench.now)
    bench.bad(1, LIMITED)
    assert bench.breaker.until == pytest.approx(bench.now + 2)


def test_cooling_one_lets_a_call_through_now_and_then_when_nothing_else_is_there() -> None:
    """It may have been the limit of that one call; one that is answered ends the cooling for all."""
    bench = Bench(cooling_s=1)
    bench.bad(1, LIMITED, retry_after_s=30)
    assert bench.fitness(0.9) is Fitness.OUT
    assert bench.fitness(1.1) is Fitness.LAST_RESORT
    bench.now += 1.1
    assert bench.breaker.begin_trial(bench.now, "x")
    assert bench.fitness() is Fitness.OUT
    bench.breaker.trial_over()
    assert bench.fitness() is Fitness.OUT
    assert bench.fitness(1.0) is Fitness.LAST_RESORT
    bench.now += 1.0
    assert bench.breaker.begin_trial(bench.now, "x")
    bench.good(trial=True)
    assert bench.fitness() is Fitness.IN
    assert not bench.breaker.troubled


def test_good_calls_that_were_under_way_do_not_end_the_cooling() -> None:
    bench = Bench()
    bench.bad(1, LIMITED, retry_after_s=30)
    bench.good(10)
    assert bench.is_in(State.COOLING)


def test_time_that_is_no_time_cools_nothing() -> None:
    bench = Bench()
    bench.bad(1, LIMITED, retry_after_s=0)
    assert bench.fitness() is Fitness.IN


# Refusals


def test_refusals_in_a_row_open_it_for_long_and_call_a_person() -> None:
    bench = Bench(refusals=3, refused_open_s=30)
    bench.bad(2, REFUSED)
    bench.good()
    bench.bad(2, REFUSED)
    assert bench.changes == []
    bench.bad(1, REFUSED)
    [change] = bench.changes
    assert change.alert
    assert change.reason == "3 times in a row: key refused"
    assert (change.until or 0) - change.at == pytest.approx(30)
    assert bench.fitness() is Fitness.OUT


# Probes


def test_probes_that_fail_open_what_nobody_calls() -> None:
    bench = Bench(probes=2)
    bench.breaker.probed("no answer within 5 s", 1030.0)
    assert bench.is_in(State.CLOSED)
    bench.breaker.probed("no answer within 5 s", 1060.0)
    assert bench.is_in(State.OPEN)
    assert bench.changes[0].reason == "2 probes in a row failed, the last one: no answer within 5 s"


def test_calls_that_are_answered_weigh_more_than_probes_that_are_not() -> None:
    """A provider whose list of models is broken answers calls all the same."""
    bench = Bench(probes=2)
    for _ in range(20):
        bench.breaker.probed("HTTP status 500", bench.now)
        bench.good()
    assert bench.changes == []


def test_probe_that_is_answered_is_a_trial_without_a_call() -> None:
    bench = Bench(trials=2)
    bench.bad(30)
    bench.breaker.probed(None, bench.now)
    assert bench.is_in(State.HALF_OPEN)
    bench.breaker.probed(None, bench.now + 30)
    assert bench.is_in(State.CLOSED)
    assert bench.breaker.share(bench.now + 30) < 1


def test_probe_that_fails_ends_the_trials() -> None:
    bench = Bench()
    bench.bad(30)
    bench.now += 6
    bench.breaker.probed("refused", bench.now)
    assert bench.states == [State.OPEN, State.HALF_OPEN, State.OPEN]


def test_mended_one_begins_anew() -> None:
    bench = Bench()
    bench.bad(3, REFUSED)
    bench.breaker.forget(bench.now)
    assert bench.fitness() is Fitness.IN
    assert not bench.breaker.troubled
    bench.bad(2, REFUSED)
    assert bench.is_in(State.CLOSED)


# Laws

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["good", "bad", "limited", "refused", "probe", "probe failed", "trial", "wait"]),
        st.floats(0, 40),
        st.booleans(),
        st.sampled_from(["x", "x", "y", ""]),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_every_change_is_told_once_and_it_can_come_back(
    steps: list[tuple[str, float, bool, str]],
) -> None:
    bench = Bench()
    breaker = bench.breaker
    for what, seconds, trial, tenant in steps:
        if what in ("good", "trial"):
            bench.good(trial=trial and what == "trial", tenant=tenant)
        elif what in ("bad", "limited", "refused"):
            kind = {"bad": FAILED, "limited": LIMITED, "refused": REFUSED}[what]
            bench.bad(1, kind, trial=trial, retry_after_s=seconds if trial else None, tenant=tenant)
        elif what == "wait":
            bench.now += seconds
            breaker.refresh(bench.now)
            if trial:
                breaker.begin_trial(bench.now, tenant)
        else:
            breaker.probed(None if what == "probe" else "gone", bench.now)
        assert breaker.troubled or breaker.fitness(bench.now, 0.999, "x") is Fitness.IN
    # Told once, and in order.
    before = State.CLOSED
    for change in bench.changes:
        assert change.before is before
        assert change.after is not before
        before = change.after
    assert breaker.state is before
    # Back, with good calls alone, within the longest times.
    for _ in range(20):
        bench.now += 40
        breaker.refresh(bench.now)
        assert breaker.fitness(bench.now, 0.0, "x") is Fitness.IN or breaker.state is State.OPEN
        trial = breaker.begin_trial(bench.now, "x")
        bench.good(trial=trial)
        breaker.trial_over()
    assert bench.is_in(State.CLOSED)
    assert not breaker.refresh(bench.now)


@pytest.mark.parametrize(
    "rule", [rule for rule in TABLE if rule.verdict is not Verdict.NONE], ids=lambda rule: rule.kind
)
def test_every_verdict_takes_it_out_in_the_end(rule: object) -> None:
    assert isinstance(rule, type(TABLE[0]))
    bench = Bench()
    bench.bad(5, rule.kind)
    assert bench.states == [State.COOLING if rule.verdict is Verdict.COOLS else State.OPEN]
    assert bench.breaker.kind is rule.kind


HAPPENINGS = st.tuples(
    st.sampled_from(["good", "trial", FAILED, LIMITED, REFUSED, OutcomeKind.UNREACHABLE, "probe", "no probe"]),
    st.sampled_from([0.0, 0.1, 5.0, 40.0, 400.0]),
    st.sampled_from(["x", "y"]),
)


@given(st.lists(HAPPENINGS, max_size=40))
def test_calm_is_a_short_cut_and_nothing_else(steps: list[tuple[str | OutcomeKind, float, str]]) -> None:
    """One that looks at everything each time comes to the same."""
    plain, thorough = Bench(failures=2, probes=2), Bench(failures=2, probes=2)
    for what, later_s, tenant in steps:
        thorough.breaker.calm = False
        for each in (plain, thorough):
            if what in ("probe", "no probe"):
                each.now += later_s
                each.breaker.probed("fault" if what == "no probe" else None, each.now)
            elif isinstance(what, OutcomeKind):
                each.bad(kind=what, every_s=later_s, tenant=tenant)
            else:
                each.breaker.refresh(each.now)
                each.good(every_s=later_s, trial=what == "trial", tenant=tenant)
    assert plain.changes == thorough.changes
    assert plain.breaker.passed == thorough.breaker.passed
    assert plain.breaker.share_failed(plain.now) == thorough.breaker.share_failed(thorough.now)
    assert [plain.fitness(later, tenant=who) for later in (0.0, 60.0) for who in "xy"] == [
        thorough.fitness(later, tenant=who) for later in (0.0, 60.0) for who in "xy"
    ]
