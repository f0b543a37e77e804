"""An HTTP/1.1 client behind Twisted's ``IAgent``, parsing with llhttp (httptools)."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IHandshakeListener, IProducer, IProtocol, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web._newclient import (
    ParseError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    WrongBodyLength,
)
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import NO_BODY_CODES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from llm_gateway.wire.pool import ConnectionPool, Origin

MAX_HEAD_BYTES = 131_072
"""Status line and headers of an answer. The largest seen from a provider are under 10 KB."""

_URI = re.compile(rb"(?P<origin>(?P<scheme>https?)://(?P<netloc>[!-~]*?))(?P<target>[/?][!-~]*)?", re.IGNORECASE)
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that may be sent again when nobody seems to have heard them."""
_FRAMING = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OUR_FRAMING = frozenset({b"Content-Length", b"Transfer-Encoding", b"Connection"})

_done = Failure._withoutTraceback(ResponseDone())


@implementer(IAgent)
class Agent:
    """Sends requests over a pool of connections. Never follows, decodes, remembers or adds more than HTTP needs."""

    def __init__(self, pool: ConnectionPool, connect_s: float) -> None:
        """
        :param connect_s: seconds until a connection must stand, TLS included.
        """
        self._pool = pool
        self._connect_s = connect_s
        self._origins: dict[bytes, Origin] = {}

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        :param uri: absolute, ``http`` or ``https``, already encoded.
        :return: a response whose body waits for ``deliverBody``; cancel it to close the connection.
        :raises ValueError: the method or the URI cannot be sent.
        """
        origin, target = self._split(uri)

        def connect() -> Deferred[Connection]:
            return self._pool.connection(origin, self._connect_s, lambda: Connection(self._pool, origin))

        exchange = Exchange(method, _head(method, target, origin, headers, bodyProducer), bodyProducer, connect)
        exchange.begin()
        return exchange.answered

    def _split(self, uri: bytes) -> tuple[Origin, bytes]:
        parts = _URI.fullmatch(uri)
        if parts is None:
            raise ValueError("not an absolute http or https URI in printable ASCII")
        name = parts["origin"]
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = Origin.parse(parts["scheme"], parts["netloc"])
        target = parts["target"] or b"/"
        return origin, target if target.startswith(b"/") else b"/" + target


def _head(method: bytes, target: bytes, origin: Origin, headers: Headers | None, body: IBodyProducer | None) -> bytes:
    if not re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", method):
        raise ValueError("not an HTTP method")
    lines = [method + b" " + target + b" HTTP/1.1"]
    has_host = False
    if headers is not None:
        for name, values in headers.getAllRawHeaders():
            if name in _OUR_FRAMING:
                continue
            has_host = has_host or name == b"Host"
            lines.extend([name + b": " + value for value in values])
    if not has_host:
        lines.append(b"Host: " + origin.netloc)
    if body is None:
        if method in (b"POST", b"PUT", b"PATCH"):
            lines.append(b"Content-Length: 0")
    elif body.length is UNKNOWN_LENGTH:
        lines.append(b"Transfer-Encoding: chunked")
    else:
        lines.append(b"Content-Length: %d" % cast(int, body.length))
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


class Exchange:
    """One request and its answer, from before there is a connection until the body has ended."""

    def __init__(
        self, method: bytes, head: bytes, body: IBodyProducer | None, connect: Callable[[], Deferred[Connection]]
    ) -> None:
        """
        :param connect: takes a connection from the pool.
        """
        self.method = method
        self.head = head
        self.body = body
        self.response: Response | None = None
        self.answered: Deferred[IResponse] = Deferred(self._cancel)
        self._connect = connect
        self._connecting: Deferred[Connection] | None = None
        self._connection: Connection | None = None
        self._tries = 0

    def begin(self) -> None:
        """Wait for a connection and use it."""
        self._tries += 1
        connecting = self._connecting = self._connect()
        connecting.addCallbacks(self._connected, self._not_connected)

    def answer(self, response: Response) -> None:
        """Status and headers have come."""
        self.response = response
        self.answered.callback(response)

    def lost(self, error: Exception, *, unheard: bool) -> None:
        """
        The connection ended without an answer.

        :param unheard: it had served other requests before and not a byte came for this one, as when an idle connection
            is closed at the moment that it is used. What may be sent twice without harm is sent once more.
        """
        if unheard and self._tries == 1 and self.body is None and self.method in _REPEATABLE:
            self.begin()
        elif not self.answered.called:
            self.answered.errback(error)

    def _connected(self, connection: Connection) -> None:
        self._connecting = None
        self._connection = connection
        connection.send(self)

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if not self.answered.called:
            self.answered.errback(failure)

    def _cancel(self, _answered: Deferred[IResponse]) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._connection is not None:
            self._connection.give_up()


@implementer(IHandshakeListener)
class Connection(Protocol):
    """One connection of the pool: a request, its answer, the next request."""

    def __init__(self, pool: ConnectionPool, origin: Origin) -> None:
        self._pool = pool
        self._origin = origin
        self._parser = HttpResponseParser(self)
        self._served = 0
        self._lost = False
        self._exchange: Exchange | None = None
        self.handshaken: Deferred[None] = Deferred()
        """For the pool: fires when TLS stands."""
        # Of the exchange that is under way
        self._writer: BodyWriter | None = None
        self._response: Response | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._phrase = b""
        self._informational = False
        self._complete = False
        self._keep = False
        self._pieces: list[bytes] = []
        self._fruitless_bytes = 0

    # The pool's side

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._pool.opened(self)

    def handshakeCompleted(self) -> None:
        """TLS stands, certificate and name included."""
        self.handshaken.callback(None)

    def socket(self) -> tuple[socket.socket | None, bool]:
        """See :class:`llm_gateway.wire.pool.Pooled`."""
        transport: Any = self.transport
        is_tls = False
        if isinstance(transport, TLSMemoryBIOProtocol):
            transport, is_tls = transport.transport, True
        handle = transport.getHandle() if hasattr(transport, "getHandle") else None
        return (handle if isinstance(handle, socket.socket) else None), is_tls

    def abort(self) -> None:
        if self.transport is not None and not self._lost:
            cast(ITCPTransport, self.transport).abortConnection()

    def close(self) -> None:
        if self.transport is not None and not self._lost:
            self.transport.loseConnection()

    # One exchange

    def send(self, exchange: Exchange) -> None:
        """Write the request. Nothing else is under way on this connection."""
        self._exchange = exchange
        self._response = None
        self._fields = []
        self._phrase = b""
        self._complete = self._keep = False
        self._fruitless_bytes = 0
        transport = cast(Any, self.transport)
        if exchange.body is None:
            self._writer = None
            transport.write(exchange.head)
            return
        writer = self._writer = BodyWriter(exchange.head, exchange.body, transport)
        writer.start().addErrback(self._not_written, exchange)

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        exchange = self._end()
        if exchange is not None:
            self.abort()
            exchange.lost(ResponseNeverReceived([Failure(CancelledError())]), unheard=False)

    def dataReceived(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nothing was asked: whatever this is, the next request must not get it for an answer.
            self.abort()
            return
        self._fruitless_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self._malformed(exchange, error, data)
                return
            # The answer is whole; what follows it belongs to nobody.
            self._keep = False
        if self._pieces:
            self._deliver()
        if self._complete:
            self._finish()
        elif self._fruitless_bytes > MAX_HEAD_BYTES:
            self._malformed(exchange, ValueError("headers, trailers or chunk extensions without end"), data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self._pool.closed(self._origin, self)
        if not self.handshaken.called:
            # Over plain TCP nobody waits for it.
            self.handshaken.errback(reason)
            if not self._origin.secure:
                self.handshaken.addErrback(lambda _: None)
        response, received = self._response, self._fruitless_bytes > 0
        written = self._writer is None or self._writer.done
        exchange = self._end()
        if exchange is None:
            return
        if response is not None:
            if response.ends_with_connection and reason.check(ConnectionDone):
                response.ended(Failure(PotentialDataLoss()))
            else:
                response.ended(Failure(ResponseFailed([reason])))
        elif written:
            unheard = self._served > 0 and not received
            exchange.lost(ResponseNeverReceived([reason]), unheard=unheard)
        else:
            exchange.lost(RequestTransmissionFailed([reason]), unheard=False)

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("an answer that nobody asked for")
        self._informational = False

    def on_status(self, phrase: bytes) -> None:
        self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        # Once the response stands, these are trailers.
        if self._response is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        code = self._parser.get_status_code()
        if 100 <= code < 200:
            if code == 101:
                raise ValueError("a switch of protocols that nobody asked for")
            self._informational = True
            self._fields, self._phrase = [], b""
            return
        exchange = cast(Exchange, self._exchange)
        self._keep = self._parser.should_keep_alive()
        bodiless = exchange.method == b"HEAD" or code in NO_BODY_CODES
        response = self._response = Response(self, exchange, code, self._phrase, self._fields, bodiless)
        if exchange.method == b"HEAD":
            # The parser would wait for the body that the headers speak of.
            self._keep = self._parser.get_http_version() == "1.1" and not response.closes
            self._complete = True
        self._fruitless_bytes = 0
        exchange.answer(response)

    def on_body(self, piece: bytes) -> None:
        if self._complete:
            raise ValueError("a body where there must be none")
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if not self._informational:
            self._complete = True

    # Ways out

    def _deliver(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._fruitless_bytes = 0
        response = self._response
        if response is None or self._exchange is None:
            return
        try:
            response.piece(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except Exception:
            # Whoever reads the body failed; it is told so as Twisted's own client would tell it.
            failure = Failure()
            self._end()
            self.abort()
            response.ended(failure)

    def _finish(self) -> None:
        response, head = self._response, self._exchange is not None and self._exchange.method == b"HEAD"
        reusable = self._keep and not self._lost and (self._writer is None or self._writer.done)
        if self._end(release=reusable) is None:
            return
        if head:
            self._parser = HttpResponseParser(self)
        if not reusable:
            self.abort()
        cast(Response, response).ended(_done)

    def _malformed(self, exchange: Exchange, error: Exception, data: bytes) -> None:
        response = self._response
        self._end()
        self.abort()
        failure = Failure(ParseError(str(error), data[:64]))
        if response is not None:
            response.ended(Failure(ResponseFailed([failure])))
        else:
            exchange.lost(ResponseNeverReceived([failure]), unheard=False)

    def _not_written(self, failure: Failure, exchange: Exchange) -> None:
        if self._exchange is exchange and self._response is None:
            self._end()
            self.abort()
            exchange.lost(RequestGenerationFailed([failure]), unheard=False)

    def _end(self, *, release: bool = False) -> Exchange | None:
        """No exchange is under way any more; tell the pool, once."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return None
        self._served += 1
        self._pieces = []
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        if release:
            # The reader may have left while it was paused.
            cast(Any, self.transport).resumeProducing()
            self._pool.release(self._origin, self)
        else:
            self._pool.discard(self._origin)
        return exchange


