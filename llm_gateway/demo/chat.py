"""Chat Completions as the demo provider plays them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llm_gateway.demo.events import decode, frame
from llm_gateway.demo.script import reply_to, tools_tokens, word_count
from llm_gateway.demo.values import Ask, Query, Refused, Reply, Streamed, Tool, ToolResult, Whole

__all__ = ["chat_completions"]


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = "{}"
    parameters: dict[str, Any] | None = None
    description: str | None = None


class _Call(msgspec.Struct):
    id: str
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class _ToolOffer(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _Choice(msgspec.Struct):
    function: _Function | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class _Schema(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _Thinking(msgspec.Struct):
    """DeepSeek's."""

    type: str = "enabled"


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    tools: list[_ToolOffer] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = True
    response_format: _Format | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    thinking: _Thinking | None = None

    @property
    def thinks(self) -> bool:
        if self.thinking is not None:
            return self.thinking.type == "enabled"
        return self.reasoning_effort not in (None, "none")


def chat_completions(query: Query) -> Whole | Streamed:
    """Answer ``POST chat/completions``."""
    request = decode(query.body, _Request)
    if not request.messages:
        raise Refused(400, "'messages' is empty: there must be at least one message.", param="messages")
    reply = reply_to(_read(request, query.provider))
    if request.stream:
        options = request.stream_options or _StreamOptions()
        return Streamed(_beats(request.model, reply, query, bool(options.include_usage)), reply.trouble)
    return Whole(msgspec.json.encode(_document(request.model, reply, query)), trouble=reply.trouble)


def _read(request: _Request, provider: str) -> Ask:
    tools = tuple(
        Tool(offer.function.name, offer.function.parameters or {}, offer.function.description or "")
        for offer in request.tools or ()
        if offer.function is not None
    )
    calls = [call for message in request.messages for call in message.tool_calls or () if call.function is not None]
    spoken = [message.text for message in request.messages]
    written = [call.function.arguments for call in calls if call.function is not None]
    return Ask(
        provider=provider,
        model=request.model,
        said=next((message.text for message in reversed(request.messages) if message.role == "user"), ""),
        input_tokens=word_count(spoken) + word_count(written) + tools_tokens(tools),
        tools=tools,
        tool_choice=_tool_choice(request.tool_choice),
        parallel_tool_calls=request.parallel_tool_calls is not False,
        tool_results=_last_results(request.messages, {call.id: call.function.name for call in calls if call.function}),
        json_schema=_json_schema(request.response_format),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        thinks=request.thinks,
    )


def _tool_choice(choice: str | _Choice | None) -> str:
    if isinstance(choice, _Choice):
        return f"={choice.function.name}" if choice.function else "auto"
    return "any" if choice == "required" else choice or "auto"


def _last_results(messages: list[_Message], names: dict[str, str]) -> tuple[ToolResult, ...]:
    results: list[ToolResult] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        results.insert(0, ToolResult(names.get(message.tool_call_id or "", "The tool"), message.text))
    return tuple(results)


def _json_schema(wanted: _Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    return (wanted.json_schema.schema if wanted.json_schema else None) or {}


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "length" if reply.was_cut else "stop"


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(reply.thoughts), "audio_tokens": 0},
    }


def _shows_thoughts(query: Query) -> bool:
    """DeepSeek does, in a field of its own; OpenAI counts them only."""
    return query.provider != "OpenAI"


def _call_id(query: Query, index: int) -> str:
    return f"call_demo{query.number:06d}x{index}"


def _document(model: str, reply: Reply, query: Query) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None, "annotations": []}
    if _shows_thoughts(query) and reply.thoughts:
        message["reasoning_content"] = reply.thought
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(query, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(reply.calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return {
        "id": f"chatcmpl-demo{query.number:06d}",
        "object": "chat.completion",
        "created": query.now_s,
        "model": model,
        "choices": [choice],
        "usage": _usage(reply),
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def _beats(model: str, reply: Reply, query: Query, include_usage: bool) -> Iterator[bytes]:
    chunk = {
        "id": f"chatcmpl-demo{query.number:06d}",
        "object": "chat.completion.chunk",
        "created": query.now_s,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }
    # With usage asked for, every chunk but the last has the field, and it is null.
    no_usage = {"usage": None} if include_usage else {}

    def choice(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        only = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return frame({**chunk, "choices": [only], **no_usage})

    def call(index: int, function: dict[str, str], **more: str) -> bytes:
        return choice({"tool_calls": [{"index": index, **more, "function": function}]})

    yield choice({"role": "assistant", "content": None if reply.calls else "", "refusal": None})
    for piece in reply.thoughts if _shows_thoughts(query) else ():
        yield choice({"content": None, "reasoning_content": piece})
    for piece in reply.pieces:
        yield choice({"content": piece})
    for index, each in enumerate(reply.calls):
        yield call(index, {"name": each.name, "arguments": ""}, id=_call_id(query, index), type="function")
        for fragment in each.fragments:
            yield call(index, {"arguments": fragment})
    end = choice({}, _finish_reason(reply))
    if include_usage:
        end += frame({**chunk, "choices": [], "usage": _usage(reply)})
    yield end + b"data: [DONE]\n\n"
