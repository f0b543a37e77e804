"""From a request in the caller's dialect to a call in the provider's."""

from __future__ import annotations

from urllib.parse import parse_qs

from twisted.web.server import Request

from llm_gateway.core.apis import Api
from llm_gateway.core.record import printable
from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.codecs import ARRAYS, CODECS
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.translation import Translation
from llm_gateway.upstream.attempt import ProviderCall
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant, Way
from llm_gateway.web.request_body import RequestBody
from llm_gateway.wire.fields import fields_of
from llm_gateway.wire.upload import BytesBody

MAX_NAMED_BYTES = 1_024
"""Of the header that names what could not be said."""


def translated(
    request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody
) -> tuple[ProviderCall, Translation]:
    """
    :return: what the provider is sent, and what turns its answer into the caller's.
    :raises GatewayError: the request cannot be read, the key may not call its model, or the provider's dialect cannot
        say it.
    """
    asked, target = context.asked, way.target
    caller = _caller(context)
    conversation = caller.decode_request(body.whole(), model=asked.model, stream=asked.stream)
    context.record.model = printable(conversation.model)
    chosen = grant.chosen(conversation.model)
    destination = Destination(
        chosen.name,
        target.provider.name,
        max_output_tokens=chosen.facts.max_output_tokens,
        reasoning=chosen.facts.reasoning,
        preset=target.provider.preset,
    )
    losses = Losses(grant.on_unsupported)
    translation = Translation(caller, CODECS[target.conversation], conversation, destination, losses)
    if translation.lost:
        lost = ",".join(translation.lost)
        context.record.dropped = printable(lost, MAX_NAMED_BYTES)
        fields_of(request.responseHeaders)[b"X-Gw-Dropped"] = [context.record.dropped.encode("ascii", "replace")]
    call = ProviderCall(
        provider=target.provider.name,
        method="POST",
        url=target.url_of(target.conversation, chosen.name, stream=conversation.stream),
        headers=target.headers_for_translated(request.requestHeaders, way.headers),
        body=BytesBody(translation.body),
        secrets=grant.secrets,
        timeouts=target.provider.timeouts,
    )
    return call, translation


def _caller(context: CallContext) -> Codec:
    """Gemini's streams come as events only to callers who ask for them so."""
    if context.asked.api is Api.GEMINI and parse_qs(context.query).get(b"alt") != [b"sse"]:
        return ARRAYS
    return CODECS[context.asked.api]
