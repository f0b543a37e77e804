"""OpenAI's Chat Completions dialect, to and from the neutral conversation."""

from __future__ import annotations

from llm_gateway.core.translation.chat.codec import ChatCodec

__all__ = ["ChatCodec"]
