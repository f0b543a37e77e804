"""What ``aiservices.json`` says about routing, and what becomes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llm_gateway.config import routing_formats
from llm_gateway.config.formats import ProviderEntry
from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration
from llm_gateway.core.routing.outcomes import FALLS_BACK, OutcomeKind
from llm_gateway.core.routing.settings import (
    Breaking,
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
from llm_gateway.errors import ConfigurationError

OPENAI = "https://api.openai.com/v1/chat/completions"
KEYS = {
    "vk_one": {"provider": "openai", "api_key": "sk-one"},
    "vk_two": {"provider": "anthropic", "api_key": "sk-two"},
}


def load(folder: Path, services: dict[str, Any], keys: dict[str, Any] | None = None) -> Configuration:
    (folder / "keys.json").write_text(json.dumps({"virtual_keys": KEYS if keys is None else keys}))
    (folder / "aiservices.json").write_text(json.dumps(services, indent=1))
    return load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})


def routing(folder: Path, **fields: Any) -> RoutingSettings:
    return load(folder, {"openai": OPENAI, "$routing": fields}).routing


def models(folder: Path, **said: Any) -> Configuration:
    return load(folder, {"openai": OPENAI, "$routing": {"models": said}})


def warnings(configuration: Configuration) -> list[str]:
    return [f"{each.line}: {each.place}: {each.message}" for each in configuration.warnings]


# What is said


def test_files_that_say_nothing_have_every_default(tmp_path: Path) -> None:
    """The plain form works as it stands."""
    assert load(tmp_path, {"openai": OPENAI}).routing == RoutingSettings()
    assert routing(tmp_path) == RoutingSettings()
    assert routing(tmp_path, retries={}, models={}) == RoutingSettings()


def test_all_of_it_can_be_said(tmp_path: Path) -> None:
    """Each field comes out where it belongs."""
    found = routing(
        tmp_path,
        strategy="fastest",
        sticky=True,
        explore=0.5,
        usual_s=30,
        retries={"attempts": 2, "deadline_s": 10, "repeat": "all", "spread": False},
        hedging={"after_s": 1.5, "share": 1},
    )
    assert found == RoutingSettings(
        strategy=Strategy.FASTEST,
        sticky=True,
        explore=0.5,
        usual_s=30.0,
        retries=Retries(attempts=2, deadline_s=10.0, repeat=Repeat.ALL, spread=False),
        hedging=Hedging(after_s=1.5, share=1.0),
    )


def test_settings_of_a_provider_are_found_by_its_name(tmp_path: Path) -> None:
    """Those that say nothing have the defaults."""
    services = {
        "openai": {"url": OPENAI, "limits": {"in_flight": 3, "queue": 0}, "retry_share": 0},
        "mine": {"preset": "vllm", "breaking": {"enabled": False, "open_s": 30}},
        "other": {"preset": "groq", "timeouts": {"idle_s": 5}},
    }
    found = load(tmp_path, services).routing
    assert found.providers == {
        "openai": ProviderSettings(limits=Limits(in_flight=3, queue=0), retry_share=0.0),
        "mine": ProviderSettings(breaking=Breaking(enabled=False, open_s=30.0)),
    }
    assert found.provider("other") == found.provider("anthropic") == ProviderSettings()


def test_name_of_the_operator_s_own_stands_for_its_targets(tmp_path: Path) -> None:
    """Written short or long; what follows the first slash is the model's name, slashes and all."""
    long = {"provider": "anthropic", "model": "claude", "order": 1, "weight": 0.5}
    configuration = models(tmp_path, fast={"targets": ["openai/gpt", "openai/org/gpt", long], "sticky": False})
    assert configuration.routing.model("fast") == ModelSettings(
        targets=(Target("openai", "gpt"), Target("openai", "org/gpt"), Target("anthropic", "claude", 1, 0.5)),
        sticky=False,
    )
    assert configuration.warnings == ()


def test_fallbacks_are_names_or_say_after_which_outcomes(tmp_path: Path) -> None:
    """A plain name stands for all that sends a call to another candidate; one outcome may lead elsewhere first."""
    on_overflow = {"to": "openai/long", "on": ["context_overflow", "filtered"]}
    configuration = models(
        tmp_path,
        fast={"fallbacks": [on_overflow, "smart", "openai/long-2"], "strategy": "weighted"},
        smart={"targets": ["openai/gpt"]},
    )
    assert configuration.routing.model("fast") == ModelSettings(
        fallbacks=(
            Fallback("openai/long", frozenset({OutcomeKind.CONTEXT_OVERFLOW, OutcomeKind.FILTERED})),
            Fallback("smart", FALLS_BACK),
            Fallback("openai/long-2", FALLS_BACK),
        ),
        strategy=Strategy.WEIGHTED,
    )
    assert configuration.warnings == ()


def test_one_model_may_come_twice_after_different_outcomes(tmp_path: Path) -> None:
    """Which of two comes first may depend on what happened."""
    a, b = ({"to": to, "on": ["silent"]} for to in ("smart", "other"))
    again = {"to": "smart", "on": ["overloaded"]}
    said = {"fast": {"fallbacks": [a, b, again]}, "smart": {"sticky": True}, "other": {"sticky": True}}
    assert [each.to for each in models(tmp_path, **said).routing.model("fast").fallbacks] == ["smart", "other", "smart"]


