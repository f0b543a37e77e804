"""One client's connection: requests in, one after the other, and answers out."""

from __future__ import annotations

from enum import Enum
from io import BytesIO
from math import inf
from typing import Any, BinaryIO, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IProtocol,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from zope.interface import implementer

from llm_gateway.wire.bodies import BodyBroken, BodyDone, BodyStream, BodyTooLarge, BodyUnwanted
from llm_gateway.wire.bounds import (
    LAST_READ_S,
    LINGER_BYTES,
    LINGER_S,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    notice_vanished_peer,
)
from llm_gateway.wire.fields import Fields
from llm_gateway.wire.leaving import has_left
from llm_gateway.wire.outlet import TICK_S, Outlet
from llm_gateway.wire.request import Request
from llm_gateway.wire.sockets import wait_together
from llm_gateway.wire.strict import BadRequest, Head, RequestParser

HEAD_S = 30.0
"""From the first byte of a request to the end of its headers. They fit into a few packets."""

PACE_S = 30.0
PACE_BYTES = 7_200
"""Within so long so much of a body must come, or all of it: 240 bytes a second, slower than any line in use. A body
that is not read because somebody behind this connection is slow has all the time it needs."""

CLOSE_S = 15.0
"""How long a client that is told to go gets to read why."""

MAX_AT_ONCE_BYTES = 65_536
"""A longer body is gathered in the file that the site has for it, or streamed."""

PIPELINE_BYTES = 65_536
"""Read ahead of the answer that a client waits for. Beyond it nothing is read, and its leaving is noticed by a tick."""

_PHRASES = {**RESPONSES, 431: b"Request Header Fields Too Large"}

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Awaiting(Enum):
    """What the next bytes are."""

    HEAD = "the head of a request, or nothing while a request is being answered"
    BODY = "more of a request's body"
    NOTHING = "nothing that anybody will look at; the connection is closing"


# By names of the module's own: looking one up in its class takes as long as calling a function.
_HEAD, _BODY, _NOTHING = _Awaiting

_PIPELINE, _UNREAD_BODY, _UNREAD_ANSWERS = 1, 2, 4
"""Why nothing is read from the client, added up where there are several reasons."""


