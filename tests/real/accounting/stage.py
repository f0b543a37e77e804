"""The gateway between callers of every kind and a provider that keeps books of its own, and both sides' books."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.real.accounting import dialects
from tests.real.client import Client
from tests.real.gateway import RunningGateway, running_command
from tests.real.inbox import BOUND_S
from tests.real.scene import asking
from tests.wires import WIRE

__all__ = ["PRICES", "Answered", "Caller", "HonestProvider", "Stage", "cost_of", "ledger_rows", "stage"]

ROOT = Path(__file__).parents[3]

PROVIDERS = {"alpha": "openai", "beta": "anthropic", "gamma": "gemini"}
"""By name: the dialect that it is asked in."""

BASES = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}

MODELS = ("m-1", "m-2")

PRICES: dict[tuple[str, str], dict[str, int]] = {
    (provider, model): {"input": 2 * n, "cached": n, "cache_write": 3 * n, "output": 8 * n, "reasoning": 16 * n}
    for n, (provider, model) in enumerate(((p, m) for p in PROVIDERS for m in MODELS), 1)
}
"""Dollars per million tokens, which are thousands of billionths for each."""
PRICES["alpha", "m-1"]["reasoning"] = PRICES["alpha", "m-1"]["output"]


def cost_of(provider: str, model: str, counts: Mapping[str, int]) -> int:
    """:return: billionths of a dollar."""
    return sum(1000 * PRICES[provider, model][name] * counts[name] for name in dialects.CLASSES)


class HonestProvider:
    """A provider that is a program of its own, ``honest.py``. It lives on when the gateway dies."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.real.accounting.honest", "0"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HonestProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=BOUND_S)

    def books(self) -> list[dict[str, Any]]:
        """What it was asked, in the order in which it came; see ``honest.Books.enter``."""
        found: list[dict[str, Any]] = self._ask("books")
        return found

    def go(self, tag: str) -> None:
        """Let those that pause with this tag go on."""
        self._ask(f"go?tag={tag}")

    def wait_for(self, tag: str, number: int = 0, *, stopped: bool = False) -> None:
        """Wait until a call with this tag has come for the so-manieth time, or until its answer stands still."""
        self._ask(f"await?news={tag}+{number}{'+stopped' if stopped else ''}")

    async def told(self, what: str) -> None:
        """The same for many clients in one thread, by its path."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /control/{what} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n{}")
        writer.close()

    def _ask(self, what: str) -> Any:
        with Client(self.port) as client:
            return client.call("GET", f"/control/{what}").json()


@attrs.frozen
class Stage:
    """A running gateway, its provider, and its ledger."""

    gateway: RunningGateway
    provider: HonestProvider
    ledger: Path

    def call(
        self,
        key: str,
        orders: Mapping[str, Any],
        dialect: str = "chat",
        *,
        model: str = "m-1",
        stream: bool = False,
        most: int = 1000,
    ) -> Client:
        """
        :return: a client that has sent a call.
        """
        client = Client(self.gateway.port)
        target, body = dialects.request(dialect, model, json.dumps(orders), stream=stream, most=most)
        fields = {**asking(key), "x-call": orders["tag"]}
        client.ask("POST", target, fields, json.dumps(body).encode())
        return client

    def stop(self) -> list[dict[str, Any]]:
        """
        Stop the gateway in order.

        :return: all that it has written down.
        """
        with Client(self.gateway.port) as client:
            # It is told how to stop in order once it runs.
            assert client.call("GET", "/livez").status == 200
        assert self.gateway.stop() == 0, self.gateway.output
        return ledger_rows(self.ledger)


def ledger_rows(path: Path) -> list[dict[str, Any]]:
    """:return: the rows, read with no code of the gateway's; each with its call's tag."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BOUND_S)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("select * from attempts order by at, attempt")]
    for row in rows:
        row["tag"] = json.loads(row["labels"] or "{}").get("call")
    return rows


