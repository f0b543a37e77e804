"""What a key may call, as its callers' SDKs ask for it."""

from __future__ import annotations

from twisted.web.server import Request

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.core.catalogue import Model, offered
from llm_gateway.core.models_page import model_body, models_body
from llm_gateway.core.record import OK, printable
from llm_gateway.errors import ModelNotAllowed
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant, Way
from llm_gateway.wire.fields import fields_of


def knows_models(grant: Grant, way: Way) -> bool:
    """
    :return: whether there is anything to list. Of a provider that the catalogue does not know and of which the operator
        has said nothing, only the provider itself can tell.
    """
    provider = way.target.provider
    return bool(grant.key.models or provider.models or provider.family)


def models_page(context: CallContext, grant: Grant, way: Way) -> bytes:
    """
    :return: the list, or the one model that the path names, in the caller's dialect.
    :raises ModelNotAllowed: the key may not call that one, or nobody knows of it.
    :raises BadRequest: the query asks for a page that cannot be.
    """
    provider = way.target.provider
    models = offered(grant.key.models, provider.models, shipped_catalogue(), provider.family, provider.name)
    asked = context.asked.model
    if asked is None:
        return models_body(context.dialect, models, context.query)
    asked = asked.removeprefix("models/")
    for model in models:
        if model.name == asked:
            return model_body(context.dialect, model)
    chosen = grant.chosen(asked)
    if provider.family or not provider.models.find(chosen.name):
        raise ModelNotAllowed(f"There is no model named {printable(asked)!r}.")
    return model_body(context.dialect, Model(asked, provider.name, chosen.facts))


def answer_here(request: Request, context: CallContext, body: bytes) -> None:
    """Write an answer that no provider was asked for, and settle the call."""
    fields = fields_of(request.responseHeaders)
    fields[b"Content-Type"] = [b"application/json"]
    fields[b"Content-Length"] = [b"%d" % len(body)]
    record = context.record
    record.status, record.bytes_out = 200, len(body)
    record.first_byte_s = context.since_start()
    request.setResponseCode(200)
    request.write(body)
    request.finish()
    context.settle(OK)
