"""Slots and queues: what always holds, and whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_gateway.core.routing.admission import Admission, CredentialGate, ProviderGate, Shed, Slot, Ticket, TicketState
from llm_gateway.core.routing.settings import Limits


def an_admission(limits: Limits | None = None, **credentials: int) -> Admission:
    admission = Admission()
    named = {name: Limits(cap) for name, cap in credentials.items()}
    admission.configure({"openai": limits or Limits()}, named, 0.0)
    return admission


def enter(admission: Admission, tenant: str = "t", now: float = 0.0, credential: str = "main") -> Slot | Ticket | Shed:
    """Without another one being put out for it."""
    entered, evicted = admission.enter(*admission.gates("openai", credential), tenant, now)
    assert evicted is None
    return entered


def slots(admission: Admission, count: int, tenant: str = "t", credential: str = "main") -> list[Slot]:
    taken = [enter(admission, tenant, credential=credential) for _ in range(count)]
    assert all(isinstance(each, Slot) for each in taken)
    return [each for each in taken if isinstance(each, Slot)]


def ticket(admission: Admission, tenant: str = "t", now: float = 0.0, credential: str = "main") -> Ticket:
    entered = enter(admission, tenant, now, credential)
    assert isinstance(entered, Ticket)
    return entered


def test_without_limits_everybody_is_let_in_and_counted() -> None:
    admission = an_admission()
    taken = slots(admission, 1000)
    gate, own = admission.gates("openai", "main")
    assert (admission.in_use, gate.in_use, own.in_use) == (1000, 1000, 1000)
    for slot in taken:
        assert admission.leave(slot, 1.0) == []
    assert (admission.in_use, gate.in_use, own.in_use) == (0, 0, 0)


def test_slot_is_given_back_once_however_often_it_is_said() -> None:
    admission = an_admission(Limits(2))
    first, _ = slots(admission, 2)
    waiting = [ticket(admission), ticket(admission)]
    assert admission.leave(first, 1.0) == waiting[:1]
    assert admission.leave(first, 1.0) == []
    assert admission.in_use == 2


def test_full_provider_has_calls_wait_and_a_full_queue_sheds() -> None:
    admission = an_admission(Limits(2, queue=3))
    slots(admission, 2)
    for _ in range(3):
        ticket(admission)
    shed = enter(admission)
    assert isinstance(shed, Shed)
    assert 1 <= shed.retry_after_s <= 30


def test_time_to_wait_grows_with_the_queue_and_the_time_that_calls_take() -> None:
    admission = an_admission(Limits(2, queue=100))
    gate, own = admission.gates("openai", "main")
    for number in range(100):
        slot = admission.take(gate, own, number * 10.0)
        assert slot is not None
        admission.leave(slot, number * 10.0 + 4.0)
    slots(admission, 2)
    assert gate.retry_after_s(2) == pytest.approx(2.0)
    for _ in range(5):
        ticket(admission)
    assert gate.retry_after_s(2) == pytest.approx(12.0)
    for _ in range(50):
        ticket(admission)
    assert gate.retry_after_s(2) == 30.0


def test_tenants_take_turns() -> None:
    admission = an_admission(Limits(1))
    [slot] = slots(admission, 1)
    for tenant in ("flood",) * 6 + ("b", "c", "b"):
        ticket(admission, tenant)
    order = []
    for _ in range(9):
        [admitted] = admission.leave(slot, 1.0)
        assert admitted.slot is not None
        slot = admitted.slot
        order.append(admitted.tenant)
    assert order == ["flood", "b", "c", "flood", "b", "flood", "flood", "flood", "flood"]


def test_first_come_first_served_within_a_tenant() -> None:
    admission = an_admission(Limits(1))
    [slot] = slots(admission, 1)
    waiting = [ticket(admission) for _ in range(5)]
    for expected in waiting:
        [admitted] = admission.leave(slot, 1.0)
        assert admitted is expected
        assert admitted.slot is not None
        slot = admitted.slot


def test_full_queue_makes_room_for_who_has_less_in_it() -> None:
    """The newest ticket of the one with most goes, and only down to equal shares."""
    admission = an_admission(Limits(1, queue=10))
    slots(admission, 1)
    flood = [ticket(admission, "flood") for _ in range(10)]
    gates = admission.gates("openai", "main")
    for number in range(1, 6):
        entered, evicted = admission.enter(*gates, "small", 0.0)
        assert isinstance(entered, Ticket)
        assert evicted is flood[-number]
        assert evicted.state is TicketState.SHED
    entered, evicted = admission.enter(*gates, "small", 0.0)
    assert isinstance(entered, Shed)
    assert evicted is None
    assert isinstance(admission.enter(*gates, "flood", 0.0)[0], Shed)
    assert admission.waiting() == 10


@pytest.mark.parametrize(("queue", "shares"), [(1, [1, 0]), (3, [2, 1]), (5, [2, 2, 1])])
def test_nobody_is_put_out_for_one_who_would_have_as_much(queue: int, shares: list[int]) -> None:
    """Two who take each other's place would wait for ever."""
    admission = an_admission(Limits(1, queue=queue))
    slots(admission, 1)
    for tenant, share in zip("abc", shares, strict=False):
        for _ in range(share):
            ticket(admission, tenant)
    least = "abc"[len(shares) - 1]
    assert isinstance(enter(admission, least), Shed)


