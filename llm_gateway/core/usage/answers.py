"""
What answers tell of what was used, whole or event by event.

A reader is shown as little of an answer as will do: what has numbers, and, where the numbers never came, what has text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, TypeVar

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.core.usage.counts import Counted, tier_of

__all__ = ["BROKEN", "NOTHING_THERE", "AnswerReader", "is_error", "read", "strings"]

_T = TypeVar("_T")
NOTHING_THERE = msgspec.Raw()
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises."""


def read(decode: Callable[[bytes], _T], document: bytes) -> _T | None:
    """
    :return: ``None`` for what is not of this form: it counts for nothing.
    """
    try:
        return decode(document)
    except BROKEN:
        pass
    if b"\\u" not in document:
        return None
    try:
        return decode(mended(document))
    except BROKEN:
        return None


class _Named(msgspec.Struct, gc=False):
    model: object = None
    model_version: object = msgspec.field(default=None, name="modelVersion")
    service_tier: object = None
    response: _Named | None = None
    message: _Named | None = None


_named = msgspec.json.Decoder(_Named).decode


class AnswerReader(ABC):
    """Reads one answer."""

    needle: ClassVar[bytes]
    """Is in every event that has numbers, and in few others. Quoted text has a backslash before the quote."""
    cumulative: ClassVar[bool] = True
    """Whether the last event with numbers has all of them."""
    places: ClassVar[tuple[bytes, ...]] = ()
    """Names that stand for one piece each, where there are no numbers."""

    # What a reader begins with is its class's: one is made for each answer, and most learn two things.
    model: str | None = None
    tier: str | None = None
    final = False
    """Whether the numbers are the last that there will be, even if the answer's end does not come."""
    numbered = 0
    """How many documents and events had numbers."""
    places_seen = 0
    """How many of ``places`` there were in what is too long to be read whole."""
    failed = False
    """Whether it says that it is an error."""

    @abstractmethod
    def take(self, document: bytes) -> bool | None:
        """
        Learn the numbers, the model and the tier.

        :param document: an answer, or the data of one event.
        :return: whether it tells how much has been written so far; ``None`` if it cannot be read.
        """

    def name(self, document: bytes) -> None:
        """Learn the model and the tier alone."""
        found = read(_named, document)
        for each in () if found is None else (found, found.response, found.message):
            if each is not None:
                self._named(each.model or each.model_version)
                self.tier = tier_of(each.service_tier) or self.tier

    @abstractmethod
    def take_usage(self, document: bytes) -> bool:
        """
        The same of an object that was found under a name like ``usage``, where the rest is not at hand.
        """

    @abstractmethod
    def said(self, document: bytes) -> str:
        """
        :param document: an answer, or the data of one event.
        :return: all in it that a model wrote: texts, thoughts, the arguments of calls.
        """

    def spoken(self, pieces: Mapping[str, int]) -> int:
        """
        :param pieces: what the request told.
        :return: tokens of sound that the answer is, if it does not say.
        """
        return 0

    @abstractmethod
    def counted(self) -> Counted | None:
        """What the numbers come to; ``None`` while there are none."""

    def _named(self, model: object) -> None:
        if isinstance(model, str) and model:
            self.model = model[:256]


def strings(value: object) -> Iterator[str]:
    """The texts of a ``content``, which is one, or a list of parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, dict):
        for name in ("text", "thinking", "refusal", "content"):
            yield from strings(value.get(name))


def is_error(raw: msgspec.Raw) -> bool:
    return bytes(raw)[:1] in (b"{", b'"')
