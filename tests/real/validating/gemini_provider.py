"""A provider of the Gemini API that takes only what the real one takes, and answers what a test tells it to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import attrs
import msgspec

from tests.real.provider import Exchange, Provider, Seen, answer_bytes, running_provider
from tests.real.validating.gemini_answers import Answered, Blocked, Broken, Counted, Failing, Play
from tests.real.validating.gemini_rules import Issued, Refused, check, check_count
from tests.real.validating.playing import Playing

__all__ = ["KEY", "GeminiProvider", "running_gemini"]

Json = dict[str, Any]

KEY = "AIzaSy-real-0123456789"
"""The only key that it takes."""

_TARGET = re.compile(r"/v1beta/models/([^/:?]+):(\w+)(?:\?(.*))?")
_QUERIES = {"generateContent": None, "streamGenerateContent": "alt=sse", "countTokens": None}
_HEADERS = {"content-type": "application/json; charset=UTF-8", "vary": "Origin", "server-timing": "gfet4t7; dur=5"}
_STREAM_HEADERS = {
    "content-type": "text/event-stream",
    "content-disposition": "attachment",
    "transfer-encoding": "chunked",
}


class GeminiProvider(Playing[Play]):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.base_url = f"{provider.url}/v1beta"
        self.models: list[str] = []
        """What the paths of those that passed named."""
        self._issued = Issued()
        self._numbers = count()

    @property
    def config(self) -> Json:
        """The last request's ``generationConfig``."""
        config: Json = self.last.get("generationConfig", {})
        return config

    def plays(self, *answers: Play) -> None:
        """
        :param answers: one for each of the next requests.
        """
        for play in answers:
            if isinstance(play, Broken):
                play = attrs.evolve(play, answer=self._remembered(play.answer))
            elif isinstance(play, Answered):
                play = self._remembered(play)
            self._plays.append(play)

    def forget(self) -> None:
        self.models.clear()
        super().forget()

    def _remembered(self, answer: Answered) -> Answered:
        """
        :return: the answer under an id that no other has; what it signs is known.
        """
        for part in (part.part() for parts in (answer.parts, *answer.others) for part in parts):
            signature = part.pop("thoughtSignature", None)
            if signature is not None:
                if "functionCall" in part:
                    part["functionCall"].setdefault("args", {})
                self._issued.signed[signature] = part
        return attrs.evolve(answer, id=f"mrX8aNabBLmX1dkP4Z6j{next(self._numbers)}")

    def _answer(self, exchange: Exchange) -> None:
        try:
            model, document = self._checked(exchange.request)
        except Refused as refused:
            self.refusals.append(refused.message)
            self._fail(exchange, Failing(refused.status, refused.word, refused.message), stream=False)
            return
        self.requests.append(document)
        self.models.append(model)
        play = self._plays.popleft()
        stream = "streamGenerateContent" in exchange.request.target
        if isinstance(play, Failing):
            self._fail(exchange, play, stream=stream)
        elif stream:
            assert isinstance(play, Answered | Blocked | Broken)
            cut = isinstance(play, Broken) and play.failing is None
            self._send_stream(exchange, play.stream(model), _STREAM_HEADERS, cut=cut)
        else:
            assert isinstance(play, Answered | Blocked | Counted)
            whole = play.document() if isinstance(play, Counted) else play.document(model)
            exchange.send(answer_bytes(json.dumps(whole, indent=2, ensure_ascii=False).encode(), fields=_HEADERS))

    def _checked(self, request: Seen) -> tuple[str, Json]:
        asked = _TARGET.fullmatch(request.target)
        if request.method != "POST" or asked is None or asked[2] not in _QUERIES or asked[3] != _QUERIES[asked[2]]:
            raise Refused(f"{request.method} {request.target}", 404, "NOT_FOUND")
        if request.value("x-goog-api-key") != KEY or request.value("authorization") is not None:
            raise Refused("API key not valid. Please pass a valid API key.")
        if request.value("content-type") != "application/json":
            raise Refused("content-type: must be application/json")
        strays = [
            name
            for name in request.names()
            if name.startswith(("openai-", "anthropic-", "x-stainless-", "cookie", "x-app", "originator", "session"))
        ]
        if strays or any(b"vk_" in value for _, value in request.fields):
            raise Refused(f"headers that belong to the caller's own dialect, or its key: {strays}")
        try:
            document: Json = msgspec.json.decode(request.body)
        except msgspec.DecodeError as error:
            raise Refused(f"Invalid JSON payload received. {error}") from error
        (check_count if asked[2] == "countTokens" else check)(document, asked[1], self._issued)
        if not self._plays:
            raise Refused("no test told what to answer", 500, "INTERNAL")
        return asked[1], document

    def _fail(self, exchange: Exchange, failing: Failing, *, stream: bool) -> None:
        # Where a stream was asked for, a list stands around the error.
        document = [failing.document()] if stream else failing.document()
        body = json.dumps(document, indent=2).encode()
        self._send_failure(exchange, failing.status, body, {**_HEADERS, **failing.headers})


@contextmanager
def running_gemini() -> Iterator[GeminiProvider]:
    """One for the length of a block."""
    with running_provider() as provider:
        yield GeminiProvider(provider)
