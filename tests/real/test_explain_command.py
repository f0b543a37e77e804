"""``llmgateway explain``, the installed command: what it says of a running gateway, and of that gateway's files."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.gateway import RunningGateway, clean_environ, running_gateway
from tests.real.provider import running_provider

# What is told is a page like others.
pytestmark = pytest.mark.any_wire

KEYS = {
    "credentials": {
        "first": {"provider": "dead", "api_key": "sk-CANARY-0123456789"},
        "second": {"provider": "well", "api_key": "sk-CANARY-9876543210"},
    },
    "virtual_keys": {
        "vk-CANARY-both": {"credentials": ["first", "second"]},
        "vk-CANARY-dead": {"credentials": ["first"]},
    },
}


@pytest.fixture(scope="module")
def gateway(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One of its two providers is not there."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_provider() as provider, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/chat/completions"
        (folder / "keys.json").write_text(json.dumps(KEYS))
        providers = {"dead": dead, "well": f"{provider.url}/v1/chat/completions"}
        (folder / "aiservices.json").write_text(json.dumps(providers))
        with running_gateway(bin_dir, folder, "--health-interval", "0.1") as running:
            yield running


def explain(bin_dir: Path, gateway: RunningGateway, key: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """:return: the exit status, and the candidates."""
    command = [str(bin_dir / "llmgateway"), "explain", "--key", key, "--model", "m-1", "--json", *options]
    environ = clean_environ({"LLMGATEWAY_URL": gateway.url})
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=gateway.folder, env=environ)
    assert found.stderr == ""
    assert "CANARY" not in found.stdout
    return found.returncode, json.loads(found.stdout)["candidates"]


def test_running_gateway_tells_what_is_out_just_now(bin_dir: Path, gateway: RunningGateway) -> None:
    """A provider that its health checks do not reach is out, and the other one is asked; without another, nobody."""
    assert explain(bin_dir, gateway, "vk-CANARY-both")[0] == 0
    gateway.wait_for("provider dead is left alone")
    status, candidates = explain(bin_dir, gateway, "vk-CANARY-both")
    assert status == 0
    assert [(each["credential"], each["in"]) for each in candidates] == [("first", False), ("second", True)]
    assert candidates[0]["reason"].startswith("provider dead: ")
    assert explain(bin_dir, gateway, "vk-CANARY-dead")[0] == 1


def test_files_tell_the_same_as_if_everything_were_well(bin_dir: Path, gateway: RunningGateway) -> None:
    status, candidates = explain(bin_dir, gateway, "vk-CANARY-both", "--offline")
    assert status == 0
    assert [(each["credential"], each["reason"]) for each in candidates] == [("first", "well"), ("second", "well")]