@implementer(ITransport, IPushProducer, IConsumer)
class Channel(Outlet):
    """
    Reads requests off a connection and has them rendered one at a time.

    It offers requests what Twisted's ``HTTPChannel`` does, so that any ``requestFactory`` works, and the transport a
    producer that slows down whoever is answering.
    """

    maxHeaders = MAX_HEADERS
    totalHeadersSize = MAX_HEADER_BYTES
    pipelineBytes = PIPELINE_BYTES

    # Set by the site
    requestFactory: Any = Request

    _parser: RequestParser
    """There is one as soon as there is a connection."""

    __slots__ = (
        "_answered",
        "_at_once_bytes",
        "_awaiting",
        "_body_bytes",
        "_buffer",
        "_busy",
        "_dropping",
        "_head",
        "_holds",
        "_pace_from",
        "_parser",
        "_rendered",
        "_request",
        "_searched",
        "_stream",
        "_upgraded",
        "expects",
    )

    def __init__(self) -> None:
        super().__init__()
        self._buffer: bytes | bytearray = b""
        self._searched = 0
        self._awaiting = _HEAD
        self._busy = False
        self._at_once_bytes = -1
        """How long a body may be to be taken as it is, without going through a request's way of keeping bodies."""
        # The request that is being received or answered
        self._request: Any = None
        self._head: Head | None = None
        self._rendered = False
        self._answered = False
        self._body_bytes = 0
        self.expects = False
        """Whether the client waits to be told to send its request's body."""
        self._dropping = False
        self._stream: BodyStream | None = None
        self._upgraded: IProtocol | None = None
        self._pace_from = 0
        self._holds = 0

    # From the transport: bytes

    def connectionMade(self) -> None:
        transport: Any = self.transport
        outbox = wait_together(transport) or self.site.outbox
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        notice_vanished_peer(transport)
        if IPushProducer.providedBy(transport):
            self._network = self.transport
            self._network.registerProducer(self, True)
        # Straight to the transport: this is called for every piece of every answer.
        writer = outbox.writer(transport)
        self.write, self.writeSequence = writer.write, writer.writeSequence  # type: ignore[method-assign]
        self._parser = RequestParser(self.maxHeaders, self.totalHeadersSize)
        site, factory = self.site, self.requestFactory
        if isinstance(factory, type) and issubclass(factory, Request) and not hasattr(site, "getContentFile"):
            self._at_once_bytes = min(MAX_AT_ONCE_BYTES, site.max_body_bytes)
        if self.timeOut is not None:
            self._tick_s = min(TICK_S, self.timeOut)
        site.channels.add(self)
        self._await_request()

    def dataReceived(self, data: bytes) -> None:
        if self._request is None and self._awaiting is _HEAD and not self._buffer and not self._holds:
            whole = self._parser.recall_whole(data, self._at_once_bytes)
            if whole is not None:
                # As nearly always: a request like the one before it, with nothing behind it.
                head, fields, body = whole
                self._head = head
                self.persistent = head[3] and not self.site.seeing_off
                self._rendered = True
                self._deadline = inf
                request = self._request = self.requestFactory(self)
                request.came_whole(head, fields, body)
                return
        if self._awaiting is _NOTHING:
            return
        if self._buffer:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        else:
            self._buffer = data
        if not self._busy:
            self._read()
        if len(self._buffer) > self.pipelineBytes and self._request is not None:
            self._set_hold(_PIPELINE, True)
            # Nobody reads, so somebody has to look whether the client is still there.
            self._expect_within(TICK_S)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._awaiting = _NOTHING
        self._buffer = b""
        self._stop_clock()
        self._parser.close()
        # The transport tells only those that it still knows: no longer after loseConnection.
        self.stopProducing()
        stream, self._stream = self._stream, None
        request, self._request = self._request, None
        upgraded, self._upgraded = self._upgraded, None
        if upgraded is not None:
            upgraded.connectionLost(reason)
        if stream is not None:
            stream.drop(reason)
        if request is not None and not self._answered:
            request.connectionLost(reason)
        self.site.channel_gone(self)

    def _read(self) -> None:
        """Make the most of what has come."""
        self._busy = True
        try:
            while self._buffer:
                if self._upgraded is not None:
                    data, self._buffer = bytes(self._buffer), b""
                    self._upgraded.dataReceived(data)
                elif self._awaiting is _BODY:
                    self._read_body()
                elif self._awaiting is _NOTHING:
                    self._buffer = b""
                elif self._request is not None or self._holds or not self._read_head():
                    # One answer at a time, and none for a client that does not read them.
                    break
        except BadRequest as bad:
            self._refuse(bad.status, bad.message)
        finally:
            self._busy = False

    def _read_head(self) -> bool:
        """
        :return: whether there was a whole one.
        """
        buffer = self._buffer
        if isinstance(buffer, bytes) and (known := self._parser.recall(buffer)) is not None:
            head, fields, length, end = known
            self._buffer = buffer[end:]
            self._begin(head, fields, length)
            return True
        end = buffer.find(b"\r\n\r\n", self._searched) + 4
        if end < 4:
            self._await_rest_of_head()
            return False
        self._searched = 0
        if end == len(buffer):
            raw, self._buffer = bytes(buffer), b""
        else:
            raw, self._buffer = bytes(buffer[:end]), bytes(buffer[end:])
        self._begin(*self._parser.head(raw))
        return True

    def _await_rest_of_head(self) -> None:
        begins = not self._searched
        self._parser.check_beginning(self._buffer, self._searched)
        # The end may have begun to come.
        self._searched = max(len(self._buffer) - 3, 0)
        if begins and self._searched:
            self._expect_within(HEAD_S)

    def _begin(self, head: Head, fields: Fields, length: int | None) -> None:
        """
        A request has come as far as its body.

        :param length: of the body; ``None`` where nobody knows yet.
        """
        site = self.site
        self._head = head
        self.persistent = head.keep_alive and not site.seeing_off
        self._rendered = False
        self._deadline = inf
        request = self._request = self.requestFactory(self)
        if length == len(self._buffer) <= self._at_once_bytes:
            body, self._buffer = bytes(self._buffer), b""
            self._parser.whole_body(body)
            self._rendered = True
            request.came_whole(head, fields, body)
            return
        # Documented private; addRawHeader would check and spell again what the parser has checked and spelt.
        request.requestHeaders._rawHeaders = fields
        if head.notes is not None:
            request.head_notes = head.notes
        if not isinstance(request, Request):
            request.parseCookies()
        if length == 0:
            request.gotLength(0)
            self._render()
        elif length is not None and length > site.max_body_bytes:
            self._await_body()
            self._refuse_body()
        elif self._wants_stream():
            self._await_body()
            self._begin_stream()
        else:
            self._await_body()
            request.gotLength(length)
            if not self._buffer:
                self._go_on()

    def _wants_stream(self) -> bool:
        request, wants_stream = self._request, self.site.wants_stream
        if wants_stream is None or not isinstance(request, Request):
            return False
        assert self._head is not None
        request.method, request.uri, request.clientproto = self._head.method, self._head.target, self._head.version
        request.path = request.uri.partition(b"?")[0]
        return wants_stream(request)

    def _begin_stream(self) -> None:
        self._stream = self._request.body_stream = BodyStream(
            hold=lambda wait: self._set_hold(_UNREAD_BODY, wait),
            begin=self._go_on,
            abort=self.abortConnection,
            client=cast(ITransport, self.transport),
        )
        self._request.content = BytesIO()
        self._render()

    def _await_body(self) -> None:
        assert self._head is not None
        self._awaiting = _BODY
        self._body_bytes = self._pace_from = 0
        if not self._buffer:
            self._expect_within(PACE_S)
        self.expects = self._head.expects

    def _render(self) -> None:
        assert self._head is not None
        self._rendered = True
        head = self._head
        self._request.requestReceived(head.method, head.target, head.version)

    def _read_body(self) -> None:
        data = bytes(self._buffer)
        self.expects = False
        try:
            body, taken = self._parser.body(data)
        except BadRequest as bad:
            if not self._rendered:
                raise
            self._give_up_body(BodyBroken(bad.message))
            return
        whole = self._parser.whole
        self._buffer = data[taken:]
        if whole:
            self._awaiting = _HEAD
            self._deadline = inf
        elif self._deadline == inf:
            self._expect_within(PACE_S)
        if body:
            self._body_bytes += len(body)
            self._take_body(body)
        if whole and self._awaiting is _HEAD:
            self._body_is_whole()

    def _take_body(self, body: bytes) -> None:
        limit = self.site.max_body_bytes
        if self._dropping:
            if self._body_bytes > limit + LINGER_BYTES:
                self.loseConnection()
        elif self._body_bytes > limit:
            self._refuse_body()
        elif self._stream is not None:
            self._stream.feed(body)
        else:
            self._request.handleContentChunk(body)

    def _body_is_whole(self) -> None:
        if self._answered:
            self._next()
        elif self._stream is not None:
            self._stream.end(BodyDone("The request's body is whole."))
        elif not self._rendered:
            self._render()

    def _refuse_body(self) -> None:
        """It is too long. The resource gets to answer it, without its body, and what comes of it is dropped."""
        self.persistent = False
        self._dropping = True
        self.expects = False
        request = self._request
        request.body_refused = True
        if self._stream is not None:
            self._set_hold(_UNREAD_BODY, False)
            self._stream.drop(BodyTooLarge(f"The request's body is larger than {self.site.max_body_bytes} bytes."))
            return
        # A client that asked first is not told to go on.
        request.requestHeaders.removeHeader(b"expect")
        if request.content is not None:
            cast(BinaryIO, request.content).close()
        request.content = BytesIO()
        self._render()

    def _give_up_body(self, reason: Exception) -> None:
        """The body of a request that is being answered is broken: nothing that follows can be understood."""
        self.persistent = False
        self._dropping = True
        self._ignore_input()
        if self._stream is not None:
            self._set_hold(_UNREAD_BODY, False)
            self._stream.drop(reason)
        if self._answered:
            self.loseConnection()

    def _go_on(self) -> None:
        """Tell a client that asks whether to send the body."""
        if self.expects:
            self.expects = False
            self.write(_CONTINUE)

    def _refuse(self, status: int, message: str) -> None:
        """Answer something that is no request, and close."""
        self._drop_request()
        headers, body = self.site.refusal(status, message)
        lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status]), *(b"%b: %b" % header for header in headers)]
        lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", body]
        self.write(b"\r\n".join(lines))
        self.loseConnection()
        self._expect_within(CLOSE_S)

    def _drop_request(self) -> None:
        """Let go of a request that no resource gets to see."""
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(Failure(ConnectionDone()))

    def _ignore_input(self) -> None:
        self._awaiting = _NOTHING
        self._buffer = b""
        self._deadline = inf

    # From the request

    def requestDone(self, request: Any) -> None:
        """The answer to this request has been written."""
        if request is not self._request and request != self._request:
            raise TypeError("This request is not the one that is being answered.")
        if self._stream is None and self._awaiting is not _BODY:
            timeout = self.timeOut
            if (
                self.persistent
                and self._awaiting is _HEAD
                and not (self._buffer or self._holds or self._answers_wait)
                and self._timer is not None
                and timeout is not None
            ):
                # As nearly always: the client has its answer, and thinks.
                self._request = None
                self._answered = self._dropping = False
                self._deadline = self.site.reactor.seconds() + timeout
            else:
                self._next()
            return
        self._answered = True
        stream, self._stream = self._stream, None
        if stream is not None:
            self._set_hold(_UNREAD_BODY, False)
            stream.drop(BodyUnwanted("The answer was finished before the request's body."))
        if self._awaiting is not _BODY:
            self._next()
            return
        # It gets to finish sending: if it were cut off, it would lose the answer that it has not read yet.
        self._dropping = True
        self._expect_within(LINGER_S)

    def _next(self) -> None:
        self._request = None
        self._answered = self._dropping = False
        if not self.persistent or self._awaiting is _NOTHING:
            self.loseConnection()
            return
        self._await_request()
        if self._holds:
            self._set_hold(_PIPELINE, False)
        if self._buffer and not self._busy:
            self._read()

    def is_last(self) -> bool:
        """Whether the answer whose headers are being written is the last one on this connection."""
        if self.expects:
            # Refused before the body was asked for: nobody knows whether it comes.
            self.persistent = False
        return not self.persistent

    def loseConnection(self) -> None:
        """Close once everything has been written; nothing more is read."""
        self._ignore_input()
        network, self._network = self._network, None
        if network is not None:
            network.unregisterProducer()
            if self._holds:
                # What comes is dropped now, and the end of it may be what the transport waits for.
                network.resumeProducing()
        cast(ITransport, self.transport).loseConnection()
        # What was written may never be read.
        self._expect_within(LAST_READ_S)

    def last_answer(self) -> None:
        """Close behind the answer that is being made."""
        self.persistent = False

    def abortConnection(self) -> None:
        """Close now."""
        self._ignore_input()
        transport: Any = self.transport
        abort = getattr(transport, "abortConnection", transport.loseConnection)
        abort()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Requests call this when they cannot parse a form.
        self._refuse(400, "The request's form cannot be parsed.")

    def _protocolUpgradeForWebsockets(self, protocol: IProtocol) -> None:
        # What twisted.web.websocket calls on a channel: from now on all bytes are the protocol's.
        if self._awaiting is not _HEAD or self._request is None:
            raise RuntimeError("Only a request that came whole can become something else.")
        self.persistent = False
        self._deadline = inf
        if self._network is not None:
            # The protocol may register a producer of its own.
            self._network.unregisterProducer()
            self._network = None
        self._upgraded = protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        protocol.makeConnection(cast(ITransport, self.transport))
        if not self._busy and self._buffer:
            # Whoever upgrades has not written that it does yet.
            self.site.reactor.callLater(0, self._read)

    @property
    def requests(self) -> list[Any]:
        """The request that is being received or answered, as Twisted's channel lists it."""
        return [] if self._request is None else [self._request]

    # From the transport: its buffer

    def pauseProducing(self) -> None:
        super().pauseProducing()
        # Requests whose answers nobody reads are not read either. While one is being answered nothing is read into
        # an answer, and reading on is the only way to notice that the client has left.
        self._set_hold(_UNREAD_ANSWERS, self._request is None)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._set_hold(_UNREAD_ANSWERS, False)

    def _set_hold(self, why: int, hold: bool) -> None:
        before = self._holds
        self._holds = before | why if hold else before & ~why
        if self._network is None or bool(before) is bool(self._holds):
            return
        if self._holds:
            self._network.pauseProducing()
            return
        if self._awaiting is _BODY:
            # It was our doing that nothing came.
            self._pace_from = self._body_bytes
            self._deadline = self.site.reactor.seconds() + PACE_S
        self._network.resumeProducing()
        if self._buffer and not self._busy and self._awaiting is not _NOTHING:
            self._read()

    # Clocks

    def _tick(self) -> None:
        if self._request is None:
            # It may be idle for long, as may ten thousand others.
            self._parser.forget()
        super()._tick()

    def _await_request(self) -> None:
        self._awaiting = _HEAD
        if self._answers_wait:
            self._set_hold(_UNREAD_ANSWERS, True)
        self._expect_within(inf if self.timeOut is None else self.timeOut)

    def _late(self) -> None:
        unread = self._holds and self._rendered
        if self._awaiting is _NOTHING or (unread and has_left(self.transport)):
            self.abortConnection()
        elif self._answered:
            self.loseConnection()
            self._expect_within(CLOSE_S)
        elif self._awaiting is _BODY:
            self._check_pace()
        elif self._holds & _PIPELINE and self._request is not None:
            self._expect_within(TICK_S)
        elif self._buffer and self._searched:
            self._refuse(408, f"The request's headers did not come within {HEAD_S:.0f} seconds.")
        else:
            self.loseConnection()
            self._expect_within(CLOSE_S)

    def _check_pace(self) -> None:
        held = self._holds & _UNREAD_BODY
        if held or self._body_bytes - self._pace_from >= PACE_BYTES:
            self._pace_from = self._body_bytes
            self._expect_within(PACE_S)
        elif self._rendered:
            self._give_up_body(BodyBroken("The request's body came too slowly."))
        else:
            self._refuse(408, "The request's body came too slowly.")
