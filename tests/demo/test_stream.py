"""The demo provider's streams: their pace, clients that are slow or leave, and trouble on request."""

from __future__ import annotations

import pytest
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel
from zope.interface.verify import verifyObject

from llm_gateway.demo.stream import PacedStream
from tests.demo.memory import PACE_S, Connection, call, chat

COUNT = chat("count to 5", stream=True)
PATH = "/openai/v1/chat/completions"


def words(connection: Connection) -> int:
    return connection.body.count(b'"content":"') - 1


def test_words_come_one_by_one_at_the_pace() -> None:
    connection = call("POST", PATH, COUNT)
    assert connection.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert connection.headers["cache-control"] == "no-cache"
    seen = [words(connection)]
    for _ in range(5):
        connection.clock.advance(PACE_S)
        seen.append(words(connection))
    assert seen == [0, 1, 2, 3, 4, 5]
    assert not connection.body.endswith(b"data: [DONE]\n\n")
    connection.clock.advance(PACE_S)
    assert connection.body.endswith(b"data: [DONE]\n\n")
    assert connection.transport.value().endswith(b"0\r\n\r\n")
    assert connection.clock.getDelayedCalls() == []


def test_slow_client_stops_the_stream_until_it_reads_again() -> None:
    connection = call("POST", PATH, COUNT)
    connection.clock.advance(PACE_S)
    producer = connection.transport.producer
    assert producer is not None
    producer.pauseProducing()
    connection.clock.advance(100 * PACE_S)
    assert words(connection) == 1
    assert connection.clock.getDelayedCalls() == []
    producer.resumeProducing()
    connection.clock.advance(PACE_S)
    assert words(connection) == 2


def test_client_leaving_ends_the_stream() -> None:
    connection = call("POST", PATH, COUNT)
    connection.clock.advance(PACE_S)
    connection.leave()
    assert connection.clock.getDelayedCalls() == []


def test_client_leaving_while_slow_ends_the_stream() -> None:
    connection = call("POST", PATH, COUNT)
    assert connection.transport.producer is not None
    connection.transport.producer.pauseProducing()
    connection.leave()
    connection.clock.advance(100 * PACE_S)
    assert (words(connection), connection.clock.getDelayedCalls()) == (0, [])


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (PATH, chat("error midstream", stream=True)),
        ("/openai/v1/responses", {"model": "m", "input": "error midstream", "stream": True}),
        ("/anthropic/v1/messages", chat("error midstream", stream=True, max_tokens=99)),
    ],
)
def test_error_midstream_closes_the_connection_inside_the_body(path: str, document: object) -> None:
    connection = call("POST", path, document, anthropic_version="2023-06-01")
    for _ in range(20):
        connection.clock.advance(PACE_S)
    assert connection.transport.disconnecting
    assert connection.status == 200
    assert b'" answer"' in connection.body
    assert b"finished" not in connection.body
    assert not connection.transport.value().endswith(b"0\r\n\r\n")
    assert connection.clock.getDelayedCalls() == []


def test_error_midstream_cuts_a_plain_answer_too() -> None:
    connection = call("POST", PATH, chat("error midstream"))
    assert connection.transport.disconnecting
    assert 0 < len(connection.body) < int(connection.headers["content-length"])


def test_error_stall_keeps_a_stream_open_and_says_nothing_more() -> None:
    connection = call("POST", PATH, chat("error stall", stream=True))
    for _ in range(20):
        connection.clock.advance(PACE_S)
    assert len(connection.events) == 4
    assert not connection.transport.disconnecting
    assert connection.clock.getDelayedCalls() == []
    connection.leave()


def test_error_stall_never_begins_a_plain_answer() -> None:
    connection = call("POST", PATH, chat("error stall"))
    connection.clock.advance(3600)
    assert connection.transport.value() == b""
    assert not connection.transport.disconnecting
    connection.leave()


def test_stream_is_a_push_producer() -> None:
    stream = PacedStream(Request(DummyChannel(), False), iter([]), Clock(), 1.0, None)
    assert verifyObject(IPushProducer, stream)
