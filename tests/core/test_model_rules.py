"""Names and patterns of models."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("gpt-5", "gpt-5"),
        ("gpt-5-mini", "gpt-5*"),
        ("gpt-4", "gpt-*"),
        ("GPT-5", "*"),
        ("a.c", "a.c"),
        ("abc", "*"),
        ("x\ny", "*"),
    ],
)
def test_name_counts_before_pattern_and_first_before_later(name: str, rule: str) -> None:
    rules = ModelRules(ModelRule(each) for each in ("gpt-5*", "gpt-*", "gpt-5", "a.c", "*"))
    found = rules.find(name)
    assert found is not None
    assert found.pattern == rule


def test_what_no_rule_is_about_is_not_found() -> None:
    assert ModelRules([ModelRule("gpt-*")]).find("claude") is None
    assert ModelRules().find("claude") is None


def test_of_two_rules_for_one_name_the_first_counts() -> None:
    found = ModelRules([ModelRule("m", "a"), ModelRule("m", "b")]).find("m")
    assert found is not None
    assert found.target == "a"


@pytest.mark.parametrize(
    ("pattern", "target", "name", "becomes"),
    [
        ("fast", None, "fast", "fast"),
        ("fast", "gpt-5-mini", "fast", "gpt-5-mini"),
        ("claude-*", "gpt-5", "claude-x", "gpt-5"),
        ("claude-*", "anthropic.claude-*", "claude-haiku", "anthropic.claude-haiku"),
        ("*-latest", "*", "large-latest", "large"),
        ("eu/*/x", "*", "eu/a/b/x", "a/b"),
        ("a*", "b*", "a", "b"),
    ],
)
def test_target_takes_over_what_the_star_stood_for(pattern: str, target: str | None, name: str, becomes: str) -> None:
    assert ModelRule(pattern, target).target_of(name) == becomes


def test_facts_that_are_said_count_and_the_others_stay() -> None:
    known = ModelFacts(title="A", context_window=10, reasoning=True)
    said = ModelFacts(context_window=20, reasoning=False)
    assert said.over(known) == ModelFacts(title="A", context_window=20, reasoning=False)
    assert ModelFacts().over(known) is known


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_patterns_fit_as_in_a_shell(pattern: str, name: str) -> None:
    found = ModelRules([ModelRule(pattern)]).find(name)
    assert (found is not None) == fnmatch.fnmatchcase(name, pattern)


def test_pattern_of_many_stars_takes_no_time() -> None:
    """A caller's name cannot make it try again and again."""
    rules = ModelRules([ModelRule("*a" * 30 + "b")])
    began = time.process_time()
    assert rules.find("a" * 5000) is None
    assert time.process_time() - began < 1
