"""A database that is locked, full, gone or stopped: calls go on as before, and afterwards every row is there."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attrs
import pytest

from tests.ledger.postgres_server import REQUIRED, _run, _user, found, running_server
from tests.real.accounting.dialects import request
from tests.real.accounting.stage import Caller, HonestProvider, Stage, cost_of, ledger_rows, stage
from tests.real.client import eventually
from tests.real.inbox import BOUND_S

AT_ONCE = 8
SOME = 120
MOST_S = 0.5
"""What a call may take while nothing can be written down, of which 20 ms are usual on a machine with nothing to do."""

KEYS = {"vk_alpha": {"credentials": ["alpha"], "limits": {"usd_total": "1000"}}}
COUNTS = {"input": 3, "cached": 0, "cache_write": 0, "output": 5, "reasoning": 0}


@attrs.define
class Load:
    """Calls, and what became of them."""

    staged: Stage
    made: int = 0
    statuses: Counter[int | None] = attrs.field(factory=Counter)
    said: set[bytes] = attrs.field(factory=set)
    """By those that were refused."""

    def calls(self, count: int) -> float:
        """
        Make some more.

        :return: the time in which 99 of a hundred had their answer.
        """
        tags = iter([f"c{number}" for number in range(self.made, self.made + count)])
        self.made += count
        took: list[float] = []

        async def client() -> None:
            async with Caller(self.staged.gateway.port) as caller:
                for tag in tags:
                    orders = {"tag": tag, "do": ["whole"], "words": 2, "counts": COUNTS}
                    target, body = request("chat", "m-1", json.dumps(orders), stream=bool(len(took) % 2))
                    began = time.monotonic()
                    answer = await caller.call("vk_alpha", tag, target, json.dumps(body).encode())
                    took.append(time.monotonic() - began)
                    self.statuses[answer.status] += 1
                    if answer.status != 200:
                        self.said.add(answer.body)

        async def clients() -> None:
            async with asyncio.timeout(2 * BOUND_S):
                await asyncio.gather(*(client() for _ in range(AT_ONCE)))

        asyncio.run(clients())
        return sorted(took)[len(took) * 99 // 100 - 1]

    def told(self, pattern: str) -> str:
        return self.staged.gateway.wait_for(pattern)

    def check(self, rows: list[dict[str, Any]], refused: int = 0) -> None:
        """Each call that came to the provider has its row, complete; no other one has any."""
        served = [entry["tag"] for entry in self.staged.provider.books()]
        assert sorted(row["tag"] for row in rows) == sorted(served)
        assert len(rows) == self.made - refused == self.statuses[200]
        assert {(row["ended"], row["source"], row["cost"]) for row in rows} == {
            ("ok", "provider", cost_of("alpha", "m-1", COUNTS))
        }


@contextmanager
def loaded(bin_dir: Path, folder: Path, *options: str, keys: Any = KEYS, ledger: str | None = None) -> Iterator[Load]:
    with (
        HonestProvider() as provider,
        stage(bin_dir, folder, provider, *options, keys=keys, ledger=ledger) as staged,
    ):
        load = Load(staged)
        load.calls(SOME // 4)
        yield load


def tell(what: str, usual_s: float, then_s: float) -> None:
    print(f"{what}: 99 of 100 calls within {then_s * 1e3:.1f} ms, otherwise {usual_s * 1e3:.1f} ms", file=sys.stderr)


def test_another_process_holds_the_database(bin_dir: Path, tmp_path: Path) -> None:
    """For longer than it is waited for: of a gateway that runs, and of one that starts."""
    with ThreadPoolExecutor() as pool:
        # Side by side: they wait most of the time.
        ends = []
        for scenario in (held_while_it_runs, held_while_it_starts):
            folder = tmp_path / scenario.__name__
            folder.mkdir()
            ends.append(pool.submit(scenario, bin_dir, folder))
    for end in ends:
        end.result()


def held_while_it_runs(bin_dir: Path, folder: Path) -> None:
    """Calls go on."""
    with loaded(bin_dir, folder) as load:
        usual_s = load.calls(SOME)
        with closing(sqlite3.connect(load.staged.ledger, isolation_level=None, timeout=BOUND_S)) as other:
            other.execute("begin exclusive")
            locked_s = load.calls(SOME)
            load.told("database cannot be used, and rows wait: .*locked")
            locked_s = max(locked_s, load.calls(SOME))
            other.execute("rollback")
        load.told("database can be used again; [1-9][0-9]* rows have waited")
        load.check(load.staged.stop())
    tell("locked", usual_s, locked_s)
    assert locked_s <= usual_s + MOST_S


def held_while_it_starts(bin_dir: Path, folder: Path) -> None:
    """Budgets wait for what was used before: nobody may use a second time what is used up."""
    keys: dict[str, dict[str, Any]] = {
        "vk_spent": {"credentials": ["alpha"], "limits": {"usd_total": "0.001"}},
        "vk_free": {"credentials": ["alpha"]},
    }
    spending = {"tag": "spends", "do": ["whole"], "words": 1, "counts": {**COUNTS, "output": 1_000_000}}

    def status(staged: Stage, key: str, tag: str) -> tuple[int, bytes]:
        with staged.call(key, {**spending, "tag": tag}, most=10) as client:
            answer = client.answer()
        return answer.status, answer.body

    with HonestProvider() as provider:
        with stage(bin_dir, folder, provider, keys=keys) as staged:
            assert status(staged, "vk_spent", "first")[0] == 200
            assert len(staged.stop()) == 1
        with closing(sqlite3.connect(staged.ledger, isolation_level=None, timeout=BOUND_S)) as other:
            # The lock is there before the gateway and stays while it starts.
            other.execute("pragma locking_mode = exclusive")
            other.execute("begin exclusive")
            with stage(bin_dir, folder, provider, keys=keys) as staged:
                assert status(staged, "vk_spent", "second")[0] == 503
                assert status(staged, "vk_free", "third")[0] == 200
                other.close()
                eventually(lambda: b"insufficient_quota" in status(staged, "vk_spent", "fourth")[1], "it is told")
                rows = staged.stop()
    assert [row["tag"] for row in rows] == ["first", "third"]


def test_no_room_on_the_disk(bin_dir: Path, tmp_path: Path) -> None:
    """Rows wait in the journal; when that has no room, either, calls are refused, and taken again as soon as it has."""
    labels = {f"l{number}": "some words " * 3 for number in range(15)}
    keys = {"vk_alpha": {**KEYS["vk_alpha"], "labels": labels}}
    with loaded(bin_dir, tmp_path, keys=keys) as load:
        usual_s = load.calls(SOME)
        # No file may become larger than this from now on, which is what a full disk is to whoever writes.
        pid, limits = load.staged.gateway.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        full_s = load.calls(SOME // 2)
        load.told("database cannot be used, and rows wait")
        while load.statuses[200] == load.made:
            full_s = max(full_s, load.calls(SOME))
            assert load.made < 5_000
        assert load.statuses[503] == load.made - load.statuses[200]
        assert all(b"ledger_full" in each for each in load.said), load.said
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        load.told("database can be used again; [1-9][0-9]* rows have waited")

        def is_taken() -> bool:
            refused = load.statuses[503]
            load.calls(1)
            return load.statuses[503] == refused

        eventually(is_taken, "calls are taken again")
        load.calls(SOME // 4)
        load.check(load.staged.stop(), load.statuses[503])
    tell("full", usual_s, full_s)
    assert full_s <= usual_s + MOST_S


def test_the_file_is_taken_away_and_put_back(bin_dir: Path, tmp_path: Path) -> None:
    """As one does who mends it with the gateway running."""
    with loaded(bin_dir, tmp_path) as load:
        usual_s = load.calls(SOME)
        file, aside = load.staged.ledger, tmp_path / "aside"
        aside.mkdir()
        eventually(lambda: len(ledger_rows(file)) == load.made, "all rows written")
        for each in tmp_path.glob("ledger.sqlite*"):
            if each.is_file():
                shutil.copy(each, aside)
                each.unlink()
        away_s = load.calls(SOME)
        load.told("database cannot be used, and rows wait")
        for each in aside.iterdir():
            shutil.move(each, tmp_path)
        load.told("database can be used again; [1-9][0-9]* rows have waited")
        load.calls(SOME // 4)
        load.check(load.staged.stop())
    tell("taken away", usual_s, away_s)
    assert away_s <= usual_s + MOST_S


@contextmanager
def postgres() -> Iterator[tuple[str, Any]]:
    """A server, and what stops and starts it."""
    programs = found()
    if programs is None:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{REQUIRED} says that PostgreSQL is required, and there is no server")
        pytest.skip("there is no PostgreSQL server on this machine")
    with running_server(programs) as url:
        folder = Path(unquote(parse_qs(urlsplit(url).query)["host"][0]))
        place = ("-o", f"-c listen_addresses='' -k {folder}")

        def control(*what: str) -> None:
            _run(_user(), programs / "pg_ctl", "-D", folder / "data", "-w", "-t", "30", "-l", folder / "log", *what)

        yield url, lambda what: control("start", *place) if what == "start" else control("-m", "immediate", "stop")


def test_postgresql_is_stopped_and_started(tmp_path: Path) -> None:
    """In the middle of calls, for as long as it takes."""
    import psycopg

    # The wheel alone comes without what speaks to PostgreSQL; the environment of the tests has it.
    here = Path(sys.executable).parent
    with postgres() as (url, control):
        with loaded(here, tmp_path, "--journal", str(tmp_path / "journal"), ledger=url) as load:
            usual_s = load.calls(SOME)
            control("stop")
            gone_s = load.calls(SOME)
            load.told("database cannot be used, and rows wait")
            control("start")
            load.told("database can be used again; [1-9][0-9]* rows have waited")
            load.calls(SOME // 4)
            load.staged.gateway.stop()
            with psycopg.connect(url) as connection:
                columns = "labels->>'call' as tag, ended, source, cost"
                rows = [
                    dict(zip(("tag", "ended", "source", "cost"), row, strict=True))
                    for row in connection.execute(f"select {columns} from attempts".encode())
                ]
            load.check(rows)
        tell("PostgreSQL stopped", usual_s, gone_s)
        assert gone_s <= usual_s + MOST_S
