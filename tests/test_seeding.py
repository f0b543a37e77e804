"""What limits are told of the time before they began to count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.core.limits.values import Limit, Measure, Scope, Unreachable, Window
from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger.row import INTERRUPTED, Row
from llm_gateway.ledger.sqlite import SqliteStore
from llm_gateway.limits.memory import MemoryStore
from llm_gateway.seeding import RETRY_S, Seeding

NOW = 1_800_000_000.0
BUDGET = Limit(Scope.KEY, "ab", Measure.DOLLARS, Window.TOTAL, 1_000)
DAY = Limit(Scope.GROUP, "lab", Measure.TOKENS, Window.DAY, 1_000)
ALL = (BUDGET, DAY)


class Pool:
    """Threads in which things are done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def callInThreadWithCallback(
        self, on_result: Callable[..., None], function: Callable[..., Any], *arguments: Any
    ) -> None:
        def work() -> None:
            try:
                result = function(*arguments)
            except Exception:
                from twisted.python.failure import Failure

                on_result(False, Failure())
            else:
                on_result(True, result)

        self.waiting.append(work)


class Reactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()

    def getThreadPool(self) -> Pool:
        return self.pool

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)

    def work(self) -> None:
        """Do what waits for a thread."""
        waiting, self.pool.waiting = self.pool.waiting, []
        for each in waiting:
            each()


class Scene:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.reactor = Reactor()
        self.limiter = Limiter(MemoryStore(), lambda: NOW + self.reactor.seconds())
        self.seeding = Seeding(self.limiter, str(path), self.reactor, lambda: NOW + self.reactor.seconds())

    def used(self, *limits: Limit) -> list[int]:
        return [each.used for each in self.limiter.state(limits)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "ledger" / "ledger.sqlite")
    yield made
    made.seeding.stop()


def row(number: int, ended: str = "ok") -> Row:
    return Row(
        request_id=f"r{number}",
        attempt=1,
        at=int((NOW - 7_200) * 1e6),
        key="ann",
        key_digest="ab",
        group="lab",
        credential="main",
        ended=ended,
        usage=Usage(input=30, output=10),
        cost=100,
        price="x",
    )


def written(path: Path, *rows: Row) -> None:
    path.parent.mkdir(exist_ok=True)
    store = SqliteStore(str(path))
    store.write(rows)
    store.close()


def test_limits_go_on_where_the_ledger_says_they_stood(scene: Scene) -> None:
    written(scene.path, row(1), row(2))
    scene.seeding.use(ALL)
    scene.seeding.start()
    assert scene.used(*ALL) == [200, 80]
    assert isinstance(scene.limiter.reserve([BUDGET], Want(nano=801)), Refused)


def test_closed_limit_waits_for_a_ledger_that_cannot_be_read(scene: Scene) -> None:
    """Others go on; and as soon as it can be, all is counted."""
    lasting = Limit(Scope.KEY, "ab", Measure.TOKENS, Window.DAY, 1_000, unreachable=Unreachable.OPEN)
    scene.seeding.use((BUDGET, lasting))
    with capturedLogs() as logged:
        scene.seeding.start()
        for _ in range(3):
            scene.reactor.advance(RETRY_S)
            scene.reactor.work()
    assert len([each for each in logged if "cannot be told" in formatEvent(each)]) == 1
    refused = scene.limiter.reserve([BUDGET], Want(nano=1))
    assert isinstance(refused, Refused)
    assert refused.unreachable
    assert isinstance(scene.limiter.reserve([lasting], Want(input=1)), Reservation)
    written(scene.path, row(1))
    scene.reactor.advance(RETRY_S)
    scene.reactor.work()
    assert scene.used(BUDGET) == [100]
    assert isinstance(scene.limiter.reserve([BUDGET], Want(nano=900)), Reservation)


def test_new_limit_is_told_while_the_gateway_runs(scene: Scene) -> None:
    written(scene.path, row(1))
    scene.seeding.use(())
    scene.seeding.start()
    scene.seeding.use(ALL)
    scene.reactor.work()
    assert scene.used(*ALL) == [100, 40]


def test_what_was_recovered_before_the_start_is_counted_once(scene: Scene) -> None:
    """It is in the database already, which tells of it."""
    written(scene.path, row(1), row(2, INTERRUPTED))
    scene.seeding.recovered(row(2, INTERRUPTED))
    scene.seeding.use(ALL)
    scene.seeding.start()
    assert scene.used(*ALL) == [200, 80]


def test_what_is_recovered_beside_counts_that_go_on_is_added(scene: Scene) -> None:
    """As when one of several workers was killed: nobody else has counted it."""
    written(scene.path, row(1))
    scene.seeding.use(ALL)
    scene.seeding.start()
    written(scene.path, row(2, INTERRUPTED))
    scene.seeding.recovered(row(2, INTERRUPTED))
    assert scene.used(*ALL) == [200, 80]


def test_counts_that_outlived_their_processes_learn_what_was_recovered(scene: Scene) -> None:
    written(scene.path, row(1))
    scene.seeding.use(ALL)
    scene.seeding.start()
    after = Seeding(scene.limiter, str(scene.path), scene.reactor, lambda: NOW)
    written(scene.path, row(2, INTERRUPTED))
    after.recovered(row(2, INTERRUPTED))
    after.use(ALL)
    after.start()
    assert scene.used(*ALL) == [200, 80]
    after.stop()


def test_change_of_one_key_asks_for_nothing_of_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand keys with budgets cost nothing while they stay as they are, neither then nor every two seconds."""
    asked: list[Limit] = []
    usual = Limiter.unseeded

    def noting(self: Limiter, limits: Iterable[Limit]) -> list[Limit]:
        limits = list(limits)
        asked.extend(limits)
        return usual(self, limits)

    monkeypatch.setattr(Limiter, "unseeded", noting)
    written(scene.path, row(1))
    keys = [(Limit(Scope.KEY, f"{number:02x}", Measure.DOLLARS, Window.TOTAL, 1_000),) for number in range(100)]
    scene.seeding.use(*keys)
    scene.seeding.start()
    asked.clear()
    scene.reactor.advance(RETRY_S)
    new = (Limit(Scope.KEY, "ab", Measure.DOLLARS, Window.TOTAL, 2_000),)
    scene.seeding.use(*keys, new)
    assert isinstance(scene.limiter.reserve(new, Want(nano=1)), Refused)
    scene.reactor.work()
    scene.reactor.advance(RETRY_S)
    assert set(asked) == set(new)
    assert scene.used(*new) == [100]


def test_limit_that_goes_while_it_waits_holds_nobody_up(scene: Scene) -> None:
    scene.seeding.use((BUDGET,), (DAY,))
    scene.seeding.start()
    scene.seeding.use((DAY,))
    written(scene.path, row(1))
    scene.reactor.advance(RETRY_S)
    scene.reactor.work()
    assert scene.used(DAY) == [40]
    assert isinstance(scene.limiter.reserve([BUDGET], Want(nano=1)), Reservation)


def test_nothing_is_told_once_it_is_stopped(scene: Scene) -> None:
    scene.seeding.use()
    scene.seeding.start()
    written(scene.path, row(1))
    scene.seeding.use(ALL)
    scene.seeding.stop()
    scene.reactor.work()
    assert scene.used(*ALL) == [0, 0]
    assert scene.reactor.getDelayedCalls() == []
