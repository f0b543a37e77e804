"""Whose turn the next connection is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from llm_gateway.fleet.balance import LoadTable, Share, table_memory


@pytest.fixture
def tables() -> Iterator[list[LoadTable]]:
    """The same memory, as three workers and their supervisor see it."""
    memory = table_memory(3)
    yield [LoadTable(memory, 3) for _ in range(4)]
    os.close(memory)


def test_who_has_more_leaves_the_next_to_the_others(tables: list[LoadTable]) -> None:
    """One more is nothing; two more are, while another takes connections."""
    first, second = Share(tables[0], 1), Share(tables[1], 2)
    first.came()
    assert not first.ahead()
    first.came()
    assert first.ahead()
    assert not second.ahead()
    second.came()
    assert not first.ahead()
    second.went()
    assert first.ahead()


def test_an_eighth_more_is_still_even(tables: list[LoadTable]) -> None:
    """Among hundreds of connections nobody waits for the last of them."""
    first, second = Share(tables[0], 1), Share(tables[1], 2)
    for _ in range(80):
        first.came()
        second.came()
    for _ in range(10):
        first.came()
    assert not first.ahead()
    first.came()
    assert first.ahead()


def test_alone_there_is_nobody_to_wait_for(tables: list[LoadTable]) -> None:
    """Workers that have not started, or have died, get no turn."""
    first, second = Share(tables[0], 1), Share(tables[1], 2)
    for _ in range(5):
        first.came()
    assert first.ahead()
    tables[3].strike_out(2)
    assert not first.ahead()
    second.came()
    assert first.ahead()
