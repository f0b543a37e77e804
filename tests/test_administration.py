"""What is managed while the gateway runs, where something of it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from llm_gateway.administration import Administration
from llm_gateway.config.store import reload_problems
from llm_gateway.errors import ConfigurationError, Problem
from llm_gateway.web.live import Elsewhere
from tests.memory import USUAL
from tests.test_seeding import Reactor


class Files:
    """The configuration's, which cannot be read where there is ``trouble``."""

    current = USUAL

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble

    def on_change(self, callback: object) -> None:
        pass

    def load(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class BusyLedger:
    healthy = True

    def __init__(self) -> None:
        self.flushed: Deferred[None] = Deferred()

    def flush(self) -> Deferred[None]:
        return self.flushed


class Scene:
    def __init__(self, path: Path, ledger: BusyLedger | None) -> None:
        self.reactor = Reactor()
        files: Any = Files()
        accounting: Any = SimpleNamespace(ledger=ledger)
        live: Any = None
        self.administration = Administration(str(path), files, accounting, self.reactor, live)
        self.asked: list[str] = []

    def ask(self) -> Deferred[None]:
        _, page = self.administration.own_pages()
        in_thread = page._in_thread  # type: ignore[attr-defined]
        asked: Deferred[None] = in_thread(self.asked.append, "asked")
        return asked


@pytest.fixture
def ledger() -> BusyLedger:
    return BusyLedger()


@pytest.fixture
def scene(tmp_path: Path, ledger: BusyLedger) -> Iterator[Scene]:
    made = Scene(tmp_path / "ledger.sqlite", ledger)
    yield made
    made.administration.close()
    assert not made.reactor.getDelayedCalls()


def test_process_that_is_alone_has_nobody_to_ask_for_calls(scene: Scene) -> None:
    """``GET /admin/v1/calls`` shows its own."""
    asked = scene.administration.elsewhere()
    assert isinstance(asked, Deferred)
    assert asked.result == Elsewhere()


def test_question_waits_for_what_has_ended_to_be_written(scene: Scene, ledger: BusyLedger) -> None:
    scene.ask()
    scene.reactor.work()
    assert scene.asked == []
    ledger.flushed.callback(None)
    scene.reactor.work()
    assert scene.asked == ["asked"]


def test_question_does_not_wait_for_a_database_that_is_away(scene: Scene, ledger: BusyLedger) -> None:
    scene.ask()
    scene.reactor.advance(1.9)
    scene.reactor.work()
    assert scene.asked == []
    scene.reactor.advance(0.2)
    scene.reactor.work()
    assert scene.asked == ["asked"]
    # The rows are written after all.
    ledger.flushed.callback(None)


def test_question_is_asked_although_the_rows_were_not_written(scene: Scene, ledger: BusyLedger) -> None:
    scene.ask()
    ledger.flushed.errback(OSError("disk"))
    scene.reactor.work()
    assert scene.asked == ["asked"]


def test_question_does_not_wait_for_a_ledger_that_cannot_write(scene: Scene, ledger: BusyLedger) -> None:
    ledger.healthy = False
    scene.ask()
    scene.reactor.work()
    assert scene.asked == ["asked"]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (ConfigurationError([Problem("keys.json", 3, "virtual_keys[0].api_key", "is missing")]), "keys.json"),
        (OSError("sk-secret in the path"), "the files cannot be read: see the gateway's log"),
    ],
)
def test_reload_that_fails_says_why_and_nothing_secret(trouble: Exception, told: str) -> None:
    files: Any = Files(trouble)
    [problem] = reload_problems(files, lambda: False)
    assert told in problem
    assert "sk-secret" not in problem


def test_reload_that_works_has_no_problems() -> None:
    files: Any = Files()
    assert reload_problems(files, lambda: True) == []
