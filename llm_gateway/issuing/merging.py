"""Keys of the database beside those of ``keys.json``: one configuration out of both."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from llm_gateway.config.values import MADE_UP, Configuration, VirtualKey
from llm_gateway.errors import Problem
from llm_gateway.issuing.entries import DATABASE, Entries
from llm_gateway.ledger.keys import StoredKey
from llm_gateway.slices import at_once

__all__ = ["Merger"]

_US = 1_000_000
_AT_ONCE = 256
"""Keys of which each takes less than a microsecond."""


class _Read(msgspec.Struct, frozen=True):
    """What an entry of the database comes to."""

    stored: StoredKey
    keys: tuple[VirtualKey, ...]
    """The key as it is now, and as it was before it was rotated, which expires. None where something is wrong."""
    faults: tuple[Problem, ...] = ()


class Merger:
    """
    Puts the keys of the database beside those of the files.

    It does with each key what is new of it: reads an entry when it is of another version, or when credentials or groups
    are others, and leaves the rest as it has put it.
    """

    def __init__(self) -> None:
        self._files = Configuration(providers={}, keys={})
        self._entries = Entries(self._files)
        self._known: dict[str, _Read] = {}
        """By id, those that may take part."""
        self._keys: dict[bytes, VirtualKey] = {}
        """Of the files and of the database."""
        self._of_files: dict[str, VirtualKey] = {}
        """Those of the files that have a name, by it."""
        self._problems: dict[str, list[Problem]] = {}
        """By id, of those that have any."""

    def merged(self, files: Configuration, stored: Iterable[StoredKey]) -> tuple[Configuration, list[Problem]]:
        """
        One that is revoked, or that does not fit the files any more, takes no part; the others do. Of one that stands
        in ``keys.json`` too, that entry counts.

        :param files: the configuration of the files alone.
        :return: the configuration with both, and what is wrong with single keys of the database.
        """
        return at_once(self.merging(files, stored))

    def merging(
        self, files: Configuration, stored: Iterable[StoredKey]
    ) -> Generator[None, None, tuple[Configuration, list[Problem]]]:
        """The same step by step, one at a time. What is left before its end has changed nothing."""
        entries, known = self._entries, self._known
        if files is not self._files and _named(files) != _named(self._files):
            entries, known = Entries(files), {}
        found: dict[str, _Read] = {}
        new: list[_Read] = []
        for number, each in enumerate(stored):
            if each.revoked_at is not None:
                continue
            before = known.get(each.id)
            if before is None or (before.stored is not each and before.stored.version != each.version):
                before = _read(entries, each)
                new.append(before)
                yield
            elif not number % _AT_ONCE:
                yield
            found[each.id] = before
        keys, of_files, problems = self._keys, self._of_files, self._problems
        if files is self._files:
            keys, problems = dict(keys), dict(problems)
            for id in self._known.keys() - found.keys() | {each.stored.id for each in new} & self._known.keys():
                problems.pop(id, None)
                for key in self._known[id].keys:
                    if keys.get(key.digest) is key:
                        del keys[key.digest]
        else:
            keys, problems, new = dict(files.keys), {}, list(found.values())
            of_files = {key.name: key for key in files.keys.values() if key.name}
        for number, read in enumerate(new):
            if not number % _AT_ONCE:
                yield
            faults = _faults(read, files, of_files)
            if faults:
                problems[read.stored.id] = faults
            keys.update({key.digest: key for key in read.keys if key.digest not in files.keys})
        configuration = replace(files, keys=keys)
        self._files, self._entries, self._known = files, entries, found
        self._keys, self._of_files, self._problems = keys, of_files, problems
        return configuration, [each for faults in problems.values() for each in faults]


def _named(files: Configuration) -> tuple[object, object]:
    """:return: what entries may name."""
    named = {name: each for name, each in files.credentials.items() if not name.startswith(MADE_UP)}
    return named, files.groups


def _read(entries: Entries, stored: StoredKey) -> _Read:
    key, faults = entries.read(stored.account, stored.entry, _place(stored))
    if key is None or faults:
        return _Read(stored, (), tuple(faults))
    alike = []
    for each in stored.digests:
        if each.until is None and each.digest == stored.account:
            alike.append(key)
            continue
        expires = key.expires
        if each.until is not None:
            expires = min(each.until / _US, float("inf") if expires is None else expires)
        alike.append(replace(key, digest=bytes.fromhex(each.digest), expires=expires))
    return _Read(stored, tuple(alike))


def _faults(read: _Read, files: Configuration, of_files: Mapping[str, VirtualKey]) -> list[Problem]:
    """:return: what is wrong with it, and with it beside the keys of the files."""
    stored = read.stored
    problems = list(read.faults)
    for key in read.keys:
        same = files.keys.get(key.digest)
        if same is not None:
            problems.append(_problem(stored, f"is {same.label} of keys.json, too, whose entry counts"))
    if read.keys and stored.name in of_files:
        namesake = of_files[stored.name]
        message = f"has the name of key:{namesake.fingerprint} in keys.json; both are in use"
        problems.append(_problem(stored, message))
    return problems


def _place(stored: StoredKey) -> str:
    return f"{stored.id} ({stored.name})"


def _problem(stored: StoredKey, message: str) -> Problem:
    return Problem(DATABASE, None, _place(stored), message)
