"""Keys of the database beside those of the file: neither takes the other's place unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.limits.values import Scope
from llm_gateway.issuing import entries, merging
from llm_gateway.issuing.entries import Entries
from llm_gateway.issuing.merging import Merger
from llm_gateway.ledger.keys import StoredDigest, StoredKey, digest_of, id_of

REAL = "sk-real-canary-0123456789abcdef"


def configured(folder: Path, keys: dict[str, Any] | None = None, **more: Any) -> Configuration:
    """What a ``keys.json`` with two credentials and a group comes to."""
    document = {
        "credentials": {
            "main": {"provider": "openai", "api_key": REAL},
            "spare": {"provider": "openai", "api_key": REAL + "2"},
        },
        "groups": {"search": {"labels": {"team": "search"}, "limits": {"usd_per_day": 5}}},
        "virtual_keys": {"vk_file": {"credentials": ["main"], "name": "file"}} if keys is None else keys,
        **more,
    }
    (folder / "keys.json").write_text(json.dumps(document))
    (folder / "aiservices.json").write_text('{"openai": "https://api.openai.test/v1/chat/completions"}')
    return load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})


def stored(name: str, *keys: str, version: int = 1, **entry: Any) -> StoredKey:
    """One with as many keys as it was rotated, of which all but the last end at 2,000 s."""
    keys = keys or (f"vk_{name}",)
    digests = [digest_of(key) for key in keys]
    return StoredKey(
        id_of(digests[0]),
        digests[0],
        name,
        {"name": name, "credentials": ["main"], **entry},
        1,
        1,
        (*(StoredDigest(each, 1, 2_000_000_000) for each in digests[:-1]), StoredDigest(digests[-1], 1)),
        version=version,
    )


def test_both_kinds_of_keys_are_in_use(tmp_path: Path) -> None:
    files = configured(tmp_path)
    both, problems = Merger().merged(files, [stored("ann", group="search"), stored("bob", credentials=["spare"])])
    assert problems == []
    ann, bob, in_file = (both.key_for(f"vk_{name}".encode()) for name in ("ann", "bob", "file"))
    assert ann is not None
    assert bob is not None
    assert in_file is not None
    assert (ann.origin, bob.origin, in_file.origin) == ("database", "database", "file")
    assert (ann.group, ann.labels) == ("search", {"team": "search"})
    assert both.credentials[bob.credentials[0].name].api_key.reveal() == REAL + "2"
    # Everything else is of the files.
    assert replace(both, keys=files.keys) == files


def test_use_counts_on_when_a_key_is_rotated(tmp_path: Path) -> None:
    """The same limits, whichever key a call comes with; and the old one ends."""
    key = stored("ann", "vk_first", "vk_second", limits={"requests_per_minute": 3})
    both, _ = Merger().merged(configured(tmp_path), [key])
    first, second = both.key_for(b"vk_first"), both.key_for(b"vk_second")
    assert first is not None
    assert second is not None
    assert first.account == second.account == key.account
    assert [each.id for each in first.limits] == [each.id for each in second.limits]
    assert (first.limits[0].scope, first.limits[0].subject) == (Scope.KEY, key.account)
    assert (first.expires, second.expires) == (2_000.0, None)
    assert first.label == second.label == "ann"


@pytest.mark.parametrize(
    ("expires", "first", "second"),
    [("1970-01-01T00:10:00Z", 600.0, 600.0), ("2100-01-01T00:00:00Z", 2_000.0, 4_102_444_800.0)],
)
def test_key_ends_with_its_entry_or_its_grace_whichever_is_first(
    tmp_path: Path, expires: str, first: float, second: float
) -> None:
    both, _ = Merger().merged(configured(tmp_path), [stored("ann", "vk_first", "vk_second", expires=expires)])
    ends = [key.expires for key in (both.key_for(b"vk_first"), both.key_for(b"vk_second")) if key is not None]
    assert ends == [first, second]


def test_revoked_key_is_not_there(tmp_path: Path) -> None:
    key = replace(stored("ann"), revoked_at=5)
    both, problems = Merger().merged(configured(tmp_path), [key])
    assert (both.key_for(b"vk_ann"), problems) == (None, [])


def test_key_that_stands_in_the_file_too_is_the_file_s_and_both_are_named(tmp_path: Path) -> None:
    files = configured(tmp_path, {"vk_ann": {"credentials": ["spare"], "name": "of file"}})
    both, problems = Merger().merged(files, [stored("ann")])
    found = both.key_for(b"vk_ann")
    assert found is not None
    assert (found.origin, found.name) == ("file", "of file")
    [problem] = problems
    assert "of file" in str(problem)
    assert f"{stored('ann').id} (ann)" in str(problem)


def test_namesakes_are_both_in_use_and_told_of(tmp_path: Path) -> None:
    both, problems = Merger().merged(configured(tmp_path), [stored("file", "vk_other")])
    assert both.key_for(b"vk_file") is not None
    assert both.key_for(b"vk_other") is not None
    assert len(problems) == 1
    assert "has the name of" in str(problems[0])


def test_faulty_key_stops_nobody_else(tmp_path: Path) -> None:
    """Its credential or its group was taken out of the file: it is named, and the others work."""
    keys = [stored("ann", credentials=["gone"]), stored("eve", group="gone"), stored("bob")]
    both, problems = Merger().merged(configured(tmp_path), keys)
    assert [both.key_for(f"vk_{name}".encode()) is None for name in ("ann", "eve", "bob")] == [True, True, False]
    assert [each.place.partition(")")[0].partition("(")[2] for each in problems] == ["ann", "eve"]


def test_entry_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway has ten thousand keys, of which one is changed."""
    read: list[str] = []
    usual = Entries.read

    def noting(self: Entries, account: str, entry: Any, place: str = "") -> Any:
        read.append(entry["name"])
        return usual(self, account, entry, place)

    monkeypatch.setattr(Entries, "read", noting)
    merger, files = Merger(), configured(tmp_path)
    merger.merged(files, [stored("ann"), stored("bob")])
    both, _ = merger.merged(files, [stored("ann"), stored("bob", version=2, labels={"new": "yes"})])
    assert read == ["ann", "bob", "bob"]
    bob = both.key_for(b"vk_bob")
    assert bob is not None
    assert bob.labels == {"new": "yes"}
    # But with other credentials every one of them may be another.
    merger.merged(
        configured(tmp_path, credentials={"main": {"provider": "openai", "api_key": "sk-other"}}), [stored("ann")]
    )
    assert read[3:] == ["ann"]


