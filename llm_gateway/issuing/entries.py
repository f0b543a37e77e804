"""Entries of virtual keys that stand elsewhere than in ``keys.json``, read by the rules of that file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llm_gateway.config.credentials import CredentialReader, Credentials
from llm_gateway.config.document import MalformedDocument, Object, read_document
from llm_gateway.config.keys import KeysReader
from llm_gateway.config.owners import Groups
from llm_gateway.config.problems import Report, Spot, join
from llm_gateway.config.secrets import SecretSource
from llm_gateway.config.values import MADE_UP, Configuration, VirtualKey
from llm_gateway.errors import Problem

__all__ = ["DATABASE", "Entries"]

DATABASE: Final = "database"
"""Where problems with such keys are said to be, and what ``VirtualKey.origin`` says of them."""

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
