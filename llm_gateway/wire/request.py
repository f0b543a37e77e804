"""A ``twisted.web`` request that does for each call only what somebody asked for."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from io import SEEK_END, BytesIO
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.http import (
    NO_BODY_CODES,
    NO_CONTENT,
    NOT_MODIFIED,
    OK,
    RESPONSES,
    datetimeToString,
    parse_qs,
)
from twisted.web.resource import _IEncodingResource
from twisted.web.server import Request as TwistedRequest

from llm_gateway.wire.bodies import BodyStream
from llm_gateway.wire.bounds import SPOOL_BYTES
from llm_gateway.wire.fields import Fields, SharingHeaders, fields_of, new_headers, written
from llm_gateway.wire.rounds import together

if TYPE_CHECKING:
    from llm_gateway.wire.strict import Head

JOIN_BYTES = 16_384
"""A longer piece of an answer is handed over beside its head and chunk marks instead of being copied together."""

_OK_PHRASE = RESPONSES[OK]

_CHUNKED = [b"chunked"]

_STATUS_LINES = {
    (code, phrase, recent): b"HTTP/1.%d %d %b\r\n" % (recent, code, phrase)
    for code, phrase in RESPONSES.items()
    for recent in (True, False)
}


class Request(TwistedRequest):
    """
    What a resource renders.

    Everything public on ``twisted.web.server.Request`` is here and means the same. Cookies and query arguments are
    parsed when somebody looks at them. Of its own it has ``body_refused`` and :meth:`deliver_body`.
    """

    # All that is looked at for every answer. Twisted has most of it as attributes of the class, which are found last;
    # and a dictionary of more than thirty attributes takes long to make.
    __slots__ = (
        "_bodiless",
        "_disconnected",
        "_encoder",
        "_flowing",
        "_inFakeHead",
        "_left",
        "_query",
        "_when_lost",
        "body_refused",
        "body_stream",
        "chunked",
        "code",
        "code_message",
        "etag",
        "finished",
        "head_notes",
        "lastModified",
        "producer",
        "sentLength",
        "startedWriting",
    )

    channel: Any
    # Of what nobody may ever ask for.
    _args: dict[bytes, list[bytes]] | None = None
    _cookies_in: dict[bytes, bytes] | None = None
    _postpath: list[bytes] | None = None
    _encoder: Any
    _inFakeHead: bool

    body_refused: bool
    """Whether the body was longer than the site takes. It is left out then, and the resource has to say so (413)."""

    body_stream: BodyStream | None
    """Set while ``content`` is empty because the site streams the body to whoever calls :meth:`deliver_body`."""

    head_notes: dict[str, Any] | None
    """
    Where a resource may keep what follows from method, target and headers alone, but for ``Content-Length``: the next
    request over this connection that has the very same ones finds it here. ``None`` where that has not come up.
    """

    _flowing: bool
    """Whether every piece that is written is just one more chunk."""

    _when_lost: Callable[[], None] | None

    _left: int | None
    """What is to come of an answer that has a length."""

    def __init__(self, channel: Any, queued: object = False, parsePOSTFormSubmission: bool | None = None) -> None:
        # What the classes above set, without asking the transport for its addresses each time.
        self.notifications = []
        self.channel = channel
        self.client = channel.peer or channel.getPeer()
        self.host = channel.host or channel.getHost()
        headers = self.requestHeaders = new_headers(SharingHeaders)
        headers._rawHeaders = {}
        headers = self.responseHeaders = new_headers(SharingHeaders)
        headers._rawHeaders = {}
        self.cookies = []
        self.transport = channel.transport
        self.queued = queued
        if parsePOSTFormSubmission is None:
            self._parsePOSTFormSubmission = channel.site._parsePOSTFormSubmission
        else:
            self._parsePOSTFormSubmission = parsePOSTFormSubmission
        self._adapterCache: dict[str, Any] = {}
        # Of the request
        self.head_notes = self.body_stream = None
        # Of the answer
        self.code = OK
        self.code_message = _OK_PHRASE
        self.lastModified = self.etag = self.producer = self._encoder = self._left = self._when_lost = None
        self.startedWriting = self.finished = self.chunked = self.sentLength = 0
        self.body_refused = self._bodiless = self._flowing = self._inFakeHead = self._disconnected = False

    # The client's leaving

    def tell_when_lost(self, callback: Callable[[], None]) -> None:
        """
        As ``notifyFinish``, for those who only want to know that the answer cannot be finished any more.

        :param callback: replaces the one that was given before.
        """
        self._when_lost = callback

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._flowing = False
        when_lost, self._when_lost = self._when_lost, None
        if when_lost is not None:
            when_lost()

    # The request's body

    def deliver_body(self, protocol: IProtocol) -> None:
        """
        Have the body delivered as it comes, as ``IResponse.deliverBody`` does for answers.

        Only for a request that the site's ``wants_stream`` was true of. The protocol's transport can be paused and
        resumed, which pauses and resumes the client; see :class:`~llm_gateway.wire.bodies.BodyStream`. A client that
        asked first is told to go on now. What has not been delivered when the answer is finished is dropped.

        :raises RuntimeError: the body is not streamed: it is in ``content``.
        """
        if self.body_stream is None:
            raise RuntimeError("This request's body is not streamed.")
        self.body_stream.deliver(protocol)

    def gotLength(self, length: int | None) -> None:
        make = getattr(self.channel.site, "getContentFile", None)
        if make is not None:
            self.content = make(length)
        elif length is not None and length <= SPOOL_BYTES:
            self.content = BytesIO()
        else:
            self.content = cast(BinaryIO, SpooledTemporaryFile(max_size=SPOOL_BYTES))  # noqa: SIM115  # closed by Twisted

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._parsePOSTFormSubmission and command == b"POST":
            # Which takes it to have just been written.
            self.content.seek(0, SEEK_END)  # type: ignore[union-attr]  # as below
            super().requestReceived(command, path, version)
            return
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self._query = path.partition(b"?")
        self.content.seek(0)  # type: ignore[union-attr]  # it is there as soon as there is a request
        self.process()

    @property
    def args(self) -> Any:
        """The query's arguments, and those of a form if the site parses forms; ``None`` before there is a request."""
        if self._args is None and self.path is not None:
            self._args = parse_qs(self._query, 1) if self._query else {}
        return self._args

    @args.setter
    def args(self, args: dict[bytes, list[bytes]]) -> None:
        self._args = args

    @property
    def received_cookies(self) -> dict[bytes, bytes]:
        """The cookies that came with the request."""
        if self._cookies_in is None:
            self._cookies_in = {}
            super().parseCookies()
        return self._cookies_in

    @received_cookies.setter
    def received_cookies(self, cookies: dict[bytes, bytes]) -> None:
        self._cookies_in = cookies

    @property
    def postpath(self) -> list[bytes]:
        """The segments of the path that nobody has gone along yet, in ``prepath`` those that somebody has."""
        if self._postpath is None:
            path = self.path or b"/"
            segments = path[1:].split(b"/")
            self._postpath = [unquote_to_bytes(each) for each in segments] if 0x25 in path else segments  # "%"
        return self._postpath

    @postpath.setter
    def postpath(self, segments: list[bytes]) -> None:
        self._postpath = segments

    def parseCookies(self) -> None:
        """Nobody may ever ask."""
        self._cookies_in = None

    def came_whole(self, head: Head, fields: Fields, body: bytes) -> None:
        """As ``requestReceived``, for a request that has come with all of its body."""
        method, target, version, _, _, self.head_notes = head
        # Documented private; addRawHeader would check and spell again what the parser has checked and spelt.
        self.requestHeaders._rawHeaders = fields
        self.content = BytesIO(body)
        if self._parsePOSTFormSubmission:
            self.requestReceived(method, target, version)
            return
        self.method = method
        self.uri = target
        self.clientproto = version
        self.path, _, self._query = target.partition(b"?")
        together(type(self).process, self)

    def process(self) -> None:
        if self._disconnected:
            # Before its turn came.
            return
        site = self.site = self.channel.site
        # No Server header: it would tell who attacks what to try first.
        now = time.time()
        # The clock may be set back.
        self.responseHeaders._rawHeaders[b"Date"] = _date if _date_from <= now < _date_until else _date_at(now)
        self.prepath = []
        if self.path == b"*":
            self._handleStar()
            return
        try:
            resource = site.getResourceFor(self)
            # The first is much the faster to say no.
            if hasattr(resource, "getEncoder") and _IEncodingResource.providedBy(resource):
                encoder = resource.getEncoder(self)
                if encoder is not None:
                    self._encoder = encoder
            self.render(resource)
        except BaseException:
            self.processingFailed(Failure())

    # The answer

    def write(self, data: bytes) -> None:
        if self._flowing:
            size = len(data)
            if 0 < size <= JOIN_BYTES:
                # One more chunk of a stream, which is what this is called for most.
                self.sentLength += size
                self.channel.write(b"%x\r\n%b\r\n" % (size, data))
                return
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        headers = fields_of(self.responseHeaders)
        if not self.startedWriting and b"Content-Type" not in headers:
            self._add_content_type(headers)
        if self._inFakeHead:
            # The resource believes that this is a GET.
            return
        if self._encoder is not None:
            data = self._encoder.encode(data)
        if self._disconnected:
            return
        if self.startedWriting:
            self._write_on(data)
            return
        pieces = self._head(headers)
        left, size = self._left, len(data)
        if left is not None and size <= left and size <= JOIN_BYTES:
            # As most answers: in one piece.
            self._left = left - size
            self.sentLength = size
            pieces.append(data)
            self.channel.write(b"".join(pieces))
        elif self._bodiless:
            self.channel.write(b"".join(pieces))
        else:
            self._write_on(data, b"".join(pieces))

    def finish(self) -> None:
        if self._encoder is not None and not self.finished:
            rest = self._encoder.finish()
            self._encoder = None
            if rest:
                self.write(rest)
        if self._disconnected:
            raise RuntimeError(
                "Request.finish called on a request after its connection was lost; "
                "use Request.notifyFinish to keep track of this."
            )
        if self.finished:
            warnings.warn("Warning! request.finish called twice.", stacklevel=2)
            return
        if not self.startedWriting:
            self.write(b"")
        channel = self.channel
        if self.chunked:
            channel.write(b"0\r\n\r\n")
        elif self._left:
            # The client waits for more than there is, and would take the next answer for it.
            channel.persistent = False
        site = channel.site
        if site._logFile is not None:
            site.log(self)
        self.finished = 1
        self._flowing = False
        self._when_lost = None
        if self.queued:
            return
        if self.producer or self.notifications:
            self._cleanup()
            return
        # What that does, where there is nothing more to do.
        channel.requestDone(self)
        del self.channel
        content, self.content = self.content, None
        if content is not None:
            content.close()

    def _write_on(self, data: bytes, head: bytes = b"") -> None:
        if self._bodiless:
            return
        size = len(data)
        self.sentLength += size
        if self.chunked:
            if not size:
                if head:
                    self.channel.write(head)
            elif size <= JOIN_BYTES:
                self.channel.write(b"%b%x\r\n%b\r\n" % (head, size, data))
            else:
                self.channel.writeSequence([b"%b%x\r\n" % (head, size), data, b"\r\n"])
            return
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                # More than was announced would be read as the beginning of the next answer.
                data = data[: self._left]
                self._left = 0
                self.channel.persistent = False
        if size <= JOIN_BYTES:
            if head or data:
                self.channel.write(head + data)
        else:
            self.channel.writeSequence([head, data] if head else [data])

    def _add_content_type(self, headers: Fields) -> None:
        if (
            self.defaultContentType is not None
            and self.code not in (NOT_MODIFIED, NO_CONTENT)
            and headers.get(b"Content-Length") != [b"0"]
        ):
            headers[b"Content-Type"] = [self.defaultContentType]

    def _head(self, headers: Fields) -> list[bytes]:
        """
        Status line and headers; from here on it is settled how long the answer is.

        :return: pieces to join.
        """
        self.startedWriting = 1
        code, channel = self.code, self.channel
        recent = self.clientproto == b"HTTP/1.1"
        # Only we know how the answer is framed.
        if b"Transfer-Encoding" in headers:
            del headers[b"Transfer-Encoding"]
        length = headers.get(b"Content-Length")
        if self.method == b"HEAD" or code < 200 or code in NO_BODY_CODES:
            self._bodiless = code >= 200
        elif length is not None and len(length) == 1 and length[0].isdigit():
            # Something that a client can understand in one way only.
            self._left = int(length[0])
        elif recent:
            headers.pop(b"Content-Length", None)
            headers[b"Transfer-Encoding"] = _CHUNKED
            self.chunked = 1
            self._flowing = self._encoder is None
        if self.lastModified is not None and b"Last-Modified" not in headers:
            self.responseHeaders.setRawHeaders(b"Last-Modified", [datetimeToString(self.lastModified)])
        if self.etag is not None:
            self.responseHeaders.setRawHeaders(b"ETag", [self.etag])
        if self.cookies:
            self.responseHeaders.setRawHeaders(b"Set-Cookie", self.cookies)
        if b"Connection" in headers and any(b"close" in value.lower() for value in headers[b"Connection"]):
            channel.persistent = False
        elif (channel.expects or not channel.persistent) and channel.is_last() and recent and code >= 200:
            headers[b"Connection"] = [b"close"]
        line = _STATUS_LINES.get((code, self.code_message, recent))
        if line is None:
            # A reason phrase of the resource's own may come from anywhere.
            line = b"HTTP/1.%d %d %b\r\n" % (recent, code, b" ".join(self.code_message.splitlines()))
        return [line, written(headers), b"\r\n"]


_date_from = _date_until = 0.0
_date: list[bytes] = []


def _date_at(now: float) -> list[bytes]:
    """The ``Date`` header's values, made once a second."""
    global _date_from, _date_until, _date
    second = int(now)
    _date_from, _date_until, _date = second, second + 1.0, [datetimeToString(second)]
    return _date
