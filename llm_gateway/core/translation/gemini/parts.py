"""A caller's ``contents``: messages and their parts, read."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import msgspec

from llm_gateway.core.translation.conversation import (
    Audio,
    Document,
    Foreign,
    Image,
    Inline,
    Message,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.core.translation.gemini.fields import Fields, boolean, text, wrong
from llm_gateway.core.translation.gemini.media import (
    DIALECT,
    guessed_type,
    part_of,
    source_of_uri,
    standard_base64,
)
from llm_gateway.core.translation.opaque import unsealed, unsealed_thinking

__all__ = ["MADE_UP", "SKIPPED_SIGNATURE", "ContentReader", "arguments_text", "joined"]

MADE_UP = "gwfc_"
"""How ids begin that stand for calls to which Google gave none. They never go out to Google."""

SKIPPED_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents to write where a call was not made by a model of its own, and so has no signature.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs"""

_STANDARD = str.maketrans("-_", "+/")
_SKIPPED = (SKIPPED_SIGNATURE, "context_engineering_is_the_way_to_go")

_ROLES = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.USER, "tool": Role.USER}

_DETAILS = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "original",
}

_HINTS = ("partMetadata", "displayName", "mediaResolution", "mediaProcessing", "willContinue", "scheduling")


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A part that is text and nothing else."""

    text: str


_plain = msgspec.json.Decoder(_Plain).decode


class _Waiting:
    """The calls of the model's last turn that have no result yet. Looking through them for each would take seconds."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}
        """By their numbers."""
        self._of_id: defaultdict[str, deque[int]] = defaultdict(deque)
        self._of_name: defaultdict[str, deque[int]] = defaultdict(deque)
        """Numbers in order, also of those that wait no more."""
        self._count = 0

    def clear(self) -> None:
        self._ids.clear()
        self._of_id.clear()
        self._of_name.clear()

    def add(self, call_id: str, name: str) -> None:
        number = self._count = self._count + 1
        self._ids[number] = call_id
        self._of_id[call_id].append(number)
        self._of_name[name].append(number)

    def take(self, call_id: str | None, name: str) -> str | None:
        """
        :return: the id of the first that has this id or, where none is given, this name; ``None`` if none does.
        """
        numbers = self._of_id.get(call_id) if call_id else self._of_name.get(name)
        while numbers:
            found = self._ids.pop(numbers.popleft(), None)
            if found is not None:
                return found
        return None


