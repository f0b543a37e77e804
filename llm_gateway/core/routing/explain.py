"""Which candidates a call has, in which order, and why each is in or out."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llm_gateway.core.routing.breaker import Breaker, Fitness, State
from llm_gateway.core.routing.candidates import Call, conversation_number
from llm_gateway.core.routing.health import Health
from llm_gateway.core.routing.plans import Lane, Route, Tier, fitness_of, ordered
from llm_gateway.core.routing.resolving import Resolved, ResolvedGroup

__all__ = ["Explained", "Explanation", "explain"]


class Explained(msgspec.Struct, frozen=True):
    """One candidate, or what might have been one."""

    provider: str
    credential: str
    model: str
    is_in: bool = msgspec.field(name="in")
    reason: str
    position: int | None = None
    """From 1, in the order in which they would be asked now; ``None`` for what is never asked."""
    order: int = 0
    weight: float = 1.0
    fallback: str | None = None
    """The name of the fallback that it belongs to; ``None`` for what was asked for."""
    after: tuple[str, ...] = ()
    """Of a fallback: the outcomes that lead to it."""
    asked_again_in_s: float | None = None
    """Of one that is out for now."""
    in_flight: int = 0
    """Calls of its credential."""
    usual_s: float | None = None
    """What it usually takes until the first token."""
    dialect: str | None = None
    """The one that it is asked in; ``None`` for what is never asked."""
    api: str | None = None
    """Which of that dialect's operations it is asked for, or ``native`` where that is the caller's affair."""


class Explanation(msgspec.Struct, frozen=True):
    """What would become of a call now."""

    model: str
    """As it was asked for."""
    strategy: str
    sticky: bool
    """Whether calls of one conversation stay with one candidate."""
    candidates: tuple[Explained, ...]


def explain(resolved: Resolved, route: Route, call: Call, health: Health, now: float) -> Explanation:
    """
    Nothing changes by asking: no trial begins, no chance is used up. Where chance decides, the order shown is by
    weight.

    :param route: made from ``resolved``.
    """
    shown: list[Explained] = []
    for group, tier in zip((resolved.main, *resolved.fallbacks), (route.main, *route.fallbacks), strict=True):
        for lane in _in_order(tier, route, call, now):
            shown.append(_explained(lane, group, len(shown) + 1, now, call.tenant))
    if call.bound:
        shown = [_unless_first(each) for each in shown]
    for group in (resolved.main, *resolved.fallbacks):
        fallback, after = _of_fallback(group)
        for out in group.left_out:
            shown.append(
                Explained(out.provider, out.credential, out.model, False, out.reason, fallback=fallback, after=after)
            )
    main = resolved.main
    return Explanation(main.name, main.strategy.value, main.sticky, tuple(shown))


def _in_order(tier: Tier, route: Route, call: Call, now: float) -> Iterator[Lane]:
    sticky = tier.sticky and call.conversation is not None and not call.bound
    conversation = conversation_number(call.conversation or "") if sticky else None
    for group in tier.groups:
        if call.bound:
            yield from group
        else:
            # Equal lots leave the order to the weights.
            yield from ordered(group, tier.strategy, conversation, 0.0, now, _half)


def _half() -> float:
    return 0.5


def _explained(lane: Lane, group: ResolvedGroup, position: int, now: float, tenant: str) -> Explained:
    candidate = lane.candidate
    fallback, after = _of_fallback(group)
    fitness = fitness_of(lane, now, 1.0, tenant)
    culprit = _culprit(lane, fitness, now, tenant)
    again = None if culprit is None else culprit.opens_at()
    return Explained(
        candidate.provider,
        candidate.credential,
        candidate.model,
        fitness <= Fitness.RAMPING,
        _reason(lane, culprit, fitness, now),
        position,
        candidate.order,
        candidate.weight,
        fallback,
        after,
        None if again is None or fitness <= Fitness.RAMPING else max(0.0, again - now),
        lane.credential_gate.in_use,
        lane.speed.estimate(now),
    )


def _culprit(lane: Lane, fitness: Fitness, now: float, tenant: str) -> Breaker | None:
    """The part that makes the candidate as unfit as it is."""
    if fitness is Fitness.IN:
        return next((each for each in lane.four if each.troubled and each.state is not State.CLOSED), None)
    return next((each for each in lane.four if each.troubled and each.fitness(now, 1.0, tenant) is fitness), None)


def _reason(lane: Lane, culprit: Breaker | None, fitness: Fitness, now: float) -> str:
    if culprit is None:
        return "well" if lane.has_room else "well, and full: calls wait for a slot"
    part = culprit.part
    if fitness is Fitness.IN:
        return f"{part}: due for a trial" if culprit.state is not State.COOLING else "well"
    if fitness is Fitness.RAMPING:
        return f"{part}: back, and takes {culprit.share(now):.0%} of its calls"
    state = culprit.state.value.replace("_", " ")
    words = f"{part}: {state}, {culprit.reason}"
    return f"{words}; asked if nothing else is in" if fitness is Fitness.LAST_RESORT else words


def _unless_first(shown: Explained) -> Explained:
    if shown.position == 1:
        return shown
    return msgspec.structs.replace(
        shown, is_in=False, position=None, reason="the call is about something that is stored with the first candidate"
    )


def _of_fallback(group: ResolvedGroup) -> tuple[str | None, tuple[str, ...]]:
    if not group.on:
        return None, ()
    return group.name, tuple(sorted(kind.value for kind in group.on))
