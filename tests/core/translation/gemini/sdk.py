"""What Google's own SDK makes of what the codec writes, and what the codec gets from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pydantic
from google import genai
from google.genai import types

__all__ = ["Served", "client", "client_of", "request", "response"]

_CONTENTS = pydantic.TypeAdapter(list[types.Content])
_TOOLS = pydantic.TypeAdapter(list[types.Tool])
_SAFETY = pydantic.TypeAdapter(list[types.SafetySetting])

_FIELDS: dict[str, Callable[[Any], object]] = {
    "contents": _CONTENTS.validate_python,
    "systemInstruction": types.Content.model_validate,
    "tools": _TOOLS.validate_python,
    "toolConfig": types.ToolConfig.model_validate,
    "generationConfig": types.GenerationConfig.model_validate,
    "safetySettings": _SAFETY.validate_python,
    "serviceTier": types.ServiceTier,
    "cachedContent": str,
    "labels": dict,
}


def request(body: bytes) -> dict[str, Any]:
    """
    :return: the request's document. The SDK's types forbid fields that they do not know.
    """
    document: dict[str, Any] = msgspec.json.decode(body)
    for name, value in document.items():
        _FIELDS[name](value)
    for content in document["contents"]:
        assert content["role"] in ("user", "model")
        assert content["parts"]
    return document


def response(body: bytes) -> types.GenerateContentResponse:
    return types.GenerateContentResponse.model_validate_json(body)


class Served(msgspec.Struct):
    """What the SDK's client asked for, and what it is answered."""

    answers: list[tuple[int, bytes]]
    """Status and body of each, in order."""
    asked: list[httpx2.Request] = []

    def __call__(self, asked: httpx2.Request) -> httpx2.Response:
        self.asked.append(asked)
        status, body = self.answers[len(self.asked) - 1]
        kind = "text/event-stream" if body.startswith(b"data:") else "application/json"
        return httpx2.Response(status, content=body, headers={"content-type": kind})


def client_of(served: Served) -> genai.Client:
    """
    :return: the SDK's client, that asks nobody else.
    """
    transport = httpx2.MockTransport(served)
    return genai.Client(
        api_key="vk_caller", http_options=types.HttpOptions(httpx_client=httpx2.Client(transport=transport))
    )


def client(*bodies: bytes) -> tuple[genai.Client, Served]:
    """
    :param bodies: what it is answered, one after the other.
    """
    served = Served([(200, body) for body in bodies])
    return client_of(served), served
