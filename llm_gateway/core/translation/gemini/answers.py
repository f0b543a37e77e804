"""
Google's answers, read: a whole one is read as a stream of one chunk, so that both come to the same.

A chunk has whole parts, and text goes on from chunk to chunk without saying so: texts that follow each other are one,
and so are thoughts. A signature ends the part that it is on, for parts with signatures must not be joined with others.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from hashlib import blake2b

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Document,
    Finish,
    Foreign,
    Image,
    Inline,
    Opaque,
    Part,
    Source,
    Stop,
    Text,
    Thinking,
    ToolCall,
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
from llm_gateway.core.translation.gemini.documents import ABSENT, Answered, Candidate, answered, leniently, raw_part
from llm_gateway.core.translation.gemini.documents import Part as WirePart
from llm_gateway.core.translation.gemini.failures import failure_in
from llm_gateway.core.translation.gemini.finish import finish_of
from llm_gateway.core.translation.gemini.media import (
    DIALECT,
    DOCUMENT_TYPES,
    guessed_type,
    source_of_uri,
    standard_base64,
)
from llm_gateway.core.translation.gemini.parts import MADE_UP, arguments_text
from llm_gateway.core.translation.gemini.sources import Span, Spoken, logprobs_of, spans_of
from llm_gateway.core.translation.gemini.usage import UsageMetadata, usage_of
from llm_gateway.errors import UpstreamMalformed

__all__ = ["AnswerReader", "read_answer"]

MAX_CHOICES = 64
"""Google makes eight at most."""

_usage = msgspec.json.Decoder(UsageMetadata).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def malformed() -> UpstreamMalformed:
    return UpstreamMalformed("The provider's answer is not one of generateContent.")


def read_answer(body: bytes, provider: str) -> Answer:
    """
    :raises UpstreamMalformed: it is not an answer.
    """
    reader = AnswerReader(provider)
    events = reader.document(body)
    if reader.failed:
        raise malformed()
    reader.expect_answer()
    return collect([*events, *reader.close()])


class AnswerReader:
    """Makes events of one answer's chunks."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._begun = False
        self._base = b""
        """What the ids of calls are made from where Google gives none."""
        self._choices: dict[int, _ChoiceReader] = {}
        self._usage = self._said_usage = ABSENT
        self._blocked: Finish | None = None
        self.failed = False
        self.closed = False

    def expect_answer(self) -> None:
        """
        The whole answer was read: say so where nothing in it answers, as happens now and then.

        :raises UpstreamMalformed: it was no answer at all.
        """
        if self._choices or self._blocked is not None:
            return
        if self._usage == ABSENT:
            raise UpstreamMalformed("The provider's answer has neither a candidate nor a reason why there is none.")
        self._blocked = Finish(Stop.OTHER)

    def document(self, body: bytes) -> list[Event]:
        """
        :param body: one chunk.
        :return: what it brings.
        :raises UpstreamMalformed: it is none.
        """
        out: list[Event] = []
        try:
            try:
                chunk = answered(body)
            except msgspec.DecodeError:
                body = mended(body)
                chunk = answered(body)
            # What is not there is this very object.
            if chunk.usage_metadata is not ABSENT:
                self._usage = chunk.usage_metadata
            if not self._begun or chunk.error is not ABSENT:
                self._begin(chunk, body, out)
            if self.failed or self.closed:
                return out
            if chunk.candidates:
                for place, candidate in enumerate(chunk.candidates):
                    self._candidate(candidate, place, body, out)
            if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
                self._blocked = Finish(Stop.FILTERED, detail=chunk.prompt_feedback.block_reason)
        except _BROKEN:
            if body == b"[DONE]":
                # Google's streams have no such end; those of servers that speak OpenAI's dialect as well may.
                return out
            raise malformed() from None
        return out

    def close(self) -> list[Event]:
        """
        :return: what is left; :class:`Ended` last if every choice came to its end.
        """
        if self.failed or self.closed:
            return []
        self.closed = True
        out: list[Event] = []
        if self._blocked is not None and not self._choices:
            self._choices[0] = _ChoiceReader(0, self._provider, self._blocked)
        for index in sorted(self._choices):
            self._choices[index].close(out)
        self._add_usage(out)
        if self._choices and all(choice.finish is not None for choice in self._choices.values()):
            out.append(Ended())
        return out

    def _begin(self, chunk: Answered, body: bytes, out: list[Event]) -> None:
        if self.failed or self.closed:
            return
        if chunk.error != ABSENT:
            self.failed = True
            out.append(Failed(failure_in(chunk.error, None)))
            return
        if self._begun:
            return
        self._begun = True
        answer_id = chunk.response_id or "gw-" + blake2b(body, digest_size=12).hexdigest()
        self._base = answer_id.encode()
        out.append(Begun(answer_id, chunk.model_version or "", _seconds(chunk.create_time)))
        # Some dialects say at once how long the prompt was; the rest of the numbers is worth saying once, at the end.
        self._add_usage(out)

    def _add_usage(self, out: list[Event]) -> None:
        if self._usage is self._said_usage:
            return
        self._said_usage = self._usage
        counts = leniently(_usage, self._usage)
        if counts is not None:
            out.append(UsageSeen(usage_of(counts)))

    def _candidate(self, candidate: Candidate, place: int, body: bytes, out: list[Event]) -> None:
        index = candidate.index or 0
        choice = self._choices.get(index)
        if choice is None:
            if not 0 <= index < MAX_CHOICES:
                raise malformed()
            choice = self._choices[index] = _ChoiceReader(index, self._provider)
        content = candidate.content
        parts = None if content is None else content.parts
        if (
            parts
            and len(parts) == 1
            and candidate.grounding_metadata is ABSENT
            and candidate.citation_metadata is ABSENT
            and candidate.logprobs_result is ABSENT
        ):
            choice.part(parts[0], self._base, (body, place, 0), out)
        else:
            choice.parts(candidate, parts or [], self._base, (body, place), out)
        if candidate.finish_reason is not None:
            choice.reason = candidate.finish_reason


