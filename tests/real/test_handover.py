"""SIGUSR2: a new program takes the sockets over from a running one, and nobody who calls notices."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.certificates import make_certificate
from tests.real.client import Client, eventually
from tests.real.gateway import STOP_S, RunningGateway, running_command, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.provider import answer_ok
from tests.real.scene import asking, scene
from tests.real.test_service import Held, quiet, run, write_keys
from tests.real.workers import LAST, Stream, has_ended, live_calls, watching, worker_pid

ADMIN_KEY = "admin-CANARY-0123456789abcdef"
AT_LEAST = 50
"""So many new connections are made while one program takes over from the other."""


@contextmanager
def handed_over(gateway: RunningGateway, old: int) -> Iterator[tuple[int, int]]:
    """
    Send SIGUSR2 and wait until a new program has taken over; it is killed at the end if it still runs.

    :param old: the pid to send it to.
    :return: the new program's pid, and a handle of it.
    """
    so_far = len(gateway.lines)
    os.kill(old, signal.SIGUSR2)
    line = gateway.wait_for(r"Program \d+ has taken over", after=so_far)
    pid = int(re.search(r"Program (\d+)", line).group(1))  # type: ignore[union-attr]  # it has matched
    with watching(pid) as [handle]:
        yield pid, handle


def stop(pid: int, handle: int) -> None:
    os.kill(pid, signal.SIGTERM)
    assert has_ended(handle)


class Caller:
    """Makes one call after the other, each on a connection of its own, until told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._enough = threading.Event()
        self._news = threading.Condition()
        self.done = 0
        self.faults: list[object] = []
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def wait_for(self, more: int) -> None:
        """Until so many calls more have been made."""
        with self._news:
            wanted = self.done + more
            assert self._news.wait_for(lambda: self.done >= wanted or bool(self.faults), BOUND_S)

    def stop(self) -> None:
        """
        :raises AssertionError: a call was not answered with 200.
        """
        self._enough.set()
        self._thread.join(BOUND_S)
        assert self.faults == []

    def _call(self) -> None:
        while not self._enough.is_set():
            try:
                with Client(self._port) as client:
                    answer = client.call("GET", "/v1/models", asking())
                fault: object = None if answer.status == 200 and answer.whole else answer
            except Exception as error:
                fault = error
            with self._news:
                self.done += 1
                if fault is not None:
                    self.faults.append(fault)
                self._news.notify_all()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_connection_is_refused_and_no_stream_cut(bin_dir: Path, tmp_path: Path, workers: int) -> None:
    """
    A stream runs through the whole hand-over to its own end, and calls on new connections are all answered, by the new
    program from then on. The old one ends with status 0 when its stream is over.
    """
    with scene(bin_dir, tmp_path, "--workers", str(workers)) as stage:
        gateway = stage.gateway
        stage.provider.script = held = Held()
        with contextlib.ExitStack() as stack:
            stream = Stream(gateway.port)
            stack.callback(stream.close)
            stack.callback(held.release)
            stage.provider.script = answer_ok
            caller = Caller(gateway.port)
            stack.callback(caller.stop)
            caller.wait_for(5)
            pid, handle = stack.enter_context(handed_over(gateway, gateway.process.pid))
            caller.wait_for(AT_LEAST)
            stage.turns.close()
            assert gateway.process.poll() is None
            held.release()
            assert stream.rest() == LAST
            stream.close()
            assert gateway.process.wait(STOP_S) == 0
            caller.wait_for(5)
            caller.stop()
            assert caller.done >= AT_LEAST
            stop(pid, handle)
        gateway.ended()
        assert quiet(gateway)


@pytest.mark.any_wire
def test_each_program_lists_its_own_calls(bin_dir: Path, tmp_path: Path) -> None:
    """
    Its admin API knows the workers of that program, which none of the other program keeps waiting. The last answer on
    an old connection has what the old program finishes.
    """
    (tmp_path / "admin").write_text(f"olga: {ADMIN_KEY}\n")
    settings = ("--workers", "2", "--admin-key-file", "admin", "--ledger", "ledger.sqlite")
    with scene(bin_dir, tmp_path, *settings) as stage, contextlib.ExitStack() as stack:
        gateway = stage.gateway
        stage.provider.script = held = Held()
        stream = Stream(gateway.port)
        stack.callback(stream.close)
        stack.callback(held.release)
        kept = [stack.enter_context(Client(gateway.port)) for _ in range(6)]

        def complete(client: Client) -> list[str] | None:
            """The ids of the calls that are listed; a busy machine may be too slow for one of the workers."""
            page = live_calls(client, ADMIN_KEY)
            return None if page["missing"] else [call["request_id"] for call in page["data"]]

        answers: list[list[str] | None] = []

        def one_is_listed() -> bool:
            answers.append(complete(kept[0]))
            return len(answers[-1] or ()) == 1

        eventually(one_is_listed, "the old program's call")
        with handed_over(gateway, gateway.process.pid) as (pid, handle):

            def new_one_answers() -> bool:
                with Client(gateway.port) as client:
                    return complete(client) == []

            # For a moment the old one's workers may still take a connection.
            eventually(new_one_answers, "an answer without the old program's call")
            eventually(lambda: complete(kept.pop()) == answers[-1], "an answer with the old program's call")
            for client in kept:
                client.close()
            held.release()
            assert stream.rest() == LAST
            stream.close()
            stage.turns.close()
            assert gateway.process.wait(STOP_S) == 0
            stop(pid, handle)
        gateway.ended()
        assert quiet(gateway)


