"""Where a call can go: from a key, a path and a model to the candidates that the router chooses from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.config.models import MAX_NAME
from llm_gateway.config.presets import shelf_of
from llm_gateway.config.values import Configuration
from llm_gateway.core.apis import CONVERSATIONS, COUNTS, Api, asked_of
from llm_gateway.core.catalogue import described, holders
from llm_gateway.core.model_rules import NOTHING, ModelFacts
from llm_gateway.core.record import printable
from llm_gateway.core.routing.candidates import Call, Candidate, Effect, effect_of
from llm_gateway.core.routing.plans import Price, Route
from llm_gateway.core.routing.resolving import Resolved, Served, resolve
from llm_gateway.core.routing.settings import Limits, RoutingSettings, Strategy
from llm_gateway.errors import ModelNotAllowed, NotFound, ProviderNotConfigured, WrongDialect, WrongProvider
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.upstream.targets import Target, below_of
from llm_gateway.web.context import AS_IS, CallContext, Operation
from llm_gateway.web.grants import Grant, GrantBook, Way

if TYPE_CHECKING:
    from llm_gateway.ledger.row import Row

__all__ = ["Plan", "RouteBook", "effect", "has", "stored_there"]

# Members of an enum take Python a tenth of a microsecond to find.
_RAW = Operation.RAW


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What a key's calls for one model can come to."""

    resolved: Resolved
    route: Route
    facts: Mapping[tuple[str, str], ModelFacts]
    """What is known of the candidates' models, by provider and by its name for the model."""
    stays: bool
    """Whether some of it stays with one candidate for all of a conversation."""
    ways: Mapping[Candidate, tuple[Way, bool]]
    """The way that calls take to each candidate, and whether they are relayed there as they are."""
    sole: tuple[Way, bool] | None
    """Of them, where there is one only: most calls have no other, and look nothing up."""
    candidates: tuple[Candidate, ...]
    """All of them, the main model's first."""
    rows: dict[Candidate, Row]
    """What the ledger says of all calls to each candidate."""
    plain: Call | None
    """What routing has to know of a call that can be sent again, where it is the same for each."""
    until: float | None = None
    """When it is to be made anew: where prices decide, which are not the same at all hours."""

    def facts_of(self, provider: str, model: str) -> ModelFacts:
        return self.facts.get((provider, model), NOTHING)


class _Part(Enum):
    """Why a provider is none for a call: what the caller is told if there is no other."""

    NOT_CONFIGURED = "the provider is not configured"
    OTHER_PROVIDER = "the path names another provider"
    OTHER_DIALECT = "the path is not translated, and this provider speaks another dialect"
    NO_TRANSLATION = "the provider has nothing that this could be translated to"


