"""Keys of the database beside those of ``keys.json``: one configuration out of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import msgspec

from llm_gateway.config.credentials import CredentialReader, Credentials
from llm_gateway.config.document import MalformedDocument, Object, read_document
from llm_gateway.config.keys import KeysReader
from llm_gateway.config.owners import Groups
from llm_gateway.config.problems import Report, Spot, join
from llm_gateway.config.secrets import SecretSource
from llm_gateway.config.values import MADE_UP, Configuration, VirtualKey
from llm_gateway.errors import Problem
from llm_gateway.ledger.keys import StoredKey

__all__ = ["DATABASE", "Entries", "Merger"]

DATABASE = "database"
"""Where problems with such keys are said to be, and what ``VirtualKey.origin`` says of them."""

_US = 1_000_000
_NOT_HERE = ("provider", "api_key")


class Entries:
    """Reads entries of virtual keys by the rules of ``keys.json``, with the credentials and groups that are there."""

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

    def read(self, account: str, entry: Mapping[str, Any], place: str = "") -> tuple[VirtualKey | None, list[Problem]]:
        """
        :param account: a digest in hexadecimal.
        :param entry: what would stand in ``keys.json``.
        :param place: what places of problems begin with.
        :return: the key, as if it were this one, and all that is wrong with it if there is none.
        """
        report = Report(DATABASE)
        try:
            node = read_document(msgspec.json.encode(entry).decode())
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
        return found, report.problems


class Merger:
    """Puts the keys of the database beside those of the files, and reads an entry again only when it has to."""

    def __init__(self) -> None:
        self._entries = Entries(Configuration(providers={}, keys={}))
        self._read_with: tuple[Any, Any] | None = None
        self._known: dict[tuple[str, int], tuple[list[VirtualKey], list[Problem]]] = {}

    def merged(self, files: Configuration, stored: Iterable[StoredKey]) -> tuple[Configuration, list[Problem]]:
        """
        One that is revoked, or that does not fit the files any more, takes no part; the others do. Of one that stands
        in ``keys.json`` too, that entry counts.

        :param files: the configuration of the files alone.
        :return: the configuration with both, and what is wrong with single keys of the database.
        """
        with_these = files.credentials, files.groups
        if with_these != self._read_with:
            self._entries, self._read_with, self._known = Entries(files), with_these, {}
        known: dict[tuple[str, int], tuple[list[VirtualKey], list[Problem]]] = {}
        keys = dict(files.keys)
        of_files = {key.name: key for key in files.keys.values() if key.name}
        problems: list[Problem] = []
        for each in stored:
            if each.revoked_at is not None:
                continue
            version = each.id, each.version
            alike, faults = known[version] = self._known.get(version) or self._read(each)
            problems += faults
            for key in alike:
                found = files.keys.get(key.digest)
                if found is None:
                    keys[key.digest] = key
                else:
                    problems.append(_problem(each, f"is {found.label} of keys.json, too, whose entry counts"))
            if alike and each.name in of_files:
                namesake = of_files[each.name]
                message = f"has the name of key:{namesake.fingerprint} in keys.json; both are in use"
                problems.append(_problem(each, message))
        self._known = known
        return attrs.evolve(files, keys=keys), problems

    def _read(self, stored: StoredKey) -> tuple[list[VirtualKey], list[Problem]]:
        """:return: the key as it is now, and as it was before it was rotated, which expires; and what is wrong."""
        key, faults = self._entries.read(stored.account, stored.entry, _place(stored))
        if key is None or faults:
            return [], faults
        alike = []
        for each in stored.digests:
            expires = key.expires
            if each.until is not None:
                expires = min(each.until / _US, float("inf") if expires is None else expires)
            digest = bytes.fromhex(each.digest)
            alike.append(attrs.evolve(key, digest=digest, expires=expires, origin=DATABASE, account=stored.account))
        return alike, []


def _place(stored: StoredKey) -> str:
    return f"{stored.id} ({stored.name})"


def _problem(stored: StoredKey, message: str) -> Problem:
    return Problem(DATABASE, None, _place(stored), message)