def test_old_connections_are_answered_once_more_and_told_to_close(bin_dir: Path, tmp_path: Path) -> None:
    """
    A client that keeps its connection to the old program gets the answer to its next call on it, with ``connection:
    close``, so that the one after that goes to the new program. Nobody is refused.
    """
    with (
        running_gateway(bin_dir, tmp_path, "--demo") as gateway,
        Client(gateway.port) as kept,
        Client(gateway.port) as idle,
    ):
        for client in (kept, idle):
            assert client.call("GET", "/v1/models", asking("vk_user1_openai")).value("connection") is None
        with handed_over(gateway, gateway.process.pid) as (pid, handle):
            answer = kept.call("GET", "/v1/models", asking("vk_user1_openai"))
            assert (answer.status, answer.value("connection")) == (200, "close")
            assert kept.ended()
            assert gateway.process.poll() is None
            idle.close()
            assert gateway.process.wait(STOP_S) == 0
            stop(pid, handle)
        assert gateway.output.count("Received SIGUSR2") == 1
        gateway.ended()
        assert quiet(gateway)


@pytest.mark.any_wire
def test_new_program_that_fails_changes_nothing(bin_dir: Path, tmp_path: Path) -> None:
    """
    A new program that cannot start, here for a broken file, leaves the old one serving; the log has the reason. When it
    is mended, the next attempt succeeds.
    """
    with scene(bin_dir, tmp_path) as stage:
        gateway = stage.gateway
        good = (tmp_path / "keys.json").read_text()
        (tmp_path / "keys.json").write_text('{"virtual_keys": {"vk_x": {"provder": "openai"}}}')
        gateway.process.send_signal(signal.SIGUSR2)
        gateway.wait_for("The new program does not take over; this one goes on. It ended before it was ready")
        gateway.wait_for("the configuration cannot be used")
        assert stage.call("/v1/models", method="GET", body=None).status == 200

        (tmp_path / "keys.json").write_text(good)
        stage.turns.close()
        with handed_over(gateway, gateway.process.pid) as (pid, handle):
            assert gateway.process.wait(STOP_S) == 0
            assert stage.call("/v1/models", method="GET", body=None).status == 200
            stop(pid, handle)
        gateway.ended()


@pytest.mark.any_wire
def test_pid_file_and_systemd_know_the_new_program(bin_dir: Path, tmp_path: Path) -> None:
    """
    The pid file has the pid of whoever serves, through two hand-overs, and goes away with the last one; systemd is told
    whose service it is now. The new program answers with the configuration of its own start.
    """
    pid_file, notify_path = tmp_path / "gateway.pid", tmp_path / "notify"
    write_keys(tmp_path, "first")
    command = [str(bin_dir / "twistd"), "-n", f"--pidfile={pid_file}", "llmgateway", "--demo", "--keys", "keys.json"]
    command += ["--listen", "tcp:0:interface=127.0.0.1", "--reload-interval", "0"]
    with contextlib.ExitStack() as stack:
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(str(notify_path))
        notify.settimeout(BOUND_S)
        gateway = stack.enter_context(running_command(command, tmp_path, {"NOTIFY_SOCKET": str(notify_path)}))
        first = gateway.process.pid
        assert int(pid_file.read_text()) == first
        write_keys(tmp_path, "second")
        second, handle = stack.enter_context(handed_over(gateway, first))
        assert notify.recv(100) == b"MAINPID=%d" % second
        assert gateway.process.wait(STOP_S) == 0
        assert int(pid_file.read_text()) == second
        third, last = stack.enter_context(handed_over(gateway, second))
        assert notify.recv(100) == b"MAINPID=%d" % third
        assert has_ended(handle)
        assert int(pid_file.read_text()) == third
        with Client(gateway.port) as client:
            assert client.call("GET", "/v1/models", asking("vk_second")).status == 200
        stop(third, last)
        assert not pid_file.exists()
        gateway.ended()
        assert quiet(gateway)


