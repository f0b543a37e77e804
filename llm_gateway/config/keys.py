"""From the entries of ``keys.json`` to virtual keys. Nothing in this file is quoted but the names of providers."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from llm_gateway.config.credentials import (
    Chosen,
    CredentialReader,
    Credentials,
    KnownProviders,
    read_credentials,
    tells,
)
from llm_gateway.config.document import List, Object, Scalar
from llm_gateway.config.formats import KeysFile, VirtualKeyEntry
from llm_gateway.config.limits import read_limits
from llm_gateway.config.models import read_key_models
from llm_gateway.config.owners import (
    Groups,
    fields_of,
    label_fault,
    read_expiry,
    read_group,
    read_groups,
    read_labels,
    read_operations,
    source_fault,
)
from llm_gateway.config.problems import Spot
from llm_gateway.config.routing_formats import CredentialUseEntry
from llm_gateway.config.secrets import SecretSource
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import Group, VirtualKey
from llm_gateway.core.limits.values import Limit, Scope
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.translation.losses import OnUnsupported

_HASHED = "sha256:"
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{64}")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_NO_KEY = hashlib.sha256(b"").digest()
_MAX_NAME = 64
_READ_APART = frozenset({"credentials", "models", "operations", "expires", "group", "labels", "limits"})
"""Fields that may be of several shapes."""


class KeysContent(msgspec.Struct, frozen=True):
    """What ``keys.json`` holds, as far as it is right."""

    keys: dict[bytes, VirtualKey] = {}
    """By digest."""
    credentials: Credentials = msgspec.field(default_factory=Credentials)
    groups: dict[str, Group] = {}
    limits: tuple[Limit, ...] = ()
    label_from: dict[str, str] = {}


_TOP = frozenset({"credentials", "virtual_keys", "groups", "limits", "label_from"})


def read_keys_file(spot: Spot, source: SecretSource, known: KnownProviders | None) -> KeysContent:
    """
    Read the whole of ``keys.json``.

    :param known: None when ``aiservices.json`` could not be read, and nothing can be said about providers.
    """
    if not is_object(spot):
        return KeysContent()
    if looks_like_services_file(spot):
        spot.wrong("this looks like aiservices.json: are the two files swapped?")
        return KeysContent()
    read_fields(spot, KeysFile, quote=False, aside=_TOP)
    there = spot.field("virtual_keys")
    entries = there.node.members if there is not spot and isinstance(there.node, Object) else ()
    reader = CredentialReader(source, known)
    credentials = Credentials()
    named = spot.field("credentials")
    if named is not spot:
        if not is_object(named):
            return KeysContent()
        credentials = read_credentials(named, reader, frozenset(member.name for member in entries))
    grouped, limited, labelled = spot.field("groups"), spot.field("limits"), spot.field("label_from")
    groups = Groups() if grouped is spot or not is_object(grouped) else read_groups(grouped)
    limits = () if limited is spot else read_limits(limited, Scope.GLOBAL, "")
    label_from = {} if labelled is spot else read_labels(labelled, source_fault)
    if there is spot or not is_object(there):
        return KeysContent(credentials=credentials)
    keys = KeysReader(reader, credentials, groups)
    for name, entry in members(there, what="virtual key", quote=False):
        keys.read(name, entry)
    if not entries and not credentials.names:
        # Keys that are made at run time would have nothing to name, either.
        there.doubtful("no virtual keys: every call will be refused")
    return KeysContent(keys.keys, credentials, dict(groups.right), limits, label_from)


def looks_like_services_file(spot: Spot) -> bool:
    """Tell whether this is ``aiservices.json``, named by mistake."""
    if not isinstance(spot.node, Object) or spot.node.find("virtual_keys"):
        return False
    named = [member.node for member in spot.node.members if not member.name.startswith("$")]
    values = [node.value for node in named if isinstance(node, Scalar)]
    return any(isinstance(value, str) and re.match("https?://", value) for value in values)


class KeysReader(msgspec.Struct):
    """Reads one entry after the other, and knows the keys before it."""

    reader: CredentialReader
    credentials: Credentials
    groups: Groups
    keys: dict[bytes, VirtualKey] = {}
    _first: dict[bytes, Spot] = {}

    def read(self, written: str, spot: Spot) -> None:
        """
        :param written: the virtual key, or its digest, as it stands in the file.
        """
        faults = len(spot.report.problems)
        digest = self._digest(written, spot)
        if not is_object(spot, 'an object with "provider" and "api_key", or with "credentials"'):
            return
        values = read_fields(spot, VirtualKeyEntry, quote=False, aside=_READ_APART)
        chosen = self._chosen(written, spot, values)
        name = self._name(spot.field("name"), values.get("name"), written, chosen)
        models = spot.field("models")
        rules = None if models is spot else read_key_models(models)
        policy = OnUnsupported(values.get("on_unsupported", "default"))
        owned = self._owned(spot, digest)
        if len(spot.report.problems) == faults and digest and chosen:
            self.credentials.used.update((each.name, each) for each in chosen.credentials)
            first = chosen.credentials[0]
            self.keys[digest] = VirtualKey(
                digest,
                digest.hex()[:8],
                name,
                first.provider,
                first.api_key,
                models=rules,
                on_unsupported=policy,
                credentials=chosen.uses,
                on_disconnect=OnDisconnect(values.get("on_disconnect", "abort_and_estimate")),
                on_unpriced=OnUnpriced(values.get("on_unpriced", "refuse")),
                **owned,
            )

    def _owned(self, spot: Spot, digest: bytes | None) -> dict[str, Any]:
        """Who pays for its calls, and what they may be."""
        found: dict[str, Any] = {}
        there = {name: spot.field(name) for name in fields_of(spot)}
        if "group" in there:
            found["group"] = read_group(there["group"], self.groups)
        group = self.groups.right.get(found.get("group") or "")
        labels = read_labels(there["labels"], label_fault) if "labels" in there else {}
        found["labels"] = {**group.labels, **labels} if group is not None else labels
        if "expires" in there:
            found["expires"] = read_expiry(there["expires"])
        if "operations" in there:
            found["operations"] = read_operations(there["operations"])
        if "limits" in there:
            found["limits"] = read_limits(there["limits"], Scope.KEY, (digest or b"").hex())
        return found

    # What its calls are sent with

    def _chosen(self, written: str, spot: Spot, values: dict[str, Any]) -> Chosen | None:
        """:return: ``None`` when something has been reported that leaves no credential, or one that is faulty."""
        written_here = [member.name for member in spot.node.members] if isinstance(spot.node, Object) else []
        missing = [name for name in ("provider", "api_key") if name not in written_here]
        if "credentials" in written_here:
            there = spot.field("credentials")
            if len(missing) < 2:
                there.wrong('stands in place of "provider" and "api_key": a key has either those or this')
            return self._listed(there)
        if len(missing) == 2:
            spot.wrong('needs the fields "provider" and "api_key", or "credentials"')
        elif missing:
            spot.wrong(f'needs a field "{missing[0]}"')
        api_key = self.reader.api_key(spot.field("api_key"), values.get("api_key"))
        provider = self.reader.provider(spot.field("provider"), values, {written, api_key})
        return self.credentials.without_name(provider, api_key) if provider and api_key else None

    def _listed(self, spot: Spot) -> Chosen | None:
        if not isinstance(spot.node, List):
            spot.wrong(f"must be a list of names or objects, not {spot.node.kind}")
            return None
        if not spot.node.items:
            spot.wrong("must not be empty")
            return None
        said: dict[str, tuple[tuple[str, Any], ...]] = {}
        right = True
        for there in spot.items():
            values = self._entry(there)
            name = values.pop("name", None)
            if name in said:
                there.wrong("is listed twice")
            elif isinstance(name, str):
                said[name] = tuple(values.items())
                if not self.credentials.has(name):
                    there.field("name").wrong(self.credentials.unknown(name))
            right = right and name in self.credentials.named
        return self.credentials.with_names(tuple(said.items())) if right else None

    @staticmethod
    def _entry(spot: Spot) -> dict[str, Any]:
        node = spot.node
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return {"name": node.value}
        if is_object(spot, "the name of a credential or an object"):
            return read_fields(spot, CredentialUseEntry, quote=False)
        return {}

    # Who it is

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

    def _name(self, spot: Spot, name: Any, written: str, chosen: Chosen | None) -> str | None:
        if not isinstance(name, str):
            return None
        api_keys = [credential.api_key.reveal() for credential in chosen.credentials] if chosen else []
        fault = name_fault(name, written, *api_keys)
        if fault is not None:
            spot.wrong(fault)
        return name


def name_fault(name: str, *secrets: str) -> str | None:
    """
    :param secrets: the virtual key as it is written, and the real ones that it uses.
    :return: what is wrong with the name of a virtual key, if anything.
    """
    if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
        return f"must be 1 to {_MAX_NAME} printable characters, with no space at either end"
    return "must not hold a key: logs show it" if tells(name, *secrets) else None
