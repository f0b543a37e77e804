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

__all__ = ["MAX_INFLATED_BYTES", "MAX_RATIO", "InflatingMeter"]

MAX_INFLATED_BYTES = 134_217_728
"""Of one answer. The longest are embeddings: 2,048 of 3,072 numbers are some 130 MB."""

MAX_RATIO, _BEGINNING = 200, 1_048_576
"""How many times what came may be what it holds, and what it may be in any case. Streams of small events come to 30."""


class InflatingMeter(Meter):
    """Hands a meter what the pieces hold."""

    __slots__ = ("_broken", "_bytes", "_head", "_inflate", "_meter", "_out")

    def __init__(self, meter: Held) -> None:
        self._meter = meter
        self._bytes = 0
        self._head = b""
        self._inflate: _Inflate | None = None
        self._out = 0
        self._broken = False

    @property
    def output_bytes(self) -> int:
        return self._bytes

    def feed(self, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._broken:
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
                self._broken = True
                return
        most = min(MAX_INFLATED_BYTES, self._bytes * MAX_RATIO + _BEGINNING)
        try:
            while piece and not inflate.eof:
                if self._out >= most:
                    self._broken = True
                    return
                out = inflate.decompress(piece, HELD_BYTES)
                self._out += len(out)
                self._meter.feed(out)
                piece = inflate.unconsumed_tail
        except zlib.error:
            self._broken = True

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
