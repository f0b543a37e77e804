"""What a provider says in each dialect, with numbers of tokens of its own."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["CLASSES", "Speaker", "model_in", "request", "speaker"]

CLASSES = ("input", "cached", "cache_write", "output", "reasoning")
"""Of tokens, which do not overlap: the names of the ledger's columns."""

Counts = dict[str, int]


def model_in(document: dict[str, Any], path: str) -> str:
    """:return: the model that is asked for: Gemini has it in the path."""
    if "generateContent" in path or "streamGenerateContent" in path:
        return path.rpartition("/")[2].partition(":")[0]
    model: str = document["model"]
    return model


def event(document: Any, name: str | None = None) -> bytes:
    """One event of a stream."""
    line = b"" if name is None else b"event: %b\n" % name.encode()
    return line + b"data: %b\n\n" % json.dumps(document).encode()


class Speaker:
    """Answers one call."""

    tells_early = False
    """Whether a stream begins with the number of tokens that were read."""
    untold: tuple[str, ...] = ("cache_write",)
    """Classes of tokens that the dialect does not tell apart."""

    def __init__(self, document: dict[str, Any], model: str, stream: bool) -> None:
        self.asked = document
        self.model = model
        self.stream = stream

    def told(self, counts: Counts) -> Counts:
        """:return: as much of it as this dialect can say."""
        return {name: 0 if name in self.untold else counts.get(name, 0) for name in CLASSES}

    def document(self, words: list[str], counts: Counts | None, *, tools: bool) -> Any:
        """An answer at once."""
        raise NotImplementedError

    def events(self, words: list[str], counts: Counts | None, *, tools: bool) -> tuple[bytes, list[bytes], bytes]:
        """:return: how a stream begins, what has one word each, and how it ends."""
        raise NotImplementedError

    def error(self, status: int) -> Any:
        """What is said with such a status."""
        kind = {400: "invalid_request_error", 429: "requests"}.get(status, "server_error")
        return {"error": {"message": "no", "type": kind, "code": None, "param": None}}

    def error_event(self) -> bytes:
        """A stream that refuses."""
        return event(self.error(500))


class Chat(Speaker):
    """OpenAI's Chat Completions."""

    @staticmethod
    def usage(counts: Counts) -> Any:
        read = counts["input"] + counts["cached"] + counts["cache_write"]
        wrote = counts["output"] + counts["reasoning"]
        return {
            "prompt_tokens": read,
            "completion_tokens": wrote,
            "total_tokens": read + wrote,
            "prompt_tokens_details": {"cached_tokens": counts["cached"], "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": counts["reasoning"], "audio_tokens": 0},
        }

    @staticmethod
    def _tools() -> list[Any]:
        return [
            {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
            for number in range(2)
        ]

    def document(self, words: list[str], counts: Counts | None, *, tools: bool) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(words), "refusal": None}
        if tools:
            message["tool_calls"] = self._tools()
        found = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": self.model,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if tools else "stop"}
            ],
        }
        return found if counts is None else {**found, "usage": self.usage(counts)}

    def events(self, words: list[str], counts: Counts | None, *, tools: bool) -> tuple[bytes, list[bytes], bytes]:
        wants = (self.asked.get("stream_options") or {}).get("include_usage") and counts is not None
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        if wants:
            base["usage"] = None

        def chunk(delta: Any, finish: str | None = None) -> bytes:
            return event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        ending = b""
        if tools:
            for number, each in enumerate(self._tools()):
                ending += chunk({"tool_calls": [{"index": number, **each}]})
        ending += chunk({}, "tool_calls" if tools else "stop")
        if wants:
            assert counts is not None
            ending += event({**base, "choices": [], "usage": self.usage(counts)})
        begun = chunk({"role": "assistant", "content": ""})
        return begun, [chunk({"content": word + " "}) for word in words], ending + b"data: [DONE]\n\n"


