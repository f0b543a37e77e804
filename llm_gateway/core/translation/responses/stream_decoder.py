"""
The Responses API's stream as neutral events.

What a delta has told is not told again; what no delta told is taken from the event that ends the text, the item or the
stream, for providers that leave deltas or whole items out. Items are told one after another, as neutral streams are:
what comes for a later one while an earlier one is open waits.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.sse import Event as RawEvent
from llm_gateway.core.sse import EventStreamParser, EventTooLarge
from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.codec import StreamDecoder
from llm_gateway.core.translation.conversation import Foreign, Opaque, Part, Refusal, Text, Thinking, ToolCall
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
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.core.translation.responses.failures import ReadError, read_error, stream_failure
from llm_gateway.core.translation.responses.read_answer import (
    ReadItem,
    ReadLogprob,
    ReadPart,
    ReadResponse,
    finish,
    item_parts,
    joined,
    read_item,
)
from llm_gateway.core.translation.responses.read_items import annotation
from llm_gateway.core.translation.room import Room, weight
from llm_gateway.errors import BadRequest, UpstreamMalformed

__all__ = ["ResponsesStreamDecoder"]

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Of one event. The last one repeats all of the answer, an image among it as base64 of some millions."""

MAX_ITEMS = 10_000
"""Of one answer."""


class _Event(msgspec.Struct, gc=False):
    """Any event of the stream; which fields it has depends on its type."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: msgspec.Raw = msgspec.Raw()
    logprobs: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()
    part: msgspec.Raw = msgspec.Raw()
    annotation: msgspec.Raw = msgspec.Raw()
    arguments: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_event = msgspec.json.Decoder(_Event).decode
_some_text = msgspec.json.Decoder(str | None).decode
_part = msgspec.json.Decoder(ReadPart).decode
_response = msgspec.json.Decoder(ReadResponse).decode
_NULL = msgspec.Raw(b"null")
_logprobs = msgspec.json.Decoder(list[ReadLogprob] | None).decode


def _text(raw: msgspec.Raw) -> str:
    return (_some_text(raw) or "") if raw else ""


class _Item:
    """One item of the output while it comes."""

    def __init__(self, index: int, item: ReadItem | Foreign) -> None:
        self.index = index
        self.item = item
        self.ended = False
        self.waiting: list[Event] = []
        self.waits = 0
        """Bytes of what waits."""
        self.part: Part | None = None
        """The open part."""
        self.content = -1
        """The index of the content that the open part is; of a reasoning's summary or content, of its last text."""
        self.told = 0
        """Characters of the open part's text."""
        self.notes = 0
        """Its citations."""


