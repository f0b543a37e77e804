"""Making keys and changing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.config.values import Configuration
from llm_gateway.issuing.entries import Entries
from llm_gateway.issuing.faults import (
    Changed,
    InvalidEntry,
    KeptInFile,
    NameInUse,
    NoSuchKey,
    Revoked,
    StillWorking,
    Unavailable,
)
from llm_gateway.issuing.keeper import By, Keeper, Made, entry_of, new_key, patched
from llm_gateway.issuing.merging import Merger
from llm_gateway.ledger.keys import KeyStore, digest_of, id_of
from tests.issuing.databases import quick_store
from tests.issuing.test_merging import REAL, configured

ANN = {"name": "ann", "credentials": ["main"]}
BY = By("admin:olga", "r1", "127.0.0.1")


class Kept:
    """A keeper, a clock, and what the gateway would make of its keys."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        self.now = 1_000.0
        self.configuration = configuration
        self.database = quick_store(folder / "ledger.sqlite")
        self.store = KeyStore(self.database)
        self.keeper = Keeper(self.store, lambda: self.configuration, lambda: self.now)

    def opens(self, key: str) -> Any:
        """What the gateway knows of a key at this moment; ``None`` if nothing, or if it is over."""
        merged, _ = Merger().merged(self.configuration, self.store.all())
        found = merged.key_for(key.encode())
        return None if found is None or (found.expires is not None and found.expires <= self.now) else found


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path, configured(tmp_path))
    yield made
    made.database.close()


def test_new_keys_are_256_random_bits_in_letters_that_need_no_quoting() -> None:
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(re.fullmatch("vk_[0-9A-Za-z]{43}", key) for key in keys)
    assert new_key(lambda size: b"\0" * size) == "vk_" + "0" * 43
    highest = new_key(lambda size: b"\xff" * size)
    assert re.fullmatch("vk_[0-9A-Za-z]{43}", highest)
    assert highest != new_key(lambda size: b"\xff" * (size - 1) + b"\xfe")


def test_made_key_works_and_is_shown_once(kept: Kept) -> None:
    made = kept.keeper.create({**ANN, "limits": {"usd_per_day": "1.50"}}, BY)
    assert kept.opens(made.key).name == "ann"
    view = made.virtual_key
    assert (view.state, view.origin, view.version) == ("active", "database", 1)
    assert view.entry == {**ANN, "limits": {"usd_per_day": "1.50"}}
    shown = [
        repr(made),
        repr(view),
        repr(list(kept.keeper.all())),
        repr(kept.keeper.audit(9)),
        repr(kept.store.all()),
    ]
    assert not any(made.key in each or digest_of(made.key) in each for each in shown[:4])
    assert made.key not in shown[4]


def test_key_without_a_name_or_of_a_wrong_entry_is_not_made(kept: Kept) -> None:
    with pytest.raises(InvalidEntry, match='needs a field "name"'):
        kept.keeper.create({"credentials": ["main"]}, BY)
    with pytest.raises(InvalidEntry) as caught:
        kept.keeper.create({**ANN, "credentials": ["mian"], "group": "none", "api_key": 5, "provider": "x"}, BY)
    assert caught.value.param == "provider"
    with pytest.raises(InvalidEntry) as caught:
        kept.keeper.create({**ANN, "credentials": ["mian"], "group": "none"}, BY)
    # All that is wrong with it is told at once.
    assert caught.value.param == "credentials[1]"
    assert "group" in caught.value.message
    assert list(kept.store.all()) == []


@pytest.mark.parametrize("name", ["ann", "file", "key:" + digest_of("vk_plain")[:8]])
def test_name_means_one_key(tmp_path: Path, name: str) -> None:
    """Also where it is what logs call a key of the file that has none."""
    keys = {"vk_file": {"credentials": ["main"], "name": "file"}, "vk_plain": {"credentials": ["main"]}}
    kept = Kept(tmp_path, configured(tmp_path, keys))
    kept.keeper.create(ANN, BY)
    bob = kept.keeper.create({**ANN, "name": "bob"}, BY).virtual_key
    with pytest.raises(NameInUse):
        kept.keeper.create({**ANN, "name": name}, BY)
    with pytest.raises(NameInUse):
        kept.keeper.edit(bob.id, {"name": name}, BY)
    kept.database.close()


def test_edit_merges_what_is_said_into_what_was(kept: Kept) -> None:
    made = kept.keeper.create({**ANN, "labels": {"a": "1", "b": "2"}, "models": ["m"]}, BY)
    view = kept.keeper.edit(made.virtual_key.id, {"labels": {"a": None, "c": "3"}, "models": None}, BY)
    assert view.entry == {**ANN, "labels": {"b": "2", "c": "3"}}
    assert kept.opens(made.key).labels == {"b": "2", "c": "3"}
    assert kept.opens(made.key).models is None
    [edit, _] = kept.keeper.audit(9)
    assert edit.audit.detail == {"from": made.virtual_key.entry, "to": view.entry}
    # What changes nothing is no change.
    assert kept.keeper.edit(view.id, {"models": None}, BY).version == view.version


