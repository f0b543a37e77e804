"""
A provider's stream, read.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming, and what the ``anthropic`` package (2.12)
makes of streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.sse import EventStreamParser, EventTooLarge, TruncatedStream
from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.arguments import object_in
from llm_gateway.core.translation.codec import StreamDecoder
from llm_gateway.core.translation.conversation import Citation, Foreign, Opaque, Part, Text, Thinking, ToolCall
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
from llm_gateway.core.translation.messages.answer import BROKEN
from llm_gateway.core.translation.messages.blocks import Extras, citation_of, part_of
from llm_gateway.core.translation.messages.failures import failure_of_event
from llm_gateway.core.translation.messages.finishes import StopDetails, finish_of
from llm_gateway.core.translation.messages.names import NAME
from llm_gateway.core.translation.messages.usage import Counts, CountsSoFar, service_tier_of
from llm_gateway.errors import UpstreamMalformed

__all__ = ["MAX_EVENT_BYTES", "MessagesStreamDecoder"]

MAX_EVENT_BYTES = 16_777_216
"""What a tool of the provider's own has fetched comes in one event: a PDF may be some megabytes of base64."""

_MAX_INPUT_CHARACTERS = 1_048_576
"""Of a call that the provider runs itself: it is handed on whole."""


_NULL = msgspec.Raw(b"null")


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    citation: msgspec.Raw = _NULL
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class _Start(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: Counts | None = None


class _Frame(msgspec.Struct):
    """Any event of the stream."""

    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: msgspec.Raw = _NULL
    message: _Start | None = None
    usage: Counts | None = None


_decode = msgspec.json.Decoder(_Frame).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class MessagesStreamDecoder(StreamDecoder):
    """Holds one event at most, and one call of a tool that the provider runs."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._parser = EventStreamParser(MAX_EVENT_BYTES)
        self._counts = CountsSoFar()
        self._begun = False
        self._over = False
        self._index: int | None = None
        """Of the open block."""
        self._part: Part | None = None
        self._foreign_input: list[str] = []
        self._foreign_characters = 0
        self.broken: UpstreamMalformed | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        events: list[Event] = []
        try:
            try:
                frames = self._parser.feed(data)
            except EventTooLarge as error:
                for frame in error.events:
                    self._take(frame.data, events)
                raise
            for frame in frames:
                self._take(frame.data, events)
        except UpstreamMalformed as error:
            self.broken = error
        except (EventTooLarge, *BROKEN) as error:
            self.broken = UpstreamMalformed("The provider's stream is not one of the Messages API.")
            self.broken.__cause__ = error
        # What came before the fault was said, however the bytes were cut: it is told first.
        if self.broken is not None and not events:
            raise self.broken
        return events

    def close(self) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        try:
            self._parser.close()
        except TruncatedStream:
            # The caller of this method sees it: there was no Ended.
            return ()
        return ()

    def _take(self, data: str, events: list[Event]) -> None:
        if self._over:
            return
        try:
            frame = _decode(data)
        except msgspec.DecodeError:
            data = mended(data.encode()).decode()
            frame = _decode(data)
        kind = frame.type
        if kind == "content_block_delta":
            delta = frame.delta
            if delta is None or frame.index != self._index:
                raise UpstreamMalformed("The provider's stream adds to a block that is not open.")
            if delta.type == "text_delta" and type(self._part) is Text:
                events.append(Delta(delta.text))
            else:
                self._more(delta, events)
        elif not self._begun and kind.startswith(("content_block", "message_d", "message_stop")):
            raise UpstreamMalformed("The provider's stream begins in the middle of a message.")
        elif kind == "content_block_start":
            self._start_block(frame, events)
        elif kind == "content_block_stop":
            if frame.index == self._index:
                self._end_block(events)
        elif kind == "message_start":
            self._start(frame, events)
        elif kind == "message_delta":
            self._finish(frame, events)
        elif kind == "message_stop":
            self._end_block(events)
            events.append(Ended())
            self._over = True
        elif kind == "error":
            events.append(Failed(failure_of_event(data)))
            self._over = True
        # A ping says nothing, and there may be kinds that there were not when this was written.

    def _start(self, frame: _Frame, events: list[Event]) -> None:
        message = frame.message or _Start()
        if self._begun:
            raise UpstreamMalformed("The provider's stream begins a second message.")
        self._begun = True
        counts = message.usage or Counts()
        events.append(Begun(message.id, message.model, service_tier=service_tier_of(counts)))
        if message.usage is not None:
            events.append(UsageSeen(self._counts.take(counts)))

    def _finish(self, frame: _Frame, events: list[Event]) -> None:
        self._end_block(events)
        delta = frame.delta
        if delta is not None:
            finish = finish_of(delta.stop_reason, delta.stop_sequence, delta.stop_details)
            if finish is not None:
                events.append(Finished(finish))
        if frame.usage is not None:
            events.append(UsageSeen(self._counts.take(frame.usage)))

    # Blocks

    def _start_block(self, frame: _Frame, events: list[Event]) -> None:
        self._end_block(events)
        if frame.content_block == _NULL:
            raise UpstreamMalformed("The provider's stream begins a block that is none.")
        ignored: Extras = {}
        part = part_of(frame.content_block, "content_block", ignored, self._provider)
        self._index = frame.index
        self._part = part
        # What the block has from its beginning comes as a delta: usually nothing.
        match part:
            case Text(text=text, citations=citations):
                events.append(PartBegun(Text("")))
                self._say(Delta(text) if text else None, events)
                events.extend(Delta(citation=citation) for citation in citations)
            case Thinking(text=text, redacted=False, opaque=opaque):
                events.append(PartBegun(Thinking()))
                self._say(Delta(text) if text else None, events)
                self._say(Delta(opaque=opaque) if opaque else None, events)
            case ToolCall(arguments=arguments):
                events.append(PartBegun(msgspec.structs.replace(part, arguments="")))
                self._say(Delta(arguments) if arguments else None, events)
            case Foreign():
                # It is told at its end: its input comes in pieces, which are of use only together.
                pass
            case _:
                events.append(PartBegun(part))

    @staticmethod
    def _say(delta: Delta | None, events: list[Event]) -> None:
        if delta is not None:
            events.append(delta)

    def _more(self, delta: _Delta, events: list[Event]) -> None:
        kind = delta.type
        part = self._part
        if kind == "input_json_delta":
            if isinstance(part, Foreign):
                self._more_input(delta.partial_json)
            elif isinstance(part, ToolCall) and delta.partial_json:
                events.append(Delta(delta.partial_json))
        elif kind == "thinking_delta":
            if isinstance(part, Thinking):
                events.append(Delta(delta.thinking))
        elif kind == "signature_delta":
            if isinstance(part, Thinking) and delta.signature:
                events.append(Delta(opaque=Opaque(NAME, self._provider, delta.signature)))
        elif kind == "citations_delta" and isinstance(part, Text) and delta.citation != _NULL:
            events.append(Delta(citation=self._citation(delta.citation)))

    @staticmethod
    def _citation(raw: msgspec.Raw) -> Citation:
        return citation_of(raw, "citation")

    def _more_input(self, piece: str) -> None:
        self._foreign_characters += len(piece)
        if self._foreign_characters > _MAX_INPUT_CHARACTERS:
            raise UpstreamMalformed("The provider's stream calls a tool of its own with an input that is too long.")
        self._foreign_input.append(piece)

    def _end_block(self, events: list[Event]) -> None:
        if self._index is None:
            return
        part = self._part
        if isinstance(part, Foreign):
            events.append(PartBegun(self._whole(part)))
        events.append(PartEnded())
        self._index = None
        self._part = None

    def _whole(self, part: Foreign) -> Foreign:
        """With the input that came in pieces."""
        written = "".join(self._foreign_input)
        self._foreign_input.clear()
        self._foreign_characters = 0
        if not written.strip():
            return part
        fields = _object(part.raw)
        written_input = object_in(written)
        if written_input is None:
            raise UpstreamMalformed("The provider's stream calls a tool of its own with what is no object.")
        fields["input"] = written_input
        return Foreign(part.dialect, part.kind, msgspec.Raw(msgspec.json.encode(fields)), part.hint)
