"""Twisted's own server with bounds, over memory transports."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from zope.interface.verify import verifyClass

from llm_gateway.wire.bounds import IDLE_S, LINGER_BYTES, LINGER_S, MAX_HEADER_BYTES, MAX_HEADERS
from llm_gateway.wire.stock import BoundedRequest, BoundedSite
from tests.memory import Client, MemoryGateway

LIMIT = 1000


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway(max_body_bytes=LIMIT, wire="twisted")
    yield gateway
    gateway.close()


HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: vk_anthropic\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def refused(received: bytes) -> tuple[int, str]:
    """The status of a refusal and its kind in Anthropic's shape."""
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)["error"]["type"]


def test_announced_body_over_the_limit_is_refused_before_it_comes(gateway: MemoryGateway) -> None:
    """413 in your dialect, at once."""
    client = gateway.client()
    client.send(HEAD + b"content-length: 1001\r\n\r\n")
    assert refused(client.received) == (413, "request_too_large")
    assert b"Connection: close" in client.received
    assert gateway.agent.sent == []


def test_client_that_asks_first_is_not_told_to_go_on(gateway: MemoryGateway) -> None:
    """``Expect: 100-continue`` gets the refusal and no 100; a body within the limit gets the 100."""
    client = gateway.client()
    client.send(HEAD + b"expect: 100-continue\r\ncontent-length: 1001\r\n\r\n")
    assert client.received.startswith(b"HTTP/1.1 413")
    polite = gateway.client()
    polite.send(HEAD + b"expect: 100-continue\r\ncontent-length: 1000\r\n\r\n")
    assert polite.received == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_chunked_body_is_refused_when_it_grows_over_the_limit(gateway: MemoryGateway) -> None:
    """Without having been told how long it would be."""
    client = gateway.client()
    client.send(CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    assert client.received == b""
    client.send(b"1\r\nx\r\n")
    assert refused(client.received) == (413, "request_too_large")


def test_refused_client_may_finish_sending(gateway: MemoryGateway) -> None:
    """The connection stays open for the rest of the body, so that the refusal is read; then it closes."""
    client = gateway.client()
    client.send(CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n")
    assert not client.closed
    client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
    assert client.closed
    assert client.received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("slow", [True, False])
def test_refused_client_that_goes_on_and_on_is_cut_off(gateway: MemoryGateway, slow: bool) -> None:
    """After so many seconds, or so many bytes."""
    client = gateway.client()
    client.send(HEAD + b"content-length: 9000000000\r\n\r\n")
    if slow:
        gateway.clock.advance(LINGER_S)
    else:
        piece = b"x" * 1_048_576
        for _ in range(LINGER_BYTES // len(piece) + 1):
            client.send(piece)
    assert client.closed


def test_refused_client_that_leaves_leaves_nothing(gateway: MemoryGateway) -> None:
    """No timer, no file."""
    client = gateway.client()
    client.send(HEAD + b"content-length: 1001\r\n\r\nabc")
    client.leave()
    assert gateway.timers() == 0


def test_body_at_the_limit_passes(gateway: MemoryGateway) -> None:
    """The limit itself is still allowed, whichever way it comes."""
    gateway.client().send(HEAD + b"content-length: 1000\r\n\r\n" + b"x" * 1000)
    gateway.client().send(CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
    assert [len(sent.body) for sent in gateway.agent.sent] == [1000, 1000]


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (HEAD + b"content-length: x\r\n\r\n", 400, "bad_request"),
        (HEAD + b"content-length: 1\r\ncontent-length: 1\r\n\r\n", 400, "bad_request"),
        (HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "bad_request"),
        (CHUNKED + b"xyz\r\n", 400, "bad_request"),
        (HEAD + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431, "headers_too_large"),
        (HEAD + b"a: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\n", 431, "headers_too_large"),
        (HEAD + (b"a: " + b"b" * 10_000 + b"\r\n") * 7 + b"\r\n", 431, "headers_too_large"),
        (b"GET /" + b"x" * MAX_HEADER_BYTES + b" HTTP/1.1\r\n\r\n", 431, "headers_too_large"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_broken_request_is_told_so_and_let_go(gateway: MemoryGateway, raw: bytes, status: int, code: str) -> None:
    """With a whole answer in JSON and a closed connection."""
    client = gateway.client()
    client.send(raw)
    got, headers, body = client.answer()
    assert (got, json.loads(body)["error"]["code"], headers["x-gw-error"]) == (status, code, code)
    assert int(headers["content-length"]) == len(body)
    assert client.closed
    assert headers["x-gw-request-id"] == gateway.record.request_id
    assert (gateway.record.status, gateway.record.ended) == (status, "refused")


def test_long_lists_of_betas_pass(gateway: MemoryGateway) -> None:
    """Coding agents send many long headers."""
    gateway.client().send(HEAD + b"".join(b"anthropic-beta: " + b"b" * 700 + b"\r\n" for _ in range(60)) + b"\r\n")
    assert len(gateway.sent.headers.getRawHeaders(b"anthropic-beta", [])) == 60


def test_silent_connection_is_closed(gateway: MemoryGateway) -> None:
    """Between requests and within one; not while an answer is awaited."""
    idle, half, waiting = gateway.client(), gateway.client(), gateway.client()
    half.send(HEAD)
    waiting.chat()
    gateway.clock.advance(IDLE_S)
    assert (idle.closed, half.closed, waiting.closed) == (True, True, False)


def test_hanging_up_waits_for_what_was_written(gateway: MemoryGateway) -> None:
    """Clients read to the end; one that does not is cut off after a while."""
    prompt, slow = gateway.client(), gateway.client()
    gone = gateway.site.hang_up()
    assert prompt.closed
    prompt.leave()
    assert not gone.called
    gateway.clock.advance(10)
    assert slow.transport.aborted
    slow.leave()
    assert gone.called
    assert gateway.timers() == 0


def test_hanging_up_on_nobody_is_done_at_once(gateway: MemoryGateway) -> None:
    """Nothing to wait for."""
    assert gateway.site.hang_up().called


def test_site_of_its_own_speaks_plainly() -> None:
    """Without a gateway behind it, it knows nothing of dialects."""
    client = Client(BoundedSite(Resource(), reactor=Clock(), max_body_bytes=1))
    client.send(b"nonsense\r\n\r\n")
    assert client.answer()[2] == b"The request is not valid HTTP/1.1.\n"


def test_it_stays_a_request() -> None:
    """Resources of any kind can render it."""
    assert verifyClass(IRequest, BoundedRequest)