@pytest.mark.any_wire
def test_daemon_hands_over_to_a_daemon(bin_dir: Path, tmp_path: Path) -> None:
    """
    Without ``-n`` both programs go to the background: the pid file leads from one to the next. What a new one says
    before it is a daemon, such as what is wrong with a file, is in the old one's log.
    """
    pid_file, log_file = tmp_path / "gateway.pid", tmp_path / "gateway.log"
    write_keys(tmp_path, "daemon")
    command = [str(bin_dir / "twistd"), f"--pidfile={pid_file}", f"--logfile={log_file}", "llmgateway", "--demo"]
    command += ["--keys", "keys.json", "--listen", "tcp:0:interface=127.0.0.1", "--reload-interval", "0"]
    command += ["--workers", "2"]
    assert run(command, tmp_path).returncode == 0
    first = int(pid_file.read_text())
    with watching(first) as [handle]:
        eventually(lambda: log_file.read_text().count("is ready") == 2, "both workers")
        [port] = re.findall(r"Listening on http://127\.0\.0\.1:(\d+)", log_file.read_text())
        (tmp_path / "keys.json").write_text("{")
        os.kill(first, signal.SIGUSR2)
        eventually(lambda: "does not take over" in log_file.read_text(), "a failed hand-over")
        eventually(lambda: "New program: " in log_file.read_text(), "what the new program said")
        assert "keys.json:1" in log_file.read_text()
        assert int(pid_file.read_text()) == first

        write_keys(tmp_path, "daemon")
        os.kill(first, signal.SIGUSR2)
        assert has_ended(handle)
        second = int(pid_file.read_text())
        assert second != first
        with watching(second) as [next_handle]:
            with Client(int(port)) as client:
                assert client.call("GET", "/v1/models", asking("vk_daemon")).status == 200
            stop(second, next_handle)
    assert not pid_file.exists()
    assert "Traceback" not in log_file.read_text()


def test_sockets_of_every_kind_are_handed_over(bin_dir: Path, tmp_path: Path) -> None:
    """
    TLS, and a Unix socket whose file stays, with its mode and its lock, until the last program ends.
    """
    certificate = make_certificate(tmp_path)
    path = tmp_path / "gateway.sock"
    options = [
        *("--demo", "--listen", "unix:gateway.sock:mode=600"),
        *("--listen", f"ssl:0:interface=127.0.0.1:privateKey={certificate}"),
    ]
    trusting = ssl.create_default_context(cafile=str(certificate))
    with running_gateway(bin_dir, tmp_path, *options) as gateway:
        tls_port = int(gateway.wait_for("Listening on https://127").rpartition(":")[2])
        with handed_over(gateway, gateway.process.pid) as (pid, handle):
            assert gateway.process.wait(STOP_S) == 0
            secure = http.client.HTTPSConnection("127.0.0.1", tls_port, timeout=BOUND_S, context=trusting)
            local = http.client.HTTPConnection("gateway", timeout=BOUND_S)
            local.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            local.sock.connect(str(path))
            for connection in (secure, local):
                with contextlib.closing(connection):
                    connection.request("GET", "/v1/models", headers=asking("vk_user1_openai"))
                    assert connection.getresponse().status == 200
            assert path.stat().st_mode & 0o777 == 0o600
            assert os.readlink(f"{path}.lock") == str(pid)
            stop(pid, handle)
        gateway.ended()
        assert not path.exists()
        assert not os.path.lexists(f"{path}.lock")
        assert quiet(gateway)


@pytest.mark.any_wire
@pytest.mark.parametrize("workers", [1, 2])
def test_socket_of_systemd_is_handed_over(bin_dir: Path, tmp_path: Path, workers: int) -> None:
    """What systemd tells only once, and only to the process that it started, reaches workers and the next program."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        # As systemd does it: the descriptor is number 3, and a variable names the process that it is meant for.
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='http'); "
            "os.execv(sys.argv[2], sys.argv[2:])"
        )
        command = [sys.executable, "-c", program, str(listener.fileno()), str(bin_dir / "twistd")]
        command += ["-n", "--pidfile=", "llmgateway", "--demo"]
        command += ["--listen", "systemd:domain=INET:name=http", "--workers", str(workers)]
        gateway = stack.enter_context(running_command(command, tmp_path, pass_fds=[listener.fileno()]))
        assert gateway.port == listener.getsockname()[1]
        listener.close()
        if workers > 1:
            worker_pid(gateway, 1)
        with handed_over(gateway, gateway.process.pid) as (pid, handle):
            assert gateway.process.wait(STOP_S) == 0
            with Client(gateway.port) as client:
                assert client.call("GET", "/v1/models", asking("vk_user1_openai")).status == 200
            stop(pid, handle)
        gateway.ended()
        assert quiet(gateway)


@pytest.mark.any_wire
def test_stop_while_a_new_program_starts_stops_both(bin_dir: Path, tmp_path: Path) -> None:
    """SIGTERM right behind SIGUSR2 stops the service: the new program does not stay behind."""
    with running_gateway(bin_dir, tmp_path, "--demo") as gateway:
        gateway.process.send_signal(signal.SIGUSR2)
        gateway.wait_for("Starting a new program")
        assert gateway.stop() == 0
        # Its output has ended too: nobody is left who could write to it.
        assert "has taken over" not in gateway.output
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gateway.port), BOUND_S)
