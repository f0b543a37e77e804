"""Texts that are written as ``${ENV_NAME}`` or ``file:/path`` in place of the secret itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

from llm_gateway.config.files import MAX_SECRET_BYTES, UnreadableFile, read_text
from llm_gateway.config.problems import Spot, looks_like_key, shown
from llm_gateway.core.discreet import Discreet

_FILE = "file:"
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_BARE_REFERENCE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _Unresolved(Exception):
    """The text points to something that is not there. The message is for the report."""


class Resolved(Discreet, msgspec.Struct, frozen=True):
    """The secret, and what to call its origin in a message."""

    text: str
    origin: str
    """Empty where the secret itself stands in the file, else such as ``the environment variable OPENAI_API_KEY``."""

    def shown(self) -> tuple[str, ...]:
        return ("origin",)


class SecretSource(Discreet, msgspec.Struct):
    """What the texts of one settings file are resolved against."""

    environ: Mapping[str, str]
    folder: str
    """Relative paths start here: the folder of the settings file."""
    files: list[str] = []
    """Every file that a secret was read from. A path that leads nowhere may be a key in the wrong place."""

    def shown(self) -> tuple[str, ...]:
        return ("folder", "files")

    def resolve(self, spot: Spot, written: str) -> Resolved | None:
        """:return: the secret, or None when the text has been reported at ``spot``."""
        try:
            return self._resolve(written)
        except _Unresolved as error:
            reason = str(error)
        spot.wrong(reason)
        return None

    def _resolve(self, written: str) -> Resolved:
        if _BARE_REFERENCE.fullmatch(written):
            raise _Unresolved("an environment variable is written with braces: ${NAME}")
        # Only what stands in the settings file makes it a file: a variable whose value begins so is no instruction.
        if written.startswith(_FILE):
            return self._from_file(self._expand(written.removeprefix(_FILE)).text)
        return self._expand(written)

    def _expand(self, written: str) -> Resolved:
        names: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match.group() == "$${":
                return "${"
            name = match.group(1)
            if name is None:
                raise _Unresolved('"${" begins no environment variable: write ${NAME}, or $${ for the two characters')
            called = _called(name)
            if name not in self.environ:
                raise _Unresolved(f"{called} is not set")
            if not self.environ[name]:
                raise _Unresolved(f"{called} is empty")
            names.append(called)
            return self.environ[name]

        return Resolved(_REFERENCE.sub(replace, written), " and ".join(dict.fromkeys(names)))

    def _from_file(self, written: str) -> Resolved:
        if not written:
            raise _Unresolved('"file:" must be followed by the path of a file')
        path = os.path.normpath(os.path.join(self.folder, written))
        # A bare name may be the key itself, put behind "file:"; only a file that is there proves that it is not.
        may_be_key = looks_like_key(os.path.basename(path)) or not ("/" in written or os.path.exists(path))
        called = "the secret file" if may_be_key else f"the secret file {path}"
        try:
            text = read_text(path, MAX_SECRET_BYTES).rstrip("\r\n")
        except UnreadableFile as error:
            raise _Unresolved(f"{called} {error.reason}") from None
        if not text:
            raise _Unresolved(f"{called} is empty")
        self.files.append(path)
        return Resolved(text, called)


def _called(name: str) -> str:
    return f"the environment variable {name}" if shown(name) else "the environment variable"


def key_fault(text: str) -> str | None:
    """:return: what keeps a text from being sent as a key, as the second half of a sentence."""
    if not text:
        return "must not be empty"
    if re.match(r"bearer\s", text, re.IGNORECASE):
        return 'must not begin with "Bearer": the gateway adds that itself'
    if _SPACE_OR_CONTROL.search(text):
        return "must not hold white space or control characters"
    return _beyond_latin_1(text)


def header_value_fault(text: str) -> str | None:
    """:return: what keeps a text from being the value of a header (RFC 9110, 5.5), as the second half of a sentence."""
    if not text:
        return "must not be empty"
    if _CONTROL.search(text):
        return "must not hold line ends or other control characters"
    if text != text.strip():
        return "must not begin or end with white space"
    return _beyond_latin_1(text)


def _beyond_latin_1(text: str) -> str | None:
    if any(ord(character) > 0xFF for character in text):
        return "must not hold characters beyond Latin-1: a header cannot carry them"
    return None


def report_fault(spot: Spot, resolved: Resolved, fault: str) -> None:
    """Report a secret that cannot be used, naming where it comes from."""
    spot.wrong(f"{resolved.origin} {fault}" if resolved.origin else fault)
