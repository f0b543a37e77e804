"""A gateway over memory transports that limits calls and writes down what they use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.internet.task import Clock

from llm_gateway.config.values import Configuration
from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.values import Limit, Measure, Scope, Window
from llm_gateway.ledger.row import Row
from llm_gateway.limits.memory import MemoryStore
from llm_gateway.web.accounts import Books
from tests.memory import USUAL, Client, MemoryGateway

NOON = 1_800_000_000.0
"""What the time of day is when the clock begins."""


class RowsLedger:
    """A ledger to look into: every row is begun once and ended once."""

    def __init__(self) -> None:
        self.begun: dict[tuple[str, int], bytes] = {}
        self.ended: list[Row] = []
        self.trouble: Exception | None = None

    def begin(self, row: Row) -> None:
        if self.trouble is not None:
            raise self.trouble
        assert (row.request_id, row.attempt) not in self.begun
        self.begun[row.request_id, row.attempt] = msgspec.json.encode(row)

    def progress(self, row: Row) -> None:
        assert (row.request_id, row.attempt) in self.begun

    def end(self, row: Row) -> None:
        assert (row.request_id, row.attempt) in self.begun
        assert all((row.request_id, row.attempt) != (each.request_id, each.attempt) for each in self.ended[-8:])
        self.ended.append(msgspec.json.decode(msgspec.json.encode(row), type=Row))

    @property
    def row(self) -> Row:
        """The one that there is."""
        (only,) = self.ended
        return only


class AccountedGateway(MemoryGateway):
    """What is limited stands in the configuration."""

    def __init__(self, configuration: Configuration = USUAL, *, ledger: bool = True, **how: Any) -> None:
        """
        :param ledger: whether there is one.
        """
        clock = Clock()
        self.ledger = RowsLedger()
        self.warned: list[str] = []
        store = MemoryStore()
        self.limiter = Limiter(
            store, lambda: NOON + clock.seconds(), on_warning=lambda limit: self.warned.append(limit.name)
        )
        kept: Any = self.ledger if ledger else None
        known = {name: replace(each, family=each.dialect) for name, each in configuration.providers.items()}
        configuration = replace(configuration, providers=known)
        books = Books(lambda: self.limiter, clock, ledger=kept, wall=lambda: NOON + clock.seconds())
        super().__init__(configuration, clock=clock, books=books, **how)

    def held(self, limits: Iterable[Limit]) -> list[int]:
        """What running calls hold of them."""
        return [each.held for each in self.limiter.state(limits)]

    def used(self, limits: Iterable[Limit]) -> list[int]:
        return [each.used for each in self.limiter.state(limits)]

    def plain(self, client: Client, body: bytes, status: int = 200, **headers: str) -> None:
        """The provider answers the last request with a document."""
        response = self.agent.sent[-1].answer(status, length=len(body), **headers)
        response.write(body)
        response.end()


def limit(measure: Measure, window: Window, amount: int, scope: Scope = Scope.GLOBAL, **more: Any) -> Limit:
    return Limit(scope, "", measure, window, amount, **more)
