"""What both files say about models, beta features and fields that a dialect does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Provider, VirtualKey
from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules
from llm_gateway.core.translation.losses import OnUnsupported


def load(folder: Path, key: dict[str, Any], service: dict[str, Any]) -> tuple[VirtualKey, Provider]:
    keys = {"virtual_keys": {"vk": {"provider": "mine", "api_key": "sk-one", **key}}}
    services = {"mine": {"url": "https://a.example/v1/chat/completions", **service}}
    (folder / "keys.json").write_text(json.dumps(keys))
    (folder / "aiservices.json").write_text(json.dumps(services))
    configuration = load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})
    found = configuration.key_for(b"vk")
    assert found is not None
    return found, configuration.providers["mine"]


def test_not_a_word_means_everything_as_it_is(tmp_path: Path) -> None:
    key, provider = load(tmp_path, {}, {})
    assert (key.models, key.on_unsupported) == (None, OnUnsupported.DEFAULT)
    assert (provider.models, provider.on_unsupported) == (ModelRules(), OnUnsupported.DEFAULT)
    assert (provider.forward_beta, provider.apis) == (None, ("chat", "responses"))


def test_list_of_a_key_is_what_it_may_call(tmp_path: Path) -> None:
    key, _ = load(tmp_path, {"models": ["gpt-5.4", "claude-*"]}, {})
    assert key.models == ModelRules([ModelRule("gpt-5.4"), ModelRule("claude-*")])


def test_object_of_a_key_gives_models_other_names(tmp_path: Path) -> None:
    key, _ = load(tmp_path, {"models": {"fast": "gpt-5.4-mini", "claude-*": "vendor/claude-*", "gpt-*": True}}, {})
    assert key.models == ModelRules(
        [ModelRule("fast", "gpt-5.4-mini"), ModelRule("claude-*", "vendor/claude-*"), ModelRule("gpt-*")]
    )


def test_list_of_a_provider_names_models_and_its_object_describes_them(tmp_path: Path) -> None:
    _, provider = load(tmp_path, {}, {"models": ["one", "two-*"]})
    assert provider.models == ModelRules([ModelRule("one"), ModelRule("two-*")])
    entry = {
        "upstream_name": "deployment-1",
        "title": "One",
        "context_window": 8192,
        "max_output_tokens": 1024,
        "reasoning": False,
        "sampling": True,
        "inputs": ["text", "image"],
        "outputs": ["text"],
        "operations": ["chat"],
    }
    _, provider = load(tmp_path, {}, {"models": {"one": entry, "two": {}}})
    assert provider.models == ModelRules(
        [
            ModelRule(
                "one",
                "deployment-1",
                ModelFacts(
                    title="One",
                    context_window=8192,
                    max_output_tokens=1024,
                    reasoning=False,
                    sampling=True,
                    inputs=("text", "image"),
                    outputs=("text",),
                    operations=("chat",),
                ),
            ),
            ModelRule("two"),
        ]
    )


def test_names_of_models_in_keys_are_not_shown() -> None:
    """A key may have been put in their place."""
    assert "canary" not in repr(ModelRules([ModelRule("canary", "canary")]))


@pytest.mark.parametrize("word", ["reject", "drop", "pass"])
def test_policy_for_what_is_not_supported_is_read_in_both_files(word: str, tmp_path: Path) -> None:
    key, provider = load(tmp_path, {"on_unsupported": word}, {"on_unsupported": word})
    assert key.on_unsupported is provider.on_unsupported is OnUnsupported(word)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (True, None),
        (False, ()),
        ([], ()),
        (["files-api-2025-04-14", "computer-use-*"], ("files-api-2025-04-14", "computer-use-*")),
    ],
)
def test_beta_features_are_all_none_or_listed(written: Any, read: Any, tmp_path: Path) -> None:
    _, provider = load(tmp_path, {}, {"forward_beta": written})
    assert provider.forward_beta == read


def test_provider_may_have_one_of_openai_s_apis_only(tmp_path: Path) -> None:
    _, provider = load(tmp_path, {}, {"apis": ["chat", "chat"]})
    assert provider.apis == ("chat",)
