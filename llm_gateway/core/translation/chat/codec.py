"""OpenAI's Chat Completions, both as what callers speak and as what providers speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from llm_gateway.core.translation.chat.answer_in import read_answer
from llm_gateway.core.translation.chat.answer_out import write_answer
from llm_gateway.core.translation.chat.failures import read_failure, write_failure
from llm_gateway.core.translation.chat.request_in import read_request
from llm_gateway.core.translation.chat.request_out import write_request
from llm_gateway.core.translation.chat.stream_in import ChatStreamDecoder
from llm_gateway.core.translation.chat.stream_out import ChatStreamEncoder
from llm_gateway.core.translation.codec import Codec, Destination, StreamDecoder, StreamEncoder
from llm_gateway.core.translation.conversation import Answer, Audio, Image, Request
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.losses import Losses

__all__ = ["ChatCodec"]


class ChatCodec(Codec):
    """Source: https://platform.openai.com/docs/api-reference/chat and the official Python SDK's types."""

    name: ClassVar[str] = "chat"
    answers = frozenset({Audio, Image})
    dialect: ClassVar[str] = "openai"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """
        :param now: seconds since the epoch: ``created`` is demanded of every answer, and not every dialect has it.
        """
        self._now = now

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> Request:
        return read_request(body, model, stream)

    def encode_request(self, request: Request, to: Destination, losses: Losses) -> bytes:
        return write_request(request, to, losses)

    def decode_answer(self, body: bytes, *, provider: str) -> Answer:
        return read_answer(body, provider)

    def encode_answer(self, answer: Answer, request: Request) -> bytes:
        return write_answer(answer, request, self._now)

    def stream_decoder(self, *, provider: str) -> StreamDecoder:
        return ChatStreamDecoder(provider)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return ChatStreamEncoder(request, self._now)

    def decode_failure(self, status: int, body: bytes) -> ProviderFailure:
        return read_failure(status, body)

    def encode_failure(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        return write_failure(failure)
