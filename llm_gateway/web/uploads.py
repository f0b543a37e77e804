"""Passing a request's body on while it still comes, where the site offers that."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IRequest
from zope.interface import implementer

from llm_gateway.errors import BadRequest, RequestTooLarge
from llm_gateway.wire.bodies import BodyBroken, BodyDone, BodyTooLarge
from llm_gateway.wire.fields import fields_of

STREAMED_BYTES = 1_048_576
"""A shorter body is gathered first: that costs less, and it can be sent again."""


def wants_stream(request: IRequest) -> bool:
    """
    Which bodies are passed on as they come: large ones and those of unknown length, but for JSON.

    JSON is gathered, since the gateway reads the model in it, and since those who send it wait for all of it anyway.

    :param request: with its headers, before its body.
    """
    lengths = fields_of(request.requestHeaders).get(b"Content-Length")
    if lengths is not None and int(lengths[-1]) <= STREAMED_BYTES:
        return False
    return b"json" not in (request.getHeader(b"content-type") or b"").lower()


@implementer(IBodyProducer)
class StreamedBody:
    """A request's body, no faster from the client than the provider takes it, and never whole in memory."""

    def __init__(
        self,
        deliver: Callable[[IProtocol], None],
        length: int | None,
        max_body_bytes: int,
        on_data: Callable[[int], None],
    ) -> None:
        """
        :param deliver: has the body delivered to a protocol, as the site's request offers it.
        :param length: ``None`` if the client did not say.
        :param on_data: told the length of each piece.
        """
        self.length = UNKNOWN_LENGTH if length is None else length
        self._deliver = deliver
        self._max_body_bytes = max_body_bytes
        self._on_data = on_data
        self._reader: _Reader | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """
        :return: fires when all has been written; fails with the error that the client is to get.
        """
        reader = self._reader = _Reader(consumer, self._on_data, self._max_body_bytes)
        self._deliver(reader)
        return reader.done

    def pauseProducing(self) -> None:
        self._source().pauseProducing()

    def resumeProducing(self) -> None:
        self._source().resumeProducing()

    def stopProducing(self) -> None:
        """The rest is not wanted; the client still gets an answer."""
        reader = self._reader
        if reader is not None:
            reader.over = True
            self._source().stopProducing()

    def _source(self) -> IPushProducer:
        assert self._reader is not None
        return cast(IPushProducer, self._reader.transport)


class _Reader(Protocol):
    """The protocol that the site delivers the body to."""

    def __init__(self, consumer: IConsumer, on_data: Callable[[int], None], max_body_bytes: int) -> None:
        self._consumer = consumer
        self._on_data = on_data
        self._max_body_bytes = max_body_bytes
        self.over = False
        """Whether the provider's side has had enough; then nobody waits for ``done``."""
        self.done: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._on_data(len(data))
        self._consumer.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.over:
            return
        self.over = True
        if reason.check(BodyDone):
            self.done.callback(None)
        elif reason.check(BodyTooLarge):
            self.done.errback(RequestTooLarge.over(self._max_body_bytes))
        elif reason.check(BodyBroken):
            self.done.errback(BadRequest("The request's body broke off, came too slowly or was not valid."))
        # Else the client has left, of which its request tells the one who settles the call.
