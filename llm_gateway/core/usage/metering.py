"""
A side look at one answer: what it says that was used, and an estimate where it does not come to say it.

Nothing of the answer is changed or delayed. Its bytes are put aside, ``HELD_BYTES`` at most, and looked at only when
there are more of them or the answer is over: the numbers are at the end, and of most streams one event in a hundred is
ever parsed.

The rule for an answer that ends early, and for one without numbers: what was read is the provider's number if it had
come, else what the gateway expected before the call; what was written is the provider's last number and an estimate of
the text that came whole behind it, whether or not the client read it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from llm_gateway.core.apis import COUNTS, Api
from llm_gateway.core.estimate import estimate_text, vocabulary_factor
from llm_gateway.core.usage.answers import AnswerReader, GeminiReader, MessagesReader, OpenAIReader
from llm_gateway.core.usage.scanning import Scan
from llm_gateway.core.usage.values import NOTHING, Source, Usage

__all__ = ["HELD_BYTES", "Meter", "Reading", "meter_for"]

HELD_BYTES = 65_536
"""Of an answer, and of the piece that was over it. Most answers are shorter, and read once, at their end."""

_EVENTS_READ = 32
"""Of those that are dropped when more than ``HELD_BYTES`` came: so many that are spread over them, from which the rest
is inferred, so that a stream costs the same whatever its length. With events of 2 KB and more it is all of them. Those
that are still held at the end are all read."""

_EVENTS_SEEN = 4
"""Of those that came since ``so_far`` was asked last, or that are looked at for the model's name."""

_BYTES_PER_TOKEN = 3
"""For what is looked at while it comes: rather too few, so that a reservation is extended too early and not too late.
English has 4.4, Chinese 3.3, JSON some 3."""


class Reading(msgspec.Struct, frozen=True):
    """What one attempt used."""

    usage: Usage
    source: Source
    model: str | None = None
    """As the answer names it."""


class Meter(ABC):
    """Of one answer."""

    output_bytes: int
    """That came, of the body as the provider sent it."""

    @abstractmethod
    def feed(self, piece: bytes) -> None:
        """
        :param piece: what came next of the body, cut anywhere.
        """

    @abstractmethod
    def so_far(self) -> Usage:
        """
        What was used until now, estimated in a few microseconds and rather too high: for a reservation to be extended
        by. The input is 0 until the provider has told it.
        """

    @abstractmethod
    def finish(self, whole: bool, input_estimate: int = 0) -> Reading:
        """
        No more will come. Called once.

        :param whole: whether the answer came to its own end.
        :param input_estimate: tokens that the gateway expects to have been read.
        """


class Uncounted(Meter):
    """Of what nobody bills: lists of models, counts of tokens, whatever is asked for without ``POST``."""

    __slots__ = ("output_bytes",)

    def __init__(self) -> None:
        self.output_bytes = 0

    def feed(self, piece: bytes) -> None:
        self.output_bytes += len(piece)

    def so_far(self) -> Usage:
        return NOTHING

    def finish(self, whole: bool, input_estimate: int = 0) -> Reading:
        return Reading(NOTHING, Source.NONE)


class _Held(Meter):
    """What documents and streams have in common."""

    __slots__ = ("_billed", "_dropped", "_kept", "_reader", "_scan")

    def __init__(self, reader: AnswerReader, billed: bool) -> None:
        """
        :param billed: whether it is of an operation that is billed, even if the answer should not say so.
        """
        self._reader = reader
        self._billed = billed
        self._kept = bytearray()
        self._dropped = 0
        self._scan: Scan | None = None
        """Of a document, or an event, that is too long to be held."""

    def feed(self, piece: bytes) -> None:
        kept = self._kept
        kept += piece
        if len(kept) > HELD_BYTES:
            self._fold()

    @abstractmethod
    def _fold(self) -> None:
        """Look at what is held and drop it, but for what is not whole."""

    @property
    def output_bytes(self) -> int:  # type: ignore[override]  # read only
        return self._dropped + len(self._kept)

    def _drop(self, size: int) -> bytes:
        dropped = bytes(self._kept[:size])
        del self._kept[:size]
        self._dropped += size
        return dropped

    def _reading(self, whole: bool, input_estimate: int, tokens: float) -> Reading:
        """
        :param tokens: estimated in the common vocabulary, of all text that came behind the numbers.
        """
        reader = self._reader
        said = _in_words_of(reader.model, tokens)
        counted = reader.counted()
        if counted is None:
            if not said and (reader.failed or not self._billed):
                return Reading(NOTHING, Source.NONE, reader.model)
            return Reading(Usage(input=input_estimate, output=said, tier=reader.tier), Source.ESTIMATED, reader.model)
        usage = counted.usage
        if not said and counted.has_input and (whole or (counted.has_output and reader.final)):
            return Reading(usage, Source.PROVIDER, reader.model)
        if not counted.has_input and usage.pieces and not said:
            # Sound is billed by the second, and all that there is to know of it is how many there were.
            return Reading(usage, Source.PROVIDER, reader.model)
        more = said if counted.has_output else max(said - usage.output_tokens, 0)
        usage = msgspec.structs.replace(
            usage, input=usage.input if counted.has_input else input_estimate, output=usage.output + more
        )
        return Reading(usage, Source.PARTLY, reader.model)


