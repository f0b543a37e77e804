"""What a call held is free as soon as its client has gone, not when the garbage collector comes round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from twisted.internet.error import ConnectionLost

from llm_gateway.upstream.attempt import Attempt
from llm_gateway.upstream.relay import LINGER_S, Relay
from llm_gateway.web.answer import Answer
from llm_gateway.web.translated import TranslatedAnswer
from llm_gateway.wire.bounds import IDLE_S
from llm_gateway.wire.channel import CLOSE_S
from tests.memory import USUAL, Client, MemoryGateway
from tests.wires import WIRE

EVENT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
PARTS_OF_A_CALL = (Attempt, Relay, Answer, TranslatedAnswer)


@contextmanager
def no_collector() -> Iterator[Callable[[], list[str]]]:
    """Gives the parts of calls that are still in memory, but for those that other tests have left behind."""
    gc.collect()
    gc.disable()
    before = parts()
    try:
        yield lambda: [type(part).__name__ for part in parts() if part not in before]
    finally:
        gc.enable()


def parts() -> list[object]:
    return [each for each in gc.get_objects() if type(each) in PARTS_OF_A_CALL]


def client_leaves(_gateway: MemoryGateway, client: Client) -> None:
    client.leave()


def clock_runs_out(gateway: MemoryGateway, client: Client) -> None:
    gateway.clock.advance(USUAL.providers["openai"].timeouts.idle_s)
    assert client.transport.aborted
    client.leave()


@pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own channel keeps its last producer for as long as it lives")
@pytest.mark.parametrize("end", [client_leaves, clock_runs_out])
def test_client_that_stopped_reading_is_let_go_of_at_once(end: Callable[[MemoryGateway, Client], None]) -> None:
    """A thousand of them, each with more than 100 KB that it did not read, cost nothing once they have gone."""
    gateway = MemoryGateway()
    with no_collector() as kept:
        client = gateway.client()
        client.chat()
        response = gateway.agent.sent.pop().answer(content_type="text/event-stream")
        response.write(EVENT)
        client.stall()
        assert response.transport.paused
        del response
        assert sorted(kept()) == ["Answer", "Attempt", "Relay"]
        end(gateway, client)
        assert gateway.record.ended in ("client_gone", "client_stalled")
        assert kept() == []


@pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own channel gives a client that does not read other times")
def test_reader_that_goes_on_just_often_enough_is_cut_off_after_the_total_clock() -> None:
    """It gets as long to read the end as any idle client; then its connection is closed, read or not."""
    gateway = MemoryGateway()
    timeouts = USUAL.providers["openai"].timeouts
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type="text/event-stream")
    waited = 0.0
    while waited < timeouts.total_s:
        response.write(EVENT)
        client.stall()
        gateway.clock.advance(timeouts.idle_s - 1)
        waited += timeouts.idle_s - 1
        assert response.transport.closed == (waited >= timeouts.total_s)
        client.read_on()
    client.stall()
    assert gateway.record.ended == "timeout"
    assert not len(gateway.live)
    gateway.clock.advance(IDLE_S)
    assert client.closed
    assert not client.transport.aborted
    gateway.clock.advance(CLOSE_S)
    assert client.transport.aborted
    client.leave()


WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hi"}}]}'
)


# Twisted's own channel keeps what it has for a client that has gone.
@pytest.mark.parametrize(
    "end", ["whole", "last event", "stream", "broken", "refused", *(["client leaves"] if WIRE != "twisted" else [])]
)
def test_translated_call_is_let_go_of_at_once(end: str) -> None:
    """What it holds of its request can be an image."""
    gateway = MemoryGateway()
    streams = end not in ("whole", "refused")
    body = b'{"model":"m","max_tokens":9,"stream":%b,"messages":[{"role":"user","content":"Hi"}]}'
    with no_collector() as kept:
        client = gateway.client()
        client.ask("POST", "/v1/messages", body % (b"true" if streams else b"false"), x_api_key="vk_openai")
        status = 400 if end == "refused" else 200
        content_type = "text/event-stream" if streams else "application/json"
        response = gateway.agent.sent.pop().answer(status, content_type=content_type)
        response.write(EVENT if streams else WHOLE if end == "whole" else b'{"error":{"message":"no"}}')
        assert "TranslatedAnswer" in kept()
        if end in ("last event", "stream"):
            response.write(b"data: [DONE]\n\n")
        if end == "last event":
            gateway.clock.advance(LINGER_S)
        elif end == "broken":
            response.end(ConnectionLost())
        elif end == "client leaves":
            client.leave()
        else:
            response.end()
        assert gateway.record.ended
        del response
        assert kept() == []
