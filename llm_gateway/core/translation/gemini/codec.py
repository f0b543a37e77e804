"""The codec that the rest of the gateway sees."""

from __future__ import annotations

import re

import msgspec

from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.conversation import Answer, Audio, Document, Image, Request
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.gemini.answers import read_answer
from llm_gateway.core.translation.gemini.failures import error_document, read_failure
from llm_gateway.core.translation.gemini.reading import read_request
from llm_gateway.core.translation.gemini.said import write_answer
from llm_gateway.core.translation.gemini.stream import GeminiStreamDecoder, GeminiStreamEncoder
from llm_gateway.core.translation.gemini.writing import write_request
from llm_gateway.core.translation.losses import Losses

__all__ = ["GeminiCodec"]


class GeminiCodec(Codec):
    """``generateContent``. Model and verb are in the path: see :mod:`llm_gateway.core.apis`."""

    name = "gemini"
    answers = frozenset({Audio, Document, Image})
    dialect = "gemini"
    tool_name = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")

    def __init__(self, *, json_schema: bool = True, sse: bool = True) -> None:
        """
        :param json_schema: whether the endpoint takes ``parametersJsonSchema`` and ``responseJsonSchema``, which keep
            JSON Schema as it is; Google's own do. Otherwise schemas are converted, and lose what Google's have not.
        :param sse: whether callers of streams asked for ``alt=sse``; else they get one array. Both are read.
        """
        self._json_schema = json_schema
        self._sse = sse
        if not sse:
            self.stream_type = b"application/json"

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> Request:
        return read_request(body, model, stream)

    def encode_request(self, request: Request, to: Destination, losses: Losses) -> bytes:
        return write_request(request, to, losses, json_schema=self._json_schema)

    def decode_answer(self, body: bytes, *, provider: str) -> Answer:
        return read_answer(body, provider)

    def encode_answer(self, answer: Answer, request: Request) -> bytes:
        return write_answer(answer)

    def stream_decoder(self, *, provider: str) -> GeminiStreamDecoder:
        return GeminiStreamDecoder(provider)

    def stream_encoder(self, request: Request) -> GeminiStreamEncoder:
        return GeminiStreamEncoder(sse=self._sse)

    def decode_failure(self, status: int, body: bytes) -> ProviderFailure:
        return read_failure(status, body)

    def encode_failure(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        status, document = error_document(failure, request_id)
        return status, msgspec.json.encode(document)
