"""From the candidates of a call to the one that is asked next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec

from llm_gateway.core.routing.admission import CredentialGate, ProviderGate
from llm_gateway.core.routing.backoff import ShareOfCalls
from llm_gateway.core.routing.breaker import Breaker, Fitness, State
from llm_gateway.core.routing.candidates import (
    Call,
    Candidate,
    Chance,
    conversation_number,
    draw,
    place_on_circle,
    weighted_order,
)
from llm_gateway.core.routing.health import Four, Health
from llm_gateway.core.routing.outcomes import OutcomeKind
from llm_gateway.core.routing.settings import Strategy
from llm_gateway.core.routing.speeds import Speed

__all__ = ["Lane", "Plan", "Price", "Route", "Tier", "fitness_of", "ordered"]

Price = Callable[[Candidate], float | None]
"""Of a candidate, in any unit that is the same for all; ``None`` where it is not known."""


class Lane(msgspec.Struct, eq=False, frozen=True, weakref=True):
    """A candidate, and the state that it shares with others."""

    candidate: Candidate
    four: Four
    provider_gate: ProviderGate
    credential_gate: CredentialGate
    repeats: ShareOfCalls
    """Of its provider: how often a call may come to it once more."""
    speed: Speed
    price: float
    """Infinite where it is not known."""
    place: int
    """From ``place_on_circle``."""

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        four: Four,
        gates: tuple[ProviderGate, CredentialGate],
        repeats: ShareOfCalls,
        speed: Speed,
        price: float | None = None,
    ) -> Lane:
        """Put them together."""
        known = math.inf if price is None else price
        return cls(candidate, four, *gates, repeats, speed, known, place_on_circle(candidate))

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        gate, own = self.provider_gate, self.credential_gate
        return gate.in_use < gate.cap and own.in_use < own.cap

    @property
    def retry_after_s(self) -> float:
        """About when there will be one."""
        return self.provider_gate.retry_after_s(min(self.provider_gate.cap, self.credential_gate.cap))


class Tier(msgspec.Struct, frozen=True):
    """Candidates for one model: those that the caller asked for, or those of a fallback."""

    groups: tuple[tuple[Lane, ...], ...]
    """The same ``order`` in each, lower ones first."""
    strategy: Strategy
    sticky: bool
    on: frozenset[OutcomeKind] = frozenset()
    """Of a fallback: after which outcomes."""
    name: str = ""
    """Of a fallback: the model's, as the operator wrote it."""

    @classmethod
    def of(
        cls,
        lanes: Sequence[Lane],
        strategy: Strategy,
        sticky: bool = False,
        on: frozenset[OutcomeKind] = frozenset(),
        name: str = "",
    ) -> Tier:
        """
        :param lanes: in the order in which they are listed.
        """
        by_order: dict[tuple[int, bool], list[Lane]] = {}
        for lane in lanes:
            # What has no weight is for when the others of its order are out, whatever the strategy.
            by_order.setdefault((lane.candidate.order, lane.candidate.weight <= 0), []).append(lane)
        groups = tuple(tuple(by_order[order]) for order in sorted(by_order))
        if strategy is Strategy.CHEAPEST:
            # Prices do not change from call to call.
            groups = tuple(tuple(sorted(group, key=lambda lane: lane.price)) for group in groups)
        return cls(groups, strategy, sticky, on, name)


class Route(msgspec.Struct, eq=False, frozen=True):
    """Where calls of one virtual key for one model can go. Made once, and used by many calls."""

    main: Tier
    fallbacks: tuple[Tier, ...] = ()
    explore: float = 0.0
    only: Lane | None = None
    """The candidate, where there is nothing to choose."""

    @classmethod
    def of(cls, main: Tier, fallbacks: Sequence[Tier] = (), explore: float = 0.0) -> Route:
        """Put them together."""
        lanes = [lane for group in main.groups for lane in group]
        only = lanes[0] if len(lanes) == 1 else None
        return cls(main, tuple(fallbacks), explore, only)


def ordered(
    group: tuple[Lane, ...], strategy: Strategy, conversation: int | None, explore: float, now: float, chance: Chance
) -> Sequence[Lane]:
    """
    :param group: candidates of the same order.
    :param conversation: to stay with; ``None`` to go by the strategy.
    :return: the order in which they are asked.
    """
    if len(group) == 1 or (conversation is None and strategy in (Strategy.IN_ORDER, Strategy.CHEAPEST)):
        return group
    weights = [lane.candidate.weight or 1.0 for lane in group]
    if conversation is not None:
        return [group[at] for at in weighted_order(weights, [draw(conversation, lane.place) for lane in group])]
    if strategy is Strategy.LEAST_BUSY:
        return sorted(group, key=lambda lane: _busy(lane, chance))
    by_chance = [group[at] for at in weighted_order(weights, [chance() for _ in group])]
    if strategy is Strategy.FASTEST and chance() >= explore:
        # What is not known is tried by exploring only: all calls at once would go there until its first token comes.
        return sorted(by_chance, key=lambda lane: _slow(lane, now))
    return by_chance


