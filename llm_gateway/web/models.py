"""What a key may call, as its callers' SDKs ask for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from twisted.web.server import Request

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.config.values import Provider
from llm_gateway.core.catalogue import Model, described, leaves_open, offered
from llm_gateway.core.model_rules import ModelFacts, ModelRules
from llm_gateway.core.models_list import models_listed
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
    :return: whether everything is known here that there is to tell, or nobody else could. Of a provider that the
        catalogue does not know and of which the operator has said nothing, only the provider itself can tell; and of
        patterns that a key may call, if they fit nothing that is known.
    """
    if grant.way is None or context.route.operation is Operation.RAW:
        return False
    targets = _targets(grant, context)
    if len(targets) > 1:
        return True
    (target,) = targets
    if context.asked.model is not None:
        # A word about one model is said from the little that is known, unless it would be the provider's own.
        return bool(grant.limited or target.dialect is not context.dialect or _is_known(target.provider))
    if grant.key.models is None:
        return _is_known(target.provider)
    return not leaves_open(grant.key.models, _offered_by(target.provider, grant))


def _is_known(provider: Provider) -> bool:
    """Whether somebody has said which models it has."""
    return bool(provider.models) or shipped_catalogue().lists(provider.family)


def _offered_by(provider: Provider, grant: Grant, listed: Mapping[str, ModelFacts] | None = None) -> list[Model]:
    found = offered(grant.key.models, provider.models, shipped_catalogue(), provider.family, provider.name, listed)
    return list({model.name: model for model in found}.values())


def listed_page(context: CallContext, grant: Grant, target: Target, body: bytes) -> bytes:
    """
    :param target: the provider that was asked for its list.
    :param body: its answer.
    :return: what of that the key may call, under the names that its callers use, in their dialect.
    :raises UpstreamMalformed: it is no list of models.
    :raises BadRequest: as for ``models_page``.
    """
    models = _offered_by(target.provider, grant, models_listed(target.dialect, body))
    return models_body(context.dialect, models, context.query)


def known_page(context: CallContext, grant: Grant, target: Target) -> bytes | None:
    """
    :return: the same without its answer; ``None`` if nothing is known.
    """
    models = _offered_by(target.provider, grant)
    return models_body(context.dialect, models) if models else None


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
        for model in _offered_by(provider, grant):
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
    anything = False
    for target in targets:
        provider = target.provider
        name, facts = described(meant, provider.models, catalogue, provider.family)
        in_catalogue = catalogue.lists(provider.family)
        model = Model(asked, provider.name, facts)
        if catalogue.has(name, provider.family) or (not in_catalogue and provider.models.find(meant)):
            return model
        # A list of the operator's is all that there is, but for a key that may call more.
        is_open = not in_catalogue and (grant.limited or not provider.models)
        if first is None or (is_open and not anything):
            first = model
        anything = anything or is_open
    # Otherwise the operator's word counts: that this name stands for another, or may be called where nobody knows of
    # which there are.
    return first if meant != asked or anything else None


def answer_here(request: Request, context: CallContext, body: bytes) -> None:
    """Write an answer that no provider was asked for, and settle the call."""
    fields = fields_of(request.responseHeaders)
    fields[b"Content-Type"] = [b"application/json"]
    fields[b"Content-Length"] = [b"%d" % len(body)]
    record = context.record
    record.status, record.bytes_out = 200, len(body)
    record.first_byte_s = context.since_start()
    if context.account is not None:
        fields.update(context.account.fields())
    request.setResponseCode(200)
    request.write(body)
    request.finish()
    context.settle(OK)
