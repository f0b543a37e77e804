"""``${ENV_NAME}`` and ``file:/path``: what they become."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration
from llm_gateway.errors import ConfigurationError

ENVIRON = {"KEY": "sk-env", "PART": "b", "CREDENTIALS_DIRECTORY": "secrets", "TRICK": "file:secrets/openai"}


def load(folder: Path, api_key: str, environ: Mapping[str, str] = ENVIRON) -> Configuration:
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "secrets" / "openai").write_bytes(b"sk-file\r\n\n")
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"virtual_keys": {"vk_one": {"provider": "openai", "api_key": api_key}}}))
    return load_configuration(str(keys), None, environ)


def api_key(configuration: Configuration) -> str:
    (key,) = configuration.keys.values()
    return key.api_key.reveal()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sk-plain", "sk-plain"),
        ("${KEY}", "sk-env"),
        ("a-${PART}-c", "a-b-c"),
        ("${PART}${PART}", "bb"),
        ("$${KEY}", "${KEY}"),
        ("$${${PART}}", "${b}"),
        ("a$b", "a$b"),
        ("$", "$"),
        ("$5", "$5"),
        ("file:secrets/openai", "sk-file"),
        ("file:./secrets/../secrets/openai", "sk-file"),
        ("file:${CREDENTIALS_DIRECTORY}/openai", "sk-file"),
        ("${TRICK}", "file:secrets/openai"),
        ("sk-file:x", "sk-file:x"),
        ("clé", "clé"),
    ],
)
def test_secret_becomes_what_it_points_to(written: str, meant: str, tmp_path: Path) -> None:
    """Variables are filled in wherever they stand; a file is read only where the settings file itself says so."""
    assert api_key(load(tmp_path, written)) == meant


def test_relative_secret_file_starts_at_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gateway is started from does not matter."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert api_key(load(tmp_path, "file:secrets/openai")) == "sk-file"


def test_absolute_secret_file_and_its_url_form_work(tmp_path: Path) -> None:
    """Container secrets are mounted at absolute paths; some people write file URLs."""
    assert api_key(load(tmp_path, f"file:{tmp_path}/secrets/openai")) == "sk-file"
    assert api_key(load(tmp_path, f"file://{tmp_path}/secrets/openai")) == "sk-file"


def test_secret_files_are_among_the_files_to_watch(tmp_path: Path) -> None:
    """A rotated secret is noticed."""
    configuration = load(tmp_path, "file:secrets/openai")
    assert str(tmp_path / "keys.json") in configuration.files
    assert str(tmp_path / "secrets" / "openai") in configuration.files


def test_header_values_are_secrets_too(tmp_path: Path) -> None:
    """A provider's extra header may hold a token, and may hold spaces."""
    services = tmp_path / "aiservices.json"
    services.write_text(
        '{"openai": {"base_url": "https://a.example/v1",'
        ' "headers": {"X-Token": "Token ${KEY}", "x-team": "file:team"}}}'
    )
    (tmp_path / "team").write_text("red\n")
    (tmp_path / "keys.json").write_text('{"virtual_keys": {}}')
    configuration = load_configuration(str(tmp_path / "keys.json"), str(services), ENVIRON)
    headers = configuration.providers["openai"].headers
    assert [(name, value.reveal()) for name, value in headers] == [("x-token", "Token sk-env"), ("x-team", "red")]
    assert str(tmp_path / "team") in configuration.files


@pytest.mark.parametrize("path", ["file:\\u0000", "file:/dev/zero", "file:a\\u0000b", "file:" + "x" * 5000])
def test_impossible_path_is_an_error_and_no_crash(path: str, tmp_path: Path) -> None:
    """Device files, NUL characters and endless names are refused like any other unusable file."""
    with pytest.raises(ConfigurationError, match=r"virtual_keys\[1\]\.api_key: the secret file"):
        load(tmp_path, json.loads(f'"{path}"'))


@pytest.mark.parametrize("value", ["sk one", "sk\x7fone", "sk\x85one", "sk\xa0one", "\udcff"])
def test_variable_that_would_break_a_header_is_an_error(value: str, tmp_path: Path) -> None:
    """White space, controls of both sets and bytes that are no text never reach the wire."""
    with pytest.raises(ConfigurationError, match="the environment variable KEY must not hold"):
        load(tmp_path, "${KEY}", {"KEY": value})
