"""Messages as Google's ``contents``, to be sent."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.arguments import object_in
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Audio,
    Document,
    Foreign,
    Image,
    Linked,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.freeform import as_arguments
from llm_gateway.core.translation.gemini.fields import wrong
from llm_gateway.core.translation.gemini.media import DIALECT, blob_of, guessed_type
from llm_gateway.core.translation.gemini.models import Generation, generation_of
from llm_gateway.core.translation.gemini.parts import MADE_UP, SKIPPED_SIGNATURE
from llm_gateway.core.translation.losses import Losses, Weight

__all__ = ["PART_FIELD", "ContentWriter", "arguments_of"]

WirePart = dict[str, object]

PART_FIELD = re.compile(r"(contents\[\d+\]\.parts\[\d+\])\.(\w+)")
"""The place of a field of a part."""

_RESULTS = "results"
"""The kind of a content of the user's that has results of functions, and nothing else."""

_BEGIN = "Begin."
"""What the user says where the model would speak first: calls have to answer somebody."""

_GO_ON = "Continue."
"""What the user says where the model would have to go on with words of its own, and does not."""

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_RESOLUTIONS = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}


def arguments_of(call: ToolCall) -> tuple[msgspec.Raw, bool]:
    """
    :return: the call's arguments as the object that Google wants, and whether they are as the model wrote them.
    """
    if call.custom:
        return msgspec.Raw(as_arguments(call.arguments).encode()), True
    if not call.arguments.strip():
        return msgspec.Raw(b"{}"), True
    found = object_in(call.arguments)
    if found is None:
        # What a model got wrong has to stay visible to it, and there is no other way to say it.
        return msgspec.Raw(as_arguments(call.arguments).encode()), False
    return found, True


