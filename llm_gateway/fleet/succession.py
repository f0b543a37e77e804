"""Taking over from the program before: its listening sockets at once, the rest when it agrees."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.fleet.handover import GO, NO, READY, TAKEN, VARIABLE, Inheritance, Once
from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.pid_file import PidFile
from llm_gateway.fleet.sockets import Inherited

_log = Logger()


class Succession(Protocol):
    """The new program's end of the talk with the old one."""

    def __init__(self, inheritance: Inheritance, pid_file: PidFile) -> None:
        self._inheritance = inheritance
        self._pid_file = pid_file
        self._lines = Lines()
        self._take: Callable[[], None] = lambda: None
        self._give_up: Callable[[], None] = lambda: None
        self._settled = False

    @property
    def sockets(self) -> Sequence[Inherited]:
        """What was inherited to listen on."""
        return self._inheritance.sockets

    def connect(self, reactor: Any, *, take: Callable[[], None], give_up: Callable[[], None]) -> None:
        """
        Begin to listen to the old program.

        :param take: called when everything is this program's.
        :param give_up: called when the old program goes on by itself; this one should end.
        """
        self._take, self._give_up = take, give_up
        # An end of this program's own is no end of the other.
        reactor.addSystemEventTrigger("before", "shutdown", self._stopping)
        channel = socket.socket(fileno=self._inheritance.channel)
        channel.setblocking(False)
        with channel:
            reactor.adoptStreamConnection(channel.fileno(), socket.AF_UNIX, Once(self))

    def serving(self) -> None:
        """This program answers calls now."""
        if self.transport is not None and not self._settled:
            self.transport.write(b"%b %d\n" % (READY, os.getpid()))

    def dataReceived(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line == GO and not self._settled:
                self._own()
                if self.transport is not None:
                    self.transport.write(TAKEN + b"\n")
            elif line == NO and not self._settled:
                self._settled = True
                _log.error("The program before goes on by itself; this one ends")
                self._give_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._settled:
            _log.warn("The program before has ended without handing over")
            self._own()

    def _stopping(self) -> None:
        self._settled = True

    def _own(self) -> None:
        self._settled = True
        self._pid_file.take()
        self._take()


def succession(environ: Mapping[str, str], pid_file: PidFile) -> Succession | None:
    """
    :param pid_file: is left alone until the old program agrees.
    :return: ``None`` for a program that nobody was before.
    """
    note = environ.get(VARIABLE)
    if not note:
        return None
    # Meant for this process alone.
    os.environ.pop(VARIABLE, None)
    try:
        inheritance = msgspec.json.decode(note, type=Inheritance)
        for descriptor in (inheritance.channel, *(each for _, each in inheritance.sockets)):
            # Raises for what is not open, and keeps it from processes that this one starts.
            os.set_inheritable(descriptor, False)
    except (msgspec.MsgspecError, OSError) as error:
        _log.error("{variable} holds nothing that can be taken over: {error}", variable=VARIABLE, error=error)
        return None
    pid_file.wait()
    return Succession(inheritance, pid_file)
