"""Entries of keys that stand outside of the file: they mean there what they mean in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_gateway.issuing.entries import Entries
from llm_gateway.ledger.keys import digest_of
from tests.issuing.test_merging import REAL, configured

ENTRIES = st.fixed_dictionaries(
    {"credentials": st.sampled_from([["main"], ["spare"], ["main", {"name": "spare", "order": 1}]])},
    optional={
        "name": st.sampled_from(["ann", "bob", "Zoë"]),
        "group": st.just("search"),
        "labels": st.dictionaries(st.sampled_from(["team", "user"]), st.sampled_from(["x", "y"])),
        "expires": st.sampled_from(["2030-01-01T00:00:00Z", "2031-01-01T00:00:00+01:00"]),
        "limits": st.dictionaries(
            st.sampled_from(["usd_per_day", "in_flight"]), st.sampled_from([1, 2, {"limit": 3, "warn_at": 0.5}])
        ),
        "models": st.sampled_from([["gpt-*"], {"fast": "gpt-5-mini"}]),
        "on_disconnect": st.just("drain_and_bill"),
    },
)


@settings(deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_entry_is_the_same_key_as_in_the_file_whatever_others_say(entries: list[dict[str, Any]]) -> None:
    written = {f"sha256:{digest_of(str(number))}": entry for number, entry in enumerate(entries)}
    with TemporaryDirectory() as folder:
        files = configured(Path(folder), written)
    reader = Entries(files)
    for number, entry in enumerate(entries):
        key, problems = reader.read(digest_of(str(number)), entry)
        assert problems == []
        assert key is not None
        assert key == replace(files.keys[key.digest], origin="database")


def test_keys_have_in_common_what_their_entries_say_in_the_same_words(tmp_path: Path) -> None:
    """Ten thousand keys of three kinds take the room of three kinds."""
    reader = Entries(configured(tmp_path))
    entry = {"credentials": ["main"], "group": "search", "labels": {"cost": "7"}, "models": ["gpt-*"]}
    ann, _ = reader.read(digest_of("ann"), {"name": "ann", **entry})
    bob, _ = reader.read(digest_of("bob"), {"name": "bob", **entry})
    assert ann is not None
    assert bob is not None
    assert (ann.models is bob.models, ann.labels is bob.labels, ann.credentials is bob.credentials) == (True,) * 3
    assert (ann.labels, ann.name, bob.name) == ({"team": "search", "cost": "7"}, "ann", "bob")


@pytest.mark.parametrize(
    ("entry", "place", "word"),
    [
        ({}, "", 'needs a field "credentials"'),
        ({"provider": "openai", "api_key": "sk-x", "credentials": ["main"]}, "provider", "keys.json only"),
        ({"credentials": ["mian"]}, "credentials[1]", 'did you mean "main"'),
        ({"credentials": []}, "credentials", "must not be empty"),
        ({"credentials": ["main"], "nmae": "x"}, "top level", "unknown field"),
        ({"credentials": ["main"], "group": "serch"}, "group", 'did you mean "search"'),
        ({"credentials": ["main"], "limits": {"usd_per_day": "x"}}, "limits.usd_per_day", "must be dollars"),
        ({"credentials": ["main"], "expires": "soon"}, "expires", "must be a time"),
        ({"credentials": ["main"], "name": "sk-0123456789abcdef0123"}, "name", "must not hold a key"),
        ({"credentials": ["main"], "name": f"x {REAL}"}, "name", "must not hold a key"),
        ({"credentials": ["main"], "name": None}, "name", "must be a string"),
        ({"credentials": ["main"], "labels": {"Team": "x"}}, "labels[1]", "small letters"),
        ({"credentials": ["main"], "labels": []}, "labels", "must be an object"),
        ({"credentials": ["main"], "limits": {"requests_per_minute": 1.0}}, "limits.requests_per_minute", "whole"),
    ],
)
def test_entry_is_read_by_the_rules_of_the_file(tmp_path: Path, entry: dict[str, Any], place: str, word: str) -> None:
    entries = Entries(configured(tmp_path))
    assert entries.read(digest_of("vk_right"), {"name": "right", "credentials": ["main"]})[1] == []
    key, problems = entries.read(digest_of("vk"), entry)
    assert key is None
    assert problems[0].place == place
    assert word in problems[0].message
    assert REAL not in str(problems)


def test_entry_may_use_a_credential_that_no_key_of_the_file_has(tmp_path: Path) -> None:
    key, problems = Entries(configured(tmp_path)).read(digest_of("vk"), {"credentials": ["spare"]})
    assert problems == []
    assert key is not None
    assert [each.name for each in key.credentials] == ["spare"]


@pytest.mark.parametrize("field", ["labels", "models"])
def test_entry_that_is_nested_too_deep_is_refused(tmp_path: Path, field: str) -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = {"a": deep}
    key, problems = Entries(configured(tmp_path)).read(digest_of("vk"), {"credentials": ["main"], field: deep})
    assert key is None
    assert "nested more than" in problems[0].message


def test_what_is_remembered_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gateway.issuing.entries._REMEMBERED", 2)
    reader = Entries(configured(tmp_path))
    for number in range(5):
        key, _ = reader.read(digest_of("vk"), {"credentials": ["main"], "labels": {"user": str(number)}})
        assert key is not None
        assert key.labels == {"user": str(number)}
        assert len(reader._known) <= 2
