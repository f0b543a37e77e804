"""Telling limits what was used before they began to count: by processes before this one, or beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

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

__all__ = ["Seeding"]

RETRY_S = 2.0
"""Between two looks whether limits still wait to be told."""

_BUCKET_S = 3_600
_LASTING = (Window.DAY, Window.WEEK, Window.MONTH, Window.TOTAL)
"""What a restart must not forget; shorter windows are over soon."""

_log = Logger()

Found: TypeAlias = list[tuple[Limit, list[tuple[float, int]]]]
"""By limit: from when an hour is, and how much was used in it."""


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
        self._lasting: list[Limit] = []
        self._by_subject: dict[tuple[Scope, str], list[Limit]] = {}
        self._early: list[Row] = []
        self._running = False
        self._asking = False
        self._failing = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def use(self, limits: Iterable[Limit]) -> None:
        """These are the limits from now on."""
        self._lasting = [each for each in limits if each.window in _LASTING]
        self._by_subject = {}
        for each in self._lasting:
            self._by_subject.setdefault((each.scope, each.subject), []).append(each)
        self._limiter.await_seeds(self._lasting)
        if self._running:
            self._look()

    def start(self) -> None:
        """Tell them now, as far as the database answers; and go on trying if it does not."""
        unseeded = self._unseeded()
        if unseeded:
            store = open_store(self._url)
            try:
                self._tell(self._find(store, unseeded))
            except StoreError as error:
                self._failed(error)
            finally:
                store.close()
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
        limits = [each for subject in subjects for each in self._by_subject.get(subject, ()) if each.id not in but]
        if limits:
            usage = row.usage
            self._limiter.charge(limits, Want(0, usage.input_tokens, usage.output_tokens, row.cost or 0))

    def _look(self) -> None:
        unseeded = self._unseeded()
        if not unseeded or self._asking:
            return
        self._asking = True

        def find() -> Found:
            store = open_store(self._url)
            try:
                return self._find(store, unseeded)
            finally:
                store.close()

        def failed(failure: Failure) -> None:
            self._asking = False
            if isinstance(failure.value, StoreError):
                self._failed(failure.value)
            else:
                _log.failure("Asking the ledger what was used before", failure)

        def told(found: Found) -> None:
            self._asking = False
            if self._running:
                self._tell(found)

        pool = self._reactor.getThreadPool()
        deferToThreadPool(self._reactor, pool, find).addCallbacks(told, failed)

    def _unseeded(self) -> list[Limit]:
        try:
            return self._limiter.unseeded(self._lasting) if self._lasting else []
        except StoreLost:
            return []

    def _find(self, store: Store, limits: Iterable[Limit]) -> Found:
        """
        :raises StoreError: the database does not answer.
        """
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

    def _tell(self, found: Found) -> None:
        if self._failing:
            self._failing = False
            _log.info("The ledger tells again what was used before")
        for limit, sums in found:
            try:
                self._limiter.seed(limit, sums, _BUCKET_S)
            except StoreLost as error:
                _log.error("Limits cannot be counted: {error}", error=error)
                return

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            _log.error("What was used before cannot be told, and budgets wait for it: {error}", error=error)
