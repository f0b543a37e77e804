"""The same call and the same stream in each of the dialects that a gateway may translate between."""

from __future__ import annotations

import json
from typing import Any

import attrs

from benchmarks.shapes import ANSWERED, CONTENT, EVENTS, LAST_EVENT, MODEL, PATH, StreamCheck, answer, call_body, event

CHAT, RESPONSES, MESSAGES, GEMINI = "chat", "responses", "messages", "gemini"

_LIMIT = 4096
"""Tokens of the answer: some dialects demand that a call says so, and what it says is then told to all providers."""


@attrs.frozen
class Spoken:
    """One dialect: how a caller asks for a stream, and how a provider streams."""

    name: str
    dialect: str
    """As configuration calls it."""
    path: str
    """Of a call for a stream."""
    key_header: str
    """With a place for the key."""
    call: bytes
    """The body of a call for a stream, about 1 KB."""
    opening: bytes
    """What stands before the first event that says something."""
    template: bytes
    """Of such an event, with places for its number and the clock."""
    closing: bytes
    """What stands behind the last of them."""
    end: bytes
    """What is in ``closing`` and nowhere else."""
    answer: bytes
    """To a call without a stream, about 1 KB."""
    repeats: bool = False
    """Whether ``closing`` says again what was said."""
    events: int = EVENTS
    """That say something."""

    def asks_for_stream(self, body: bytes) -> bool:
        """
        :param body: of a call for this path.
        """
        return self.name == GEMINI or bool(json.loads(body).get("stream"))

    def event(self, number: int, clock_ns: int) -> bytes:
        """
        :param number: its place, from 0.
        :param clock_ns: ``time.monotonic_ns()`` at sending; 0 for not told.
        """
        return self.template % (number, clock_ns)

    def check(self) -> StreamCheck:
        """What reads one of its streams."""
        return StreamCheck(self.end, repeats=self.repeats, events=self.events)


def _named(**document: Any) -> bytes:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()


def _template(prefix: bytes, suffix: bytes) -> bytes:
    """The pieces around an event's content are JSON: there is no ``%`` in them."""
    return prefix + CONTENT + suffix


def _chat() -> Spoken:
    call: dict[str, Any] = json.loads(call_body(stream=True))
    prefix, _, suffix = event(0, 0).partition(CONTENT % (0, 0))
    return Spoken(
        CHAT,
        "openai",
        PATH,
        "Authorization: Bearer %s",
        json.dumps({**call, "max_completion_tokens": _LIMIT}).encode(),
        b"",
        _template(prefix, suffix),
        LAST_EVENT,
        b"[DONE]",
        answer(),
    )


def _responses(events: int) -> Spoken:
    call: dict[str, Any] = json.loads(call_body(stream=True))
    system, user = (message["content"] for message in call["messages"])
    text = "".join((CONTENT % (number, 0)).decode() for number in range(events))
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item: dict[str, Any] = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    place = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
    response: dict[str, Any] = {
        "id": "resp_bench", "object": "response", "created_at": 1_700_000_000, "status": "in_progress", "model": MODEL,
        "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": None,
    }  # fmt: skip
    usage = {
        "input_tokens": 190, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 900,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1090,
    }  # fmt: skip
    opening: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
    ]
    whole = {**response, "status": "completed", "output": [item], "usage": usage}
    closing: list[dict[str, Any]] = [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    kind = b"response.output_text.delta"
    prefix = (
        b'event: %b\ndata: {"type":"%b","sequence_number":4,"item_id":"msg_bench","output_index":0,"content_index":0,'
        b'"delta":"' % (kind, kind)
    )
    return Spoken(
        RESPONSES,
        "openai",
        "/v1/responses",
        "Authorization: Bearer %s",
        json.dumps(
            {"model": MODEL, "stream": True, "instructions": system, "input": user, "max_output_tokens": _LIMIT}
        ).encode(),
        b"".join(_named(sequence_number=number, **each) for number, each in enumerate(opening)),
        _template(prefix, b'","logprobs":[]}\n\n'),
        b"".join(_named(sequence_number=number, **each) for number, each in enumerate(closing, len(opening) + events)),
        b'"response.completed"',
        json.dumps({**whole, "output": [{**item, "content": [{**part, "text": ANSWERED}]}]}).encode(),
        repeats=True,
    )


def _messages() -> Spoken:
    call: dict[str, Any] = json.loads(call_body(stream=True))
    system, user = (message["content"] for message in call["messages"])
    message: dict[str, Any] = {
        "id": "msg_bench", "type": "message", "role": "assistant", "model": MODEL, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 190, "output_tokens": 1},
    }  # fmt: skip
    return Spoken(
        MESSAGES,
        "anthropic",
        "/v1/messages",
        "x-api-key: %s",
        json.dumps(
            {
                "model": MODEL,
                "stream": True,
                "max_tokens": _LIMIT,
                "system": system,
                "messages": [{"role": "user", "content": user}],
            }
        ).encode(),
        _named(type="message_start", message=message)
        + _named(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _template(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
            b'"text":"',
            b'"}}\n\n',
        ),
        _named(type="content_block_stop", index=0)
        + _named(
            type="message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": 900},
        )
        + _named(type="message_stop"),
        b'"message_stop"',
        json.dumps(
            {
                **message,
                "content": [{"type": "text", "text": ANSWERED}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 190, "output_tokens": 150},
            }
        ).encode(),
    )


def _gemini() -> Spoken:
    call: dict[str, Any] = json.loads(call_body(stream=True))
    system, user = (message["content"] for message in call["messages"])
    known = {"modelVersion": MODEL, "responseId": "bench"}

    def last(text: str) -> bytes:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 190, "candidatesTokenCount": 900, "totalTokenCount": 1090}
        return json.dumps({"candidates": [candidate], "usageMetadata": usage, **known}).encode()

    return Spoken(
        GEMINI,
        "gemini",
        f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
        "x-goog-api-key: %s",
        json.dumps(
            {
                "systemInstruction": {"parts": [{"text": system}]},
                "contents": [{"role": "user", "parts": [{"text": user}]}],
                "generationConfig": {"maxOutputTokens": _LIMIT},
            }
        ).encode(),
        b"",
        _template(
            b'data: {"candidates": [{"content": {"parts": [{"text": "',
            b'"}],"role": "model"},"index": 0}],' + json.dumps(known)[1:].encode() + b"\r\n\r\n",
        ),
        b"data: %b\r\n\r\n" % last(""),
        b'"finishReason"',
        last(ANSWERED),
    )


def spoken(events: int) -> dict[str, Spoken]:
    """
    :param events: in each stream, ``MOST_EVENTS`` at most.
    :return: the dialects by name.
    """
    dialects = (_chat(), _responses(events), _messages(), _gemini())
    return {each.name: attrs.evolve(each, events=events) for each in dialects}


SPOKEN = spoken(EVENTS)
"""By name, with streams of the usual length."""
