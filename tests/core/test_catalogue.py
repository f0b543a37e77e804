"""What a caller's name for a model leads to, and which models a key is shown."""

from __future__ import annotations

import pytest

from llm_gateway.core.catalogue import Catalogue, Chosen, Family, Model, choose, offered
from llm_gateway.core.model_rules import NOTHING, ModelFacts, ModelRule, ModelRules

HAIKU = ModelFacts(title="Haiku", max_output_tokens=64)
SONNET = ModelFacts(title="Sonnet", max_output_tokens=128)
GPT = ModelFacts(title="GPT-5.4")
GPT_MINI = ModelFacts(title="GPT-5.4 mini")
OPEN = ModelFacts(title="Open, at one provider")
OPEN_TOO = ModelFacts(title="Open, at another")

CATALOGUE = Catalogue(
    {
        "anthropic": Family("Anthropic", {"claude-haiku-4-5": HAIKU, "claude-sonnet-5": SONNET}),
        "openai": Family("OpenAI", {"gpt-5.4": GPT, "gpt-5.4-mini": GPT_MINI}),
        "groq": Family("Groq", {"openai/gpt-oss": OPEN}),
        "cerebras": Family("Cerebras", {"gpt-oss": OPEN_TOO}),
    }
)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("claude-haiku-4-5", HAIKU),
        ("claude-haiku-4-5-20251001", HAIKU),
        ("claude-haiku-4-5@20251001", HAIKU),
        ("anthropic/claude-haiku-4.5", HAIKU),
        ("anthropic.claude-haiku-4-5", HAIKU),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", HAIKU),
        ("us-gov.anthropic.claude-haiku-4-5-v1:0", HAIKU),
        ("claude-sonnet-5-latest", SONNET),
        ("openai/gpt-5.4", GPT),
        ("gpt-5.4-2026-03-05", GPT),
        ("openai/gpt-5.4:free", GPT),
        ("GPT-5.4-Mini", GPT_MINI),
        ("accounts/x/models/gpt-5.4-mini", GPT_MINI),
        ("gpt-5.40", NOTHING),
        ("gpt", NOTHING),
        ("", NOTHING),
        ("/", NOTHING),
    ],
)
def test_model_is_known_by_any_of_its_names(name: str, facts: ModelFacts) -> None:
    """Vendors in front and tags and dates behind do not make another model of it."""
    assert CATALOGUE.find(name) == facts


@pytest.mark.parametrize(("family", "facts"), [("groq", OPEN), ("cerebras", OPEN_TOO), (None, OPEN), ("vllm", OPEN)])
def test_model_of_several_providers_is_looked_up_at_its_own(family: str | None, facts: ModelFacts) -> None:
    assert CATALOGUE.find("openai/gpt-oss", family) is facts
    assert CATALOGUE.find("gpt-oss", family) is facts


def chosen(
    asked: str,
    key: list[ModelRule] | None = None,
    provider: list[ModelRule] | None = None,
    family: str | None = "openai",
) -> Chosen | None:
    return choose(asked, None if key is None else ModelRules(key), ModelRules(provider or []), CATALOGUE, family)


def test_without_a_word_about_it_a_model_is_what_it_is_called() -> None:
    assert chosen("gpt-5.4") == Chosen("gpt-5.4", "gpt-5.4", GPT)
    assert chosen("gpt-7") == Chosen("gpt-7", "gpt-7", NOTHING)


def test_key_s_alias_leads_to_another_model() -> None:
    rules = [ModelRule("fast", "gpt-5.4-mini"), ModelRule("claude-*", "gpt-5.4")]
    assert chosen("fast", rules) == Chosen("fast", "gpt-5.4-mini", GPT_MINI)
    assert chosen("claude-opus", rules) == Chosen("claude-opus", "gpt-5.4", GPT)


def test_model_that_a_key_does_not_list_is_not_for_it() -> None:
    assert chosen("gpt-5.4", [ModelRule("gpt-5.4-*")]) is None
    assert chosen("gpt-5.4", []) is None
    # Not even by way of what an alias leads to.
    assert chosen("gpt-5.4-mini", [ModelRule("fast", "gpt-5.4-mini")]) is None


def test_provider_s_own_name_and_the_operator_s_facts_count() -> None:
    provider = [
        ModelRule("gpt-5.4", "my-deployment", ModelFacts(max_output_tokens=5)),
        ModelRule("mine", "gpt-5.4-mini"),
    ]
    assert chosen("gpt-5.4", None, provider) == Chosen(
        "gpt-5.4", "my-deployment", ModelFacts(title="GPT-5.4", max_output_tokens=5)
    )
    assert chosen("mine", None, provider) == Chosen("mine", "gpt-5.4-mini", GPT_MINI)


def test_key_s_alias_and_then_the_provider_s_name_count() -> None:
    found = chosen("fast", [ModelRule("fast", "gpt-5.4")], [ModelRule("gpt-*", "prod-gpt-*")])
    assert found == Chosen("fast", "prod-gpt-5.4", GPT)


def listed(
    key: list[ModelRule] | None = None, provider: list[ModelRule] | None = None, family: str | None = "openai"
) -> list[Model]:
    rules = None if key is None else ModelRules(key)
    return offered(rules, ModelRules(provider or []), CATALOGUE, family, "mine")


def test_key_without_a_list_is_shown_the_provider_s_models() -> None:
    assert listed() == [Model("gpt-5.4", "mine", GPT), Model("gpt-5.4-mini", "mine", GPT_MINI)]


def test_models_of_the_operator_are_shown_first_and_patterns_not_at_all() -> None:
    provider = [ModelRule("gpt-5.4-mini", None, ModelFacts(max_output_tokens=5)), ModelRule("own"), ModelRule("x-*")]
    assert listed(provider=provider) == [
        Model("gpt-5.4-mini", "mine", ModelFacts(title="GPT-5.4 mini", max_output_tokens=5)),
        Model("own", "mine"),
        Model("gpt-5.4", "mine", GPT),
    ]


def test_key_is_shown_what_it_may_call_under_its_own_names() -> None:
    key = [
        ModelRule("fast", "gpt-5.4-mini"),
        ModelRule("gpt-*"),
        ModelRule("new-model"),
        ModelRule("claude-*", "gpt-5.4"),
    ]
    assert listed(key) == [
        Model("fast", "mine", GPT_MINI),
        Model("gpt-5.4", "mine", GPT),
        Model("gpt-5.4-mini", "mine", GPT_MINI),
        Model("new-model", "mine"),
    ]


def test_nothing_is_shown_of_a_provider_of_whom_nothing_is_known() -> None:
    assert listed(family=None) == []
    assert listed([ModelRule("*")], family="vllm") == []
