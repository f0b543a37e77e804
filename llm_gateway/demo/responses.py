"""The Responses API as the demo provider plays it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llm_gateway.demo.events import decode, frame
from llm_gateway.demo.script import reply_to, tools_tokens, word_count
from llm_gateway.demo.values import (
    SIGNATURE,
    Ask,
    Query,
    Reply,
    Streamed,
    Tool,
    ToolCall,
    ToolResult,
    Whole,
    check_signature,
)

__all__ = ["responses"]


class _Part(msgspec.Struct):
    type: str = "input_text"
    text: str | None = None


class _Item(msgspec.Struct):
    """A message, a call of a tool, or a tool's result: the union of the fields that matter here."""

    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None
    """Of a thought."""
    output: Any = None
    """A function's result is text or parts of text; other kinds of output are not looked at."""

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""

    @property
    def result_text(self) -> str:
        if isinstance(self.output, list):
            return "\n".join(str(part.get("text", "")) for part in self.output if isinstance(part, dict))
        return self.output if isinstance(self.output, str) else ""


class _ToolOffer(msgspec.Struct):
    type: str = "function"
    name: str = ""
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str = "function"
    name: str = ""


class _Format(msgspec.Struct):
    type: str = "text"
    schema: dict[str, Any] | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    stream: bool | None = False
    tools: list[_ToolOffer] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = True
    text: _Text | None = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None


def responses(query: Query) -> Whole | Streamed:
    """Answer ``POST responses``."""
    request = decode(query.body, _Request)
    reply = reply_to(_read(request, query.provider))
    answer = _Answer(request, reply, query)
    if request.stream:
        return Streamed(answer.beats(), reply.trouble)
    return Whole(msgspec.json.encode(answer.finished()), trouble=reply.trouble)


def _read(request: _Request, provider: str) -> Ask:
    items = [_Item(role="user", content=request.input)] if isinstance(request.input, str) else request.input
    for index, item in enumerate(items):
        if item.encrypted_content is not None:
            check_signature(item.encrypted_content, f"input[{index}].encrypted_content")
    tools = tuple(
        Tool(offer.name, offer.parameters or {}, offer.description or "")
        for offer in request.tools or ()
        if offer.type == "function" and offer.name
    )
    texts = [
        request.instructions or "",
        *(text for item in items for text in (item.text, item.result_text, item.arguments or "")),
    ]
    wanted = request.text.format if request.text else None
    return Ask(
        provider=provider,
        model=request.model,
        said=next((item.text for item in reversed(items) if item.role == "user"), ""),
        input_tokens=word_count(texts) + tools_tokens(tools),
        tools=tools,
        tool_choice=_tool_choice(request.tool_choice),
        parallel_tool_calls=request.parallel_tool_calls is not False,
        tool_results=_last_results(items),
        json_schema=None if wanted is None or wanted.type == "text" else wanted.schema or {},
        max_tokens=request.max_output_tokens,
        thinks=request.reasoning is not None and request.reasoning.effort != "none",
    )


def _tool_choice(choice: str | _Choice | None) -> str:
    if isinstance(choice, _Choice):
        return f"={choice.name}" if choice.name else "auto"
    return "any" if choice == "required" else choice or "auto"


def _last_results(items: list[_Item]) -> tuple[ToolResult, ...]:
    names = {item.call_id: item.name for item in items if item.type == "function_call"}
    results: list[ToolResult] = []
    for item in reversed(items):
        if item.type != "function_call_output":
            break
        results.insert(0, ToolResult(names.get(item.call_id) or "The tool", item.result_text))
    return tuple(results)


