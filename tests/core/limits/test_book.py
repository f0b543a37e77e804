"""Reserve, extend, settle: what holds of all limits of a call together, in any order of things."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.config.limits import FIELDS
from llm_gateway.core.limits import book
from llm_gateway.core.limits.book import AGAIN_S
from llm_gateway.core.limits.claims import NOTHING, Refused, Reservation, Want
from llm_gateway.core.limits.clock import Steady, Timeline
from llm_gateway.core.limits.contract import StoreLost
from llm_gateway.core.limits.gcra import Gcra, window_ns
from llm_gateway.core.limits.table import Table, counter_class
from llm_gateway.core.limits.values import Limit, Measure, Scope, Unreachable
from llm_gateway.core.limits.windows import Sliding
from tests.core.limits.told import NOON, World, limit

EVERY = (
    limit("requests_per_minute", 20, burst=8),
    limit("input_tokens_per_minute", 400),
    limit("tokens_per_hour", 3_000, burst=900, scope=Scope.GROUP, subject="g"),
    limit("output_tokens_per_day", 2_000, scope=Scope.GLOBAL, subject=""),
    limit("usd_per_day", 5_000),
    limit("usd_total", 40_000, scope=Scope.GROUP, subject="g"),
    limit("in_flight", 5),
)


def part(told: Limit, want: Want) -> int:
    """:return: what of a want a limit counts."""
    return {
        Measure.REQUESTS: want.requests,
        Measure.INPUT_TOKENS: want.input,
        Measure.OUTPUT_TOKENS: want.output,
        Measure.TOKENS: want.input + want.output,
        Measure.DOLLARS: want.nano,
        Measure.IN_FLIGHT: 0,
    }[told.measure]


def allowed(told: Limit, time_ns: int) -> float:
    """:return: the most that may be used in any time of this length."""
    if counter_class(told) is Gcra:
        return min(told.amount, told.burst or told.amount) + told.amount * time_ns / window_ns(told)
    return told.amount


class Call:
    """A call that is running, and what was really used by it and when."""

    def __init__(self, reservation: Reservation, want: Want, at: int) -> None:
        self.reservation = reservation
        self.has = want
        self.used = Want()
        self.known_at = at


def drawn(data: st.DataObject, requests: int, most: int) -> Want:
    return Want(requests, *data.draw(st.tuples(*[st.integers(0, each) for each in (most, most, most * 10)])))


@settings(max_examples=40)
@given(st.data())
def test_no_window_of_any_limit_has_more_than_it_whatever_happens_when(data: st.DataObject) -> None:
    """
    Calls begin, grow, tell what they have used, and end, in any order, and use at most what they hold.

    What becomes known at a time was used at any time since more was known last. Wherever in between it is put, no
    window of a limit has more than that limit lets in.
    """
    world = World(*EVERY)
    open_: list[Call] = []
    pieces: list[tuple[int, int, Want]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        world.now += data.draw(st.sampled_from([0.0, 0.5, 3.0, 20.0, 1_000.0, 20_000.0]))
        now = int(world.now * 1e9)
        action = data.draw(st.sampled_from(["begin", "begin", "grow", "end"]))
        if action == "begin":
            want = drawn(data, 1, 150)
            found = world.reserve(want)
            if isinstance(found, Reservation):
                open_.append(Call(found, want, now))
                pieces.append((now, now, Want()))
        elif open_:
            call = open_[data.draw(st.integers(0, len(open_) - 1))]
            left = [
                call.has.input - call.used.input,
                call.has.output - call.used.output,
                call.has.nano - call.used.nano,
            ]
            piece = Want(0, *[data.draw(st.integers(0, each)) for each in left])
            call.used = Want(
                1, call.used.input + piece.input, call.used.output + piece.output, call.used.nano + piece.nano
            )
            pieces.append((call.known_at, now, piece))
            call.known_at = now
            if action == "end":
                world.limiter.settle(call.reservation, call.used)
                open_.remove(call)
            else:
                more = drawn(data, 0, 60)
                if world.limiter.extend(call.reservation, more, used=call.used):
                    has = call.has
                    call.has = Want(1, has.input + more.input, has.output + more.output, has.nano + more.nano)
        assert len(open_) <= 5
    for told in EVERY:
        counted = [(since, at, n) for since, at, want in pieces if (n := part(told, want))]
        firsts = sorted({at for _, at, _ in counted})
        lasts = sorted({since for since, _, _ in counted} | set(firsts))
        for first in firsts:
            for last in [each for each in lasts if each >= first]:
                if counter_class(told) is Sliding and last - first >= window_ns(told):
                    break
                used = sum([n for since, at, n in counted if at >= first and since <= last])
                assert used <= allowed(told, last - first), (told.name, first, last)
    for call in open_:
        world.limiter.settle(call.reservation, call.used)
    assert all(each.held == 0 for each in world.limiter.state(EVERY))


@given(st.lists(st.integers(0, 10), min_size=1, max_size=40), st.integers(0, 5))
def test_overshoot_is_what_calls_use_beyond_what_they_hold(wants: list[int], excess: int) -> None:
    """The stated number: of all calls that run at the same time, what each uses more than it holds."""
    world = World(limit("usd_total", 100))
    running = [each for each in (world.reserve(Want(1, 0, 0, n)) for n in wants) if isinstance(each, Reservation)]
    for each in running:
        world.limiter.settle(each, Want(1, 0, 0, each.granted.nano + excess))
    (standing,) = world.limiter.state(world.limits)
    assert standing.used <= 100 + excess * len(running)


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_128_streams_on_one_budget_never_spend_more_and_leave_less_than_a_step_each(step: int) -> None:
    """Each holds a step ahead of what it relays, in an order drawn anew for each step."""
    amount = 20_000
    world = World(limit("usd_per_day", amount), limit("in_flight", 128))
    order = random.Random(6)
    running = {world.let_in(Want(1, 0, 0, 1)): 1 for _ in range(128)}
    assert world.refused(Want(1, 0, 0, 1)).limit.name == "in_flight"
    for _ in range(amount):
        going = [each for each in running if not each.settled]
        order.shuffle(going)
        for each in going:
            world.now += 0.01
            if world.limiter.extend(each, Want(0, 0, 0, step), used=Want(1, 0, 0, running[each])):
                running[each] += step
            else:
                world.limiter.settle(each, Want(1, 0, 0, running[each]))
        if not going:
            break
    assert all(each.settled for each in running)
    spent = sum(running.values())
    assert amount - step < spent <= amount
    assert world.free() == [amount - spent, 128]


@pytest.mark.parametrize("each", EVERY, ids=lambda told: told.name)
def test_a_call_that_one_limit_refuses_is_counted_in_none(each: Limit) -> None:
    none = Limit(each.scope, each.subject, each.measure, each.window, 0)
    world = World(*(told for told in EVERY if told is not each), none)
    before = world.free()
    refused = world.refused(Want(1, 10, 10, 10))
    assert (refused.limit, refused.retry_after_s, refused.unreachable) == (none, None, False)
    assert world.free() == before


def test_the_limit_to_wait_longest_for_is_named() -> None:
    world = World(limit("requests_per_second", 1), limit("requests_per_hour", 1), limit("requests_per_minute", 1))
    assert world.call(Want())
    refused = world.refused(Want())
    assert refused.limit.name == "requests_per_hour"
    assert refused.retry_after_s == pytest.approx(3_600, abs=1e-6)


@pytest.mark.parametrize("name", FIELDS)
def test_calls_get_through_exactly_as_far_as_the_limit_goes(name: str) -> None:
    """Ten calls that use a tenth each, one after the other, for every limit that can be written."""
    world = World(limit(name, 70))
    measure = FIELDS[name][0]
    used = Want(1, 0 if measure is Measure.TOKENS else 7, 7, 7)
    if measure in (Measure.REQUESTS, Measure.IN_FLIGHT):
        world = World(limit(name, 10))
    for _ in range(10):
        call = world.let_in(used)
        if measure is not Measure.IN_FLIGHT:
            world.limiter.settle(call, used)
    assert world.refused(used).limit.name == name
    assert world.free() == [0]


@pytest.mark.parametrize("name", [name for name in FIELDS if name.endswith(("second", "minute", "hour"))])
def test_a_call_that_used_a_thousand_times_what_it_held_keeps_others_out_for_one_window(name: str) -> None:
    world = World(limit(name, 10))
    call = world.let_in(Want(1, 1, 1, 1))
    world.limiter.settle(call, Want(1_000, 1_000, 1_000, 1_000))
    seconds = world.limits[0].window.seconds
    assert seconds is not None
    world.now += seconds * 0.9
    world.refused(Want(1, 1, 1, 1))
    world.now += seconds * 0.4
    world.let_in(Want(1, 1, 1, 1))


def test_settling_twice_counts_once() -> None:
    world = World(*EVERY)
    first, second = world.let_in(Want(1, 10, 10, 10)), world.let_in(Want(1, 10, 10, 10))
    world.limiter.settle(first, Want(1, 7, 7, 7))
    once = world.free()
    world.limiter.settle(first, Want(1, 9, 9, 9))
    assert world.free() == once
    assert not world.limiter.extend(first, Want(0, 1)), "what is settled does not grow"
    world.limiter.settle(second, Want(1, 7, 7, 7))


def test_a_call_that_was_never_sent_costs_nothing() -> None:
    world = World(*EVERY)
    before = world.free()
    world.limiter.settle(world.let_in(Want(1, 30, 30, 30)), NOTHING)
    assert world.free() == before


def test_what_was_said_to_be_used_can_turn_out_to_be_less() -> None:
    world = World(limit("usd_total", 100), limit("usd_per_day", 100), limit("tokens_per_minute", 100))
    call = world.let_in(Want(1, 0, 20, 20))
    assert world.limiter.extend(call, Want(0, 0, 10, 10), used=Want(1, 0, 20, 20))
    world.limiter.settle(call, Want(1, 0, 15, 15))
    assert world.free() == [85, 85, 85]


def test_what_is_used_flows_away_while_the_call_runs_and_what_it_holds_does_not() -> None:
    world = World(limit("tokens_per_minute", 60))
    call = world.let_in(Want(1, 0, 60))
    world.now += 60
    assert world.free() == [0]
    assert world.limiter.extend(call, NOTHING, used=Want(1, 0, 30))
    world.now += 30
    assert world.free() == [30]
    world.limiter.settle(call, Want(1, 0, 40))
    assert world.free() == [50]


@pytest.mark.parametrize("name", ["usd_per_day", "tokens_per_hour", "tokens_per_day"])
def test_what_a_long_call_used_counts_for_a_whole_window_from_its_end(name: str) -> None:
    world = World(limit(name, 100))
    call = world.let_in(Want(1, 0, 100, 100))
    seconds = world.limits[0].window.seconds
    assert seconds is not None
    world.now += seconds / 2
    world.limiter.settle(call, Want(1, 0, 100, 100))
    world.now += seconds * 0.9
    if name == "tokens_per_hour":
        assert world.free() == [90], "what flows away does so from then on"
    else:
        assert world.free() == [0]
    world.now += seconds * 0.2
    assert world.free() == [100]


def test_where_all_does_not_fit_enough_is_taken() -> None:
    world = World(limit("usd_per_day", 100))
    found = world.reserve(Want(1, 0, 0, 500), at_least=Want(1, 0, 0, 60))
    assert isinstance(found, Reservation)
    assert found.granted.nano == 60
    assert world.free() == [40]
    assert isinstance(world.reserve(Want(1, 0, 0, 500), at_least=Want(1, 0, 0, 60)), Refused)


def test_a_limit_in_shadow_counts_and_tells_and_lets_in() -> None:
    watched = limit("requests_per_minute", 2, shadow=True)
    world = World(watched, limit("requests_per_day", 3))
    assert [world.call(Want()) for _ in range(4)] == [True, True, True, False]
    assert world.shadowed == [watched], "the last one was refused by the other"
    world.now += 120
    assert world.limiter.state([watched])[0].remaining == 2


@pytest.mark.parametrize("name", ["requests_per_minute", "usd_per_day", "usd_total", "tokens_per_hour", "in_flight"])
def test_there_is_one_warning_for_each_time_the_share_is_passed(name: str) -> None:
    world = World(limit(name, 100, warn_at=0.8))
    open_ = []
    for n in range(1, 101):
        open_.append(world.let_in(Want(1, 0, 1, 1)))
        if name != "in_flight":
            world.limiter.settle(open_[-1], Want(1, 0, 1, 1))
        assert len(world.warned) == (n >= 80)
    if name == "usd_total":
        return
    for each in open_[:30]:
        world.limiter.settle(each, Want(1, 0, 1, 1))
    world.now += 100_000
    if name == "in_flight":
        assert len(world.warned) == 1
        for _ in range(30):
            world.let_in(Want())
    else:
        assert world.call(Want(1, 0, 1, 1)), "the count is noticed to be low again"
        for _ in range(99):
            world.call(Want(1, 0, 1, 1))
    assert len(world.warned) == 2


def test_a_charge_counts_where_there_is_no_room() -> None:
    world = World(limit("usd_total", 100), limit("in_flight", 1), limit("requests_per_minute", 5))
    world.limiter.charge(world.limits, Want(2, 0, 0, 150))
    assert world.free() == [0, 1, 3]
    assert world.refused(Want(1, 0, 0, 0)).limit.name == "usd_total"


def test_another_amount_of_the_same_limit_is_the_same_count() -> None:
    world = World(limit("usd_per_day", 100))
    assert world.call(Want(1, 0, 0, 70))
    (standing,) = world.limiter.state([limit("usd_per_day", 1_000)])
    assert standing.remaining == 930


# Time.


@given(st.lists(st.floats(-1e9, 1e9), max_size=30))
def test_time_never_goes_back(jumps: list[float]) -> None:
    timeline, now = Timeline(), NOON
    told = [timeline(now)]
    for jump in jumps:
        now += jump
        told.append(timeline(now))
    assert all(later >= earlier for earlier, later in pairwise(told))


@given(
    st.floats(1, 1e9), st.sampled_from([each for each in EVERY if each.window.seconds and each.window.seconds < 1e5])
)
def test_a_clock_that_is_set_back_locks_nobody_out_and_gives_nothing(back_s: float, told: Limit) -> None:
    world, most = World(told), min(told.amount, told.burst or told.amount)
    world.limiter.charge([told], Want(most, most, 0 if told.measure is Measure.TOKENS else most, most))
    before = world.free()
    world.now -= back_s
    assert world.free() == before
    assert told.window.seconds is not None
    # A step of a window that slides in steps, and a microsecond: what is left of a time of day in a float.
    world.now += told.window.seconds * (1 + 1 / 48) + 1e-6
    assert world.free() == [most]


def test_setting_the_machines_clock_neither_frees_nor_locks_anything() -> None:
    """The gateway's clock asks for the time of day once."""
    passed = 50.0
    clock = Steady(NOON - passed, lambda: passed)
    assert clock() == NOON
    passed += 3_600
    assert clock() == NOON + 3_600


