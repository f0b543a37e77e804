"""An origin server played by the test, byte by byte, over memory transports and a Clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from llm_gateway.wire.client import Agent
from llm_gateway.wire.pool import ConnectionPool, Origin

URL = b"http://origin.test/v1"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@implementer(ITCPTransport)
class Wire(StringTransport):
    """
    The client's end of a connection.

    As the real ones do, it tells its protocol of the end in another turn of the reactor, and reads nothing while it is
    paused, not even the end.
    """

    def __init__(self, reactor: Memory, protocol: Protocol) -> None:
        super().__init__(lenient=True)
        self._reactor = reactor
        self._protocol = protocol
        self._unread: list[bytes | Failure] = []
        self.lost = False
        self.no_delay = False

    def arrive(self, event: bytes | Failure) -> None:
        self._unread.append(event)
        self._read()

    def pushed(self, data: bytes) -> None:
        """Data although it was paused or closed."""
        self._protocol.dataReceived(data)

    def _read(self) -> None:
        while self._unread and self.producerState == "producing" and not self.disconnecting and not self.lost:
            event = self._unread.pop(0)
            if isinstance(event, bytes):
                self._protocol.dataReceived(event)
            else:
                self._lose(event)

    def _lose(self, reason: Failure) -> None:
        if not self.lost:
            self.lost = True
            if self.producer is not None:
                self.producer.stopProducing()
            self._protocol.connectionLost(reason)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if not self.lost:
            self._reactor.callLater(0, self._read)

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self._reactor.callLater(0, self._lose, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        if not self.disconnected:
            self.disconnected = self.disconnecting = True
            self._reactor.callLater(0, self._lose, Failure(ConnectionAborted()))

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        raise NotImplementedError

    def getTcpKeepAlive(self) -> bool:
        raise NotImplementedError

    def loseWriteConnection(self) -> None:
        raise NotImplementedError


class Accepted:
    """A connection as the origin sees it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @property
    def received(self) -> bytes:
        """All that the client wrote and ``take`` has not taken."""
        value: bytes = self.wire.value()
        return value

    def take(self) -> bytes:
        received = self.received
        self.wire.clear()
        return received

    def send(self, *pieces: bytes) -> None:
        """Each piece comes in a read of its own."""
        for piece in pieces:
            self.wire.arrive(piece)

    def close(self) -> None:
        self.wire.arrive(Failure(ConnectionDone()))

    def reset(self) -> None:
        self.wire.arrive(Failure(ConnectionLost()))

    @property
    def closed(self) -> bool:
        """Whether the client has closed it."""
        return self.wire.disconnecting

    @property
    def aborted(self) -> bool:
        return self.wire.disconnected

    @property
    def paused(self) -> bool:
        return self.wire.producerState == "paused"


@implementer(IHostnameResolver, IReactorPluggableNameResolver)
class Memory(MemoryReactorClock):
    """A reactor whose connections the test accepts or refuses."""

    def __init__(self, **addresses: list[str]) -> None:
        super().__init__()
        self._addresses = addresses
        self.nameResolver = self
        self.accepted: list[Accepted] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        name = hostName.replace(".", "_")
        resolutionReceiver.resolutionBegan(None)  # type: ignore[arg-type]  # nothing to cancel
        for address in self._addresses.get(name, ["192.0.2.1"]):
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return None  # type: ignore[return-value]  # as above

    def attempts(self) -> int:
        """Attempts to connect that were neither accepted nor refused."""
        return len(self.tcpClients)

    def accept(self) -> Accepted:
        """Accept the oldest attempt."""
        host, port, factory, *_ = self.tcpClients.pop(0)
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", host, port))
        self.connectors.pop(0)
        # The endpoint wraps our protocol and gives it its own transport.
        wire = Wire(self, protocol)
        accepted = Accepted(wire)
        self.accepted.append(accepted)
        protocol.makeConnection(wire)
        return accepted

    def refuse(self, *, by_name: bool = True) -> None:
        """
        Refuse the oldest attempt.

        :param by_name: whether the origin was called by a name, not by an address.
        """
        factory = self.tcpClients.pop(0)[2]
        factory.clientConnectionFailed(self.connectors.pop(0), Failure(ConnectionRefusedError()))
        if by_name:
            # Twisted's endpoint finds out that there is no other address at the time when it would try it.
            self.advance(0.3)

    def turn(self) -> None:
        """Let happen what was put off to the next turns of the reactor."""
        for _ in range(5):
            self.advance(0)

    def timers(self) -> int:
        return len(self.getDelayedCalls())


