"""Google's Gemini API as the demo provider plays it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from llm_gateway.demo.events import decode
from llm_gateway.demo.media import vector
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

__all__ = ["generate", "models"]

_DIMENSIONS = 256


class _Call(msgspec.Struct):
    name: str
    args: dict[str, Any] = {}


class _Result(msgspec.Struct):
    name: str
    response: dict[str, Any] = {}


class _Part(msgspec.Struct, rename="camel"):
    """Any part: the union of the fields that matter here."""

    text: str = ""
    thought: bool = False
    thought_signature: str | None = None
    function_call: _Call | None = None
    function_response: _Result | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] = []
    role: str = "user"

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if part.text and not part.thought)


class _Declaration(msgspec.Struct, rename="camel"):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None

    @property
    def schema(self) -> dict[str, Any]:
        return self.parameters_json_schema or _lowered(self.parameters or {})


class _ToolOffer(msgspec.Struct, rename="camel"):
    function_declarations: list[_Declaration] = []


class _Calling(msgspec.Struct, frozen=True, rename="camel"):
    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class _ToolConfig(msgspec.Struct, frozen=True, rename="camel"):
    function_calling_config: _Calling = _Calling()


class _Thinking(msgspec.Struct, frozen=True, rename="camel"):
    include_thoughts: bool = False
    thinking_level: str | None = None
    thinking_budget: int | None = None

    @property
    def thinks(self) -> bool:
        return self.include_thoughts or self.thinking_level is not None or self.thinking_budget not in (None, 0)


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    max_output_tokens: int | None = None
    response_mime_type: str = "text/plain"
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: _Thinking = _Thinking()


class _Request(msgspec.Struct, rename="camel"):
    contents: list[_Content]
    system_instruction: _Content | None = None
    tools: list[_ToolOffer] = []
    tool_config: _ToolConfig = _ToolConfig()
    generation_config: _Config = _Config()


class _CountRequest(msgspec.Struct, rename="camel"):
    contents: list[_Content] = []
    generate_content_request: _Request | None = None


class _EmbedRequest(msgspec.Struct, rename="camel"):
    content: _Content
    output_dimensionality: int = _DIMENSIONS


class _EmbedRequests(msgspec.Struct):
    requests: list[_EmbedRequest]


_THE_CALLERS = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
"""What holds names of the caller's own."""

_Asked = TypeVar("_Asked", bound=msgspec.Struct)


