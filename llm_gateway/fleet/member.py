"""One of several processes: a gateway that its supervisor tells what to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure

from llm_gateway.config.values import Configuration
from llm_gateway.fleet.balance import LoadTable, Share
from llm_gateway.fleet.inquiry import Inquiry
from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.log_lines import PipeObserver
from llm_gateway.fleet.messages import (
    Begin,
    Calls,
    Drain,
    FromWorker,
    Health,
    Hurry,
    OthersCalls,
    Ready,
    Reload,
    Reloaded,
    Reopen,
    ShowCalls,
    ToWorker,
    Use,
    Using,
    Workers,
    encode,
    to_worker,
)
from llm_gateway.fleet.sockets import ListeningSockets
from llm_gateway.fleet.supervisor import FROM_WORKER, LOAD_TABLE, STDERR, TO_WORKER
from llm_gateway.process import spare_the_collector
from llm_gateway.service import GatewayService, Parts
from llm_gateway.tap import make_gateway

_log = Logger()

COUNT_EVERY_S = 0.25
"""How often the number of running calls is told, if it has changed."""


def run(number: int) -> int:
    """
    :return: the exit status.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([PipeObserver(STDERR)])
    member = Member(reactor, number)
    # Two classes have this name; which one it is depends on the platform.
    connect: Any = StandardIO
    connect(member, stdin=TO_WORKER, stdout=FROM_WORKER, reactor=reactor)
    reactor.run(installSignalHandlers=False)
    return member.status


class Member(Protocol):
    """The worker's end of the pipes, and the gateway behind it."""

    def __init__(self, reactor: Any, number: int) -> None:
        self._reactor = reactor
        self._number = number
        self._lines = Lines()
        self._service: GatewayService | None = None
        self._parts: Parts | None = None
        self._inquiry: Inquiry | None = None
        self._configuration: Configuration | None = None
        self._counted = 0
        self._counting = LoopingCall(self._count)
        self._counting.clock = reactor
        self._stopping = False
        self._asked_to_reload: deque[Deferred[Sequence[str]]] = deque()
        self.status = 0
        """What the process should end with."""

    def dataReceived(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            try:
                self._do(to_worker(line))
            except Exception:
                _log.failure("Worker {number} cannot go on", number=self._number)
                self.status = 1
                self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The supervisor is gone. Whoever comes after it wants the addresses; the running calls want their end."""
        if self._service is not None:
            self._service.leave_sockets()
        self._stop()

    def _do(self, message: ToWorker) -> None:
        match message:
            case Begin():
                self._begin(message)
            case Use(generation, content):
                self._configuration = content.configuration()
                self._running.store.reload()
                self._running.in_use().addCallback(lambda _: self._say(Using(generation)))
            case Health(states):
                for state in states:
                    self._running.board.note(state)
            case Workers(workers):
                self._running.live.told(workers)
                if self._inquiry is not None:
                    self._inquiry.told()
            case ShowCalls(asker):
                if self._inquiry is not None:
                    self._inquiry.answer(asker)
            case OthersCalls():
                if self._inquiry is not None:
                    self._inquiry.heard(message)
            case Reopen():
                if self._service is not None:
                    self._service.reopen_access_log()
                    if self._parts is not None and self._parts.accounting is not None:
                        self._parts.accounting.reload_prices()
            case Drain(leave_sockets):
                self._say(Calls(0 if self._parts is None else len(self._parts.live)))
                if leave_sockets and self._service is not None:
                    self._service.leave_sockets()
                self._stop()
            case Reloaded(problems):
                self._asked_to_reload.popleft().callback(problems)
            case Hurry():
                if self._service is not None:
                    self._service.hurry()

    @property
    def _running(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("a message before the first one")
        return self._parts

    def _begin(self, message: Begin) -> None:
        self._configuration = message.content.configuration()
        share = Share(LoadTable(LOAD_TABLE, message.settings.workers), message.number)
        sockets = ListeningSockets(self._reactor, message.sockets, share=share, owns_names=False)
        gateway = make_gateway(message.settings, self._reactor, load=self._current, make_endpoint=sockets.endpoint)
        self._service, self._parts = gateway.service, gateway.parts
        self._parts.live.worker = self._number
        self._inquiry = Inquiry(self._parts.live, self._reactor, time.time, self._say)
        if self._parts.administration is not None:
            self._parts.administration.reload = self._reload
            self._parts.administration.elsewhere = self._inquiry.ask
        gateway.service.privilegedStartService()
        gateway.service.startService()
        sockets.close_unused()
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stopped, gateway.service.stopService)
        self._counting.start(COUNT_EVERY_S, now=False)
        # At once, since the reactor runs: with all that there is now.
        spare_the_collector(self._reactor)
        self._say(Ready())

    def _reload(self) -> Deferred[Sequence[str]]:
        """Have the supervisor read the files again, and hand them to every worker."""
        asked: Deferred[Sequence[str]] = Deferred()
        self._asked_to_reload.append(asked)
        self._say(Reload())
        return asked

    def _current(self) -> Configuration:
        assert self._configuration is not None
        return self._configuration

    def _count(self) -> None:
        count = len(self._running.live)
        if count != self._counted:
            self._counted = count
            self._say(Calls(count))

    def _say(self, message: FromWorker) -> None:
        assert self.transport is not None
        self.transport.write(encode(message))

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            return

    def _stopped(self, stop_service: Callable[[], Deferred[None]]) -> Deferred[None]:
        def over(_result: None) -> None:
            if self._counting.running:
                self._counting.stop()

        return stop_service().addCallback(over)
