"""Virtual keys in the database: changes are whole, one after the other, and written down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.ledger.keys import (
    Audit,
    DigestTaken,
    KeyStore,
    NameTaken,
    StoredDigest,
    StoredKey,
    digest_of,
    id_of,
)
from llm_gateway.ledger.store import Store, StoreError

Opened = Callable[[str], Store]


def stored(name: str, key: str | None = None, at: int = 1, **entry: Any) -> StoredKey:
    digest = digest_of(key or f"vk_{name}")
    return StoredKey(id_of(digest), digest, name, {"name": name, **entry}, at, at, (StoredDigest(digest, at),))


def done(action: str, at: int = 1, **more: Any) -> Audit:
    return Audit(at, "admin:ann", action, **more)


@pytest.fixture
def keys(url: str, opened: Opened) -> KeyStore:
    return KeyStore(opened(url))


def test_what_is_kept_comes_back_as_it_was(keys: KeyStore) -> None:
    """Also the order of what may be called, which counts, and numbers as they were written."""
    models = {"z": "one", "a": "two", "m*": True}
    key = stored("ann", models=models, limits={"usd_per_day": "12.50", "requests_per_minute": {"warn_at": 0.1}})
    keys.create(key, done("key.create"))
    assert keys.all() == [key]
    assert keys.get(key.id) == key
    assert list(keys.all()[0].entry["models"]) == ["z", "a", "m*"]
    assert keys.get("key_0000000000000000") is None


def test_name_and_key_are_there_once(keys: KeyStore) -> None:
    keys.create(stored("ann"), done("key.create"))
    with pytest.raises(NameTaken):
        keys.create(stored("ann", "vk_other"), done("key.create"))
    with pytest.raises(DigestTaken):
        keys.create(stored("bob", "vk_ann"), done("key.create"))
    keys.create(stored("bob"), done("key.create"))
    bob = stored("bob")
    with pytest.raises(NameTaken):
        keys.update(bob.id, 1, "ann", {"name": "ann"}, done("key.edit"))
    with pytest.raises(DigestTaken):
        keys.rotate(bob.id, 1, digest_of("vk_ann"), 0, done("key.rotate"))
    assert [each.version for each in keys.all()] == [1, 1]
    # What was not done is not written down as done.
    assert [each.audit.action for each in keys.audit(10)] == ["key.create", "key.create"]
    assert keys.revision() == 2


def test_every_change_is_of_the_version_that_was_seen(keys: KeyStore) -> None:
    """Of two who change the same key, the second one is told."""
    key = stored("ann")
    keys.create(key, done("key.create"))
    assert keys.update(key.id, 1, "eve", {"name": "eve"}, done("key.edit", 2))
    assert not keys.update(key.id, 1, "bob", {"name": "bob"}, done("key.edit", 3))
    assert not keys.rotate(key.id, 1, digest_of("vk_new"), 9, done("key.rotate", 3))
    assert not keys.revoke(key.id, 1, done("key.revoke", 3))
    assert not keys.delete(key.id, 1, done("key.delete", 3))
    assert not keys.revoke("key_0000000000000000", 1, done("key.revoke", 3))
    [found] = keys.all()
    assert (found.name, found.version, found.changed_at) == ("eve", 2, 2)
    assert keys.revision() == 2
    assert len(keys.audit(10)) == 2


def test_rotated_key_has_both_digests_for_a_while(keys: KeyStore) -> None:
    key = stored("ann")
    keys.create(key, done("key.create"))
    assert keys.rotate(key.id, 1, digest_of("vk_second"), 100, done("key.rotate", 10))
    assert keys.rotate(key.id, 2, digest_of("vk_third"), 50, done("key.rotate", 20))
    [found] = keys.all()
    # The later rotation lets the first key live no longer than it says, either.
    assert [(each.digest, each.until) for each in found.digests] == [
        (digest_of("vk_ann"), 50),
        (digest_of("vk_second"), 50),
        (digest_of("vk_third"), None),
    ]
    assert found.account == key.account
    assert [len(found.working(now)) for now in (49, 50)] == [3, 1]


def test_shorter_grace_of_before_is_not_made_longer(keys: KeyStore) -> None:
    key = stored("ann")
    keys.create(key, done("key.create"))
    keys.rotate(key.id, 1, digest_of("vk_second"), 30, done("key.rotate", 10))
    keys.rotate(key.id, 2, digest_of("vk_third"), 90, done("key.rotate", 20))
    assert [each.until for each in keys.all()[0].digests] == [30, 90, None]


def test_revoked_key_works_no_more_and_can_be_forgotten(keys: KeyStore) -> None:
    key = stored("ann")
    keys.create(key, done("key.create"))
    assert keys.revoke(key.id, 1, done("key.revoke", 7))
    [found] = keys.all()
    assert (found.revoked_at, found.working(8)) == (7, ())
    assert keys.delete(key.id, 2, done("key.delete", 8, subject=key.id))
    assert keys.all() == []
    keys.create(stored("ann", at=9), done("key.create", 9))
    assert [each.audit.action for each in keys.audit(10)] == ["key.create", "key.delete", "key.revoke", "key.create"]


def test_audit_is_read_in_pages_the_newest_first(keys: KeyStore) -> None:
    for number in range(5):
        keys.note(done("reload", number, detail={"number": number}, request_id=f"r{number}", address="127.0.0.1"))
    first = keys.audit(2)
    assert [each.audit.detail["number"] for each in first] == [4, 3]
    rest = keys.audit(10, before=first[-1].id)
    assert [each.audit for each in rest] == [
        done("reload", number, detail={"number": number}, request_id=f"r{number}", address="127.0.0.1")
        for number in (2, 1, 0)
    ]


def test_revision_tells_of_changes_by_others(url: str, opened: Opened) -> None:
    ours, theirs = KeyStore(opened(url)), KeyStore(opened(url))
    assert ours.revision() == theirs.revision() == 0
    theirs.create(stored("ann"), done("key.create"))
    assert ours.read() == (1, [stored("ann")])
    # Nobody has to read the keys again for this.
    theirs.note(done("reload"))
    assert ours.revision() == 1


def test_changes_at_the_same_time_come_one_after_the_other(url: str, opened: Opened) -> None:
    """Eight that want one name: one gets it, the others are told, and nobody waits for ever."""
    opened(url).open()
    outcomes: list[str] = []

    def create(number: int) -> None:
        try:
            KeyStore(opened(url)).create(stored("ann", f"vk_{number}"), done("key.create", number))
            outcomes.append("done")
        except NameTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["done", *["taken"] * 7]
    keys = KeyStore(opened(url))
    assert (keys.revision(), len(keys.all())) == (1, 1)


def test_change_that_breaks_off_leaves_nothing(keys: KeyStore) -> None:
    """The key and its row in the audit are there both, or neither."""
    with pytest.raises(TypeError):
        keys.create(stored("ann"), done("key.create", detail={"not": object()}))
    assert (keys.revision(), keys.all(), keys.audit(1)) == (0, [], [])
    keys.create(stored("ann"), done("key.create"))


def test_database_holds_no_key(tmp_path: Path, opened: Opened) -> None:
    """Not even in a part of the file that is not used any more."""
    path = tmp_path / "ledger.sqlite"
    keys = KeyStore(opened(str(path)))
    keys.create(stored("ann", "vk_canary_of_ann"), done("key.create"))
    keys.rotate(stored("ann", "vk_canary_of_ann").id, 1, digest_of("vk_canary_second"), 9, done("key.rotate"))
    keys.close()
    assert b"canary" not in path.read_bytes()
    assert digest_of("vk_canary_second").encode() in path.read_bytes()


def test_database_that_is_away_is_one_kind_of_error(opened: Opened, tmp_path: Path) -> None:
    keys = KeyStore(opened(str(tmp_path / "no" / "such" / "folder" / "ledger")))
    for ask in (keys.revision, keys.all, lambda: keys.note(done("reload")), lambda: keys.audit(1)):
        with pytest.raises(StoreError):
            ask()


def test_keys_are_read_in_pages(keys: KeyStore) -> None:
    """In the order of their creation, also where several are of one moment; each with all of its digests."""
    made = [stored(f"k{number}", at=number // 2) for number in range(6)]
    for each in made:
        keys.create(each, done("key.create"))
    keys.rotate(made[4].id, 1, digest_of("vk_other"), 9, done("key.rotate"))
    every = keys.all()
    assert {each.name for each in every} == {each.name for each in made}
    pages = [keys.page(None, 4)]
    while pages[-1]:
        pages.append(keys.page(pages[-1][-1].id, 4))
    assert [len(page) for page in pages] == [4, 2, 0]
    assert [each for page in pages for each in page] == every
    assert keys.page("key_0000000000000000", 4) == []


def test_what_is_known_is_not_read_again(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand keys, one is changed."""
    for name in ("ann", "bob", "eve", "dan"):
        keys.create(stored(name), done("key.create"))
    revision, before = keys.read()
    _, rotated, revoked, deleted = before
    assert keys.read(before) == (revision, before)
    keys.rotate(rotated.id, 1, digest_of("vk_second"), 100, done("key.rotate"))
    keys.revoke(revoked.id, 1, done("key.revoke"))
    keys.revoke(deleted.id, 1, done("key.revoke"))
    keys.delete(deleted.id, 2, done("key.delete"))
    keys.create(stored("zoe", at=2), done("key.create"))
    read, after = keys.read(before)
    assert read == revision + 5
    assert after == keys.all()
    assert [any(each is old for old in before) for each in after] == [True, False, False, False]
    # Where most is new, all is read.
    monkeypatch.setattr("llm_gateway.ledger.keys._MOST_APART", 1)
    assert keys.read(before)[1] == after
