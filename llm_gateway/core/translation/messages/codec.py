"""The codec of the Messages dialect."""

from __future__ import annotations

from llm_gateway.core.translation.codec import Codec, Destination, StreamDecoder, StreamEncoder
from llm_gateway.core.translation.conversation import Answer, Request
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.messages.answer import read_answer, write_answer
from llm_gateway.core.translation.messages.failures import read_failure, write_failure
from llm_gateway.core.translation.messages.names import DIALECT, NAME, TOOL_NAME
from llm_gateway.core.translation.messages.request_in import read_request
from llm_gateway.core.translation.messages.request_out import write_request
from llm_gateway.core.translation.messages.stream_in import MessagesStreamDecoder
from llm_gateway.core.translation.messages.stream_out import MessagesStreamEncoder

__all__ = ["MessagesCodec"]


class MessagesCodec(Codec):
    """Anthropic's Messages API."""

    name = NAME
    dialect = DIALECT
    tool_name = TOOL_NAME

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> Request:
        return read_request(body, model, stream)

    def encode_request(self, request: Request, to: Destination, losses: Losses) -> bytes:
        return write_request(request, to, losses)

    def decode_answer(self, body: bytes, *, provider: str) -> Answer:
        return read_answer(body, provider)

    def encode_answer(self, answer: Answer, request: Request) -> bytes:
        return write_answer(answer)

    def stream_decoder(self, *, provider: str) -> StreamDecoder:
        return MessagesStreamDecoder(provider)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return MessagesStreamEncoder()

    def decode_failure(self, status: int, body: bytes) -> ProviderFailure:
        return read_failure(status, body)

    def encode_failure(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        return write_failure(failure, request_id)
