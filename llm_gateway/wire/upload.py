"""A request on its way out: its head, and the body that an ``IBodyProducer`` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IProducer
from twisted.logger import Logger
from twisted.python.failure import Failure

# Twisted exports these from nowhere public, although its Agent raises them.
from twisted.web._newclient import ExcessWrite, WrongBodyLength
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

_log = Logger()


@implementer(IBodyProducer)
class BytesBody:
    """
    A body that is in memory already: one write, no scheduling.

    A connection of ours writes it in one piece with the request's head. Other clients treat it as any producer.
    """

    __slots__ = ("data", "length")

    def __init__(self, body: bytes) -> None:
        self.data = body
        """Whoever writes it lets go of it here."""
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        data, self.data = self.data, b""
        consumer.write(data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written in one go: there is nothing to pause."""

    def resumeProducing(self) -> None:
        """All is written in one go: there is nothing to resume."""

    def stopProducing(self) -> None:
        """All is written in one go: there is nothing to stop."""


@implementer(IConsumer)
class Upload:
    """
    Writes one request.

    What there is of the body at once goes out in one piece with the head. Then the transport pauses the producer while
    the other side is slow. Nothing that the producer writes too much, too late or after its end is ever sent: it would
    be taken for the next request on this connection.
    """

    def __init__(self, head: bytes, body: IBodyProducer, transport: Any, failed: Callable[[Failure], None]) -> None:
        """
        :param failed: called, at most once, when the producer fails or writes more or less than it said it would.
        """
        self._body = body
        self._transport = transport
        self._failed = failed
        self._left: int | None = None if body.length is UNKNOWN_LENGTH else cast(int, body.length)
        self._corked: list[bytes] | None = [head]
        self._registered = False
        self._over = False
        self.done = False
        """Whether all of the body has been written."""

    def start(self) -> None:
        """Write what there is."""
        try:
            produced = self._body.startProducing(self)
            at_once = produced.called and produced.result is None
        except Exception:
            produced, at_once = fail(), False
        if at_once:
            # As with every body that is in memory: nothing is left to wait for.
            self._produced(None)
        else:
            produced.addCallbacks(self._produced, self._fail)
        corked, self._corked = self._corked, None
        if self._over and not self.done:
            return
        self._transport.write(b"".join(corked or ()))
        if not self._over:
            self._registered = True
            self._transport.registerProducer(self._body, True)

    def stop(self) -> None:
        """The exchange is over, whether or not all was written."""
        if not self._over:
            self._end()
            self._stop_producer()
            # A producer that was stopped may keep its consumer until the garbage collector comes round. It must not
            # keep what has not been sent as well.
            self._transport, self._failed = None, _nobody

    # The producer's side

    def write(self, data: bytes) -> None:
        """
        :raises ExcessWrite: the producer has said before that it was done.
        """
        if self._over:
            if self.done:
                self._stop_producer()
                raise ExcessWrite()
            return
        if self._left is None:
            if not data:
                # An empty chunk would be the last one.
                return
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif len(data) > self._left:
            self._stop_producer()
            self._fail(Failure(WrongBodyLength("too many bytes written")))
            return
        else:
            self._left -= len(data)
        self._write(data)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """A body producer is paused through the transport, not through here."""

    def unregisterProducer(self) -> None:
        """As above."""

    def _produced(self, _result: object) -> None:
        if self._over:
            return
        if self._left:
            self._fail(Failure(WrongBodyLength("too few bytes written")))
            return
        if self._left is None:
            self._write(b"0\r\n\r\n")
        self.done = True
        self._end()

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            self._end()
            self._failed(failure)

    def _write(self, data: bytes) -> None:
        if self._corked is not None:
            self._corked.append(data)
        else:
            self._transport.write(data)

    def _end(self) -> None:
        self._over = True
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def _stop_producer(self) -> None:
        try:
            self._body.stopProducing()
        except Exception:
            _log.failure("The producer of a request's body failed to stop")


def _nobody(_failure: Failure) -> None:
    """Cares."""
