"""From a request in the caller's dialect to a call in the provider's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

import msgspec
from msgspec.structs import replace
from twisted.web.server import Request

from llm_gateway.core.apis import CONVERSATIONS, COUNTS, Api
from llm_gateway.core.estimate import estimate_body, estimate_input
from llm_gateway.core.model_rules import ModelFacts
from llm_gateway.core.models_list import QUERIES
from llm_gateway.core.record import printable
from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.codecs import ARRAYS, CODECS
from llm_gateway.core.translation.conversation import Request as Conversation
from llm_gateway.core.translation.embeddings import EmbeddingsCodec, OpenAIEmbeddings
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.gemini.counting import read_count, read_count_request, write_count_request
from llm_gateway.core.translation.gemini.embedding import GeminiEmbeddings
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.openai_apis import preferred_api
from llm_gateway.core.translation.spelling import SpelledLosses, Spelling, collapsed
from llm_gateway.core.translation.tool_names import ToolNames
from llm_gateway.core.translation.translation import DocumentTranslation, Interpreter, Translation
from llm_gateway.errors import UpstreamMalformed
from llm_gateway.upstream.attempt import ProviderCall
from llm_gateway.upstream.targets import Target
from llm_gateway.web.answer import Answer
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Way
from llm_gateway.web.models import known_page, listed_page
from llm_gateway.web.request_body import RequestBody
from llm_gateway.web.translated import TranslatedAnswer
from llm_gateway.wire.fields import fields_of
from llm_gateway.wire.upload import BytesBody

MAX_NAMED_BYTES = 1_024
"""Of the header that names what could not be said."""

_EMBEDDINGS: dict[Api, tuple[EmbeddingsCodec, Api]] = {
    Api.EMBEDDINGS: (OpenAIEmbeddings(), Api.GEMINI_EMBEDDINGS),
    Api.GEMINI_EMBEDDINGS: (GeminiEmbeddings(), Api.EMBEDDINGS),
}
"""What reads and writes them, and as what a provider of the other dialect has them."""

_COUNTED = {
    Api.COUNT_TOKENS: (Api.MESSAGES, "anthropic"),
    Api.GEMINI_COUNT_TOKENS: (Api.GEMINI, "gemini"),
    Api.RESPONSES_COUNT_TOKENS: (Api.RESPONSES, "openai"),
}
"""Which conversation is counted, and whose caller wants to know."""

_SAID_BY = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}
"""Whose errors a dialect's callers know."""

_SPOKEN = {Api.EMBEDDINGS: Api.CHAT, Api.GEMINI_EMBEDDINGS: Api.GEMINI}
"""Whose errors they have."""


def estimated(
    request: Request, context: CallContext, target: Target, model: str, facts: ModelFacts, body: RequestBody
) -> bytes:
    """
    Count the tokens of a prompt where no provider can be asked.

    :param model: as the provider calls it.
    :return: the answer, marked as an estimate in a header.
    :raises GatewayError: the request cannot be read.
    """
    prompt = _prompt(context, body.whole())
    fields_of(request.responseHeaders)[b"X-Gw-Estimated"] = [b"input_tokens"]
    tokens = estimate_input(prompt, dialect=target.dialect.name, model=model)
    return estimate_body(_COUNTED[context.asked.api][1], tokens)


def translated(
    request: Request,
    context: CallContext,
    way: Way,
    model: str,
    facts: ModelFacts,
    policy: OnUnsupported,
    body: RequestBody,
    answer: Answer,
) -> tuple[ProviderCall, TranslatedAnswer, str | None]:
    """
    :param way: of a provider for which ``routes.can_translate`` says yes, and ``is_estimated`` no.
    :param model: as the provider calls it.
    :param policy: what is done about what the provider's dialect cannot say.
    :param answer: where the answer goes in the caller's dialect.
    :return: what the provider is sent, what turns its answer into the caller's, and how the caller and the log are told
        of what could not be said; ``None`` if there is nothing to tell.
    :raises GatewayError: the request cannot be read, or the provider's dialect cannot say it.
    """
    to = _destination(way.target, model, facts)
    api = context.asked.api
    if api in CONVERSATIONS:
        call, translation = _conversation(request, context, way, to, policy, body)
    elif api is Api.MODELS:
        call, translation = _models(request, context, way)
    elif api in COUNTS:
        call, translation = _count(request, context, way, to, body)
    else:
        call, translation = _embeddings(request, context, way, to, policy, body)
    lost = named(translation.lost) if translation.lost else None
    return call, TranslatedAnswer(answer, translation, context.request_id, way.secrets), lost