def _camel(value: Any) -> Any:
    """Google takes its names in either spelling, and its SDK writes some of them in the other one."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub("_([a-z])", lambda letter: letter[1].upper(), name): each for name, each in value.items()}
    return {name: each if name in _THE_CALLERS else _camel(each) for name, each in named.items()}


def _decode(query: Query, kind: type[_Asked]) -> _Asked:
    """
    :raises Refused: as for ``decode``.
    """
    document = decode(query.body, dict[str, Any])
    return decode(msgspec.json.encode(_camel(document)), kind)


def models(names: tuple[str, ...]) -> Callable[[Query], Whole]:
    """Answer ``GET models`` and ``GET models/{id}``."""
    methods = ["generateContent", "countTokens"]
    entries = {
        name: {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name.replace("-", " ").title(),
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["embedContent"] if "embedding" in name else methods,
        }
        for name in names
    }

    def answer(query: Query) -> Whole:
        if not query.tail:
            return Whole(msgspec.json.encode({"models": list(entries.values())}))
        if query.tail not in entries:
            raise Refused(404, f"models/{query.tail} is not found for API version v1beta.")
        return Whole(msgspec.json.encode(entries[query.tail]))

    return answer


def generate(query: Query) -> Whole | Streamed:
    """Answer ``POST models/{model}:{verb}``."""
    model, _, verb = query.tail.rpartition(":")
    if not model or verb not in _VERBS:
        raise Refused(404, f"There is nothing at models/{query.tail}.")
    return _VERBS[verb](model, query)


def _generate_content(model: str, query: Query) -> Whole:
    reply, answer = _answered(model, query)
    return Whole(msgspec.json.encode(answer.whole()), trouble=reply.trouble)


def _stream_generate_content(model: str, query: Query) -> Streamed:
    reply, answer = _answered(model, query)
    if query.arguments.get("alt") == "sse":
        beats = (b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in answer.chunks())
        return Streamed(beats, reply.trouble)
    return Streamed(_array(answer.chunks()), reply.trouble, "application/json; charset=UTF-8")


def _count_tokens(model: str, query: Query) -> Whole:
    request = _decode(query, _CountRequest)
    counted = request.generate_content_request or _Request(request.contents)
    return Whole(msgspec.json.encode({"totalTokens": _read(counted, model, query.provider).input_tokens}))


def _embed_content(model: str, query: Query) -> Whole:
    return Whole(msgspec.json.encode({"embedding": _embedded(_decode(query, _EmbedRequest))}))


def _batch_embed_contents(model: str, query: Query) -> Whole:
    requests = _decode(query, _EmbedRequests).requests
    return Whole(msgspec.json.encode({"embeddings": [_embedded(request) for request in requests]}))


_VERBS: dict[str, Callable[[str, Query], Whole | Streamed]] = {
    "generateContent": _generate_content,
    "streamGenerateContent": _stream_generate_content,
    "countTokens": _count_tokens,
    "embedContent": _embed_content,
    "batchEmbedContents": _batch_embed_contents,
}


def _embedded(request: _EmbedRequest) -> dict[str, Any]:
    size = request.output_dimensionality
    if not 1 <= size <= 3072:
        raise Refused(400, "output_dimensionality: must be between 1 and 3072.")
    return {"values": vector(request.content.text, size)}


def _answered(model: str, query: Query) -> tuple[Reply, _Answer]:
    request = _decode(query, _Request)
    if not request.contents:
        raise Refused(400, "contents: is not specified.")
    reply = reply_to(_read(request, model, query.provider))
    return reply, _Answer(model, reply, query, shown=request.generation_config.thinking_config.include_thoughts)


def _read(request: _Request, model: str, provider: str) -> Ask:
    parts = [part for content in request.contents for part in content.parts]
    for part in parts:
        if part.thought_signature is not None:
            check_signature(part.thought_signature, "contents: thoughtSignature")
    tools = tuple(
        Tool(each.name, each.schema, each.description)
        for offer in request.tools
        for each in offer.function_declarations
    )
    config = request.generation_config
    instructions = [] if request.system_instruction is None else [request.system_instruction.text]
    values = [part.function_call.args for part in parts if part.function_call is not None]
    values += [part.function_response.response for part in parts if part.function_response is not None]
    texts = [*instructions, *(part.text for part in parts), *(msgspec.json.encode(each).decode() for each in values)]
    asked = (content.text for content in reversed(request.contents) if content.role == "user")
    return Ask(
        provider=provider,
        model=model,
        said=next((text for text in asked if text), ""),
        input_tokens=word_count(texts) + tools_tokens(tools),
        tools=tools,
        tool_choice=_tool_choice(request.tool_config.function_calling_config),
        tool_results=_last_results(request.contents),
        json_schema=_json_schema(config),
        max_tokens=config.max_output_tokens,
        thinks=config.thinking_config.thinks,
    )


def _tool_choice(calling: _Calling) -> str:
    if calling.mode != "ANY":
        return calling.mode.lower()
    return f"={calling.allowed_function_names[0]}" if len(calling.allowed_function_names) == 1 else "any"


def _last_results(contents: list[_Content]) -> tuple[ToolResult, ...]:
    found = []
    for part in contents[-1].parts if contents else ():
        if part.function_response is not None:
            said = part.function_response.response
            text = said.get("output", said.get("result"))
            words = text if isinstance(text, str) else msgspec.json.encode(said).decode()
            found.append(ToolResult(part.function_response.name, words))
    return tuple(found)


def _json_schema(config: _Config) -> dict[str, Any] | None:
    if config.response_mime_type != "application/json":
        return None
    return config.response_json_schema or _lowered(config.response_schema or {})


def _lowered(schema: Any) -> Any:
    """Google's types are in capitals; else its schemas are near enough to JSON's."""
    if isinstance(schema, list):
        return [_lowered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lowered(value)
        for name, value in schema.items()
    }


class _Answer:
    """One answer, whole or in chunks."""

    def __init__(self, model: str, reply: Reply, query: Query, *, shown: bool) -> None:
        """
        :param shown: whether thoughts are; they are counted and signed all the same.
        """
        self._model = model
        self._reply = reply
        self._id = f"demo{query.number:06d}"
        self._shown = shown
        self._signature = {"thoughtSignature": SIGNATURE} if reply.thoughts else {}

    def whole(self) -> dict[str, Any]:
        reply, parts = self._reply, self._calls()
        if reply.pieces:
            parts = [{"text": reply.text, **self._signature}]
        if reply.thoughts and self._shown:
            parts = [{"text": reply.thought, "thought": True}, *parts]
        return self._chunk(parts, last=True)

    def chunks(self) -> Iterator[dict[str, Any]]:
        reply = self._reply
        for piece in reply.thoughts if self._shown else ():
            yield self._chunk([{"text": piece, "thought": True}])
        for piece in reply.pieces[:-1]:
            yield self._chunk([{"text": piece}])
        last = [{"text": piece, **self._signature} for piece in reply.pieces[-1:]]
        yield self._chunk(last or self._calls(), last=True)

    def _calls(self) -> list[dict[str, Any]]:
        """The first has the signature, and they come whole."""
        return [
            {
                "functionCall": {
                    "id": f"{self._id}x{index}",
                    "name": call.name,
                    "args": msgspec.Raw(call.arguments.encode()),
                },
                **({} if index else self._signature),
            }
            for index, call in enumerate(self._reply.calls)
        ]

    def _chunk(self, parts: list[dict[str, Any]], *, last: bool = False) -> dict[str, Any]:
        reply = self._reply
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        usage: dict[str, Any] = {"promptTokenCount": reply.input_tokens, "totalTokenCount": reply.input_tokens}
        if last:
            candidate["finishReason"] = "MAX_TOKENS" if reply.was_cut else "STOP"
            usage["candidatesTokenCount"] = reply.output_tokens - len(reply.thoughts)
            usage["totalTokenCount"] += reply.output_tokens
            if reply.thoughts:
                usage["thoughtsTokenCount"] = len(reply.thoughts)
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": self._model,
            "responseId": self._id,
        }


def _array(chunks: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """One JSON document that grows, for callers who do not ask for events."""
    before = b"["
    for chunk in chunks:
        yield before + msgspec.json.encode(chunk)
        before = b",\r\n"
    yield b"]"