def test_routing_may_stand_before_the_providers(tmp_path: Path) -> None:
    """The order of the names in the file does not matter."""
    said = {"$routing": {"models": {"fast": {"targets": ["mine/m"]}}}, "mine": {"preset": "vllm"}}
    configuration = load(tmp_path, said, {"vk_one": {"provider": "mine", "api_key": "x"}})
    assert configuration.routing.model("fast").targets == (Target("mine", "m"),)
    assert list(configuration.providers) == ["mine"]


def test_reload_notices_a_change_of_routing(tmp_path: Path) -> None:
    """Two configurations that differ in one setting are not the same."""
    services: dict[str, Any] = {"openai": OPENAI, "$routing": {"sticky": True}}
    before = load(tmp_path, services)
    assert load(tmp_path, services) == before
    assert load(tmp_path, services | {"$routing": {"sticky": False}}) != before
    assert load(tmp_path, services | {"openai": {"url": OPENAI, "retry_share": 0.3}}) != before


# What is doubtful


def test_target_that_no_key_reaches_is_a_warning(tmp_path: Path) -> None:
    """What somebody counts on in an outage is told before there is one."""
    configuration = models(tmp_path, fast={"targets": ["openai/gpt", "groq/llama"]})
    assert warnings(configuration) == [
        '8: $routing.models.fast.targets[2]: no virtual key has a credential of "groq", so no call goes there'
    ]
    assert "groq" not in configuration.providers


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("smrat", True),
        ("smart", False),
        ("openai/smrat", False),
        ("gpt-5.4-mini", False),
        ("something-else", False),
    ],
)
def test_fallback_that_is_nearly_a_name_of_the_operator_s_is_a_warning(to: str, told: bool, tmp_path: Path) -> None:
    """It may be a model that is not known yet, so that it is no error."""
    configuration = models(tmp_path, fast={"fallbacks": [to]}, smart={"sticky": True})
    place = "7: $routing.models.fast.fallbacks[1]"
    expected = f'{place}: "{to}" is no known model and no name under "models"; did you mean "smart"?'
    assert warnings(configuration) == ([expected] if told else [])


def test_model_that_a_provider_lists_is_known(tmp_path: Path) -> None:
    """An operator's own models are no misspelt names."""
    services = {
        "openai": {"url": OPENAI, "models": ["smrat"]},
        "$routing": {"models": {"fast": {"fallbacks": ["smrat"]}, "smart": {"sticky": True}}},
    }
    assert load(tmp_path, services).warnings == ()


# The formats and the settings


@pytest.mark.parametrize(
    ("entry", "shape"),
    [
        (routing_formats.LimitsEntry, Limits),
        (routing_formats.BreakingEntry, Breaking),
        (routing_formats.RetriesEntry, Retries),
        (routing_formats.HedgingEntry, Hedging),
        (routing_formats.TargetEntry, Target),
        (routing_formats.FallbackEntry, Fallback),
        (routing_formats.ModelRoutingEntry, ModelSettings),
    ],
)
def test_format_has_the_fields_and_defaults_of_the_settings(
    entry: type[msgspec.Struct], shape: type[msgspec.Struct]
) -> None:
    """A setting that is added cannot be forgotten in the files, nor have another default there."""
    written = {field.name: field.default for field in msgspec.structs.fields(entry)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(shape)}
    assert written.keys() == defaults.keys()
    for name, default in written.items():
        if default not in (msgspec.UNSET, msgspec.NODEFAULT):
            kept = defaults[name]
            assert default == (kept.value if isinstance(kept, Repeat) else kept), name


def test_format_of_all_has_the_fields_of_the_settings() -> None:
    """The same where the fields are spread over both files."""
    written = {field.name for field in msgspec.structs.fields(routing_formats.RoutingEntry)}
    elsewhere = {"providers", "credentials"}
    assert written == {field.name for field in msgspec.structs.fields(RoutingSettings)} - elsewhere
    of_a_provider = {field.name for field in msgspec.structs.fields(ProviderEntry)}
    assert {field.name for field in msgspec.structs.fields(ProviderSettings)} <= of_a_provider


@pytest.mark.parametrize("name", ["strategy", "explore", "usual_s", "sticky"])
def test_format_of_all_has_the_defaults_of_the_settings(name: str) -> None:
    [default] = [each.default for each in msgspec.structs.fields(routing_formats.RoutingEntry) if each.name == name]
    kept = getattr(RoutingSettings(), name)
    assert default == (kept.value if isinstance(kept, Strategy) else kept)


NUMBERS = [
    ("limits", Limits, name, value)
    for name, value in (("in_flight", 0), ("in_flight", 1), ("queue", -1), ("queue", 0), ("wait_s", 0))
] + [
    ("breaking", Breaking, field.name, value)
    for field in msgspec.structs.fields(Breaking)
    for value in (-1, 0, 1, 1.5)
    if field.name != "enabled"
]


@pytest.mark.parametrize(("section", "shape", "name", "value"), NUMBERS)
def test_reader_and_settings_agree_on_what_a_number_may_be(
    section: str, shape: type[msgspec.Struct], name: str, value: float, tmp_path: Path
) -> None:
    """No number gets past the reader that the settings would refuse with an error of Python's."""
    try:
        shape(**{name: value})
        refused = False
    except ValueError:
        refused = True
    [kind] = [each.type for each in msgspec.structs.fields(shape) if each.name == name]
    whole = "int" in str(kind)
    try:
        load(tmp_path, {"openai": {"url": OPENAI, section: {name: value}}})
        told = ""
    except ConfigurationError as error:
        told = str(error)
    if refused or (whole and value == 1.5):
        assert re.search(rf"openai\.{section}\.{name}: must be a (whole )?number", told)
    else:
        assert "must be a" not in told
