"""A caller's messages, read one for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from llm_gateway.core.translation.chat.documents import ExtraContentDoc, signature_in
from llm_gateway.core.translation.chat.media import located, media_type_of
from llm_gateway.core.translation.chat.thoughts import read_detail, thinking_of
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
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
from llm_gateway.core.translation.fields import Fields, plain_message, plain_text, raws, reading, text
from llm_gateway.core.translation.opaque import unsealed
from llm_gateway.errors import BadRequest

__all__ = ["MessageReader", "is_text"]

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.DEVELOPER,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.USER,
    "function": Role.USER,
}
_ECHOED = ("annotations", "parsed", "provider_specific_fields", "images")
"""What the SDKs leave on an answer's message that a program sends back, and what no model reads."""

_extra_content = msgspec.json.Decoder(ExtraContentDoc).decode


def is_text(raw: msgspec.Raw) -> bool:
    """Whether it is a string, of the forms that a field may have."""
    return bytes(memoryview(raw)[:1]) == b'"'


def _needed(fields: Fields, name: str, raw: msgspec.Raw | None = None) -> Fields:
    found = fields.raw(name) if raw is None else raw
    if found is None:
        raise BadRequest.of_field(fields.at(name), "is required.")
    return Fields(found, fields.at(name))


def _signed(extra: msgspec.Raw | None, place: str) -> Opaque | None:
    """
    :return: Google's signature, or what was sealed into its place for the caller.
    """
    if extra is None:
        return None
    signature = signature_in(reading(_extra_content, extra, place))
    return None if signature is None else unsealed(signature, "gemini")