class ContentWriter:
    """Writes the messages of one request."""

    def __init__(self, request: Request, to: Destination, losses: Losses) -> None:
        self._to = to
        self._losses = losses
        self._generation = generation_of(to.model)
        self._own = _own_extras(request)
        self._shift = -1 if request.messages and request.messages[0].role is Role.SYSTEM else 0
        self._names: dict[str, str] = {}
        """The function of each call so far, by its id."""
        self._ranks: dict[str, int] = {}
        """Which of all calls each is, by its id."""
        self._rank_of: dict[int, int] = {}
        """The same by the identity of the result's document."""
        self._place = ""
        self.system: list[WirePart] = []
        self.contents: list[tuple[str, list[WirePart]]] = []
        for index, message in enumerate(request.messages):
            self._message(index, message)
        if not self.contents:
            if not self.system:
                raise wrong("messages", "there has to be something to answer.")
            # Instructions alone are not answered.
            losses.change("messages")
            self.contents, self.system = [("user", self.system)], []
        self._round_off()
        for kind, parts in self.contents:
            if kind == "model":
                self._sign(parts)
            elif kind == _RESULTS:
                self._order(parts)

    def written(self) -> list[dict[str, object]]:
        """
        :return: the ``contents``.
        """
        return [{"role": "model" if kind == "model" else "user", "parts": parts} for kind, parts in self.contents]

    def _message(self, index: int, message: Message) -> None:
        self._place = f"messages[{index}]"
        if message.name is not None:
            self._losses.lose(f"{self._place}.name", Weight.HINT, "Google knows no participants' names.")
        written: list[WirePart] = []
        for number, part in enumerate(message.parts):
            self._place = f"messages[{index}].parts[{number}]"
            for made in self._part(part):
                own = self._own.get(f"contents[{index + self._shift}].parts[{number}]")
                written.append(made | own if own else made)
        if message.role in (Role.SYSTEM, Role.DEVELOPER):
            if self.contents:
                # There is one place for instructions, before everything else.
                self._losses.change(f"messages[{index}].role")
            self.system += [made for made in written if self._is_text(made, index)]
            return
        if message.role is Role.ASSISTANT:
            self._add("model", written)
            return
        results = [made for made in written if "functionResponse" in made]
        if results and self.contents and self.contents[-1][0] == "user":
            # What the user said meanwhile comes behind: results stand right behind their calls.
            self._losses.change(f"messages[{index}]")
            spoken = self.contents.pop()
            self._add(_RESULTS, results)
            self.contents.append(spoken)
        else:
            self._add(_RESULTS, results)
        self._add("user", [made for made in written if "functionResponse" not in made])

    def _add(self, kind: str, written: list[WirePart]) -> None:
        """
        Results of one turn belong together and, since Gemini 3.6, by themselves; so do calls, right behind the user's
        words.
        """
        if not written:
            return
        if self.contents and self.contents[-1][0] == kind:
            self.contents[-1][1].extend(written)
        else:
            self.contents.append((kind, written))

    def _round_off(self) -> None:
        kind, parts = self.contents[0]
        if kind == "model" and any("functionCall" in part for part in parts):
            self._losses.change("messages")
            self.contents.insert(0, ("user", [{"text": _BEGIN}]))
        if self._generation >= Generation.FIXED and self.contents[-1][0] == "model":
            self._losses.change("messages")
            self.contents.append(("user", [{"text": _GO_ON}]))

    def _is_text(self, made: WirePart, index: int) -> bool:
        if "text" not in made:
            why = "Google's system instruction is text."
            self._losses.lose(f"messages[{index}].content", Weight.MEANING, why)
        return "text" in made

    def _part(self, part: Part) -> Sequence[WirePart]:
        if getattr(part, "cache", None) is not None:
            self._losses.lose("cache_control", Weight.HINT, "Google caches by itself, or what was stored before.")
        match part:
            case Text():
                return self._text(part)
            case Image():
                return self._image(part)
            case Document():
                return self._document(part)
            case Audio():
                return self._audio(part)
            case ToolCall():
                return [self._call(part)]
            case ToolResult():
                return self._result(part)
            case Thinking():
                return self._thinking(part)
            case Refusal():
                self._losses.change(self._place)
                return [{"text": part.text}]
            case Foreign():
                if part.dialect == DIALECT:
                    return [_carried(part)]
                weight = Weight.HINT if part.hint else Weight.MEANING
                self._losses.lose(f"{self._place}.{part.kind}", weight, f"Google has no {part.kind}.")
                return ()

    # Each kind of part

    def _text(self, part: Text) -> Sequence[WirePart]:
        if part.citations:
            self._losses.lose(f"{self._place}.citations", Weight.HINT, "Google takes none back.")
        signature = self._signature(part.opaque)
        if not part.text and signature is None:
            # Google refuses empty text.
            return ()
        return [{"text": part.text} | signature] if signature else [{"text": part.text}]

    def _thinking(self, part: Thinking) -> Sequence[WirePart]:
        signature = self._signature(part.opaque)
        if not part.text and signature is None:
            return ()
        return [{"text": part.text, "thought": True} | (signature or {})]

    def _signature(self, opaque: Opaque | None) -> WirePart | None:
        if opaque is None:
            return None
        if opaque.dialect == DIALECT and opaque.provider in (None, self._to.provider):
            return {"thoughtSignature": opaque.data}
        why = f"only {opaque.provider or 'another provider'}, which made it, can read it."
        self._losses.lose(f"{self._place}.signature", Weight.MEANING, why)
        return None

    def _call(self, part: ToolCall) -> WirePart:
        self._names[part.id] = part.name
        self._ranks[part.id] = len(self._ranks)
        arguments, exact = arguments_of(part)
        if not exact:
            self._losses.change(f"{self._place}.arguments")
        call: WirePart = {"name": part.name, "args": arguments}
        if not part.id.startswith(MADE_UP):
            call = {"id": part.id} | call
        return {"functionCall": call} | (self._signature(part.opaque) or {})

    def _result(self, part: ToolResult) -> Sequence[WirePart]:
        name = self._names.get(part.call_id) or part.name
        if name is None:
            raise wrong(self._place, "is the result of a call that is not in the conversation before it.")
        texts: list[str] = []
        inside: list[WirePart] = []
        behind: list[WirePart] = []
        for piece in part.parts:
            match piece:
                case Text():
                    texts.append(piece.text)
                case Foreign():
                    if piece.dialect == DIALECT:
                        inside.append(_carried(piece))
                    else:
                        weight = Weight.HINT if piece.hint else Weight.MEANING
                        self._losses.lose(f"{self._place}.{piece.kind}", weight, "Google has none.")
                case _:
                    linked = not isinstance(piece.source, (Stored, Linked)) and self._generation >= Generation.LEVELS
                    (inside if linked else behind).extend(self._part(piece))
        if len(texts) > 1 or behind:
            # One output, and pictures in it since Gemini 3 only, and none that have to be fetched.
            self._losses.change(self._place)
        response: WirePart = {"name": name, "response": {"error" if part.is_error else "output": "\n".join(texts)}}
        if inside:
            response["parts"] = inside
        if not part.call_id.startswith(MADE_UP):
            response = {"id": part.call_id} | response
        self._rank_of[id(response)] = self._ranks.get(part.call_id, len(self._ranks))
        return [{"functionResponse": response}, *behind]

    def _image(self, part: Image) -> Sequence[WirePart]:
        if not self._can_read(part.source):
            return ()
        made = self._blob(part.source, "image/jpeg")
        resolution = _RESOLUTIONS.get(part.detail or "")
        if resolution is not None and self._generation >= Generation.LEVELS:
            return [made | {"mediaResolution": {"level": resolution}}]
        if part.detail not in (None, "auto"):
            why = "this model has one resolution for all images."
            self._losses.lose(f"{self._place}.detail", Weight.HINT, why)
        return [made]

    def _document(self, part: Document) -> Sequence[WirePart]:
        if not self._can_read(part.source):
            return ()
        if part.name is not None:
            self._losses.lose(f"{self._place}.name", Weight.HINT, "Google's files have no names.")
        if part.citations:
            self._losses.lose(f"{self._place}.citations", Weight.MEANING, "Google does not cite files.")
        made = self._blob(part.source, "application/pdf")
        if part.context is None:
            return [made]
        self._losses.change(f"{self._place}.context")
        return [{"text": part.context}, made]

    def _audio(self, part: Audio) -> Sequence[WirePart]:
        if part.source is not None:
            return [self._blob(part.source, "audio/mp3")] if self._can_read(part.source) else ()
        if part.transcript is not None:
            self._losses.change(self._place)
            return [{"text": part.transcript}]
        self._losses.lose(f"{self._place}.audio", Weight.MEANING, "Google does not have the audio of that id.")
        return ()

    def _can_read(self, source: Source) -> bool:
        """
        Files of other providers cannot be read, nor, before Gemini 2.5, any URL but of Google's own.

        Source: https://ai.google.dev/gemini-api/docs/file-input-methods
        """
        if isinstance(source, Stored) and source.dialect != DIALECT:
            self._losses.lose(f"{self._place}.file_id", Weight.MEANING, f"the file is with {source.dialect}.")
            return False
        if isinstance(source, Linked) and self._generation is Generation.PLAIN:
            self._losses.lose(f"{self._place}.url", Weight.MEANING, "this model fetches no URLs.")
            return False
        return True

    def _blob(self, source: Source, fallback: str) -> WirePart:
        if isinstance(source, Linked) and source.media_type is None and guessed_type(source.url) is None:
            self._losses.change(f"{self._place}.media_type")
        return blob_of(source, fallback)

    # What belongs to a whole content

    def _sign(self, parts: Sequence[WirePart]) -> None:
        """
        Models that think refuse calls that bear no signature where they would have put one: on the first of a turn.
        """
        if self._generation is Generation.PLAIN:
            return
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = SKIPPED_SIGNATURE

    def _order(self, parts: list[WirePart]) -> None:
        """
        Results without ids belong to the calls in their order. The others need none, and keep theirs.
        """
        places = [at for at, part in enumerate(parts) if "functionResponse" in part]
        results = [parts[at] for at in places]
        if len(results) < 2 or all("id" in _response(result) for result in results):
            return
        results.sort(key=lambda result: self._rank_of[id(_response(result))])
        for at, result in zip(places, results, strict=True):
            parts[at] = result


def _carried(part: Foreign) -> WirePart:
    made: WirePart = {}
    made.update(_object(part.raw))
    return made


def _response(part: WirePart) -> dict[str, object]:
    response = part["functionResponse"]
    assert isinstance(response, dict)
    return response


def _own_extras(request: Request) -> dict[str, WirePart]:
    """
    :return: what parts had that only Google's dialect says, by the place of the part.
    """
    own: dict[str, WirePart] = {}
    if request.dialect == DIALECT:
        for name, raw in request.extras.items():
            if found := PART_FIELD.fullmatch(name):
                own.setdefault(found[1], {})[found[2]] = raw
    return own
