"""Which files are read, and that reading them takes both or neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from llm_gateway.config.load import built_in_aiservices, choose_files, load_configuration, read_configuration
from llm_gateway.errors import ConfigurationError


@pytest.mark.parametrize(
    ("keys", "aiservices", "environ", "chosen"),
    [
        (None, None, {}, ("keys.json", None)),
        (None, None, {"KEYS_FILE": "k", "AISERVICES_FILE": "a"}, ("k", "a")),
        (None, None, {"KEYS_FILE": "", "AISERVICES_FILE": ""}, ("keys.json", None)),
        ("option", "option", {"KEYS_FILE": "k", "AISERVICES_FILE": "a"}, ("option", "option")),
    ],
)
def test_option_wins_over_variable_over_default(
    keys: str | None,
    aiservices: str | None,
    environ: Mapping[str, str],
    chosen: tuple[str, str | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same rule for both files; an empty variable is as good as none."""
    monkeypatch.chdir(tmp_path)
    assert choose_files(keys, aiservices, environ) == chosen


def test_services_file_in_the_current_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to name it. A link that leads nowhere counts too: that is an error, not a reason to look elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("aiservices.json").symlink_to("nowhere")
    assert choose_files(None, None, {}) == ("keys.json", "aiservices.json")


def test_built_in_services_serve_the_seed_keys(tmp_path: Path) -> None:
    """A keys.json alone is enough for the three known providers."""
    (tmp_path / "keys.json").write_text(
        '{"virtual_keys": {"vk_user3_deepseek": {"provider": "deepseek", "api_key": "sk-deepseek-key-abc123"}}}'
    )
    configuration = load_configuration(str(tmp_path / "keys.json"), None, {})
    assert configuration.warnings == ()
    assert set(configuration.providers) == {"openai", "anthropic", "deepseek"}
    assert configuration.providers["anthropic"].dialect == "anthropic"
    assert configuration.files == (str(tmp_path / "keys.json"), built_in_aiservices())


def test_no_providers_is_a_warning(tmp_path: Path) -> None:
    """An empty aiservices.json is allowed, and told."""
    (tmp_path / "keys.json").write_text('{"virtual_keys": {"vk_one": {"provider": "nowhere", "api_key": "sk-one"}}}')
    (tmp_path / "aiservices.json").write_text("{}")
    configuration = load_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    assert [warning.message for warning in configuration.warnings] == [
        '"nowhere" is not in aiservices.json, so its calls are refused; known providers: none',
        "no providers: every call will be refused",
    ]


def test_right_entries_are_readable_beside_wrong_ones(tmp_path: Path) -> None:
    """For showing what works while telling what does not; the gateway itself takes all or nothing."""
    (tmp_path / "keys.json").write_text(
        '{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": ""},'
        ' "vk_two": {"provider": "openai", "api_key": "sk-two"}}}'
    )
    reading = read_configuration(str(tmp_path / "keys.json"), None, {})
    assert [problem.place for problem in reading.problems] == ["virtual_keys[1].api_key"]
    assert [key.api_key.reveal() for key in reading.configuration.keys.values()] == ["sk-two"]
    with pytest.raises(ConfigurationError):
        load_configuration(str(tmp_path / "keys.json"), None, {})


def test_ten_thousand_keys_are_read(tmp_path: Path) -> None:
    """Large installations have one file too."""
    entries = ",\n".join(f'"vk_{n}": {{"provider": "openai", "api_key": "sk-{n}"}}' for n in range(10_000))
    (tmp_path / "keys.json").write_text(f'{{"virtual_keys": {{{entries}}}}}')
    configuration = load_configuration(str(tmp_path / "keys.json"), None, {})
    key = configuration.key_for(b"vk_9999")
    assert key is not None
    assert key.api_key.reveal() == "sk-9999"
