"""The arguments of a tool call as a document, for dialects that have them so."""

from __future__ import annotations

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.fields import BROKEN

__all__ = ["object_in"]

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def object_in(arguments: str) -> msgspec.Raw | None:
    """
    :param arguments: as a model wrote them.
    :return: the JSON object that they are, as it stands; ``None`` if they are none.
    """
    try:
        _object(arguments)
        return msgspec.Raw(arguments.strip())
    except BROKEN:
        pass
    try:
        readable = mended(arguments.encode())
        _object(readable)
        return msgspec.Raw(readable.strip())
    except (*BROKEN, UnicodeEncodeError):
        return None
