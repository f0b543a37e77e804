"""Providers that go wrong on a pooled connection: no call hangs, and no answer reaches a call that it is not for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.origin import Accepted, Client

OK = b"HTTP/1.1 200 OK\r\n"
HEADERS = b"X-A: 1\r\nContent-Type: text/plain\r\n"
MINE = b"mine."
ANSWERS = {
    "by length": OK + HEADERS + b"Content-Length: 5\r\n\r\nmine.",
    "ends in line ends": OK + HEADERS + b"Content-Length: 5\r\n\r\nm\r\n\r\n",
    "chunked": OK + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n2\r\nmi\r\n3;a=b\r\nne.\r\n0\r\nX-T: 1\r\n\r\n",
    "chunked, no trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nmine.\r\n0\r\n\r\n",
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "after a hint": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nmine.",
    "closing": OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nmine.",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nmine.",
}
EVIL = OK + b"Content-Length: 5\r\n\r\nevil!"
ENDS = [Accepted.close, Accepted.reset]


def next_call_gets_its_own_answer(client: Client) -> None:
    """Whatever happened before, a call from now on gets what was sent for it."""
    before = len(client.reactor.accepted)
    call = client.ask(b"POST")
    if client.reactor.attempts():
        client.reactor.accept()
    serving = next(each for each in client.reactor.accepted if each.received and not each.closed)
    assert serving.take().startswith(b"POST /v1 HTTP/1.1\r\n")
    serving.send(OK + b"Content-Length: 4\r\n\r\nnext")
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"next", "ResponseDone")
    assert len(client.reactor.accepted) - before in (0, 1)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("fresh", [True, False], ids=["new", "kept"])
@pytest.mark.parametrize("end", ENDS)
def test_answer_cut_anywhere_ends_its_call(answer: bytes, fresh: bool, end: Callable[[Accepted], None]) -> None:
    """A provider that closes at any byte: the caller is told at once, and never that the answer was whole."""
    for at in range(len(answer)):
        client = Client()
        origin = None if fresh else client.kept()
        call = client.ask(b"POST")
        origin = origin or client.reactor.accept()
        origin.take()
        origin.send(*([answer[:at]] if at else []))
        end(origin)
        assert call.over
        assert call.reader is not None
        assert call.reader.ended != "ResponseDone"
        assert call.failed_with[:1] in ([], ["ResponseFailed"], ["ResponseNeverReceived"])
        assert (call.failed_with[:1] == ["ResponseNeverReceived"]) == (at == 0)
        next_call_gets_its_own_answer(client)
        client.assert_at_rest()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answer_split_anywhere_is_the_same(answer: bytes) -> None:
    for at in range(1, len(answer)):
        client = Client()
        call, origin = client.ask_and_accept()
        origin.take()
        origin.send(answer[:at], answer[at:])
        assert call.reader is not None
        assert call.reader.ended == "ResponseDone"
        assert len(call.reader.body) in (0, 5)
        next_call_gets_its_own_answer(client)
        client.assert_at_rest()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize(
    "extra", [b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"x", b"\0", b"HTTP/1.1 2", EVIL, b"\r\n" + EVIL]
)
@pytest.mark.parametrize("when", ["same read", "next read", "cut"])
def test_extra_bytes_belong_to_nobody(answer: bytes, extra: bytes, when: str) -> None:
    """The answer stands, and its connection is not used again: what follows could be taken for the next answer."""
    client = Client()
    call, origin = client.ask_and_accept()
    origin.take()
    if when == "same read":
        origin.send(answer + extra)
    elif when == "next read":
        origin.send(answer, extra)
    else:
        origin.send(answer[:-3], answer[-3:] + extra)
    assert call.reader is not None
    assert call.reader.ended == "ResponseDone"
    assert call.reader.body in (b"", MINE, b"m\r\n\r\n")
    assert origin.closed
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
@pytest.mark.parametrize("body", [b"12345", b"\r\n\r\n\r", EVIL])
def test_body_where_none_may_be_belongs_to_nobody(method: bytes, body: bytes) -> None:
    """Of an answer to HEAD, or of one with 204: a body there would be the next answer's beginning."""
    client = Client()
    call, origin = client.ask_and_accept(method)
    origin.take()
    code = 200 if method == b"HEAD" else 204
    origin.send(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body)
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"", "ResponseDone")
    assert origin.closed
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


@pytest.mark.parametrize("piece", [b"\r", b"x", EVIL])
def test_idle_connection_that_speaks_is_dropped(piece: bytes) -> None:
    client = Client()
    origin = client.kept()
    origin.send(piece)
    assert origin.aborted
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


@pytest.mark.parametrize("end", ENDS)
def test_idle_connection_that_closes_is_forgotten(end: Callable[[Accepted], None]) -> None:
    client = Client()
    end(client.kept())
    assert client.idle == 0
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


