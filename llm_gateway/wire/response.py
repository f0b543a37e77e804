"""An answer to a request of ours: what its head says, and its body on the way to whoever reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import NO_BODY_CODES
from twisted.web.iweb import UNKNOWN_LENGTH, IClientRequest, IResponse
from zope.interface import implementer

from llm_gateway.wire.fields import Fields, SharingHeaders, headers_of, new_headers
from llm_gateway.wire.rounds import together

if TYPE_CHECKING:
    from llm_gateway.wire.connection import Connection

HTTP_1_1 = (b"HTTP", 1, 1)

DONE = Failure._withoutTraceback(ResponseDone())

_log = Logger()

FAILED = "Whoever waited for an answer failed at it"

RARELY_OF_THE_CONNECTION = frozenset(
    {b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailers", b"Transfer-Encoding", b"Upgrade"}
)
_OF_THE_CONNECTION = RARELY_OF_THE_CONNECTION | {b"Connection", b"Content-Length"}
"""What Twisted's own client does not show either: its reader has the body, not the connection."""

STAYS = [b"keep-alive"]
"""What a ``Connection`` header may say and might as well not."""

_OPTIONS = frozenset({b"close", b"keep-alive"})
"""What a ``Connection`` header says that does not name another header."""


def _of_body(fields: Fields, request: IClientRequest) -> tuple[int | None, bool, bool]:
    """
    Take out of an answer's headers what is about the connection.

    :return: the length they give, whether the body is chunked, and whether the connection closes behind it.
    :raises ValueError: they leave open, or say in a way that others may read otherwise, where the body ends.
    """
    length, chunked = None, False
    named: set[bytes] = set()
    for name in _OF_THE_CONNECTION.intersection(fields):
        values = fields.pop(name)
        if name == b"Content-Length":
            length = int(values[-1])
            if request.method == b"HEAD":
                fields[name] = values[-1:]
        elif name == b"Transfer-Encoding":
            if len(values) > 1 or values[0].lower() != b"chunked":
                raise ValueError("a transfer encoding other than just chunked")
            chunked = True
        elif name in (b"Connection", b"Proxy-Connection"):
            for value in values:
                named.update([option.strip().lower() for option in value.split(b",")])
    if named - _OPTIONS:
        # About this connection only, as its sender says. Source: RFC 9110, section 7.6.1.
        for name in [name for name in fields if name.lower() in named]:
            del fields[name]
    return length, chunked, b"close" in named