class ContentReader:
    """Reads the contents of one request, from the first to the last."""

    def __init__(self) -> None:
        self.extras: dict[str, msgspec.Raw] = {}
        """What parts have that the neutral conversation cannot say, by its place."""
        self.hints: set[str] = set()
        self._waiting = _Waiting()
        self._last_role = Role.USER
        self._place = ""

    def read(self, raw: msgspec.Raw, place: str) -> Message:
        """
        :raises BadRequest: it is not a content that Google would take.
        """
        content = Fields(raw, place)
        named = content.take("role", text)
        role = Role.USER if not named else _ROLES.get(named)
        if role is None:
            raise wrong(content.at("role"), 'the roles are "user" and "model".')
        if role is Role.ASSISTANT and self._last_role is not role:
            self._waiting.clear()
        self._last_role = role
        parts = tuple(self._part(raw, place, role) for raw, place in content.each("parts"))
        self._keep(content)
        return Message(role, parts)

    def system(self, content: Fields) -> Message:
        """
        :param content: a ``systemInstruction``, whose role does not matter.
        """
        content.raw("role")
        parts = tuple(self._part(raw, place, Role.SYSTEM) for raw, place in content.each("parts"))
        self._keep(content)
        return Message(Role.SYSTEM, parts)

    def _part(self, whole: msgspec.Raw, place: str, role: Role) -> Part:
        try:
            # The commonest, which is read much more quickly so.
            return Text(_plain(whole).text)
        except BROKEN:
            part = Fields(whole, place)
        self._place = part.place
        found = self._data(part, whole, role)
        if not isinstance(found, Foreign):
            self._keep(part)
        return found

    def _data(self, part: Fields, whole: msgspec.Raw, role: Role) -> Part:
        if "text" in part or part.rest.keys() <= {"thought", "thoughtSignature"}:
            return _text(part)
        for name, read in self._readers:
            value = part.inner(name)
            if value is not None:
                return read(self, value, part, whole, role)
        for kind in part.rest:
            if kind not in ("thought", "thoughtSignature", "partMetadata"):
                return Foreign(DIALECT, kind, whole)
        raise wrong(part.place, "it has no data.")

    def _call(self, call: Fields, part: Fields, whole: msgspec.Raw, role: Role) -> Part:
        if role is not Role.ASSISTANT:
            raise wrong(call.place, 'calls of functions belong into contents of the role "model".')
        name = call.take("name", text)
        if not name:
            raise wrong(call.at("name"), "it is missing.")
        call_id = call.take("id", text) or _made_up(call.place)
        raw = call.raw("args")
        arguments = "{}" if raw is None else arguments_text(raw)
        if not arguments.startswith("{"):
            raise wrong(call.at("args"), "Expected `object`.")
        self._waiting.add(call_id, name)
        self._keep(call)
        signature = _signature(part)
        part.raw("thought")
        opaque = None if signature is None or signature in _SKIPPED else unsealed(signature, DIALECT)
        return ToolCall(call_id, name, arguments, opaque)

    def _result(self, result: Fields, part: Fields, whole: msgspec.Raw, role: Role) -> Part:
        if role is not Role.USER:
            raise wrong(result.place, 'results of functions belong into contents of the role "user".')
        name = result.take("name", text) or ""
        call_id = self._answered(result.take("id", text), name) or _made_up(result.place)
        raw = result.raw("response")
        output, is_error = ("", False) if raw is None else _output(raw, result.at("response"))
        parts: list[Text | Image | Document | Foreign] = [Text(output)] if output else []
        for raw_part, place in result.each("parts"):
            fields = Fields(raw_part, place)
            medium = next((fields.inner(kind) for kind in ("inlineData", "fileData") if kind in fields), None)
            if medium is None:
                raise wrong(place, "Expected inlineData or fileData.")
            read = _medium(medium, fields, raw_part)
            if isinstance(read, Audio):
                read = Foreign(DIALECT, "inlineData", raw_part)
            else:
                self._keep(fields)
            parts.append(read)
        part.raw("thoughtSignature")
        self._keep(result)
        return ToolResult(call_id, tuple(parts), is_error, name or None)

    def _answered(self, call_id: str | None, name: str) -> str | None:
        """
        Find the call that a result belongs to: by its id; else the first of its name, which is the order that Google
        asks results to come in.
        """
        return self._waiting.take(call_id, name) or call_id

    def _media(self, medium: Fields, part: Fields, whole: msgspec.Raw, role: Role) -> Part:
        part.raw("thought")
        part.raw("thoughtSignature")
        return _medium(medium, part, whole)

    _readers: tuple[tuple[str, Callable[[ContentReader, Fields, Fields, msgspec.Raw, Role], Part]], ...] = (
        ("functionCall", _call),
        ("functionResponse", _result),
        ("inlineData", _media),
        ("fileData", _media),
    )

    def _keep(self, fields: Fields) -> None:
        for name, raw in fields.rest.items():
            place = fields.at(name)
            self.extras[place] = raw
            if name in _HINTS:
                self.hints.add(place)


