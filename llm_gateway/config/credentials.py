"""The real keys of ``keys.json``: those that have a name, and those that stand beside a virtual key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from llm_gateway.config.document import Scalar
from llm_gateway.config.formats import CredentialEntry
from llm_gateway.config.limits import read_limits
from llm_gateway.config.notation import PROVIDER_NAME
from llm_gateway.config.problems import Spot, join, looks_like_key, shown, suggestion
from llm_gateway.config.secrets import SecretSource, key_fault, report_fault
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import Credential, Secret, made_up_credential
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.limits.values import Scope
from llm_gateway.core.routing.settings import CredentialUse, Limits

TELLING = 8
"""Secrets shorter than this are placeholders; a name may hold one by chance."""

_FIELD = "credentials"
_USUAL_DIGITS, _ALL_DIGITS = 8, 64


class KnownProviders(msgspec.Struct, frozen=True):
    """What credentials may name."""

    names: frozenset[str]
    file: str
    """The file's name for messages: ``aiservices.json``."""
    presets: frozenset[str] = frozenset()
    """Names that stand for a provider though the file does not have them."""
    lacking: Mapping[str, str] = {}
    """Those that would, and what they lack: ``needs "region" (the AWS region, such as us-east-1)``."""

    def __contains__(self, name: object) -> bool:
        return name in self.names or name in self.presets


class CredentialReader(msgspec.Struct):
    """Reads what makes a credential, wherever in the file it stands."""

    source: SecretSource
    known: KnownProviders | None
    """``None`` when ``aiservices.json`` could not be read, and nothing can be said about providers."""

    def api_key(self, spot: Spot, written: Any) -> str | None:
        """:return: the real key, or ``None`` when it is not there or has been reported."""
        if not isinstance(written, str):
            return None
        resolved = self.source.resolve(spot, written)
        if resolved is None:
            return None
        fault = key_fault(resolved.text)
        if fault:
            report_fault(spot, resolved, fault)
            return None
        return resolved.text

    def provider(self, spot: Spot, values: Mapping[str, Any], secrets: set[str | None]) -> str | None:
        """
        Check the name; one that is merely unknown is a warning, so that one bad line does not stop everyone.

        :param values: of the fields beside it.
        :param secrets: what stands near, and must not be shown.
        """
        name = values.get("provider")
        if not isinstance(name, str) or self.known is None or name in self.known:
            return name
        if not PROVIDER_NAME.fullmatch(name):
            spot.wrong('must be the name of a provider: 1 to 64 letters, digits, ".", "_" or "-"')
        elif values.get("api_key") in self.known:
            spot.wrong('"provider" and "api_key" seem to be swapped')
        elif (len(name) >= TELLING and name in secrets) or looks_like_key(name):
            spot.wrong("must be the name of a provider, and looks like a key")
        elif name in self.known.lacking:
            spot.doubtful(f"{shown(name)} {self.known.lacking[name]} in {self.known.file}, so its calls are refused")
        else:
            known = suggestion(name, self.known.names, what="providers", besides=self.known.presets)
            spot.doubtful(f"{shown(name)} is not in {self.known.file}, so its calls are refused{known}")
        return name


def tells(name: str, *secrets: str) -> bool:
    """:return: whether a name that logs show gives a key away."""
    if any(secret in name for secret in secrets if len(secret) >= TELLING):
        return True
    return name in secrets or looks_like_key(name)


_Said: TypeAlias = tuple[str, tuple[tuple[str, Any], ...]]


class Chosen(msgspec.Struct, frozen=True):
    """What calls of a virtual key can be sent with: the same few for many keys."""

    credentials: tuple[Credential, ...]
    """At least one."""
    uses: tuple[CredentialUse, ...]
    """One for each."""


