"""From a request in the caller's dialect to a call in the provider's."""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec
from msgspec.structs import replace
from twisted.web.server import Request

from llm_gateway.core.apis import CONVERSATIONS, Api
from llm_gateway.core.record import printable
from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.codecs import ARRAYS, CODECS
from llm_gateway.core.translation.embeddings import EmbeddingsCodec, OpenAIEmbeddings
from llm_gateway.core.translation.gemini.counting import read_count, write_count_request
from llm_gateway.core.translation.gemini.embedding import GeminiEmbeddings
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.translation import DocumentTranslation, Interpreter, Translation
from llm_gateway.upstream.attempt import ProviderCall
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant, Way
from llm_gateway.web.request_body import RequestBody
from llm_gateway.wire.fields import fields_of
from llm_gateway.wire.upload import BytesBody

MAX_NAMED_BYTES = 1_024
"""Of the header that names what could not be said."""

_EMBEDDINGS: dict[Api, tuple[EmbeddingsCodec, Api]] = {
    Api.EMBEDDINGS: (OpenAIEmbeddings(), Api.GEMINI_EMBEDDINGS),
    Api.GEMINI_EMBEDDINGS: (GeminiEmbeddings(), Api.EMBEDDINGS),
}
"""What reads and writes them, and as what a provider of the other dialect has them."""

_SPOKEN = {Api.EMBEDDINGS: Api.CHAT, Api.GEMINI_EMBEDDINGS: Api.GEMINI}
"""Whose errors they have."""


def translated(
    request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody
) -> tuple[ProviderCall, Interpreter] | None:
    """
    :return: what the provider is sent, and what turns its answer into the caller's; ``None`` where what is asked for
        cannot be translated.
    :raises GatewayError: the request cannot be read, the key may not call its model, or the provider's dialect cannot
        say it.
    """
    api, target = context.asked.api, way.target
    if api in CONVERSATIONS:
        return _conversation(request, context, grant, way, body)
    if api in _EMBEDDINGS and _EMBEDDINGS[api][1] in target.apis:
        return _embeddings(request, context, grant, way, body)
    if api is Api.COUNT_TOKENS and Api.GEMINI_COUNT_TOKENS in target.apis:
        return _count(request, context, grant, way, body)
    return None


def _conversation(
    request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    asked, target = context.asked, way.target
    caller = _caller(context)
    conversation = caller.decode_request(body.whole(), model=asked.model or context.model, stream=asked.stream)
    to = _destination(context, grant, way, conversation.model)
    losses = Losses(grant.on_unsupported)
    translation = Translation(caller, CODECS[target.conversation], conversation, to, losses)
    url = target.url_of(target.conversation, to.model, stream=conversation.stream)
    return _call(request, context, grant, way, url, translation), translation


def _embeddings(
    request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    asked = context.asked
    reader, api = _EMBEDDINGS[asked.api]
    writer, _ = _EMBEDDINGS[api]
    embeddings = reader.decode_request(body.whole(), model=asked.model or context.model)
    to = _destination(context, grant, way, embeddings.model)
    losses = Losses(grant.on_unsupported)
    written = writer.encode_request(embeddings, to, losses)

    def answer(document: bytes) -> bytes:
        answered = writer.decode_answer(document)
        return reader.encode_answer(answered if answered.model else replace(answered, model=to.model), embeddings)

    codecs = CODECS[_SPOKEN[asked.api]], CODECS[_SPOKEN[api]]
    translation = DocumentTranslation(*codecs, written, losses, answer)
    return _call(request, context, grant, way, way.target.url_of(api, to.model, stream=False), translation), translation


def _count(
    request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    """Anthropic's count, by Google's."""
    prompt = CODECS[Api.MESSAGES].decode_request(body.whole())
    to = _destination(context, grant, way, prompt.model)
    losses = Losses(OnUnsupported.DROP)
    written = write_count_request(prompt, to, losses)

    def answer(document: bytes) -> bytes:
        return msgspec.json.encode({"input_tokens": read_count(document)})

    translation = DocumentTranslation(CODECS[Api.MESSAGES], CODECS[Api.GEMINI], written, losses, answer)
    url = way.target.url_of_gemini(to.model, "countTokens", b"")
    return _call(request, context, grant, way, url, translation), translation


def _destination(context: CallContext, grant: Grant, way: Way, model: str) -> Destination:
    context.record.model = printable(model)
    chosen, provider = grant.chosen(model), way.target.provider
    facts = chosen.facts
    return Destination(
        chosen.name,
        provider.name,
        max_output_tokens=facts.max_output_tokens,
        reasoning=facts.reasoning,
        preset=provider.preset,
    )


def _call(
    request: Request, context: CallContext, grant: Grant, way: Way, url: bytes, translation: Interpreter
) -> ProviderCall:
    if translation.lost:
        dropped = context.record.dropped = printable(",".join(translation.lost), MAX_NAMED_BYTES)
        fields_of(request.responseHeaders)[b"X-Gw-Dropped"] = [dropped.encode("ascii", "replace")]
    target = way.target
    return ProviderCall(
        provider=target.provider.name,
        method="POST",
        url=url,
        headers=target.headers_for_translated(request.requestHeaders, way.headers),
        body=BytesBody(translation.body),
        secrets=grant.secrets,
        timeouts=target.provider.timeouts,
    )


def _caller(context: CallContext) -> Codec:
    """Gemini's streams come as events only to callers who ask for them so."""
    if context.asked.api is Api.GEMINI and parse_qs(context.query).get(b"alt") != [b"sse"]:
        return ARRAYS
    return CODECS[context.asked.api]
