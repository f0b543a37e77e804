"""The ledger of a process: rows reach the store, each once, whatever becomes of the store meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.queries import read
from llm_gateway.ledger.row import INTERRUPTED, Row
from llm_gateway.ledger.sqlite import SqliteStore
from llm_gateway.ledger.store import Store, StoreError, Written, open_store
from llm_gateway.ledger.writer import Ledger, LedgerFull
from tests.ledger.rows import AT, ended, running
from tests.ledger.test_journal import FullDisk

WAIT_S = 20.0
"""How long something is waited for that takes milliseconds."""


class Reactor(Clock):
    """One whose thread is the test's: what other threads ask of it is done when the test waits."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        self._asked.put(lambda: callable(*args, **kwargs))

    def wait(self, deferred: Deferred[Any]) -> Any:
        """:return: its result, or what it failed with."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        while not results:
            self._asked.get(timeout=WAIT_S)()
        return results[0]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Do what is asked until something holds; each thing asked for may have changed it."""
        while not holds():
            self._asked.get(timeout=WAIT_S)()


class FaultyStore(SqliteStore):
    """A file that can be used when the test says so."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.fault: Exception | None = None
        self.tried = threading.Semaphore(0)
        """Released with each attempt to write."""
        self.gate = threading.Event()
        """Writing waits for it."""
        self.gate.set()

    def write(self, rows: Sequence[Row]) -> Written:
        self.tried.release()
        assert self.gate.wait(WAIT_S)
        if self.fault is not None:
            raise self.fault
        return super().write(rows)


@pytest.fixture
def reactor() -> Reactor:
    """A new one."""
    return Reactor()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Of the database."""
    return str(tmp_path / "ledger.sqlite")


@contextmanager
def started(reactor: Reactor, store: Store, folder: Path, **values: Any) -> Iterator[Ledger]:
    """A ledger that is stopped afterwards."""
    ledger = Ledger(store, str(folder), reactor, **({"linger_s": 0.0, "segment_bytes": 8192} | values))
    ledger.start()
    try:
        yield ledger
    finally:
        reactor.wait(ledger.stop())


def stored(path: str) -> list[Row]:
    """:return: what is in the database, in the order of sending."""
    store = open_store(path)
    try:
        return sorted(read(store), key=lambda row: (row.at, row.attempt))
    finally:
        store.close()


def account(ledger: Ledger, numbers: Sequence[int]) -> None:
    """Begin and end attempts."""
    for number in numbers:
        row = running(number)
        ledger.begin(row)
        ledger.end(ended(number))