# What was used before.


def test_a_restart_forgets_nothing_that_is_still_in_a_window() -> None:
    """The ledger's sums by the hour put a new table where the old one was: nothing in it comes free earlier."""
    told = [limit("usd_per_week", 10_000), limit("usd_total", 10_000), limit("tokens_per_day", 10_000)]
    old, new = World(*told), World(*told)
    order = random.Random(6)
    sums: dict[float, int] = {}
    for _ in range(100):
        old.now += order.random() * 10_000
        n = order.randrange(100)
        old.limiter.charge(told, Want(1, n, 0, n))
        hour = old.now // 3_600 * 3_600
        sums[hour] = sums.get(hour, 0) + n
    new.now = old.now
    assert new.limiter.unseeded(told) == told
    for each in told:
        assert new.limiter.seed(each, sums.items(), 3_600)
        assert not new.limiter.seed(each, sums.items(), 3_600), "only the first time counts"
    assert new.limiter.unseeded(told) == []
    for _ in range(60):
        assert all(mine <= its for mine, its in zip(new.free(), old.free(), strict=True))
        old.now = new.now = new.now + 3 * 3_600
    old.now = new.now = new.now + 8 * 86_400
    assert new.free() == [10_000, 10_000 - sum(sums.values()), 10_000] == old.free()


