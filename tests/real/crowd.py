"""Thousands of connections to one gateway, and what the system knows of them."""

from __future__ import annotations

import re
import resource
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.gateway import RunningGateway
from tests.real.inbox import BOUND_S

SPARE_DESCRIPTORS = 256
"""What pytest and the gateway have open besides."""

ETHERNET_MSS = 1_448
"""Loopback has segments of 64 KiB, and kernels reserve room by the segment: megabytes for each connection."""


@contextmanager
def more_descriptors() -> Iterator[None]:
    """Let this process and those that it starts open as many as the system allows; the gateway does so by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allowed(wanted: int, each: int) -> int:
    """
    :param each: how many descriptors a connection takes, in whichever process it takes more.
    :return: how many connections there can be: ``wanted``, if the system allows so many.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, (soft - SPARE_DESCRIPTORS) // each)


def say_if_fewer(number: int, wanted: int) -> None:
    """At the end of a test that has passed with fewer connections than it is about: let nobody think otherwise."""
    if number < wanted:
        pytest.skip(f"passed with {number} connections; the system has no descriptors for {wanted}")


class Crowd:
    """Clients that ask once each and then do nothing. Closing it resets them all."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        """
        :param receive_buffer: bytes that the kernel takes for each before it reads; it doubles what it is asked for.
        """
        self._port = port
        self._receive_buffer = receive_buffer
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def join(self, count: int, request: Callable[[int], bytes]) -> None:
        """
        So many more come, each once the answer to the one before has begun to come.

        :param request: from its number, which is its place in ``sockets``, to what it sends.
        """
        for number in range(len(self.sockets), len(self.sockets) + count):
            sock = socket.socket()
            self.sockets.append(sock)
            # A reset leaves nothing behind in the kernel, where thousands of ports would wait for a minute.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if self._receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_MSS)
            sock.settimeout(BOUND_S)
            sock.connect(("127.0.0.1", self._port))
            sock.sendall(request(number))
            # Its size is not known, and whether it is read is not ours to say.
            assert sock.recv(15, socket.MSG_PEEK).startswith(b"HTTP/1.1 200"), number

    def leave(self) -> None:
        """All reset their connections. May be called again."""
        sockets, self.sockets = self.sockets, []
        for each in sockets:
            each.close()


def ended(sockets: Sequence[socket.socket], bound_s: float) -> Iterator[socket.socket]:
    """
    Each of the sockets as the other side closes it, and until then nothing comes.

    :raises AssertionError: something did come, or not all are closed ``bound_s`` after the one before.
    """
    left = {each.fileno(): each for each in sockets}
    with select.epoll() as watching:
        for number in left:
            watching.register(number, select.EPOLLIN)
        while left:
            ready = watching.poll(bound_s)
            assert ready, f"{len(left)} connections are still open"
            for number, _ in ready:
                assert not left[number].recv(1)
                watching.unregister(number)
                yield left.pop(number)


def memory_kib(gateway: RunningGateway) -> int:
    """The resident size now. The kernel's buffers of sockets are not in it."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))  # type: ignore[union-attr]


def kernel_queues() -> dict[tuple[int, int], tuple[int, int]]:
    """
    :return: from the local and the other port of every TCP connection over IPv4 to bytes that were written and the
        other side's kernel does not have, and bytes that came and were not read.
    """
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, other, _, queues, *_ = line.split()
        ports = int(local.rpartition(":")[2], 16), int(other.rpartition(":")[2], 16)
        to_send, _, to_read = queues.partition(":")
        found[ports] = int(to_send, 16), int(to_read, 16)
    return found
