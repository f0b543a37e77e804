"""OpenAI's Responses API."""

from llm_gateway.core.translation.responses.codec import ResponsesCodec

__all__ = ["ResponsesCodec"]
