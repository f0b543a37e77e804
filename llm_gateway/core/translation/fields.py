"""Reads a JSON document field by field: what is wrong can be named by its place, and what is left over is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.errors import BadRequest

__all__ = ["BROKEN", "Fields", "boolean", "integer", "number", "raws", "reading", "text"]

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Raw | bytes)

BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for input that it cannot read: broken, of another type, not UTF-8, nested too deep."""

Decode = Callable[[msgspec.Raw], T]

text: Decode[str] = msgspec.json.Decoder(str).decode
integer: Decode[int] = msgspec.json.Decoder(int).decode
number: Decode[float] = msgspec.json.Decoder(float).decode
boolean: Decode[bool] = msgspec.json.Decoder(bool).decode
raws: Decode[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode

_object: Callable[[msgspec.Raw | bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")


def reading(decode: Callable[[R], T], raw: R, place: str) -> T:
    """
    :param place: where the value stands in the request, such as ``input[2].content``.
    :raises BadRequest: it is of another type; the message names the place inside it too.
    """
    try:
        return decode(raw)
    except BROKEN as error:
        raise BadRequest(_complaint(error, place)) from error


def _complaint(error: Exception, place: str) -> str:
    if isinstance(error, msgspec.ValidationError):
        reason, _, inner = str(error).partition(" - at `$")
        return f"{place}{inner.rstrip('`')}: {reason}."
    if isinstance(error, RecursionError):
        return f"{place}: is nested too deep."
    return f"{place}: is not valid JSON."


def _root(body: bytes) -> dict[str, msgspec.Raw]:
    """Everything below is read from what this gives."""
    try:
        return _object(body)
    except BROKEN:
        return reading(_object, mended(body), "The request's body")


class Fields:
    """One JSON object. What is taken is gone from :attr:`rest`."""

    __slots__ = ("place", "rest")

    def __init__(self, raw: msgspec.Raw | bytes, place: str) -> None:
        """
        :param place: of the object in the request; empty for the whole.
        :raises BadRequest: it is not an object.
        """
        self.place = place
        self.rest = reading(_object, raw, place) if place else _root(bytes(raw))

    def at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def raw(self, name: str) -> msgspec.Raw | None:
        """
        :return: the field as it came; ``None`` where it is missing or null.
        """
        raw = self.rest.pop(name, None)
        return None if raw == _NULL else raw

    def take(self, name: str, decode: Callable[[msgspec.Raw], T]) -> T | None:
        """
        :raises BadRequest: the field is there and of another type.
        """
        raw = self.raw(name)
        return None if raw is None else reading(decode, raw, self.at(name))

    def need(self, name: str, decode: Callable[[msgspec.Raw], T]) -> T:
        """
        :raises BadRequest: the field is missing, null or of another type.
        """
        raw = self.raw(name)
        if raw is None:
            raise BadRequest(f"{self.at(name)}: is required.")
        return reading(decode, raw, self.at(name))

    def inner(self, name: str) -> Fields | None:
        raw = self.raw(name)
        return None if raw is None else Fields(raw, self.at(name))

    def each(self, name: str) -> list[tuple[msgspec.Raw, str]]:
        """
        :return: the elements of a list with their places; none where the field is missing.
        """
        place = self.at(name)
        return [(raw, f"{place}[{index}]") for index, raw in enumerate(self.take(name, raws) or ())]
