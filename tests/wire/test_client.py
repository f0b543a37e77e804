"""The client over memory transports: what it sends, what it makes of answers, and every way out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.task import Cooperator
from twisted.logger import capturedLogs
from twisted.web._newclient import ExcessWrite
from twisted.web.client import FileBodyProducer, readBody
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from llm_gateway.wire.client import Agent, Exchange
from llm_gateway.wire.connection import MAX_HEAD_BYTES, Connection
from llm_gateway.wire.response import Response
from llm_gateway.wire.upload import Upload
from tests.memory import failure_of
from tests.wire.origin import EMPTY, URL, Accepted, Client, Reader


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.assert_at_rest()


HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"


@implementer(IBodyProducer)
class Slow:
    """A body that the test writes."""

    def __init__(self, length: int | None = None) -> None:
        self.length = UNKNOWN_LENGTH if length is None else length
        self.finished: Deferred[None] = Deferred()
        self.did: list[str] = []

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.consumer = consumer
        return self.finished

    def write(self, data: bytes) -> None:
        self.consumer.write(data)

    def finish(self) -> None:
        self.finished.callback(None)

    def pauseProducing(self) -> None:
        self.did.append("pause")

    def resumeProducing(self) -> None:
        self.did.append("resume")

    def stopProducing(self) -> None:
        self.did.append("stop")


@implementer(IBodyProducer)
class AtOnce:
    """A body that is written in one call."""

    def __init__(self, *pieces: bytes, length: object = None, result: Deferred[None] | None = None) -> None:
        self.length = sum(map(len, pieces)) if length is None else length
        self._pieces = pieces
        self._result = result

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        for piece in self._pieces:
            consumer.write(piece)
        return succeed(None) if self._result is None else self._result

    def pauseProducing(self) -> None:
        raise NotImplementedError

    def resumeProducing(self) -> None:
        raise NotImplementedError

    def stopProducing(self) -> None:
        """Nothing runs."""


# Contracts


def test_contracts_are_kept(client: Client) -> None:
    """It fits wherever Twisted asks for an agent, a response, a request or a producer."""
    assert verifyObject(IAgent, client.agent)
    assert verifyClass(IAgent, Agent)
    assert verifyClass(IConsumer, Upload)
    assert verifyClass(IResponse, Response, tentative=True)
    call, origin = client.ask_and_accept(b"GET", URL, Headers({b"X-Me": [b"1"]}))
    origin.send(HELLO)
    assert verifyObject(IResponse, call.response)
    assert verifyObject(IPushProducer, call.response)
    request = call.response.request
    assert verifyObject(IClientRequest, request)
    assert (request.method, request.absoluteURI) == (b"GET", URL)
    assert request.headers.getRawHeaders(b"x-me") == [b"1"]
    assert isinstance(request, Exchange)


# What goes out


def test_request_is_written_as_given(client: Client) -> None:
    """Headers in their order, several values one after another, and nothing that was not asked for but ``Host``."""
    headers = Headers({b"Accept": [b"*/*"], b"X-Two": [b"a", b"b"]})
    call, origin = client.ask_and_accept(b"GET", b"http://origin.test:8080/v1/x?y=1&z", headers)
    assert origin.received == (
        b"GET /v1/x?y=1&z HTTP/1.1\r\nAccept: */*\r\nX-Two: a\r\nX-Two: b\r\nHost: origin.test:8080\r\n\r\n"
    )
    origin.send(EMPTY)
    assert call.over


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (b"http://origin.test", b"/"),
        (b"http://origin.test/", b"/"),
        (b"http://origin.test?a=b", b"/?a=b"),
        (b"http://origin.test/a#part", b"/a"),
        (b"http://origin.test#part", b"/"),
        (b"http://origin.test/a?b#c?d/e", b"/a?b"),
        (b"http://origin.test//a/../b", b"//a/../b"),
        (b"HTTP://origin.test/%C3%A4", b"/%C3%A4"),
    ],
)
def test_target_is_the_uri_without_origin_and_fragment(client: Client, url: bytes, target: bytes) -> None:
    _, origin = client.ask_and_accept(b"GET", url)
    assert origin.received.split(b" ")[1] == target
    origin.send(EMPTY)


@pytest.mark.parametrize(
    "url", [b"/v1", b"origin.test/v1", b"http:/origin.test", b"http://u:p@origin.test/", b"http://"]
)
def test_uri_that_names_no_origin_is_refused(client: Client, url: bytes) -> None:
    with pytest.raises(ValueError, match="Invalid URI"):
        client.agent.request(b"GET", url)


@pytest.mark.parametrize(
    "bad", [b"http://origin.test/a b", b"http://origin.test/\r\nX: y", "http://origin.test/ä".encode()]
)
def test_uri_that_would_break_the_request_line_is_refused(client: Client, bad: bytes) -> None:
    with pytest.raises(ValueError, match="Invalid URI"):
        client.agent.request(b"GET", bad)


@pytest.mark.parametrize("method", [b"", b"GET ", b"G\r\nET", b"G:", b"\xc3\xa4"])
def test_method_that_is_no_token_is_refused(client: Client, method: bytes) -> None:
    with pytest.raises(ValueError, match="Invalid method"):
        client.agent.request(method, URL)


def test_other_schemes_are_not_supported(client: Client) -> None:
    failure_of(client.agent.request(b"GET", b"ftp://origin.test/")).trap(SchemeNotSupported)


def test_host_given_is_the_host_sent(client: Client) -> None:
    _, origin = client.ask_and_accept(b"GET", URL, Headers({b"host": [b"other.test"]}))
    assert origin.received == b"GET /v1 HTTP/1.1\r\nHost: other.test\r\n\r\n"
    origin.send(EMPTY)


def test_two_hosts_are_refused(client: Client) -> None:
    call = client.ask(b"GET", URL, Headers({b"host": [b"a.test", b"b.test"]}))
    assert call.failed_with == ["RequestGenerationFailed", "BadHeaders"]


def test_framing_is_ours(client: Client) -> None:
    """Lengths and codings that a caller passes on from somewhere else cannot split the request."""
    passed_on = {b"content-length": [b"0"], b"transfer-encoding": [b"chunked"], b"connection": [b"close"]}
    _, origin = client.ask_and_accept(b"POST", URL, Headers(passed_on), AtOnce(b"hello"))
    assert origin.received == b"POST /v1 HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5\r\n\r\nhello"
    origin.send(EMPTY)


@pytest.mark.parametrize(
    ("method", "length"), [(b"POST", True), (b"PUT", True), (b"PATCH", True), (b"GET", False), (b"DELETE", False)]
)
def test_missing_body_has_a_length_where_one_is_expected(client: Client, method: bytes, length: bool) -> None:
    _, origin = client.ask_and_accept(method)
    assert (b"Content-Length: 0\r\n" in origin.received) is length
    origin.send(EMPTY)


def test_body_in_memory_goes_out_with_the_head(client: Client) -> None:
    """One write, and so one packet for most calls."""
    writes: list[bytes] = []
    origin = client.kept()
    origin.wire.write = writes.append  # type: ignore[method-assign]
    client.ask(b"POST", body=AtOnce(b"hel", b"lo"))
    assert len(writes) == 1
    assert writes[0].endswith(b"Content-Length: 5\r\n\r\nhello")
    origin.send(EMPTY)


def test_body_of_unknown_length_is_chunked(client: Client) -> None:
    body = Slow()
    call, origin = client.ask_and_accept(b"POST", body=body)
    body.write(b"hello")
    body.write(b"")
    body.write(b"x" * 300)
    body.finish()
    assert origin.received.endswith(
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n12c\r\n" + b"x" * 300 + b"\r\n0\r\n\r\n"
    )
    origin.send(EMPTY)
    assert call.over
    assert client.idle == 1
    assert body.did == []


def test_file_is_sent_by_twisteds_own_producer(client: Client) -> None:
    cooperator = Cooperator(scheduler=lambda step: client.reactor.callLater(0, step))
    body = FileBodyProducer(BytesIO(b"a" * 10 + b"b" * 5), cooperator, readSize=10)
    _, origin = client.ask_and_accept(b"PUT", body=body)
    assert origin.received.endswith(b"Content-Length: 15\r\n\r\n")
    client.reactor.turn()
    assert origin.received.endswith(b"a" * 10 + b"b" * 5)
    origin.send(EMPTY)
    assert client.idle == 1


def test_body_that_was_sent_is_not_kept(client: Client) -> None:
    """A long prompt does not stay in memory for as long as its answer streams; nothing waits for the collector."""
    body = AtOnce(b"x" * 1000)
    kept = weakref.ref(body)
    gc.disable()
    try:
        call, origin = client.ask_and_accept(b"POST", body=body)
        del body
        origin.send(CHUNKED)
        assert call.answered
        assert kept() is None
        response = weakref.ref(call.response)
        origin.send(b"0\r\n\r\n")
        assert call.over
        del call
        assert response() is None
    finally:
        gc.enable()


def test_slow_origin_pauses_the_producer(client: Client) -> None:
    """The producer is registered with the transport, which tells it when to pause; then it is not any more."""
    body = Slow()
    _, origin = client.ask_and_accept(b"POST", body=body)
    assert origin.wire.producer is body
    assert origin.wire.streaming is True
    body.finish()
    assert origin.wire.producer is None
    origin.send(EMPTY)


@pytest.mark.parametrize("sync", [True, False])
def test_body_shorter_than_it_said_fails(client: Client, sync: bool) -> None:
    body = AtOnce(b"1234", length=5) if sync else Slow(5)
    call, origin = client.ask_and_accept(b"POST", body=body)
    if isinstance(body, Slow):
        body.write(b"1234")
        body.finish()
    assert call.failed_with == ["RequestGenerationFailed", "WrongBodyLength"]
    assert origin.aborted


@pytest.mark.parametrize("sync", [True, False])
def test_body_longer_than_it_said_is_never_sent(client: Client, sync: bool) -> None:
    """What is too much would be the beginning of the next request."""
    body = AtOnce(b"123", b"456", length=5) if sync else Slow(5)
    call, origin = client.ask_and_accept(b"POST", body=body)
    if isinstance(body, Slow):
        body.write(b"123")
        body.write(b"456")
        assert body.did == ["stop"]
        body.write(b"789")
    assert call.failed_with == ["RequestGenerationFailed", "WrongBodyLength"]
    assert b"456" not in origin.received
    assert b"789" not in origin.received
    assert origin.aborted


@pytest.mark.parametrize("length", [3, None])
def test_body_that_goes_on_after_its_end_is_never_sent(client: Client, length: int | None) -> None:
    body = Slow(length)
    call, origin = client.ask_and_accept(b"POST", body=body)
    body.write(b"123")
    body.finish()
    sent = origin.received
    with pytest.raises(ExcessWrite):
        body.write(b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")
    origin.send(EMPTY)
    assert call.over
    with pytest.raises(ExcessWrite):
        body.write(b"GET")
    assert origin.received == sent


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("sync", [True, False])
def test_producer_that_fails_fails_the_request(client: Client, sync: bool, length: int | None) -> None:
    body = Slow(length)
    if sync:
        body.finished = fail(OSError("disk"))
    call, origin = client.ask_and_accept(b"POST", body=body)
    if not sync:
        body.write(b"123")
        body.finished.errback(OSError("disk"))
    else:
        assert origin.received == b""
    assert call.failed_with == ["RequestGenerationFailed", "OSError"]
    assert origin.aborted
    assert body.did == []


def test_producer_that_raises_fails_the_request(client: Client) -> None:
    body = Slow()
    body.startProducing = lambda consumer: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    call, origin = client.ask_and_accept(b"POST", body=body)
    assert call.failed_with == ["RequestGenerationFailed", "ZeroDivisionError"]
    assert origin.aborted


# What comes back


def test_answer_is_what_came(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(b"HTTP/1.1 418 I'm a teapot\r\nX-A:  1 \r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello")
    response = call.response
    assert (response.code, response.phrase, response.version) == (418, b"I'm a teapot", (b"HTTP", 1, 1))
    assert list(response.headers.getAllRawHeaders()) == [(b"X-A", [b"1", b"2"])]
    assert response.length == 5
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"hello", "ResponseDone")


def test_headers_are_twisteds(client: Client) -> None:
    """The object that its users know, as if it had been made and filled from outside."""
    call, origin = client.ask_and_accept()
    origin.send(b'HTTP/1.1 200 OK\r\nx-a: 1\r\nETAG: "x"\r\nX-A: 2\r\nx-b:\r\nContent-Length: 0\r\n\r\n')
    headers = call.response.headers
    assert isinstance(headers, Headers)
    assert headers == Headers({b"x-a": [b"1", b"2"], b"etag": [b'"x"'], b"x-b": [b""]})
    headers.addRawHeader(b"x-A", b"3")
    assert headers.copy().getRawHeaders("x-a") == ["1", "2", "3"]


def test_head_is_known_before_the_body_comes(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED)
    assert call.response.code == 200
    assert call.response.length is UNKNOWN_LENGTH
    assert not call.over
    origin.send(b"5\r\nhello\r\n0\r\n\r\n")
    assert call.over


def test_what_one_read_brought_goes_on_in_one_piece(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED + b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n1\r\nd\r\n0\r\n\r\n")
    assert call.reader is not None
    assert call.reader.pieces == [b"ab", b"cd"]


@pytest.mark.parametrize("answer", [HELLO, CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"])
def test_answer_may_come_a_byte_at_a_time(client: Client, answer: bytes) -> None:
    origin = client.kept()
    call = client.ask()
    origin.send(*(answer[at : at + 1] for at in range(len(answer))))
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"hello", "ResponseDone")
    assert call.response.headers.getRawHeaders(b"x-trailer") is None
    assert client.idle == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"DELETE", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_answer_without_a_body_ends_with_its_head(client: Client, method: bytes, answer: bytes) -> None:
    """And its connection serves the next request."""
    call, origin = client.ask_and_accept(method)
    origin.send(answer)
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended, call.response.length) == (b"", "ResponseDone", 0)
    again = client.ask()
    origin.send(HELLO)
    assert again.reader is not None
    assert again.reader.body == b"hello"


def test_length_that_head_speaks_of_is_shown(client: Client) -> None:
    call, origin = client.ask_and_accept(b"HEAD")
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    assert call.response.headers.getRawHeaders(b"content-length") == [b"12345"]


@pytest.mark.parametrize("code", [100, 102, 103, 150, 199])
def test_informational_answers_are_passed_over(client: Client, code: int) -> None:
    call, origin = client.ask_and_accept(b"POST", body=AtOnce(b"x"))
    origin.send(b"HTTP/1.1 %d Wait\r\nLink: x\r\n\r\n" % code * 2)
    assert not call.answered
    origin.send(b"HTTP/1.1 %d Wait\r\n\r\n" % code + HELLO)
    assert call.reader is not None
    assert (call.response.code, call.reader.body) == (200, b"hello")
    assert call.response.headers.getRawHeaders(b"link") is None
    assert client.idle == 1


def test_endless_informational_answers_are_too_much(client: Client) -> None:
    call, origin = client.ask_and_accept()
    while not call.over:
        origin.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
    assert call.failed_with == ["ResponseFailed", "ParseError"]
    assert origin.aborted


def test_early_answer_comes_at_once(client: Client) -> None:
    """The origin does not want the rest of the upload: its answer is not kept back until all is sent."""
    body = Slow(1000)
    call, origin = client.ask_and_accept(b"POST", body=body)
    body.write(b"x")
    origin.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert call.reader is not None
    assert (call.response.code, call.reader.body, call.reader.ended) == (413, b"no", "ResponseDone")
    assert body.did == ["stop"]
    assert origin.wire.producer is None
    assert origin.aborted
    body.write(b"more")
    assert b"more" not in origin.received


def test_early_head_does_not_stop_the_upload(client: Client) -> None:
    """An origin may answer while it reads, and the connection is good when both have ended."""
    body = Slow(2)
    call, origin = client.ask_and_accept(b"POST", body=body)
    origin.send(CHUNKED + b"1\r\na\r\n")
    assert call.response.code == 200
    body.write(b"xy")
    body.finish()
    origin.send(b"0\r\n\r\n")
    assert call.over
    assert client.idle == 1


def test_producer_that_fails_after_the_head_breaks_the_body(client: Client) -> None:
    body = Slow()
    call, origin = client.ask_and_accept(b"POST", body=body)
    origin.send(CHUNKED)
    body.finished.errback(OSError("disk"))
    assert call.reader is not None
    assert call.reader.ended == "ResponseFailed"
    assert origin.aborted


# How bodies end


def test_body_that_only_the_connection_ends_is_told_apart(client: Client) -> None:
    """Whether it is whole nobody can know: ``PotentialDataLoss``, not success."""
    call, origin = client.ask_and_accept()
    origin.send(TO_THE_END + b"hel", b"lo")
    origin.close()
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"hello", "PotentialDataLoss")


@pytest.mark.parametrize("head", [TO_THE_END, CHUNKED + b"ff\r\n", HELLO[:-5]])
def test_broken_connection_breaks_the_body(client: Client, head: bytes) -> None:
    call, origin = client.ask_and_accept()
    origin.send(head + b"hel")
    origin.reset()
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"hel", "ResponseFailed")


@pytest.mark.parametrize("head", [CHUNKED + b"ff\r\n", CHUNKED + b"3\r\nhel\r\n", HELLO[:-5]])
def test_body_cut_short_is_broken(client: Client, head: bytes) -> None:
    call, origin = client.ask_and_accept()
    origin.send(head)
    origin.close()
    assert call.reader is not None
    assert call.reader.ended == "ResponseFailed"
    assert call.reader.reason is not None
    assert call.reader.reason.value.response is call.response  # type: ignore[union-attr]


def test_what_came_before_nonsense_is_delivered(client: Client) -> None:
    """An event stream's last events are worth having."""
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED + b"5\r\nhello\r\nnonsense\r\n")
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"hello", "ResponseFailed")
    assert origin.aborted


