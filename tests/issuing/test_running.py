"""Both kinds of keys while the gateway runs: what changes, when it counts, and what happens when one side is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from llm_gateway.config.store import ConfigurationStore
from llm_gateway.config.values import Configuration
from llm_gateway.errors import ConfigurationError, Problem
from llm_gateway.issuing.keeper import By, Keeper
from llm_gateway.issuing.running import RunningKeys
from llm_gateway.ledger.keys import KeyStore
from tests.issuing.databases import quick_store
from tests.issuing.test_merging import configured

BY = By("admin:olga")
ANN = {"name": "ann", "credentials": ["main"]}


def at_once(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """In place of another thread."""
    return maybeDeferred(function, *arguments)


class Running:
    """A gateway's keys, and another process that changes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.faulty = False
        self.path = folder / "ledger.sqlite"
        self.database = quick_store(self.path)
        self.elsewhere = quick_store(self.path)
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], Any]] = []
        self.hold = False
        self.configuration = configured(folder)
        self.files = ConfigurationStore(self.load, self.clock, 0)
        self.keys = RunningKeys(self.files, KeyStore(self.database), self.in_thread, self.clock)
        self.keys.open()
        self.used: list[Configuration] = []
        self.keys.on_change(self.used.append)
        self.keeper = Keeper(KeyStore(self.elsewhere), lambda: self.configuration)

    def load(self) -> Configuration:
        if self.faulty:
            raise ConfigurationError([Problem("keys.json", 1, "", "is broken")])
        return self.configuration

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if not self.hold:
            return maybeDeferred(function, *arguments)
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, arguments))
        return done

    def knows(self, key: str) -> bool:
        return self.keys.current.key_for(key.encode()) is not None

    def close(self) -> None:
        self.keys.stop()
        self.database.close()
        self.elsewhere.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is told to the operator."""
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_namespace", "").startswith("llm_gateway.issuing"):
            lines.append(str(event["log_format"]).format(**event))

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def test_keys_that_are_there_at_the_start_are_known_at_once(tmp_path: Path) -> None:
    first = Running(tmp_path)
    made = first.keeper.create(ANN, BY)
    second = Running(tmp_path)
    assert second.knows(made.key)
    assert second.knows("vk_file")
    first.close()
    second.close()


def test_change_by_another_process_counts_within_a_second(running: Running) -> None:
    running.keys.start()
    made = running.keeper.create(ANN, BY)
    assert not running.knows(made.key)
    running.clock.advance(1)
    assert running.knows(made.key)
    assert len(running.used) == 1
    running.keeper.revoke(made.virtual_key.id, BY)
    running.clock.advance(1)
    assert not running.knows(made.key)
    # Where nothing changes, nothing is handed out anew.
    running.clock.advance(1)
    assert len(running.used) == 2


def test_change_of_the_files_keeps_the_database_s_keys(running: Running) -> None:
    made = running.keeper.create(ANN, BY)
    running.keys.refresh()
    running.configuration = configured(running.folder, {"vk_new": {"credentials": ["main"]}})
    assert running.keys.reload()
    assert [running.knows(key) for key in ("vk_new", "vk_file", made.key)] == [True, False, True]


def test_revocation_counts_although_the_files_are_broken(running: Running) -> None:
    """What is refused must not depend on somebody else's half-written file."""
    made = running.keeper.create(ANN, BY)
    running.keys.refresh()
    running.faulty = True
    assert not running.keys.reload()
    running.keeper.revoke(made.virtual_key.id, BY)
    running.keys.refresh()
    assert not running.knows(made.key)
    assert running.knows("vk_file")


def test_keys_stay_as_they_were_while_the_database_is_away(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    from llm_gateway.ledger.store import StoreError

    made = running.keeper.create(ANN, BY)
    running.keys.refresh()
    with monkeypatch.context() as away:

        def fail(_: KeyStore) -> int:
            raise StoreError("ledger.sqlite: database is locked")

        away.setattr(KeyStore, "revision", fail)
        running.keys.start()
        running.clock.pump([1] * 5)
        assert running.knows(made.key)
        assert not running.keys.reachable
        # And the files go on to count.
        running.configuration = configured(running.folder, {"vk_new": {"credentials": ["main"]}})
        running.files.reload()
        assert running.knows("vk_new")
    running.clock.advance(1)
    assert running.keys.reachable
    assert [line.partition(";")[0] for line in logged] == [
        "The database with the virtual keys cannot be used",
        "The database with the virtual keys answers again",
    ]


def test_gateway_starts_without_its_database_and_learns_the_keys_later(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    database = quick_store(folder / "ledger.sqlite")
    clock = Clock()
    files = ConfigurationStore(lambda: configured(tmp_path), clock, 0)
    keys = RunningKeys(files, KeyStore(database), at_once, clock)
    keys.open()
    assert keys.current.key_for(b"vk_file") is not None
    assert not keys.reachable
    folder.mkdir()
    elsewhere = quick_store(folder / "ledger.sqlite")
    made = Keeper(KeyStore(elsewhere), lambda: keys.current).create(ANN, BY)
    keys.start()
    clock.advance(1)
    assert keys.current.key_for(made.key.encode()) is not None
    keys.stop()
    database.close()
    elsewhere.close()


def test_look_that_was_overtaken_brings_nothing_old_back(running: Running) -> None:
    """Of two looks at once the later one may end first."""
    made = running.keeper.create(ANN, BY)
    running.hold = True
    running.keys.refresh()
    early = running.waiting.pop()
    seen_early = early[1](*early[2])
    running.keeper.revoke(made.virtual_key.id, BY)
    running.keys.refresh()
    late = running.waiting.pop()
    late[0].callback(late[1](*late[2]))
    assert not running.knows(made.key)
    early[0].callback(seen_early)
    assert not running.knows(made.key)


def test_faulty_key_is_told_of_once(running: Running, logged: list[str]) -> None:
    running.keeper.create({**ANN, "group": "search"}, BY)
    running.keys.refresh()
    running.configuration = configured(running.folder, groups={})
    running.keys.reload()
    running.keeper.create({**ANN, "name": "bob"}, BY)
    running.keys.refresh()
    assert len(logged) == 1
    assert "no such group" in logged[0]
    assert "(ann)" in logged[0]


def test_nothing_is_looked_at_once_it_is_stopped(running: Running) -> None:
    running.keys.start()
    running.keys.stop()
    assert running.clock.getDelayedCalls() == []


def test_fault_of_ours_does_not_end_the_looking(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    running.keys.start()
    with monkeypatch.context() as broken:
        broken.setattr("llm_gateway.issuing.merging.Merger.merging", lambda *_: 1 // 0)
        first = running.keeper.create(ANN, BY)
        running.clock.advance(1)
    assert not running.knows(first.key)
    assert logged == ["Looking for virtual keys in the database"]
    second = running.keeper.create({**ANN, "name": "bob"}, BY)
    running.clock.advance(1)
    assert running.knows(first.key)
    assert running.knows(second.key)
