"""The search itself, on tests that are broken in known ways."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from tests.fuzz import fuzzing
from tests.fuzz.__main__ import look
from tests.fuzz.fuzzing import fuzzed


def looked(check: Callable[..., None], **inputs: st.SearchStrategy[Any]) -> int:
    """
    :return: the exit status of a search for what breaks a test.
    """
    clock = itertools.count(0, 5).__next__
    return look({"it": fuzzed(**inputs)(check)}, 12, clock)


def test_what_breaks_a_promise_is_told_so_that_it_can_become_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Cut down to what matters; the test is not tried again."""

    def no_semicolon(raw: bytes) -> None:
        assert b";" not in raw

    assert looked(no_semicolon, raw=st.text("ab;").map(str.encode)) == 1
    said = capsys.readouterr().out
    assert "(\n    raw=b';',\n)" in said
    assert "BROKEN" in said


def test_what_twisted_logs_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Also what it logs when the garbage is collected."""

    def forgets(number: int) -> None:
        if number > 5:
            left: Deferred[Any] = fail(ValueError("left behind"))
            left.itself = left  # type: ignore[attr-defined]

    assert looked(forgets, number=st.integers()) == 1
    assert "number=6," in capsys.readouterr().out


def test_what_never_ends_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "MAX_S", 0.01)

    def spins() -> None:
        while True:
            pass

    assert looked(spins) == 1


def test_what_fills_the_memory_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    def believes(length: int) -> None:
        bytes(length)

    assert looked(believes, length=st.integers(0, 50_000_000)) == 1
    assert "bytes at once" in capsys.readouterr().out


def test_nothing_is_found_where_nothing_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """What was tried is counted."""
    tried: list[bytes] = []

    def keeps(raw: bytes) -> None:
        tried.append(raw)

    assert looked(keeps, raw=st.binary()) == 0
    assert f"{len(tried):,} inputs, held" in capsys.readouterr().out
    assert len(tried) > 1


def test_command_takes_names_and_a_time() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "settings", "--seconds=0"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert run.stdout.split() == ["settings", "0", "inputs,", "held"]
    assert run.returncode == 0
