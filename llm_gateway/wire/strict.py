"""What counts as a request: llhttp, none of its leniencies, and rules of our own for what it lets through."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from llm_gateway.wire.bounds import MAX_NAME_BYTES
from llm_gateway.wire.fields import Fields, Lines, read

MAX_TARGET_BYTES = 16_384
"""Of a request target. The longest in use are queries with cursors and lists of ids, about a tenth of this."""

MAX_FRAMING_BYTES = 8_192
FRAMING_BYTES_PER_CHUNK = 32
"""What a chunked body may need beside its data: so much for each chunk (a size of 16 digits, its CRLF and the data's),
and so much once, for trailers and chunk extensions. Nobody sends more of these; llhttp would read them without end."""

_REQUEST_LINE = re.compile(rb"(?:\r\n)?([A-Z-]+) ([!-~]+) HTTP/1\.([01])\r\n")
"""llhttp takes any number of empty lines, bare CR and LF among them, before this line and any number of spaces in it,
and the versions 0.9 and 2.0. One empty line is RFC 9112, 2.2: old clients send one after a body."""

_MAX_LENGTH_DIGITS = 18
_HOST = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=%]*(?::[0-9]*)?|\[[A-Fa-f0-9:.]+\](?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_BARE_LINE_END = re.compile(rb"\r[^\n]|(?<!\r)\n")

KNOWN_BYTES = 4_096
"""Of a head that is remembered. Coding agents' have about 2,000."""

FIRST_KNOWN, LAST_KNOWN = 2, 4
"""Which of the heads on a connection are remembered: not that of a client that sends one request, nor any more where
each was another so far, as with an id in it."""

_LENGTH_LINE = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]+)(?=\r\n)", re.IGNORECASE)

_lines = Lines()

BAD_REQUEST = "The request is not valid HTTP/1.1."