@implementer(IResponse, IPushProducer)
class Response:
    """An answer; also the transport of its body, as long as that comes."""

    __slots__ = (
        "__weakref__",
        "_claimed",
        "_connection",
        "_early",
        "_reason",
        "closes",
        "code",
        "ends_with_connection",
        "headers",
        "length",
        "paused",
        "phrase",
        "previousResponse",
        "reader",
        "request",
        "version",
    )

    disconnecting = False
    """Asked for by protocols that read lines."""

    def __init__(
        self,
        connection: Connection,
        request: IClientRequest,
        version: tuple[bytes, int, int],
        code: int,
        phrase: bytes,
        fields: Fields,
    ) -> None:
        """
        :param fields: the headers, which are the response's own from now on.
        :raises ValueError: they leave open, or say in a way that others may read otherwise, where the body ends.
        """
        self.previousResponse: IResponse | None = None
        self.request = request
        self.version = version
        self.code = code
        self.phrase = phrase
        self.headers = headers_of(fields)
        self.length: Any
        self.closes = False
        """Whether the other side has said that it will close the connection."""
        self.ends_with_connection = False
        """Whether only the end of the connection ends the body."""
        bodiless = code in NO_BODY_CODES or request.method == b"HEAD"
        if (
            not bodiless
            and b"Content-Length" in fields
            and fields.get(b"Connection", STAYS) == STAYS
            and (RARELY_OF_THE_CONNECTION.isdisjoint(fields))
        ):
            # As nearly always. The parser has seen to it that there is one length, of digits only.
            self.length = int(fields.pop(b"Content-Length")[-1])
            fields.pop(b"Connection", None)
        else:
            length, chunked, self.closes = _of_body(fields, request)
            self.length = 0 if bodiless else UNKNOWN_LENGTH if length is None else length
            self.ends_with_connection = not (bodiless or chunked) and length is None
        self._connection: Connection | None = connection
        self.reader: IProtocol | None = None
        """Gets what comes of the body; where there is none, ``wait`` does."""
        self._early: tuple[bytes, ...] = ()
        """What came before there was a reader. The transport is paused then, so that it is what one read brought."""
        self._reason: Failure | None = None
        self._claimed = False
        self.paused = False
        """Whether the connection stands still, for the reader or for want of one."""

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Give the body to ``protocol``, what has come of it already at once.

        Its ``connectionLost`` gets ``ResponseDone`` for a whole body, ``PotentialDataLoss`` where only the orderly end
        of the connection ended it, ``ResponseFailed`` for a broken one, and otherwise what ``protocol`` itself raised.

        :raises RuntimeError: it has been given to somebody before.
        """
        if self._claimed:
            raise RuntimeError("the body has been given to a reader before")
        self._claimed = True
        # Set before the reader can ask to pause, which must hold when this returns.
        was_paused, self.paused = self.paused, False
        protocol.makeConnection(self)  # type: ignore[arg-type]  # as much of a transport as bodies get
        try:
            while self._early:
                piece, self._early = self._early[0], self._early[1:]
                protocol.dataReceived(piece)
        except Exception:
            # The reader's own fault: it gets it back for the reason of the end.
            self.abortConnection()
            self._reason = Failure()
        self.reader = protocol
        if self._reason is not None:
            self.ended(self._reason)
            return
        if was_paused and not self.paused:
            self.resumeProducing()

    def setPreviousResponse(self, previousResponse: IResponse) -> None:
        """For clients that follow redirects."""
        self.previousResponse = previousResponse

    # The body's transport

    def pauseProducing(self) -> None:
        """No more until ``resumeProducing``, apart from what has been read already."""
        if self._connection is not None:
            self.paused = True
            cast(Any, self._connection.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        if self._connection is not None:
            self.paused = False
            cast(Any, self._connection.transport).resumeProducing()

    def stopProducing(self) -> None:
        """As ``abortConnection``."""
        self.abortConnection()

    def loseConnection(self) -> None:
        """As ``abortConnection``: there is nothing left to send that would be worth waiting for."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Close the connection at once, also while the request is still being written."""
        self._early = ()
        if self._connection is not None:
            self._connection.abort()

    # The connection's side

    def wait(self, data: bytes) -> None:
        """Keep what has come until there is a reader."""
        self._early = (*self._early, data)
        self.pauseProducing()

    def detach(self) -> None:
        """From now on the connection belongs to somebody else."""
        self._connection = None

    def is_all(self, body: bytes, reason: Failure) -> None:
        """All of the body came with the head, and from now on the connection belongs to somebody else."""
        self._connection = None
        if body:
            self._early = (body,)
        self._reason = reason

    def ended(self, reason: Failure) -> None:
        """No more will come."""
        self._connection = None
        protocol, self.reader = self.reader, None
        if protocol is None:
            # For the reader that is still to come. Kept no longer than that: it may hold this response itself.
            self._reason = reason
            return
        try:
            protocol.connectionLost(reason)
        except Exception:
            _log.failure("The reader of a response's body failed at its end")


@implementer(IResponse, IPushProducer)
class WholeResponse:
    """
    An answer that came all at once, its body of a known length, over a connection that stays.

    It has no connection any more: that may be on with the next exchange. There is nothing to pause.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_claimed",
        "_reader",
        "_reason",
        "code",
        "headers",
        "length",
        "phrase",
        "previousResponse",
        "request",
    )

    disconnecting = False
    version = HTTP_1_1

    def __init__(self, request: IClientRequest, code: int, phrase: bytes, fields: Fields, body: bytes) -> None:
        """
        :param fields: the headers, without those of the connection; the response's own from now on.
        """
        self.previousResponse: IResponse | None = None
        self.request = request
        self.code = code
        self.phrase = phrase
        headers = self.headers = new_headers(SharingHeaders)
        headers._rawHeaders = fields
        self.length: Any = len(body)
        self._body = body
        self._claimed = False
        self._reader: IProtocol | None = None
        self._reason = DONE

    def deliverBody(self, protocol: IProtocol) -> None:
        """As that of any other response."""
        if self._claimed:
            raise RuntimeError("the body has been given to a reader before")
        self._claimed = True
        self._reader = protocol
        protocol.makeConnection(self)  # type: ignore[arg-type]  # as much of a transport as bodies get
        together(WholeResponse._deliver, self)

    def _deliver(self) -> None:
        body, self._body = self._body, b""
        if body:
            assert self._reader is not None
            try:
                self._reader.dataReceived(body)
            except Exception:
                # The reader's own fault: it gets it back for the reason of the end.
                self._reason = Failure()
        together(WholeResponse._end, self)

    def _end(self) -> None:
        reader, self._reader = self._reader, None
        assert reader is not None
        try:
            reader.connectionLost(self._reason)
        except Exception:
            _log.failure("The reader of a response's body failed at its end")

    def setPreviousResponse(self, previousResponse: IResponse) -> None:
        """For clients that follow redirects."""
        self.previousResponse = previousResponse

    def pauseProducing(self) -> None:
        """All of it has been read already."""

    def resumeProducing(self) -> None:
        """There is nothing to go on with."""

    def stopProducing(self) -> None:
        """As ``abortConnection``."""
        self._body = b""

    def loseConnection(self) -> None:
        """As ``abortConnection``."""
        self._body = b""

    def abortConnection(self) -> None:
        """What has not been delivered is not wanted."""
        self._body = b""
