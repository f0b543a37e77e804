"""A provider of OpenAI's dialects that takes only what the real ones take, and answers what a test tells it to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.real.provider import Exchange, Provider, Seen, answer_bytes, running_provider
from tests.real.validating.openai_answers import Answered, Broken, Called, Failing, Play, Thought
from tests.real.validating.openai_chat_answers import DONE, chat_document, chat_failure, chat_stream, details_of
from tests.real.validating.openai_chat_rules import check_chat, check_deepseek, check_google, check_openrouter
from tests.real.validating.openai_common import Issued, Json, Refused
from tests.real.validating.openai_responses_answers import (
    item_of,
    response_document,
    response_failure,
    response_stream,
)
from tests.real.validating.openai_responses_rules import check_response
from tests.real.validating.playing import Playing

__all__ = ["KEY", "OpenAIProvider", "running_openai"]

KEY = "sk-proj-real-0123456789"
"""The only key that it takes."""

_CHAT = {
    "/v1/chat/completions": "openai",
    "/deepseek/chat/completions": "deepseek",
    "/openrouter/chat/completions": "openrouter",
    "/google/chat/completions": "google",
}
_RESPONSES = "/v1/responses"

_HEADERS = {"x-request-id": "req_8e7a4b", "openai-organization": "org-1", "openai-processing-ms": "31"}
_STREAM_HEADERS = {
    **_HEADERS,
    "content-type": "text/event-stream; charset=utf-8",
    "transfer-encoding": "chunked",
}
_STRAYS = ("anthropic-", "x-goog-", "x-stainless-", "x-api-key", "cookie", "openai-organization")


class OpenAIProvider(Playing[Play]):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.base_url = f"{provider.url}/v1"
        """OpenAI itself, with both of its APIs."""
        self.deepseek_url = f"{provider.url}/deepseek"
        self.openrouter_url = f"{provider.url}/openrouter"
        self.google_url = f"{provider.url}/google"
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
        for block in answer.blocks:
            if isinstance(block, Called) and block.signature is not None:
                self._issued.signatures[block.id] = block.signature
        thoughts = [block for block in answer.blocks if isinstance(block, Thought)]
        for block, behind in itertools.zip_longest(answer.blocks, answer.blocks[1:]):
            if not isinstance(block, Thought) or block.seal is None:
                continue
            self._issued.items[block.seal] = item_of(block, 0, seals=True)
            self._issued.details[block.seal] = details_of(block, thoughts.index(block))
            if behind is not None:
                self._issued.behind[block.seal] = item_of(behind, 0, seals=True)["type"]

    def _answer(self, exchange: Exchange) -> None:
        try:
            document = self._checked(exchange.request)
        except Refused as refused:
            self.refusals.append(refused.message)
            failing = Failing(refused.status, refused.message, refused.kind, refused.code, refused.param)
            self._fail(exchange, failing)
            return
        self.requests.append(document)
        play = self._plays.popleft()
        if isinstance(play, Failing):
            self._fail(exchange, play)
        elif document.get("stream"):
            cut = isinstance(play, Broken) and play.failing is None
            events = self._events(play, document, exchange.request.target)
            self._send_stream(exchange, events, _STREAM_HEADERS, cut=cut)
        else:
            assert isinstance(play, Answered)
            target = exchange.request.target
            whole = (
                response_document(play, document)
                if target == _RESPONSES
                else chat_document(play, document["model"], _CHAT[target])
            )
            exchange.send(answer_bytes(msgspec.json.encode(whole), fields=_HEADERS))

    def _events(self, play: Answered | Broken, document: Json, target: str) -> Iterator[bytes]:
        answer = play if isinstance(play, Answered) else play.answer
        if target == _RESPONSES:
            events = response_stream(answer, document)
        else:
            wanted = bool((document.get("stream_options") or {}).get("include_usage"))
            events = chat_stream(answer, document["model"], _CHAT[target], usage=wanted)
        if isinstance(play, Answered):
            yield from events
            if target != _RESPONSES:
                yield DONE
            return
        yield from itertools.islice(events, play.events)
        if play.failing is not None:
            yield (
                response_failure(answer, document, play.failing, play.events, failed=play.failed)
                if target == _RESPONSES
                else chat_failure(play.failing)
            )

    def _checked(self, request: Seen) -> Json:
        if request.method != "POST" or request.target not in (*_CHAT, _RESPONSES):
            raise Refused(f"Invalid URL ({request.method} {request.target})", status=404)
        if request.value("authorization") != f"Bearer {KEY}":
            raise Refused("Incorrect API key provided.", None, "invalid_api_key", status=401)
        if request.value("content-type") != "application/json":
            raise Refused("you must provide a model parameter")
        strays = [name for name in request.names() if name.lower().startswith(_STRAYS)]
        if strays or any(b"vk_" in value for _, value in request.fields):
            raise Refused(f"headers that belong to the caller's own dialect, or its key: {strays}")
        try:
            document: Any = msgspec.json.decode(request.body)
        except msgspec.DecodeError as error:
            raise Refused(f"We could not parse the JSON body of your request: {error}") from error
        self._check(document, request.target)
        if not self._plays:
            raise Refused("no test told what to answer", status=500, kind="server_error")
        checked: Json = document
        return checked

    def _check(self, document: Any, target: str) -> None:
        match _CHAT.get(target):
            case None:
                check_response(document, self._issued)
            case "openai":
                check_chat(document)
            case "deepseek":
                check_deepseek(document)
            case "google":
                check_google(document, self._issued)
            case _:
                check_openrouter(document, self._issued)

    def _fail(self, exchange: Exchange, failing: Failing) -> None:
        body = msgspec.json.encode({"error": failing.error()})
        self._send_failure(exchange, failing.status, body, {**_HEADERS, **failing.headers})


@contextmanager
def running_openai() -> Iterator[OpenAIProvider]:
    """One for the length of a block."""
    with running_provider() as provider:
        yield OpenAIProvider(provider)
