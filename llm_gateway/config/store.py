"""The configuration in use, and its replacement when the files change."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from llm_gateway.config.values import Configuration
from llm_gateway.errors import ConfigurationError, Problem

_RETRY_EVERY = 5
"""While the files are wrong, they are read again at every fifth look even if none seems to have changed: what is
missing may be a secret's file that the configuration in use does not know of."""

_MAX_READINGS = 3
"""How often one reload reads at most, while what it read keeps naming files that were not looked at before."""


class _Stamp(msgspec.Struct, frozen=True):
    """What tells one state of a file from another without reading it."""

    modified_ns: int
    size: int
    inode: int


class FileConfiguration(Protocol):
    """What is asked of ``ConfigurationStore``."""

    @property
    def current(self) -> Configuration: ...

    def on_change(self, callback: Callable[[Configuration], None]) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def reload(self) -> bool: ...


class ConfigurationStore:
    """
    Holds one configuration, whole, and swaps it for another, whole.

    A reload that fails changes nothing but the log. Who works on a call asks for `current` once and keeps the answer.
    """

    _log = Logger()

    def __init__(self, load: Callable[[], Configuration], clock: IReactorTime, interval_s: float = 2.0) -> None:
        """
        :param load: reads the files; raises `ConfigurationError` when they cannot be used. Relative paths in it would
            change their meaning with the current directory: twistd's ``--rundir`` does that.
        :param interval_s: seconds between two looks at the files; 0 for none.
        :raises ConfigurationError: the files cannot be used as they are now.
        """
        self._load = load
        self._interval_s = interval_s
        self._callbacks: list[Callable[[Configuration], None]] = []
        self._stamps: dict[str, _Stamp | None] = {}
        self._reported: frozenset[Problem] = frozenset()
        self._failing = False
        self._looks = 0
        self._current = self._read(())
        self._polling = LoopingCall(self._look)
        self._polling.clock = clock

    @property
    def current(self) -> Configuration:
        """The configuration in use."""
        return self._current

    def on_change(self, callback: Callable[[Configuration], None]) -> None:
        """
        :param callback: called with each new configuration once it is in use. Not called for a reload that brought
            nothing new.
        """
        self._callbacks.append(callback)

    def start(self) -> None:
        """Log what is doubtful about the configuration, and begin to look at the files."""
        if self._polling.running:
            return
        self._warn()
        if self._interval_s > 0:
            # The Deferred fires when polling stops; a look catches all that it can raise.
            self._polling.start(self._interval_s, now=False)

    def stop(self) -> None:
        """End looking at the files. Does nothing when it has not begun."""
        if self._polling.running:
            self._polling.stop()

    def load(self) -> Configuration:
        """
        :return: what the files say now, which is not taken into use.
        :raises ConfigurationError: they cannot be used.
        """
        return self._load()

    def reload(self) -> bool:
        """
        Read the files again, now.

        :return: whether they could be used. If not, every problem has been logged and the configuration stays.
        """
        return self._replace(asked=True)

    def _look(self) -> None:
        """Reload when a file has changed, or when the last reload failed and may succeed by now."""
        self._looks += 1
        changed = any(_stamp(file) != stamp for file, stamp in self._stamps.items())
        if changed or (self._failing and self._looks % _RETRY_EVERY == 0):
            self._replace(asked=False)

    def _replace(self, *, asked: bool) -> bool:
        try:
            configuration = self._read(self._current.files)
        except ConfigurationError as error:
            self._failed(error.problems, asked)
            return False
        except Exception as error:
            self._broke(error)
            return False
        recovered, self._failing, self._reported = self._failing, False, frozenset()
        if configuration != self._current:
            self._use(configuration)
        elif recovered or asked:
            self._log.info("Configuration read: in order, and as it was")
        return True

    def _read(self, files: Iterable[str]) -> Configuration:
        """
        Load, and remember what the files looked like before: a change while they are read is then seen as a change.

        :param files: the files that are known so far. Those that only the loading finds are read a second time.
        """
        self._stamps = {file: _stamp(file) for file in files}
        for _ in range(_MAX_READINGS):
            configuration = self._load()
            unseen = [file for file in configuration.files if file not in self._stamps]
            if not unseen:
                break
            self._stamps |= {file: _stamp(file) for file in unseen}
        self._stamps = {file: self._stamps[file] for file in configuration.files}
        return configuration

    def _use(self, configuration: Configuration) -> None:
        self._current = configuration
        self._log.info(
            "Configuration read anew: {keys} virtual keys, {providers} providers",
            keys=len(configuration.keys),
            providers=len(configuration.providers),
        )
        self._warn()
        for callback in list(self._callbacks):
            try:
                callback(configuration)
            except Exception:
                self._log.failure("A listener for configuration changes failed")

    def _warn(self) -> None:
        for warning in self._current.warnings:
            self._log.warn("{warning}", warning=str(warning))

    def _broke(self, error: Exception) -> None:
        """Log a fault of ours, which must not end the looking. What the exception says may be a key: it is left out."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        self._log.critical(
            "Reading the configuration failed with {kind} at {file}:{line}; the one before stays in use",
            kind=type(error).__name__,
            file=last.filename,
            line=last.lineno,
        )
        self._failing = True

    def _failed(self, problems: Iterable[Problem], asked: bool) -> None:
        """Log what is new among the problems: a file that stays broken is not worth a line every two seconds."""
        reported = frozenset(problems)
        if asked or reported != self._reported:
            self._log.error("The configuration cannot be used; the one before stays in use")
            for problem in problems:
                self._log.error("{problem}", problem=str(problem))
        self._failing, self._reported = True, reported


def _stamp(file: str) -> _Stamp | None:
    """:return: None for a file that is not there."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return None
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def reload_problems(files: ConfigurationStore, reload: Callable[[], bool]) -> list[str]:
    """
    Read the files again.

    :return: what is wrong with them; nothing if they are in use now.
    """
    if reload():
        return []
    try:
        files.load()
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    except Exception:
        return ["the files cannot be read: see the gateway's log"]
    return []
