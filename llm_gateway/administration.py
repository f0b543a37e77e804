"""What is managed while the gateway runs: virtual keys in the database, the admin API, and what owners may see."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import IResource

from llm_gateway.accounting import Accounting
from llm_gateway.config.store import ConfigurationStore, reload_problems
from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.values import Scope
from llm_gateway.issuing.running import RunningKeys
from llm_gateway.ledger.keys import KeyStore
from llm_gateway.ledger.queries import usage
from llm_gateway.ledger.store import open_store
from llm_gateway.settings import Settings
from llm_gateway.web.grants import Grant
from llm_gateway.web.live import Elsewhere, LiveCalls

__all__ = ["Administration"]

T = TypeVar("T")

_WRITTEN_S = 2.0
"""How long a question waits for what has ended just now to be written down."""


class Administration:
    """Of one process whose calls are written down."""

    def __init__(
        self, url: str, files: ConfigurationStore, accounting: Accounting, reactor: Any, live: LiveCalls
    ) -> None:
        """
        :param url: of the ledger.
        :param files: the configuration of the files.
        """
        self._reactor = reactor
        self._accounting = accounting
        self._live = live
        self._files = files
        self._keys = KeyStore(open_store(url))
        self._asked = open_store(url)
        self.running = RunningKeys(
            files, self._keys, self._in_thread, reactor, prepare=lambda configuration: accounting.prepare(configuration)
        )
        self.reload: Callable[[], Awaitable[Sequence[str]]] = self._reload_here
        """Has every process read the files again. A worker asks its supervisor."""
        self.elsewhere: Callable[[], Awaitable[Elsewhere]] = _nowhere
        """What other processes are answering. A worker asks them."""

    def own_pages(self) -> tuple[IResource, IResource]:
        """
        :return: ``/v1/gateway/key`` and ``/v1/gateway/usage``, for requests with a grant.
        """
        from llm_gateway.web.admin.own import OwnKeyPage, OwnUsagePage

        return OwnKeyPage(self._standings), OwnUsagePage(partial(usage, self._asked), self._afterwards)

    def resource(self, settings: Settings) -> IResource | None:
        """
        :return: the admin API; ``None`` where the operator has named no key for it.
        :raises ConfigurationError: the file with the keys cannot be used.
        """
        if settings.admin_key_file is None:
            return None
        # Loaded only where there is one: it has a router of its own.
        from llm_gateway.issuing.keeper import Keeper
        from llm_gateway.web.admin.admission import read_admin_keys
        from llm_gateway.web.admin.app import AdminParts, AdminResource

        return AdminResource(
            AdminParts(
                read_admin_keys(settings.admin_key_file),
                Keeper(self._keys, lambda: self.running.current),
                self.running,
                self._live,
                self._in_thread,
                partial(usage, self._asked),
                lambda: self.reload(),
                lambda: self.elsewhere(),
                self._ledger_health,
                self._reactor,
                time.time,
            )
        )

    def close(self) -> None:
        """Leave the database."""
        self._keys.close()
        self._asked.close()

    def _in_thread(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)

    def _afterwards(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """The same when all that has ended here is written down."""
        ledger = self._accounting.ledger
        if ledger is None or not ledger.healthy:
            return self._in_thread(function, *arguments)
        # A database that is away is told of by the question itself.
        written = ledger.flush().addTimeout(_WRITTEN_S, self._reactor)
        return written.addBoth(lambda _: self._in_thread(function, *arguments))

    def _standings(self, grant: Grant) -> Sequence[Standing]:
        # What all calls together may use is the operator's business.
        own = [each for each in grant.limits if each.scope is not Scope.GLOBAL]
        return self._accounting.limiter.state(own)

    def _ledger_health(self) -> Mapping[str, Any]:
        ledger = self._accounting.ledger
        if ledger is None:
            return {}
        return {"healthy": ledger.healthy, "error": ledger.error, **msgspec.structs.asdict(ledger.counts())}

    def _reload_here(self) -> Deferred[Sequence[str]]:
        return succeed(reload_problems(self._files, self.running.reload))


def _nowhere() -> Deferred[Elsewhere]:
    return succeed(Elsewhere())
