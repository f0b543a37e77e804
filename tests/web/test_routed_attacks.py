"""Faults in every corner of a routed call, and calls in any order with whatever may happen to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.settings import (
    Breaking,
    Fallback,
    Hedging,
    Limits,
    ModelSettings,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
)
from llm_gateway.core.translation.translation import Translation
from llm_gateway.web.answer import Answer
from llm_gateway.web.request_body import RequestBody
from llm_gateway.web.routes import RouteBook
from tests.memory import Client, FakeResponse, Records, Sent
from tests.web.routed import (
    DONE,
    EVENT,
    PROVIDERS,
    STEADY,
    Routed,
    assert_at_rest,
    chat,
    fails,
    key,
    nothing_stays,
    streams,
    works,
)

T = TypeVar("T")
SECRET = "-".join(("sk", "secret"))


@pytest.fixture(autouse=True)
def all_is_given_back(request: pytest.FixtureRequest) -> Iterator[None]:
    # Exceptions, of which there are many here, hold what was at work.
    with nothing_stays(collect=True, logged="costs_no_slot" in request.node.name):
        yield


def breaks(*_anything: Any, **_more: Any) -> Any:
    raise RuntimeError(SECRET)


def breaks_from(nth: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, but for its n-th call and those behind it."""
    calls = 0

    def wrapped(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return breaks() if calls >= nth else method(*args, **named)

    return wrapped


# Faults


@pytest.mark.parametrize(
    ("owner", "method"), [(RequestBody, "producer"), (RouteBook, "plan"), (RequestBody, "__init__")]
)
def test_fault_before_anything_is_sent_is_a_500(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> None:
    """Nobody was asked, and nothing is held."""
    gateway = Routed()
    monkeypatch.setattr(owner, method, breaks)
    client = gateway.call()
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (500, "internal_error")
    assert SECRET.encode() not in client.received
    assert (gateway.agent.sent, gateway.record.ended) == ([], "internal_error")


def test_fault_before_a_retry_leaves_what_the_provider_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is all that there is."""
    gateway = Routed(retries=replace(STEADY, again=0))
    client = gateway.call()
    monkeypatch.setattr(RequestBody, "producer", breaks)
    fails(gateway.last, 503, b"busy")
    gateway.soon()
    assert (client.answer()[0], client.answer()[2]) == (503, b"busy")
    assert gateway.asked == ["a"]


@pytest.mark.parametrize("method", ["begin", "write", "finish", "registerProducer"])
@pytest.mark.parametrize("how", ["document", "stream", "held error"])
def test_fault_while_the_client_is_written_to_ends_the_call(
    monkeypatch: pytest.MonkeyPatch, method: str, how: str
) -> None:
    """With a 500, an event, or a connection that is closed: no client waits for what will never come."""
    gateway = Routed(retries=Retries(attempts=1))
    client = gateway.call()
    monkeypatch.setattr(Answer, method, breaks)
    if how == "held error":
        fails(gateway.last, 503)
    else:
        response = streams(gateway.last, EVENT) if how == "stream" else gateway.last.answer()
        response.write(EVENT)
        response.write(EVENT)
        response.end()
    gateway.soon()
    if how == "held error" and method == "registerProducer":
        assert client.answer()[0] == 503
        return
    assert gateway.record.ended == "internal_error"
    assert SECRET.encode() not in client.received
    assert client.closed or client.answer()[0] == 500 or client.whole


@pytest.mark.parametrize("where", ["before content", "after content", "at the end", "twice"])
def test_fault_in_a_translation_ends_the_call_once(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Also when nothing can be said of it in the caller's dialect any more."""
    gateway = Routed(key("vk", "a"))
    client = gateway.call(
        b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}', path="/v1/messages"
    )
    stream = Translation.streamed

    def broken(self: Translation) -> Any:
        translated = stream(self)
        if where in ("before content", "after content", "twice"):
            translated.feed = breaks_from(1 if where == "before content" else 2, translated.feed)  # type: ignore[method-assign]
        if where in ("at the end", "twice"):
            translated.close = breaks  # type: ignore[method-assign]
            translated.fail = breaks  # type: ignore[method-assign]
        return translated

    monkeypatch.setattr(Translation, "streamed", broken)
    response = streams(gateway.last, EVENT)
    response.write(EVENT)
    response.end()
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]
    assert gateway.record.ended == "internal_error"
    if where == "before content":
        assert client.answer()[0] == 500
    elif where == "after content":
        assert b"event: error" in client.answer()[2]
        assert client.whole
    else:
        assert client.closed
        assert not client.whole


