"""OpenAI's dialect: Chat Completions, Responses and everything else under ``/v1``."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llm_gateway.core.dialects.base import Dialect
from llm_gateway.errors import GatewayError

_LAST_EVENT = re.compile(
    rb"(?:^|[\r\n])(?:data: ?\[DONE\]|event: ?response\.(?:completed|incomplete|failed)[\r\n]+data: ?\{[^\r\n]*\}\s*$)"
)
"""Chat ends with the first, Responses with one of the others and without the first. Text that a model wrote cannot look
so: inside JSON no line begins."""


class OpenAI(Dialect):
    """
    Errors are ``{"error": {"message", "type", "param", "code"}}``; a stream carries them as one ``data:`` frame.

    Source: https://platform.openai.com/docs/guides/error-codes and the stream reader of the official Python SDK,
    which raises ``APIError`` for a data frame with a top-level ``error``.
    """

    name = "openai"
    title = "OpenAI"
    auth = "bearer"
    chat_endings = ("/chat/completions", "/responses", "/completions")

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        return msgspec.json.encode(self._document(error))

    def error_frame(self, error: GatewayError, request_id: str) -> bytes:
        return b"data: " + msgspec.json.encode(self._document(error)) + b"\n\n"

    def ends_stream(self, tail: bytes) -> bool:
        return _LAST_EVENT.search(tail) is not None

    @staticmethod
    def _document(error: GatewayError) -> dict[str, Any]:
        return {
            "error": {
                "message": error.message,
                "type": error.openai_type,
                "param": error.param,
                "code": error.kind,
            }
        }
