"""Many sockets that the reactor waits for as one."""

from __future__ import annotations

from collections.abc import Callable
from errno import EWOULDBLOCK
from typing import Any
from weakref import WeakKeyDictionary, ref

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.protocols.policies import ProtocolWrapper
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from llm_gateway.wire.outbox import Outbox

try:
    from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll

    from twisted.internet.epollreactor import EPollReactor
except ImportError:
    EPollReactor = None  # type: ignore[assignment,misc]  # not on Linux

_READ_BYTES = tcp.Connection.bufferSize

MOST_IN_A_TURN = 32
"""So many events, and all that come at once, are served before the reactor gets to see to timers and the rest."""

AT_ONCE = 64
"""So many of them are brought to the same step before the next one is done for any."""

_ENDS: dict[type[BaseException], Failure] = {each: Failure(each()) for each in (ConnectionDone, ConnectionLost)}
"""Failures without a stack, one for all, as Twisted's own reactor has them."""


def beneath(transport: Any) -> Any:
    """
    :return: the connection that a transport stands on, as TLS does.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def wait_together(transport: Any) -> Outbox | None:
    """
    Have a connection's socket waited for together with all others of its reactor.

    Only where that brings something: on TCP and Unix sockets of Twisted's usual reactor.

    :param transport: of a connection that has just been made, and to which nothing has been written yet.
    :return: what sends, when all of these sockets have been served, what was written meanwhile; ``None`` where a
        connection is waited for in its reactor's own way.
    """
    transport = beneath(transport)
    if EPollReactor is None or not isinstance(transport, tcp.Connection):
        return None
    reactor: Any = transport.reactor
    if not isinstance(reactor, EPollReactor):
        return None
    known = _sockets.get(reactor)
    sockets = None if known is None else known()
    if sockets is None:
        sockets = Sockets(reactor)
        _sockets[reactor] = ref(sockets)
    transport.stopReading()
    transport.reactor = sockets
    transport.startReading()
    return sockets.outbox


@implementer(IReadDescriptor, IReactorFDSet)
class Sockets:
    """
    To their transports, these sockets' reactor; to the reactor, one descriptor that can be read from.

    For every event on a socket, Twisted makes a context to log in and goes through eight functions; together they take
    as long as it takes to read a request. Here all sockets on which there is something are asked for at once, by an
    epoll inside the reactor's own, and served one after the other in one event of the reactor's. Whatever else a
    transport wants of its reactor it gets from that.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = epoll()
        self._sockets: dict[int, tuple[Any, Callable[[int], bytes] | None]] = {}
        """The descriptor of each number, and how to read from it without asking it."""
        self._reads: set[int] = set()
        self._writes: set[int] = set()
        self.outbox = Outbox(reactor)
        self._lively = False
        """Whether looking once more brought something the last time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # To the reactor

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "-"

    def doRead(self) -> None:
        """
        Serve all sockets on which there is something, then those on which there is something by then.

        While many streams are paced, each brings its piece by itself: going through the reactor for every one of them
        takes as long as serving it.
        """
        outbox, poll = self.outbox, self._epoll.poll
        left = MOST_IN_A_TURN
        outbox.round_begins()
        try:
            events = poll(0)
            while events:
                for start in range(0, len(events), AT_ONCE):
                    self._serve_all(events[start : start + AT_ONCE])
                    outbox.part_is_over()
                left -= len(events)
                if left <= 0 or (len(events) == 1 and not self._lively):
                    return
                outbox.send()
                events = poll(0)
                self._lively = bool(events)
        finally:
            outbox.round_is_over()

    def _serve_all(self, events: list[tuple[int, int]]) -> None:
        sockets = self._sockets
        for number, event in events:
            known = sockets.get(number)
            if known is None:
                # Another one, served before it, has closed it.
                continue
            descriptor, receive = known
            if event != EPOLLIN:
                log.callWithLogger(descriptor, self._serve, descriptor, number, event)
                continue
            # As nearly always.
            try:
                if receive is None:
                    why = descriptor.doRead()
                else:
                    # The same in two functions less.
                    try:
                        data = receive(_READ_BYTES)
                    except OSError as error:
                        why = None if error.errno == EWOULDBLOCK else CONNECTION_LOST
                    else:
                        if data:
                            descriptor.protocol.dataReceived(data)
                            continue
                        why = CONNECTION_DONE
            except BaseException as fault:
                why = fault
                log.callWithLogger(descriptor, log.err)
            if why:
                log.callWithLogger(descriptor, self._disconnect, descriptor, why, reading=True)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, and closes everything."""
        for descriptor in self.removeAll():
            log.callWithLogger(descriptor, descriptor.connectionLost, reason)

    # To transports

    def addReader(self, reader: Any) -> None:
        self._add(reader, self._reads, self._writes, EPOLLIN, EPOLLOUT)

    def addWriter(self, writer: Any) -> None:
        self._add(writer, self._writes, self._reads, EPOLLOUT, EPOLLIN)

    def removeReader(self, reader: Any) -> None:
        self._remove(reader, self._reads, self._writes, EPOLLOUT)

    def removeWriter(self, writer: Any) -> None:
        self._remove(writer, self._writes, self._reads, EPOLLIN)

    def removeAll(self) -> list[Any]:
        found = [descriptor for descriptor, _ in self._sockets.values()]
        for descriptor in found:
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
        return found

    def getReaders(self) -> list[Any]:
        return [self._sockets[number][0] for number in self._reads]

    def getWriters(self) -> list[Any]:
        return [self._sockets[number][0] for number in self._writes]

    def _add(self, descriptor: Any, these: set[int], others: set[int], event: int, other: int) -> None:
        number = descriptor.fileno()
        if number in these:
            return
        if number in others:
            self._epoll.modify(number, event | other)
        else:
            self._epoll.register(number, event)
            if not self._sockets:
                self._reactor.addReader(self)
            self._sockets[number] = descriptor, _receiver(descriptor)
        these.add(number)

    def _remove(self, descriptor: Any, these: set[int], others: set[int], other: int) -> None:
        # -1 once it is closed, before which it was removed.
        number = descriptor.fileno()
        if number not in these:
            return
        these.remove(number)
        if number in others:
            self._epoll.modify(number, other)
            return
        del self._sockets[number]
        self._epoll.unregister(number)
        if not self._sockets:
            self._reactor.removeReader(self)

    # What seldom happens: as Twisted's reactors do it

    def _serve(self, descriptor: Any, number: int, event: int) -> None:
        reading = number in self._reads
        why: BaseException | None = None
        if event & (EPOLLHUP | EPOLLERR) and not event & EPOLLIN:
            why = CONNECTION_DONE if reading else CONNECTION_LOST
        else:
            try:
                if event & EPOLLIN:
                    why = descriptor.doRead()
                if not why and event & EPOLLOUT:
                    reading = False
                    why = descriptor.doWrite()
            except BaseException as fault:
                why = fault
                log.err()
        if why:
            self._disconnect(descriptor, why, reading=reading)

    def _disconnect(self, descriptor: Any, why: BaseException, *, reading: bool) -> None:
        self.removeReader(descriptor)
        reason = _ENDS.get(type(why)) or Failure(why)
        if reading and type(why) is ConnectionDone:
            # Its protocol may want to write on.
            descriptor.readConnectionLost(reason)
            return
        self.removeWriter(descriptor)
        descriptor.connectionLost(reason)


def _receiver(descriptor: Any) -> Callable[[int], bytes] | None:
    kind = type(descriptor)
    usual = tcp.Connection
    if not isinstance(descriptor, usual) or (kind.doRead, kind._dataReceived) != (usual.doRead, usual._dataReceived):
        return None
    receive: Callable[[int], bytes] = descriptor.socket.recv
    return receive


_sockets: WeakKeyDictionary[Any, ref[Sockets]] = WeakKeyDictionary()
