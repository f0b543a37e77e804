"""Keys of the database beside those of ``keys.json``: one configuration out of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.errors import Problem
from llm_gateway.issuing.entries import DATABASE, Entries
from llm_gateway.ledger.keys import StoredKey

__all__ = ["Merger"]

_US = 1_000_000


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