def test_what_has_ended_is_in_the_store_soon(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """And what runs is not, yet."""
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        ledger.begin(running(0))
        account(ledger, range(1, 200))
        assert reactor.wait(ledger.flush()) is None
        assert stored(path) == [ended(number) for number in range(1, 200)]
        counts = ledger.counts()
        assert (counts.running, counts.waiting, counts.written) == (1, 0, 199)
        assert ledger.healthy
        assert not ledger.refuses
        ledger.end(ended(0))
    assert stored(path)[0] == ended(0)
    assert not list((tmp_path / "journals").iterdir())


def test_it_comes_without_being_asked_for(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Nobody needs to flush: the thread wakes up by itself, again and again."""
    store = FaultyStore(path)
    with started(reactor, store, tmp_path / "journals") as ledger:
        for number in range(3):
            account(ledger, [number])
            assert store.tried.acquire(timeout=WAIT_S)


def test_postgresql_does_as_well(reactor: Reactor, tmp_path: Path, postgres_url: str) -> None:
    """The same from beginning to end."""
    from tests.ledger.conftest import new_schema

    url = new_schema(postgres_url)
    with started(reactor, open_store(url), tmp_path / "journals") as ledger:
        account(ledger, range(700))
        # No text of PostgreSQL's has such a character.
        ledger.begin(running(700))
        ledger.end(ended(700, model="a\0b", labels={"x\0": "\0"}))
        assert reactor.wait(ledger.flush()) is None
        assert ledger.counts().rejected == 0
    rows = stored(url)
    assert len(rows) == 701
    assert (rows[-1].model, rows[-1].labels) == ("a\ufffdb", {"x\ufffd": "\ufffd"})


def test_old_segments_go_while_it_runs(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """The journal holds what the store does not have, and not much more."""
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        for start in range(0, 500, 50):
            account(ledger, range(start, start + 50))
            reactor.wait(ledger.flush())
        assert len(list((tmp_path / "journals").glob("*.journal"))) <= 4


def test_a_store_that_is_down_holds_nobody_up(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Calls go on, rows wait, and are written once it is back; the counters say what happened."""
    store = FaultyStore(path)
    store.fault = StoreError("the disk is full")
    with started(reactor, store, tmp_path / "journals") as ledger:
        account(ledger, range(300))
        reactor.wait_until(lambda: not ledger.healthy)
        assert ledger.error == "the disk is full"
        assert ledger.counts().waiting == 300
        assert ledger.counts().failures >= 1
        store.fault = None
        assert reactor.wait(ledger.flush()) is None
        assert ledger.healthy
        counts = ledger.counts()
        assert (counts.deferred, counts.waiting, counts.written, counts.lost) == (300, 0, 300, 0)
    assert stored(path) == [ended(number) for number in range(300)]


def test_a_database_that_another_one_locks_is_waited_for(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """A tool that holds the file for long costs nothing but time."""
    store = SqliteStore(path, busy_s=0.01)
    store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin exclusive")
    with started(reactor, store, tmp_path / "journals") as ledger:
        account(ledger, range(10))
        reactor.wait_until(lambda: not ledger.healthy)
        assert "locked" in str(ledger.error)
        other.execute("rollback")
        other.close()
        assert reactor.wait(ledger.flush()) is None
    assert len(stored(path)) == 10


def test_a_disk_that_is_full_is_waited_for(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """SQLite says so in the middle of a group: nothing of it is written, and all of it later."""
    store = SqliteStore(path)
    store.open()
    connection = store._connected()
    [(pages,)] = connection.execute("pragma page_count").fetchall()
    connection.execute(f"pragma max_page_count = {pages}").fetchall()
    with started(reactor, store, tmp_path / "journals") as ledger:
        account(ledger, range(400))
        # The store connects anew after an error, and then has room.
        assert reactor.wait(ledger.flush()) is None
        assert ledger.counts().failures == 1
    assert len(stored(path)) == 400


def test_a_slow_store_holds_nobody_up(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """However long one group takes, attempts begin and end meanwhile."""
    store = FaultyStore(path)
    with started(reactor, store, tmp_path / "journals") as ledger:
        store.gate.clear()
        account(ledger, [0])
        assert store.tried.acquire(timeout=WAIT_S)
        account(ledger, range(1, 1000))
        assert ledger.counts().waiting == 1000
        store.gate.set()
        assert reactor.wait(ledger.flush()) is None
    assert len(stored(path)) == 1000


def test_more_than_may_wait_is_refused(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """By the policy ``refuse``: nothing begins that could not be accounted for, and what runs may end."""
    store = FaultyStore(path)
    store.fault = StoreError("gone")
    with started(reactor, store, tmp_path / "journals", most_rows=5) as ledger:
        ledger.begin(running(100))
        account(ledger, range(5))
        assert ledger.refuses
        with pytest.raises(LedgerFull, match="The ledger is full"):
            ledger.begin(running(6))
        ledger.end(ended(100))
        assert ledger.counts().lost == 0
        store.fault = None
        assert reactor.wait(ledger.flush()) is None
        assert not ledger.refuses
        account(ledger, [7])
    assert [row.at for row in stored(path)] == [AT + number * 1_000_000 for number in (0, 1, 2, 3, 4, 7, 100)]


def test_more_than_may_wait_is_dropped_and_counted(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """By the policy ``drop``: calls go on, and how many are not accounted for is known."""
    store = FaultyStore(path)
    store.fault = StoreError("gone")
    with started(reactor, store, tmp_path / "journals", most_rows=5, when_full="drop") as ledger:
        account(ledger, range(8))
        assert ledger.full
        assert not ledger.refuses
        assert ledger.counts().lost == 3
        store.fault = None
        assert reactor.wait(ledger.flush()) is None
    assert len(stored(path)) == 5


def test_the_journal_has_its_bound_in_bytes_too(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Rows may be large."""
    store = FaultyStore(path)
    store.fault = StoreError("gone")
    with started(reactor, store, tmp_path / "journals", most_bytes=40_000) as ledger:
        began = []

        def begin_more() -> None:
            for number in range(1000):
                account(ledger, [number])
                began.append(number)

        with pytest.raises(LedgerFull):
            begin_more()
        assert 50 < len(began) < 150
        assert sum(file.stat().st_size for file in (tmp_path / "journals").glob("*.journal")) <= 80_000
        store.fault = None
    assert len(stored(path)) == len(began)


def test_an_end_that_the_journals_disk_has_no_room_for_is_not_lost(
    reactor: Reactor, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down as soon as there is room again; meanwhile it counts as waiting, and nothing new begins."""
    large = {f"label{number}": "x" * 100 for number in range(60)}
    disk = FullDisk(monkeypatch)
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        ledger.begin(running(1))
        disk.is_full = True
        for number in (2, 3):
            ledger.begin(running(number, labels=large))
            ledger.end(ended(number))
        ledger.end(ended(1, labels=large))
        with pytest.raises(LedgerFull, match="No space left"):
            ledger.begin(running(4))
        assert reactor.wait(ledger.flush()) is None
        assert ledger.counts().waiting == 1
        disk.is_full = False
        account(ledger, [5])
        assert reactor.wait(ledger.flush()) is None
        assert ledger.counts().waiting == 0
    assert [row.at for row in stored(path)] == [AT + number * 1_000_000 for number in (1, 2, 3, 5)]
    assert stored(path)[0].labels == large


def test_what_could_not_be_written_waits_for_the_next_start(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Stopping does not wait for a store that is down, and loses nothing."""
    store = FaultyStore(path)
    store.fault = StoreError("gone")
    with started(reactor, store, tmp_path / "journals") as ledger:
        account(ledger, range(50))
        flushed = ledger.flush()
    assert reactor.wait(flushed).check(StoreError)
    store.fault = None
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        reactor.wait(ledger.flush())
    assert len(stored(path)) == 50
    assert not list((tmp_path / "journals").iterdir())


def crashed(folder: Path, ended_ones: int, began: int) -> None:
    """Leave the journal of a process that has ended without closing it."""
    journal = Journal(str(folder), 8192)
    journal.open()
    for number in range(ended_ones):
        journal.begin(running(number))
        journal.end(ended(number))
    for number in range(ended_ones, ended_ones + began):
        journal.begin(running(number))
        journal.progress(running(number, usage=Usage(input=7, output=number), cost=number))
    journal.close(keep=True)


def test_what_a_crash_has_left_is_written_at_the_next_start(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """What had ended as it had; what ran as interrupted, with what was known of it last."""
    crashed(tmp_path / "journals", 60, 3)
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        account(ledger, [100])
        reactor.wait(ledger.flush())
        counts = ledger.counts()
        assert (counts.written, counts.interrupted, counts.known) == (64, 3, 0)
    rows = stored(path)
    assert rows[:60] == [ended(number) for number in range(60)]
    assert [(row.ended, row.usage, row.cost) for row in rows[60:63]] == [
        (INTERRUPTED, Usage(input=7, output=number), number) for number in (60, 61, 62)
    ]
    assert not list((tmp_path / "journals").iterdir())


def test_what_a_crash_has_left_can_be_had_before_the_start(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """For who must know what was used before the first call comes; with a store that is down it is left for later."""
    crashed(tmp_path / "journals", 10, 2)
    store = FaultyStore(path)
    ledger = Ledger(store, str(tmp_path / "journals"), reactor)
    store.fault = StoreError("gone")
    ledger.recover()
    assert not ledger.healthy
    store.fault = None
    ledger.recover()
    assert len(stored(path)) == 12
    assert ledger.healthy
    assert not list((tmp_path / "journals").iterdir())


def test_workers_that_start_together_all_know_what_a_crash_has_left(
    reactor: Reactor, tmp_path: Path, path: str
) -> None:
    """One of them writes it, and the others wait for that: none takes up a budget without it."""
    crashed(tmp_path / "journals", 10, 2)
    store = FaultyStore(path)
    store.gate.clear()
    seen: list[int] = []

    def start(store: Store) -> None:
        Ledger(store, str(tmp_path / "journals"), reactor).recover()
        seen.append(len(stored(path)))

    threads = [threading.Thread(target=start, args=(each,)) for each in (store, store, open_store(path))]
    threads[0].start()
    assert store.tried.acquire(timeout=WAIT_S)
    for each in threads[1:]:
        each.start()
    assert seen == []
    store.gate.set()
    for each in threads:
        each.join(WAIT_S)
    assert seen == [12, 12, 12]


def test_a_crash_while_writing_what_a_crash_has_left_does_no_harm(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """The same journal may be written again, whole or in part."""
    crashed(tmp_path / "journals", 10, 2)
    early = open_store(path)
    early.write([ended(3), running(10), ended(11)])
    early.close()
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        reactor.wait(ledger.flush())
    rows = stored(path)
    assert [row.ended for row in rows] == ["ok"] * 10 + [INTERRUPTED, "ok"]


def test_what_is_down_at_the_start_is_tried_again(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """The journals of others stay until they are written."""
    crashed(tmp_path / "journals", 10, 0)
    store = FaultyStore(path)
    store.fault = StoreError("not yet")
    with started(reactor, store, tmp_path / "journals"):
        assert store.tried.acquire(timeout=WAIT_S)
    store.fault = None
    with started(reactor, store, tmp_path / "journals"):
        assert store.tried.acquire(timeout=WAIT_S)
    assert len(stored(path)) == 10


def test_workers_leave_each_others_journals_alone(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Two that run in one folder; the rows of both are in one database."""
    with (
        started(reactor, open_store(path), tmp_path / "journals") as one,
        started(reactor, open_store(path), tmp_path / "journals") as other,
    ):
        one.begin(running(0))
        account(other, range(1, 100))
        reactor.wait(other.flush())
        account(one, range(100, 200))
        one.end(ended(0))
    assert stored(path) == [ended(number) for number in range(200)]


def test_a_file_that_is_no_journal_is_told_and_does_not_stop_the_rest(
    reactor: Reactor, tmp_path: Path, path: str
) -> None:
    """Its rows cannot be known; those beside it are written."""
    crashed(tmp_path / "journals", 40, 0)
    [first, *_] = sorted((tmp_path / "journals").glob("*.journal"))
    first.write_bytes(b"what is this" * 10)
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        reactor.wait(ledger.flush())
    assert 10 < len(stored(path)) < 40


def test_a_row_that_no_store_takes_is_kept_apart(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """It does not hold up the others, and a person finds it."""

    class Picky(SqliteStore):
        def write(self, rows: Sequence[Row]) -> Written:
            return super().write(
                [msgspec.structs.replace(row, status=2**80) if row.key == "bad" else row for row in rows]
            )

    with started(reactor, Picky(path), tmp_path / "journals") as ledger:
        account(ledger, range(5))
        ledger.begin(running(5, key="bad"))
        ledger.end(ended(5, key="bad"))
        account(ledger, range(6, 10))
        reactor.wait(ledger.flush())
        assert ledger.counts().rejected == 1
        assert ledger.healthy
    assert len(stored(path)) == 9
    [kept] = (tmp_path / "journals" / "rejected.jsonl").read_bytes().splitlines()
    assert msgspec.json.decode(kept) == msgspec.to_builtins(msgspec.structs.asdict(ended(5, key="bad")))
    assert (tmp_path / "journals" / "rejected.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_number_without_a_place_is_mended(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Whatever a provider says, the attempt has its row."""
    with started(reactor, open_store(path), tmp_path / "journals") as ledger:
        ledger.begin(running(1))
        ledger.end(ended(1, duration_us=2**63))
        reactor.wait(ledger.flush())
        assert ledger.counts().rejected == 0
    assert [row.duration_us for row in stored(path)] == [2**53]


def test_a_fault_of_the_ledgers_own_does_not_end_it(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Its thread goes on, and says what happened."""
    store = FaultyStore(path)
    store.fault = RuntimeError("a bug")
    with started(reactor, store, tmp_path / "journals") as ledger:
        account(ledger, [1])
        reactor.wait_until(lambda: not ledger.healthy)
        assert "a bug" in str(ledger.error)
        store.fault = None
        reactor.wait(ledger.flush())
    assert len(stored(path)) == 1


def test_old_rows_are_removed(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """At the start and every hour, up to the time that is kept."""
    early = open_store(path)
    early.write([ended(number) for number in range(2500)])
    early.close()
    now = AT / 1e6 + 86_400 + 2400
    store = FaultyStore(path)
    with started(reactor, store, tmp_path / "journals", retention_days=1, now=lambda: now) as ledger:
        account(ledger, [5000])
        reactor.wait(ledger.flush())
    assert [row.at for row in stored(path)] == [AT + number * 1_000_000 for number in (*range(2400, 2500), 5000)]


def test_a_folder_that_cannot_be_used_is_told_at_the_start(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """Before the first call."""
    (tmp_path / "file").write_text("")
    ledger = Ledger(open_store(path), str(tmp_path / "file" / "journals"), reactor)
    with pytest.raises(OSError, match="file"):
        ledger.start()
    assert reactor.wait(ledger.stop()) is None


def test_stopping_does_not_wait_for_a_store_that_hangs(reactor: Reactor, tmp_path: Path, path: str) -> None:
    """After ten seconds it is left to the next start."""
    store = FaultyStore(path)
    ledger = Ledger(store, str(tmp_path / "journals"), reactor, linger_s=0.0)
    ledger.start()
    store.gate.clear()
    account(ledger, [1])
    assert store.tried.acquire(timeout=WAIT_S)
    stopped = ledger.stop()
    reactor.advance(9.9)
    assert not stopped.called
    reactor.advance(0.2)
    assert reactor.wait(stopped) is None
    store.gate.set()
