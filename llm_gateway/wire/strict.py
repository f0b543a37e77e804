"""What counts as a request: llhttp, none of its leniencies, and rules of our own for what it lets through."""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from llm_gateway.wire.fields import Fields, Lines, read
from llm_gateway.wire.stock import MAX_NAME_BYTES

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

_lines = Lines()

_NONE: Fields = {}

BAD_REQUEST = "The request is not valid HTTP/1.1."


class BadRequest(Exception):
    """These bytes are not a request that can be understood in exactly one way; the connection has to be closed."""

    def __init__(self, status: int, message: str = BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestParser:
    """
    Reads the requests of one connection, and never beyond the one that it is in.

    httptools can neither pause nor tell where a message ended. So it is never given more than one message: a head
    is cut off the stream at its empty line before it is parsed, a body of known length is counted, and a chunked body
    is fed in pieces that end wherever a message could end, which is always just after CR LF CR LF.
    """

    __slots__ = (
        "_chunks",
        "_framing_bytes",
        "_left",
        "_llhttp",
        "_max_head_bytes",
        "_max_headers",
        "_pieces",
        "_tail",
        "fields",
        "keep_alive",
        "length",
        "method",
        "on_body",
        "target",
        "version",
        "whole",
    )

    # Of the request whose head was read last:
    method: bytes
    target: bytes
    """In origin form or ``*``: an absolute one is taken apart, and its authority has become ``Host``."""
    version: bytes
    fields: Fields
    length: int | None
    """Of the body; ``None`` when it is chunked."""
    keep_alive: bool
    whole: bool
    """Whether the end of the body was reached."""

    def __init__(self, max_headers: int, max_head_bytes: int) -> None:
        self._max_headers = max_headers
        self._max_head_bytes = max_head_bytes
        self.whole = False
        self._left = 0
        self._chunks = 0
        self._framing_bytes = 0
        self._tail = b""
        self._pieces: list[bytes] = []
        # Called without a Python frame in between.
        self.on_body = self._pieces.append
        self._llhttp = HttpRequestParser(self)

    def head(self, raw: bytes) -> None:
        """
        Parse a head.

        :param raw: all of it, up to and with the empty line and nothing after.
        :raises BadRequest: it is not one.
        """
        line = _REQUEST_LINE.match(raw)
        if line is None or len(raw) > self._max_head_bytes:
            raise self.complaint(raw)
        self.method, target, minor = line.groups()
        if len(target) > MAX_TARGET_BYTES:
            raise self.complaint(raw)
        self.whole = False
        upgrade = False
        try:
            self._llhttp.feed_data(raw)
        except HttpParserUpgrade:
            upgrade = True
        except HttpParserError as error:
            raise BadRequest(400) from error
        fields = self.fields = self._read_fields(raw[line.end() : -4])
        self.version = b"HTTP/1.1" if minor == b"1" else b"HTTP/1.0"
        length = self.length = _length(fields, minor)
        self.keep_alive = minor == b"1" and (
            (b"Connection" not in fields and b"Proxy-Connection" not in fields) or _keeps_alive(fields)
        )
        hosts = fields.get(b"Host")
        if hosts is None or len(hosts) > 1 or hosts[0] not in _hosts:
            _check_host(hosts, minor)
        if target[0] != 0x2F or 0x23 in target:  # "/" and "#"; looking for bytes in bytes takes four times as long
            target = _origin_form(target, fields)
        self.target = target
        if upgrade:
            if self.method == b"CONNECT":
                raise BadRequest(400, "This is no proxy.")
            if length != 0:
                self._read_body_after_all(length)
        elif self.whole is not (length == 0):
            raise BadRequest(400)
        self._left = length or 0
        if length is None:
            self._chunks = self._framing_bytes = 0
            self._tail = b""

    def forget(self) -> None:
        """Let go of the last request's headers; the next may be far."""
        self.fields = _NONE

    def close(self) -> None:
        """No more will come. The parser and what it calls back hold each other, and would wait for the collector."""
        self.fields = _NONE
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
            self._feed(piece)
            self._left -= len(piece)
            if self.whole is not (self._left == 0):
                raise BadRequest(400)
            taken = len(piece)
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
        self._feed(body)
        self._pieces.clear()
        self._left = 0
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
