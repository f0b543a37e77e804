"""The request's body on its way to the provider."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

from twisted.web.client import FileBodyProducer
from twisted.web.iweb import IBodyProducer

CHUNK_BYTES = 65_536
"""Read from a spooled body at a time: as much as Twisted's transports take before they ask for a pause."""


def spooled_body(body: BinaryIO) -> IBodyProducer:
    """
    :param body: an open file at its start; the one who opened it closes it.
    :return: a producer that reads no faster than the provider takes it. Several can read the same file, each at its own
        place.
    """
    return FileBodyProducer(_KeptOpen(body), readSize=CHUNK_BYTES)


def mapped(body: BinaryIO) -> memoryview:
    """
    :param body: a file with something in it; it may be closed behind this.
    :return: all of it, to look at and to take pieces of, and no copy: the pages are the kernel's.
    """
    return memoryview(mmap.mmap(body.fileno(), 0, access=mmap.ACCESS_READ))


def pieces_body(pieces: Sequence[bytes | memoryview]) -> IBodyProducer:
    """
    :param pieces: of a large body, one behind the other; they are let go of as they are sent.
    :return: a producer that copies no more at a time than the provider takes.
    """
    return FileBodyProducer(_Pieces(pieces), readSize=CHUNK_BYTES)


class _Pieces:
    """As much of a file as :class:`FileBodyProducer` wants to have."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._pieces = deque(memoryview(piece) for piece in pieces)
        self._size = sum(len(piece) for piece in self._pieces)
        self._at = 0

    def read(self, size: int) -> bytes:
        while self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
            if read := bytes(piece[:size]):
                return read
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        """To find out how long it is: nothing is read before that, and nothing moved."""
        self._at = self._size if whence == os.SEEK_END else offset

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._pieces.clear()


class _KeptOpen:
    """
    A file that :class:`FileBodyProducer` cannot close: Twisted's request owns it and closes it itself.

    It has a place of its own in the file: an attempt that is on its way may not be at the end when the next begins.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0

    def read(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """Left to the owner."""
