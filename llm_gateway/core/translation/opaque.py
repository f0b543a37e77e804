"""
Opaque parts on their way through a dialect that is not their maker's.

A signature or an encrypted chain of thought is put into the caller's dialect where that dialect keeps its own (the
``signature`` of a thinking block, the ``encrypted_content`` of a reasoning item, a ``thoughtSignature``), marked so
that it is known again when the caller sends it back with its next request.

Some SDKs hold such a field as bytes and write it in their own base64: Google's writes the URL-safe alphabet whatever it
read. Both alphabets are understood, with and without padding.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from llm_gateway.core.translation.conversation import Opaque, Thinking

__all__ = ["sealed", "sealed_thinking", "unsealed", "unsealed_thinking"]

_MARK = "Z3cx"
"""``gw1`` in base64, so that the whole is valid base64 where a dialect demands it."""

_STANDARD = str.maketrans("-_", "+/")


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    dialect: str
    provider: str | None
    data: str
    redacted: bool = False
    id: str | None = None
    summary: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Sealed).decode


def sealed(opaque: Opaque, into: str) -> str:
    """
    :param into: the dialect that it travels in.
    :return: what to write there: its own data if that is its maker's dialect, else a sealed form, in base64.
    """
    if opaque.dialect == into:
        return opaque.data
    return _write(_Sealed(opaque.dialect, opaque.provider, opaque.data))


def unsealed(data: str, came_in: str) -> Opaque:
    """
    :param data: what the caller sent in the place where ``came_in`` keeps opaque data.
    :return: what it is: something sealed before, or else the dialect's own.
    """
    inner = _inner(data)
    return Opaque(came_in, None, data) if inner is None else Opaque(inner.dialect, inner.provider, inner.data)


def sealed_thinking(thinking: Thinking, into: str) -> str | None:
    """
    The same for dialects that have a place for a thinking's opaque data, but none for what else belongs to it.

    :return: what to write there; ``None`` where the thinking has nothing opaque. All but its text is known again from
        that, unless the dialect is its maker's: that one has its own places for the rest.
    """
    opaque = thinking.opaque
    if opaque is None or opaque.dialect == into:
        return None if opaque is None else opaque.data
    return _write(
        _Sealed(opaque.dialect, opaque.provider, opaque.data, thinking.redacted, thinking.id, thinking.summary)
    )


def unsealed_thinking(text: str, data: str, came_in: str) -> Thinking:
    """
    :param text: what is readable of it.
    :param data: as for :func:`unsealed`.
    """
    inner = _inner(data)
    if inner is None:
        return Thinking(text, Opaque(came_in, None, data))
    opaque = Opaque(inner.dialect, inner.provider, inner.data)
    return Thinking(text, opaque, redacted=inner.redacted, id=inner.id, summary=inner.summary)


def _write(inner: _Sealed) -> str:
    return _MARK + base64.b64encode(_encode(inner)).decode("ascii")


def _inner(data: str) -> _Sealed | None:
    if not data.startswith(_MARK):
        return None
    try:
        encoded = data[len(_MARK) :].translate(_STANDARD).rstrip("=")
        return _decode(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
