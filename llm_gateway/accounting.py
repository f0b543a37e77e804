"""The accounts of one process, from settings to what starts and stops: limits, prices, and the ledger."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.limits.values import Limit, Scope
from llm_gateway.core.prices.said import BadPrice
from llm_gateway.settings import Settings
from llm_gateway.slices import at_once
from llm_gateway.web.accounts import Books

if TYPE_CHECKING:
    from llm_gateway.core.limits.book import Limiter
    from llm_gateway.core.limits.contract import Store as LimitStore
    from llm_gateway.core.prices.lists import PriceList
    from llm_gateway.ledger.writer import Ledger
    from llm_gateway.limits.shared import SharedStore
    from llm_gateway.seeding import Seeding
    from llm_gateway.web.warnings import Webhook

__all__ = ["Accounting", "journal_folder", "shared_folder"]

_SHADOW_EVERY_S = 60.0
"""Between two lines in the log about one limit in shadow."""

_log = Logger()


class Accounting:
    """What a process counts with, and writes to."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        *,
        agent: IAgent | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        :param agent: for the webhook that the settings name, if they do.
        """
        self._reactor = reactor
        self._wall = wall
        self._shared: SharedStore | None = None
        self._processes = settings.workers
        # Of all that could count and write, only what does is loaded.
        if settings.workers > 1:
            from llm_gateway.limits.shared import SharedStore

            self._shared = SharedStore(shared_folder(settings), settings.workers)
        self._keys: Mapping[bytes, VirtualKey] = {}
        self._prepared: Configuration | None = None
        self._shadows: dict[str, tuple[float, int]] = {}
        """By limit in shadow: when it was told of, and how many calls it would have refused since."""
        self._webhook: Webhook | None = None
        if settings.warn_webhook is not None and agent is not None:
            from llm_gateway.web.warnings import Webhook

            self._webhook = Webhook(settings.warn_webhook, agent, reactor, wall, self._subject)
        self._prices_file = settings.prices_file
        self.ledger: Ledger | None = None
        self.url = settings.ledger
        self.books = Books(lambda: self.limiter, reactor, prices=self._read_prices(), wall=wall)
        self._seeding: Seeding | None = None
        if settings.ledger is not None:
            from llm_gateway.ledger.store import open_store
            from llm_gateway.ledger.writer import Ledger
            from llm_gateway.seeding import Seeding

            self._seeding = Seeding(self.limiter, settings.ledger, reactor, wall)
            self.ledger = Ledger(
                open_store(settings.ledger),
                journal_folder(settings.ledger, settings.journal),
                reactor,
                when_full=settings.ledger_when_full,
                retention_days=settings.ledger_retention_days or None,
                rate=self.books.rate,
                recovered=self._seeding.recovered,
            )
            self.books.ledger = self.ledger

    @cached_property
    def limiter(self) -> Limiter:
        """Counts what is limited."""
        from llm_gateway.core.limits.book import Limiter

        store, clock = self._store()
        return Limiter(store, clock, processes=self._processes, on_warning=self._warn, on_shadow=self._shadow)

    def _store(self) -> tuple[LimitStore, Callable[[], float]]:
        if self._shared is not None:
            return self._shared, self._shared.clock
        from llm_gateway.limits.memory import MemoryStore

        memory = MemoryStore()
        return memory, memory.clock

    def prepare(self, configuration: Configuration) -> Generator[None, None, None]:
        """
        Do what takes long where many keys are new, step by step; ``use`` must follow right behind the last one.

        What is counted meanwhile, and for whom, stays as it is.
        """
        if self._seeding is not None:
            yield from self._seeding.using(configuration.all_limits())
        self._prepared = configuration

    def use(self, configuration: Configuration) -> None:
        """Go by this from now on."""
        if self._prepared is not configuration:
            at_once(self.prepare(configuration))
        self._prepared = None
        self.books.use(configuration)
        self._keys = configuration.keys

    def start(self) -> None:
        """
        Take up the accounts where the last process left them.

        :raises OSError: the folder of the journals cannot be used.
        """
        if self._shared is not None:
            from llm_gateway.core.limits.contract import StoreLost

            try:
                self._shared.open()
            except StoreLost as error:
                _log.error("Limits cannot be counted: {error}", error=error)
        if self.ledger is not None:
            self.ledger.recover()
            self.ledger.start()
        if self._seeding is not None:
            self._seeding.start()

    def stop(self) -> Deferred[None]:
        """
        :return: fires when all that is known is written down.
        """
        if self._seeding is not None:
            self._seeding.stop()
        stopped = succeed(None) if self.ledger is None else self.ledger.stop()

        def close(result: object) -> object:
            if self._shared is not None:
                self._shared.close()
            return result

        return stopped.addBoth(close)

    def _subject(self, limit: Limit) -> str:
        """:return: whose it is, as logs call it."""
        if limit.scope is not Scope.KEY:
            return limit.subject
        labels = (key.label for key in self._keys.values() if key.account == limit.subject)
        return next(labels, limit.subject[:8])

    def _warn(self, limit: Limit) -> None:
        """Tell the operator that the share for a warning is passed."""
        share, whose = limit.warn_at or 0.0, self._whose(limit)
        _log.warn("{share:.0%} of {limit}{whose} is used", share=share, limit=limit.name, whose=whose)
        if self._webhook is not None:
            self._webhook(limit)

    def _shadow(self, limit: Limit) -> None:
        """Tell the operator what a limit in shadow would have done, once in a while."""
        now = self._reactor.seconds()
        said_at, calls = self._shadows.get(limit.id, (-_SHADOW_EVERY_S, 0))
        calls += 1
        if now < said_at + _SHADOW_EVERY_S:
            self._shadows[limit.id] = said_at, calls
            return
        self._shadows[limit.id] = now, 0
        _log.warn(
            "{limit}{whose} would have refused {calls}, were it not in shadow",
            limit=limit.name,
            whose=self._whose(limit),
            calls="a call" if calls == 1 else f"{calls} calls",
        )

    def _whose(self, limit: Limit) -> str:
        return "" if limit.scope is Scope.GLOBAL else f" of {limit.scope.value} {self._subject(limit)}"

    def reload_prices(self) -> None:
        """Read the file of prices anew; where it cannot be used, the log says so and the ones before count."""
        try:
            prices = self._read_prices()
        except (OSError, BadPrice) as error:
            _log.error("The prices cannot be used, and those before stay: {error}", error=error)
        else:
            self.books.use_prices(prices)

    def _read_prices(self) -> PriceList | None:
        if self._prices_file is None:
            return None
        from llm_gateway.config.prices import read_price_file

        return read_price_file(Path(self._prices_file))


def journal_folder(url: str, named: str | None = None) -> str:
    """
    :param named: by the operator.
    :return: where the journals of a ledger are: beside its file, or in the current folder.
    """
    if named is not None:
        return named
    if url.startswith(("postgresql:", "postgres:")):
        return os.path.abspath("llmgateway-journal")
    return os.path.abspath(url.removeprefix("sqlite:")) + ".journal"


def shared_folder(settings: Settings) -> Path:
    """
    :return: where the counts of limits are that workers share: in memory, the same for every program that follows
        another one with the same files.
    """
    base = Path("/dev/shm")
    if not (base.is_dir() and os.access(base, os.W_OK)):
        base = Path(tempfile.gettempdir())
    which = hashlib.sha256(f"{settings.ledger}\0{settings.keys_file}".encode()).hexdigest()[:16]
    return base / f"llmgateway-{os.getuid()}-{which}"
