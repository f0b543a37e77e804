"""Reading a file once, whole, and saying plainly why when that is not possible."""

from __future__ import annotations

import os
import stat

MAX_SETTINGS_BYTES = 16 * 1024 * 1024
"""More than a hundred thousand virtual keys; beyond it the wrong file was named."""

MAX_SECRET_BYTES = 16 * 1024
"""Servers refuse header lines of this size, so no usable secret is larger."""


class UnreadableFile(Exception):
    """A file cannot be used. The message says why, without the file's name or anything that is in it."""

    def __init__(self, reason: str, *, missing: bool = False, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing
        """Whether there is no file of that name."""
        self.line = line
        """Where in the file the trouble is, from 1, if it is at one place."""


def read_text(path: str, max_bytes: int) -> str:
    """
    Read a regular file of UTF-8 text.

    :raises UnreadableFile: it is missing, a directory, a pipe or a device, forbidden, too large or not UTF-8. Pipes are
        refused because they can be read only once, and a configuration is read again whenever it changes.
    """
    return _decode(_read(path, max_bytes))


def _read(path: str, max_bytes: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            _require_regular(os.fstat(file.fileno()).st_mode)
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    except ValueError:
        raise UnreadableFile("is not a name that a file can have") from None
    if len(content) > max_bytes:
        raise UnreadableFile(f"is larger than {max_bytes // 1024} KiB")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for a writer, and the reactor with it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UnreadableFile("is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise UnreadableFile("is not a regular file")


def _unreadable(error: OSError) -> UnreadableFile:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return UnreadableFile("does not exist", missing=True)
    if isinstance(error, IsADirectoryError):
        return UnreadableFile("is a directory, not a file")
    if isinstance(error, PermissionError):
        return UnreadableFile("may not be read: permission denied")
    return UnreadableFile(f"cannot be read: {error.strerror or 'unknown error'}")


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        # The exception holds the whole content; it must not travel along.
        line = content.count(b"\n", 0, error.start) + 1
    raise UnreadableFile("is not UTF-8 text", line=line)
