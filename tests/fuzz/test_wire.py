"""Promises of the wire: whatever a client or a provider sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.wire.bodies import BodyDone, BodyTooLarge
from llm_gateway.wire.channel import Channel
from tests.fuzz import reference
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.inputs import CUTS, bent, pieces
from tests.wire.origin import Client, Reader
from tests.wire.serving import LIMIT, BodyReader, Echo, Server, chunked, get, post
from tests.wire.test_client_against_twisted import answers
from tests.wire.test_client_faults import ANSWERS, EVIL, SPLITTING, next_call_gets_its_own_answer
from tests.wire.test_server_against_twisted import requests
from tests.wire.test_smuggling import SHAPES

LITTLE_BYTES = 4_096
"""What is read ahead, and a head, in the sites here: less than usual, so that limits are met soon."""

READ_BYTES = 2_048
"""That a transport reads at once, at most."""

REQUESTS = (
    requests()
    | st.sampled_from([raw for raw, _ in SHAPES.values()])
    | st.sampled_from([get(), post(b"hello"), chunked(b"hello", b"x"), post(b"hello", b"Expect: 100-continue")])
)
WORDS = (
    *(b"GET ", b"POST /x HTTP/1.1\r\nHost: h\r\n", b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", b" HTTP/1.0", b"hello"),
    *(b"Host: h\r\n", b"X: y\r\n", b"Cookie: a=b; c\r\n", b"Trailer: x\r\n", b"Expect: 100-continue\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"a=b&c", b"--b\r\n"),
    *(b"Content-Type: application/x-www-form-urlencoded\r\n", b"Content-Type: multipart/form-data; boundary=b\r\n"),
    b"Content-Length: %d\r\n" % (LIMIT + 1),
)


class LittleChannel(Channel):
    pipelineBytes = LITTLE_BYTES
    totalHeadersSize = LITTLE_BYTES


class Answering(Echo):
    """Answers what is whole with 200 and what was sent."""

    def __init__(self, late: bool) -> None:
        """
        :param late: whether it does what it does in a breath rather than at once.
        """
        super().__init__()
        self._late = late
        self._put_off: list[Callable[[], None]] = []

    def render(self, request: Request) -> Any:
        stream: Any = request
        if stream.body_stream is not None:
            stream.deliver_body(Streamed(self, request).as_protocol)
            return NOT_DONE_YET
        body = self._refusal(request, 413) if stream.body_refused else super().render(request)
        if not self._late:
            return body
        request.notifyFinish().addErrback(lambda _: self._put_off.clear())
        self.soon(lambda: self.finish(request, body))
        return NOT_DONE_YET

    def answer(self, request: Request, body: bytes, reason: Any) -> None:
        """
        :param reason: for the end of the body.
        """
        if reason.check(BodyDone):
            self.finish(request, b"%b %b: %b" % (request.method, request.uri, body))
        elif not reason.check(ConnectionDone):
            self.finish(request, self._refusal(request, 413 if reason.check(BodyTooLarge) else 400))

    def soon(self, do: Callable[[], None]) -> None:
        self._put_off.append(do)
        if not self._late:
            self.breathe()

    def breathe(self) -> bool:
        """
        Let happen what was put off.

        :return: whether there was something.
        """
        put_off, self._put_off = self._put_off, []
        for do in put_off:
            do()
        return bool(put_off)

    @staticmethod
    def finish(request: Request, body: bytes) -> None:
        request.write(body)
        request.finish()

    @staticmethod
    def _refusal(request: Request, status: int) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"content-length", b"0")
        return b""


class Streamed(BodyReader):
    """Reads a body one piece at a time; answers once it is over, if somebody is still there."""

    def __init__(self, resource: Answering, request: Request) -> None:
        super().__init__()
        self._resource = resource
        self._request: Request | None = request
        request.notifyFinish().addErrback(self._left)

    def _left(self, _reason: object) -> None:
        self._request = None

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.pauseProducing()
        self._resource.soon(self.transport.resumeProducing)

    def connectionLost(self, reason: Any) -> None:
        super().connectionLost(reason)
        if self._request is not None:
            self._resource.answer(self._request, self.body, reason)


@fuzzed(
    raw=bent(REQUESTS, WORDS, runs=True),
    cuts=CUTS,
    every=st.integers(1, 30),
    late=st.booleans(),
    streamed=st.booleans(),
)
def test_server(raw: bytes, cuts: list[int] | None, every: int, late: bool, streamed: bool) -> None:
    """
    Any bytes from a client are requests that the standard finds in them too, in order, each answered once; or they are
    refused, and nothing behind them is read. Little is held, and in time all is closed.

    :param every: after how many reads there is time to breathe.
    """
    sure = list(reference.requests(raw))
    received = served(Answering(late), raw, cuts, every, streamed)
    found, rest = reference.answers(received, [*(each.method for each in sure), b"GET"])
    assert not rest, "half an answer"
    good = [each.body for each in found if each.status == 200]
    refused = [each.status for each in found[len(good) :]]
    assert refused in ([], [400], [408], [413], [414], [431])
    assert len(good) <= len(sure), "more requests than there are"
    assert len(good) == len(sure) or refused, "a request was lost"
    for body, each in zip(good, sure, strict=False):
        assert body == (b"" if each.method == b"HEAD" else b"%b %b: %b" % (each.method, each.target, each.body))


def served(resource: Answering, raw: bytes, cuts: list[int] | None, every: int, streamed: bool) -> bytes:
    """
    :return: all that a client gets who sends this.
    """
    site = Server(resource, wants_stream=(lambda request: True) if streamed else None)
    site.site.protocol = LittleChannel
    client = site.visitor()
    reads = [piece[at : at + READ_BYTES] for piece in pieces(raw, cuts) for at in range(0, len(piece), READ_BYTES)]
    for number, read in enumerate(reads):
        while not client.reading and not client.closed:
            assert resource.breathe(), "nobody reads, and nobody will"
        client.send(read)
        assert len(client.channel._buffer) <= 2 * LITTLE_BYTES + READ_BYTES, "too much is held"
        if number % every == every - 1:
            resource.breathe()
    for _ in range(40):
        while resource.breathe():
            pass
        site.clock.advance(10)
    assert client.closed, "it stays open for ever"
    site.close()
    return client.received


ANY_ANSWERS = st.sampled_from(
    [
        *ANSWERS.values(),
        *(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + rest for headers, rest in SPLITTING.values()),
    ]
)
ANSWER_WORDS = (
    *(b"HTTP/1.1 204 N\r\n", b"HTTP/1.0 200 OK\r\n", b"hello", b"chunked", b"X: y\r\n", EVIL, b"0\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
    *(b"Connection: close\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
)


@fuzzed(
    raw=bent(ANY_ANSWERS | answers(), ANSWER_WORDS, runs=True),
    cuts=CUTS,
    method=st.sampled_from([b"GET", b"POST", b"HEAD"]),
    end=st.sampled_from(["close", "reset", "cancel"]),
    kept=st.booleans(),
    queued=st.booleans(),
    slow=st.booleans(),
)
def test_client(
    raw: bytes, cuts: list[int] | None, method: bytes, end: str, kept: bool, queued: bool, slow: bool
) -> None:
    """
    Whatever a provider sends: the call ends no later than its connection or its caller's patience, a call that waited
    behind it and the next one get their own answers, who speaks out of turn is hung up on, and nothing stays behind.

    :param kept: whether the connection has served another call before.
    :param queued: whether another call waits for this one's connection.
    :param slow: whether the reader of the body pauses at first.
    """
    agent = Client(max_per_origin=1 if queued else None)
    origin = agent.kept() if kept else None
    reader: Any = Reader(pause_at_once=slow)
    call = agent.ask(method, reader=reader)
    other = agent.ask(b"POST") if queued else None
    origin = origin or agent.reactor.accept()
    origin.take()
    for piece in pieces(raw, cuts):
        if call.over and queued:
            # What came now would be an answer to the other call as far as anybody can tell.
            break
        out_of_turn = call.over
        origin.send(piece)
        assert not out_of_turn or origin.closed, "it is listened to out of turn"
        if origin.paused:
            reader.transport.resumeProducing()
            agent.reactor.turn()
    if not call.over:
        if end != "cancel":
            getattr(origin, end)()
        elif call.answered:
            reader.transport.abortConnection()
        else:
            call.deferred.cancel()
    agent.reactor.turn()
    assert call.over, "it hangs"
    if other is not None:
        if agent.reactor.attempts():
            agent.reactor.accept()
        serving = next(each for each in agent.reactor.accepted if each.received and not each.closed)
        serving.take()
        serving.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        assert other.reader is not None
        assert (other.reader.body, other.reader.ended) == (b"other", "ResponseDone")
    next_call_gets_its_own_answer(agent)
    agent.assert_at_rest()
