"""A site over memory transports: what was sent to it, what its resource saw, what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.wire.server import Site

LIMIT = 100_000
"""Of a request's body, in the sites here."""


@attrs.frozen
class Seen:
    """A request as the resource saw it."""

    method: bytes
    uri: bytes
    version: bytes
    headers: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    body: bytes


class Echo(Resource):
    """Keeps what it sees and answers at once."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []

    def render(self, request: Request) -> bytes:
        assert request.content is not None
        body = request.content.read()
        headers = sorted((name, tuple(values)) for name, values in request.requestHeaders.getAllRawHeaders())
        self.seen.append(Seen(request.method, request.uri, request.clientproto, tuple(headers), body))
        return b"%b %b: %b" % (request.method, request.uri, body)


class Waiting(Resource):
    """Keeps requests for the test to answer."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.gone: list[tuple[Any, Failure]] = []

    def render(self, request: Request) -> int:
        self.requests.append(request)
        request.notifyFinish().addErrback(lambda reason: self.gone.append((request, reason)))
        return NOT_DONE_YET


class Doing(Resource):
    """Renders with a function."""

    isLeaf = True

    def __init__(self, do: Callable[[Any], bytes | int | None]) -> None:
        super().__init__()
        self._do = do

    def render(self, request: Request) -> bytes | int:
        result = self._do(request)
        return NOT_DONE_YET if result is None else result


class ServerTransport(StringTransport):
    """The server's side of a connection."""

    aborted = False
    writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class Visitor:
    """One connection to a site."""

    def __init__(self, site: Any) -> None:
        self.transport = ServerTransport()
        self.channel: Any = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        self._gone = False

    def send(self, *pieces: bytes) -> Visitor:
        """What a real transport would deliver: nothing any more once the connection is closed."""
        for piece in pieces:
            if not self.transport.disconnecting:
                self.channel.dataReceived(piece)
        return self

    def dribble(self, raw: bytes) -> Visitor:
        """One byte at a time."""
        return self.send(*(raw[at : at + 1] for at in range(len(raw))))

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    def answers(self) -> list[tuple[int, dict[bytes, bytes], bytes]]:
        """Status, headers by lower-case name, and body of every answer that has a length or comes in chunks."""
        rest, found = self.received, []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *lines = head.split(b"\r\n")
            headers = {name.lower(): value for name, _, value in (each.partition(b": ") for each in lines)}
            body = b""
            if headers.get(b"transfer-encoding") == b"chunked":
                while True:
                    size, _, rest = rest.partition(b"\r\n")
                    body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
                    if size == b"0":
                        break
            elif b"content-length" in headers:
                length = int(headers[b"content-length"])
                body, rest = rest[:length], rest[length:]
            found.append((int(line.split(b" ")[1]), headers, body))
        return found

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.answers()]

    @property
    def closed(self) -> bool:
        return self.transport.disconnecting

    @property
    def reading(self) -> bool:
        """Whether the server reads from this client."""
        return self.transport.producerState == "producing"

    def leave(self, reason: Exception | None = None) -> None:
        if not self._gone:
            self._gone = True
            self.channel.connectionLost(Failure(reason or ConnectionDone()))


class Server:
    """A site, its clock and its visitors."""

    def __init__(self, resource: Any, **options: Any) -> None:
        self.resource = resource
        self.clock = Clock()
        self.site = Site(resource, reactor=self.clock, **{"max_body_bytes": LIMIT, **options})
        self._visitors: list[Visitor] = []

    def visitor(self) -> Visitor:
        visitor = Visitor(self.site)
        self._visitors.append(visitor)
        return visitor

    def send(self, *pieces: bytes) -> Visitor:
        """A new visitor says this."""
        return self.visitor().send(*pieces)

    def close(self) -> None:
        """Everybody leaves; nothing may be left behind."""
        for visitor in self._visitors:
            visitor.leave()
        assert self.site.channels == set()
        assert self.clock.getDelayedCalls() == []


class BodyReader:
    """Takes a streamed body."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.pieces: list[bytes] = []
        self.reason: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure) -> None:
        assert self.reason is None
        self.reason = reason

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def as_protocol(self) -> IProtocol:
        protocol: Any = self
        return protocol  # type: ignore[no-any-return]


def get(target: bytes = b"/", *headers: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/%b" % (target, version), b"Host: h", *headers, b"", b""])


def post(body: bytes = b"", *headers: bytes, target: bytes = b"/", length: int | None = None) -> bytes:
    """A POST with a length."""
    size = len(body) if length is None else length
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, b"Host: h", *headers, b"Content-Length: %d" % size, b"", body])


def chunked(*chunks: bytes, headers: tuple[bytes, ...] = (), end: bytes = b"0\r\n\r\n") -> bytes:
    """A POST in chunks."""
    head = b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", *headers, b"Transfer-Encoding: chunked", b"", b""])
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end
