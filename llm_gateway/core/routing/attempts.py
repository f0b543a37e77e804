"""What has been tried for one call, and what is to be tried next."""

from __future__ import annotations

from enum import Enum

import msgspec

from llm_gateway.core.routing.backoff import wait_before
from llm_gateway.core.routing.breaker import Breaker, Fitness, State
from llm_gateway.core.routing.candidates import Call, Candidate, Chance, may_repeat
from llm_gateway.core.routing.health import Health
from llm_gateway.core.routing.outcomes import RULES, Again, Outcome, OutcomeKind, Rule, Scope
from llm_gateway.core.routing.plans import Lane, Plan, Route, fitness_of
from llm_gateway.core.routing.settings import Retries

__all__ = ["Attempts", "GiveUp", "Retry", "Why", "first_step", "next_step"]


class Why(Enum):
    """Why a call is not sent again."""

    NO_USE = "no_use"
    """It would fail the same way anywhere."""
    BEGUN = "begun"
    """The client has got a part of the answer."""
    CLIENT_GONE = "client_gone"
    MAY_HAVE_ACTED = "may_have_acted"
    """The provider may have done what was asked, and the operator has not said that twice is fine."""
    SPENT = "spent"
    """Its body was passed on while it came, and there is nothing left of it."""
    ATTEMPTS = "attempts"
    """It has been sent as often as one call may be."""
    DEADLINE = "deadline"
    """The call's time is over, or would be before anything can be sent."""
    BUDGET = "budget"
    """Too large a share of the provider's calls are retries already."""
    NOWHERE = "nowhere"
    """No candidate is left, or none is in."""
    BUSY = "busy"
    """No slot, and no place in a queue or no turn in time."""


class Retry(msgspec.Struct, frozen=True):
    """Ask this candidate."""

    lane: Lane
    after_s: float = 0.0

    @property
    def candidate(self) -> Candidate:
        """Whom."""
        return self.lane.candidate


class GiveUp(msgspec.Struct, frozen=True):
    """The call has failed; the client is told."""

    kind: OutcomeKind
    """What it failed with: of the last attempt; ``UNAVAILABLE``, ``RATE_LIMITED`` or ``BUSY`` where none was made."""
    why: Why
    retry_after_s: float | None = None
    """When it may be worth trying again, where that is known."""
    outcome: Outcome | None = None
    """Of the last attempt, whose answer the client gets if there is one."""


class Attempts(msgspec.Struct, eq=False):
    """The attempts of one call."""

    route: Route
    health: Health
    call: Call
    retries: Retries
    chance: Chance
    began_at: float
    sent: int = 0
    begun: bool = False
    """Whether the client has got a byte of the answer."""
    gone: bool = False
    """Whether it has left."""
    may_have_acted: bool = False
    """Whether a provider may have acted on it, where that must not happen twice."""
    short: bool = False
    """Whether a candidate was passed over because its provider has too many retries."""
    tried: dict[int, int] = {}
    """How often each candidate was asked, by its place."""
    providers: list[str] = []
    """That were asked."""
    avoided: list[Breaker] = []
    """What an outcome of this call was held against."""
    ready: dict[int, tuple[float, Lane]] = {}
    """Which candidates may be asked again, and when."""
    fallen_back: frozenset[OutcomeKind] = frozenset()
    """The outcomes after which it went to another model."""
    _plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """Made when it is needed: most calls with one candidate go without."""
        plan = self._plan
        if plan is None:
            plan = self._plan = Plan(self.route, self.call, self.health, self.chance)
        return plan

    def sending(self, lane: Lane) -> None:
        """The call is sent to this candidate now."""
        self.sent += 1
        self.tried[lane.place] = self.tried.get(lane.place, 0) + 1
        self.ready.pop(lane.place, None)
        provider = lane.candidate.provider
        if provider not in self.providers:
            self.providers.append(provider)
            lane.repeats.call()

    def sent_alone(self, lane: Lane) -> None:
        """The call was sent to this candidate, the first of all; its provider has counted it."""
        self.sent = 1
        self.tried = {lane.place: 1}
        self.providers = [lane.candidate.provider]

    def refuses(self, lane: Lane) -> bool:
        """Whether the candidate will not do for this call: it was asked, or shares with one that was what failed."""
        if lane.place in self.tried:
            return True
        if self.avoided and any(breaker in self.avoided for breaker in lane.four):
            return True
        if lane.candidate.provider in self.providers and not lane.repeats.is_there:
            self.short = True
            return True
        return False

    def learn(self, lane: Lane, outcome: Outcome, now: float) -> None:
        """What came of asking a candidate."""
        rule = RULES[outcome.kind]
        if not may_repeat(rule.acted, self.call.effect, self.retries.repeat):
            self.may_have_acted = True
        if rule.scope:
            self.avoided.append(lane.four[_PLACES[rule.scope]])
        if rule.again is Again.NEVER or self.tried[lane.place] > self.retries.again:
            return
        before = self.tried[lane.place] - 1
        wait = wait_before(before, _back_in_s(lane, outcome, now), self.retries, self.chance)
        if wait is not None:
            self.ready[lane.place] = now + wait, lane

    def again(self, now: float, patience_s: float) -> Retry | None:
        """
        :return: the candidate that may be asked again soonest, if that is within so many seconds.
        """
        latest = min(now + patience_s, self.began_at + self.retries.deadline_s)
        for at, lane in sorted(self.ready.values(), key=_when):
            if at > latest:
                return None
            if not lane.repeats.is_there:
                self.short = True
            elif fitness_of(lane, max(at, now), 0.0, self.call.tenant) is not Fitness.OUT:
                return Retry(lane, max(0.0, at - now))
        return None