class ResponsesStreamDecoder(StreamDecoder):
    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._parser = EventStreamParser(MAX_EVENT_BYTES)
        self._out: list[Event] = []
        self._begun = False
        self._over = False
        self._items: dict[int, _Item] = {}
        """Those that have not ended, and that have and wait."""
        self._seen: set[int] = set()
        self._current: _Item | None = None
        self._queue: list[_Item] = []
        self._room = Room()
        """For items that wait for an earlier one to end."""
        self._called = False
        self._refused = False

    def feed(self, data: bytes) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        events: Sequence[RawEvent]
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            self._break(f"One event of the provider's stream is over {MAX_EVENT_BYTES} bytes.", error)
            events = error.events
        if not events and self.broken is None:
            return ()
        try:
            for event in events:
                if self._over:
                    break
                self._read(event)
        except (*BROKEN, BadRequest) as error:
            self._break("An event of the provider's stream could not be read.", error)
        except UpstreamMalformed as error:
            self.broken = error
        told, self._out = self._out, []
        if self.broken is not None and not told:
            raise self.broken
        return told

    def close(self) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        return ()

    def _break(self, why: str, cause: Exception) -> None:
        self.broken = UpstreamMalformed(why)
        self.broken.__cause__ = cause

    def _read(self, raw: RawEvent) -> None:
        data = raw.data
        if data.startswith("[DONE]"):
            return
        try:
            event = _event(data)
        except msgspec.DecodeError:
            data = mended(data.encode()).decode()
            event = _event(data)
        kind = event.type
        if kind == "response.output_text.delta":
            self._text_delta(event)
            return
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event)
        elif kind == "error" or (not kind and event.error):
            # OpenAI sends it nested and documents it flat.
            nested = event.error and event.error != _NULL
            self._fail(read_error(event.error if nested else msgspec.Raw(data.encode())))
        elif not kind and not self._begun:
            raise UpstreamMalformed("The provider's stream is not one of the Responses API.")

    # The answer as a whole

    def _begin(self, response: ReadResponse) -> None:
        if not self._begun:
            self._begun = True
            self._out.append(Begun(response.id, response.model, response.created, response.service_tier))

    def _created(self, event: _Event) -> None:
        if event.response:
            self._begin(_response(event.response))

    def _completed(self, event: _Event) -> None:
        response = _response(event.response) if event.response else ReadResponse()
        self._begin(response)
        if not self._seen:
            for index, raw in enumerate(response.output or ()):
                self._end_item(self._opened(index, raw), raw)
        while self._current is not None:
            self._close_item(self._current)
        if response.usage is not None:
            self._out.append(UsageSeen(response.usage.neutral()))
        if event.type == "response.failed":
            self._fail(read_error(response.error) if response.error else ReadError())
            return
        self._out.append(Finished(finish(response, self._called, self._refused)))
        self._out.append(Ended())
        self._over = True

    def _fail(self, error: ReadError) -> None:
        self._begin(ReadResponse())
        self._out.append(Failed(stream_failure(error)))
        self._over = True

    # Items

    def _item_added(self, event: _Event) -> None:
        if event.item and event.item != _NULL:
            self._opened(event.output_index, event.item)

    def _item_done(self, event: _Event) -> None:
        if not event.item or event.item == _NULL:
            return
        if event.output_index in self._seen and event.output_index not in self._items:
            return
        self._end_item(self._opened(event.output_index, event.item), event.item)

    def _opened(self, index: int, raw: msgspec.Raw) -> _Item:
        """
        :return: the item at this index, a new one if there is none yet.
        """
        self._begin(ReadResponse())
        item = self._items.get(index)
        if item is not None:
            return item
        self._seen.add(index)
        if len(self._seen) > MAX_ITEMS:
            raise UpstreamMalformed(f"The provider's answer has more than {MAX_ITEMS} items.")
        item = self._items[index] = _Item(index, read_item(raw))
        if self._current is None:
            self._current = item
        else:
            self._wait(item, memoryview(raw).nbytes)
            self._queue.append(item)
        self._begin_call(item)
        return item

    def _begin_call(self, item: _Item) -> None:
        """Tell a call as soon as its name is known."""
        read = item.item
        if item.part is None and isinstance(read, ReadItem) and read.name:
            if read.type == "function_call":
                self._begin_part(item, ToolCall(read.call_id or read.id or "", read.tool_name, ""))
            elif read.type == "custom_tool_call":
                self._begin_part(item, ToolCall(read.call_id or read.id or "", read.tool_name, "", custom=True))

    def _end_item(self, item: _Item, raw: msgspec.Raw) -> None:
        item.item = read = read_item(raw)
        if isinstance(read, Foreign):
            self._begin_part(item, read)
        elif read.type == "message":
            for index, content in enumerate(read.content or ()):
                self._catch_up(item, index, content)
        elif read.type == "reasoning":
            self._end_reasoning(item, read)
        elif read.type in ("function_call", "custom_tool_call"):
            self._begin_call(item)
            whole = read.arguments if read.type == "function_call" else read.input
            self._rest(item, whole or "")
        else:
            for part in item_parts(read, raw, self._provider):
                self._begin_part(item, part)
        self._close_item(item)

    def _close_item(self, item: _Item) -> None:
        self._end_part(item)
        item.ended = True
        self._items.pop(item.index, None)
        if item is not self._current:
            return
        self._current = None
        while self._queue:
            later = self._queue.pop(0)
            self._room.give_back(later.waits)
            self._out += later.waiting
            later.waiting = []
            if not later.ended:
                self._current = later
                break

    def _tell(self, item: _Item, event: Event) -> None:
        if item is self._current:
            self._out.append(event)
            return
        self._wait(item, weight(event))
        item.waiting.append(event)

    def _wait(self, item: _Item, size: int) -> None:
        self._room.take(size)
        item.waits += size

    # Parts

    def _begin_part(self, item: _Item, part: Part) -> None:
        self._end_part(item)
        item.part = part
        item.told = item.notes = 0
        self._called = self._called or isinstance(part, ToolCall)
        self._refused = self._refused or isinstance(part, Refusal)
        self._tell(item, PartBegun(part))

    def _end_part(self, item: _Item) -> None:
        if item.part is not None:
            item.part = None
            self._tell(item, PartEnded())

    def _more(self, item: _Item, text: str) -> None:
        if text:
            item.told += len(text)
            self._tell(item, Delta(text))

    def _rest(self, item: _Item, whole: str) -> None:
        """Tell what of the open part's text no delta told."""
        if item.part is not None and len(whole) > item.told:
            self._more(item, whole[item.told :])

    def _content(self, item: _Item, index: int, kind: type[Text] | type[Refusal]) -> None:
        """Have the content at this index be the open part."""
        if index != item.content or type(item.part) is not kind:
            self._begin_part(item, kind(""))
            item.content = index

    def _text_delta(self, event: _Event) -> None:
        item = self._items.get(event.output_index)
        if item is None:
            item = self._unannounced(event.output_index)
        if event.content_index != item.content or type(item.part) is not Text:
            self._content(item, event.content_index, Text)
        text = _text(event.delta)
        item.told += len(text)
        if len(event.logprobs) > 4:
            logprobs = tuple(logprob.neutral() for logprob in _logprobs(event.logprobs) or ())
            self._tell(item, Delta(text, logprobs=logprobs))
        elif item is self._current:
            self._out.append(Delta(text))
        else:
            self._tell(item, Delta(text))

    def _unannounced(self, index: int) -> _Item:
        """An item whose beginning did not come."""
        if index in self._seen:
            raise UpstreamMalformed("The provider's stream goes on with an item that has ended.")
        return self._opened(index, msgspec.Raw(b'{"type":"message"}'))

    def _open_item(self, event: _Event, kind: str) -> _Item | None:
        """
        :return: the item that the event is about, if it is of the kind that the event belongs to.
        """
        item = self._items.get(event.output_index)
        if item is None or not isinstance(item.item, ReadItem) or item.item.type != kind:
            return None
        return item

    def _refusal_delta(self, event: _Event) -> None:
        item = self._open_item(event, "message") or self._unannounced(event.output_index)
        self._content(item, event.content_index, Refusal)
        self._more(item, _text(event.delta))

    def _part_added(self, event: _Event) -> None:
        item = self._open_item(event, "message")
        if item is None or not event.part:
            return
        kind = _part(event.part).type
        if kind == "output_text":
            self._content(item, event.content_index, Text)
        elif kind == "refusal":
            self._content(item, event.content_index, Refusal)

    def _annotation_added(self, event: _Event) -> None:
        item = self._open_item(event, "message")
        if item is None or not event.annotation or event.annotation == _NULL:
            return
        self._content(item, event.content_index, Text)
        item.notes += 1
        self._tell(item, Delta(citation=annotation(event.annotation, "annotation")))

    def _catch_up(self, item: _Item, index: int, content: ReadPart) -> None:
        """
        :param content: whole, at the item's end.
        """
        if index < item.content:
            return
        if content.type == "output_text":
            self._content(item, index, Text)
            if not item.told and content.text:
                logprobs = tuple(logprob.neutral() for logprob in content.logprobs or ())
                self._tell(item, Delta(content.text, logprobs=logprobs))
                item.told = len(content.text)
            self._rest(item, content.text or "")
            for note in (content.annotations or ())[item.notes :]:
                item.notes += 1
                self._tell(item, Delta(citation=annotation(note, "annotation")))
        elif content.type == "refusal":
            self._content(item, index, Refusal)
            self._rest(item, content.refusal or "")

    def _summary_delta(self, event: _Event) -> None:
        self._reasoning_delta(event, event.summary_index, summary=True)

    def _reasoning_text_delta(self, event: _Event) -> None:
        self._reasoning_delta(event, event.content_index, summary=False)

    def _reasoning_delta(self, event: _Event, index: int, *, summary: bool) -> None:
        item = self._open_item(event, "reasoning")
        if item is None or not isinstance(item.item, ReadItem):
            return
        part = item.part
        if not isinstance(part, Thinking) or part.summary is not summary:
            self._begin_part(item, Thinking(id=item.item.id, summary=summary))
        elif index != item.content:
            self._more(item, "\n\n")
        item.content = index
        self._more(item, _text(event.delta))

    def _end_reasoning(self, item: _Item, read: ReadItem) -> None:
        for summary, texts in ((True, read.summary), (False, read.content)):
            whole = joined(texts)
            part = item.part
            if isinstance(part, Thinking) and part.summary is summary:
                self._rest(item, whole)
            elif whole and not (isinstance(part, Thinking) and not part.summary):
                self._begin_part(item, Thinking(id=read.id, summary=summary))
                self._more(item, whole)
        if read.encrypted_content is not None:
            if item.part is None:
                self._begin_part(item, Thinking(id=read.id))
            self._tell(item, Delta(opaque=Opaque("responses", self._provider, read.encrypted_content)))

    def _arguments_delta(self, event: _Event) -> None:
        item = self._open_item(event, "function_call") or self._open_item(event, "custom_tool_call")
        if item is not None and item.part is not None:
            self._more(item, _text(event.delta))

    def _arguments_done(self, event: _Event) -> None:
        item = self._open_item(event, "function_call") or self._open_item(event, "custom_tool_call")
        whole = event.arguments or event.input
        if item is not None and whole:
            self._rest(item, _text(whole))


