"""Writing at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp

_INNER = ("dataBuffer", "_tempDataBuffer", "TLS")


def prompt_write(transport: Any) -> Callable[[bytes], None]:
    """
    A ``write`` that hands bytes to the system at once where it takes them.

    Twisted's own waits for the reactor to say that the socket is ready, which nearly always it was: for every piece,
    two changes of what the reactor waits for and one more round. What the system does not take, and everything behind
    it, goes through the transport's own ``write``, and so do all errors, so that producers and protocols see no
    difference but the missing delay.

    :param transport: any; those other than plain TCP and Unix sockets are written to in their own way.
    """
    buffered: Callable[[bytes], None] = transport.write
    # Documented nowhere: which bytes wait. A Twisted that keeps them otherwise is written to in its own way.
    if not isinstance(transport, tcp.Connection) or not all(hasattr(transport, name) for name in _INNER):
        return buffered
    inner: Any = transport
    send = inner.socket.send

    def write(data: bytes) -> None:
        if inner.dataBuffer or inner._tempDataBuffer or inner.TLS:
            buffered(data)
            return
        try:
            sent = send(data)
        except OSError:
            # It is full, or closed: the transport finds the same, and knows whom to tell.
            buffered(data)
            return
        if sent < len(data):
            buffered(data[sent:])

    return write
