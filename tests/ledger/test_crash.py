"""Kill -9, at any step: after the next start each attempt that has begun has one row, with its end where it had one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger.queries import read, usage
from llm_gateway.ledger.row import INTERRUPTED
from llm_gateway.ledger.store import open_store
from llm_gateway.ledger.writer import Ledger
from tests.ledger.rows import AT, ended, running
from tests.ledger.test_writer import Reactor
from tests.ledger.writing import STEPS

ROOT = Path(__file__).parents[2]


def run_until(path: Path, folder: Path, first: int, letters: int, step: str = "") -> str:
    """
    Let a process write, and end it.

    :param letters: how many it may say before it is killed; it goes on in between, up to some thousands.
    :return: all that it said.
    """
    command = [sys.executable, "-m", "tests.ledger.writing", str(path), str(folder), str(first), step]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = b""
        try:
            while len(said) < letters:
                more = os.read(process.stdout.fileno(), letters - len(said))
                if not more:
                    break
                said += more
        finally:
            process.kill()
        said += process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return said.decode()


def start_and_stop(path: Path, folder: Path) -> None:
    """What the next start of a gateway does."""
    reactor = Reactor()
    ledger = Ledger(open_store(str(path)), str(folder), reactor)
    ledger.start()
    reactor.wait(ledger.stop())


def is_right(path: Path, first: int, said: str) -> None:
    """
    Look at the rows of one process.

    What it said in a small letter and not in a capital one may or may not have happened: there it was killed.
    """
    store = open_store(str(path))
    rows = {(row.at - AT) // 1_000_000: row for row in read(store)}
    begun, over = said.count("B"), said.count("E")
    mine = {number: row for number, row in rows.items() if first <= number < first + 100_000}
    assert len(mine) in (begun, said.count("b"))
    assert sorted(mine) == list(range(first, first + len(mine)))
    finished = [number for number, row in mine.items() if row.ended != INTERRUPTED]
    assert len(finished) in (over, said.count("e"))
    for number, row in mine.items():
        if number < first + len(finished):
            assert row == ended(number)
        elif row.usage.input:
            assert row == running(number, usage=Usage(input=9, output=number), cost=number)
        else:
            assert row == running(number)
    # The sums of the hours are those of the rows.
    assert sum(line.attempts for line in usage(store, ["key"])) == len(rows)
    assert sum(line.cost for line in usage(store, ["key"])) == sum(row.cost or 0 for row in rows.values())
    store.close()


@pytest.mark.parametrize("letters", [1, 50, 777, 4001])
def test_killed_at_any_time(tmp_path: Path, letters: int) -> None:
    """However far it has come: what it had said that it did is there, once, after the next start."""
    path, folder = tmp_path / "ledger.sqlite", tmp_path / "journals"
    said = run_until(path, folder, 0, letters)
    start_and_stop(path, folder)
    is_right(path, 0, said)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_a_group_is_written(tmp_path: Path, step: str) -> None:
    """Before it, between its first statement and its commit, and between its commit and the journal's note of it."""
    path, folder = tmp_path / "ledger.sqlite", tmp_path / "journals"
    said = run_until(path, folder, 0, 10**9, step)
    start_and_stop(path, folder)
    is_right(path, 0, said)
    assert not list(folder.iterdir())


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each start writes what the one before has left, and may itself be killed over that."""
    path, folder = tmp_path / "ledger.sqlite", tmp_path / "journals"
    said = {}
    for turn, step in enumerate(["", *STEPS]):
        first = turn * 100_000
        said[first] = run_until(path, folder, first, 600 if not step else 10**9, step)
    start_and_stop(path, folder)
    for first, letters in said.items():
        is_right(path, first, letters)
    assert not list(folder.iterdir())