class BadRequest(Exception):
    """These bytes are not a request that can be understood in exactly one way; the connection has to be closed."""

    def __init__(self, status: int, message: str = BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head(NamedTuple):
    """What the head of a request says, but for its fields and the length of its body."""

    method: bytes
    target: bytes
    """In origin form or ``*``: an absolute one is taken apart, and its authority has become ``Host``."""
    version: bytes
    keep_alive: bool
    expects: bool
    """Whether the client waits to be told to send the body."""
    notes: dict[str, Any] | None = None
    """Of a head that comes again and again over its connection: what whoever answers it has worked out of it."""


class _Known(NamedTuple):
    """A head that was found good, but for the digits of its length."""

    before: bytes
    after: bytes
    head: Head
    fields: Fields


class RequestParser:
    """
    Reads the requests of one connection, and never beyond the one that it is in.

    Programs send the same head with every request of a connection, but for the digits of ``Content-Length``. Such a
    head is remembered, and not parsed again: what it says depends on nothing but its bytes, of which all were the same
    but for a number. Nor is the body behind it, which is only counted.

    httptools can neither pause nor tell where a message ended. So it is never given more than one message: a head
    is cut off the stream at its empty line before it is parsed, a body of known length is counted, and a chunked body
    is fed in pieces that end wherever a message could end, which is always just after CR LF CR LF.
    """

    __slots__ = (
        "_chunks",
        "_counted",
        "_framing_bytes",
        "_heads",
        "_known",
        "_left",
        "_llhttp",
        "_max_head_bytes",
        "_max_headers",
        "_pieces",
        "_tail",
        "on_body",
        "whole",
    )

    whole: bool
    """Whether the end of the last request's body was reached."""

    def __init__(self, max_headers: int, max_head_bytes: int) -> None:
        self._max_headers = max_headers
        self._max_head_bytes = max_head_bytes
        self.whole = False
        self._known: _Known | None = None
        self._heads = 0
        """How many were parsed, since there was last some time between two."""
        self._counted = False
        """Whether llhttp knows nothing of this request."""
        self._left = 0
        self._chunks = 0
        self._framing_bytes = 0
        self._tail = b""
        self._pieces: list[bytes] = []
        # Called without a Python frame in between.
        self.on_body = self._pieces.append
        self._llhttp = HttpRequestParser(self)

    def head(self, raw: bytes) -> tuple[Head, Fields, int | None]:
        """
        Parse a head.

        :param raw: all of it, up to and with the empty line and nothing after.
        :return: also its fields, which are the caller's own, and the length of the body, ``None`` when it is chunked.
        :raises BadRequest: it is not one.
        """
        line = _REQUEST_LINE.match(raw)
        if line is None or len(raw) > self._max_head_bytes:
            raise self.complaint(raw)
        method, target, minor = line.groups()
        if len(target) > MAX_TARGET_BYTES:
            raise self.complaint(raw)
        self.whole = self._counted = False
        upgrade = False
        try:
            self._llhttp.feed_data(raw)
        except HttpParserUpgrade:
            upgrade = True
        except HttpParserError as error:
            raise BadRequest(400) from error
        fields = self._read_fields(raw[line.end() : -4])
        length = _length(fields, minor)
        recent = minor == b"1"
        keep_alive = recent and (
            (b"Connection" not in fields and b"Proxy-Connection" not in fields) or _keeps_alive(fields)
        )
        hosts = fields.get(b"Host")
        if hosts is None or len(hosts) > 1 or hosts[0] not in _hosts:
            _check_host(hosts, minor)
        if target[0] != 0x2F or 0x23 in target:  # "/" and "#"; looking for bytes in bytes takes four times as long
            target = _origin_form(target, fields)
        expect = fields.get(b"Expect")
        expects = expect is not None and recent and expect[0].lower() == b"100-continue"
        head = Head(method, target, b"HTTP/1.1" if recent else b"HTTP/1.0", keep_alive, expects)
        self._left = length or 0
        if upgrade:
            if method == b"CONNECT":
                raise BadRequest(400, "This is no proxy.")
            if length != 0:
                self._read_body_after_all(length)
        elif self.whole is not (length == 0):
            raise BadRequest(400)
        elif self._left and self._heads < LAST_KNOWN:
            self._remember(raw, head, fields)
        if length is None:
            self._chunks = self._framing_bytes = 0
            self._tail = b""
        return head, fields, length

    def recall(self, data: bytes) -> tuple[Head, Fields, int, int] | None:
        """
        As ``head``, for one that was remembered.

        :param data: what has come behind the last request.
        :return: also where the head ends; ``None`` if it does not begin with such a head.
        """
        if self._known is None:
            return None
        before, after, head, fields = self._known
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _MAX_LENGTH_DIGITS + 1)
        digits = data[start:end]
        if not digits.isdigit() or not data.startswith(after, end):
            return None
        fields = fields.copy()
        fields[b"Content-Length"] = [digits]
        length = self._left = int(digits)
        self._counted = True
        self.whole = not length
        return head, fields, length, end + len(after)

    def recall_whole(self, data: bytes, most: int) -> tuple[Head, Fields, bytes] | None:
        """
        As ``recall``, for a request that has come with all of its body and nothing behind it.

        :param most: bytes of the body.
        :return: also the body, which is read.
        """
        known = self._known
        if known is None or not data.startswith(known.before):
            return None
        before, after, head, fields = known
        start = len(before)
        end = data.find(b"\r", start, start + _MAX_LENGTH_DIGITS + 1)
        if not data.startswith(after, end):
            return None
        digits = data[start:end]
        body = data[end + len(after) :]
        length = len(body)
        # As it is usually written; in other ways it is read elsewhere.
        if digits != b"%d" % length or length > most:
            return None
        fields = fields.copy()
        fields[b"Content-Length"] = [digits]
        self._left = 0
        self._counted = self.whole = True
        return head, fields, body

    def _remember(self, raw: bytes, head: Head, fields: Fields) -> None:
        self._heads += 1
        line = _LENGTH_LINE.search(raw)
        if self._heads >= FIRST_KNOWN and line is not None and len(raw) <= KNOWN_BYTES:
            self._known = _Known(raw[: line.start(1)], raw[line.end(1) :], head._replace(notes={}), fields.copy())

    def forget(self) -> None:
        """The next request may be far: let go of what was remembered for it."""
        self._known = None
        self._heads = 0

    def close(self) -> None:
        """No more will come. The parser and what it calls back hold each other, and would wait for the collector."""
        self._known = None
        del self._llhttp, self.on_body

    def _read_fields(self, raw: bytes) -> Fields:
        if not raw:
            return {}
        if raw.count(b"\r\n") >= self._max_headers:
            raise BadRequest(431, f"The request has more than {self._max_headers} headers.")
        fields = read(raw, _lines)
        if max(map(len, fields)) > MAX_NAME_BYTES:
            # Twisted's Headers remember names for good, however long they are; some end up in there.
            raise BadRequest(431, f"The request has a header whose name is longer than {MAX_NAME_BYTES} bytes.")
        return fields

    def complaint(self, raw: bytes | bytearray) -> BadRequest:
        """
        :param raw: a head, or the beginning of one, that is too long or has no request line.
        :return: why it is refused.
        """
        line = bytes(raw).partition(b"\r\n")[0]
        words = line.split(b" ")
        if len(words) > 1 and len(words[1]) > MAX_TARGET_BYTES:
            return BadRequest(414, f"The request target is longer than {MAX_TARGET_BYTES} bytes.")
        if len(raw) > self._max_head_bytes:
            return BadRequest(
                431, f"The request has more than {self._max_headers} headers or {self._max_head_bytes} bytes of them."
            )
        return BadRequest(400)

    def check_beginning(self, raw: bytes | bytearray, seen: int) -> None:
        """
        Look at a head whose end has not come: most of what cannot become a request is told so without waiting.

        :param seen: how many bytes of it were looked at before.
        :raises BadRequest: whatever follows, it will not be one.
        """
        if len(raw) > self._max_head_bytes:
            raise self.complaint(raw)
        begins = raw[2:3] if raw[:2] == b"\r\n" else raw[:1]
        if begins and not b"A" <= begins <= b"Z" and raw != b"\r":
            raise BadRequest(400)
        if _BARE_LINE_END.search(raw, max(seen - 1, 0)):
            raise BadRequest(400)
        line_end = raw.find(b"\r\n", max(seen - 1, 2))
        if line_end < 0:
            if seen <= MAX_TARGET_BYTES + 64 < len(raw) and b"\r\n" not in raw[2:]:
                raise self.complaint(raw)
        elif raw.find(b"\r\n", 2) == line_end and _REQUEST_LINE.match(raw) is None:
            raise self.complaint(raw)

    def body(self, data: bytes) -> tuple[bytes, int]:
        """
        Read on in the body; ``whole`` tells afterwards whether that was all of it.

        :return: what of the body was in the data, and how many bytes of the data belong to this request.
        :raises BadRequest: the chunks are not as they should be.
        """
        if self._left:
            piece = data if len(data) <= self._left else data[: self._left]
            taken = len(piece)
            self._left -= taken
            if self._counted:
                self.whole = not self._left
                return piece, taken
            self._feed(piece)
            if self.whole is not (self._left == 0):
                raise BadRequest(400)
        else:
            taken = self._feed_chunks(data)
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body, taken

    def whole_body(self, body: bytes) -> None:
        """
        Read on to the end in one step.

        :param body: all of a body of known length, which is not looked at.
        """
        self._left = 0
        if self._counted:
            self.whole = True
            return
        self._feed(body)
        self._pieces.clear()
        if not self.whole:
            raise BadRequest(400)

    def _feed(self, piece: bytes | memoryview) -> None:
        try:
            self._llhttp.feed_data(piece)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._pieces.clear()
            raise BadRequest(400) from error

    def _feed_chunks(self, data: bytes) -> int:
        before = self._framing_bytes
        at = 0
        # The four bytes may have begun in the data before.
        start = (self._tail + data[:3]).find(b"\r\n\r\n")
        cut = start + 4 - len(self._tail) if start >= 0 else 0
        with memoryview(data) as view:
            while at < len(data) and not self.whole:
                if cut <= at:
                    # Two that overlap cannot both end a message, nor the second of them: no line before it would.
                    start = data.find(b"\r\n\r\n", at)
                    cut = start + 4 if start >= 0 else len(data)
                self._feed(view[at:cut])
                at = cut
        self._tail = (self._tail + data[:at])[-3:]
        self._framing_bytes = before + at - sum(map(len, self._pieces))
        if self._framing_bytes > MAX_FRAMING_BYTES + FRAMING_BYTES_PER_CHUNK * self._chunks:
            self._pieces.clear()
            raise BadRequest(400, "The chunks of the request's body have too much around them.")
        return at

    def _read_body_after_all(self, length: int | None) -> None:
        """
        Have llhttp expect the body of a request that asks for an upgrade.

        httptools takes such a request to have none, whatever its headers say, and what follows for the next request.
        Some clients (Java's) send a body and leave it to the server whether to upgrade. The parser is between messages
        now: it gets another head, with nothing in it but how long the body is.
        """
        framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
        self.whole = False
        self._feed(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)

    # What httptools calls

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_message_complete(self) -> None:
        self.whole = True


