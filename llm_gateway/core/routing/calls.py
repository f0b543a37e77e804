"""One call from the first decision to the last: the only thing that whoever sends it has to talk to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

import msgspec

from llm_gateway.core.routing.admission import Admission, Shed, Slot, Ticket, TicketState
from llm_gateway.core.routing.attempts import Attempts, GiveUp, Retry, Why, choose, first_step, next_step
from llm_gateway.core.routing.backoff import ShareOfCalls
from llm_gateway.core.routing.breaker import Breaker, Change, Fitness
from llm_gateway.core.routing.candidates import Call, Candidate, Chance
from llm_gateway.core.routing.health import Health
from llm_gateway.core.routing.hedging import Hedges
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind
from llm_gateway.core.routing.plans import Lane, Price, Route, Tier, fitness_of
from llm_gateway.core.routing.resolving import Resolved
from llm_gateway.core.routing.settings import RoutingSettings, Strategy
from llm_gateway.core.routing.speeds import Speed

__all__ = ["Attempt", "RoutedCall", "Router"]

# By a name of the module's own: looking one up in its class takes as long as calling a function.
_WELL = OutcomeKind.OK
_OK = Outcome(_WELL)
_GONE = Outcome(OutcomeKind.CLIENT_GONE)
_LOST = Outcome(OutcomeKind.LOST_RACE)
_AFTER_BUSY = frozenset((OutcomeKind.BUSY,))


class Attempt(msgspec.Struct, eq=False, gc=False):
    """One send, from when it is decided until it is over: ``RoutedCall.ended`` must follow, or ``leave``."""

    lane: Lane
    slot: Slot
    sent_at: float
    number: int
    """Of the call's attempts, from 1."""
    trials: tuple[Breaker, ...] = ()
    """What it is a trial for."""
    content_at: float | None = None

    @property
    def candidate(self) -> Candidate:
        """Whom it asks."""
        return self.lane.candidate


