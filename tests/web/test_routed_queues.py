"""Limits of calls in flight: who waits, who is sent away, and who is next."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionRefusedError

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.settings import (
    Breaking,
    Fallback,
    Limits,
    ModelSettings,
    ProviderSettings,
    RoutingSettings,
)
from tests.memory import Client
from tests.web.routed import (
    BODY,
    DONE,
    EVENT,
    MESSAGES,
    PROVIDERS,
    STEADY,
    Routed,
    chat,
    evolved,
    fails,
    key,
    messages,
    nothing_stays,
    record_of,
    streams,
    timers,
    works,
)

ANN, BOB, CID = (key(f"vk_{name}", "a") for name in ("ann", "bob", "cid"))


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


def limited(in_flight: int | None = 1, queue: int = 100, wait_s: float = 10.0) -> RoutingSettings:
    """Of provider ``one``."""
    return RoutingSettings(providers={"one": ProviderSettings(limits=Limits(in_flight, queue, wait_s))})


def status(client: Client) -> int | None:
    """None while there is no answer."""
    return client.answer()[0] if client.received else None


def test_call_waits_for_a_slot() -> None:
    """And is sent when it is its turn, as it came."""
    gateway = Routed(ANN, routing=limited())
    first, second = gateway.call(presented="vk_ann"), gateway.call(presented="vk_ann")
    assert (len(gateway.agent.sent), gateway.in_use, gateway.waiting) == (1, 1, 1)
    gateway.clock.advance(3)
    works(gateway.agent.sent[0])
    assert status(first) == 200
    assert len(gateway.agent.sent) == 2
    assert gateway.last.body == BODY
    works(gateway.last)
    assert status(second) == 200
    record = gateway.records.written[1]
    assert (record.attempts, record.first_byte_s, record.ended) == (1, 3.0, "ok")


def test_slot_is_taken_until_the_answer_is_whole() -> None:
    """A stream is in flight for as long as it lasts."""
    gateway = Routed(ANN, routing=limited())
    gateway.stream(presented="vk_ann")
    response = streams(gateway.last, EVENT)
    gateway.stream(presented="vk_ann")
    assert len(gateway.agent.sent) == 1
    response.write(DONE)
    assert len(gateway.agent.sent) == 1
    response.end()
    assert len(gateway.agent.sent) == 2


def test_call_goes_where_there_is_room() -> None:
    """Before it waits: to another key or another provider."""
    routing = replace(limited(), credentials={"c": Limits(1)})
    gateway = Routed(key("vk", "a", "c", "d"), routing=routing)
    for _ in range(3):
        gateway.call()
    assert gateway.asked == ["a", "c", "d"]


def test_limit_of_a_credential_is_its_own() -> None:
    """Its provider's others have room."""
    gateway = Routed(ANN, key("vk_bob", "b"), routing=RoutingSettings(credentials={"a": Limits(1)}))
    gateway.call(presented="vk_ann")
    gateway.call(presented="vk_ann")
    gateway.call(presented="vk_bob")
    assert gateway.asked == ["a", "b"]
    works(gateway.agent.sent[1])
    assert gateway.asked == ["a", "b"]
    works(gateway.agent.sent[0])
    assert gateway.asked == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("path", "body", "where", "said"),
    [
        ("/v1/chat/completions", chat(), "code", "gateway_busy"),
        ("/v1/responses", b'{"model":"m","input":"Hi"}', "code", "gateway_busy"),
        (MESSAGES, messages(), "type", "overloaded_error"),
        ("/v1beta/models/m:generateContent", b'{"contents":[]}', "status", "UNAVAILABLE"),
    ],
)
def test_call_that_finds_no_place_is_told_when_to_come_back(path: str, body: bytes, where: str, said: str) -> None:
    """In its own dialect; nobody was asked for it."""
    gateway = Routed(ANN, routing=limited(queue=0))
    gateway.call(presented="vk_ann")
    late = gateway.call(body, path=path, presented="vk_ann")
    got, headers, answer = late.answer()
    assert (got, headers["retry-after"], headers["x-gw-error"]) == (503, "1", "gateway_busy")
    assert json.loads(answer)["error"][where] == said
    assert not {"x-gw-provider", "x-gw-attempts"} & set(headers)
    assert len(gateway.agent.sent) == 1
    record_of(gateway, ended="shed", error="gateway_busy", status=503, attempts=0, credential=None)


