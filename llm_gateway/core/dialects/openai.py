"""OpenAI's dialect: Chat Completions, Responses and everything else under ``/v1``."""

from __future__ import annotations

from typing import Any

import msgspec

from llm_gateway.core.dialects.base import Dialect
from llm_gateway.errors import GatewayError


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
        # Chat ends with [DONE]; Responses with one of its terminal events and no [DONE].
        return b"data: [DONE]" in tail or b"data:[DONE]" in tail or b'"type":"response.' in tail

    @staticmethod
    def _document(error: GatewayError) -> dict[str, Any]:
        return {"error": {"message": error.message, "type": error.openai_type, "param": None, "code": error.kind}}