def test_a_minutes_tokens_can_be_told_too() -> None:
    world = World(limit("tokens_per_minute", 60))
    world.limiter.seed(world.limits[0], [(NOON - 120, 60), (NOON - 30, 60)], 10)
    assert world.free() == [pytest.approx(20, abs=1)]


def test_limits_that_wait_to_be_told_refuse_if_they_are_closed() -> None:
    """A budget that was used up must not be full again since the ledger cannot be read."""
    closed, open_ = limit("usd_per_week", 100), limit("usd_total", 100, unreachable=Unreachable.OPEN)
    watched, minute = limit("usd_per_day", 100, shadow=True), limit("tokens_per_minute", 100)
    world = World(closed, open_, watched, minute)
    world.limiter.await_seeds([closed, open_, watched])
    refused = world.refused(Want(1, 0, 0, 1))
    assert (refused.limit, refused.unreachable, refused.retry_after_s) == (closed, True, AGAIN_S)
    world.limiter.seed(closed, [(NOON - 100, 40)], 60)
    assert world.call(Want(1, 0, 0, 10))
    assert world.free() == [50, 90, 90, 100]
    world.limiter.seed(open_, [(NOON - 100, 40)], 60)
    assert world.free() == [50, 50, 90, 100]


def test_what_another_process_was_told_need_not_be_told_again() -> None:
    store, week = Table(), limit("usd_per_week", 100)
    one, other = World(week, store=store), World(week, store=store)
    for world in (one, other):
        world.limiter.await_seeds([week])
    one.limiter.seed(week, [], 60)
    assert other.call(Want(1, 0, 0, 10))


