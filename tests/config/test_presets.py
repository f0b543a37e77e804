"""Providers that need only a key, and those that speak more than one dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.catalogue import shipped_models
from llm_gateway.config.load import load_configuration, read_configuration
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.urls import host_of, url_fault
from llm_gateway.config.values import Configuration, Endpoint, HealthCheck, Provider
from llm_gateway.core.betas import BetaFilter
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.presets import APIS, PLACES, Preset

PRESETS = shipped_presets().presets
ASKED_FOR = {
    *(
        "openai",
        "anthropic",
        "gemini",
        "mistral",
        "groq",
        "openrouter",
        "together",
        "xai",
        "azure",
        "bedrock",
        "vertex",
    ),
    *("ollama", "vllm", "deepseek", "fireworks", "cohere", "perplexity", "cerebras"),
}
PLACE = {"resource": "contoso", "region": "eu-west-1", "project": "p-1", "location": "europe-west4"}


def load(folder: Path, provider: str, services: dict[str, Any] | None) -> Configuration:
    """With one key for the provider."""
    keys = {"virtual_keys": {"vk_one": {"provider": provider, "api_key": "sk-one"}}}
    (folder / "keys.json").write_text(json.dumps(keys))
    if services is None:
        return load_configuration(str(folder / "keys.json"), None, {})
    (folder / "aiservices.json").write_text(json.dumps(services))
    return load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})


def provider(folder: Path, entry: Any, name: str = "mine") -> Provider:
    configuration = load(folder, name, {name: entry})
    assert configuration.warnings == ()
    return configuration.providers[name]


def needs(name: str) -> dict[str, str]:
    """What the operator has to say of this preset."""
    return {place: PLACE[place] for place, each in PRESETS[name].places.items() if each.default is None}


# The file


def test_presets_that_everybody_asks_for_are_there() -> None:
    assert not ASKED_FOR - PRESETS.keys()


@pytest.mark.parametrize("preset", [pytest.param(each, id=name) for name, each in PRESETS.items()])
def test_preset_is_sound(preset: Preset) -> None:
    """Every address is a URL, without a slash at its end; every word is one that the configuration knows."""
    assert preset.dialects.keys() <= DIALECTS.keys()
    assert set(preset.apis) <= set(APIS)
    assert preset.places.keys() <= set(PLACES)
    assert preset.source
    assert preset.models_of is None or preset.models_of in shipped_models().families
    for address in preset.dialects.values():
        for template in (address.base_url, address.url, address.versioned_base_url):
            if template is not None:
                url = preset.filled(template, PLACE)
                assert url_fault(url, query=False) is None
                assert not url.endswith("/")
                assert url.startswith("https://") or host_of(url) == "localhost"
    if preset.health:
        assert url_fault(preset.health, query=True) is None


def test_catalogue_has_the_models_of_presets_only() -> None:
    assert shipped_models().families.keys() <= PRESETS.keys()


# In the configuration


@pytest.mark.parametrize("name", [name for name in PRESETS if not needs(name)])
def test_key_is_enough(name: str, tmp_path: Path) -> None:
    """A key that names the provider, and no word about it anywhere else."""
    for services in (None, {}, {"other": "https://a.example/v1/chat/completions"}):
        configuration = load(tmp_path, name, services)
        assert configuration.warnings == ()
        found = configuration.providers[name]
        address = next(iter(PRESETS[name].dialects.values()))
        assert found.base_url == PRESETS[name].filled(address.base_url, {})
        assert found.preset == name


@pytest.mark.parametrize("name", [name for name in PRESETS if needs(name)])
def test_what_only_the_operator_knows_is_asked_for(name: str, tmp_path: Path) -> None:
    """As a warning where a key alone names the provider, since one bad line does not stop everyone."""
    for place in needs(name):
        reading = read_configuration(*files(tmp_path, name, {}), {})
        (warning,) = [each for each in reading.configuration.warnings if each.place == "virtual_keys[1].provider"]
        assert f'"{name}" needs "{next(iter(needs(name)))}" (' in warning.message
        assert "in aiservices.json, so its calls are refused" in warning.message
        assert name not in reading.configuration.providers

        said = {other: value for other, value in needs(name).items() if other != place}
        (problem,) = read_configuration(*files(tmp_path, name, {name: said}), {}).problems
        assert str(problem).startswith(f'{tmp_path}/aiservices.json:1: {name}: needs a field "{place}": ')
    assert load(tmp_path, name, {name: needs(name)}).providers[name].preset == name


def files(folder: Path, name: str, services: dict[str, Any]) -> tuple[str, str]:
    keys = {"virtual_keys": {"vk_one": {"provider": name, "api_key": "sk-one"}}}
    (folder / "keys.json").write_text(json.dumps(keys))
    (folder / "aiservices.json").write_text(json.dumps(services))
    return str(folder / "keys.json"), str(folder / "aiservices.json")


def test_presets_that_no_key_names_are_not_configured(tmp_path: Path) -> None:
    """Nobody is asked how they are who is never called."""
    assert list(load(tmp_path, "gemini", None).providers) == ["openai", "anthropic", "deepseek", "gemini"]


def test_provider_in_the_file_counts_before_the_preset(tmp_path: Path) -> None:
    found = provider(tmp_path, "https://a.example/v1/chat/completions", "mistral")
    assert (found.base_url, found.preset, found.apis) == ("https://a.example/v1", None, APIS)


def test_preset_may_have_another_name_and_other_settings(tmp_path: Path) -> None:
    found = provider(tmp_path, {"preset": "azure", "resource": "contoso", "timeouts": {"idle_s": 60}}, "azure-eu")
    assert found.own_endpoint == Endpoint(
        dialect="openai",
        url="https://contoso.openai.azure.com/openai/v1/chat/completions",
        base_url="https://contoso.openai.azure.com/openai/v1",
        auth="api-key",
        serves=PRESETS["azure"].dialects["openai"].serves,
    )
    assert found.others == (
        Endpoint(
            dialect="anthropic",
            url="https://contoso.services.ai.azure.com/anthropic/v1/messages",
            base_url="https://contoso.services.ai.azure.com/anthropic/v1",
            auth="x-api-key",
            serves=PRESETS["azure"].dialects["anthropic"].serves,
        ),
    )
    assert found.timeouts.idle_s == 60
    assert found.api_version is None


def test_azure_s_older_api_has_a_version(tmp_path: Path) -> None:
    found = provider(tmp_path, {"resource": "contoso", "api_version": "2024-10-21"}, "azure")
    assert found.base_url == "https://contoso.openai.azure.com/openai"
    assert found.url == "https://contoso.openai.azure.com/openai/chat/completions?api-version=2024-10-21"
    assert found.api_version == "2024-10-21"
    own = provider(tmp_path, {"base_url": "https://azure.internal/openai", "api_version": "2025-04-01-preview"})
    assert own.api_version == "2025-04-01-preview"
    assert own.url == "https://azure.internal/openai/chat/completions?api-version=2025-04-01-preview"


@pytest.mark.parametrize(
    ("entry", "base_url"),
    [
        ({"project": "p-1"}, "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/publishers/google"),
        (
            {"project": "p-1", "location": "europe-west4"},
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4/publishers/google",
        ),
        (
            {"project": "p-1", "location": "eu", "dialect": "openai"},
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu/endpoints/openapi",
        ),
    ],
)
def test_vertex_is_where_its_location_says(entry: dict[str, str], base_url: str, tmp_path: Path) -> None:
    found = provider(tmp_path, entry, "vertex")
    assert (found.base_url, found.auth, found.family) == (base_url, "bearer", "gemini")


def test_bedrock_speaks_both_dialects_in_its_region(tmp_path: Path) -> None:
    found = provider(tmp_path, {"region": "eu-west-1"}, "bedrock")
    assert found.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"
    anthropic = found.speaking("anthropic")
    assert anthropic is not None
    assert anthropic.url == "https://bedrock-runtime.eu-west-1.amazonaws.com/anthropic/v1/messages"
    assert anthropic.auth == "bearer"
    assert found.forward_beta is not None
    assert BetaFilter(found.forward_beta).keep([b"claude-code-20250219,oauth-2025-04-20"]) == [b"claude-code-20250219"]


def test_preset_s_health_check_costs_nothing(tmp_path: Path) -> None:
    assert provider(tmp_path, {}, "ollama").health == HealthCheck("http://localhost:11434/api/version")
    assert provider(tmp_path, {}, "groq").health == HealthCheck("https://api.groq.com/openai/v1/models")
    own = provider(tmp_path, {"health": {"url": "http://a.example/up"}}, "ollama")
    assert own.health == HealthCheck("http://a.example/up")


def test_own_url_of_a_preset_keeps_what_else_is_known(tmp_path: Path) -> None:
    """Behind a proxy of one's own, a provider is still who it is."""
    found = provider(tmp_path, {"preset": "azure", "base_url": "https://proxy.internal/azure"})
    assert (found.base_url, found.auth) == ("https://proxy.internal/azure", "api-key")
    assert (found.others, found.preset) == ((), "azure")


