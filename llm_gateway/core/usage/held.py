"""
An answer's bytes, put aside until they are looked at, and the rule for what is not known of it in the end.

Nothing of the answer is changed or delayed. ``HELD_BYTES`` are held at most, and looked at only when there are more or
the answer is over: the numbers are at the end, and of most streams one event in a hundred is ever parsed.

The rule for an answer that ends early, and for one without numbers: what was read is the provider's number if it had
come, else what the gateway expected; what was written is the provider's last number and an estimate of the text that
came whole behind it, whether or not the client read it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping

import msgspec

from llm_gateway.core.estimate import vocabulary_factor
from llm_gateway.core.usage.answers import AnswerReader
from llm_gateway.core.usage.meter import Expected, Meter, Reading
from llm_gateway.core.usage.scanning import Scan
from llm_gateway.core.usage.values import NOTHING, Source, Usage

__all__ = ["HELD_BYTES", "Held", "in_words_of"]

HELD_BYTES = 65_536
"""Of an answer, and of the piece that was over it. Most answers are shorter, and read once, at their end."""


class Held(Meter):
    """What documents and streams have in common."""

    __slots__ = ("_billed", "_dropped", "_kept", "_reader", "_scan")

    def __init__(self, reader: AnswerReader, billed: bool) -> None:
        """
        :param billed: whether it is of an operation that is billed, even if the answer should not say so.
        """
        self._reader = reader
        self._billed = billed
        self._kept = bytearray()
        self._dropped = 0
        self._scan: Scan | None = None
        """Of a document, or an event, that is too long to be held."""

    def feed(self, piece: bytes) -> None:
        kept = self._kept
        kept += piece
        if len(kept) > HELD_BYTES:
            self._fold()

    @abstractmethod
    def _fold(self) -> None:
        """Look at what is held and drop it, but for what is not whole."""

    @property
    def output_bytes(self) -> int:
        return self._dropped + len(self._kept)

    def _drop(self, size: int) -> bytes:
        kept = self._kept
        if size == len(kept):
            dropped = bytes(kept)
            kept.clear()
        else:
            dropped = bytes(memoryview(kept)[:size])
            del kept[:size]
        self._dropped += size
        return dropped

    def _reading(self, whole: bool, tokens: float, expected: Expected, pieces: Mapping[str, int]) -> Reading:
        """
        :param tokens: estimated in the common vocabulary, of all text that came behind the numbers.
        """
        reader = self._reader
        said = in_words_of(reader.model, tokens)
        counted = reader.counted()
        if counted is None:
            if not said and (reader.failed or not self._billed):
                return Reading(NOTHING, Source.NONE, reader.model)
            usage = Usage(
                input=_found(expected),
                output=said,
                audio_output=reader.spoken(pieces),
                pieces=dict(pieces),
                tier=reader.tier,
            )
            return Reading(usage, Source.ESTIMATED, reader.model)
        usage = counted.usage
        # Servers that do not know it yet begin their streams with a 0.
        has_input = counted.has_input and (whole or reader.final or usage.input_tokens > 0)
        if has_input:
            if not said and (whole or (counted.has_output and reader.final)):
                return Reading(usage, Source.PROVIDER, reader.model)
        elif usage.pieces and whole:
            # It is billed by the piece.
            return Reading(usage, Source.PROVIDER, reader.model)
        more = said if counted.has_output else max(said - usage.output_tokens, 0)
        usage = msgspec.structs.replace(
            usage, input=usage.input if has_input else _found(expected), output=usage.output + more
        )
        return Reading(usage, Source.PARTLY, reader.model)


def in_words_of(model: str | None, tokens: float) -> int:
    """:return: the same in the model's own vocabulary."""
    return math.ceil(tokens * vocabulary_factor(model or "")) if tokens else 0


def _found(expected: Expected) -> int:
    return expected if isinstance(expected, int) else expected()
