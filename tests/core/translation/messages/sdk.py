"""What Anthropic's own SDK makes of what the codec writes: its types for requests, its stream helper for streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import cast

import httpx2
import msgspec
import pydantic
from anthropic import Anthropic, not_given
from anthropic.lib.streaming import MessageStream
from anthropic.types import Message
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

__all__ = ["collected", "events", "message", "request"]

_PLAIN = pydantic.TypeAdapter(MessageCreateParamsNonStreaming)
_STREAMED = pydantic.TypeAdapter(MessageCreateParamsStreaming)

_SAMPLING = ("temperature", "top_p", "top_k")
"""Fields of the API's version 2023-06-01 that the SDK does not know any more."""


def request(body: bytes) -> dict[str, object]:
    """
    :return: the request's document, of which the SDK's types know every field at every place, and every value.
    """
    document: dict[str, object] = msgspec.json.decode(body)
    sampling = {name: document[name] for name in _SAMPLING if name in document}
    assert all(isinstance(value, int | float) and value >= 0 for value in sampling.values())
    assert cast(float, sampling.get("temperature", 1)) <= 1
    known = {name: value for name, value in document.items() if name not in _SAMPLING}
    adapter = _STREAMED if document.get("stream") else _PLAIN
    understood = _consumed(adapter.validate_python(known))
    assert understood == known, "a field that the SDK does not know"
    return document


def _consumed(value: object) -> object:
    """Iterables are validated while they are read, and blocks of answers are understood in requests too."""
    if isinstance(value, pydantic.BaseModel):
        _no_unknown(value)
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, dict):
        return {name: _consumed(one) for name, one in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_consumed(one) for one in value]


def message(body: bytes) -> Message:
    """
    :return: a whole answer.
    """
    found = Message.model_validate_json(body)
    _no_unknown(found)
    return found


def collected(stream: bytes) -> Message:
    """
    :return: what the stream helper has put together at the stream's end.
    """
    return _stream(stream).get_final_message()


def events(stream: bytes) -> Iterator[object]:
    return iter(_stream(stream))


class _Provider:
    """Answers the SDK with one stream after the other; a client is too slow to be made for each."""

    def __init__(self) -> None:
        self.content = b""
        transport = httpx2.MockTransport(self._answer)
        self.client = Anthropic(
            api_key="none", base_url="http://test", max_retries=0, http_client=httpx2.Client(transport=transport)
        )

    def _answer(self, asked: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, content=self.content, request=asked)


@cache
def _provider() -> _Provider:
    return _Provider()


def _stream(stream: bytes) -> MessageStream[None]:
    provider = _provider()
    provider.content = stream
    raw = provider.client.messages.create(
        model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], stream=True
    )
    return MessageStream(raw, output_format=not_given)


def _no_unknown(model: pydantic.BaseModel) -> None:
    assert not model.model_extra, f"{type(model).__name__} has no {set(model.model_extra or ())}"
    for name in type(model).model_fields:
        value = getattr(model, name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, pydantic.BaseModel):
                _no_unknown(one)