def test_full_credential_does_not_hold_up_another_one_s_calls() -> None:
    admission = an_admission(Limits(10), main=1)
    [slot] = slots(admission, 1)
    first = ticket(admission)
    slots(admission, 5, credential="spare")
    assert admission.leave(slot, 1.0) == [first]


def test_ticket_for_a_full_credential_is_passed_over_and_not_forgotten() -> None:
    admission = an_admission(Limits(2), main=1)
    [main] = slots(admission, 1)
    [spare] = slots(admission, 1, credential="spare")
    first = ticket(admission, credential="main")
    second = ticket(admission, credential="spare")
    assert admission.leave(spare, 1.0) == [second]
    assert admission.leave(main, 2.0) == [first]


def test_ticket_waits_for_so_long_and_no_longer() -> None:
    admission = an_admission(Limits(1, wait_s=5))
    [slot] = slots(admission, 1)
    first, second = ticket(admission, now=10.0), ticket(admission, now=12.0)
    assert admission.next_deadline() == 15.0
    assert admission.expire(14.9) == []
    assert admission.expire(15.0) == [first]
    assert first.state is TicketState.SHED
    assert admission.next_deadline() == 17.0
    assert admission.leave(slot, 16.0) == [second]
    assert admission.next_deadline() is None


def test_given_up_ticket_does_not_get_a_slot() -> None:
    admission = an_admission(Limits(1))
    [slot] = slots(admission, 1)
    first, second = ticket(admission), ticket(admission)
    assert admission.give_up(first, 1.0) == []
    assert admission.leave(slot, 2.0) == [second]
    # Admitted, and its caller left before it heard of it: its slot goes on.
    third = ticket(admission)
    assert admission.give_up(second, 3.0) == [third]
    assert admission.give_up(second, 3.0) == []
    assert admission.in_use == 1


def test_higher_limit_lets_in_who_waits_and_a_lower_one_puts_nobody_out() -> None:
    admission = an_admission(Limits(1))
    [slot] = slots(admission, 1)
    waiting = [ticket(admission) for _ in range(3)]
    assert admission.configure({"openai": Limits(3)}, {}, 1.0) == waiting[:2]
    assert admission.configure({"openai": Limits(1)}, {}, 2.0) == []
    assert admission.in_use == 3
    assert admission.leave(slot, 3.0) == []
    assert admission.configure({}, {}, 4.0) == waiting[2:]


def test_limits_of_one_provider_are_not_another_s() -> None:
    admission = an_admission(Limits(1))
    slots(admission, 1)
    other, own = admission.gates("groq", "main")
    assert isinstance(admission.enter(other, own, "t", 0.0)[0], Slot)


