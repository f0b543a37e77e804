"""
What a provider says of its own models.

OpenAI's shape is spoken by many, each of whom adds what it knows: what of that is the same with several is read.

Source: https://platform.openai.com/docs/api-reference/models, https://platform.claude.com/docs/en/api/models/list,
https://ai.google.dev/api/models, https://openrouter.ai/docs/api-reference/list-available-models (``context_length``)
and ``vllm/entrypoints/openai`` (``max_model_len``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from llm_gateway.core.dialects import ANTHROPIC, GEMINI, Dialect
from llm_gateway.core.model_rules import ModelFacts
from llm_gateway.errors import UpstreamMalformed

__all__ = ["MAX_MODELS", "QUERIES", "models_listed"]

MAX_MODELS = 10_000
"""Of one provider. Those who serve everybody's have some hundreds."""

QUERIES = {ANTHROPIC: b"limit=1000", GEMINI: b"pageSize=1000"}
"""What asks for a list in one page, as large as the dialect has them."""

_Number = int | float | str | None


class _Entry(msgspec.Struct, rename="camel"):
    """Google's, and with its names in the other spelling everybody else's."""

    name: str | None = None
    id: str | None = None
    display_name: str | None = None
    input_token_limit: _Number = None
    output_token_limit: _Number = None


class _Other(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    display_name: str | None = None
    created: _Number = None
    created_at: _Number = None
    max_input_tokens: _Number = None
    max_tokens: _Number = None
    context_length: _Number = None
    context_window: _Number = None
    max_model_len: _Number = None


class _Google(msgspec.Struct):
    models: list[_Entry] = []


class _Page(msgspec.Struct):
    data: list[msgspec.Raw] = []


_google: Callable[[bytes], _Google] = msgspec.json.Decoder(_Google).decode
_page: Callable[[bytes], _Page] = msgspec.json.Decoder(_Page).decode
_bare: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_other: Callable[[msgspec.Raw], _Other] = msgspec.json.Decoder(_Other).decode


def models_listed(dialect: Dialect, body: bytes) -> dict[str, ModelFacts]:
    """
    :param dialect: the provider's.
    :param body: its answer to ``GET /models``.
    :return: what is known from it, by the names that the provider has for its models, in its order.
    :raises UpstreamMalformed: it is no such answer.
    """
    found: dict[str, ModelFacts] = {}
    try:
        for name, facts in _googles(body) if dialect is GEMINI else _others(body):
            if name and len(found) < MAX_MODELS:
                found.setdefault(name, facts)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("The provider's answer is not a list of models.") from None
    return found


def _googles(body: bytes) -> Iterator[tuple[str, ModelFacts]]:
    for entry in _google(body).models:
        name = (entry.name or "").removeprefix("models/")
        yield (
            name,
            ModelFacts(
                title=_title(entry.display_name, name),
                context_window=_count(entry.input_token_limit),
                max_output_tokens=_count(entry.output_token_limit),
            ),
        )


def _others(body: bytes) -> Iterator[tuple[str, ModelFacts]]:
    # Together's list stands alone.
    for raw in _bare(body) if body.lstrip()[:1] == b"[" else _page(body).data:
        entry = _other(raw)
        name = entry.id or ""
        windows = (entry.max_input_tokens, entry.context_length, entry.context_window, entry.max_model_len)
        yield (
            name,
            ModelFacts(
                title=_title(entry.display_name or entry.name, name),
                released=_day(entry.created if entry.created is not None else entry.created_at),
                context_window=next((count for each in windows if (count := _count(each)) is not None), None),
                max_output_tokens=_count(entry.max_tokens),
            ),
        )


def _title(title: str | None, name: str) -> str | None:
    return title if title and title != name else None


def _count(number: _Number) -> int | None:
    """:return: ``None`` for what is no number of tokens."""
    return number if isinstance(number, int) and 0 < number < 2**53 else None


def _day(moment: _Number) -> str | None:
    """
    :param moment: in seconds since 1970 (OpenAI), or ``2025-09-29T00:00:00Z`` (Anthropic).
    :return: its day; ``None`` for one that is not known: many say 0, or now.
    """
    try:
        day = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment or 0, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return day.strftime("%Y-%m-%d") if day.year > 1970 else None
