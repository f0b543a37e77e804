"""The installed program as its operator meets it: started in every way, told things by signals, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import shlex
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.certificates import make_certificate
from tests.real.client import Client, eventually
from tests.real.gateway import STOP_S, RunningGateway, clean_environ, running_command, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.provider import LAST_CHUNK, STREAM_HEAD, Exchange, Gone, chunk
from tests.real.scene import BODY, PATHS, Scene, asking, scene

FIRST = b'data: {"n":1}\n\n'
LAST = b"data: [DONE]\n\n"
LOOPBACK = "tcp:0:interface=127.0.0.1"


class Held:
    """A provider's script: the beginning of a stream, and its end when the test says so."""

    def __init__(self) -> None:
        self._go = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD + chunk(FIRST))
        assert self._go.wait(BOUND_S)
        # Whom the gateway has left by then wants no end.
        with contextlib.suppress(Gone):
            exchange.send(chunk(LAST) + LAST_CHUNK)

    def release(self) -> None:
        self._go.set()


@contextmanager
def held_streams(stage: Scene, *dialects: str) -> Iterator[tuple[Held, list[Any]]]:
    """Clients that have got the first event of a stream each: ``(client, head, pieces)``."""
    stage.provider.script = held = Held()
    with contextlib.ExitStack() as stack:
        streams = []
        for dialect in dialects:
            client = stack.enter_context(stage.client())
            client.ask("POST", PATHS[dialect], asking(f"vk_{dialect}"), BODY)
            head = client.head()
            pieces = client.pieces(head)
            assert client.read_until(pieces, FIRST) == FIRST
            streams.append((client, head, pieces))
        # Released at the end whatever happens, so that the provider's threads can be joined.
        stack.callback(held.release)
        yield held, streams


def quiet(gateway: RunningGateway) -> bool:
    """Whether nothing in the output tells of a fault."""
    return not re.search("Traceback|Unhandled|CRITICAL|#critical", gateway.output)


# Stopping


def test_stop_lets_running_streams_finish_and_refuses_new_calls(bin_dir: Path, tmp_path: Path) -> None:
    """
    A deploy cuts no stream. On SIGTERM ``/readyz`` turns 503, a new call is refused in its dialect with a retry hint,
    running streams reach their own end, and the process ends with status 0.
    """
    with scene(bin_dir, tmp_path) as stage, held_streams(stage, "openai", "anthropic") as (held, streams):
        with stage.client() as probe:
            assert probe.call("GET", "/readyz").status == 200
        stage.gateway.process.send_signal(signal.SIGTERM)
        stage.gateway.wait_for("Stopping: 2 calls running, with up to 600 s")
        with stage.client() as probe:
            assert [probe.call("GET", path).status for path in ("/readyz", "/livez", "/health")] == [503, 200, 200]
        for dialect in ("openai", "anthropic"):
            refused = stage.call(PATHS[dialect], key=f"vk_{dialect}")
            assert (refused.status, refused.value("retry-after")) == (503, "5")
            assert refused.value("x-gw-error") == "gateway_draining"
            assert ("type" in refused.json()) == (dialect == "anthropic")
        held.release()
        for client, _, pieces in streams:
            assert b"".join(pieces) == LAST
            assert client.ended()
        assert stage.gateway.ended() == 0
        assert stage.gateway.output.count('"ended":"ok"') == 2
        assert quiet(stage.gateway)


def test_endless_stream_is_ended_when_the_drain_is_over(bin_dir: Path, tmp_path: Path) -> None:
    """After ``--drain-timeout`` a stream ends with one error event of its dialect and a clean end; status 0."""
    options = ("--drain-timeout", "0.3")
    with (
        scene(bin_dir, tmp_path, *options) as stage,
        held_streams(stage, "openai", "anthropic") as (_, [(_, _, openai), (_, _, anthropic)]),
    ):
        stage.gateway.process.send_signal(signal.SIGTERM)
        # Read to the last chunk: a body that is cut would raise.
        frame = b"".join(openai)
        assert frame.startswith(b'data: {"error":{')
        assert json.loads(frame.removeprefix(b"data: "))["error"]["code"] == "gateway_draining"
        frame = b"".join(anthropic)
        assert frame.startswith(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"')
        assert frame.count(b"\n\n") == 1
        assert stage.gateway.ended() == 0
        assert stage.gateway.output.count('"ended":"drained"') == 2
        assert quiet(stage.gateway)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(signal.SIGTERM, signal.SIGTERM, id="SIGTERM twice"),
        pytest.param(signal.SIGINT, signal.SIGINT, id="Ctrl-C twice"),
    ],
)
def test_second_signal_ends_at_once(bin_dir: Path, tmp_path: Path, first: int, second: int) -> None:
    """Who cannot wait sends the signal again: streams end with an error event and the process ends, status 0."""
    with scene(bin_dir, tmp_path) as stage, held_streams(stage, "openai") as (_, [(_, _, pieces)]):
        stage.gateway.process.send_signal(first)
        stage.gateway.wait_for("Stopping: 1 call running")
        stage.gateway.process.send_signal(second)
        assert b"gateway_draining" in b"".join(pieces)
        assert stage.gateway.ended() == 0
        assert quiet(stage.gateway)