class Responses(Speaker):
    """OpenAI's Responses."""

    @staticmethod
    def usage(counts: Counts) -> Any:
        read = counts["input"] + counts["cached"] + counts["cache_write"]
        wrote = counts["output"] + counts["reasoning"]
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": counts["cached"]},
            "output_tokens": wrote,
            "output_tokens_details": {"reasoning_tokens": counts["reasoning"]},
            "total_tokens": read + wrote,
        }

    @staticmethod
    def _item(text: str) -> Any:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}

    @staticmethod
    def _tools() -> list[Any]:
        call = {"type": "function_call", "status": "completed", "name": "look", "arguments": '{"at": "it"}'}
        return [{**call, "id": f"fc_{number}", "call_id": f"call_{number}"} for number in range(2)]

    def _response(self, status: str, output: list[Any], counts: Counts | None) -> Any:
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": status,
            "model": self.model,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": self.asked.get("tools", []),
            "top_p": 1.0,
            "usage": None if counts is None else self.usage(counts),
        }

    def document(self, words: list[str], counts: Counts | None, *, tools: bool) -> Any:
        return self._response("completed", [self._item(" ".join(words)), *(self._tools() if tools else [])], counts)

    def events(self, words: list[str], counts: Counts | None, *, tools: bool) -> tuple[bytes, list[bytes], bytes]:
        numbers = iter(range(100_000))

        def said(kind: str, **more: Any) -> bytes:
            return event({"type": kind, "sequence_number": next(numbers), **more}, kind)

        item = {**self._item(""), "status": "in_progress", "content": []}
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        begun = (
            said("response.created", response=self._response("in_progress", [], None))
            + said("response.in_progress", response=self._response("in_progress", [], None))
            + said("response.output_item.added", output_index=0, item=item)
            + said("response.content_part.added", **at, part=empty)
        )
        parts = [said("response.output_text.delta", **at, delta=word + " ", logprobs=[]) for word in words]
        text = "".join(word + " " for word in words)
        ending = (
            said("response.output_text.done", **at, text=text, logprobs=[])
            + said("response.content_part.done", **at, part={**empty, "text": text})
            + said("response.output_item.done", output_index=0, item=self._item(text))
        )
        output = [self._item(text)]
        for place, call in enumerate(self._tools() if tools else [], 1):
            there = {"item_id": call["id"], "output_index": place}
            ending += said("response.output_item.added", output_index=place, item={**call, "arguments": ""})
            ending += said("response.function_call_arguments.delta", **there, delta=call["arguments"])
            ending += said("response.function_call_arguments.done", **there, arguments=call["arguments"])
            ending += said("response.output_item.done", output_index=place, item=call)
            output.append(call)
        ending += said("response.completed", response=self._response("completed", output, counts))
        return begun, parts, ending


