"""Raw JSON values, looked at without being built."""

from __future__ import annotations

import msgspec

__all__ = ["is_text", "json_text"]


def is_text(raw: msgspec.Raw) -> bool:
    """
    :return: whether it is a JSON string.
    """
    return bytes(memoryview(raw)[:1]) == b'"'


def json_text(raw: msgspec.Raw) -> str:
    """
    :return: the JSON text itself.
    """
    return bytes(raw).decode()
