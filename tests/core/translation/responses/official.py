"""The official SDK as the judge of what the codec writes."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import httpx2
import msgspec
import openai
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent, response_create_params
from pydantic import TypeAdapter

from llm_gateway.core.sse import EventStreamParser


@cache
def _request() -> TypeAdapter[Any]:
    return TypeAdapter(response_create_params.ResponseCreateParams)


@cache
def _event() -> TypeAdapter[Any]:
    return TypeAdapter(ResponseStreamEvent)


def checked_request(body: bytes) -> dict[str, Any]:
    """
    :return: the request, as the SDK's own types allow it.
    """
    document = msgspec.json.decode(body)
    _request().validate_json(body)
    allowed = {
        *response_create_params.ResponseCreateParamsNonStreaming.__annotations__,
        *response_create_params.ResponseCreateParamsStreaming.__annotations__,
    }
    assert set(document) <= allowed
    return cast("dict[str, Any]", document)


def checked_response(body: bytes) -> Response:
    return Response.model_validate_json(body)


def checked_stream(stream: bytes) -> tuple[list[Any], ParsedResponse[None] | None]:
    """
    Read a stream as the SDK's ``responses.stream()`` does.

    :return: its events, each valid, and the final response that the SDK makes of them if the stream completed it.
    """
    parser = EventStreamParser(16 * 1024 * 1024)
    raw = parser.feed(stream)
    parser.close()
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    events = []
    for number, one in enumerate(raw):
        event = _event().validate_json(one.data)
        assert one.event == event.type
        assert event.sequence_number == number
        state.handle_event(event)
        events.append(event)
    return events, state._completed_response


def client(body: bytes, *, stream: bool, status: int = 200) -> openai.OpenAI:
    """
    :return: the SDK, for which every call is answered with this body; no socket is opened.
    """
    kind = "text/event-stream" if stream else "application/json"

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": kind})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="x", base_url="http://test/v1", http_client=transport, max_retries=0)