def test_edit_that_cannot_be_used_leaves_everything_as_it_was(kept: Kept) -> None:
    made = kept.keeper.create(ANN, BY)
    for patch in ({"credentials": None}, {"name": None}, {"credentials": ["gone"]}, {"nonsense": 1}):
        with pytest.raises(InvalidEntry):
            kept.keeper.edit(made.virtual_key.id, patch, BY)
    assert kept.keeper.get(made.virtual_key.id) == made.virtual_key


def test_old_key_works_until_the_grace_is_over(kept: Kept) -> None:
    first = kept.keeper.create({**ANN, "limits": {"requests_per_day": 5}}, BY)
    second = kept.keeper.rotate(first.virtual_key.id, 60, BY)
    assert second.key != first.key
    assert second.virtual_key.id == first.virtual_key.id
    assert [each.fingerprint for each in second.virtual_key.old_keys] == [digest_of(first.key)[:8]]
    old, new = kept.opens(first.key), kept.opens(second.key)
    assert old.limits == new.limits
    assert old.account == new.account == digest_of(first.key)
    kept.now += 60
    assert kept.opens(first.key) is None
    assert kept.opens(second.key) is not None
    assert kept.keeper.get(first.virtual_key.id).old_keys == []


def test_rotation_without_grace_ends_the_old_key_at_once(kept: Kept) -> None:
    first = kept.keeper.create(ANN, BY)
    second = kept.keeper.rotate(first.virtual_key.id, 0, BY)
    assert kept.opens(first.key) is None
    assert kept.opens(second.key) is not None


def test_revoked_key_is_refused_with_all_that_came_before_it_and_stays_so(kept: Kept) -> None:
    first = kept.keeper.create(ANN, BY)
    id = first.virtual_key.id
    second = kept.keeper.rotate(id, 60, BY)
    view = kept.keeper.revoke(id, BY)
    assert (view.state, kept.opens(first.key), kept.opens(second.key)) == ("revoked", None, None)
    assert kept.keeper.revoke(id, BY) == view
    with pytest.raises(Revoked):
        kept.keeper.rotate(id, 60, BY)
    with pytest.raises(Revoked):
        kept.keeper.edit(id, {"labels": {"a": "b"}}, BY)
    # Its name stays its own until it is deleted: the ledger has rows of that name.
    with pytest.raises(NameInUse):
        kept.keeper.create(ANN, BY)


def test_key_is_deleted_only_once_it_is_revoked(kept: Kept) -> None:
    id = kept.keeper.create(ANN, BY).virtual_key.id
    with pytest.raises(StillWorking):
        kept.keeper.delete(id, BY)
    kept.keeper.revoke(id, BY)
    kept.keeper.delete(id, BY)
    with pytest.raises(NoSuchKey):
        kept.keeper.get(id)
    kept.keeper.create(ANN, BY)


def test_expired_key_says_so(kept: Kept) -> None:
    made = kept.keeper.create({**ANN, "expires": "1970-01-01T00:20:00Z"}, BY)
    kept.now = 1_199.0
    assert kept.keeper.get(made.virtual_key.id).state == "active"
    kept.now = 1_200.0
    assert kept.keeper.get(made.virtual_key.id).state == "expired"
    # It can be given more time.
    kept.keeper.edit(made.virtual_key.id, {"expires": None}, BY)
    assert kept.keeper.get(made.virtual_key.id).state == "active"


def test_key_that_fits_the_file_no_more_says_why(kept: Kept, tmp_path: Path) -> None:
    made = kept.keeper.create({**ANN, "group": "search"}, BY)
    kept.configuration = configured(tmp_path, groups={})
    view = kept.keeper.get(made.virtual_key.id)
    assert view.state == "faulty"
    assert "no such group" in view.problems[0]


def test_changes_of_an_older_version_are_refused(kept: Kept) -> None:
    id = kept.keeper.create(ANN, BY).virtual_key.id
    kept.keeper.edit(id, {"labels": {"a": "b"}}, BY, version=1)
    with pytest.raises(Changed):
        kept.keeper.edit(id, {"labels": {"a": "c"}}, BY, version=1)
    with pytest.raises(Changed):
        kept.keeper.rotate(id, 0, BY, version=1)
    with pytest.raises(Changed):
        kept.keeper.revoke(id, BY, version=1)
    with pytest.raises(Changed):
        kept.keeper.delete(id, BY, version=1)


