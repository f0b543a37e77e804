"""Connections to origins: opening them, keeping them for the next request, and never more than allowed."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS


@attrs.frozen
class Origin:
    """Where connections go: what may share one."""

    secure: bool
    host: bytes
    port: int
    netloc: bytes
    """As written in the URI: what the ``Host`` header says."""

    @classmethod
    def parse(cls, scheme: bytes, netloc: bytes) -> Origin:
        """
        :raises ValueError: not a host with or without a port.
        """
        secure = scheme.lower() == b"https"
        host, colon, port = netloc.rpartition(b":")
        if not colon or netloc.endswith(b"]"):
            host, port = netloc, b"443" if secure else b"80"
        if not host or b"@" in host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("the URI's host or port cannot be used")
        return cls(secure, host.removeprefix(b"[").removesuffix(b"]").lower(), int(port), netloc)


class Pooled(Protocol):
    """A connection as the pool sees it."""

    handshaken: Deferred[None]
    """Fires when TLS stands, and fails when the connection ends before."""

    def abort(self) -> None:
        """Close it now."""

    def close(self) -> None:
        """Close it; nothing is under way on it."""

    def socket(self) -> tuple[socket.socket | None, bool]:
        """The socket to peek at, if there is one, and whether what it carries is TLS."""


@attrs.define(eq=False)
class _Host:
    """What the pool holds for one origin."""

    idle: list[tuple[Any, float]] = attrs.Factory(list)
    """Connections that wait for a request, with the moment since when; the most recently used last."""
    in_use: int = 0
    waiting: deque[tuple[Deferred[Any], float, Callable[[], Any]]] = attrs.Factory(deque)
    """Requests that wait for a connection, first come first served."""


class ConnectionPool:
    """Keeps connections open for a while, and opens new ones as long as the cap allows."""

    def __init__(
        self,
        reactor: Any,
        *,
        max_idle_per_origin: int,
        idle_s: float,
        max_per_origin: int | None = None,
        tls_policy: IPolicyForHTTPS | None = None,
    ) -> None:
        """
        :param max_idle_per_origin: connections kept for the next request.
        :param idle_s: how long each of them is kept.
        :param max_per_origin: connections at all; further requests wait in order. ``None`` for no cap.
        """
        self._reactor = reactor
        self._max_idle = max_idle_per_origin
        self._idle_s = idle_s
        self._max = max_per_origin
        self._policy = BrowserLikePolicyForHTTPS() if tls_policy is None else tls_policy
        self._hosts: dict[Origin, _Host] = {}
        self._endpoints: dict[tuple[Origin, float], IStreamClientEndpoint] = {}
        self._open: set[Any] = set()
        self._all_closed: list[Deferred[None]] = []
        self._sweeping: IDelayedCall | None = None

    def connection(self, origin: Origin, connect_s: float, make: Callable[[], Any]) -> Deferred[Any]:
        """
        :param make: makes the protocol of a new connection, a :class:`Pooled`.
        :return: a connection for one request. Give it back with ``release`` or report it with ``gone``.
        """
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = _Host()
        while host.idle:
            connection, _ = host.idle.pop()
            if _is_alive(connection):
                host.in_use += 1
                return succeed(connection)
            connection.abort()
        if self._max is not None and host.in_use >= self._max:
            waiting: Deferred[Any] = Deferred(lambda _: host.waiting.remove(entry))
            entry = (waiting, connect_s, make)
            host.waiting.append(entry)
            return waiting
        return self._connect(origin, host, connect_s, make)

    def release(self, origin: Origin, connection: Any) -> None:
        """The request is over and the connection fit for the next one."""
        host = self._hosts[origin]
        host.in_use -= 1
        if host.waiting:
            host.in_use += 1
            host.waiting.popleft()[0].callback(connection)
        elif len(host.idle) < self._max_idle and self._idle_s > 0:
            host.idle.append((connection, self._reactor.seconds()))
            if self._sweeping is None:
                self._sweeping = self._reactor.callLater(self._idle_s, self._sweep)
        else:
            connection.close()

    def discard(self, origin: Origin) -> None:
        """The request is over and its connection is not fit for another; whoever waits gets a new one."""
        host = self._hosts[origin]
        host.in_use -= 1
        if host.waiting:
            waiting, connect_s, make = host.waiting.popleft()
            self._connect(origin, host, connect_s, make).addBoth(_pass_on, waiting)

    def opened(self, connection: Any) -> None:
        self._open.add(connection)

    def closed(self, origin: Origin, connection: Any) -> None:
        """The connection is gone, whether it was idle or in use."""
        self._open.discard(connection)
        host = self._hosts[origin]
        host.idle = [entry for entry in host.idle if entry[0] is not connection]
        if not self._open:
            waiting, self._all_closed = self._all_closed, []
            for each in waiting:
                each.callback(None)

    def closeCachedConnections(self) -> Deferred[None]:
        """
        Close every idle connection; named as in Twisted's pool.

        :return: fires when no connection is left, also none in use.
        """
        for host in self._hosts.values():
            idle, host.idle = host.idle, []
            for connection, _ in idle:
                connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if not self._open:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        return closed

    def _connect(self, origin: Origin, host: _Host, connect_s: float, make: Callable[[], Any]) -> Deferred[Any]:
        host.in_use += 1
        protocol = make()
        connecting: Deferred[Any] = self._endpoint(origin, connect_s).connect(_Once(protocol))
        if origin.secure:
            connecting.addCallback(self._handshake, self._reactor.callLater(connect_s, protocol.abort))

        def failed(failure: Failure) -> Failure:
            self.discard(origin)
            return failure

        return connecting.addErrback(failed)

    def _handshake(self, connection: Any, timer: IDelayedCall) -> Deferred[Any]:
        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
                return result
            raise TimeoutError("TLS did not stand in time")

        return connection.handshaken.addBoth(over).addCallback(lambda _: connection)  # type: ignore[no-any-return]

    def _endpoint(self, origin: Origin, connect_s: float) -> IStreamClientEndpoint:
        endpoint = self._endpoints.get((origin, connect_s))
        if endpoint is None:
            endpoint = HostnameEndpoint(self._reactor, origin.host, origin.port, timeout=connect_s)
            if origin.secure:
                endpoint = wrapClientTLS(self._policy.creatorForNetloc(origin.host, origin.port), endpoint)
            self._endpoints[origin, connect_s] = endpoint
        return endpoint

    def _sweep(self) -> None:
        self._sweeping = None
        now, oldest = self._reactor.seconds(), None
        for host in self._hosts.values():
            stale = [connection for connection, since in host.idle if now - since >= self._idle_s]
            host.idle = [entry for entry in host.idle if now - entry[1] < self._idle_s]
            for connection in stale:
                connection.close()
            if host.idle:
                oldest = host.idle[0][1] if oldest is None else min(oldest, host.idle[0][1])
        if oldest is not None:
            self._sweeping = self._reactor.callLater(oldest + self._idle_s - now, self._sweep)


def _pass_on(result: Any, waiting: Deferred[Any]) -> None:
    if isinstance(result, Failure):
        waiting.errback(result)
    else:
        waiting.callback(result)


def _is_alive(connection: Pooled) -> bool:
    """
    Whether the other side has left the connection alone while nothing was under way on it.

    The reactor may not have come round yet to reading that it was closed. A request sent now would be lost, and could
    not always be sent again.
    """
    handle, is_tls = connection.socket()
    if handle is None:
        return True
    try:
        seen = handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    # TLS may send what is not about HTTP, such as session tickets; nothing else may send anything.
    return is_tls and bool(seen)


class _Once(Factory):
    """Builds the one protocol that was made before."""

    noisy = False

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:  # type: ignore[override]  # any protocol will do
        return self._protocol