def test_reader_that_fails_gets_its_own_failure_back(client: Client) -> None:
    class Faulty(Reader):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    reader = Faulty()
    _, origin = client.ask_and_accept(reader=reader)
    origin.send(CHUNKED, b"1\r\na\r\n")
    assert reader.ended == "ZeroDivisionError"
    assert origin.aborted


def test_reader_that_fails_at_all_of_the_body_gets_its_failure_back_too(client: Client) -> None:
    """An answer that came in one read has nothing to do with its connection any more."""

    class Faulty(Reader):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    reader = Faulty()
    _, origin = client.ask_and_accept(reader=reader)
    origin.send(HELLO)
    assert reader.ended == "ZeroDivisionError"
    assert (client.idle, origin.aborted) == (1, False)


def test_answer_in_one_read_frees_its_connection_first(client: Client) -> None:
    """Whoever asks again on being answered does so over the same connection."""
    calls: list[Any] = []

    def ask_again(response: IResponse) -> None:
        calls.append(client.ask(b"POST"))
        calls[0].response = response

    origin = client.kept()
    first = client.agent.request(b"POST", URL)
    first.addCallback(ask_again)
    origin.take()
    origin.send(HELLO)
    assert origin.take().startswith(b"POST /v1 HTTP/1.1\r\n")
    reader = Reader()
    calls[0].response.deliverBody(reader)
    assert (reader.body, reader.ended) == (b"hello", "ResponseDone")
    origin.send(HELLO.replace(b"hello", b"again"))
    assert calls[0].reader.body == b"again"


