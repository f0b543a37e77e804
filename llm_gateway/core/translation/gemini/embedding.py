"""
``embedContent`` and ``batchEmbedContents``.

Google's vectors of fewer dimensions than the model's own are not of length 1, unlike OpenAI's: they are passed on as
they are.

Source: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.embeddings import Embeddings, EmbeddingsCodec, EmbeddingsRequest
from llm_gateway.core.translation.fields import BROKEN, Decode
from llm_gateway.core.translation.gemini.fields import Fields, integer, read_body, text, wrong
from llm_gateway.core.translation.gemini.reading import without_prefix
from llm_gateway.core.translation.losses import Losses, Unsupported, Weight
from llm_gateway.errors import UpstreamMalformed

__all__ = ["GeminiEmbeddings"]

T = TypeVar("T")


class _Vector(msgspec.Struct):
    values: msgspec.Raw


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None
    usage_metadata: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_numbers = msgspec.json.Decoder(list[float]).decode

_HINTS = frozenset({"autoTruncate"})
_OTHERS = "Google's embeddings have no such field."


class GeminiEmbeddings(EmbeddingsCodec):
    """One document for each text; all of them in one call of ``batchEmbedContents``, also where there is one."""

    name = "gemini"

    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        whole = read_body(body)
        single = "requests" not in whole
        requests: Sequence[Fields] = [whole] if single else whole.objects("requests")
        if not requests:
            raise wrong("requests", "there has to be at least one.")
        read = [self._read(request, model) for request in requests]
        first = read[0]
        if any(_manner(one) != _manner(first) for one in read):
            raise wrong(
                "requests", "all of them have to have the same model, taskType, title and outputDimensionality."
            )
        inputs = tuple(text for one in read for text in one.inputs)
        extras = {} if single else {whole.at(name): raw for name, raw in whole.rest.items()}
        for one in read:
            extras.update(one.extras)
        hints = frozenset(name for name in extras if name.rpartition(".")[2] in _HINTS)
        return msgspec.structs.replace(first, inputs=inputs, single=single, extras=extras, hints=hints)

    def _read(self, request: Fields, model: str | None) -> EmbeddingsRequest:
        named = request.take("model", text)
        content = request.inner("content")
        if content is None:
            raise wrong(request.at("content"), "it is missing.")
        content.raw("role")
        texts = []
        for part in content.objects("parts"):
            said = part.take("text", text)
            if said is None or part.rest:
                raise wrong(part.place, "only text can be embedded here.")
            texts.append(said)
        if not texts:
            raise wrong(content.at("parts"), "there has to be at least one.")
        # The newer place of these fields, in the single call.
        config = request.inner("embedContentConfig") or Fields(b"{}", request.at("embedContentConfig"))
        return EmbeddingsRequest(
            model=model if model is not None else without_prefix(named or ""),
            inputs=("\n".join(texts),),
            dimensions=_first(request, config, "outputDimensionality", integer),
            task=_first(request, config, "taskType", text),
            title=_first(request, config, "title", text),
            extras={fields.at(name): raw for fields in (content, config, request) for name, raw in fields.rest.items()},
            dialect=self.name,
        )

    def encode_request(self, request: EmbeddingsRequest, to: Destination, losses: Losses) -> bytes:
        shared: dict[str, object] = {"model": f"models/{without_prefix(to.model)}"}
        for field, value in (
            ("outputDimensionality", request.dimensions),
            ("taskType", request.task),
            ("title", request.title),
        ):
            if value is not None:
                shared[field] = value
        body: dict[str, object] = {"requests": [shared | {"content": _content(text)} for text in request.inputs]}
        if request.user is not None and losses.drop("user", Weight.HINT, _OTHERS):
            body["user"] = request.user
        for name, raw in request.extras.items():
            weight = Weight.HINT if name in request.hints else Weight.MEANING
            if not name.isidentifier():
                losses.lose(name, weight, _OTHERS)
            elif losses.drop(name, weight, _OTHERS):
                body[name] = raw
        return msgspec.json.encode(body)

    def decode_answer(self, body: bytes) -> Embeddings:
        try:
            answer = _answer(body)
            found = answer.embeddings if answer.embedding is None else [answer.embedding]
            for vector in found or ():
                _numbers(vector.values)
        except BROKEN:
            found = None
        if found is None:
            raise UpstreamMalformed("The provider's answer is not one of embeddings.")
        usage = answer.usage_metadata
        vectors = tuple(vector.values for vector in found)
        return Embeddings("", vectors, None if usage is None else usage.prompt_token_count)

    def encode_answer(self, answer: Embeddings, request: EmbeddingsRequest) -> bytes:
        vectors = [{"values": vector} for vector in answer.vectors]
        body: dict[str, object] = {"embedding": vectors[0]} if request.single and vectors else {"embeddings": vectors}
        if answer.tokens is not None:
            body["usageMetadata"] = {"promptTokenCount": answer.tokens}
        return msgspec.json.encode(body)


def _first(request: Fields, config: Fields, name: str, decode: Decode[T]) -> T | None:
    found = request.take(name, decode)
    return config.take(name, decode) if found is None else found


def _content(text: str | tuple[int, ...]) -> dict[str, object]:
    if not isinstance(text, str):
        why = "tokens mean something to the model's own maker only."
        raise Unsupported(f"input cannot be sent to this provider: {why}", param="input")
    return {"parts": [{"text": text}]}


def _manner(request: EmbeddingsRequest) -> tuple[object, ...]:
    return request.model, request.dimensions, request.task, request.title