def test_time_to_come_back_is_as_long_as_calls_take() -> None:
    """As far as is known."""
    gateway = Routed(ANN, routing=limited(queue=0))
    for _ in range(30):
        gateway.call(presented="vk_ann")
        gateway.clock.advance(20)
        works(gateway.last)
    gateway.call(presented="vk_ann")
    assert 15 <= int(gateway.call(presented="vk_ann").answer()[1]["retry-after"]) <= 21


def test_call_that_has_waited_long_enough_is_sent_away() -> None:
    """It is not sent any more."""
    gateway = Routed(ANN, routing=limited(wait_s=4))
    gateway.call(presented="vk_ann")
    gateway.clock.advance(1)
    late = gateway.call(presented="vk_ann")
    gateway.clock.advance(3.9)
    assert late.received == b""
    gateway.clock.advance(0.1)
    assert status(late) == 503
    assert (gateway.waiting, gateway.in_use) == (0, 1)
    record_of(gateway, ended="shed", duration_s=4.0)
    works(gateway.last)
    assert len(gateway.agent.sent) == 1


def test_each_provider_has_its_own_patience() -> None:
    """A short wait is not as long as that of a call that came before."""
    limits = {"one": ProviderSettings(limits=Limits(1, wait_s=9)), "two": ProviderSettings(limits=Limits(1, wait_s=2))}
    gateway = Routed(ANN, key("vk_two", "c"), routing=RoutingSettings(providers=limits))
    slow = [gateway.call(presented="vk_ann") for _ in range(2)][1]
    quick = [gateway.call(presented="vk_two") for _ in range(2)][1]
    gateway.clock.advance(2)
    assert (status(slow), status(quick)) == (None, 503)
    gateway.clock.advance(7)
    assert status(slow) == 503


def test_busy_provider_has_calls_fall_back_on_another_model() -> None:
    """Where the operator has said which."""
    routing = replace(limited(queue=0), models={"m": ModelSettings(fallbacks=(Fallback("two/n"),))})
    gateway = Routed(key("vk", "a", "c"), routing=replace(routing, credentials={"c": Limits(1)}))
    gateway.call()
    gateway.call()
    assert gateway.asked == ["a", "c"]
    third = gateway.call()
    assert status(third) == 503


# Fairness


def test_keys_take_turns() -> None:
    """However many calls one of them has in the queue."""
    gateway = Routed(ANN, BOB, CID, routing=limited())
    for name in ("ann", "ann", "ann", "ann", "bob", "bob", "cid"):
        gateway.call(presented=f"vk_{name}")
    for _ in range(7):
        works(gateway.last)
    assert [record.key for record in gateway.records.written] == ["ann", "ann", "bob", "cid", "ann", "bob", "ann"]


def test_flood_of_one_key_does_not_keep_out_another() -> None:
    """Its newest call makes room."""
    gateway = Routed(ANN, BOB, routing=limited(queue=3))
    flood = [gateway.call(presented="vk_ann") for _ in range(5)]
    assert [status(each) for each in flood] == [None, None, None, None, 503]
    bob = gateway.call(presented="vk_bob")
    assert bob.received == b""
    assert [status(each) for each in flood] == [None, None, None, 503, 503]
    assert flood[3].answer()[1]["x-gw-error"] == "gateway_busy"
    gateway.call(presented="vk_ann")
    assert gateway.waiting == 3
    assert [record.ended for record in gateway.records.written] == ["shed"] * 3