def _busy(lane: Lane, chance: Chance) -> tuple[float, float]:
    # By chance among equals, or the first would get all that come one at a time.
    return (lane.credential_gate.in_use + 1) / (lane.candidate.weight or 1.0), chance()


def _slow(lane: Lane, now: float) -> float:
    estimate = lane.speed.estimate(now)
    return math.inf if estimate is None else estimate


def fitness_of(lane: Lane, now: float, lot: float, tenant: str) -> Fitness:
    """
    :param lot: from 0 to 1, see ``Breaker.fitness``.
    :param tenant: whose call it is.
    :return: the worst of all that the candidate depends on.
    """
    worst = Fitness.IN
    for breaker in lane.four:
        if breaker.troubled:
            fitness = breaker.fitness(now, lot, tenant)
            if fitness > worst:
                worst = fitness
    return worst


class Plan:
    """The candidates of one call, one after the other: each is worked out when the one before it will not do."""

    __slots__ = ("_bound", "_chance", "_conversation", "_health", "_orders", "_route", "_said", "_tenant")

    def __init__(self, route: Route, call: Call, health: Health, chance: Chance) -> None:
        self._route = route
        self._health = health
        self._chance = chance
        self._bound = call.bound
        self._said = call.conversation
        self._tenant = call.tenant
        self._conversation: int | None = None
        self._orders: dict[tuple[int, int], Sequence[Lane]] = {}
        """What has been put in order, by tier and group: one call sees one order, whatever others do."""

    def first(self, now: float) -> Lane | None:
        """:return: whom to ask first. The short way for when nothing is in trouble."""
        if self._health.troubled:
            return self.pick(now)
        groups = self._route.main.groups
        if not groups:
            return None
        return groups[0][0] if self._bound else self._group(0, 0, now)[0]

    def pick(
        self,
        now: float,
        refused: Callable[[Lane], bool] | None = None,
        after: frozenset[OutcomeKind] | None = None,
        last_resort: bool = False,
    ) -> Lane | None:
        """
        Choose whom to ask now.

        :param refused: tells whether a candidate will not do for this call.
        :param after: look among the fallbacks for these outcomes; ``None`` to look among what was asked for.
        :param last_resort: also take what fails more often than not.
        """
        ramping = last = None
        for lane in self.lanes(now, after):
            if refused is not None and refused(lane):
                continue
            fitness = Fitness.IN
            if self._health.troubled:
                fitness = fitness_of(lane, now, self._lot(lane), self._tenant)
            if fitness is Fitness.IN:
                return lane
            if fitness is Fitness.RAMPING:
                ramping = ramping or lane
            elif fitness is Fitness.LAST_RESORT:
                last = last or lane
        return ramping or (last if last_resort else None)

    def lanes(self, now: float, after: frozenset[OutcomeKind] | None = None) -> Iterator[Lane]:
        """
        :return: all candidates in order, fit or not; of what was asked for, or of the fallbacks for these outcomes.
        """
        route = self._route
        if self._bound:
            if after is None and route.main.groups:
                yield route.main.groups[0][0]
        elif after is None:
            for group in range(len(route.main.groups)):
                yield from self._group(0, group, now)
        else:
            for number, tier in enumerate(route.fallbacks, 1):
                if not tier.on.isdisjoint(after):
                    for group in range(len(tier.groups)):
                        yield from self._group(number, group, now)

    def troubles(self, now: float) -> Iterator[Breaker]:
        """What keeps the candidates that were asked for out, one for each."""
        for lane in self.lanes(now):
            for breaker in lane.four:
                if breaker.troubled and breaker.state is not State.CLOSED:
                    yield breaker
                    break

    def _group(self, tier: int, group: int, now: float) -> Sequence[Lane]:
        found = self._orders.get((tier, group))
        if found is None:
            which = self._route.fallbacks[tier - 1] if tier else self._route.main
            conversation = self._number() if which.sticky else None
            found = ordered(which.groups[group], which.strategy, conversation, self._route.explore, now, self._chance)
            self._orders[tier, group] = found
        return found

    def _lot(self, lane: Lane) -> float:
        """A conversation that stays with one candidate shall change it once on the way back, not at every call."""
        conversation = self._number()
        return self._chance() if conversation is None else draw(conversation, lane.place ^ _OTHER_LOTS)

    def _number(self) -> int | None:
        if self._conversation is None and self._said is not None:
            self._conversation = conversation_number(self._said)
        return self._conversation


_OTHER_LOTS = 0x3A94_71C6_58E2_0D72
"""Which candidate a conversation draws and when it goes back there shall not depend on each other."""
