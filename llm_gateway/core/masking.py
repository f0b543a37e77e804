"""Keeping secrets out of what a provider sends back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol


class Masking(Protocol):
    """Takes secrets out of a stream of bytes."""

    def feed(self, piece: bytes) -> bytes:
        """
        :return: what is safe to pass on now.
        """

    def rest(self) -> bytes:
        """What was held back in case it went on, once no more will come."""


def masking(secrets: Sequence[bytes]) -> Masking | None:
    """
    :return: what keeps these secrets back; ``None`` where there are none.
    """
    if len(secrets) == 1:
        return Mask(secrets[0])
    return _Masks([Mask(secret) for secret in secrets]) if secrets else None


class Mask:
    """
    Replaces every occurrence of a secret in a stream of bytes by as many asterisks.

    Some providers and many proxies repeat the key they were given in an error; the caller must never see the real one.
    The length stays the same, so that a ``content-length`` sent earlier stays true. At most the secret's length is held
    back, and only while what came last could be its beginning.
    """

    __slots__ = ("_held", "_inside", "_secret", "_stars", "_starts")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._stars, self._starts, self._inside = _pattern(secret)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """
        :return: what is safe to pass on now.
        """
        if self._held:
            piece, self._held = self._held + piece, b""
        data = piece.replace(self._secret, self._stars)
        if data and data[-1] not in self._inside:
            # As nearly always: events end with an empty line, documents with a bracket.
            return data
        if not data.endswith(self._starts):
            return data
        keep = max(len(start) for start in self._starts if data.endswith(start))
        self._held = data[-keep:]
        return data[:-keep]

    def rest(self) -> bytes:
        """What was held back in case it went on, once no more will come."""
        held, self._held = self._held, b""
        return held


@lru_cache(maxsize=4096)
def _pattern(secret: bytes) -> tuple[bytes, tuple[bytes, ...], frozenset[int]]:
    """
    :return: what a secret is replaced by, all that it may begin with, and what bytes those may end with. The same for
        every call with it.
    """
    return b"*" * len(secret), tuple(secret[:size] for size in range(1, len(secret))), frozenset(secret[:-1])


class _Masks:
    """Several masks, one behind the other."""

    __slots__ = ("_masks",)

    def __init__(self, masks: Sequence[Mask]) -> None:
        self._masks = masks

    def feed(self, piece: bytes) -> bytes:
        for mask in self._masks:
            piece = mask.feed(piece)
        return piece

    def rest(self) -> bytes:
        held = b""
        for mask in self._masks:
            held = mask.feed(held) + mask.rest()
        return held