def test_waiting_call_does_not_get_a_spoilt_connection() -> None:
    """With a cap of one, the next in the queue gets a new connection when the answer before it had something behind."""
    client = Client(max_per_origin=1)
    first, second = client.ask(b"POST"), client.ask(b"POST")
    origin = client.reactor.accept()
    origin.take()
    origin.send(ANSWERS["by length"] + EVIL)
    assert first.over
    assert not second.answered
    assert origin.closed
    other = client.reactor.accept()
    other.send(ANSWERS["by length"])
    assert second.reader is not None
    assert second.reader.body == MINE
    client.assert_at_rest()


@given(st.data())
def test_any_bytes_end_the_call_or_keep_it_waiting_properly(data: st.DataObject) -> None:
    """Answers bent in any place: the call ends when the connection does, and the next one gets its own answer."""
    raw = bytearray(data.draw(st.sampled_from(sorted(ANSWERS.values()))))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"0", b" ", b":", b"\0", b"\xff", b"chunked", EVIL]
            )
        )
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=4)))
    pieces = [bytes(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]
    client = Client()
    call, origin = client.ask_and_accept(data.draw(st.sampled_from([b"GET", b"POST", b"HEAD"])))
    origin.take()
    origin.send(*pieces)
    if not call.over:
        origin.close()
    assert call.over
    client.reactor.turn()
    assert (client.idle == 1) == (not origin.wire.lost)
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


SPLITTING = {
    "both length and coding": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + EVIL),
    "both coding and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + EVIL),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 0\r\n", EVIL),
    "two lengths the other way": (b"Content-Length: 0\r\nContent-Length: 5\r\n", EVIL),
    "the same length twice": (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"mine."),
    "a list of lengths": (b"Content-Length: 5, 5\r\n", b"mine."),
    "a list of two lengths": (b"Content-Length: 0, 5\r\n", EVIL),
    "a signed length": (b"Content-Length: +5\r\n", EVIL),
    "a negative length": (b"Content-Length: -1\r\n", EVIL),
    "a hexadecimal length": (b"Content-Length: 0x5\r\n", EVIL),
    "a length with an underscore": (b"Content-Length: 1_0\r\n", EVIL),
    "a fractional length": (b"Content-Length: 5.0\r\n", EVIL),
    "an empty length": (b"Content-Length: \r\n", EVIL),
    "no length after all": (b"Content-Length:\r\n", EVIL),
    "a length in two words": (b"Content-Length: 5 5\r\n", EVIL),
    "a length in other digits": (b"Content-Length: \xd9\xa5\r\n", EVIL),
    "a length beyond 64 bits": (b"Content-Length: 18446744073709551621\r\n", b"mine." + EVIL),
    "a space before the colon": (b"Content-Length : 5\r\n", EVIL),
    "a tab before the colon": (b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n" + EVIL),
    "a name with a space": (b"X Content-Length: 5\r\n", EVIL),
    "a name with a control": (b"Content-Length\x00: 5\r\n", EVIL),
    "a name with a byte above ASCII": (b"Content-Length\xa0: 5\r\n", EVIL),
    "no name": (b": 5\r\nContent-Length: 5\r\n", b"mine."),
    "no colon": (b"Content-Length 5\r\n", EVIL),
    "a folded length": (b"Content-Length:\r\n 5\r\n", EVIL),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + EVIL),
    "a folded header": (b"X-A: 1\r\n Content-Length: 9\r\nContent-Length: 5\r\n", b"mine."),
    "a space before the first name": (b" X-A: 1\r\nContent-Length: 5\r\n", b"mine."),
    "a bare line feed": (b"X-A: 1\nContent-Length: 5\r\n", b"mine."),
    "a bare carriage return": (b"X-A: 1\rContent-Length: 5\r\n", b"mine."),
    "line feeds only": (b"X-A: 1\nContent-Length: 0\n\n" + EVIL, b""),
    "a null in a value": (b"X-A: 1\x00\r\nContent-Length: 5\r\n", b"mine."),
    "a control in a value": (b"X-A: \x01\r\nContent-Length: 5\r\n", b"mine."),
    "a delete in a value": (b"X-A: \x7f\r\nContent-Length: 5\r\n", b"mine."),
    "a vertical tab before the coding": (b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + EVIL),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n" + EVIL),
    "chunked in two headers": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + EVIL),
    "chunked, then identity": (b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + EVIL),
    "identity, then chunked": (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + EVIL),
    "identity": (b"Transfer-Encoding: identity\r\n", EVIL),
    "gzip, then chunked": (b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + EVIL),
    "an unknown coding": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + EVIL),
    "a quoted coding": (b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n" + EVIL),
    "an empty coding": (b"Transfer-Encoding:\r\n", b"0\r\n\r\n" + EVIL),
    "a coding with a parameter": (b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n" + EVIL),
}


@pytest.mark.parametrize(("headers", "rest"), SPLITTING.values(), ids=SPLITTING)
@pytest.mark.parametrize("bytewise", [False, True])
def test_head_that_can_be_read_in_two_ways_is_refused(headers: bytes, rest: bytes, bytewise: bool) -> None:
    """Where the body ends must be beyond doubt, or the next call could get a part of it for its answer."""
    client = Client()
    origin = client.kept()
    call = client.ask(b"POST")
    origin.take()
    answer = OK + headers + b"\r\n" + rest
    origin.send(*([answer[at : at + 1] for at in range(len(answer))] if bytewise else [answer]))
    assert call.failed_with == ["ResponseFailed", "ParseError"]
    assert origin.aborted
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


STATUS_LINES = [
    b"HTTP/1.1 99 OK",
    b"HTTP/1.1 099 OK",
    b"HTTP/1.1 000 OK",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 2_0 OK",
    b"HTTP/1.1 200OK",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.1 OK",
    b"HTTP/1.1",
    b" HTTP/1.1 200 OK",
    b"HTTP /1.1 200 OK",
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\x7fK",
    b"HTTP/1.1 200 OK\nX: y",
    b"HTTP/1.1 200 OK\rX: y",
    b"HTTP/1.2 200 OK",
    b"HTTP/11 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/01.1 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/2 200 OK",
    b"HTTP/-1.1 200 OK",
    b"http/1.1 200 OK",
    b"HTTPS/1.1 200 OK",
    b"RTSP/1.0 200 OK",
    b"ICE/1.1 200 OK",
    b"ICY 200 OK",
    b"",
    b"GET / HTTP/1.1",
    b"<html>",
    b"\x16\x03\x01\x02\x00\x01",
    b"\xef\xbb\xbfHTTP/1.1 200 OK",
    b"HTTP/1.1 101 Switching Protocols",
]


@pytest.mark.parametrize("line", STATUS_LINES)
@pytest.mark.parametrize("bytewise", [False, True])
def test_what_does_not_begin_as_an_answer_is_refused(line: bytes, bytewise: bool) -> None:
    client = Client()
    call, origin = client.ask_and_accept(b"POST")
    origin.take()
    answer = line + b"\r\nContent-Length: 5\r\n\r\nmine."
    origin.send(*([answer[at : at + 1] for at in range(len(answer))] if bytewise else [answer]))
    assert call.failed_with == ["ResponseFailed", "ParseError"]
    assert origin.aborted
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()


CHUNKS = [
    b"5\nmine.\r\n0\r\n\r\n",
    b"5\rmine.\r\n0\r\n\r\n",
    b"+5\r\nmine.\r\n0\r\n\r\n",
    b"-5\r\nmine.\r\n0\r\n\r\n",
    b"0x5\r\nmine.\r\n0\r\n\r\n",
    b" 5\r\nmine.\r\n0\r\n\r\n",
    b"5 \r\nmine.\r\n0\r\n\r\n",
    b"5_0\r\nmine.\r\n0\r\n\r\n",
    b"g\r\nmine.\r\n0\r\n\r\n",
    b"\r\nmine.\r\n0\r\n\r\n",
    b";a=b\r\nmine.\r\n0\r\n\r\n",
    b"10000000000000005\r\nmine.\r\n0\r\n\r\n",
    b"5\r\nmine.0\r\n\r\n",
    b"5\r\nmine.\n0\r\n\r\n",
    b"5\r\nmine.x\r\n0\r\n\r\n",
    b"4\r\nmine.\r\n0\r\n\r\n",
    b"5;a\x00\r\nmine.\r\n0\r\n\r\n",
    b"5;a\nmine.\r\n0\r\n\r\n",
    b"5\r\nmine.\r\n0\r\nX\r\n\r\n",
    b"5\r\nmine.\r\n0\r\nX: y\n\r\n",
    b"5\r\nmine.\r\n0\r\nContent-Length: 5\r\n\r\n",
    b"5\r\nmine.\r\n0\r\n X: y\r\n\r\n",
]


@pytest.mark.parametrize("body", CHUNKS)
@pytest.mark.parametrize("bytewise", [False, True])
def test_chunks_that_can_be_read_in_two_ways_break_the_body(body: bytes, bytewise: bool) -> None:
    client = Client()
    call, origin = client.ask_and_accept(b"POST")
    origin.take()
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n" + body
    origin.send(*([answer[at : at + 1] for at in range(len(answer))] if bytewise else [answer]))
    assert call.reader is not None
    assert call.reader.ended == "ResponseFailed"
    assert MINE.startswith(call.reader.body)
    assert origin.aborted
    next_call_gets_its_own_answer(client)
    client.assert_at_rest()