def _in_words_of(model: str | None, tokens: float) -> int:
    return math.ceil(tokens * vocabulary_factor(model or "")) if tokens else 0


class DocumentMeter(_Held):
    """Of a JSON document."""

    __slots__ = ()

    def _fold(self) -> None:
        if self._scan is None:
            self._scan = Scan(self._reader)
        self._scan.feed(self._drop(len(self._kept)))

    def so_far(self) -> Usage:
        return Usage(output=self.output_bytes // _BYTES_PER_TOKEN)

    def finish(self, whole: bool, input_estimate: int = 0) -> Reading:
        reader, scan = self._reader, self._scan
        body = self._drop(len(self._kept))
        tokens = 0.0
        if scan is None:
            told = reader.take(body)
            if told is None:
                # Cut, or no JSON at all.
                scan = Scan(reader, exact=True)
            elif not told:
                tokens = estimate_text(reader.said(body))
        if scan is not None:
            scan.feed(body)
            counted = reader.counted()
            tokens = 0.0 if counted is not None and counted.has_output else scan.tokens
        return self._reading(whole, input_estimate, tokens)


class StreamMeter(_Held):
    """Of a stream of events."""

    __slots__ = ("_guessed", "_looked", "_tokens")

    def __init__(self, reader: AnswerReader, billed: bool) -> None:
        super().__init__(reader, billed)
        self._tokens = 0.0
        """Estimated, of the text that came behind the numbers and is no longer held."""
        self._looked = 0
        """How much of what is held ``so_far`` has seen."""
        self._guessed = 0.0
        """Bytes of text behind the numbers, as far as it has."""

    def _fold(self) -> None:
        while len(self._kept) > HELD_BYTES:
            if self._scan is not None:
                end = _first_blank(self._kept)
                # The blank line may have begun.
                self._scan.feed(self._drop(end or len(self._kept) - 3))
                if not end:
                    return
                self._scan = None
            elif cut := _last_blank(self._kept):
                before = self._tokens
                self._take(_lines(self._drop(cut)), sampled=True)
                unseen = max(cut - self._looked, 0) / cut
                self._guessed += max(self._tokens - before, 0.0) * _BYTES_PER_TOKEN * unseen
                self._looked = max(self._looked - cut, 0)
            else:
                self._scan = Scan(self._reader)

    def finish(self, whole: bool, input_estimate: int = 0) -> Reading:
        rest = self._drop(len(self._kept))
        if self._scan is not None:
            end = _first_blank(rest) or len(rest)
            self._scan.feed(rest[:end])
            rest = rest[end:]
        # Many a server leaves the blank line behind the last event away. An event that was cut is no JSON.
        self._take(_lines(rest), sampled=False)
        return self._reading(whole, input_estimate, self._tokens)

    def so_far(self) -> Usage:
        end = _last_blank(self._kept)
        if self._scan is None and end > self._looked:
            blob = _lines(bytes(self._kept[self._looked : end]))
            self._looked = end
            since = self._numbers(blob)
            if since:
                self._guessed = 0.0
            text, times = self._sample(blob[since:], _EVENTS_SEEN)
            self._guessed += len(text.encode("utf-8", "replace")) * times
        counted = self._reader.counted()
        said = _in_words_of(self._reader.model, self._guessed / _BYTES_PER_TOKEN)
        if counted is None:
            return Usage(output=said, tier=self._reader.tier)
        usage = counted.usage
        more = said if counted.has_output else max(said - usage.output_tokens, 0)
        return msgspec.structs.replace(usage, output=usage.output + more)

    def _take(self, blob: bytes, *, sampled: bool) -> None:
        """
        :param blob: events, with line feeds alone.
        """
        since = self._numbers(blob)
        if since:
            self._tokens = 0.0
        if self._reader.model is None:
            self._name(blob)
        text, times = self._sample(blob[since:], _EVENTS_READ) if sampled else (self._all(blob[since:]), 1.0)
        if text:
            self._tokens += estimate_text(text) * times

    def _numbers(self, blob: bytes) -> int:
        """
        :return: where the text begins that the numbers do not count; 0 if none came.
        """
        reader = self._reader
        taken: list[tuple[bytes, int]] = []
        end = len(blob)
        while (at := blob.rfind(reader.needle, 0, end)) >= 0:
            before, behind = blob.rfind(b"\n\n", 0, at), blob.find(b"\n\n", at)
            start = before + 2 if before >= 0 else 0
            stop = behind if behind >= 0 else len(blob)
            data = _data(blob[start:stop])
            if not reader.cumulative:
                taken.append((data, stop))
            elif reader.take(data):
                return stop
            end = start
        since = 0
        for data, stop in reversed(taken):
            if reader.take(data):
                since = stop
        return since

    def _name(self, blob: bytes) -> None:
        at = 0
        for _ in range(_EVENTS_SEEN):
            end = blob.find(b"\n\n", at)
            if end < 0 or self._reader.model is not None:
                return
            data = _data(blob[at:end])
            if data:
                self._reader.name(data)
            at = end + 2

    def _sample(self, blob: bytes, most: int) -> tuple[str, float]:
        """
        :param most: how many events are read, spread evenly over the bytes.
        :return: their text, and how many times that all text is.
        """
        size = len(blob)
        said = self._reader.said
        texts: list[str] = []
        read = at = 0
        step = size / most
        for number in range(most):
            start = int(number * step)
            if start > at:
                at = blob.find(b"\n\n", start) + 2
                if at == 1:
                    break
            end = blob.find(b"\n\n", at)
            if end < 0:
                break
            data = _data(blob[at:end])
            if data:
                texts.append(said(data))
            end += 2
            read += end - at
            at = end
        return "".join(texts), size / read if read else 1.0

    def _all(self, blob: bytes) -> str:
        said = self._reader.said
        return "".join([said(data) for event in blob.split(b"\n\n") if (data := _data(event))])


_BLANKS = (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r")


def _last_blank(kept: bytearray) -> int:
    """:return: where the last whole event ends; 0 if there is none."""
    if kept.endswith(b"\n\n"):
        return len(kept)
    return max((at + len(blank) for blank in _BLANKS if (at := kept.rfind(blank)) >= 0), default=0)


def _first_blank(kept: bytes | bytearray) -> int:
    return min((at + len(blank) for blank in _BLANKS if (at := kept.find(blank)) >= 0), default=0)


def _lines(blob: bytes) -> bytes:
    """:return: the same with line feeds for all ends of lines, as nearly all have it already."""
    if b"\r" in blob:
        return blob.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return blob


def _data(event: bytes) -> bytes:
    """:return: its data, with a space before it, which JSON does not mind."""
    at = 0
    if event[:5] != b"data:":
        at = event.find(b"\ndata:") + 1
        if not at:
            return b""
    end = event.find(b"\n", at)
    if end < 0:
        return event[at + 5 :]
    if event.find(b"\ndata:", end) < 0:
        return event[at + 5 : end]
    return b"\n".join([line[5:] for line in event.split(b"\n") if line.startswith(b"data:")])


_READERS: dict[str, Callable[[], AnswerReader]] = {
    "openai": OpenAIReader,
    "anthropic": MessagesReader,
    "gemini": GeminiReader,
}


def meter_for(
    dialect: str, api: Api, stream: bool, encoded: bool = False, *, method: bytes = b"POST", path: bytes = b""
) -> Meter:
    """
    :param dialect: the one that the provider was asked in.
    :param api: what was asked for.
    :param stream: whether the answer is a stream of events.
    :param encoded: whether it is compressed.
    :param path: the provider's or ours, without the query; it tells more of what ``api`` calls other.
    """
    if method != b"POST" or api in COUNTS or api is Api.MODELS:
        return Uncounted()
    reader = _READERS.get(dialect, OpenAIReader)()
    meter: Meter = StreamMeter(reader, True) if stream else DocumentMeter(reader, True)
    return meter
