"""What calls are let in for and what they used: between the limits, the prices and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sized

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from llm_gateway.config.prices import price_book
from llm_gateway.config.values import Configuration, Provider
from llm_gateway.core.dialects import Dialect
from llm_gateway.core.expectation import Expectation
from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.values import Limit
from llm_gateway.core.prices.lists import PriceList
from llm_gateway.core.prices.values import Rates
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.usage.foreseen import Foreseen, foreseen
from llm_gateway.core.usage.kinds import Kind, kind_of
from llm_gateway.core.usage.values import NOTHING
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.writer import Ledger
from llm_gateway.web.allowances import ToldLimits
from llm_gateway.web.call_account import CallAccount
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant
from llm_gateway.web.labels import LabelSources
from llm_gateway.web.request_body import RequestBody
from llm_gateway.web.room import QUANTUM
from llm_gateway.web.routes import Plan

__all__ = ["QUANTUM", "Books", "CallAccount"]

_KEPT_BYTES = 16_384
"""Of a request, which is kept until its answer has come, in case that this does not say how many tokens it had."""

_UNSEEN = Foreseen(0)
"""Of an upload."""

_TEXTS = frozenset({Kind.TEXT, Kind.READING})


_BYTES_PER_TOKEN = 3


def _by_weight(request: Request, context: CallContext, whole: Sized | None) -> Foreseen:
    """
    Of what cannot be read, since it is compressed, in another encoding than JSON's, or passed on while it comes: it is
    not free for that.
    """
    if kind_of(request.method, context.route.asked.api, context.path) not in _TEXTS:
        return _UNSEEN
    said = request.getHeader(b"content-length") or b""
    size = len(whole) if whole is not None else int(said) if said.isdigit() else 0
    return Foreseen(size // _BYTES_PER_TOKEN)


class Books:
    """The accounts of one process."""

    def __init__(
        self,
        limiter: Limiter,
        clock: IReactorTime,
        *,
        ledger: Ledger | None = None,
        prices: PriceList | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        :param prices: ``None`` for those that ship with the gateway.
        :param wall: seconds since the epoch.
        """
        self.limiter = limiter
        self.ledger = ledger
        self.clock = clock
        self.wall = wall
        self.expectation = Expectation()
        self._list = prices
        self._providers: Mapping[str, Provider] = {}
        self.prices = price_book({}, prices)
        self.families: Mapping[str, str | None] = {}
        """Whose models a provider has, by its name; ``None`` where nobody knows."""
        self._of_credentials: Mapping[str, tuple[Limit, ...]] = {}
        self._labels = LabelSources({})

    def use(self, configuration: Configuration) -> None:
        """Go by this from now on."""
        if configuration.providers != self._providers:
            self._providers = configuration.providers
            self.prices = price_book(self._providers, self._list)
        self.families = {name: each.family for name, each in configuration.providers.items()}
        self._of_credentials = {name: each.limits for name, each in configuration.credentials.items() if each.limits}
        self._labels = LabelSources(configuration.label_from)

    def use_prices(self, prices: PriceList | None) -> None:
        """
        Go by this list from now on.

        :param prices: ``None`` for the one that ships with the gateway.
        """
        self._list = prices
        self.prices = price_book(self._providers, prices)

    def open(self, request: Request, context: CallContext, plan: Plan, body: RequestBody) -> CallAccount | None:
        """
        Let a call in.

        :return: its account; ``None`` where nothing is limited and nothing is written down.
        :raises GatewayError: a limit does not let it in, or nobody knows what it would cost.
        """
        grant = context.grant
        assert grant is not None
        if self.ledger is None and not grant.limits and not self._of_credentials:
            return None
        whole = body.look()
        expected, readable = _UNSEEN, True
        if whole is not None:
            api, method = context.route.asked.api, request.method
            expected = foreseen(whole, api, context.dialect.name, method=method, path=context.path)
        if not expected.input and expected.output is None:
            expected, readable = _by_weight(request, context, whole), False
        labels = self._labels.of(request, whole, grant.key.labels)
        kept = whole if readable and isinstance(whole, bytes) and len(whole) <= _KEPT_BYTES else None
        background = bool(grant.budgeted or self._of_credentials) and body.in_background()
        account = CallAccount(self, context, grant, plan, expected, labels, kept, background=background)
        if grant.limits:
            account.reserve(body)
        return account

    def told(self, grant: Grant, dialect: Dialect) -> ToldLimits:
        """
        :param dialect: the caller's.
        :return: what it is told of its limits with the answer, whoever gives that.
        """
        return ToldLimits(self.limiter, grant.told, dialect, self.wall)

    def rates(self, provider: str, model: str, at: float) -> Rates | None:
        """:return: ``None`` where no price is known."""
        return self.prices.find(provider, self.families.get(provider), model, at)

    def typical(self, candidate: Candidate) -> int | None:
        """:return: what puts candidates in the order of their prices; ``None`` where none is known."""
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
        return self._of_credentials.get(name, ())