def _back_in_s(lane: Lane, outcome: Outcome, now: float) -> float | None:
    """When the provider wants to be asked again, or when it will be, where it did not say."""
    access = lane.four[3]
    if outcome.retry_after_s is None and access.state is State.COOLING and access.until is not None:
        return max(0.0, access.until - now)
    return outcome.retry_after_s


def _when(ready: tuple[float, Lane]) -> float:
    return ready[0]


_PLACES = {Scope.PROVIDER: 0, Scope.MODEL: 1, Scope.CREDENTIAL: 2, Scope.ACCESS: 3}


_NOBODY = frozenset((OutcomeKind.UNREACHABLE,))


def first_step(attempts: Attempts, now: float) -> Retry | GiveUp:
    """Decide whom to ask before anybody was."""
    plan = attempts.plan
    lane = plan.first(now)
    if lane is not None:
        return Retry(lane)
    troubles = list(plan.troubles(now))
    # Where nobody has what was asked for, there is nobody to reach.
    after = frozenset(breaker.kind for breaker in troubles if breaker.kind is not None) or _NOBODY
    lane = (
        _other_model(attempts, after, now)
        or plan.pick(now, last_resort=True)
        or _other_model(attempts, after, now, True)
    )
    if lane is not None:
        return Retry(lane)
    cooling = bool(troubles) and all(breaker.state is State.COOLING for breaker in troubles)
    back = [at for breaker in troubles if (at := breaker.opens_at()) is not None]
    kind = OutcomeKind.RATE_LIMITED if cooling else OutcomeKind.UNAVAILABLE
    return GiveUp(kind, Why.NOWHERE, max(0.0, min(back) - now) if back else None)


def next_step(attempts: Attempts, lane: Lane, outcome: Outcome, now: float) -> Retry | GiveUp:
    """
    Decide what follows an attempt that failed.

    Elsewhere at once; the same place again after a wait; another model where the operator says so. Nowhere after the
    first byte to the client, nor after the client has left, nor where the provider may have acted on the call unless
    that is allowed.

    :param lane: whom was asked; ``Attempts.sending`` knows of it.
    :param outcome: anything but ``OK``. What health learns from it must be known already.
    """
    rule = RULES[outcome.kind]
    attempts.learn(lane, outcome, now)
    why = _forbidden(attempts, rule, now)
    step = None if why is not None else choose(attempts, outcome.kind, now)
    if step is not None:
        return step
    if why is None:
        why = Why.BUDGET if attempts.short else _NOTHING_LEFT[rule.elsewhere or rule.again is not Again.NEVER]
    return GiveUp(outcome.kind, why, outcome.retry_after_s, outcome)


_NOTHING_LEFT = {True: Why.NOWHERE, False: Why.NO_USE}


def _forbidden(attempts: Attempts, rule: Rule, now: float) -> Why | None:
    """:return: why this call must not be sent once more, to anybody."""
    retries = attempts.retries
    if attempts.gone or rule.kind is OutcomeKind.CLIENT_GONE:
        return Why.CLIENT_GONE
    if attempts.begun:
        return Why.BEGUN
    if not rule.falls_back:
        return Why.NO_USE
    if attempts.may_have_acted:
        return Why.MAY_HAVE_ACTED
    if attempts.call.once:
        return Why.SPENT
    if attempts.sent >= retries.attempts:
        return Why.ATTEMPTS
    return Why.DEADLINE if now >= attempts.began_at + retries.deadline_s else None


def choose(attempts: Attempts, kind: OutcomeKind, now: float) -> Retry | None:
    """
    :param kind: of the last outcome.
    :return: whom to ask; ``None`` for nobody. A retry that counts as one has been taken from the provider's share.
    """
    rule, plan, retries = RULES[kind], attempts.plan, attempts.retries
    found = plan.pick(now, attempts.refuses) if rule.elsewhere else None
    if found is None and rule.elsewhere and attempts.fallen_back:
        # What else the other model could be had from comes before anybody is asked again.
        found = _other_model(attempts, attempts.fallen_back, now)
    if found is not None:
        return _taken(attempts, Retry(found))
    # What would fail the same way anywhere would do so where it could be asked again, too.
    step = attempts.again(now, retries.patience_s) if rule.elsewhere else None
    if step is not None:
        return _taken(attempts, step)
    after = frozenset((kind,))
    found = _other_model(attempts, after, now)
    if found is None and rule.elsewhere:
        found = plan.pick(now, attempts.refuses, last_resort=True)
    if found is None:
        found = _other_model(attempts, after, now, True)
    if found is not None:
        return _taken(attempts, Retry(found))
    step = attempts.again(now, retries.deadline_s) if rule.elsewhere else None
    return None if step is None else _taken(attempts, step)


def _other_model(
    attempts: Attempts, after: frozenset[OutcomeKind], now: float, last_resort: bool = False
) -> Lane | None:
    """:return: whom to fall back on after these outcomes."""
    found = attempts.plan.pick(now, attempts.refuses, after, last_resort)
    if found is not None:
        attempts.fallen_back |= after
    return found


def _taken(attempts: Attempts, step: Retry) -> Retry:
    lane = step.lane
    if lane.candidate.provider in attempts.providers:
        lane.repeats.take()
    return step