_HANDLERS = {
    "response.completed": ResponsesStreamDecoder._completed,
    "response.content_part.added": ResponsesStreamDecoder._part_added,
    "response.created": ResponsesStreamDecoder._created,
    "response.custom_tool_call_input.delta": ResponsesStreamDecoder._arguments_delta,
    "response.custom_tool_call_input.done": ResponsesStreamDecoder._arguments_done,
    "response.failed": ResponsesStreamDecoder._completed,
    "response.function_call_arguments.delta": ResponsesStreamDecoder._arguments_delta,
    "response.function_call_arguments.done": ResponsesStreamDecoder._arguments_done,
    "response.in_progress": ResponsesStreamDecoder._created,
    "response.incomplete": ResponsesStreamDecoder._completed,
    "response.output_item.added": ResponsesStreamDecoder._item_added,
    "response.output_item.done": ResponsesStreamDecoder._item_done,
    "response.output_text.annotation.added": ResponsesStreamDecoder._annotation_added,
    "response.queued": ResponsesStreamDecoder._created,
    "response.reasoning_summary_text.delta": ResponsesStreamDecoder._summary_delta,
    "response.reasoning_text.delta": ResponsesStreamDecoder._reasoning_text_delta,
    "response.refusal.delta": ResponsesStreamDecoder._refusal_delta,
}
"""By type; the events of other types tell nothing that these do not."""
