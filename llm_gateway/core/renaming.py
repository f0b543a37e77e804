"""
Another model's name in a JSON body, with every other byte as it was.

The body is neither built nor copied: msgspec skims it once (about 0.4 ms for a megabyte), which gives the extent of
every top-level value; what lies between two values is a name and a colon, and is looked at byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from llm_gateway.core.surrogates import mended

__all__ = ["MAX_MEMBERS", "MAX_NAME", "ModelPlaces", "find_model", "renamed", "with_model"]

MAX_MEMBERS = 1024
"""Members of the top-level object. Requests have 30 and less; each costs a call back from the skimming."""

MAX_NAME = 256
"""Characters in the name of a member. What has more is no request of any dialect."""

_ALIKE = frozenset({"model", "models"})

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Possessive, so that the longest name that is let through is read once and not again for every end that it could have.
_NAME_AND_COLON = re.compile(rb'[ \t\r\n]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)


class ModelPlaces(msgspec.Struct, frozen=True):
    """Where a body names its model."""

    name: str
    """The model's name. Of several the last, which is the one that most parsers take."""
    spans: tuple[tuple[int, int], ...]
    """Start and end of every top-level value under ``model``, quotes included, in their order."""
    alike: bool = False
    """Whether another name beside it can be taken for it: Go's parsers take ``Model`` for ``model``, and OpenRouter
    asks those in ``models`` where the first does not answer."""

    @property
    def ambiguous(self) -> bool:
        """Whether it is named more than once: a provider's parser may take another than the last."""
        return len(self.spans) > 1


class _TooMuch(Exception):
    """Not raised beyond this module."""


class _Name:
    """A member's name. Two are never equal, so that a dictionary keeps repeated ones."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class _Names:
    """Counts the names of the body that is read; one body is read at a time."""

    def __init__(self) -> None:
        self.left = MAX_MEMBERS

    def read(self, _type: type, text: Any) -> _Name:
        self.left -= 1
        if self.left < 0 or len(text) > MAX_NAME:
            raise _TooMuch
        return _Name(text)


_names = _Names()
_decoder = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=_names.read)


def find_model(body: bytes | memoryview) -> ModelPlaces | None:
    """
    :param body: a JSON document of any size, or something else.
    :return: ``None`` where no model can be told: it is not JSON, not an object, has no top-level ``model`` or one that
        is not a string, or has more members or longer names than requests do.
    """
    values = _members(body)
    if values is None:
        return None
    spans: list[tuple[int, int]] = []
    last: msgspec.Raw | None = None
    alike = False
    at = _end(_SPACE, body, 0) + 1
    for name, value in values.items():
        start = _end(_NAME_AND_COLON, body, at)
        end = start + memoryview(value).nbytes
        if name.text == "model":
            spans.append((start, end))
            last = value
        elif name.text.lower() in _ALIKE:
            alike = True
        # Behind the value only space and a comma can stand, or the end.
        at = _end(_SPACE, body, end) + 1
    model = None if last is None else _text(last)
    return None if model is None else ModelPlaces(model, tuple(spans), alike)


def renamed(body: bytes | memoryview, places: ModelPlaces, name: str) -> Sequence[bytes | memoryview]:
    """
    :param places: what ``find_model`` said of this body.
    :param name: to be written at all of them.
    :return: the new body in pieces, those of the old one not copied.
    """
    old, new = memoryview(body), msgspec.json.encode(name)
    pieces: list[bytes | memoryview] = []
    at = 0
    for start, end in places.spans:
        pieces += (old[at:start], new)
        at = end
    return [*pieces, old[at:]]


def with_model(body: bytes | memoryview, name: str) -> Sequence[bytes | memoryview] | None:
    """
    The same for a body that may name no model, because its path did.

    :return: ``None`` where it cannot be told whether it does: it is no JSON object, or names a model that is no string.
    """
    places = find_model(body)
    if places is not None:
        return renamed(body, places, name)
    values = _members(body)
    if values is None or any(each.text == "model" for each in values):
        return None
    behind_brace = _end(_SPACE, body, 0) + 1
    old = memoryview(body)
    comma = b"," if values else b""
    return [old[:behind_brace], b'"model":' + msgspec.json.encode(name) + comma, old[behind_brace:]]


def _members(body: bytes | memoryview) -> dict[_Name, msgspec.Raw] | None:
    """:return: ``None`` for what is no JSON object, or more of one than any request."""
    _names.left = MAX_MEMBERS
    try:
        try:
            return _decoder.decode(body)
        except msgspec.DecodeError:
            # As long as before: every value is where it was.
            _names.left = MAX_MEMBERS
            return _decoder.decode(mended(bytes(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _TooMuch):
        return None


def _end(pattern: re.Pattern[bytes], body: bytes | memoryview, at: int) -> int:
    found = pattern.match(body, at)
    assert found is not None, "msgspec took for JSON what is none"
    return found.end()


def _text(value: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
