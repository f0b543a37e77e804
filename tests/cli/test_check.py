"""``llmgateway check``: what it prints and how it ends."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from llm_gateway.cli.check import add_parser, run

KEYS = """{"virtual_keys": {
  "vk_user1_openai": {"provider": "openai", "api_key": "sk-canary-1", "name": "team a"},
  "vk_user2_anthropic": {"provider": "anthropic", "api_key": "${CANARY}"}
}}
"""
SERVICES = """{
  "openai": "https://api.openai.com/v1/chat/completions",
  "anthropic": {"base_url": "https://api.anthropic.com/v1"}
}
"""
ENVIRON = {"CANARY": "sk-canary-2"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two good files."""
    monkeypatch.chdir(tmp_path)
    Path("keys.json").write_text(KEYS)
    Path("aiservices.json").write_text(SERVICES)
    return tmp_path


def check(*arguments: str, environ: Mapping[str, str] = ENVIRON) -> tuple[int, str]:
    """:return: the exit status, and what was printed."""
    out, err = io.StringIO(), io.StringIO()
    status = run(arguments, environ, out, err)
    assert err.getvalue() == ""
    return status, out.getvalue()


def test_good_files_end_with_0_and_a_table() -> None:
    """Each virtual key is listed by its label with the provider, dialect and URL that it reaches."""
    status, printed = check()
    assert status == 0
    assert printed == (
        "keys:       keys.json\n"
        "aiservices: aiservices.json\n"
        "\n"
        "KEY           PROVIDER   DIALECT    URL\n"
        "team a        openai     openai     https://api.openai.com/v1/chat/completions\n"
        "key:e2722bab  anthropic  anthropic  https://api.anthropic.com/v1/messages\n"
        "\n"
        "All is well: 2 virtual keys, 2 providers\n"
    )


def test_unknown_provider_is_an_error_here() -> None:
    """What only warns at start, so that the others can work, fails the check."""
    Path("keys.json").write_text(KEYS.replace('"anthropic"', '"antropic"'))
    status, printed = check()
    assert status == 1
    assert "key:e2722bab  antropic  -        not usable\n" in printed
    assert printed.endswith(
        '\nerror: keys.json:3: virtual_keys[2].provider: "antropic" is not in aiservices.json, so its calls are '
        'refused; did you mean "anthropic"? Known providers: anthropic, openai\n'
        "\n"
        "1 error; right so far: 2 virtual keys, 2 providers\n"
    )


def test_every_problem_of_both_files_is_printed() -> None:
    """One run tells all that has to be mended, and still shows what is right."""
    Path("keys.json").write_text(KEYS.replace("api_key", "apikey", 1))
    Path("aiservices.json").write_text(SERVICES.replace("base_url", "baseurl"))
    status, printed = check()
    assert status == 1
    assert [line.split(": ")[1] for line in printed.splitlines() if line.startswith("error: ")] == [
        "keys.json:2",
        "keys.json:2",
        "aiservices.json:3",
    ]
    assert printed.endswith("\n3 errors; right so far: 1 virtual key, 1 provider\n")


def test_no_virtual_keys_fail_the_check() -> None:
    """Files that refuse every call are not all right."""
    Path("keys.json").write_text('{"virtual_keys": {}}')
    status, printed = check()
    assert status == 1
    assert "error: keys.json:1: virtual_keys: no virtual keys: every call will be refused\n" in printed
    assert "PROVIDER" not in printed


def test_options_win_over_variables(folder: Path) -> None:
    """The files are found as the gateway finds them."""
    Path("other.json").write_text(KEYS.replace("team a", "team b"))
    Path("keys.json").unlink()
    assert "team b" in check(environ={**ENVIRON, "KEYS_FILE": "other.json"})[1]
    assert "team b" in check("--keys", "other.json", environ={**ENVIRON, "KEYS_FILE": "nowhere.json"})[1]
    assert check("--keys", "other.json", "--aiservices", "nowhere.json")[0] == 1
    assert check("--keys", "other.json", environ={**ENVIRON, "AISERVICES_FILE": "nowhere.json"})[0] == 1


def test_built_in_services_stand_in_for_a_missing_file() -> None:
    """Without an aiservices.json of one's own the three known providers are there."""
    Path("aiservices.json").unlink()
    status, printed = check()
    assert status == 0
    assert "aiservices: built in\n" in printed
    assert printed.endswith("All is well: 2 virtual keys, 3 providers\n")


def test_missing_keys_file_is_explained() -> None:
    """The first run in an empty folder tells what to do."""
    Path("keys.json").unlink()
    status, printed = check()
    assert status == 1
    assert "error: keys.json: does not exist; make one with `cp keys.example.json keys.json`" in printed


