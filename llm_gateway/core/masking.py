"""Keeping secrets out of what a provider sends back."""

from __future__ import annotations

from collections.abc import Sequence
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
    masks = [Mask(secret) for secret in secrets]
    return None if not masks else masks[0] if len(masks) == 1 else _Masks(masks)


class Mask:
    """
    Replaces every occurrence of a secret in a stream of bytes by as many asterisks.

    Some providers and many proxies repeat the key they were given in an error; the caller must never see the real one.
    The length stays the same, so that a ``content-length`` sent earlier stays true. At most the secret's length is held
    back, and only while what came last could be its beginning.
    """

    __slots__ = ("_held", "_secret", "_stars")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._stars = b"*" * len(secret)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """
        :return: what is safe to pass on now.
        """
        data = self._held + piece if self._held else piece
        if self._secret in data:
            data = data.replace(self._secret, self._stars)
        keep = self._possible_start(data)
        self._held = data[len(data) - keep :] if keep else b""
        return data[: len(data) - keep] if keep else data

    def rest(self) -> bytes:
        """What was held back in case it went on, once no more will come."""
        held, self._held = self._held, b""
        return held

    def _possible_start(self, data: bytes) -> int:
        """How many of the last bytes could be the start of the secret."""
        first, at = self._secret[:1], max(0, len(data) - len(self._secret) + 1)
        while (at := data.find(first, at)) >= 0:
            if self._secret.startswith(data[at:]):
                return len(data) - at
            at += 1
        return 0


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
