"""What a worker hears of the others' calls, from workers that a test plays."""

from __future__ import annotations

import attrs
import pytest
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from llm_gateway.core.dialects import OPENAI
from llm_gateway.core.record import CallRecord
from llm_gateway.errors import GatewayError
from llm_gateway.fleet.inquiry import ANSWER_S, Inquiry
from llm_gateway.fleet.messages import AskCalls, FromWorker, OthersCalls, ShownCalls
from llm_gateway.web.context import CallContext
from llm_gateway.web.live import MOST_CALLS, Elsewhere, LiveCalls, WorkerState
from tests.fleet.processes import live_call

SECOND, THIRD = 1002, 1003
"""Pids."""


class Call:
    """A running call."""

    asking = True

    def stop(self, error: GatewayError) -> None:
        raise AssertionError


@attrs.define
class Asking:
    """Worker 1 of three, which are all ready."""

    clock: Clock = attrs.Factory(Clock)
    live: LiveCalls = attrs.Factory(LiveCalls)
    said: list[FromWorker] = attrs.Factory(list)
    states: dict[int, WorkerState] = attrs.field(init=False)
    inquiry: Inquiry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.live.worker = 1
        self.states = {number: WorkerState(number, 1000 + number, "ready", 5, 0) for number in (1, 2, 3)}
        self.live.told(list(self.states.values()))
        self.inquiry = Inquiry(self.live, self.clock, lambda: 1_800_000_000.0, self.said.append)

    def becomes(self, number: int, state: str, pid: int | None = None) -> None:
        """What the supervisor says of a worker."""
        self.states[number] = replace(self.states[number], state=state, pid=pid)
        self.live.told(list(self.states.values()))
        self.inquiry.told()

    def hear(self, pid: int, *names: str) -> None:
        """What another worker answers."""
        self.inquiry.heard(OthersCalls(pid, len(names), [live_call(name, pid - 1000) for name in names]))

    def ask(self) -> list[Elsewhere]:
        """What comes of a question, when it comes."""
        answers: list[Elsewhere] = []
        self.inquiry.ask().addCallback(answers.append)
        return answers


def names(answer: Elsewhere) -> list[str]:
    return [call.request_id for call in answer.data]


def test_answer_is_there_when_all_have_answered() -> None:
    """Nobody waits any longer than that."""
    asking = Asking()
    answers = asking.ask()
    assert asking.said == [AskCalls([SECOND, THIRD])]
    asking.hear(THIRD, "a", "b")
    assert answers == []
    asking.hear(SECOND, "c")
    [answer] = answers
    assert (answer.calls, names(answer), answer.missing) == (3, ["a", "b", "c"], [])
    assert asking.clock.getDelayedCalls() == []


def test_process_that_is_alone_asks_nobody() -> None:
    live, said = LiveCalls(), list[FromWorker]()
    asked: Deferred[Elsewhere] = Inquiry(live, Clock(), lambda: 0.0, said.append).ask()
    assert asked.called
    assert said == []


def test_worker_that_does_not_answer_is_missing_after_a_second() -> None:
    """As it was known last; what the others have said is there."""
    asking = Asking()
    answers = asking.ask()
    asking.hear(SECOND, "a")
    asking.clock.advance(ANSWER_S - 0.01)
    assert answers == []
    asking.clock.advance(0.01)
    [answer] = answers
    assert names(answer) == ["a"]
    assert answer.missing == [asking.states[3]]


def test_supervisor_that_is_stopped_leaves_all_others_missing() -> None:
    asking = Asking()
    answers = asking.ask()
    asking.clock.advance(ANSWER_S)
    assert answers[0].missing == [asking.states[2], asking.states[3]]


def test_worker_that_owes_an_answer_is_not_asked_again_nor_waited_for() -> None:
    """However often somebody looks, a stopped worker finds one question when it goes on; nobody waits a second time."""
    asking = Asking()
    asking.ask()
    asking.hear(SECOND)
    asking.clock.advance(ANSWER_S)
    for _ in range(100):
        answers = asking.ask()
        assert asking.said[-1] == AskCalls([SECOND])
        asking.hear(SECOND, "a")
        assert [answer.missing for answer in answers] == [[asking.states[3]]]


def test_worker_that_goes_on_again_is_asked_again() -> None:
    """What it answers late is of an earlier time, and not taken for now; but it is there again for the next."""
    asking = Asking()
    asking.ask()
    asking.hear(SECOND)
    asking.clock.advance(ANSWER_S)
    asking.hear(THIRD, "long ago")
    answers = asking.ask()
    assert asking.said[-1] == AskCalls([SECOND, THIRD])
    asking.hear(SECOND)
    asking.hear(THIRD, "now")
    assert [names(answer) for answer in answers] == [["now"]]


