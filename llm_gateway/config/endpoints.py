"""Where a provider is, in each of its dialects: from its URLs, or from the preset that knows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from llm_gateway.config.document import Object, Scalar
from llm_gateway.config.formats import DialectEntry, ProviderEntry
from llm_gateway.config.models import listed_models
from llm_gateway.config.presets import preset_at, shipped_presets
from llm_gateway.config.problems import Spot, listed, shown, suggestion
from llm_gateway.config.shape import members, read_fields
from llm_gateway.config.urls import host_of, origin_and_path, url_fault
from llm_gateway.config.values import Endpoint
from llm_gateway.core.dialects import DIALECTS, Dialect
from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.presets import PLACES, Address, MissingPlace, Preset

_LIKE_A_PRESET = 0.7
"""How near a provider's name has to be to be taken for a preset's: providers may be called anything."""

_HOSTS = {"api.anthropic.com": "anthropic", "generativelanguage.googleapis.com": "gemini"}
_READ_APART = frozenset({"models"})
"""Names of models are checked where all of them are."""
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_API_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?")


class Endpoints(msgspec.Struct, frozen=True):
    """A provider's dialects, and what is known of who it is."""

    own: Endpoint
    others: tuple[Endpoint, ...]
    preset: str | None
    """Its name."""
    health_url: str | None = None
    """Where the preset knows a better one than the list of models."""

    @property
    def facts(self) -> Preset | None:
        return shipped_presets().presets[self.preset] if self.preset else None


def read_endpoints(name: str, spot: Spot, entry: ProviderEntry) -> Endpoints | None:
    """
    :param name: the provider's.
    :param spot: where ``entry`` was read from.
    :return: None when something has been reported that leaves no provider to speak of.
    """
    return _Reader(name, spot, entry).read()


def preset_endpoints(name: str) -> Endpoints:
    """
    :param name: of a preset, for a provider of which nothing else is said.
    :raises MissingPlace: that is not enough.
    """
    return _filled(name, ProviderEntry(), {})


def _filled(name: str, entry: ProviderEntry, places: Mapping[str, str]) -> Endpoints:
    preset = shipped_presets().presets[name]
    made = []
    for dialect_name, address in preset.dialects.items():
        dialect = DIALECTS[dialect_name]
        version = entry.api_version if address.versioned_base_url else UNSET
        template = address.versioned_base_url if version and address.versioned_base_url else address.base_url
        base_url = preset.filled(template, places)
        url = preset.filled(address.url, places) if address.url else chat_url(dialect, base_url, version)
        auth = entry.auth or address.auth or dialect.auth
        made.append(Endpoint(dialect_name, url, base_url, auth, address.serves))
    own = next((each for each in made if each.dialect == entry.dialect), made[0])
    health_url = preset.filled(preset.health, places) if preset.health else None
    return Endpoints(own, tuple(each for each in made if each is not own), name, health_url)


