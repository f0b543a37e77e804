"""
Clients that send call after call, each over a connection of its own, and check every byte of the answers.

``python -m benchmarks.load --port 8080 --connections 64 --seconds 3`` prints what it found as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections.abc import Sequence

import attrs
from httptools import HttpParserError, HttpResponseParser

from benchmarks.shapes import EVENTS, PATH, VIRTUAL_KEY, WrongStream, call_body, image_body, is_answer
from benchmarks.spoken import CHAT, SPOKEN, Spoken, spoken

READ_BYTES = 65_536
GRACE_S = 20.0
"""How long calls that run at the end get to finish."""
SHOWN_FAULTS = 5


@attrs.frozen
class Spread:
    """A distribution of times, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, times_ns: Sequence[int]) -> Spread:
        """Zeros if there are none."""
        if not times_ns:
            return cls(0.0, 0.0)
        ordered = sorted(times_ns)
        return cls(*(round(ordered[len(ordered) * part // 100] / 1e6, 3) for part in (50, 99)))


@attrs.frozen
class LoadFigures:
    """What the clients found."""

    answers: int
    """Calls that got the whole of the right answer."""
    events: int
    """Events of streams, each of which came once and in its place."""
    faults: int
    """Answers that were not right or not whole."""
    examples: list[str]
    """What was wrong with the first ones."""
    seconds: float
    first_byte_ms: Spread
    """From the request to the first byte of an answer's body."""
    event_ms: Spread
    """From the provider's write to the client's read, for every event of a paced stream."""

    def to_json(self) -> str:
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoadFigures:
        fields = json.loads(text)
        for name in ("first_byte_ms", "event_ms"):
            fields[name] = Spread(**fields[name])
        return cls(**fields)


class Caller:
    """One client: sends the same call again and again over one connection."""

    def __init__(self, sock: socket.socket, spoken: Spoken = SPOKEN[CHAT]) -> None:
        """
        :param spoken: what its streams are read as.
        """
        self.sock = sock
        self._spoken = spoken
        self.calling = False
        """Whether an answer is awaited."""
        self.silent = True
        """Whether nothing has come of its body."""
        self.status = 0
        self.check = spoken.check()
        self.body = b""
        """Of an answer that is no stream."""
        self.asked_ns = 0
        self.keeps = True
        """Whether the other side lets the connection be used again."""
        self._parser = HttpResponseParser(self)
        self._pieces: list[bytes] = []

    def call(self, request: bytes) -> None:
        self.calling, self.silent, self.status, self.body = True, True, 0, b""
        self.check = self._spoken.check()
        self._parser = HttpResponseParser(self)
        self.asked_ns = time.monotonic_ns()
        # An image waits here until all of it has gone out; anything else is far less than a socket takes at once.
        self.sock.sendall(request)

    def read(self) -> bytes:
        """
        :return: what came of the answer's body, if anything.
        :raises OSError: the connection is broken.
        :raises HttpParserError: what came is no answer.
        """
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the connection was closed")
        self._pieces.clear()
        self._parser.feed_data(data)
        return b"".join(self._pieces)

    # What the parser calls

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self.calling = False
        self.keeps = self._parser.should_keep_alive()


class Load:
    """A number of clients at once, for some seconds or for a number of calls."""

    def __init__(
        self,
        port: int,
        connections: int,
        *,
        stream: bool,
        key: str = VIRTUAL_KEY,
        ramp_s: float = 0.0,
        calls: int | None = None,
        speaks: str = CHAT,
        image_bytes: int = 0,
        events: int = EVENTS,
    ) -> None:
        """
        :param port: of 127.0.0.1.
        :param speaks: the dialect of calls for a stream; all others are of Chat Completions.
        :param image_bytes: what such a call has in it of an image.
        :param events: in each stream.
        :param ramp_s: the clients begin one after the other over that time.
        :param calls: how many to send in all; ``None`` for no limit.
        """
        self._address = ("127.0.0.1", port)
        self._connections = connections
        self._stream = stream
        self._ramp_s = ramp_s
        self._calls_left = calls
        asked = self._spoken = spoken(events)[speaks]
        body = image_body(image_bytes) if image_bytes else call_body(stream=False)
        path, body = (asked.path, asked.call) if stream else (PATH, body)
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{asked.key_header % key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._epoll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._ends = 0.0
        self._answers = self._events = self._faults = 0
        self._examples: list[str] = []
        self._first_byte_ns: list[int] = []
        self._event_ns: list[int] = []

    def run(self, seconds: float) -> LoadFigures:
        """
        :param seconds: after which no new call is sent; those that run get to finish.
        """
        began = time.monotonic()
        self._ends = began + seconds
        opened = 0
        while opened < self._connections or self._callers:
            now = time.monotonic()
            if now > self._ends + GRACE_S:
                break
            wanted = self._connections
            if self._ramp_s:
                wanted = min(wanted, 1 + int((now - began) / self._ramp_s * wanted))
            while opened < wanted:
                opened += 1
                self._next_call(None)
            for number, _mask in self._epoll.poll(0.001 if opened < self._connections else 1.0):
                self._read(self._callers[number])
        for caller in list(self._callers.values()):
            self._fail(caller, f"no end within {GRACE_S:g} s")
        self._epoll.close()
        return LoadFigures(
            answers=self._answers,
            events=self._events,
            faults=self._faults,
            examples=self._examples,
            seconds=round(time.monotonic() - began, 3),
            first_byte_ms=Spread.of(self._first_byte_ns),
            event_ms=Spread.of(self._event_ns),
        )

    def _next_call(self, caller: Caller | None) -> None:
        """Call again, on a new connection if there is no old one; at the end of the time leave instead."""
        if self._calls_left == 0 or time.monotonic() >= self._ends:
            if caller is not None:
                self._leave(caller)
            return
        if self._calls_left is not None:
            self._calls_left -= 1
        try:
            caller = caller or self._connect()
            caller.call(self._request)
        except OSError as error:
            self._fail(caller, f"not sent: {error}")

    def _connect(self) -> Caller:
        sock = socket.create_connection(self._address, GRACE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        caller = self._callers[sock.fileno()] = Caller(sock, self._spoken)
        return caller

    def _leave(self, caller: Caller) -> None:
        del self._callers[caller.sock.fileno()]
        caller.sock.close()

    def _read(self, caller: Caller) -> None:
        try:
            body = caller.read()
            if body:
                self._take(caller, body)
            if not caller.calling:
                self._finish(caller)
        except (OSError, HttpParserError, WrongStream) as error:
            self._fail(caller, str(error))
            self._next_call(None)
            return
        if not caller.calling:
            keeps = caller.keeps
            if not keeps:
                self._leave(caller)
            self._next_call(caller if keeps else None)

    def _take(self, caller: Caller, body: bytes) -> None:
        now_ns = time.monotonic_ns()
        if caller.silent:
            caller.silent = False
            self._first_byte_ns.append(now_ns - caller.asked_ns)
        if self._stream and caller.status == 200:
            self._event_ns.extend(now_ns - clock for clock in caller.check.feed(body))
        else:
            caller.body += body

    def _finish(self, caller: Caller) -> None:
        """
        :raises WrongStream: the answer is not the one that the provider gives.
        """
        if caller.status != 200:
            raise WrongStream(f"status {caller.status}: {caller.body[:200]!r}")
        if self._stream:
            caller.check.finish()
        elif not is_answer(caller.body):
            raise WrongStream(f"another answer: {caller.body[:200]!r}")
        self._answers += 1
        self._events += caller.check.events

    def _fail(self, caller: Caller | None, what: str) -> None:
        """
        :param caller: its connection is not used again; ``None`` if there was none.
        """
        self._faults += 1
        if len(self._examples) < SHOWN_FAULTS:
            self._examples.append(what)
        if caller is not None:
            self._events += caller.check.events
            self._leave(caller)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default=VIRTUAL_KEY)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--calls", type=int, help="end after so many calls")
    parser.add_argument("--stream", action="store_true", help="ask for streams")
    parser.add_argument("--speaks", choices=SPOKEN, default=CHAT, help="the dialect of calls for a stream")
    parser.add_argument("--image-bytes", type=int, default=0, help="of an image in each call without a stream")
    parser.add_argument("--events", type=int, default=EVENTS, help="in each stream")
    parser.add_argument("--ramp-s", type=float, default=0.0, help="have the clients begin over that time")
    options = parser.parse_args()
    load = Load(
        options.port,
        options.connections,
        stream=options.stream,
        key=options.key,
        ramp_s=options.ramp_s,
        calls=options.calls,
        speaks=options.speaks,
        image_bytes=options.image_bytes,
        events=options.events,
    )
    print(load.run(options.seconds).to_json())


if __name__ == "__main__":
    main()
