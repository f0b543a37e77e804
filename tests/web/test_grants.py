"""What virtual keys open, when the configuration changes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from llm_gateway.config.values import VirtualKey
from llm_gateway.web import grants
from tests.memory import USUAL, MemoryGateway, virtual_key


def test_key_that_is_added_leaves_the_others_as_they_are() -> None:
    """Where there are ten thousand, making one costs no more than reading their names."""
    gateway = MemoryGateway()
    book = gateway.grants
    known, targets = book.find(b"vk_openai"), dict(book.targets)
    added = virtual_key("vk_added", "openai", "sk-real-canary-0123456789")
    gateway.use(replace(USUAL, keys={**USUAL.keys, added.digest: added}))
    assert book.find(b"vk_added") is not None
    assert book.find(b"vk_openai") is known
    assert all(book.targets[name] is target for name, target in targets.items())


def test_key_that_is_changed_or_taken_away_is_not_what_it_was() -> None:
    gateway = MemoryGateway()
    book = gateway.grants
    before, generation = book.find(b"vk_openai"), book.generation
    assert before is not None
    changed = replace(before.key, name="Eve")
    keys = {**USUAL.keys, changed.digest: changed}
    del keys[virtual_key("vk_gemini", "gemini").digest]
    gateway.use(replace(USUAL, keys=keys))
    after = book.find(b"vk_openai")
    assert after is not None
    assert (after.label, before.label) == ("Eve", "Ann")
    assert book.find(b"vk_gemini") is None
    # What a connection remembers of a request's head is of the configuration before.
    assert book.generation is not generation


def test_other_provider_makes_every_grant_anew() -> None:
    gateway = MemoryGateway()
    book = gateway.grants
    before = book.find(b"vk_openai")
    other = replace(USUAL.providers["openai"], base_url="https://other.test/v1")
    gateway.use(replace(USUAL, providers={**USUAL.providers, "openai": other}))
    after = book.find(b"vk_openai")
    assert after is not None
    assert after is not before
    assert after.way is not None
    assert after.way.target.provider.base_url == "https://other.test/v1"


def test_what_a_key_opens_is_worked_out_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand keys a gateway that has just begun need not know all at once."""
    made: list[VirtualKey] = []
    usual = grants._grant

    def noting(key: VirtualKey, *more: Any) -> grants.Grant:
        made.append(key)
        return usual(key, *more)

    monkeypatch.setattr(grants, "_grant", noting)
    gateway = MemoryGateway()
    assert made == []
    found = gateway.grants.find(b"vk_openai")
    gateway.use(replace(USUAL, label_from={"user": "user"}))
    assert gateway.grants.find(b"vk_openai") is found
    assert len(made) == 1
