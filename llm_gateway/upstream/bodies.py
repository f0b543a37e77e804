"""The request's body on its way to the provider."""

from __future__ import annotations

import os
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
