"""
Content blocks, read: those of a caller's messages and those of an answer.

Source: the types of the ``anthropic`` package (2.12) and platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeVar

import msgspec

from llm_gateway.core.translation.conversation import (
    CacheMark,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Opaque,
    Part,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.fields import Fields, boolean, plain_text, raws, reading, text
from llm_gateway.core.translation.messages.names import DIALECT, NAME
from llm_gateway.core.translation.opaque import unsealed_thinking
from llm_gateway.errors import BadRequest

__all__ = ["Extras", "arguments_of", "cache_of", "citation_of", "leave", "part_of", "text_or_blocks"]

T = TypeVar("T")

Extras = dict[str, msgspec.Raw]

_NOT_IN_RESULTS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking"})
_IN_DOCUMENTS = frozenset({"text", "image"})

_HINT_KINDS = frozenset({"tool_reference", "fallback"})
"""Blocks whose loss changes no answer: what they refer to is there anyway."""

_EMPTY_OBJECT = msgspec.Raw(b"{}")
_NULL = msgspec.Raw(b"null")
_QUOTE = ord('"')


class _Typed(msgspec.Struct):
    type: str = ""


class _CitationDocument(msgspec.Struct):
    """The fields of all kinds that others can show; positions in the source are not among them."""

    type: str
    cited_text: str | None = None
    url: str | None = None
    title: str | None = None
    document_title: str | None = None
    source: str | None = None


class _CacheControl(msgspec.Struct):
    type: str = "ephemeral"
    ttl: str | None = None


_typed = msgspec.json.Decoder(_Typed).decode
_citation = msgspec.json.Decoder(_CitationDocument).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def part_of(raw: msgspec.Raw, place: str, extras: Extras, provider: str | None = None) -> Part:
    """
    Read one block.

    :param extras: gets the fields that the neutral conversation has no place for, by their places.
    :param provider: who wrote it, where that is known: in an answer.
    :raises BadRequest: a field is missing or of another type.
    """
    plain = plain_text(raw)
    if plain is not None and plain.type == "text":
        return Text(plain.text)
    fields = Fields(raw, place)
    kind = fields.need("type", text)
    part = _known(fields, kind, extras, provider)
    if part is None:
        return Foreign(NAME, kind, raw, hint=kind in _HINT_KINDS)
    leave(fields, extras)
    return part


def _known(fields: Fields, kind: str, extras: Extras, provider: str | None) -> Part | None:
    match kind:
        case "text":
            return Text(fields.need("text", text), _citations(fields), cache_of(fields, extras))
        case "thinking":
            return _thinking(fields, provider)
        case "redacted_thinking":
            data = fields.need("data", text)
            if provider is not None:
                return Thinking(opaque=Opaque(NAME, provider, data), redacted=True)
            return msgspec.structs.replace(unsealed_thinking("", data, NAME), redacted=True)
        case "tool_use":
            return _tool_use(fields, extras)
        case "tool_result":
            return _tool_result(fields, extras)
        case "image":
            source = _source(fields, ())
            return None if source is None else Image(source, cache=cache_of(fields, extras))
        case "document":
            return _document(fields, extras)
        case _:
            return None


def _thinking(fields: Fields, provider: str | None) -> Thinking:
    said = fields.need("thinking", text)
    signature = fields.take("signature", text)
    if not signature:
        return Thinking(said)
    if provider is not None:
        return Thinking(said, Opaque(NAME, provider, signature))
    return unsealed_thinking(said, signature, NAME)


def _tool_use(fields: Fields, extras: Extras) -> ToolCall | None:
    caller = fields.raw("caller")
    if caller is not None and reading(_typed, caller, fields.at("caller")).type != "direct":
        # Code that runs at the provider made the call; what answers it goes back to that code.
        return None
    return ToolCall(
        fields.need("id", text),
        fields.need("name", text),
        arguments_of(fields.raw("input"), fields.at("input")),
        cache=cache_of(fields, extras),
    )


def arguments_of(raw: msgspec.Raw | None, place: str) -> str:
    """
    :param raw: the ``input`` of a call.
    :return: its text as it came; empty for an empty object.
    """
    if raw is None or raw == _EMPTY_OBJECT or not reading(_object, raw, place):
        return ""
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadRequest.of_field(place, "is not valid JSON.") from error


def _tool_result(fields: Fields, extras: Extras) -> ToolResult:
    def inner(raw: msgspec.Raw, place: str) -> Text | Image | Document | Foreign:
        # Looked at before it is read: blocks inside blocks inside blocks have an end.
        if reading(_typed, raw, place).type not in _NOT_IN_RESULTS:
            part = part_of(raw, place, extras)
            if isinstance(part, Text | Image | Document | Foreign):
                return part
        raise BadRequest.of_field(f"{place}.type", "may not be of this kind in the result of a tool.")

    parts = _text_or(fields, "content", inner)
    return ToolResult(
        fields.need("tool_use_id", text),
        tuple(parts),
        is_error=bool(fields.take("is_error", boolean)),
        cache=cache_of(fields, extras),
    )


def text_or_blocks(fields: Fields, name: str, extras: Extras) -> list[Part]:
    """
    :param name: of a field that is a text or a list of blocks, or missing.
    """
    return _text_or(fields, name, lambda raw, place: part_of(raw, place, extras))


def _text_or(fields: Fields, name: str, read: Callable[[msgspec.Raw, str], T]) -> list[T | Text]:
    raw = fields.raw(name)
    if raw is None:
        return []
    place = fields.at(name)
    if memoryview(raw)[0] == _QUOTE:
        return [Text(reading(text, raw, place))]
    return [read(block, f"{place}[{at}]") for at, block in enumerate(reading(raws, raw, place))]


def _document(fields: Fields, extras: Extras) -> Document | None:
    source = _source(fields, ("text", "content"))
    if source is None:
        return None
    citations = fields.inner("citations")
    return Document(
        source,
        name=fields.take("title", text),
        context=fields.take("context", text),
        citations=citations is not None and bool(citations.take("enabled", boolean)),
        cache=cache_of(fields, extras),
    )


def _source(fields: Fields, also: tuple[str, ...]) -> Source | None:
    """
    :param also: the kinds of source that this kind of block has besides those of every block.
    :return: ``None`` for a kind that only this dialect has.
    """
    source = fields.inner("source")
    if source is None:
        raise BadRequest.of_field(fields.at("source"), "is required.")
    kind = source.need("type", text)
    match kind:
        case "base64":
            return Inline(source.need("media_type", text), source.need("data", text))
        case "url":
            return Linked(source.need("url", text))
        case "file":
            return Stored(source.need("file_id", text), DIALECT)
        case "text" if kind in also:
            return _plain(source.need("data", text))
        case "content" if kind in also:
            return _plain_of_blocks(source)
        case _:
            return None


def _plain(data: str) -> Inline:
    return Inline("text/plain", base64.b64encode(data.encode("utf-8", "replace")).decode("ascii"))


def _plain_of_blocks(source: Fields) -> Inline | None:
    """Blocks of text are one text to those who cannot cite them one by one; blocks with images stay foreign."""

    def inner(raw: msgspec.Raw, place: str) -> Part:
        if reading(_typed, raw, place).type not in _IN_DOCUMENTS:
            raise BadRequest.of_field(f"{place}.type", "must be text or image.")
        return part_of(raw, place, {})

    parts = _text_or(source, "content", inner)
    texts = [part.text for part in parts if isinstance(part, Text)]
    return _plain("\n\n".join(texts)) if len(texts) == len(parts) else None


def cache_of(fields: Fields, extras: Extras) -> CacheMark | None:
    mark = fields.inner("cache_control")
    if mark is None:
        return None
    mark.take("type", text)
    ttl = mark.take("ttl", text)
    leave(mark, extras)
    return CacheMark(ttl)


def leave(fields: Fields, extras: Extras) -> None:
    """Keep what nobody took; a field that is null says nothing."""
    for name, raw in fields.rest.items():
        if raw != _NULL:
            extras[fields.at(name)] = raw


def _citations(fields: Fields) -> tuple[Citation, ...]:
    return tuple(citation_of(raw, place) for raw, place in fields.each("citations"))


def citation_of(raw: msgspec.Raw, place: str) -> Citation:
    found = reading(_citation, raw, place)
    url = found.url
    if url is None and found.source is not None and found.source.startswith(("https://", "http://")):
        url = found.source
    return Citation(url, found.title or found.document_title, found.cited_text, raw=raw)
