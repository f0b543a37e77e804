"""What a routed call held is free when the call is over, not when the garbage collector comes round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.error import ConnectionRefusedError

from llm_gateway.errors import Draining
from llm_gateway.web.request_body import RequestBody
from tests.memory import Client
from tests.web.routed import EVENT, Routed, chat, fails, key, nothing_stays, streams, works


@pytest.fixture(autouse=True)
def all_is_given_back_without_a_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        with nothing_stays():
            yield
    finally:
        gc.enable()


def answered(gateway: Routed, _client: Client) -> None:
    works(gateway.last)


def answered_elsewhere(gateway: Routed, _client: Client) -> None:
    fails(gateway.last, 503)
    gateway.soon()
    works(gateway.last)


def failed_everywhere(gateway: Routed, _client: Client) -> None:
    gateway.last.fail(ConnectionRefusedError())
    gateway.soon()
    fails(gateway.last, 400)


def left(gateway: Routed, client: Client) -> None:
    client.leave()


def left_while_waiting(gateway: Routed, client: Client) -> None:
    fails(gateway.last, 503)
    client.leave()


def stopped(gateway: Routed, _client: Client) -> None:
    gateway.live.stop_all()


def stopped_while_waiting(gateway: Routed, _client: Client) -> None:
    fails(gateway.last, 503)
    for call in list(gateway.live._calls):
        call.stop(Draining("Over."))


@pytest.mark.parametrize(
    "end",
    [answered, answered_elsewhere, failed_everywhere, left, left_while_waiting, stopped, stopped_while_waiting],
)
def test_call_leaves_nothing_behind(end: Callable[[Routed, Client], None]) -> None:
    """However it ends: a busy gateway holds what its running calls need, and no more."""
    gateway = Routed()
    client = gateway.call()
    end(gateway, client)
    assert len(gateway.records.written) == 1


def test_refused_call_leaves_nothing_behind() -> None:
    """Neither does one that its only provider could not be asked."""
    gateway = Routed(key("vk", "e"))
    client = gateway.call(chat(seed=3))
    assert client.answer()[0] == 400


def test_body_is_let_go_of_with_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent again after that, and an answer may take an hour."""
    released: list[int] = []
    release = RequestBody.release

    def noted(body: RequestBody) -> None:
        released.append(len(gateway.agent.sent))
        release(body)

    monkeypatch.setattr(RequestBody, "release", noted)
    gateway = Routed()
    gateway.stream()
    fails(gateway.last, 503)
    gateway.soon()
    assert released == []
    response = streams(gateway.last, EVENT)
    assert released == [2]
    response.end()
    assert released == [2]
