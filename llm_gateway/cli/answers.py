"""Reading a provider's answer, whole or streamed, in OpenAI's dialect or Anthropic's: whichever it turns out to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from llm_gateway.cli.gateway import NoAnswer
from llm_gateway.core.sse import EventStreamError, EventStreamParser

__all__ = ["Piece", "Stopped", "Text", "Thinking", "ToolCalled", "read_answer", "refusal"]


class Text(msgspec.Struct, frozen=True):
    text: str


class Thinking(msgspec.Struct, frozen=True):
    """What the model thinks before it speaks."""

    text: str


class ToolCalled(msgspec.Struct, frozen=True):
    name: str
    arguments: str
    """JSON as the model wrote it."""


class Stopped(msgspec.Struct, frozen=True):
    """The model's own reason for the end; None where it gave none."""

    reason: str | None


Piece = Text | Thinking | ToolCalled | Stopped


def read_answer(chunks: Iterable[bytes], is_stream: bool) -> Iterator[Piece]:
    """
    :param chunks: the body as it arrives.
    :param is_stream: whether it is a stream of events; a JSON document otherwise.
    :return: the pieces as they arrive; ``Stopped`` is the last.
    :raises NoAnswer: it is an error, or breaks off, or is in neither dialect.
    """
    return _read_stream(chunks) if is_stream else _read_document(b"".join(chunks))


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> NoAnswer:
    """
    Put an error answer into one line: status, kind, message, request id.

    :param headers: names in lower case.
    """
    try:
        error = _error_of(msgspec.json.decode(body))
    except msgspec.DecodeError:
        error = None
    kind, message = error or (None, body[:200].decode("utf-8", "replace"))
    head = " ".join(filter(None, [str(status), headers.get("x-gw-error") or kind]))
    line = f"{head}: {_one_line(message) or 'no explanation'}"
    names = ("x-gw-request-id", "x-request-id", "request-id")
    request_id = next((headers[name] for name in names if headers.get(name)), None)
    return NoAnswer(f"{line} (request {request_id})" if request_id else line)


def _read_document(body: bytes) -> Iterator[Piece]:
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise NoAnswer(f"the answer is not JSON: {error}") from error
    failure = _error_of(document)
    if failure:
        raise _in_answer(*failure)
    if _list(document, "choices"):
        choice = _list(document, "choices")[0]
        message = _dict(choice, "message")
        yield from _thinking_and_text(message)
        for call in _list(message, "tool_calls"):
            function = _dict(call, "function")
            yield ToolCalled(_str(function, "name"), _str(function, "arguments"))
        yield Stopped(_str(choice, "finish_reason") or None)
    elif isinstance(document, dict) and document.get("type") == "message":
        for block in _list(document, "content"):
            yield from _thinking_and_text({"content": block.get("text"), "reasoning_content": block.get("thinking")})
            if block.get("type") == "tool_use":
                yield ToolCalled(_str(block, "name"), msgspec.json.encode(block.get("input")).decode())
        yield Stopped(_str(document, "stop_reason") or None)
    else:
        raise NoAnswer("the answer is neither an OpenAI chat completion nor an Anthropic message; see --raw")


def _read_stream(chunks: Iterable[bytes]) -> Iterator[Piece]:
    parser = EventStreamParser()
    reader = _StreamReader()
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                yield from reader.read(event.data)
        parser.close()
    except EventStreamError as error:
        raise NoAnswer(f"the answer broke off: {error}") from error
    yield from reader.close()


class _StreamReader:
    """Both dialects' stream events, told apart by what each event holds."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}
        """Name and arguments of each tool call, by its index."""
        self._reason: str | None = None
        self._complete = False

    def read(self, data: str) -> Iterator[Piece]:
        if data == "[DONE]":
            self._complete = True
            return
        try:
            document = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"an event of the stream is not JSON: {error}") from error
        failure = _error_of(document)
        if failure:
            raise _in_answer(*failure)
        if _list(document, "choices"):
            yield from self._read_chunk(_list(document, "choices")[0])
        elif isinstance(document, dict):
            yield from self._read_event(document)

    def close(self) -> Iterator[Piece]:
        """
        :raises NoAnswer: the stream ended before the answer did.
        """
        for _, (name, arguments) in sorted(self._calls.items()):
            yield ToolCalled(name, arguments)
        if not self._complete:
            raise NoAnswer("the answer broke off: the stream ended without its last event")
        yield Stopped(self._reason)

    def _read_chunk(self, choice: dict[str, Any]) -> Iterator[Piece]:
        delta = _dict(choice, "delta")
        yield from _thinking_and_text(delta)
        for call in _list(delta, "tool_calls"):
            function = _dict(call, "function")
            self._call(call.get("index", 0), _str(function, "name"), _str(function, "arguments"))
        if choice.get("finish_reason"):
            # Some providers end here, without [DONE].
            self._reason = _str(choice, "finish_reason")
            self._complete = True

    def _read_event(self, event: dict[str, Any]) -> Iterator[Piece]:
        delta, block = _dict(event, "delta"), _dict(event, "content_block")
        kind = event.get("type")
        if kind == "content_block_start":
            yield from _thinking_and_text({"content": block.get("text"), "reasoning_content": block.get("thinking")})
            if block.get("type") == "tool_use":
                self._call(event.get("index", 0), _str(block, "name"), "")
        elif kind == "content_block_delta":
            yield from _thinking_and_text({"content": delta.get("text"), "reasoning_content": delta.get("thinking")})
            if "partial_json" in delta:
                self._call(event.get("index", 0), "", _str(delta, "partial_json"))
        elif kind == "message_delta":
            self._reason = _str(delta, "stop_reason") or self._reason
        elif kind == "message_stop":
            self._complete = True

    def _call(self, index: int, name: str, arguments: str) -> None:
        call = self._calls.setdefault(index, ["", ""])
        call[0] += name
        call[1] += arguments


def _thinking_and_text(message: Mapping[str, Any]) -> Iterator[Piece]:
    thinking = _str(message, "reasoning_content") or _str(message, "reasoning")
    if thinking:
        yield Thinking(thinking)
    text = _str(message, "content") or _str(message, "refusal")
    if text:
        yield Text(text)


def _error_of(document: object) -> tuple[str | None, str] | None:
    """:return: kind and message, where the document is an error of either dialect's."""
    if not isinstance(document, dict) or not document.get("error"):
        return None
    error = document["error"]
    if not isinstance(error, dict):
        return None, str(error)
    kind = error.get("code") or error.get("type")
    return (str(kind) if kind else None), _str(error, "message")


def _in_answer(kind: str | None, message: str) -> NoAnswer:
    return NoAnswer(f"error in the answer: {': '.join(filter(None, [kind, _one_line(message)]))}")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _dict(parent: object, name: str) -> dict[str, Any]:
    value = parent.get(name) if isinstance(parent, Mapping) else None
    return value if isinstance(value, dict) else {}


def _list(parent: object, name: str) -> list[dict[str, Any]]:
    value = parent.get(name) if isinstance(parent, Mapping) else None
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _str(parent: Mapping[str, Any], name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""
