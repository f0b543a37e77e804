"""A provider on loopback that does on the wire, byte by byte, what a test tells it to."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import msgspec

from tests.real.inbox import BOUND_S, READ_BYTES, STILL_S, Cut, Fields, Inbox, first


class Gone(Exception):
    """The gateway has closed the connection."""


@attrs.frozen
class Seen:
    """A request as the provider got it."""

    method: str
    target: str
    fields: Fields
    body: bytes

    def value(self, name: str) -> str | None:
        found = first(self.fields, name.encode())
        return None if found is None else found.decode("latin-1")

    def names(self) -> set[str]:
        return {name.decode() for name, _ in self.fields}


class Connection:
    """One connection that the gateway opened."""

    def __init__(self, sock: socket.socket, news: threading.Condition) -> None:
        self._sock = sock
        self._news = news
        self.inbox = Inbox(sock)
        self.accepted = 0
        """Bytes of the answer that the kernel has taken from us: more than the gateway has read."""
        self.stuck = False
        """Whether the gateway takes no more bytes at the moment."""
        self.left_at: float | None = None
        """When the gateway was seen to have closed the connection, on ``time.monotonic``'s scale."""
        self.closed = False
        """Whether we have closed it."""

    def patient(self) -> None:
        """Wait for the gateway as long as any test waits, rather than call it still after a moment."""
        self._sock.settimeout(BOUND_S)

    def send(self, data: bytes) -> None:
        """
        :raises Gone: the gateway has closed the connection.
        """
        view, deadline = memoryview(data), time.monotonic() + BOUND_S
        while view:
            try:
                taken = self._sock.send(view)
            except TimeoutError:
                self._note(stuck=True)
                if time.monotonic() > deadline:
                    raise AssertionError(f"the gateway took nothing for {BOUND_S:g} s") from None
                continue
            except OSError as error:
                self._note(left_at=time.monotonic())
                raise Gone from error
            deadline = time.monotonic() + BOUND_S
            view = view[taken:]
            self.accepted += taken
            if self.stuck:
                self._note(stuck=False)

    def wait_left(self, bound_s: float = BOUND_S) -> None:
        """
        Wait for the gateway to close the connection, without reading a byte: one that still sends is not gone.

        :raises AssertionError: it did not.
        """
        if not self.left_within(bound_s):
            raise AssertionError(f"the gateway kept the connection open for {bound_s:g} s")

    def left_within(self, seconds: float) -> bool:
        """Whether the gateway closes the connection within that time: the pause of a script that sends at a pace."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        if not poll.poll(seconds * 1000):
            return False
        self._note(left_at=time.monotonic())
        return True

    def shut(self) -> None:
        """Close our half and wait until the gateway has closed its own."""
        self._sock.shutdown(socket.SHUT_WR)
        self.wait_left()
        self.close()

    def close(self) -> None:
        """With FIN."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def reset(self) -> None:
        """With RST."""
        self.closed = True
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def _note(self, **news: Any) -> None:
        with self._news:
            for name, value in news.items():
                setattr(self, name, value)
            self._news.notify_all()


class Exchange:
    """One request, and the connection to answer it on."""

    def __init__(self, connection: Connection, method: str, target: str, fields: Fields) -> None:
        self.connection = connection
        self.request = Seen(method, target, fields, b"")

    def read_body(self) -> None:
        """
        :raises Gone: the gateway closed the connection before the end.
        """
        self.request = attrs.evolve(self.request, body=b"".join(self.body()))

    def body(self) -> Iterator[bytes]:
        """The request's body as it comes."""
        request = self.request
        try:
            if (request.value("transfer-encoding") or "").lower() == "chunked":
                yield from self.connection.inbox.pieces("chunked")
            else:
                yield from self.connection.inbox.pieces("length", int(request.value("content-length") or 0))
        except Cut as error:
            raise Gone from error

    def send(self, data: bytes) -> None:
        self.connection.send(data)


Script = Callable[[Exchange], None]


