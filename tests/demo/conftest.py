"""The demo provider in a process of its own, for the tests that need real sockets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_gateway

KEY = "demo-canary-key"


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """Its URL, without a path; it takes KEY."""
    command = [sys.executable, "-m", "llm_gateway.demo", "--port", "0", "--key", KEY, "--pace", "0.001"]
    environment = {**os.environ, "PYTHONPATH": str(Path(llm_gateway.__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert match, f"no address in what it printed: {line!r}"
        try:
            yield match[0]
        finally:
            process.terminate()