def joined(run: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    """
    Google's SDKs keep each chunk of a streamed answer as a content of its own. What went on from one to the next is put
    together again, as it is where an answer is read, so that a signature is with the whole text that it is of.

    :param run: the parts of contents of the model's that follow each other.
    """
    if len(run) == 1:
        return run[0]
    parts: list[Part] = []
    texts: list[str] = []
    for content in run:
        for index, part in enumerate(content):
            if isinstance(part, Text | Thinking):
                last = parts[-1] if parts else None
                if index == 0 and texts and _goes_on(last, part):
                    parts[-1] = part
                    texts.append(part.text)
                    continue
                _finish(parts, texts)
                texts.append(part.text)
            else:
                _finish(parts, texts)
            parts.append(part)
    _finish(parts, texts)
    return tuple(part for part in parts if part != Text(""))


def _goes_on(last: Part | None, part: Text | Thinking) -> bool:
    if isinstance(part, Thinking):
        return isinstance(last, Thinking) and last.opaque is None and not part.redacted
    return isinstance(last, Text) and last.opaque is None


def _finish(parts: list[Part], texts: list[str]) -> None:
    if len(texts) > 1 and isinstance(last := parts[-1], Text | Thinking):
        parts[-1] = msgspec.structs.replace(last, text="".join(texts))
    texts.clear()


def _signature(part: Fields) -> str | None:
    """
    :return: as its maker wrote it: Google's SDK sends it back in the URL-safe alphabet, which only Google's own
        interface takes for the same.
    """
    given = part.take("thoughtSignature", text)
    return given if given is None or given in _SKIPPED else given.translate(_STANDARD)


def _text(part: Fields) -> Part:
    said = part.take("text", text)
    thought = part.take("thought", boolean)
    signature = _signature(part)
    if said is None and signature is None:
        raise wrong(part.place, "it has no data.")
    if thought:
        if signature is None:
            return Thinking(said or "", summary=True)
        found = unsealed_thinking(said or "", signature, DIALECT)
        own = found.opaque is not None and found.opaque.dialect == DIALECT
        return msgspec.structs.replace(found, summary=True) if own else found
    return Text(said or "", opaque=None if signature is None else unsealed(signature, DIALECT))


def _medium(medium: Fields, part: Fields, whole: msgspec.Raw) -> Image | Document | Audio | Foreign:
    media_type = medium.take("mimeType", text)
    name = medium.take("displayName", text)
    uri = medium.take("fileUri", text)
    kind = "inlineData" if uri is None else "fileData"
    if uri is not None:
        media_type = media_type or guessed_type(uri)
        found = part_of(source_of_uri(uri, media_type), media_type, name, kind, whole)
    else:
        data = medium.take("data", text)
        if data is None or media_type is None:
            raise wrong(medium.place, "it needs a mimeType and either data or a fileUri.")
        found = part_of(Inline(media_type, standard_base64(data)), media_type, name, kind, whole)
    if isinstance(found, Image) and "mediaResolution" in part:
        return _with_detail(found, part)
    return found


def _with_detail(image: Image, part: Fields) -> Image:
    resolution = part.inner("mediaResolution")
    level = None if resolution is None else resolution.take("level", text)
    return Image(image.source, _DETAILS.get(level or ""))


def arguments_text(raw: msgspec.Raw) -> str:
    """
    :param raw: valid JSON.
    :return: the same without the blanks between its tokens: whole answers come indented, streamed ones do not.
    """
    return bytes(msgspec.json.format(raw, indent=-1)).decode("utf-8", "replace")


def _made_up(place: str) -> str:
    """A call's id that stays the same when the conversation is sent again with more behind it."""
    return MADE_UP + "_".join("".join(character if character.isdigit() else " " for character in place).split())


def _output(raw: msgspec.Raw, place: str) -> tuple[str, bool]:
    """
    :return: what a function answered, as text, and whether it failed. "Use "output" key to specify function output and
        "error" key to specify error details"; with neither "the whole response is treated as function output".
    """
    fields = Fields(raw, place)
    for name in ("output", "result", "error"):
        if name in fields and len(fields.rest) == 1:
            value = fields.raw(name)
            assert value is not None
            try:
                return msgspec.json.decode(value, type=str), name == "error"
            except msgspec.DecodeError:
                return arguments_text(value), name == "error"
    return arguments_text(raw), "error" in fields and "output" not in fields
