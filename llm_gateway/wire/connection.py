"""One connection to an origin: a request, its answer, the next request."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

# Twisted exports these from nowhere public, although its Agent raises them.
from twisted.web._newclient import ParseError, RequestGenerationFailed, RequestTransmissionFailed
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http import NO_BODY_CODES, PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface import implementer

from llm_gateway.wire.fields import Lines, read, take_apart
from llm_gateway.wire.response import DONE, HTTP_1_1, RARELY_OF_THE_CONNECTION, STAYS, Response, WholeResponse
from llm_gateway.wire.sockets import wait_together
from llm_gateway.wire.upload import BytesBody, Upload

if TYPE_CHECKING:
    from llm_gateway.wire.client import Exchange
    from llm_gateway.wire.pool import OriginPool

MAX_HEAD_BYTES = 131_072
"""Of a status line and headers, informational answers before them included; of trailers; of what stands between two
pieces of a body. The largest heads seen from providers are under 10 KB."""

_HTTP_1_0 = (b"HTTP", 1, 0)
_STATUS_LINE = re.compile(rb"[\r\n]*HTTP/1\.([01]) [0-9]{3}(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?\r\n")
_LINE_ENDS = b"\r\n"

MAX_STATUSES, MAX_STATUS_BYTES = 200, 64
"""Status lines that are remembered, and how long they may be."""


_NO_LENGTH: list[bytes] = []

_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class PlainLines(Lines):
    """Lines that nobody has looked at before. What could be taken for something else raises ``ValueError``."""

    __slots__ = ()

    def __missing__(self, line: bytes) -> tuple[bytes, list[bytes]]:
        if _LINE.fullmatch(line) is None:
            raise ValueError("not a plain header line")
        return take_apart(line, self)


_lines = Lines()
_plain_lines = PlainLines()
_statuses: dict[bytes, tuple[int, bytes]] = {}
"""Code and phrase by status line without its end, of answers that have a body and were found good."""


@implementer(IHandshakeListener)
class Connection(Protocol):
    """
    Sends one request at a time and finds its answer in what comes.

    The parser's callbacks only take notes. They are acted upon when the parser has returned, so that whoever gets the
    answer may do anything, closing this connection included. A connection is given back to its pool only when the
    answer was whole and all of the request written, and when nothing came that does not belong to this answer.
    """

    def __init__(self, home: OriginPool) -> None:
        self._home = home
        self.readable: Callable[[int], Any] | None = None
        """Asks the socket, if there is one, whether there is something to read."""
        self.idle_since = 0.0
        self._tls: TLSMemoryBIOProtocol | None = None
        self._handshaken = False
        self._secured: Deferred[Connection] | None = None
        self._lost: Failure | None = None
        self.closing = False
        """Whether it is over, or about to be."""
        self._answers = 0
        self._exchange: Exchange | None = None
        self._upload: Upload | None = None
        self._read_since = 0
        """Bytes since the request was sent, or since there was last some use in them."""
        # Notes on the answer
        self._head = b""
        """What came of the answer, until its head is whole."""
        self._response: Response | None = None
        self._pieces: list[bytes] = []
        self._informational = False
        self._complete = False
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)

    # The pool's side

    def connectionMade(self) -> None:
        transport: Any = self.transport
        together = wait_together(transport)
        outbox = together or self._home.outbox
        if isinstance(transport, TLSMemoryBIOProtocol):
            self._tls, transport = transport, transport.transport
        elif together is not None:
            # In place of the endpoint's wrapper, which does nothing more but pass on.
            transport.protocol = self
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        handle = transport.getHandle() if hasattr(transport, "getHandle") else None
        if isinstance(handle, socket.socket):
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            self.readable = poller.poll
        self._writer = outbox.writer(self.transport)
        self._home.opened()

    def secured(self) -> Deferred[Connection]:
        """
        :return: fires when TLS stands, certificate and name included; cancel it to close the connection.
        """
        if self._lost is not None:
            return fail(ResponseNeverReceived([self._lost]))
        if self._handshaken:
            return succeed(self)
        self._secured = Deferred(lambda _: self.abort())
        return self._secured

    def handshakeCompleted(self) -> None:
        """TLS stands."""
        self._handshaken = True
        secured, self._secured = self._secured, None
        if secured is not None and not secured.called:
            secured.callback(self)

    def abort(self) -> None:
        """Close it now, whatever is under way. Who waits for an answer is told when it is closed."""
        self.closing = True
        if self.transport is not None and self._lost is None:
            cast(ITCPTransport, self.transport).abortConnection()

    def close(self) -> None:
        """Close it in good order; nothing is under way on it."""
        self.closing = True
        if self.transport is not None and self._lost is None:
            self.transport.loseConnection()
            if self._tls is not None:
                # It would wait for the other side to say farewell as well.
                cast(ITCPTransport, self._tls.transport).loseConnection()

    # One exchange

    def send(self, exchange: Exchange) -> None:
        """Write the request. Nothing else is under way on this connection."""
        self._exchange = exchange
        self._read_since = 0
        body = exchange.body
        if body is None:
            self._writer.write(b"".join(exchange.head))
        elif type(body) is BytesBody:
            # The usual case, without the ceremony.
            data, body.data = body.data, b""
            self._writer.write(b"".join((*exchange.head, data)))
        else:
            upload = self._upload = Upload(b"".join(exchange.head), body, self.transport, self._not_written)
            upload.start()

    def send_whole(self, exchange: Exchange, message: bytes) -> None:
        """
        As ``send``.

        :param message: the request with all of its body, which the exchange need not have.
        """
        self._exchange = exchange
        self._read_since = 0
        self._writer.write(message)

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        heard = self._read_since > 0
        exchange = self._end()
        if exchange is not None:
            self.abort()
            error = ResponseFailed if heard else ResponseNeverReceived
            exchange.lost(error([Failure(CancelledError())]), unheard=False)

    def dataReceived(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nothing was asked: whatever this is, the next request must not get it for an answer.
            self.abort()
            return
        if self.closing:
            return
        response = self._response
        problem: BaseException | None = None
        begins = response is None
        if response is not None:
            try:
                self._parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade, ValueError) as error:
                problem = error.__context__ or error
            else:
                pieces = self._pieces
                if len(pieces) == 1 and not self._complete:
                    # As nearly always: the next piece of a stream.
                    self._read_since = 1
                    reader = response.reader
                    if reader is None:
                        response.wait(pieces.pop())
                        return
                    try:
                        reader.dataReceived(pieces.pop())
                    except Exception:
                        self._reader_failed(response)
                    return
            self._read_since += len(data)
        else:
            if not self._read_since and data.startswith(b"HTTP/1.1 ") and self._came_whole(data, exchange):
                return
            problem = self._feed_head(data)
        body = self._take_pieces() if self._pieces else b""
        if body and exchange.method == b"HEAD":
            problem, body = ValueError("an answer to HEAD with a body"), b""
        if begins:
            response = self._response
            if response is not None:
                if self._complete:
                    # It came in one read. Its connection serves the next before anybody looks at it.
                    response.is_all(body, DONE)
                    self._give_back(response, problem is None and _is_end(data, body, response))
                    exchange.came(response)
                    return
                if self._upload is not None and self._upload.done:
                    self._upload = None
                exchange.answer(response)
        if body and response is not None and self._exchange is exchange:
            reader = response.reader
            if reader is None:
                response.wait(body)
            else:
                try:
                    reader.dataReceived(body)
                except Exception:
                    self._reader_failed(response)
        if self._exchange is not exchange:
            return
        if self._complete and response is not None:
            response.detach()
            self._give_back(response, problem is None and _is_end(data, body, response))
            response.ended(DONE)
            return
        if problem is None and self._read_since > MAX_HEAD_BYTES:
            problem = ValueError("headers, trailers or chunk extensions without end")
        if problem is not None:
            self._refuse(ParseError(str(problem), data[:64]))

    def _feed_head(self, data: bytes) -> BaseException | None:
        """
        :return: what is wrong with the answer's beginning, if anything is.
        """
        try:
            if not self._read_since and data[0] != 0x48:  # "H"
                # The parser would skip empty lines, and take the protocols that begin with R and I.
                raise ValueError("not an HTTP answer")
            self._head = self._head + data if self._head else data
            self._read_since += len(data)
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade, ValueError) as error:
            return error.__context__ or error
        return None

    def _came_whole(self, data: bytes, exchange: Exchange) -> bool:
        """
        Answer with what came in one read, as most answers do, if that is all it can be.

        Nothing but the length of the body tells where such an answer ends, and every line of its head is one that
        cannot be misread. llhttp, which stays where it is, between two answers, would find the same and take longer.

        :param data: the first that came for this exchange.
        :return: whether it was that, and not something for the parser.
        """
        line_end = data.find(b"\r\n")
        status = _statuses.get(data[:line_end])
        end = data.find(b"\r\n\r\n", line_end + 2)
        if status is None or end < 0 or self._upload is not None or exchange.method == b"HEAD":
            return False
        try:
            fields = read(data[line_end + 2 : end], _plain_lines)
            (length,) = fields.pop(b"Content-Length", _NO_LENGTH)
        except ValueError:
            return False
        body = data[end + 4 :]
        if (
            # As it is usually written; the parser knows in which other ways it may be.
            length != b"%d" % len(body)
            or fields.pop(b"Connection", STAYS) != STAYS
            or not RARELY_OF_THE_CONNECTION.isdisjoint(fields)
        ):
            return False
        # Its connection serves the next before anybody looks at it.
        self._exchange = None
        self._answers += 1
        self._home.release(self)
        code, phrase = status
        exchange.came(WholeResponse(exchange, code, phrase, fields, body))
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        self.closing = True
        self.readable = None
        self._home.closed(self)
        secured, self._secured = self._secured, None
        if secured is not None and not secured.called:
            secured.errback(ResponseNeverReceived([reason]))
        response, heard, used_before = self._response, self._read_since > 0, self._answers > 0
        written = self._upload is None or self._upload.done
        exchange = self._end()
        # They hold each other.
        del self._parser, self.on_body, self._writer
        if exchange is None:
            return
        if response is not None:
            if response.ends_with_connection and reason.check(ConnectionDone):
                response.ended(Failure(PotentialDataLoss()))
            else:
                response.ended(Failure(ResponseFailed([reason], response)))
        elif not written:
            exchange.lost(RequestTransmissionFailed([reason]), unheard=False)
        elif heard:
            exchange.lost(ResponseFailed([reason]), unheard=False)
        else:
            exchange.lost(ResponseNeverReceived([reason]), unheard=used_before)

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("an answer that nobody asked for")

    def on_headers_complete(self) -> None:
        code, head = self._parser.get_status_code(), self._head
        line = _STATUS_LINE.match(head)
        if line is None or code < 100 or code == 101 or self._pieces:
            # 101 is a switch of protocols that nobody asked for; pieces are the body of an informational answer.
            raise ValueError("not an answer that this client understands")
        # From here on the parser lets no CR or LF stand alone, so that the first empty line ends the head.
        begin = line.end()
        end = head.find(b"\r\n\r\n", begin - 2)
        if code < 200:
            self._informational = True
            self._head = head[end + 4 :]
            return
        minor, phrase = line.groups()
        if minor == b"1" and begin <= MAX_STATUS_BYTES and code not in NO_BODY_CODES and len(_statuses) < MAX_STATUSES:
            _statuses[head[: begin - 2]] = code, phrase or b""
        fields = read(head[begin:end], _lines) if end > begin else {}
        self._head = b""
        exchange = self._exchange
        assert exchange is not None
        version = HTTP_1_1 if minor == b"1" else _HTTP_1_0
        self._response = Response(self, exchange, version, code, phrase or b"", fields)
        # The parser would wait for the body that the headers of an answer to HEAD speak of.
        self._complete = exchange.method == b"HEAD"
        self._read_since = 1

    def on_message_complete(self) -> None:
        self._complete = not self._informational
        self._informational = False

    # Ways out

    def _take_pieces(self) -> bytes:
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._read_since = 1
        return body

    def _reader_failed(self, response: Response) -> None:
        """It gets its own fault back for the reason of the end."""
        failure = Failure()
        self._end()
        self.abort()
        response.ended(failure)

    def _give_back(self, response: Response, clean: bool) -> None:
        """
        The answer is whole: the next exchange may have the connection, if it can be used again.

        :param clean: whether nothing came behind it.
        """
        at_rest = clean and not self.closing and (self._upload is None or self._upload.done)
        if at_rest and not response.closes and response.version is HTTP_1_1:
            if response.paused:
                # An idle connection must notice when it is closed.
                cast(Any, self.transport).resumeProducing()
            if response.request.method == b"HEAD":
                self._parser = HttpResponseParser(self)
            self._end(release=True)
        else:
            self._end()
            if at_rest:
                self.close()
            else:
                self.abort()

    def _refuse(self, error: ParseError) -> None:
        response, failure = self._response, Failure(error)
        exchange = self._end()
        self.abort()
        if response is not None:
            response.ended(Failure(ResponseFailed([failure], response)))
        elif exchange is not None:
            exchange.lost(ResponseFailed([failure]), unheard=False)

    def _not_written(self, failure: Failure) -> None:
        """The producer of the request's body failed."""
        response, error = self._response, RequestGenerationFailed([failure])
        exchange = self._end()
        self.abort()
        if response is not None:
            response.ended(Failure(ResponseFailed([Failure(error)], response)))
        elif exchange is not None:
            exchange.lost(error, unheard=False)

    def _end(self, *, release: bool = False) -> Exchange | None:
        """No exchange is under way any more: forget it, and tell the pool, once."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return None
        self._answers += 1
        self._head, self._response = b"", None
        self._informational = self._complete = False
        self._pieces.clear()
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.stop()
        if release:
            # Last of all, since it may begin the next exchange.
            self._home.release(self)
        else:
            self._home.discard()
        return exchange


def _is_end(data: bytes, body: bytes, response: Response) -> bool:
    """
    Whether an answer that was complete somewhere in ``data`` was so with its last byte.

    All else that follows an answer is reported by the parser, but line ends it skips. They are told from those that
    belong to the answer by what stands before them. In doubt, as when the line ends of a chunked answer come in a read
    of their own, they do not belong.

    :param body: what of the body was in ``data``.
    """
    if data[-1] not in _LINE_ENDS:
        return True
    if body and response.length is not UNKNOWN_LENGTH:
        return data == body or (data.endswith(body) and bool(body.strip(_LINE_ENDS)))
    return data in (b"\n", b"\r\n") or (data.endswith(b"\r\n\r\n") and len(data) > 4 and data[-5] not in _LINE_ENDS)
