"""From the entries of ``aiservices.json`` to providers with every default filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from llm_gateway.config.document import List, Node, Object, Scalar
from llm_gateway.config.endpoints import Endpoints, checked_url, preset_endpoints, read_endpoints
from llm_gateway.config.formats import HealthEntry, ProviderEntry, TimeoutsEntry
from llm_gateway.config.models import read_provider_models
from llm_gateway.config.notation import PROVIDER_NAME
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.problems import Spot, shown, suggestion
from llm_gateway.config.routing import ROUTING, provider_settings
from llm_gateway.config.secrets import SecretSource, header_value_fault, report_fault
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import HealthCheck, Provider, Secret
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.headers import CREDENTIAL_HEADERS, HOP_BY_HOP, NOT_TO_PROVIDER
from llm_gateway.core.model_rules import ModelRules
from llm_gateway.core.presets import APIS
from llm_gateway.core.routing.settings import ProviderSettings
from llm_gateway.core.translation.losses import OnUnsupported

_SCHEMA = "$schema"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BETA = re.compile(r"[A-Za-z0-9._=*-]+")
_READ_APART = frozenset({"dialects", "models", "forward_beta"})
"""Fields that may be of several shapes."""
_NEVER_SENT = frozenset(name.decode() for name in HOP_BY_HOP) | {"host", "content-length", "cookie"}
_CREDENTIALS = frozenset(name.decode() for name in CREDENTIAL_HEADERS)
_ACCOUNTS = frozenset(name.decode() for name in NOT_TO_PROVIDER)


class ServicesContent(msgspec.Struct, frozen=True):
    """What ``aiservices.json`` says of providers, as far as it is right."""

    providers: dict[str, Provider] = {}
    names: frozenset[str] = frozenset()
    """Of all, so that a key of a faulty one is not reported too."""
    settings: dict[str, ProviderSettings] = {}
    """Of those of which any are given."""


def read_providers(spot: Spot, source: SecretSource) -> ServicesContent:
    """Read ``aiservices.json``, without what it says about routing for all."""
    if not is_object(spot):
        return ServicesContent()
    providers: dict[str, Provider] = {}
    settings: dict[str, ProviderSettings] = {}
    names: set[str] = set()
    for name, there in members(spot, what="provider", quote=True):
        if name.startswith("$"):
            _check_beside_providers(name, there)
            continue
        names.add(name)
        faults = len(spot.report.problems)
        entry = _read_entry(there)
        provider = _read_provider(name, there, entry, source)
        said = provider_settings(there, entry) if entry else None
        if provider is not None and len(spot.report.problems) == faults:
            providers[name] = provider
            if said is not None:
                settings[name] = said
    return ServicesContent(providers, frozenset(names), settings)


def looks_like_keys_file(spot: Spot) -> bool:
    """Tell whether this is ``keys.json``, named by mistake: then no name in it may be shown."""
    if not isinstance(spot.node, Object):
        return False
    return any(member.name == "virtual_keys" or _is_virtual_key(member.node) for member in spot.node.members)


def _is_virtual_key(node: Node) -> bool:
    return isinstance(node, Object) and bool(node.find("api_key")) and not (node.find("url") or node.find("base_url"))


def _check_beside_providers(name: str, spot: Spot) -> None:
    """What begins with ``$`` is no provider."""
    if name not in (_SCHEMA, ROUTING):
        quoted = f" {shown(name)}" if shown(name) else ""
        known = suggestion(name, (_SCHEMA, ROUTING), what="fields")
        spot.report.add(spot.line, "top level", f"unknown field{quoted}{known}")
    elif name == _SCHEMA and not (isinstance(spot.node, Scalar) and isinstance(spot.node.value, str)):
        spot.wrong(f"must be a string, not {spot.node.kind}")


def preset_provider(name: str) -> Provider:
    """
    :param name: of a preset, for a provider that ``aiservices.json`` says nothing of.
    :raises MissingPlace: there is something that only the operator knows.
    """
    endpoints = preset_endpoints(name)
    return _provider(name, endpoints, HealthCheck(endpoints.health_url or f"{endpoints.own.base_url}/models"))


def _read_provider(name: str, spot: Spot, entry: ProviderEntry | None, source: SecretSource) -> Provider | None:
    """:return: None when something has been reported that leaves no provider to speak of."""
    if not PROVIDER_NAME.fullmatch(name):
        spot.report.add(spot.line, spot.place, 'a provider\'s name is 1 to 64 letters, digits, ".", "_" or "-"')
    if entry is None:
        return None
    endpoints = read_endpoints(name, spot, entry)
    health = _health(spot.field("health"), entry.health, endpoints)
    models = spot.field("models")
    forward_beta = spot.field("forward_beta")
    if endpoints is None:
        return None
    auths = {each.auth for each in (endpoints.own, *endpoints.others)}
    provider = _provider(name, endpoints, health)
    return replace(
        provider,
        headers=tuple(_extra_headers(spot.field("headers"), entry.headers or {}, auths, source)),
        forward_headers=tuple(_forwarded_headers(spot.field("forward_headers"), entry.forward_headers or [])),
        timeouts=_timeouts(spot.field("timeouts"), entry.timeouts),
        apis=_apis(spot.field("apis"), entry.apis) or provider.apis,
        api_version=entry.api_version or None,
        models=ModelRules() if models is spot else read_provider_models(models),
        on_unsupported=OnUnsupported(entry.on_unsupported or "default"),
        ask_usage=entry.ask_usage,
        forward_beta=provider.forward_beta if forward_beta is spot else _forwarded_betas(forward_beta),
    )


def _provider(name: str, endpoints: Endpoints, health: HealthCheck) -> Provider:
    """:return: the provider as it is where the operator says nothing else."""
    own, facts = endpoints.own, endpoints.facts
    return Provider(
        name=name,
        url=own.url,
        base_url=own.base_url,
        dialect=own.dialect,
        auth=own.auth,
        headers=(),
        forward_headers=(),
        timeouts=Timeouts(),
        health=health,
        others=endpoints.others,
        serves=own.serves,
        preset=endpoints.preset,
        family=(facts.models_of if facts else None) or endpoints.preset,
        apis=facts.apis if facts else APIS,
        forward_beta=facts.forward_beta if facts else None,
    )


def _read_entry(spot: Spot) -> ProviderEntry | None:
    node = spot.node
    if isinstance(node, Scalar) and isinstance(node.value, str):
        if node.value in shipped_presets().presets:
            spot.wrong(f'is the name of a preset and no URL; write {{"preset": "{node.value}"}}')
            return None
        return ProviderEntry(url=node.value)
    if not is_object(spot, "a URL or an object"):
        return None
    return ProviderEntry(**read_fields(spot, ProviderEntry, quote=True, aside=_READ_APART))


def _timeouts(spot: Spot, entry: TimeoutsEntry | UnsetType) -> Timeouts:
    timeouts = Timeouts() if isinstance(entry, UnsetType) else Timeouts(**msgspec.structs.asdict(entry))
    connect_s, first_byte_s = timeouts.connect_s, timeouts.first_byte_s
    if first_byte_s <= connect_s:
        # Whichever is written there: the other one may be the default.
        there, said = spot.field("first_byte_s"), f'is not above "connect_s", which is {connect_s:g}'
        if there is spot:
            there, said = spot.field("connect_s"), f'is not below "first_byte_s", which is {first_byte_s:g}'
        there.doubtful(
            f"{said}: a provider that takes no connection passes for a silent one, and calls may not go on with another"
        )
    return timeouts


def _health(spot: Spot, entry: HealthEntry | UnsetType, endpoints: Endpoints | None) -> HealthCheck:
    entry = HealthEntry() if isinstance(entry, UnsetType) else entry
    url = checked_url(spot.field("url"), entry.url, query=True)
    if url is None and endpoints is not None:
        url = endpoints.health_url or f"{endpoints.own.base_url}/models"
    return HealthCheck(url=url or "", enabled=entry.enabled, method=entry.method)


def _apis(spot: Spot, apis: list[Any] | UnsetType) -> tuple[str, ...]:
    found = [api for api in apis or [] if api is not None]
    if not isinstance(apis, UnsetType) and not apis:
        spot.wrong("must not be empty")
    return tuple(dict.fromkeys(found))


def _forwarded_betas(spot: Spot) -> tuple[str, ...] | None:
    """:return: None for all of them."""
    if isinstance(spot.node, Scalar) and isinstance(spot.node.value, bool):
        return None if spot.node.value else ()
    if not isinstance(spot.node, List):
        spot.wrong(f"must be true, false or a list of names, not {spot.node.kind}")
        return None
    return tuple(dict.fromkeys(name for there in spot.items() if (name := _beta(there)) is not None))


def _beta(spot: Spot) -> str | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if isinstance(value, str) and _BETA.fullmatch(value):
        return value
    if isinstance(value, str):
        spot.wrong("is not a name that a beta feature can have")
    else:
        spot.wrong(f"must be a string, not {spot.node.kind}")
    return None


def _extra_headers(
    spot: Spot, headers: dict[str, str], auths: set[str], source: SecretSource
) -> Iterator[tuple[str, Secret]]:
    taken = {"authorization" if auth == "bearer" else auth for auth in auths}
    seen: set[str] = set()
    for written, text in headers.items():
        place = f"{spot.place}.{written}" if shown(written) else spot.place
        there = replace(spot.field(written), place=place)
        name = written.lower()
        fault = _header_fault(name, _NEVER_SENT)
        if name in taken:
            fault = 'is what "auth" sends the key in; with "auth": "none" it can be set here'
        if name in seen:
            fault = "is given twice in different capitals"
        seen.add(name)
        if fault:
            there.report.add(there.line, place, fault)
        resolved = source.resolve(there, text)
        if resolved is None:
            continue
        value_fault = header_value_fault(resolved.text)
        if value_fault:
            report_fault(there, resolved, value_fault)
        yield name, Secret(resolved.text)


def _forwarded_headers(spot: Spot, names: list[Any]) -> Iterator[str]:
    seen: set[str] = set()
    for written, there in zip(names, spot.items(), strict=True):
        if written is None:
            continue
        name = written.lower()
        fault = _header_fault(name, _NEVER_SENT | _CREDENTIALS)
        if name in _ACCOUNTS:
            fault = f'"{name}" may not be passed on: which account pays is not for the client to say'
        if "*" in name:
            fault = 'must be whole names: "*" stands for nothing here'
        if name in seen:
            fault = "is listed twice"
        seen.add(name)
        if fault:
            there.wrong(fault)
        yield name


def _header_fault(name: str, refused: frozenset[str]) -> str | None:
    if not _HEADER_NAME.fullmatch(name):
        return "is not a name that a header can have"
    if name in refused:
        return f'"{name}" may not be set or passed on: it belongs to the connection, the client or the key'
    return None
