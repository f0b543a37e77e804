"""The configuration in use: what the files say, with the keys of the database beside theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.config.store import FileConfiguration
from llm_gateway.config.values import Configuration
from llm_gateway.errors import Problem
from llm_gateway.issuing.entries import DATABASE
from llm_gateway.issuing.merging import Merger
from llm_gateway.ledger.keys import KeyStore, StoredKey
from llm_gateway.ledger.store import StoreError
from llm_gateway.slices import SLICE_S, in_slices

__all__ = ["InThread", "RunningKeys"]

T = TypeVar("T")

_log = Logger()


class InThread(Protocol):
    """Has something that waits done by another thread."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]: ...


class RunningKeys:
    """
    Stands in place of the store of the files' configuration: the same methods, and both kinds of keys.

    What is revoked in the database is refused although the files cannot be used as they are, and what the files say
    counts although the database cannot be reached: then its keys stay as they were last.

    Where many keys are new, they are merged in slices between which calls are served. Until the last one, everything is
    as it was, but for keys that are revoked meanwhile: those need not wait. What changes meanwhile is merged next.
    """

    def __init__(
        self,
        files: FileConfiguration,
        keys: KeyStore,
        in_thread: InThread,
        clock: IReactorTime,
        interval_s: float = 1.0,
        *,
        prepare: Callable[[Configuration], Iterable[None]] = lambda _: (),
        slice_s: float = SLICE_S,
    ) -> None:
        """
        :param interval_s: between two looks whether another process has changed keys.
        :param prepare: step by step what takes long before a configuration is in use; it is right behind the last one.
        :param slice_s: for how long nothing else is done.
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
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._clock = clock
        self._prepare = prepare
        self._slice_s = slice_s
        self._due = False
        """Whether there is something that no merge has begun with."""
        self._busy = False
        self._merging: Deferred[None] | None = None
        self._ended: set[bytes] = set()
        """Digests that do not count any more since the merge under way has begun."""
        self._awaiting_next: list[Deferred[None]] = []
        self._awaiting_this: list[Deferred[None]] = []
        """Who waits for the merge under way."""
        self._current = files.current
        files.on_change(lambda _: self._change())

    def open(self) -> None:
        """Read the keys, at once. Before that there are those of the files alone."""
        self._leave()
        try:
            self._revision, self._stored = self._keys.read()
        except StoreError as error:
            self._failed(error)
        self._current, problems = self._merger.merged(self._files.current, self._stored)
        self._report(problems)

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
        self._leave()

    def reload(self) -> bool:
        """
        Read the files again, now; and soon, the keys.

        :return: whether the files could be used. ``in_use`` tells when they are.
        """
        self.refresh()
        return self._files.reload()

    def refresh(self) -> Deferred[None]:
        """
        See whether the keys have changed, whoever changed them.

        :return: fires when what there is is in use; never fails.
        """
        return self._look().addCallback(lambda _: self.in_use())

    def in_use(self) -> Deferred[None]:
        """
        :return: fires when what is known by now is in use, or found to be of no use; never fails.
        """
        if not self._busy:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        (self._awaiting_next if self._due else self._awaiting_this).append(waiting)
        return waiting

    # Finding out

    def _look(self) -> Deferred[None]:
        looking = self._in_thread(self._read, self._revision, self._stored)
        # A fault in what was found must not end the looking, either.
        return looking.addCallback(self._seen).addErrback(self._not_seen)

    def _read(self, revision: int, stored: Sequence[StoredKey]) -> tuple[int, Sequence[StoredKey]] | None:
        """In another thread. :return: ``None`` where nothing is new."""
        return None if self._keys.revision() == revision else self._keys.read(stored)

    def _seen(self, found: tuple[int, Sequence[StoredKey]] | None) -> None:
        if self._unreachable:
            self._unreachable = False
            _log.info("The database with the virtual keys answers again")
        # Two looks may end in another order than they began in.
        if found is None or found[0] <= self._revision:
            return
        before, under_way = self._stored, self._busy
        self._revision, self._stored = found
        self._change()
        if self._busy:
            ended = _ended(before, self._stored)
            if under_way:
                self._ended |= ended
            self._end(ended)

    def _not_seen(self, failure: Failure) -> None:
        if isinstance(failure.value, StoreError):
            self._failed(failure.value)
        else:
            _log.failure("Looking for virtual keys in the database", failure)

    def _failed(self, error: Exception) -> None:
        if not self._unreachable:
            self._unreachable = True
            _log.error(
                "The database with the virtual keys cannot be used; they stay as they were: {error}", error=error
            )

    # Merging

    def _change(self) -> None:
        """There is something new, of the files or of the database."""
        self._due = True
        if not self._busy:
            self._busy = True
            merging = self._merging = in_slices(self._merge(), self._clock, self._slice_s)
            merging.addErrback(self._not_merged).addBoth(self._over)

    def _merge(self) -> Iterator[None]:
        while self._due:
            self._due = False
            self._ended.clear()
            self._awaiting_this, self._awaiting_next = self._awaiting_next, []
            configuration, problems = yield from self._merger.merging(self._files.current, self._stored)
            yield from self._prepare(configuration)
            self._report(problems)
            self._use(_without(configuration, self._ended))
            self._tell()

    def _not_merged(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("Looking for virtual keys in the database", failure)

    def _over(self, _: object) -> None:
        self._busy, self._merging = False, None
        self._tell()
        if self._due:
            self._change()

    def _leave(self) -> None:
        """Merge no further; what is new is found again by ``open``."""
        self._due = False
        if self._merging is not None:
            self._merging.cancel()

    def _tell(self) -> None:
        waiting, self._awaiting_this = self._awaiting_this, []
        if not self._due:
            waiting, self._awaiting_next = waiting + self._awaiting_next, []
        for each in waiting:
            each.callback(None)

    def _end(self, digests: set[bytes]) -> None:
        """Have keys refused before the merge is done that will be then."""
        without = _without(self._current, digests)
        if without is not self._current:
            self._use(without)

    def _report(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            if problem not in self._reported:
                _log.warn("{problem}", problem=str(problem))
        self._reported = frozenset(problems)

    def _use(self, configuration: Configuration) -> None:
        self._current = configuration
        for callback in list(self._callbacks):
            try:
                callback(configuration)
            except Exception:
                _log.failure("A listener for configuration changes failed")


def _ended(before: Iterable[StoredKey], after: Iterable[StoredKey]) -> set[bytes]:
    """:return: digests of keys that are revoked now, are gone, or were rotated without any grace."""
    left = {each.id: each for each in after if each.revoked_at is None}
    ended: set[str] = set()
    for each in before:
        now = left.get(each.id)
        if now is not each:
            ended |= {digest.digest for digest in each.digests}
            if now is not None:
                ended -= {digest.digest for digest in now.working(now.changed_at)}
    return {bytes.fromhex(digest) for digest in ended}


def _without(configuration: Configuration, digests: Iterable[bytes]) -> Configuration:
    """:return: the same without these keys of the database, if it has any of them."""
    found = configuration.keys
    gone = {digest for digest in digests if digest in found and found[digest].origin == DATABASE}
    if not gone:
        return configuration
    return replace(configuration, keys={digest: key for digest, key in found.items() if digest not in gone})
