"""Reloading: all or nothing, noticed without being told, and quiet about what stays wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from llm_gateway.config.load import load_configuration
from llm_gateway.config.store import ConfigurationStore
from llm_gateway.config.values import Configuration
from llm_gateway.errors import ConfigurationError

INTERVAL_S = 2.0


class Files:
    """The two files and a secret's, with a time of their own: each write is a second after the one before."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys.json"
        self.services = folder / "aiservices.json"
        self.secret = folder / "openai.key"
        self._now = 1_000_000_000
        self.loads = 0
        self.write(self.services, '{"openai": "https://api.openai.com/v1/chat/completions"}')
        self.write(self.secret, "sk-one")
        self.write_keys("vk_one")

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.touch(path)

    def touch(self, path: Path) -> None:
        self._now += 1
        os.utime(path, (self._now, self._now))

    def write_keys(self, virtual_key: str) -> None:
        entry = '{"provider": "openai", "api_key": "file:openai.key"}'
        self.write(self.keys, f'{{"virtual_keys": {{"{virtual_key}": {entry}}}}}')

    def load(self) -> Configuration:
        self.loads += 1
        return load_configuration(str(self.keys), str(self.services), {})


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(files: Files, clock: Clock) -> Iterator[ConfigurationStore]:
    store = ConfigurationStore(files.load, clock, INTERVAL_S)
    store.start()
    yield store
    store.stop()
    assert clock.getDelayedCalls() == []


@pytest.fixture
def log() -> Iterator[Sequence[LogEvent]]:
    """All that is logged meanwhile."""
    with capturedLogs() as events:
        yield events


def messages(log: Sequence[LogEvent], level: LogLevel) -> list[str]:
    return [formatEvent(event) for event in log if event["log_level"] is level]


def looks(clock: Clock, number: int = 1) -> None:
    clock.pump([INTERVAL_S] * number)


def opens(store: ConfigurationStore, virtual_key: str) -> bool:
    return store.current.key_for(virtual_key.encode()) is not None


def test_store_begins_with_what_the_files_say(store: ConfigurationStore) -> None:
    """There is a configuration from the start."""
    assert opens(store, "vk_one")


def test_store_does_not_begin_with_broken_files(files: Files, clock: Clock) -> None:
    """Without a configuration that works there is nothing to keep."""
    files.write(files.keys, "{")
    with pytest.raises(ConfigurationError, match=r"keys\.json:1: column 2: not JSON"):
        ConfigurationStore(files.load, clock, INTERVAL_S)


