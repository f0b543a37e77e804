"""Thousands of keys that change at once: calls go on, and nothing that changes meanwhile is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_gateway.config.store import ConfigurationStore
from llm_gateway.config.values import Configuration
from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Want
from llm_gateway.issuing.keeper import By
from llm_gateway.issuing.running import RunningKeys
from llm_gateway.limits.memory import MemoryStore
from llm_gateway.seeding import Seeding
from tests.issuing.test_merging import configured
from tests.web.admin.operated import FILE_KEY, Operated

BY = By("command:olga")
MANY = 30


class Merging:
    """A gateway that does one key at a time, and another process that makes and changes them."""

    def __init__(self, folder: Path) -> None:
        self.operated = Operated(folder)
        gateway = self.operated.gateway
        gateway.site.resource = gateway.resource
        self.clock = gateway.clock
        self.keeper = self.operated.keeper
        files = ConfigurationStore(self.operated.load, self.clock)
        self.running = RunningKeys(files, self.operated.keys, self.operated.parts.in_thread, self.clock, slice_s=0.0)
        self.used: list[Configuration] = []
        self.running.on_change(self.used.append)
        self.running.on_change(gateway.use)

    def make(self, number: int, name: str = "k") -> list[tuple[str, str]]:
        """:return: ids and keys."""
        entries = [{"name": f"{name}{each}", "credentials": ["main"]} for each in range(number)]
        made = [self.keeper.create(entry, BY) for entry in entries]
        return [(each.virtual_key.id, each.key) for each in made]

    def begin(self) -> list[object]:
        """
        Find what is new, of which the first bit is merged.

        :return: gets something when it is in use.
        """
        done: list[object] = []
        self.running.refresh().addBoth(done.append)
        return done

    def turns(self, number: int) -> None:
        """Of the reactor: ``advance`` would go on with what is asked for meanwhile."""
        for _ in range(number):
            call = next(each for each in self.clock.calls if each.getTime() <= self.clock.seconds())
            self.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def finish(self) -> int:
        """:return: after how many turns of the reactor it was done."""
        turns = 0
        waiting: list[object] = []
        self.running.in_use().addBoth(waiting.append)
        while not waiting:
            self.turns(1)
            turns += 1
            assert turns < 10_000
        return turns

    def knows(self, key: str) -> bool:
        """Asks what calls are asked."""
        return self.operated.known(key)


@pytest.fixture
def merging(tmp_path: Path) -> Iterator[Merging]:
    made = Merging(tmp_path)
    yield made
    made.running.stop()
    made.operated.close()


def test_calls_are_answered_while_many_keys_are_merged(merging: Merging) -> None:
    """With the keys as they were; all of the new ones count at the same moment."""
    keys = [key for _, key in merging.make(MANY)]
    done = merging.begin()
    for _ in range(5):
        client = merging.operated.client()
        client.chat(key=FILE_KEY)
        response = merging.operated.gateway.agent.sent[-1].answer()
        merging.turns(1)
        response.write(b"{}")
        response.end()
        assert client.answer()[0] == 200
        assert client.whole
        assert not any(map(merging.knows, keys))
        merging.turns(2)
    assert done == []
    assert merging.finish() > MANY / 2
    assert done == [None]
    assert all(map(merging.knows, keys))
    assert len(merging.used) == 1


def test_change_during_a_merge_is_merged_next(merging: Merging) -> None:
    """What the files say meanwhile, too; and nothing is done twice for it."""
    [(id, _), *_] = merging.make(MANY)
    done = merging.begin()
    merging.turns(3)
    merging.keeper.edit(id, {"labels": {"new": "yes"}}, BY)
    [(_, later)] = merging.make(1, "later")
    after = merging.begin()
    merging.operated.write({"vk_new": {"name": "new", "credentials": ["spare"]}})
    assert merging.running.reload()
    while not done:
        merging.turns(1)
    assert not merging.knows(later)
    assert after == []
    assert merging.finish() < MANY / 2
    assert after == [None]
    assert merging.knows(later)
    assert [merging.knows(key) for key in ("vk_new", FILE_KEY)] == [True, False]
    edited = [key for key in merging.running.current.keys.values() if key.labels]
    assert [key.name for key in edited] == ["k0"]
    assert len(merging.used) == 2


def test_revoked_key_does_not_wait_for_a_merge(merging: Merging) -> None:
    """Nor one that was rotated without grace; and no merge that began before brings them back."""
    revoked, rotated, graced = merging.make(3, "first")
    merging.begin()
    merging.finish()
    [(early, early_key), *_] = merging.make(MANY)
    done = merging.begin()
    merging.turns(3)
    for id, _ in (revoked, (early, early_key)):
        merging.keeper.revoke(id, BY)
    new = merging.keeper.rotate(rotated[0], 0, BY).key
    merging.keeper.rotate(graced[0], 60, BY)
    merging.begin()
    for _ in range(2):
        assert [merging.knows(key) for _, key in (revoked, rotated, graced)] == [False, False, True]
        assert not merging.knows(early_key)
        while not done:
            merging.turns(1)
    merging.finish()
    assert [merging.knows(key) for _, key in (revoked, rotated, graced)] == [False, True, True]
    assert merging.running.current.key_for(rotated[1].encode()).expires == merging.operated.now  # type: ignore[union-attr]
    assert merging.knows(new)


def test_key_that_is_revoked_with_many_new_ones_does_not_wait_for_them(merging: Merging) -> None:
    [(id, key)] = merging.make(1, "first")
    merging.begin()
    merging.finish()
    merging.make(MANY)
    merging.keeper.revoke(id, BY)
    done = merging.begin()
    assert (merging.knows(key), done) == (False, [])


def test_merge_that_fails_leaves_everything_as_it_was(merging: Merging, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key for _, key in merging.make(MANY)]
    before = merging.running.current
    with monkeypatch.context() as broken:
        broken.setattr("llm_gateway.issuing.merging._faults", lambda *_: 1 // 0)
        done = merging.begin()
        merging.finish()
    assert done == [None]
    assert merging.running.current is before
    merging.make(1, "later")
    merging.begin()
    merging.finish()
    assert all(map(merging.knows, keys))


def test_merge_ends_with_the_gateway(merging: Merging) -> None:
    merging.make(MANY)
    done = merging.begin()
    merging.running.stop()
    assert done == [None]
    assert merging.used == []
    assert merging.clock.getDelayedCalls() == []
    merging.running.open()
    assert len(merging.running.current.keys) == MANY + 1


def test_budget_of_a_new_key_waits_for_the_ledger_from_its_first_call_on(tmp_path: Path) -> None:
    """Also where ten thousand are merged in slices: none of them is in use and not waited for."""
    entries = {f"vk_{n}": {"credentials": ["main"], "limits": {"usd_total": 1}} for n in range(MANY)}
    limits = [key.limits for key in configured(tmp_path, entries).keys.values()]
    limiter = Limiter(MemoryStore(), lambda: 0.0)
    seeding = Seeding(limiter, str(tmp_path / "none" / "ledger.sqlite"), None, lambda: 0.0)
    steps = seeding.using(limits)
    assert sum(1 for _ in steps) > MANY
    assert all(isinstance(limiter.reserve(each, Want(nano=1)), Refused) for each in limits)
