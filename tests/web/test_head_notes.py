"""What is worked out once for a head that comes again counts only while nothing else has changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.memory import USUAL, Client, MemoryGateway, configuration, provider, virtual_key
from tests.wires import WIRE

pytestmark = pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own HTTP does not know heads again")

OFTEN = 6
"""Requests with one head, after which it is known."""


def answered(gateway: MemoryGateway, client: Client) -> int:
    """Ask once more over the same connection, as before."""
    client.transport.clear()
    client.chat()
    if gateway.agent.sent and not gateway.agent.sent[-1].answered.called:
        response = gateway.agent.sent[-1].answer()
        response.write(b"{}")
        response.end()
    return client.answer()[0]


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway()
    yield gateway
    gateway.close()


@pytest.fixture
def client(gateway: MemoryGateway) -> Client:
    """Whose head is known."""
    client = gateway.client()
    assert [answered(gateway, client) for _ in range(OFTEN)] == [200] * OFTEN
    return client


def test_each_call_is_sent_with_the_same_headers(gateway: MemoryGateway, client: Client) -> None:
    # One and the same, or nothing of what follows is about heads that are known.
    assert gateway.agent.sent[-1].headers is gateway.agent.sent[-2].headers
    first, *others = [dict(sent.headers.getAllRawHeaders()) for sent in gateway.agent.sent]
    assert len(others) == OFTEN - 1
    assert all(each == first for each in others)
    assert len({record.request_id for record in gateway.records.written}) == OFTEN


def test_key_that_is_taken_away_opens_nothing(gateway: MemoryGateway, client: Client) -> None:
    gateway.use(replace(USUAL, keys={}, credentials={}))
    assert answered(gateway, client) == 401
    assert len(gateway.agent.sent) == OFTEN


def test_real_key_that_is_replaced_is_not_sent_again(gateway: MemoryGateway, client: Client) -> None:
    key = virtual_key("vk_openai", "openai", "sk-real-new-0123456789")
    gateway.use(configuration([key], [provider("openai", "https://new.test/v1/chat/completions")]))
    assert answered(gateway, client) == 200
    sent = gateway.agent.sent[-1]
    assert sent.url == b"https://new.test/v1/chat/completions"
    assert sent.headers.getRawHeaders(b"authorization") == [b"Bearer sk-real-new-0123456789"]


def test_another_head_is_another_call(gateway: MemoryGateway, client: Client) -> None:
    """A key that is nearly the same, on the same connection."""
    client.transport.clear()
    client.ask("POST", "/v1/chat/completions", b'{"model":"gpt"}', authorization="Bearer vk_openaj")
    assert client.answer()[0] == 401
    assert answered(gateway, client) == 200
