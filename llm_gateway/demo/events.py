"""How the dialects write server-sent events and read requests."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from llm_gateway.demo.values import Refused

_Request = TypeVar("_Request")


def frame(document: Any, event: str | None = None) -> bytes:
    """One event with a JSON document as its data."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + msgspec.json.encode(document) + b"\n\n"


def decode(body: bytes, kind: type[_Request]) -> _Request:
    """
    :raises Refused: the body is not JSON, or lacks what ``kind`` needs. Fields that ``kind`` does not have are ignored.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place = str(error).partition(" - at `$.")[2].rstrip("`")
        raise Refused(400, str(error), param=place or None) from error
