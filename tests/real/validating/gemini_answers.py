"""What the provider of ``generateContent`` is told to answer: one value for the whole answer and for its stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

__all__ = [
    "USAGE",
    "Answered",
    "Blocked",
    "Broken",
    "Called",
    "Counted",
    "Drawn",
    "Failing",
    "Play",
    "Ran",
    "Said",
    "Thought",
    "details",
]

Json = dict[str, Any]

USAGE: Json = {
    "promptTokenCount": 21,
    "candidatesTokenCount": 17,
    "totalTokenCount": 38,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 21}],
}
"""As the API reports it: what is 0 is left out."""

_PIECE = 9
"""Characters in a chunk of a text; enough that words and JSON break anywhere."""


@attrs.frozen
class Said:
    """A text, perhaps signed."""

    text: str
    signature: str | None = None

    def part(self) -> Json:
        return {"text": self.text, **_signed(self.signature)}

    def pieces(self) -> Iterator[Json]:
        yield from ({"text": piece} for piece in _cut(self.text))
        if self.signature is not None:
            # It comes behind the text, on a part of its own.
            yield {"text": "", **_signed(self.signature)}


@attrs.frozen
class Thought:
    """A summary of what the model thought."""

    text: str
    signature: str | None = None

    def part(self) -> Json:
        return {"text": self.text, "thought": True, **_signed(self.signature)}

    def pieces(self) -> Iterator[Json]:
        *some, last = _cut(self.text)
        yield from ({"text": piece, "thought": True} for piece in some)
        yield {"text": last, "thought": True, **_signed(self.signature)}


@attrs.frozen
class Called:
    """A call of a function; of several at once only the first one is signed."""

    name: str
    args: Json | None = None
    id: str | None = None
    signature: str | None = None

    def part(self) -> Json:
        call: Json = {"name": self.name}
        if self.args is not None:
            call["args"] = self.args
        if self.id is not None:
            call["id"] = self.id
        return {"functionCall": call, **_signed(self.signature)}

    def pieces(self) -> Iterator[Json]:
        yield self.part()


@attrs.frozen
class Drawn:
    """A picture."""

    data: str
    mime_type: str = "image/png"

    def part(self) -> Json:
        return {"inlineData": {"mimeType": self.mime_type, "data": self.data}}

    def pieces(self) -> Iterator[Json]:
        yield self.part()


@attrs.frozen
class Ran:
    """Code that the model ran itself: parts that only this dialect has."""

    code: str

    def part(self) -> Json:
        return {"executableCode": {"language": "PYTHON", "code": self.code}}

    def pieces(self) -> Iterator[Json]:
        yield self.part()


Part = Said | Thought | Called | Drawn | Ran


@attrs.frozen
class Answered:
    """An answer that comes to its end."""

    parts: tuple[Part, ...]
    finish: str = "STOP"
    message: str | None = None
    """Why it ended, in words."""
    usage: Json = USAGE
    grounding: Json | None = None
    """Where its text comes from."""
    logprobs: Json | None = None
    others: tuple[tuple[Part, ...], ...] = ()
    """More candidates, that end for the same reason."""
    id: str = "mrX8aNabBLmX1dkP4Z6j2Qw"

    def document(self, model: str) -> Json:
        candidates = []
        for index, parts in enumerate((self.parts, *self.others)):
            content: Json = {"parts": [part.part() for part in parts], "role": "model"} if parts else {}
            candidates.append({"content": content, "index": index, **self._ending()})
        return {"candidates": candidates, "usageMetadata": self.usage, **self._names(model)}

    def stream(self, model: str) -> Iterator[bytes]:
        """
        :return: the chunks: whole parts or pieces of texts, the numbers of the prompt in each, the reason in the last.
        """
        prompt = {
            "promptTokenCount": self.usage["promptTokenCount"],
            "totalTokenCount": self.usage["promptTokenCount"],
        }
        held: list[Json] = []
        for index, parts in enumerate((self.parts, *self.others)):
            pieces = [piece for part in parts for piece in part.pieces()]
            if not pieces or "functionCall" in pieces[-1]:
                pieces.append({"text": ""})
            *some, last = pieces
            for piece in some:
                candidate = {"content": {"parts": [piece], "role": "model"}, "index": index}
                yield event({"candidates": [candidate], "usageMetadata": prompt, **self._names(model)})
            held.append({"content": {"parts": [last], "role": "model"}, "index": index, **self._ending()})
        yield event({"candidates": held, "usageMetadata": self.usage, **self._names(model)})

    def _ending(self) -> Json:
        fields = {
            "finishReason": self.finish,
            "finishMessage": self.message,
            "groundingMetadata": self.grounding,
            "logprobsResult": self.logprobs,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _names(self, model: str) -> Json:
        return {"modelVersion": model, "responseId": self.id}


@attrs.frozen
class Blocked:
    """No answer, because of the prompt."""

    reason: str

    def document(self, model: str) -> Json:
        usage = {"promptTokenCount": 21, "totalTokenCount": 21}
        return {"promptFeedback": {"blockReason": self.reason}, "usageMetadata": usage, "modelVersion": model}

    def stream(self, model: str) -> Iterator[bytes]:
        yield event(self.document(model))


@attrs.frozen
class Failing:
    """An error in place of an answer."""

    status: int
    word: str
    message: str = "no"
    details: tuple[Json, ...] = ()
    headers: dict[str, str] = attrs.Factory(dict)

    def document(self) -> Json:
        error: Json = {"code": self.status, "message": self.message, "status": self.word}
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


@attrs.frozen
class Broken:
    """A stream that does not come to its end."""

    answer: Answered
    chunks: int
    """How many of the answer's chunks come."""
    failing: Failing | None = None
    """The error behind them; without one the connection is closed."""

    def stream(self, model: str) -> Iterator[bytes]:
        for _, each in zip(range(self.chunks), self.answer.stream(model), strict=False):
            yield each
        if self.failing is not None:
            yield event(self.failing.document())


@attrs.frozen
class Counted:
    """How many tokens a prompt has."""

    tokens: int

    def document(self) -> Json:
        return {
            "totalTokens": self.tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self.tokens}],
        }


Play = Answered | Blocked | Failing | Broken | Counted


def event(document: Json) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(document, ensure_ascii=False)}\r\n\r\n".encode()


def details(kind: str, **fields: Any) -> Json:
    """One of an error's details."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def _signed(signature: str | None) -> Json:
    return {} if signature is None else {"thoughtSignature": signature}


def _cut(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)] or [""]
