"""Telling limits what was used before they began to count: by processes before this one, or beside it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Want
from llm_gateway.core.limits.contract import StoreLost
from llm_gateway.core.limits.values import Limit, Scope, Window
from llm_gateway.ledger.queries import used
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.store import Store, StoreError, open_store
from llm_gateway.slices import at_once, in_slices

__all__ = ["Seeding"]

RETRY_S = 2.0
"""Between two looks whether limits still wait to be told."""

_AT_ONCE = 256
"""Limits that are as they were, of which each takes less than a microsecond."""

_BUCKET_S = 3_600
_LASTING = (Window.DAY, Window.WEEK, Window.MONTH, Window.TOTAL)
"""What a restart must not forget; shorter windows are over soon."""

_log = Logger()

Found: TypeAlias = list[tuple[Limit, list[tuple[float, int]]]]
"""By limit: from when an hour is, and how much was used in it."""


class _Lasting(NamedTuple):
    """What somebody has of limits that a restart must not forget."""

    limits: tuple[Limit, ...]
    """All that he has, kept so that nothing else has their identity."""
    lasting: tuple[Limit, ...]
    ids: tuple[str, ...]
    """Of these."""


class Seeding:
    """
    Of one process with a ledger.

    Until a limit has been told, it counts as one that cannot be reached: a closed one refuses calls.
    """

    def __init__(self, limiter: Limiter, url: str, reactor: Any, wall: Callable[[], float]) -> None:
        """
        :param url: of the ledger.
        """
        self._limiter = limiter
        self._url = url
        self._reactor = reactor
        self._wall = wall
        self._owners: dict[int, _Lasting] = {}
        """By the identity of the limits that somebody has."""
        self._waiting: dict[int, _Lasting] = {}
        """Of them, those of which some may not have been told."""
        self._by_subject: dict[tuple[Scope, str], list[Limit]] | None = None
        self._early: list[Row] = []
        self._running = False
        self._asking: Deferred[None] | None = None
        self._failing = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def use(self, *owners: tuple[Limit, ...]) -> None:
        """
        These are the limits from now on.

        :param owners: those of the same key together, in the same tuple as before where they are as before.
        """
        at_once(self.using(owners))

    def using(self, owners: Iterable[tuple[Limit, ...]]) -> Generator[None, None, None]:
        """The same step by step: those of before are gone with the last one."""
        known = self._owners
        found: dict[int, _Lasting] = {}
        new: dict[int, _Lasting] = {}
        for number, limits in enumerate(owners):
            if not number % _AT_ONCE:
                yield
            if not limits:
                continue
            owner = id(limits)
            there = known.get(owner)
            if there is None:
                lasting = tuple([each for each in limits if each.window in _LASTING])
                there = _Lasting(limits, lasting, tuple([each.id for each in lasting]))
                if lasting:
                    new[owner] = there
                yield
            found[owner] = there
        self._owners, self._by_subject = found, None
        self._waiting = {owner: each for owner, each in self._waiting.items() if owner in found} | new
        self._await()
        if self._running:
            self._look()

    def start(self) -> None:
        """Tell them now, as far as the database answers; and go on trying if it does not."""
        unseeded: list[Limit] = []
        at_once(self._sort_out(unseeded))
        if unseeded:
            try:
                at_once(self._tell(self._find(unseeded)))
                at_once(self._sort_out([]))
            except StoreError as error:
                self._failed(error)
        # What others have counted already does not know of these.
        early, self._early = self._early, []
        waiting = {each.id for each in unseeded}
        for row in early:
            self._charge(row, waiting)
        self._running = True
        self._looking.start(RETRY_S, now=False)

    def stop(self) -> None:
        """Try no more."""
        self._running = False
        if self._looking.running:
            self._looking.stop()
        if self._asking is not None:
            self._asking.cancel()

    def recovered(self, row: Row) -> None:
        """
        An attempt was written down whose process ended before it: what it used is counted nowhere yet. For any thread,
        before ``start`` for the reactor's.
        """
        if self._running:
            self._reactor.callFromThread(self._charge, row, frozenset())
        else:
            self._early.append(row)

    def _charge(self, row: Row, but: Iterable[str]) -> None:
        subjects = (
            (Scope.GLOBAL, ""),
            (Scope.GROUP, row.group or ""),
            (Scope.KEY, row.key_digest),
            (Scope.CREDENTIAL, row.credential),
        )
        by_subject = self._subjects()
        limits = [each for subject in subjects for each in by_subject.get(subject, ()) if each.id not in but]
        if limits:
            usage = row.usage
            self._limiter.charge(limits, Want(0, usage.input_tokens, usage.output_tokens, row.cost or 0))

    def _subjects(self) -> dict[tuple[Scope, str], list[Limit]]:
        """Hardly ever asked for: after another process has died."""
        if self._by_subject is None:
            self._by_subject = {}
            for owner in self._owners.values():
                for each in owner.lasting:
                    self._by_subject.setdefault((each.scope, each.subject), []).append(each)
        return self._by_subject

    def _look(self) -> None:
        if self._waiting and self._asking is None:
            asking = self._asking = Deferred.fromCoroutine(self._ask())
            asking.addErrback(self._not_asked).addBoth(self._asked)

    def _asked(self, _: object) -> None:
        self._asking = None

    async def _ask(self) -> None:
        unseeded: list[Limit] = []
        await in_slices(self._sort_out(unseeded), self._reactor)
        if not unseeded:
            return
        found = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._find, unseeded)
        await in_slices(self._tell(found), self._reactor)
        await in_slices(self._sort_out([]), self._reactor)

    def _not_asked(self, failure: Failure) -> None:
        if isinstance(failure.value, StoreError):
            self._failed(failure.value)
        elif not failure.check(CancelledError):
            _log.failure("Asking the ledger what was used before", failure)

    def _sort_out(self, unseeded: list[Limit]) -> Generator[None, None, None]:
        """
        Find those that have not been told, by this process or another.

        :param unseeded: they are put here.
        """
        for owner, each in list(self._waiting.items()):
            try:
                found = self._limiter.unseeded(each.lasting)
            except StoreLost:
                return
            unseeded += found
            if not found:
                self._waiting.pop(owner, None)
            yield
        self._await()

    def _await(self) -> None:
        self._limiter.await_seeds_of({id for each in self._waiting.values() for id in each.ids})

    def _find(self, limits: Iterable[Limit]) -> Found:
        """
        Ask the ledger.

        :raises StoreError: the database does not answer.
        """
        store = open_store(self._url)
        try:
            return self._found(store, limits)
        finally:
            store.close()

    def _found(self, store: Store, limits: Iterable[Limit]) -> Found:
        by_scope: dict[Scope, list[Limit]] = {}
        for each in limits:
            by_scope.setdefault(each.scope, []).append(each)
        found: Found = []
        now = self._wall()
        for scope, of_scope in by_scope.items():
            spans = [each.window.seconds for each in of_scope]
            since = 0.0 if None in spans else now - max(each for each in spans if each is not None)
            subjects = None if scope is Scope.GLOBAL else sorted({each.subject for each in of_scope})
            sums = used(store, scope, since, _BUCKET_S, subjects)
            for each in of_scope:
                hours = sums.get(each.subject, [])
                found.append((each, [(hour.start, hour.amount(each.measure)) for hour in hours]))
        return found

    def _tell(self, found: Found) -> Generator[None, None, None]:
        if self._failing:
            self._failing = False
            _log.info("The ledger tells again what was used before")
        for limit, sums in found:
            try:
                self._limiter.seed(limit, sums, _BUCKET_S)
            except StoreLost as error:
                _log.error("Limits cannot be counted: {error}", error=error)
                return
            yield

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            _log.error("What was used before cannot be told, and budgets wait for it: {error}", error=error)
