"""Worker processes that a test plays, and what their supervisor says to them."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.messages import (
    Begin,
    Calls,
    Content,
    FromWorker,
    Health,
    Ready,
    Reloaded,
    ToWorker,
    Using,
    Workers,
    encode,
    to_worker,
)
from llm_gateway.fleet.supervisor import FROM_WORKER, STDERR, TO_WORKER, Supervisor
from llm_gateway.settings import Settings
from llm_gateway.web.live import LiveCall, WorkerState

_pids = itertools.count(1001)


def live_call(request_id: str, worker: int = 1, second: int = 0) -> LiveCall:
    """
    :param second: in which it began.
    """
    began = f"2027-01-15T08:00:{second:02}.000Z"
    path = "/v1/chat/completions"
    return LiveCall(request_id, "ann", "openai", "main", "gpt-5", "POST", path, "answering", 1, began, 1.5, 8, worker)


class FakeProcess:
    """A process, from the side of the test: what it is told, and what it does."""

    def __init__(self, number: int, protocol: ProcessProtocol) -> None:
        self.number = number
        self.pid = next(_pids)
        self.told: list[ToWorker] = []
        self.killed = False
        self._protocol: Any = protocol
        self._lines = Lines()
        self._gone = False
        self._protocol.makeConnection(self)

    # As its supervisor sees it

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == TO_WORKER
        assert not self._gone, "nobody reads this"
        self.told += [to_worker(line) for line in self._lines.feed(data)]

    def signalProcess(self, name: str) -> None:
        if self._gone:
            raise ProcessExitedAlready
        assert name == "KILL"
        self.killed = True

    # What the test has it do

    def say(self, *messages: FromWorker) -> None:
        self._protocol.childDataReceived(FROM_WORKER, b"".join(map(encode, messages)))

    def ready(self) -> None:
        self.say(Ready())

    def calls(self, count: int) -> None:
        self.say(Calls(count))

    def using(self, generation: int) -> None:
        self.say(Using(generation))

    def write_error(self, text: bytes) -> None:
        self._protocol.childDataReceived(STDERR, text)

    def end(self, status: int = 0, signal: int | None = None) -> None:
        self.close_pipes()
        clean = status == 0 and signal is None
        self._protocol.processEnded(Failure(ProcessDone(0) if clean else ProcessTerminated(status, signal)))

    def close_pipes(self) -> None:
        """What happens some time before the supervisor hears of the end."""
        if not self._gone:
            self._gone = True
            self._protocol.childConnectionLost(TO_WORKER)

    def last(self, kind: type) -> Any:
        """The latest message of this kind."""
        return [message for message in self.told if isinstance(message, kind)][-1]

    def states(self) -> dict[int, WorkerState]:
        """What it knows of all workers."""
        return {state.number: state for state in self.last(Workers).states}


@attrs.define
class Fleet:
    """A supervisor of two workers on a clock."""

    count: int = 2
    drain_timeout_s: float = 60.0
    clock: Clock = attrs.Factory(Clock)
    processes: list[FakeProcess] = attrs.Factory(list)
    events: list[str] = attrs.Factory(list)
    generation: int = 1
    cannot_start: bool = False
    supervisor: Supervisor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.supervisor = Supervisor(
            self.count,
            self.clock,
            self._spawn,
            self,
            drain_timeout_s=self.drain_timeout_s,
            on_complete=lambda: self.events.append("complete"),
            on_hopeless=lambda: self.events.append("hopeless"),
        )

    def told(self) -> list[str]:
        """What the supervisor has told of itself, without the ends of single workers."""
        return [event for event in self.events if not event.endswith("gone")]

    def started(self) -> list[FakeProcess]:
        """All workers are ready."""
        self.supervisor.start()
        for process in self.processes:
            process.ready()
        return list(self.processes)

    def begin(self, number: int) -> Begin:
        return Begin(number, Settings(), [], self.generation, Content([], []))

    def news(self) -> list[ToWorker]:
        return [Health([])]

    def gone(self, number: int) -> None:
        self.events.append(f"{number} gone")

    def reloaded(self) -> Reloaded:
        return Reloaded(["keys.json: is broken"])

    def _spawn(self, number: int, protocol: ProcessProtocol) -> None:
        if self.cannot_start:
            raise FileNotFoundError("no such program")
        self.processes.append(FakeProcess(number, protocol))
