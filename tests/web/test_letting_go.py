"""What a call held is free as soon as its client has gone, not when the garbage collector comes round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from llm_gateway.upstream.attempt import Attempt
from llm_gateway.upstream.relay import Relay
from llm_gateway.web.answer import Answer
from llm_gateway.wire.channel import CLOSE_S
from llm_gateway.wire.stock import IDLE_S
from tests.memory import USUAL, Client, MemoryGateway
from tests.wires import WIRE

EVENT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
PARTS_OF_A_CALL = (Attempt, Relay, Answer)


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
