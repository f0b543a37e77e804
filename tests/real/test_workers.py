"""``--workers``: several processes of the installed program on one port, as operators and clients see them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.certificates import make_certificate
from tests.real.client import Answer, Client, eventually
from tests.real.gateway import running_command, running_gateway
from tests.real.inbox import BOUND_S, Cut
from tests.real.provider import Exchange, answer_bytes
from tests.real.scene import PATHS, Scene, asking, scene
from tests.real.test_service import Held, quiet, run, write_keys
from tests.real.workers import (
    LAST,
    Stream,
    has_ended,
    live_calls,
    only,
    open_sockets,
    ready_page,
    told_calls,
    watching,
    worker_pid,
    worker_pids,
)

ADMIN_KEY = "admin-CANARY-0123456789abcdef"
TWO = ("--workers", "2")


@contextmanager
def two_workers(bin_dir: Path, folder: Path, *options: str) -> Iterator[tuple[Scene, list[int]]]:
    """A gateway of two workers that are both ready, and their pids."""
    with scene(bin_dir, folder, *TWO, *options) as stage:
        yield stage, worker_pids(stage.gateway)


@contextmanager
def a_stream_on_each(stage: Scene, pids: list[int]) -> Iterator[tuple[Held, list[Stream]]]:
    """A stream that has begun on every worker."""
    stage.provider.script = held = Held()
    with contextlib.ExitStack() as stack:
        streams = []
        for pid in pids:
            with only(pid, pids):
                streams.append(Stream(stage.gateway.port))
            stack.callback(streams[-1].close)
        stack.callback(held.release)
        told_calls(stage, pids, len(pids))
        yield held, streams


def from_each(stage: Scene, pids: list[int], key: str = "vk_openai", path: str = "/v1/models") -> list[Answer]:
    """The answers of every worker to the same call."""
    answers = []
    for pid in pids:
        with only(pid, pids):
            answers.append(stage.call(path, key=key, method="GET", body=None))
    return answers


def test_workers_share_the_port_and_all_answer(bin_dir: Path, tmp_path: Path) -> None:
    """
    Each worker answers calls, and the gateway's own pages; ``/readyz`` lists them all. There is one log, one
    ``Listening``, and one line in the access log for each call. Who lists the machine's processes learns a worker's
    number and nothing else.
    """
    with two_workers(bin_dir, tmp_path) as (stage, pids):
        assert [answer.status for answer in from_each(stage, pids)] == [200, 200]
        assert stage.gateway.process.pid not in pids
        for number, pid in enumerate(pids, 1):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert words[1:] == [b"-P", b"-m", b"llm_gateway.fleet.worker", b"%d" % number, b""]
            assert b"sk-real" not in Path(f"/proc/{pid}/environ").read_bytes()
        workers = [
            {"number": number, "pid": pid, "state": "ready", "calls": 0, "restarts": 0}
            for number, pid in enumerate(pids, 1)
        ]
        expected = {"status": "ok", "calls": 0, "workers": workers}
        for pid in pids:
            with only(pid, pids):
                eventually(lambda: ready_page(stage) == expected, "both workers ready in /readyz")
        assert stage.gateway.stop() == 0
        assert stage.gateway.output.count("Listening on http") == 1
        assert stage.gateway.output.count('"path":"/v1/models"') == 2
        assert quiet(stage.gateway)


def test_one_that_dies_takes_only_its_own_streams(bin_dir: Path, tmp_path: Path) -> None:
    """
    Kill one worker: streams on the others go on to their end, new calls are answered, the log says what happened, and
    another process takes its place.
    """
    with (
        two_workers(bin_dir, tmp_path) as (stage, pids),
        a_stream_on_each(stage, pids) as (held, [first, second]),
    ):
        so_far = len(stage.gateway.lines)
        os.kill(pids[0], signal.SIGKILL)
        stage.gateway.wait_for(
            rf"#error\] Worker 1 \(pid {pids[0]}\) was ended by signal 9 \(SIGKILL\); 1 calls were cut. "
            r"It is started again in 0.5 s"
        )
        with pytest.raises(Cut):
            first.rest()
        assert stage.call("/livez", method="GET", body=None).status == 200
        pid = worker_pid(stage.gateway, 1, after=so_far)
        held.release()
        assert second.rest() == LAST
        assert [answer.status for answer in from_each(stage, [pid, pids[1]])] == [200, 200]
        again = {"number": 1, "pid": pid, "state": "ready", "calls": 0, "restarts": 1}
        eventually(lambda: again in ready_page(stage)["workers"], "the restart in /readyz")
        assert stage.gateway.stop() == 0


@pytest.mark.any_wire
def test_hangup_reaches_every_worker(bin_dir: Path, tmp_path: Path) -> None:
    """
    SIGHUP to the one pid: all workers take the new keys, and all open the access log anew. With a broken file they go
    on with what they have, and so does a worker that is started in the meantime.
    """
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    with two_workers(bin_dir, tmp_path, "--access-log", str(log)) as (stage, pids):
        gateway = stage.gateway
        from_each(stage, pids)
        log.rename(rotated)
        write_keys(tmp_path, "new")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("All 2 workers use the new configuration")
        assert [answer.status for answer in from_each(stage, pids, "vk_new")] == [200, 200]
        assert [answer.status for answer in from_each(stage, pids, "vk_openai")] == [401, 401]

        (tmp_path / "keys.json").write_text('{"virtual_keys": {"vk_x": {"provder": "openai"}}}')
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("cannot be used; the one before stays in use")
        so_far = len(gateway.lines)
        os.kill(pids[1], signal.SIGKILL)
        pids[1] = worker_pid(gateway, 2, after=so_far)
        assert [answer.status for answer in from_each(stage, pids, "vk_new")] == [200, 200]
        assert gateway.stop() == 0
        assert gateway.output.count("Configuration read anew") == 1
    lines = [[json.loads(line)["status"] for line in path.read_text().splitlines()] for path in (rotated, log)]
    assert lines == [[200, 200], [200, 200, 401, 401, 200, 200]]


@pytest.mark.any_wire
def test_changed_file_reaches_every_worker_without_a_signal(bin_dir: Path, tmp_path: Path) -> None:
    """One process looks at the files for all."""
    with two_workers(bin_dir, tmp_path, "--reload-interval", "0.05") as (stage, pids):
        write_keys(tmp_path, "new")
        stage.gateway.wait_for("All 2 workers use the new configuration")
        assert [answer.status for answer in from_each(stage, pids, "vk_new")] == [200, 200]


def test_stop_drains_the_streams_of_all_workers(bin_dir: Path, tmp_path: Path) -> None:
    """
    SIGTERM to the one pid: new calls are refused and readiness goes, streams of several workers reach their own end,
    and the status is 0. A signal that all get, as from Ctrl-C in a terminal, counts once.
    """
    with (
        two_workers(bin_dir, tmp_path) as (stage, pids),
        a_stream_on_each(stage, pids) as (held, streams),
        watching(*pids) as handles,
    ):
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        stage.gateway.process.send_signal(signal.SIGINT)
        stage.gateway.wait_for("Stopping: 2 calls are running and get up to 600 s")
        for pid in pids:
            # What the supervisor has logged it may not yet have sent.
            with only(pid, pids):
                eventually(lambda: stage.call("/readyz", method="GET", body=None).status == 503, "no readiness")
                refused = stage.call(PATHS["openai"])
            assert (refused.status, refused.value("x-gw-error")) == (503, "gateway_draining")
        assert ready_page(stage)["calls"] == 2
        held.release()
        assert [stream.rest() for stream in streams] == [LAST, LAST]
        for stream in streams:
            stream.close()
        assert stage.gateway.ended() == 0
        assert all(has_ended(handle) for handle in handles)
        assert stage.gateway.output.count('"ended":"ok"') == 2
        assert quiet(stage.gateway)


def test_second_signal_ends_the_calls_of_all_workers(bin_dir: Path, tmp_path: Path) -> None:
    """Who cannot wait sends SIGTERM again: streams end with one error event each, and the status is 0."""
    with (
        two_workers(bin_dir, tmp_path) as (stage, pids),
        a_stream_on_each(stage, pids) as (_, streams),
    ):
        stage.gateway.process.send_signal(signal.SIGTERM)
        stage.gateway.wait_for("Stopping: 2 calls")
        stage.gateway.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert b"gateway_draining" in stream.rest()
            stream.close()
        assert stage.gateway.ended() == 0
        assert quiet(stage.gateway)


@pytest.mark.any_wire
def test_health_of_all_comes_from_one_prober(bin_dir: Path, tmp_path: Path) -> None:
    """
    However many workers there are, a provider is asked once in an interval, and every worker knows what came of it: one
    that is started later too, without another question.
    """
    with two_workers(bin_dir, tmp_path, "--health-interval", "1000") as (stage, pids):
        stage.gateway.wait_for("Provider gemini is online")
        so_far = len(stage.gateway.lines)
        os.kill(pids[0], signal.SIGKILL)
        pids[0] = worker_pid(stage.gateway, 1, after=so_far)
        for pid in pids:
            with only(pid, pids):
                eventually(lambda: online(stage) == {"openai", "anthropic", "gemini"}, "all providers online")
        probes = [seen.target for seen in stage.provider.seen]
        assert sorted(probes) == ["/v1/models", "/v1/models", "/v1beta/models"]


@pytest.mark.any_wire
def test_provider_that_goes_down_is_down_for_every_worker(bin_dir: Path, tmp_path: Path) -> None:
    """What changes between two rounds of questions reaches all."""

    def down(exchange: Exchange) -> None:
        exchange.send(answer_bytes(status="503 Service Unavailable"))

    with two_workers(bin_dir, tmp_path, "--health-interval", "0.1") as (stage, pids):
        stage.gateway.wait_for("Provider gemini is online")
        stage.provider.script = down
        for name in ("openai", "anthropic", "gemini"):
            stage.gateway.wait_for(f"Provider {name} is not online: HTTP status 503")
        for pid in pids:
            with only(pid, pids):
                eventually(lambda: online(stage) == set(), "no provider online")


def online(stage: Scene) -> set[str]:
    """The providers that ``/health`` says are there."""
    page: Any = stage.call("/health", method="GET", body=None).json()
    return {each["name"] for each in page["providers"] if each["online"]}


def test_workers_outlive_a_killed_supervisor_only_for_their_calls(bin_dir: Path, tmp_path: Path) -> None:
    """
    Kill the supervisor: workers give up the port at once, so that another gateway can have it, let their streams
    finish, and end.
    """
    with (
        two_workers(bin_dir, tmp_path) as (stage, pids),
        a_stream_on_each(stage, pids) as (held, streams),
        watching(*pids) as handles,
    ):
        # An idle connection would be waited for, in case a call comes on it.
        stage.turns.close()
        stage.gateway.process.kill()

        def nobody_listens() -> bool:
            try:
                socket.create_server(("127.0.0.1", stage.gateway.port)).close()
            except OSError:
                return False
            return True

        eventually(nobody_listens, "the port is free")
        held.release()
        assert [stream.rest() for stream in streams] == [LAST, LAST]
        for stream in streams:
            stream.close()
        assert all(has_ended(handle) for handle in handles)


def test_every_kind_of_endpoint_is_shared(bin_dir: Path, tmp_path: Path) -> None:
    """TLS and a Unix socket as well, several at once; the socket keeps its mode, and its file goes at the end."""
    certificate = make_certificate(tmp_path)
    options = [
        *("--demo", *TWO, "--listen", "unix:gateway.sock:mode=600"),
        *("--listen", f"ssl:0:interface=127.0.0.1:privateKey={certificate}"),
    ]
    with running_gateway(bin_dir, tmp_path, *options) as gateway:
        tls_port = int(gateway.wait_for("Listening on https://127").rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=str(certificate))
        pids = worker_pids(gateway)
        for pid in pids:
            with only(pid, pids):
                secure = http.client.HTTPSConnection("127.0.0.1", tls_port, timeout=BOUND_S, context=trusting)
                local = http.client.HTTPConnection("gateway", timeout=BOUND_S)
                local.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                local.sock.connect(str(tmp_path / "gateway.sock"))
                for connection in (secure, local):
                    with contextlib.closing(connection):
                        connection.request("GET", "/v1/models", headers=asking("vk_user1_openai"))
                        assert connection.getresponse().status == 200
        assert (tmp_path / "gateway.sock").stat().st_mode & 0o777 == 0o600
        assert gateway.stop() == 0
        assert quiet(gateway)
    assert not (tmp_path / "gateway.sock").exists()
    assert not (tmp_path / "gateway.sock.lock").is_symlink()


@pytest.mark.any_wire
def test_calls_of_all_workers_are_listed_and_a_stopped_worker_is_named(bin_dir: Path, tmp_path: Path) -> None:
    """
    Whichever worker answers the admin API. One that is stopped keeps nobody waiting for long: it is missing, with the
    calls that it had, until it goes on. One that has died and was started again has none.
    """
    (tmp_path / "admin").write_text(f"olga: {ADMIN_KEY}\n")
    with (
        two_workers(bin_dir, tmp_path, "--admin-key-file", "admin", "--ledger", "ledger.sqlite") as (stage, pids),
        a_stream_on_each(stage, pids),
    ):
        both, numbers = [(1, "/v1/chat/completions"), (2, "/v1/chat/completions")], dict(zip(pids, (1, 2), strict=True))
        with contextlib.ExitStack() as stack:
            asking_each = []
            for pid in pids:
                with only(pid, pids):
                    client = stack.enter_context(Client(stage.gateway.port))
                    missing = live_calls(client, ADMIN_KEY)
                other = 3 - numbers[pid]
                assert [call["worker"] for call in missing["data"]] == [missing["worker"]] == [numbers[pid]]
                assert [(each["number"], each["calls"]) for each in missing["missing"]] == [(other, 1)]
                asking_each.append(client)
            for client in asking_each:
                found = eventually_complete(client)
                assert sorted((call["worker"], call["path"]) for call in found["data"]) == both
                assert (found["calls"], found["left_out"]) == (2, 0)
                assert "sk-real" not in json.dumps(found)
            so_far = len(stage.gateway.lines)
            os.kill(pids[0], signal.SIGKILL)
            stage.gateway.wait_for(r"Worker 1 \(pid \d+\) was ended by signal 9")
            for ready in (False, True):
                if ready:
                    worker_pid(stage.gateway, 1, after=so_far)
                found = eventually_complete(asking_each[1])
                assert [call["worker"] for call in found["data"]] == [2]
        assert stage.gateway.process.poll() is None
        assert quiet(stage.gateway)


def eventually_complete(client: Client) -> dict[str, Any]:
    """What there is as soon as no worker is missing: one that was stopped may still owe an answer."""
    page = live_calls(client, ADMIN_KEY)

    def complete() -> bool:
        page.update(live_calls(client, ADMIN_KEY))
        return not page["missing"]

    eventually(complete, "all workers in /admin/v1/calls")
    return page


@pytest.mark.any_wire
def test_auto_is_one_worker_for_each_core(bin_dir: Path, tmp_path: Path) -> None:
    """``--workers auto`` counts the cores that the program may run on; with a single one there is none to supervise."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    command = ["taskset", "-c", ",".join(map(str, cores)), str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway"]
    command += ["--demo", "--listen", "tcp:0:interface=127.0.0.1", "--workers", "auto"]
    with running_command(command, tmp_path) as gateway:
        workers = ready_page(gateway).get("workers", [])
        assert [each["number"] for each in workers] == ([1, 2] if len(cores) == 2 else [])
        assert gateway.stop() == 0


