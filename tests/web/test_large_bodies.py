"""A call with an image in it waits in a file, and is sent from there: no copy of it is ever in memory."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import pytest
from msgspec.structs import replace
from twisted.internet.task import Cooperator
from twisted.internet.testing import StringTransport

from llm_gateway.core.model_rules import ModelRule, ModelRules
from tests.memory import MemoryGateway, configuration, provider, virtual_key
from tests.web.accounted import AccountedGateway

IMAGE = "A" * 5_000_000
LARGEST = len(IMAGE) // 2
"""A body goes to a file when it is longer than a megabyte; until then it is in memory."""

READ_BYTES = 65_536

RULES = {
    "untouched": None,
    "one of the key's models": ModelRules([ModelRule("gpt-*")]),
    "called otherwise": ModelRules([ModelRule("gpt-5", "deployment-5")]),
}


class Digest(StringTransport):
    """A provider's side that keeps nothing of what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.seen.update(data)


@pytest.mark.parametrize("kind", [MemoryGateway, AccountedGateway])
@pytest.mark.parametrize("models", RULES.values(), ids=RULES)
def test_image_is_relayed_without_a_copy_of_it(
    models: ModelRules | None, kind: type[MemoryGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"messages": [{"role": "user", "content": IMAGE}], "model": "gpt-5", "stream": kind is AccountedGateway}
    body = json.dumps(said).encode()
    expected = body
    if models is RULES["called otherwise"]:
        expected = body.replace(b'"model": "gpt-5"', b'"model": "deployment-5"')
    if kind is AccountedGateway:
        expected = b'{"stream_options":{"include_usage":true},' + expected[1:]
    pieces = [body[at : at + READ_BYTES] for at in range(0, len(body), READ_BYTES)]
    key = replace(virtual_key("vk_openai", "openai"), models=models)
    known = configuration([key], [provider("openai", "https://o.test/v1/chat/completions")])
    gateway = kind(known, max_body_bytes=10_000_000)
    cooperator = Cooperator(scheduler=lambda step: gateway.clock.callLater(0, step))
    monkeypatch.setattr("twisted.internet.task.cooperate", cooperator.cooperate)
    monkeypatch.setattr("tests.memory.StringTransport", Digest)
    client = gateway.client()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer vk_openai\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        for piece in pieces:
            client.send(piece)
        for _ in range(2 * len(pieces)):
            gateway.clock.advance(0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    written = gateway.sent.written
    assert isinstance(written, Digest)
    assert written.seen.hexdigest() == hashlib.sha256(expected).hexdigest()
    assert peak - before < LARGEST
    gateway.close()
