"""The request's body on its way to the provider."""

from __future__ import annotations

from typing import BinaryIO

from twisted.web.client import FileBodyProducer
from twisted.web.iweb import IBodyProducer

CHUNK_BYTES = 65_536
"""Read from a spooled body at a time: as much as Twisted's transports take before they ask for a pause."""


def spooled_body(body: BinaryIO) -> IBodyProducer:
    """
    :param body: an open file at its start; the one who opened it closes it.
    :return: a producer that reads no faster than the provider takes it.
    """
    return FileBodyProducer(_KeptOpen(body), readSize=CHUNK_BYTES)


class _KeptOpen:
    """A file that :class:`FileBodyProducer` cannot close: Twisted's request owns it and closes it itself."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell

    def close(self) -> None:
        """Left to the owner."""
