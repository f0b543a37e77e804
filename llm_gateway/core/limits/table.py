"""Counts in this process's memory; what a store of shared ones is made of, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_gateway.core.limits.claims import Held, Refused, Reservation, Standing, Want, amounts_of
from llm_gateway.core.limits.counter import FLAGS, NEVER, RUNNING, SEEDED, Cells, Counter
from llm_gateway.core.limits.gcra import Gcra
from llm_gateway.core.limits.values import Limit, Measure, Window
from llm_gateway.core.limits.windows import InFlight, Sliding, Total

__all__ = ["Table", "counter_class"]

_STEADY = (Window.SECOND, Window.MINUTE, Window.HOUR)
_REMEMBERED = 65_536
"""Limits that are found without their name; more begin anew."""
_PLANS_REMEMBERED = 8_192
"""Tuples of limits that are known; more begin anew, as where they are put together for each call."""


def counter_class(limit: Limit) -> type[Counter]:
    """:return: by which algorithm it is counted."""
    if limit.window is Window.NOW:
        return InFlight
    if limit.window is Window.TOTAL:
        return Total
    if limit.window in _STEADY and limit.measure is not Measure.DOLLARS and Gcra.serves(limit):
        return Gcra
    return Sliding


class _Plan:
    """The counters of one call's limits, put in order once and not for each call."""

    __slots__ = ("at_once", "counters", "kept", "limits", "warning")

    def __init__(
        self,
        limits: Iterable[Limit],
        counters: list[Counter],
        at_once: list[Counter],
        kept: list[Counter],
        warning: list[Counter],
    ) -> None:
        self.limits = limits
        """Kept alive, so that nothing else has their identity."""
        self.counters = counters
        self.at_once = at_once
        self.kept = kept
        self.warning = warning
        """Those that may have to be warned of as soon as a call is let in."""


