"""
``countTokens``, both ways: a prompt's tokens, counted by the provider or estimated by the gateway.

Source: https://ai.google.dev/api/tokens
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Request
from llm_gateway.core.translation.gemini.fields import read_body
from llm_gateway.core.translation.gemini.reading import read_fields
from llm_gateway.core.translation.gemini.writing import RequestWriter
from llm_gateway.core.translation.losses import Losses
from llm_gateway.errors import UpstreamMalformed

__all__ = ["read_count", "read_count_request", "write_count", "write_count_request"]


class _Counted(msgspec.Struct, rename="camel"):
    # Google's JSON leaves out what is 0.
    total_tokens: int = 0


_counted = msgspec.json.Decoder(_Counted).decode


def read_count_request(body: bytes, *, model: str | None = None) -> Request:
    """
    :param body: with ``contents`` alone, or with a whole request in ``generateContentRequest``.
    :raises BadRequest: it is neither.
    """
    fields = read_body(body)
    whole = fields.inner("generateContentRequest")
    return read_fields(fields if whole is None else whole, model, False)


def write_count_request(request: Request, to: Destination, losses: Losses, *, json_schema: bool = True) -> bytes:
    """
    :param request: of which only the prompt counts.
    :return: a body that the Gemini API and Vertex AI both take if the prompt has contents alone; instructions and tools
        have their place in a whole request, that only the former takes.
    """
    prompt = RequestWriter(request, to, losses, json_schema=json_schema).prompt()
    if prompt.keys() == {"contents"}:
        return msgspec.json.encode(prompt)
    return msgspec.json.encode({"generateContentRequest": {"model": f"models/{to.model}"} | prompt})


def read_count(body: bytes) -> int:
    """
    :return: how many tokens the prompt has.
    :raises UpstreamMalformed: it does not say.
    """
    try:
        return _counted(body).total_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("The provider's answer is not one of countTokens.") from None


def write_count(tokens: int) -> bytes:
    return msgspec.json.encode({"totalTokens": tokens})