def test_change_between_reading_and_writing_is_noticed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two operators at the same moment: neither undoes what he has not seen."""
    id = kept.keeper.create(ANN, BY).virtual_key.id
    usual = kept.store.update

    def late(*arguments: Any) -> bool:
        monkeypatch.undo()
        kept.keeper.edit(id, {"labels": {"by": "another"}}, BY)
        return usual(*arguments)

    monkeypatch.setattr(kept.store, "update", late)
    with pytest.raises(Changed):
        kept.keeper.edit(id, {"labels": {"by": "me"}}, BY)
    assert kept.keeper.get(id).entry["labels"] == {"by": "another"}


def test_keys_of_the_file_are_seen_here_and_changed_there(kept: Kept) -> None:
    id = id_of(digest_of("vk_file"))
    view = kept.keeper.get(id)
    assert (view.name, view.origin, view.version) == ("file", "file", None)
    assert view.entry["credentials"] == ["main"]
    for change in (
        lambda: kept.keeper.edit(id, {}, BY),
        lambda: kept.keeper.rotate(id, 0, BY),
        lambda: kept.keeper.revoke(id, BY),
        lambda: kept.keeper.delete(id, BY),
    ):
        with pytest.raises(KeptInFile):
            change()
    assert kept.keeper.audit(9) == []


def test_nothing_of_a_real_key_is_shown_of_the_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path, configured(tmp_path, {"vk_file": {"provider": "openai", "api_key": REAL}}))
    [view] = kept.keeper.all()
    assert REAL not in repr(view)
    assert "vk_file" not in repr(view)
    kept.database.close()


def test_keys_are_found_by_what_logs_call_them(kept: Kept) -> None:
    made = kept.keeper.create(ANN, BY).virtual_key
    for name in ("ann", made.id, f"key:{made.fingerprint}"):
        assert kept.keeper.find(name).id == made.id
    for name in ("nobody", "key:00000000", "vk_0123456789abcdef0123456789"):
        with pytest.raises(NoSuchKey) as caught:
            kept.keeper.find(name)
        assert "vk_" not in caught.value.message


def test_listing_goes_on_where_it_ended(kept: Kept) -> None:
    for number in range(3):
        kept.now += 1
        kept.keeper.create({**ANN, "name": f"k{number}"}, BY)
    names = [each.name for each in kept.keeper.all()]
    assert names == ["file", "k0", "k1", "k2"]
    for position, view in enumerate(kept.keeper.all()):
        assert [each.name for each in kept.keeper.all(view.id)] == names[position + 1 :]
    assert list(kept.keeper.all("key_0000000000000000")) == []


def test_every_change_leaves_a_row_that_says_who_and_whence(kept: Kept) -> None:
    id = kept.keeper.create(ANN, BY).virtual_key.id
    kept.keeper.edit(id, {"name": "eve"}, BY)
    kept.keeper.rotate(id, 5, BY)
    kept.keeper.revoke(id, BY)
    kept.keeper.delete(id, BY)
    kept.keeper.note(BY, "reload")
    rows = [each.audit for each in kept.keeper.audit(9)]
    assert [each.action for each in rows] == [
        "reload", "key.delete", "key.revoke", "key.rotate", "key.edit", "key.create",
    ]  # fmt: skip
    assert {(each.actor, each.request_id, each.address) for each in rows} == {("admin:olga", "r1", "127.0.0.1")}
    assert {each.subject for each in rows[1:]} == {id}


def test_database_that_is_away_is_told_without_where_it_is(tmp_path: Path) -> None:
    keeper = Keeper(KeyStore(quick_store(tmp_path / "no" / "folder")), lambda: configured(tmp_path))
    with pytest.raises(Unavailable) as caught:
        keeper.create(ANN, BY)
    assert "folder" not in caught.value.message
    assert caught.value.headers["retry-after"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.text("abc", max_size=1), _JSON, max_size=4)


@given(_OBJECTS, _OBJECTS)
def test_patch_takes_effect_once_and_leaves_its_parts_alone(value: dict[str, Any], patch: dict[str, Any]) -> None:
    """RFC 7396: doing it again changes nothing, what is not named stays, and no ``null`` of it is left."""
    before, named = repr(value), repr(patch)
    once = patched(value, patch)
    assert patched(once, patch) == once
    assert {name: once[name] for name in value.keys() - patch.keys()} == {
        name: value[name] for name in value.keys() - patch.keys()
    }
    assert all(name not in once for name, new in patch.items() if new is None)
    assert (repr(value), repr(patch)) == (before, named)


def test_entry_of_a_key_reads_as_the_key_again(tmp_path: Path) -> None:
    """What is shown of keys of the file is what could be written into it."""
    entry = {
        "name": "all",
        "credentials": [{"name": "main", "order": 1, "weight": 2.0}, "spare"],
        "models": {"fast": "gpt-5", "gpt-*": True},
        "on_unsupported": "drop",
        "operations": ["chat", "embeddings"],
        "expires": "2030-01-01T00:00:00.000Z",
        "group": "search",
        "labels": {"team": "own"},
        "limits": {
            "requests_per_minute": {"limit": 60, "burst": 5, "warn_at": 0.8},
            "usd_per_month": {"limit": "20.00", "shadow": True, "unreachable": "open"},
            "in_flight": 4,
            "usd_total": "0.000000001",
        },
        "on_disconnect": "drain_and_bill",
        "on_unpriced": "allow",
    }
    entries = Entries(configured(tmp_path))
    key, problems = entries.read(digest_of("vk"), entry)
    assert problems == []
    assert key is not None
    assert entry_of(key) == entry
    assert entries.read(digest_of("vk"), entry_of(key))[0] == key


def test_made_does_not_show_the_key_by_accident(kept: Kept) -> None:
    made: Made = kept.keeper.create(ANN, BY)
    assert made.key not in f"{made} {made!r}"