def test_fault_of_the_access_log_costs_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call is served."""
    gateway = Routed(key("vk", "a"), routing=RoutingSettings(providers={"one": ProviderSettings(limits=Limits(1))}))
    gateway.call()
    gateway.call()
    monkeypatch.setattr(Records, "write", breaks)
    works(gateway.last)
    assert len(gateway.agent.sent) == 2
    works(gateway.last)
    assert (gateway.in_use, len(gateway.live)) == (0, 0)


def test_fault_in_telling_of_a_new_state_costs_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told of it."""
    gateway = Routed(key("vk", "a"), retries=Retries(attempts=1))
    monkeypatch.setattr(gateway.dispatcher, "_on_change", breaks)
    client = gateway.call()
    fails(gateway.last, 429, retry_after="5")
    gateway.soon()
    assert (gateway.in_use, len(gateway.live)) == (0, 0)
    assert client.received


# Anything, in any order


class Calls(RuleBasedStateMachine):
    """
    Two keys, three providers, with limits, races and fallbacks.

    What must be so at any moment: as many slots are in use as requests are open; a call has one request open, or two
    while it is raced; nothing is sent for a call whose client has left or has got a byte; every call ends in one
    record.
    """

    MOST = 4

    def __init__(self) -> None:
        super().__init__()
        self._around = nothing_stays(collect=True)
        self._around.__enter__()
        self.gateway = Routed(*KEYS, routing=ROUTINGS[0], retries=RETRIES, providers=HURRIED)
        self.clients: list[Client] = []
        self.gone: set[int] = set()
        self.begun: dict[int, int] = {}
        """By call: how often it had been sent when its client got the first byte."""
        self.left_after: dict[int, int] = {}
        self.bodies: list[tuple[Sent, FakeResponse]] = []
        self.stopped = False

    def teardown(self) -> None:
        try:
            for client in self.clients:
                client.leave()
            self.bodies.clear()
            assert_at_rest(self.gateway)
            assert len(self.gateway.records.written) == len(self.clients)
        finally:
            self._around.__exit__(None, None, None)

    @initialize(which=st.integers(0, 2))
    def configure(self, which: int) -> None:
        self.gateway.reload(*KEYS, routing=ROUTINGS[which], providers=HURRIED)

    # What may happen

    @rule(presented=st.sampled_from(["vk_ann", "vk_bob"]), stream=st.booleans())
    def call(self, presented: str, stream: bool) -> None:
        body = chat(stream=stream, user=f"u-{len(self.clients)}-")
        self.clients.append(self.gateway.call(body, presented=presented))

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), status=st.sampled_from([200, 200, 400, 401, 408, 429, 429, 500, 503, 504]))
    def answer(self, data: st.DataObject, status: int) -> None:
        sent = one_of(data, self.waiting())
        (works if status == 200 else lambda each: fails(each, status))(sent)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), refused=st.booleans())
    def fail(self, data: st.DataObject, refused: bool) -> None:
        error = ConnectionRefusedError() if refused else ResponseNeverReceived([Failure(ConnectionLost())])
        one_of(data, self.waiting()).fail(error)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), status=st.sampled_from([200, 200, 200, 503]), stream=st.booleans())
    def begin(self, data: st.DataObject, status: int, stream: bool) -> None:
        sent = one_of(data, self.waiting())
        self.bodies.append((sent, streams(sent) if stream and status == 200 else sent.answer(status)))

    @precondition(lambda self: self.open_bodies())
    @rule(
        data=st.data(),
        piece=st.sampled_from([EVENT, EVENT, b": c\n\n", EVENT[:9], b'data: {"error":{"code":"server_error"}}\n\n']),
    )
    def write(self, data: st.DataObject, piece: bytes) -> None:
        one_of(data, self.open_bodies()).write(piece)

    @precondition(lambda self: self.open_bodies())
    @rule(data=st.data(), cut=st.booleans())
    def end(self, data: st.DataObject, cut: bool) -> None:
        response = one_of(data, self.open_bodies())
        response.write(DONE)
        if not response.transport.closed:
            self.bodies = [each for each in self.bodies if each[1] is not response]
            response.end(ResponseFailed([Failure(ConnectionLost())]) if cut else None)

    @precondition(lambda self: len(self.gone) < len(self.clients))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        number = one_of(data, [each for each in range(len(self.clients)) if each not in self.gone])
        self.gone.add(number)
        self.clients[number].leave()
        self.left_after[number] = self.sends_of(number)

    @precondition(lambda self: len(self.gone) < len(self.clients))
    @rule(data=st.data(), stall=st.booleans())
    def read(self, data: st.DataObject, stall: bool) -> None:
        client = one_of(data, [each for number, each in enumerate(self.clients) if number not in self.gone])
        if client.transport.producer is not None and not client.transport.disconnecting:
            (client.stall if stall else client.read_on)()

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.5, 0.5, 1.0, 2.0, 4.0, 9.0]))
    def wait(self, seconds: float) -> None:
        self.gateway.clock.advance(seconds)

    @rule(which=st.integers(0, 2))
    def reload(self, which: int) -> None:
        self.gateway.reload(*KEYS, routing=ROUTINGS[which], providers=HURRIED)

    @precondition(lambda self: len(self.gateway.live) > 3)
    @rule()
    def stop(self) -> None:
        before = len(self.gateway.agent.sent)
        self.gateway.live.stop_all()
        assert len(self.gateway.agent.sent) == before
        assert len(self.gateway.live) == 0

    # What must be so

    @invariant()
    def slots_are_requests(self) -> None:
        open_ = self.open_requests()
        assert self.gateway.in_use == len(open_)
        assert len(self.gateway.live) == len(self.clients) - len(self.gateway.records.written)
        of_calls = [number_of(each) for each in open_]
        assert all(of_calls.count(each) <= 2 for each in of_calls)

    @invariant()
    def nothing_is_sent_too_often(self) -> None:
        for number, client in enumerate(self.clients):
            sends = self.sends_of(number)
            assert sends <= self.MOST
            if number in self.left_after:
                assert sends == self.left_after[number]
            if client.received:
                assert self.begun.setdefault(number, sends) == sends

    # What there is

    def sends_of(self, number: int) -> int:
        return sum(number_of(each) == number for each in self.gateway.agent.sent)

    def waiting(self) -> list[Sent]:
        """Requests without an answer so far."""
        return [each for each in self.gateway.agent.sent if not each.answered.called and not each.cancelled]

    def open_bodies(self) -> list[FakeResponse]:
        return [response for _, response in self.bodies if not response.transport.closed]

    def open_requests(self) -> list[Sent]:
        return self.waiting() + [sent for sent, response in self.bodies if not response.transport.closed]


