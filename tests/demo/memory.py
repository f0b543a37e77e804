"""The demo provider over a transport in memory, with a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from llm_gateway.core.sse import Event, EventStreamParser
from llm_gateway.demo import demo_resource

KEY = "sk-demo"
PACE_S = 0.5


class Connection:
    """One client's connection."""

    def __init__(self, keys: Collection[str] = (KEY,)) -> None:
        self.clock = Clock()
        # No timeout of the server's own, so that every delayed call left on the clock is the provider's.
        site: Any = Site(demo_resource(self.clock, keys, pace_s=PACE_S), timeout=None, reactor=self.clock)
        self.transport = StringTransport()
        self.protocol = site.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    def send(self, method: str, path: str, document: object = None, **headers: str) -> None:
        """Names in ``headers`` are written with underscores; without ``authorization`` the right key is sent."""
        body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"authorization": f"Bearer {KEY}", **headers, "host": "demo", "content_length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
        self.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)

    def leave(self) -> None:
        self.transport.connected = False
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def status(self) -> int:
        return int(self.transport.value().split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        head = self.transport.value().partition(b"\r\n\r\n")[0].decode()
        return {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in head.split("\r\n")[1:]}

    @property
    def body(self) -> bytes:
        """What came after the headers, with the chunks' frames taken off."""
        written: bytes = self.transport.value()
        _, _, rest = written.partition(b"\r\n\r\n")
        if "transfer-encoding" not in self.headers:
            return rest
        whole = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return whole

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        return EventStreamParser().feed(self.body)


def call(method: str, path: str, document: object = None, **headers: str) -> Connection:
    connection = Connection()
    connection.send(method, path, document, **headers)
    return connection


def chat(text: str, **more: object) -> dict[str, object]:
    return {"model": "gpt-demo", "messages": [{"role": "user", "content": text}], **more}
