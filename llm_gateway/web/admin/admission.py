"""Who may use the admin API."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection

import msgspec

from llm_gateway.config.files import MAX_SETTINGS_BYTES, UnreadableFile, read_text
from llm_gateway.core.discreet import Discreet
from llm_gateway.errors import ConfigurationError, Problem

__all__ = ["AdminKeys", "read_admin_keys"]

MIN_LETTERS = 24
"""Of an admin key that stands in the file itself. Whoever guesses it has all virtual keys."""

_HASHED = "sha256:"
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class AdminKeys(Discreet, msgspec.Struct, frozen=True):
    """Credentials of the admin API: SHA-256 and what the audit calls them."""

    known: tuple[tuple[bytes, str], ...]

    def shown(self) -> tuple[str, ...]:
        return ()

    def find(self, presented: bytes) -> str | None:
        """
        Takes as long whichever it is, and if it is none.

        :return: the credential's name.
        """
        digest, found = hashlib.sha256(presented).digest(), None
        for known, name in self.known:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def also_among(self, digests: Collection[bytes]) -> list[str]:
        """
        :param digests: of virtual keys.
        :return: the names of those that are virtual keys, too, and must not be.
        """
        return [name for digest, name in self.known if digest in digests]


def read_admin_keys(path: str) -> AdminKeys:
    """
    Read a file with one credential per line: the key, or ``sha256:`` and its digest in hexadecimal, each with a name
    and a colon before it if several people share the gateway: ``alice: sha256:...``. Lines with ``#`` say nothing.

    :raises ConfigurationError: it cannot be used. Nothing of it is shown.
    """
    problems: list[Problem] = []
    known: dict[bytes, str] = {}
    try:
        text = read_text(path, MAX_SETTINGS_BYTES)
    except UnreadableFile as error:
        raise ConfigurationError([Problem(path, error.line, "", error.reason)]) from error
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, key = _named(line)
        fault = None
        digest = b""
        if key.startswith(_HASHED):
            if _DIGEST.fullmatch(key[len(_HASHED) :]):
                digest = bytes.fromhex(key[len(_HASHED) :])
            else:
                fault = '"sha256:" must be followed by 64 hexadecimal digits'
        elif not _VISIBLE_ASCII.fullmatch(key):
            fault = "an admin key must be of visible ASCII characters: it is sent in a header"
        elif len(key) < MIN_LETTERS:
            fault = f"an admin key must be of {MIN_LETTERS} characters at least: `openssl rand -hex 32` makes one"
        else:
            digest = hashlib.sha256(key.encode()).digest()
        if fault is None and digest in known:
            fault = "is the same admin key as one before it"
        if fault is None and name in known.values():
            fault = "has the name of one before it"
        if fault is not None:
            problems.append(Problem(path, number, "", fault))
        else:
            known[digest] = name or digest.hex()[:8]
    if not known and not problems:
        problems.append(Problem(path, None, "", "holds no admin key"))
    if problems:
        raise ConfigurationError(problems)
    return AdminKeys(tuple(known.items()))


def _named(line: str) -> tuple[str, str]:
    name, colon, key = line.partition(":")
    if colon and name != _HASHED.rstrip(":") and _NAME.fullmatch(name) and key.strip():
        return name, key.strip()
    return "", line
