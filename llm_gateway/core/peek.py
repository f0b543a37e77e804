"""Reading the two fields that a gateway needs out of a body that it does not touch."""

from __future__ import annotations

import msgspec

from llm_gateway.core.record import printable


class _Fields(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


class _Model(msgspec.Struct):
    model: str | None = None


_fields = msgspec.json.Decoder(_Fields)
_model = msgspec.json.Decoder(_Model)


def peek(body: msgspec.Raw | bytes | memoryview) -> tuple[str | None, bool]:
    """
    :param body: a JSON document of any size, or something else.
    :return: its ``model``, fit for a log, and whether it asks for a stream; ``(None, False)`` if it is not an object
        that has them. The provider judges what it is sent, not the gateway.
    """
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            # A "stream" that is not a boolean must not hide the model.
            return _shown(_model.decode(body).model), False
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, False
    return _shown(fields.model), bool(fields.stream)


def _shown(model: str | None) -> str | None:
    return None if model is None else printable(model)
