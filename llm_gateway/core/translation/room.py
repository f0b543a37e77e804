"""What one call may hold of its answer."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Part
from llm_gateway.core.translation.events import Event
from llm_gateway.errors import UpstreamMalformed

__all__ = ["MAX_HELD_BYTES", "Room", "weight"]

MAX_HELD_BYTES = 33_554_432
"""As much as the longest event of any dialect: an image of 4096 x 4096 pixels is 22 MB in base64 at a byte for each.
The longest texts of today's models, 128,000 tokens, are some 600,000 characters."""

_OBJECT_BYTES = 64
"""Of a value of Python's beside what is in it."""

_encode = msgspec.json.encode


def weight(value: Event | Part) -> int:
    """
    :return: how many bytes it takes, about.
    """
    return _OBJECT_BYTES + len(_encode(value))


class Room:
    """Counts what is held, and ends an answer of which it would be too much."""

    __slots__ = ("_left",)

    def __init__(self, size: int | None = None) -> None:
        """
        :param size: in bytes; ``MAX_HELD_BYTES`` if none is given.
        """
        self._left = MAX_HELD_BYTES if size is None else size

    def take(self, size: int) -> None:
        """
        :raises UpstreamMalformed: there is no more room.
        """
        self._left -= size
        if self._left < 0:
            raise UpstreamMalformed("The provider's answer is too long to be translated.")

    def give_back(self, size: int) -> None:
        """So much is held no more."""
        self._left += size
