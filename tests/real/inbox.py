"""Reading HTTP/1.1 from a socket by hand, so that a test sees what was on the wire, not what a library made of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

BOUND_S = 20.0
"""On waiting for anything that takes well under a second on an idle machine."""

STILL_S = 0.5
"""A peer that takes nothing for so long is one that does not read."""

READ_BYTES = 65_536

Fields = list[tuple[bytes, bytes]]
"""Header names in lower case with their values, in the order in which they came."""


class Cut(Exception):
    """The peer closed or reset the connection in the middle of a message."""


class Inbox:
    """What has come in on a socket and has not been read yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self.trailers: Fields = []
        """Those of the chunked body read last."""

    def line(self) -> bytes:
        """
        :return: the next line without its CRLF.
        :raises Cut: there was no more.
        """
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not self._read():
                raise Cut("in a line")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def fields(self) -> Fields:
        """A header or trailer section with the empty line behind it."""
        found = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            assert colon, line
            assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), line
            found.append((name.lower(), value.strip(b" \t")))
        return found

    def pieces(self, framing: str, length: int = 0) -> Iterator[bytes]:
        """
        A body as it comes.

        :param framing: ``length``, ``chunked``, ``close`` or ``none``.
        :raises Cut: it did not become whole. With ``close`` nobody can tell.
        """
        if framing == "length":
            yield from self._counted(length)
        elif framing == "close":
            while self._buffer or self._read():
                yield self._take(len(self._buffer))
        elif framing == "chunked":
            while size := self._chunk_size():
                yield from self._counted(size)
                if self.line():
                    raise AssertionError("a chunk must be followed by CRLF")
            self.trailers = self.fields()

    def ended(self) -> bool:
        """Wait for the peer to close, with nothing more to read before that."""
        return not self._buffer and not self._read()

    @property
    def unread(self) -> bytes:
        """What has come and belongs to nothing read so far."""
        return bytes(self._buffer)

    def _counted(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer and not self._read():
                raise Cut(f"{size} bytes before the end")
            piece = self._take(size)
            size -= len(piece)
            yield piece

    def _chunk_size(self) -> int:
        line = self.line()
        assert re.fullmatch(rb"[0-9a-fA-F]+", line), line
        return int(line, 16)

    def _take(self, at_most: int) -> bytes:
        piece = bytes(self._buffer[:at_most])
        del self._buffer[:at_most]
        return piece

    def _read(self) -> bool:
        try:
            data = self._sock.recv(READ_BYTES)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)


def first(fields: Fields, name: bytes) -> bytes | None:
    """The first value under that name."""
    return next((value for each, value in fields if each == name), None)