# A store that is lost.


class Losable(Table):
    """A table that can be out of reach."""

    lost = False
    asked = 0

    def _enter(self) -> None:
        self.asked += 1
        if self.lost:
            raise StoreLost


def lost(*limits: Limit, processes: int = 1) -> tuple[World, Losable]:
    store = Losable()
    world = World(*limits, store=store, processes=processes)
    world.let_in(Want(1, 1, 1, 1))
    store.lost = True
    return world, store


def test_closed_limits_refuse_while_nobody_counts() -> None:
    world, store = lost(limit("usd_per_day", 100), limit("requests_per_day", 9, unreachable=Unreachable.OPEN))
    refused = world.refused(Want())
    assert (refused.limit.name, refused.unreachable, refused.retry_after_s) == ("usd_per_day", True, AGAIN_S)
    assert not world.limiter.reachable
    assert world.limiter.state(world.limits) == []
    store.lost = False
    world.now += AGAIN_S
    world.let_in(Want())
    assert world.limiter.reachable


def test_a_lost_store_is_not_asked_again_for_each_call() -> None:
    world, store = lost(limit("usd_per_day", 100))
    before = store.asked
    for _ in range(100):
        world.refused(Want())
    assert store.asked == before + 1


def test_open_limits_let_in_and_count_when_the_store_is_back() -> None:
    world, store = lost(limit("usd_per_day", 100, unreachable=Unreachable.OPEN))
    running = [world.let_in(Want(1, 0, 0, 90)) for _ in range(3)]
    assert world.limiter.extend(running[0], Want(0, 0, 0, 1_000))
    for each in running:
        world.limiter.settle(each, Want(1, 0, 0, 30))
        world.limiter.settle(each, Want(1, 0, 0, 30))
    assert world.limiter.owed == 3
    store.lost = False
    world.now += AGAIN_S
    assert world.free() == [100 - 1 - 90]
    assert world.limiter.owed == 0