class _Answer:
    """One response object, whole or growing event by event."""

    def __init__(self, request: _Request, reply: Reply, query: Query) -> None:
        self._request = request
        self._reply = reply
        self._query = query
        self._sequence = -1

    def finished(self) -> dict[str, Any]:
        if self._reply.was_cut:
            return self._response("incomplete", self._output(), incomplete_details={"reason": "max_output_tokens"})
        return self._response("completed", self._output(), completed_at=self._query.now_s)

    def beats(self) -> Iterator[bytes]:
        begun = self._response("in_progress", [])
        yield self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)
        if self._reply.thoughts:
            yield from self._thought_beats()
        if self._reply.calls:
            for index, call in enumerate(self._reply.calls):
                yield from self._call_beats(index, call)
        elif self._says_something:
            yield from self._message_beats()
        finished = self.finished()
        yield self._event(f"response.{finished['status']}", response=finished)

    @property
    def _says_something(self) -> bool:
        """Not where the limit ended it while it thought."""
        return bool(self._reply.pieces or not self._reply.thoughts)

    @property
    def _first(self) -> int:
        """The index of the first item that is no thought."""
        return 1 if self._reply.thoughts else 0

    def _thought_beats(self) -> Iterator[bytes]:
        item = self._thought("completed")
        yield self._event(
            "response.output_item.added", output_index=0, item={**self._thought("in_progress"), "summary": []}
        )
        if item["summary"]:
            place = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
            yield self._event("response.reasoning_summary_part.added", **place, part=_summary_text(""))
            for piece in self._reply.thoughts:
                yield self._event("response.reasoning_summary_text.delta", **place, delta=piece)
            [part] = item["summary"]
            yield self._event("response.reasoning_summary_text.done", **place, text=part["text"]) + self._event(
                "response.reasoning_summary_part.done", **place, part=part
            )
        yield self._event("response.output_item.done", output_index=0, item=item)

    def _message_beats(self) -> Iterator[bytes]:
        first = self._first
        place = {"item_id": self._message_id, "output_index": first, "content_index": 0}
        item = self._message("in_progress", [])
        yield self._event("response.output_item.added", output_index=first, item=item) + self._event(
            "response.content_part.added", **place, part=_output_text("")
        )
        for piece in self._reply.pieces:
            yield self._event("response.output_text.delta", **place, delta=piece, logprobs=[])
        item = self._output()[-1]
        yield (
            self._event("response.output_text.done", **place, text=self._reply.text, logprobs=[])
            + self._event("response.content_part.done", **place, part=_output_text(self._reply.text))
            + self._event("response.output_item.done", output_index=first, item=item)
        )

    def _call_beats(self, index: int, call: ToolCall) -> Iterator[bytes]:
        item = self._call(index, call)
        place = {"item_id": item["id"], "output_index": self._first + index}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=self._first + index, item=begun)
        for fragment in call.fragments:
            yield self._event("response.function_call_arguments.delta", **place, delta=fragment)
        yield self._event(
            "response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments
        ) + self._event("response.output_item.done", output_index=self._first + index, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._sequence += 1
        return frame({"type": kind, "sequence_number": self._sequence, **fields}, kind)

    def _output(self) -> list[dict[str, Any]]:
        status = "incomplete" if self._reply.was_cut else "completed"
        items = [self._thought("completed" if self._says_something else status)] if self._reply.thoughts else []
        if self._reply.calls:
            return items + [self._call(index, call) for index, call in enumerate(self._reply.calls)]
        return [*items, self._message(status, [_output_text(self._reply.text)])] if self._says_something else items

    def _thought(self, status: str) -> dict[str, Any]:
        """OpenAI shows a summary to those who ask for one, and gives the rest to those who keep it, encrypted."""
        asked = self._request.reasoning or _Reasoning()
        item: dict[str, Any] = {"id": f"rs_demo{self._query.number:06d}", "type": "reasoning", "status": status}
        item["summary"] = [_summary_text(self._reply.thought)] if asked.summary else []
        if "reasoning.encrypted_content" in (self._request.include or ()):
            item["encrypted_content"] = SIGNATURE
        return item

    @property
    def _message_id(self) -> str:
        return f"msg_demo{self._query.number:06d}"

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._message_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _call(self, index: int, call: ToolCall) -> dict[str, Any]:
        number = f"demo{self._query.number:06d}x{index}"
        return {
            "id": f"fc_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{number}",
            "name": call.name,
            "arguments": call.arguments,
        }

    def _response(self, status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        request, reply = self._request, self._reply
        usage = {
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": len(reply.thoughts)},
            "total_tokens": reply.input_tokens + reply.output_tokens,
        }
        return {
            "id": f"resp_demo{self._query.number:06d}",
            "object": "response",
            "created_at": self._query.now_s,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": request.model,
            "output": output,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": request.reasoning or _Reasoning(),
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": request.tool_choice or "auto",
            "tools": [offer for offer in request.tools or () if offer.type == "function"],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None if status == "in_progress" else usage,
            "metadata": {},
            **more,
        }


def _summary_text(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