@implementer(IConsumer)
class BodyWriter:
    """Writes head and body of one request; what is there at once goes out in one piece with the head."""

    def __init__(self, head: bytes, body: IBodyProducer, transport: Any) -> None:
        self._body = body
        self._transport = transport
        self._left: int | None = None if body.length is UNKNOWN_LENGTH else cast(int, body.length)
        self._corked: list[bytes] | None = [head]
        self._registered = False
        self._stopped = False
        self.done = False
        """Whether all of the body has been written."""

    def start(self) -> Deferred[None]:
        """
        :return: fires when all is written; fails when the producer did.
        """
        produced = maybeDeferred(self._body.startProducing, self)
        produced.addCallback(self._produced)
        corked, self._corked = self._corked, None
        self._transport.write(b"".join(corked or ()))
        if not produced.called:
            self._registered = True
            self._transport.registerProducer(self._body, True)
        return produced

    def write(self, data: bytes) -> None:
        if self._stopped or not data:
            return
        if self._left is None:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif len(data) > self._left:
            raise WrongBodyLength("too many bytes written")
        else:
            self._left -= len(data)
        if self._corked is not None:
            self._corked.append(data)
        else:
            self._transport.write(data)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """A body producer is paused through the transport, not through here."""

    def unregisterProducer(self) -> None:
        """As above."""

    def stop(self) -> None:
        """The exchange is over, whether or not all was written."""
        if self._stopped:
            return
        self._stopped = True
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()
        if not self.done:
            self._body.stopProducing()

    def _produced(self, _result: object) -> None:
        if self._stopped:
            return
        if self._left:
            raise WrongBodyLength("too few bytes written")
        if self._left is None:
            end = b"0\r\n\r\n"
            if self._corked is not None:
                self._corked.append(end)
            else:
                self._transport.write(end)
        self.done = True
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()