def test_shares_of_all_processes_are_not_more_than_the_limit() -> None:
    told = limit("requests_per_day", 10, unreachable=Unreachable.LOCAL)
    let_in = 0
    for _ in range(3):
        world, _ = lost(told, processes=3)
        found = [world.reserve(Want()) for _ in range(10)]
        let_in += sum(isinstance(each, Reservation) for each in found)
        refused = found[-1]
        assert isinstance(refused, Refused)
        assert refused.unreachable
        assert refused.limit is told
    assert let_in == 9


def test_calls_in_flight_have_shares_too_and_give_them_back() -> None:
    world, _ = lost(limit("in_flight", 4, unreachable=Unreachable.LOCAL), processes=2)
    first = world.let_in(Want())
    world.let_in(Want())
    world.refused(Want())
    world.limiter.settle(first, Want())
    world.let_in(Want())


def test_limits_in_shadow_refuse_nobody_while_the_store_is_lost() -> None:
    world, store = lost(limit("usd_per_day", 100, shadow=True))
    world.limiter.settle(world.let_in(Want(1, 0, 0, 5)), Want(1, 0, 0, 5))
    store.lost = False
    world.now += AGAIN_S
    assert world.free() == [94]


def test_what_ends_while_the_store_is_lost_is_settled_when_it_is_back() -> None:
    world, store = lost(limit("usd_per_day", 100), limit("in_flight", 9))
    store.lost = False
    call = world.let_in(Want(1, 0, 0, 40))
    store.lost = True
    assert not world.limiter.extend(call, Want(0, 0, 0, 1)), "nobody can say whether there is room"
    world.limiter.settle(call, Want(1, 0, 0, 25))
    world.limiter.charge(world.limits, Want(0, 0, 0, 5))
    store.lost = False
    world.now += AGAIN_S
    assert world.free() == [100 - 1 - 25 - 5, 8]


