"""The ``llmgateway`` command as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import llm_gateway
from llm_gateway.cli.main import main
from tests.cli.fake_gateway import FakeGateway

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(llm_gateway.__file__).parent.parent)}


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"llmgateway {llm_gateway.__version__}\n"


def test_help_names_every_command_and_how_to_start_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for word in ("chat", "check", "explain", "twistd -n llmgateway --demo"):
        assert word in text


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: llmgateway")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "--kesy", "x"], "llmgateway check: error: there is no option --kesy; did you mean --keys?"),
        (["check", "--kesy=x"], "llmgateway check: error: there is no option --kesy; did you mean --keys?"),
        (["chat", "--quiet", "Hi"], "llmgateway chat: error: there is no option --quiet"),
        (["check", "x", "y"], "llmgateway check: error: there are more arguments than it takes"),
    ],
)
def test_misspelt_option_is_told_the_nearest_right_one(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == complaint


@pytest.mark.parametrize("command", ["chat", "check", "explain"])
@pytest.mark.parametrize("misspelt", [["--kye", "vk_canary"], ["--kye=vk_canary"], ["vk_canary", "vk_canary"]])
def test_key_behind_a_misspelt_option_is_not_printed(
    command: str, misspelt: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed may be shown to others, or stay in a log."""
    monkeypatch.delenv("LLMGATEWAY_KEY", raising=False)
    with pytest.raises(SystemExit):
        main([command, *misspelt])
    printed = capsys.readouterr()
    assert "canary" not in printed.out + printed.err


def test_check_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--keys", str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().out


def test_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "llm_gateway", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert (result.returncode, result.stdout) == (0, f"llmgateway {llm_gateway.__version__}\n")


def test_command_never_installs_a_reactor() -> None:
    """It is a plain program; importing a reactor would take time and signals for nothing."""
    program = "import sys, llm_gateway.cli.main; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, timeout=60).returncode == 0


def test_reader_that_has_had_enough_ends_the_command_quietly() -> None:
    gateway = FakeGateway()
    try:
        gateway.answer_text("word " * 50_000)
        command = [sys.executable, "-m", "llm_gateway", "chat", "--key", "k", "--url", gateway.url, "Hello"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(9) == b"word word"
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 1
    finally:
        gateway.close()
