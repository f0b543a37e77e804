"""``input``: the caller's items as messages of the conversation."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.fields import Fields, integer, plain_message, plain_text, raws, reading, text
from llm_gateway.core.translation.responses import builtins
from llm_gateway.core.translation.responses.carried import Signature, sealed_elsewhere, signature
from llm_gateway.core.translation.responses.names import flat_name
from llm_gateway.core.translation.responses.raw import is_text
from llm_gateway.errors import BadRequest

__all__ = ["Items", "annotation"]

_ROLES = {role.value: role for role in Role}

_BOOKKEEPING = frozenset({"id", "status", "created_by", "type"})
"""Fields of items that mean nothing to a model."""

_HINTS = frozenset(
    {
        "configuration_update",
        "file_search_call",
        "image_generation_call",
        "mcp_list_tools",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
"""What OpenAI's own tools did: what came of it stands in the assistant's text, or in the tools."""

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}

_FILE_TYPES = {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "xml": "text/xml",
}

_STATEFUL = "it names something that OpenAI keeps, and this key's provider is another. Send the conversation itself."


class Items:
    """
    Reads items one after another.

    What the assistant said and did between two messages of others becomes one message, and so do the outputs of tools
    that follow each other.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: list[tuple[msgspec.Raw, str]] = []
        """Tools that came as items, with their places."""
        self.unknown: dict[str, msgspec.Raw] = {}
        """Fields of items that are not understood, by name; the first of each name."""
        self._parts: list[Part] = []
        """Of the assistant's open message, or of the tools' outputs."""
        self._last_text = -1
        """Where the last text is among them."""
        self._role = Role.ASSISTANT
        self._signatures: dict[str, Opaque] = {}
        """Signatures of calls, by their ids."""

    def read(self, raw: msgspec.Raw, place: str) -> None:
        """
        :param raw: the ``input``.
        :raises BadRequest: it is not valid.
        """
        if is_text(raw):
            self.messages.append(Message(Role.USER, (Text(reading(text, raw, place)),)))
            return
        for index, item in enumerate(reading(raws, raw, place)):
            plain = plain_message(item)
            if plain is not None:
                self._said(_ROLES[plain.role], (Text(plain.content),))
            else:
                self._item(Fields(item, f"{place}[{index}]"), item)
        self._flush()
        if self._signatures:
            self.messages = [
                msgspec.structs.replace(message, parts=tuple(map(self._signed, message.parts)))
                for message in self.messages
            ]

    def _item(self, item: Fields, raw: msgspec.Raw) -> None:
        kind = item.take("type", text)
        if kind is None and "role" in item.rest:
            kind = "message"
        elif kind is None and "id" in item.rest:
            kind = "item_reference"
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind == "function_call":
            self._add(Role.ASSISTANT, self._call(item, "arguments", custom=False))
        elif kind == "custom_tool_call":
            self._add(Role.ASSISTANT, self._call(item, "input", custom=True))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._add(Role.USER, self._output(item, custom=kind == "custom_tool_call_output"))
        elif kind in builtins.CALLS:
            self._add(Role.ASSISTANT, builtins.CALLS[kind](item))
        elif kind in builtins.OUTPUTS:
            self._add(Role.USER, builtins.OUTPUTS[kind](item))
        elif kind == "item_reference":
            raise BadRequest.of_field(item.place, f"an item_reference cannot be sent to this provider: {_STATEFUL}")
        elif kind == "additional_tools":
            self.tools += item.each("tools")
            return
        elif kind is None:
            raise BadRequest.of_field(item.at("type"), "is required.")
        else:
            if kind == "tool_search_output":
                self.tools += item.each("tools")
            self._foreign(kind, raw)
            return
        for name, value in item.rest.items():
            if name not in _BOOKKEEPING:
                self.unknown.setdefault(f"input[].{name}", value)

    def _add(self, role: Role, part: Part) -> None:
        if role is not self._role:
            self._flush()
            self._role = role
        if isinstance(part, Text):
            self._last_text = len(self._parts)
        self._parts.append(part)

    def _flush(self) -> None:
        if self._parts:
            self.messages.append(Message(self._role, tuple(self._parts)))
        self._parts.clear()
        self._last_text = -1

    def _signed(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and (opaque := self._signatures.get(part.id)) is not None:
            return msgspec.structs.replace(part, opaque=opaque)
        return part

    # Kinds of items

    def _message(self, item: Fields) -> None:
        said = item.need("role", text)
        role = _ROLES.get(said)
        if role is None:
            raise BadRequest.of_field(item.at("role"), f"must be one of {', '.join(_ROLES)}.")
        self._said(role, self._content(item.need("content", msgspec.Raw), item.at("content")))

    def _said(self, role: Role, parts: tuple[Part, ...]) -> None:
        if role is Role.ASSISTANT:
            for part in parts:
                self._add(role, part)
            return
        self._flush()
        self.messages.append(Message(role, parts))

    def _reasoning(self, item: Fields) -> None:
        id = item.take("id", text)
        summary = "\n\n".join(self._texts(item, "summary"))
        content = "\n\n".join(self._texts(item, "content"))
        encrypted = item.take("encrypted_content", text)
        if encrypted is not None:
            signed = signature(encrypted)
            if signed is not None:
                self._sign(signed)
                return
            elsewhere = sealed_elsewhere(summary or content, encrypted)
            if elsewhere is not None:
                self._add(Role.ASSISTANT, elsewhere)
                return
        opaque = None if encrypted is None else Opaque("responses", None, encrypted)
        for thinking in thinkings(id, summary, content, opaque):
            self._add(Role.ASSISTANT, thinking)

    def _sign(self, signed: Signature) -> None:
        if signed.call_id is not None:
            self._signatures[signed.call_id] = signed.opaque
            return
        if self._last_text >= 0:
            said = self._parts[self._last_text]
            self._parts[self._last_text] = msgspec.structs.replace(said, opaque=signed.opaque)

    @staticmethod
    def _texts(item: Fields, name: str) -> list[str]:
        return [Fields(raw, place).need("text", text) for raw, place in item.each(name)]

    @staticmethod
    def _call(item: Fields, arguments: str, *, custom: bool) -> ToolCall:
        name = item.need("name", text)
        namespace = item.take("namespace", text)
        if namespace is not None:
            name = flat_name(namespace, name)
        return ToolCall(item.need("call_id", text), name, item.need(arguments, text), custom=custom)

    def _output(self, item: Fields, *, custom: bool) -> ToolResult:
        call_id = item.need("call_id", text)
        parts = self._content(item.need("output", msgspec.Raw), item.at("output"))
        kept = tuple(part for part in parts if isinstance(part, Text | Image | Document | Foreign))
        if len(kept) < len(parts):
            raise BadRequest.of_field(item.at("output"), "may hold text, images and files only.")
        # These two name what the call named before; the codecs look it up there.
        item.rest.pop("name", None)
        item.rest.pop("namespace", None)
        return ToolResult(call_id, kept, custom=custom)

    def _foreign(self, kind: str, raw: msgspec.Raw) -> None:
        role = Role.USER if kind.endswith(("_output", "_response")) else Role.ASSISTANT
        self._add(role, Foreign("responses", kind, raw, hint=kind in _HINTS))

    # Content

    def _content(self, raw: msgspec.Raw, place: str) -> tuple[Part, ...]:
        if is_text(raw):
            return (Text(reading(text, raw, place)),)
        return tuple(self._part(part, f"{place}[{index}]") for index, part in enumerate(reading(raws, raw, place)))

    def _part(self, raw: msgspec.Raw, place: str) -> Part:
        plain = plain_text(raw)
        if plain is not None:
            return Text(plain.text)
        part = Fields(raw, place)
        kind = part.need("type", text)
        read: Part
        if kind in ("input_text", "text"):
            read = Text(part.need("text", text), cache=_cache(part))
        elif kind == "output_text":
            citations = tuple(annotation(note, place) for note, place in part.each("annotations"))
            part.rest.pop("logprobs", None)
            read = Text(part.need("text", text), citations)
        elif kind == "refusal":
            read = Refusal(part.need("refusal", text))
        elif kind == "input_image":
            read = _image(part)
        elif kind == "input_file":
            read = _file(part)
        elif kind == "input_audio":
            audio = Fields(part.need("input_audio", msgspec.Raw), part.at("input_audio"))
            form = audio.need("format", text)
            read = Audio(Inline(_AUDIO_TYPES.get(form, f"audio/{form}"), audio.need("data", text)))
        else:
            return Foreign("responses", kind, raw)
        for name, value in part.rest.items():
            self.unknown.setdefault(f"input[].content[].{name}", value)
        return read


def thinkings(id: str | None, summary: str, content: str, opaque: Opaque | None) -> list[Thinking]:
    """
    One reasoning item's parts: its summary, its text, and what is opaque on the last of them.

    :return: nothing where there is nothing in the item: with its id alone only OpenAI finds what it keeps.
    """
    parts = []
    if summary:
        parts.append(Thinking(summary, id=id, summary=True))
    if content:
        parts.append(Thinking(content, id=id))
    if opaque is not None:
        if not parts:
            parts.append(Thinking(id=id))
        parts[-1] = msgspec.structs.replace(parts[-1], opaque=opaque)
    return parts


def annotation(raw: msgspec.Raw, place: str) -> Citation:
    """
    :param raw: one of the four kinds of annotations.
    """
    fields = Fields(raw, place)
    return Citation(
        url=fields.take("url", text),
        title=fields.take("title", text) or fields.take("filename", text),
        start=fields.take("start_index", integer),
        end=fields.take("end_index", integer),
        raw=raw,
    )


def _cache(part: Fields) -> CacheMark | None:
    mark = part.inner("prompt_cache_breakpoint")
    if mark is None:
        return None
    # OpenAI's shortest is 30 minutes, others have 5 and an hour.
    return CacheMark("1h" if mark.take("ttl", text) else None)


def _data_url(url: str, place: str) -> Inline:
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding.rpartition(";")[2].strip() != "base64":
        raise BadRequest.of_field(place, "a data: URL must hold base64.")
    return Inline(media_type, data)


def _image(part: Fields) -> Image:
    url = part.take("image_url", text)
    file_id = part.take("file_id", text)
    detail = part.take("detail", text)
    cache = _cache(part)
    if url is not None:
        inline = url[:5].lower() == "data:"
        return Image(_data_url(url, part.at("image_url")) if inline else Linked(url), detail, cache)
    if file_id is not None:
        return Image(Stored(file_id, "openai"), detail, cache)
    raise BadRequest.of_field(part.place, "needs image_url or file_id.")


def _file(part: Fields) -> Document:
    name = part.take("filename", text)
    data = part.take("file_data", text)
    url = part.take("file_url", text)
    file_id = part.take("file_id", text)
    cache = _cache(part)
    if data is not None:
        if data[:5].lower() == "data:":
            return Document(_data_url(data, part.at("file_data")), name, cache=cache)
        ending = (name or "").rpartition(".")[2].lower()
        return Document(Inline(_FILE_TYPES.get(ending, "application/pdf"), data), name, cache=cache)
    if url is not None:
        return Document(Linked(url), name, cache=cache)
    if file_id is not None:
        return Document(Stored(file_id, "openai"), name, cache=cache)
    raise BadRequest.of_field(part.place, "needs file_data, file_url or file_id.")
