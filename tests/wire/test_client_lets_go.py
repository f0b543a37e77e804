"""What a connection to an origin held is free as soon as it is closed, not when the garbage collector comes round."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseFailed

from llm_gateway.wire.client import Agent
from llm_gateway.wire.pool import ConnectionPool
from llm_gateway.wire.response import Response

reactor: Any = installed
BOUND_S = 20.0
LONG = 50_000_000
"""More than the sockets on the way take."""


class Origin(Protocol):
    """Once somebody speaks it reads no more, says what it is told to, and may hang up."""

    answer = b""
    hangs_up = False

    def __init__(self, spoken: Deferred[None]) -> None:
        self._spoken: Deferred[None] | None = spoken
        self._lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        spoken, self._spoken = self._spoken, None
        if spoken is not None:
            transport: Any = self.transport
            transport.pauseProducing()
            transport.write(self.answer)
            if self.hangs_up:
                transport.loseConnection()
            spoken.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost.callback(None)

    def gone(self) -> Deferred[None]:
        transport: Any = self.transport
        transport.abortConnection()
        return self._lost


class Reading(Protocol):
    """Reads a body for nothing but its end."""

    def __init__(self, ended: Deferred[Any]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Not while it is still being told to us.
        reactor.callLater(0, self._ended.callback, reason.check(ResponseFailed))


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def kept(kind: type) -> int:
    """How many of them are in memory."""
    return sum(type(each) is kind for each in gc.get_objects())


def bounded(deferred: Deferred[Any]) -> Deferred[Any]:
    return deferred.addTimeout(BOUND_S, reactor)


@pytest.fixture
def spoken() -> Deferred[None]:
    """Fires when the origin has been spoken to."""
    return Deferred()


@pytest.fixture
def port(spoken: Deferred[None]) -> Iterator[int]:
    origin = Origin(spoken)
    listening = reactor.listenTCP(0, Factory.forProtocol(lambda: origin), interface="127.0.0.1")
    yield listening.getHost().port
    pytest_twisted.blockon(origin.gone())
    pytest_twisted.blockon(listening.stopListening())


@pytest_twisted.ensureDeferred
async def test_request_that_nobody_reads_is_let_go_of_when_it_is_cancelled(port: int, spoken: Deferred[None]) -> None:
    """What of it has not been sent goes with its connection, however many leave at once."""
    pool = ConnectionPool(reactor, max_idle_per_origin=4, idle_s=5.0)
    with no_collector():
        before = kept(Client)
        body = FileBodyProducer(BytesIO(bytes(LONG)))
        sending = Agent(pool, 5.0).request(b"POST", b"http://127.0.0.1:%d/" % port, None, body)
        await bounded(spoken)
        assert kept(Client) == before + 1
        sending.addErrback(lambda _failure: None)
        sending.cancel()
        await bounded(pool.closeCachedConnections())
        # Not while the connection is still being lost.
        await deferLater(reactor, 0)
        assert kept(Client) == before


@pytest_twisted.ensureDeferred
async def test_answer_that_broke_off_is_let_go_of(
    port: int, spoken: Deferred[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader is told of it in an error that names it, and then nobody needs it."""
    monkeypatch.setattr(Origin, "answer", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    monkeypatch.setattr(Origin, "hangs_up", True)
    pool = ConnectionPool(reactor, max_idle_per_origin=4, idle_s=5.0)
    ended: Deferred[Any] = Deferred()
    with no_collector():
        before = kept(Response)
        asked = Agent(pool, 5.0).request(b"GET", b"http://127.0.0.1:%d/" % port)
        asked.addCallback(lambda response: response.deliverBody(Reading(ended)))
        assert await bounded(ended) is ResponseFailed
        assert kept(Response) == before
        await bounded(pool.closeCachedConnections())