def test_changed_keys_are_in_use_after_a_look(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Handing out a key is editing a file: nothing has to be restarted or told."""
    files.write_keys("vk_two")
    clock.advance(INTERVAL_S - 0.1)
    assert not opens(store, "vk_two")
    clock.advance(0.1)
    assert opens(store, "vk_two")
    assert not opens(store, "vk_one")


def test_changed_secret_file_is_in_use_after_a_look(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Rotating a real key is replacing its file."""
    files.write(files.secret, "sk-two")
    looks(clock)
    (key,) = store.current.keys.values()
    assert key.api_key.reveal() == "sk-two"


def test_changed_services_are_in_use_after_a_look(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """A provider may move while the gateway runs."""
    files.write(files.services, '{"openai": "http://localhost:9/v1/chat/completions"}')
    looks(clock)
    assert store.current.providers["openai"].base_url == "http://localhost:9/v1"


def test_replaced_file_of_same_size_and_time_is_noticed(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Tools that keep a file's time when they replace it do not hide the change."""
    before = files.keys.stat()
    other = files.keys.with_name("other")
    other.write_text(files.keys.read_text().replace("vk_one", "vk_two"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(files.keys)
    looks(clock)
    assert opens(store, "vk_two")


def test_files_that_rest_are_not_read(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Looking is cheap: files are read only when they have changed."""
    loads = files.loads
    looks(clock, 100)
    assert files.loads == loads


def test_change_while_loading_is_noticed(files: Files, clock: Clock) -> None:
    """What is written between reading a file and finishing is seen at the next look."""

    def load() -> Configuration:
        configuration = files.load()
        if files.loads == 2:
            files.write_keys("vk_two")
        return configuration

    store = ConfigurationStore(load, clock, INTERVAL_S)
    assert files.loads == 2
    assert opens(store, "vk_one")
    store.start()
    looks(clock)
    assert opens(store, "vk_two")
    store.stop()


def test_broken_file_changes_nothing_but_the_log(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """The old configuration stays, whole: not even the right half of a broken change is taken."""
    before = store.current
    files.write(files.services, '{"openai": "http://localhost:9/v1/chat/completions"}')
    files.write(files.keys, '{"virtual_keys": {"vk_two": {"provider": "openai", "api_key": ""}}}')
    looks(clock)
    assert store.current is before
    assert messages(log, LogLevel.error) == [
        "The configuration cannot be used; the one before stays in use",
        f"{files.keys}:1: virtual_keys[1].api_key: must not be empty",
    ]


def test_same_fault_is_logged_once(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """A file that stays broken over a weekend does not fill the log; another fault is news."""
    files.write(files.keys, "{")
    looks(clock, 100)
    files.touch(files.keys)
    looks(clock, 100)
    assert len(messages(log, LogLevel.error)) == 2
    files.write(files.keys, "[]")
    looks(clock, 100)
    assert messages(log, LogLevel.error)[2:] == [
        "The configuration cannot be used; the one before stays in use",
        f"{files.keys}:1: top level: must be an object, not a list",
    ]


def test_fault_that_comes_back_is_logged_again(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """Once the files were in order, the same mistake is news."""
    for text in ("{", '{"virtual_keys": {}}', "{"):
        files.write(files.keys, text)
        looks(clock)
    assert messages(log, LogLevel.error).count("The configuration cannot be used; the one before stays in use") == 2


def test_half_written_file_is_read_again_when_it_is_whole(
    files: Files, clock: Clock, store: ConfigurationStore
) -> None:
    """An editor that writes in place costs nothing but a line in the log."""
    whole = files.keys.read_text().replace("vk_one", "vk_two")
    for part in (whole[:0], whole[:30]):
        files.write(files.keys, part)
        looks(clock)
        assert opens(store, "vk_one")
    files.write(files.keys, whole)
    looks(clock)
    assert opens(store, "vk_two")


def test_file_that_vanishes_for_a_moment_changes_nothing(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """An editor that deletes and writes anew costs nothing but two lines in the log."""
    text, before = files.keys.read_text(), store.current
    changes: list[Configuration] = []
    store.on_change(changes.append)
    files.keys.unlink()
    looks(clock)
    assert store.current is before
    files.write(files.keys, text)
    looks(clock)
    assert store.current == before
    assert changes == []
    assert messages(log, LogLevel.info) == ["Configuration read: in order, and as it was"]


def test_secret_file_that_comes_late_is_found(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """The settings may name a secret before it is there, although nobody watches a file that never was."""
    files.write(files.keys, '{"virtual_keys": {"vk_two": {"provider": "openai", "api_key": "file:late/key"}}}')
    looks(clock)
    assert opens(store, "vk_one")
    (files.keys.parent / "late").mkdir()
    files.write(files.keys.parent / "late" / "key", "sk-late")
    looks(clock, 5)
    assert opens(store, "vk_two")


def test_broken_files_are_not_read_at_every_look(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Reading a large file takes time from the calls; while it is broken and rests, that is done rarely."""
    files.write(files.keys, "{")
    looks(clock)
    loads = files.loads
    looks(clock, 50)
    assert files.loads - loads == 10


def test_listeners_get_the_new_configuration(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """Who keeps something made from the configuration hears of the new one, once it is in use."""
    heard: list[bool] = []
    store.on_change(lambda configuration: heard.append(configuration is store.current))
    files.write_keys("vk_two")
    looks(clock, 3)
    assert heard == [True]


def test_listeners_hear_nothing_when_nothing_is_new(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """A file that was only touched, and a reload without a change, disturb nobody."""
    heard: list[Configuration] = []
    store.on_change(heard.append)
    before = store.current
    files.touch(files.keys)
    looks(clock)
    assert store.reload()
    assert heard == []
    assert store.current is before


def test_failing_listener_keeps_nobody_from_hearing(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """One part that cannot follow a change does not hold the others back, nor the next look."""
    heard: list[Configuration] = []

    def fail(configuration: Configuration) -> None:
        raise RuntimeError("listener")

    store.on_change(fail)
    store.on_change(heard.append)
    files.write_keys("vk_two")
    looks(clock)
    files.write_keys("vk_three")
    looks(clock)
    assert len(heard) == 2
    assert messages(log, LogLevel.critical) == ["A listener for configuration changes failed"] * 2


def test_reload_on_demand_says_whether_it_worked(
    files: Files, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """SIGHUP reads at once, and answers in the log each time it is asked."""
    files.write_keys("vk_two")
    assert store.reload()
    assert opens(store, "vk_two")
    files.write(files.keys, "{")
    assert not store.reload()
    assert not store.reload()
    assert opens(store, "vk_two")
    assert len(messages(log, LogLevel.error)) == 4


def test_fault_of_ours_ends_neither_the_gateway_nor_the_looking(
    files: Files, clock: Clock, log: Sequence[LogEvent]
) -> None:
    """After an exception that nobody foresaw the old configuration stays; its text, maybe a key, is not shown."""
    broken = False

    def load() -> Configuration:
        if broken:
            raise KeyError("sk-canary")
        return files.load()

    store = ConfigurationStore(load, clock, INTERVAL_S)
    store.start()
    broken = True
    files.write_keys("vk_two")
    looks(clock)
    assert opens(store, "vk_one")
    (message,) = messages(log, LogLevel.critical)
    assert message.startswith("Reading the configuration failed with KeyError at ")
    assert "canary" not in repr(log)
    broken = False
    looks(clock, 5)
    assert opens(store, "vk_two")
    store.stop()


def test_warnings_are_logged_at_start_and_when_they_are_new(
    files: Files, clock: Clock, log: Sequence[LogEvent]
) -> None:
    """A key that leads nowhere is told when the gateway starts, and when a change brings one."""
    files.write(files.services, "{}")
    files.write(files.keys, '{"virtual_keys": {"vk_one": {"provider": "nowhere", "api_key": "sk-one"}}}')
    store = ConfigurationStore(files.load, clock, INTERVAL_S)
    store.start()
    assert [text.partition(": ")[0] for text in messages(log, LogLevel.warn)] == [
        f"{files.keys}:1",
        f"{files.services}:1",
    ]
    files.write(files.keys, '{"virtual_keys": {}}')
    looks(clock)
    assert [text.rpartition(": ")[2] for text in messages(log, LogLevel.warn)[2:]] == ["every call will be refused"] * 2
    store.stop()


def test_interval_of_zero_looks_never(files: Files, clock: Clock) -> None:
    """Who wants to say when to reload gets no polling."""
    store = ConfigurationStore(files.load, clock, 0)
    store.start()
    assert clock.getDelayedCalls() == []
    files.write_keys("vk_two")
    assert store.reload()
    assert opens(store, "vk_two")
    store.stop()


def test_starting_and_stopping_twice_is_harmless(files: Files, clock: Clock, store: ConfigurationStore) -> None:
    """A service that is started again looks once per interval, and after stopping not at all."""
    store.start()
    assert len(clock.getDelayedCalls()) == 1
    store.stop()
    store.stop()
    files.write_keys("vk_two")
    looks(clock, 5)
    assert opens(store, "vk_one")
    store.start()
    looks(clock)
    assert opens(store, "vk_two")


def test_nothing_that_is_logged_holds_a_key(
    files: Files, clock: Clock, store: ConfigurationStore, log: Sequence[LogEvent]
) -> None:
    """Log events carry what they show and no configuration behind it."""
    files.write(files.secret, "sk-canary")
    files.write_keys("vk_canary")
    looks(clock)
    files.write(files.keys, '{"virtual_keys": {"vk_canary": "sk-canary"}}')
    looks(clock)
    assert len(messages(log, LogLevel.error)) == 2
    assert "canary" not in "".join(f"{value!r} {value}" for event in log for value in event.values())
