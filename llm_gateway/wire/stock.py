"""Twisted's own HTTP server with bounds: on the size of a request, and on how long a silent peer is believed in."""

from __future__ import annotations

import select
from collections.abc import Hashable, Sequence
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

# Twisted exports the first from nowhere public, although it is what its pool holds.
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http import HTTPChannel
from twisted.web.iweb import IResponse
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from llm_gateway.wire.bounds import (
    IDLE_S,
    LAST_READ_S,
    LINGER_BYTES,
    LINGER_S,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_NAME_BYTES,
    SPOOL_BYTES,
    Refusal,
    notice_vanished_peer,
    plain_refusal,
    socket_beneath,
)
from llm_gateway.wire.visitors import Visited


class BoundedChannel(HTTPChannel):
    """A connection whose headers are bounded, and which says why when it refuses a request."""

    maxHeaders = MAX_HEADERS
    totalHeadersSize = MAX_HEADER_BYTES
    MAX_LENGTH = MAX_HEADER_BYTES

    site: BoundedSite
    _line_too_long = False

    def connectionMade(self) -> None:
        super().connectionMade()
        notice_vanished_peer(self.transport)
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.site.channel_gone(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        if self.site.seeing_off:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def last_answer(self) -> None:
        """Close behind the answer that is being made, which says so if it still can."""
        self.persistent = 0
        for request in self.requests:
            if not request.startedWriting:
                request.responseHeaders.setRawHeaders(b"connection", [b"close"])

    def loseConnection(self) -> None:
        super().loseConnection()
        # What was written may never be read.
        if self._abortingCall is None:
            self._abortingCall = self.callLater(LAST_READ_S, self.forceAbortClient)

    def headerReceived(self, line: bytes) -> bool:
        # Twisted remembers names for good, however long they are.
        if line.find(b":", 0, MAX_NAME_BYTES + 1) < 0 and len(line) > MAX_NAME_BYTES:
            self._line_too_long = True
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        if self._handlingRequest and sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize:
            # Twisted would stop reading here, and with it stop noticing that the client leaves.
            self.abortConnection()

    def abortConnection(self) -> None:
        """Close the connection without waiting for anything."""
        cast(ITCPTransport, self.transport).abortConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._line_too_long = True
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's own answer has neither a body nor a length.
        too_many = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        if self._line_too_long or too_many:
            status, reason = 431, b"Request Header Fields Too Large"
            message = f"The request has more than {self.maxHeaders} headers or {self.totalHeadersSize} bytes of them."
        else:
            status, reason, message = 400, b"Bad Request", "The request is not valid HTTP/1.1."
        headers, body = self.site.refusal(status, message)
        lines = [b"HTTP/1.1 %d %b" % (status, reason), *(b"%b: %b" % header for header in headers)]
        lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", body]
        cast(ITransport, self.transport).write(b"\r\n".join(lines))
        self.loseConnection()


class BoundedRequest(Request):
    """
    A request whose body is bounded.

    One over the limit is rendered at once, without its body and with ``body_refused`` set, for the resource to answer;
    what still comes of the body is dropped for a while so that the client gets to read that answer.
    """

    body_refused = False
    _body_bytes = 0
    _body_whole = False
    _finish_waits = False
    _linger: IDelayedCall | None = None

    def gotLength(self, length: int | None) -> None:
        if length is not None and length <= SPOOL_BYTES:
            self.content = BytesIO()
        else:
            self.content = cast(BinaryIO, SpooledTemporaryFile(max_size=SPOOL_BYTES))  # noqa: SIM115  # closed by Twisted
        if length is not None and length > self._site.max_body_bytes:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self.body_refused:
            if self._body_bytes > self._site.max_body_bytes + LINGER_BYTES:
                self._stop_lingering()
        elif self._body_bytes > self._site.max_body_bytes:
            self._refuse_body()
        else:
            cast(BinaryIO, self.content).write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self.body_refused:
            super().requestReceived(command, path, version)
            return
        self._body_whole = True
        if self._finish_waits:
            self.finish()

    def finish(self) -> None:
        if self.body_refused and not self._body_whole:
            # All of the answer has been written, it has a length; now let the client finish sending.
            self._finish_waits = True
            self._linger = self._site.reactor.callLater(LINGER_S, self._stop_lingering)
            return
        self._cancel_linger()
        super().finish()

    def connectionLost(self, reason: Failure) -> None:
        self._cancel_linger()
        super().connectionLost(reason)

    @property
    def _site(self) -> BoundedSite:
        return cast(BoundedChannel, self.channel).site

    def _refuse_body(self) -> None:
        self.body_refused = True
        cast(BinaryIO, self.content).close()
        self.content = BytesIO()
        channel = cast(BoundedChannel, self.channel)
        # A client that asked first is not told to go on.
        self.requestHeaders.removeHeader(b"expect")
        self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        channel.persistent = 0
        super().requestReceived(channel._command, channel._path, channel._version)

    def _stop_lingering(self) -> None:
        self._cancel_linger()
        if self.channel is not None:
            self.channel.loseConnection()

    def _cancel_linger(self) -> None:
        linger, self._linger = self._linger, None
        if linger is not None and linger.active():
            linger.cancel()


class BoundedSite(Visited, Site):
    """A ``Site`` with bounds that keeps no log of its own and can hang up on everybody."""

    protocol = BoundedChannel  # type: ignore[assignment]  # without the wrapper that could switch to HTTP/2
    requestFactory = BoundedRequest
    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        max_body_bytes: int,
        refusal: Refusal = plain_refusal,
    ) -> None:
        """
        :param max_body_bytes: of a request; a longer one is rendered without its body, ``body_refused`` set.
        """
        super().__init__(resource, reactor=reactor, timeout=IDLE_S, parsePOSTFormSubmission=False)
        self.max_body_bytes = max_body_bytes
        self.refusal = refusal

    def startFactory(self) -> None:
        """Twisted's would open a log and start a clock for its lines."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: Any) -> None:
        """The gateway has an access log of its own."""

    def acceptableProtocols(self) -> Sequence[bytes]:
        return [b"http/1.1"]


class AbortableConnection(HTTP11ClientProtocol):
    """
    A connection to a server that can be cut while a body comes in.

    The transport that Twisted gives to a body's protocol can only close in an orderly way: over TLS that waits for the
    server's consent, which one that is busy writing, or whose peer has stopped reading, never gives.

    It also leaves out the headers that the server says are about this connection only, since Twisted shows nobody the
    ``connection`` header that says so.
    """

    def request(self, request: Any) -> Deferred[IResponse]:
        answered = super().request(request)
        body_transport: Any = self._transportProxy
        if body_transport is not None:

            def abort() -> None:
                # Without a producer once the body is over: the connection may serve another call by then.
                if body_transport._producer is not None:
                    body_transport._producer.abortConnection()

            body_transport.abortConnection = abort
            self._leave_out_headers_of_this_hop(self._parser)
        return answered

    def is_fit(self) -> bool:
        """
        Whether the other side has left this connection alone while nothing was under way on it.

        The reactor may not have come round yet to reading that it was closed. A request sent now would be lost, and
        could not always be sent again.
        """
        transport: Any = self.transport
        if self.state != "QUIESCENT" or getattr(transport, "disconnecting", False):
            return False
        handle = socket_beneath(transport)
        if handle is None or not hasattr(select, "poll"):
            return True
        # Whatever there is to read, an end, an answer that nobody asked for, or a farewell of TLS: it is no good.
        asked = select.poll()
        asked.register(handle, select.POLLIN)
        return not asked.poll(0)

    @staticmethod
    def _leave_out_headers_of_this_hop(parser: Any) -> None:
        go_on = parser.allHeadersReceived

        def leave_out() -> None:
            values = parser.connHeaders.getRawHeaders(b"connection", ())
            named = {name.strip().lower() for value in values for name in value.split(b",")}
            for name in [each for each, _ in parser.headers.getAllRawHeaders() if each.lower() in named]:
                parser.headers.removeHeader(name)
            go_on()

        parser.allHeadersReceived = leave_out

    def _giveUp(self, reason: Failure) -> None:
        # A whole answer while the request is still being sent, or one that is none: what is left of the request need
        # not be read by anybody, and would be waited for.
        if self._state != "QUIESCENT":
            cast(ITCPTransport, self.transport).abortConnection()
        super()._giveUp(reason)


def _may_serve_again(parser: Any) -> bool:
    """Whether the answer says that another request may follow; Twisted reads ``close`` only where it stands alone."""
    tokens = {
        token.strip().lower()
        for value in parser.connHeaders.getRawHeaders(b"connection", ())
        for token in value.split(b",")
    }
    return b"close" not in tokens and (parser.response.version >= (b"HTTP", 1, 1) or b"keep-alive" in tokens)


class QuietPool(HTTPConnectionPool):
    """
    Twisted's pool of abortable connections, which looks at an idle one before it is used.

    It says nothing of each one that it opens and closes.
    """

    class _factory(_HTTP11ClientFactory):  # noqa: N801  # the name under which the pool looks for it
        noisy = False

        def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:
            keep = self._quiescentCallback

            def quiescent(connection: Any) -> None:
                if _may_serve_again(connection._parser):
                    keep(connection)
                else:
                    connection.transport.loseConnection()

            return AbortableConnection(quiescent)

    def __init__(self, reactor: Any, max_idle_per_host: int, idle_s: float) -> None:
        """
        :param max_idle_per_host: idle connections kept; those in use are not limited.
        """
        super().__init__(reactor)
        self.maxPersistentPerHost = max_idle_per_host
        self.cachedConnectionTimeout = idle_s  # type: ignore[assignment]  # a fraction works as well

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[HTTP11ClientProtocol]:
        """Twisted's, but for idle connections that are closed already or have said what nobody asked for."""
        idle = self._connections.get(key, [])
        while idle and not idle[0].is_fit():
            connection = idle.pop(0)
            self._timeouts.pop(connection).cancel()
            if connection.state != "CONNECTION_LOST":
                # TLS that is over cannot be told so once more.
                connection.transport.abortConnection()
        return super().getConnection(key, endpoint)
