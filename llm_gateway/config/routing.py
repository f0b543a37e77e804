"""From what ``aiservices.json`` says about routing, for all under ``$routing`` and for each provider, to settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from llm_gateway.config.credentials import KnownProviders
from llm_gateway.config.document import List, Object, Scalar
from llm_gateway.config.formats import ProviderEntry
from llm_gateway.config.models import is_model_name
from llm_gateway.config.problems import Spot, nearest, shown, suggestion
from llm_gateway.config.routing_formats import (
    FallbackEntry,
    HedgingEntry,
    ModelRoutingEntry,
    RoutingEntry,
    TargetEntry,
)
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.core.routing.outcomes import OutcomeKind
from llm_gateway.core.routing.settings import (
    Breaking,
    Fallback,
    Hedging,
    Limits,
    ModelSettings,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
    Target,
)

ROUTING = "$routing"
"""Where the settings for all stand, as ``$schema`` stands beside the providers: no provider's name holds a ``$``."""

_OF_A_PROVIDER = ("limits", "breaking", "retry_share", "retry_reserve")
_NEAR = 0.75
"""Two letters exchanged in a name of four or more."""
_PAIRS = (
    ("open_s", "longest_open_s"),
    ("refused_open_s", "longest_refused_open_s"),
    ("cooling_s", "longest_cooling_s"),
    ("first_wait_s", "longest_wait_s"),
)
"""Fields of which the second is the limit of the first."""


def provider_settings(spot: Spot, entry: ProviderEntry) -> ProviderSettings | None:
    """
    :param spot: stands at the provider.
    :return: ``None`` where nothing is said.
    """
    if all(spot.field(name) is spot for name in _OF_A_PROVIDER):
        return None
    breaking = Breaking(**_said(entry.breaking))
    _check_pairs(spot.field("breaking"), breaking)
    return ProviderSettings(Limits(**_said(entry.limits)), breaking, entry.retry_share, entry.retry_reserve)


def _said(entry: Struct | UnsetType) -> dict[str, Any]:
    values = {} if isinstance(entry, UnsetType) else structs.asdict(entry)
    return {name: value for name, value in values.items() if value is not UNSET}


def _check_pairs(spot: Spot, settings: msgspec.Struct) -> None:
    for name, limit in _PAIRS:
        value, most = getattr(settings, name, 0), getattr(settings, limit, 0)
        if value > most:
            there = spot.field(name)
            if there is not spot:
                there.wrong(f'must not be above "{limit}", which is {most:g}')
            else:
                spot.field(limit).wrong(f'must not be below "{name}", which is {value:g}')


class RoutingContent(msgspec.Struct, frozen=True):
    """What stands under ``$routing``, as far as it is right."""

    settings: RoutingSettings = msgspec.field(default_factory=RoutingSettings)
    """Without what is said of single providers and credentials."""
    asked: tuple[tuple[Spot, str], ...] = ()
    """Each place that names a provider, and which."""

    def warn_of_unreachable(self, called: Collection[str]) -> None:
        """
        Tell of targets and fallbacks that no call reaches.

        :param called: the providers that credentials of virtual keys are for.
        """
        for spot, provider in self.asked:
            if provider not in called:
                spot.doubtful(f'no virtual key has a credential of "{provider}", so no call goes there')


def read_routing(spot: Spot, known: KnownProviders, is_known_model: Callable[[str], bool]) -> RoutingContent:
    """
    Read what stands under ``$routing``.

    :param is_known_model: tells whether any provider has a model of that name, as far as that is known.
    """
    if not is_object(spot):
        return RoutingContent()
    values = read_fields(spot, RoutingEntry, quote=True, aside=frozenset({"models", "hedging"}))
    said: dict[str, Any] = {name: values[name] for name in ("sticky", "explore", "usual_s") if name in values}
    if "strategy" in values:
        said["strategy"] = Strategy(values["strategy"])
    if "retries" in values:
        retries = _said(values["retries"])
        said["retries"] = Retries(**retries | {"repeat": Repeat(retries["repeat"])})
        _check_pairs(spot.field("retries"), said["retries"])
    hedging, models = spot.field("hedging"), spot.field("models")
    if hedging is not spot and is_object(hedging):
        said["hedging"] = Hedging(**read_fields(hedging, HedgingEntry, quote=True))
    reader = _ModelsReader(known, is_known_model)
    if models is not spot and is_object(models):
        said["models"] = reader.read(models)
    return RoutingContent(RoutingSettings(**said), tuple(reader.asked))