def test_caller_that_fails_at_an_answer_harms_no_other(client: Client) -> None:
    """Its fault is logged; the connection may be on with somebody else's call by then."""

    def fail_at_it(response: IResponse) -> None:
        raise ZeroDivisionError

    agent: Any = client.agent
    origin = client.kept()
    with capturedLogs() as logged:
        agent.send(b"GET", URL, Headers(), None, fail_at_it, fail_at_it)
        origin.send(HELLO)
    assert [type(event["log_failure"].value) for event in logged] == [ZeroDivisionError]
    assert (client.idle, origin.aborted) == (1, False)


# Back-pressure


def test_paused_reader_pauses_the_connection(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED + b"1\r\na\r\n")
    call.response.pauseProducing()
    assert origin.paused
    origin.send(b"1\r\nb\r\n0\r\n\r\n")
    assert call.reader is not None
    assert call.reader.body == b"a"
    call.response.resumeProducing()
    client.reactor.turn()
    assert (call.reader.body, call.reader.ended) == (b"ab", "ResponseDone")


def test_without_a_reader_no_more_than_one_read_is_taken(client: Client) -> None:
    call, origin = client.ask_and_accept(read=False)
    origin.send(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n")
    assert origin.paused
    assert call.response._early == (b"a",)
    reader = Reader()
    call.response.deliverBody(reader)
    client.reactor.turn()
    assert (reader.body, reader.ended) == (b"abc", "ResponseDone")


def test_reader_that_pauses_at_once_stays_paused(client: Client) -> None:
    """Also when a part of the body was waiting for it."""
    call, origin = client.ask_and_accept(read=False)
    origin.send(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n")
    reader = Reader(pause_at_once=True)
    call.response.deliverBody(reader)
    client.reactor.turn()
    assert origin.paused
    assert reader.body == b"a"
    call.response.resumeProducing()
    client.reactor.turn()
    assert (reader.body, reader.ended) == (b"ab", "ResponseDone")


def test_body_that_is_over_waits_for_its_reader(client: Client) -> None:
    call, origin = client.ask_and_accept(read=False)
    origin.send(HELLO)
    assert client.idle == 1
    origin.close()
    reader = Reader()
    call.response.deliverBody(reader)
    assert (reader.body, reader.ended) == (b"hello", "ResponseDone")


def test_body_has_one_reader(client: Client) -> None:
    call, origin = client.ask_and_accept()
    for piece in (HELLO[:-5], b"hello"):
        origin.send(piece)
        with pytest.raises(RuntimeError):
            call.response.deliverBody(Reader())
    assert call.over


def test_connection_paused_at_the_end_reads_on_when_idle(client: Client) -> None:
    """Or nobody would notice that it is closed."""
    call, origin = client.ask_and_accept(read=False)
    origin.send(HELLO)
    assert call.response.code == 200
    assert not origin.paused
    origin.close()
    client.reactor.turn()
    assert client.idle == 0


@pytest.mark.parametrize("way", ["stopProducing", "loseConnection", "abortConnection"])
@pytest.mark.parametrize("paused", [False, True])
def test_reader_may_leave(client: Client, way: str, paused: bool) -> None:
    """The provider's connection is closed at once and the slot is free again."""
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED + b"1\r\na\r\n")
    if paused:
        call.response.pauseProducing()
    getattr(call.response, way)()
    assert origin.aborted
    origin.send(b"1\r\nb\r\n0\r\n\r\n")
    client.reactor.turn()
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"a", "ResponseFailed")


