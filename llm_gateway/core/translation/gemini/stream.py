"""Streamed answers: Google's read, and those for its callers written."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.codec import StreamDecoder, StreamEncoder
from llm_gateway.core.translation.collect import usage_after
from llm_gateway.core.translation.conversation import (
    Audio,
    Finish,
    Inline,
    Opaque,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
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
from llm_gateway.core.translation.gemini.answers import AnswerReader
from llm_gateway.core.translation.gemini.failures import error_document
from llm_gateway.core.translation.gemini.frames import MAX_CHUNK_BYTES, Cutter
from llm_gateway.core.translation.gemini.media import DIALECT
from llm_gateway.core.translation.gemini.said import (
    MAX_PASSAGE,
    Cited,
    finish_fields,
    logprobs_result,
    meta_of,
    thought_signature,
    whole_part,
)
from llm_gateway.core.translation.gemini.sources import written_grounding
from llm_gateway.core.translation.gemini.usage import written_usage
from llm_gateway.core.translation.opaque import sealed
from llm_gateway.core.translation.room import Room, weight
from llm_gateway.errors import UpstreamMalformed

__all__ = ["GeminiStreamDecoder", "GeminiStreamEncoder"]

Object = dict[str, object]

_encode = msgspec.json.Encoder().encode


class GeminiStreamDecoder(StreamDecoder):
    """Reads either form of ``streamGenerateContent``. There is no last event: the bytes end behind a finish reason."""

    def __init__(self, provider: str, max_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._cutter = Cutter(max_chunk_bytes)
        self._reader = AnswerReader(provider)
        self._document = self._reader.document

    def feed(self, data: bytes) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        chunks = self._cutter.feed(data)
        if len(chunks) == 1:
            return self._document(chunks[0])
        told: list[Event] = []
        try:
            for chunk in chunks:
                told += self._reader.document(chunk)
        except UpstreamMalformed as error:
            self.broken = error
            if not told:
                raise
        return told

    def close(self) -> Sequence[Event]:
        if self.broken is not None:
            raise self.broken
        self._cutter.close()
        return self._reader.close()


class GeminiStreamEncoder(StreamEncoder):
    """
    Writes chunks of whole parts: text as it comes, calls when they are whole, as Google does.

    Every chunk has a part: Google's SDKs leave a turn with an empty chunk out of their history.
    """

    def __init__(self, *, sse: bool = True) -> None:
        """
        :param sse: whether the caller asked for ``alt=sse``; else one array is written.
        """
        self._sse = sse
        self._lead = b"["
        self._meta = b"}"
        """The end of each chunk: what is the same in all."""
        self._usage = Usage()
        self._choices: dict[int, _ChoiceWriter] = {}
        self._room = Room()
        self._over = False

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                choice = self._choices.get(event.choice) or self._choice(event.choice)
                text, prefix = event.text, choice.prefix
                if prefix and text:
                    choice.add(text)
                    encoded = _encode(text) if text.isascii() else _escaped(text)
                    if self._sse:
                        out.append(b"data: %b%b%b%b\r\n\r\n" % (prefix, encoded, choice.suffix, self._meta))
                    else:
                        self._put(out, prefix, encoded, choice.suffix, self._meta)
                    if event.citation is None and event.opaque is None and not event.logprobs:
                        continue
                self._more(choice, event, out)
            else:
                self._other(event, out)
        return b"".join(out)

    def _put(self, out: list[bytes], *pieces: bytes) -> None:
        if self._sse:
            out += (b"data: ", *pieces, b"\r\n\r\n")
        else:
            out += (self._lead, *pieces)
            self._lead = b",\r\n"

    def _choice(self, index: int) -> _ChoiceWriter:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _ChoiceWriter(index, self._room)
        return choice

    def _other(self, event: Event, out: list[bytes]) -> None:
        if self._over:
            return
        match event:
            case PartBegun():
                choice = self._choice(event.choice)
                self._put_candidate(out, choice.begin(event.part))
            case PartEnded():
                self._put_candidate(out, self._choice(event.choice).end())
            case Begun():
                meta = meta_of(event.id, event.model, event.created)
                self._meta = b"," + _encode(meta)[1:]
            case UsageSeen():
                self._usage = usage_after(self._usage, event.usage)
            case Finished():
                self._choice(event.choice).finish = event.finish
            case Failed():
                self._over = True
                _status, document = error_document(event.failure, None)
                self._put(out, _encode(document))
                self._close(out)
            case Ended():
                self._over = True
                self._end(out)
                self._close(out)
            case _:
                pass

    def _more(self, choice: _ChoiceWriter, delta: Delta, out: list[bytes]) -> None:
        candidate = choice.more(delta)
        if candidate is not None:
            self._put_candidate(out, candidate)

    def _put_candidate(self, out: list[bytes], candidate: Object | None) -> None:
        if candidate is not None:
            self._put(out, _encode({"candidates": [candidate]})[:-1], self._meta)

    def _end(self, out: list[bytes]) -> None:
        """The last chunk: why each choice ended, and what it cost."""
        document: Object = {}
        if self._choices:
            document["candidates"] = [self._choices[index].last() for index in sorted(self._choices)]
        usage = written_usage(self._usage)
        if usage:
            document["usageMetadata"] = usage
        self._put(out, _encode(document)[:-1], self._meta if document else self._meta[1:])

    def _close(self, out: list[bytes]) -> None:
        if not self._sse:
            out.append(b"]")


def _escaped(text: str) -> bytes:
    # Line ends for Python and for older versions of Google's SDK, which cut server-sent events at them.
    encoded = _encode(text)
    for character, escape in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085")):
        encoded = encoded.replace(character, escape)
    return encoded


class _ChoiceWriter:
    """One candidate so far."""

    def __init__(self, index: int, room: Room) -> None:
        """
        :param room: for what all candidates hold.
        """
        self._index = index
        self._room = room
        self._part: Part | None = None
        self._pieces: list[str] = []
        """Arguments of the call, or base64 of the sound, that is not out yet."""
        self._opaque: Opaque | None = None
        self._cited = Cited()
        self._after_text = False
        """Whether the last part is text that more text would be one with."""
        self._said = False
        self._text_prefix = b'{"candidates":[{"content":{"parts":[{"text":'
        tail = b'],"role":"model"},"index":%d}]' % index
        self._text_suffix = b"}" + tail
        self._thought_suffix = b',"thought":true}' + tail
        self.finish: Finish | None = None
        self.prefix = b""
        """What goes before a piece of text; empty where the part that is open is not text."""
        self.suffix = b""
        self.add = self._cited.add

    def begin(self, part: Part) -> Object | None:
        """
        :return: a candidate with what could only be said once the text before was over.
        """
        self._part = part
        self._opaque = getattr(part, "opaque", None)
        self._pieces.clear()
        if isinstance(part, Text | Refusal):
            self.prefix, self.suffix = self._text_prefix, self._text_suffix
            self._said = True
            self._cited.begin(goes_on=self._after_text)
            self.add = self._cited.add
            return None
        before = None
        if self._cited.spans:
            before = self._candidate({"text": ""}) | self._grounding()
        self._after_text = False
        self._cited.skip()
        if isinstance(part, Audio) and isinstance(part.source, Inline):
            self._pieces.append(part.source.data)
        if isinstance(part, Thinking):
            self.prefix, self.suffix = self._text_prefix, self._thought_suffix
            # Nobody cites thoughts.
            self.add = _drop
        return before

    def more(self, delta: Delta) -> Object | None:
        """
        :param delta: its text is out already if the open part is one of text.
        """
        if self.prefix:
            if delta.citation is not None:
                # It is held until the text is over, and to the end of the answer with the passage that it is of.
                self._room.take(weight(delta) + MAX_PASSAGE)
                self._cited.cite(delta.citation)
            if delta.opaque is not None:
                self._opaque = delta.opaque
        elif isinstance(self._part, ToolCall):
            self._opaque = delta.opaque or self._opaque
            self._room.take(len(delta.text))
            self._pieces.append(delta.text)
        elif isinstance(self._part, Audio):
            return self._sound(self._part, delta.audio)
        if delta.logprobs:
            return self._candidate({"text": ""}) | {"logprobsResult": logprobs_result(delta.logprobs)}
        return None

    def _sound(self, part: Audio, data: str) -> Object | None:
        """Each chunk has whole groups of base64."""
        self._pieces.append(data)
        held = "".join(self._pieces)
        whole = len(held) - len(held) % 4
        self._pieces[:] = [held[whole:]]
        if not whole or not isinstance(part.source, Inline):
            return None
        return self._candidate({"inlineData": {"mimeType": part.source.media_type, "data": held[:whole]}})

    def end(self) -> Object | None:
        """
        :return: a candidate with what is known of the part now that it is whole.
        """
        part, self._part = self._part, None
        self.prefix = self.suffix = b""
        match part:
            case Text() | Refusal():
                self._cited.end()
                self._after_text = self._opaque is None
                if self._opaque is not None:
                    return self._candidate({"text": "", "thoughtSignature": sealed(self._opaque, DIALECT)})
            case Thinking():
                signature = thought_signature(msgspec.structs.replace(part, opaque=self._opaque))
                if signature is not None:
                    return self._candidate({"text": "", "thought": True, "thoughtSignature": signature})
            case ToolCall():
                written = "".join(self._pieces)
                self._room.give_back(len(written))
                arguments = part.arguments + written
                whole = msgspec.structs.replace(part, arguments=arguments, opaque=self._opaque)
                made = whole_part(whole)
                return None if made is None else self._candidate(made)
            case Audio(source=Inline()):
                return self._sound(part, "")
            case None:
                pass
            case _:
                made = whole_part(part)
                return None if made is None else self._candidate(made)
        return None

    def last(self) -> Object:
        """
        :return: the candidate of the last chunk.
        """
        filtered = self.finish is not None and self.finish.stop is Stop.FILTERED
        candidate: Object = {"index": self._index} if filtered and not self._said else self._candidate({"text": ""})
        if self.finish is not None:
            candidate.update(finish_fields(self.finish))
        return candidate | self._grounding()

    def _candidate(self, part: Object) -> Object:
        self._said = True
        return {"content": {"parts": [part], "role": "model"}, "index": self._index}

    def _grounding(self) -> Object:
        spans, self._cited.spans = self._cited.spans, []
        return {"groundingMetadata": written_grounding(spans)} if spans else {}


def _drop(text: str) -> None:
    """Text that nothing is counted in."""