class Door(RuleBasedStateMachine):
    """Any calls in any order; the books are kept a second time, in the simplest way."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission()
        self.now = 0.0
        self.held: list[Slot] = []
        self.waiting: list[Ticket] = []
        self.caps: dict[str, int | None] = {}
        self.limits(2, 3, 1)

    @rule(provider=st.sampled_from([None, 1, 2, 4]), queue=st.integers(0, 4), credential=st.sampled_from([None, 1, 2]))
    def limits(self, provider: int | None, queue: int, credential: int | None) -> None:
        self.caps = {"provider": provider, "main": credential}
        limits = Limits(provider, queue, wait_s=5.0)
        self.take_in(self.admission.configure({"openai": limits}, {"main": Limits(credential)}, self.now))

    @rule(tenant=st.sampled_from("abc"), credential=st.sampled_from(["main", "spare"]))
    def enter(self, tenant: str, credential: str) -> None:
        gates = self.admission.gates("openai", credential)
        before = Counter(each.tenant for each in self.waiting)
        entered, evicted = self.admission.enter(*gates, tenant, self.now)
        if evicted is not None:
            assert evicted.state is TicketState.SHED
            self.waiting.remove(evicted)
            assert before[evicted.tenant] > before[tenant] + 1
        if isinstance(entered, Slot):
            self.held.append(entered)
        elif isinstance(entered, Ticket):
            self.waiting.append(entered)
        else:
            # Nobody has more of the queue than this one would have had.
            assert max(before.values(), default=0) <= before[tenant] + 1

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 99), twice=st.booleans())
    def leave(self, at: int, twice: bool) -> None:
        slot = self.held.pop(at % len(self.held))
        self.take_in(self.admission.leave(slot, self.now))
        if twice:
            assert self.admission.leave(slot, self.now) == []

    @precondition(lambda self: self.waiting)
    @rule(at=st.integers(0, 99))
    def give_up(self, at: int) -> None:
        ticket = self.waiting.pop(at % len(self.waiting))
        assert self.admission.give_up(ticket, self.now) == []

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for ticket in self.admission.expire(self.now):
            assert ticket.deadline <= self.now
            self.waiting.remove(ticket)

    def take_in(self, admitted: list[Ticket]) -> None:
        for ticket in admitted:
            assert ticket.state is TicketState.ADMITTED
            assert ticket.slot is not None
            self.waiting.remove(ticket)
            self.held.append(ticket.slot)

    @invariant()
    def slots_in_use_are_those_handed_out(self) -> None:
        gate, main = self.admission.gates("openai", "main")
        assert self.admission.in_use == gate.in_use == len(self.held)
        assert main.in_use == sum(slot.credential is main for slot in self.held)

    @invariant()
    def all_who_wait_are_known(self) -> None:
        gate, _ = self.admission.gates("openai", "main")
        assert list(gate.waiting) == sorted(self.waiting, key=lambda ticket: ticket.since)
        assert {ticket for tickets in gate.tenants.values() for ticket in tickets} == set(self.waiting)
        assert all(gate.tenants.values())

    @invariant()
    def nobody_waits_who_could_be_let_in(self) -> None:
        gate, _ = self.admission.gates("openai", "main")
        if gate.in_use < gate.cap:
            assert not [ticket for ticket in self.waiting if ticket.credential.in_use < ticket.credential.cap]

    def teardown(self) -> None:
        while self.held:
            self.take_in(self.admission.leave(self.held.pop(), self.now))
        assert self.admission.in_use == 0
        assert not self.waiting


TestDoor = Door.TestCase
TestDoor.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def test_gates_are_the_same_for_the_same_names() -> None:
    admission = Admission()
    provider, credential = admission.gates("openai", "main")
    assert isinstance(provider, ProviderGate)
    assert isinstance(credential, CredentialGate)
    assert admission.gates("openai", "spare")[0] is provider
    assert admission.gates("openai", "main")[1] is credential
    assert admission.gates("groq", "main")[1] is not credential
