"""What a name for a model stands for."""

from __future__ import annotations

import pytest

from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.routing.outcomes import FALLS_BACK, OutcomeKind
from llm_gateway.core.routing.resolving import LeftOut, Resolved, Served, resolve
from llm_gateway.core.routing.settings import (
    CredentialUse,
    Fallback,
    ModelSettings,
    RoutingSettings,
    Strategy,
    Target,
)

MAIN, SPARE = CredentialUse("main", "openai"), CredentialUse("spare", "openai", order=1, weight=2.0)
CLAUDE, GROQ = CredentialUse("claude", "anthropic"), CredentialUse("g", "groq")
ALL = [MAIN, SPARE, CLAUDE, GROQ]

MODELS = {
    "openai": {"gpt": "gpt", "alias": "gpt-2026"},
    "anthropic": {"sonnet": "sonnet", "alias": "sonnet"},
    "groq": {"openai/gpt-oss": "openai/gpt-oss", "llama": "llama"},
}

FAST = ModelSettings(
    targets=(Target("groq", "llama"), Target("openai", "gpt", order=1), Target("openai", "alias", order=1, weight=3.0)),
    strategy=Strategy.WEIGHTED,
)


def serves(provider: str, model: str) -> Served | str:
    known = MODELS[provider].get(model)
    if known is not None:
        return Served(known)
    return Served(model, known=False) if model.startswith("new") else f"{provider} has no such model"


def found(asked: str, uses: list[CredentialUse] | None = None, **models: ModelSettings) -> Resolved:
    return resolve(asked, ALL if uses is None else uses, RoutingSettings(models=models), serves)


def names(resolved: Resolved) -> list[str]:
    return [str(each) for each in resolved.main.candidates]


def test_plain_name_is_asked_of_every_provider_that_has_it() -> None:
    assert names(found("gpt")) == ["openai/gpt with main", "openai/gpt with spare"]
    assert names(found("alias")) == [
        "openai/gpt-2026 with main",
        "openai/gpt-2026 with spare",
        "anthropic/sonnet with claude",
    ]


def test_what_cannot_serve_it_is_left_out_with_the_reason() -> None:
    assert found("sonnet").main.left_out == (
        LeftOut("openai", "main", "sonnet", "openai has no such model"),
        LeftOut("openai", "spare", "sonnet", "openai has no such model"),
        LeftOut("groq", "g", "sonnet", "groq has no such model"),
    )


def test_order_and_weight_are_the_credential_s() -> None:
    main, spare = found("gpt").main.candidates
    assert (main.order, main.weight) == (0, 1.0)
    assert (spare.order, spare.weight) == (1, 2.0)


def test_name_that_nobody_knows_is_asked_of_all_that_may_have_it() -> None:
    """A model that came out today."""
    assert len(names(found("new-model"))) == 4


def test_provider_that_is_known_to_have_it_is_asked_rather_than_one_that_may() -> None:
    MODELS["groq"]["newest"] = "newest"
    try:
        resolved = found("newest")
    finally:
        del MODELS["groq"]["newest"]
    assert names(resolved) == ["groq/newest with g"]
    assert {each.reason for each in resolved.main.left_out} == {"another provider is known to have it"}


def test_provider_can_be_named() -> None:
    assert names(found("openai/gpt")) == ["openai/gpt with main", "openai/gpt with spare"]
    assert names(found("groq/llama")) == ["groq/llama with g"]
    assert names(found("anthropic/gpt")) == []


def test_slash_in_a_model_s_name_is_not_a_provider() -> None:
    """Unless the key has that provider: then it is said with the provider that is meant in front."""
    assert names(found("openai/gpt-oss", [GROQ])) == ["groq/openai/gpt-oss with g"]
    assert names(found("groq/openai/gpt-oss")) == ["groq/openai/gpt-oss with g"]


def test_operator_s_name_stands_for_its_targets() -> None:
    resolved = found("fast", fast=FAST)
    assert names(resolved) == [
        "groq/llama with g",
        "openai/gpt with main",
        "openai/gpt with spare",
        "openai/gpt-2026 with main",
        "openai/gpt-2026 with spare",
    ]
    assert [each.order for each in resolved.main.candidates] == [0, 1, 2, 1, 2]
    assert [each.weight for each in resolved.main.candidates] == [1, 1, 2, 3, 6]
    assert resolved.main.strategy is Strategy.WEIGHTED


def test_target_of_a_provider_that_the_key_has_not_is_no_candidate() -> None:
    assert names(found("fast", [CLAUDE, GROQ], fast=FAST)) == ["groq/llama with g"]


