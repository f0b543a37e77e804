"""What may be passed on of an answer as it comes, so that it can still be ended well if the rest never comes."""

from __future__ import annotations

from typing import Protocol

MAX_HELD_BYTES = 65_536
"""How much of an unfinished event is held. Whole events of today's providers are under 20 KB except for images, which
are passed on in pieces instead; with the socket buffers of both sides this stays well under 256 KiB per stream."""

_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r")
"""How an event ends, the two line ends of the blank line being any of LF, CRLF and CR. Where a CR ends it, an LF may be
on its way that belongs to it: that LF may then lead the next piece without harm."""


class Framing(Protocol):
    """Decides what of the bytes that came goes out now."""

    inside: bool
    """Whether what went out ends within something that the client cannot use without its rest."""

    def feed(self, piece: bytes) -> bytes:
        """
        :return: what goes out now; joined over all calls and ``rest``, exactly the bytes that were fed.
        """

    def rest(self) -> bytes:
        """What is still held, once no more will come."""


class Unframed:
    """Bytes without a structure that we know: all goes out as it comes."""

    __slots__ = ("inside",)

    def __init__(self) -> None:
        self.inside = False

    def feed(self, piece: bytes) -> bytes:
        self.inside = True
        return piece

    def rest(self) -> bytes:
        return b""


class WholeEvents:
    """
    A server-sent event stream, passed on event by event.

    No client can use half an event, so holding the half costs nobody anything, and when the provider breaks off in the
    middle of one, an error event can follow that every client understands.
    """

    __slots__ = ("_held", "_max_held_bytes", "inside")

    def __init__(self, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        """
        :param max_held_bytes: a longer event is passed on in pieces.
        """
        self._held = bytearray()
        self._max_held_bytes = max_held_bytes
        self.inside = False

    def feed(self, piece: bytes) -> bytes:
        if not self._held and piece.endswith(_BLANK_LINES):
            # By far the most common case: providers write whole events.
            self.inside = False
            return piece
        # A blank line may have begun in what was searched before: three bytes of it at most.
        searched = max(0, len(self._held) - 3)
        self._held += piece
        cut = max(
            (at + len(blank) for blank in _BLANK_LINES if (at := self._held.rfind(blank, searched)) >= 0), default=0
        )
        if cut:
            self.inside = False
        elif self.inside or len(self._held) > self._max_held_bytes:
            self.inside = True
            cut = len(self._held)
        passed = bytes(self._held[:cut])
        del self._held[:cut]
        return passed

    def rest(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held