def test_change_of_one_key_does_over_nothing_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what is looked at but what is done with it is counted: of ten thousand keys, one is changed."""
    merger, files = Merger(), configured(tmp_path)
    before = [stored(f"k{number}") for number in range(200)]
    steps = len(list(merger.merging(files, before)))
    both, _ = merger.merged(files, before)
    made: list[VirtualKey] = []

    def counted(make: Callable[..., VirtualKey]) -> Callable[..., VirtualKey]:
        def count(*arguments: Any, **fields: Any) -> VirtualKey:
            made.append(make(*arguments, **fields))
            return made[-1]

        return count

    monkeypatch.setattr(entries, "VirtualKey", counted(VirtualKey))
    monkeypatch.setattr(merging, "replace", counted(replace))
    changed = [*before[:7], stored("k7", version=2, labels={"new": "yes"}), *before[8:]]
    after, _ = merger.merged(files, changed)
    # The key, and the configuration with all of them.
    assert 1 <= len(made) <= 2
    assert len(list(merger.merging(files, changed))) < steps / 20
    assert len([digest for digest, key in after.keys.items() if both.keys[digest] is not key]) == 1


def test_key_whose_digests_change_leaves_none_behind(tmp_path: Path) -> None:
    """Nor does what is wrong with it outlast it."""
    merger, files = Merger(), configured(tmp_path, {"vk_file": {"credentials": ["main"], "name": "file"}})
    ann = stored("ann", "vk_first", "vk_second")
    faulty, namesake = stored("eve", group="gone"), stored("file", "vk_other")
    both, problems = merger.merged(files, [ann, faulty, namesake])
    assert len(both.keys) == 4
    assert len(problems) == 2
    shorter = replace(ann, digests=ann.digests[1:], version=2)
    both, problems = merger.merged(files, [shorter, stored("eve", version=2), namesake])
    assert [both.key_for(key) is not None for key in (b"vk_first", b"vk_second", b"vk_eve")] == [False, True, True]
    assert ["has the name of" in str(each) for each in problems] == [True]
    both, problems = merger.merged(files, [shorter])
    assert (len(both.keys), problems) == (2, [])
    both, _ = merger.merged(files, [replace(shorter, revoked_at=9, version=3)])
    assert list(both.keys) == list(files.keys)


def test_key_of_the_file_comes_back_when_the_file_says_so(tmp_path: Path) -> None:
    """Its digest is the file's as long as it stands there, and the database's before and after."""
    merger, plain = Merger(), configured(tmp_path)
    in_file = configured(tmp_path, {"vk_ann": {"credentials": ["main"], "name": "of file"}})
    for files, origin in ((plain, "database"), (in_file, "file"), (plain, "database")):
        both, problems = merger.merged(files, [stored("ann")])
        key = both.key_for(b"vk_ann")
        assert key is not None
        assert (key.origin, len(problems)) == (origin, origin == "file")
    both, _ = merger.merged(in_file, [stored("ann")])
    both, _ = merger.merged(in_file, [])
    assert both.key_for(b"vk_ann") is not None


def test_merge_that_is_left_changes_nothing(tmp_path: Path) -> None:
    merger, files = Merger(), configured(tmp_path)
    before, _ = merger.merged(files, [stored("ann")])
    steps = merger.merging(configured(tmp_path, groups={}), [stored("bob"), stored("eve")])
    next(steps)
    steps.close()
    after, problems = merger.merged(files, [stored("ann")])
    assert (after, problems) == (before, [])
