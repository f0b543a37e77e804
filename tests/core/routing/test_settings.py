"""What is refused, and what counts where nothing is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llm_gateway.core.routing.outcomes import FALLS_BACK, OutcomeKind
from llm_gateway.core.routing.settings import (
    Breaking,
    CredentialUse,
    Fallback,
    Hedging,
    Limits,
    ModelSettings,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
    Target,
)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CredentialUse("main", "openai", order=-1),
        lambda: CredentialUse("main", "openai", weight=-0.1),
        lambda: Target("openai", "gpt", weight=-1),
        lambda: Fallback("fast", frozenset({OutcomeKind.CLIENT_GONE})),
        lambda: Fallback("fast", frozenset({OutcomeKind.OK})),
        lambda: Retries(attempts=0),
        lambda: Retries(again=-1),
        lambda: Retries(deadline_s=0),
        lambda: Breaking(failure_share=0),
        lambda: Breaking(failure_share=1.1),
        lambda: Breaking(open_s=0),
        lambda: Limits(in_flight=0),
        lambda: Limits(queue=-1),
        lambda: Hedging(after_s=0),
        lambda: Hedging(share=0),
        lambda: ProviderSettings(retry_share=2),
        lambda: RoutingSettings(explore=-1),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="'"):
        wrong()


def test_fallback_may_be_for_the_caller_s_mistakes_if_it_says_so() -> None:
    assert Fallback("fast").on == FALLS_BACK
    assert Fallback("fast", frozenset({OutcomeKind.FILTERED})).on == {OutcomeKind.FILTERED}


def test_nothing_is_hedged_limited_or_sent_twice_by_default() -> None:
    settings = RoutingSettings()
    assert settings.hedging.after_s is None
    assert settings.provider("any").limits.in_flight is None
    assert settings.retries.repeat is Repeat.SAFE
    assert settings.strategy is Strategy.IN_ORDER
    assert settings.model("any") == ModelSettings()


def test_settings_are_found_by_name() -> None:
    limits, fast = ProviderSettings(Limits(3)), ModelSettings(strategy=Strategy.FASTEST)
    settings = RoutingSettings(providers={"openai": limits}, models={"fast": fast})
    assert settings.provider("openai") is limits
    assert settings.model("fast") is fast
