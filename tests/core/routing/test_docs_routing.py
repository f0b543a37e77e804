"""The reference page of routing says what the code does."""

from __future__ import annotations

import msgspec
import pytest

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.attempts import Why
from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.candidates import Effect, may_repeat
from llm_gateway.core.routing.explain import Explained
from llm_gateway.core.routing.outcomes import FALLS_BACK, RULES, TABLE, Acted, Again, OutcomeKind, Rule, Scope, Verdict
from llm_gateway.core.routing.settings import (
    Breaking,
    Hedging,
    Limits,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
)
from tests.markdown import ROOT, code, reference, section, tables

PAGE = reference("routing")

AGAIN = {Again.NEVER: "no", Again.LAST: "last, after a wait"}
ACTED = {Acted.NO: "no", Acted.FAILED: "it says not", Acted.MAYBE: "maybe"}
SCOPES = {Scope.PROVIDER: "provider", Scope.MODEL: "model", Scope.CREDENTIAL: "credential", Scope.ACCESS: "access"}
VERDICTS = {Verdict.NONE: "", Verdict.FAILED: "failure", Verdict.REFUSED: "refusal", Verdict.COOLS: "cools"}


def row(rule: Rule) -> list[str]:
    """The line of an outcome, as the page has it."""
    elsewhere = "at once" if rule.elsewhere else "if a fallback lists it" if rule.falls_back else "no"
    well = ", ".join(words for scope, words in SCOPES.items() if scope & rule.good_for)
    return [
        f"`{rule.kind.value}`",
        rule.meaning,
        elsewhere,
        AGAIN[rule.again],
        ACTED[rule.acted],
        SCOPES.get(rule.scope, ""),
        VERDICTS[rule.verdict],
        well if rule.good_for != Scope.ALL else "all",
    ]


def test_outcome_table_is_the_table_that_decides() -> None:
    [table] = tables(section(PAGE, "Outcomes"))
    assert table == [row(rule) for rule in TABLE]


def test_reasons_to_give_up_are_documented() -> None:
    [table] = tables(section(PAGE, "When it is given up"))
    assert [code(each[0])[0] for each in table] == [why.value for why in Why]


def test_strategies_are_documented() -> None:
    [table] = tables(section(PAGE, "Strategies"))
    assert [code(each[0])[0] for each in table] == [strategy.value for strategy in Strategy]


def test_what_may_be_repeated_is_documented() -> None:
    [table] = tables(section(PAGE, "Never twice"))
    assert [code(each[0])[0] for each in table] == [repeat.value for repeat in Repeat]


def test_states_are_documented() -> None:
    [table] = tables(section(PAGE, "States"))
    assert {code(each[0])[0] for each in table} == {state.value for state in State}


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("Settings of retries", Retries()),
        ("Settings of health", Breaking()),
        ("Limits of calls in flight", Limits()),
        ("Hedging", Hedging()),
    ],
)
def test_settings_and_their_defaults_are_documented(heading: str, settings: msgspec.Struct) -> None:
    [table] = tables(section(PAGE, heading))
    documented = {code(name)[0]: default for name, default, _ in table}
    assert documented == {name: written(value) for name, value in msgspec.structs.asdict(settings).items()}


def test_settings_of_a_provider_and_of_all_are_documented() -> None:
    documented = {code(name)[0]: default for name, default, _ in tables(section(PAGE, "Budget of retries"))[0]}
    provider = ProviderSettings()
    assert documented == {name: written(getattr(provider, name)) for name in ("retry_share", "retry_reserve")}
    settings = RoutingSettings()
    text = section(PAGE, "Strategies")
    assert f"`{settings.strategy.value}` unless" in text
    assert f"`explore` ({settings.explore:g})" in text
    assert f"`usual_s` ({settings.usual_s:g})" in text


def written(value: object) -> str:
    """A default as the page has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Repeat):
        return f"`{value.value}`"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_default_fallbacks_are_documented() -> None:
    text = section(PAGE, "Other models")
    listed = code(text.partition("asks for it by name:")[2])
    assert set(listed) == {rule.kind.value for rule in TABLE if rule.falls_back and rule.kind not in FALLS_BACK}
    assert OutcomeKind.FILTERED.value in listed


def test_fields_of_an_explanation_are_documented() -> None:
    *_parameters, table = tables(section(PAGE, "Explaining"))
    assert [code(each[0])[0] for each in table] == [each.encode_name for each in msgspec.structs.fields(Explained)]


def test_howto_says_why_silence_leads_nowhere_by_default() -> None:
    """And what does lead somewhere: a first byte that is not awaited longer than anything is sent again."""
    text = section((ROOT / "docs" / "howto" / "survive-outages.md").read_text(), "A provider that says nothing")
    retries, silent = Retries(), RULES[OutcomeKind.SILENT]
    assert f"{Timeouts().first_byte_s:g} seconds (`first_byte_s`)" in text
    assert f"{retries.deadline_s:g} (`deadline_s`)" in text
    assert not may_repeat(silent.acted, Effect.GENERATES, retries.repeat)
    timeouts, routing = (msgspec.json.decode("{" + each + "}") for each in code(text) if each.startswith('"'))
    advised = Retries(repeat=Repeat(routing["$routing"]["retries"]["repeat"]))
    assert timeouts["timeouts"]["first_byte_s"] < advised.deadline_s
    assert may_repeat(silent.acted, Effect.GENERATES, advised.repeat)