class MessageReader:
    """Reads one request's messages; what no part says it puts into ``extras``."""

    def __init__(self, extras: dict[str, msgspec.Raw], hints: set[str]) -> None:
        self._extras = extras
        self._hints = hints
        self._custom_calls: set[str] = set()
        self._functions: dict[str, str] = {}
        """By the names of functions that the model called in the manner of old, the ids that these calls were given."""

    def read(self, raw: msgspec.Raw, index: int) -> Message:
        """
        :raises BadRequest: naming the place.
        """
        plain = plain_message(raw)
        if plain is not None:
            said = plain.content
            return Message(_ROLES[plain.role], (Text(said),) if said else ())
        fields = Fields(raw, f"messages[{index}]")
        role = fields.need("role", text)
        if role not in _ROLES:
            raise BadRequest.of_field(fields.at("role"), f"must be one of {', '.join(_ROLES)}.")
        if role == "assistant":
            parts = self._assistant(fields, index)
        elif role == "tool":
            parts = (self._tool_result(fields),)
        elif role == "function":
            parts = (self._function_result(fields),)
        else:
            parts = self._content(fields, needed=True)
        participant = fields.take("name", text)
        self._keep(fields, hint=role == "assistant")
        return Message(_ROLES[role], parts, participant or None)

    def _keep(self, fields: Fields, hint: bool = False) -> None:
        for name, raw in fields.rest.items():
            if raw == msgspec.Raw(b"null"):
                continue
            place = fields.at(name)
            self._extras[place] = raw.copy()
            if hint:
                self._hints.add(place)

    # Contents

    def _content(self, fields: Fields, needed: bool = False) -> tuple[Part, ...]:
        raw = fields.raw("content")
        if raw is None:
            if needed:
                raise BadRequest.of_field(fields.at("content"), "is required.")
            return ()
        place = fields.at("content")
        if is_text(raw):
            said = reading(text, raw, place)
            return (Text(said),) if said else ()
        return tuple(self._part(each, f"{place}[{at}]") for at, each in enumerate(reading(raws, raw, place)))

    def _part(self, raw: msgspec.Raw, place: str) -> Part:
        plain = plain_text(raw)
        if plain is not None and plain.type == "text":
            return Text(plain.text)
        fields = Fields(raw, place)
        kind = fields.need("type", text)
        read = self._READ.get(kind)
        if read is None:
            return Foreign("chat", kind, raw.copy())
        part = read(self, fields)
        self._keep(fields)
        return part

    def _text(self, fields: Fields) -> Text:
        return Text(fields.need("text", text), cache=_mark(fields))

    def _refusal(self, fields: Fields) -> Refusal:
        return Refusal(fields.need("refusal", text))

    def _image(self, fields: Fields) -> Image:
        mark = _mark(fields)
        raw = fields.raw("image_url")
        if raw is not None and is_text(raw):
            # As Mistral has it.
            return Image(located(reading(text, raw, fields.at("image_url"))), cache=mark)
        image = _needed(fields, "image_url", raw)
        part = Image(located(image.need("url", text)), image.take("detail", text), mark)
        self._keep(image)
        return part

    def _file(self, fields: Fields) -> Document:
        file = _needed(fields, "file")
        file_id = file.take("file_id", text)
        data = file.take("file_data", text)
        name = file.take("filename", text)
        self._keep(file)
        if file_id is not None:
            return Document(Stored(file_id, "openai"), name, cache=_mark(fields))
        if data is None:
            raise BadRequest.of_field(file.place, "needs file_data or file_id.")
        source = located(data)
        if isinstance(source, Linked) and not source.url.startswith(("http:", "https:")):
            # OpenAI takes the data without a URL around it too, and tells what it is by the name.
            source = Inline("application/pdf", data)
        return Document(source, name, cache=_mark(fields))

    def _sound(self, fields: Fields) -> Audio:
        sound = _needed(fields, "input_audio")
        part = Audio(Inline(media_type_of(sound.need("format", text)), sound.need("data", text)))
        self._keep(sound)
        return part

    _READ: ClassVar[dict[str, Callable[[MessageReader, Fields], Part]]] = {
        "text": _text,
        "refusal": _refusal,
        "image_url": _image,
        "file": _file,
        "input_audio": _sound,
    }

    # The model's side

    def _assistant(self, fields: Fields, index: int) -> tuple[Part, ...]:
        parts: list[Part] = [*self._thoughts(fields), *self._content(fields)]
        self._add_signature(fields, parts)
        refusal = fields.take("refusal", text)
        if refusal:
            parts.append(Refusal(refusal))
        audio = fields.inner("audio")
        if audio is not None:
            parts.append(Audio(None, audio.need("id", text)))
        parts += [self._call(Fields(raw, place)) for raw, place in fields.each("tool_calls")]
        function = fields.inner("function_call")
        if function is not None:
            call_id = f"function_{index}"
            called = function.need("name", text)
            self._functions[called] = call_id
            parts.append(ToolCall(call_id, called, function.take("arguments", text) or ""))
        for name in _ECHOED:
            fields.raw(name)
        return tuple(parts)

    def _thoughts(self, fields: Fields) -> list[Thinking]:
        plain = fields.take("reasoning_content", text)
        other = fields.take("reasoning", text)
        details = [reading(read_detail, raw, place) for raw, place in fields.each("reasoning_details")]
        if details:
            return [thinking_of(entry, None, from_caller=True) for entry in details]
        said = plain or other
        return [Thinking(said)] if said else []

    def _add_signature(self, fields: Fields, parts: list[Part]) -> None:
        opaque = _signed(fields.raw("extra_content"), fields.at("extra_content"))
        if opaque is None:
            return
        last = parts[-1] if parts else None
        if isinstance(last, Text):
            parts[-1] = msgspec.structs.replace(last, opaque=opaque)
        else:
            parts.append(Text("", opaque=opaque))

    def _call(self, fields: Fields) -> ToolCall:
        call_id = fields.need("id", text)
        kind = fields.take("type", text) or "function"
        fields.raw("index")
        opaque = _signed(fields.raw("extra_content"), fields.at("extra_content"))
        if kind == "custom":
            custom = _needed(fields, "custom")
            call = ToolCall(call_id, custom.need("name", text), custom.take("input", text) or "", opaque, custom=True)
            self._custom_calls.add(call_id)
        elif kind == "function":
            function = _needed(fields, "function")
            call = ToolCall(call_id, function.need("name", text), function.take("arguments", text) or "", opaque)
        else:
            raise BadRequest.of_field(fields.at("type"), "must be function or custom.")
        self._keep(fields, hint=True)
        return call

    def _tool_result(self, fields: Fields) -> ToolResult:
        call_id = fields.need("tool_call_id", text)
        parts = self._result_parts(fields)
        tool = fields.take("name", text)
        return ToolResult(call_id, parts, name=tool or None, custom=call_id in self._custom_calls)

    def _function_result(self, fields: Fields) -> ToolResult:
        function = fields.need("name", text)
        call_id = self._functions.pop(function, None)
        if call_id is None:
            raise BadRequest.of_field(fields.place, "is the result of a function that no message before it calls.")
        return ToolResult(call_id, self._result_parts(fields), name=function)

    def _result_parts(self, fields: Fields) -> tuple[Text | Image | Document | Foreign, ...]:
        parts: list[Text | Image | Document | Foreign] = []
        for part in self._content(fields):
            if not isinstance(part, Text | Image | Document | Foreign):
                raise BadRequest.of_field(fields.at("content"), "a tool's result is made of texts, images and files.")
            parts.append(part)
        return tuple(parts)


class _Mark(msgspec.Struct):
    ttl: str | None = None


_read_mark = msgspec.json.Decoder(_Mark).decode


def _mark(fields: Fields) -> CacheMark | None:
    """OpenAI's own mark, or Anthropic's as OpenRouter and others take it."""
    for name in ("prompt_cache_breakpoint", "cache_control"):
        mark = fields.take(name, _read_mark)
        if mark is not None:
            return CacheMark(mark.ttl)
    return None
