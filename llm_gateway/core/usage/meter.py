"""What a meter of one answer is, and what it reads in the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import msgspec

from llm_gateway.core.usage.values import NOTHING, Source, Usage

__all__ = ["NO_PIECES", "Expected", "Meter", "Reading", "Uncounted"]

Expected = int | Callable[[], int]
"""Tokens that the gateway expects to have been read; what finds out is asked only if the provider does not tell."""

NO_PIECES: Mapping[str, int] = {}


class Reading(msgspec.Struct, frozen=True):
    """What one attempt used."""

    usage: Usage
    source: Source
    model: str | None = None
    """As the answer names it."""


class Meter(ABC):
    """Of one answer."""

    __slots__ = ()

    @property
    @abstractmethod
    def output_bytes(self) -> int:
        """That came, of the body as the provider sent it."""

    @abstractmethod
    def feed(self, piece: bytes) -> None:
        """
        :param piece: what came next of the body, cut anywhere.
        """

    @abstractmethod
    def so_far(self) -> Usage:
        """
        What a stream has used until now, rather too much than too little, for its reservation to be extended by; some
        10 µs, however much has come. The input is 0 until the provider has told it. Of a document it is nothing: that
        is written before it comes, and nothing is saved by breaking it off.
        """

    @abstractmethod
    def finish(self, whole: bool, expected: Expected = 0, pieces: Mapping[str, int] = NO_PIECES) -> Reading:
        """
        No more will come. Called once.

        :param whole: whether the answer came to its own end.
        :param expected: what was read, if the provider does not tell.
        :param pieces: what is billed by the piece, if the provider does not tell: as ``foreseen`` has it.
        """


class Uncounted(Meter):
    """Of what nobody bills."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = 0

    @property
    def output_bytes(self) -> int:
        return self._bytes

    def feed(self, piece: bytes) -> None:
        self._bytes += len(piece)

    def so_far(self) -> Usage:
        return NOTHING

    def finish(self, whole: bool, expected: Expected = 0, pieces: Mapping[str, int] = NO_PIECES) -> Reading:
        return Reading(NOTHING, Source.NONE)
