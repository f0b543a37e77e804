"""Every codec by what it is for; adding a dialect adds a package and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.codec import Codec
from llm_gateway.core.translation.gemini.codec import GeminiCodec
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.core.translation.responses.codec import ResponsesCodec

__all__ = ["ARRAYS", "CODECS"]

CODECS: Mapping[Api, Codec] = MappingProxyType(
    {
        Api.CHAT: ChatCodec(),
        Api.RESPONSES: ResponsesCodec(),
        Api.MESSAGES: MessagesCodec(),
        Api.GEMINI: GeminiCodec(),
    }
)

ARRAYS: Codec = GeminiCodec(sse=False)
"""Gemini's for callers who do not ask for events: their streams are one JSON array."""
