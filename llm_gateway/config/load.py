"""Reading both files into one configuration, or telling everything that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.config.credentials import Credentials, KnownProviders
from llm_gateway.config.document import MalformedDocument, read_document
from llm_gateway.config.files import MAX_SETTINGS_BYTES, UnreadableFile, read_text
from llm_gateway.config.keys import KeysContent, read_keys_file
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.problems import VERY_NEAR, Report, Spot, nearest
from llm_gateway.config.providers import ServicesContent, looks_like_keys_file, preset_provider, read_providers
from llm_gateway.config.routing import ROUTING, RoutingContent, read_routing
from llm_gateway.config.secrets import SecretSource
from llm_gateway.config.values import Configuration, Provider
from llm_gateway.core.model_rules import NOTHING
from llm_gateway.core.presets import MissingPlace
from llm_gateway.errors import ConfigurationError, Problem
from llm_gateway.shipped import DATA

DEFAULT_KEYS_FILE = "keys.json"
DEFAULT_AISERVICES_FILE = "aiservices.json"
DEFAULT_PRICES_FILE = "prices.json"

_NO_KEYS_FILE = (
    "make one with `cp keys.example.json keys.json` and put your keys in it, or name another with KEYS_FILE or --keys"
)
_NO_AISERVICES_FILE = "name another with AISERVICES_FILE or --aiservices, or neither to use the one that is built in"


class Reading(msgspec.Struct, frozen=True):
    """What two files hold, as far as they are right, and what is wrong with them."""

    configuration: Configuration
    """Without the entries that something is wrong with."""
    problems: tuple[Problem, ...]


def load_configuration(keys_file: str, aiservices_file: str | None, environ: Mapping[str, str]) -> Configuration:
    """
    Read both files and everything that they point to.

    :param keys_file: path of ``keys.json``.
    :param aiservices_file: path of ``aiservices.json``; None for the one that is built in.
    :param environ: where ``${NAME}`` is looked up.
    :raises ConfigurationError: with all that is wrong with both files.
    """
    reading = read_configuration(keys_file, aiservices_file, environ)
    if reading.problems:
        raise ConfigurationError(reading.problems)
    return reading.configuration


def read_configuration(keys_file: str, aiservices_file: str | None, environ: Mapping[str, str]) -> Reading:
    """Read as `load_configuration` does, and keep what is right when something is wrong."""
    services_file = built_in_aiservices() if aiservices_file is None else aiservices_file
    services_report, keys_report = Report(services_file), Report(keys_file)
    services_source, keys_source = (SecretSource(environ, os.path.dirname(file)) for file in (services_file, keys_file))

    services, routing = ServicesContent(), RoutingContent()
    presets: dict[str, Provider] = {}
    known: KnownProviders | None = None
    top = _read_settings(services_report, _NO_AISERVICES_FILE)
    if top and looks_like_keys_file(top):
        top.wrong("this looks like keys.json: are the two files swapped?")
    elif top:
        services = read_providers(top, services_source)
        presets, lacking = _presets(services.names)
        known = KnownProviders(services.names, os.path.basename(services_file), frozenset(presets), lacking)
        there = top.field(ROUTING)
        if there is not top:
            routing = read_routing(there, known, partial(_is_known_model, services.providers.values()))

    document = _read_settings(keys_report, _NO_KEYS_FILE)
    # Where nothing is known of providers, what a key names may be anything, a key in the wrong place too.
    content = read_keys_file(document, keys_source, known) if document else KeysContent()
    keys, credentials = (content.keys, content.credentials) if known else ({}, Credentials())
    # Those that no key of the file uses, too: keys that are made at run time name them.
    every = credentials.named | credentials.used if known else {}
    if top and known:
        called = {credential.provider for credential in every.values()}
        presets = {name: preset for name, preset in presets.items() if name in called}
        _check_names(top, known.names, called, presets)
        if keys:
            routing.warn_of_unreachable(called)
    configuration = Configuration(
        providers=services.providers | presets,
        keys=keys,
        warnings=_in_order(keys_report.warnings) + _in_order(services_report.warnings),
        files=tuple(dict.fromkeys([keys_file, services_file, *keys_source.files, *services_source.files])),
        credentials=every,
        routing=replace(routing.settings, providers=services.settings, credentials=credentials.limits),
        groups=content.groups,
        limits=content.limits,
        label_from=content.label_from,
    )
    return Reading(configuration, _in_order(keys_report.problems) + _in_order(services_report.problems))


def _is_known_model(providers: Iterable[Provider], name: str) -> bool:
    rules = any(provider.models.find(name) for provider in providers)
    return rules or shipped_catalogue().find(name) is not NOTHING


def _check_names(services: Spot, names: Collection[str], called: Collection[str], presets: Collection[str]) -> None:
    """
    Warn of an ``aiservices.json`` that takes no part: without providers, or with one that was most likely meant where
    keys name a preset.

    :param names: of its providers.
    :param called: what keys name.
    :param presets: those of them that come from nowhere else.
    """
    if not names and not presets:
        services.doubtful("no providers: every call will be refused")
    for preset in presets:
        near = nearest(preset, [name for name in names if name not in called], cutoff=VERY_NEAR)
        if near is not None:
            there = services.field(near)
            message = (
                f'no key names it, and those of "{preset}" go to the preset of that name: is one of them misspelt?'
            )
            there.report.warn(there.line, there.place, message)


def _presets(names: Collection[str]) -> tuple[dict[str, Provider], dict[str, str]]:
    """
    :param names: of the providers in the file, which count before presets.
    :return: the presets that need only a key, and for each of the others what it needs.
    """
    presets: dict[str, Provider] = {}
    lacking: dict[str, str] = {}
    for name in shipped_presets().presets.keys() - names:
        try:
            presets[name] = preset_provider(name)
        except MissingPlace as missing:
            lacking[name] = f'needs "{missing.name}" ({missing.about})'
    return presets, lacking


def choose_files(keys: str | None, aiservices: str | None, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """
    Decide which files to read: the option, else the variable, else the default name in the current directory.

    :param keys: what ``--keys`` said, if anything.
    :param aiservices: what ``--aiservices`` said, if anything.
    :return: the two paths. The second is None, for the file that is built in, when nobody named one and there is no
        ``aiservices.json`` here.
    """
    keys_file = keys or environ.get("KEYS_FILE") or DEFAULT_KEYS_FILE
    named = aiservices or environ.get("AISERVICES_FILE")
    if named:
        return keys_file, named
    return keys_file, DEFAULT_AISERVICES_FILE if os.path.lexists(DEFAULT_AISERVICES_FILE) else None


def choose_prices(named: str | None, environ: Mapping[str, str]) -> str | None:
    """
    Decide which list to go by: the option, else the variable, else the default name in the current directory.

    :param named: what ``--prices`` said, if anything.
    :return: its path; None, for the list that ships, when nobody named one and there is no ``prices.json`` here.
    """
    found = named or environ.get("PRICES_FILE")
    return found or (DEFAULT_PRICES_FILE if os.path.lexists(DEFAULT_PRICES_FILE) else None)


def built_in_aiservices() -> str:
    """:return: the path of the ``aiservices.json`` that ships with the package."""
    return str(DATA / "aiservices.json")


def _read_settings(report: Report, advice: str) -> Spot | None:
    """:return: the top of the document, or None when the file has been reported as unusable."""
    try:
        text = read_text(report.file, MAX_SETTINGS_BYTES)
    except UnreadableFile as error:
        report.add(error.line, "", f"{error.reason}; {advice}" if error.missing else error.reason)
        return None
    if text.startswith("\ufeff"):
        report.add(1, "", "begins with a byte order mark; save it as UTF-8 without one")
        return None
    if not text.strip():
        report.add(None, "", "is empty")
        return None
    try:
        node = read_document(text)
    except MalformedDocument as error:
        report.add(error.line, f"column {error.column}", f"not JSON: {error.reason}")
        return None
    return Spot(report, node, node.line, "")


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))
