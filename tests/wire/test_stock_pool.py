"""Twisted's own pool of connections, looking at an idle one before it is used."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, trustRootFromCertificates
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgent

from llm_gateway.wire.stock import AbortableConnection, QuietPool
from tests.wire.origin import EMPTY, URL, Accepted, Call, Memory, Reader
from tests.wire.test_client_real import bounded, certificate, read

__all__ = ["certificate"]

reactor: Any = installed


class Client:
    """An agent of Twisted's on a reactor of the test's."""

    def __init__(self) -> None:
        self.reactor = Memory()
        self.pool = QuietPool(self.reactor, 4, 55.0)
        self.agent: IAgent = Agent(self.reactor, pool=self.pool)

    def ask(self) -> Call:
        """A request that would not be sent again."""
        return Call(self.agent.request(b"POST", URL), Reader())

    def kept(self) -> Accepted:
        """A connection that has served one request and is idle now."""
        call = self.ask()
        origin = self.reactor.accept()
        origin.send(EMPTY)
        assert call.over
        origin.take()
        return origin


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    # Nothing is left of what was idle.
    client.reactor.advance(56)
    client.reactor.turn()
    assert client.reactor.timers() == 0
    assert all(each.wire.lost for each in client.reactor.accepted)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: ours and theirs."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def say(theirs: socket.socket) -> None:
    theirs.send(b"x")


@pytest.mark.parametrize("change", [socket.socket.close, say], ids=["closed", "written to"])
def test_connection_that_changed_unnoticed_is_not_used(
    client: Client, ends: tuple[socket.socket, socket.socket], change: Callable[[socket.socket], None]
) -> None:
    """The reactor has not come round to reading; the socket is asked before it is used."""
    origin = client.kept()
    ours, theirs = ends
    origin.wire.getHandle = lambda: ours  # type: ignore[attr-defined]  # transports on sockets have it
    call = client.ask()
    assert origin.take().startswith(b"POST")
    origin.send(EMPTY)
    assert call.over
    change(theirs)
    call = client.ask()
    assert (origin.received, origin.aborted) == (b"", True)
    client.reactor.accept().send(EMPTY)
    assert call.over


def test_next_one_is_used_in_its_place(client: Client, ends: tuple[socket.socket, socket.socket]) -> None:
    """Each is looked at when its turn comes, and not before."""
    calls = [client.ask(), client.ask(), client.ask()]
    origins = [client.reactor.accept() for _ in calls]
    for origin in origins:
        origin.send(EMPTY)
        origin.take()
    assert all(call.over for call in calls)
    ours, theirs = ends
    theirs.close()
    for each in (origins[0], origins[2]):
        each.wire.getHandle = lambda: ours  # type: ignore[attr-defined]  # as above
    call = client.ask()
    assert [each.received[:4] for each in origins] == [b"", b"POST", b""]
    assert [each.closed for each in origins] == [True, False, False]
    origins[1].send(EMPTY)
    assert call.over


def test_connection_being_closed_is_not_used(client: Client) -> None:
    """Between the decision to close it and its end, a request would be written to nobody."""
    origin = client.kept()
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!")
    assert origin.closed
    call = client.ask()
    assert client.reactor.attempts() == 1
    client.reactor.accept().send(EMPTY)
    assert call.over


class Provider(Protocol):
    """Answers every request, and closes the connection without a word when it is told to."""

    def __init__(self, made: list[Provider]) -> None:
        self.made = made

    def connectionMade(self) -> None:
        self.made.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(EMPTY)  # type: ignore[union-attr]  # it is connected

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None

    def vanish(self) -> None:
        """Close the connection without a turn of the reactor."""
        transport: Any = self.transport
        while isinstance(transport, ProtocolWrapper):
            transport = transport.transport
        transport.getHandle().shutdown(socket.SHUT_RDWR)


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Deferred[None]]]:
    """Fires when the next one of our connections knows that it is closed."""
    waiting: list[Deferred[None]] = []
    go_on: Any = AbortableConnection.connectionLost

    def connection_lost(self: AbortableConnection, reason: Failure) -> None:
        go_on(self, reason)
        while waiting:
            # Its transport is not done with it yet.
            reactor.callLater(0, waiting.pop().callback, None)

    def next_one() -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    monkeypatch.setattr(AbortableConnection, "connectionLost", connection_lost)
    yield next_one
    assert not waiting


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest_twisted.ensureDeferred
async def test_connection_closed_while_idle_costs_no_call(
    certificate: PrivateCertificate, secure: bool, noticed: bool, lost: Callable[[], Deferred[None]]
) -> None:
    """Not even a POST, with TLS or without, whether or not the reactor has come round to it."""
    made: list[Provider] = []
    factory = Factory.forProtocol(lambda: Provider(made))
    options: CertificateOptions = certificate.options()
    listen = {"interface": "127.0.0.1"}
    port = reactor.listenSSL(0, factory, options, **listen) if secure else reactor.listenTCP(0, factory, **listen)
    pool = QuietPool(reactor, 4, 5.0)
    agent = Agent(reactor, BrowserLikePolicyForHTTPS(trustRootFromCertificates([certificate])), pool=pool)
    url = b"http%b://localhost:%d/" % (b"s" if secure else b"", port.getHost().port)
    try:
        for _ in range(5):
            response = await bounded(agent.request(b"POST", url))
            assert (await read(response)).ended == "ResponseDone"
            made[-1].vanish()
            if noticed:
                await bounded(lost())
        assert len(made) == 5
    finally:
        await bounded(pool.closeCachedConnections())
        await port.stopListening()