class Credentials(Discreet, msgspec.Struct):
    """All credentials of one file."""

    names: dict[str, Spot] = {}
    """Every name that is written, so that whoever uses a faulty credential is not reported too."""
    named: dict[str, Credential] = {}
    """Those that are right."""
    limits: dict[str, Limits] = {}
    """Of those that have any."""
    used: dict[str, Credential] = {}
    """Those that virtual keys use, with a name or without."""
    _without_name: dict[tuple[str, str], Chosen] = {}
    _made_up: set[str] = set()
    _with_names: dict[tuple[_Said, ...], Chosen] = {}
    _unknown: dict[str, str] = {}

    def shown(self) -> tuple[str, ...]:
        return ("names", "named", "limits")

    def has(self, name: str) -> bool:
        """
        :param name: as a virtual key names it.
        """
        return name in self.names

    def with_names(self, said: tuple[_Said, ...]) -> Chosen:
        """
        :param said: names of credentials that are right, and what is said of each: ``order``, ``weight``.
        """
        found = self._with_names.get(said)
        if found is None:
            chosen = tuple(self.named[name] for name, _ in said)
            uses = zip(chosen, said, strict=True)
            found = self._with_names[said] = Chosen(
                chosen, tuple(CredentialUse(each.name, each.provider, **dict(values)) for each, (_, values) in uses)
            )
        return found

    def without_name(self, provider: str, api_key: str) -> Chosen:
        """:return: the same one for the same provider and real key."""
        found = self._without_name.get((provider, api_key))
        if found is None:
            made = self._make_up(provider, api_key)
            found = Chosen((made,), (CredentialUse(made.name, provider),))
            self._without_name[provider, api_key] = found
        return found

    def _make_up(self, provider: str, api_key: str) -> Credential:
        # Of a hundred thousand real keys some have the first digits in common, and no key may be sent for another.
        digits = _USUAL_DIGITS
        while (made := made_up_credential(provider, api_key, digits)).name in self._made_up and digits < _ALL_DIGITS:
            digits *= 2
        self._made_up.add(made.name)
        return made

    def unknown(self, name: str) -> str:
        """
        :return: what is wrong with a name that no credential has. It is not shown: a key may stand in its place.
        """
        if name not in self._unknown:
            known = [each for each, there in self.names.items() if there.place == join(_FIELD, each)]
            self._unknown[name] = f"there is no such credential{suggestion(name, known, what='credentials')}"
        return self._unknown[name]


def read_credentials(spot: Spot, reader: CredentialReader, virtual_keys: frozenset[str]) -> Credentials:
    """
    Read the credentials that have a name.

    :param spot: stands at the object that holds them.
    :param virtual_keys: as they are written in the file: one that is put among the credentials is not shown.
    """
    found = Credentials()
    for name, there in members(spot, what="credential", quote=False):
        if _may_be_shown(name, there, virtual_keys):
            there = replace(there, place=join(_FIELD, name))
        found.names[name] = there
        faults = len(spot.report.problems)
        credential, limits = _read(name, there, reader, virtual_keys)
        if credential is not None and len(spot.report.problems) == faults:
            found.named[name] = credential
            if limits is not None:
                found.limits[name] = limits
    return found


def _may_be_shown(name: str, spot: Spot, virtual_keys: frozenset[str]) -> bool:
    beside = spot.field("api_key").node
    api_key = beside.value if isinstance(beside, Scalar) else None
    return bool(PROVIDER_NAME.fullmatch(name)) and name not in virtual_keys and not tells(name, str(api_key or ""))


def _read(
    name: str, spot: Spot, reader: CredentialReader, virtual_keys: frozenset[str]
) -> tuple[Credential | None, Limits | None]:
    if not PROVIDER_NAME.fullmatch(name):
        spot.report.add(spot.line, spot.place, 'a credential\'s name is 1 to 64 letters, digits, ".", "_" or "-"')
    if not is_object(spot, 'an object with "provider" and "api_key"'):
        return None, None
    values = read_fields(spot, CredentialEntry, quote=False, aside=frozenset({"limits"}))
    api_key = reader.api_key(spot.field("api_key"), values.get("api_key"))
    provider = reader.provider(spot.field("provider"), values, {name, api_key})
    if name in virtual_keys or tells(name, api_key or ""):
        spot.report.add(spot.line, spot.place, "the name of a credential must not hold a key: logs show it")
    if not provider or not api_key:
        return None, None
    at_a_time = Limits(in_flight=values["in_flight"]) if "in_flight" in values else None
    there = spot.field("limits")
    limits = () if there is spot else read_limits(there, Scope.CREDENTIAL, name)
    return Credential(name, provider, Secret(api_key), limits), at_a_time
