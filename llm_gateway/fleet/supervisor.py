"""Starts workers, starts those that die again, tells them what changes, and sees them to their end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.fleet.backoff import Backoff
from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.log_lines import log_again
from llm_gateway.fleet.messages import (
    AskCalls,
    Begin,
    Calls,
    Drain,
    FromWorker,
    Hurry,
    OthersCalls,
    Ready,
    Reload,
    Reloaded,
    ShowCalls,
    ShownCalls,
    ToWorker,
    Using,
    Workers,
    encode,
    from_worker,
)
from llm_gateway.web.live import WorkerState

_log = Logger()

STDERR, FROM_WORKER, TO_WORKER, LOAD_TABLE, FIRST_SOCKET = 2, 3, 4, 5, 6
"""Descriptors of a worker."""

MAX_FALSE_STARTS = 5
"""So often a worker may end before it is ready while the gateway starts; after that it is the environment's fault."""

GRACE_S = 20.0
"""How long after the drain timeout a worker may still be there; connections are closed within ten seconds."""

REPORT_S = 0.25
"""How long a change in the number of running calls waits for others before the workers are told of it."""


class Spawn(Protocol):
    """Starts a process with the descriptors above."""

    def __call__(self, number: int, protocol: ProcessProtocol) -> None:
        """The protocol's transport is the process. ``OSError`` where none can be started."""


class Situation(Protocol):
    """What a worker that starts now must be told, besides how the workers are."""

    def begin(self, number: int) -> Begin: ...

    def news(self) -> list[ToWorker]:
        """What is to be said as soon as it is ready."""

    def gone(self, number: int) -> None:
        """A worker has ended, in whatever way."""

    def reloaded(self) -> Reloaded:
        """Read the files again, as a worker asks for."""


class _Place(msgspec.Struct, eq=False):
    """What one worker after another fills."""

    number: int
    backoff: Backoff = msgspec.field(default_factory=Backoff)
    state: str = "restarting"
    worker: _Worker | None = None
    waiting: IDelayedCall | None = None
    calls: int = 0
    restarts: int = 0
    false_starts: int = 0
    generation: int = 0

    def shown(self) -> WorkerState:
        pid = None if self.worker is None else self.worker.pid
        return WorkerState(self.number, pid, self.state, self.calls, self.restarts)


