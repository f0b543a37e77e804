"""What the provider of the Messages API is told to answer: one value for the whole answer and for its stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

__all__ = ["USAGE", "Answered", "Broken", "Called", "Counted", "Failing", "Found", "Redacted", "Said", "Thought"]

Json = dict[str, Any]

USAGE: Json = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 17,
    "service_tier": "standard",
}
"""As the API reports it."""

_PIECE = 7
"""Characters in a delta of a text; enough that words and JSON break anywhere."""


@attrs.frozen
class Said:
    """A text, perhaps with citations."""

    text: str
    citations: tuple[Json, ...] = ()

    def block(self) -> Json:
        return {"type": "text", "text": self.text, **({"citations": list(self.citations)} if self.citations else {})}

    def begun(self) -> Json:
        return {"type": "text", "text": ""}

    def deltas(self) -> Iterator[Json]:
        yield from ({"type": "text_delta", "text": piece} for piece in _pieces(self.text))
        yield from ({"type": "citations_delta", "citation": each} for each in self.citations)


@attrs.frozen
class Thought:
    """A signed thought; the text is empty where the caller does not want it shown."""

    text: str
    signature: str

    def block(self) -> Json:
        return {"type": "thinking", "thinking": self.text, "signature": self.signature}

    def begun(self) -> Json:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self) -> Iterator[Json]:
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(self.text))
        yield {"type": "signature_delta", "signature": self.signature}


@attrs.frozen
class Redacted:
    """A thought that nobody may read."""

    data: str

    def block(self) -> Json:
        return {"type": "redacted_thinking", "data": self.data}

    def begun(self) -> Json:
        return self.block()

    def deltas(self) -> Iterator[Json]:
        return iter(())


@attrs.frozen
class Called:
    """A call of a tool."""

    id: str
    name: str
    input: Json

    def block(self) -> Json:
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": self.input, "caller": {"type": "direct"}}

    def begun(self) -> Json:
        return {**self.block(), "input": {}}

    def deltas(self) -> Iterator[Json]:
        # The first one is always empty, and stays the only one of a call without arguments.
        pieces = _pieces(json.dumps(self.input)) if self.input else []
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces])


@attrs.frozen
class Found:
    """What a tool that the provider runs itself has to do with the answer: blocks that only this dialect has."""

    query: str

    def block(self) -> Json:
        return {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": self.query}}

    def begun(self) -> Json:
        return {**self.block(), "input": {}}

    def deltas(self) -> Iterator[Json]:
        yield from (
            {"type": "input_json_delta", "partial_json": p} for p in ["", *_pieces(json.dumps({"query": self.query}))]
        )


Block = Said | Thought | Redacted | Called | Found


@attrs.frozen
class Answered:
    """An answer that comes to its end."""

    blocks: tuple[Block, ...]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Json | None = None
    usage: Json = USAGE
    id: str = "msg_01XFDUDYJgAACzvnptvVoYEL"

    def document(self, model: str) -> Json:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [block.block() for block in self.blocks],
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
            "usage": self.usage,
        }

    def stream(self, model: str) -> Iterator[bytes]:
        """
        :return: the events: numbers of the prompt at the start, all of them at the end, a ping where the API has it.
        """
        start = {
            **self.document(model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
        }
        start["usage"] = {**self.usage, "output_tokens": 1}
        yield event("message_start", message=start)
        for index, block in enumerate(self.blocks):
            yield event("content_block_start", index=index, content_block=block.begun())
            if index == 0:
                yield event("ping")
            for delta in block.deltas():
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        counted = {name: count for name, count in self.usage.items() if name not in ("cache_creation", "service_tier")}
        delta = {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
        }
        yield event("message_delta", delta=delta, usage=counted)
        yield event("message_stop")


@attrs.frozen
class Failing:
    """An error in place of an answer."""

    status: int
    kind: str
    message: str = "no"
    headers: dict[str, str] = attrs.Factory(dict)
    details: Json | None = None

    def document(self) -> Json:
        more = {} if self.details is None else {"details": self.details}
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message, **more},
            "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
        }


@attrs.frozen
class Broken:
    """A stream that does not come to its end."""

    answer: Answered
    events: int
    """How many of the answer's events come."""
    failing: Failing | None = None
    """The error event behind them; without one the connection is closed."""

    def stream(self, model: str) -> Iterator[bytes]:
        for _, each in zip(range(self.events), self.answer.stream(model), strict=False):
            yield each
        if self.failing is not None:
            yield event(**{**self.failing.document(), "kind": "error"})


@attrs.frozen
class Counted:
    """How many tokens a prompt has."""

    tokens: int

    def document(self) -> Json:
        return {"input_tokens": self.tokens}


Play = Answered | Failing | Broken | Counted


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
