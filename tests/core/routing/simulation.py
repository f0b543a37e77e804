"""Calls and providers in simulated time: what a day of trouble does to callers, in a second and the same every time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import attrs

from llm_gateway.core.routing.admission import Ticket
from llm_gateway.core.routing.attempts import GiveUp, Retry
from llm_gateway.core.routing.breaker import Change
from llm_gateway.core.routing.calls import Attempt, RoutedCall, Router
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind, Scope
from llm_gateway.core.routing.plans import Route, Tier
from llm_gateway.core.routing.settings import RoutingSettings, Strategy


@attrs.frozen
class Answer:
    """What a provider does with one call."""

    after_s: float
    """Until its first content, or until it fails."""
    kind: OutcomeKind = OutcomeKind.OK
    retry_after_s: float | None = None
    lasts_s: float = 0.0
    """From the first content to the end."""
    breaks_with: OutcomeKind | None = None
    """At the end, in place of a good one."""


Script = Callable[[float, Candidate], Answer]
"""From the time and the candidate that is asked to the answer."""


@attrs.define
class Provider:
    """Follows a script, and keeps a log of the calls that came."""

    script: Script
    in_flight: int = 0
    log: list[tuple[float, str]] = attrs.field(factory=list)
    """When a call came, and with which credential."""

    def came(self, since: float, until: float, credential: str | None = None) -> int:
        """How many calls came."""
        return sum(since <= at < until and credential in (None, own) for at, own in self.log)


@attrs.define(eq=False)
class Caller:
    """One call as its caller sees it."""

    call: Call
    came_at: float
    routed: RoutedCall
    patience_s: float | None = None
    """After which the caller leaves; ``None`` for never."""
    sent: list[tuple[float, Candidate]] = attrs.field(factory=list)
    content_at: float | None = None
    over_at: float | None = None
    ended: str | None = None
    """``ok``, ``failed`` or ``left``."""
    gave_up: GiveUp | None = None
    running: dict[Attempt, None] = attrs.field(factory=dict)

    @property
    def first_token_s(self) -> float | None:
        """How long its caller waited for the first content."""
        return None if self.content_at is None else self.content_at - self.came_at


class Simulation:
    """
    Drives a router the way the gateway does, and checks after every step what must always hold.

    Slots in use are the attempts that run; nobody gets more calls than the limit; nothing is sent for a call whose
    client has got a byte or has left; every call ends once.
    """

    def __init__(self, seed: int, settings: RoutingSettings, providers: Mapping[str, Script]) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.providers = {name: Provider(script) for name, script in providers.items()}
        self.poison: dict[str, OutcomeKind] = {}
        """By tenant: how its calls fail, wherever they go."""
        self.changes: list[Change] = []
        self.callers: list[Caller] = []
        self.running = 0
        """Attempts, of all calls."""
        self.settings = settings
        self.router = Router(settings, self.random.random, self.changes.append, self._woken)
        self._owners: dict[RoutedCall, Caller] = {}
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    # Setting up

    def route(
        self,
        *candidates: Candidate,
        strategy: Strategy = Strategy.IN_ORDER,
        sticky: bool = False,
        fallbacks: Sequence[tuple[frozenset[OutcomeKind], Candidate]] = (),
    ) -> Route:
        """A route to these candidates."""
        main = Tier.of([self.router.lane(each) for each in candidates], strategy, sticky)
        others = [Tier.of([self.router.lane(each)], strategy, on=on) for on, each in fallbacks]
        return Route.of(main, others, self.settings.explore)

    def at(self, moment: float, event: Callable[[], object]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (max(moment, self.now), next(self._numbers), event))

    def calls(
        self,
        route: Route,
        per_s: float,
        since: float,
        until: float,
        call: Call | Callable[[], Call] | None = None,
        patience: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Have calls come at random moments."""
        moment = since
        while (moment := moment + self.random.expovariate(per_s)) < until:
            each = call() if callable(call) else call or Call("tenant", stream=True)
            self.at(moment, partial(self.arrive, route, each, patience()))

    def arrive(self, route: Route, call: Call, patience_s: float | None = None) -> Caller:
        """Have a call come now."""
        routed = self.router.call(route, call, self.now, lambda attempt: self._close(caller, attempt))
        caller = Caller(call, self.now, routed, patience_s)
        self.callers.append(caller)
        self._owners[caller.routed] = caller
        if patience_s is not None:
            self.at(self.now + patience_s, lambda: self._leave(caller))
        self._go_on(caller, caller.routed.start(self.now))
        return caller

    def probes(self, every_s: float, until: float, up: Callable[[str, float], bool]) -> None:
        """Have the providers probed."""
        for beat in range(1, int(until / every_s) + 1):
            for name in self.providers:
                self.at(beat * every_s, partial(self._probe, name, up))

    def run(self, until: float | None = None) -> None:
        """Let everything happen, or everything up to a moment."""
        while self._events and (until is None or self._events[0][0] <= until):
            moment, _, event = heapq.heappop(self._events)
            self.now = moment
            event()
            assert self.router.admission.in_use == self.running, "slots in use are not the attempts that run"
        if until is None:
            assert not self._owners, "a call never ended"
            assert self.router.admission.in_use == self.running == 0
            assert self.router.admission.waiting() == 0
            for provider in self.providers.values():
                assert provider.in_flight == 0

    # What happens

    def _go_on(self, caller: Caller, step: Attempt | Ticket | Retry | GiveUp | None) -> None:
        if isinstance(step, Attempt):
            self._send(caller, step)
        elif isinstance(step, Ticket):
            self.at(step.deadline, lambda: self.router.expire(self.now))
        elif isinstance(step, Retry):
            assert step.after_s <= self.settings.retries.deadline_s
            self.at(self.now + step.after_s, lambda: self._turn(caller))
        elif isinstance(step, GiveUp):
            caller.gave_up = step
            self._over(caller, "failed")
        elif not caller.running:
            self._over(caller, "ok")

    def _turn(self, caller: Caller) -> None:
        if caller.ended is None:
            self._go_on(caller, caller.routed.turn(self.now))

    def _woken(self, ticket: Ticket) -> None:
        self._turn(self._owners[ticket.owner])

    def _send(self, caller: Caller, attempt: Attempt) -> None:
        assert caller.ended is None, "sent for a call that is over"
        assert caller.content_at is None, "sent again after the first byte"
        candidate = attempt.candidate
        provider = self.providers[candidate.provider]
        answer = provider.script(self.now, candidate)
        if caller.call.tenant in self.poison:
            answer = Answer(0.1, self.poison[caller.call.tenant])
        provider.log.append((self.now, candidate.credential))
        provider.in_flight += 1
        limit = self.settings.provider(candidate.provider).limits.in_flight
        assert limit is None or provider.in_flight <= limit, "a provider got more calls than its limit"
        self.running += 1
        caller.sent.append((self.now, candidate))
        caller.running[attempt] = None
        assert attempt.number == len(caller.sent) <= self.settings.retries.attempts
        self.at(self.now + answer.after_s, lambda: self._answered(caller, attempt, answer))
        if attempt.number == 1:
            hedge_s = caller.routed.hedge_after_s(self.now)
            if hedge_s is not None:
                self.at(self.now + hedge_s, lambda: self._hedge(caller))

    def _hedge(self, caller: Caller) -> None:
        if caller.ended is None:
            attempt = caller.routed.hedge(self.now)
            if attempt is not None:
                self._send(caller, attempt)

    def _answered(self, caller: Caller, attempt: Attempt, answer: Answer) -> None:
        if attempt not in caller.running:
            return
        if answer.kind is not OutcomeKind.OK:
            self._end(caller, attempt, Outcome(answer.kind, None, answer.retry_after_s))
            return
        assert caller.routed.content(attempt, self.now)
        assert caller.content_at is None, "two attempts of one call had content"
        caller.content_at = self.now
        last = Outcome(answer.breaks_with or OutcomeKind.OK)
        self.at(self.now + answer.lasts_s, lambda: self._end(caller, attempt, last))

    def _end(self, caller: Caller, attempt: Attempt, outcome: Outcome) -> None:
        if attempt in caller.running:
            self._close(caller, attempt)
            self._go_on(caller, caller.routed.ended(attempt, outcome, self.now))

    def _close(self, caller: Caller, attempt: Attempt) -> None:
        del caller.running[attempt]
        self.providers[attempt.candidate.provider].in_flight -= 1
        self.running -= 1

    def _leave(self, caller: Caller) -> None:
        if caller.ended is not None:
            return
        self._over(caller, "left")
        caller.routed.leave(self.now)
        assert not caller.running

    def _over(self, caller: Caller, ended: str) -> None:
        assert caller.ended is None, "a call ended twice"
        caller.ended, caller.over_at = ended, self.now
        del self._owners[caller.routed]

    def _probe(self, provider: str, up: Callable[[str, float], bool]) -> None:
        self.router.health.probed(provider, None if up(provider, self.now) else "no answer within 5 s", self.now)

    # Looking at it

    def between(self, since: float, until: float, tenant: str | None = None) -> list[Caller]:
        """The calls that came then."""
        return [
            caller
            for caller in self.callers
            if since <= caller.came_at < until and tenant in (None, caller.call.tenant)
        ]

    def share_ok(self, since: float = 0.0, until: float = float("inf"), tenant: str | None = None) -> float:
        """Of the calls that came then and whose callers stayed, the share that ended well."""
        endings = Counter(caller.ended for caller in self.between(since, until, tenant))
        return endings["ok"] / max(1, endings["ok"] + endings["failed"])

    def sends(self, since: float, until: float, tenant: str | None = None) -> int:
        """How often the calls that came then were sent."""
        return sum(len(caller.sent) for caller in self.between(since, until, tenant))

    def share_of(self, provider: str, since: float, until: float) -> float:
        """Of all sends of that time, those to this provider."""
        total = sum(each.came(since, until) for each in self.providers.values())
        return self.providers[provider].came(since, until) / max(1, total)

    def turns(self, scope: Scope, provider: str) -> Iterator[Change]:
        """The changes of one part."""
        return (each for each in self.changes if each.part.scope is scope and each.part.provider == provider)