def test_operator_s_name_wins_over_a_provider_and_a_model_of_that_name() -> None:
    for name in ("gpt", "openai/gpt"):
        settings = RoutingSettings(models={name: ModelSettings((Target("groq", "llama"),))})
        assert names(resolve(name, ALL, settings, serves)) == ["groq/llama with g"]


def test_same_place_is_one_candidate() -> None:
    twice = ModelSettings((Target("openai", "alias"), Target("openai", "alias", order=5)))
    assert len(names(found("twice", twice=twice))) == 2


def test_fallbacks_are_resolved_as_names_are() -> None:
    settings = ModelSettings(
        fallbacks=(
            Fallback("fast"),
            Fallback("anthropic/sonnet", frozenset({OutcomeKind.CONTEXT_OVERFLOW})),
            Fallback("gpt"),
        )
    )
    resolved = found("gpt", gpt=settings, fast=FAST)
    assert [group.name for group in resolved.fallbacks] == ["fast", "anthropic/sonnet"]
    assert [group.on for group in resolved.fallbacks] == [FALLS_BACK, {OutcomeKind.CONTEXT_OVERFLOW}]
    assert resolved.fallbacks[0].candidates == found("fast", fast=FAST).main.candidates
    assert resolved.fallbacks[0].strategy is Strategy.WEIGHTED
    assert resolved.main.on == frozenset()


@pytest.mark.parametrize(
    ("to", "there"),
    [
        ("anthropic/new", []),
        ("new", []),
        ("groq/new", ["groq/new with g"]),
        ("meta/new", []),
        ("openai/gpt-oss", []),
        ("groq/openai/gpt-oss", ["groq/openai/gpt-oss with g"]),
    ],
)
def test_fallback_of_a_provider_that_the_key_has_not_is_asked_of_nobody_else(to: str, there: list[str]) -> None:
    """It would fail there, and that would be what the caller is told. What the operator says by name is done."""
    settings = RoutingSettings(models={"llama": ModelSettings(fallbacks=(Fallback(to),))})
    resolved = resolve("llama", [GROQ], settings, serves, providers=["openai", "anthropic", "groq"])
    assert names(resolved) == ["groq/llama with g"]
    assert [str(each) for each in resolved.fallbacks[0].candidates] == there


def test_fallbacks_of_fallbacks_do_not_count() -> None:
    """Two models may name each other."""
    one, other = ModelSettings(fallbacks=(Fallback("sonnet"),)), ModelSettings(fallbacks=(Fallback("gpt"),))
    assert [group.name for group in found("gpt", gpt=one, sonnet=other).fallbacks] == ["sonnet"]


def test_key_that_may_not_call_a_model_does_not_get_it_by_a_fallback() -> None:
    settings = RoutingSettings(models={"gpt": ModelSettings(fallbacks=(Fallback("sonnet"),))})
    resolved = resolve("gpt", ALL, settings, serves, allowed=lambda name: name == "gpt")
    assert len(resolved.main.candidates) == 2
    assert resolved.fallbacks[0].candidates == ()
    assert {each.reason for each in resolved.fallbacks[0].left_out} == {"this key may not call it"}
    refused = resolve("sonnet", ALL, settings, serves, allowed=lambda name: name == "gpt")
    assert refused.main.candidates == ()


@pytest.mark.parametrize("sticky", [True, False])
def test_what_is_said_of_all_counts_where_nothing_is_said_of_one(sticky: bool) -> None:
    settings = RoutingSettings(
        strategy=Strategy.LEAST_BUSY, sticky=sticky, models={"gpt": ModelSettings(sticky=not sticky)}
    )
    assert resolve("gpt", ALL, settings, serves).main.sticky is not sticky
    plain = resolve("sonnet", ALL, settings, serves).main
    assert (plain.sticky, plain.strategy) == (sticky, Strategy.LEAST_BUSY)


def test_call_without_a_model_has_every_credential() -> None:
    """Such as for a file."""
    resolved = resolve("", ALL, RoutingSettings(), lambda _provider, model: Served(model))
    assert resolved.main.candidates[0] == Candidate("openai", "main", "")
    assert len(resolved.main.candidates) == 4


def test_dialect_travels_with_the_candidate() -> None:
    resolved = resolve("sonnet", [CLAUDE], RoutingSettings(), lambda _, model: Served(model, dialect="anthropic"))
    assert resolved.main.candidates[0].dialect == "anthropic"
