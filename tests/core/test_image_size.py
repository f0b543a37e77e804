"""Sizes of images, from the first bytes of their files."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.image_size import HEAD, image_size

JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def jpeg(width: int, height: int, frame: int = 0xC0, before: bytes = b"") -> bytes:
    return JFIF + before + bytes([0xFF, frame, 0, 17, 8]) + struct.pack(">HH", height, width) + bytes(8)


def segment(length: int) -> bytes:
    """A part of a JPEG that says nothing of its size, such as a camera's data."""
    return b"\xff\xe1" + struct.pack(">H", length) + bytes(length - 2)


def webp(kind: bytes, content: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + struct.pack("<I", len(content)) + content + bytes(20)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", 640, 480),
        b"GIF89a" + struct.pack("<HH", 640, 480) + bytes(20),
        b"GIF87a" + struct.pack("<HH", 640, 480) + bytes(20),
        webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
        webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)),
        webp(b"VP8X", bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
        jpeg(640, 480),
        jpeg(640, 480, 0xC2),
        jpeg(640, 480, before=segment(65_535)),
        jpeg(640, 480, before=b"\xff\xc4\x00\x04\x00\x00"),
    ],
)
def test_size_is_read_off_the_head(data: bytes) -> None:
    assert image_size(base64.b64encode(data).decode()) == (640, 480)
    assert image_size(base64.b64encode(data + bytes(1000)).decode()) == (640, 480)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + bytes(8),
        webp(b"VP9 ", b""),
        b"RIFF\x00\x00\x00\x00WEBP",
        JFIF,
        JFIF + b"no marker at all",
        jpeg(640, 480, before=segment(65_535) * 2),
    ],
)
def test_file_that_does_not_tell_its_size_has_none(data: bytes) -> None:
    assert image_size(base64.b64encode(data).decode()) is None


def test_what_is_not_base64_has_no_size() -> None:
    assert image_size("é") is None
    assert image_size("A") is None


def test_no_more_is_read_than_the_head() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", 640, 480) + bytes(9)).decode()
    assert image_size(png.ljust(HEAD, "A") + "é" * 100) == (640, 480)


@given(st.sampled_from([b"\xff\xd8", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBP", b""]), st.binary(max_size=60))
def test_hostile_files_are_read_without_a_traceback(start: bytes, rest: bytes) -> None:
    size = image_size(base64.b64encode(start + rest).decode())
    assert size is None or min(size) > 0
