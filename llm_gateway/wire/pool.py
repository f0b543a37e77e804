"""Connections to origins: opening them, keeping them for the next request, and never more than allowed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import msgspec
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from llm_gateway.wire.connection import Connection
from llm_gateway.wire.outbox import Outbox

_HOST_AND_PORT = re.compile(rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::(?P<port>[0-9]{1,5}))?")


class Origin(msgspec.Struct, frozen=True):
    """Where connections go: what may share one."""

    secure: bool
    host: bytes
    """In lower case, an IPv6 address without its brackets."""
    port: int

    @classmethod
    def parse(cls, scheme: bytes, netloc: bytes) -> Origin:
        """
        :raises ValueError: not a host with or without a port; credentials in it are refused too.
        """
        parts = _HOST_AND_PORT.fullmatch(netloc)
        secure = scheme.lower() == b"https"
        port = int(parts["port"] or (443 if secure else 80)) if parts is not None else 0
        if parts is None or not 0 < port < 65536:
            raise ValueError("Invalid URI: its host or port cannot be used")
        return cls(secure, (parts["ipv6"] or parts["name"]).lower(), port)

    @property
    def authority(self) -> bytes:
        """What the ``Host`` header says."""
        host = b"[%b]" % self.host if b":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else b"%b:%d" % (host, self.port)


class _Wanted:
    """A request that has no connection yet."""

    __slots__ = ("connect_s", "got", "opening")

    def __init__(self, connect_s: float) -> None:
        self.connect_s = connect_s
        self.got: Deferred[Connection]
        self.opening: Deferred[Connection] | None = None
        """``None`` while it waits in the queue."""


class OriginPool:
    """
    The connections to one origin.

    Whoever takes a connection has its slot until it says ``release`` or ``discard``, once. Idle connections have no
    slot, but a new one is only opened when there is no idle one: there are never more than ``max_connections``.
    """

    def __init__(self, pool: ConnectionPool, origin: Origin, max_connections: int | None) -> None:
        self._pool = pool
        self.origin = origin
        self.outbox = pool.outbox
        self.host_line = b"Host: %b\r\n" % origin.authority
        self._max = max_connections
        self.in_use = 0
        """Slots taken, by requests under way and by connections being opened for one."""
        self._waiting: deque[_Wanted] = deque()
        self._idle: list[Connection] = []
        self._filling = False

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def idle(self) -> int:
        """Connections kept for the next request."""
        return len(self._idle)

    def take_idle(self) -> Connection | None:
        """
        :return: a connection that can be used at once, the most recently used one.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            # Whatever there is to read, an end, an answer that nobody asked for, or a farewell of TLS, it is no good.
            # The reactor may not have come round yet to reading it. A request sent now would be lost, and could not
            # always be sent again.
            if not (connection.closing or (connection.readable is not None and connection.readable(0))):
                self.in_use += 1
                return connection
            connection.abort()
        return None

    def connection(self, connect_s: float) -> Deferred[Connection]:
        """
        :param connect_s: seconds from opening a connection until it stands, TLS included; waiting for a slot is free.
        :return: a connection that nobody else uses, a new one or, after waiting in the queue, a used one. Cancel it to
            leave the queue or to stop connecting.
        """
        wanted = _Wanted(connect_s)
        got = wanted.got = Deferred(lambda _: self._unwant(wanted))
        self._waiting.append(wanted)
        self._fill()
        return got

    def release(self, connection: Connection) -> None:
        """The request is over and its connection fit for the next one: who has waited longest gets it."""
        if self._waiting:
            self._waiting.popleft().got.callback(connection)
            return
        self.in_use -= 1
        idle, pool = self._idle, self._pool
        if len(idle) >= pool.most_idle:
            connection.close()
            return
        if not idle:
            pool.sweep_in_time()
        connection.idle_since = pool.now()
        idle.append(connection)

    def discard(self) -> None:
        """The request is over and its connection not fit for another."""
        self.in_use -= 1
        self._fill()

    def opened(self) -> None:
        """A connection stands, TLS perhaps not yet."""
        self._pool.opened()

    def closed(self, connection: Connection) -> None:
        """A connection is gone, whether it was idle or in use."""
        if connection in self._idle:
            self._idle.remove(connection)
        # Twisted leaves a connector and its connection holding each other, and with them what of a request was not
        # sent. Transports that stand on another one, as TLS does, have its attributes too.
        connector = getattr(connection.transport, "connector", None)
        if connector is not None:
            connector.transport = None
        self._pool.closed()

    def expire(self, before: float) -> float | None:
        """
        Close what has been idle since ``before`` or longer.

        :return: since when the oldest of the others is idle.
        """
        stale = [connection for connection in self._idle if connection.idle_since <= before]
        del self._idle[: len(stale)]
        for connection in stale:
            connection.close()
        return self._idle[0].idle_since if self._idle else None

    def _unwant(self, wanted: _Wanted) -> None:
        if wanted.opening is None:
            self._waiting.remove(wanted)
        else:
            wanted.opening.cancel()

    def _fill(self) -> None:
        """Open connections for those who wait, as far as the cap allows."""
        if self._filling:
            # Further up the stack the loop below is running. It goes on after this one, so that however many fail at
            # once, the stack does not grow.
            return
        self._filling = True
        try:
            while self._waiting and (self._max is None or self.in_use < self._max):
                self._open(self._waiting.popleft())
        finally:
            self._filling = False

    def _open(self, wanted: _Wanted) -> None:
        self.in_use += 1
        opening = wanted.opening = maybeDeferred(self._pool.connect, self, wanted.connect_s)
        opening.addCallbacks(wanted.got.callback, self._not_opened, errbackArgs=(wanted,))

    def _not_opened(self, failure: Failure, wanted: _Wanted) -> None:
        self.discard()
        wanted.got.errback(failure)


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
        :param tls_policy: whom to trust; as browsers do unless given.
        """
        self._reactor = reactor
        self.outbox = Outbox(reactor)
        self._usually_idle = max_idle_per_origin if idle_s > 0 else 0
        self.most_idle = self._usually_idle
        """Connections to one origin that are kept for the next request; none while all are being closed."""
        self.now: Callable[[], float] = reactor.seconds
        self._idle_s = idle_s
        self._max = max_per_origin
        self._policy = BrowserLikePolicyForHTTPS() if tls_policy is None else tls_policy
        self._origins: dict[Origin, OriginPool] = {}
        self._endpoints: dict[tuple[Origin, float], IStreamClientEndpoint] = {}
        self._open = 0
        self._all_closed: list[Deferred[None]] = []
        self._sweeping: IDelayedCall | None = None

    def at(self, origin: Origin) -> OriginPool:
        """The connections to ``origin``; one and the same for as long as the pool lives."""
        found = self._origins.get(origin)
        if found is None:
            found = self._origins[origin] = OriginPool(self, origin, self._max)
        return found

    def closeCachedConnections(self) -> Deferred[None]:
        """
        Close every idle connection, and those in use when they are given back; named as in Twisted's pool.

        :return: fires when no connection is left.
        """
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if not self._open:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        self.most_idle = 0
        for origin in self._origins.values():
            origin.expire(before=self.now())
        return closed

    # For the OriginPools

    def sweep_in_time(self) -> None:
        """There are idle connections from now on."""
        if self._sweeping is None:
            self._sweeping = self._reactor.callLater(self._idle_s, self._sweep)

    def opened(self) -> None:
        self._open += 1

    def closed(self) -> None:
        self._open -= 1
        if not self._open:
            waiting, self._all_closed = self._all_closed, []
            self.most_idle = self._usually_idle
            for each in waiting:
                each.callback(None)

    def connect(self, home: OriginPool, connect_s: float) -> Deferred[Connection]:
        """
        :return: a new connection that stands, TLS included; fails within ``connect_s``.
        """
        connecting: Deferred[Any] = self._endpoint(home.origin, connect_s).connect(_Connections(home))
        if home.origin.secure:
            connecting.addCallback(Connection.secured)
        # The endpoint has a clock of its own, but it begins anew for every address and ends where TLS begins.
        return connecting.addTimeout(connect_s, self._reactor, onTimeoutCancel=_too_late)

    def _endpoint(self, origin: Origin, connect_s: float) -> IStreamClientEndpoint:
        endpoint = self._endpoints.get((origin, connect_s))
        if endpoint is None:
            endpoint = self._plain_endpoint(origin.host.decode("ascii"), origin.port, connect_s)
            if origin.secure:
                # Reading the authorities that are trusted takes long: once for each origin.
                endpoint = wrapClientTLS(self._policy.creatorForNetloc(origin.host, origin.port), endpoint)
            self._endpoints[origin, connect_s] = endpoint
        return endpoint

    def _plain_endpoint(self, host: str, port: int, connect_s: float) -> IStreamClientEndpoint:
        # With an address there is nothing to look up and no other one to try, for which the endpoint of names would
        # wait a third of a second before it says that the first one refused.
        if isIPAddress(host):
            return TCP4ClientEndpoint(self._reactor, host, port, timeout=connect_s)
        if isIPv6Address(host):
            return TCP6ClientEndpoint(self._reactor, host, port, timeout=connect_s)
        return HostnameEndpoint(self._reactor, host, port, timeout=connect_s)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.now()
        left = [since for origin in self._origins.values() if (since := origin.expire(now - self._idle_s)) is not None]
        if left:
            self._sweeping = self._reactor.callLater(min(left) + self._idle_s - now, self._sweep)


class _Connections(Factory):
    """Builds one for every address that is tried."""

    noisy = False

    def __init__(self, home: OriginPool) -> None:
        self.protocol = partial(Connection, home)


def _too_late(_failure: object, connect_s: float) -> NoReturn:
    raise TimeoutError(f"no connection within {connect_s:g} s")