class Supervisor:
    """The workers of one gateway."""

    def __init__(
        self,
        count: int,
        clock: IReactorTime,
        spawn: Spawn,
        situation: Situation,
        *,
        drain_timeout_s: float,
        on_complete: Callable[[], None] = lambda: None,
        on_hopeless: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param on_complete: called once, when all are ready for the first time.
        :param on_hopeless: called when one cannot be started at all, before all were ready for the first time; the log
            says why.
        """
        self._clock = clock
        self._spawn = spawn
        self._situation = situation
        self._drain_timeout_s = drain_timeout_s
        self._on_complete = on_complete
        self._on_hopeless = on_hopeless
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._complete = False
        self._stopping = False
        self._gone: Deferred[None] | None = None
        self._kill: IDelayedCall | None = None
        self._report: IDelayedCall | None = None
        self._agreed = 0
        self._uncounted: set[int] = set()

    def start(self) -> None:
        for place in self._places:
            self._start(place)

    def states(self) -> list[WorkerState]:
        return [place.shown() for place in self._places]

    def tell(self, message: ToWorker) -> None:
        """Say this to every worker that has begun; those that begin later learn it from the situation."""
        line = encode(message)
        for place in self._places:
            if place.worker is not None:
                place.worker.tell(line)

    def drain(self, *, leave_sockets: bool = False) -> Deferred[None]:
        """
        Let every worker finish its calls and end; start none any more.

        :return: fires when none is left. A worker that outlives the drain timeout by ``GRACE_S`` is killed.
        """
        self._stopping = True
        for place in self._places:
            if place.waiting is not None:
                place.waiting.cancel()
                place.waiting = None
            if place.worker is not None:
                place.state = "draining"
        if not any(place.worker for place in self._places):
            self._forget_report()
            return succeed(None)
        self._report_now()
        self._uncounted = {place.number for place in self._places if place.worker is not None}
        self.tell(Drain(leave_sockets))
        self._gone = Deferred()
        self._kill = self._clock.callLater(self._drain_timeout_s + GRACE_S, self._kill_all)
        return self._gone

    def hurry(self) -> None:
        """Wait no longer: the workers end the calls that still run. Does nothing before :meth:`drain`."""
        if self._kill is not None and self._kill.active():
            self.tell(Hurry())
            if self._kill.getTime() > self._clock.seconds() + GRACE_S:
                self._kill.reset(GRACE_S)

    # What workers say and do

    def heard(self, place: _Place, message: FromWorker) -> None:
        match message:
            case Ready():
                self._ready(place)
            case Calls(count):
                place.calls = count
                self._report_soon()
                self._counted(place)
            case Using(generation):
                place.generation = generation
                self._agree()
            case Reload():
                answer = self._situation.reloaded()
                if place.worker is not None:
                    place.worker.tell(encode(answer))
            case AskCalls(of):
                if place.worker is not None and place.worker.pid is not None:
                    self._tell_those(of, ShowCalls(place.worker.pid))
            case ShownCalls(asker, count, data):
                if place.worker is not None and place.worker.pid is not None:
                    self._tell_those([asker], OthersCalls(place.worker.pid, count, data))

    def ended(self, place: _Place, worker: _Worker, reason: str, clean: bool) -> None:
        lived_s = self._clock.seconds() - worker.began
        was_ready, cut = place.state != "starting", place.calls
        place.worker, place.calls = None, 0
        self._situation.gone(place.number)
        if self._stopping:
            self._counted(place)
            if not clean:
                _log.error("Worker {number} (pid {pid}) {reason}", number=place.number, pid=worker.pid, reason=reason)
            self._one_is_gone()
            return
        if was_ready:
            place.false_starts = 0
        what = f"Worker {place.number} (pid {worker.pid}) {reason}" + (f"; {cut} calls were cut" if cut else "")
        self._start_again(place, lived_s, what, false_start=not was_ready)

    # Starting

    def _start(self, place: _Place) -> None:
        place.waiting = None
        place.state = "starting"
        worker = _Worker(self, place, self._clock.seconds())
        begin = self._situation.begin(place.number)
        place.generation = begin.generation
        try:
            self._spawn(place.number, worker)
        except OSError as error:
            self._start_again(place, 0.0, f"Worker {place.number} cannot be started: {error}", false_start=True)
            return
        place.worker = worker
        worker.tell(encode(begin))
        self._report_now()

    def _start_again(self, place: _Place, lived_s: float, what: str, *, false_start: bool) -> None:
        place.state = "restarting"
        place.false_starts += false_start
        if place.false_starts >= MAX_FALSE_STARTS and not self._complete:
            _log.critical("{what}, {times} times in a row. The gateway stops.", what=what, times=place.false_starts)
            self._on_hopeless()
            return
        wait_s = place.backoff.after(lived_s)
        _log.error("{what}. It is started again in {wait:g} s.", what=what, wait=wait_s)
        place.restarts += 1
        place.waiting = self._clock.callLater(wait_s, self._start, place)
        self._report_now()

    def _ready(self, place: _Place) -> None:
        if self._stopping or place.worker is None:
            return
        place.state, place.false_starts = "ready", 0
        _log.info("Worker {number} (pid {pid}) is ready", number=place.number, pid=place.worker.pid)
        for message in self._situation.news():
            place.worker.tell(encode(message))
        self._report_now()
        self._agree()
        if not self._complete and self._all_ready():
            self._complete = True
            self._on_complete()

    # Telling

    def _agree(self) -> None:
        """Say, once for each configuration after the first, that all have it."""
        oldest = min(place.generation for place in self._places)
        if oldest <= self._agreed or not self._all_ready():
            return
        self._agreed = oldest
        if self._complete:
            _log.info("All {count} workers use the new configuration", count=len(self._places))

    def _tell_those(self, pids: Collection[int], message: ToWorker) -> None:
        """Those that are still there: another process in the place of one of them has nothing to do with it."""
        line = encode(message)
        for place in self._places:
            if place.worker is not None and place.worker.pid in pids:
                place.worker.tell(line)

    def _all_ready(self) -> bool:
        return all(place.state == "ready" for place in self._places)

    def _report_soon(self) -> None:
        if self._report is None or not self._report.active():
            self._report = self._clock.callLater(REPORT_S, self._report_now)

    def _report_now(self) -> None:
        self._forget_report()
        self.tell(Workers(self.states()))

    def _forget_report(self) -> None:
        if self._report is not None and self._report.active():
            self._report.cancel()
        self._report = None

    # Ending

    def _counted(self, place: _Place) -> None:
        """Say how many calls are waited for, once every worker has said how many it has."""
        if place.number not in self._uncounted:
            return
        self._uncounted.remove(place.number)
        calls = sum(each.calls for each in self._places)
        if calls and not self._uncounted:
            _log.info(
                "Stopping: {calls} calls are running and get up to {seconds:g} s. A second signal ends them now.",
                calls=calls,
                seconds=self._drain_timeout_s,
            )

    def _one_is_gone(self) -> None:
        if any(place.worker for place in self._places):
            self._report_now()
            return
        self._forget_report()
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def _kill_all(self) -> None:
        for place in self._places:
            if place.worker is not None:
                _log.error(
                    "Worker {number} (pid {pid}) did not end and is killed", number=place.number, pid=place.worker.pid
                )
                place.worker.kill()


class _Worker(ProcessProtocol):
    """One process."""

    transport: Any

    def __init__(self, supervisor: Supervisor, place: _Place, began: float) -> None:
        self._supervisor = supervisor
        self._place = place
        self._messages, self._log_lines = Lines(), Lines()
        self._listens = True
        self.began = began
        self.pid: int | None = None

    def connectionMade(self) -> None:
        # The transport forgets it when the process ends.
        self.pid = self.transport.pid

    def tell(self, line: bytes) -> None:
        if self._listens:
            self.transport.writeToChild(TO_WORKER, line)

    def childConnectionLost(self, childFD: int) -> None:
        if childFD == TO_WORKER:
            self._listens = False

    def kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            return

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == STDERR:
            for line in self._log_lines.feed(data):
                log_again(self._place.number, line)
            return
        for line in self._messages.feed(data):
            self._supervisor.heard(self._place, from_worker(line))

    def processEnded(self, reason: Failure) -> None:
        rest = self._log_lines.rest()
        if rest:
            log_again(self._place.number, rest)
        error = reason.value
        clean = not isinstance(error, ProcessTerminated)
        self._supervisor.ended(self._place, self, _ending(error), clean)


def _ending(error: BaseException | None) -> str:
    if not isinstance(error, ProcessTerminated):
        return "ended"
    if error.signal is None:
        return f"ended with status {error.exitCode}"
    try:
        return f"was ended by signal {error.signal} ({signal.Signals(error.signal).name})"
    except ValueError:
        # A real-time signal between the first and the last has no name.
        return f"was ended by signal {error.signal}"
