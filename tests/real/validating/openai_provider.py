"""A provider of OpenAI's dialects that takes only what the real ones take, and answers what a test tells it to."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.real.provider import LAST_CHUNK, Exchange, Provider, Seen, answer_bytes, chunk, head_bytes, running_provider
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
_READ = 61
"""Bytes that go out at once: neither events nor characters end there."""

_STRAYS = ("anthropic-", "x-goog-", "x-stainless-", "x-api-key", "cookie", "openai-organization")
_PHRASES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class OpenAIProvider:
    """Plays one answer after the other, to requests that pass."""

    def __init__(self, provider: Provider) -> None:
        self.base_url = f"{provider.url}/v1"
        """OpenAI itself, with both of its APIs."""
        self.deepseek_url = f"{provider.url}/deepseek"
        self.openrouter_url = f"{provider.url}/openrouter"
        self.google_url = f"{provider.url}/google"
        self.requests: list[Json] = []
        """The bodies of those that passed."""
        self.refusals: list[str] = []
        """What was wrong with those that did not. A test that does not empty the list fails at its end."""
        self._provider = provider
        self._plays: deque[Play] = deque()
        self._issued = Issued()
        provider.script = self._answer

    @property
    def last(self) -> Json:
        return self.requests[-1]

    @property
    def seen(self) -> Seen:
        """The last request with its headers."""
        return self._provider.seen[-1]

    def plays(self, *answers: Play) -> None:
        """
        :param answers: one for each of the next requests.
        """
        self._plays.extend(answers)
        for play in answers:
            answer = play.answer if isinstance(play, Broken) else play
            if isinstance(answer, Answered):
                self._remember(answer)

    def forget(self) -> None:
        """
        Begin anew; what was sealed stays known.

        :raises AssertionError: a request was refused, or an answer was not asked for.
        """
        refusals, unplayed = list(self.refusals), len(self._plays)
        self.requests.clear()
        self.refusals.clear()
        self._plays.clear()
        assert not refusals, refusals
        assert not unplayed, f"{unplayed} answers were not asked for"

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
            self._stream(exchange, self._events(play, document, exchange.request.target), cut=cut)
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
        status = f"{failing.status} {_PHRASES.get(failing.status, 'Error')}"
        body = msgspec.json.encode({"error": failing.error()})
        exchange.send(answer_bytes(body, status=status, fields={**_HEADERS, **failing.headers}))

    def _stream(self, exchange: Exchange, events: Iterable[bytes], *, cut: bool) -> None:
        exchange.send(head_bytes(fields=_STREAM_HEADERS))
        data = b"".join(events)
        for at in range(0, len(data), _READ):
            exchange.send(chunk(data[at : at + _READ]))
        if cut:
            exchange.connection.close()
        else:
            exchange.send(LAST_CHUNK)


@contextmanager
def running_openai() -> Iterator[OpenAIProvider]:
    """One for the length of a block."""
    with running_provider() as provider:
        yield OpenAIProvider(provider)