def test_key_does_not_crowd_out_itself() -> None:
    """Its oldest calls keep their places."""
    gateway = Routed(ANN, BOB, routing=limited(queue=2))
    flood = [gateway.call(presented="vk_ann") for _ in range(4)]
    assert [status(each) for each in flood] == [None, None, None, 503]


# Those that wait, and what happens meanwhile


def test_client_that_leaves_the_queue_gives_its_place_up() -> None:
    """Its call is never sent, and nothing of it stays."""
    gateway = Routed(ANN, routing=limited())
    gateway.call(presented="vk_ann")
    leaver, stayer = gateway.call(presented="vk_ann"), gateway.call(presented="vk_ann")
    leaver.leave()
    assert gateway.waiting == 1
    record_of(gateway, ended="client_gone", attempts=0, provider="one", status=None)
    works(gateway.last)
    works(gateway.last)
    assert status(stayer) == 200
    assert len(gateway.agent.sent) == 2


def test_nothing_is_due_when_nobody_waits() -> None:
    """The queue's clock stops with its last call."""
    gateway = Routed(ANN, routing=limited())
    gateway.call(presented="vk_ann")
    gateway.call(presented="vk_ann").leave()
    works(gateway.last)
    assert timers(gateway) == []


@pytest.mark.parametrize("how", ["leaves", "fails", "answers", "silent"])
def test_any_end_of_a_call_lets_the_next_one_in(how: str) -> None:
    """Once."""
    gateway = Routed(
        ANN,
        routing=limited(),
        retries=replace(STEADY, attempts=1),
        providers=evolved(PROVIDERS[0], timeouts=Timeouts(first_byte_s=5)),
    )
    clients = [gateway.call(presented="vk_ann") for _ in range(3)]
    if how == "leaves":
        clients[0].leave()
    elif how == "fails":
        gateway.last.fail(ConnectionRefusedError())
    elif how == "answers":
        works(gateway.last)
    else:
        gateway.clock.advance(5)
    assert (len(gateway.agent.sent), gateway.in_use, gateway.waiting) == (2, 1, 1)
    assert clients[1].received == b""


def test_slot_is_free_while_a_call_waits_to_be_sent_again() -> None:
    """And it lines up for the next attempt like any other."""
    gateway = Routed(ANN, BOB, routing=limited())
    ann = gateway.call(presented="vk_ann")
    bob = gateway.call(presented="vk_bob")
    fails(gateway.last, 503)
    assert len(gateway.agent.sent) == 2
    gateway.clock.advance(0.5)
    assert (len(gateway.agent.sent), gateway.waiting) == (2, 1)
    works(gateway.last)
    assert (status(bob), len(gateway.agent.sent)) == (200, 3)
    works(gateway.last)
    assert status(ann) == 200
    assert ann.answer()[1]["x-gw-attempts"] == "2"


def test_retry_that_finds_no_place_ends_with_what_the_provider_said() -> None:
    """Its answer says more than that the gateway is busy."""
    gateway = Routed(ANN, BOB, routing=limited(queue=0))
    ann = gateway.call(presented="vk_ann")
    fails(gateway.last, 503, b"first")
    gateway.call(presented="vk_bob")
    gateway.clock.advance(0.5)
    assert (status(ann), ann.answer()[2]) == (503, b"first")
    assert len(gateway.agent.sent) == 2
    record_of(gateway, ended="upstream_error", attempts=1, provider="one")


def test_end_of_the_drain_sends_nothing_that_waited() -> None:
    """A slot that comes free by it is for nobody: that call would be cut off at once, and billed."""
    gateway = Routed(ANN, BOB, routing=limited())
    running = gateway.stream(presented="vk_ann")
    response = streams(gateway.last, EVENT)
    waiting = [gateway.call(presented=f"vk_{name}") for name in ("ann", "bob", "ann", "bob") * 3]
    gateway.live.draining = True
    drained = gateway.live.drained()
    gateway.live.stop_all()
    assert drained.called
    assert len(gateway.agent.sent) == 1
    assert response.transport.closed
    assert b"gateway_draining" in running.answer()[2]
    assert {status(each) for each in waiting} == {503}
    assert {each.answer()[1]["x-gw-error"] for each in waiting} == {"gateway_draining"}
    assert [record.ended for record in gateway.records.written] == ["refused"] * 12 + ["drained"]


