"""Reads a JSON document field by field: what is wrong can be named by its place, and what is left over is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.errors import BadRequest

__all__ = [
    "BROKEN",
    "MAX_ELEMENTS",
    "Fields",
    "boolean",
    "in_utf8",
    "integer",
    "number",
    "plain_message",
    "plain_text",
    "raws",
    "reading",
    "text",
]

MAX_ELEMENTS = 32_768
"""Elements of all lists of one request that are read one by one: messages, their parts, tools. Each costs some
microseconds, for which everything else waits. OpenAI takes 2,048 messages; long sessions of coding agents have some
thousands of parts."""

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Raw | bytes)

BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for input that it cannot read: broken, of another type, not UTF-8, nested too deep."""

Decode = Callable[[msgspec.Raw], T]

text: Decode[str] = msgspec.json.Decoder(str).decode
integer: Decode[int] = msgspec.json.Decoder(int).decode
number: Decode[float] = msgspec.json.Decoder(float).decode
boolean: Decode[bool] = msgspec.json.Decoder(bool).decode
_raws: Decode[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode


def in_utf8(body: bytes) -> bytes:
    """
    :return: the same. What is only carried is never decoded: this is where text is found that would make what is
        written for the provider unreadable.
    :raises BadRequest: it is not in UTF-8.
    """
    if not body.isascii():
        try:
            str(memoryview(body), "utf-8")
        except UnicodeDecodeError as error:
            raise BadRequest("The request's body is not UTF-8.") from error
    return body


class _Elements:
    """Counts those of the request that is read; one is read at a time."""

    left = MAX_ELEMENTS


def raws(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """
    :raises BadRequest: the request has too many elements by now.
    """
    found = _raws(raw)
    _Elements.left -= len(found)
    if _Elements.left < 0:
        raise BadRequest(f"The request has more than {MAX_ELEMENTS} messages, parts and tools.")
    return found


class _PlainText(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text", "input_text"]
    text: str


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system", "developer"]
    content: str


_plain_text = msgspec.json.Decoder(_PlainText).decode
_plain_message = msgspec.json.Decoder(_PlainMessage).decode


def plain_text(raw: msgspec.Raw) -> _PlainText | None:
    """
    :return: the commonest element of a content, which is read much more quickly so; ``None`` for any other.
    """
    try:
        return _plain_text(raw)
    except BROKEN:
        return None


def plain_message(raw: msgspec.Raw) -> _PlainMessage | None:
    """
    :return: the same of messages.
    """
    try:
        return _plain_message(raw)
    except BROKEN:
        return None


_object: Callable[[msgspec.Raw | bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")


def reading(decode: Callable[[R], T], raw: R, place: str) -> T:
    """
    :param place: where the value stands in the request, such as ``input[2].content``; empty for the whole of it.
    :raises BadRequest: it is of another type; the message names the place inside it too.
    """
    try:
        return decode(raw)
    except BROKEN as error:
        raise _complaint(error, place) from error


def _complaint(error: Exception, place: str) -> BadRequest:
    complaint = "is nested too deep." if isinstance(error, RecursionError) else "is not valid JSON."
    if isinstance(error, msgspec.ValidationError):
        reason, _, inner = str(error).partition(" - at `$")
        place += inner.rstrip("`")
        complaint = f"{reason}."
    return BadRequest.of_field(place, complaint) if place else BadRequest(f"The request's body: {complaint}")


def _root(body: bytes) -> dict[str, msgspec.Raw]:
    """Everything below is read from what this gives."""
    _Elements.left = MAX_ELEMENTS
    try:
        return _object(body)
    except BROKEN:
        return reading(_object, mended(body), "")


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
            raise BadRequest.of_field(self.at(name), "is required.")
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
