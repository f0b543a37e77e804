"""One log for all: what a worker logs goes through a pipe, line by line, and into the log of its supervisor."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import msgspec
from twisted.logger import ILogObserver, Logger, LogLevel, eventAsText
from zope.interface import implementer

_LEAST = LogLevel.warn
"""All workers do the same things at the same time, and what is worth knowing of that the supervisor logs once. What
remains to be told are warnings and worse."""


class _Entry(msgspec.Struct, frozen=True, tag="log"):
    level: str
    namespace: str
    text: str


_DECODER = msgspec.json.Decoder(_Entry)


@implementer(ILogObserver)
class PipeObserver:
    """Writes log entries to a descriptor at once, so that the last words of a process that dies are not lost."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, event: Any) -> None:
        level = event.get("log_level", LogLevel.info)
        if level < _LEAST:
            return
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        line = msgspec.json.encode(_Entry(level.name, str(event.get("log_namespace")), text)) + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            # The supervisor is gone; nobody is left to tell that.
            return


def log_again(number: int, line: bytes) -> None:
    """
    :param number: of the worker.
    :param line: what it wrote: an entry of its log, or what else ends up on standard error, such as the interpreter's
        own last words.
    """
    try:
        entry = _DECODER.decode(line)
        level = LogLevel.lookupByName(entry.level)
    except Exception:
        entry = _Entry("error", "llm_gateway.fleet.member", line.decode("utf-8", "backslashreplace"))
        level = LogLevel.error
    _logger(entry.namespace).emit(level, "Worker {worker}: {text}", worker=number, text=entry.text)


@lru_cache(maxsize=256)
def _logger(namespace: str) -> Logger:
    return Logger(namespace)