class _ModelsReader(msgspec.Struct):
    """Reads what is said of each name for a model."""

    known: KnownProviders
    is_known_model: Callable[[str], bool]
    asked: list[tuple[Spot, str]] = []
    """Each place that names a provider, and which."""
    _own: frozenset[str] = frozenset()

    def read(self, spot: Spot) -> dict[str, ModelSettings]:
        """
        :param spot: stands at an object.
        """
        found = dict(members(spot, what="model", quote=True))
        self._own = frozenset(found)
        return {name: self._model(name, there) for name, there in found.items() if _is_own_name(name, there)}

    def _model(self, name: str, spot: Spot) -> ModelSettings:
        if not is_object(spot):
            return ModelSettings()
        values = read_fields(spot, ModelRoutingEntry, quote=True, aside=frozenset({"targets", "fallbacks"}))
        if isinstance(spot.node, Object) and not spot.node.members:
            spot.wrong('says nothing: give it "targets", "fallbacks", "strategy" or "sticky"')
        targets, fallbacks = spot.field("targets"), spot.field("fallbacks")
        return ModelSettings(
            targets=() if targets is spot else tuple(self._targets(targets)),
            fallbacks=() if fallbacks is spot else tuple(self._fallbacks(name, fallbacks)),
            strategy=Strategy(values["strategy"]) if "strategy" in values else None,
            sticky=values.get("sticky"),
        )

    # Targets

    def _targets(self, spot: Spot) -> Iterator[Target]:
        seen = set()
        for there in _items(spot, "targets"):
            target = self._target(there)
            if target is None:
                continue
            if (target.provider, target.model) in seen:
                there.wrong("is listed twice")
            seen.add((target.provider, target.model))
            yield target

    def _target(self, spot: Spot) -> Target | None:
        values = self._target_fields(spot)
        provider, model = values.get("provider"), values.get("model")
        well_named = model is not None and _is_own_name(model, spot.field("model"))
        if provider is None or not self._is_provider(provider, spot.field("provider")):
            return None
        self.asked.append((spot, provider))
        return Target(**values) if well_named else None

    @staticmethod
    def _target_fields(spot: Spot) -> dict[str, Any]:
        written = _text(spot)
        if written is None:
            what = '"provider/model" or an object'
            return read_fields(spot, TargetEntry, quote=True) if is_object(spot, what) else {}
        provider, _, model = written.partition("/")
        if provider and model:
            return {"provider": provider, "model": model}
        spot.wrong('must be "provider/model", or an object')
        return {}

    def _is_provider(self, name: str, spot: Spot) -> bool:
        if name in self.known:
            return True
        quoted = f" {shown(name)}" if shown(name) else ""
        if name in self.known.lacking:
            spot.wrong(f"{shown(name)} {self.known.lacking[name]} in {self.known.file}")
        else:
            near = suggestion(name, self.known.names, what="providers", besides=self.known.presets)
            spot.wrong(f"unknown provider{quoted}{near}")
        return False

    # Fallbacks

    def _fallbacks(self, name: str, spot: Spot) -> Iterator[Fallback]:
        seen: set[tuple[str, OutcomeKind]] = set()
        for there in _items(spot, "fallbacks"):
            fallback = self._fallback(name, there)
            if fallback is None:
                continue
            taken = {(fallback.to, kind) for kind in fallback.on}
            if seen & taken:
                there.wrong("is listed twice for the same outcomes")
            seen |= taken
            yield fallback

    def _fallback(self, name: str, spot: Spot) -> Fallback | None:
        written = _text(spot)
        on: list[Any] | None = None
        if written is None:
            if not is_object(spot, "the name of a model or an object"):
                return None
            values = read_fields(spot, FallbackEntry, quote=True)
            written, on = values.get("to"), values.get("on")
        there = spot.field("to")
        if written is None or not _is_own_name(written, there):
            return None
        if written == name:
            there.wrong("is the model itself")
        self._check_spelling(written, there)
        return Fallback(written) if on is None else Fallback(written, frozenset(_kinds(on, spot.field("on"))))

    def _check_spelling(self, name: str, spot: Spot) -> None:
        """A model may be one that nobody has heard of yet; one that is nearly a name of the operator's hardly is."""
        if name in self._own or "/" in name or self.is_known_model(name):
            return
        near = nearest(name, self._own, cutoff=_NEAR)
        if near is not None:
            spot.doubtful(
                f'{shown(name) or "this"} is no known model and no name under "models"; did you mean "{near}"?'
            )


def _kinds(written: list[Any], spot: Spot) -> Iterator[OutcomeKind]:
    """:param written: with ``None`` for what has been reported."""
    if not written:
        spot.wrong("must not be empty; without it, another model is asked where another candidate would be")
    seen = set()
    for kind, there in zip(written, spot.items(), strict=True):
        if kind in seen:
            there.wrong("is listed twice")
        elif kind is not None:
            seen.add(kind)
            yield OutcomeKind(kind)


def _items(spot: Spot, what: str) -> tuple[Spot, ...]:
    if not isinstance(spot.node, List):
        spot.wrong(f"must be a list of {what}, not {spot.node.kind}")
    elif not spot.node.items:
        spot.wrong("must not be empty")
    return spot.items()


def _text(spot: Spot) -> str | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    return value if isinstance(value, str) else None


def _is_own_name(name: str, spot: Spot) -> bool:
    if not is_model_name(name, spot):
        return False
    if "*" in name:
        spot.report.add(spot.line, spot.place, 'must be a whole name: "*" stands for nothing here')
        return False
    return True
