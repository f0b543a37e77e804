"""
Parts of a message, written as content blocks.

Source: the types of the ``anthropic`` package (2.12) and platform.claude.com/docs/en/api/messages. Documents in an
assistant's message and citations in a user's are errors since the API's version 2026-10-21, and are not written.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from llm_gateway.core.translation.arguments import object_in
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Opaque,
    Part,
    Refusal,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.freeform import as_arguments
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.messages.models import Abilities
from llm_gateway.core.translation.messages.names import DIALECT, IMAGE_TYPES, NAME, Json

__all__ = ["PartWriter", "input_of", "own_citations"]

_EMPTY = msgspec.Raw(b"{}")

_BROKEN_INPUT = "INVALID_JSON"
"""Where arguments go that are not a JSON object, as Anthropic's page on fine-grained tool streaming proposes."""

_FAILED = "The tool failed."
"""What is said of an error that says nothing, or that has more than text to say."""

_OWN_CITATIONS = frozenset(
    {
        "char_location",
        "page_location",
        "content_block_location",
        "search_result_location",
        "web_search_result_location",
    }
)

_TTLS = ("5m", "1h")
"""How long a marked part of a prompt may stay in the cache."""

_TEXT_LIKE = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


class _Typed(msgspec.Struct):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def input_of(arguments: str) -> msgspec.Raw:
    """
    :param arguments: as a model wrote them, perhaps not valid.
    :return: the ``input`` of a ``tool_use`` block, which is always an object.
    """
    if not arguments or arguments.isspace():
        return _EMPTY
    found = object_in(arguments)
    return msgspec.Raw(msgspec.json.encode({_BROKEN_INPUT: arguments})) if found is None else found


def own_citations(citations: tuple[Citation, ...]) -> list[msgspec.Raw]:
    """
    :return: those that came in this dialect, as they came.
    """
    return [one.raw for one in citations if one.raw is not None and _kind(one.raw) in _OWN_CITATIONS]


def _kind(raw: msgspec.Raw) -> str:
    try:
        return _typed(raw).type
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""