class Router:
    """What all calls share. It outlives every configuration: what is known of a provider stays known."""

    MAX_LANES = 4096
    """Names of models come from callers, who must not fill the memory with them. A route keeps its own in any case."""

    def __init__(
        self,
        settings: RoutingSettings,
        chance: Chance,
        on_change: Callable[[Change], None],
        wake: Callable[[Ticket], None],
    ) -> None:
        """
        :param on_change: told of every new state of a provider, model or credential.
        :param wake: told of every ticket that has left its queue by other calls' doing: its owner, a ``RoutedCall``,
            has its turn. Called when all is in order again, so that it may act at once.
        """
        self._chance = chance
        self._wake = wake
        self.health = Health(chance, on_change)
        self.admission = Admission()
        self._lanes: dict[Candidate, Lane] = {}
        """The one that was asked for last comes last."""
        self._speeds: WeakValueDictionary[tuple[str, str, str], Speed] = WeakValueDictionary()
        self._repeats: dict[str, ShareOfCalls] = {}
        self.settings = settings
        self.hedges = Hedges(settings.hedging)
        self.configure(settings, 0.0)

    def configure(self, settings: RoutingSettings, now: float) -> None:
        """Go by these settings from now on. Routes made before keep their candidates; make them anew."""
        if settings.hedging != self.settings.hedging:
            self.hedges = Hedges(settings.hedging)
        self.settings = settings
        providers = settings.providers
        self.health.configure({name: each.breaking for name, each in providers.items()})
        for name, repeats in self._repeats.items():
            repeats.configure(settings.provider(name).retry_share, settings.provider(name).retry_reserve)
        limits = {name: each.limits for name, each in providers.items()}
        self.rouse(self.admission.configure(limits, settings.credentials, now))

    def lane(self, candidate: Candidate, price: Price | None = None) -> Lane:
        """
        :return: the candidate with all that it shares with others.
        """
        lanes = self._lanes
        known = lanes.pop(candidate, None)
        cost = None if price is None else price(candidate)
        # Whoever asks for no price takes one, too.
        if known is not None and (price is None or known.price == (math.inf if cost is None else cost)):
            lanes[candidate] = known
            return known
        if len(lanes) >= self.MAX_LANES:
            del lanes[next(iter(lanes))]
        lane = Lane.of(
            candidate,
            self.health.of(candidate),
            self.admission.gates(candidate.provider, candidate.credential),
            self._repeats_of(candidate.provider),
            self._speed_of(candidate),
            cost,
        )
        lanes[candidate] = lane
        return lane

    def route(self, resolved: Resolved, price: Price | None = None) -> Route:
        """
        :param resolved: what a name stands for, for one virtual key.
        :return: the same, ready to be used. Keep it: making it costs as much as many calls.
        """
        main, *fallbacks = (
            Tier.of(
                [self.lane(each, price if group.strategy is Strategy.CHEAPEST else None) for each in group.candidates],
                group.strategy,
                group.sticky,
                group.on,
                group.name,
            )
            for group in (resolved.main, *resolved.fallbacks)
        )
        return Route.of(main, fallbacks, self.settings.explore)

    def call(self, route: Route, call: Call, now: float, hang_up: Callable[[Attempt], None]) -> RoutedCall:
        """
        :param hang_up: closes the connection of an attempt that is not wanted any more, whose end need not be told.
        :return: a call that begins now.
        """
        return RoutedCall(self, route, call, now, hang_up)

    def attempts(self, route: Route, call: Call, began_at: float) -> Attempts:
        """
        :return: for a call that nobody has been asked for.
        """
        return Attempts(route, self.health, call, self.settings.retries, self._chance, began_at)

    def expire(self, now: float) -> None:
        """Wake the tickets that have waited for too long. Due at ``admission.next_deadline()``."""
        self.rouse(self.admission.expire(now))

    def give_back(self, slot: Slot, now: float) -> None:
        """A slot is free again."""
        admitted = self.admission.leave(slot, now)
        if admitted:
            self.rouse(admitted)

    def give_up(self, ticket: Ticket, now: float) -> None:
        """A call does not wait any more."""
        self.rouse(self.admission.give_up(ticket, now))

    def rouse(self, tickets: Sequence[Ticket]) -> None:
        """These have left their queue."""
        for ticket in tickets:
            self._wake(ticket)

    def _repeats_of(self, provider: str) -> ShareOfCalls:
        found = self._repeats.get(provider)
        if found is None:
            settings = self.settings.provider(provider)
            found = self._repeats[provider] = ShareOfCalls(settings.retry_share, settings.retry_reserve)
        return found

    def _speed_of(self, candidate: Candidate) -> Speed:
        name = candidate.provider, candidate.credential, candidate.model
        found = self._speeds.get(name)
        if found is None:
            found = self._speeds[name] = Speed(self.settings.usual_s)
        return found


