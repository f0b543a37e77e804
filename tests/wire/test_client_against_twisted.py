"""Our client beside Twisted's own: the same bytes, cut in the same places, must come out as the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.web.client import Agent as TwistedAgent
from twisted.web.client import HTTPConnectionPool

from tests.wire.origin import URL, Client, Memory, Reader


@attrs.frozen
class Seen:
    """What a caller saw of one answer."""

    refused: bool
    """Whether there was no answer, or one whose body broke off."""
    head: tuple[Any, ...] | None = None
    body: bytes = b""
    ended: str | None = None


def ask(client: Client, method: bytes, pieces: list[bytes], ending: str) -> Seen:
    call = client.ask(method, URL, reader=(reader := Reader()))
    origin = client.reactor.accept()
    for piece in pieces:
        if origin.closed:
            break
        origin.send(piece)
        client.reactor.turn()
    if not origin.wire.lost:
        getattr(origin, ending)()
    client.reactor.turn()
    if call.failure is not None:
        return Seen(True)
    response = call.response
    head = (
        response.version,
        response.code,
        response.phrase,
        {name: list(values) for name, values in response.headers.getAllRawHeaders()},
        response.length,
    )
    if reader.ended == "ResponseFailed":
        return Seen(True)
    return Seen(False, head, reader.body, reader.ended)


def ours() -> Client:
    return Client()


def twisteds() -> Client:
    client = Client(Memory())
    client.agent = TwistedAgent(client.reactor, pool=HTTPConnectionPool(client.reactor))
    return client


def both(method: bytes, pieces: list[bytes], ending: str = "close") -> tuple[Seen, Seen]:
    return ask(ours(), method, pieces, ending), ask(twisteds(), method, pieces, ending)


STATUS = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 500 ",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 299 a b  c",
    b"HTTP/1.1 204 N",
    b"HTTP/1.1 304 N",
    b"HTTP/1.1 200",
]
FRAMING = [
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"content-length:7",
    b"Transfer-Encoding: chunked",
    b"TRANSFER-ENCODING:Chunked",
    None,
]
FIELDS = [
    b"X-A: 1",
    b"x-a:2",
    b"Set-Cookie: a=b; c",
    b"Content-Type: text/plain ",
    b"X-Empty:",
    b"X-Tab:\t1\t",
    b"X-High: \xe4\xf6",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"ETag: x",
    b"Trailer: X-T",
]
CONTENT = [
    b"",
    b"hello",
    b"hello12",
    b"he",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nX-T: 1\r\n\r\n",
    b"a\r\n0123456789\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n\r\n\r",
    b"\0\xff\n\r\n",
]
HINTS = [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]


@st.composite
def answers(draw: st.DrawFn, hints: Sequence[bytes] = HINTS) -> bytes:
    """Answers as servers write them, most of them whole."""
    framing = draw(st.sampled_from(FRAMING))
    lines = [draw(st.sampled_from(STATUS)), *draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))]
    if framing is not None:
        lines.insert(draw(st.integers(1, len(lines))), framing)
    return draw(st.sampled_from(hints)) + b"\r\n".join(lines) + b"\r\n\r\n" + draw(st.sampled_from(CONTENT))


def cut(data: st.DataObject, raw: bytes) -> list[bytes]:
    places = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=6))) if len(raw) > 1 else []
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


@given(answers(), st.sampled_from([b"GET", b"POST", b"HEAD"]), st.data())
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"GET", None)
def test_same_answer_however_it_is_cut(raw: bytes, method: bytes, data: st.DataObject | None) -> None:
    """Status, headers, body and the class of the end, or both refuse."""
    pieces = [raw] if data is None else cut(data, raw)
    mine, reference = both(method, pieces)
    assert mine == reference


@given(answers(), st.data())
def test_same_answer_when_it_is_cut_off(raw: bytes, data: st.DataObject) -> None:
    """Closed at any byte."""
    mine, reference = both(b"GET", cut(data, raw[: data.draw(st.integers(1, len(raw)))]))
    assert mine == reference


@attrs.frozen
class Difference:
    raw: bytes
    ours: str
    twisteds: str
    reason: str
    ending: str = "close"
    method: bytes = b"GET"


OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"
LAST = b"0\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
REFUSED, DONE, LOSS = "refused", "ResponseDone", "PotentialDataLoss"
LENGTH = "one length, once: who reads another one than we do desynchronises the connection"
LINES = "llhttp ends lines with CR LF only; a lone CR or LF is read differently by others on the way"
FOLD = "RFC 9112, 5.2: folding is obsolete and read differently by others"
VERSION = "nothing but HTTP/1.0 and HTTP/1.1 is spoken here"
CODE = "a status has three digits"
CONTROL = "control characters have no place in a head"
CODING = "the last coding must be chunked, once, and no other is understood"
BOTH = "RFC 9112, 6.3: a length beside a coding ought to be handled as an error; it is how answers are smuggled"
CUT = "only an orderly end may be one: a reset connection has lost something"

DIFFERENCES = {
    "equal lengths in two headers": Difference(OK + b"Content-Length: 5\r\n" + FIVE, REFUSED, DONE, LENGTH),
    "equal lengths in a list": Difference(OK + b"Content-Length: 5, 5\r\n\r\nhello", REFUSED, DONE, LENGTH),
    "bad length, but no body": Difference(b"HTTP/1.1 204 N\r\nContent-Length: x\r\n\r\n", REFUSED, DONE, LENGTH),
    "length and coding": Difference(OK + b"Content-Length: 9\r\n" + TE + b"\r\n" + LAST, REFUSED, DONE, BOTH),
    "coding twice": Difference(OK + TE + TE + b"\r\n" + LAST, REFUSED, DONE, CODING),
    "length in the trailers": Difference(OK + TE + b"\r\n0\r\nContent-Length: 1\r\n\r\n", REFUSED, DONE, BOTH),
    "lines end with LF": Difference(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", REFUSED, DONE, LINES),
    "one line ends with LF": Difference(OK + b"X: y\n" + FIVE, REFUSED, DONE, LINES),
    "CR inside a value": Difference(OK + b"X: a\rb\r\n" + FIVE, REFUSED, DONE, LINES),
    "folded header": Difference(OK + b"X: a\r\n b\r\n" + FIVE, REFUSED, DONE, FOLD),
    "null in a value": Difference(OK + b"X: a\0b\r\n" + FIVE, REFUSED, DONE, CONTROL),
    "null in the phrase": Difference(b"HTTP/1.1 200 O\0K\r\n" + FIVE, REFUSED, DONE, CONTROL),
    "HTTP/2.0": Difference(b"HTTP/2.0 200 OK\r\n" + FIVE, REFUSED, DONE, VERSION),
    "HTTP/0.9": Difference(b"HTTP/0.9 200 OK\r\n" + FIVE, REFUSED, DONE, VERSION),
    "another protocol": Difference(b"ICY/1.1 200 OK\r\n" + FIVE, REFUSED, DONE, VERSION),
    "lower case protocol": Difference(b"http/1.1 200 OK\r\n" + FIVE, REFUSED, DONE, VERSION),
    "status of two digits": Difference(b"HTTP/1.1 99 OK\r\n" + FIVE, REFUSED, DONE, CODE),
    "status of four digits": Difference(b"HTTP/1.1 2000 OK\r\n" + FIVE, REFUSED, DONE, CODE),
    "status with a sign": Difference(b"HTTP/1.1 +200 OK\r\n" + FIVE, REFUSED, DONE, CODE),
    "status 000": Difference(b"HTTP/1.1 000 OK\r\n" + FIVE, REFUSED, DONE, CODE),
    "switch of protocols": Difference(
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + FIVE, REFUSED, DONE, "nobody asked for it"
    ),
    "informational answer that closes": Difference(
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + OK + FIVE,
        REFUSED,
        DONE,
        "it says that nothing will follow",
    ),
    "empty line after an informational answer": Difference(
        b"HTTP/1.1 100 Continue\r\n\r\n\r\n" + OK + FIVE, DONE, REFUSED, "llhttp skips it, and nothing hangs on it"
    ),
    "length of an informational answer": Difference(
        b"HTTP/1.1 150 Hm\r\nContent-Length: 5\r\n\r\nhello" + OK + FIVE,
        REFUSED,
        DONE,
        "whether those five bytes are a body, readers differ; for Twisted the protocol is helloHTTP",
    ),
    "chunk extension beyond Twisted's limit": Difference(
        OK + TE + b"\r\n5;a=" + b"x" * 2000 + b"\r\nhello\r\n" + LAST,
        DONE,
        REFUSED,
        "ours may be as long as a head, 128 KiB; nothing of it is kept",
    ),
    "header beyond Twisted's limit": Difference(
        OK + b"X: " + b"x" * 20_000 + b"\r\n" + FIVE, DONE, REFUSED, "ours counts the whole head, 128 KiB"
    ),
    "reset instead of an end": Difference(OK + b"\r\nhello", REFUSED, LOSS, CUT, "reset"),
}


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences_are_these_and_meant(difference: Difference) -> None:
    """Where the two part, it is for the reason given."""
    mine, reference = both(difference.method, [difference.raw], difference.ending)
    assert ("refused" if mine.refused else mine.ended) == difference.ours
    assert ("refused" if reference.refused else reference.ended) == difference.twisteds
    assert difference.reason


@given(st.data())
def test_bent_answers_are_never_taken_for_more_than_twisted_takes(data: st.DataObject) -> None:
    """With bytes put in or left out anywhere: refused, or read just as Twisted reads it."""
    raw = bytearray(data.draw(answers(hints=[b""])))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\r\n", b"\t", b" ", b":", b";", b",", b"0", b"9", b"f", b"\0", b"x", b"\x7f"]
            )
        )
    mine, reference = both(data.draw(st.sampled_from([b"GET", b"HEAD"])), cut(data, bytes(raw)))
    assert mine.refused or mine == reference
