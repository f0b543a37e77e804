"""
Embeddings, in neutral words and in OpenAI's; Google's are in :mod:`.gemini.embedding`.

Vectors are carried as the JSON text that came: one of 3072 numbers is 60 KB that nobody here has to count with.
"""

from __future__ import annotations

import base64
import sys
from abc import ABC, abstractmethod
from array import array
from typing import ClassVar

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.fields import BROKEN, Fields, in_utf8, integer, text
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.errors import BadRequest, UpstreamMalformed

__all__ = ["Embeddings", "EmbeddingsCodec", "EmbeddingsRequest", "OpenAIEmbeddings", "packed", "unpacked"]


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """What shall be embedded, and how."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    """Texts, or tokens of the model's own vocabulary, which mean nothing to any other."""
    single: bool = False
    """Whether the caller's dialect says it as one input, rather than as a list of one."""
    dimensions: int | None = None
    """How many numbers each vector shall have; ``None`` for the model's own."""
    base64: bool = False
    """Whether the caller wants vectors as 32-bit floats in base64, as OpenAI's SDKs do."""
    user: str | None = None
    task: str | None = None
    """What the vectors are for: Google's ``taskType``."""
    title: str | None = None
    """Of the document that is embedded."""
    extras: dict[str, msgspec.Raw] = {}
    """As in :class:`~.conversation.Request`."""
    hints: frozenset[str] = frozenset()
    dialect: str = ""


class Embeddings(msgspec.Struct, frozen=True):
    """A vector for each input, in their order."""

    model: str
    vectors: tuple[msgspec.Raw, ...]
    """Each a JSON array of numbers."""
    tokens: int | None = None
    """Of all inputs; ``None`` where the provider does not say."""


class EmbeddingsCodec(ABC):
    """One dialect's documents. The errors are those of its other calls."""

    name: ClassVar[str]

    @abstractmethod
    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        """
        :param model: where the path names it.
        :raises BadRequest: naming the field and what is wrong with it.
        """

    @abstractmethod
    def encode_request(self, request: EmbeddingsRequest, to: Destination, losses: Losses) -> bytes:
        """
        :raises Unsupported: the dialect cannot say it.
        """

    @abstractmethod
    def decode_answer(self, body: bytes) -> Embeddings:
        """
        :raises UpstreamMalformed: it is not an answer of this dialect.
        """

    @abstractmethod
    def encode_answer(self, answer: Embeddings, request: EmbeddingsRequest) -> bytes: ...


def packed(vector: msgspec.Raw) -> str:
    """
    :return: the numbers as 32-bit floats, little end first, in base64.
    """
    numbers = array("f", msgspec.json.decode(vector, type=list[float]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def unpacked(data: str) -> msgspec.Raw:
    """
    :raises ValueError: it is no such thing.
    """
    numbers = array("f")
    numbers.frombytes(base64.b64decode(data, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return msgspec.Raw(msgspec.json.encode(numbers.tolist()))


class _Embedding(msgspec.Struct):
    embedding: msgspec.Raw
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Embedding]
    model: str = ""
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_text_or_vector = msgspec.json.Decoder(str | list[float]).decode
_input = msgspec.json.Decoder(str | list[str | int | list[int]]).decode

_OTHERS = "OpenAI's embeddings have no such field."


class OpenAIEmbeddings(EmbeddingsCodec):
    """
    ``POST /v1/embeddings``.

    Source: https://platform.openai.com/docs/api-reference/embeddings
    """

    name = "openai"

    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        fields = Fields(in_utf8(body), "")
        named = fields.take("model", text)
        found = fields.need("input", _input)
        form = fields.take("encoding_format", text)
        if form not in (None, "float", "base64"):
            raise BadRequest.of_field("encoding_format", 'has to be "float" or "base64".')
        return EmbeddingsRequest(
            model=model if model is not None else named or "",
            inputs=_inputs(found),
            single=isinstance(found, str),
            dimensions=fields.take("dimensions", integer),
            base64=form == "base64",
            user=fields.take("user", text),
            extras={name: raw for name, raw in fields.rest.items() if raw != msgspec.Raw(b"null")},
            dialect=self.name,
        )

    def encode_request(self, request: EmbeddingsRequest, to: Destination, losses: Losses) -> bytes:
        inputs: object = request.inputs[0] if request.single and len(request.inputs) == 1 else request.inputs
        body: dict[str, object] = {"model": to.model, "input": inputs, "encoding_format": "float"}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.user is not None:
            body["user"] = request.user
        for name, value in (("taskType", request.task), ("title", request.title)):
            if value is not None and losses.drop(name, Weight.HINT, _OTHERS):
                body[name] = value
        for name, raw in request.extras.items():
            weight = Weight.HINT if name in request.hints else Weight.MEANING
            if request.dialect == self.name or losses.drop(name, weight, _OTHERS):
                body[name] = raw
        return msgspec.json.encode(body)

    def decode_answer(self, body: bytes) -> Embeddings:
        try:
            answer = _answer(body)
            vectors = tuple(_vector(one.embedding) for one in sorted(answer.data, key=lambda one: one.index))
        except (*BROKEN, ValueError):
            raise UpstreamMalformed("The provider's answer is not one of embeddings.") from None
        return Embeddings(answer.model, vectors, None if answer.usage is None else answer.usage.prompt_tokens)

    def encode_answer(self, answer: Embeddings, request: EmbeddingsRequest) -> bytes:
        data = [
            {"object": "embedding", "index": index, "embedding": packed(vector) if request.base64 else vector}
            for index, vector in enumerate(answer.vectors)
        ]
        # The SDKs' types have no place for "not known".
        tokens = answer.tokens or 0
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        model = answer.model or request.model
        return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def _vector(raw: msgspec.Raw) -> msgspec.Raw:
    found = _text_or_vector(raw)
    return unpacked(found) if isinstance(found, str) else raw


def _inputs(found: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(found, str):
        return (found,)
    tokens = tuple(one for one in found if isinstance(one, int))
    if tokens:
        if len(tokens) < len(found):
            raise BadRequest.of_field("input", "has to be texts, or tokens, or lists of tokens.")
        return (tokens,)
    inputs = tuple(tuple(one) if isinstance(one, list) else one for one in found if not isinstance(one, int))
    if not inputs:
        raise BadRequest.of_field("input", "has to have at least one item.")
    return inputs