def asked_for(asked: Api, target: Target, model: str, facts: ModelFacts) -> Api:
    """
    :param asked: what the caller asks for, which is translated for this provider.
    :return: what the provider is asked for: by a conversation of nothing but text, where that makes a difference.
    """
    if asked in CONVERSATIONS:
        return _conversation_api(target, Conversation(model, ()), _destination(target, model, facts))
    return _EMBEDDINGS[asked][1] if asked in _EMBEDDINGS else asked


def _destination(target: Target, model: str, facts: ModelFacts) -> Destination:
    provider = target.provider
    return Destination(
        model,
        provider.name,
        max_output_tokens=facts.max_output_tokens,
        reasoning=facts.reasoning,
        preset=provider.preset,
    )


def _conversation_api(target: Target, conversation: Conversation, to: Destination) -> Api:
    api = target.conversation
    if api is Api.CHAT and Api.RESPONSES in target.apis and not target.names_models:
        return preferred_api(conversation, to)
    return api


def named(fields: Sequence[str]) -> str:
    """
    Name what was lost in at most `MAX_NAMED_BYTES`.

    A long conversation can lose the same field in each of its messages. Where there is no room for all of the places,
    each field is named once, ``messages[].name``; where there is none for that either, dots at the end say so.
    """
    text = ",".join(fields)
    if len(text) > MAX_NAMED_BYTES:
        text = ",".join(dict.fromkeys(map(collapsed, fields)))
    if len(text) > MAX_NAMED_BYTES:
        whole, _, _ = text[: MAX_NAMED_BYTES - 3].rpartition(",")
        text = f"{whole},..." if whole else "..."
    return printable(text, MAX_NAMED_BYTES)


