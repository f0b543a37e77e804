"""One line per call: what was asked of whom and how it ended; never a key, a prompt or an answer."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

import msgspec
from twisted.logger import Logger

from llm_gateway.core.record import CallRecord
from llm_gateway.wire.outbox import before_sending

_log = Logger()

_BUFFER_BYTES = 65_536
"""Lines that were not written yet are whole ones as long as they fit."""


class AccessLog(Protocol):
    """Where records of ended calls go."""

    def write(self, record: CallRecord) -> None:
        """Never fails: a full disk must not take calls down with it."""


as_json: Callable[[CallRecord], bytes] = msgspec.json.Encoder().encode
"""One JSON object on one line, every field present, durations in seconds."""


def as_text(record: CallRecord) -> bytes:
    """
    :return: the same for people: fields that have a value, as ``name=value``, behind time, method, path and status.
    """
    again = record.attempts > 1
    named = {
        "ended": record.ended,
        "error": record.error,
        "key": _quoted(record.key),
        "provider": record.provider,
        "credential": record.credential if again else None,
        "attempts": record.attempts if again else None,
        "model": _quoted(record.model),
        "duration_s": record.duration_s,
        "first_byte_s": record.first_byte_s,
        "in": record.bytes_in,
        "out": record.bytes_out,
        "dropped": _quoted(record.dropped),
        "id": record.request_id,
        "client_id": _quoted(record.client_request_id),
    }
    fields = " ".join(f"{name}={value}" for name, value in named.items() if value is not None)
    status = "-" if record.status is None else record.status
    return f"{record.time} {record.method} {record.path} {status} {fields}".encode()


FORMATS: dict[str, Callable[[CallRecord], bytes]] = {"json": as_json, "text": as_text}


class FileAccessLog:
    """
    Lines to a file, or to standard output for the path ``-``.

    Those of calls that end together are written together, and before the ends of their answers are sent.
    """

    def __init__(self, path: str, format_name: str) -> None:
        """
        :param path: appended to; made if it is not there.
        :param format_name: one of ``FORMATS``.
        """
        self._path = path
        self._line = FORMATS[format_name]
        self._file: BinaryIO | None = None
        self._failing = False
        self._waiting = False
        """Whether there are lines that will be written when this round of the reactor is over."""

    def open(self) -> None:
        """
        Open the file, or open it again by its name after it was rotated away.

        :raises OSError: it cannot be opened; the file that was open before stays in use.
        """
        if self._path == "-":
            # Not sys.stdout, which twistd turns into entries of its own log.
            self._file = _standard_output()
            return
        # Readable to the operator only: who calls which model how often is nobody else's business.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        before, self._file = self._file, os.fdopen(descriptor, "wb", _BUFFER_BYTES)
        if before is not None:
            _close(before)

    def close(self) -> None:
        """Close the file; lines after that are dropped."""
        file, self._file = self._file, None
        if file is not None and file is not _standard_output():
            _close(file)

    def write(self, record: CallRecord) -> None:
        file = self._file
        if file is None:
            return
        try:
            file.write(self._line(record) + b"\n")
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        if not self._waiting:
            self._waiting = before_sending(self._flush)
            if not self._waiting:
                self._flush()

    def _flush(self) -> None:
        self._waiting = False
        file = self._file
        if file is None:
            return
        try:
            file.flush()
        except (OSError, ValueError) as error:
            self._failed(error)
        else:
            self._failing = False

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            _log.error("The access log cannot be written, lines are lost: {error}", error=error)
        self._failing = True


def _standard_output() -> BinaryIO | None:
    return None if sys.__stdout__ is None else cast(BinaryIO, sys.__stdout__.buffer)


def _close(file: BinaryIO) -> None:
    # What could not be written before, to a full disk, cannot be written now either.
    with contextlib.suppress(OSError):
        file.close()


def _quoted(value: str | None) -> str | None:
    if value is None or (value and all(letter.isalnum() or letter in "-_.:/" for letter in value)):
        return value
    return msgspec.json.encode(value).decode()
