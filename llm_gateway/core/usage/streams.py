"""The meter of an answer that is a stream of events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llm_gateway.core.estimate import estimate_text
from llm_gateway.core.usage.answers import AnswerReader
from llm_gateway.core.usage.held import HELD_BYTES, Held, in_words_of
from llm_gateway.core.usage.meter import NO_PIECES, Expected, Reading
from llm_gateway.core.usage.scanning import Scan
from llm_gateway.core.usage.values import Usage

__all__ = ["StreamMeter"]

_EVENTS_READ = 24
"""Of those that are dropped when more than ``HELD_BYTES`` came: so many that are spread over them, from which the rest
is inferred, so that a stream costs the same whatever its length. With events of 3 KB and more it is all of them. Those
that are still held at the end are all read."""

_EVENTS_SEEN = 4
"""Of those that came since ``so_far`` was asked last, or that are looked at for the model's name."""

_UNTOLD = 8
"""Events with numbers that do not tell what was written, behind which one is looked for that does: of some servers all
are like that until the last."""

_BYTES_PER_TOKEN = 3
"""For what is looked at while it comes: rather too few, so that a reservation is extended too early and not too late.
English has 4.4, Chinese 3.3, JSON some 3."""


class StreamMeter(Held):
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
                self._end_scan()
            elif cut := _last_blank(self._kept):
                before = self._tokens
                self._take(_lines(self._drop(cut)), sampled=True)
                unseen = max(cut - self._looked, 0) / cut
                self._guessed += max(self._tokens - before, 0.0) * _BYTES_PER_TOKEN * unseen
                self._looked = max(self._looked - cut, 0)
            else:
                self._scan = Scan(self._reader)

    def _end_scan(self) -> None:
        if self._scan is not None and self._scan.told:
            self._tokens = self._guessed = 0.0
        self._scan = None

    def finish(self, whole: bool, expected: Expected = 0, pieces: Mapping[str, int] = NO_PIECES) -> Reading:
        rest = self._drop(len(self._kept))
        if self._scan is not None:
            end = _first_blank(rest) or len(rest)
            self._scan.feed(rest[:end])
            rest = rest[end:]
            self._end_scan()
        # Many a server leaves the blank line behind the last event away. An event that was cut is no JSON.
        self._take(_lines(rest), sampled=False)
        return self._reading(whole, self._tokens, expected, pieces)

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
        said = in_words_of(self._reader.model, self._guessed / _BYTES_PER_TOKEN)
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
        if since and self._reader.final:
            # What follows the last numbers is no text.
            return
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
        numbered = reader.numbered
        while (at := blob.rfind(reader.needle, 0, end)) >= 0:
            before, behind = blob.rfind(b"\n\n", 0, at), blob.find(b"\n\n", at)
            start = before + 2 if before >= 0 else 0
            stop = behind if behind >= 0 else len(blob)
            data = _data(blob[start:stop])
            if reader.cumulative:
                if reader.take(data):
                    return stop
                if reader.numbered - numbered >= _UNTOLD:
                    break
            else:
                taken.append((data, stop))
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
    if kept.endswith((b"\n\n", b"\n\r\n", b"\r\r")):
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
