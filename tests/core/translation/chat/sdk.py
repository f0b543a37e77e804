"""What OpenAI's official SDK makes of what the codec writes: its types are the judge, and its stream helper."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

__all__ = ["chunks_of", "ended", "valid_answer", "valid_request"]

_WHOLE: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_STREAMED: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)


def valid_request(body: bytes) -> dict[str, Any]:
    """
    :return: the request, once the SDK's own types have found nothing wrong with it and know every field of it.
    """
    document: dict[str, Any] = json.loads(body)
    adapter = _STREAMED if document.get("stream") else _WHOLE
    known = _walked(adapter.validate_python(document))
    assert known == document
    return document


def _walked(value: Any) -> Any:
    """Lists are checked as they are read: read them all."""
    if isinstance(value, Mapping):
        return {name: _walked(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_walked(each) for each in value]
    return value


def valid_answer(body: bytes) -> ChatCompletion:
    # Not strict: pydantic is strict about types that JSON does not tell apart, such as 1 for a float.
    return ChatCompletion.model_validate_json(body)


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    """
    :return: the chunks, up to the end of the stream, each as the SDK's type has it.
    """
    frames = stream.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    return [ChatCompletionChunk.model_validate_json(frame.removeprefix("data: ")) for frame in frames]


def ended(stream: bytes) -> ChatCompletion:
    """
    :return: what the SDK's stream helper adds the chunks up to.
    """
    # Only it says what a stream that was cut for length came to, without raising an exception.
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in chunks_of(stream):
        for _ in state.handle_chunk(chunk):
            pass
    return state.current_completion_snapshot
