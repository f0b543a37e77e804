"""The calls that are being answered now, and waiting for the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed

from llm_gateway.core.record import timestamp
from llm_gateway.errors import Draining, GatewayError
from llm_gateway.web.context import CallContext

MOST_CALLS: Final = 1_000
"""Of one list, some 300 KB of JSON. What a caller wrote is cut before it is kept: the model to 128 characters, the path
to 512."""


class Stoppable(Protocol):
    """A running call."""

    @property
    def asking(self) -> bool:
        """Whether a provider has it now; else it waits."""

    def stop(self, error: GatewayError) -> None:
        """End it with this error, in whatever way is still possible."""


class WorkerState(msgspec.Struct, frozen=True):
    """One of several processes that answer calls, as the one that supervises them knows it."""

    number: int
    """From 1; a process that is started in place of another has the same."""
    pid: int | None
    """``None`` while there is none."""
    state: str
    """``starting``, ``ready``, ``draining``, or ``restarting`` between the end of one process and the next."""
    calls: int
    restarts: int


class LiveCall(Struct, frozen=True):
    """A call that is being answered."""

    request_id: str
    key: str | None
    provider: str | None
    """Who was asked last, if anybody has been."""
    credential: str | None
    model: str | None
    method: str
    path: str
    state: str
    """waiting (nobody has it yet), asked, or answering once a part of the answer has gone to the client."""
    attempts: int
    started_at: str
    duration_s: float
    bytes_out: int
    worker: int
    """The number of the process that answers it, among several; 0 where there is one."""


class Elsewhere(msgspec.Struct, frozen=True):
    """What the other processes are answering, as far as they have said so."""

    calls: int = 0
    data: Sequence[LiveCall] = ()
    """The oldest ones of each process."""
    missing: Sequence[WorkerState] = ()
    """Those that have not said so in time, as they were known last."""


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
        return [replace(each, calls=len(self)) if each.number == self.worker else each for each in self._workers]

    def __len__(self) -> int:
        return len(self._calls)

    def refuse_while_draining(self) -> None:
        """
        :raises Draining: the gateway is stopping.
        """
        if self.draining:
            raise Draining("The gateway is restarting. Send the call again.")

    def listed(self, to_wall: float) -> list[LiveCall]:
        """
        :param to_wall: seconds from the calls' clock to the epoch's.
        :return: the oldest of the calls, as whoever runs the gateway may see them: not what they hold.
        """
        calls = islice(self._calls.items(), MOST_CALLS)
        return [_shown(call, context, to_wall, self.worker) for call, context in calls if context is not None]

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


def _shown(call: Stoppable, context: CallContext, to_wall: float, worker: int) -> LiveCall:
    record = context.record
    return LiveCall(
        record.request_id,
        record.key,
        record.provider if record.attempts else None,
        record.credential,
        record.model,
        record.method,
        record.path,
        "answering" if record.first_byte_s is not None else "asked" if call.asking else "waiting",
        record.attempts,
        timestamp(context.started + to_wall),
        context.since_start(),
        record.bytes_out,
        worker,
    )
