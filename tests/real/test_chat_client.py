"""``llmgateway chat``, the installed command, through a running gateway to each of the demo's providers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.gateway import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def gateway(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(bin_dir, tmp_path_factory.mktemp("gateway"), "--demo") as running:
        yield running


@pytest.mark.parametrize(
    ("key", "maker"),
    [("vk_user1_openai", "OpenAI"), ("vk_user2_anthropic", "Anthropic"), ("vk_user3_deepseek", "DeepSeek")],
)
@pytest.mark.parametrize("options", [[], ["--no-stream"], ["--system", "Be brief", "--max-tokens", "50"]])
def test_each_provider_answers_in_its_own_dialect(
    bin_dir: Path, gateway: RunningGateway, key: str, maker: str, options: list[str]
) -> None:
    command = [str(bin_dir / "llmgateway"), "chat", "--key", key, "--url", gateway.url, *options, "Who are you?"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATEWAY_")}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=gateway.folder, env=environ)
    assert (result.returncode, result.stderr) == (0, "")
    assert f" by {maker}, played by" in result.stdout
