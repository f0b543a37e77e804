"""The size of an image in pixels, read off the first bytes of its file."""

from __future__ import annotations

import base64
import binascii

__all__ = ["image_size"]

HEAD = 131_072
"""Characters of base64 that are looked at: 96 KiB. Cameras put a preview of up to 64 KiB before a JPEG's size."""


def image_size(data: str) -> tuple[int, int] | None:
    """
    :param data: a file in base64; its beginning is enough.
    :return: width and height; ``None`` for what is no PNG, JPEG, GIF or WebP, or hides its size.
    """
    try:
        head = base64.b64decode(data[: HEAD - HEAD % 4])
    except (binascii.Error, ValueError):
        return None
    size = _png(head) or _gif(head) or _webp(head) or _jpeg(head)
    return size if size is not None and all(size) else None


def _big(head: bytes, at: int, length: int) -> int:
    return int.from_bytes(head[at : at + length], "big")


def _little(head: bytes, at: int, length: int) -> int:
    return int.from_bytes(head[at : at + length], "little")


def _png(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    return _big(head, 16, 4), _big(head, 20, 4)


def _gif(head: bytes) -> tuple[int, int] | None:
    if not head.startswith((b"GIF87a", b"GIF89a")) or len(head) < 10:
        return None
    return _little(head, 6, 2), _little(head, 8, 2)


def _webp(head: bytes) -> tuple[int, int] | None:
    if not (head.startswith(b"RIFF") and head[8:12] == b"WEBP") or len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8 ":
            return _little(head, 26, 2) & 0x3FFF, _little(head, 28, 2) & 0x3FFF
        case b"VP8L":
            bits = _little(head, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _little(head, 24, 3) + 1, _little(head, 27, 3) + 1
    return None


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers behind which a JPEG's size stands. Source: ITU-T T.81, table B.1."""


def _jpeg(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    # A segment is its marker, its length with the length itself, and its content.
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in _FRAMES:
            return _big(head, at + 7, 2), _big(head, at + 5, 2)
        at += 2 + max(2, _big(head, at + 2, 2))
    return None
