"""Anthropic's Messages API as the demo provider plays it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from llm_gateway.demo.events import decode, frame
from llm_gateway.demo.script import reply_to, tools_tokens, word_count
from llm_gateway.demo.values import (
    SIGNATURE,
    Ask,
    Query,
    Refused,
    Reply,
    Streamed,
    Tool,
    ToolResult,
    Whole,
    check_signature,
)

__all__ = ["count_tokens", "messages"]


class _Block(msgspec.Struct):
    """Any content block: the union of the fields that matter here."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] | None = None
    tool_use_id: str = ""
    signature: Any = None
    """Of a thought."""
    content: Any = None
    """Of a tool's result: a text or blocks of text. Other blocks have contents of their own kinds."""

    @property
    def result_text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content if isinstance(part, dict))
        return str(self.content or "")


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]

    @property
    def blocks(self) -> list[_Block]:
        return [_Block("text", self.content)] if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks if block.type == "text")


class _ToolOffer(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] | None = None
    """None for the tools that the provider runs itself; those are never called here."""
    description: str | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool = False


class _Format(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Thinking(msgspec.Struct):
    type: str = "disabled"
    display: str | None = None
    """``omitted``: it is signed and counted, and its text is not shown."""


class _CountRequest(msgspec.Struct):
    model: str
    messages: list[_Message]
    system: str | list[_Block] | None = None
    tools: list[_ToolOffer] | None = None
    tool_choice: _Choice | None = None
    output_config: _OutputConfig | None = None
    thinking: _Thinking | None = None


class _Request(_CountRequest, kw_only=True):
    max_tokens: int
    stream: bool | None = False


def messages(query: Query) -> Whole | Streamed:
    """Answer ``POST messages``."""
    request = decode(query.body, _Request)
    reply = reply_to(_read(request, query.provider, request.max_tokens))
    if request.thinking is not None and request.thinking.display == "omitted":
        reply = replace(reply, thoughts=("",) if reply.thoughts else ())
    if request.stream:
        return Streamed(_beats(request.model, reply, query), reply.trouble)
    document = {
        **_message(request.model, query),
        "content": _content(reply, query),
        "stop_reason": _stop_reason(reply),
        "usage": _usage(reply, reply.output_tokens),
    }
    return Whole(msgspec.json.encode(document), trouble=reply.trouble)


def count_tokens(query: Query) -> Whole:
    """Answer ``POST messages/count_tokens`` with what ``messages`` reports as input."""
    request = decode(query.body, _CountRequest)
    return Whole(msgspec.json.encode({"input_tokens": _read(request, query.provider, None).input_tokens}))


def _read(request: _CountRequest, provider: str, max_tokens: int | None) -> Ask:
    if not request.messages:
        raise Refused(400, "messages: at least one message is required")
    tools = tuple(
        Tool(offer.name, offer.input_schema, offer.description or "")
        for offer in request.tools or ()
        if offer.input_schema is not None
    )
    blocks = [block for message in request.messages for block in message.blocks]
    for block in blocks:
        if block.type == "thinking":
            check_signature(block.signature, "messages: signature in thinking block")
    names = {block.id: block.name for block in blocks if block.type == "tool_use"}
    wanted = request.output_config.format if request.output_config else None
    choice = request.tool_choice or _Choice("auto")
    return Ask(
        provider=provider,
        model=request.model,
        said=next((message.text for message in reversed(request.messages) if message.role == "user"), ""),
        input_tokens=_count(request, blocks) + tools_tokens(tools),
        tools=tools,
        tool_choice=f"={choice.name}" if choice.type == "tool" else choice.type,
        parallel_tool_calls=not choice.disable_parallel_tool_use,
        tool_results=tuple(
            ToolResult(names.get(block.tool_use_id, "The tool"), block.result_text)
            for block in request.messages[-1].blocks
            if block.type == "tool_result"
        ),
        json_schema=None if wanted is None else wanted.schema or {},
        max_tokens=max_tokens,
        thinks=request.thinking is not None and request.thinking.type != "disabled",
    )


def _count(request: _CountRequest, blocks: list[_Block]) -> int:
    system = [_Block("text", request.system)] if isinstance(request.system, str) else request.system or []
    texts = [text for block in [*system, *blocks] for text in (block.text, block.result_text)]
    calls = [msgspec.json.encode(block.input).decode() for block in blocks if block.input is not None]
    return word_count(texts) + word_count(calls)


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.calls else "max_tokens" if reply.was_cut else "end_turn"


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _message(model: str, query: Query) -> dict[str, Any]:
    return {
        "id": f"msg_demo{query.number:06d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(query: Query, index: int, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_demo{query.number:06d}x{index}", "name": name, "input": arguments}


def _content(reply: Reply, query: Query) -> list[dict[str, Any]]:
    thoughts = [_thinking(reply.thought, SIGNATURE)] if reply.thoughts else []
    if reply.calls:
        return thoughts + [
            _tool_use(query, index, call.name, msgspec.Raw(call.arguments.encode()))
            for index, call in enumerate(reply.calls)
        ]
    return [*thoughts, {"type": "text", "text": reply.text}] if reply.pieces or not thoughts else thoughts


def _thinking(thought: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thought, "signature": signature}


def _beats(model: str, reply: Reply, query: Query) -> Iterator[bytes]:
    start = {**_message(model, query), "usage": _usage(reply, 1)}
    blocks: list[tuple[dict[str, Any], str, str, tuple[str, ...]]] = []
    if reply.thoughts:
        blocks.append((_thinking("", ""), "thinking_delta", "thinking", reply.thoughts))
    for index, call in enumerate(reply.calls):
        parts = ("", *call.fragments)
        blocks.append((_tool_use(query, index, call.name, {}), "input_json_delta", "partial_json", parts))
    if not reply.calls and (reply.pieces or not blocks):
        blocks.append(({"type": "text", "text": ""}, "text_delta", "text", reply.pieces))
    opening = _event("message_start", message=start)
    for index, (block, kind, field, parts) in enumerate(blocks):
        opening += _event("content_block_start", index=index, content_block=block)
        yield opening + (_event("ping") if index == 0 else b"")
        for part in filter(None, parts) if kind == "thinking_delta" else parts:
            yield _event("content_block_delta", index=index, delta={"type": kind, field: part})
        opening = _event("content_block_stop", index=index)
        if kind == "thinking_delta":
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            opening = _event("content_block_delta", index=index, delta=signed) + opening
    delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    yield (
        opening
        + _event("message_delta", delta=delta, usage={"output_tokens": reply.output_tokens})
        + _event("message_stop")
    )


def _event(kind: str, **fields: Any) -> bytes:
    return frame({"type": kind, **fields}, kind)
