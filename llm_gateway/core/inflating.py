"""Reading what a provider compressed, beside passing it on."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from llm_gateway.core.headers import Fields

__all__ = ["READABLE", "Inflating", "ask_readably", "is_readable"]

READABLE = (b"gzip", b"deflate", b"identity")
"""Content codings that can be read here."""

_AT_ONCE = 262_144
_MOST_BYTES = 268_435_456
"""Of one answer, uncompressed. Somebody who sends more has something else in mind."""


def is_readable(encoding: bytes) -> bool:
    """
    :param encoding: of an answer, in small letters; empty for none.
    """
    return not encoding or encoding in READABLE or encoding == b"x-gzip"


_GZIP = re.compile(rb"(?:^|,)[ \t]*(?:x-)?gzip[ \t]*(?:;[ \t]*q[ \t]*=[ \t]*(?!0(?:\.0*)?[ \t]*(?:,|$))[^,]*)?(?:,|$)")


def ask_readably(fields: Fields, *, compressed: bool = True) -> None:
    """
    Ask for an answer that can be read here: compressed by gzip if the client takes that, else not at all.

    :param fields: of a request to a provider.
    :param compressed: whether it may be, at all.
    """
    accepted = fields.get(b"Accept-Encoding")
    wanted = b"gzip" if compressed and accepted and _GZIP.search(b",".join(accepted).lower()) else b"identity"
    fields[b"Accept-Encoding"] = [wanted]


class Inflating:
    """Hands on what comes compressed as it was before."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        # Both gzip and zlib, by their first bytes.
        self._inflater = zlib.decompressobj(32 + zlib.MAX_WBITS)
        self._left = _MOST_BYTES

    def feed(self, piece: bytes) -> None:
        """What cannot be read is not, and whatever follows it is not, either."""
        while piece and self._left > 0:
            try:
                found = self._inflater.decompress(piece, _AT_ONCE)
            except zlib.error:
                self._left = 0
                return
            self._left -= len(found)
            if found:
                self._take(found)
            piece = self._inflater.unconsumed_tail
            if self._inflater.eof:
                return
