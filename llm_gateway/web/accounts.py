"""What calls are let in for and what they used: between the limits, the prices and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from llm_gateway.config.values import Configuration, Provider
from llm_gateway.core.dialects import Dialect
from llm_gateway.core.expectation import Expectation
from llm_gateway.core.limits.values import Limit
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.routing.settings import RoutingSettings, Strategy
from llm_gateway.core.usage.values import NOTHING
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant
from llm_gateway.web.labels import LabelSources
from llm_gateway.web.request_body import RequestBody

if TYPE_CHECKING:
    from llm_gateway.core.limits.book import Limiter
    from llm_gateway.core.prices.book import PriceBook
    from llm_gateway.core.prices.lists import PriceList
    from llm_gateway.core.prices.values import Rates
    from llm_gateway.ledger.row import Row
    from llm_gateway.ledger.writer import Ledger
    from llm_gateway.web.allowances import ToldLimits
    from llm_gateway.web.call_account import CallAccount
    from llm_gateway.web.routes import Plan

__all__ = ["Books"]


class Books:
    """The accounts of one process."""

    def __init__(
        self,
        make_limiter: Callable[[], Limiter],
        clock: IReactorTime,
        *,
        ledger: Ledger | None = None,
        prices: PriceList | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        :param make_limiter: called once, for the first configuration in which something is limited or written down.
        :param prices: ``None`` for those that ship with the gateway.
        :param wall: seconds since the epoch.
        """
        self._make_limiter = make_limiter
        self.limiter: Limiter
        """From then on."""
        self.ledger = ledger
        self.clock = clock
        self.wall = wall
        self.expectation = Expectation()
        self._list = prices
        self.prices: PriceBook
        """From then on, or since somebody has asked what is typical."""
        self._priced = False
        self._providers: Mapping[str, Provider] = {}
        self.families: Mapping[str, str | None] = {}
        """Whose models a provider has, by its name; ``None`` where nobody knows."""
        self.of_credentials: Mapping[str, tuple[Limit, ...]] = {}
        """Limits of providers' credentials, by their names; of those that have some."""
        self.labels = LabelSources({})
        self._counting: ModuleType | None = None
        """What opens accounts, where anything is limited or written down: with all that it needs, two megabytes."""

    def use(self, configuration: Configuration) -> None:
        """Go by this from now on."""
        if configuration.providers != self._providers:
            self._providers = configuration.providers
            if self._priced:
                self._price()
        self.families = {name: each.family for name, each in configuration.providers.items()}
        self.of_credentials = {name: each.limits for name, each in configuration.credentials.items() if each.limits}
        self.labels = LabelSources(configuration.label_from)
        if self._counting is None and (self.ledger is not None or any(configuration.all_limits())):
            # All of it now, and not while the first call waits.
            from llm_gateway.web import opening

            self.limiter = self._make_limiter()
            self._price()
            # Last, so that nothing is missing wherever something is counted.
            self._counting = opening
        elif not self._priced and _by_price(configuration.routing):
            self._price()

    def use_prices(self, prices: PriceList | None) -> None:
        """
        Go by this list from now on.

        :param prices: ``None`` for the one that ships with the gateway.
        """
        self._list = prices
        if self._priced:
            self._price()

    def _price(self) -> None:
        from llm_gateway.config.prices import price_book

        # One book in the place of another: the ledger's thread asks it, too.
        self.prices = price_book(self._providers, self._list)
        self._priced = True

    def open(self, request: Request, context: CallContext, plan: Plan, body: RequestBody) -> CallAccount | None:
        """
        Let a call in.

        :return: its account; ``None`` where nothing is limited and nothing is written down.
        :raises GatewayError: a limit does not let it in, or nobody knows what it would cost.
        """
        grant = context.grant
        assert grant is not None
        counting = self._counting
        if counting is None or (self.ledger is None and not grant.limits and not self.of_credentials):
            return None
        return cast("CallAccount", counting.opened(self, request, context, grant, plan, body))

    def told(self, grant: Grant, dialect: Dialect) -> ToldLimits:
        """
        :param grant: with limits.
        :param dialect: the caller's.
        :return: what it is told of its limits with the answer, whoever gives that.
        """
        assert self._counting is not None
        return cast("ToldLimits", self._counting.ToldLimits(self.limiter, grant.told, dialect, self.wall))

    def rates(self, provider: str, model: str, at: float) -> Rates | None:
        """:return: ``None`` where no price is known."""
        return self.prices.find(provider, self.families.get(provider), model, at)

    def typical(self, candidate: Candidate) -> int | None:
        """:return: what puts candidates in the order of their prices; ``None`` where none is known."""
        if not self._priced:
            self._price()
        return self.prices.typical(
            candidate.provider, self.families.get(candidate.provider), candidate.model, self.wall()
        )

    def rate(self, row: Row) -> None:
        """Say in the row what its use costs; ``None`` where no price is known."""
        if row.usage == NOTHING:
            row.price, row.cost = None, 0
            return
        model, at = row.model or row.model_asked or "", row.at / 1e6
        rates = self.prices.find(row.provider, self.families.get(row.provider), model, at, row.model_asked)
        if rates is None:
            row.price = row.cost = None
        else:
            row.price, row.cost = rates.version, self.prices.cost(rates, row.usage)

    def of_credential(self, name: str) -> tuple[Limit, ...]:
        return self.of_credentials.get(name, ())


def _by_price(routing: RoutingSettings) -> bool:
    """Whether prices decide where some calls go."""
    return Strategy.CHEAPEST in (routing.strategy, *(each.strategy for each in routing.models.values()))
