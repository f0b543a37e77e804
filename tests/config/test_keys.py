"""What an entry of ``keys.json`` becomes, and what is only a warning."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration

SERVICES = '{"openai": "https://api.openai.com/v1/chat/completions", "deepseek": "https://d.example/chat/completions"}'


def load(folder: Path, virtual_keys: dict[str, Any]) -> Configuration:
    (folder / "keys.json").write_text(json.dumps({"virtual_keys": virtual_keys}, indent=1))
    (folder / "aiservices.json").write_text(SERVICES)
    return load_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})


def test_plain_form_of_the_seed_documents_works(tmp_path: Path) -> None:
    """The files of the small gateways before this one work as they stand."""
    configuration = load(tmp_path, {"vk_user1_openai": {"provider": "openai", "api_key": "sk-real-openai-key-123"}})
    key = configuration.key_for(b"vk_user1_openai")
    assert key is not None
    assert (key.provider, key.api_key.reveal(), key.name) == ("openai", "sk-real-openai-key-123", None)
    assert configuration.warnings == ()


@pytest.mark.parametrize("prefix", ["sha256:", "SHA256:"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_hashed_key_opens_with_the_key_and_not_with_the_hash(prefix: str, case: Any, tmp_path: Path) -> None:
    """Who reads the file cannot call with what it holds."""
    written = prefix + case(hashlib.sha256(b"vk_one").hexdigest())
    configuration = load(tmp_path, {written: {"provider": "openai", "api_key": "sk-one", "name": "one"}})
    key = configuration.key_for(b"vk_one")
    assert key is not None
    assert key.label == "one"
    assert configuration.key_for(written.encode()) is None


def test_keys_keep_their_order(tmp_path: Path) -> None:
    """Tables list keys as the file does."""
    names = ["b", "a", "c"]
    configuration = load(tmp_path, {n: {"provider": "openai", "api_key": "x", "name": f"key {n}"} for n in names})
    assert [key.label for key in configuration.keys.values()] == ["key b", "key a", "key c"]


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("deepsek", '; did you mean "deepseek"? Known providers: deepseek, openai'),
        ("OpenAI", '; did you mean "openai"? Known providers: deepseek, openai'),
        ("minstral", '; did you mean "mistral"? Known providers: deepseek, openai'),
        ("palantir", "; known providers: deepseek, openai"),
    ],
)
def test_unknown_provider_is_a_warning_with_the_nearest_name(provider: str, message: str, tmp_path: Path) -> None:
    """One bad line does not stop everyone: its calls are refused, the others work."""
    configuration = load(
        tmp_path,
        {"vk_one": {"provider": provider, "api_key": "sk-one"}, "vk_two": {"provider": "openai", "api_key": "sk-two"}},
    )
    (warning,) = configuration.warnings
    assert (warning.line, warning.place) == (4, "virtual_keys[1].provider")
    assert warning.message == f'"{provider}" is not in aiservices.json, so its calls are refused{message}'
    one = configuration.key_for(b"vk_one")
    assert one is not None
    assert one.provider == provider
    assert configuration.key_for(b"vk_two") is not None


def test_no_virtual_keys_is_a_warning(tmp_path: Path) -> None:
    """A gateway that nobody can use says so when it starts, and starts."""
    (warning,) = load(tmp_path, {}).warnings
    assert (warning.place, warning.message) == ("virtual_keys", "no virtual keys: every call will be refused")


def test_no_virtual_keys_beside_credentials_is_how_keys_made_at_run_time_want_it(tmp_path: Path) -> None:
    (tmp_path / "aiservices.json").write_text('{"openai": "https://api.openai.com/v1/chat/completions"}')
    (tmp_path / "keys.json").write_text(
        '{"credentials": {"main": {"provider": "openai", "api_key": "sk-x"}}, "virtual_keys": {}}'
    )
    configuration = load_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    assert configuration.warnings == ()
    assert list(configuration.credentials) == ["main"]


def test_provider_that_is_configured_may_have_any_look(tmp_path: Path) -> None:
    """The suspicion that a name is a key ends where a provider has that name."""
    (tmp_path / "keys.json").write_text('{"virtual_keys": {"x": {"provider": "vk-cloud", "api_key": "vk-cloud"}}}')
    (tmp_path / "aiservices.json").write_text('{"vk-cloud": "https://vk.example/v1/chat/completions"}')
    configuration = load_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    assert configuration.warnings == ()
    assert len(configuration.keys) == 1


def test_name_may_resemble_a_placeholder(tmp_path: Path) -> None:
    """Short placeholders in place of real keys do not limit how keys are called."""
    configuration = load(tmp_path, {"vk_one": {"provider": "openai", "api_key": "demo", "name": "demo für alle"}})
    assert [key.label for key in configuration.keys.values()] == ["demo für alle"]
