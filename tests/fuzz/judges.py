"""Whether an answer is one in its caller's dialect: what the official SDKs make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import pydantic
from anthropic.types import MessageTokensCount
from google.genai import types

from llm_gateway.core.sse import Event, EventStreamParser
from tests.core.translation.chat import sdk as chat
from tests.core.translation.gemini import sdk as gemini
from tests.core.translation.messages import sdk as messages
from tests.core.translation.responses import official as responses

__all__ = ["ARRAY", "SSE", "WHOLE", "check_failure", "check_stream", "document"]


def document(body: bytes) -> Any:
    """
    :raises ValueError: it is no JSON that everybody reads.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    # Python takes longer numbers for an attack.
    return json.loads(body.decode(), parse_constant=refuse, parse_int=lambda digits: int(digits[:4_000]))


_REPEATED: dict[str, Any] = {
    "tools": [],
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}},
    "reasoning": None,
}
"""Of the request, in answers of the Responses API: if it is not right, it is not the answer that is wrong."""


def _response(body: bytes) -> None:
    responses.checked_response(json.dumps(document(body) | _REPEATED).encode())


def _responses(events: list[Event]) -> None:
    stream = b""
    for event in events:
        said = document(event.data.encode())
        if "response" in said:
            said["response"] |= _REPEATED
            # The SDK's type has the codes of its day only.
            error = said["response"]["error"]
            assert error is None or error.pop("code")
            said["response"]["error"] = error and {"code": "server_error", **error}
        stream += b"event: %b\ndata: %b\n\n" % (event.event.encode(), json.dumps(said).encode())
    found, _ = responses.checked_stream(stream)
    assert found[-1].type in ("response.completed", "response.incomplete", "response.failed", "error")


def _gemini(body: bytes) -> None:
    try:
        gemini.response(body)
    except pydantic.ValidationError as error:
        # Nobody on the way looks into a provider's media, to see whether it is base64.
        if any(each["loc"][-2:] != ("inlineData", "data") for each in error.errors()):
            raise


WHOLE: Mapping[str, Callable[[bytes], object]] = {
    "chat": chat.valid_answer,
    "responses": _response,
    "messages": messages.message,
    "gemini": _gemini,
    # The SDKs' own types are of what they make of these documents.
    "embeddings": document,
    "embedContent": document,
    "batchEmbedContents": document,
    "count_tokens": MessageTokensCount.model_validate_json,
    "countTokens": types.CountTokensResponse.model_validate_json,
    "input_tokens": document,
}
"""By what the caller asks for: raises where the SDK does not take this for a whole answer."""

SSE, ARRAY = "gemini as events", "gemini as an array"
"""Google's streams come in either form."""


def check_failure(dialect: str, said: Any, status: int) -> None:
    """
    :param dialect: the caller's.
    :raises Exception: the SDK would not know this error for one.
    """
    error = said["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    match dialect:
        case "anthropic":
            assert said["type"] == "error"
            assert isinstance(error["type"], str)
        case "openai":
            assert error.keys() >= {"type", "param", "code"}
        case _:
            assert error["code"] == status
            assert isinstance(error["status"], str)


def check_stream(asked: str, stream: bytes) -> None:
    """
    :param asked: what the caller asks for.
    :raises Exception: it is not a whole stream, or not one that ends with one error.
    """
    if asked == ARRAY:
        _check_chunks(document(stream))
        return
    parser = EventStreamParser()
    events = parser.feed(stream)
    parser.close()
    # The SDK can neither type nor add up calls of custom tools; OpenAI streams them all the same.
    chunks = stream.replace(b'"type":"custom"', b'"type":"function"')
    assert events, "nothing at all"
    last = events[-1]
    match asked:
        case "chat" if last.data == "[DONE]":
            (chat.ended if chunks == stream else chat.chunks_of)(chunks)
        case "chat":
            check_failure("openai", document(last.data.encode()), 0)
            chat.chunks_of(_without(last, chunks) + b"data: [DONE]\n\n")
        case "responses":
            _responses(events)
        case "messages":
            try:
                messages.collected(stream)
            except anthropic.APIStatusError:
                assert last.event == "error"
            except ValueError as error:
                # That is how it says that a model has written arguments which are no JSON.
                if "tool parameter JSON from model" not in str(error):
                    raise
            assert [each for each in events if each.event in ("error", "message_stop")] == [last]
        case _:
            _check_chunks([document(event.data.encode()) for event in events])


def _check_chunks(chunks: list[Any]) -> None:
    for said in chunks:
        if "error" in said:
            check_failure("gemini", said, said["error"]["code"])
            assert said is chunks[-1]
        else:
            _gemini(json.dumps(said).encode())


def _without(last: Event, stream: bytes) -> bytes:
    return stream.removesuffix(b"data: " + last.data.encode() + b"\n\n")
