"""Google's dialect: ``generateContent`` and its streaming form."""

from __future__ import annotations

from typing import Any

import msgspec

from llm_gateway.core.dialects.base import Dialect
from llm_gateway.errors import GatewayError


class Gemini(Dialect):
    """
    Errors are ``{"error": {"code", "message", "status"}}`` with the HTTP status as the code; so are error frames.

    Source: https://ai.google.dev/gemini-api/docs/troubleshooting
    """

    name = "gemini"
    title = "Gemini"
    auth = "x-goog-api-key"
    chat_endings = ()

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        return msgspec.json.encode(self._document(error))

    def error_frame(self, error: GatewayError, request_id: str) -> bytes:
        return b"data: " + msgspec.json.encode(self._document(error)) + b"\r\n\r\n"

    def ends_stream(self, tail: bytes) -> bool:
        # In text that a model wrote, the quote would be escaped.
        return b'finishReason":' in tail

    @staticmethod
    def _document(error: GatewayError) -> dict[str, Any]:
        return {"error": {"code": error.http_status, "message": error.message, "status": error.gemini_status}}