def test_streams_go_on_where_all_their_limits_are_open() -> None:
    world, store = lost(limit("usd_per_day", 100, unreachable=Unreachable.OPEN))
    store.lost = False
    call = world.let_in(Want(1, 0, 0, 40))
    store.lost = True
    assert world.limiter.extend(call, Want(0, 0, 0, 1))


def test_what_is_owed_is_bounded_and_paid_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MAX_OWED", 2_500)
    world, store = lost(limit("usd_total", 10**9))
    for _ in range(2_505):
        world.limiter.charge(world.limits, Want(0, 0, 0, 1))
    assert (world.limiter.owed, world.limiter.lost) == (2_500, 5)
    store.lost = False
    world.now += AGAIN_S
    for left in (1_500, 500, 0):
        assert not world.limiter.reachable
        world.free()
        assert world.limiter.owed == left
    assert world.free() == [10**9 - 1 - 2_500]
    assert world.limiter.reachable


def test_a_store_that_is_lost_again_while_it_is_paid_loses_nothing() -> None:
    world, store = lost(limit("usd_total", 10**9))
    for _ in range(3):
        world.limiter.charge(world.limits, Want(0, 0, 0, 1))
    for _ in range(3):
        world.now += AGAIN_S
        assert world.free() == []
    assert world.limiter.sweep() == 0
    store.lost = False
    world.now += AGAIN_S
    assert world.free() == [10**9 - 1 - 3]


def test_enough_is_taken_of_a_share_too() -> None:
    world, _ = lost(limit("usd_per_day", 100, unreachable=Unreachable.LOCAL), processes=2)
    found = world.reserve(Want(1, 0, 0, 80), at_least=Want(1, 0, 0, 50))
    assert isinstance(found, Reservation)
    assert found.granted.nano == 50


def test_a_provider_that_claims_the_impossible_does_not_break_the_count() -> None:
    """Thousands of answers of a million dollars each, as far as they go into 64 bits."""
    world = World(*EVERY)
    for _ in range(10):
        world.limiter.charge(EVERY, Want(1, 10**30, 10**30, 10**30))
    assert all(each.used <= 10**17 for each in world.limiter.state(EVERY))


# What it is made for.


def test_every_limit_that_can_be_written_is_counted() -> None:
    told = [limit(name, 10) for name in FIELDS]
    world = World(*told)
    world.limiter.settle(world.let_in(Want(1, 2, 3, 4)), Want(1, 2, 3, 4))
    used = {each.limit.name: each.used for each in world.limiter.state(told)}
    for name, (measure, _) in FIELDS.items():
        assert used[name] == part(limit(name, 1), Want(1, 2, 3, 4)), measure
