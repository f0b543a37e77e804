"""
A neutral stream as the Responses API's.

Its events repeat what they end: a text's last event holds the text, an item's last the item, the stream's last the
whole Response, as the official SDKs and Codex expect them. So all of an answer is held until it ends, up to a limit.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, ``ResponseStreamState`` of the official
Python SDK, and what Codex reads of it (``codex-api/src/sse/responses.rs``).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.codec import StreamEncoder
from llm_gateway.core.translation.collect import usage_after
from llm_gateway.core.translation.conversation import (
    Audio,
    Citation,
    Finish,
    Foreign,
    Image,
    Opaque,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.responses import documents
from llm_gateway.core.translation.responses.documents import Content
from llm_gateway.core.translation.responses.failures import write_error
from llm_gateway.core.translation.responses.write_answer import (
    Ending,
    Items,
    ResponseWriter,
    Sources,
    ending,
    logprob,
)
from llm_gateway.core.translation.responses.write_items import annotation
from llm_gateway.core.translation.room import MAX_HELD_BYTES, Room, weight

__all__ = ["ResponsesStreamEncoder"]

_encode = msgspec.json.encode


class _Error(msgspec.Struct, frozen=True):
    type: str
    code: str
    message: str
    param: str | None


class ResponsesStreamEncoder(StreamEncoder):
    """Writes choice 0; a Response has no others."""

    def __init__(self, request: Request, sources: Sources) -> None:
        self._request = request
        self._sources = sources
        self._writer: ResponseWriter | None = None
        self._items = Items(request, "")
        self._sequence = 0
        self._output: list[bytes] = []
        """The items that have ended."""
        self._room = Room()
        """For all of the answer: its end repeats it."""
        self._finish: Finish | None = None
        self._usage = Usage()
        self._refused = False
        self._over = False
        # The open message
        self._message: list[Content] | None = None
        """Its content so far; ``None`` where no message is open."""
        # The open part
        self._part: Part | None = None
        self._pieces: list[str] = []
        self._length = 0
        """Characters of it."""
        self._citations: list[Citation] = []
        self._logprobs: list[TokenLogprob] = []
        self._opaque: Opaque | None = None
        self._delta_head = b""
        """All of a delta's event from its type on that is before its text; empty where deltas are not told."""
        self._delta_kind = b""
        self._delta_tail = b"}\n\n"
        self._out: list[bytes] = []

    def encode(self, events: Sequence[Event]) -> bytes:
        out = self._out
        for event in events:
            if type(event) is Delta:
                if event.choice == 0 and not self._over:
                    self._delta(event)
            else:
                self._other(event)
        written = b"".join(out)
        out.clear()
        return written

    def _other(self, event: Event) -> None:
        if self._over:
            return
        if isinstance(event, Begun):
            if self._writer is None:
                self._begin(event)
            return
        if self._writer is None:
            self._begin(Begun("", self._request.model))
        match event:
            case PartBegun(choice=0):
                self._begin_part(event.part)
            case PartEnded(choice=0):
                self._end_part()
            case Finished(choice=0):
                self._finish = event.finish
            case UsageSeen():
                self._usage = usage_after(self._usage, event.usage)
            case Failed():
                self._fail(event.failure)
            case Ended():
                self._end()

    # Events

    def _say(self, kind: bytes, fields: bytes) -> None:
        """
        :param fields: the event's own, as JSON without braces.
        """
        if b"\n" in fields or b"\r" in fields:
            # What is repeated as it came may have line ends, between its tokens; here one would end the data.
            fields = fields.replace(b"\n", b" ").replace(b"\r", b" ")
        self._out.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, self._sequence, fields)
        )
        self._sequence += 1

    def _begin(self, begun: Begun) -> None:
        writer = ResponseWriter(self._request, begun.id, begun.model, begun.created, begun.service_tier, self._sources)
        self._writer = writer
        self._items = Items(self._request, writer.id)
        document = b'"response":' + writer.document(Ending("in_progress"))
        self._say(b"response.created", document)
        self._say(b"response.in_progress", document)

    def _close(self, kind: bytes, ending: Ending) -> None:
        assert self._writer is not None
        self._over = True
        self._say(kind, b'"response":' + self._writer.document(ending, self._output, self._usage))

    def _end(self) -> None:
        self._end_part()
        end = ending(self._finish or Finish(Stop.END), self._refused)
        self._end_message("incomplete" if end.status == "incomplete" else "completed")
        self._close(b"response." + end.status.encode(), end)

    def _fail(self, failure: ProviderFailure) -> None:
        # What is held can be told, however little room is left.
        self._room = Room(2 * MAX_HELD_BYTES)
        self._end_part()
        self._end_message("incomplete")
        type, code = write_error(failure)
        # The flat fields are those of the SDK's type, the nested ones what OpenAI sends and what makes the SDK raise.
        error = _Error(type, code, failure.message, failure.param)
        self._say(
            b"error",
            b'"code":%b,"message":%b,"param":%b,"error":%b'
            % (_encode(code), _encode(failure.message), _encode(failure.param), _encode(error)),
        )
        self._close(b"response.failed", Ending.failed(code, failure.message))

    # Items

    def _at(self) -> int:
        return len(self._output)

    def _item_added(self, item: object) -> None:
        self._say(b"response.output_item.added", b'"output_index":%d,"item":%b' % (self._at(), _encode(item)))

    def _item_done(self, item: object) -> None:
        written = _encode(item)
        self._room.take(len(written))
        self._say(b"response.output_item.done", b'"output_index":%d,"item":%b' % (self._at(), written))
        self._output.append(written)

    def _place(self, id: str, content_index: int | None = None, summary_index: int | None = None) -> bytes:
        place = b'"item_id":%b,"output_index":%d' % (_encode(id), self._at())
        if content_index is not None:
            place += b',"content_index":%d' % content_index
        if summary_index is not None:
            place += b',"summary_index":%d' % summary_index
        return place

    # Parts

    def _begin_part(self, part: Part) -> None:
        self._end_part()
        match part:
            case Text() | Audio() | Refusal():
                self._begin_content(part)
            case Thinking():
                self._end_message()
                item = self._items.reasoning(self._at(), msgspec.structs.replace(part, text="", opaque=None))
                self._item_added(msgspec.structs.replace(item, status="in_progress"))
            case ToolCall():
                self._end_message()
                self._begin_call(part)
            case Image():
                self._end_message()
                self._whole(self._items.image(self._at(), part))
                return
            case Foreign(dialect="responses"):
                self._end_message()
                self._whole(part.raw)
                return
            case _:
                return
        self._part = part
        opening = _text_of(part)
        if opening:
            self._delta(Delta(opening))
        if isinstance(part, Text):
            for citation in part.citations:
                self._delta(Delta(citation=citation))

    def _whole(self, item: object) -> None:
        if item is not None:
            self._item_added(item)
            self._item_done(item)

    def _begin_content(self, part: Text | Audio | Refusal) -> None:
        id = self._items.id("msg", self._at())
        if self._message is None:
            self._message = []
            self._item_added(self._items.message(self._at(), [], "in_progress"))
        place = self._place(id, len(self._message))
        empty: Content
        if isinstance(part, Refusal):
            self._refused = True
            empty = documents.OutputRefusal(refusal="")
            self._tell_deltas(b"response.refusal.delta", place)
        else:
            empty = documents.OutputText(text="", annotations=())
            self._tell_deltas(b"response.output_text.delta", place, b',"logprobs":[]}\n\n')
        self._say(b"response.content_part.added", b'%b,"part":%b' % (place, _encode(empty)))

    def _begin_call(self, call: ToolCall) -> None:
        bare = msgspec.structs.replace(call, arguments="")
        if self._items.is_builtin(call):
            return
        item = self._items.call(self._at(), bare, "in_progress")
        if isinstance(item, documents.CustomToolCall):
            self._item_added(item)
            if call.custom:
                self._tell_deltas(b"response.custom_tool_call_input.delta", self._place(item.id or ""))
        elif isinstance(item, documents.FunctionCall):
            self._item_added(msgspec.structs.replace(item, arguments=""))
            self._tell_deltas(b"response.function_call_arguments.delta", self._place(item.id or ""))

    def _tell_deltas(self, kind: bytes, place: bytes, tail: bytes = b"}\n\n") -> None:
        self._delta_kind = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind, kind)
        self._delta_head = b',%b,"delta":' % place
        self._delta_tail = tail

    def _delta(self, delta: Delta) -> None:
        if self._part is None:
            return
        text = delta.text
        if text:
            self._pieces.append(text)
            self._length += len(text)
            self._room.take(len(text))
            if self._delta_head or self._begin_reasoning_text():
                tail = self._delta_tail
                if delta.logprobs:
                    tail = b',"logprobs":%b}\n\n' % _encode([logprob(token) for token in delta.logprobs])
                self._out.append(
                    b"%b%d%b%b%b" % (self._delta_kind, self._sequence, self._delta_head, _encode(text), tail)
                )
                self._sequence += 1
        if delta.citation is not None:
            self._cite(delta.citation)
        if delta.opaque is not None:
            self._opaque = delta.opaque
        if delta.logprobs:
            self._room.take(weight(delta))
            self._logprobs += delta.logprobs

    def _begin_reasoning_text(self) -> bool:
        """
        :return: whether a reasoning is open, whose text begins here.
        """
        part = self._part
        if not isinstance(part, Thinking):
            return False
        id = part.id or self._items.id("rs", self._at())
        if self._items.is_content(part):
            place = self._place(id, content_index=0)
            self._say(b"response.content_part.added", place + b',"part":{"type":"reasoning_text","text":""}')
            self._tell_deltas(b"response.reasoning_text.delta", place)
        else:
            place = self._place(id, summary_index=0)
            self._say(b"response.reasoning_summary_part.added", place + b',"part":{"type":"summary_text","text":""}')
            self._tell_deltas(b"response.reasoning_summary_text.delta", place)
        return True

    def _cite(self, citation: Citation) -> None:
        if self._message is None or not isinstance(self._part, Text):
            return
        said = annotation(citation, self._length)
        if said is None:
            return
        place = self._place(self._items.id("msg", self._at()), len(self._message))
        self._say(
            b"response.output_text.annotation.added",
            b'%b,"annotation_index":%d,"annotation":%b' % (place, len(self._citations), _encode(said)),
        )
        raw = msgspec.Raw(_encode(said))
        self._room.take(memoryview(raw).nbytes)
        self._citations.append(Citation(raw=raw))

    # Ends of parts

    def _end_part(self) -> None:
        part = self._part
        if part is None:
            return
        text = "".join(self._pieces)
        opaque = self._opaque or getattr(part, "opaque", None)
        match part:
            case Text() | Audio():
                self._end_text(text, opaque)
            case Refusal():
                self._end_content(documents.OutputRefusal(refusal=text), b"response.refusal.done", b"refusal", text)
            case Thinking():
                self._end_thinking(msgspec.structs.replace(part, text=text, opaque=opaque))
            case ToolCall():
                self._end_call(msgspec.structs.replace(part, arguments=text, opaque=opaque))
        self._part = None
        self._length = 0
        self._pieces.clear()
        self._citations.clear()
        self._logprobs.clear()
        self._opaque = None
        self._delta_head = b""
        self._delta_tail = b"}\n\n"

    def _end_text(self, text: str, opaque: Opaque | None) -> None:
        part = Text(text, tuple(self._citations), opaque=opaque)
        said = self._items.text(part, self._logprobs)
        logprobs = b',"logprobs":' + _encode(said.logprobs or ())
        self._end_content(said, b"response.output_text.done", b"text", text, logprobs)
        if opaque is not None:
            self._end_message()
            self._whole(self._items.signature(self._at(), part))

    def _end_content(self, said: Content, kind: bytes, field: bytes, text: str, more: bytes = b"") -> None:
        assert self._message is not None
        place = self._place(self._items.id("msg", self._at()), len(self._message))
        self._say(kind, b'%b,"%b":%b%b' % (place, field, _encode(text), more))
        self._say(b"response.content_part.done", b'%b,"part":%b' % (place, _encode(said)))
        self._message.append(said)

    def _end_message(self, status: str = "completed") -> None:
        if self._message is not None:
            item = self._items.message(self._at(), self._message, status)
            self._message = None
            self._item_done(item)

    def _end_thinking(self, thinking: Thinking) -> None:
        item = self._items.reasoning(self._at(), thinking)
        id = thinking.id or self._items.id("rs", self._at())
        if self._delta_head:
            text = _encode(thinking.text)
            if self._items.is_content(thinking):
                place = self._place(id, content_index=0)
                self._say(b"response.reasoning_text.done", b'%b,"text":%b' % (place, text))
                kind, part = b"response.content_part.done", b'{"type":"reasoning_text","text":%b}' % text
            else:
                place = self._place(id, summary_index=0)
                self._say(b"response.reasoning_summary_text.done", b'%b,"text":%b' % (place, text))
                kind, part = b"response.reasoning_summary_part.done", b'{"type":"summary_text","text":%b}' % text
            self._say(kind, b'%b,"part":%b' % (place, part))
        self._item_done(item)

    def _end_call(self, call: ToolCall) -> None:
        index = self._at()
        item = self._items.call(index, call)
        match item:
            case documents.CustomToolCall():
                place = self._place(item.id or "")
                if not call.custom:
                    self._say(b"response.custom_tool_call_input.delta", b'%b,"delta":%b' % (place, _encode(item.input)))
                self._say(b"response.custom_tool_call_input.done", b'%b,"input":%b' % (place, _encode(item.input)))
            case documents.FunctionCall():
                place = self._place(item.id or "")
                if not self._delta_head:
                    self._item_added(msgspec.structs.replace(item, arguments="", status="in_progress"))
                if not self._delta_head or not call.arguments:
                    delta = b'%b,"delta":%b' % (place, _encode(item.arguments))
                    self._say(b"response.function_call_arguments.delta", delta)
                self._say(
                    b"response.function_call_arguments.done",
                    b'%b,"name":%b,"arguments":%b' % (place, _encode(item.name), _encode(item.arguments)),
                )
            case _:
                self._item_added(item)
        self._item_done(item)
        self._whole(self._items.signature(self._at(), call))


def _text_of(part: Part) -> str:
    match part:
        case Text() | Refusal() | Thinking():
            return part.text
        case ToolCall():
            return part.arguments
        case Audio():
            return part.transcript or ""
    return ""