def one_of(data: st.DataObject, there: Sequence[T]) -> T:
    """By number: what is drawn itself is kept for the report of a failure."""
    return there[data.draw(st.integers(0, len(there) - 1))]


def number_of(sent: Sent) -> int:
    found = re.search(rb"u-(\d+)-", sent.body)
    assert found is not None
    return int(found[1])


KEYS = (key("vk_ann", "a", "b", "c"), key("vk_bob", "a", "c", "e"))
HURRIED = tuple(replace(each, timeouts=Timeouts(first_byte_s=8, idle_s=6, total_s=20)) for each in PROVIDERS)
RETRIES = Retries(attempts=Calls.MOST, again=2, repeat=Repeat.GENERATIONS, spread=False)
ROUTINGS = (
    RoutingSettings(
        providers={
            "one": ProviderSettings(limits=Limits(2, queue=3, wait_s=3), breaking=Breaking(failures=3)),
            "two": ProviderSettings(limits=Limits(1, queue=2, wait_s=2)),
        },
        credentials={"a": Limits(1)},
        models={"m": ModelSettings(fallbacks=(Fallback("claude/n"),))},
    ),
    RoutingSettings(
        hedging=Hedging(after_s=1.0, share=1.0),
        strategy=Strategy.LEAST_BUSY,
        sticky=True,
        providers={"one": ProviderSettings(limits=Limits(1, queue=1), retry_reserve=100)},
    ),
    RoutingSettings(hedging=Hedging(after_s=0.5, share=1.0), providers={"two": ProviderSettings(limits=Limits(3))}),
)

TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=40, stateful_step_count=40)