class RouteBook:
    """
    Plans by key, path and model. Making one costs as much as many calls, so each is remembered until the configuration
    changes; what it says of health, load and speed is always the present.
    """

    MAX_REMEMBERED = 4096
    """Callers choose the names of models, and must not fill the memory with them."""

    PRICES_HOLD_S = 300.0
    """How long the cheapest is taken to be the cheapest. Prices that depend on the hour change at most twice a day."""

    def __init__(self, grants: GrantBook, dispatcher: Dispatcher, workers: int = 1) -> None:
        """
        :param workers: processes that share the limits of calls in flight: each lets in its part of them.
        """
        self._grants = grants
        self._dispatcher = dispatcher
        self._router = dispatcher.router
        self._workers = workers
        self._plans: dict[tuple[bytes, str, str, str, str], Plan] = {}
        self._before: Configuration | None = None
        self.price: Price | None = None
        """What the strategy ``cheapest`` goes by: without it, by the order in which candidates are listed."""

    def use(self, configuration: Configuration) -> None:
        """Go by this from now on, after the grants do. What is known of what stays as it is stays known."""
        before, self._before = self._before, configuration
        self._plans.clear()
        self._dispatcher.use(_shared(configuration.routing, self._workers))
        if before is not None:
            self._forget(before, configuration)

    def _forget(self, before: Configuration, after: Configuration) -> None:
        """What was learnt of an address or a real key that is not used any more does not count for the new one."""
        health, now = self._router.health, self._dispatcher.clock.seconds()
        for name, provider in before.providers.items():
            new = after.providers.get(name)
            if new is None or (new.url, new.base_url, new.others) != (provider.url, provider.base_url, provider.others):
                health.forget(name, None, now)
        for name, credential in before.credentials.items():
            if after.credentials.get(name) != credential:
                health.forget(credential.provider, name, now)

    def plan(self, grant: Grant, context: CallContext, model: str) -> Plan:
        """
        :param model: as the caller names it; empty where there is none.
        :raises GatewayError: there is no candidate; it says why.
        """
        route = context.route
        raw = _named_provider(context) if route.operation is _RAW else ""
        known = grant.key.digest, route.kind, raw or context.dialect.name, context.record.method, model
        plan = self._plans.get(known)
        if plan is None or (plan.until is not None and plan.until <= self._dispatcher.clock.seconds()):
            plan = self._made(grant, context, model, raw)
            if len(self._plans) >= self.MAX_REMEMBERED:
                self._plans.clear()
            self._plans[known] = plan
        return plan

    def _made(self, grant: Grant, context: CallContext, model: str, raw: str) -> Plan:
        """
        :raises GatewayError: as for ``plan``.
        """
        if raw and raw not in self._grants.targets and raw != grant.key.provider:
            raise NotFound(f"This gateway has no provider {raw[:64]!r}.")
        if len(model) > MAX_NAME:
            # What is known of a name is kept for a while.
            raise ModelNotAllowed(f"No provider has a model with a name of more than {MAX_NAME} characters.")
        meant = grant.meant(model) if model else ""
        facts: dict[tuple[str, str], ModelFacts] = {}
        reasons: dict[str, _Part] = {}
        shelves = {
            use.provider: shelf_of(self._grants.targets[use.provider].provider)
            for use in grant.key.credentials
            if use.provider in self._grants.targets
        }
        held: dict[str, Collection[str] | None] = {}

        def serves(provider: str, name: str) -> Served | str:
            own = self._grants.targets.get(provider)
            theirs, of_it = "", NOTHING
            if name and own is not None:
                models, family = own.provider.models, own.provider.family
                theirs, of_it = described(name, models, shipped_catalogue(), family)
            target = self._target(provider, context, theirs, name)
            unfit = self._unfit(grant, provider, target, context, raw)
            if unfit is not None or target is None:
                reasons[provider] = unfit or _Part.NOT_CONFIGURED
                return reasons[provider].value
            dialect = None if target.dialect is context.dialect else target.dialect.name
            if not name:
                return Served("", dialect=dialect)
            spoken = target.provider
            there = None if context.route.operation in AS_IS else spoken.serves.find(theirs)
            if there is not None:
                theirs = there.target_of(theirs)
            facts[provider, theirs] = of_it
            if name not in held:
                held[name] = holders(name, shelves, shipped_catalogue())
            having = held[name]
            return Served(theirs, having is None or provider in having, dialect)

        def allowed(name: str) -> bool:
            # What the key's own name stands for is allowed with it; a fallback is another name.
            return name == meant or grant.allows(name)

        resolved = resolve(meant, grant.key.credentials, self._router.settings, serves, allowed, self._grants.targets)
        if context.route.asked.api in COUNTS:
            resolved = self._counting(resolved, context)
        if not resolved.main.candidates and not any(each.candidates for each in resolved.fallbacks):
            self._refuse(grant, context, model, raw, reasons)
        stays = any(each.sticky for each in (resolved.main, *resolved.fallbacks))
        groups = (resolved.main, *resolved.fallbacks)
        route, until = self._router.route(resolved, self.price), None
        if self.price is not None and any(each.strategy is Strategy.CHEAPEST for each in groups):
            until = self._dispatcher.clock.seconds() + self.PRICES_HOLD_S
        ways = {}
        for candidate in dict.fromkeys(each for group in groups for each in group.candidates):
            way = grant.way_with(candidate.credential, candidate.dialect or context.dialect.name)
            ways[candidate] = way, has(way.target, context)
        sole = next(iter(ways.values())) if len(ways) == 1 else None
        plain = None
        # Below /p/ one plan is for all paths, and it takes the path to tell what is asked for.
        if route.only is not None and not route.fallbacks and not raw:
            plain = Call(grant.label, effect(context))
        return Plan(resolved, route, facts, stays, ways, sole, tuple(ways), {}, plain, until)

    def _counting(self, resolved: Resolved, context: CallContext) -> Resolved:
        """Leave out who cannot be asked for a count; if that is the first one, it is an estimate for its model."""

        def can(candidate: Candidate) -> bool:
            target = self._asked(candidate, context)
            return target is not None and (has(target, context) or not is_estimated(context.route.asked.api, target))

        if not any(map(can, resolved.main.candidates[:1])):
            return resolved
        main, *others = (
            replace(group, candidates=tuple(filter(can, group.candidates)))
            for group in (resolved.main, *resolved.fallbacks)
        )
        return Resolved(main, tuple(others))

    def _asked(self, candidate: Candidate, context: CallContext) -> Target | None:
        own = self._grants.targets.get(candidate.provider)
        dialect = candidate.dialect or context.dialect.name
        return own and next((each for each in (own, *own.others) if each.dialect.name == dialect), own)

    def _target(self, provider: str, context: CallContext, *names: str) -> Target | None:
        """
        Take the caller's dialect if the provider speaks it, or its own; but of a model that is known to be elsewhere,
        the dialect that is spoken there.

        :param names: the model's: the first that any of the provider's dialects is known to have tells.
        """
        own = self._grants.targets.get(provider)
        if own is None or context.route.operation in AS_IS:
            return own
        spoken = next((each for each in (own, *own.others) if each.dialect is context.dialect), own)
        if not own.others:
            return spoken
        for name in filter(None, names):
            having = [each for each in (own, *own.others) if each.provider.serves.find(name) is not None]
            if having:
                if spoken in having:
                    return spoken
                # What cannot be said in another dialect goes where it went before anything was known.
                able = (each for each in having if can_translate(context.route.asked.api, each))
                return next(able, spoken)
        return spoken

    def _unfit(
        self, grant: Grant, provider: str, target: Target | None, context: CallContext, raw: str
    ) -> _Part | None:
        if target is None:
            return _Part.NOT_CONFIGURED
        operation = context.route.operation
        if operation is Operation.RAW:
            return None if provider == raw else _Part.OTHER_PROVIDER
        if operation is Operation.NATIVE:
            first = self._grants.targets.get(grant.key.provider)
            return None if first is None or first.dialect is target.dialect else _Part.OTHER_DIALECT
        if has(target, context) or can_translate(context.route.asked.api, target):
            return None
        return _Part.NO_TRANSLATION

    def _refuse(self, grant: Grant, context: CallContext, model: str, raw: str, reasons: Mapping[str, _Part]) -> None:
        """
        :raises GatewayError: always.
        """
        own = grant.key.provider
        if raw and all(use.provider != raw for use in grant.key.credentials):
            allowed = " or ".join(dict.fromkeys(repr(use.provider) for use in grant.key.credentials))
            raise WrongProvider(f"This key may use provider {allowed} only, not {raw!r}.")
        unfit = reasons.get(raw or own)
        if unfit is _Part.NOT_CONFIGURED:
            raise ProviderNotConfigured(
                f"The key's provider {raw or own!r} is not configured in this gateway. Tell its operator."
            )
        targets = {use.provider: self._target(use.provider, context) for use in grant.key.credentials}
        others = {name: target.dialect.title for name, target in targets.items() if target is not None}
        if unfit is not None and others:
            raise WrongDialect(_without_counterpart(context.dialect.title, others))
        raise ModelNotAllowed(f"No provider of this key has a model named {printable(model)!r}.")


