"""The configuration in use: what the files say, with the keys of the database beside theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from llm_gateway.config.values import Configuration
from llm_gateway.errors import Problem
from llm_gateway.issuing.merging import Merger
from llm_gateway.ledger.keys import KeyStore, StoredKey
from llm_gateway.ledger.store import StoreError

__all__ = ["FileConfiguration", "InThread", "RunningKeys"]

T = TypeVar("T")

_log = Logger()


class InThread(Protocol):
    """Has something that waits done by another thread."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]: ...


class FileConfiguration(Protocol):
    """What is asked of ``config.store.ConfigurationStore``."""

    @property
    def current(self) -> Configuration: ...

    def on_change(self, callback: Callable[[Configuration], None]) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def reload(self) -> bool: ...


class RunningKeys:
    """
    Stands in place of the store of the files' configuration: the same methods, and both kinds of keys.

    What is revoked in the database is refused although the files cannot be used as they are, and what the files say
    counts although the database cannot be reached: then its keys stay as they were last.
    """

    def __init__(
        self,
        files: FileConfiguration,
        keys: KeyStore,
        in_thread: InThread,
        clock: IReactorTime,
        interval_s: float = 1.0,
    ) -> None:
        """
        :param interval_s: between two looks whether another process has changed keys.
        """
        self._files = files
        self._keys = keys
        self._in_thread = in_thread
        self._interval_s = interval_s
        self._callbacks: list[Callable[[Configuration], None]] = []
        self._merger = Merger()
        self._stored: Sequence[StoredKey] = ()
        self._revision = -1
        self._unreachable = False
        self._reported: frozenset[Problem] = frozenset()
        self._looking = LoopingCall(self.refresh)
        self._looking.clock = clock
        self._current = files.current
        files.on_change(lambda _: self._use())

    def open(self) -> None:
        """Read the keys, at once. Before that there are those of the files alone."""
        try:
            self._revision, self._stored = self._keys.read()
        except StoreError as error:
            self._failed(error)
        self._current = self._merged()

    @property
    def current(self) -> Configuration:
        """The configuration in use."""
        return self._current

    @property
    def reachable(self) -> bool:
        """Whether the database answered when it was asked last."""
        return not self._unreachable

    def on_change(self, callback: Callable[[Configuration], None]) -> None:
        """
        :param callback: called with each new configuration once it is in use.
        """
        self._callbacks.append(callback)

    def start(self) -> None:
        """Begin to look at the files and at the database."""
        self._files.start()
        if not self._looking.running:
            self._looking.start(self._interval_s, now=False)

    def stop(self) -> None:
        """End looking."""
        self._files.stop()
        if self._looking.running:
            self._looking.stop()

    def reload(self) -> bool:
        """
        Read the files again, now; and soon, the keys.

        :return: whether the files could be used.
        """
        self.refresh()
        return self._files.reload()

    def refresh(self) -> Deferred[None]:
        """
        See whether the keys have changed, whoever changed them.

        :return: fires when what there is is in use; never fails.
        """
        looking = self._in_thread(self._look, self._revision)
        # A fault in what was found must not end the looking, either.
        return looking.addCallback(self._seen).addErrback(self._not_seen)

    def _look(self, revision: int) -> tuple[int, Sequence[StoredKey]] | None:
        """In another thread. :return: ``None`` where nothing is new."""
        return None if self._keys.revision() == revision else self._keys.read()

    def _seen(self, found: tuple[int, Sequence[StoredKey]] | None) -> None:
        if self._unreachable:
            self._unreachable = False
            _log.info("The database with the virtual keys answers again")
        # Two looks may end in another order than they began in.
        if found is not None and found[0] > self._revision:
            self._revision, self._stored = found
            self._use()

    def _not_seen(self, failure: Any) -> None:
        if failure.check(StoreError):
            self._failed(failure.value)
        else:
            _log.failure("Looking for virtual keys in the database", failure)

    def _failed(self, error: Exception) -> None:
        if not self._unreachable:
            self._unreachable = True
            _log.error(
                "The database with the virtual keys cannot be used; they stay as they were: {error}", error=error
            )

    def _merged(self) -> Configuration:
        configuration, problems = self._merger.merged(self._files.current, self._stored)
        for problem in problems:
            if problem not in self._reported:
                _log.warn("{problem}", problem=str(problem))
        self._reported = frozenset(problems)
        return configuration

    def _use(self) -> None:
        self._current = self._merged()
        for callback in list(self._callbacks):
            try:
                callback(self._current)
            except Exception:
                _log.failure("A listener for configuration changes failed")