@pytest.mark.parametrize(
    ("old", "new"),
    [("{", "{"), ("openai", "nowhere"), ("provider", "providr"), ("}\n}}", "}\n"), ('"team a"', '"sk-canary-1"')],
)
def test_no_key_is_printed(old: str, new: str) -> None:
    """The output can be pasted into a bug report, whatever is wrong."""
    Path("keys.json").write_text(KEYS.replace(old, new))
    printed = check()[1]
    assert "canary" not in printed
    assert "vk_user" not in printed


def test_key_in_place_of_a_provider_is_not_printed_when_the_providers_are_unreadable() -> None:
    """Two mistakes at once do not make the table show what one of them would have hidden."""
    Path("keys.json").write_text('{"virtual_keys": {"vk_user": {"provider": "hunter2canary", "api_key": "openai"}}}')
    Path("aiservices.json").write_text("{")
    status, printed = check()
    assert status == 1
    assert "canary" not in printed


def test_wrong_option_ends_with_2() -> None:
    """A misspelt option is a usage error, told on standard error."""
    out, err = io.StringIO(), io.StringIO()
    assert run(["--kesy", "x"], {}, out, err) == 2
    assert "unrecognized arguments: --kesy" in err.getvalue()
    assert out.getvalue() == ""


def test_help_names_the_options() -> None:
    """``-h`` is worth reading and ends with 0."""
    status, printed = check("-h")
    assert status == 0
    printed = " ".join(printed.split())
    for word in ("--keys", "--aiservices", "$KEYS_FILE", "$AISERVICES_FILE", "without a network"):
        assert word in printed


def test_subcommand_of_the_program_returns_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program's own parser gets a ``func`` that reads the process's environment."""
    monkeypatch.setenv("CANARY", "sk-canary-2")
    monkeypatch.delenv("KEYS_FILE", raising=False)
    monkeypatch.delenv("AISERVICES_FILE", raising=False)
    parser = argparse.ArgumentParser("llmgateway")
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["check"])
    assert options.func(options) == 0
    assert "team a" in capsys.readouterr().out
    options = parser.parse_args(["check", "--keys", "nowhere.json"])
    assert options.func(options) == 1


def test_credentials_and_models_are_listed(folder: Path) -> None:
    """Each virtual key with all that its calls can be sent with, and each name with what it stands for."""
    Path("keys.json").write_text("""{
      "credentials": {
        "openai-main": {"provider": "openai", "api_key": "sk-canary-1"},
        "claude": {"provider": "anthropic", "api_key": "sk-canary-2"}
      },
      "virtual_keys": {
        "vk_user1": {"credentials": ["openai-main", {"name": "claude", "order": 1, "weight": 0.5}], "name": "team a"},
        "vk_user2": {"provider": "openai", "api_key": "sk-canary-3"}
      }
    }""")
    Path("aiservices.json").write_text("""{
      "openai": "https://api.openai.com/v1/chat/completions",
      "anthropic": {"base_url": "https://api.anthropic.com/v1"},
      "$routing": {
        "models": {
          "fast": {"targets": ["openai/gpt-5.4-mini", "anthropic/claude-haiku-5-5"]},
          "gpt-5.5": {"fallbacks": ["fast", {"to": "claude-opus-5-5", "on": ["silent"]}]}
        }
      }
    }""")
    status, printed = check()
    assert status == 0
    assert printed == (
        "keys:       keys.json\n"
        "aiservices: aiservices.json\n"
        "\n"
        "KEY           CREDENTIAL     ORDER  WEIGHT  PROVIDER   DIALECT    URL\n"
        "team a        openai-main    0      1       openai     openai     https://api.openai.com/v1/chat/completions\n"
        "              claude         1      0.5     anthropic  anthropic  https://api.anthropic.com/v1/messages\n"
        "key:ff655f58  real:5183e803  0      1       openai     openai     https://api.openai.com/v1/chat/completions\n"
        "\n"
        "MODEL    STANDS FOR                                       FALLS BACK TO\n"
        "fast     openai/gpt-5.4-mini, anthropic/claude-haiku-5-5  -\n"
        "gpt-5.5  itself                                           fast, claude-opus-5-5\n"
        "\n"
        "All is well: 2 virtual keys, 2 providers\n"
    )


def test_credential_that_no_key_of_the_file_has_is_all_right(folder: Path) -> None:
    """Keys that are made at run time may have it."""
    Path("keys.json").write_text(
        KEYS.replace("{", '{"credentials": {"spare": {"provider": "openai", "api_key": "x"}},', 1)
    )
    status, printed = check()
    assert (status, "error" in printed) == (0, False)
