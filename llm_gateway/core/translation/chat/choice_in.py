"""One choice of a streamed answer: parts that follow each other, made of deltas that may not."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.chat.answer_in import (
    arguments_of,
    call_id_for,
    citations_in,
    content_in,
    images_in,
    logprobs_in,
    opaque_in,
)
from llm_gateway.core.translation.chat.calls import Arguments
from llm_gateway.core.translation.chat.documents import (
    AudioDoc,
    CallDoc,
    ChunkChoiceDoc,
    MessageDoc,
    count,
    signature_in,
)
from llm_gateway.core.translation.chat.finishes import finish_in
from llm_gateway.core.translation.chat.thoughts import ENCRYPTED, SUMMARY, TEXT, DetailDoc, read_detail, thinking_of
from llm_gateway.core.translation.conversation import (
    Audio,
    Finish,
    Inline,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
)
from llm_gateway.core.translation.events import Delta, Event, Finished, PartBegun, PartEnded
from llm_gateway.core.translation.room import Room, weight
from llm_gateway.errors import UpstreamMalformed

__all__ = ["ChoiceReader"]

_MAX_HELD = 65_536
"""Characters that wait for a call to end. Beyond them the call is taken for ended: its arguments are not JSON then, and
what comes behind it is better told late than never."""

_MAX_CALLS = 1024
"""Calls of one answer. Models are limited to 128 tools; the number is to keep a provider that repeats itself from
filling the memory."""

_BEHIND_ITS_END = "The provider's answer cannot be read: a tool call goes on behind its end."

_TEXT, _THOUGHT, _REFUSAL, _AUDIO = "text", "thought", "refusal", "audio"

Key = str | tuple[str, str, int] | tuple[str, int]


class _Call:
    """One tool call of the stream."""

    __slots__ = ("arguments", "custom", "ended", "id", "key", "part")

    def __init__(self, number: int, part: ToolCall) -> None:
        self.key = ("call", number)
        self.id = part.id
        self.part = part
        self.custom = part.custom
        self.arguments = Arguments()
        self.ended = False


class ChoiceReader:
    """
    Reads one choice's deltas.

    A part ends when something of another kind comes. Only a call whose arguments are not whole stays open: what comes
    for other parts is held until they are.
    """

    def __init__(self, index: int, mark: str, provider: str, room: Room) -> None:
        """
        :param room: for what all choices hold.
        """
        self._room = room
        self.finish: str | None = None
        """The reason that was given last."""
        self._index = index
        self._mark = mark
        self._provider = provider
        self._native: object = None
        self._sequence: object = None
        self._refused = False
        self._open: Key | None = None
        self._open_call: _Call | None = None
        self._detail = DetailDoc()
        """What is opaque of the thinking that is open, or was last."""
        self._detail_key: Key = ""
        self._calls: list[_Call] = []
        self._by_place: dict[int, _Call] = {}
        """The calls by their index in the deltas, which some providers use again for another call."""
        self._images = 0
        self._held: dict[Key, list[tuple[Part, Delta | None, int]]] = {}
        """With what each takes."""
        self._held_size = 0

    def read(self, choice: ChunkChoiceDoc, out: list[Event]) -> None:
        delta = choice.delta
        logprobs = () if choice.logprobs is None else logprobs_in(choice.logprobs)
        if delta is not None:
            content = delta.content
            # Nearly all that there is: more of what came before.
            if self._open == _TEXT and content and type(content) is str and delta == MessageDoc(content):
                out.append(Delta(content, self._index, logprobs=logprobs))
            elif self._open == _THOUGHT and not content and _is_thought(delta):
                out.append(Delta(delta.reasoning_content or "", self._index))
            else:
                self._read_delta(delta, logprobs, out)
        if choice.finish_reason:
            self.finish = choice.finish_reason
            self._native = choice.native_finish_reason
            self._sequence = choice.stop_reason

    def end(self, out: list[Event]) -> None:
        """The stream is over: tell what was held, and why the choice finished."""
        while self._open is not None or self._held:
            self._end_part(out)
            self._release(out)
        finish = finish_in(self.finish, self._native, self._sequence, called=bool(self._calls), refused=self._refused)
        out.append(Finished(finish or Finish(Stop.OTHER), self._index))

    # What a delta may have

    def _read_delta(self, delta: MessageDoc, logprobs: tuple[TokenLogprob, ...], out: list[Event]) -> None:
        index = self._index
        thought, said = content_in(delta.content) if delta.content else ("", "")
        if delta.reasoning_details:
            for raw in delta.reasoning_details:
                self._read_detail(read_detail(raw), out)
        else:
            plain = delta.reasoning_content or delta.reasoning or thought
            if plain:
                self._arrive(_THOUGHT, Thinking(), Delta(plain, index), out)
        if delta.refusal:
            self._refused = True
            self._arrive(_REFUSAL, Refusal(""), Delta(delta.refusal, index, logprobs=logprobs), out)
        elif said or logprobs:
            self._arrive(_TEXT, Text(""), Delta(said, index, logprobs=logprobs), out)
        if delta.extra_content is not None and (signature := signature_in(delta.extra_content)):
            opaque = opaque_in(signature, self._provider)
            self._arrive(_TEXT, Text(""), Delta(choice=index, opaque=opaque), out)
        if delta.annotations:
            for citation in citations_in(delta.annotations):
                self._arrive(_TEXT, Text(""), Delta(choice=index, citation=citation), out)
        if delta.audio is not None:
            self._read_audio(delta.audio, out)
        if delta.images:
            for image in images_in(delta.images):
                # Each is a part of its own.
                self._images += 1
                self._arrive(("image", self._images), image, None, out)
        for call in delta.tool_calls or ():
            self._read_call(call, out)
        if delta.function_call is not None:
            self._read_call(CallDoc(index=0, function=delta.function_call), out)

    def _read_detail(self, entry: DetailDoc, out: list[Event]) -> None:
        key = ("detail", entry.type or TEXT, entry.index or 0)
        if key != self._detail_key:
            self._detail_key = key
            self._detail = DetailDoc(entry.type)
        known = self._detail
        known.format = entry.format or known.format
        known.signature = entry.signature or known.signature
        known.data = entry.data or known.data
        said = entry.text or entry.summary or ""
        thinking = Thinking(redacted=entry.type == ENCRYPTED, id=entry.id, summary=entry.type == SUMMARY)
        self._arrive(key, thinking, Delta(said, self._index) if said else None, out)
        if entry.signature or entry.data:
            opaque = thinking_of(known, self._provider, from_caller=False).opaque
            self._arrive(key, thinking, Delta(choice=self._index, opaque=opaque), out)

    def _read_audio(self, audio: AudioDoc, out: list[Event]) -> None:
        # Streamed sound is always of this format.
        part = Audio(Inline("audio/pcm", ""), audio.id or None, expires_at=count(audio.expires_at) or None)
        more = Delta(audio.transcript or "", self._index, audio=audio.data or "")
        if audio.id or audio.data or audio.transcript:
            self._arrive(_AUDIO, part, more if more.text or more.audio else None, out)

    # Calls

    def _read_call(self, delta: CallDoc, out: list[Event]) -> None:
        call = self._call_of(delta)
        custom = delta.custom
        more = (custom.input or "") if call.custom and custom is not None else arguments_of(delta.function)
        if call.ended:
            if more.strip():
                raise UpstreamMalformed(_BEHIND_ITS_END)
            return
        if not call.part.name:
            named = custom if call.custom else delta.function
            if named is not None and named.name:
                self._room.take(len(named.name))
                call.part = msgspec.structs.replace(call.part, name=named.name)
            elif not more:
                # Some give its id first and its name with the next delta.
                return
        opaque = opaque_in(signature_in(delta.extra_content), self._provider)
        self._arrive(call.key, call.part, Delta(more, self._index) if more else None, out, call)
        if opaque is not None and opaque != call.part.opaque:
            self._arrive(call.key, call.part, Delta(choice=self._index, opaque=opaque), out, call)

    def _call_of(self, delta: CallDoc) -> _Call:
        """
        :return: the call that goes on. An id of its own makes another call, whatever its index says.
        """
        place = delta.index
        if place is None:
            known = next((at for at, each in enumerate(self._calls) if each.id == delta.id), None)
            place = (len(self._calls) if delta.id else max(len(self._calls) - 1, 0)) if known is None else known
        call = self._by_place.get(place)
        if call is not None and (not delta.id or delta.id == call.id):
            return call
        if len(self._calls) >= _MAX_CALLS:
            raise UpstreamMalformed("The provider's answer cannot be read: it has too many tool calls.")
        number = len(self._calls)
        custom = delta.type == "custom" and delta.custom is not None
        named = delta.custom if custom else delta.function
        part = ToolCall(
            delta.id or call_id_for(self._mark, self._index, number),
            "" if named is None else named.name or "",
            "",
            opaque_in(signature_in(delta.extra_content), self._provider),
            custom=custom,
        )
        self._room.take(weight(part))
        call = self._by_place[place] = _Call(number, part)
        self._calls.append(call)
        return call

    # One part behind the other

    def _arrive(self, key: Key, part: Part, delta: Delta | None, out: list[Event], call: _Call | None = None) -> None:
        """
        :param part: what begins if it is not open.
        """
        while key != self._open and self._waits():
            if self._held_size <= _MAX_HELD:
                self._hold(key, part, delta)
                return
            self._end_part(out)
            self._release(out)
        if key != self._open:
            if call is not None and call.ended:
                raise UpstreamMalformed(_BEHIND_ITS_END)
            self._end_part(out)
            self._begin_part(key, part, out, call)
        if delta is not None:
            self._tell(delta, out)
        if self._held and not self._waits():
            self._end_part(out)
            self._release(out)

    def _waits(self) -> bool:
        """Whether a call is open that may go on."""
        return self._open_call is not None and not self._open_call.arguments.whole

    def _hold(self, key: Key, part: Part, delta: Delta | None) -> None:
        size = (0 if key in self._held else weight(part)) + (0 if delta is None else weight(delta))
        self._room.take(size)
        self._held.setdefault(key, []).append((part, delta, size))
        self._held_size += size

    def _release(self, out: list[Event]) -> None:
        """Tell what was held, until a call is open again."""
        while self._held:
            key = next(iter(self._held))
            pieces = self._held.pop(key)
            self._end_part(out)
            call = next((each for each in self._calls if each.key == key), None)
            self._begin_part(key, pieces[0][0], out, call)
            for _, delta, size in pieces:
                self._room.give_back(size)
                self._held_size -= size
                if delta is not None:
                    self._tell(delta, out)
            if self._waits():
                return

    def _begin_part(self, key: Key, part: Part, out: list[Event], call: _Call | None) -> None:
        self._open = key
        self._open_call = call
        out.append(PartBegun(part, self._index))

    def _tell(self, delta: Delta, out: list[Event]) -> None:
        if self._open_call is not None and not self._open_call.custom:
            self._open_call.arguments.feed(delta.text)
        out.append(delta)

    def _end_part(self, out: list[Event]) -> None:
        if self._open is None:
            return
        if self._open_call is not None:
            self._open_call.ended = True
            self._open_call = None
        self._open = None
        out.append(PartEnded(self._index))


def _is_thought(delta: MessageDoc) -> bool:
    """Whether there is nothing else in it."""
    thought = delta.reasoning_content
    return bool(thought) and delta == MessageDoc(delta.content, reasoning_content=thought)
