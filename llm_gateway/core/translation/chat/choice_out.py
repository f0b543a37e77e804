"""One choice of a streamed answer, written as chunks."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.chat.answer_out import (
    annotation,
    image_document,
    logprob_document,
    signature_document,
)
from llm_gateway.core.translation.chat.thoughts import SUMMARY, detail_of, type_of
from llm_gateway.core.translation.conversation import (
    Audio,
    Citation,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from llm_gateway.core.translation.events import Delta
from llm_gateway.core.translation.freeform import as_text
from llm_gateway.core.translation.room import Room

__all__ = ["ChoiceWriter"]

Object = dict[str, object]

_MAX_ANNOTATIONS = 65_536
"""Bytes that are held to be sent as one list. What comes beyond them is sent with an index each, which the SDK can add
up as well."""

_encode = msgspec.json.Encoder().encode


class ChoiceWriter:
    """The parts of one choice, of which one at a time is open."""

    def __init__(self, index: int, head: bytes, tail: bytes, customs: frozenset[str], legacy: bool, room: Room) -> None:
        """
        :param head: what every chunk begins with, up to its choices.
        :param tail: what it ends with, behind them.
        :param customs: the tools that take free text; a function may stand in for them at the provider.
        :param legacy: whether the caller has functions rather than tools.
        :param room: for what all choices hold.
        """
        self._room = room
        self.index = index
        self.refused = False
        self._customs = customs
        self._legacy = legacy
        self._head = head + b'{"index":%d,"delta":' % index
        self._without_logprobs = b',"logprobs":null,"finish_reason":null}]' + tail
        self._tail = tail
        self._before_text = self._head + b'{"content":'
        self._behind_text = b"}" + self._without_logprobs
        self._before: bytes | None = None
        """What a delta's text stands behind, where nothing but the text is to be said."""
        self._behind = b""
        self._part: Part | None = None
        self._opaque: Opaque | None = None
        """The last that came for the open part."""
        self._seen = False
        """Whether the open part has had any text."""
        self._role_said = False
        self._length = 0
        """Characters of the content so far."""
        self._start = 0
        """Where the open text began in it."""
        self._annotations: list[Object] = []
        self._annotations_size = 0
        self._annotations_told = 0
        self._thoughts = 0
        self._thought_said = False
        self._images = 0
        self._calls = 0
        self._input: list[str] = []
        """The arguments of a function's call that stands in for a custom tool's: its text can be told at its end."""

    def begin(self, part: Part, out: list[bytes]) -> None:
        self.end(out)
        self._part = part
        self._seen = False
        self._before = None
        self._opaque = part.opaque if isinstance(part, Text | Thinking | ToolCall) else None
        self.say_role(out, "" if isinstance(part, Text) else None)
        match part:
            case Text():
                self._before, self._behind = self._before_text, self._behind_text
                self._start = self._length
                for citation in part.citations:
                    self._cite(citation, out)
            case Refusal():
                self.refused = True
                self._before, self._behind = self._head + b'{"refusal":', self._behind_text
            case ToolCall():
                self._begin_call(part, out)
            case Thinking(id=str() as item_id):
                entry: Object = {"type": type_of(part), "id": item_id, "index": self._thoughts}
                self._chunk(out, {"reasoning_details": [entry]})
            case Audio():
                known = {"id": part.id, "expires_at": part.expires_at}
                self._chunk(out, {"audio": {name: value for name, value in known.items() if value is not None}})
            case Image():
                self._chunk(out, {"images": [image_document(part) | {"index": self._images}]})
                self._images += 1
            case _:
                # Calls of tools that the provider ran, and what they brought: the text is what came of them.
                pass

    def more(self, delta: Delta, out: list[bytes]) -> None:
        text = delta.text
        if text and self._before is not None and not delta.logprobs:
            out.append(self._before + _encode(text) + self._behind)
            self._seen = True
            if self._before is self._before_text:
                self._length += len(text)
        elif text or delta.logprobs or delta.audio:
            self._say(delta, out)
        if delta.opaque is not None:
            self._opaque = delta.opaque
        if delta.citation is not None:
            self._cite(delta.citation, out)

    def end(self, out: list[bytes]) -> None:
        match self._part:
            case Text():
                self._tell_annotations(out)
                if self._opaque is not None:
                    self._chunk(out, {"extra_content": signature_document(self._opaque)})
            case Thinking() as thinking:
                self._end_thinking(thinking, out)
            case ToolCall() as call:
                self._end_call(call, out)
            case _:
                pass
        self._part = None
        self._before = None

    def finish(self, reason: str, out: list[bytes]) -> None:
        """
        :param reason: one of the dialect's own.
        """
        self.end(out)
        self.say_role(out, None)
        finished = b'{},"logprobs":null,"finish_reason":"%s"}]' % reason.encode()
        out.append(self._head + finished + self._tail)

    def say_role(self, out: list[bytes], content: str | None) -> None:
        """Once, before all else."""
        if not self._role_said:
            self._role_said = True
            self._chunk(out, {"role": "assistant", "content": content, "refusal": None})

    def _chunk(self, out: list[bytes], delta: Object) -> None:
        out.append(self._head + _encode(delta) + self._without_logprobs)

    def _say(self, delta: Delta, out: list[bytes]) -> None:
        text = delta.text
        match self._part:
            case Thinking() as thinking:
                kind = type_of(thinking)
                entry = {"type": kind, "summary" if kind == SUMMARY else "text": text, "index": self._thoughts}
                # The same text for those who only read it; two thoughts are set apart as in a whole answer.
                between = "\n\n" if self._thought_said and not self._seen else ""
                self._thought_said = True
                self._chunk(out, {"reasoning_content": between + text, "reasoning_details": [entry]})
            case ToolCall():
                self._room.take(len(text))
                self._input.append(text)
            case Audio():
                said = {"transcript": text, "data": delta.audio}
                self._chunk(out, {"audio": {name: value for name, value in said.items() if value}})
            case Text():
                self._length += len(text)
                self._say_with_logprobs("content", "refusal", delta, out)
            case Refusal():
                self._say_with_logprobs("refusal", "content", delta, out)
            case _:
                pass
        self._seen = self._seen or bool(text)

    def _say_with_logprobs(self, field: str, other: str, delta: Delta, out: list[bytes]) -> None:
        logprobs = {field: [logprob_document(each) for each in delta.logprobs], other: None}
        said = _encode({field: delta.text}) + b',"logprobs":' + _encode(logprobs)
        out.append(self._head + said + b',"finish_reason":null}]' + self._tail)

    # Annotations

    def _cite(self, citation: Citation, out: list[bytes]) -> None:
        # Where it is not said what of the text it is about, it is about what came before it.
        cited = annotation(citation, self._start, self._length)
        if cited is None:
            return
        if self._annotations_told:
            cited["index"] = self._annotations_told
            self._annotations_told += 1
            self._chunk(out, {"annotations": [cited]})
            return
        self._annotations.append(cited)
        self._annotations_size += len(_encode(cited))
        if self._annotations_size >= _MAX_ANNOTATIONS:
            self._tell_annotations(out)

    def _tell_annotations(self, out: list[bytes]) -> None:
        if self._annotations:
            self._annotations_told += len(self._annotations)
            self._chunk(out, {"annotations": self._annotations})
            self._annotations = []
            self._annotations_size = 0

    # Thinking and calls

    def _end_thinking(self, thinking: Thinking, out: list[bytes]) -> None:
        whole = Thinking("", self._opaque, thinking.redacted, thinking.id, thinking.summary)
        entry = detail_of(whole, self._thoughts)
        # The SDK would add the same again to what is there.
        entry.id = None
        if self._seen:
            entry.text = entry.summary = None
        if not self._seen or entry.signature or entry.data:
            self._chunk(out, {"reasoning_details": [entry]})
        self._thoughts += 1

    def _begin_call(self, call: ToolCall, out: list[bytes]) -> None:
        self._input = []
        if self._legacy:
            if not self._calls:
                # There is room for one.
                self._chunk(out, {"function_call": {"name": call.name, "arguments": ""}})
                self._before = self._head + b'{"function_call":{"arguments":'
                self._behind = b"}" + self._behind_text
            return
        custom = call.custom or call.name in self._customs
        kind, field = ("custom", "input") if custom else ("function", "arguments")
        begun = {"index": self._calls, "id": call.id, "type": kind, kind: {"name": call.name, field: ""}}
        self._chunk(out, {"tool_calls": [begun]})
        if custom == call.custom:
            more = b'{"tool_calls":[{"index":%d,"%s":{"%s":' % (self._calls, kind.encode(), field.encode())
            self._before = self._head + more
            self._behind = b"}}]" + self._behind_text

    def _end_call(self, call: ToolCall, out: list[bytes]) -> None:
        number = self._calls
        self._calls += 1
        custom = call.custom or call.name in self._customs
        rest = "" if self._seen or custom else "{}"
        if custom and not call.custom:
            written = "".join(self._input)
            self._room.give_back(len(written))
            rest = as_text(written)
            self._input = []
        if self._legacy:
            if rest and not number:
                self._chunk(out, {"function_call": {"arguments": rest}})
            return
        if not rest and self._opaque is None:
            return
        kind, field = ("custom", "input") if custom else ("function", "arguments")
        ended: Object = {"index": number, kind: {field: rest}}
        if self._opaque is not None:
            ended["extra_content"] = signature_document(self._opaque)
        self._chunk(out, {"tool_calls": [ended]})
