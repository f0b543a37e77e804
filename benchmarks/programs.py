"""Starting the programs of a measurement, each on its core, and stopping them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.machine import CannotMeasure
from benchmarks.shapes import PATH, call_body, is_answer

ROOT = Path(__file__).parents[1]
"""The folder from which our own programs are started, so that ``-m benchmarks.load`` is found."""
START_S = 30.0
STOP_S = 10.0
# Credentials and proxies have no place here, and the gateway's own variables would change what is measured.
_KEPT_OUT = re.compile(r"(?i)_proxy$|api_key|token|secret|password|^keys_file$|^aiservices_file$|^gateway_port$")


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This program's, without what the programs under measurement are not to see, and with more."""
    return {**{name: value for name, value in os.environ.items() if not _KEPT_OUT.search(name)}, **more}


def own_command(module: str, *options: object) -> list[str]:
    """The command line of one of our own programs."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, options)]


def free_port() -> int:
    """One that nothing listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    name: str, command: Sequence[str], core: int, folder: Path, *, environ: Mapping[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Have a program run on one core, its output in ``{name}.log``; at the end it is stopped with all that it started.

    :param folder: where its log is, and where it runs if no other place is named.
    :param environ: what it finds in its environment besides what everybody does.
    :raises CannotMeasure: the command cannot be started.
    """
    with (folder / f"{name}.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                pinned(command, core),
                cwd=cwd or folder,
                env=environment(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that it can be ended as a whole.
                start_new_session=True,
            )
        except OSError as error:
            raise CannotMeasure(f"{name} cannot be started: {error}") from error
    try:
        yield process
    finally:
        _stop(process)


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on that core only, in a process of the same id."""
    return ["taskset", "--cpu-list", str(core), *command]


def output_of(command: Sequence[str], core: int, bound_s: float) -> str:
    """
    Run a program to its end.

    :return: what it printed.
    :raises CannotMeasure: it failed, or took longer than the bound.
    """
    try:
        done = subprocess.run(
            pinned(command, core), cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=bound_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotMeasure(f"{error}") from error
    if done.returncode:
        raise CannotMeasure(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def version_of(nginx: str) -> str:
    """
    :return: such as ``nginx/1.22.1``.
    """
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip().removeprefix("nginx version: ")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)


def wait_until_it_answers(name: str, process: subprocess.Popen[bytes], port: int, key: str, folder: Path) -> float:
    """
    :return: seconds until it gave a right answer to a call.
    :raises CannotMeasure: it ended, or did not answer in time; the message has the end of its log.
    """
    began, last = time.monotonic(), "it does not listen"
    while process.poll() is None and time.monotonic() < began + START_S:
        try:
            status, body = ask(port, key)
        except OSError as error:
            last = str(error)
        else:
            if status == 200 and is_answer(body):
                return time.monotonic() - began
            last = f"status {status}: {body[:500]!r}"
        time.sleep(0.005)
    log = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
    raise CannotMeasure(f"{name} gave no right answer on port {port} ({last}). Its log ends with:\n{log}")


def ask(port: int, key: str) -> tuple[int, bytes]:
    """Send one call without a stream, and wait for the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", PATH, call_body(stream=False), headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP: {error!r}") from error
    finally:
        connection.close()
