"""Answers of Chat Completions, whole and streamed, as OpenAI, DeepSeek, OpenRouter and Google write them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.real.validating.openai_answers import (
    Answered,
    Block,
    Called,
    Failing,
    Refusing,
    Said,
    Thought,
    Wrote,
    pieces,
)

__all__ = ["DONE", "chat_document", "chat_failure", "chat_stream", "details_of"]

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
_CREATED = 1_763_800_000


def chat_document(answer: Answered, model: str, style: str) -> Json:
    """
    :param style: ``openai``, ``deepseek`` or ``openrouter``: where a thought is shown.
    """
    choices = [answer.blocks, *answer.others]
    return {
        **_head(answer, model, "chat.completion"),
        "choices": [_choice(blocks, answer.stop, style, at) for at, blocks in enumerate(choices)],
        "usage": answer.usage.of_chat(),
    }


def chat_stream(answer: Answered, model: str, style: str, *, usage: bool) -> Iterator[bytes]:
    """
    :param usage: whether the numbers were asked for.
    :return: events, the last one not among them.
    """
    head = _head(answer, model, "chat.completion.chunk")
    numbers: Json = {"usage": None} if usage else {}

    def event(choices: list[Json], **more: Any) -> bytes:
        return _event({**head, "choices": choices, **numbers, **more, "obfuscation": "x" * 5})

    streams = [_deltas(blocks, style, at, answer.mixed) for at, blocks in enumerate([answer.blocks, *answer.others])]
    # Several choices come in turns.
    for delta in (each for turn in itertools.zip_longest(*streams) for each in turn if each is not None):
        yield event([delta])
    for at, blocks in enumerate([answer.blocks, *answer.others]):
        reason = _reason(blocks, answer.stop)
        yield event([{"index": at, "delta": {}, "logprobs": None, "finish_reason": reason}])
    if usage:
        yield event([], usage=answer.usage.of_chat())


def chat_failure(failing: Failing) -> bytes:
    return _event({"error": failing.error()})


def details_of(thought: Thought, index: int) -> Json:
    """
    :return: OpenRouter's entry for it.
    """
    if thought.seal is not None and not thought.text:
        return {"type": "reasoning.encrypted", "data": thought.seal, "format": "openai-responses-v1", "index": index}
    entry: Json = {"type": "reasoning.text", "text": thought.text, "format": "anthropic-claude-v1", "index": index}
    return entry if thought.seal is None else {**entry, "signature": thought.seal}


def _event(document: Json) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def _head(answer: Answered, model: str, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": _CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_b3f1157249",
    }


def _reason(blocks: Iterable[Block], stop: str) -> str:
    called = any(isinstance(block, Called | Wrote) for block in blocks)
    return "tool_calls" if called and stop == "stop" else stop


def _choice(blocks: tuple[Block, ...], stop: str, style: str, index: int) -> Json:
    texts = [block for block in blocks if isinstance(block, Said)]
    logprobs = [each for block in texts for each in block.logprobs]
    refusals = [block.text for block in blocks if isinstance(block, Refusing)]
    calls = [_call(block) for block in blocks if isinstance(block, Called | Wrote)]
    message: Json = {
        "role": "assistant",
        "content": "".join(block.text for block in texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
        "annotations": [note for block in texts for note in _notes(block)],
    }
    if calls:
        message["tool_calls"] = calls
    thoughts = [block for block in blocks if isinstance(block, Thought)]
    if thoughts and style == "deepseek":
        message["reasoning_content"] = "\n\n".join(block.text for block in thoughts)
    elif thoughts and style == "openrouter":
        message["reasoning"] = "\n\n".join(block.text for block in thoughts if block.text)
        message["reasoning_details"] = [details_of(block, at) for at, block in enumerate(thoughts)]
    return {
        "index": index,
        "message": message,
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
        "finish_reason": _reason(blocks, stop),
    }


def _notes(said: Said) -> list[Json]:
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": each.url,
                "title": each.title,
                "start_index": each.start,
                "end_index": each.end,
            },
        }
        for each in said.citations
    ]


def _call(call: Called | Wrote) -> Json:
    if isinstance(call, Wrote):
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.input}}
    made: Json = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature is not None:
        made["extra_content"] = {"google": {"thought_signature": call.signature}}
    return made


# Streams


def _deltas(blocks: tuple[Block, ...], style: str, index: int, mixed: bool) -> Iterator[Json]:
    for number, (delta, logprobs) in enumerate(_told(blocks, style, mixed)):
        role: Json = {"role": "assistant", "content": "", "refusal": None} if number == 0 else {}
        found = {"content": logprobs, "refusal": None} if logprobs else None
        yield {"index": index, "delta": {**role, **delta}, "logprobs": found, "finish_reason": None}


def _told(blocks: tuple[Block, ...], style: str, mixed: bool) -> Iterator[tuple[Json, list[Json]]]:
    yield {}, []
    thoughts = 0
    calls: list[list[Json]] = []
    for block in blocks:
        match block:
            case Said():
                for at, piece in enumerate(pieces(block.text)):
                    yield {"content": piece}, list(block.logprobs) if at == 0 else []
                if block.citations:
                    yield {"annotations": _notes(block)}, []
            case Refusing():
                yield from (({"refusal": piece}, []) for piece in pieces(block.text))
            case Thought():
                yield from ((delta, []) for delta in _thinking(block, style, thoughts))
                thoughts += 1
            case Called() | Wrote():
                calls.append(list(_fragments(block, len(calls))))
    turns = itertools.zip_longest(*calls) if mixed else calls
    for fragment in (each for turn in turns for each in turn if each is not None):
        yield {"tool_calls": [fragment]}, []


def _thinking(thought: Thought, style: str, index: int) -> Iterator[Json]:
    if style == "deepseek":
        yield from ({"content": None, "reasoning_content": piece} for piece in pieces(thought.text))
    elif style == "openrouter":
        whole = details_of(thought, index)
        if not thought.text:
            yield {"content": "", "reasoning_details": [whole]}
            return
        for piece in pieces(thought.text):
            entry = {name: whole[name] for name in ("type", "format", "index")}
            yield {"content": "", "reasoning": piece, "reasoning_details": [{**entry, "text": piece}]}
        if "signature" in whole:
            last = {name: whole[name] for name in ("type", "format", "index", "signature")}
            yield {"content": "", "reasoning_details": [last]}


def _fragments(call: Called | Wrote, index: int) -> Iterator[Json]:
    if isinstance(call, Wrote):
        begun = {**_call(call), "custom": {"name": call.name, "input": ""}}
        yield {"index": index, **begun}
        yield from ({"index": index, "custom": {"input": piece}} for piece in pieces(call.input))
        return
    yield {"index": index, **_call(call), "function": {"name": call.name, "arguments": ""}}
    yield from ({"index": index, "function": {"arguments": piece}} for piece in pieces(call.arguments))
