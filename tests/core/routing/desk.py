"""A router with everything that it tells written down, for tests of single steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_gateway.core.routing.admission import Ticket
from llm_gateway.core.routing.attempts import GiveUp, Retry
from llm_gateway.core.routing.breaker import Change
from llm_gateway.core.routing.calls import Attempt, RoutedCall, Router
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import FALLS_BACK, Outcome, OutcomeKind
from llm_gateway.core.routing.plans import Route, Tier
from llm_gateway.core.routing.settings import RoutingSettings, Strategy

A, B, C = (Candidate(name, f"{name}-key", "model") for name in "abc")
A2 = Candidate("a", "a-other-key", "model")
A_SMALL = Candidate("a", "a-key", "small")
OK = Outcome(OutcomeKind.OK)

Step = Attempt | Ticket | Retry | GiveUp | None


class Desk:
    """One router, and the time."""

    def __init__(self, settings: RoutingSettings | None = None, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.settings = settings or RoutingSettings()
        self.now = 100.0
        self.changes: list[Change] = []
        self.woken: list[Ticket] = []
        self.hung_up: list[Attempt] = []
        self.router = Router(self.settings, chance, self.changes.append, self.woken.append)

    def route(
        self,
        *candidates: Candidate,
        strategy: Strategy = Strategy.IN_ORDER,
        sticky: bool = False,
        fallbacks: Sequence[Candidate] = (),
        on: frozenset[OutcomeKind] = FALLS_BACK,
        price: Callable[[Candidate], float | None] | None = None,
    ) -> Route:
        """To these candidates."""
        main = Tier.of([self.router.lane(each, price) for each in candidates], strategy, sticky)
        others = [Tier.of([self.router.lane(each)], strategy, on=on) for each in fallbacks]
        return Route.of(main, others, self.settings.explore)

    def call(self, route: Route, call: Call | None = None) -> RoutedCall:
        """One that begins now."""
        return self.router.call(route, call or Call("tenant", stream=True), self.now, self.hung_up.append)

    def sent(self, routed: RoutedCall) -> Attempt:
        """Its first attempt."""
        return as_attempt(routed.start(self.now))

    def failed(self, routed: RoutedCall, kind: OutcomeKind, retry_after_s: float | None = None) -> Step:
        """What follows when the attempt that runs ends so."""
        [attempt] = routed.live
        return routed.ended(attempt, Outcome(kind, None, retry_after_s), self.now)

    def ok(self, routed: RoutedCall) -> None:
        """The attempt that runs answers, whole."""
        [attempt] = routed.live
        assert routed.content(attempt, self.now)
        assert routed.ended(attempt, OK, self.now) is None

    def break_(self, *candidates: Candidate, kind: OutcomeKind = OutcomeKind.OVERLOADED, times: int = 30) -> None:
        """Take candidates out."""
        for each in candidates:
            for _ in range(times):
                self.router.health.note(self.router.lane(each).four, Outcome(kind), self.now)

    def order(self, route: Route, call: Call | None = None) -> list[Candidate]:
        """Whom a call asks, one after the other, when none will do and no health is touched by that."""
        routed = self.call(route, call)
        step: Step = routed.start(self.now)
        seen = []
        while True:
            if isinstance(step, Attempt):
                seen.append(step.candidate)
                step = routed.ended(step, Outcome(OutcomeKind.BUSY), self.now)
            elif isinstance(step, Retry):
                step = routed.turn(self.now)
            else:
                return seen


def as_attempt(step: Step) -> Attempt:
    """It is to be sent now."""
    assert isinstance(step, Attempt), step
    return step


def as_retry(step: Step) -> Retry:
    """It is to be sent again."""
    assert isinstance(step, Retry), step
    return step


def as_given_up(step: Step) -> GiveUp:
    """It has failed."""
    assert isinstance(step, GiveUp), step
    return step


def as_ticket(step: Step) -> Ticket:
    """It waits."""
    assert isinstance(step, Ticket), step
    return step
