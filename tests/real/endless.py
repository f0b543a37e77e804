"""A provider whose every answer is a stream without an end, as fast as it is read; one thread for a thousand."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import msgspec

from tests.real.inbox import BOUND_S, READ_BYTES
from tests.real.provider import STREAM_HEAD, chunk

EVENT_BYTES = 1024
EVENTS_AT_ONCE = 64

SEND_BUFFER = 32_768
"""Of each connection. Kernels give a faster sender, or one that sends less at once, more room on the other side."""

SENT_AT_MOST = 8_388_608
"""Of each stream, before it stands still by itself. It comes so far only if the gateway takes what its client does not
read, which must not fill the memory of the machine. A busy kernel now and then gives one of them 2 MB of room."""


def event(stream: int, number: int) -> bytes:
    """One of a stream's events; it tells where it belongs."""
    begins = b'data: {"stream":%d,"number":%d,"filling":"' % (stream, number)
    return begins + b"x" * (EVENT_BYTES - len(begins) - 4) + b'"}\n\n'


@attrs.define(eq=False)
class Endless:
    """One answer, or a connection that waits for its request."""

    sock: socket.socket
    port: int
    """The gateway's, on this connection."""
    number: int = -1
    """What the request said that its stream is called."""
    accepted: int = 0
    """Bytes that the kernel has taken from us: more than the gateway has read."""
    left_at: float | None = None
    """When the gateway was seen to have closed the connection, on ``time.monotonic``'s scale."""
    request: bytes = b""
    blocks: int = 0
    unsent: memoryview = attrs.field(factory=lambda: memoryview(b""))

    def asked(self) -> bool:
        """
        Read on.

        :return: whether the request is there, all of it.
        :raises ConnectionError: the gateway has closed the connection.
        """
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError
        self.request += data
        body = self.request.partition(b"\r\n\r\n")[2]
        if body.endswith(b"}"):
            self.number = msgspec.json.decode(body)["stream"]
        return self.number >= 0

    def send_on(self) -> None:
        """
        :raises OSError: the kernel takes no more, or the gateway has closed the connection.
        """
        if not self.unsent:
            first = self.blocks * EVENTS_AT_ONCE
            block = chunk(b"".join(event(self.number, first + each) for each in range(EVENTS_AT_ONCE)))
            self.unsent = memoryview(block if self.blocks else STREAM_HEAD + block)
            self.blocks += 1
        taken = self.sock.send(self.unsent)
        self.unsent = self.unsent[taken:]
        self.accepted += taken


class EndlessProvider:
    """Reads requests ``{"stream": N}``, and writes to each what :func:`event` says until the gateway leaves."""

    def __init__(self) -> None:
        self.streams: list[Endless] = []
        """In the order in which they were asked for."""
        self._faults: list[BaseException] = []
        self._sent_at = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket()
        # Those that are accepted have it too.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._ending, self._told = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._told, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def still_for(self) -> float:
        """How many seconds ago a byte was taken from us last."""
        return time.monotonic() - self._sent_at

    def left(self) -> int:
        """How many of the streams the gateway has closed the connections of."""
        return sum(each.left_at is not None for each in self.streams)

    def stop(self) -> None:
        """
        :raises AssertionError: something went wrong here.
        """
        self._ending.close()
        self._thread.join(BOUND_S)
        assert not self._thread.is_alive()
        assert not self._faults, self._faults

    def _run(self) -> None:
        try:
            while self._told.fileno() not in (ready := {key.fd: (key, mask) for key, mask in self._selector.select()}):
                for key, mask in ready.values():
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._serve(key.data, mask)
        except BaseException as error:
            self._faults.append(error)
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # no bare number is registered
            self._selector.close()

    def _accept(self) -> None:
        sock, (_, port) = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, Endless(sock, port))

    def _serve(self, stream: Endless, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ and stream.asked():
                self.streams.append(stream)
                self._selector.modify(stream.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
            if mask & selectors.EVENT_WRITE:
                stream.send_on()
                self._sent_at = time.monotonic()
                if stream.accepted >= SENT_AT_MOST:
                    self._selector.modify(stream.sock, selectors.EVENT_READ, stream)
        except BlockingIOError:
            pass
        except OSError:
            stream.left_at = time.monotonic()
            self._selector.unregister(stream.sock)
            stream.sock.close()


@contextmanager
def endless_provider() -> Iterator[EndlessProvider]:
    """One for the length of a block."""
    provider = EndlessProvider()
    try:
        yield provider
    finally:
        provider.stop()