def test_client_that_does_not_read_cannot_keep_the_process_alive(bin_dir: Path, tmp_path: Path) -> None:
    """A reader that stalls gets its share of time when the gateway stops; one more signal and it is cut off."""

    def endless(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        with contextlib.suppress(Gone):
            while True:
                exchange.send(chunk(b"data: %b\n\n" % (b"x" * 50_000)))

    with scene(bin_dir, tmp_path, send_buffer=20_000) as stage, stage.client(receive_buffer=20_000) as client:
        stage.provider.script = endless
        client.ask("POST", PATHS["openai"], asking(), BODY)
        stage.provider.wait_for(lambda: any(each.stuck for each in stage.provider.connections), "a paused provider")
        for expected in ("Stopping: 1 call running", '"ended":"drained"'):
            stage.gateway.process.send_signal(signal.SIGTERM)
            stage.gateway.wait_for(expected)
        assert stage.gateway.process.poll() is None
        assert stage.gateway.stop() == 0
        assert quiet(stage.gateway)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_stop_with_nothing_running_is_immediate(bin_dir: Path, tmp_path: Path, number: int) -> None:
    """Without a running call there is nothing to wait for, also not for clients that keep a connection open."""
    with running_gateway(bin_dir, tmp_path, "--demo") as gateway, Client(gateway.port) as idle:
        assert idle.call("GET", "/livez").status == 200
        assert gateway.stop(number) == 0
        assert idle.ended()
        assert "Stopping" not in gateway.output
        assert quiet(gateway)


# Reloading


def write_keys(folder: Path, *names: str, provider: str = "openai") -> None:
    keys = {f"vk_{name}": {"provider": provider, "api_key": "sk-real-reloaded"} for name in names}
    (folder / "keys.json").write_text(json.dumps({"virtual_keys": keys}, indent=2))


def test_hangup_reloads_and_running_calls_do_not_notice(bin_dir: Path, tmp_path: Path) -> None:
    """
    SIGHUP: a new key works at once and a key that is gone does not; a stream that began with it goes on to its end. A
    broken file changes nothing, and the log names file, line and place.
    """
    with scene(bin_dir, tmp_path) as stage, held_streams(stage, "openai") as (held, [(_, _, pieces)]):
        gateway = stage.gateway
        write_keys(tmp_path, "new")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("Configuration read anew: 1 virtual keys, 3 providers")
        assert stage.call("/v1/models", method="GET", body=None).status == 401
        held.release()
        assert b"".join(pieces) == LAST
        with stage.client() as client:
            client.ask("POST", PATHS["openai"], asking("vk_new"), BODY)
            assert client.answer().body == FIRST + LAST
        assert stage.provider.seen[-1].value("authorization") == "Bearer sk-real-reloaded"

        (tmp_path / "keys.json").write_text('{\n  "virtual_keys": {\n    "vk_x": {"provder": "openai"}\n  }\n}\n')
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("cannot be used; the one before stays in use")
        gateway.wait_for(rf'{re.escape(str(tmp_path))}/keys\.json:3: virtual_keys\[1\]: .*did you mean "provider"')
        assert stage.call("/v1/chat/completions", key="vk_new").status == 200
        assert "vk_x" not in gateway.output
        assert gateway.stop() == 0
        assert quiet(gateway)


@pytest.mark.any_wire
def test_changed_file_is_noticed_without_a_signal(bin_dir: Path, tmp_path: Path) -> None:
    """An edited ``keys.json`` counts within the reload interval, and so does the next edit."""
    with scene(bin_dir, tmp_path, "--reload-interval", "0.05") as stage:
        write_keys(tmp_path, "one", "two")
        stage.gateway.wait_for("Configuration read anew: 2 virtual keys")
        assert stage.call("/v1/chat/completions", key="vk_two").status == 200
        # As most editors and Kubernetes do it: another file under the same name.
        (tmp_path / "other").mkdir()
        write_keys(tmp_path / "other", "one")
        (tmp_path / "other" / "keys.json").rename(tmp_path / "keys.json")
        stage.gateway.wait_for("Configuration read anew: 1 virtual keys")
        assert stage.call("/v1/chat/completions", key="vk_two").status == 401


@pytest.mark.any_wire
def test_hangup_opens_a_rotated_access_log_anew(bin_dir: Path, tmp_path: Path) -> None:
    """Move the access log away and send SIGHUP: what comes after is in a new file, and no line is lost."""
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    with scene(bin_dir, tmp_path, "--access-log", str(log)) as stage:
        stage.call("/v1/chat/completions")
        log.rename(rotated)
        stage.call("/v1/embeddings")
        stage.gateway.process.send_signal(signal.SIGHUP)
        eventually(log.exists, "a new access log")
        stage.call("/v1/moderations")
        assert stage.gateway.stop() == 0
    paths = [[json.loads(line)["path"] for line in path.read_text().splitlines()] for path in (rotated, log)]
    assert paths == [["/v1/chat/completions", "/v1/embeddings"], ["/v1/moderations"]]
    # Who calls whom is nobody's business but the operator's.
    assert log.stat().st_mode & 0o007 == 0


# The access log


def test_access_log_has_exactly_the_documented_fields(bin_dir: Path, tmp_path: Path) -> None:
    """One JSON object for each call, with every field present, and nothing of keys, queries, prompts or answers."""
    with scene(bin_dir, tmp_path) as stage:
        asked = b'{"model": "gpt-canary", "messages": [{"role": "user", "content": "prompt-canary"}]}'
        answered = stage.call("/v1/chat/completions?query=canary", {"X-Request-Id": "mine-1"}, asked)
        refused = stage.call("/v1/chat/completions", {"X-Request-Id": "mine-2"}, key="vk_canary")
        done, not_done = stage.logged("mine-1"), stage.logged("mine-2")
        assert stage.gateway.stop() == 0
    fields = {
        "time": str,
        "request_id": str,
        "client_request_id": str,
        "key": str,
        "provider": str,
        "credential": str,
        "attempts": int,
        "model": str,
        "dialect": str,
        "method": str,
        "path": str,
        "status": int,
        "duration_s": float,
        "first_byte_s": float,
        "bytes_in": int,
        "bytes_out": int,
        "dropped": type(None),
        "ended": str,
        "error": type(None),
    }
    assert {name: type(value) for name, value in done.items()} == fields
    assert list(not_done) == list(fields)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", done["time"])
    assert done["request_id"] == answered.value("x-gw-request-id")
    assert re.fullmatch(r"key:[0-9a-f]{8}", done["key"])
    told = ("provider", "model", "dialect", "method", "path", "status", "bytes_in", "bytes_out", "ended")
    assert [done[name] for name in told] == [
        "openai",
        "gpt-canary",
        "openai",
        "POST",
        "/v1/chat/completions",
        200,
        len(asked),
        len(answered.body),
        "ok",
    ]
    assert 0 <= done["first_byte_s"] <= done["duration_s"] < BOUND_S
    assert (not_done["status"], not_done["ended"], not_done["error"]) == (401, "refused", "invalid_api_key")
    assert (not_done["key"], not_done["provider"], not_done["first_byte_s"]) == (None, None, None)
    assert refused.value("x-gw-request-id") == not_done["request_id"]
    for secret in ("vk_openai", "vk_canary", "sk-real", "prompt-canary", "query=canary"):
        assert secret not in stage.gateway.output


@pytest.mark.any_wire
def test_access_log_as_text_is_one_readable_line(bin_dir: Path, tmp_path: Path) -> None:
    """Time, method, path and status first; then what is known, by name."""
    with scene(bin_dir, tmp_path, "--access-log-format", "text") as stage:
        stage.call("/v1/chat/completions", {"X-Request-Id": "mine 1"})
        line = stage.gateway.wait_for("client_id")
    assert re.fullmatch(
        r"\S+Z POST /v1/chat/completions 200 ended=ok key=key:[0-9a-f]{8} provider=openai model=m-1 "
        r'duration_s=[\d.]+ first_byte_s=[\d.]+ in=\d+ out=\d+ id=[0-9a-f]{24} client_id="mine 1"\n',
        line,
    )


# Starting


@pytest.mark.any_wire
def test_variables_name_files_and_port(bin_dir: Path, tmp_path: Path) -> None:
    """``KEYS_FILE``, ``AISERVICES_FILE`` and ``GATEWAY_PORT`` stand for the options of the same meaning."""
    (tmp_path / "k.json").write_text('{"virtual_keys": {"vk_a": {"provider": "mine", "api_key": "sk-a"}}}')
    (tmp_path / "s.json").write_text('{"mine": {"url": "http://127.0.0.1:9/v1/chat/completions"}}')
    # Bound but not listened on, so that nobody else can get the port in the meantime and the gateway still can.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        environ = {"KEYS_FILE": "k.json", "AISERVICES_FILE": "s.json", "GATEWAY_PORT": str(port)}
        command = [str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway", "--demo", "--health-interval", "0"]
        with running_command(command, tmp_path, environ) as gateway:
            assert gateway.port == port
            assert "1 virtual keys, providers: mine" in gateway.wait_for("virtual keys, providers")
            with Client(port) as client:
                assert client.call("GET", "/v1/models", asking("vk_a")).status == 200


@pytest.mark.any_wire
def test_options_win_over_variables(bin_dir: Path, tmp_path: Path) -> None:
    """What the command line names is taken, whatever the environment says."""
    (tmp_path / "k.json").write_text('{"virtual_keys": {"vk_a": {"provider": "mine", "api_key": "sk-a"}}}')
    (tmp_path / "s.json").write_text('{"mine": {"url": "http://127.0.0.1:9/v1/chat/completions"}}')
    environ = {"KEYS_FILE": "nowhere.json", "AISERVICES_FILE": "nowhere.json", "GATEWAY_PORT": "nonsense"}
    options = ("--keys", "k.json", "--aiservices", "s.json", "--health-interval", "0")
    with running_gateway(bin_dir, tmp_path, *options, environ=environ) as gateway:
        assert "1 virtual keys, providers: mine" in gateway.wait_for("virtual keys, providers")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environ(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=STOP_S,
        check=False,
    )


@pytest.mark.any_wire
@pytest.mark.parametrize("program", ["twistd -n --pidfile=", "twist"])
def test_taken_port_is_one_clear_line(bin_dir: Path, tmp_path: Path, program: str) -> None:
    """A port that somebody else listens on: the program says so, without a traceback, and its status is not 0."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        name, *options = program.split()
        ended = run([str(bin_dir / name), *options, "llmgateway", "--demo", "--port", str(port)], tmp_path)
    assert ended.returncode == 1
    [line] = [line for line in ended.stdout.splitlines() if "Cannot listen" in line]
    assert line.endswith(f"127.0.0.1:{port}: [Errno 98] Address already in use.")
    assert "Traceback" not in ended.stdout


@pytest.mark.any_wire
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--demo --drain-timeout soon", "--drain-timeout must be a number of at least 0, not 'soon'."),
        ("--demo --prot 80", "option --prot not recognized"),
        ("--demo --listen carrier-pigeon:1", "Unknown endpoint type: 'carrier-pigeon'"),
        ("", "keys.json: does not exist"),
    ],
)
def test_wrong_command_line_is_explained_at_the_end(
    bin_dir: Path, tmp_path: Path, arguments: str, complaint: str
) -> None:
    """The last line says what is wrong; no traceback, and the status is not 0."""
    ended = run([str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway", *arguments.split()], tmp_path)
    assert ended.returncode == 1
    assert complaint in ended.stdout.splitlines()[-1]
    assert "Traceback" not in ended.stdout


@pytest.mark.any_wire
def test_demo_prints_commands_that_work_when_pasted(bin_dir: Path, tmp_path: Path) -> None:
    """Each curl command that ``--demo`` prints is answered by the provider of its key."""
    with running_gateway(bin_dir, tmp_path, "--demo") as gateway:
        gateway.wait_for("Ctrl-C stops")
        commands = [shlex.split(line) for line in gateway.output.splitlines() if line.strip().startswith("curl ")]
        for command in commands:
            url = next(word for word in command if word.startswith("http://"))
            fields = dict(word.split(": ", 1) for word in command if ": " in word and word[0] != "{")
            body = next(word for word in command if word[0] == "{")
            with Client(gateway.port) as client:
                answer = client.call("POST", url.removeprefix(gateway.url), fields, body.encode())
            assert answer.status == 200
            streamed = answer.value("content-type") != "application/json"
            assert answer.body.endswith(LAST) == streamed == ('"stream":true' in body)
    assert len(commands) == 4


@pytest.mark.any_wire
def test_twist_runs_the_gateway_too(bin_dir: Path, tmp_path: Path) -> None:
    """``twist llmgateway`` starts, answers, and stops on SIGTERM with status 0."""
    command = [str(bin_dir / "twist"), "--log-format", "text", "llmgateway", "--demo", "--listen", LOOPBACK]
    with running_command(command, tmp_path) as gateway:
        with Client(gateway.port) as client:
            assert client.call("GET", "/v1/models", asking("vk_user1_openai")).status == 200
        assert gateway.stop() == 0
        assert quiet(gateway)


@pytest.mark.any_wire
def test_daemon_starts_answers_and_stops(bin_dir: Path, tmp_path: Path) -> None:
    """
    ``twistd llmgateway`` without ``-n`` goes to the background. Files named relative to where it was started stay the
    ones that are meant, although the daemon changes its folder; the access log has a file; SIGTERM stops it.
    """
    (tmp_path / "elsewhere").mkdir()
    write_keys(tmp_path, "daemon")
    pid_file, log_file = tmp_path / "gateway.pid", tmp_path / "gateway.log"
    command = [
        *(str(bin_dir / "twistd"), f"--pidfile={pid_file}", f"--logfile={log_file}", "--rundir", "elsewhere"),
        *("llmgateway", "--demo", "--keys", "keys.json", "--listen", LOOPBACK),
    ]
    assert run(command, tmp_path).returncode == 0
    eventually(lambda: pid_file.exists() and pid_file.read_text().strip().isdigit(), "a pid file")
    pid = int(pid_file.read_text())
    handle = os.pidfd_open(pid)
    try:
        eventually(lambda: "Listening on http" in log_file.read_text(), "an address in the log")
        [port] = re.findall(r"Listening on http://127\.0\.0\.1:(\d+)", log_file.read_text())
        with Client(int(port)) as client:
            assert client.call("POST", PATHS["openai"], asking("vk_daemon"), BODY).status == 400
            assert client.call("GET", "/v1/models", asking("vk_daemon")).status == 200
        write_keys(tmp_path, "other")
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: log_file.read_text().count("Configuration read anew") == 2, "a reload")
        with Client(int(port)) as client:
            assert client.call("GET", "/v1/models", asking("vk_other")).status == 200
        os.kill(pid, signal.SIGTERM)
        assert select.select([handle], [], [], STOP_S)[0], "the daemon still runs"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    assert not pid_file.exists()
    assert len((tmp_path / "llmgateway-access.log").read_text().splitlines()) == 3
    assert "Traceback" not in log_file.read_text()


def test_unix_socket_and_tls_are_listened_on(bin_dir: Path, tmp_path: Path) -> None:
    """Any Twisted endpoint will do, several at once; each is named in the log, and the socket's file is removed."""
    certificate = make_certificate(tmp_path)
    options = [
        *("--demo", "--listen", "unix:gateway.sock"),
        *("--listen", f"ssl:0:interface=127.0.0.1:privateKey={certificate}"),
    ]
    with running_gateway(bin_dir, tmp_path, *options) as gateway:
        gateway.wait_for(r"Listening on unix:.*gateway\.sock")
        tls_port = int(gateway.wait_for("Listening on https://127").rpartition(":")[2])
        streamed = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "count to 3"}]}'

        trusting = ssl.create_default_context(cafile=str(certificate))
        secure = http.client.HTTPSConnection("127.0.0.1", tls_port, timeout=BOUND_S, context=trusting)
        local = http.client.HTTPConnection("gateway", timeout=BOUND_S)
        local.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        local.sock.connect(str(tmp_path / "gateway.sock"))
        for connection in (secure, local):
            with contextlib.closing(connection):
                connection.request("POST", "/v1/chat/completions", streamed, asking("vk_user1_openai"))
                assert connection.getresponse().read().endswith(LAST)
        assert gateway.stop() == 0
        assert quiet(gateway)
    assert not (tmp_path / "gateway.sock").exists()
