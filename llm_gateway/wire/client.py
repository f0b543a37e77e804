"""An HTTP/1.1 client behind Twisted's ``IAgent``, parsing with llhttp (httptools)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

# Twisted exports it from nowhere public, although its Agent raises it.
from twisted.web._newclient import BadHeaders, RequestGenerationFailed
from twisted.web.client import ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from llm_gateway.wire.connection import Connection
from llm_gateway.wire.fields import LastingHeaders, fields_of, written
from llm_gateway.wire.pool import ConnectionPool, Origin, OriginPool
from llm_gateway.wire.response import FAILED, Response, WholeResponse
from llm_gateway.wire.rounds import together
from llm_gateway.wire.upload import BytesBody

_log = Logger()

MAX_REMEMBERED_URIS = 1024
"""A gateway asks for few, over and over; whoever invents URIs does not fill the memory."""

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_URI = re.compile(rb"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<netloc>[!-~]*?)(?P<target>[/?][!-~]*?)?(?:#[!-~]*)?")
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that may be sent again when nobody seems to have heard them; they have no effect that could happen twice."""
_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_OUR_FRAMING = frozenset({b"Connection", b"Content-Length", b"Transfer-Encoding"})


@implementer(IAgent)
class Agent:
    """Sends requests over a pool of connections. Never follows, decodes, remembers or adds more than HTTP needs."""

    def __init__(self, pool: ConnectionPool, connect_s: float) -> None:
        """
        :param connect_s: seconds until a connection must stand, TLS included.
        """
        self._pool = pool
        self._connect_s = connect_s
        self._resolve = lru_cache(MAX_REMEMBERED_URIS)(self._resolve_anew)

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Fails as Twisted's own agent does: ``ResponseNeverReceived`` and ``ResponseFailed`` with the cause in their
        ``reasons``, ``RequestTransmissionFailed``, ``RequestGenerationFailed``, and what kept it from connecting.

        :param uri: absolute, ``http`` or ``https``, already encoded.
        :param headers: sent as they are, but for those that frame the request: they are ours.
        :return: a response whose body waits for ``deliverBody``; cancel it to close the connection.
        :raises ValueError: the method or the URI cannot be sent.
        """
        answered: Deferred[IResponse] = Deferred(lambda _: exchange.cancel())
        try:
            exchange = self.send(method, uri, headers, bodyProducer, answered.callback, answered.errback)
        except (SchemeNotSupported, RequestGenerationFailed):
            return fail()
        return answered

    def send(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
        answered: Callable[[Any], None],
        not_answered: Callable[[Failure], None],
    ) -> Exchange:
        """
        As ``request``, for those who can do without a Deferred.

        :param answered: called with the ``IResponse``, or else ``not_answered`` with the failure; perhaps at once.
        :return: what to cancel.
        :raises Exception: what ``request`` fails with at once.
        """
        home, line = self._resolve(method, uri)
        head: tuple[bytes, ...]
        lines = headers.lines if isinstance(headers, LastingHeaders) else None
        if lines is not None and body is not None and type(body) is BytesBody:
            length = b"Content-Length: %d\r\n\r\n" % body.length
            connection = home.take_idle()
            if connection is not None:
                # As most requests: nothing of it has to be kept until it can be sent.
                data, body.data = body.data, b""
                exchange = Exchange(method, uri, headers, (), body, home, 0.0, connection, answered, not_answered)
                connection.send_whole(exchange, b"".join((line, lines, home.host_line, length, data)))
                return exchange
            head = line, lines, home.host_line, length
        else:
            head = _whole_head(line, method, home, headers, body)
            connection = home.take_idle()
        exchange = Exchange(method, uri, headers, head, body, home, self._connect_s, connection, answered, not_answered)
        if connection is not None:
            connection.send(exchange)
        else:
            exchange.want()
        return exchange

    def _resolve_anew(self, method: bytes, uri: bytes) -> tuple[OriginPool, bytes]:
        """
        :return: where to send the request, and its first line.
        """
        if not _METHOD.fullmatch(method):
            raise ValueError(f"Invalid method {method!r}")
        parts = _URI.fullmatch(uri)
        if parts is None:
            # Without the URI itself: there may be a key in it.
            raise ValueError("Invalid URI: not absolute, or not in printable ASCII")
        if parts["scheme"].lower() not in (b"http", b"https"):
            raise SchemeNotSupported(f"neither http nor https: {parts['scheme']!r}")
        target = parts["target"] or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
        return self._pool.at(Origin.parse(parts["scheme"], parts["netloc"])), b"%b %b HTTP/1.1\r\n" % (method, target)


def _whole_head(
    line: bytes, method: bytes, home: OriginPool, headers: Headers | None, body: IBodyProducer | None
) -> tuple[bytes, ...]:
    """
    :return: pieces to join.
    """
    if body is None:
        end = b"Content-Length: 0\r\n\r\n" if method in _WITH_BODY else b"\r\n"
    elif body.length is UNKNOWN_LENGTH:
        end = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        end = b"Content-Length: %d\r\n\r\n" % body.length
    kept = headers if isinstance(headers, LastingHeaders) else None
    if kept is not None and kept.lines is not None:
        return line, kept.lines, home.host_line, end
    fields = {} if headers is None else fields_of(headers)
    if not _OUR_FRAMING.isdisjoint(fields):
        fields = {name: values for name, values in fields.items() if name not in _OUR_FRAMING}
    host = home.host_line
    if b"Host" in fields:
        if len(fields[b"Host"]) > 1:
            raise RequestGenerationFailed([Failure(BadHeaders("Exactly one Host header required"))])
        host = b"" if fields[b"Host"] else host
    lines = written(fields)
    if kept is not None and host and fields is fields_of(kept):
        kept.lines = lines
    return line, lines, host, end


@implementer(IClientRequest)
class Exchange:
    """One request on its way to its answer: waiting for a connection, then using it, perhaps a second one."""

    __slots__ = (
        "__weakref__",
        "_answered",
        "_connect_s",
        "_connection",
        "_home",
        "_not_answered",
        "_repeated",
        "_wanted",
        "_whole",
        "absoluteURI",
        "body",
        "head",
        "headers",
        "method",
    )

    def __init__(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        head: tuple[bytes, ...],
        body: IBodyProducer | None,
        home: OriginPool,
        connect_s: float,
        connection: Connection | None,
        answered: Callable[[Any], None],
        not_answered: Callable[[Failure], None],
    ) -> None:
        """
        :param head: the request's head as it is sent, in pieces.
        :param connection: the one that it is sent over; ``want`` one where there is none.
        :param answered: told of the answer's head, or else ``not_answered`` of what came of it.
        """
        self.method = method
        self.absoluteURI = uri
        self.headers = headers
        self.head = head
        self.body = body
        self._home = home
        self._connect_s = connect_s
        self._wanted: Deferred[Connection] | None = None
        self._connection = connection
        self._repeated = False
        self._answered: Callable[[Any], None] | None = answered
        self._not_answered = not_answered
        self._whole: Response | WholeResponse | None = None
        """The answer, while nobody has been told of it."""

    def want(self) -> None:
        """Wait for a connection, and be sent over it."""
        wanted = self._wanted = self._home.connection(self._connect_s)
        wanted.addCallbacks(self._connected, self._failed)

    def answer(self, response: Response | WholeResponse) -> None:
        """Status and headers have come."""
        answered, self._answered = self._answered, None
        self._connection = None
        # The response keeps its request, and a stream may be long.
        self.head, self.body = (), None
        if answered is not None:
            answered(response)

    def came(self, response: Response | WholeResponse) -> None:
        """All of the answer has, and the connection is not the request's any more: tell it with others' answers."""
        self._connection = None
        self._whole = response
        together(Exchange._tell, self)

    def _tell(self) -> None:
        response, self._whole = self._whole, None
        if response is None:
            # Nobody wants it any more.
            return
        try:
            self.answer(response)
        except Exception:
            # Nobody else's: the connection may be on with the next exchange.
            _log.failure(FAILED)

    def lost(self, error: Exception, *, unheard: bool) -> None:
        """
        The connection ended without an answer.

        :param unheard: it had served other requests before and not a byte came for this one, as when an idle connection
            is closed at the moment that it is used. What may be sent twice without harm is sent once more, over a
            connection that has not been idle.
        """
        self._connection = None
        if unheard and not self._repeated and self.body is None and self.method in _REPEATABLE:
            self._repeated = True
            self.want()
        else:
            self._failed(Failure(error))

    def cancel(self) -> None:
        """Whoever asked does not want to wait any more: close the connection, or do without one. It is told of that."""
        if self._whole is not None:
            self._whole = None
            self._failed(Failure(ResponseFailed([Failure(CancelledError())])))
        elif self._wanted is not None:
            self._wanted.cancel()
        elif self._connection is not None:
            self._connection.give_up()

    def _connected(self, connection: Connection) -> None:
        self._wanted = None
        self._connection = connection
        connection.send(self)

    def _failed(self, failure: Failure) -> None:
        self._wanted = None
        answered, self._answered = self._answered, None
        if answered is not None:
            self._not_answered(failure)
