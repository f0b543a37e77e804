"""Answers that came in one read: told without the parser, and told the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.iweb import IResponse
from zope.interface.verify import verifyObject

from llm_gateway.wire.response import WholeResponse
from tests.wire.origin import Client, Reader

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\nX-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello"

HEADS = {
    "plain": b"Content-Length: 5",
    "empty": b"Content-Length: 0",
    "kept alive": b"Content-Length: 5\r\nConnection: keep-alive",
    "closing": b"Content-Length: 5\r\nConnection: close",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 5",
    "other lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "lengths in a list": b"Content-Length: 5, 5",
    "signed length": b"Content-Length: +5",
    "length in other digits": b"Content-Length: \xb2",
    "no length": b"X-A: 1",
    "empty length": b"Content-Length:",
    "too short": b"Content-Length: 4",
    "too long": b"Content-Length: 6",
    "endless": b"Content-Length: " + b"9" * 30,
    "leading zeros": b"Content-Length: 0005",
    "blanks around": b"Content-Length:\t 5 \t",
    "chunked too": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "coded": b"Transfer-Encoding: gzip\r\nContent-Length: 5",
    "upgrade": b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5",
    "keep-alive header": b"Keep-Alive: timeout=5\r\nContent-Length: 5",
    "blank before the colon": b"Content-Length : 5",
    "folded": b"X-A: 1\r\n 2\r\nContent-Length: 5",
    "folded length": b"Content-Length:\r\n 5",
    "no colon": b"nothing\r\nContent-Length: 5",
    "no name": b": x\r\nContent-Length: 5",
    "bare LF": b"X-A: 1\nContent-Length: 5",
    "bare CR": b"X-A: 1\rX-B: 2\r\nContent-Length: 5",
    "control character": b"X-A: \x01\r\nContent-Length: 5",
    "null": b"X-A: a\0b\r\nContent-Length: 5",
    "delete": b"X-A: \x7f\r\nContent-Length: 5",
    "obsolete text": b"X-A: \xff\x80\r\nContent-Length: 5",
    "odd name": b"X!#$%&'*+-.^_`|~9: 1\r\nContent-Length: 5",
    "name with a bracket": b"X(A): 1\r\nContent-Length: 5",
    "same name twice": b"X-A: 1\r\nx-a: 2\r\nContent-Length: 5",
}


def told(data: bytes, *, at_once: bool, method: bytes = b"GET") -> tuple[object, ...]:
    """What a caller and the pool get to know of an answer, on a connection that had one before."""
    client = Client()
    origin = client.kept()
    call = client.ask(method)
    origin.take()
    origin.send(*([data] if at_once else [data[:1], data[1:]]))
    response, reader = call.response, call.reader
    assert reader is not None
    assert at_once or not isinstance(response, WholeResponse)
    said = None
    if response is not None:
        headers = sorted(response.headers.getAllRawHeaders())
        said = (response.version, response.code, response.phrase, response.length, headers)
    known = said, reader.body, reader.ended, call.failed_with, client.idle, client.in_use, origin.aborted, origin.closed
    origin.close()
    client.reactor.turn()
    client.assert_at_rest()
    return known


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 ", b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_answer_is_the_same_whether_it_came_in_one_read_or_two(head: bytes, status: bytes, method: bytes) -> None:
    """However odd its head is, and when its status line is known, too."""
    told(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello", at_once=True)
    data = b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n\r\nhello"
    assert told(data, at_once=True, method=method) == told(data, at_once=False, method=method)


@pytest.mark.parametrize("behind", [b"\r\n", b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"])
def test_what_comes_behind_an_answer_is_noticed_as_ever(behind: bytes) -> None:
    told(PLAIN, at_once=True)
    found = told(PLAIN + behind, at_once=True)
    assert found == told(PLAIN + behind, at_once=False)
    assert found[-2]


@given(st.data())
def test_no_change_to_an_answer_is_told_otherwise(data: st.DataObject) -> None:
    """Bytes that are left out, put in or exchanged anywhere."""
    at = data.draw(st.integers(1, len(PLAIN)))
    length = data.draw(st.integers(0, 3))
    bytes_put = data.draw(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b":", b" ", b"0", b"5", b"x", b"\0"])))
    changed = PLAIN[:at] + b"".join(bytes_put[:3]) + PLAIN[at + length :]
    told(PLAIN, at_once=True)
    assert told(changed, at_once=True) == told(changed, at_once=False)


def whole(client: Client, reader: Reader | None = None) -> Any:
    """A response that came whole."""
    client.kept()
    call = client.ask(reader=reader, read=reader is not None)
    client.reactor.accepted[-1].send(PLAIN)
    assert isinstance(call.response, WholeResponse)
    return call


def test_whole_response_keeps_the_contract() -> None:
    client = Client()
    call = whole(client)
    assert verifyObject(IResponse, call.response)
    call.response.setPreviousResponse(call.response)
    reader = Reader()
    call.response.deliverBody(reader)
    assert (reader.body, reader.ended) == (b"hello", "ResponseDone")
    with pytest.raises(RuntimeError):
        call.response.deliverBody(Reader())
    client.assert_at_rest()


class Leaving(Reader):
    """Wants nothing."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class Failing(Reader):
    """Fails at what it reads."""

    def dataReceived(self, data: bytes) -> None:
        raise ValueError("the reader's own")


def test_reader_that_leaves_a_whole_response_gets_nothing_more() -> None:
    """Its connection is another's already, and stays."""
    client, reader = Client(), Leaving()
    whole(client, reader)
    assert (reader.body, reader.ended) == (b"", "ResponseDone")
    assert client.idle == 1
    client.assert_at_rest()


def test_reader_that_fails_at_a_whole_response_gets_its_own_fault_back() -> None:
    client, reader = Client(), Failing()
    whole(client, reader)
    assert reader.ended == "ValueError"
    client.assert_at_rest()


def test_paused_reader_of_a_whole_response_has_all_of_it() -> None:
    """There is nothing that could wait."""
    client, reader = Client(), Reader(pause_at_once=True)
    call = whole(client, reader)
    call.response.resumeProducing()
    call.response.stopProducing()
    call.response.loseConnection()
    assert (reader.body, reader.ended) == (b"hello", "ResponseDone")
    client.assert_at_rest()