@pytest.mark.parametrize(
    ("url", "preset", "family", "apis"),
    [
        ("https://api.deepseek.com/v1/chat/completions", "deepseek", "deepseek", ("chat",)),
        ("https://api.openai.com/v1/chat/completions", "openai", "openai", APIS),
        ("https://contoso.openai.azure.com/openai/v1/chat/completions", "azure", "azure", APIS),
        ("http://localhost:11434/v1/chat/completions", None, None, APIS),
        ("https://a.example/v1/chat/completions", None, None, APIS),
    ],
)
def test_known_provider_is_told_from_a_plain_url(
    url: str, preset: str | None, family: str | None, apis: tuple[str, ...], tmp_path: Path
) -> None:
    """Nothing else changes for those who have written nothing but a URL: not the auth, not the dialects."""
    found = provider(tmp_path, url)
    assert (found.preset, found.family, found.apis) == (preset, family, apis)
    assert (found.url, found.auth, found.others) == (url, "bearer", ())


def test_misspelt_provider_does_not_silently_become_a_preset(tmp_path: Path) -> None:
    """A key for "anthropic" and a file with "antropic": one of the two is wrong."""
    configuration = load(tmp_path, "anthropic", {"antropic": "http://proxy.internal/v1/messages"})
    (warning,) = configuration.warnings
    assert str(warning).endswith(
        'aiservices.json:1: antropic: no key names it, and those of "anthropic" go to the preset of that name: is one '
        "of them misspelt?"
    )


