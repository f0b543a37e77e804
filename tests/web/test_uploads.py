"""Large bodies, passed on while they come."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface.verify import verifyObject

from llm_gateway.web.uploads import STREAMED_BYTES, StreamedBody
from tests.memory import MemoryGateway

LIMIT = 3 * STREAMED_BYTES
PIECE = b"x" * 65_536
HEAD = b"POST /v1/files HTTP/1.1\r\nhost: g\r\nauthorization: Bearer vk_openai\r\ncontent-type: multipart/form-data\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
KNOWN = HEAD + b"content-length: %d\r\n\r\n" % (2 * STREAMED_BYTES)


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway(max_body_bytes=LIMIT, wire="llhttp")
    yield gateway
    gateway.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(("head", "wrap"), [(KNOWN, bytes), (CHUNKED, chunk)], ids=["length", "chunked"])
def test_upload_reaches_the_provider_while_it_comes(gateway: MemoryGateway, head: bytes, wrap: type[bytes]) -> None:
    """Nothing of it waits here, and its length is as the client said."""
    client = gateway.client()
    client.send(head + wrap(PIECE))
    assert gateway.sent.body == PIECE
    for _ in range(31):
        client.send(wrap(PIECE))
    if head is CHUNKED:
        client.send(b"0\r\n\r\n")
    assert gateway.sent.body == PIECE * 32
    assert gateway.sent.producer is not None
    assert gateway.sent.producer.length == (UNKNOWN_LENGTH if head is CHUNKED else 2 * STREAMED_BYTES)
    response = gateway.sent.answer()
    response.write(b"{}")
    response.end()
    assert client.answer()[0] == 200
    assert (gateway.record.bytes_in, gateway.record.ended) == (2 * STREAMED_BYTES, "ok")


def test_slow_provider_slows_the_upload(gateway: MemoryGateway) -> None:
    """What the provider does not take yet is not read from the client."""
    client = gateway.client()
    client.send(KNOWN + PIECE)
    producer = gateway.sent.producer
    assert producer is not None
    producer.pauseProducing()
    client.send(PIECE)
    assert gateway.sent.body == PIECE
    assert client.transport.producerState == "paused"
    producer.resumeProducing()
    assert gateway.sent.body == PIECE * 2
    assert client.transport.producerState == "producing"


def test_upload_without_a_key_is_not_read(gateway: MemoryGateway) -> None:
    """It is refused before it has come, and takes neither memory nor disk."""
    client = gateway.client()
    client.send(KNOWN.replace(b"vk_openai", b"vk_stranger") + PIECE)
    assert client.answer()[0] == 401
    assert gateway.agent.sent == []


def test_upload_that_grows_over_the_limit_is_413(gateway: MemoryGateway) -> None:
    """Also when nobody said how long it would be, and part of it is with the provider already."""
    client = gateway.client()
    client.send(CHUNKED)
    for _ in range(LIMIT // len(PIECE) + 1):
        client.send(chunk(PIECE))
    status, _, body = client.answer()
    assert (status, json.loads(body)["error"]["code"]) == (413, "request_too_large")
    assert gateway.record.error == "request_too_large"


def test_upload_that_breaks_off_is_400(gateway: MemoryGateway) -> None:
    """Something that is no chunk."""
    client = gateway.client()
    client.send(CHUNKED + chunk(PIECE) + b"nonsense\r\n")
    assert client.answer()[0] == 400


def test_client_leaving_in_its_upload_hangs_up_provider(gateway: MemoryGateway) -> None:
    """Half a body is of no use to anybody."""
    client = gateway.client()
    client.send(KNOWN + PIECE)
    client.leave()
    assert gateway.sent.cancelled
    assert gateway.record.ended == "client_gone"
    assert gateway.timers() == 0


def test_answer_that_comes_early_is_passed_on(gateway: MemoryGateway) -> None:
    """A provider may refuse what it has not read to the end."""
    client = gateway.client()
    client.send(KNOWN + PIECE)
    response = gateway.sent.answer(413)
    response.write(b"{}")
    response.end()
    assert client.answer()[0] == 413
    client.send(PIECE)
    assert len(gateway.agent.sent) == 1


@pytest.mark.parametrize("content_type", [b"application/json", b"application/vnd.api+JSON"])
def test_json_is_gathered(gateway: MemoryGateway, content_type: bytes) -> None:
    """The model is in it."""
    client = gateway.client()
    client.send(CHUNKED.replace(b"multipart/form-data", content_type) + chunk(b'{"model":"m"'))
    assert gateway.agent.sent == []
    client.send(chunk(b"}") + b"0\r\n\r\n")
    assert gateway.sent.body == b'{"model":"m"}'


def test_streamed_body_is_a_body_producer() -> None:
    """As agents ask for one."""
    assert verifyObject(IBodyProducer, StreamedBody(lambda protocol: None, 1, 2, lambda size: None))
