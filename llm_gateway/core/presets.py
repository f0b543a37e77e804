"""Providers that are known by name: where they are, what they speak, and what only their customer can say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

import msgspec

from llm_gateway.core.model_rules import ModelRule, ModelRules

__all__ = ["APIS", "PLACES", "Address", "MissingPlace", "Place", "Preset"]

PLACES = ("location", "project", "region", "resource")
"""What an address may depend on, by the names of the fields in ``aiservices.json``."""

APIS = ("chat", "responses")
"""OpenAI's two ways of holding a conversation. A provider of its dialect may have one of them only."""

_HOLE = re.compile(r"\{(\w+)\}")


class MissingPlace(Exception):
    """The address of a preset depends on something that nobody said."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, about)
        self.name = name
        self.about = about


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that an address depends on."""

    about: str
    """What it is, for messages: ``the AWS region, such as us-east-1``."""
    default: str | None = None
    hosts: dict[str, str] = {}
    """What ``{host}`` stands for, by the patterns that the value fits; the first that it fits counts."""


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one of a provider's dialects is spoken. Holes such as ``{region}`` are to be filled."""

    base_url: str
    url: str | None = None
    """Of conversations, where that is not the base URL and the dialect's own ending."""
    auth: str | None = None
    """Where it is not the dialect's own way."""
    versioned_base_url: str | None = None
    """In place of ``base_url`` where the customer asks for a version of the API (Azure)."""
    models: tuple[str, ...] = ()
    """What is known to be served there, and in which of the provider's dialects it can be asked for: patterns."""
    names: dict[str, str] = {}
    """What models are called there whose names, in the provider's other dialects, fit these patterns."""

    @property
    def serves(self) -> ModelRules:
        """``names`` and ``models`` as rules: a name that becomes another one is known to be served too."""
        renamed = (ModelRule(pattern, name) for pattern, name in self.names.items())
        return ModelRules((*renamed, *map(ModelRule, self.models)))


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One provider."""

    title: str
    source: tuple[str, ...]
    dialects: dict[str, Address]
    """The first one is its own."""
    places: dict[str, Place] = {}
    apis: tuple[str, ...] = APIS
    health: str | None = None
    """What is probed, where that is not the list of models."""
    forward_beta: tuple[str, ...] | None = None
    """The beta features that it knows of those that clients ask for; ``None`` for all."""
    models_of: str | None = None
    """The family of the catalogue whose models it has, where that is not the one of its own name."""
    models: tuple[str, ...] = ()
    """What its models are called, those too that are newer than the catalogue: patterns; none where it may have any."""
    spelling: tuple[str, ...] = ()
    """What nobody but it calls models: patterns."""

    @cached_property
    def serves(self) -> ModelRules:
        """All of its models' names, as rules; none where it may have any."""
        return ModelRules(map(ModelRule, (*self.models, *self.spelling)))

    @cached_property
    def spells(self) -> ModelRules:
        """The names that nobody but it uses, as rules."""
        return ModelRules(map(ModelRule, self.spelling))

    def filled(self, template: str, places: Mapping[str, str]) -> str:
        """
        :param places: what the customer said, by the names in `PLACES`.
        :return: the template without its holes.
        :raises MissingPlace: one of them cannot be filled.
        """
        values = {}
        for name, place in self.places.items():
            value = places.get(name, place.default)
            if value is None:
                raise MissingPlace(name, place.about)
            values[name] = value
            hosts = ModelRules(ModelRule(pattern, host) for pattern, host in place.hosts.items()).find(value)
            if hosts is not None and hosts.target is not None:
                values["host"] = _HOLE.sub(lambda hole: values[hole[1]], hosts.target)
        return _HOLE.sub(lambda hole: values[hole[1]], template)

    def is_at(self, host: str) -> bool:
        """
        :param host: of a URL, in lower case.
        :return: whether that is one of this provider's.
        """
        return any(pattern.fullmatch(host) for pattern in self._hosts)

    @cached_property
    def _hosts(self) -> list[re.Pattern[str]]:
        given = [address.base_url.split("/")[2].partition(":")[0] for address in self.dialects.values()]
        named = [host for place in self.places.values() for host in place.hosts.values()]
        # One machine has many servers: the name of this one tells nothing.
        known = [host for host in [*given, *named] if host not in ("localhost", "{host}")]
        return [re.compile("[a-z0-9-]+".join(map(re.escape, _HOLE.split(host)[::2]))) for host in known]