# Several dialects


def test_dialects_of_one_provider_have_urls_of_their_own(tmp_path: Path) -> None:
    found = provider(
        tmp_path,
        {
            "url": "https://a.example/v1/chat/completions",
            "dialects": {"anthropic": {"base_url": "https://a.example/claude/v1/", "auth": "bearer"}},
        },
    )
    anthropic = found.speaking("anthropic")
    assert anthropic is not None
    assert (anthropic.base_url, anthropic.url) == (
        "https://a.example/claude/v1",
        "https://a.example/claude/v1/messages",
    )
    assert (anthropic.dialect, anthropic.auth, anthropic.name) == ("anthropic", "bearer", "mine")
    assert found.speaking("openai") is found
    assert found.speaking("gemini") is None
    back = anthropic.speaking("openai")
    assert back is not None
    assert back == found


@pytest.mark.parametrize(("dialect", "own"), [(None, "anthropic"), ("openai", "openai")])
def test_first_dialect_is_its_own_unless_it_says_otherwise(dialect: str | None, own: str, tmp_path: Path) -> None:
    entry: dict[str, Any] = {"dialects": {"anthropic": "https://a.example/v1", "openai": "https://b.example/v1"}}
    found = provider(tmp_path, entry | ({"dialect": dialect} if dialect else {}))
    assert (found.dialect, found.health.url) == (own, f"{found.base_url}/models")
    assert found.base_url == {"anthropic": "https://a.example/v1", "openai": "https://b.example/v1"}[own]


def test_one_word_about_the_key_is_for_all_dialects(tmp_path: Path) -> None:
    found = provider(
        tmp_path,
        {"url": "https://a.example/v1/messages", "auth": "bearer", "dialects": {"openai": "https://a.example/v1"}},
    )
    assert {each.auth for each in (found.own_endpoint, *found.others)} == {"bearer"}


def test_dialect_says_which_models_it_has(tmp_path: Path) -> None:
    """Or its preset does; who says nothing may have any."""
    entry: dict[str, Any] = {"base_url": "https://a.example/v1", "models": ["claude-*", "m"]}
    found = provider(tmp_path, {"dialects": {"openai": "https://b.example/v1", "anthropic": entry}})
    assert not found.serves
    (anthropic,) = found.others
    assert [bool(anthropic.serves.find(name)) for name in ("claude-x", "m", "gpt")] == [True, True, False]

    dialects = {"openai": "https://b.example/v1", "anthropic": entry}
    proxied = provider(tmp_path, {"preset": "azure", "dialects": dialects})
    assert proxied.serves == PRESETS["azure"].dialects["openai"].serves
    assert proxied.others[0].serves == anthropic.serves


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.models])
def test_names_that_a_preset_tells_its_models_by_fit_all_that_the_catalogue_has_of_it(name: str) -> None:
    """One that does not fit would not be asked of its provider on the day when the catalogue has lost it."""
    preset = PRESETS[name]
    family = shipped_models().families.get(preset.models_of or name)
    assert [model for model in (family.models if family else ()) if preset.serves.find(model) is None] == []
    for address in preset.dialects.values():
        assert [rule.pattern for rule in address.serves.rules if preset.serves.find(rule.pattern) is None] == []