class Reader(Protocol):
    """Reads a body."""

    def __init__(self, *, pause_at_once: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.reason: Failure | None = None
        self._pause_at_once = pause_at_once

    def connectionMade(self) -> None:
        if self._pause_at_once:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def ended(self) -> str | None:
        """The name of the reason's class."""
        return None if self.reason is None or self.reason.type is None else self.reason.type.__name__

    def dataReceived(self, data: bytes) -> None:
        assert self.reason is None, "data after the end"
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.reason is None, "a second end"
        self.reason = reason


class Call:
    """One request under way."""

    def __init__(self, deferred: Deferred[IResponse], reader: Reader | None) -> None:
        self.deferred = deferred
        self.reader = reader
        self.response: Any = None
        self.failure: Failure | None = None
        deferred.addCallbacks(self._answered, self._failed)

    def _answered(self, response: IResponse) -> None:
        self.response = response
        if self.reader is not None:
            response.deliverBody(self.reader)

    def _failed(self, failure: Failure) -> None:
        self.failure = failure

    @property
    def answered(self) -> bool:
        """Whether status and headers have come."""
        return self.response is not None

    @property
    def over(self) -> bool:
        """Whether the caller knows how it ended."""
        return self.failure is not None or (self.reader is not None and self.reader.reason is not None)

    @property
    def failed_with(self) -> list[str]:
        """The names of the failure's class and of those inside it."""
        return names(self.failure)


def names(failure: Failure | None) -> list[str]:
    if failure is None:
        return []
    inner = getattr(failure.value, "reasons", [])
    return [type(failure.value).__name__, *(name for each in inner for name in names(each))]


class Client:
    """An agent of ours on a reactor of the test's."""

    def __init__(self, reactor: Memory | None = None, /, **pool: Any) -> None:
        self.reactor = Memory() if reactor is None else reactor
        self.pool = ConnectionPool(self.reactor, **{"max_idle_per_origin": 4, "idle_s": 55.0, **pool})
        self.agent: IAgent = Agent(self.pool, connect_s=10.0)

    def ask(
        self,
        method: bytes = b"GET",
        url: bytes = URL,
        headers: Headers | None = None,
        body: IBodyProducer | None = None,
        *,
        reader: Reader | None = None,
        read: bool = True,
    ) -> Call:
        """Ask; the answer's body goes to ``reader``, a new one unless given."""
        return Call(self.agent.request(method, url, headers, body), (reader or Reader()) if read else None)

    def ask_and_accept(self, *args: Any, **kwargs: Any) -> tuple[Call, Accepted]:
        """Ask over a new connection; the request has been taken from it."""
        call = self.ask(*args, **kwargs)
        origin = self.reactor.accept()
        return call, origin

    def kept(self) -> Accepted:
        """A connection that has served one request and is idle now."""
        call, origin = self.ask_and_accept()
        origin.send(EMPTY)
        assert call.reader is not None
        assert call.reader.ended == "ResponseDone"
        origin.take()
        assert self.idle == 1
        return origin

    def _at(self, url: bytes) -> Any:
        scheme, _, rest = url.partition(b"://")
        return self.pool.at(Origin.parse(scheme, rest.partition(b"/")[0]))

    @property
    def idle(self) -> int:
        count: int = self._at(URL).idle
        return count

    @property
    def in_use(self) -> int:
        count: int = self._at(URL).in_use
        return count

    @property
    def waiting(self) -> int:
        count: int = self._at(URL).waiting
        return count

    def assert_at_rest(self) -> None:
        """Nothing is under way, and when idle connections have expired nothing is left at all."""
        self.reactor.turn()
        assert (self.in_use, self.waiting) == (0, 0)
        self.reactor.advance(56)
        self.reactor.turn()
        assert self.idle == 0
        assert self.reactor.timers() == 0
        assert all(each.wire.lost for each in self.reactor.accepted)
        closed: list[None] = []
        self.pool.closeCachedConnections().addCallback(closed.append)
        assert closed == [None]