class Table:
    """A ``Store`` in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, Cells] = {}
        self._counters: dict[int, Counter] = {}
        """By the identity of the limit, which its counter keeps alive: a hash of all it says would cost more than the
        rest."""
        self._plans: dict[int, _Plan] = {}
        """By the identity of tuples of limits."""
        self._seats = 0
        self._seat = 0
        self._guarded = type(self)._enter is not Table._enter
        """Whether there are others to keep out."""

    def take(self, limits: Sequence[Limit], want: Want, now: int) -> Reservation | Refused:
        amounts = amounts_of(want, 1)
        requests = amounts[0]
        shadowed: list[Limit] | None = None
        guarded = self._guarded
        if guarded:
            self._enter()
        try:
            plan = self._plans.get(id(limits)) or self._plan(limits)
            refused = False
            for counter in plan.at_once:
                if not counter.fits(now, requests):
                    refused = counter.refuses
                    if refused:
                        break
                    shadowed = [*(shadowed or ()), counter.limit]
            else:
                for counter in plan.kept:
                    if not counter.reserve(now, amounts[counter.column]):
                        refused = counter.refuses
                        if refused:
                            # Nothing of it is counted anywhere.
                            for each in plan.kept[: plan.kept.index(counter)]:
                                each.release(amounts[each.column])
                            break
                        shadowed = [*(shadowed or ()), counter.limit]
            if not refused:
                counted = [(counter, requests, counter.use(now, requests)) for counter in plan.at_once]
                reservation = Reservation(want, amounts, plan.kept, counted)
                if plan.warning:
                    warned = tuple([counter.limit for counter in plan.warning if counter.passed(now)])
                    if warned:
                        reservation.warned = warned
                if shadowed is not None:
                    reservation.shadowed = tuple(shadowed)
                return reservation
            refusal = self._refused(plan.counters, amounts, now)
        finally:
            if guarded:
                self._leave()
        return self.take(limits, want, now) if self._found_dead(now) else refusal

    def extend(self, reservation: Reservation, more: Want, used: Want | None, now: int) -> bool:
        amounts = amounts_of(more, 0)
        self._enter()
        try:
            held = reservation.held
            if held is None:
                held = [Held(each, reservation.amounts[each.column]) for each in reservation.kept]
                reservation.held = held
            if used is not None:
                totals = amounts_of(used, 0)
                for each in held:
                    if each.counter.column != RUNNING:
                        self._learn(each, totals[each.counter.column], now)
            for each in held:
                n = amounts[each.counter.column]
                if n and each.counter.refuses and not each.counter.fits(now, n):
                    return False
            for each in held:
                n = amounts[each.counter.column]
                if n:
                    each.counter.hold(n)
                    each.n += n
        finally:
            self._leave()
        return True

    def settle(self, reservation: Reservation, used: Want, now: int) -> tuple[Limit, ...]:
        amounts = amounts_of(used, 0)
        warned: tuple[Limit, ...] = ()
        guarded = self._guarded
        if guarded:
            self._enter()
        try:
            held = reservation.held
            if held is None:
                kept = reservation.amounts
                for counter in reservation.kept:
                    n = amounts[counter.column]
                    counter.pay(now, n, kept[counter.column])
                    if counter.warn_from is not None and n and counter.passed(now):
                        warned += (counter.limit,)
            else:
                for each in held:
                    counter = each.counter
                    n = amounts[counter.column] - each.known
                    if n < 0:
                        counter.give_back(now, min(-n, each.last), each.mark)
                        n = 0
                    counter.pay(now, n, each.n)
                    if counter.warn_from is not None and n and counter.passed(now):
                        warned += (counter.limit,)
            requests = amounts[0]
            if requests != reservation.granted.requests:
                for counter, n, mark in reservation.counted:
                    if requests < n:
                        counter.give_back(now, n - requests, mark)
                    else:
                        counter.use(now, requests - n)
        finally:
            if guarded:
                self._leave()
        return warned

    def charge(self, limits: Iterable[Limit], used: Want, now: int) -> tuple[Limit, ...]:
        amounts = amounts_of(used, 0)
        warned: tuple[Limit, ...] = ()
        self._enter()
        try:
            # All of them first: where the store has no room for one, nothing is counted in any.
            for counter in [self._counters.get(id(each)) or self._counter(each) for each in limits]:
                n = amounts[counter.column]
                if n:
                    counter.use(now, n)
                    if counter.warn_from is not None and counter.passed(now):
                        warned += (counter.limit,)
        finally:
            self._leave()
        return warned

    def read(self, limits: Iterable[Limit], now: int) -> list[Standing]:
        guarded = self._guarded
        if guarded:
            self._enter()
        try:
            plan = self._plans.get(id(limits)) or self._plan(limits)
            return [counter.standing(now) for counter in plan.counters]
        finally:
            if guarded:
                self._leave()

    def unseeded(self, limits: Iterable[Limit]) -> list[Limit]:
        self._enter()
        try:
            return [
                each
                for each in limits
                if each.window is not Window.NOW and not self._counter(each).cells[FLAGS] & SEEDED
            ]
        finally:
            self._leave()

    def seed(self, limit: Limit, uses: Sequence[tuple[int, int]], now: int) -> bool:
        self._enter()
        try:
            counter = self._counter(limit)
            if counter.cells[FLAGS] & SEEDED:
                return False
            for at, n in uses:
                counter.seed(now, min(at, now), n)
            # Last: a process that dies in between leaves too much, not too little.
            counter.cells[FLAGS] |= SEEDED
        finally:
            self._leave()
        return True

    def sweep(self) -> int:
        """Nobody but this process holds anything."""
        return 0

    def _enter(self) -> None:
        """Keep others out, until ``_leave``."""

    def _leave(self) -> None:
        """Let others in again."""

    def _found_dead(self, now: int) -> bool:
        """:return: whether something was given back just now that dead processes held."""
        return False

    def _row(self, name: str, length: int) -> Cells:
        """:return: the row of this name, all 0 when it is new."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = [0] * length
        return row

    def _counter(self, limit: Limit) -> Counter:
        counter = self._counters.get(id(limit))
        if counter is None:
            kind = counter_class(limit)
            # What is counted by another algorithm is counted elsewhere: it means other things by the same places.
            row = self._row(f"{limit.id}:{kind.kind}", kind.length(limit, self._seats))
            if len(self._counters) >= _REMEMBERED:
                self._counters.clear()
            counter = self._counters[id(limit)] = kind(limit, row, self._seats, self._seat)
        return counter

    def _plan(self, limits: Iterable[Limit]) -> _Plan:
        """:return: what is done with these limits, remembered for tuples, which do not change."""
        counters = [self._counters.get(id(each)) or self._counter(each) for each in limits]
        at_once = [each for each in counters if each.at_once]
        kept = [each for each in counters if not each.at_once]
        # Others are warned of when their use is known.
        warning = [each for each in counters if each.warn_from is not None and (each.at_once or each.column == RUNNING)]
        plan = _Plan(limits, counters, at_once, kept, warning)
        if type(limits) is tuple:
            if len(self._plans) >= _PLANS_REMEMBERED:
                self._plans.clear()
            self._plans[id(limits)] = plan
        return plan

    def _learn(self, each: Held, total: int, now: int) -> None:
        """Count as used what is known to be, and hold as much less."""
        n = total - each.known
        if n > 0:
            each.mark = each.counter.use(now, n)
            each.known, each.last = total, n
            let_go = min(n, each.n)
            each.counter.release(let_go)
            each.n -= let_go

    def _refused(self, counters: Iterable[Counter], amounts: Sequence[int], now: int) -> Refused:
        """:return: the refusal of the limit that keeps the call out longest."""
        worst, longest = None, 0
        for counter in counters:
            n = amounts[counter.column]
            if not counter.refuses or counter.fits(now, n):
                continue
            wait = counter.wait(now, n)
            if worst is None or (longest != NEVER and (wait == NEVER or wait > longest)):
                worst, longest = counter, wait
        assert worst is not None
        return Refused(worst.limit, None if longest == NEVER else longest / 1e9, worst.standing(now).remaining)