def test_calls_that_wait_are_answered_while_the_gateway_drains() -> None:
    """They came before."""
    gateway = Routed(ANN, routing=limited())
    clients = [gateway.call(presented="vk_ann") for _ in range(2)]
    gateway.live.draining = True
    drained = gateway.live.drained()
    works(gateway.last)
    assert not drained.called
    works(gateway.last)
    assert drained.called
    assert [status(each) for each in clients] == [200, 200]


def test_higher_limit_lets_in_those_that_wait() -> None:
    """At once, when the file is read anew; and a lower one counts from then on."""
    gateway = Routed(ANN, routing=limited())
    for _ in range(4):
        gateway.call(presented="vk_ann")
    gateway.reload(ANN, routing=limited(3))
    assert len(gateway.agent.sent) == 3
    gateway.reload(ANN, routing=limited(1))
    works(gateway.agent.sent[0])
    works(gateway.agent.sent[1])
    assert len(gateway.agent.sent) == 3
    works(gateway.agent.sent[2])
    assert len(gateway.agent.sent) == 4


def test_queued_call_keeps_what_it_came_with() -> None:
    """Its key, its provider's address: a reload is for those that come after it."""
    gateway = Routed(ANN, routing=limited())
    gateway.call(presented="vk_ann")
    waiting = gateway.call(presented="vk_ann")
    gateway.reload(
        key("vk_ann", "b"), routing=limited(), providers=evolved(PROVIDERS[0], base_url="https://new.test/v1")
    )
    works(gateway.agent.sent[0])
    assert (gateway.last.url, gateway.asked[-1]) == (b"https://one.test/v1/chat/completions", "a")
    works(gateway.last)
    assert status(waiting) == 200
    gateway.call(presented="vk_ann")
    assert (gateway.last.url, gateway.asked[-1]) == (b"https://new.test/v1/chat/completions", "b")


def test_call_whose_provider_goes_out_meanwhile_is_sent_elsewhere() -> None:
    """It does not wait in vain."""
    routing = RoutingSettings(
        providers={
            "one": ProviderSettings(limits=Limits(1), breaking=Breaking(failures=1, dead_share=0.1)),
            "two": ProviderSettings(limits=Limits(1)),
        }
    )
    gateway = Routed(key("vk", "a", "c"), routing=routing, retries=replace(STEADY, attempts=1))
    gateway.call()
    gateway.call()
    assert gateway.asked == ["a", "c"]
    waiting = gateway.call()
    works(gateway.agent.sent[1])
    assert gateway.asked == ["a", "c"]
    fails(gateway.agent.sent[0], 500)
    assert gateway.asked == ["a", "c", "c"]
    works(gateway.last)
    assert status(waiting) == 200


def test_health_page_counts_calls_in_flight_and_waiting() -> None:
    """Of each provider."""
    gateway = Routed(ANN, routing=limited(2))
    for _ in range(5):
        gateway.call(presented="vk_ann")
    shown = {each["name"]: each for each in gateway.page("/health")["providers"]}
    assert (shown["one"]["calls"]["in_flight"], shown["one"]["calls"]["waiting"]) == (2, 3)
    assert (shown["two"]["calls"]["in_flight"], shown["two"]["calls"]["waiting"]) == (0, 0)
    for _ in range(5):
        works(next(each for each in gateway.agent.sent if not each.answered.called))
    shown = {each["name"]: each for each in gateway.page("/health")["providers"]}
    assert shown["one"]["calls"] == {"passed": 5, "failed": 0, "rate_limited": 0, "in_flight": 0, "waiting": 0}
