"""What answers are written to: a connection's way out, and its clock."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, cast

# The adapter that Twisted's own channel uses; there is no public one.
from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.interfaces import IAddress, IDelayedCall, ISSLTransport, ITransport
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers

if TYPE_CHECKING:
    from llm_gateway.wire.server import Site

TICK_S = 10.0
"""The one timer looks at least so often whether a deadline has passed, so that none has to be moved closer: every
deadline is at least this far away when it is set. Moving a delayed call closer costs time linear in their number."""


class Outlet(Protocol):
    """
    Stands between a transport and the requests that are answered on it.

    Whoever answers registers a producer here, which is told when the transport has more than it can send.
    """

    # Ten thousand idle clients are kept cheaply: their attributes would fill a dictionary of 1.5 KB each.
    __slots__ = (
        "_answers_wait",
        "_deadline",
        "_network",
        "_producer",
        "_producer_streams",
        "_tick_s",
        "_timer",
        "host",
        "peer",
        "persistent",
        "site",
        "timeOut",
    )

    # Set by the site
    site: Site
    timeOut: float | None

    persistent: bool
    """Whether another request may follow. What answers this one says ``Connection: close`` if not."""

    def __init__(self) -> None:
        self.persistent = True
        self._network: Any = None
        self.peer: IAddress | None = None
        self.host: IAddress | None = None
        """Once somebody has asked for them."""
        self._producer: Any = None
        self._producer_streams = True
        self._answers_wait = False
        self._deadline = inf
        self._tick_s = TICK_S
        self._timer: IDelayedCall | None = None

    # From the request

    def write(self, data: bytes) -> None:
        """Replaced by the transport's own once there is one."""
        raise RuntimeError("There is no connection.")

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        cast(ITransport, self.transport).writeSequence(iovec)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """For requests other than ours, which write theirs themselves."""
        if not isinstance(headers, Headers):
            pairs, headers = headers, Headers()
            for name, value in pairs:
                headers.addRawHeader(name, value)
        if not self.persistent and version == b"HTTP/1.1":
            headers.setRawHeaders(b"Connection", [b"close"])
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        lines += [b"%b: %b\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        self.write(b"".join([*lines, b"\r\n"]))

    def getPeer(self) -> IAddress:
        if self.peer is None:
            self.peer = cast(ITransport, self.transport).getPeer()
        return self.peer

    def getHost(self) -> IAddress:
        if self.host is None:
            self.host = cast(ITransport, self.transport).getHost()
        return self.host

    def isSecure(self) -> bool:
        return ISSLTransport(self.transport, None) is not None

    # Producers, between the transport and whoever answers

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self._producer} was never unregistered."
            )
        if not streaming:
            producer = _PullToPush(producer, self)
        self._producer = producer
        self._producer_streams = streaming
        if not streaming:
            producer.startStreaming()
        if self._answers_wait:
            # The transport has said so already, before there was anybody to tell.
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and not self._producer_streams:
            producer.stopStreaming()

    def pauseProducing(self) -> None:
        self._answers_wait = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self._answers_wait = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    # The clock

    def _expect_within(self, seconds: float) -> None:
        self._deadline = self.site.reactor.seconds() + seconds
        if self._timer is None and seconds < inf:
            self._timer = self.site.reactor.callLater(min(seconds, self._tick_s), self._tick)

    def _tick(self) -> None:
        self._timer = None
        left = self._deadline - self.site.reactor.seconds()
        if left <= 0:
            self._deadline = inf
            self._late()
        elif left < inf:
            self._timer = self.site.reactor.callLater(min(left, self._tick_s), self._tick)

    def _late(self) -> None:
        """What was expected has not come."""
        raise NotImplementedError

    def _stop_clock(self) -> None:
        self._deadline = inf
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
