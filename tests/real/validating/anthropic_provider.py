"""A provider of the Messages API that takes only what the real one takes, and answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.real.provider import Exchange, Provider, Seen, answer_bytes, running_provider
from tests.real.validating.anthropic_answers import Answered, Broken, Called, Counted, Failing, Play, Redacted, Thought
from tests.real.validating.anthropic_rules import Issued, Refused, check
from tests.real.validating.playing import Playing

__all__ = ["KEY", "AnthropicProvider", "running_anthropic"]

Json = dict[str, Any]

KEY = "sk-ant-real-0123456789"
"""The only key that it takes."""

_COUNT = "/v1/messages/count_tokens"
_VERSIONS = ("2023-06-01", "2026-10-21")
_HEADERS = {"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy", "anthropic-organization-id": "org-1"}
_STREAM_HEADERS = {
    **_HEADERS,
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "transfer-encoding": "chunked",
}


class AnthropicProvider(Playing[Play]):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.url = f"{provider.url}/v1/messages"
        self._issued = Issued()

    def plays(self, *answers: Play) -> None:
        """
        :param answers: one for each of the next requests.
        """
        self._plays.extend(answers)
        for play in answers:
            answer = play.answer if isinstance(play, Broken) else play
            if isinstance(answer, Answered):
                self._remember(answer)

    def _remember(self, answer: Answered) -> None:
        order = []
        for block in answer.blocks:
            if isinstance(block, Thought):
                self._issued.thoughts[block.signature] = block.text
                order.append(block.signature)
            elif isinstance(block, Redacted):
                self._issued.redacted.add(block.data)
                order.append(block.data)
            elif isinstance(block, Called):
                order.append(block.id)
        self._issued.orders.append(order)

    def _answer(self, exchange: Exchange) -> None:
        try:
            document = self._checked(exchange.request)
        except Refused as refused:
            self.refusals.append(refused.message)
            self._fail(exchange, Failing(refused.status, refused.kind, refused.message))
            return
        self.requests.append(document)
        play = self._plays.popleft()
        assert isinstance(play, Failing) or isinstance(play, Counted) == (exchange.request.target == _COUNT)
        if isinstance(play, Failing):
            self._fail(exchange, play)
        elif isinstance(play, Counted):
            exchange.send(answer_bytes(msgspec.json.encode(play.document()), fields=_HEADERS))
        elif document.get("stream"):
            cut = isinstance(play, Broken) and play.failing is None
            self._send_stream(exchange, play.stream(document["model"]), _STREAM_HEADERS, cut=cut)
        else:
            assert isinstance(play, Answered)
            exchange.send(answer_bytes(msgspec.json.encode(play.document(document["model"])), fields=_HEADERS))

    def _checked(self, request: Seen) -> Json:
        if request.method != "POST" or request.target not in ("/v1/messages", _COUNT):
            raise Refused(f"{request.method} {request.target}", 404, "not_found_error")
        if request.value("x-api-key") != KEY or request.value("authorization") is not None:
            raise Refused("invalid x-api-key", 401, "authentication_error")
        version = request.value("anthropic-version")
        if version not in _VERSIONS:
            raise Refused("anthropic-version: header is required")
        if request.value("content-type") != "application/json":
            raise Refused("content-type: must be application/json")
        strays = [name for name in request.names() if name.startswith(("openai-", "x-goog-", "x-stainless-", "cookie"))]
        if strays or any(b"vk_" in value for _, value in request.fields):
            raise Refused(f"headers that belong to the caller's own dialect, or its key: {strays}")
        if not self._plays:
            raise Refused("no test told what to answer", 500, "api_error")
        try:
            document: Json = msgspec.json.decode(request.body)
        except msgspec.DecodeError as error:
            raise Refused(f"The request body is not valid JSON: {error}") from error
        check(document, version, self._issued, counting=request.target == _COUNT)
        return document

    def _fail(self, exchange: Exchange, failing: Failing) -> None:
        body = msgspec.json.encode(failing.document())
        self._send_failure(exchange, failing.status, body, {**_HEADERS, **failing.headers})


@contextmanager
def running_anthropic() -> Iterator[AnthropicProvider]:
    """One for the length of a block."""
    with running_provider() as provider:
        yield AnthropicProvider(provider)
