"""Looking at a gateway of several processes, and choosing which of them answers."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.real.client import Client, eventually
from tests.real.gateway import STOP_S, RunningGateway
from tests.real.scene import BODY, PATHS, Scene, asking

FIRST = b'data: {"n":1}\n\n'
LAST = b"data: [DONE]\n\n"


def worker_pid(gateway: RunningGateway, number: int, *, after: int = 0) -> int:
    """
    :param after: number of lines of the log to pass over.
    :return: the pid of this worker, as soon as it is ready.
    """
    line = gateway.wait_for(rf"Worker {number} \(pid \d+\) is ready", after=after)
    return int(re.search(r"pid (\d+)", line).group(1))  # type: ignore[union-attr]  # it has matched


def worker_pids(gateway: RunningGateway, count: int = 2) -> list[int]:
    """The pids of the workers that were ready first, by number."""
    return [worker_pid(gateway, number) for number in range(1, count + 1)]


@contextmanager
def only(pid: int, pids: list[int]) -> Iterator[None]:
    """Stop all processes of these but one: what connects now is that one's."""
    with ExitStack() as stack:
        for other in pids:
            if other != pid:
                os.kill(other, signal.SIGSTOP)
                stack.callback(os.kill, other, signal.SIGCONT)
        for other in pids:
            if other != pid:
                eventually(lambda other=other: process_state(other) == "T", f"{other} stopped")  # type: ignore[misc]
        yield


def process_state(pid: int) -> str:
    """``R``, ``S``, ``T`` and so on; empty for a process that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def open_sockets(pid: int) -> int:
    """How many sockets a process has."""
    count = 0
    for link in list(Path(f"/proc/{pid}/fd").iterdir()):
        # One that was closed in the meantime is none.
        with suppress(FileNotFoundError):
            count += os.readlink(link).startswith("socket:")
    return count


@contextmanager
def watching(*pids: int) -> Iterator[list[int]]:
    """Handles of these processes, which are killed at the end if they are still there."""
    handles = [os.pidfd_open(pid) for pid in pids]
    try:
        yield handles
    finally:
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)


def has_ended(handle: int, bound_s: float = STOP_S) -> bool:
    """Wait for the end of a process that :func:`watching` watches."""
    return bool(select.select([handle], [], [], bound_s)[0])


class Stream:
    """A client in the middle of a stream."""

    def __init__(self, port: int, key: str = "vk_openai") -> None:
        self.client = Client(port)
        self.client.ask("POST", PATHS["openai"], asking(key), BODY)
        self.head = self.client.head()
        self.pieces = self.client.pieces(self.head)
        assert self.client.read_until(self.pieces, FIRST) == FIRST

    def rest(self) -> bytes:
        """
        :raises Cut: the stream does not come to its end.
        """
        return b"".join(self.pieces)

    def close(self) -> None:
        self.client.__exit__(None, None, None)


def ready_page(stage: Scene | RunningGateway) -> dict[str, Any]:
    """What ``/readyz`` says."""
    with Client(stage.port if isinstance(stage, RunningGateway) else stage.gateway.port) as client:
        page: dict[str, Any] = client.call("GET", "/readyz").json()
    return page


def live_calls(client: Client, admin_key: str) -> dict[str, Any]:
    """What the worker that has this client's connection knows of the calls of all."""
    page: dict[str, Any] = client.call("GET", "/admin/v1/calls", asking(admin_key)).json()
    return page


def told_calls(stage: Scene, pids: list[int], count: int) -> None:
    """Wait until every worker knows of so many running calls: then the supervisor knows them too."""

    def each_knows() -> bool:
        known = []
        for pid in pids:
            with only(pid, pids):
                known.append(ready_page(stage)["calls"])
        return known == [count] * len(pids)

    eventually(each_knows, f"{count} calls in /readyz")
