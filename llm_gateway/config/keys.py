"""From the entries of ``keys.json`` to virtual keys. Nothing in this file is quoted but the names of providers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import attrs

from llm_gateway.config.document import Object, Scalar
from llm_gateway.config.formats import KeysFile, VirtualKeyEntry
from llm_gateway.config.models import read_key_models
from llm_gateway.config.problems import Spot, looks_like_key, shown, suggestion
from llm_gateway.config.providers import PROVIDER_NAME
from llm_gateway.config.secrets import SecretSource, key_fault, report_fault
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import Secret, VirtualKey
from llm_gateway.core.translation.losses import OnUnsupported

_HASHED = "sha256:"
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{64}")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_NO_KEY = hashlib.sha256(b"").digest()
_MAX_NAME = 64
_TELLING = 8
"""Secrets shorter than this are placeholders; a name may hold one by chance."""


@attrs.frozen
class KnownProviders:
    """What the keys may name."""

    names: frozenset[str]
    file: str
    """The file's name for messages: ``aiservices.json``."""
    presets: frozenset[str] = frozenset()
    """Names that stand for a provider though the file does not have them."""
    lacking: Mapping[str, str] = attrs.field(factory=dict)
    """Those that would, and what they lack: ``needs "region" (the AWS region, such as us-east-1)``."""


def read_virtual_keys(spot: Spot, source: SecretSource, known: KnownProviders | None) -> dict[bytes, VirtualKey]:
    """
    Read the whole of ``keys.json``.

    :param known: None when ``aiservices.json`` could not be read, and nothing can be said about providers.
    :return: the keys that are right, by digest.
    """
    if not is_object(spot):
        return {}
    if looks_like_services_file(spot):
        spot.wrong("this looks like aiservices.json: are the two files swapped?")
        return {}
    read_fields(spot, KeysFile, quote=False, aside=frozenset({"virtual_keys"}))
    there = spot.field("virtual_keys")
    if there is spot or not is_object(there):
        return {}
    reader = _KeysReader(source, known)
    for name, entry in members(there, what="virtual key", quote=False):
        reader.read(name, entry)
    if isinstance(there.node, Object) and not there.node.members:
        there.doubtful("no virtual keys: every call will be refused")
    return reader.keys


def looks_like_services_file(spot: Spot) -> bool:
    """Tell whether this is ``aiservices.json``, named by mistake."""
    if not isinstance(spot.node, Object) or spot.node.find("virtual_keys"):
        return False
    named = [member.node for member in spot.node.members if not member.name.startswith("$")]
    values = [node.value for node in named if isinstance(node, Scalar)]
    return any(isinstance(value, str) and re.match("https?://", value) for value in values)


@attrs.define
class _KeysReader:
    """Reads one entry after the other, and knows the keys before it."""

    source: SecretSource
    known: KnownProviders | None
    keys: dict[bytes, VirtualKey] = attrs.field(factory=dict)
    _first: dict[bytes, Spot] = attrs.field(factory=dict)

    def read(self, written: str, spot: Spot) -> None:
        """
        :param written: the virtual key, or its digest, as it stands in the file.
        """
        faults = len(spot.report.problems)
        digest = self._digest(written, spot)
        if not is_object(spot, 'an object with "provider" and "api_key"'):
            return
        values = read_fields(spot, VirtualKeyEntry, quote=False, aside=frozenset({"models"}))
        api_key = self._api_key(spot.field("api_key"), values.get("api_key"))
        provider = self._provider(spot.field("provider"), values, {written, api_key})
        name = self._name(spot.field("name"), values.get("name"), written, api_key)
        models = spot.field("models")
        rules = None if models is spot else read_key_models(models)
        policy = OnUnsupported(values.get("on_unsupported", "default"))
        if len(spot.report.problems) == faults and digest and provider and api_key:
            self.keys[digest] = VirtualKey(
                digest, digest.hex()[:8], name, provider, Secret(api_key), models=rules, on_unsupported=policy
            )

    def _digest(self, written: str, spot: Spot) -> bytes | None:
        fault = None
        if written.lower().startswith(_HASHED):
            if not _HEXADECIMAL.fullmatch(written[len(_HASHED) :]):
                fault = '"sha256:" must be followed by 64 hexadecimal digits'
            else:
                digest = bytes.fromhex(written[len(_HASHED) :])
                if digest == _NO_KEY:
                    fault = "is the SHA-256 of no key at all"
        elif written.startswith(("file:", "${")):
            fault = (
                'a virtual key itself must stand here, or "sha256:" and its digest; only api_key may point elsewhere'
            )
        elif not _VISIBLE_ASCII.fullmatch(written):
            fault = "a virtual key must be of visible ASCII characters: it is sent in a header"
        else:
            digest = hashlib.sha256(written.encode()).digest()
        if fault is None and digest in self._first:
            first = self._first[digest]
            fault = (
                f"is the same virtual key as {first.place} (a key and its SHA-256 count as one); "
                f"first on line {first.line}"
            )
        if fault is not None:
            spot.report.add(spot.line, spot.place, fault)
            return None
        self._first[digest] = spot
        return digest

    def _api_key(self, spot: Spot, written: Any) -> str | None:
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

    def _provider(self, spot: Spot, values: dict[str, Any], secrets: set[str | None]) -> str | None:
        """Check the name; one that is merely unknown is a warning, so that one bad line does not stop everyone."""
        name = values.get("provider")
        if not isinstance(name, str) or self.known is None or name in self.known.names | self.known.presets:
            return name
        if not PROVIDER_NAME.fullmatch(name):
            spot.wrong('must be the name of a provider: 1 to 64 letters, digits, ".", "_" or "-"')
        elif values.get("api_key") in self.known.names | self.known.presets:
            spot.wrong('"provider" and "api_key" seem to be swapped')
        elif (len(name) >= _TELLING and name in secrets) or looks_like_key(name):
            spot.wrong("must be the name of a provider, and looks like a key")
        elif name in self.known.lacking:
            spot.doubtful(f"{shown(name)} {self.known.lacking[name]} in {self.known.file}, so its calls are refused")
        else:
            known = suggestion(name, self.known.names, what="providers", besides=self.known.presets)
            spot.doubtful(f"{shown(name)} is not in {self.known.file}, so its calls are refused{known}")
        return name

    def _name(self, spot: Spot, name: Any, written: str, api_key: str | None) -> str | None:
        if not isinstance(name, str):
            return None
        if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
            spot.wrong(f"must be 1 to {_MAX_NAME} printable characters, with no space at either end")
        elif self._tells(name, written, api_key):
            spot.wrong("must not hold a key: logs show it")
        return name

    @staticmethod
    def _tells(name: str, written: str, api_key: str | None) -> bool:
        if any(secret in name for secret in (written, api_key or "") if len(secret) >= _TELLING):
            return True
        return name == written or looks_like_key(name)
