"""Counts that processes share: the same as one process's, exact across all, and none lost with a process that dies."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.core.limits.contract import StoreLost
from llm_gateway.core.limits.counter import HELD, SEATS, SUM
from llm_gateway.core.limits.table import Table
from llm_gateway.core.limits.values import Unreachable
from llm_gateway.limits import shared
from llm_gateway.limits.shared import SharedStore
from tests.core.limits.told import NOON, World, limit
from tests.limits.hammer import LIMITS

ALL = (
    limit("requests_per_minute", 30, burst=9),
    limit("requests_per_day", 40),
    limit("tokens_per_minute", 900),
    limit("usd_per_day", 3_000, warn_at=0.5),
    limit("usd_total", 9_000),
    limit("in_flight", 5),
)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[[], SharedStore]]:
    """:return: what opens one more store in the same folder, as one more process would: locks are of descriptors."""
    opened: list[SharedStore] = []

    def one_more() -> SharedStore:
        opened.append(SharedStore(tmp_path / "limits"))
        return opened[-1]

    yield one_more
    for each in opened:
        each.close()


def die(store: SharedStore) -> None:
    """Let go of a store as the kernel does for a process that is killed."""
    store._closed = True
    # Here the map keeps its own descriptor of the file alive, and with it the lock.
    fcntl.flock(store._file, fcntl.LOCK_UN)
    store._shut()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "grow", "end", "never sent", "charge"]),
        st.integers(0, 5),
        st.integers(0, 200),
        st.sampled_from([0.0, 0.001, 1.0, 30.0, 5_000.0]),
        st.integers(0, 1),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(ACTIONS)
def test_two_processes_are_one_table(tmp_path_factory: pytest.TempPathFactory, actions: list[Any]) -> None:
    """Whatever is done by either of two processes, each answer is the one of a single process's table."""
    folder = tmp_path_factory.mktemp("limits")
    mine = [World(*ALL, store=SharedStore(folder)) for _ in range(2)]
    its = World(*ALL, store=Table())
    open_: list[tuple[World, Reservation, Reservation]] = []
    for what, which, n, pause, process in actions:
        for world in (*mine, its):
            world.now += pause
        one = mine[process]
        want = Want(1, n, n // 2, n * 3)
        if what == "begin":
            left, right = one.reserve(want), its.reserve(want)
            if isinstance(left, Reservation) and isinstance(right, Reservation):
                open_.append((one, left, right))
            else:
                assert left == right
        elif what == "charge":
            one.limiter.charge(ALL, want)
            its.limiter.charge(ALL, want)
        elif open_:
            world, left, right = open_[which % len(open_)]
            if what == "grow":
                more = Want(0, n, n, n)
                known = Want(1, n // 2, 0, n)
                grown = [each.limiter.extend(of, more, used=known) for each, of in ((world, left), (its, right))]
                assert grown[0] == grown[1]
            else:
                open_.remove((world, left, right))
                used = Want(0) if what == "never sent" else Want(1, n, 1, 2 * n)
                world.limiter.settle(left, used)
                its.limiter.settle(right, used)
        for world in mine:
            assert world.limiter.state(ALL) == its.limiter.state(ALL)
    assert len(mine[0].warned) + len(mine[1].warned) == len(its.warned)
    for world in mine:
        store = world.limiter._store
        assert isinstance(store, SharedStore)
        store.close()


class Killed(BaseException):
    """The process was killed here."""


class Mortal:
    """Memory of a process that is killed at its n-th write."""

    def __init__(self, view: Any, store: MortalStore) -> None:
        self.view = view
        self.store = store

    def __getitem__(self, place: Any) -> Any:
        return self.view[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        if self.store.left == 0:
            self.store.dead = True
            raise Killed
        self.store.left -= 1
        self.view[place] = value

    def __len__(self) -> int:
        return len(self.view)


class MortalStore(SharedStore):
    """A store whose process is killed at its n-th write to memory from now, if ``left`` says so."""

    left = -1
    dead = False

    def _view(self, size: int) -> None:
        super()._view(size)
        self._map = Mortal(self._map, self)  # type: ignore[assignment]

    def _row(self, name: str, length: int) -> Any:
        row = super()._row(name, length)
        return row if isinstance(row, Mortal) else Mortal(row, self)

    def _leave(self) -> None:
        if not self.dead:
            super()._leave()


STEPS: dict[str, Callable[[World, Reservation], object]] = {
    "reserve": lambda world, call: world.reserve(Want(1, 10, 10, 10)),
    "extend": lambda world, call: world.limiter.extend(call, Want(0, 1, 2, 3), used=Want(1, 3, 3, 3)),
    "settle": lambda world, call: world.limiter.settle(call, Want(1, 20, 15, 12)),
    "take back": lambda world, call: world.limiter.settle(call, Want(0)),
    "charge": lambda world, call: world.limiter.charge(ALL, Want(1, 7, 7, 7)),
    "slide": lambda world, call: world.limiter.state(ALL),
    "another limit": lambda world, call: world.limiter.state([limit("usd_per_week", 77)]),
    "seed": lambda world, call: world.limiter.seed(ALL[3], [(NOON - 7_200, 9)], 3_600),
    "sweep": lambda world, call: world.limiter.sweep(),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_write_leaves_nothing_held_and_nobody_waiting(step: str, tmp_path: Path) -> None:
    """
    For each write of each operation: the others go on at once, what the dead one held is free, sums are sums.

    What the others have used and hold is there to the last one; of the dead one's last call at most all is counted.
    """
    died = 0
    for writes in range(200):
        folder = tmp_path / str(writes)
        other = World(*ALL, store=SharedStore(folder))
        other.let_in(Want(1, 5, 5, 50))
        store = MortalStore(folder)
        world = World(*ALL, store=store)
        call = world.let_in(Want(1, 30, 30, 100))
        if step == "sweep":
            third = SharedStore(folder)
            World(*ALL, store=third).let_in(Want(1, 5, 5, 50))
            die(third)
        if step == "slide":
            world.limiter.charge(ALL, Want(0, 0, 0, 20))
            world.now += 86_400 + 3_600
            other.now = world.now
        store.left = writes
        try:
            STEPS[step](world, call)
        except Killed:
            died += 1
        done = not store.dead
        die(store)
        other.limiter.sweep()
        standings = other.limiter.state(ALL)
        assert standings, "nobody waits for the dead"
        for standing in standings:
            name, used, held = standing.limit.name, standing.used, standing.held
            assert held == {"tokens_per_minute": 10, "usd_per_day": 50, "usd_total": 50}.get(name, 0), (writes, name)
            assert name != "in_flight" or used == 1
            assert name != "requests_per_day" or (1 <= used <= 3 or step == "slide"), (writes, name, used)
            assert not name.startswith("usd") or used <= 20
        mine = other.limiter._store
        assert isinstance(mine, SharedStore)
        assert mine._map is not None
        assert mine._map[3] == 0
        for row in mine._all_rows():
            assert row[HELD] == sum(row[SEATS : SEATS + 16])
            assert len(row) == SEATS + 16 or row[SUM] == sum(row[SEATS + 16 :])
            assert all(each >= 0 for each in row)
        mine.close()
        if done:
            break
    assert done
    assert died == writes > 0


def test_what_a_dead_process_holds_is_free_before_anybody_is_refused(stores: Callable[[], SharedStore]) -> None:
    one, other = World(*ALL, store=stores()), World(*ALL, store=(dying := stores()))
    for _ in range(5):
        other.let_in(Want(1, 1, 1, 1))
    one.refused(Want())
    die(dying)
    one.now += 0.1
    one.let_in(Want())


def test_a_process_that_ends_leaves_its_uses_and_holds_nothing(stores: Callable[[], SharedStore]) -> None:
    one, other = World(*ALL, store=stores()), World(*ALL, store=(ending := stores()))
    one.free()
    other.call(Want(1, 10, 10, 100))
    call = other.let_in(Want(1, 10, 10, 100))
    ending.close()
    assert {each.limit.name: each.used for each in one.limiter.state(ALL)}["usd_total"] == 100
    assert not any(each.held for each in one.limiter.state(ALL))
    other.limiter.settle(call, Want(1, 10, 10, 100))
    assert not other.limiter.reachable, "it has no seat any more that it could count from"


def test_128_streams_of_two_processes_never_spend_more_than_one_budget(stores: Callable[[], SharedStore]) -> None:
    """Each holds a step ahead of what it relays, in an order drawn anew for each step."""
    amount, step = 20_000, 7
    budget = (limit("usd_per_day", amount), limit("in_flight", 128))
    worlds = World(*budget, store=stores()), World(*budget, store=stores())
    order = random.Random(6)
    running = {worlds[n % 2].let_in(Want(1, 0, 0, 1)): (worlds[n % 2], 1) for n in range(128)}
    for world in worlds:
        assert world.refused(Want(1, 0, 0, 1)).limit.name == "in_flight"
    for _ in range(amount):
        going = [each for each in running if not each.settled]
        order.shuffle(going)
        for each in going:
            world, used = running[each]
            if world.limiter.extend(each, Want(0, 0, 0, step), used=Want(1, 0, 0, used)):
                running[each] = world, used + step
            else:
                world.limiter.settle(each, Want(1, 0, 0, used))
        if not going:
            break
    spent = sum(used for _, used in running.values())
    assert amount - step < spent <= amount
    assert [world.free() for world in worlds] == [[amount - spent, 128]] * 2


def test_who_comes_when_nobody_is_there_begins_anew(stores: Callable[[], SharedStore]) -> None:
    """The ledger says what was used before; what was left in the file would count twice."""
    first = stores()
    World(*ALL, store=first).call(Want(1, 1, 1, 1_000))
    die(first)
    second = World(*ALL, store=stores())
    assert second.limiter.unseeded(ALL[:2]) == list(ALL[:2])
    assert second.free()[3:] == [3_000, 9_000, 5]


def test_the_last_one_takes_the_files_away(tmp_path: Path, stores: Callable[[], SharedStore]) -> None:
    """They are in memory, and would take room there for ever."""
    first, second, killed = stores(), stores(), stores()
    for each in (first, second, killed):
        each.open()
    die(killed)
    first.close()
    assert (tmp_path / "limits" / "limits-1").exists()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_who_comes_while_the_last_one_leaves_gets_a_file_of_its_own(
    tmp_path: Path, stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, coming = stores(), stores()
    leaving.open()
    acquire = SharedStore._acquire

    def leave_first(self: SharedStore) -> None:
        if self is coming:
            leaving.close()
        acquire(self)

    monkeypatch.setattr(SharedStore, "_acquire", leave_first)
    assert World(*ALL, store=coming).call(Want(1, 0, 0, 1))
    assert World(*ALL, store=stores()).free()[4] == 9_000 - 1, "and others find it"


def test_a_folder_that_vanishes_again_and_again_is_a_lost_store(
    stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores()
    monkeypatch.setattr(SharedStore, "_is_there", lambda _: False)
    with pytest.raises(StoreLost, match="again and again"):
        store.open()


def test_a_file_that_is_something_else_is_begun_anew(tmp_path: Path, stores: Callable[[], SharedStore]) -> None:
    (tmp_path / "limits").mkdir(0o700)
    for content in (b"", b"short", b"x" * 10_000):
        file = tmp_path / "limits" / "limits-1"
        file.touch(0o600)
        file.write_bytes(content)
        store = stores()
        assert World(*ALL, store=store).call(Want(1, 1, 1, 1))
        die(store)


def test_where_nothing_else_locks_the_interpreter_is_let_go(
    stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems without a C library that can be loaded: slower, and as exact."""
    monkeypatch.setattr(ctypes, "PyDLL", lambda _: (_ for _ in ()).throw(OSError("no such library")))
    one, other = World(*ALL, store=stores()), World(*ALL, store=(dying := stores()))
    for _ in range(5):
        other.let_in(Want(1, 1, 1, 1))
    one.refused(Want())
    die(dying)
    one.now += 0.1
    one.let_in(Want())


def test_only_one_of_all_processes_seeds(stores: Callable[[], SharedStore]) -> None:
    one, other = World(*ALL, store=stores()), World(*ALL, store=stores())
    assert one.limiter.seed(ALL[4], [(NOON - 100, 30)], 60)
    assert ALL[4] not in other.limiter.unseeded(ALL)
    assert not other.limiter.seed(ALL[4], [(NOON - 100, 30)], 60)
    assert other.free()[4] == 9_000 - 30


def test_all_processes_have_one_clock(stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that starts after somebody has set the machine's."""
    first = stores()
    first.open()
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86_400)
    second = stores()
    second.open()
    assert abs(first.clock() - real) < 5
    assert abs(second.clock() - first.clock()) < 5


def test_files_are_this_users_alone(tmp_path: Path) -> None:
    store = SharedStore(tmp_path / "limits")
    store.open()
    assert (tmp_path / "limits").stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in (tmp_path / "limits").iterdir())
    store.close()


@pytest.mark.parametrize("wrong", ["open to others", "a link", "a folder"])
def test_files_of_others_are_not_used(wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "limits-1"
    if wrong == "a link":
        file.symlink_to(tmp_path / "elsewhere")
    elif wrong == "a folder":
        file.mkdir()
    else:
        file.touch(0o600)
        file.chmod(0o644)
    with pytest.raises(StoreLost, match="limits-1"):
        SharedStore(tmp_path).open()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("wrong", ["open to others", "a link"])
def test_a_folder_that_others_can_write_to_is_not_used(wrong: str, tmp_path: Path) -> None:
    folder = tmp_path / "limits"
    if wrong == "a link":
        (tmp_path / "elsewhere").mkdir(0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o770)
    with pytest.raises(StoreLost, match="this user alone"):
        SharedStore(folder).open()


def test_files_that_somebody_removes_cost_nobody_what_they_hold(
    tmp_path: Path, stores: Callable[[], SharedStore]
) -> None:
    """Those that run go on as before, and it is told."""
    one, other = World(*ALL, store=(store := stores())), World(*ALL, store=stores())
    call = other.let_in(Want(1, 10, 10, 100))
    one.free()
    for each in (tmp_path / "limits").iterdir():
        each.unlink()
    with capturedLogs() as logged:
        assert one.limiter.sweep() == 0
        assert one.limiter.sweep() == 0
    assert [each["log_level"].name for each in logged] == ["error"]
    assert not store.intact
    assert {each.limit.name: each.held for each in one.limiter.state(ALL)}["usd_total"] == 100
    other.limiter.settle(call, Want(1, 10, 10, 100))
    assert one.free()[4] == 9_000 - 100


def test_more_limits_than_fit_into_the_file_make_it_larger(stores: Callable[[], SharedStore]) -> None:
    one, other = World(store=stores()), World(store=stores())
    many = [limit("usd_per_month", 100, subject=str(n)) for n in range(2_500)]
    for n, each in enumerate(many):
        (one, other)[n % 2].limiter.charge([each], Want(1, 0, 0, n))
    for world in (one, other):
        assert [each.used for each in world.limiter.state(many)] == list(range(2_500))


def test_a_full_disk_is_a_lost_store(stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are known already are counted on; of new ones each says what becomes of its calls."""
    world = World(*ALL, store=stores())
    world.let_in(Want())
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    found: list[Reservation | Refused] = []
    for n in range(3_000):
        found.append(world.limiter.reserve([limit("usd_per_month", 9, subject=str(n))], Want()))
        if isinstance(found[-1], Refused):
            break
    assert isinstance(found[-1], Refused)
    assert found[-1].unreachable
    world.now += 1
    world.let_in(Want())


def test_all_seats_taken_is_a_lost_store(tmp_path: Path) -> None:
    seated = [SharedStore(tmp_path) for _ in range(16)]
    for each in seated:
        each.open()
    late = World(limit("requests_per_day", 4, unreachable=Unreachable.LOCAL), store=SharedStore(tmp_path), processes=2)
    assert [late.call(Want()) for _ in range(3)] == [True, True, False]
    seated[7].close()
    late.now += 1
    assert [late.call(Want()) for _ in range(3)] == [True, True, False], "two were counted when it found a seat"
    for each in seated:
        each.close()
    assert isinstance(late.limiter._store, SharedStore)
    late.limiter._store.close()


def test_nobody_waits_long_for_a_process_that_was_stopped(
    stores: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock and does not go on: the store is lost for the others, and back when it is."""
    monkeypatch.setattr(shared, "_PATIENCE_S", 0.01)
    one, stopped = World(*ALL, store=stores()), stores()
    one.let_in(Want())
    stopped.open()
    stopped._enter()
    assert one.refused(Want()).unreachable
    stopped._leave()
    one.now += 1
    one.let_in(Want())


# Real processes.


class Process:
    """``tests.limits.hammer`` in a process of its own."""

    def __init__(self, folder: Path, what: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.limits.hammer", str(folder), what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self.line() == "ready"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def says(self, wait_s: float = 0) -> bool:
        """:return: whether there is a line."""
        return bool(select.select([self._process.stdout], [], [], wait_s)[0])  # type: ignore[type-var]  # it is a pipe

    def line(self) -> str:
        """:return: its next line, which must come within half a minute."""
        assert self._process.stdout is not None
        assert self.says(30), "it says nothing"
        return self._process.stdout.readline().decode().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_two_processes_let_in_exactly_the_limit(tmp_path: Path) -> None:
    store = SharedStore(tmp_path, 2)
    store.open()
    processes = [Process(tmp_path, "until-refused") for _ in range(2)]
    try:
        for each in processes:
            each.go()
        told = [int(each.line().split()[0]) for each in processes]
    finally:
        for each in processes:
            each.end()
    assert sum(told) == 3_000
    assert min(told) > 0, "both of them counted"
    limiter = Limiter(store, store.clock)
    used = [(each.used, each.held) for each in limiter.state(LIMITS)]
    assert used == [(3_000, 0), (3_000 * 22, 0), (0, 0), (3_000 * 9, 0)]
    store.close()


def test_a_process_killed_among_others_gives_back_what_it_held(tmp_path: Path) -> None:
    """It is killed while it counts as fast as it can: at most its last call is counted in part."""
    store = SharedStore(tmp_path, 2)
    limiter = Limiter(store, store.clock)
    limiter.state(LIMITS)
    limits = LIMITS[1:]
    for _ in range(3):
        process = Process(tmp_path, "for-ever")
        before = limiter.state(limits)
        try:
            process.go()
            said = int(process.line())
            while said < 301:
                mine = limiter.reserve(limits, Want(1, 1, 1, 1))
                if isinstance(mine, Reservation):
                    limiter.settle(mine, Want(0))
                if process.says():
                    said = int(process.line())
            assert limiter.state(limits)[0].held >= 2_000
        finally:
            process.end()
        limiter.sweep()
        after = limiter.state(limits)
        assert [each.held for each in after] == [0, 0, 0]
        assert after[1].used == 0
        tokens, nano = after[0].used - before[0].used, after[2].used - before[2].used
        assert tokens >= 301 * 22 - 22
        assert abs(tokens / 22 - nano / 9) <= 1
    store.close()