class Provider:
    """
    Accepts on a free port; a thread per connection hands every request to the script.

    A connection is used again when the script returns without having closed it. The script that counts is the one that
    is set when a request has been read.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, send_buffer: int | None = None) -> None:
        """
        :param send_buffer: bytes that the kernel takes from us before the gateway reads them.
        """
        self.script: Script = answer_ok
        self.read_bodies = True
        """Whether a request's body is read before the script gets it."""
        self._tls = tls
        self._news = threading.Condition()
        self.seen: list[Seen] = []
        self.connections: list[Connection] = []
        self.faults: list[BaseException] = []
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if send_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1024)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """Begin a new list of requests and connections."""
        with self._news:
            self.seen, self.connections = [], [each for each in self.connections if not each.closed]

    def wait_for(self, holds: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
        """
        :param holds: looks at what this provider and its connections tell of themselves.
        """
        with self._news:
            if not self._news.wait_for(lambda: holds() or bool(self.faults), bound_s) or self.faults:
                faults, self.faults = self.faults, []
                raise AssertionError(f"not within {bound_s:g} s: {what}; faults: {faults}")

    def tell(self, condition: list[Any], fact: Any) -> None:
        """Append a fact where a test waits for it, and wake the test."""
        with self._news:
            condition.append(fact)
            self._news.notify_all()

    def stop(self) -> None:
        """
        :raises AssertionError: a script failed, or a thread of ours hangs.
        """
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.connections:
            if not each.closed:
                each.close()
        for thread in self._threads:
            thread.join(BOUND_S)
            assert not thread.is_alive()
        assert not self.faults, self.faults

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock.settimeout(BOUND_S)
                sock = self._tls.wrap_socket(sock, server_side=True)
            sock.settimeout(None)
        except OSError:
            sock.close()
            return
        connection = Connection(sock, self._news)
        with self._news:
            self.connections.append(connection)
            self._news.notify_all()
        try:
            while not connection.closed:
                self._serve_one(connection, sock)
        except (Gone, Cut):
            pass
        except OSError as error:
            if not connection.closed:
                self.tell(self.faults, error)
        except BaseException as error:
            self.tell(self.faults, error)
        finally:
            if not connection.closed:
                connection._note(left_at=time.monotonic())
            connection.close()

    def _serve_one(self, connection: Connection, sock: socket.socket) -> None:
        sock.settimeout(None)
        method, target, _version = connection.inbox.line().decode("latin-1").split(" ")
        exchange = Exchange(connection, method, target, connection.inbox.fields())
        connection.accepted, connection.stuck = 0, False
        sock.settimeout(STILL_S)
        if self.read_bodies:
            sock.settimeout(BOUND_S)
            exchange.read_body()
            sock.settimeout(STILL_S)
        script = self.script
        self.tell(self.seen, exchange.request)
        script(exchange)


@contextmanager
def running_provider(
    script: Script | None = None, *, tls: ssl.SSLContext | None = None, send_buffer: int | None = None
) -> Iterator[Provider]:
    """A provider for the length of a block, whose scripts must not have failed."""
    provider = Provider(tls=tls, send_buffer=send_buffer)
    if script is not None:
        provider.script = script
    try:
        yield provider
    finally:
        provider.stop()


@contextmanager
def deaf_listener() -> Iterator[int]:
    """The port of a listener whose queue is full: whoever connects is neither accepted nor refused."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            if not select.select([], [filler], [], STILL_S)[1]:
                break
        yield listener.getsockname()[1]


@contextmanager
def plain_listener() -> Iterator[int]:
    """The port of an HTTP server that cannot make sense of whatever comes, such as TLS."""

    def refuse_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock:
                    sock.recv(READ_BYTES)
                    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=refuse_all, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(BOUND_S)


# What scripts are made of


def head_bytes(status: str = "200 OK", fields: Mapping[str, str] | None = None) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (fields or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer_bytes(
    body: bytes = b'{"ok": true}', *, status: str = "200 OK", fields: Mapping[str, str] | None = None
) -> bytes:
    """An answer with a length."""
    usual = {"content-type": "application/json", "content-length": f"{len(body)}"}
    return head_bytes(status, {**usual, **(fields or {})}) + body


def answer_ok(exchange: Exchange) -> None:
    """The script of a provider that nobody told anything."""
    request = exchange.request
    exchange.send(answer_bytes(msgspec.json.encode({"method": request.method, "path": request.target})))


STREAM_HEAD = head_bytes(fields={"content-type": "text/event-stream", "transfer-encoding": "chunked"})


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"
