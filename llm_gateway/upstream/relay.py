"""Passing one provider's answer on to one client, at the client's pace."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from llm_gateway.core.clocks import CallClock
from llm_gateway.core.framing import Framing
from llm_gateway.core.headers import Fields
from llm_gateway.core.judging import Opening, opening
from llm_gateway.core.masking import Masking
from llm_gateway.errors import GatewayError
from llm_gateway.upstream.sink import Sink

MAX_FAILED_BYTES = 1_048_576
"""Of an answer that is an error and is held until it is known what becomes of the call. A longer one is passed on."""

COMMENTS_S = 10.0
"""For how long the comments at the beginning of a stream are held: its first event may still be an error. Providers
send them to keep connections open, and those between here and the client need some too."""

TAIL_BYTES, TAIL_PIECE_BYTES = 1024, 16_384
"""How much is known of the end of an answer, at least; more where it came in larger pieces, but of each of the last two
no more than the second: the last event of Responses, which repeats the whole answer, rarely is longer."""

LINGER_S = 2.0
"""How long a provider gets to end an answer of which the client has all, so that the connection can be used again."""


class Held(msgspec.Struct, frozen=True):
    """An answer that nobody has got, and may never get: the call may have a better one elsewhere."""

    status: int
    headers: Fields
    body: bytes


class Wait(Enum):
    """What has to come before an answer goes to the client."""

    BODY = "its first bytes"
    EVENT = "its first event, which may be an error"
    END = "its end: it is an error, and another candidate may do better"


# By names of the module's own: looking one up in its class takes as long as calling a function.
BODY, EVENT, END = Wait
_ERROR, _UNKNOWN, _CONTENT = Opening.ERROR, Opening.UNKNOWN, Opening.CONTENT


@implementer(IPushProducer)
class Relay(Protocol):
    """
    The body protocol of one response.

    Status and headers are held until there is a first piece of the body for the client, and longer where that may be an
    error, so that until then the attempt can still fail cleanly and be answered for otherwise. The provider's transport
    is paused while the client's is full.
    """

    def __init__(
        self,
        sink: Sink,
        status: int,
        headers: Fields,
        framing: Framing,
        mask: Masking | None,
        length: int | None,
        clock: CallClock,
        now: Callable[[], float],
        on_end: Callable[[Failure], None],
        wait: Wait,
        on_content: Callable[[], bool],
        on_failed: Callable[[], None],
        tee: Callable[[bytes], None] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """
        :param length: of the body, where it is known.
        :param mask: keeps the real key out of the body; ``None`` where the body cannot be read, as when compressed.
        :param clock: told when a piece comes, by ``now``.
        :param on_end: called once, with the reason that Twisted gives for the end of the body, or with a fault of ours.
        :param wait: for what.
        :param on_content: called once, before the first byte goes to the client; says whether it may.
        :param on_failed: called once instead, when a stream has begun with an error: ``held`` has it.
        :param tee: told of each piece as it comes, before anybody else; it may end all this.
        :param keep: whether the provider's connection stays when the client's is gone: ``divert`` follows.
        """
        self._sink = sink
        self.status = status
        self._headers = headers
        self._framing = framing
        self._mask = mask
        self._length = length
        self._clock = clock
        self._now = now
        self._on_end: Callable[[Failure], None] | None = on_end
        self.begun = False
        self._wait = wait
        self.waits_for_end = wait is END
        """Whether the answer's status says that it is an error."""
        self._on_content = on_content
        self._on_failed = on_failed
        self._tee = tee
        self._keep = keep
        self._beginning = b""
        self._held_since: float | None = None
        self._registered = False
        self.paused = False
        self._before = self._tail = b""
        self._lingering: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        on_end = self._on_end
        if on_end is None:
            return
        try:
            self._clock.last_byte_at = self._now()
            if self._tee is not None:
                self._tee(data)
                if self._on_end is None:
                    return
            size = len(data)
            if size < TAIL_BYTES:
                tail = self._tail
                if len(tail) < TAIL_BYTES:
                    self._tail = tail + data
                else:
                    self._before, self._tail = tail, data
            else:
                self._tail = data if size <= TAIL_PIECE_BYTES else data[-TAIL_PIECE_BYTES:]
                self._before = b""
            mask = self._mask
            piece = self._framing.feed(data if mask is None else mask.feed(data))
            if piece:
                if not self.begun:
                    last = size == self._length
                    if self._wait is not BODY:
                        piece = self._beginning_with(piece, last=last)
                    elif not self._begin(last=last):
                        return
                    if not piece:
                        return
                self._sink.write(piece)
        except Exception:
            # Twisted would take a fault of ours for one of the provider's.
            on_end(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._lingering is not None:
            lingering, self._lingering = self._lingering, None
            lingering.cancel()
        if self._on_end is not None:
            self._on_end(reason)

    @property
    def tail(self) -> bytes:
        """The last pieces that came, to tell an answer that ended from one that was cut: ``TAIL_BYTES`` or more."""
        return self._before + self._tail

    @property
    def failed(self) -> bool:
        """Whether the answer is an error that nobody has got."""
        return self.waits_for_end and not self.begun

    def is_without_event(self) -> bool:
        """
        Ask this when the answer has come to its end.

        :return: whether nothing of it has gone out and it is a stream that has no event, or begins with an error.
        """
        if self.begun or self._wait is not EVENT:
            return False
        self._beginning += self._rest()
        # Many a server leaves the blank line behind the last event away.
        return opening(self._beginning + b"\n\n") is not _CONTENT

    def held(self) -> Held:
        """The answer as far as it came. Nothing more is passed on."""
        self._on_end = None
        return Held(self.status, self._headers, self._beginning + self._rest())

    def finish(self) -> None:
        """The answer is whole: pass on what was held and end it."""
        self._on_end = None
        rest = self._rest()
        if not self.begun:
            rest = self._beginning + rest
            if not self._begin(last=True):
                return
        # First: what is written now may turn out to be none, and another answer take its place.
        self.let_go()
        if rest:
            self._sink.write(rest)
        self._sink.finish()

    def _rest(self) -> bytes:
        held = b"" if self._mask is None else self._mask.rest()
        return (self._framing.feed(held) if held else b"") + self._framing.rest()

    def break_off(self, error: GatewayError, *, stream: bool) -> None:
        """
        The answer will not become whole, and part of it has gone out.

        :param stream: whether it is a stream of events that can be read.
        """
        self._on_end = None
        self.let_go()
        self._sink.break_off(error, stream=stream, inside=self._framing.inside)

    def let_go(self) -> None:
        """Slow the provider down for the client no more."""
        if self._registered:
            self._registered = False
            self._sink.unregisterProducer()

    def divert(self, sink: Sink) -> None:
        """From now on the answer goes there. Nobody is slow any more."""
        self.let_go()
        self._sink = sink
        self._keep = False
        if self.paused:
            self.resumeProducing()

    def linger(self, clock: IReactorTime) -> None:
        """The client has all of the answer: what may still come of it is dropped, and not for long."""
        self._on_end = None
        self.let_go()
        if self.paused:
            self.resumeProducing()
        self._lingering = clock.callLater(LINGER_S, self._stop_lingering)

    def _stop_lingering(self) -> None:
        self._lingering = None
        self.hang_up()

    def hang_up(self) -> None:
        """Close the provider's connection; nothing more is passed on."""
        self._on_end = None
        if self.transport is not None:
            _cut(self.transport)

    def pauseProducing(self) -> None:
        """The client reads more slowly than the provider writes."""
        self.paused = True
        if self.transport is not None:
            self.transport.pauseProducing()  # type: ignore[attr-defined]  # the body's transport is an IPushProducer

    def resumeProducing(self) -> None:
        """The client has caught up."""
        self.paused = False
        self._clock.byte_came(self._now())
        if self.transport is not None:
            self.transport.resumeProducing()  # type: ignore[attr-defined]  # as above

    def stopProducing(self) -> None:
        """The client's connection is gone. Its request tells the one who settles the call, right after this."""
        if not self._keep:
            self.hang_up()

    def _beginning_with(self, piece: bytes, *, last: bool) -> bytes:
        """
        :return: what goes to the client now: nothing while it is not known whether this answer is for him.
        """
        piece = self._beginning = self._beginning + piece
        if self._wait is END:
            if len(piece) <= MAX_FAILED_BYTES:
                return b""
        elif (found := opening(piece)) is _ERROR:
            self._on_failed()
            return b""
        elif found is _UNKNOWN:
            now = self._now()
            if self._held_since is None:
                self._held_since = now
            if now < self._held_since + COMMENTS_S:
                return b""
        self._beginning = b""
        return piece if self._begin(last=last) else b""

    def _begin(self, *, last: bool) -> bool:
        """
        :param last: whether the answer is over when what is at hand has been written: nobody has to be slowed down.
        :return: whether it is for the client; another one may have been sooner.
        """
        if not self._on_content():
            return False
        self.begun = True
        self._sink.begin(self.status, self._headers)
        if not last:
            self._registered = True
            self._sink.registerProducer(self, True)
        return True


class HangUp(Protocol):
    """Takes nothing of a response's body and closes its connection."""

    def connectionMade(self) -> None:
        if self.transport is not None:
            _cut(self.transport)


def _cut(transport: ITransport) -> None:
    # Twisted's own body transport has no abort; the connections of ours do.
    getattr(transport, "abortConnection", transport.loseConnection)()
