"""
Objects of a caller's request, as Google's servers read them.

They take ``camelCase`` and ``snake_case`` alike, one object where a list of them is declared, and numbers in quotes, as
protocol buffers' JSON mapping lets them; Google's documentation and SDKs use all of that.

Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.fields import Decode, boolean, in_utf8, text
from llm_gateway.core.translation.fields import Fields as AnyFields
from llm_gateway.errors import BadRequest

__all__ = ["Fields", "boolean", "camel", "integer", "number", "read_body", "text", "texts", "wrong"]

integer: Decode[int] = msgspec.json.Decoder(int, strict=False).decode
number: Decode[float] = msgspec.json.Decoder(float, strict=False).decode
texts: Decode[list[str]] = msgspec.json.Decoder(list[str]).decode

_NULL = msgspec.Raw(b"null")


def wrong(place: str, why: str) -> BadRequest:
    """
    :param place: of the field in the caller's request, such as ``contents[0].parts[1].text``.
    """
    return BadRequest.of_field(place, why)


def camel(name: str) -> str:
    """
    :return: the name in ``camelCase``, whichever way the caller wrote it.
    """
    if "_" not in name:
        return name
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest) if head else name


def read_body(body: bytes) -> Fields:
    """
    :raises BadRequest: it is not a JSON object in UTF-8.
    """
    return Fields(in_utf8(body), "")


class Fields(AnyFields):
    """One object; what is left of it has its names in ``camelCase``."""

    __slots__ = ()

    def __init__(self, raw: msgspec.Raw | bytes, place: str) -> None:
        super().__init__(raw, place)
        self.rest = {camel(name): value for name, value in self.rest.items() if value != _NULL}

    def __contains__(self, name: str) -> bool:
        return name in self.rest

    def inner(self, name: str) -> Fields | None:
        raw = self.raw(name)
        return None if raw is None else Fields(raw, self.at(name))

    def each(self, name: str) -> list[tuple[msgspec.Raw, str]]:
        """
        :return: the items of a list with the place of each, or of a single object in place of one.
        """
        raw = self.rest.get(name)
        if raw is not None and bytes(memoryview(raw)[:1]) == b"{":
            return [(self.rest.pop(name), self.at(name))]
        return super().each(name)

    def objects(self, name: str) -> Sequence[Fields]:
        """
        :return: the same, each as an object.
        """
        return [Fields(raw, place) for raw, place in self.each(name)]
