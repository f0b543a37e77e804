"""Anthropic's dialect: the Messages API."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llm_gateway.core.dialects.base import Dialect
from llm_gateway.errors import GatewayError

_LAST_EVENT = re.compile(rb'(?:^|[\r\n])data: ?\{[^\r\n]*"type" ?: ?"message_stop"[^\r\n]*\}\s*$')
"""Text that a model wrote cannot look so: inside JSON its quotes are escaped."""


class Anthropic(Dialect):
    """
    Errors are ``{"type": "error", "error": {"type", "message"}, "request_id"}``; in a stream, ``event: error``.

    Source: https://platform.claude.com/docs/en/api/errors and the streaming page beside it.
    """

    name = "anthropic"
    title = "Anthropic"
    auth = "x-api-key"
    chat_endings = ("/messages",)
    # The version that curl users mean when they send none; SDKs always send theirs, and theirs is passed on.
    default_headers = ((b"anthropic-version", b"2023-06-01"),)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        return msgspec.json.encode(self._document(error, request_id))

    def error_frame(self, error: GatewayError, request_id: str) -> bytes:
        return b"event: error\ndata: " + msgspec.json.encode(self._document(error, request_id)) + b"\n\n"

    def ends_stream(self, tail: bytes) -> bool:
        return _LAST_EVENT.search(tail) is not None

    @staticmethod
    def _document(error: GatewayError, request_id: str) -> dict[str, Any]:
        return {
            "type": "error",
            "error": {"type": error.anthropic_type, "message": error.message},
            "request_id": request_id,
        }
