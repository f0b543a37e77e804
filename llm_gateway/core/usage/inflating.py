"""
The meter of a compressed answer, which is taken apart beside the client's copy.

The standard library knows ``gzip`` and ``deflate``. Of anything else only the weight is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Protocol

from llm_gateway.core.usage.held import HELD_BYTES, Held
from llm_gateway.core.usage.meter import NO_PIECES, Expected, Meter, Reading
from llm_gateway.core.usage.values import Usage

__all__ = ["MAX_INFLATED_BYTES", "InflatingMeter"]

MAX_INFLATED_BYTES = 134_217_728
"""Of one answer. The longest are embeddings: 2,048 of 3,072 numbers are some 130 MB."""


class InflatingMeter(Meter):
    """Hands a meter what the pieces hold."""

    __slots__ = ("_bytes", "_head", "_inflate", "_left", "_meter")

    def __init__(self, meter: Held) -> None:
        self._meter = meter
        self._bytes = 0
        self._head = b""
        self._inflate: _Inflate | None = None
        self._left = MAX_INFLATED_BYTES

    @property
    def output_bytes(self) -> int:
        return self._bytes

    def feed(self, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._left <= 0:
            return
        inflate = self._inflate
        if inflate is None:
            # Two bytes tell the format.
            piece = self._head + piece
            if len(piece) < 2:
                self._head = piece
                return
            inflate = self._inflate = _inflate_for(piece)
            if inflate is None:
                self._left = 0
                return
        try:
            while piece and self._left > 0 and not inflate.eof:
                out = inflate.decompress(piece, HELD_BYTES)
                self._left -= len(out)
                self._meter.feed(out)
                piece = inflate.unconsumed_tail
        except zlib.error:
            self._left = 0

    def so_far(self) -> Usage:
        return self._meter.so_far()

    def finish(self, whole: bool, expected: Expected = 0, pieces: Mapping[str, int] = NO_PIECES) -> Reading:
        return self._meter.finish(whole, expected, pieces)


class _Inflate(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _inflate_for(beginning: bytes) -> _Inflate | None:
    if beginning.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31)
    # RFC 1950, section 2.2: the method is 8, and the two bytes a multiple of 31.
    if beginning[0] & 0x0F == 8 and int.from_bytes(beginning[:2], "big") % 31 == 0:
        return zlib.decompressobj()
    return None
