"""
Opaque parts on their way through a dialect that is not their maker's.

A signature or an encrypted chain of thought is put into the caller's dialect where that dialect keeps its own (the
``signature`` of a thinking block, the ``encrypted_content`` of a reasoning item, a ``thoughtSignature``), marked so
that it is known again when the caller sends it back with its next request.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from llm_gateway.core.translation.conversation import Opaque

__all__ = ["sealed", "unsealed"]

_MARK = "Z3cx"
"""``gw1`` in base64, so that the whole is valid base64 where a dialect demands it."""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    dialect: str
    provider: str | None
    data: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Sealed).decode


def sealed(opaque: Opaque, into: str) -> str:
    """
    :param into: the dialect that it travels in.
    :return: what to write there: its own data if that is its maker's dialect, else a sealed form, in base64.
    """
    if opaque.dialect == into:
        return opaque.data
    inner = _encode(_Sealed(opaque.dialect, opaque.provider, opaque.data))
    return _MARK + base64.b64encode(inner).decode("ascii")


def unsealed(data: str, came_in: str) -> Opaque:
    """
    :param data: what the caller sent in the place where ``came_in`` keeps opaque data.
    :return: what it is: something sealed before, or else the dialect's own.
    """
    if data.startswith(_MARK):
        try:
            inner = _decode(base64.b64decode(data[len(_MARK) :], validate=True))
        except (binascii.Error, msgspec.DecodeError, ValueError):
            return Opaque(came_in, None, data)
        return Opaque(inner.dialect, inner.provider, inner.data)
    return Opaque(came_in, None, data)
