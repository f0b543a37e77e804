"""How many calls may be in flight, and who waits: slots and short queues that are fair between tenants."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from llm_gateway.core.routing.settings import Limits

__all__ = ["Admission", "CredentialGate", "ProviderGate", "Shed", "Slot", "Ticket", "TicketState"]

_NO_LIMITS = Limits()

_NO_CAP = math.inf
"""Compares with whole numbers as no limit should."""


class CredentialGate:
    """The slots of one credential."""

    __slots__ = ("__weakref__", "cap", "in_use", "name")

    def __init__(self, name: str, cap: float) -> None:
        """
        :param cap: infinite for none.
        """
        self.name = name
        self.cap = cap
        self.in_use = 0


class ProviderGate(CredentialGate):
    """The slots of one provider, and the calls that wait for one of them."""

    __slots__ = ("_held_s", "limits", "tenants", "waiting")

    def __init__(self, name: str, limits: Limits) -> None:
        super().__init__(name, _cap(limits))
        self.limits = limits
        self.tenants: dict[str, deque[Ticket]] = {}
        """The tickets of each tenant, oldest first; the tenant whose turn is next comes first."""
        self.waiting: dict[Ticket, None] = {}
        """All of them, oldest first."""
        self._held_s = 1.0

    def held(self, seconds: float) -> None:
        """Note for how long a slot was in use."""
        self._held_s += 0.1 * (seconds - self._held_s)

    def retry_after_s(self, cap: float) -> float:
        """
        :param cap: the smallest that the call has to pass.
        :return: about when a call that comes now would be through, from 1 to 30 s.
        """
        rounds = (len(self.waiting) + 1) / cap
        return float(min(30, max(1, math.ceil(self._held_s * rounds))))


class Slot(msgspec.Struct, eq=False, gc=False):
    """The right to have one call in flight. Give it back with ``Admission.leave``, once it is over in whatever way."""

    provider: ProviderGate
    credential: CredentialGate
    since: float
    live: bool = True


class TicketState(Enum):
    """How a ticket stands. It leaves ``WAITING`` once."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    """It holds a slot."""
    SHED = "shed"
    """Its time is over, or somebody who has fewer tickets needs the place."""
    GIVEN_UP = "given_up"
    """Its call does not want a slot any more."""


class Ticket(msgspec.Struct, eq=False):
    """A call's place in a queue."""

    tenant: str
    provider: ProviderGate
    credential: CredentialGate
    since: float
    deadline: float
    owner: Any = None
    """The caller's own, to know it again."""
    state: TicketState = TicketState.WAITING
    slot: Slot | None = None
    """Once it is admitted."""


class Shed(msgspec.Struct, frozen=True):
    """No slot and no place in the queue."""

    retry_after_s: float


