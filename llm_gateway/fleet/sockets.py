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

Inherited = tuple[str, int]
"""The endpoint that a socket belongs to, as it was written, and the socket's descriptor in this process."""


class SharedPort(tcp.Port):
    """A TCP port whose socket other processes hold too."""

    # shutdown() would reach through to the copies of other processes and end their listening as well.
    _shouldShutdown = False
    accepts = True
    """Whether this process takes connections, or only keeps the socket open for those that do."""
    one_at_a_time = False
    """Whether a turn of the reactor takes one connection only. Taking all that wait, as Twisted does, would leave
    nothing for the other processes, and what comes in on a connection then all falls to this one."""

    def startReading(self) -> None:
        if self.accepts:
            super().startReading()

    def doRead(self) -> None:
        if self.one_at_a_time:
            self.numberAccepts = 1
        super().doRead()


class SharedUnixPort(unix.Port):
    """The same for a Unix socket, whose name in the file system one process owns."""

    _shouldShutdown = False
    accepts = True
    one_at_a_time = False
    owns_name = True
    """Whether the name, and the lock beside it, go away with this port."""

    def startListening(self) -> None:
        if self._preexistingSocket is None:
            super().startListening()
        else:
            # Twisted's would set the mode of the file anew, to what everybody may use.
            tcp.Port.startListening(self)

    def startReading(self) -> None:
        if self.accepts:
            super().startReading()

    def doRead(self) -> None:
        if self.one_at_a_time:
            self.numberAccepts = 1
        super().doRead()

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
        one_at_a_time: bool = False,
        owns_names: bool = True,
    ) -> None:
        """
        :param inherited: open descriptors; each is closed once it has been adopted.
        :param accepts: whether this process takes connections from them.
        :param one_at_a_time: whether it leaves the next one to whichever process is first.
        :param owns_names: whether the names of Unix sockets are removed when they are closed.
        """
        self._reactor = reactor
        self._inherited = list(inherited)
        self._accepts = accepts
        self._one_at_a_time = one_at_a_time
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
        port.one_at_a_time = self._one_at_a_time
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