class _ChoiceReader:
    """One candidate so far."""

    def __init__(self, index: int, provider: str, finish: Finish | None = None) -> None:
        self._index = index
        self._provider = provider
        self._kind = ""
        """Of the part that is open: ``text``, ``thinking``, ``audio`` with its media type, or none."""
        self._calls = 0
        self._spoken = Spoken()
        self._sound = b""
        """The bytes of an audio part that make no whole group of base64 yet: two at most."""
        self.reason: str | None = None
        self.finish = finish

    def part(self, part: WirePart, base: bytes, where: tuple[bytes, int, int], out: list[Event]) -> None:
        """
        :param where: the chunk, and the places of candidate and part in it.
        """
        text = part.text
        if text is not None:
            kind = "thinking" if part.thought else "text"
            signature = part.thought_signature
            if self._kind != kind:
                if not text and signature is None:
                    return
                self._begin(Thinking(summary=True) if part.thought else Text(""), kind, out)
            if text:
                out.append(Delta(text, self._index))
                self._spoken.add(text)
            if signature is not None:
                self._sign(signature, out)
        elif part.function_call is not None:
            self._call(part, base, out)
        elif part.inline_data is not None:
            media_type = part.inline_data.mime_type
            if media_type.startswith("audio/"):
                self._audio(media_type, part.inline_data.data, out)
            else:
                source = Inline(media_type, standard_base64(part.inline_data.data))
                self._medium(source, media_type, part.inline_data.display_name, where, out)
        elif part.file_data is not None:
            uri = part.file_data.file_uri
            media_type = part.file_data.mime_type or guessed_type(uri) or ""
            self._medium(source_of_uri(uri, media_type or None), media_type, part.file_data.display_name, where, out)
        else:
            self._other(part, where, out)

    def parts(
        self, candidate: Candidate, parts: list[WirePart], base: bytes, where: tuple[bytes, int], out: list[Event]
    ) -> None:
        """Several at once, or one with what belongs to its text."""
        spans = spans_of(candidate)
        logprobs = logprobs_of(candidate)
        texts = [at for at, part in enumerate(parts) if part.text is not None and not part.thought]
        last_text = max((at for at in texts if parts[at].text), default=max(texts, default=-1))
        for at, part in enumerate(parts):
            self.part(part, base, (*where, at), out)
            if self._kind == "text":
                if logprobs and at == last_text:
                    out.append(Delta(choice=self._index, logprobs=logprobs))
                    logprobs = ()
                spans = self._cite(spans, None if len(parts) == 1 else at, at == last_text, out)
        if self._kind == "text":
            if logprobs:
                out.append(Delta(choice=self._index, logprobs=logprobs))
            self._cite(spans, None, True, out)

    def _cite(self, spans: list[Span], at: int | None, last: bool, out: list[Event]) -> list[Span]:
        """
        :param at: which part of the content the text that is open comes from; ``None`` where that is not known: in a
            stream, the parts of a chunk are not those of the content.
        :param last: whether no other text comes: all that is left is about this one, then.
        :return: the passages that are of other texts.
        """
        left = []
        for span in spans:
            mine = at is not None and span.part == at
            told = span.text is None
            if (self._spoken.has(span) and (mine or last or at is None)) or (told and (mine or last)):
                out.append(Delta(choice=self._index, citation=self._spoken.cited(span)))
            elif last:
                # It is of a text that is over: its place would be wrong in this one.
                out.append(Delta(choice=self._index, citation=span.citation))
            else:
                left.append(span)
        return left

    def close(self, out: list[Event]) -> None:
        self._end(out)
        if self.reason is not None:
            self.finish = finish_of(self.reason, calls=self._calls > 0)
        if self.finish is not None:
            out.append(Finished(self.finish, self._index))

    def _begin(self, part: Part, kind: str, out: list[Event]) -> None:
        self._end(out)
        self._kind = kind
        if kind == "text":
            self._spoken = Spoken()
        out.append(PartBegun(part, self._index))

    def _end(self, out: list[Event]) -> None:
        if not self._kind:
            return
        if self._sound:
            out.append(Delta(choice=self._index, audio=base64.b64encode(self._sound).decode("ascii")))
            self._sound = b""
        self._kind = ""
        out.append(PartEnded(self._index))

    def _whole(self, part: Part, out: list[Event]) -> None:
        self._begin(part, "whole", out)
        self._end(out)

    def _sign(self, signature: str, out: list[Event]) -> None:
        out.append(Delta(choice=self._index, opaque=Opaque(DIALECT, self._provider, signature)))
        self._end(out)

    def _call(self, part: WirePart, base: bytes, out: list[Event]) -> None:
        call = part.function_call
        assert call is not None
        arguments = "{}" if call.args == ABSENT else arguments_text(call.args)
        if not arguments.startswith("{"):
            raise malformed()
        digest = blake2b(b"%b/%d/%d" % (base, self._index, self._calls), digest_size=10)
        self._calls += 1
        signature = part.thought_signature
        opaque = None if signature is None else Opaque(DIALECT, self._provider, signature)
        begun = ToolCall(call.id or MADE_UP + digest.hexdigest(), call.name, "", opaque)
        self._begin(begun, "call", out)
        out.append(Delta(arguments, self._index))
        self._end(out)

    def _audio(self, media_type: str, data: str, out: list[Event]) -> None:
        if self._kind != media_type:
            self._begin(Audio(Inline(media_type, "")), media_type, out)
        try:
            sound = self._sound + base64.b64decode(standard_base64(data), validate=True)
        except (binascii.Error, ValueError):
            raise malformed() from None
        # What was encoded in pieces has padding in between that must not be there in the whole.
        whole = len(sound) - len(sound) % 3
        self._sound = sound[whole:]
        if whole:
            out.append(Delta(choice=self._index, audio=base64.b64encode(sound[:whole]).decode("ascii")))

    def _medium(
        self, source: Source, media_type: str, name: str | None, where: tuple[bytes, int, int], out: list[Event]
    ) -> None:
        if media_type.startswith("image/"):
            self._whole(Image(source), out)
        elif media_type.startswith("audio/"):
            self._whole(Audio(source), out)
        elif media_type.startswith(DOCUMENT_TYPES):
            self._whole(Document(source, name), out)
        else:
            kind = "inlineData" if isinstance(source, Inline) else "fileData"
            self._whole(Foreign(DIALECT, kind, _raw(where)), out)

    def _other(self, part: WirePart, where: tuple[bytes, int, int], out: list[Event]) -> None:
        found = raw_part(*where)
        kind = next((name for name in found if name not in ("thought", "thoughtSignature", "partMetadata")), None)
        if kind is not None:
            self._whole(Foreign(DIALECT, kind, msgspec.Raw(msgspec.json.encode(found))), out)
        elif part.thought_signature is not None:
            if self._kind not in ("text", "thinking"):
                self._begin(Thinking(summary=True) if part.thought else Text(""), "text", out)
            self._sign(part.thought_signature, out)


def _raw(where: tuple[bytes, int, int]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(raw_part(*where)))


def _seconds(time: str | None) -> int | None:
    if time is None:
        return None
    try:
        return int(msgspec.convert(time, datetime).timestamp())
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None
