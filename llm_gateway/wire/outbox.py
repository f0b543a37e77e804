"""Sending what was written in one round of the reactor at the end of that round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime

from llm_gateway.wire import rounds

JOIN_BYTES = 65_536
"""More than this in several pieces is not copied together but handed to the transport."""

MOST_WAITING = 32
"""Connections that wait in one round. When so many have something to send they are served before more is read: a round
with a thousand streams in it takes long, and theirs would all come late. Of each batch one wakes whoever sleeps."""

_INNER = ("dataBuffer", "_tempDataBuffer", "TLS")


_round: Outbox | None = None
"""The one of the round that is going on, in which sockets are served together."""


def before_sending(do: Callable[[], object]) -> bool:
    """
    Have something done when this round has served its sockets, once, and before anything that it wrote is sent.

    :return: whether it will be; not where no such round is going on.
    """
    if _round is None:
        return False
    _round.first.append(do)
    return True


class Writer(Protocol):
    """How to write to one connection."""

    def write(self, data: bytes) -> None:
        """As a transport's."""

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """As a transport's."""


class Outbox:
    """
    Gathers what is written to many connections while the reactor handles what has come, then sends it.

    Twisted's own transports wait for the reactor to say that a socket is ready, which nearly always it was: two changes
    of what it waits for, and one more round, for every piece. Sending each piece at once costs more elsewhere: every
    one wakes a process that has just gone to sleep. So everything goes out when the round is over, each connection's in
    one piece. What the system does not take, and everything behind it, goes through the transport's own ``write``, and
    so do all errors: producers and protocols see no difference.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.waiting: list[_PromptWriter] = []
        """Those that have something to send."""
        self.first: list[Callable[[], object]] = []
        """What is done before they do."""
        self.called = False
        """Whether somebody is going to say that the round is over."""

    def round_begins(self) -> None:
        """Whoever says so says ``round_is_over`` before the reactor goes on."""
        global _round
        self.called = True
        _round = self
        rounds.begin()

    def part_is_over(self) -> None:
        """Do the steps of those that were read so far, and send what they wrote if that is much."""
        rounds.go_through()
        if len(self.waiting) >= MOST_WAITING:
            self.send()

    def round_is_over(self) -> None:
        """Send what was written in it."""
        global _round
        if _round is self:
            rounds.end()
        self.called = False
        _round = None
        self.send()

    def writer(self, transport: Any) -> Writer:
        """
        :param transport: any; those other than plain TCP and Unix sockets are written to in their own way.
        """
        # Documented nowhere: which bytes wait. A Twisted that keeps them otherwise is written to in its own way.
        if isinstance(transport, tcp.Connection) and all(hasattr(transport, name) for name in _INNER):
            return _PromptWriter(self, transport)
        writer: Writer = transport
        return writer

    def send(self) -> None:
        """Send everything now."""
        if self.first:
            first, self.first = self.first, []
            for do in first:
                do()
        waiting, self.waiting = self.waiting, []
        for writer in waiting:
            writer.send()

    def call(self) -> None:
        """Have everything sent when this round is over, before the reactor waits again."""
        self.called = True
        self._reactor.callLater(0, self.round_is_over)


class _PromptWriter:
    __slots__ = ("_outbox", "_pieces", "_send_now", "_transport")

    def __init__(self, outbox: Outbox, transport: tcp.Connection) -> None:
        self._outbox = outbox
        self._transport: Any = transport
        self._pieces: list[bytes] = []
        # Of the socket, which the transport lets go of when it is closed.
        self._send_now = transport.socket.send

    def write(self, data: bytes) -> None:
        pieces = self._pieces
        if not pieces:
            outbox = self._outbox
            if _round is not outbox and len(outbox.waiting) >= MOST_WAITING:
                # In a round, only when all steps of those that were read are done: an answer must not be with its
                # client before it is written down.
                outbox.send()
            outbox.waiting.append(self)
            if not outbox.called:
                outbox.call()
        pieces.append(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        for data in iovec:
            self.write(data)

    def send(self) -> None:
        """Hand everything to the system, or to the transport."""
        pieces, transport = self._pieces, self._transport
        data = pieces.pop()
        if pieces:
            # Not one, as nearly always.
            pieces.append(data)
            self._pieces = []
            if sum(map(len, pieces)) > JOIN_BYTES:
                transport.writeSequence(pieces)
                return
            data = b"".join(pieces)
        if transport.dataBuffer or transport._tempDataBuffer or transport.TLS:
            transport.write(data)
            return
        try:
            send_now = self._send_now
            sent = send_now(data)
        except OSError:
            # It is full, or closed: the transport finds the same, and knows whom to tell.
            sent = 0
        if sent < len(data):
            transport.write(data[sent:])
