"""
The provider behind the gateways for streams: one process, one thread, cheap enough to feed them.

``python -m benchmarks.provider --port 8081 --gap-ms 20`` listens on 127.0.0.1 until it is ended by a signal.
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from collections import deque

from httptools import HttpParserError, HttpRequestParser

from benchmarks.shapes import EVENTS, MOST_EVENTS, REAL_KEY
from benchmarks.spoken import CHAT, SPOKEN, Spoken, spoken

READ_BYTES = 65_536
_JSON_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_KEYS = {
    name.lower().encode(): value.encode()
    for name, _, value in ((each.key_header % REAL_KEY).partition(": ") for each in SPOKEN.values())
}
"""Where dialects have their key, and what has to stand there."""
_BY_PATH = {each.path.partition("?")[0].encode(): each.name for each in SPOKEN.values()}

IDLE = MOST_EVENTS + 1


def framed(body: bytes) -> bytes:
    """A piece of a body as it stands on the wire: a chunk of its own."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


class Stream:
    """One dialect's, as it goes over the wire."""

    def __init__(self, spoken: Spoken, *, clocks: bool) -> None:
        """
        :param clocks: whether events tell when they were sent; if not, they are made once.
        """
        self._event = spoken.event
        self._chunks = [] if clocks else [framed(spoken.event(number, 0)) for number in range(spoken.events)]
        self.events = spoken.events
        self.head = _STREAM_HEAD + framed(spoken.opening)
        self.end = framed(spoken.closing) + b"0\r\n\r\n"

    def chunk(self, number: int, clock_ns: int) -> bytes:
        return framed(self._event(number, clock_ns)) if clock_ns else self._chunks[number]


class Connection:
    """One connection that a gateway opened, and how far the stream on it is."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.parser = HttpRequestParser(self)
        self.unsent = b""
        """What the kernel did not take."""
        self.step = IDLE
        """The number of the event to be sent next; their number for the end of the stream, ``IDLE`` for no stream."""
        self.due_ns = 0
        self.stream = ""
        """The dialect of the one that runs, or ran last."""
        self.asked: deque[tuple[str, bytes, bool]] = deque()
        """For each request that has not been answered its dialect, its body, and whether it had the real key."""
        self.open = True
        self._path = b""
        self._body: list[bytes] = []
        self._authorized = False

    # What the parser calls

    def on_message_begin(self) -> None:
        self._path, self._body, self._authorized = b"", [], False

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        expected = _KEYS.get(name.lower())
        if expected is not None:
            self._authorized = value == expected

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        name = _BY_PATH.get(self._path.partition(b"?")[0], CHAT)
        self.asked.append((name, b"".join(self._body), self._authorized))


class Provider:
    """
    Answers calls with one canned answer, and calls for a stream with events at an even pace or without a pause, each in
    the dialect of its path.
    """

    def __init__(self, listener: socket.socket, gap_ns: int, events: int = EVENTS) -> None:
        """
        :param gap_ns: between two events of a stream. With 0 they are written as fast as the gateway takes them, each
            with a write of its own, the streams in turn.
        :param events: in each stream.
        """
        self._listener = listener
        self._gap_ns = gap_ns
        self._connections: dict[int, Connection] = {}
        # Streams in the order in which their next event is due, which is that of their last one: all gaps are equal.
        self._due: deque[Connection] = deque()
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._streams = {name: Stream(each, clocks=bool(gap_ns)) for name, each in spoken(events).items()}

    def serve(self) -> None:
        """Does not return."""
        while True:
            self.turn(self._wait_s())

    def turn(self, wait_s: float | None) -> None:
        """
        Do what is to be done now.

        :param wait_s: how long to wait until there is something; ``None`` for as long as it takes.
        """
        for number, mask in self._epoll.poll(wait_s):
            if number == self._listener.fileno():
                self._accept()
            elif mask & select.EPOLLOUT:
                self._flush(self._connections[number])
            else:
                self._read(self._connections[number])
        now_ns = time.monotonic_ns()
        for _ in range(len(self._due)):
            if self._due[0].due_ns > now_ns:
                break
            self._next_step(self._due.popleft())

    def close(self) -> None:
        """Close every connection; the listener is somebody else's."""
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()

    def _wait_s(self) -> float | None:
        return max(0, self._due[0].due_ns - time.monotonic_ns()) / 1e9 if self._due else None

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock.fileno()] = Connection(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _close(self, connection: Connection) -> None:
        connection.open = False
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
            connection.parser.feed_data(data)
        except BlockingIOError:
            return
        except (OSError, HttpParserError):
            data = b""
        if data:
            self._answer_next(connection)
        else:
            self._close(connection)

    def _answer_next(self, connection: Connection) -> None:
        while connection.asked and connection.open and connection.step == IDLE and not connection.unsent:
            name, body, authorized = connection.asked.popleft()
            asked = SPOKEN[name]
            if body and not authorized:
                self._send(connection, _JSON_HEAD % (b"401 Unauthorized", 2) + b"{}")
            elif not body:
                # A health check.
                self._send(connection, _JSON_HEAD % (b"200 OK", 2) + b"{}")
            elif asked.asks_for_stream(body):
                connection.stream, connection.step = name, 0
                if self._send(connection, self._streams[name].head):
                    # At once: behind the others in the queue it would wait until they are due.
                    self._next_step(connection)
            else:
                self._send(connection, _JSON_HEAD % (b"200 OK", len(asked.answer)) + asked.answer)

    def _next_step(self, connection: Connection) -> None:
        if not connection.open:
            return
        number, connection.step = connection.step, connection.step + 1
        stream = self._streams[connection.stream]
        if number == stream.events:
            data, connection.step = stream.end, IDLE
        elif self._gap_ns:
            now_ns = time.monotonic_ns()
            # From now, not from when this one was due: what is late stays late, and the order stays that of the queue.
            connection.due_ns = now_ns + self._gap_ns
            data = stream.chunk(number, now_ns)
        else:
            data = stream.chunk(number, 0)
        if self._send(connection, data):
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if connection.step < IDLE:
            self._due.append(connection)
        else:
            self._answer_next(connection)

    def _send(self, connection: Connection, data: bytes) -> bool:
        """:return: whether the kernel took all of it; otherwise the rest goes out when it can."""
        try:
            taken = connection.sock.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._close(connection)
            return False
        if taken == len(data):
            return True
        connection.unsent = data[taken:]
        self._epoll.modify(connection.sock.fileno(), select.EPOLLOUT)
        return False

    def _flush(self, connection: Connection) -> None:
        unsent, connection.unsent = connection.unsent, b""
        if self._send(connection, unsent):
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN)
            self._go_on(connection)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.provider", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gap-ms", type=float, default=0, help="between two events of a stream; 0 for no pause")
    parser.add_argument("--events", type=int, default=EVENTS, help="in each stream")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port), backlog=4096) as listener:
        listener.setblocking(False)
        Provider(listener, int(options.gap_ms * 1e6), options.events).serve()


if __name__ == "__main__":
    main()
