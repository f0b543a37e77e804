"""P6: keys, prompts and answers turn up in no log, error, header or traceback, whatever goes wrong."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.real.client import Answer, Client, request_bytes
from tests.real.gateway import RunningGateway, clean_environ, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.provider import (
    LAST_CHUNK,
    STREAM_HEAD,
    Exchange,
    Provider,
    answer_bytes,
    chunk,
    head_bytes,
    running_provider,
)
from tests.real.scene import PATHS, asking

REAL = {
    "openai": "sk-CANARY-real-openai-0123456789",
    "anthropic": "sk-ant-CANARY-real-anthropic-0123456789",
    "gemini": "AIzaCANARYrealgemini0123456789",
}
EXTRA = "CANARYsecretofaheader0123456789abcdef"
VIRTUAL = {dialect: f"vk-CANARY-virtual-{dialect}" for dialect in REAL}
UNKNOWN = "vk-CANARY-unknown"
ELSEWHERE = "vk-CANARY-elsewhere"
PROMPT = "CANARY-prompt"
ANSWER = "CANARY-answer"
FRAGMENT = "CANARY"
"""In all of them, so that no rest of one is overlooked."""

FAULTS = '''
"""Faults that the gateway does not have: it breaks where it is told to, and says all it knows."""
import llm_gateway.core.headers as headers
import llm_gateway.core.masking as masking
import llm_gateway.core.peek as peeking

def break_down(name, known):
    raise RuntimeError(f"{name} broke at {known!r}") from ValueError(known)

feed, keep, model_of = masking.Mask.feed, headers.HeaderFilter.keep, peeking.model_of

def breaking_feed(self, piece):
    return break_down("relay", (piece, self._secret)) if b"break-relay" in piece else feed(self, piece)

def breaking_keep(self, fields):
    names = [name.lower() for name in fields]
    return break_down("headers", fields) if b"x-break" in names else keep(self, fields)

def breaking_peek(body):
    return break_down("peek", bytes(body)) if b"break-peek" in bytes(body) else model_of(body)

masking.Mask.feed, headers.HeaderFilter.keep, peeking.model_of = breaking_feed, breaking_keep, breaking_peek
'''


@attrs.frozen
class Stage:
    """A gateway full of canaries, and everything that its clients have got from it."""

    gateway: RunningGateway
    provider: Provider
    heard: list[str]

    def call(
        self, target: str, fields: dict[str, str], body: bytes = b"{}", script: Callable[[Exchange], None] | None = None
    ) -> Answer:
        if script is not None:
            self.provider.script = script
        with Client(self.gateway.port) as client:
            return self.keep(client.call("POST", target, fields, body))

    def keep(self, answer: Answer) -> Answer:
        self.heard.append(f"{answer.head} {answer.body.decode('utf-8', 'replace')} {answer.trailers}")
        return answer

    def ask(self, dialect: str, script: Callable[[Exchange], None], *, body: bytes | None = None) -> Answer:
        """A call with a key and a prompt."""
        prompt = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % PROMPT.encode()
        return self.call(PATHS[dialect], asking(VIRTUAL[dialect]), prompt if body is None else body, script)


def keys_document(folder: Path) -> dict[str, Any]:
    """Each real key comes in another of the ways that there are."""
    (folder / "secret").write_text(REAL["anthropic"] + "\n")
    written = {"openai": REAL["openai"], "anthropic": "file:secret", "gemini": "${GEMINI_CANARY}"}
    keys = {VIRTUAL[dialect]: {"provider": dialect, "api_key": text} for dialect, text in written.items()}
    keys[ELSEWHERE] = {"provider": "elsewhere", "api_key": REAL["openai"]}
    return keys


def providers_document(url: str) -> dict[str, Any]:
    # Longer than a machine with other things to do takes for an answer that comes.
    quick = {"first_byte_s": 1.5, "idle_s": 1.5}
    return {
        "openai": {"base_url": f"{url}/v1", "timeouts": quick, "headers": {"X-Extra": EXTRA}},
        "anthropic": {"base_url": f"{url}/v1", "dialect": "anthropic", "timeouts": quick},
        "gemini": {"base_url": f"{url}/v1beta", "timeouts": quick},
    }


@pytest.fixture(scope="module", params=["text", "json"])
def stage(request: pytest.FixtureRequest, bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "faults").mkdir()
    (folder / "faults" / "sitecustomize.py").write_text(FAULTS)
    path = os.pathsep.join([str(folder / "faults"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {"GEMINI_CANARY": REAL["gemini"], "PYTHONPATH": path}
    options = ("--access-log-format", request.param, "--reload-interval", "0", "--health-interval", "0")
    with (
        running_provider() as provider,
        running_gateway(
            bin_dir,
            folder,
            *options,
            keys=keys_document(folder),
            providers=providers_document(provider.url),
            environ=environ,
        ) as gateway,
    ):
        assert "sitecustomize" not in gateway.output, "the faults could not be put in"
        stage = Stage(gateway, provider, [])
        yield stage
        # Whatever a test has looked at itself: at the end, and after the end, there is no trace.
        gateway.stop()
        check_silence(stage)


def check_silence(stage: Stage) -> None:
    """Nothing in any output, no key of either kind with a client, no virtual key with the provider."""
    __tracebackhide__ = True
    leaks = [line for line in stage.gateway.output.splitlines() if FRAGMENT in line]
    assert leaks == []
    for secret in (*REAL.values(), *VIRTUAL.values(), UNKNOWN, ELSEWHERE, EXTRA):
        assert [heard for heard in stage.heard if secret in heard] == []
    for seen in stage.provider.seen:
        assert not any(key in seen.target for key in (*VIRTUAL.values(), ELSEWHERE)), seen
        assert not any(key in str(seen.fields) for key in (*VIRTUAL.values(), ELSEWHERE, UNKNOWN)), seen


def broken_keys() -> list[dict[str, str]]:
    """Headers with canaries in every place and in many broken forms."""
    basic = base64.b64encode(f"user:{UNKNOWN}".encode()).decode()
    values = [
        UNKNOWN,
        f"Bearer {UNKNOWN}",
        f"bearer {UNKNOWN} x",
        f"Basic {basic}",
        f"Token {UNKNOWN}",
        f"Bearer{UNKNOWN}",
    ]
    return [
        *({"Authorization": value} for value in values),
        *({name: UNKNOWN} for name in ("x-api-key", "api-key", "x-goog-api-key")),
        {"Authorization": f"Bearer {ELSEWHERE}"},
        {"Authorization": f"Bearer {VIRTUAL['openai']}", "x-api-key": UNKNOWN, "Cookie": f"key={UNKNOWN}"},
        {"Proxy-Authorization": f"Bearer {UNKNOWN}"},
    ]


def test_refusals_repeat_no_key(stage: Stage) -> None:
    """Wherever it stood, and in whatever form."""
    paths = [
        *PATHS.values(),
        "/chat/completions",
        "/completions/chat",
        "/p/openai/x",
        "/p/nobody/x",
        "/nowhere",
        "/health",
    ]
    queries = ["", f"?key={UNKNOWN}", f"?key={VIRTUAL['gemini']}", f"?api_key={UNKNOWN}&q={PROMPT}", f"?\x80{PROMPT}"]
    stage.provider.script = lambda exchange: exchange.send(answer_bytes())
    for path in paths:
        for query in queries:
            for fields in broken_keys():
                stage.call(path + query, fields, f'{{"model": 1, "x": "{PROMPT}"}}'.encode())
    check_silence(stage)


def test_requests_that_are_none_repeat_nothing(stage: Stage) -> None:
    """Not even into the log, whatever broke."""
    head = request_bytes("POST", PATHS["openai"], asking(VIRTUAL["openai"]))
    for raw in (
        f"{UNKNOWN}\r\n\r\n".encode(),
        f"GET /{UNKNOWN} HTTP/3 {UNKNOWN}\r\n\r\n".encode(),
        head.replace(b"\r\n\r\n", f"\r\n{UNKNOWN}\r\n\r\n".encode()),
        head.replace(b"\r\n\r\n", f"\r\nX: \x00{UNKNOWN}\r\n\r\n".encode()),
        head.replace(b"\r\n\r\n", f"\r\nContent-Length: {UNKNOWN}\r\n\r\n".encode()),
        head.replace(b"\r\n\r\n", f"\r\nTransfer-Encoding: chunked\r\n\r\n{PROMPT}\r\n".encode()),
        head.replace(b"\r\n\r\n", f"\r\nX: {UNKNOWN * 5000}\r\n\r\n".encode()),
        head.replace(b"gateway.test", f"{UNKNOWN}/\xff".encode("latin-1")),
    ):
        with Client(stage.gateway.port) as client:
            client.send(raw)
            stage.keep(client.answer())
    check_silence(stage)


@pytest.mark.parametrize("dialect", REAL)
def test_provider_that_repeats_the_real_key_gives_nothing_away(stage: Stage, dialect: str) -> None:
    """In bodies, headers, the status line, redirects and streams: the client gets asterisks or nothing."""
    key = REAL[dialect]
    stars = "*" * len(key)
    body = f'{{"error": {{"message": "Incorrect API key provided: {key}.", "again": "{key}{key}"}}}}'.encode()
    masked = body.replace(key.encode(), stars.encode())

    def refuse(exchange: Exchange) -> None:
        fields = {
            "WWW-Authenticate": f'Bearer realm="{key}"',
            "X-Debug-Authorization": f"Bearer {key}",
            "Location": f"https://elsewhere.test/?key={key}",
        }
        exchange.send(answer_bytes(body, status=f"401 Not {key}", fields=fields))

    answer = stage.ask(dialect, refuse)
    assert (answer.status, answer.body) == (401, masked)

    for cut in range(len(key) + 1):
        pieces = [body[: body.index(key.encode()) + cut], body[body.index(key.encode()) + cut :]]

        def in_pieces(exchange: Exchange, pieces: list[bytes] = pieces) -> None:
            head = head_bytes("500 Oh", {"content-type": "application/json", "transfer-encoding": "chunked"})
            exchange.send(head + b"".join(map(chunk, pieces)) + b"0\r\nx-trailer: " + key.encode() + b"\r\n\r\n")

        assert stage.ask(dialect, in_pieces).body == masked

    def stream(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        for byte in f"data: {key}\n\ndata: {key[:-1]}\n\n".encode():
            exchange.send(chunk(bytes([byte])))
        exchange.send(LAST_CHUNK)

    answer = stage.ask(dialect, stream)
    assert answer.body == f"data: {stars}\n\ndata: {key[:-1]}\n\n".encode()
    stage.heard[:] = [heard for heard in stage.heard if key[:-1] not in heard]
    check_silence(stage)


def test_failing_providers_are_told_of_without_what_they_said(stage: Stage) -> None:
    """Nonsense, hang-ups and silence that hold canaries of every kind."""
    key = REAL["openai"].encode()
    event = b'data: {"text": "%b"}\n\n' % ANSWER.encode()

    def sending(data: bytes, *, then: str) -> Callable[[Exchange], None]:
        def script(exchange: Exchange) -> None:
            exchange.send(data)
            if then == "wait":
                exchange.connection.wait_left()
            exchange.connection.close()

        return script

    for then in ("close", "wait"):
        for data in (
            b"%b %b\r\n\r\n" % (key, ANSWER.encode()),
            b"HTTP/1.1 %b\r\n\r\n" % key,
            b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % key,
            b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\n" % key,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: %b\r\n\r\n" % key,
            STREAM_HEAD + b"%b\r\n" % key,
            STREAM_HEAD + chunk(b"data: %b" % key),
            STREAM_HEAD + chunk(event) + chunk(b"data: %b" % key[:-1]),
            STREAM_HEAD + chunk(event) + b"%b\r\n" % key,
            head_bytes(fields={"content-length": "999"}) + key + ANSWER.encode(),
        ):
            stage.ask("openai", sending(data, then=then))
    stage.provider.faults.clear()
    check_silence(stage)


@pytest.mark.parametrize("dialect", REAL)
def test_faults_of_the_gateway_tell_nobody_what_they_were_about(stage: Stage, dialect: str) -> None:
    """A 500 without details for the client; for the operator where it happened, without the exception's own words."""
    key = REAL[dialect].encode()
    lines = len(stage.gateway.lines)
    scripts: dict[str, Callable[[Exchange], None]] = {
        "break-relay": lambda exchange: exchange.send(answer_bytes(b"break-relay " + key + ANSWER.encode())),
        "break-answer": lambda exchange: exchange.send(answer_bytes(key, fields={"X-Break": key.decode()})),
    }
    for script in scripts.values():
        answer = stage.ask(dialect, script)
        assert (answer.status, answer.value("x-gw-error")) == (500, "internal_error")
    # Where Gemini's paths name the model, nobody looks for it in the body.
    path = PATHS["anthropic" if dialect == "gemini" else dialect]
    body = f'{{"model": "break-peek {PROMPT}"}}'.encode()
    answer = stage.call(path, asking(VIRTUAL[dialect]), body)
    assert (answer.status, answer.value("x-gw-error")) == (500, "internal_error")
    answer = stage.call(PATHS[dialect], {**asking(VIRTUAL[dialect]), "X-Break": PROMPT})
    assert (answer.status, answer.value("x-gw-error")) == (500, "internal_error")

    def break_later(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: break-relay " + key + b"\n\n"))
        exchange.connection.wait_left()
        exchange.connection.close()

    answer = stage.ask(dialect, break_later)
    assert answer.whole
    assert b"The gateway failed" in answer.body
    for place in ("break_down", "breaking_feed", "breaking_keep", "breaking_peek", "RuntimeError"):
        assert stage.gateway.wait_for(place, after=lines)
    check_silence(stage)


def test_fault_leaves_no_connection_behind(stage: Stage) -> None:
    """Also where it came before anybody could read the provider's answer."""
    left: list[Exchange] = []

    def break_and_watch(exchange: Exchange) -> None:
        exchange.send(head_bytes(fields={"X-Break": "1", "content-length": "10"}))
        exchange.connection.wait_left()
        stage.provider.tell(left, exchange)
        exchange.connection.close()

    assert stage.ask("openai", break_and_watch).status == 500
    stage.provider.wait_for(lambda: bool(left), "the provider's connection is closed")


def test_answers_reach_their_client_only(stage: Stage) -> None:
    """The one place where an answer may be seen."""
    wire = answer_bytes(json.dumps({"text": ANSWER}).encode())
    answer = stage.ask("openai", lambda exchange: exchange.send(wire))
    assert ANSWER.encode() in answer.body
    check_silence(stage)


def broken_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Files that cannot be used, each with secrets where something is wrong."""
    keys = {"virtual_keys": keys_document(folder)}
    whole = json.dumps(keys, indent=1)
    yield "keys.json", whole[:-20]
    yield "keys.json", whole.replace('"provider"', f'"{UNKNOWN}"', 1)
    yield "keys.json", whole.replace("${GEMINI_CANARY}", "${NOT_SET_ANYWHERE}")
    yield "keys.json", whole.replace("file:secret", "file:missing")
    yield "keys.json", whole.replace(f'"{REAL["openai"]}"', f'["{REAL["openai"]}"]')
    yield "keys.json", whole.replace(f'"{REAL["openai"]}"', f'"{REAL["openai"]}\\n"')
    yield "keys.json", whole.replace(f'"{VIRTUAL["openai"]}"', f'"{VIRTUAL["anthropic"]}"')
    yield "keys.json", json.dumps(keys_document(folder))
    yield "keys.json", f"{REAL['openai']} {VIRTUAL['openai']}"
    providers = json.dumps(providers_document("http://127.0.0.1:9"))
    yield "aiservices.json", providers.replace("X-Extra", f"X Extra {EXTRA}")
    yield "aiservices.json", providers.replace(EXTRA, f"{EXTRA}\\r\\n")
    yield "aiservices.json", providers.replace("http://127.0.0.1:9", f"http://user:{EXTRA}@127.0.0.1:9")
    yield "aiservices.json", providers.replace("/v1beta", f"/v1beta?key={EXTRA}")
    yield "aiservices.json", whole


def test_files_that_break_are_told_of_without_secrets(stage: Stage, tmp_path: Path) -> None:
    """By a running gateway that is asked to read them again."""
    folder = stage.gateway.folder
    for name, text in broken_files(tmp_path):
        whole, lines = (folder / name).read_text(), len(stage.gateway.lines)
        (folder / name).write_text(text)
        stage.gateway.process.send_signal(signal.SIGHUP)
        stage.gateway.wait_for("configuration cannot be used", after=lines)
        (folder / name).write_text(whole)
        stage.gateway.process.send_signal(signal.SIGHUP)
        stage.gateway.wait_for("Configuration read: in order", after=lines)
        assert any(f"{name}:" in line for line in stage.gateway.lines[lines:])
    check_silence(stage)


@pytest.mark.any_wire
def test_broken_files_are_told_of_without_secrets(bin_dir: Path, tmp_path: Path) -> None:
    """By a gateway that does not start with them."""
    keys, providers = {"virtual_keys": keys_document(tmp_path)}, providers_document("http://127.0.0.1:9")
    for name, text in list(broken_files(tmp_path))[::3]:
        (tmp_path / "keys.json").write_text(json.dumps(keys))
        (tmp_path / "aiservices.json").write_text(json.dumps(providers))
        (tmp_path / name).write_text(text)
        started = subprocess.run(
            [str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway", "--listen", "tcp:0:interface=127.0.0.1"],
            cwd=tmp_path,
            env={**clean_environ(), "GEMINI_CANARY": REAL["gemini"]},
            capture_output=True,
            text=True,
            timeout=BOUND_S,
        )
        told = started.stdout + started.stderr
        assert started.returncode == 1, told
        assert f"{name}:" in told
        assert FRAGMENT not in told, told


def test_process_shows_no_secret_to_other_users(stage: Stage) -> None:
    """Its command line is for all to read, and its log file for its group at most."""
    command = Path(f"/proc/{stage.gateway.process.pid}/cmdline").read_bytes().decode()
    assert FRAGMENT not in command
    assert os.fspath(stage.gateway.folder) not in command