@pytest.mark.any_wire
def test_worker_that_never_starts_ends_the_gateway(bin_dir: Path, tmp_path: Path) -> None:
    """Where no worker can live, the log says what each one said, and the status is 1: nobody waits for nothing."""
    # What is wrong here is wrong with the workers alone; and five attempts would take eight seconds.
    program = (
        "import sys; from llm_gateway.fleet import supervisor; supervisor.MAX_FALSE_STARTS = 2; "
        "from twisted.scripts.twistd import run; sys.executable = sys.argv.pop(1); run()"
    )
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no libpython here >&2\nexit 3\n")
    broken.chmod(0o755)
    command = [sys.executable, "-c", program, str(broken), "-n", f"--pidfile={tmp_path}/pid", "llmgateway", "--demo"]
    ended = run([*command, "--port", "0", *TWO], tmp_path)
    assert ended.returncode == 1
    assert "Worker 1: no libpython here" in ended.stdout
    assert "ended with status 3, 2 times in a row. The gateway stops." in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not (tmp_path / "pid").exists()


@pytest.mark.any_wire
def test_clients_that_come_at_once_are_shared_out(bin_dir: Path, tmp_path: Path) -> None:
    """Forty clients that connect in one go and stay: every worker gets about half, whoever is awake first."""
    with running_gateway(bin_dir, tmp_path, "--demo", *TWO) as gateway, contextlib.ExitStack() as stack:
        pids = worker_pids(gateway)
        before = [open_sockets(pid) for pid in pids]
        clients = [stack.enter_context(Client(gateway.port)) for _ in range(40)]
        for client in clients:
            assert client.call("GET", "/livez").status == 200
        shares = [open_sockets(pid) - had for pid, had in zip(pids, before, strict=True)]
        assert sum(shares) == 40
        assert min(shares) >= 10, shares