_MAX_HOSTS = 200
_SHORT_BYTES = 64
_hosts: set[bytes] = set()
"""Values of ``Host`` that were found to be good."""


def _check_host(hosts: list[bytes] | None, minor: bytes) -> None:
    # RFC 9112, 3.2: none (in 1.1), several or a bad one are to be refused.
    if hosts is None:
        if minor == b"1":
            raise BadRequest(400, "The request has no Host header.")
    elif len(hosts) > 1 or _HOST.fullmatch(hosts[0]) is None:
        raise BadRequest(400, "The request's Host header is not one host.")
    elif len(hosts[0]) <= _SHORT_BYTES and len(_hosts) < _MAX_HOSTS:
        _hosts.add(hosts[0])


def _keeps_alive(fields: Fields) -> bool:
    """As llhttp has it, which refuses to read on after ``close``, also in ``Proxy-Connection``."""
    values = fields.get(b"Connection", []) + fields.get(b"Proxy-Connection", [])
    return all(token.strip(b" \t").lower() != b"close" for value in values for token in value.split(b","))


def _length(fields: Fields, minor: bytes) -> int | None:
    lengths = fields.get(b"Content-Length")
    encodings = fields.get(b"Transfer-Encoding")
    if encodings is not None:
        # llhttp takes "gzip, chunked" and "identity" before "chunked", and any of it in HTTP/1.0.
        if lengths is not None or minor == b"0" or len(encodings) > 1 or encodings[0].lower() != b"chunked":
            raise BadRequest(400, "The only transfer encoding that is taken is chunked, in HTTP/1.1, without a length.")
        return None
    if lengths is None:
        return 0
    length = lengths[0]
    if len(lengths) > 1 or not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS:
        raise BadRequest(400)
    return int(length)


def _origin_form(target: bytes, fields: Fields) -> bytes:
    if target == b"*":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None:
        raise BadRequest(400, "The request target is neither a path nor an http URL.")
    # RFC 9112, 3.2.2: it counts in place of what the Host header says.
    fields[b"Host"] = [absolute[1]]
    path = absolute[2] or b"/"
    return path if path[:1] == b"/" else b"/" + path
