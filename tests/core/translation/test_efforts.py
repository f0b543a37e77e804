"""Words for how hard a model thinks, and tokens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llm_gateway.core.translation.efforts import EFFORTS, budget_of, effort_of, nearest_effort


def test_more_effort_is_more_tokens() -> None:
    budgets = [budget_of(effort) for effort in EFFORTS]

    assert budgets[0] == 0
    assert all(less < more for less, more in pairwise(budgets))


@pytest.mark.parametrize("effort", ["none", "low", "medium", "high"])
def test_words_that_every_model_knows_come_back_from_their_tokens(effort: str) -> None:
    assert effort_of(budget_of(effort)) == effort


@pytest.mark.parametrize(
    ("budget", "effort"), [(-1, "none"), (1, "low"), (1024, "low"), (10_000, "medium"), (31_999, "high")]
)
def test_budgets_have_a_word(budget: int, effort: str) -> None:
    assert effort_of(budget) == effort


@pytest.mark.parametrize(
    ("wanted", "known", "given"),
    [
        ("high", ("low", "medium", "high"), "high"),
        ("minimal", ("low", "medium", "high"), "low"),
        ("max", ("low", "medium", "high"), "high"),
        ("xhigh", ("low", "medium", "high", "max"), "high"),
        ("medium", ("low", "high"), "low"),
        ("enormous", ("low", "medium", "high"), "medium"),
        ("low", ("thorough",), "thorough"),
    ],
)
def test_unknown_effort_becomes_the_nearest_that_there_is(wanted: str, known: tuple[str, ...], given: str) -> None:
    assert nearest_effort(wanted, known) == given
