"""What a process sets for itself."""

from __future__ import annotations

import ctypes
import gc
import linecache
import resource
from collections.abc import Callable, Iterator

import pytest

from llm_gateway.process import raise_descriptor_limit, spare_the_collector


@pytest.fixture(autouse=True)
def thresholds_stay() -> Iterator[None]:
    kept = gc.get_threshold()
    yield
    gc.set_threshold(*kept)


class FakeReactor:
    def __init__(self) -> None:
        self.on_start: list[Callable[[], None]] = []

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        self.on_start.append(call)


def test_program_may_open_as_many_descriptors_as_the_system_lets_it() -> None:
    """Five hundred streams take a thousand; many systems start programs with no more than that."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before, 1024), most))
    try:
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_collector_leaves_alone_what_was_there_at_the_start() -> None:
    """And still looks at what comes later, less often."""
    kept = gc.get_threshold()
    before = (700, 10, 10)
    gc.set_threshold(*before)
    gc.unfreeze()
    reactor = FakeReactor()
    try:
        spare_the_collector(reactor)
        assert gc.get_threshold() == before
        [start] = reactor.on_start
        start()
        assert gc.get_freeze_count() > 0
        assert before[0] < gc.get_threshold()[0]
        assert gc.get_threshold()[1:] == before[1:]
        assert gc.isenabled()
    finally:
        # What is frozen stays so, as conftest.py had it.
        gc.set_threshold(*kept)


def test_what_only_starting_has_needed_is_given_back() -> None:
    name = "<made for a test>"
    linecache.cache[name] = (9, None, ["a = 1\n"], name)
    reactor = FakeReactor()
    spare_the_collector(reactor)
    assert name in linecache.cache
    reactor.on_start[0]()
    assert name not in linecache.cache


@pytest.mark.parametrize("fault", [OSError("no dynamic loading"), AttributeError("malloc_trim")])
def test_system_that_cannot_take_memory_back_is_no_fault(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """A worker that ended by it would be started again for ever."""

    def fail(_name: object) -> None:
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", fail)
    reactor = FakeReactor()
    spare_the_collector(reactor)
    reactor.on_start[0]()
    assert gc.get_freeze_count() > 0
