"""Reading the few fields that the gateway needs out of a body that it does not touch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llm_gateway.core.surrogates import mended

__all__ = ["in_background", "model_of", "said_in", "wants_stream"]


class _Model(msgspec.Struct):
    model: str | None = None


_model = msgspec.json.Decoder(_Model)


def model_of(body: bytes | memoryview) -> str | None:
    """
    :param body: a JSON document of any size, or something else.
    :return: its ``model``; ``None`` if it is not an object that has one. The provider judges what it is sent, not the
        gateway.
    """
    try:
        try:
            return _model.decode(body).model
        except msgspec.DecodeError:
            return _model.decode(mended(bytes(body))).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Stream(msgspec.Struct):
    stream: msgspec.Raw = msgspec.Raw()


_stream = msgspec.json.Decoder(_Stream)


def wants_stream(body: bytes) -> bool:
    """
    :return: whether it asks for its answer as a stream of events.
    """
    try:
        return bytes(_stream.decode(body).stream) == b"true"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class _Background(msgspec.Struct):
    background: msgspec.Raw = msgspec.Raw()


_background = msgspec.json.Decoder(_Background)


def in_background(body: bytes) -> bool:
    """
    :return: whether it asks for a response that is made after the answer: OpenAI's ``background``.
    """
    if b'"background"' not in body and b"\\u" not in body:
        return False
    try:
        return bytes(_background.decode(body).background) == b"true"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class _Raw(msgspec.Struct):
    prompt_cache_key: msgspec.Raw = msgspec.Raw()
    safety_identifier: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    previous_response_id: msgspec.Raw = msgspec.Raw()
    conversation: msgspec.Raw = msgspec.Raw()


class _User(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw()


_raw = msgspec.json.Decoder(_Raw)
_user = msgspec.json.Decoder(_User)
_string = msgspec.json.Decoder(str)


def said_in(body: bytes) -> Mapping[str, str]:
    """
    :return: of what tells one conversation from others, what the body has: strings by name, Anthropic's
        ``metadata.user_id`` as ``user_id``, an object's JSON as it stands.
    """
    try:
        raw = _raw.decode(body)
        fields = {name: getattr(raw, name) for name in _Raw.__struct_fields__ if name != "metadata"}
        if bytes(raw.metadata).startswith(b"{"):
            fields["user_id"] = _user.decode(raw.metadata).user_id
        return {name: said for name, value in fields.items() if (said := _said(value))}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _said(value: msgspec.Raw) -> str | None:
    text = bytes(value)
    if text.startswith(b'"'):
        return _string.decode(text)
    return text.decode("utf-8", "replace") if text.startswith(b"{") else None
