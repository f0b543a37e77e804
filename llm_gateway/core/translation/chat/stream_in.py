"""A provider's stream of chunks, read as neutral events."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.sse import Event as ServerSentEvent
from llm_gateway.core.sse import EventStreamParser, EventTooLarge, TruncatedStream
from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.chat.choice_in import ChoiceReader
from llm_gateway.core.translation.chat.documents import ABSENT, ChunkDoc, NextChunkDoc, count, name, said
from llm_gateway.core.translation.chat.failures import failure_in
from llm_gateway.core.translation.chat.usage import usage_in
from llm_gateway.core.translation.codec import StreamDecoder
from llm_gateway.core.translation.conversation import Usage
from llm_gateway.core.translation.events import Begun, Ended, Event, Failed, UsageSeen
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.core.translation.room import Room
from llm_gateway.errors import UpstreamMalformed

__all__ = ["MAX_EVENT_BYTES", "ChatStreamDecoder"]

MAX_EVENT_BYTES = 16_777_216
"""An image that a model made comes in one event; a large one is some 10 MB in base64."""

_MAX_CHOICES = 128
"""What OpenAI takes for ``n`` at most; what comes for a choice beyond it is not an answer to anybody's question."""

_decode_first = msgspec.json.Decoder(ChunkDoc).decode
_decode_next = msgspec.json.Decoder(NextChunkDoc).decode


class ChatStreamDecoder(StreamDecoder):
    """
    Reads chunks until ``[DONE]``.

    A choice's reason to finish is held until the stream's end: some providers send it with every chunk, and OpenAI
    sends a piece of sound behind it.
    """

    def __init__(self, provider: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """
        :param provider: who makes the answer, for opaque parts.
        :param max_event_bytes: how much of one event is held.
        """
        self._provider = provider
        self._parser = EventStreamParser(max_event_bytes)
        self._choices: dict[int, ChoiceReader] = {}
        self._room = Room()
        self._mark = ""
        self._begun = False
        self._over = False
        self.broken: UpstreamMalformed | None = None
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        if self._over:
            return ()
        out: list[Event] = []
        try:
            events: Sequence[ServerSentEvent] = self._parser.feed(data)
        except EventTooLarge as error:
            self._break("an event of its stream is too long", error)
            events = error.events
        try:
            for event in events:
                if not self._take(event, out):
                    return out
        except BROKEN as error:
            self._break("an event of its stream is not a chat completion's chunk", error)
        except UpstreamMalformed as error:
            self.broken = error
        if self.broken is not None and not out:
            raise self.broken
        # What came before the fault is told first, wherever the bytes were cut.
        return out

    def close(self) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        if self._over:
            return ()
        try:
            self._parser.close()
        except TruncatedStream:
            return ()
        if not self._choices or any(choice.finish is None for choice in self._choices.values()):
            return ()
        # It said why it ended, and left out the word for the end of the stream.
        out: list[Event] = []
        self._end(out)
        return out

    def _break(self, why: str, cause: Exception) -> None:
        self.broken = UpstreamMalformed(f"The provider's answer cannot be read: {why}.")
        self.broken.__cause__ = cause

    def _take(self, event: ServerSentEvent, out: list[Event]) -> bool:
        """
        :return: whether the answer goes on.
        """
        data = event.data
        if data.startswith("[DONE]"):
            if self._begun:
                self._end(out)
            self._over = True
            return False
        chunk: ChunkDoc | NextChunkDoc
        if self._begun:
            try:
                chunk = _decode_next(data)
            except msgspec.DecodeError:
                data = mended(data.encode()).decode()
                chunk = _decode_next(data)
            choices = chunk.choices
            if choices and len(choices) == 1 and chunk.usage is None and chunk.error is ABSENT:
                # Nearly all that there is.
                known = self._choices.get(choices[0].index or 0)
                if known is not None and event.event != "error":
                    known.read(choices[0], out)
                    return True
        else:
            data = mended(data.encode()).decode()
            chunk = _decode_first(data)
        if said(chunk.error) or event.event == "error":
            error = chunk.error if said(chunk.error) else msgspec.Raw(data.encode())
            out.append(Failed(failure_in(error)))
            self._over = True
            return False
        choices = chunk.choices
        if isinstance(chunk, ChunkDoc) and (choices or chunk.usage is not None):
            self._begin(chunk, out)
        for at, choice in enumerate(choices or ()):
            index = at if choice.index is None else choice.index
            (self._choices.get(index) or self._new_choice(index)).read(choice, out)
        if chunk.usage is not None:
            usage = usage_in(chunk.usage)
            if usage != self._usage:
                self._usage = usage
                out.append(UsageSeen(usage))
        return True

    def _begin(self, chunk: ChunkDoc, out: list[Event]) -> None:
        # Azure's first chunk says nothing, not even who speaks.
        self._begun = True
        self._mark = chunk.id or str(chunk.created)
        out.append(Begun(chunk.id or "", chunk.model or "", count(chunk.created), name(chunk.service_tier)))

    def _new_choice(self, index: int) -> ChoiceReader:
        if not 0 <= index < _MAX_CHOICES:
            raise UpstreamMalformed("The provider's answer cannot be read: it has a choice that nobody asked for.")
        reader = self._choices[index] = ChoiceReader(index, self._mark, self._provider, self._room)
        return reader

    def _end(self, out: list[Event]) -> None:
        for index in sorted(self._choices):
            self._choices[index].end(out)
        self._over = True
        out.append(Ended())