class Admission:
    """
    Hands out slots.

    A call needs one of its provider and one of its credential; calls of all credentials of a provider wait in one
    queue, in which tenants take turns. A full queue makes room for a tenant at the cost of the one that has most in it,
    so that nobody's flood keeps another out.

    Two things hold at all times: slots in use equal the slots handed out and not given back, and no ticket waits that
    could be admitted.
    """

    def __init__(self) -> None:
        self._limits: Mapping[str, Limits] = {}
        self._credential_limits: Mapping[str, Limits] = {}
        self._providers: dict[str, ProviderGate] = {}
        self._credentials: dict[tuple[str, str], CredentialGate] = {}

    @property
    def in_use(self) -> int:
        """Slots, of everything together."""
        return sum(gate.in_use for gate in self._providers.values())

    def configure(self, providers: Mapping[str, Limits], credentials: Mapping[str, Limits], now: float) -> list[Ticket]:
        """
        :param providers: limits by provider; others have none. Likewise for credentials.
        :return: tickets that are admitted now.
        """
        self._limits, self._credential_limits = dict(providers), dict(credentials)
        for gate in self._providers.values():
            gate.limits = self._limits.get(gate.name, _NO_LIMITS)
            gate.cap = _cap(gate.limits)
        for credential in self._credentials.values():
            credential.cap = _cap(self._credential_limits.get(credential.name, _NO_LIMITS))
        return [ticket for gate in self._providers.values() for ticket in self._serve(gate, now)]

    def gates(self, provider: str, credential: str) -> tuple[ProviderGate, CredentialGate]:
        """
        :return: the two that a call with this credential has to pass. The names come from the configuration.
        """
        gate = self._providers.get(provider)
        if gate is None:
            gate = self._providers[provider] = ProviderGate(provider, self._limits.get(provider, _NO_LIMITS))
        own = self._credentials.get((provider, credential))
        if own is None:
            own = CredentialGate(credential, _cap(self._credential_limits.get(credential, _NO_LIMITS)))
            self._credentials[provider, credential] = own
        return gate, own

    def provider(self, name: str) -> ProviderGate | None:
        """
        :return: that provider's, if a call could have come to it so far.
        """
        return self._providers.get(name)

    def take(self, provider: ProviderGate, credential: CredentialGate, now: float) -> Slot | None:
        """
        :return: a slot if there is one, without waiting.
        """
        if provider.in_use >= provider.cap or credential.in_use >= credential.cap:
            return None
        provider.in_use += 1
        credential.in_use += 1
        return Slot(provider, credential, now)

    def enter(
        self, provider: ProviderGate, credential: CredentialGate, tenant: str, now: float, owner: Any = None
    ) -> tuple[Slot | Ticket | Shed, Ticket | None]:
        """
        Take a slot or a place in the queue.

        :param owner: kept with the ticket.
        :return: what the call gets, and a ticket of another one that had to leave the queue for it.
        """
        slot = self.take(provider, credential, now)
        return (slot, None) if slot is not None else self.line_up(provider, credential, tenant, now, owner)

    def line_up(
        self, provider: ProviderGate, credential: CredentialGate, tenant: str, now: float, owner: Any = None
    ) -> tuple[Ticket | Shed, Ticket | None]:
        """Take a place in the queue, when ``take`` had nothing to give."""
        limits = provider.limits
        evicted = None
        if len(provider.waiting) >= limits.queue:
            evicted = self._make_room(provider, tenant)
            if evicted is None:
                return Shed(provider.retry_after_s(min(provider.cap, credential.cap))), None
        ticket = Ticket(tenant, provider, credential, now, now + limits.wait_s, owner)
        provider.waiting[ticket] = None
        tickets = provider.tenants.get(tenant)
        if tickets is None:
            provider.tenants[tenant] = deque((ticket,))
        else:
            tickets.append(ticket)
        return ticket, evicted

    def leave(self, slot: Slot, now: float) -> list[Ticket]:
        """
        Give a slot back; a second time nothing happens.

        :return: tickets that are admitted by that.
        """
        if not slot.live:
            return []
        slot.live = False
        provider, credential = slot.provider, slot.credential
        provider.in_use -= 1
        credential.in_use -= 1
        if provider.cap < _NO_CAP or credential.cap < _NO_CAP:
            provider.held(now - slot.since)
        return self._serve(provider, now) if provider.waiting else []

    def give_up(self, ticket: Ticket, now: float) -> list[Ticket]:
        """
        The call does not want to wait any more, or not the slot that it was given.

        :return: tickets that are admitted by that.
        """
        if ticket.state is TicketState.WAITING:
            self._remove(ticket, TicketState.GIVEN_UP)
        elif ticket.slot is not None:
            return self.leave(ticket.slot, now)
        return []

    def expire(self, now: float) -> list[Ticket]:
        """
        :return: tickets that have waited for too long; they are shed.
        """
        late = []
        for gate in self._providers.values():
            for ticket in list(gate.waiting):
                if ticket.deadline > now:
                    break
                self._remove(ticket, TicketState.SHED)
                late.append(ticket)
        return late

    def next_deadline(self) -> float | None:
        """
        :return: when ``expire`` has something to do at the earliest, if nothing happens until then.
        """
        return min(
            (next(iter(gate.waiting)).deadline for gate in self._providers.values() if gate.waiting), default=None
        )

    def waiting(self) -> int:
        """:return: tickets in all queues."""
        return sum(len(gate.waiting) for gate in self._providers.values())

    def _serve(self, provider: ProviderGate, now: float) -> list[Ticket]:
        admitted = []
        while provider.in_use < provider.cap:
            ticket = next(self._admissible(provider), None)
            if ticket is None:
                break
            tenant = ticket.tenant
            self._remove(ticket, TicketState.ADMITTED)
            tickets = provider.tenants.pop(tenant, None)
            if tickets is not None:
                # Its next turn is after all the others'.
                provider.tenants[tenant] = tickets
            ticket.slot = self.take(provider, ticket.credential, now)
            admitted.append(ticket)
        return admitted

    @staticmethod
    def _admissible(provider: ProviderGate) -> Iterator[Ticket]:
        """The tickets whose credential has room, in the order of the turns."""
        for tickets in provider.tenants.values():
            for ticket in tickets:
                if ticket.credential.in_use < ticket.credential.cap:
                    yield ticket

    def _make_room(self, provider: ProviderGate, tenant: str) -> Ticket | None:
        """:return: the newest ticket of who has most, if that is more than ``tenant`` would have with one more."""
        most = max(provider.tenants.values(), key=len, default=None)
        own = provider.tenants.get(tenant, ())
        if most is None or len(most) <= len(own) + 1:
            return None
        ticket = most[-1]
        self._remove(ticket, TicketState.SHED)
        return ticket

    @staticmethod
    def _remove(ticket: Ticket, state: TicketState) -> None:
        ticket.state = state
        provider = ticket.provider
        del provider.waiting[ticket]
        tickets = provider.tenants[ticket.tenant]
        tickets.remove(ticket)
        if not tickets:
            del provider.tenants[ticket.tenant]


def _cap(limits: Limits) -> float:
    return _NO_CAP if limits.in_flight is None else limits.in_flight
