"""Server-sent events, read piece by piece as the network brings them.

Source: the WHATWG HTML standard, "Parsing an event stream" and "Interpreting an event stream" (section 9.2).
"""

from __future__ import annotations

import msgspec

__all__ = ["Event", "EventStreamError", "EventStreamParser", "EventTooLarge", "TruncatedStream"]

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event that the stream dispatched."""

    event: str
    """Its type; ``message`` where the stream names none."""
    data: str
    """Its data lines, joined by ``\\n``."""
    id: str | None = None
    """The last id that the stream has set, on this event or an earlier one; None before the first."""


class EventStreamError(Exception):
    """A stream of events that cannot be read on."""


class TruncatedStream(EventStreamError):
    """The stream ended inside an event. What was complete has been returned; the open event is lost."""


class EventTooLarge(EventStreamError):
    """One event, or one line, is longer than the reader is willing to hold."""

    def __init__(self, max_event_bytes: int, events: tuple[Event, ...]) -> None:
        """
        :param max_event_bytes: the limit that was crossed.
        :param events: the complete events that came before, in the same piece of the stream.
        """
        super().__init__(f"an event is longer than {max_event_bytes} bytes")
        self.events = events


class EventStreamParser:
    """
    Cut a byte stream into events. How the bytes are split over calls changes nothing about the events.

    It holds at most ``max_event_bytes`` of one event. Bytes are searched for a line end once, when they come.
    """

    def __init__(self, max_event_bytes: int = 1_048_576) -> None:
        """
        :param max_event_bytes: bytes of one event's lines without their ends; the default is room for the largest
            events seen, a whole Responses object with its tools repeated in ``response.completed``, some 20 times over.
        """
        self._max = max_event_bytes
        self._line: list[bytes] = []
        """The pieces of a line whose end has not come."""
        self._line_bytes = 0
        self._event_bytes = 0
        """Bytes of the open event's complete lines, comments apart: those are not kept."""
        self._at_start = True
        self._after_cr = False
        self._type = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._failed = False
        self._between = False
        """Whether the stream is between two events, and what comes next begins one."""

    def feed(self, chunk: bytes) -> list[Event]:
        """
        :param chunk: the next bytes, cut anywhere.
        :return: the events that these bytes completed, in order.
        :raises EventTooLarge: the open event is over the limit. The parser is of no use afterwards.
        """
        if self._failed:
            raise EventTooLarge(self._max, ())
        if not chunk:
            return []
        if self._between and chunk[-2:] == b"\n\n" and chunk.find(b"\r") < 0 and len(chunk) <= self._max:
            return self._take_whole(chunk)
        if self._after_cr and chunk.startswith(b"\n"):
            # The second half of a CR LF; the line was taken at its CR, so that no event waits for a byte that may
            # never come.
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        events: list[Event] = []
        self._take_lines(chunk, events)
        self._between = not (self._line or self._data or self._type or self._event_bytes or self._after_cr)
        return events

    def _take_whole(self, chunk: bytes) -> list[Event]:
        """Whole events in the form in which nearly all come: read in a few steps each rather than line by line."""
        kind, start, end = "message", 0, len(chunk) - 2
        if chunk[:7] == b"event: ":
            start = chunk.find(b"\n") + 1
            kind = chunk[7 : start - 1].decode("utf-8", "replace") or "message"
        if chunk[start : start + 6] == b"data: " and chunk.find(b"\n", start) == end:
            # One at a time, at a model's pace.
            return [Event(kind, chunk[start + 6 : end].decode("utf-8", "replace"), self._id)]
        events: list[Event] = []
        lines = chunk.split(b"\n")
        at = 0
        last = len(lines) - 1
        while at < last:
            head = lines[at]
            data = lines[at + 1]
            if head[:7] == b"event: " and data[:6] == b"data: " and not lines[at + 2]:
                kind = head[7:].decode("utf-8", "replace") or "message"
                events.append(Event(kind, data[6:].decode("utf-8", "replace"), self._id))
                at += 3
            elif head[:6] == b"data: " and not data:
                events.append(Event("message", head[6:].decode("utf-8", "replace"), self._id))
                at += 2
            else:
                end = lines.index(b"", at) + 1
                self._take_lines(b"\n".join(lines[at:end]) + b"\n", events)
                at = end
        return events

    def _take_lines(self, chunk: bytes, events: list[Event]) -> None:
        # bytes.splitlines ends lines at CR, LF and CR LF only, which is exactly the standard's set, and at C speed.
        for piece in chunk.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            self._line_bytes += len(line)
            if self._event_bytes + self._line_bytes > self._max:
                self._failed = True
                raise EventTooLarge(self._max, tuple(events))
            if len(line) == len(piece):
                self._line.append(piece)
                break
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)
                self._line.clear()
            self._take_line(line, events)
            self._line_bytes = 0

    def close(self) -> None:
        """
        Say that the stream has ended.

        :raises TruncatedStream: it ended inside a line or before the empty line that completes an event. A comment
            that was cut does not count: nothing of the stream is lost with it.
        """
        line = b"".join(self._line)
        if self._at_start:
            line = line.removeprefix(_BOM)
        if self._data or self._type or (line and not line.startswith(b":")):
            raise TruncatedStream("the stream ended inside an event")

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(Event(self._type or "message", "\n".join(self._data), self._id))
            self._type = ""
            self._data = []
            self._event_bytes = 0
            return
        if line.startswith(b":"):
            return
        self._event_bytes += self._line_bytes
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        # A whole line is decoded at once: no line end can lie inside a UTF-8 sequence.
        if name == b"data":
            self._data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        # "retry" is for clients that reconnect by themselves; unknown fields are to be ignored.
