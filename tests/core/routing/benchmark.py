"""What deciding costs, in microseconds of CPU per call: ``python -m tests.core.routing.benchmark``."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from llm_gateway.core.routing.calls import Attempt, RoutedCall, Router
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind
from llm_gateway.core.routing.plans import Route, Tier
from llm_gateway.core.routing.settings import Breaking, Limits, ProviderSettings, RoutingSettings, Strategy

OK = Outcome(OutcomeKind.OK)
BROKEN = Outcome(OutcomeKind.UNREACHABLE)


def route_of(router: Router, candidates: int, strategy: Strategy, sticky: bool = False) -> Route:
    """To so many providers with a credential each."""
    lanes = [router.lane(Candidate(f"provider{n}", f"key{n}", "model")) for n in range(candidates)]
    return Route.of(Tier.of(lanes, strategy, sticky), explore=0.05)


def a_router(settings: RoutingSettings | None = None) -> Router:
    chance = random.Random(1).random
    return Router(settings or RoutingSettings(), chance, lambda _change: None, lambda _ticket: None)


def keep(_attempt: Attempt) -> None:
    """Nothing is hung up here."""


def whole_call(router: Router, route: Route, call: Call) -> Callable[[], None]:
    """From the beginning to the settled end, as the shell does it."""
    clock = 100.0

    def once() -> None:
        nonlocal clock
        clock += 0.001
        routed = router.call(route, call, clock, keep)
        step = routed.start(clock)
        assert isinstance(step, Attempt)
        routed.content(step, clock)
        routed.ended(step, OK, clock)

    return once


def planning(router: Router, route: Route, call: Call) -> Callable[[], None]:
    """Choosing a candidate and no more."""

    def once() -> None:
        routed: RoutedCall = router.call(route, call, 100.0, keep)
        routed.attempts.plan.first(100.0)

    return once


def per_call_us(once: Callable[[], None], calls: int = 20_000) -> float:
    """:return: the best of five rounds: what disturbs a round only adds to it."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(calls):
            once()
        best = min(best, time.process_time() - began)
    return best / calls * 1e6


def main() -> None:
    """Print a table."""
    call, talk = Call("tenant"), Call("tenant", conversation="01K9Z3-session")
    print(f"{'':34}{'choosing':>10}{'whole call':>12}")
    for count in (1, 3, 10):
        for strategy in Strategy if count == 3 else (Strategy.IN_ORDER, Strategy.WEIGHTED):
            show(f"{count} candidates, {strategy.value}", a_router(), count, strategy, call)
    show("3 candidates, sticky", a_router(), 3, Strategy.IN_ORDER, talk, sticky=True)
    capped = ProviderSettings(Limits(in_flight=10))
    show("1 candidate, limited", a_router(RoutingSettings(providers={"provider0": capped})), 1, Strategy.IN_ORDER, call)
    for_long = ProviderSettings(breaking=Breaking(open_s=1e6, longest_open_s=1e6))
    broken = a_router(RoutingSettings(providers={"provider0": for_long}))
    route = route_of(broken, 3, Strategy.IN_ORDER)
    for _ in range(10):
        broken.health.note(route.main.groups[0][0].four, BROKEN, 99.0)
    show("3 candidates, the first one out", broken, 3, Strategy.IN_ORDER, call)


def show(title: str, router: Router, count: int, strategy: Strategy, call: Call, *, sticky: bool = False) -> None:
    """One line of the table."""
    route = route_of(router, count, strategy, sticky)
    choosing = per_call_us(planning(router, route, call))
    print(f"{title:34}{choosing:10.2f}{per_call_us(whole_call(router, route, call)):12.2f}", flush=True)


if __name__ == "__main__":
    main()
