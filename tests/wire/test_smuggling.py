"""
Requests that are two requests to somebody else, and answers that would be two answers.

Every shape below is made so that a careless parser finds ``/smuggled`` in it as a request of its own. Ours refuses it
with a 4xx and closes, or takes it for exactly one request; never for two.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.serving import Doing, Echo, Server, get

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
N = b"%d" % len(HIDDEN)

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
CL = b"Content-Length: " + N + b"\r\n"
END = b"0\r\n\r\n"

REFUSED, ONE = "refused", "one request"


def head(*lines: bytes) -> bytes:
    """A POST's head from header lines, each with the line end that it is meant to have."""
    return HEAD + b"".join(lines) + b"\r\n"


def framed(value: bytes, name: bytes = b"Transfer-Encoding", also: bytes = b"") -> bytes:
    return head(also, name + b":" + value + b"\r\n") + END + HIDDEN


def chunks(raw: bytes) -> bytes:
    return head(TE) + raw + HIDDEN


SHAPES: dict[str, tuple[bytes, str]] = {
    # Both lengths
    "length before chunked": (head(CL, TE) + END + HIDDEN, REFUSED),
    "chunked before length": (head(TE, CL) + END + HIDDEN, REFUSED),
    "length 0 and chunked": (head(b"Content-Length: 0\r\n", TE) + END + HIDDEN, REFUSED),
    "both in other cases": (head(b"content-LENGTH: 3\r\n", b"tRANSFER-ENCODING: chunked\r\n") + END + HIDDEN, REFUSED),
    "length and unknown encoding": (head(CL, b"Transfer-Encoding: x\r\n") + HIDDEN, REFUSED),
    "length in the trailer": (head(TE) + b"0\r\n" + CL + b"\r\n" + HIDDEN, REFUSED),
    "encoding in the trailer": (head(TE) + b"0\r\n" + TE + b"\r\n" + HIDDEN, REFUSED),
    # Content-Length
    "two lengths": (head(b"Content-Length: 0\r\n", CL) + HIDDEN, REFUSED),
    "two lengths, the other way": (head(CL, b"Content-Length: 0\r\n") + HIDDEN, REFUSED),
    "the same length twice": (head(CL, CL) + HIDDEN, REFUSED),
    "a list of lengths": (head(b"Content-Length: 0, " + N + b"\r\n") + HIDDEN, REFUSED),
    "a list of the same length": (head(b"Content-Length: " + N + b", " + N + b"\r\n") + HIDDEN, REFUSED),
    "length with a plus": (head(b"Content-Length: +0\r\n") + HIDDEN, REFUSED),
    "length with a minus": (head(b"Content-Length: -0\r\n") + HIDDEN, REFUSED),
    "negative length": (head(b"Content-Length: -1\r\n") + HIDDEN, REFUSED),
    "hexadecimal length": (head(b"Content-Length: 0x0\r\n") + HIDDEN, REFUSED),
    "length with an underscore": (head(b"Content-Length: 0_0\r\n") + HIDDEN, REFUSED),
    "length with a space inside": (head(b"Content-Length: 0 0\r\n") + HIDDEN, REFUSED),
    "length with a fraction": (head(b"Content-Length: 0.0\r\n") + HIDDEN, REFUSED),
    "length with an exponent": (head(b"Content-Length: 0e1\r\n") + HIDDEN, REFUSED),
    "length in quotes": (head(b'Content-Length: "0"\r\n') + HIDDEN, REFUSED),
    "empty length": (head(b"Content-Length:\r\n") + HIDDEN, REFUSED),
    "blank length": (head(b"Content-Length:  \t\r\n") + HIDDEN, REFUSED),
    "length beyond 64 bits": (head(b"Content-Length: 18446744073709551616\r\n") + HIDDEN, REFUSED),
    "length of 64 bits": (head(b"Content-Length: 18446744073709551615\r\n") + HIDDEN, REFUSED),
    "length in Arabic digits": (head("Content-Length: \u0660\r\n".encode()) + HIDDEN, REFUSED),
    "length with a NUL": (head(b"Content-Length: 0\x00\r\n") + HIDDEN, REFUSED),
    "length with a vertical tab": (head(b"Content-Length: \x0b0\r\n") + HIDDEN, REFUSED),
    "space before the length's colon": (head(b"Content-Length : " + N + b"\r\n") + HIDDEN, REFUSED),
    "tab before the length's colon": (head(b"Content-Length\t: " + N + b"\r\n") + HIDDEN, REFUSED),
    "length in a folded line": (head(b"X: y\r\n Content-Length: " + N + b"\r\n") + HIDDEN, REFUSED),
    "length folded": (head(b"Content-Length:\r\n " + N + b"\r\n") + HIDDEN, REFUSED),
    "length of a GET": (b"GET / HTTP/1.1\r\nHost: h\r\n" + CL + b"\r\n" + HIDDEN, ONE),
    "length with zeros in front": (head(b"Content-Length: 000" + N + b"\r\n") + HIDDEN, ONE),
    "length with spaces around": (head(b"Content-Length: \t " + N + b" \t \r\n") + HIDDEN, ONE),
    # Transfer-Encoding
    "xchunked": (framed(b" xchunked"), REFUSED),
    "chunkedx": (framed(b" chunkedx"), REFUSED),
    "identity": (framed(b" identity"), REFUSED),
    "chunked, identity": (framed(b" chunked, identity"), REFUSED),
    "identity, chunked": (framed(b" identity, chunked"), REFUSED),
    "gzip, chunked": (framed(b" gzip, chunked"), REFUSED),
    "chunked, chunked": (framed(b" chunked, chunked"), REFUSED),
    "chunked with an empty element": (framed(b" chunked,"), REFUSED),
    "chunked with a parameter": (framed(b" chunked;a=b"), REFUSED),
    "chunked in quotes": (framed(b' "chunked"'), REFUSED),
    "chunked with a NUL": (framed(b" chunked\x00"), REFUSED),
    "chunked after a vertical tab": (framed(b"\x0bchunked"), REFUSED),
    "chunked after a no-break space": (framed(b"\xa0chunked"), REFUSED),
    "chunked before a form feed": (framed(b" chunked\x0c"), REFUSED),
    "empty encoding": (framed(b""), REFUSED),
    "two encodings": (framed(b" chunked", also=b"Transfer-Encoding: identity\r\n"), REFUSED),
    "the same encoding twice": (framed(b" chunked", also=TE), REFUSED),
    "space before the encoding's colon": (framed(b" chunked", b"Transfer-Encoding "), REFUSED),
    "tab before the encoding's colon": (framed(b" chunked", b"Transfer-Encoding\t"), REFUSED),
    "NUL in the encoding's name": (framed(b" chunked", b"Transfer-Encoding\x00"), REFUSED),
    "space before the encoding's name": (framed(b" chunked", b" Transfer-Encoding"), REFUSED),
    "encoding behind a bare CR": (framed(b" chunked", b"X: y\rTransfer-Encoding"), REFUSED),
    "encoding behind a bare LF": (framed(b" chunked", b"X: y\nTransfer-Encoding"), REFUSED),
    "encoding behind a CR and a CRLF": (framed(b" chunked", b"X: y\r\r\nTransfer-Encoding"), REFUSED),
    "encoding folded": (framed(b"\r\n chunked"), REFUSED),
    "encoding folded with a tab": (framed(b"\r\n\tchunked"), REFUSED),
    "chunked in HTTP/1.0": ((head(TE) + END + HIDDEN).replace(b"HTTP/1.1", b"HTTP/1.0", 1), REFUSED),
    "non-token in the encoding's name": (framed(b" chunked", b"Transfer-Encoding\xff"), REFUSED),
    # Chunks
    "chunk ends in bare LFs": (chunks(b"1\nx\n0\n\n"), REFUSED),
    "chunk's data ends in a bare LF": (chunks(b"1\r\nx\n0\r\n\r\n"), REFUSED),
    "chunk's data ends in a bare CR": (chunks(b"1\r\nx\r0\r\n\r\n"), REFUSED),
    "chunk's data has no end": (chunks(b"1\r\nx0\r\n\r\n"), REFUSED),
    "chunk is longer than it says": (chunks(b"1\r\nxyz\r\n0\r\n\r\n"), REFUSED),
    "chunk size with 0x": (chunks(b"0x0\r\n\r\n"), REFUSED),
    "chunk size with a plus": (chunks(b"+0\r\n\r\n"), REFUSED),
    "chunk size with a minus": (chunks(b"-0\r\n\r\n"), REFUSED),
    "chunk size with an underscore": (chunks(b"0_0\r\n\r\n"), REFUSED),
    "space after the chunk size": (chunks(b"0 \r\n\r\n"), REFUSED),
    "space before the chunk size": (chunks(b" 0\r\n\r\n"), REFUSED),
    "empty chunk size": (chunks(b"\r\n\r\n"), REFUSED),
    "chunk size beyond 64 bits": (chunks(b"10000000000000000\r\n"), REFUSED),
    "chunk size that wraps around": (chunks(b"100000000000000000\r\n\r\n"), REFUSED),
    "extension ends in a bare LF": (chunks(b"0;a\n\r\n\r\n"), REFUSED),
    "extension with a bare CR": (chunks(b"0;a\rb\r\n\r\n"), REFUSED),
    "extension with a NUL": (chunks(b"0;\x00\r\n\r\n"), REFUSED),
    "extension with nothing in it": (chunks(b"0;\r\n\r\n"), REFUSED),
    "extension with a quoted line end": (chunks(b'1;a="\r\nx\r\n0\r\n\r\n"\r\n'), REFUSED),
    "absurd extension": (chunks(b"0;" + b"x" * 20_000 + b"\r\n\r\n"), REFUSED),
    "absurd zeros": (chunks(b"0" * 20_000 + b"\r\n\r\n"), REFUSED),
    "trailer with a bare LF": (chunks(b"0\r\nA: b\nC: d\r\n\r\n"), REFUSED),
    "trailer with a space before its colon": (chunks(b"0\r\nA : b\r\n\r\n"), REFUSED),
    "trailer folded": (chunks(b"0\r\nA: b\r\n c\r\n\r\n"), REFUSED),
    "trailers end in bare LFs": (chunks(b"0\r\nA: b\n\n"), REFUSED),
    "chunk holds a request": (head(TE) + b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END, ONE),
    "chunk size in capitals with zeros": (head(TE) + b"00%X\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END, ONE),
    "extension in order": (head(TE) + b"%x;a=b\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END, ONE),
    "chunk with the end of chunks inside": (head(TE) + b"%x\r\n0\r\n\r\n%b\r\n" % (len(HIDDEN) + 5, HIDDEN) + END, ONE),
    # Heads
    "head ends in bare LFs": (b"GET / HTTP/1.1\nHost: h\n\n" + HIDDEN, REFUSED),
    "head ends in LF CRLF": (b"GET / HTTP/1.1\r\nHost: h\n\r\n" + HIDDEN, REFUSED),
    "head ends in CRLF LF": (b"GET / HTTP/1.1\r\nHost: h\r\n\n" + HIDDEN, REFUSED),
    "head ends in CR CR": (b"GET / HTTP/1.1\rHost: h\r\r" + HIDDEN, REFUSED),
    "request line ends in a bare LF": (b"GET / HTTP/1.1\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "header value holds a CR": (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n" + HIDDEN, REFUSED),
    "header value holds a NUL": (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n\r\n" + HIDDEN, REFUSED),
    "header without a colon": (b"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n" + HIDDEN, REFUSED),
    "header without a name": (b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n" + HIDDEN, REFUSED),
    "space before the first header": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n" + HIDDEN, REFUSED),
    "HTTP/0.9": (b"GET /\r\n\r\n" + HIDDEN, REFUSED),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN, REFUSED),
    "two spaces before the target": (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "space in the target": (b"GET /a HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "line end in the target": (b"GET /a\r\nX: y HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "fragment in the target": (b"GET /#a HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "method in small letters": (b"get / HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "method that nobody knows": (b"SMUGGLE / HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "RTSP": (b"OPTIONS / RTSP/1.0\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "two empty lines in front": (b"\r\n\r\n" + HIDDEN, REFUSED),
    "bare LF in front": (b"\n" + HIDDEN, REFUSED),
    "bare CR in front": (b"\r" + HIDDEN, REFUSED),
    # Hosts
    "no host": (b"GET / HTTP/1.1\r\n\r\n" + HIDDEN, REFUSED),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n" + HIDDEN, REFUSED),
    "the same host twice": (b"GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n" + HIDDEN, REFUSED),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: h/a\r\n\r\n" + HIDDEN, REFUSED),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: h i\r\n\r\n" + HIDDEN, REFUSED),
    "host with a user": (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n" + HIDDEN, REFUSED),
    "user in the target": (b"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "other scheme": (b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    # Ways out of HTTP
    "CONNECT": (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n" + HIDDEN, REFUSED),
    "CONNECT with a length": (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n" + CL + b"\r\n" + HIDDEN, REFUSED),
    "upgrade with a length": (head(b"Connection: upgrade\r\nUpgrade: h2c\r\n", CL) + HIDDEN, ONE),
    "upgrade with chunks": (
        head(b"Connection: upgrade\r\nUpgrade: websocket\r\n", TE) + b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END,
        ONE,
    ),
    "upgrade with both lengths": (head(b"Connection: upgrade\r\nUpgrade: h2c\r\n", CL, TE) + END + HIDDEN, REFUSED),
    "upgrade with a bad chunk": (head(b"Connection: upgrade\r\nUpgrade: x\r\n", TE) + b"0x0\r\n\r\n" + HIDDEN, REFUSED),
    "request after the last one": (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + HIDDEN, ONE),
    "request after one of HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n" + HIDDEN, ONE),
    "length hidden by Connection": (head(b"Connection: close, Content-Length\r\n", CL) + HIDDEN, ONE),
}  # fmt: skip


def test_table_is_long_enough() -> None:
    """At least sixty shapes are known."""
    assert len(SHAPES) >= 60


@pytest.mark.parametrize("cut", ["whole", "bytes", "at the hidden request"])
@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_smuggled(name: str, cut: str) -> None:
    """Refused and closed, or one request; however the bytes come."""
    raw, expected = SHAPES[name]
    server = Server(Echo())
    client = server.visitor()
    if cut == "whole":
        client.send(raw)
    elif cut == "bytes":
        client.dribble(raw)
    else:
        at = raw.index(HIDDEN)
        client.send(raw[:at], raw[at:])
    seen = [request.uri for request in server.resource.seen]
    if expected == ONE:
        assert seen == [b"/"]
        assert client.statuses == [200]
    else:
        assert seen == []
        (status,) = client.statuses
        assert 400 <= status < 500
        assert client.closed
    server.close()


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("where", ["header", "phrase", "redirect", "cookie", "content type", "etag"])
def test_no_answer_is_split(where: str, line_end: bytes) -> None:
    """A resource that copies what a client sent into its answer's head cannot begin another answer with it."""
    evil = (
        b"x"
        + line_end
        + b"Content-Length: 0"
        + line_end * 2
        + b"HTTP/1.1 200 OK"
        + line_end
        + b"X-Evil: 1"
        + line_end * 2
    )

    def answer(request: Any) -> bytes:
        if where == "phrase":
            request.setResponseCode(200, evil)
        elif where == "redirect":
            request.redirect(evil)
        elif where == "cookie":
            request.addCookie(b"a", evil)
        elif where == "etag":
            request.setETag(evil)
        else:
            request.setHeader({"header": "x-a", "content type": "content-type"}[where], evil)
        return b"body"

    server = Server(Doing(answer))
    client = server.send(get(), get(b"/next"))
    answers = client.answers()
    assert len(answers) == 2
    for _, headers, body in answers:
        assert (headers[b"content-length"], body) == (b"4", b"body")
        assert b"x-evil" not in headers
    assert client.received.count(b"\n") == client.received.count(b"\r\n")
    server.close()
