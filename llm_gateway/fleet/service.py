"""The gateway as several processes: one that watches and tells, and workers that answer."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from llm_gateway.accounting import shared_folder
from llm_gateway.config.values import Configuration
from llm_gateway.fleet.balance import LoadTable, table_memory
from llm_gateway.fleet.messages import Begin, Content, Health, Reloaded, Reopen, ToWorker, Use
from llm_gateway.fleet.sockets import ListeningSockets
from llm_gateway.fleet.supervisor import FIRST_SOCKET, FROM_WORKER, LOAD_TABLE, STDERR, TO_WORKER, Supervisor
from llm_gateway.service import GatewayService, Parts, Signals
from llm_gateway.settings import Settings
from llm_gateway.upstream.prober import ProviderHealth

_WORKER = "llm_gateway.fleet.worker"


class FleetService(Service):
    """
    The supervising process.

    It is a whole gateway but for the calls: it binds the addresses, reads the files and watches them, and asks the
    providers how they are. Workers have all of that from it; they take the connections.
    """

    def __init__(
        self,
        gateway: GatewayService,
        parts: Parts,
        sockets: ListeningSockets,
        settings: Settings,
        *,
        reactor: Any,
        environ: Mapping[str, str],
        signals: Signals | None = None,
        on_complete: Callable[[], None] = lambda: None,
        on_hopeless: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param gateway: made of ``parts``, on endpoints of ``sockets`` that take no connection.
        :param on_complete: called when all workers are ready for the first time.
        :param on_hopeless: called when one of them cannot be started; the process should end.
        """
        self._gateway = gateway
        self._parts = parts
        self._sockets = sockets
        self._settings = settings
        self._reactor = reactor
        self._signals = signals
        self._generation = 1
        self._sockets_left = False
        self._table_memory = table_memory(settings.workers)
        self._table = LoadTable(self._table_memory, settings.workers)
        self._supervisor = Supervisor(
            settings.workers,
            reactor,
            _Spawner(reactor, sockets, environ, self._table_memory),
            self,
            drain_timeout_s=settings.drain_timeout_s,
            on_complete=on_complete,
            on_hopeless=on_hopeless,
        )
        parts.store.on_change(self._use)
        parts.board.on_note(self._note)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._gateway.privilegedStartService()

    def startService(self) -> None:
        """
        :raises CannotStart: an address is taken, or the access log cannot be opened. Nothing stays open.
        """
        self._gateway.startService()
        super().startService()
        if self._signals is not None:
            self._signals.install(self.reload, self.hurry)
        # Not before the process notices the end of another.
        self._reactor.callWhenRunning(self._start_workers)

    def stopService(self) -> Deferred[None]:
        """
        :return: fires when the last worker has finished its last call and everything is closed.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def leave_sockets(self) -> None:
        """Stop listening, in this process now and in the workers when it is stopped: another program has taken over."""
        self._sockets_left = True
        self._gateway.leave_sockets()

    def reload(self) -> bool:
        """
        Read the configuration again and open the access log anew, here and in every worker.

        :return: whether the new configuration is in use; if not, the log says why and the old one stays.
        """
        self._supervisor.tell(Reopen())
        return self._gateway.reload()

    def hurry(self) -> None:
        """Stop waiting while the service stops."""
        self._supervisor.hurry()

    # What a worker that starts must know

    def begin(self, number: int) -> Begin:
        sockets = [
            (description, FIRST_SOCKET + index) for index, (description, _) in enumerate(self._sockets.descriptors())
        ]
        # What the supervisor does, the workers do not.
        settings = replace(self._settings, health_interval_s=0.0, reload_interval_s=0.0, demo=False)
        return Begin(number, settings, sockets, self._generation, Content.of(self._parts.store.current))

    def news(self) -> list[ToWorker]:
        return [Health(self._parts.board.states())]

    def gone(self, number: int) -> None:
        self._table.strike_out(number)

    def reloaded(self) -> Reloaded:
        return Reloaded(self._gateway.reload_problems())

    # What changes

    def _use(self, configuration: Configuration) -> None:
        self._generation += 1
        self._supervisor.tell(Use(self._generation, Content.of(configuration)))
        self._supervisor.tell(Health(self._parts.board.states()))

    def _note(self, state: ProviderHealth) -> None:
        self._supervisor.tell(Health([state]))

    def _start_workers(self) -> None:
        if self.running:
            self._supervisor.start()

    async def _stop(self) -> None:
        await self._supervisor.drain(leave_sockets=self._sockets_left)
        await self._gateway.stopService()
        if not self._sockets_left:
            # Whoever comes next begins with what the ledger says.
            shutil.rmtree(shared_folder(self._settings), ignore_errors=True)


class _Spawner:
    """Starts worker processes with their pipes and the listening sockets, and with nothing secret to be seen."""

    def __init__(self, reactor: Any, sockets: ListeningSockets, environ: Mapping[str, str], table_memory: int) -> None:
        self._reactor = reactor
        self._table_memory = table_memory
        self._sockets = sockets
        self._environ = environ

    def __call__(self, number: int, protocol: ProcessProtocol) -> None:
        # The same modules as here, whatever the folder is by now: twistd changes it, and a package that is not
        # installed was found from the one before.
        environ = {**self._environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            descriptors: dict[int, int | str] = {
                0: nothing,
                1: 1 if _is_open(1) else nothing,
                STDERR: "r",
                FROM_WORKER: "r",
                TO_WORKER: "w",
                LOAD_TABLE: self._table_memory,
            }
            for index, (_, descriptor) in enumerate(self._sockets.descriptors()):
                descriptors[FIRST_SOCKET + index] = descriptor
            command = [sys.executable, "-P", "-m", _WORKER, str(number)]
            self._reactor.spawnProcess(protocol, command[0], command, env=environ, childFDs=descriptors)
        finally:
            os.close(nothing)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
