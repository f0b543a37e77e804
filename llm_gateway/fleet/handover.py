"""Starting another program with the same command, and leaving the listening sockets to it once it serves."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.pid_file import PidFile
from llm_gateway.fleet.sockets import Inherited, ListeningSockets

_log = Logger()

VARIABLE = "LLMGATEWAY_HANDOVER"
"""Where the new program finds what it inherits."""

READY_S = 30.0
"""How long a new program may take until it serves; usually it is a second."""

LISTEN_S = 10.0
"""How long a new program that was given up may take to end by itself."""

READY, GO, NO, TAKEN = b"ready", b"go", b"no", b"taken"
"""
What is said, a line each. The new program is ready, with its pid; the old one agrees or gives it up; the new one has
taken what only one can have. Should the old one vanish without a word, the new one goes on alone.
"""

_CHANNEL, _FIRST_SOCKET = 3, 4


class Inheritance(msgspec.Struct, frozen=True):
    """What ``LLMGATEWAY_HANDOVER`` holds, as JSON: descriptors."""

    channel: int
    """The socket on which both programs talk."""
    sockets: list[Inherited]


class Command(msgspec.Struct, frozen=True):
    """How this program was started."""

    words: tuple[str, ...]
    folder: str

    @classmethod
    def of_this_process(cls) -> Command:
        """To be asked at the start: the folder may change, and so may the script that was started."""
        if _runs_itself(sys.argv[0]) and sys.orig_argv[1:] == sys.argv:
            # Its first line names the interpreter. After an upgrade that may be another one.
            return cls(tuple(sys.argv), os.getcwd())
        return cls((sys.executable, *sys.orig_argv[1:]), os.getcwd())


class HandOver:
    """What SIGUSR2 does."""

    def __init__(
        self,
        reactor: Any,
        command: Command,
        environ: Mapping[str, str],
        sockets: ListeningSockets,
        pid_file: PidFile,
        *,
        leave: Callable[[], None],
        daemon: bool = False,
    ) -> None:
        """
        :param sockets: what the new program gets.
        :param leave: called when the new program has taken over.
        :param daemon: whether the command goes to the background, and its output therefore to nobody.
        """
        self._reactor = reactor
        self._command = command
        self._environ = environ
        self._sockets = sockets
        self._pid_file = pid_file
        self._leave = leave
        self._daemon = daemon
        self._attempt: _Attempt | None = None
        self._over = False
        self._watching = False

    def begin(self) -> None:
        """Start the new program. If it does not come to serve, everything stays as it is and the log says why."""
        if self._over:
            _log.warn("This program is stopping; there is nothing to hand over")
        elif self._attempt is not None:
            _log.warn("A new program is being started already")
        else:
            _log.info("Starting a new program to take over: {command}", command=" ".join(self._command.words))
            if not self._watching:
                self._watching = True
                self._reactor.addSystemEventTrigger("before", "shutdown", self._stopping)
            self._attempt = _Attempt(self, self._reactor)
            try:
                self._attempt.start(self._command, self._environ, self._sockets.descriptors(), self._daemon)
            except OSError as error:
                self.failed(f"It cannot be started: {error}")

    def taken(self, pid: int) -> None:
        self._attempt, self._over = None, True
        _log.info("Program {pid} has taken over; this one finishes its calls and ends", pid=pid)
        self._sockets.give_names_away()
        self._pid_file.leave()
        _tell_systemd(self._environ, pid)
        self._leave()

    def failed(self, why: str) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            _log.error("The new program does not take over; this one goes on. {why}", why=why)
            attempt.give_up()

    def _stopping(self) -> None:
        """Who is told to stop leaves nobody behind, and starts nobody any more."""
        self._over = True
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.give_up()


class _Attempt(ProcessProtocol):
    """One new program, until it has taken over or not."""

    transport: Any

    def __init__(self, hand_over: HandOver, reactor: Any) -> None:
        self._hand_over = hand_over
        self._reactor = reactor
        self._socket: socket.socket | None = None
        self._channel: _Channel | None = None
        self._deadline: IDelayedCall | None = None
        self._output = Lines()
        self._pid: int | None = None
        self._settled = False

    def start(self, command: Command, environ: Mapping[str, str], sockets: Sequence[Inherited], daemon: bool) -> None:
        """
        :raises OSError: the program cannot be started.
        """
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            numbered = [(description, _FIRST_SOCKET + index) for index, (description, _) in enumerate(sockets)]
            note = msgspec.json.encode(Inheritance(_CHANNEL, numbered)).decode()
            descriptors: dict[int, int | str] = {each: each for each in range(3) if _is_open(each)}
            if daemon:
                # What it says before it is one, such as that a file is wrong.
                descriptors |= {1: "r", 2: "r"}
            descriptors[_CHANNEL] = theirs.fileno()
            descriptors |= {_FIRST_SOCKET + index: descriptor for index, (_, descriptor) in enumerate(sockets)}
            words, environ = list(command.words), {**environ, VARIABLE: note}
            self._reactor.spawnProcess(self, words[0], words, environ, command.folder, childFDs=descriptors)
        self._channel = channel = _Channel(self)
        factory = Once(channel)
        self._reactor.adoptStreamConnection(self._socket.fileno(), socket.AF_UNIX, factory)
        self._deadline = self._reactor.callLater(
            READY_S, self._hand_over.failed, f"It was not ready within {READY_S:g} s."
        )

    def give_up(self) -> None:
        """Tell it to end. One that does not even listen is ended."""
        self._settle(NO)
        if self.transport is not None:
            self._reactor.callLater(LISTEN_S, self._terminate)

    def heard(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if self._settled:
            return
        if word == READY and self._pid is None:
            self._pid = int(rest)
            self._say(GO)
        elif word == TAKEN and self._pid is not None:
            self._settle()
            self._hand_over.taken(self._pid)

    def closed(self) -> None:
        if not self._settled:
            self._hand_over.failed("It ended before it was ready; what it logged tells why.")

    def outReceived(self, data: bytes) -> None:
        for line in self._output.feed(data):
            _log.info("New program: {line}", line=line.decode("utf-8", "backslashreplace"))

    errReceived = outReceived

    def _settle(self, last_word: bytes | None = None) -> None:
        self._settled = True
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if last_word is not None:
            self._say(last_word)
        if self._channel is not None and self._channel.transport is not None:
            self._channel.transport.loseConnection()
        if self._socket is not None:
            self._socket.close()

    def _say(self, word: bytes) -> None:
        # Now, and not when the reactor comes to it: it may be stopping, and silence means something else.
        assert self._socket is not None
        with suppress(OSError):
            self._socket.send(word + b"\n")

    def _terminate(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("TERM")


class _Channel(Protocol):
    """The old program's end of the talk."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt
        self._lines = Lines()

    def dataReceived(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._attempt.heard(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._attempt.closed()


class Once(Factory):
    """For a connection that is there already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._protocol


def _runs_itself(script: str) -> bool:
    """Whether this process is a script that was started by its own name."""
    try:
        with open(script, "rb") as file:
            first = file.readline(256)
    except (OSError, ValueError):
        return False
    interpreter = first[2:].split()[-1:] if first.startswith(b"#!") else []
    return interpreter == [os.fsencode(sys.orig_argv[0])] and os.access(script, os.X_OK)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _tell_systemd(environ: Mapping[str, str], pid: int) -> None:
    """
    Under systemd with ``NotifyAccess=main``: which process is the service from now on. Else it would end with this one.

    Source: sd_notify(3), ``MAINPID``.
    """
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"MAINPID=%d" % pid, address)
    except OSError as error:
        _log.error("systemd cannot be told of the new program: {error}", error=error)
