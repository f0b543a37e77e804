"""
Reasoning in Chat Completions, which has no place of its own for it.

Two conventions are in use. ``reasoning_content`` (DeepSeek; ``reasoning`` elsewhere) is text to read.
``reasoning_details`` (OpenRouter) is a list with an entry for each thinking: its text, and what only its maker can
read. Callers get both: programs that send an assistant's message back as it came so return what the next turn needs.

An entry of a provider's own is carried as it is, without its text; what another dialect's provider made travels sealed,
as the entry's ``signature``.

Source: https://openrouter.ai/docs/guides/best-practices/reasoning-tokens#reasoning_details-array-structure
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.conversation import Opaque, Thinking
from llm_gateway.core.translation.opaque import sealed_thinking, unsealed_thinking

__all__ = ["ENCRYPTED", "SUMMARY", "TEXT", "DetailDoc", "detail_of", "merged", "read_detail", "thinking_of", "type_of"]

TEXT = "reasoning.text"
SUMMARY = "reasoning.summary"
ENCRYPTED = "reasoning.encrypted"


class DetailDoc(msgspec.Struct, omit_defaults=True, gc=False):
    """One entry of ``reasoning_details``."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None


class _Carried(msgspec.Struct, omit_defaults=True, gc=False):
    """What is opaque of a provider's own entry."""

    type: str = ""
    data: str | None = None
    signature: str | None = None
    format: str | None = None


read_detail = msgspec.json.Decoder(DetailDoc).decode
_carried = msgspec.json.Decoder(_Carried).decode
_encode = msgspec.json.Encoder().encode


def thinking_of(entry: DetailDoc, provider: str | None, *, from_caller: bool) -> Thinking:
    """
    :param provider: who made it; ``None`` where a caller sent it back.
    :param from_caller: whether a seal may be on it. A provider's entries are its own, whatever they look like.
    """
    text = entry.text or entry.summary or ""
    opaque = entry.signature or entry.data
    if from_caller and opaque:
        thinking = unsealed_thinking(text, opaque, "chat")
        if thinking.opaque is not None and thinking.opaque.dialect != "chat":
            return thinking
    return Thinking(
        text,
        _opaque(entry, provider),
        redacted=entry.type == ENCRYPTED,
        id=entry.id,
        summary=entry.type == SUMMARY,
    )


def _opaque(entry: DetailDoc, provider: str | None) -> Opaque | None:
    if not entry.signature and not entry.data:
        return None
    carried = _Carried(entry.type or TEXT, entry.data, entry.signature, entry.format)
    return Opaque("chat", provider, _encode(carried).decode())


def type_of(thinking: Thinking) -> str:
    if thinking.redacted:
        return ENCRYPTED
    return SUMMARY if thinking.summary else TEXT


def detail_of(thinking: Thinking, index: int) -> DetailDoc:
    """
    :param index: its place among the message's thinkings.
    """
    kind = type_of(thinking)
    entry = DetailDoc(kind, id=thinking.id, index=index)
    if kind == SUMMARY:
        entry.summary = thinking.text
    elif kind == TEXT or thinking.text:
        entry.text = thinking.text
    opaque = thinking.opaque
    if opaque is None:
        return entry
    if opaque.dialect == "chat":
        try:
            carried = _carried(opaque.data)
        except (msgspec.DecodeError, RecursionError):
            # Somebody made it up: it is of no use to anyone, and of no harm.
            return entry
        entry.type, entry.data, entry.signature, entry.format = (
            carried.type or kind,
            carried.data,
            carried.signature,
            carried.format,
        )
    elif kind == ENCRYPTED:
        entry.data = sealed_thinking(thinking, "chat")
    else:
        entry.signature = sealed_thinking(thinking, "chat")
    return entry


def merged(thoughts: Sequence[Thinking]) -> str:
    """
    :return: all that is to be read, one thinking after the other.
    """
    return "\n\n".join(thinking.text for thinking in thoughts if thinking.text)
