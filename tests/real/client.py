"""A client that sends and reads raw bytes, and leaves in every way that there is."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import attrs
import msgspec

from tests.real.inbox import BOUND_S, STILL_S, Cut, Fields, Inbox, first


@attrs.frozen
class Head:
    """Status line and headers of an answer."""

    status: int
    reason: bytes
    fields: Fields

    def value(self, name: str) -> str | None:
        found = first(self.fields, name.encode())
        return None if found is None else found.decode("latin-1")

    def names(self) -> set[str]:
        return {name.decode() for name, _ in self.fields}


@attrs.frozen
class Answer:
    """One answer, read to its end."""

    head: Head
    body: bytes
    whole: bool
    """Whether it came to the end that its head announced."""
    framing: str
    """``length``, ``chunked``, ``close`` or ``none``."""
    trailers: Fields

    @property
    def status(self) -> int:
        return self.head.status

    def value(self, name: str) -> str | None:
        return self.head.value(name)

    def json(self) -> Any:
        """
        :raises AssertionError: it does not call itself JSON.
        """
        assert self.value("content-type") == "application/json", self
        return msgspec.json.decode(self.body)


class Client:
    """One connection to the gateway."""

    def __init__(self, port: int, *, receive_buffer: int | None = None, bound_s: float = BOUND_S) -> None:
        """
        :param receive_buffer: bytes that the kernel takes before anybody reads; small, so that a reader that stalls is
            felt soon.
        """
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._sock.settimeout(bound_s)
        self._sock.connect(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._inbox = Inbox(self._sock)
        self._method = "GET"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._sock.close()

    # Asking

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_all(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.send(piece)

    def stuck(self) -> bool:
        """Whether the gateway takes nothing more, for longer than a moment."""
        return not select.select([], [self._sock], [], STILL_S)[1]

    def ask(self, method: str, target: str, fields: Mapping[str, str] | None = None, body: bytes | None = None) -> None:
        """Send a request without waiting for anything."""
        self._method = method
        self.send(request_bytes(method, target, fields, body))

    def call(
        self, method: str, target: str, fields: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request and read its answer."""
        self.ask(method, target, fields, body)
        return self.answer()

    # Reading

    def head(self) -> Head:
        """
        :raises Cut: the connection ended before.
        """
        version, status, reason = (self._inbox.line() + b" ").split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), version
        return Head(int(status), reason.strip(), self._inbox.fields())

    def pieces(self, head: Head) -> Iterator[bytes]:
        """The body behind ``head`` as it comes; raises ``Cut`` when it does not become whole."""
        return self._inbox.pieces(self.framing(head), int(head.value("content-length") or 0))

    def answer(self) -> Answer:
        """The next answer to its end, or to where it was cut."""
        return self.rest(self.head())

    def rest(self, head: Head, begun: bytes = b"") -> Answer:
        """
        :param begun: what has been read of the body already, of one that is not chunked piece by piece.
        """
        body, whole = bytearray(begun), True
        try:
            for piece in self.pieces(head):
                body += piece
        except Cut:
            whole = False
        return Answer(head, bytes(body), whole, self.framing(head), self._inbox.trailers)

    def framing(self, head: Head) -> str:
        """How the body behind ``head`` ends. Source: RFC 9112, section 6.3."""
        if self._method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return "none"
        if (head.value("transfer-encoding") or "").lower() == "chunked":
            return "chunked"
        return "close" if head.value("content-length") is None else "length"

    def read_until(self, pieces: Iterator[bytes], wanted: bytes) -> bytes:
        """
        :return: what has come when ``wanted`` was in it.
        """
        got = b""
        while wanted not in got:
            got += next(pieces)
        return got

    def ended(self) -> bool:
        """Wait for the gateway to close the connection, with no byte before that."""
        return self._inbox.ended()

    @property
    def unread(self) -> bytes:
        return self._inbox.unread

    # Leaving

    def close(self) -> None:
        """With FIN, as a client that is done."""
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def reset(self) -> None:
        """With RST, as a process that was killed with unread bytes."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


class Turns:
    """Waits until the gateway has read all that had been sent to it, on whatever connection."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """
        Two turns of the gateway's event loop.

        What was sent before is ready no later than the first question, so that the turn that answers it, or one before,
        reads both; the second question can only be read by a later turn.
        """
        with self._lock:
            for _ in range(2):
                assert self._client.call("GET", "/livez").status == 200

    def close(self) -> None:
        """Leave. May be called again."""
        self._client.__exit__(None, None, None)


def request_bytes(
    method: str, target: str, fields: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A request with ``Host``, and with a length where it has a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.test"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """A chunked body, each piece a chunk."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return coded + b"0\r\n" + trailers + b"\r\n"


def eventually(holds: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
    """
    Wait for something that nobody announces, such as how many sockets another process has.

    :param what: for the message, if it does not come to hold.
    """
    deadline = time.monotonic() + bound_s
    look_again = threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {bound_s:g} s: {what}")
        look_again.wait(0.002)