def test_reader_that_leaves_in_the_middle_gets_no_more(client: Client) -> None:
    class Leaving(Reader):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.abortConnection()  # type: ignore[union-attr]

    call, origin = client.ask_and_accept(read=False)
    origin.send(CHUNKED + b"1\r\na\r\n")
    # TLS may have more at hand than what it was paused for.
    origin.wire.pushed(b"1\r\nb\r\n")
    reader = Leaving()
    call.response.deliverBody(reader)
    client.reactor.turn()
    assert (reader.body, reader.ended) == (b"a", "ResponseFailed")
    assert origin.aborted


def test_transport_that_goes_on_after_the_reader_left_is_not_heard(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(CHUNKED + b"1\r\na\r\n")
    call.response.abortConnection()
    origin.wire.pushed(b"1\r\nb\r\n0\r\n\r\n")
    client.reactor.turn()
    assert call.reader is not None
    assert (call.reader.body, call.reader.ended) == (b"a", "ResponseFailed")


def test_old_answer_has_no_hold_on_its_connection(client: Client) -> None:
    """The one who read the last answer cannot pause or close the connection of the next."""
    origin = client.kept()
    old = client.ask()
    origin.send(HELLO)
    new = client.ask()
    for way in ("pauseProducing", "resumeProducing", "stopProducing", "loseConnection", "abortConnection"):
        getattr(old.response, way)()
    assert not origin.paused
    origin.send(HELLO)
    assert new.reader is not None
    assert new.reader.body == b"hello"


def test_cancelled_readbody_closes_the_connection(client: Client) -> None:
    """Twisted's ``readBody`` finds the transport's ``abortConnection``."""
    call, origin = client.ask_and_accept(read=False)
    origin.send(CHUNKED)
    reading = readBody(call.response)
    reading.cancel()
    failure_of(reading).trap(CancelledError)
    assert origin.aborted


# Cancelling the request


def test_cancelled_while_connecting(client: Client) -> None:
    call = client.ask()
    call.deferred.cancel()
    assert call.failed_with == ["ConnectingCancelledError"]
    assert client.reactor.connectors[0].stoppedConnecting
    client.reactor.tcpClients.clear()


def test_cancelled_while_sending(client: Client) -> None:
    body = Slow()
    call, origin = client.ask_and_accept(b"POST", body=body)
    body.write(b"x")
    call.deferred.cancel()
    assert call.failed_with == ["ResponseNeverReceived", "CancelledError"]
    assert body.did == ["stop"]
    assert origin.aborted
    assert client.in_use == 0


@pytest.mark.parametrize(("heard", "error"), [(b"", "ResponseNeverReceived"), (b"HTTP/1.1 2", "ResponseFailed")])
def test_cancelled_while_waiting_for_the_answer(client: Client, heard: bytes, error: str) -> None:
    """And never sent again, though it was a GET over a used connection."""
    origin = client.kept()
    call = client.ask()
    if heard:
        origin.send(heard)
    call.deferred.cancel()
    assert call.failed_with == [error, "CancelledError"]
    assert origin.aborted
    client.reactor.turn()
    assert client.reactor.attempts() == 0


def test_cancelling_after_the_head_does_nothing(client: Client) -> None:
    call, origin = client.ask_and_accept(read=False)
    origin.send(HELLO[:-5])
    call.deferred.cancel()
    assert not origin.closed
    origin.send(b"hello")
    assert client.idle == 1


# Sending again


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize("way", [Accepted.close, Accepted.reset])
def test_harmless_request_is_sent_again_when_its_idle_connection_closes(
    client: Client, method: bytes, way: Callable[[Accepted], None]
) -> None:
    origin = client.kept()
    call = client.ask(method)
    way(origin)
    again = client.reactor.accept()
    assert again.received == origin.received
    again.send(EMPTY)
    assert call.reader is not None
    assert call.reader.ended == "ResponseDone"


def test_it_is_sent_again_only_once_and_over_a_new_connection(client: Client) -> None:
    calls = [client.ask(), client.ask()]
    origins = [client.reactor.accept(), client.reactor.accept()]
    for origin in origins:
        origin.send(EMPTY)
    assert all(call.over for call in calls)
    call = client.ask()
    origins[1].close()
    assert client.reactor.attempts() == 1
    client.reactor.accept().close()
    assert call.failed_with == ["ResponseNeverReceived", "ConnectionDone"]


def test_it_is_sent_again_only_once_even_over_a_used_connection() -> None:
    """In the queue it may get one that has served another call."""
    client = Client(max_per_origin=1)
    origin = client.kept()
    call, other = client.ask(), client.ask(b"POST")
    origin.close()
    again = client.reactor.accept()
    again.send(EMPTY)
    assert other.over
    assert again.received.count(b"GET") == 1
    again.close()
    assert call.failed_with == ["ResponseNeverReceived", "ConnectionDone"]
    client.assert_at_rest()


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
def test_request_that_may_have_had_an_effect_is_not_sent_again(client: Client, method: bytes) -> None:
    origin = client.kept()
    call = client.ask(method)
    origin.close()
    assert call.failed_with == ["ResponseNeverReceived", "ConnectionDone"]
    assert client.reactor.attempts() == 0


def test_request_with_a_body_is_not_sent_again(client: Client) -> None:
    origin = client.kept()
    call = client.ask(b"GET", body=AtOnce(b"x"))
    origin.close()
    assert call.over
    assert client.reactor.attempts() == 0


def test_request_over_a_new_connection_is_not_sent_again(client: Client) -> None:
    """That connection was not idle; the origin has closed it because of the request."""
    call, origin = client.ask_and_accept()
    origin.close()
    assert call.over
    assert client.reactor.attempts() == 0


def test_request_that_was_heard_is_not_sent_again(client: Client) -> None:
    origin = client.kept()
    call = client.ask()
    origin.send(b"H")
    origin.close()
    assert call.failed_with == ["ResponseFailed", "ConnectionDone"]
    assert client.reactor.attempts() == 0


def test_connection_lost_while_sending_says_so(client: Client) -> None:
    body = Slow()
    call, origin = client.ask_and_accept(b"POST", body=body)
    origin.reset()
    assert call.failed_with == ["RequestTransmissionFailed", "ConnectionLost"]
    assert "stop" in body.did


# Limits

BEYOND = MAX_HEAD_BYTES + 65_536
"""What a read brought together with something useful is not counted."""


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 " + b"x" * BEYOND,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * BEYOND,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (BEYOND // 6),
        b"HTTP/1.1 200 OK\r\n" + b"x" * BEYOND,
        CHUNKED + b"1;" + b"x" * BEYOND,
        CHUNKED + b"0\r\nX: " + b"x" * BEYOND,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * (BEYOND // 6),
        CHUNKED + b"0" * BEYOND,
    ],
    ids=["phrase", "header", "headers", "name", "extension", "trailer", "trailers", "zeros"],
)
def test_what_has_no_end_is_cut(client: Client, endless: bytes) -> None:
    call, origin = client.ask_and_accept()
    origin.send(*(endless[at : at + 50_000] for at in range(0, len(endless), 50_000)))
    assert call.over
    assert origin.aborted


def test_large_heads_within_the_limit_are_taken(client: Client) -> None:
    call, origin = client.ask_and_accept()
    origin.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, b"\r\nContent-Length: 0\r\n\r\n")
    assert call.response.headers.getRawHeaders(b"x") == [b"x" * 100_000]


def test_connection_has_no_delay(client: Client) -> None:
    """Small writes leave at once."""
    assert client.kept().wire.no_delay
    assert Connection.__doc__