def test_worker_that_goes_on_while_others_are_asked_is_waited_for() -> None:
    asking = Asking()
    asking.ask()
    asking.hear(SECOND)
    asking.clock.advance(ANSWER_S)
    answers = asking.ask()
    asking.hear(THIRD, "long ago")
    assert asking.said[-1] == AskCalls([THIRD])
    asking.hear(SECOND)
    assert answers == []
    asking.hear(THIRD, "now")
    assert [(names(answer), answer.missing) for answer in answers] == [(["now"], [])]


@pytest.mark.parametrize("state", ["starting", "restarting"])
def test_worker_without_calls_is_not_asked(state: str) -> None:
    """Nor is it missing: one that does not take calls has none."""
    asking = Asking()
    asking.becomes(3, state, THIRD if state == "starting" else None)
    answers = asking.ask()
    assert asking.said == [AskCalls([SECOND])]
    asking.hear(SECOND)
    assert answers == [Elsewhere(0, [], [])]


def test_worker_that_dies_meanwhile_is_not_waited_for() -> None:
    """Its calls have gone with it. The process in its place is asked the next time."""
    asking = Asking()
    answers = asking.ask()
    asking.hear(SECOND, "a")
    asking.becomes(3, "restarting")
    assert [(names(answer), answer.missing) for answer in answers] == [(["a"], [])]
    asking.becomes(3, "starting", 1010)
    asking.becomes(3, "ready", 1010)
    asking.ask()
    assert asking.said[-1] == AskCalls([SECOND, 1010])


def test_stopped_worker_that_is_killed_owes_nothing_any_more() -> None:
    asking = Asking()
    asking.ask()
    asking.clock.advance(ANSWER_S)
    asking.becomes(3, "ready", 1010)
    asking.ask()
    assert asking.said[-1] == AskCalls([1010])


def test_draining_workers_are_asked() -> None:
    """Their calls are what a stop waits for."""
    asking = Asking()
    for number in (1, 2, 3):
        asking.becomes(number, "draining", 1000 + number)
    asking.ask()
    assert asking.said == [AskCalls([SECOND, THIRD])]


def test_who_asks_meanwhile_gets_the_answer_to_the_next_question() -> None:
    """One question at a time, whatever the crowd; and each answer is younger than the question."""
    asking = Asking()
    first = asking.ask()
    asking.hear(SECOND, "before")
    crowd = [asking.ask() for _ in range(50)]
    asking.hear(THIRD)
    assert [names(answer) for answer in first] == [["before"]]
    assert asking.said == 2 * [AskCalls([SECOND, THIRD])]
    asking.hear(SECOND, "after")
    asking.hear(THIRD)
    assert [[names(answer) for answer in answers] for answers in crowd] == 50 * [[["after"]]]
    assert asking.clock.getDelayedCalls() == []


def test_who_leaves_is_not_told() -> None:
    """The others that wait for the same answer are."""
    asking = Asking()
    asking.ask()
    leaving = [asking.inquiry.ask() for _ in range(2)]
    answers = asking.ask()
    failures: list[object] = []
    for asked in leaving:
        asked.addErrback(lambda failure: failures.append(failure.trap(CancelledError)))
    leaving[0].cancel()
    for _ in range(2):
        asking.hear(SECOND)
        leaving[1].cancel()
        asking.hear(THIRD)
    assert (len(failures), len(answers)) == (2, 1)


def test_answer_nobody_asked_for_changes_nothing() -> None:
    asking = Asking()
    asking.hear(SECOND, "a")
    answers = asking.ask()
    asking.hear(THIRD)
    asking.hear(THIRD, "b")
    asking.hear(4711, "c")
    asking.hear(SECOND)
    assert answers == [Elsewhere(0, [], [])]


def test_worker_tells_what_it_answers_itself() -> None:
    """The oldest of its calls, and how many there are."""
    asking = Asking()
    for number in range(MOST_CALLS + 5):
        record = CallRecord("2027-01-15T07:59:58.000Z", f"{number}")
        asking.live.enter(Call(), CallContext(OPENAI, b"/", b"", None, record, asking.clock, 0.0, None))
    asking.clock.advance(2)
    asking.inquiry.answer(SECOND)
    [answer] = asking.said
    assert isinstance(answer, ShownCalls)
    assert (answer.asker, answer.count, len(answer.data)) == (SECOND, MOST_CALLS + 5, MOST_CALLS)
    first = answer.data[0]
    assert (first.request_id, first.worker, first.duration_s) == ("0", 1, 2.0)
    assert first.started_at == "2027-01-15T07:59:58.000Z"
