"""Reading the one field that the gateway needs out of a body that it does not touch."""

from __future__ import annotations

import msgspec

from llm_gateway.core.record import printable
from llm_gateway.core.surrogates import mended


class _Fields(msgspec.Struct):
    model: str | None = None


_decoder = msgspec.json.Decoder(_Fields)


def model_of(body: bytes | memoryview) -> str | None:
    """
    :param body: a JSON document of any size, or something else.
    :return: its ``model``, fit for a log; ``None`` if it is not an object that has one. The provider judges what it is
        sent, not the gateway.
    """
    try:
        try:
            model = _decoder.decode(body).model
        except msgspec.DecodeError:
            model = _decoder.decode(mended(bytes(body))).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if model is None else printable(model)
