"""What the README says to paste works, word for word but for the port."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markdown import ROOT, blocks
from tests.real.gateway import RunningGateway, clean_environ, running_gateway

# What is pasted names no wire.
pytestmark = pytest.mark.any_wire

README = (ROOT / "README.md").read_text()
ADDRESS = "localhost:8080"


def commands(program: str) -> list[str]:
    """The README's commands that run this program, each on one line."""
    lines = "\n".join(blocks(README, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if shlex.split(line, comments=True)[:1] == [program]]


def examples(*sdks: str) -> list[str]:
    """The README's Python programs for these SDKs."""
    return [block for block in blocks(README, "python") if re.match(rf"from ({'|'.join(sdks)}) import", block)]


@pytest.fixture(scope="module")
def gateway(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(bin_dir, tmp_path_factory.mktemp("gateway"), "--demo") as running:
        yield running


def run(arguments: list[str], gateway: RunningGateway) -> str:
    ours = [each.replace(ADDRESS, f"127.0.0.1:{gateway.port}") for each in arguments]
    environ = clean_environ({"NO_PROXY": "127.0.0.1", "LLMGATEWAY_URL": gateway.url})
    result = subprocess.run(
        ours, cwd=gateway.folder, input="Hello\n", capture_output=True, text=True, timeout=60, env=environ
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("command", commands("curl"))
def test_curl_commands_answer_200(gateway: RunningGateway, command: str) -> None:
    assert ADDRESS in command
    said = run([*shlex.split(command), "--silent", "--show-error", "--write-out", "\n%{http_code}"], gateway)
    assert said.splitlines()[-1] == "200"


@pytest.mark.parametrize("program", examples("openai", "anthropic"))
def test_sdk_examples_print_an_answer(gateway: RunningGateway, program: str) -> None:
    assert ADDRESS in program
    said = run([sys.executable, "-c", program], gateway)
    assert "played by the gateway's built-in demo provider" in said


def own_commands(name: str) -> list[list[str]]:
    """The README's commands ``llmgateway {name}``, in words."""
    return [words for each in commands("llmgateway") if (words := shlex.split(each, comments=True))[1] == name]


def test_chat_commands_answer(bin_dir: Path, gateway: RunningGateway) -> None:
    asked = own_commands("chat")
    for words in asked:
        said = run([str(bin_dir / words[0]), *words[1:]], gateway)
        assert "played by the gateway's built-in demo provider" in said
    assert len(asked) == 2


def test_explain_command_explains(bin_dir: Path, gateway: RunningGateway) -> None:
    [words] = own_commands("explain")
    assert "1 of 1 candidates is in." in run([str(bin_dir / words[0]), *words[1:]], gateway)


def test_readme_shows_seven_calls_and_two_sdks() -> None:
    """So that the tests above do not pass for want of anything to run."""
    assert (len(commands("curl")), len(examples("openai", "anthropic"))) == (7, 2)