@implementer(IResponse)
class Response:
    """An answer; also the transport of its body, as long as that comes."""

    request = None
    previousResponse = None
    disconnecting = False

    def __init__(
        self,
        connection: Connection,
        exchange: Exchange,
        code: int,
        phrase: bytes,
        fields: list[tuple[bytes, bytes]],
        bodiless: bool,
    ) -> None:
        self.version = (b"HTTP", 1, 1)
        self.code = code
        self.phrase = phrase
        self.headers, framing = _split_headers(fields)
        self.closes = b"close" in framing.get(b"connection", b"").lower()
        length = framing.get(b"content-length")
        self.length = 0 if bodiless else UNKNOWN_LENGTH if length is None else int(length)
        self.ends_with_connection = not bodiless and length is None and b"transfer-encoding" not in framing
        """Whether only the end of the connection ends the body."""
        self._connection: Connection | None = connection
        self._protocol: IProtocol | None = None
        self._early: list[bytes] = []
        self._reason: Failure | None = None

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Give the body to ``protocol``, what has come of it already at once.

        :raises RuntimeError: it has been given to somebody before.
        """
        if self._protocol is not None:
            raise RuntimeError("the body is being delivered already")
        self._protocol = protocol
        protocol.makeConnection(cast(Any, self))
        early, self._early = self._early, []
        for piece in early:
            protocol.dataReceived(piece)
        if self._reason is not None:
            protocol.connectionLost(self._reason)
        elif early:
            self.resumeProducing()

    def setPreviousResponse(self, previousResponse: IResponse) -> None:
        self.previousResponse = previousResponse

    # The body's transport

    def pauseProducing(self) -> None:
        if self._connection is not None:
            cast(Any, self._connection.transport).pauseProducing()

    def resumeProducing(self) -> None:
        if self._connection is not None:
            cast(Any, self._connection.transport).resumeProducing()

    def stopProducing(self) -> None:
        self.abortConnection()

    def loseConnection(self) -> None:
        self.abortConnection()

    def abortConnection(self) -> None:
        """Close the connection at once, also while the request is still being written."""
        if self._connection is not None:
            self._connection.abort()

    # The connection's side

    def piece(self, data: bytes) -> None:
        """Some of the body has come."""
        if self._protocol is None:
            # Nobody reads yet: take no more than what is on its way.
            self._early.append(data)
            self.pauseProducing()
        else:
            self._protocol.dataReceived(data)

    def ended(self, reason: Failure) -> None:
        """No more will come."""
        self._connection = None
        self._reason = reason
        if self._protocol is not None:
            self._protocol.connectionLost(reason)


def _split_headers(fields: list[tuple[bytes, bytes]]) -> tuple[Headers, dict[bytes, bytes]]:
    """
    :return: the headers that are about the answer, and, by lower-case name, those that are about the connection, which
        Twisted's own client does not show either.
    """
    headers = Headers()
    framing: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in _FRAMING:
            framing[lower] = framing[lower] + b"," + value if lower in framing else value
        else:
            headers.addRawHeader(name, value.strip(b" \t"))
    return headers, framing