@contextmanager
def stage(
    bin_dir: Path,
    folder: Path,
    provider: HonestProvider,
    *options: str,
    keys: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    routing: Mapping[str, Any] | None = None,
    ledger: str | None = None,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] | None = None,
) -> Iterator[Stage]:
    """
    Start the gateway; the ledger is a file in ``folder`` that stays where it is.

    :param keys: by virtual key, what stands under it besides its name; the credential ``alpha`` is ``alpha``'s real
        key, and so on, and ``nobody`` is one of a provider that does not run.
    :param limits: of all calls together.
    :param labels: besides the tag: where they come from.
    :param ledger: in place of the file.
    :param program: in place of ``twistd``.
    """
    file = folder / "ledger.sqlite"
    providers: dict[str, Any] = {
        "$routing": {
            "retries": {
                "attempts": 3,
                "first_wait_s": 0.01,
                "longest_wait_s": 0.02,
                "repeat": "generations",
                "again": 3,
            },
            **(routing or {}),
        }
    }
    for name, dialect in PROVIDERS.items():
        prices = {m: {"prices": {each: str(n) for each, n in PRICES[name, m].items()}} for m in MODELS}
        providers[name] = {
            "base_url": f"{provider.url}/{name}{BASES[dialect]}",
            "dialect": dialect,
            "models": prices,
        }
    providers["alpha"]["apis"] = ["chat", "responses"]
    # Nobody listens on port 9 of loopback, where machines have discarded what comes since 1983 at most.
    providers["nobody"] = {**providers["alpha"], "base_url": "http://127.0.0.1:9/v1"}
    for each in PROVIDERS | {"nobody": ""}:
        providers[each] |= {"breaking": {"enabled": False}, "retry_share": 1.0, "retry_reserve": 1_000_000}
    names = {name: {"provider": name, "api_key": f"sk-real-{name}"} for name in providers if name[0] != "$"}
    entries = {key: {"name": key.removeprefix("vk_"), **said} for key, said in keys.items()}
    (folder / "keys.json").write_text(
        json.dumps(
            {
                "credentials": names,
                "label_from": {"call": "header:x-call", **(labels or {})},
                "limits": dict(limits or {}),
                "virtual_keys": entries,
            }
        )
    )
    (folder / "aiservices.json").write_text(json.dumps(providers))
    command = [*(program or [str(bin_dir / "twistd")]), "-n", "--pidfile=", "llmgateway"]
    command += ["--listen", "tcp:0:interface=127.0.0.1", "--wire", WIRE, "--health-interval", "0"]
    command += ["--reload-interval", "0", "--ledger", ledger or str(file), *options]
    with running_command(command, folder, environ) as gateway:
        yield Stage(gateway, provider, file)
        for wrong in ("Traceback", "fault in the gateway"):
            assert wrong not in gateway.output, gateway.output


@attrs.frozen
class Answered:
    """What a caller got."""

    status: int | None
    fields: dict[str, str]
    body: bytes
    whole: bool


class Caller:
    """One of many clients in one thread, with a connection that it keeps while it can."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    async def call(
        self, key: str, tag: str, target: str, body: bytes, *, until: bytes | None = None, leave: Any = None
    ) -> Answered:
        """
        :param until: what the body holds when the client leaves.
        :param leave: or something to await, after which it leaves whatever has come.
        """
        if self._line is None:
            self._line = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._line
        head = (
            f"POST {target} HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nX-Call: {tag}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        if leave is not None:
            await leave
            self.leave()
            return Answered(None, {}, b"", False)
        try:
            return await self._answer(reader, until)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.leave()
            return Answered(None, {}, b"", False)

    async def _answer(self, reader: asyncio.StreamReader, until: bytes | None) -> Answered:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        status = int(first.split(" ")[1])
        fields = dict(line.lower().split(": ", 1) for line in lines)
        got = b""
        if fields.get("transfer-encoding") != "chunked":
            got = await reader.readexactly(int(fields.get("content-length", 0)))
            return Answered(status, fields, got, True)
        try:
            # Of a connection that ends it is no number.
            while size := int(await reader.readline() or b"none", 16):
                got += await reader.readexactly(size)
                await reader.readexactly(2)
                if until is not None and until in got:
                    self.leave()
                    return Answered(status, fields, got, False)
            await reader.readexactly(2)
        except (ValueError, asyncio.IncompleteReadError, ConnectionError):
            self.leave()
            return Answered(status, fields, got, False)
        return Answered(status, fields, got, True)

    def leave(self) -> None:
        """Close the connection, with what has not been read."""
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None
