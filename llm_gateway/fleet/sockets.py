"""Listening sockets that several processes hold at once; each accepts from its own copy and closes that alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.python.lockfile import FilesystemLock
from zope.interface import directlyProvides, providedBy

from llm_gateway.fleet.balance import Share

Inherited = tuple[str, int]
"""The endpoint that a socket belongs to, as it was written, and the socket's descriptor in this process."""


WAIT_S = 0.002
"""How long a process that is ahead leaves the next connection to the others."""

AFTER_WAIT = 4
"""So many it takes when nobody else did: the others are busy, and clients should not wait for them."""


class _Counted(tcp.Server):
    """A connection that counts as long as it is there."""

    _share: Share | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # The fourth argument is the port.
        self._share = arguments[3].share
        if self._share is not None:
            self._share.came()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        # Twisted may tell twice.
        share, self._share = self._share, None
        if share is not None:
            share.went()


class _CountedUnix(_Counted, unix.Server):
    """The same on a Unix socket."""


class _Shared(tcp.Port):
    """What is the same for all kinds of ports."""

    # shutdown() would reach through to the copies of other processes and end their listening as well.
    _shouldShutdown = False
    accepts = True
    """Whether this process takes connections, or only keeps the socket open for those that do."""
    share: Share | None = None
    """Says when a connection is another process's turn. With it a turn of the reactor takes one only: taking all that
    wait, as Twisted does, would leave nothing for the others."""
    _has_waited = False

    def startReading(self) -> None:
        if self.accepts:
            super().startReading()

    def doRead(self) -> None:
        if self.share is not None:
            if not self._has_waited and self.share.ahead():
                self._has_waited = True
                self.stopReading()
                reactor: Any = self.reactor
                reactor.callLater(WAIT_S, self._go_on)
                return
            self.numberAccepts = AFTER_WAIT if self._has_waited else 1
            self._has_waited = False
        super().doRead()

    def _go_on(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()


class SharedPort(_Shared):
    """A TCP port whose socket other processes hold too."""

    def take_share(self, share: Share) -> None:
        """Take connections in turn with the others."""
        self.share, self.transport = share, cast(Any, _Counted)


class SharedUnixPort(_Shared, unix.Port):
    """The same for a Unix socket, whose name in the file system one process owns."""

    owns_name = True
    """Whether the name, and the lock beside it, go away with this port."""

    def take_share(self, share: Share) -> None:
        """Take connections in turn with the others."""
        self.share, self.transport = share, cast(Any, _CountedUnix)

    def startListening(self) -> None:
        if self._preexistingSocket is None:
            super().startListening()
        else:
            # Twisted's would set the mode of the file anew, to what everybody may use.
            tcp.Port.startListening(self)

    def connectionLost(self, reason: Failure) -> None:
        if self.owns_name:
            super().connectionLost(reason)
        else:
            tcp.Port.connectionLost(self, reason)

    def take_lock(self) -> None:
        """Become the process that the lock beside the name tells of, after one that is leaving."""
        name = self._bindPath + b".lock"
        ours = name + b".%d" % os.getpid()
        os.symlink(str(os.getpid()), ours)
        os.rename(ours, name)
        self.lockFile = FilesystemLock(name)
        self.lockFile.locked = True


class ListeningSockets:
    """
    The listening sockets of one process.

    Endpoints are made from the same strings as everywhere. One whose socket was inherited adopts it; any other binds.
    """

    def __init__(
        self,
        reactor: Any,
        inherited: Sequence[Inherited] = (),
        *,
        accepts: bool = True,
        share: Share | None = None,
        owns_names: bool = True,
    ) -> None:
        """
        :param inherited: open descriptors; each is closed once it has been adopted.
        :param accepts: whether this process takes connections from them.
        :param share: this process's part of the connections, where others take them too.
        :param owns_names: whether the names of Unix sockets are removed when they are closed.
        """
        self._reactor = reactor
        self._inherited = list(inherited)
        self._accepts = accepts
        self._share = share
        self._owns_names = owns_names
        self._open: list[tuple[str, SharedPort | SharedUnixPort]] = []
        self._unlocked: list[SharedUnixPort] = []

    def endpoint(self, description: str) -> IStreamServerEndpoint:
        """
        :param description: any Twisted endpoint string.
        """
        reactor = _EndpointReactor(self, self._reactor, description)
        if description.startswith("systemd:"):
            # systemd's own way to tell of descriptors works for the process that it started, and there only once.
            descriptor = self._take(description)
            if descriptor is not None:
                return cast(
                    IStreamServerEndpoint, AdoptedStreamServerEndpoint(reactor, descriptor, _family(descriptor))
                )
        return cast(IStreamServerEndpoint, serverFromString(reactor, description))

    def descriptors(self) -> list[Inherited]:
        """
        :return: what another process needs to inherit. They stay open here.
        """
        return [(description, port.fileno()) for description, port in self._open if port.connected]

    def close_unused(self) -> None:
        """Close what was inherited and that nobody wants any more."""
        unused, self._inherited = self._inherited, []
        for _, descriptor in unused:
            os.close(descriptor)

    def give_names_away(self) -> None:
        """Another process has taken over: closing leaves the names of Unix sockets to it."""
        for _, port in self._open:
            if isinstance(port, SharedUnixPort):
                port.owns_name = False

    def take_locks(self) -> None:
        """The process before has given away its names: have the locks beside them tell of this one."""
        unlocked, self._unlocked = self._unlocked, []
        for port in unlocked:
            port.take_lock()

    def listen_tcp(
        self, description: str, port: int, factory: IProtocolFactory, backlog: int, interface: str
    ) -> IListeningPort:
        descriptor = self._take(description)
        if descriptor is None:
            return self._start(description, SharedPort(port, factory, backlog, interface, self._reactor))
        return self._adopt_inherited(description, descriptor, factory)

    def listen_unix(
        self, description: str, factory: IProtocolFactory, want_lock: bool, make: Callable[[], SharedUnixPort]
    ) -> IListeningPort:
        descriptor = self._take(description)
        if descriptor is None:
            return self._start(description, make())
        port = self._adopt_inherited(description, descriptor, factory)
        if want_lock:
            self._unlocked.append(cast(SharedUnixPort, port))
        return port

    def adopt(self, description: str, descriptor: int, family: int, factory: IProtocolFactory) -> IListeningPort:
        """
        :param descriptor: is copied; the caller closes it.
        """
        port: SharedPort | SharedUnixPort
        if family == socket.AF_UNIX:
            port = SharedUnixPort._fromListeningDescriptor(self._reactor, descriptor, factory)
        else:
            port = SharedPort._fromListeningDescriptor(self._reactor, descriptor, family, factory)
        return self._start(description, port)

    def _adopt_inherited(self, description: str, descriptor: int, factory: IProtocolFactory) -> IListeningPort:
        try:
            return self.adopt(description, descriptor, _family(descriptor), factory)
        finally:
            os.close(descriptor)

    def _start(self, description: str, port: SharedPort | SharedUnixPort) -> IListeningPort:
        port.accepts = self._accepts
        if self._share is not None:
            port.take_share(self._share)
        if isinstance(port, SharedUnixPort):
            port.owns_name = self._owns_names
        port.startListening()
        self._open.append((description, port))
        return cast(IListeningPort, port)

    def _take(self, description: str) -> int | None:
        for each in self._inherited:
            if each[0] == description:
                self._inherited.remove(each)
                return each[1]
        return None


class _EndpointReactor:
    """The reactor as one endpoint sees it: what listens goes through the process's sockets."""

    def __init__(self, sockets: ListeningSockets, reactor: Any, description: str) -> None:
        self._sockets = sockets
        self._reactor = reactor
        self._description = description
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        return self._sockets.listen_tcp(self._description, port, factory, backlog, interface)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)

    def listenUNIX(
        self, address: Any, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        def make() -> SharedUnixPort:
            return SharedUnixPort(address, factory, backlog, mode, self._reactor, wantPID)

        return self._sockets.listen_unix(self._description, factory, wantPID, make)

    def adoptStreamPort(self, descriptor: int, family: int, factory: IProtocolFactory) -> IListeningPort:
        return self._sockets.adopt(self._description, descriptor, family, factory)


def _family(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return copy.family
