"""
Promise P6, for settings: no key, virtual or real, in anything that is said about a file.

For files that are damaged in any way, see ``tests/fuzz/core.py``.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from llm_gateway.config.load import read_configuration
from llm_gateway.errors import ConfigurationError, Problem

REAL, VIRTUAL, HEADER, INSIDE = "sk-canary-real", "vk-canary-virtual", "canary-header", "canary"
PLAIN = "hunter-two-canary"
"""A key that does not look like one."""
KEYS = f"""{{
  "credentials": {{
    "main": {{"provider": "openai", "api_key": "{REAL}-3", "in_flight": 5}}
  }},
  "virtual_keys": {{
    "{VIRTUAL}-3": {{"credentials": [{{"name": "main", "order": 1}}]}},
    "{VIRTUAL}-1": {{"provider": "openai", "api_key": "{REAL}-1", "name": "first"}},
    "{VIRTUAL}-2": {{"provider": "anthropic", "api_key": "${{CANARY}}"}}
  }}
}}
"""
SERVICES = f"""{{
  "openai": "https://api.openai.com/v1/chat/completions",
  "anthropic": {{
    "url": "https://api.anthropic.com/v1/messages",
    "headers": {{"x-token": "{HEADER}"}},
    "timeouts": {{"idle_s": 60}},
    "limits": {{"in_flight": 5}}
  }},
  "$routing": {{"models": {{"fast": {{"targets": ["openai/gpt"], "fallbacks": ["smart"]}}}}}}
}}
"""
ENVIRON = {"CANARY": f"{REAL}-2"}


def everything_said(folder: Path, keys: str | bytes, services: str | bytes) -> str:
    """Messages, representations and the traceback of the error, as a log could hold them."""
    for name, text in (("keys.json", keys), ("aiservices.json", services)):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    reading = read_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), ENVIRON)
    said = [repr(reading), str(reading), repr(reading.configuration), str(reading.configuration.warnings)]
    if reading.problems:
        try:
            raise ConfigurationError(reading.problems)
        except ConfigurationError as error:
            said += [repr(error), str(error), *traceback.format_exception(error)]
    return "\n".join(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


def test_good_files_say_nothing_of_their_keys(folder: Path) -> None:
    """A configuration can be printed."""
    said = everything_said(folder, KEYS, SERVICES)
    assert INSIDE not in said
    assert "3 keys" in said
    assert "3 credentials" in said


@pytest.mark.parametrize(
    ("keys", "services"),
    [
        pytest.param(SERVICES, KEYS, id="files-swapped"),
        pytest.param(f'{{"{VIRTUAL}": {{"provider": "openai", "api_key": "{REAL}"}}}}', SERVICES, id="no-virtual-keys"),
        pytest.param(KEYS, f'{{"{VIRTUAL}": {{"provider": "openai", "api_key": "{REAL}"}}}}', id="key-as-provider"),
        pytest.param(KEYS, f'{{"openai": {{"{REAL}": "https://a.example"}}}}', id="key-as-field"),
        pytest.param(KEYS, f'{{"openai": {{"url": "https://a.example", "auth": "{REAL}"}}}}', id="key-as-auth"),
        pytest.param(KEYS, f'{{"openai": {{"url": "https://a.example", "dialect": "{REAL}"}}}}', id="key-as-dialect"),
        pytest.param(KEYS, f'{{"openai": "https://{REAL}@a.example/"}}', id="key-in-url"),
        pytest.param(KEYS, f'{{"openai": "https://a.example/?key={REAL}"}}', id="key-in-query"),
        pytest.param(KEYS, f'{{"openai": "{REAL}"}}', id="key-for-url"),
        pytest.param(KEYS, f'{{"openai": {{"url": "http://a", "headers": {{"{REAL}": 1}}}}}}', id="key-as-header"),
        pytest.param(
            KEYS, f'{{"openai": {{"url": "http://a", "forward_headers": ["{REAL}:"]}}}}', id="key-as-forward-header"
        ),
        pytest.param(
            f'{{"virtual_keys": {{"{VIRTUAL}": {{"provider": "{REAL}", "api_key": "x"}}}}}}',
            SERVICES,
            id="key-as-provider-name",
        ),
        pytest.param(
            f'{{"virtual_keys": {{"{VIRTUAL}": {{"provider": "openai", "{REAL}": "x"}}}}}}',
            SERVICES,
            id="key-as-field-name",
        ),
        pytest.param(f'{{"virtual_keys": {{"{VIRTUAL}": "{REAL}", "{VIRTUAL}": 1}}}}', SERVICES, id="same-key-twice"),
        pytest.param(
            f'{{"virtual_keys": {{"{VIRTUAL}": {{"provider": "openai", "api_key": "x", "name": "a {VIRTUAL}"}}}}}}',
            SERVICES,
            id="key-in-name",
        ),
        pytest.param(
            f'{{"virtual_keys": {{"{VIRTUAL}": {{"provider": "openai", "api_key": "file:{REAL}"}}}}}}',
            SERVICES,
            id="key-as-file",
        ),
        pytest.param(
            f'{{"virtual_keys": {{"{VIRTUAL}": {{"provider": "openai", "api_key": "${{{REAL}}}"}}}}}}',
            SERVICES,
            id="key-as-variable",
        ),
        pytest.param(
            '{"virtual_keys": {"v": {"provider": "openai", "api_key": "${skcanaryreal0123456789abcdef}"}}}',
            SERVICES,
            id="key-as-good-variable",
        ),
        pytest.param(KEYS.replace("}", f'}} "{REAL}"', 1), SERVICES, id="key-where-a-comma-belongs"),
        pytest.param(KEYS.replace('"main"', f'"{REAL}"'), SERVICES, id="key-as-credential"),
        pytest.param(KEYS.replace('"main"', f'"a-{REAL}-3"'), SERVICES, id="key-in-the-name-of-a-credential"),
        pytest.param(KEYS.replace('"main"', f'"{VIRTUAL}"'), SERVICES, id="virtual-key-as-credential"),
        pytest.param(KEYS.replace('"name": "main"', f'"name": "{REAL}"'), SERVICES, id="key-as-use"),
        pytest.param(KEYS.replace('{"name": "main", "order": 1}', f'"{PLAIN}"'), SERVICES, id="plain-key-as-use"),
        pytest.param(KEYS.replace("in_flight", REAL), SERVICES, id="key-as-field-of-a-credential"),
        pytest.param(KEYS, SERVICES.replace("openai/gpt", f"{REAL}/gpt"), id="key-as-target"),
        pytest.param(KEYS, SERVICES.replace("$routing", f"${REAL}"), id="key-beside-the-providers"),
    ],
)
def test_key_in_the_wrong_place_is_not_quoted(keys: str, services: str, folder: Path) -> None:
    """The likeliest mistakes with real keys in them are told without the keys."""
    said = everything_said(folder, keys, services)
    assert "ConfigurationError" in said
    for secret in (REAL, VIRTUAL, PLAIN, "skcanaryreal"):
        assert secret not in said


def test_problem_is_plain_text() -> None:
    """A problem holds what it says and nothing behind it."""
    assert str(Problem("keys.json", 3, "virtual_keys[1]", "is wrong")) == "keys.json:3: virtual_keys[1]: is wrong"
    assert str(Problem("keys.json", None, "", "is empty")) == "keys.json: is empty"
