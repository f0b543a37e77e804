"""From the entries of ``aiservices.json`` to providers with every default filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec
from msgspec import UnsetType

from llm_gateway.config.document import Node, Object, Scalar
from llm_gateway.config.formats import HealthEntry, ProviderEntry, TimeoutsEntry
from llm_gateway.config.problems import Spot, shown
from llm_gateway.config.secrets import SecretSource, header_value_fault, report_fault
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.urls import host_of, origin_and_path, url_fault
from llm_gateway.config.values import HealthCheck, Provider, Secret
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import DIALECTS, Dialect
from llm_gateway.core.headers import CREDENTIAL_HEADERS, HOP_BY_HOP, NOT_TO_PROVIDER

PROVIDER_NAME = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,64}")
"""It is part of the path ``/p/{provider}/``, from which browsers and libraries take ``.`` and ``..`` away."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOSTS = {"api.anthropic.com": "anthropic", "generativelanguage.googleapis.com": "gemini"}
_NEVER_SENT = frozenset(name.decode() for name in HOP_BY_HOP) | {"host", "content-length", "cookie"}
_CREDENTIALS = frozenset(name.decode() for name in CREDENTIAL_HEADERS)
_ACCOUNTS = frozenset(name.decode() for name in NOT_TO_PROVIDER)


def read_providers(spot: Spot, source: SecretSource) -> tuple[dict[str, Provider], frozenset[str]]:
    """
    Read the whole of ``aiservices.json``.

    :return: the providers that are right, and the names of all, so that a key of a faulty one is not reported too.
    """
    if not is_object(spot):
        return {}, frozenset()
    providers: dict[str, Provider] = {}
    names: set[str] = set()
    for name, there in members(spot, what="provider", quote=True):
        if name == "$schema":
            _check_schema_reference(there)
            continue
        names.add(name)
        faults = len(spot.report.problems)
        provider = _read_provider(name, there, source)
        if provider is not None and len(spot.report.problems) == faults:
            providers[name] = provider
    if not names:
        spot.doubtful("no providers: every call will be refused")
    return providers, frozenset(names)


def looks_like_keys_file(spot: Spot) -> bool:
    """Tell whether this is ``keys.json``, named by mistake: then no name in it may be shown."""
    if not isinstance(spot.node, Object):
        return False
    return any(member.name == "virtual_keys" or _is_virtual_key(member.node) for member in spot.node.members)


def _is_virtual_key(node: Node) -> bool:
    return isinstance(node, Object) and bool(node.find("api_key")) and not (node.find("url") or node.find("base_url"))


def _check_schema_reference(spot: Spot) -> None:
    if not (isinstance(spot.node, Scalar) and isinstance(spot.node.value, str)):
        spot.wrong(f"must be a string, not {spot.node.kind}")


def _read_provider(name: str, spot: Spot, source: SecretSource) -> Provider | None:
    """:return: None when something has been reported that leaves no provider to speak of."""
    if not PROVIDER_NAME.fullmatch(name):
        spot.report.add(spot.line, spot.place, 'a provider\'s name is 1 to 64 letters, digits, ".", "_" or "-"')
    entry = _read_entry(spot)
    if entry is None:
        return None
    url = _checked_url(spot.field("url"), entry.url, query=True)
    base_url = _checked_url(spot.field("base_url"), entry.base_url, query=False)
    address = url or base_url
    if address is None:
        return None
    dialect = DIALECTS[entry.dialect or guess_dialect(name, address)]
    base_url = _without_ending(dialect, address) if base_url is None else _given_base(spot, dialect, base_url)
    auth = entry.auth or dialect.auth
    return Provider(
        name=name,
        url=url or base_url + "".join(dialect.chat_endings[:1]),
        base_url=base_url,
        dialect=dialect.name,
        auth=auth,
        headers=tuple(_extra_headers(spot.field("headers"), entry.headers or {}, auth, source)),
        forward_headers=tuple(_forwarded_headers(spot.field("forward_headers"), entry.forward_headers or [])),
        timeouts=_timeouts(entry.timeouts),
        health=_health(spot.field("health"), entry.health, base_url),
    )


def _read_entry(spot: Spot) -> ProviderEntry | None:
    node = spot.node
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return ProviderEntry(url=node.value)
    if not is_object(spot, "a URL or an object"):
        return None
    assert isinstance(node, Object)
    entry = ProviderEntry(**read_fields(spot, ProviderEntry, quote=True))
    if not (node.find("url") or node.find("base_url")):
        spot.wrong('needs a field "url" or "base_url"')
    return entry


def _checked_url(spot: Spot, url: str | UnsetType, *, query: bool) -> str | None:
    if isinstance(url, UnsetType):
        return None
    fault = url_fault(url, query=query)
    if fault:
        spot.wrong(fault)
        return None
    return url


def guess_dialect(name: str, url: str) -> str:
    """
    Tell the dialect of a provider that does not name it.

    How the URL ends says more than whose host it is (Anthropic and Google have OpenAI-dialect endpoints too), and the
    host more than what somebody called it.
    """
    _, path = origin_and_path(url)
    for dialect in DIALECTS.values():
        if path.endswith(dialect.chat_endings):
            return dialect.name
    if path.endswith("/openai"):
        return "openai"
    by_host = _HOSTS.get(host_of(url))
    if by_host:
        return by_host
    return name.casefold() if name.casefold() in DIALECTS else "openai"


def _without_ending(dialect: Dialect, url: str) -> str:
    origin, path = origin_and_path(url)
    for ending in sorted(dialect.chat_endings, key=len, reverse=True):
        if path.endswith(ending):
            return origin + path.removesuffix(ending).rstrip("/")
    return origin + path


def _given_base(spot: Spot, dialect: Dialect, base_url: str) -> str:
    origin, path = origin_and_path(base_url)
    if path.endswith(dialect.chat_endings):
        spot.field("base_url").wrong('must stop before the chat path: the whole URL belongs in "url"')
    return origin + path


def _timeouts(entry: TimeoutsEntry | UnsetType) -> Timeouts:
    return Timeouts() if isinstance(entry, UnsetType) else Timeouts(**msgspec.structs.asdict(entry))


def _health(spot: Spot, entry: HealthEntry | UnsetType, base_url: str) -> HealthCheck:
    entry = HealthEntry() if isinstance(entry, UnsetType) else entry
    url = _checked_url(spot.field("url"), entry.url, query=True)
    return HealthCheck(url=url or f"{base_url}/models", enabled=entry.enabled, method=entry.method)


def _extra_headers(
    spot: Spot, headers: dict[str, str], auth: str, source: SecretSource
) -> Iterator[tuple[str, Secret]]:
    taken = {"bearer": "authorization"}.get(auth, auth)
    seen: set[str] = set()
    for written, text in headers.items():
        place = f"{spot.place}.{written}" if shown(written) else spot.place
        there = attrs.evolve(spot.field(written), place=place)
        name = written.lower()
        fault = _header_fault(name, _NEVER_SENT)
        if name == taken:
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
