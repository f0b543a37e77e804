"""Hundreds of streams through one process: all of every one arrives, and nothing of them is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.real import many_streams
from tests.real.client import Client, eventually
from tests.real.gateway import RunningGateway, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.many_streams import EVENTS, STREAM_S

STREAMS = 500


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, many_streams.__file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str], bound_s: float = BOUND_S) -> dict[str, Any]:
    """What the program prints before it ends, its standard input being closed."""
    output, _ = process.communicate(timeout=bound_s)
    document: dict[str, Any] = json.loads(output)
    return document


def descriptors(gateway: RunningGateway) -> int:
    return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


def cpu_s(gateway: RunningGateway) -> float:
    """What the gateway has used so far, in user and in system mode."""
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_five_hundred_streams_lose_nothing_and_leave_nothing(
    bin_dir: Path, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """Thirty seconds of them, side by side: every event once, in order, in its own stream."""
    with program("serve") as provider:
        assert provider.stdout is not None
        port = json.loads(provider.stdout.readline())["port"]
        with running_gateway(
            bin_dir,
            tmp_path,
            *("--access-log", "access.log", "--access-log-format", "json"),
            *("--health-interval", "0", "--pool-size", "0"),
            keys={"vk_many": {"provider": "openai", "api_key": "sk-real-key-of-many"}},
            providers={"openai": f"http://127.0.0.1:{port}/v1/chat/completions"},
        ) as gateway:
            with Client(gateway.port) as client:
                assert client.call("GET", "/readyz").status == 200
                # The ledger opens its database's three files with the first row.
                idle = descriptors(gateway) - 1 + 3
            memory = gateway.peak_memory_kib()
            used = cpu_s(gateway)

            with program("read", str(gateway.port), "vk_many", str(STREAMS)) as readers:
                got = told(readers, STREAM_S + 2 * BOUND_S)
            used, memory = cpu_s(gateway) - used, gateway.peak_memory_kib() - memory
            print(f"{used:.1f} s of CPU, {used / (STREAMS * EVENTS) * 1e6:.0f} us per event, {memory} KiB more memory")
            record_property("CPU seconds", used)
            record_property("memory growth in KiB", memory)
            assert got == {"whole": STREAMS, "events": STREAMS * EVENTS, "faults": []}

            eventually(lambda: descriptors(gateway) <= idle, f"no more than {idle} descriptors")
            with Client(gateway.port) as client:
                assert client.call("GET", "/readyz").json() == {"status": "ok", "calls": 0}
            records = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
            assert [record["ended"] for record in records] == ["ok"] * STREAMS
            assert gateway.stop() == 0
        seen = told(provider)
    assert seen == {"now": 0, "most": STREAMS, "answered": STREAMS}
