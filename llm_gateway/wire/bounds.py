"""What is the same on both implementations of HTTP: how much and how long, and how a silent peer is noticed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from llm_gateway.wire.sockets import beneath

MAX_HEADERS = 200
MAX_HEADER_BYTES = 65_536
"""Request line and headers together. Coding agents send long lists of betas: 8 KB, as elsewhere, may not be enough."""

IDLE_S = 120.0
"""How long a connection may be silent between requests and within one; longer than load balancers usually wait."""

SPOOL_BYTES = 1_048_576
"""A longer request body goes to a temporary file that has no name and goes away with the request."""

LINGER_S = 10.0
LINGER_BYTES = 67_108_864
"""How long and how much of a refused body is read and dropped. A client that is cut off while it is still sending gets
a reset, and with it loses the refusal that it has not read yet."""

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 60, 20, 3
"""A client that vanished without a word is noticed after two minutes, even while nothing is written to it."""

LAST_READ_S = 30.0
"""How long a client gets to read what was written before its connection was to close."""

MAX_NAME_BYTES = 256
"""Of a header. The longest in use have about 50."""


Refusal = Callable[[int, str], tuple[list[tuple[bytes, bytes]], bytes]]
"""From a status and a message to the headers and the body that refuse a request which no resource gets to see."""


def plain_refusal(status: int, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The message as it is."""
    return [(b"Content-Type", b"text/plain; charset=utf-8")], message.encode() + b"\n"


def socket_beneath(transport: Any) -> socket.socket | None:
    transport = beneath(transport)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    return handle if isinstance(handle, socket.socket) else None


def notice_vanished_peer(transport: Any) -> None:
    """Have the kernel ask a silent peer whether it still lives; not every transport and system can."""
    handle = socket_beneath(transport)
    if handle is None or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, option):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
