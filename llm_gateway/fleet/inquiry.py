"""What a worker asks the others, by way of their supervisor: which calls they are answering."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from llm_gateway.fleet.messages import AskCalls, FromWorker, OthersCalls, ShownCalls
from llm_gateway.web.live import Elsewhere, LiveCall, LiveCalls, WorkerState

ANSWER_S = 1.0
"""How long the others have to answer. It takes milliseconds, unless one is stopped or has no time at all."""

_TAKING_CALLS = ("ready", "draining")
"""One in any other state has none."""


class Inquiry:
    """
    One worker's questions, one at a time: who asks while one is under way gets the answer to the next.

    A worker that is stopped finds all that it was asked when it goes on. So one that still owes an answer is not asked
    again, nor waited for: it is missing, at once, until it has spoken.
    """

    def __init__(
        self,
        live: LiveCalls,
        clock: IReactorTime,
        wall: Callable[[], float],
        say: Callable[[FromWorker], None],
    ) -> None:
        """
        :param live: of this worker; knows the others.
        :param wall: seconds since the epoch.
        :param say: to the supervisor.
        """
        self._live = live
        self._clock = clock
        self._wall = wall
        self._say = say
        self._owing: set[int] = set()
        """The pids of those that have not answered yet."""
        self._awaited: set[int] = set()
        """Those of them that were asked this time."""
        self._calls = 0
        self._found: list[LiveCall] = []
        self._now: list[Deferred[Elsewhere]] = []
        self._next: list[Deferred[Elsewhere]] = []
        self._deadline: IDelayedCall | None = None
        """While a question is under way."""

    def ask(self) -> Deferred[Elsewhere]:
        """
        :return: what the others are answering, after ``ANSWER_S`` at most, or twice that where somebody else asks
            already; never fails.
        """
        asked: Deferred[Elsewhere] = Deferred()
        self._next.append(asked)
        if self._deadline is None:
            self._begin()
        return asked

    def answer(self, asker: int) -> None:
        """
        Say which calls are answered here.

        :param asker: the pid of another worker.
        """
        listed = self._live.listed(self._wall() - self._clock.seconds())
        self._say(ShownCalls(asker, len(self._live), listed))

    def heard(self, message: OthersCalls) -> None:
        """Another worker has answered."""
        pid = message.pid
        if pid not in self._owing:
            return
        self._owing.remove(pid)
        if pid in self._awaited:
            self._awaited.remove(pid)
            self._calls += message.count
            self._found += message.data
            self._end_if_complete()
        elif self._deadline is not None:
            # It goes on again. This was the answer to an earlier question, and there is time for this one.
            self._put([pid])

    def told(self) -> None:
        """Workers have come, gone, or changed: one that is gone has no calls."""
        there = {each.pid for each in self._others()}
        self._owing &= there
        self._awaited &= there
        if self._deadline is not None:
            self._end_if_complete()

    def _others(self) -> list[WorkerState]:
        own = self._live.worker
        return [each for each in self._live.workers() if each.number != own and each.state in _TAKING_CALLS]

    def _begin(self) -> None:
        self._now, self._next = self._next, []
        self._calls, self._found = 0, []
        self._deadline = self._clock.callLater(ANSWER_S, self._end)
        self._put([each.pid for each in self._others() if each.pid is not None and each.pid not in self._owing])
        self._end_if_complete()

    def _put(self, pids: Collection[int]) -> None:
        if pids:
            self._owing.update(pids)
            self._awaited.update(pids)
            self._say(AskCalls(list(pids)))

    def _end_if_complete(self) -> None:
        if not self._awaited:
            self._end()

    def _end(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        self._awaited.clear()
        missing = [each for each in self._others() if each.pid in self._owing]
        answer = Elsewhere(self._calls, self._found, missing)
        asking, self._now = self._now, []
        for each in asking:
            # Who has left meanwhile has cancelled it.
            if not each.called:
                each.callback(answer)
        if self._next and self._deadline is None:
            self._begin()
