"""The calls that are being answered now, and waiting for the last of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed

from llm_gateway.errors import Draining, GatewayError
from llm_gateway.web.context import CallContext


class Stoppable(Protocol):
    """A running call."""

    @property
    def asking(self) -> bool:
        """Whether a provider has it now; else it waits."""

    def stop(self, error: GatewayError) -> None:
        """End it with this error, in whatever way is still possible."""


@attrs.frozen
class WorkerState:
    """One of several processes that answer calls, as the one that supervises them knows it."""

    number: int
    """From 1; a process that is started in place of another has the same."""
    pid: int | None
    """``None`` while there is none."""
    state: str
    """``starting``, ``ready``, ``draining``, or ``restarting`` between the end of one process and the next."""
    calls: int
    restarts: int


class LiveCalls:
    """A call is in here from the moment a provider is asked until it is settled."""

    def __init__(self) -> None:
        self._calls: dict[Stoppable, CallContext | None] = {}
        """In the order in which they came."""
        self._waiting: list[Deferred[None]] = []
        self.draining = False
        """Whether new calls are refused."""
        self.worker = 0
        """The number of this process among several."""
        self._workers: Sequence[WorkerState] = ()

    def told(self, workers: Sequence[WorkerState]) -> None:
        """How all the processes are."""
        self._workers = workers

    def workers(self) -> list[WorkerState]:
        """
        :return: every process, this one too; empty when it is the only one.
        """
        return [attrs.evolve(each, calls=len(self)) if each.number == self.worker else each for each in self._workers]

    def __len__(self) -> int:
        return len(self._calls)

    def refuse_while_draining(self) -> None:
        """
        :raises Draining: the gateway is stopping.
        """
        if self.draining:
            raise Draining("The gateway is restarting. Send the call again.")

    def shown(self) -> Mapping[Stoppable, CallContext | None]:
        """
        :return: the calls as they are now, the oldest first, with what is known of them.
        """
        return self._calls

    def enter(self, call: Stoppable, context: CallContext | None = None) -> None:
        self._calls[call] = context

    def leave(self, call: Stoppable) -> None:
        self._calls.pop(call, None)
        if not self._calls:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def drained(self) -> Deferred[None]:
        """
        :return: fires when no call is left; cancelling it stops the waiting only.
        """
        if not self._calls:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def stop_all(self) -> None:
        """End every call now."""
        # Those that wait come first: they must not get a place that comes free by this, only to be cut off.
        for call in sorted(self._calls, key=lambda each: each.asking):
            call.stop(Draining("The gateway is restarting and could wait no longer. Send the call again."))
