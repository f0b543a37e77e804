"""Starting the installed program for a test, and stopping it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.wires import WIRE

START_S = 20.0
STOP_S = 20.0
"""Bounds on waiting for something that takes well under a second on an idle machine."""


class RunningGateway:
    """A ``twistd llmgateway`` of its own process, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = re.search(r"http://127\.0\.0\.1:\d+", self.wait_for(r"Listening on http")).group()  # type: ignore[union-attr]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def output(self) -> str:
        """All that the process has written to standard output and standard error."""
        with self._news:
            return "".join(self.lines)

    def wait_for(self, pattern: str, *, after: int = 0, timeout_s: float = START_S) -> str:
        """
        :param after: number of lines to pass over.
        :return: the first line that matches, as soon as it is printed.
        """
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.lines[after:] if re.search(pattern, line)]
            return bool(found) or self._ended

        with self._news:
            self._news.wait_for(there, timeout_s)
            if not found:
                raise AssertionError(f"{pattern!r} was not printed within {timeout_s} s:\n{''.join(self.lines)}")
            return found[0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """
        :return: the exit status; all of the output has been read by then.
        """
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """
        Wait until the process has ended by itself.

        :return: the exit status; all of the output has been read by then.
        """
        status = self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        return status

    def peak_memory_kib(self) -> int:
        """The largest resident size so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))  # type: ignore[union-attr]

    def open_sockets(self) -> int:
        """How many sockets the process holds, listening ones too."""
        return sum(1 for each in _links(Path(f"/proc/{self.process.pid}/fd")) if each.startswith("socket:"))

    def _read(self) -> None:
        assert self.process.stdout is not None
        # Closed by the one who reads it: closing it under a reader breaks the reader.
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def running_gateway(
    bin_dir: Path,
    folder: Path,
    *options: str,
    keys: Mapping[str, Any] | None = None,
    credentials: Mapping[str, Any] | None = None,
    providers: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    routed: bool = False,
) -> Iterator[RunningGateway]:
    """
    Start the program in ``folder`` on a free port of 127.0.0.1; it is killed at the end if it still runs.

    :param keys: what stands under ``virtual_keys``; written to ``keys.json`` unless ``None``.
    :param credentials: the real keys that these name.
    :param providers: what is written to ``aiservices.json`` unless ``None``.
    :param routed: whether calls are sent again and providers left alone, as by default. What is about something else
        has one attempt and every provider asked; ``$routing`` among the providers is routed in any case.
    """
    if keys is not None:
        named = {} if credentials is None else {"credentials": credentials}
        (folder / "keys.json").write_text(json.dumps({**named, "virtual_keys": keys}, indent=2))
    if providers is not None:
        if not routed and "$routing" not in providers:
            providers = _plainly(providers)
        (folder / "aiservices.json").write_text(json.dumps(providers, indent=2))
    command = [str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway", "--listen", "tcp:0:interface=127.0.0.1"]
    command += ["--wire", WIRE]
    with running_command([*command, *options], folder, environ) as gateway:
        yield gateway


def _plainly(providers: Mapping[str, Any]) -> dict[str, Any]:
    """The same where every call is sent once, to a provider that is always asked."""
    plain: dict[str, Any] = {"$routing": {"retries": {"attempts": 1}}}
    for name, said in providers.items():
        provider = {"url": said} if isinstance(said, str) else said
        plain[name] = {**provider, "breaking": {"enabled": False}} if isinstance(provider, Mapping) else provider
    return plain


@contextmanager
def running_command(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    pass_fds: Sequence[int] = (),
) -> Iterator[RunningGateway]:
    """
    Start the program by this command in ``folder``; it is killed at the end if it still runs.

    :param command: has it listen on 127.0.0.1 and stay in the foreground.
    :param pass_fds: descriptors that it inherits under the same numbers.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environ(environ),
        pass_fds=pass_fds,
    )
    gateway = None
    try:
        gateway = RunningGateway(process, folder)
        yield gateway
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_S)
        if gateway is not None:
            gateway.ended()


def clean_environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the variables that the gateway reads, and with ``more``."""
    ours = ("KEYS_FILE", "AISERVICES_FILE", "GATEWAY_PORT")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONUNBUFFERED": "1", **(more or {})}


def _links(folder: Path) -> Iterator[str]:
    for each in list(folder.iterdir()):
        try:
            yield os.readlink(each)
        except FileNotFoundError:
            continue
