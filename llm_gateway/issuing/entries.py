"""Entries of virtual keys that stand elsewhere than in ``keys.json``, read by the rules of that file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec.structs import replace

from llm_gateway.config.credentials import CredentialReader, Credentials
from llm_gateway.config.document import MalformedDocument, Object, document_of
from llm_gateway.config.keys import KeysReader, name_fault
from llm_gateway.config.limits import read_limits
from llm_gateway.config.owners import Groups, label_fault, read_expiry, read_labels
from llm_gateway.config.problems import Report, Spot, join
from llm_gateway.config.secrets import SecretSource
from llm_gateway.config.values import MADE_UP, Configuration, VirtualKey
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.limits.values import Scope
from llm_gateway.errors import Problem

__all__ = ["DATABASE", "Entries"]

T = TypeVar("T")

DATABASE: Final = "database"
"""Where problems with such keys are said to be, and what ``VirtualKey.origin`` says of them."""

_NOT_HERE = ("provider", "api_key")

_OWN = frozenset({"name", "labels", "expires", "limits"})
"""Fields that differ from key to key. What the rest of an entry says, many entries say in the same words."""

_DIGEST = re.compile("[0-9a-f]{64}")
_NO_KEY = hashlib.sha256(b"").hexdigest()

_REMEMBERED = 65_536
"""Values of fields that are not read again; more begin anew."""


class _Pattern(Discreet, msgspec.Struct, frozen=True):
    """What an entry comes to but for what is its own."""

    fields: Mapping[str, Any]
    """Of a ``VirtualKey``."""
    secrets: tuple[str, ...]
    """The real keys behind it, which must not be in its name."""

    def shown(self) -> tuple[str, ...]:
        return ()


class Entries:
    """
    Reads entries of virtual keys by the rules of ``keys.json``, with the credentials and groups that are there.

    Each part is read once, whichever entries say it: of ten thousand there are a few kinds. Keys whose entries say the
    same have it in common.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._groups = Groups(frozenset(configuration.groups), dict(configuration.groups))
        nowhere = Report("keys.json")
        node = Object(1, ())
        self._credentials = Credentials()
        for name, credential in configuration.credentials.items():
            if not name.startswith(MADE_UP):
                self._credentials.names[name] = Spot(nowhere, node, 1, join("credentials", name))
                self._credentials.named[name] = credential
        # No entry of these holds a real key, and so nothing is resolved.
        self._reader = CredentialReader(SecretSource({}, ""), None)
        self._known: dict[tuple[str, bytes], object] = {}
        """By what is said of what, in JSON."""

    def read(self, account: str, entry: Mapping[str, Any], place: str = "") -> tuple[VirtualKey | None, list[Problem]]:
        """
        :param account: a digest in hexadecimal.
        :param entry: what would stand in ``keys.json``.
        :param place: what places of problems begin with.
        :return: the key, as if it were this one, and all that is wrong with it if there is none.
        """
        found = self._put_together(account, entry)
        return self._read(account, entry, place) if found is None else (found, [])

    def _read(self, account: str, entry: Mapping[str, Any], place: str) -> tuple[VirtualKey | None, list[Problem]]:
        report = Report(DATABASE)
        try:
            node = document_of(entry)
        except MalformedDocument as error:
            report.add(None, place, error.reason)
            return None, report.problems
        spot = Spot(report, node, 1, place)
        for name in _NOT_HERE:
            if name in entry:
                spot.field(name).wrong("stands in keys.json only; a key in the database names credentials of that file")
        if "credentials" not in entry:
            report.add(1, place, 'needs a field "credentials": names of credentials in keys.json')
        if report.problems:
            return None, report.problems
        reader = KeysReader(self._reader, self._credentials, self._groups)
        reader.read(f"sha256:{account}", spot)
        found = next(iter(reader.keys.values()), None)
        return None if found is None else replace(found, origin=DATABASE), report.problems

    def _put_together(self, account: str, entry: Mapping[str, Any]) -> VirtualKey | None:
        """:return: ``None`` where something is wrong: then it is read as a whole, which says what."""
        if not _DIGEST.fullmatch(account) or account == _NO_KEY:
            return None
        pattern = self._part("", {name: value for name, value in entry.items() if name not in _OWN}, self._pattern)
        if pattern is None:
            return None
        fields = dict(pattern.fields)
        if "name" in entry:
            name = fields["name"] = entry["name"]
            if not isinstance(name, str) or name_fault(name, f"sha256:{account}", *pattern.secrets):
                return None
        if "labels" in entry:
            of_group = fields["labels"]
            fields["labels"] = self._part(
                f"labels of {fields['group'] or ''}",
                entry["labels"],
                lambda value: _checked(value, lambda spot: {**of_group, **read_labels(spot, label_fault)}),
            )
        if "expires" in entry:
            fields["expires"] = self._part("expires", entry["expires"], lambda value: _checked(value, read_expiry))
        if "limits" in entry:
            fields["limits"] = limits = self._part(
                "limits", entry["limits"], lambda value: _checked(value, lambda spot: read_limits(spot, Scope.KEY, ""))
            )
            if limits is not None:
                fields["limits"] = tuple([replace(each, subject=account) for each in limits])
        if any(fields[name] is None for name in _OWN if name in entry):
            return None
        fields["digest"], fields["fingerprint"], fields["account"] = bytes.fromhex(account), account[:8], account
        return VirtualKey(**fields)

    def _part(self, what: str, said: Any, read: Callable[[Any], T | None]) -> T | None:
        """
        :param read: gives ``None`` where something is wrong, which is not remembered.
        """
        known = self._known
        part = what, msgspec.json.encode(said)
        found = cast("T | None", known.get(part))
        if found is None:
            found = read(said)
            if found is not None:
                if len(known) >= _REMEMBERED:
                    known.clear()
                known[part] = found
        return found

    def _pattern(self, shared: Mapping[str, Any]) -> _Pattern | None:
        key, problems = self._read("0" * 64, shared, "")
        if key is None or problems:
            return None
        secrets = tuple(self._credentials.named[use.name].api_key.reveal() for use in key.credentials)
        return _Pattern(msgspec.structs.asdict(key), secrets)


def _checked(value: Any, read: Callable[[Spot], T]) -> T | None:
    """:return: ``None`` where something is wrong with it."""
    report = Report(DATABASE)
    try:
        found = read(Spot(report, document_of(value), 1, ""))
    except MalformedDocument:
        return None
    return None if report.problems else found
