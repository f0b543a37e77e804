"""What a key may call, as its callers' SDKs ask for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from twisted.web.server import Request

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.core.catalogue import Model, described, offered
from llm_gateway.core.model_rules import ModelRules
from llm_gateway.core.models_page import model_body, models_body
from llm_gateway.core.record import OK, printable
from llm_gateway.core.routing.settings import RoutingSettings
from llm_gateway.errors import ModelNotAllowed
from llm_gateway.upstream.targets import Target
from llm_gateway.web.context import CallContext, Operation
from llm_gateway.web.grants import Grant
from llm_gateway.wire.fields import fields_of


def is_known_here(grant: Grant, context: CallContext) -> bool:
    """
    :return: whether there is anything to list, or nobody else who could. Of a provider that the catalogue does not know
        and of which the operator has said nothing, only the provider itself can tell, in its own dialect.
    """
    if grant.way is None or context.route.operation is Operation.RAW:
        return False
    targets = _targets(grant, context)
    if len(targets) > 1 or grant.key.models or targets[0].dialect is not context.dialect:
        return True
    provider = targets[0].provider
    return bool(provider.models or provider.family)


def _targets(grant: Grant, context: CallContext) -> list[Target]:
    """Each provider of the key once, in the caller's dialect if it speaks that."""
    ways = [grant.way_with(name, context.dialect.name) for name in grant.ways]
    return list({way.target.provider.name: way.target for way in ways}.values())


def models_page(context: CallContext, grant: Grant, settings: RoutingSettings) -> bytes:
    """
    :return: the list, or the one model that the path names, in the caller's dialect.
    :raises ModelNotAllowed: the key may not call that one, or nobody knows of it.
    :raises BadRequest: the query asks for a page that cannot be.
    """
    models = _offered(grant, _targets(grant, context), settings)
    asked = context.asked.model
    if asked is None:
        return models_body(context.dialect, list(models.values()), context.query)
    asked = asked.removeprefix("models/")
    found = models.get(asked) or _unlisted(asked, grant, _targets(grant, context))
    if found is None:
        raise ModelNotAllowed(f"There is no model named {printable(asked)!r}.")
    return model_body(context.dialect, found)


def known_names(grant: Grant, context: CallContext, settings: RoutingSettings) -> Collection[str]:
    """
    :return: what ``models_page`` lists.
    """
    return _offered(grant, _targets(grant, context), settings).keys()


def _offered(grant: Grant, targets: Sequence[Target], settings: RoutingSettings) -> dict[str, Model]:
    """The operator's own names first; of a model that several providers have, what the first says of it."""
    key, catalogue = grant.key.models, shipped_catalogue()
    reached = {target.provider.name: target.provider for target in targets}
    models: dict[str, Model] = {}
    for name, said in settings.models.items():
        first = next((each for each in said.targets if each.provider in reached), None)
        if first is not None:
            provider = reached[first.provider]
            _, facts = described(first.model, provider.models, catalogue, provider.family)
            for listed in _own_names(name, key):
                models.setdefault(listed, Model(listed, provider.name, facts))
    for provider in reached.values():
        for model in offered(key, provider.models, catalogue, provider.family, provider.name):
            models.setdefault(model.name, model)
    return models


def _own_names(name: str, key: ModelRules | None) -> Sequence[str]:
    """Under which names the key's callers have what the operator calls ``name``."""
    if key is None:
        return (name,)
    own = [rule.pattern for rule in key.rules if rule.is_name and rule.target_of(rule.pattern) == name]
    if not own and (rule := key.find(name)) is not None and rule.target_of(name) == name:
        own = [name]
    return own


def _unlisted(asked: str, grant: Grant, targets: Sequence[Target]) -> Model | None:
    """
    Not every name that leads to a model is in the list: patterns stand for names, and models have several.

    :raises ModelNotAllowed: the key may not call it.
    """
    meant, catalogue = grant.meant(asked), shipped_catalogue()
    first: Model | None = None
    nobody_knows = False
    for target in targets:
        provider = target.provider
        name, facts = described(meant, provider.models, catalogue, provider.family)
        model = Model(asked, provider.name, facts)
        if catalogue.has(name, provider.family) or (not provider.family and provider.models.find(meant)):
            return model
        first = first or model
        nobody_knows = nobody_knows or not provider.family
    # Otherwise the operator's word counts: that this name stands for another, or may be called where nobody knows of
    # which there are.
    return first if meant != asked or (grant.limited and nobody_knows) else None


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
