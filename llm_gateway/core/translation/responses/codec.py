"""The codec of OpenAI's Responses API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from llm_gateway.core.translation.codec import Codec, Destination, StreamDecoder, StreamEncoder
from llm_gateway.core.translation.conversation import Answer, Image, Inline, Part, Request
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.responses.failures import read_failure, write_failure
from llm_gateway.core.translation.responses.read_answer import read_answer
from llm_gateway.core.translation.responses.read_request import read_request
from llm_gateway.core.translation.responses.stream_decoder import ResponsesStreamDecoder
from llm_gateway.core.translation.responses.stream_encoder import ResponsesStreamEncoder
from llm_gateway.core.translation.responses.write_answer import Sources, write_answer
from llm_gateway.core.translation.responses.write_request import write_request

__all__ = ["ResponsesCodec"]


def _new_id() -> str:
    return uuid.uuid4().hex


class ResponsesCodec(Codec):
    """
    ``POST /v1/responses``, without what OpenAI keeps.

    Source: https://platform.openai.com/docs/api-reference/responses and the types of the official Python SDK 3.54.
    """

    name = "responses"
    dialect = "openai"

    def __init__(self, now: Callable[[], float] = time.time, new_id: Callable[[], str] = _new_id) -> None:
        """
        :param now: seconds since the epoch, for answers of providers that do not say when they were made.
        :param new_id: for answers without an id.
        """
        self._sources = Sources(now, new_id)

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> Request:
        return read_request(body, model, stream)

    def encode_request(self, request: Request, to: Destination, losses: Losses) -> bytes:
        return write_request(request, to, losses)

    def decode_answer(self, body: bytes, *, provider: str) -> Answer:
        return read_answer(body, provider)

    def encode_answer(self, answer: Answer, request: Request) -> bytes:
        return write_answer(answer, request, self._sources)

    def stream_decoder(self, *, provider: str) -> StreamDecoder:
        return ResponsesStreamDecoder(provider)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return ResponsesStreamEncoder(request, self._sources)

    def says(self, part: Part) -> bool:
        # An image is a call that made it, with its data.
        return isinstance(part.source, Inline) if isinstance(part, Image) else super().says(part)

    def decode_failure(self, status: int, body: bytes) -> ProviderFailure:
        return read_failure(status, body)

    def encode_failure(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        return write_failure(failure)