class _Reader(msgspec.Struct):
    """One provider's entry."""

    name: str
    spot: Spot
    entry: ProviderEntry

    def read(self) -> Endpoints | None:
        presets = shipped_presets().presets
        given = [name for name in ("url", "base_url", "dialects") if self._has(name)]
        if given:
            for name in self._places():
                self.spot.field(name).wrong(f'says where the provider is, and so does "{given[0]}"')
            return self._from_urls()
        preset = self.entry.preset or self.name
        if preset not in presets:
            if not self._has("preset"):
                self.spot.wrong(
                    'is no preset, so that it needs a field "url", "base_url", "dialects" or "preset"'
                    + suggestion(self.name, presets, what="presets", cutoff=_LIKE_A_PRESET)
                )
            # Otherwise it has been said what is wrong with that.
            return None
        return self._from_preset(preset, presets[preset])

    def _has(self, name: str) -> bool:
        node = self.spot.node
        return node.find(name) is not None if isinstance(node, Object) else name == "url"

    # From the preset

    def _from_preset(self, name: str, preset: Preset) -> Endpoints | None:
        places, dialect = self._places(), self.entry.dialect
        for place in places:
            if place not in preset.places:
                self.spot.field(place).wrong(f'"{name}" is in one place only: it takes no "{place}"')
        if dialect and dialect not in preset.dialects:
            self.spot.field("dialect").wrong(f'"{name}" does not speak it; its dialects: {listed(preset.dialects)}')
        version = self._api_version()
        if version and not any(address.versioned_base_url for address in preset.dialects.values()):
            self.spot.field("api_version").wrong(f'"{name}" has no versions to choose from')
        try:
            return _filled(name, self.entry, places)
        except MissingPlace as missing:
            self.spot.wrong(f'needs a field "{missing.name}": {missing.about}')
        return None

    def _places(self) -> dict[str, str]:
        said = {name: getattr(self.entry, name) for name in PLACES}
        found = {name: value for name, value in said.items() if not isinstance(value, UnsetType)}
        for name, value in found.items():
            if not _PLACE.fullmatch(value):
                self.spot.field(name).wrong('must be of letters, digits and "-"')
        return found

    def _api_version(self) -> str | None:
        version = self.entry.api_version
        if isinstance(version, UnsetType):
            return None
        if not _API_VERSION.fullmatch(version):
            self.spot.field("api_version").wrong('must be a date such as 2024-10-21, perhaps with "-preview" behind it')
        return version

    # From the operator's own URLs

    def _from_urls(self) -> Endpoints | None:
        others = {each.dialect: each for each in self._dialects()}
        own = self._own() if self._has("url") or self._has("base_url") else self._chosen(others)
        if own is None:
            return None
        if others.pop(own.dialect, None) is not None:
            there = self.spot.field("dialects")
            there.report.add(there.line, there.place, f'"{own.dialect}" has its URL beside it already')
        preset = self.entry.preset or preset_at(host_of(own.base_url))
        if self._api_version() and own.base_url.endswith("/v1"):
            self.spot.field("api_version").wrong("is of Azure's older API, whose base URL ends in /openai")
        return Endpoints(own, tuple(others.values()), preset)

    def _own(self) -> Endpoint | None:
        entry = self.entry
        url = checked_url(self.spot.field("url"), entry.url, query=True)
        base_url = checked_url(self.spot.field("base_url"), entry.base_url, query=False)
        address = url or base_url
        if address is None:
            return None
        dialect = DIALECTS[entry.dialect or guess_dialect(self.name, address)]
        base_url = _without_ending(dialect, address) if base_url is None else _given_base(self.spot, dialect, base_url)
        url = url or chat_url(dialect, base_url, entry.api_version)
        return Endpoint(dialect.name, url, base_url, self._auth(dialect), self._serves(dialect))

    def _chosen(self, endpoints: dict[str, Endpoint]) -> Endpoint | None:
        """Take one of ``dialects`` for the provider's own: the one that it names, else the first."""
        dialect = self.entry.dialect
        if dialect and endpoints and dialect not in endpoints:
            self.spot.field("dialect").wrong('is not among its "dialects"')
        name = dialect or next(iter(endpoints), "")
        return endpoints.pop(name, None)

    def _auth(self, dialect: Dialect) -> str:
        known = self._known(dialect)
        return self.entry.auth or (known.auth if known else None) or dialect.auth

    def _serves(self, dialect: Dialect) -> ModelRules:
        known = self._known(dialect)
        return known.serves if known else ModelRules()

    def _known(self, dialect: Dialect) -> Address | None:
        preset = shipped_presets().presets[self.entry.preset] if self.entry.preset else None
        return preset.dialects.get(dialect.name) if preset else None

    def _dialects(self) -> list[Endpoint]:
        if not self._has("dialects"):
            return []
        there = self.spot.field("dialects")
        if not isinstance(there.node, Object):
            there.wrong(f"must be an object, not {there.node.kind}")
            return []
        if not there.node.members:
            there.wrong("must hold a dialect and its base URL")
        found = [self._dialect(name, each, there.place) for name, each in members(there, what="dialect", quote=True)]
        return [each for each in found if each is not None]

    def _dialect(self, name: str, spot: Spot, around: str) -> Endpoint | None:
        dialect = DIALECTS.get(name)
        if dialect is None:
            quoted = f" {shown(name)}" if shown(name) else ""
            spot.report.add(spot.line, around, f"unknown dialect{quoted}{suggestion(name, DIALECTS, what='dialects')}")
            return None
        values: dict[str, Any] = {}
        if isinstance(spot.node, Scalar) and isinstance(spot.node.value, str):
            base_url = checked_url(spot, spot.node.value, query=False)
        elif isinstance(spot.node, Object):
            values = read_fields(spot, DialectEntry, quote=True, aside=_READ_APART)
            base_url = checked_url(spot.field("base_url"), values.get("base_url", UNSET), query=False)
        else:
            spot.wrong(f"must be a base URL or an object, not {spot.node.kind}")
            return None
        url = checked_url(spot.field("url"), values.get("url", UNSET), query=True)
        if base_url is None:
            return None
        base_url = _given_base(spot, dialect, base_url)
        url = url or chat_url(dialect, base_url, UNSET)
        models = spot.field("models")
        serves = self._serves(dialect) if models is spot else ModelRules(map(ModelRule, listed_models(models)))
        return Endpoint(dialect.name, url, base_url, values.get("auth") or self._auth(dialect), serves)


def checked_url(spot: Spot, url: str | UnsetType, *, query: bool) -> str | None:
    """:return: None for one that is not there, or that has been reported."""
    if isinstance(url, UnsetType):
        return None
    fault = url_fault(url, query=query)
    if fault:
        spot.wrong(fault)
        return None
    return url


def chat_url(dialect: Dialect, base_url: str, api_version: str | UnsetType) -> str:
    return base_url + "".join(dialect.chat_endings[:1]) + (f"?api-version={api_version}" if api_version else "")


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
