"""``examples/test_router.py`` through a running gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.gateway import RunningGateway, running_gateway

ROOT = Path(__file__).parents[2]
# Where SDKs and raw clients are understood, this one is.
pytestmark = pytest.mark.any_wire

SCRIPT = ROOT / "examples" / "test_router.py"


@pytest.fixture(scope="module")
def gateway(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(bin_dir, tmp_path_factory.mktemp("gateway"), "--demo") as running:
        yield running


def ask(gateway: RunningGateway, keys: Path, *options: str) -> tuple[int, list[list[str]]]:
    """
    :return: the exit status, and the table's rows as cells.
    """
    command = [sys.executable, str(SCRIPT), "--keys", str(keys), "--url", gateway.url, *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    heading, *rows, _, _ = result.stdout.splitlines()
    assert heading.split() == ["KEY", "PROVIDER", "MODEL", "RESULT", "MS", "ANSWER"]
    return result.returncode, [re.split(r"  +", row, maxsplit=5) for row in rows]


def keys_file(folder: Path, keys: dict[str, str]) -> Path:
    entries: dict[str, Any] = {key: {"provider": provider, "api_key": "unused"} for key, provider in keys.items()}
    (folder / "keys.json").write_text(json.dumps({"virtual_keys": entries}))
    return folder / "keys.json"


def test_every_example_key_reaches_its_provider(gateway: RunningGateway) -> None:
    status, rows = ask(gateway, ROOT / "keys.example.json")
    assert status == 0
    assert [(row[1], row[3]) for row in rows] == [("openai", "PASS"), ("anthropic", "PASS"), ("deepseek", "PASS")]
    assert all(f"I am {row[2]} by " in row[5] for row in rows)


def test_keys_are_not_shown(gateway: RunningGateway) -> None:
    _, rows = ask(gateway, ROOT / "keys.example.json")
    keys = json.loads((ROOT / "keys.example.json").read_text())["virtual_keys"]
    printed = json.dumps(rows)
    assert not any(key in printed or entry["api_key"] in printed for key, entry in keys.items())


def test_wrong_provider_and_unknown_key_fail(gateway: RunningGateway, tmp_path: Path) -> None:
    keys = keys_file(tmp_path, {"vk_user1_openai": "anthropic", "vk_nobody_knows": "openai", "sha256:00": "openai"})
    status, rows = ask(gateway, keys)
    assert status == 1
    assert [row[3] for row in rows] == ["FAIL", "FAIL", "SKIP"]
    assert rows[1][5].startswith("401: ")


def test_model_can_be_chosen(gateway: RunningGateway) -> None:
    _, rows = ask(gateway, ROOT / "keys.example.json", "--model", "openai=gpt-other")
    assert [row[2] for row in rows] == ["gpt-other", "claude-haiku-5-5", "deepseek-v4-flash"]
