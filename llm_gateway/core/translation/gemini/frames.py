"""
Chunks of a streamed answer, cut out of the bytes that come: as server-sent events (``alt=sse``), or as one JSON array
that grows.

An error that comes before everything else is a bare object or a list of one, whatever was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_gateway.core.sse import EventStreamParser, EventTooLarge, TruncatedStream
from llm_gateway.errors import UpstreamMalformed

__all__ = ["MAX_CHUNK_BYTES", "ArrayCutter", "Cutter", "EventCutter"]

MAX_CHUNK_BYTES = 33_554_432
"""One chunk. A picture comes whole in one: 4096 x 4096 pixels, the most that Google's models draw, are 22 MB in base64
at one byte for each."""

_IN_STRING = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["{}]')
_BETWEEN = b" \t\r\n[],"


class Cutter:
    """Cuts whichever it is."""

    def __init__(self, max_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._max = max_chunk_bytes
        self._cutter: EventCutter | ArrayCutter | None = None

    def feed(self, data: bytes) -> Sequence[bytes]:
        """
        :return: the chunks, as JSON, that these bytes complete.
        :raises UpstreamMalformed: they are of neither form, or a chunk is too long.
        """
        if self._cutter is None:
            first = data.lstrip()[:1]
            if not first:
                return ()
            self._cutter = ArrayCutter(self._max) if first in (b"[", b"{") else EventCutter(self._max)
        return self._cutter.feed(data)

    def close(self) -> None:
        """
        :raises UpstreamMalformed: the bytes end within a chunk.
        """
        if self._cutter is not None:
            self._cutter.close()


class EventCutter:
    """Server-sent events."""

    def __init__(self, max_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._parser = EventStreamParser(max_chunk_bytes)
        self._between = False
        """Whether the parser has seen the beginning of the stream and is inside no event."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        if self._between:
            pieces = _whole_events(data)
            if pieces is not None:
                return pieces
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            raise _too_long() from error
        self._between = data.endswith((b"\n\n", b"\r\n\r\n"))
        return [event.data.encode() for event in events]

    def close(self) -> None:
        try:
            self._parser.close()
        except TruncatedStream:
            raise _truncated() from None


def _whole_events(data: bytes) -> Sequence[bytes] | None:
    """
    :return: the data of events of one line each, all of them whole and named by nothing, as Google sends them; ``None``
        where there is anything else, which the parser knows how to read.
    """
    if data[:6] != b"data: " or data[-4:] != b"\r\n\r\n":
        return None
    length = len(data)
    if data.find(b"\r") == length - 4 and data.find(b"\n") == length - 3:
        return (data[6:-4],)
    pieces = data[6:-4].split(b"\r\n\r\ndata: ")
    count = 2 * len(pieces)
    return pieces if data.count(b"\n") == count and data.count(b"\r") == count else None


class ArrayCutter:
    """Objects, in an array or not."""

    def __init__(self, max_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._max = max_chunk_bytes
        self._pieces: list[bytes] = []
        """Of the object that is open."""
        self._bytes = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, data: bytes) -> Sequence[bytes]:
        found: list[bytes] = []
        at = begun = 0
        if self._escaped:
            at = 1
            self._escaped = False
        while token := (_IN_STRING if self._in_string else _OUTSIDE).search(data, at):
            character = token[0]
            if not self._depth and (character != b"{" or data[at : token.start()].strip(_BETWEEN)):
                raise _neither()
            at = token.end()
            if character == b'"':
                self._in_string = not self._in_string
            elif character == b"\\":
                # Whatever comes next belongs to it.
                self._escaped = at >= len(data)
                at += 1
            elif character == b"{":
                if not self._depth:
                    begun = token.start()
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    found.append(b"".join((*self._pieces, data[begun:at])))
                    self._pieces.clear()
                    self._bytes = 0
        if self._depth:
            self._pieces.append(data[begun:])
            self._bytes += len(data) - begun
            if self._bytes > self._max:
                raise _too_long()
        elif data[at:].strip(_BETWEEN):
            raise _neither()
        return found

    def close(self) -> None:
        if self._depth:
            raise _truncated()


def _too_long() -> UpstreamMalformed:
    return UpstreamMalformed(f"A chunk of the provider's stream is longer than {MAX_CHUNK_BYTES} bytes.")


def _truncated() -> UpstreamMalformed:
    return UpstreamMalformed("The provider's stream ended within a chunk.")


def _neither() -> UpstreamMalformed:
    return UpstreamMalformed("The provider's stream is neither one of events nor an array of objects.")