class Messages(Speaker):
    """Anthropic's Messages."""

    tells_early = True
    untold = ("reasoning",)

    @staticmethod
    def usage(counts: Counts, output: int) -> Any:
        return {
            "input_tokens": counts["input"],
            "cache_read_input_tokens": counts["cached"],
            "cache_creation_input_tokens": counts["cache_write"],
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts["cache_write"],
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "service_tier": "standard",
        }

    @staticmethod
    def _tools() -> list[Any]:
        return [{"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {}} for number in range(2)]

    def document(self, words: list[str], counts: Counts | None, *, tools: bool) -> Any:
        content: list[Any] = [{"type": "text", "text": " ".join(words)}]
        if tools:
            content += [{**each, "input": {"at": "it"}} for each in self._tools()]
        found = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": "tool_use" if tools else "end_turn",
            "stop_sequence": None,
        }
        return found if counts is None else {**found, "usage": self.usage(counts, counts["output"])}

    def events(self, words: list[str], counts: Counts | None, *, tools: bool) -> tuple[bytes, list[bytes], bytes]:
        def said(kind: str, **more: Any) -> bytes:
            return event({"type": kind, **more}, kind)

        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if counts is not None:
            message["usage"] = self.usage(counts, 1)
        begun = (
            said("message_start", message=message)
            + said("content_block_start", index=0, content_block={"type": "text", "text": ""})
            + said("ping")
        )
        parts = [
            said("content_block_delta", index=0, delta={"type": "text_delta", "text": word + " "}) for word in words
        ]
        ending = said("content_block_stop", index=0)
        for place, each in enumerate(self._tools() if tools else [], 1):
            delta = {"type": "input_json_delta", "partial_json": '{"at": "it"}'}
            ending += said("content_block_start", index=place, content_block=each)
            ending += said("content_block_delta", index=place, delta=delta)
            ending += said("content_block_stop", index=place)
        stopped: Any = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
        more = {} if counts is None else {"usage": {"output_tokens": counts["output"]}}
        ending += said("message_delta", delta=stopped, **more) + said("message_stop")
        return begun, parts, ending

    def error(self, status: int) -> Any:
        kind = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": "no"}}

    def error_event(self) -> bytes:
        return event(self.error(529), "error")


class Gemini(Speaker):
    """Google's generateContent."""

    @staticmethod
    def usage(counts: Counts) -> Any:
        read = counts["input"] + counts["cached"] + counts["cache_write"]
        return {
            "promptTokenCount": read,
            "cachedContentTokenCount": counts["cached"],
            "candidatesTokenCount": counts["output"],
            "thoughtsTokenCount": counts["reasoning"],
            "totalTokenCount": read + counts["output"] + counts["reasoning"],
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": read}],
        }

    def _said(self, parts: list[Any], finish: str | None, usage: Any) -> Any:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        if finish is not None:
            candidate["finishReason"] = finish
        found = {"candidates": [candidate], "modelVersion": self.model, "responseId": "r1"}
        return found if usage is None else {**found, "usageMetadata": usage}

    @staticmethod
    def _tools() -> list[Any]:
        return [{"functionCall": {"name": "look", "args": {"at": f"{number}"}}} for number in range(2)]

    def document(self, words: list[str], counts: Counts | None, *, tools: bool) -> Any:
        parts = [{"text": " ".join(words)}, *(self._tools() if tools else [])]
        return self._said(parts, "STOP", None if counts is None else self.usage(counts))

    def events(self, words: list[str], counts: Counts | None, *, tools: bool) -> tuple[bytes, list[bytes], bytes]:
        parts = [event(self._said([{"text": word + " "}], None, None)) for word in words]
        usage = None if counts is None else self.usage(counts)
        ending = event(self._said(self._tools() if tools else [{"text": ""}], "STOP", usage))
        return b"", parts, ending

    def error(self, status: int) -> Any:
        kind = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}.get(status, "INTERNAL")
        return {"error": {"code": status, "message": "no", "status": kind}}

    def error_event(self) -> bytes:
        return event(self.error(503))


def speaker(path: str, document: dict[str, Any], model: str) -> Speaker:
    """:return: who answers what comes to this path."""
    if "enerateContent" in path:
        return Gemini(document, model, "streamGenerateContent" in path)
    kind: type[Speaker] = Chat
    if path.endswith("/responses"):
        kind = Responses
    elif path.endswith("/messages"):
        kind = Messages
    return kind(document, model, bool(document.get("stream")))


LOOK = {"type": "object", "properties": {"at": {"type": "string"}}}


def request(dialect: str, model: str, text: str, *, stream: bool, tools: bool = False, most: int = 1000) -> Any:
    """
    A call as a client sends it.

    :param dialect: ``chat``, ``responses``, ``messages`` or ``gemini``.
    :param most: tokens that it may write.
    :return: path, and the body.
    """
    if dialect == "gemini":
        body: dict[str, Any] = {
            "contents": [{"role": "user", "parts": [{"text": text}]}],
            "generationConfig": {"maxOutputTokens": most},
        }
        if tools:
            body["tools"] = [{"functionDeclarations": [{"name": "look", "parameters": LOOK}]}]
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", body
    body = {"model": model, "stream": stream}
    if dialect == "responses":
        body |= {"input": [{"role": "user", "content": text}], "max_output_tokens": most}
        if tools:
            body["tools"] = [{"type": "function", "name": "look", "parameters": LOOK}]
        return "/v1/responses", body
    body |= {"messages": [{"role": "user", "content": text}], "max_tokens": most}
    if dialect == "messages":
        if tools:
            body["tools"] = [{"name": "look", "input_schema": LOOK}]
        return "/v1/messages", body
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": "look", "parameters": LOOK}}]
    return "/v1/chat/completions", body