class RoutedCall(msgspec.Struct, eq=False):
    """
    One call.

    ``start`` says what to do first. Then, whatever happens is told: the first content, the end of an attempt, that the
    client has left, that a wait is over. What is returned is what to do next: an ``Attempt`` is to be sent now, a
    ``Ticket`` waits until the router wakes it, a ``Retry`` says for how long to wait. Slots, trials and counts are
    given back exactly once, on every way out.

    =========  ==========================  ==========================================================
    it is      holds                       goes on with
    =========  ==========================  ==========================================================
    queued     ``_ticket``                 ``turn``, when the router wakes the ticket
    waiting    ``_pending``                ``turn``, after as many seconds as ``Retry`` said
    running    ``live``                    ``content``, ``ended``; ``hedge`` while nothing has come
    over       nothing                     nothing
    =========  ==========================  ==========================================================

    ``leave`` is right in all of them.
    """

    router: Router
    route: Route
    call: Call
    began_at: float
    hang_up: Callable[[Attempt], None]
    live: list[Attempt] = []
    """The attempts that run: one, or two while they race."""
    last: tuple[Lane, Outcome] | None = None
    """The last attempt that failed."""
    _pending: Lane | None = None
    _ticket: Ticket | None = None
    _attempts: Attempts | None = None

    @property
    def attempts(self) -> Attempts:
        """Made when they are needed: nearly every call is answered by the first that is asked."""
        attempts = self._attempts
        if attempts is None:
            attempts = self._attempts = self.router.attempts(self.route, self.call, self.began_at)
            for attempt in self.live:
                attempts.sent_alone(attempt.lane)
                attempts.begun = attempt.content_at is not None
        return attempts

    def start(self, now: float) -> Attempt | Ticket | GiveUp:
        """Begin."""
        only, router = self.route.only, self.router
        if only is not None and not router.health.troubled:
            gate, own = only.provider_gate, only.credential_gate
            if gate.in_use < gate.cap and own.in_use < own.cap:
                # As ``Admission.take``.
                gate.in_use += 1
                own.in_use += 1
                if not only.repeats.full:
                    only.repeats.call()
                attempt = Attempt(only, Slot(gate, own, now), now, 1)
                self.live = [attempt]
                return attempt
        step = first_step(self.attempts, now)
        return step if isinstance(step, GiveUp) else self._enter(step.lane, now)

    def turn(self, now: float) -> Attempt | Ticket | Retry | GiveUp:
        """The wait is over."""
        ticket, lane = self._ticket, self._pending
        if lane is None:
            raise RuntimeError("this call does not wait for anything")
        if ticket is not None and ticket.state is TicketState.WAITING:
            return ticket
        self._ticket = self._pending = None
        slot = None if ticket is None else ticket.slot
        if ticket is not None and slot is None:
            return self._busy(lane.retry_after_s, now)
        if fitness_of(lane, now, 0.0, self.call.tenant) is Fitness.OUT:
            # It went out while the call waited for it.
            if slot is not None:
                self.router.give_back(slot, now)
            return self._elsewhere(now)
        return self._enter(lane, now) if slot is None else self._send(lane, slot, now)

    def content(self, attempt: Attempt, now: float, outcome: Outcome = _OK) -> bool:
        """
        The first content of an answer has come: nothing is sent again from now on, and other attempts are hung up.

        :param outcome: what is known by it; also of an error that the client gets whatever else could be done.
        :return: whether it goes to the client; not if another attempt was sooner.
        """
        live = self.live
        if attempt not in live:
            return False
        if attempt.content_at is not None:
            return True
        if self._attempts is not None:
            self._attempts.begun = True
        attempt.content_at = now
        well = outcome.kind is _WELL
        lane = attempt.lane
        if well:
            lane.speed.took(now - attempt.sent_at, now)
        if attempt.trials or not well:
            self._note(attempt, outcome, now)
        else:
            self.router.health.well(lane.four, now, self.call.tenant)
        if len(live) > 1:
            for each in [each for each in live if each is not attempt]:
                each.lane.speed.at_least(now - each.sent_at, now)
                self._drop(each, _LOST, now)
        return True

    def ended(self, attempt: Attempt, outcome: Outcome, now: float) -> Retry | GiveUp | None:
        """
        An attempt is over, well or not. Of one that is ``OK`` and races with another, ``content`` must have been told,
        even if it had none. After ``Retry`` comes ``turn``, in so many seconds.

        :return: ``None`` where nothing is to be done: the answer is whole, or another attempt still runs.
        """
        live = self.live
        if attempt not in live:
            return None
        if outcome.kind is _WELL and attempt.content_at is not None:
            # That is known since its first content.
            live.remove(attempt)
            router = self.router
            admitted = router.admission.leave(attempt.slot, now)
            if admitted:
                router.rouse(admitted)
            return None
        attempts = self.attempts
        if outcome.kind is OutcomeKind.SILENT:
            attempt.lane.speed.at_least(now - attempt.sent_at, now)
        self.live.remove(attempt)
        self._settle(attempt, outcome, now)
        if outcome.kind is OutcomeKind.OK:
            attempts.begun = True
            return None
        if self.live:
            attempts.learn(attempt.lane, outcome, now)
            return None
        self.last = attempt.lane, outcome
        step = next_step(attempts, attempt.lane, outcome, now)
        if isinstance(step, Retry):
            self._pending = step.lane
        return step

    def leave(self, now: float) -> None:
        """The client has left, or the gateway gives the call up: attempts that run are hung up."""
        self.attempts.gone = True
        ticket, self._ticket = self._ticket, None
        self._pending = None
        if ticket is not None:
            self.router.give_up(ticket, now)
        for attempt in list(self.live):
            self._drop(attempt, _GONE, now)

    def hedge_after_s(self, now: float) -> float | None:
        """
        Ask this when the first attempt is sent.

        :return: when ``hedge`` is due, in seconds from then, if nothing has come; ``None`` for never.
        """
        if len(self.live) != 1:
            return None
        return self.router.hedges.after_s(self.call, self.live[0].lane.speed.estimate(now))

    def hedge(self, now: float) -> Attempt | None:
        """
        :return: a second attempt beside the first; ``None`` where there is nobody to ask, or no room, or too many were
            made already.
        """
        attempts, hedges = self.attempts, self.router.hedges
        if len(self.live) != 1 or attempts.begun or attempts.gone or not hedges.is_there:
            return None
        if attempts.sent >= attempts.retries.attempts:
            return None
        free = self._with_room(now)
        if free is None:
            return None
        lane, slot = free
        hedges.take()
        if lane.candidate.provider in attempts.providers:
            lane.repeats.take()
        return self._send(lane, slot, now)

    # Getting a slot

    def _enter(self, lane: Lane, now: float) -> Attempt | Ticket | GiveUp:
        """Go through the gate of this candidate, or of the next that has room; wait where none has."""
        router, attempts = self.router, self.attempts
        slot = router.admission.take(lane.provider_gate, lane.credential_gate, now)
        if slot is not None:
            return self._send(lane, slot, now)
        free = self._with_room(now)
        if free is not None:
            return self._send(*free, now)
        entered, evicted = router.admission.line_up(
            lane.provider_gate, lane.credential_gate, attempts.call.tenant, now, self
        )
        if isinstance(entered, Shed):
            return self._busy(entered.retry_after_s, now)
        self._ticket, self._pending = entered, lane
        if evicted is not None:
            router.rouse([evicted])
        return entered

    def _busy(self, retry_after_s: float, now: float) -> Attempt | GiveUp:
        """There is no room where the call should go: another model, if the operator wants that."""
        free = self._with_room(now, _AFTER_BUSY)
        if free is not None:
            return self._send(*free, now)
        outcome = None if self.last is None else self.last[1]
        kind = OutcomeKind.BUSY if outcome is None else outcome.kind
        return GiveUp(kind, Why.BUSY, retry_after_s, outcome)

    def _with_room(self, now: float, after: frozenset[OutcomeKind] | None = None) -> tuple[Lane, Slot] | None:
        """The next candidate that has room, and a slot of it."""
        attempts = self.attempts
        lane = attempts.plan.pick(now, lambda each: attempts.refuses(each) or not each.has_room, after)
        slot = None if lane is None else self.router.admission.take(lane.provider_gate, lane.credential_gate, now)
        return None if lane is None or slot is None else (lane, slot)

    def _elsewhere(self, now: float) -> Attempt | Ticket | Retry | GiveUp:
        """What was waited for is out: decide again."""
        attempts = self.attempts
        if self.last is None:
            step = first_step(attempts, now)
        else:
            outcome = self.last[1]
            step = choose(attempts, outcome.kind, now) or GiveUp(
                outcome.kind, Why.NOWHERE, outcome.retry_after_s, outcome
            )
        if isinstance(step, Retry):
            if not step.after_s:
                return self._enter(step.lane, now)
            self._pending = step.lane
        return step

    # Running

    def _send(self, lane: Lane, slot: Slot, now: float) -> Attempt:
        health = self.router.health
        trials = health.begin(lane.four, now, self.call.tenant) if health.troubled else ()
        self.attempts.sending(lane)
        attempt = Attempt(lane, slot, now, self.attempts.sent, trials)
        self.live.append(attempt)
        return attempt

    def _drop(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        # First: whoever gets its slot may send at once. Hanging up may also be answered at once.
        self.live.remove(attempt)
        self.hang_up(attempt)
        self._settle(attempt, outcome, now)

    def _settle(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        self._note(attempt, outcome, now)
        self.router.give_back(attempt.slot, now)

    def _note(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        trials, attempt.trials = attempt.trials, ()
        before = () if self._attempts is None else self._attempts.avoided
        self.router.health.note(attempt.lane.four, outcome, now, trials, self.call.tenant, before)