class PartWriter:
    """Writes the parts of one request."""

    def __init__(
        self, losses: Losses, abilities: Abilities, provider: str, *, own: bool, more: dict[str, Json]
    ) -> None:
        """
        :param own: the caller speaks this dialect; what the codec read is written as it was.
        :param more: fields that only this dialect has, by the place of their block or message.
        """
        self.losses = losses
        self.abilities = abilities
        self.own = own
        self._provider = provider
        self._more = more

    def more_at(self, place: str) -> Json:
        return self._more.pop(place, {})

    def blocks(self, part: Part, place: str, *, assistant: bool) -> list[Json]:
        """
        :return: one block, or none where the part is dropped or says nothing.
        :raises Unsupported: by way of the losses.
        """
        block = self._block(part, place, assistant)
        if block is None:
            return []
        block.update(self.more_at(place))
        return [block]

    def call(self, call: ToolCall, written_id: str, place: str) -> list[Json]:
        """
        :param written_id: its id in this document.
        """
        if call.opaque is not None:
            self._drop_opaque(call.opaque, f"{place}.signature")
        arguments = as_arguments(call.arguments) if call.custom else call.arguments
        block: Json = {"type": "tool_use", "id": written_id, "name": call.name, "input": input_of(arguments)}
        return [self._with_cache(block, call.cache, place)]

    def result(self, result: ToolResult, written_id: str, place: str) -> Json:
        block: Json = {"type": "tool_result", "tool_use_id": written_id}
        content: list[Json] = []
        for at, part in enumerate(result.parts):
            content.extend(self.blocks(part, f"{place}.content[{at}]", assistant=False))
        is_error = result.is_error
        if is_error and not self.own:
            if not content:
                content = [{"type": "text", "text": _FAILED}]
            elif any(one["type"] != "text" for one in content):
                # Errors are told in text alone.
                self.losses.change(f"{place}.is_error")
                content.insert(0, {"type": "text", "text": _FAILED})
                is_error = False
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        if is_error:
            block["is_error"] = True
        return self._with_cache(block, result.cache, place)

    def _with_cache(self, block: Json, cache: CacheMark | None, place: str) -> Json:
        if cache is not None:
            block["cache_control"] = self.mark(cache, place)
        block.update(self.more_at(place))
        return block

    def mark(self, cache: CacheMark, place: str) -> Json:
        """
        :param place: of the block or the tool that bears it.
        :return: the ``cache_control``. What is to stay for longer than there are words for stays as long as it can.
        """
        ttl = cache.ttl
        if not self.own and ttl not in (None, *_TTLS):
            self.losses.change("cache_control.ttl")
            ttl = _TTLS[-1]
        mark: Json = {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}
        return mark | self.more_at(f"{place}.cache_control")

    def _block(self, part: Part, place: str, assistant: bool) -> Json | None:
        match part:
            case Text():
                return self._text(part, place, assistant)
            case Thinking():
                return self._thinking(part, place, assistant)
            case Image():
                return self._image(part, place, assistant)
            case Document():
                return self._file(part, place, assistant)
            case Foreign():
                return self._foreign(part, place)
            case Refusal():
                self.losses.change(place)
                return {"type": "text", "text": part.text} if part.text.strip() else None
            case Audio():
                return self._audio(part, place, assistant)
            case _:
                raise TypeError(f"{type(part).__name__} is written by another method")

    def _text(self, part: Text, place: str, assistant: bool) -> Json | None:
        if part.opaque is not None:
            self._drop_opaque(part.opaque, f"{place}.signature")
        if not part.text.strip():
            return None
        block: Json = {"type": "text", "text": part.text}
        if part.citations:
            citations = own_citations(part.citations) if assistant else []
            if citations:
                block["citations"] = citations
            if len(citations) < len(part.citations):
                self.losses.lose(f"{place}.citations", Weight.HINT, "only citations of its own are taken back")
        return self._cached(block, part.cache, place)

    def _cached(self, block: Json, cache: CacheMark | None, place: str) -> Json:
        if cache is not None:
            block["cache_control"] = self.mark(cache, place)
        return block

    def _thinking(self, part: Thinking, place: str, assistant: bool) -> Json | None:
        if not assistant:
            self.losses.lose(place, Weight.MEANING, "only the assistant thinks there")
            return None
        opaque = part.opaque
        if opaque is None:
            if self.own or self.abilities.unsigned_thinking:
                return {"type": "thinking", "thinking": part.text, "signature": ""}
            self.losses.lose(place, Weight.HINT, "thinking without a signature is not taken back")
            return None
        if not self._is_ours(opaque):
            self._drop_opaque(opaque, place)
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": opaque.data}
        return {"type": "thinking", "thinking": part.text, "signature": opaque.data}

    def _is_ours(self, opaque: Opaque) -> bool:
        return opaque.dialect == NAME and opaque.provider in (None, self._provider)

    def _drop_opaque(self, opaque: Opaque, place: str) -> None:
        maker = opaque.provider or "another provider"
        self.losses.lose(
            place,
            Weight.MEANING,
            f"it is signed or encrypted by {maker}, which alone can read it; go on there",
        )

    def _image(self, part: Image, place: str, assistant: bool) -> Json | None:
        if assistant:
            self.losses.lose(place, Weight.MEANING, "the assistant has no images there")
            return None
        source = self._image_source(part.source, place)
        if source is None:
            return None
        if part.detail not in (None, "auto"):
            self.losses.lose(f"{place}.detail", Weight.HINT, "images have no detail there")
        return self._cached({"type": "image", "source": source}, part.cache, place)

    def _image_source(self, source: Source, place: str) -> Json | None:
        if not isinstance(source, Inline):
            return self._remote(source, place)
        media_type = source.media_type.lower()
        if media_type == "image/jpg":
            media_type = "image/jpeg"
        if media_type not in IMAGE_TYPES and not self.own:
            self.losses.lose(place, Weight.MEANING, "images are JPEG, PNG, GIF or WebP there")
            return None
        return {"type": "base64", "media_type": media_type, "data": source.data}

    def _remote(self, source: Linked | Stored, place: str) -> Json | None:
        if isinstance(source, Linked):
            return {"type": "url", "url": source.url}
        if source.dialect != DIALECT:
            self.losses.lose(place, Weight.MEANING, "a file uploaded to another provider cannot be read")
            return None
        return {"type": "file", "file_id": source.file_id}

    def _file(self, part: Document, place: str, assistant: bool) -> Json | None:
        if assistant:
            self.losses.lose(place, Weight.MEANING, "the assistant has no documents there")
            return None
        source = self._inline_file(part.source, place) if isinstance(part.source, Inline) else None
        if source is None:
            source = None if isinstance(part.source, Inline) else self._remote(part.source, place)
        if source is None:
            return None
        block: Json = {"type": "document", "source": source}
        if part.name is not None:
            block["title"] = part.name
        if part.context is not None:
            block["context"] = part.context
        if part.citations:
            block["citations"] = {"enabled": True}
        return self._cached(block, part.cache, place)

    def _inline_file(self, source: Inline, place: str) -> Json | None:
        media_type = source.media_type.partition(";")[0].strip().lower()
        if media_type == "application/pdf":
            return {"type": "base64", "media_type": media_type, "data": source.data}
        if media_type.startswith(_TEXT_LIKE):
            try:
                text = base64.b64decode(source.data, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeError, ValueError):
                text = ""
            if text:
                return {"type": "text", "media_type": "text/plain", "data": text}
        self.losses.lose(place, Weight.MEANING, "documents are PDF or UTF-8 text there")
        return None

    def _audio(self, part: Audio, place: str, assistant: bool) -> Json | None:
        if assistant and part.transcript and part.transcript.strip():
            self.losses.change(place)
            return {"type": "text", "text": part.transcript}
        self.losses.lose(place, Weight.MEANING, "there is no audio")
        return None

    def _foreign(self, part: Foreign, place: str) -> Json | None:
        if part.dialect == NAME:
            return dict(_object(part.raw))
        weight = Weight.HINT if part.hint else Weight.MEANING
        self.losses.lose(place, weight, f"there is nothing like {part.kind}")
        return None