def _without_counterpart(title: str, others: Mapping[str, str]) -> str:
    """
    :param title: of the caller's dialect.
    :param others: those of the key's providers, by their names.
    """
    speak = ", and ".join(f"{name!r} speaks {dialect}" for name, dialect in others.items())
    below = " or ".join(f"/p/{name}/" for name in others)
    return (
        f"This call is not translated: conversations, embeddings between OpenAI and Gemini, counts of tokens and lists "
        f"of models are. It needs a key with a provider that speaks {title}, and of this key's {speak}. What a "
        f"provider has of its own is below {below}, and is called there as its own documentation says."
    )


def _shared(routing: RoutingSettings, workers: int) -> RoutingSettings:
    if workers == 1:
        return routing
    providers = {name: replace(each, limits=_part_of(each.limits, workers)) for name, each in routing.providers.items()}
    credentials = {name: _part_of(limits, workers) for name, limits in routing.credentials.items()}
    return replace(routing, providers=providers, credentials=credentials)


def _part_of(limits: Limits, workers: int) -> Limits:
    if limits.in_flight is None:
        return limits
    # Each of the processes has room for one at least, or it could answer nobody.
    return replace(limits, in_flight=max(1, limits.in_flight // workers))


def _named_provider(context: CallContext) -> str:
    return context.path.split(b"/")[2].decode("utf-8", "replace")


def has(target: Target, context: CallContext) -> bool:
    """
    :return: whether the provider itself has what the path asks for, so that not a byte need change.
    """
    route = context.route
    if route.operation in AS_IS:
        return True
    api = route.asked.api
    if context.dialect is not target.dialect or (api is Api.MODELS and is_limited(context)):
        return False
    if api is Api.RESPONSES_COUNT_TOKENS:
        api = Api.RESPONSES
    return api in target.apis or api not in CONVERSATIONS


def is_limited(context: CallContext) -> bool:
    """
    :return: whether the key may call some models only: it is not shown all that its provider has.
    """
    return context.grant is not None and context.grant.limited


_ANYWHERE = CONVERSATIONS | COUNTS | {Api.EMBEDDINGS, Api.GEMINI_EMBEDDINGS, Api.MODELS}
_TOLD = {Api.EMBEDDINGS: Api.GEMINI_EMBEDDINGS, Api.GEMINI_EMBEDDINGS: Api.EMBEDDINGS}


def can_translate(api: Api, target: Target) -> bool:
    """
    :return: whether ``translating.translated`` makes something of it for this provider.
    """
    return api in CONVERSATIONS or api in COUNTS or api is Api.MODELS or (api in _TOLD and _TOLD[api] in target.apis)


def is_estimated(api: Api, target: Target) -> bool:
    """
    :return: whether this provider cannot be asked how many tokens a prompt has.
    """
    return api in COUNTS and target.apis.isdisjoint((Api.COUNT_TOKENS, Api.GEMINI_COUNT_TOKENS))


_STATELESS = re.compile(
    rb"(?:/p/[^/]+)?(?:/v\d\w*)*/(?:chat/completions|completions|responses|messages|embeddings|moderations|rerank"
    rb"|images/[a-z]+|audio/[a-z]+)/?"
)


def effect(context: CallContext) -> Effect:
    """
    :return: what it means that a call is acted on twice.
    """
    operation, api = context.route.operation, context.route.asked.api
    if operation is Operation.NATIVE:
        api = Api.CHAT
    elif operation is Operation.RAW:
        api = asked_of(context.record.method.encode("ascii"), below_of(context.path, operation.ours)).api
    return effect_of(context.record.method, api)


def stored_there(context: CallContext) -> bool:
    """
    :return: whether the path may be about something that is stored at one account: a file, a batch, a stored answer.
    """
    if context.route.operation is Operation.NATIVE or context.route.asked.api in _ANYWHERE:
        return False
    return _STATELESS.fullmatch(context.path) is None
