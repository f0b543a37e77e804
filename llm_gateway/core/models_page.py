"""
The answers to ``GET /v1/models`` and ``/v1/models/{id}``, in the shape of the caller's dialect.

Source: the ``Model`` of ``openai``, ``ModelInfo`` of ``anthropic`` with its pages, ``Model`` of ``google-genai``, and
https://platform.claude.com/docs/en/api/models/list, https://ai.google.dev/api/models.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from llm_gateway.core.catalogue import Model
from llm_gateway.core.dialects import ANTHROPIC, GEMINI, Dialect
from llm_gateway.errors import BadRequest

__all__ = ["model_body", "models_body"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What is said of a model whose day is not known, as Anthropic itself does."""

_PAGE = 20
_LARGEST_PAGE = 1000
"""Of Anthropic's list."""
_GEMINI_PAGE = 50
"""Of Google's list; it has the same largest one."""


def models_body(dialect: Dialect, models: Sequence[Model], query: bytes = b"") -> bytes:
    """
    :param models: all that the caller may call, in the order in which they are to be listed.
    :param query: of the request: which page of the list, in the dialects that have pages.
    :return: the JSON document.
    :raises BadRequest: a parameter of the query is not what the dialect takes.
    """
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if dialect is ANTHROPIC:
        return _encode(_anthropic_page(models, asked))
    if dialect is GEMINI:
        return _encode(_gemini_page(models, asked))
    return _encode({"object": "list", "data": [_openai(model) for model in models]})


def model_body(dialect: Dialect, model: Model) -> bytes:
    """:return: the JSON document about one model."""
    if dialect is ANTHROPIC:
        return _encode(_anthropic(model))
    return _encode(_gemini(model) if dialect is GEMINI else _openai(model))


_encode = msgspec.json.encode


def _day(day: str | None) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else _EPOCH


def _time(day: str | None) -> str:
    return _day(day).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_unknown(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


# OpenAI


def _openai(model: Model) -> dict[str, Any]:
    document = {
        "id": model.name,
        "object": "model",
        "created": int(_day(model.facts.released).timestamp()),
        "owned_by": model.owner,
    }
    return document | ({"shutdown_date": model.facts.retires} if model.facts.retires else {})


# Anthropic


def _anthropic(model: Model) -> dict[str, Any]:
    facts = model.facts
    return {
        "type": "model",
        "id": model.name,
        "display_name": facts.title or model.name,
        "created_at": _time(facts.released),
        "lifecycle": "deprecated" if facts.retires else "active",
        "deprecated_at": None,
        "retires_at": _time(facts.retires) if facts.retires else None,
        "max_input_tokens": facts.context_window,
        "max_tokens": facts.max_output_tokens,
        "line": None,
        "capabilities": None,
    }


def _anthropic_page(models: Sequence[Model], asked: dict[str, list[str]]) -> dict[str, Any]:
    limit = _number(asked, "limit", _PAGE, at_least=1, at_most=_LARGEST_PAGE)
    after, before = (asked.get(name, [""])[0] for name in ("after_id", "before_id"))
    if after and before:
        raise BadRequest("after_id and before_id cannot both be given.")
    names = [model.name for model in models]
    start, end = 0, len(models)
    if after:
        start = _position(names, after, "after_id") + 1
        end = min(end, start + limit)
    elif before:
        end = _position(names, before, "before_id")
        start = max(0, end - limit)
    else:
        end = min(end, limit)
    page = models[start:end]
    return {
        "data": [_anthropic(model) for model in page],
        # More in the direction in which the caller goes.
        "has_more": start > 0 if before else end < len(models),
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def _position(names: list[str], name: str, parameter: str) -> int:
    if name not in names:
        raise BadRequest.of_field(parameter, "there is no such model.")
    return names.index(name)


# Gemini

_METHODS = {"chat": ("generateContent", "streamGenerateContent", "countTokens"), "embeddings": ("embedContent",)}


def _gemini(model: Model) -> dict[str, Any]:
    facts = model.facts
    operations = facts.operations or ("chat",)
    return _without_unknown(
        {
            "name": f"models/{model.name}",
            "version": "001",
            "displayName": facts.title or model.name,
            "inputTokenLimit": facts.context_window,
            "outputTokenLimit": facts.max_output_tokens,
            "supportedGenerationMethods": [method for each in operations for method in _METHODS.get(each, ())],
            "thinking": facts.reasoning,
        }
    )


def _gemini_page(models: Sequence[Model], asked: dict[str, list[str]]) -> dict[str, Any]:
    size = min(_number(asked, "pageSize", _GEMINI_PAGE, at_least=0), _LARGEST_PAGE) or _GEMINI_PAGE
    start = _number(asked, "pageToken", 0, at_least=0)
    page = models[start : start + size]
    more = start + size < len(models)
    document: dict[str, Any] = {"models": [_gemini(model) for model in page]}
    return document | ({"nextPageToken": str(start + size)} if more else {})


def _number(asked: dict[str, list[str]], name: str, default: int, *, at_least: int, at_most: int | None = None) -> int:
    written = asked.get(name, [""])[0]
    if not written:
        return default
    # int() would take signs, spaces and underscores, and other alphabets' digits.
    number = int(written) if written.isascii() and written.isdecimal() and len(written) < 10 else -1
    if number < at_least or (at_most is not None and number > at_most):
        upper = f" to {at_most}" if at_most is not None else " or more"
        raise BadRequest.of_field(name, f"must be a whole number, {at_least}{upper}.")
    return number
