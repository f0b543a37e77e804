"""The generation of a Claude model is told by its name, on every platform."""

from __future__ import annotations

import pytest

from llm_gateway.core.translation.messages.models import Abilities, abilities_of


def kind(abilities: Abilities) -> str:
    if abilities == Abilities():
        return "unknown"
    if not abilities.adaptive:
        return "budget" if abilities.budget else "thoughtless"
    if abilities.budget:
        return "both"
    return f"adaptive, off by {abilities.off}"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-3-5-haiku-20241022", "thoughtless"),
        ("claude-3-haiku-20240307", "thoughtless"),
        ("claude-3-7-sonnet-latest", "budget"),
        ("claude-opus-4-20250514", "budget"),
        ("claude-opus-4@20250514", "budget"),
        ("claude-opus-4-1-20250805", "budget"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget"),
        ("anthropic/claude-sonnet-4.5", "budget"),
        ("claude-haiku-4-5", "budget"),
        ("claude-opus-4-6", "both"),
        ("Claude-Sonnet-4-6", "both"),
        ("claude-opus-4-7", "adaptive, off by disabled"),
        ("claude-opus-5", "adaptive, off by disabled"),
        ("claude-sonnet-5", "adaptive, off by disabled"),
        ("claude-haiku-5-5", "adaptive, off by disabled"),
        ("claude-sonnet-5-5", "adaptive, off by between_tools"),
        ("claude-opus-5-5", "adaptive, off by None"),
        ("claude-fable-5", "adaptive, off by None"),
        ("claude-mythos-preview", "adaptive, off by None"),
        ("claude-opus-12-10", "adaptive, off by None"),
        ("deepseek-chat", "unknown"),
        ("glm-5", "unknown"),
        ("", "unknown"),
    ],
)
def test_generations(model: str, expected: str) -> None:
    assert kind(abilities_of(model)) == expected


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("claude-sonnet-4-5", ()),
        ("claude-opus-4-5", ("low", "medium", "high")),
        ("claude-sonnet-4-6", ("low", "medium", "high", "max")),
        ("claude-opus-4-7", ("low", "medium", "high", "xhigh", "max")),
    ],
)
def test_efforts(model: str, efforts: tuple[str, ...]) -> None:
    assert abilities_of(model).efforts == efforts


@pytest.mark.parametrize(
    ("model", "anywhere"),
    [("claude-opus-4-7", False), ("claude-opus-4-8", True), ("claude-sonnet-5", False), ("claude-sonnet-5-5", True)],
)
def test_instructions_in_the_middle(model: str, anywhere: bool) -> None:
    assert abilities_of(model).system_anywhere is anywhere


@pytest.mark.parametrize(
    ("model", "sampled", "both", "forced", "prefilled"),
    [
        ("claude-sonnet-4-20250514", True, True, True, True),
        ("claude-opus-4-1", True, False, True, True),
        ("claude-opus-4-6", True, False, True, False),
        ("claude-opus-4-7", False, False, True, False),
        ("claude-opus-5", False, False, True, False),
        ("claude-opus-5-5", False, False, False, False),
        ("claude-haiku-5-5", False, False, True, False),
    ],
)
def test_what_newer_models_refuse(model: str, sampled: bool, both: bool, forced: bool, prefilled: bool) -> None:
    found = abilities_of(model)

    assert (found.sampling, found.both_samplings, found.forced_tools, found.prefill) == (
        sampled,
        both,
        forced,
        prefilled,
    )
