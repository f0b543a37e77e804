"""Answers of the Responses API, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.real.validating.openai_answers import (
    Answered,
    Block,
    Called,
    Cited,
    Failing,
    Ran,
    Refusing,
    Said,
    Thought,
    Wrote,
    pieces,
)

__all__ = ["item_of", "response_document", "response_failure", "response_stream"]

Json = dict[str, Any]

_CREATED = 1_763_800_000
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_document(answer: Answered, asked: Json) -> Json:
    """
    :param asked: the request, parts of which are repeated.
    """
    seals = "reasoning.encrypted_content" in asked.get("include", ())
    stopped = answer.stop in _REASONS
    return {
        **_head(answer, asked),
        "status": "incomplete" if stopped else "completed",
        "incomplete_details": {"reason": _REASONS[answer.stop]} if stopped else None,
        "output": [item_of(block, at, seals=seals) for at, block in enumerate(answer.blocks)],
        "usage": answer.usage.of_response(),
    }


def response_stream(answer: Answered, asked: Json) -> Iterator[bytes]:
    """
    :return: events.
    """
    for number, event in enumerate(_events(answer, asked)):
        yield _written({**event, "sequence_number": number})


def response_failure(answer: Answered, asked: Json, failing: Failing, number: int, *, failed: bool) -> bytes:
    """
    :param number: of the event.
    :param failed: whether the response is said to have failed, rather than the stream.
    """
    if not failed:
        return _written({"type": "error", "error": failing.error(), "sequence_number": number})
    error = {"code": failing.code, "message": failing.message}
    whole = {**response_document(answer, asked), "status": "failed", "error": error, "output": [], "usage": None}
    return _written({"type": "response.failed", "response": whole, "sequence_number": number})


def item_of(block: Block, at: int, *, seals: bool) -> Json:
    """
    :param at: its place in the output.
    :param seals: whether what is sealed was asked for.
    """
    match block:
        case Said() | Refusing():
            return {
                "type": "message",
                "id": f"msg_{at:02}",
                "status": "completed",
                "role": "assistant",
                "content": [_content(block)],
            }
        case Thought():
            summary = [{"type": "summary_text", "text": block.text}] if block.text else []
            item = {"type": "reasoning", "id": block.id, "summary": summary}
            return {**item, "encrypted_content": block.seal} if seals else item
        case Called():
            return {
                "type": "function_call",
                "id": f"fc_{at:02}",
                "call_id": block.id,
                "name": block.name,
                "arguments": block.arguments,
                "status": "completed",
            }
        case Wrote():
            return {
                "type": "custom_tool_call",
                "id": f"ctc_{at:02}",
                "call_id": block.id,
                "name": block.name,
                "input": block.input,
                "status": "completed",
            }
        case Ran():
            action = {"type": "search", "query": block.query, "queries": [block.query]}
            return {"type": "web_search_call", "id": f"ws_{at:02}", "status": "completed", "action": action}


def _head(answer: Answered, asked: Json) -> Json:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": _CREATED,
        "model": asked["model"],
        "error": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "metadata": asked.get("metadata", {}),
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(asked.get("reasoning") or {})},
        "service_tier": "default",
        "store": False,
        "temperature": asked.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(asked.get("text") or {})},
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
    }


def _content(block: Said | Refusing) -> Json:
    if isinstance(block, Refusing):
        return {"type": "refusal", "refusal": block.text}
    notes = [_note(each) for each in block.citations]
    return {"type": "output_text", "text": block.text, "annotations": notes, "logprobs": list(block.logprobs)}


def _note(cited: Cited) -> Json:
    return {
        "type": "url_citation",
        "url": cited.url,
        "title": cited.title,
        "start_index": cited.start,
        "end_index": cited.end,
    }


# Streams


def _written(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _events(answer: Answered, asked: Json) -> Iterator[Json]:
    whole = response_document(answer, asked)
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for at, (block, item) in enumerate(zip(answer.blocks, whole["output"], strict=True)):
        yield {"type": "response.output_item.added", "output_index": at, "item": _begun(item)}
        for event in _inside(block, item):
            yield {**event, "output_index": at, "item_id": item["id"]}
        yield {"type": "response.output_item.done", "output_index": at, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _begun(item: Json) -> Json:
    empty = {"content": [], "summary": [], "arguments": "", "input": ""}
    made = {name: empty.get(name, value) for name, value in item.items()}
    return {**made, "status": "in_progress"} if "status" in made else made


def _inside(block: Block, item: Json) -> Iterator[Json]:
    match block:
        case Said():
            yield from _text(block, item["content"][0])
        case Refusing():
            part = {"content_index": 0}
            yield {"type": "response.content_part.added", **part, "part": {"type": "refusal", "refusal": ""}}
            yield from ({"type": "response.refusal.delta", **part, "delta": piece} for piece in pieces(block.text))
            yield {"type": "response.refusal.done", **part, "refusal": block.text}
            yield {"type": "response.content_part.done", **part, "part": item["content"][0]}
        case Thought(text=text) if text:
            part = {"summary_index": 0}
            added = {"type": "summary_text", "text": ""}
            kind = "response.reasoning_summary_text"
            yield {"type": "response.reasoning_summary_part.added", **part, "part": added}
            yield from ({"type": f"{kind}.delta", **part, "delta": piece} for piece in pieces(text))
            yield {"type": f"{kind}.done", **part, "text": text}
            yield {"type": "response.reasoning_summary_part.done", **part, "part": {**added, "text": text}}
        case Called():
            kind = "response.function_call_arguments"
            yield from ({"type": f"{kind}.delta", "delta": piece} for piece in pieces(block.arguments))
            yield {"type": f"{kind}.done", "name": block.name, "arguments": block.arguments}
        case Wrote():
            kind = "response.custom_tool_call_input"
            yield from ({"type": f"{kind}.delta", "delta": piece} for piece in pieces(block.input))
            yield {"type": f"{kind}.done", "input": block.input}
        case Ran():
            for state in ("in_progress", "searching", "completed"):
                yield {"type": f"response.web_search_call.{state}"}


def _text(said: Said, whole: Json) -> Iterator[Json]:
    part = {"content_index": 0}
    added = {**whole, "text": "", "annotations": [], "logprobs": []}
    yield {"type": "response.content_part.added", **part, "part": added}
    for at, piece in enumerate(pieces(said.text)):
        logprobs = list(said.logprobs) if at == 0 else []
        yield {"type": "response.output_text.delta", **part, "delta": piece, "logprobs": logprobs}
    for at, note in enumerate(whole["annotations"]):
        yield {
            "type": "response.output_text.annotation.added",
            **part,
            "annotation_index": at,
            "annotation": note,
        }
    yield {"type": "response.output_text.done", **part, "text": said.text, "logprobs": list(said.logprobs)}
    yield {"type": "response.content_part.done", **part, "part": whole}
