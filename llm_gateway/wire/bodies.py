"""A request's body on its way to somebody who wants it as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

HELD_BYTES = 65_536
"""So much of a body waits for a reader that has not come yet; then the client is told to wait."""


class BodyDone(Exception):
    """The request's body came to its end. As ``twisted.web.client.ResponseDone`` for answers, this is success."""


class BodyBroken(Exception):
    """What came was not a body any more, or came too slowly; the answer can still be written, then the client goes."""


class BodyTooLarge(Exception):
    """The body grew over the site's limit; ``request.body_refused`` is set and the answer can still be written."""


class BodyUnwanted(Exception):
    """The answer was finished before the body was; what still comes of it is dropped."""


@implementer(ITransport, IPushProducer)
class BodyStream:
    """
    Hands a request's body to a protocol, and is that protocol's transport.

    The protocol gets ``makeConnection``, ``dataReceived`` for every piece, and ``connectionLost`` once, with
    :class:`BodyDone`, one of the other reasons above, or the one for which the client's connection was lost. While it
    pauses this transport nothing is read from the client beyond what has been read already.
    """

    disconnecting = False

    def __init__(
        self, *, hold: Callable[[bool], None], begin: Callable[[], None], abort: Callable[[], None], client: ITransport
    ) -> None:
        """
        :param hold: called with whether the client shall wait.
        :param begin: called once there is a reader.
        :param abort: cuts the client's connection.
        """
        self._hold = hold
        self._begin = begin
        self._abort = abort
        self._client = client
        self._protocol: IProtocol | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._paused = False
        self._reason: Failure | None = None
        self._over = False

    # From the channel

    def feed(self, data: bytes) -> None:
        """A piece has come."""
        if self._over:
            return
        if self._protocol is not None and not self._paused and not self._held:
            self._protocol.dataReceived(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= HELD_BYTES:
            self._hold(True)

    def end(self, reason: Exception | Failure) -> None:
        """The body is over, after what is still held."""
        if self._over or self._reason is not None:
            return
        self._reason = reason if isinstance(reason, Failure) else Failure(reason)
        self._flush()

    def drop(self, reason: Exception | Failure) -> None:
        """The body is over, and so is what is held."""
        self._held.clear()
        self._paused = False
        if self._reason is None:
            self.end(reason)
        else:
            self._flush()

    # From the resource

    def deliver(self, protocol: IProtocol) -> None:
        """
        :raises RuntimeError: somebody has it already.
        """
        if self._protocol is not None:
            raise RuntimeError("This request's body is delivered already.")
        self._protocol = protocol
        protocol.makeConnection(self)
        self._begin()
        self._flush()

    # From the protocol

    def pauseProducing(self) -> None:
        if not self._over:
            self._paused = True
            self._hold(True)

    def resumeProducing(self) -> None:
        self._paused = False
        self._flush()

    def stopProducing(self) -> None:
        """The rest is not wanted. The client's connection stays: it waits for an answer."""
        self.drop(BodyUnwanted("Nobody wanted the rest of the request's body."))

    def loseConnection(self) -> None:
        self.stopProducing()

    def abortConnection(self) -> None:
        """Cut the client's connection."""
        self._abort()

    def write(self, data: bytes) -> None:
        raise NotImplementedError("A request's body is only read; answers are written to the request.")

    def writeSequence(self, data: Any) -> None:
        raise NotImplementedError("A request's body is only read; answers are written to the request.")

    def getPeer(self) -> IAddress:
        return self._client.getPeer()

    def getHost(self) -> IAddress:
        return self._client.getHost()

    def _flush(self) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        while self._held and not self._paused and not self._over:
            held, self._held, self._held_bytes = self._held, [], 0
            protocol.dataReceived(b"".join(held))
        if self._over or self._paused:
            return
        self._hold(False)
        if self._reason is not None:
            self._over = True
            protocol.connectionLost(self._reason)