def _conversation(
    request: Request, context: CallContext, way: Way, to: Destination, policy: OnUnsupported, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    asked, target = context.asked, way.target
    caller = _caller(context)
    document = body.whole()
    conversation = caller.decode_request(document, model=asked.model or context.model, stream=asked.stream)
    losses = SpelledLosses(policy, Spelling.of_request(conversation, document))
    api = _conversation_api(target, conversation, to)
    translation = Translation(caller, CODECS[api], conversation, to, losses)
    translation.lost = losses.named()
    url = target.url_of(api, to.model, stream=conversation.stream)
    return _call(request, way, url, translation), translation


def _embeddings(
    request: Request, context: CallContext, way: Way, to: Destination, policy: OnUnsupported, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    asked = context.asked
    reader, api = _EMBEDDINGS[asked.api]
    writer, _ = _EMBEDDINGS[api]
    document = body.whole()
    embeddings = reader.decode_request(document, model=asked.model or context.model)
    losses = SpelledLosses(policy, Spelling(_SPOKEN[asked.api].value, document, embeddings.extras))
    written = writer.encode_request(embeddings, to, losses)

    def answer(document: bytes) -> bytes:
        answered = writer.decode_answer(document)
        return reader.encode_answer(answered if answered.model else replace(answered, model=to.model), embeddings)

    codecs = CODECS[_SPOKEN[asked.api]], CODECS[_SPOKEN[api]]
    translation = DocumentTranslation(*codecs, written, losses, answer)
    translation.lost = losses.named()
    return _call(request, way, way.target.url_of(api, to.model, stream=False), translation), translation


def _count(
    request: Request, context: CallContext, way: Way, to: Destination, body: RequestBody
) -> tuple[ProviderCall, Interpreter]:
    """Anthropic and Google can be asked; of other providers nobody can tell, and it is ``estimated``."""
    caller, target = context.asked.api, way.target
    document = body.whole()
    prompt = _prompt(context, document)
    # What cannot be said is not counted; hardly any of it has tokens.
    losses = SpelledLosses(OnUnsupported.DROP, Spelling.of_request(prompt, document))
    read: Callable[[bytes], int]
    if Api.COUNT_TOKENS in target.apis:
        api, read = Api.COUNT_TOKENS, _anthropics_count
        codec = CODECS[Api.MESSAGES]
        named = ToolNames(prompt, codec.tool_name, losses).written(prompt)
        with losses.complaining():
            written = _countable(codec.encode_request(named, to, losses))
    else:
        api, read = Api.GEMINI_COUNT_TOKENS, read_count
        named = ToolNames(prompt, CODECS[Api.GEMINI].tool_name, losses).written(prompt)
        with losses.complaining():
            written = write_count_request(named, to, losses)
    codecs = CODECS[_COUNTED[caller][0]], CODECS[target.conversation]
    translation = DocumentTranslation(
        *codecs, written, losses, lambda document: estimate_body(_COUNTED[caller][1], read(document))
    )
    translation.lost = losses.named()
    return _call(request, way, target.url_of(api, to.model, stream=False), translation), translation


class _ListOfModels(DocumentTranslation):
    """A provider's own list of models. Not every provider has one."""

    known: bytes | None = None
    """What can be said without it."""

    def failure(self, status: int, body: bytes, request_id: str) -> tuple[int, bytes, ProviderFailure]:
        failed = super().failure(status, body, request_id)
        return failed if self.known is None else (200, self.known, failed[2])


def _models(request: Request, context: CallContext, way: Way) -> tuple[ProviderCall, Interpreter]:
    """Of the provider's own list, what the key may call."""
    target, grant = way.target, context.grant
    assert grant is not None
    codecs = CODECS[_SAID_BY[context.dialect.name]], CODECS[target.conversation]
    translation = _ListOfModels(*codecs, b"", Losses(), lambda body: listed_page(context, grant, target, body))
    translation.known = known_page(context, grant, target)
    query = QUERIES.get(target.dialect, b"")
    if target.names_models:
        url = target.url_of_azure(b"/models", 0, query, None)
    else:
        url = target.url_below(b"/models", 0, query)
    return replace(_call(request, way, url, translation), method="GET", body=None), translation


def _prompt(context: CallContext, body: bytes) -> Conversation:
    if context.asked.api is Api.GEMINI_COUNT_TOKENS:
        return read_count_request(body, model=context.asked.model)
    return CODECS[_COUNTED[context.asked.api][0]].decode_request(body)


_counted = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_COUNTABLE = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers"})
"""What ``/v1/messages/count_tokens`` takes. Source: https://platform.claude.com/docs/en/api/messages/count_tokens"""


def _countable(body: bytes) -> bytes:
    return msgspec.json.encode({name: value for name, value in _counted(body).items() if name in _COUNTABLE})


class _Counted(msgspec.Struct):
    input_tokens: int


_anthropic = msgspec.json.Decoder(_Counted).decode


def _anthropics_count(body: bytes) -> int:
    try:
        return _anthropic(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("The provider's answer is not one of count_tokens.") from None


def _call(request: Request, way: Way, url: bytes, translation: Interpreter) -> ProviderCall:
    target = way.target
    return ProviderCall(
        provider=target.provider.name,
        method="POST",
        url=url,
        headers=target.headers_for_translated(request.requestHeaders, way.headers),
        body=BytesBody(translation.take_body()),
        secrets=way.secrets,
        timeouts=target.provider.timeouts,
    )


def _caller(context: CallContext) -> Codec:
    """Gemini's streams come as events only to callers who ask for them so."""
    if context.asked.api is Api.GEMINI and parse_qs(context.query).get(b"alt") != [b"sse"]:
        return ARRAYS
    return CODECS[context.asked.api]
