"""Starting workers, starting them again, telling them things, and stopping them: with processes that a test plays."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs, formatEvent

from llm_gateway.fleet.messages import (
    AskCalls,
    Begin,
    Content,
    Drain,
    Health,
    Hurry,
    OthersCalls,
    Reload,
    Reloaded,
    ShowCalls,
    ShownCalls,
    Use,
    Workers,
)
from llm_gateway.fleet.supervisor import GRACE_S, MAX_FALSE_STARTS, REPORT_S
from llm_gateway.web.live import WorkerState
from tests.fleet.processes import FakeProcess, Fleet, live_call

# Starting


def test_each_worker_first_hears_all_that_it_needs() -> None:
    """Number, settings, sockets and configuration come before anything else; news when it is ready."""
    fleet = Fleet()
    fleet.supervisor.start()
    assert [process.number for process in fleet.processes] == [1, 2]
    assert [type(process.told[0]) for process in fleet.processes] == [Begin, Begin]
    fleet.processes[0].ready()
    assert Health([]) in fleet.processes[0].told
    assert Health([]) not in fleet.processes[1].told


def test_completeness_is_told_once_when_all_are_ready() -> None:
    fleet = Fleet()
    fleet.supervisor.start()
    fleet.processes[0].ready()
    assert fleet.told() == []
    fleet.processes[1].ready()
    fleet.processes[1].end(signal=9)
    fleet.clock.advance(0.5)
    fleet.processes[2].ready()
    assert fleet.told() == ["complete"]


def test_worker_that_asks_for_it_is_told_what_is_wrong_with_the_files() -> None:
    fleet = Fleet()
    first, second = fleet.started()
    first.say(Reload())
    answer = Reloaded(["keys.json: is broken"])
    assert (first.told[-1], answer in second.told) == (answer, False)


def test_worker_that_dies_is_started_again_after_a_wait() -> None:
    """Half a second after the first death, twice as long after the next; the others hear nothing but how things are."""
    fleet = Fleet()
    first, second = fleet.started()
    for wait_s in (0.5, 1.0, 2.0):
        fleet.processes[-1].end(signal=11)
        started = len(fleet.processes)
        fleet.clock.advance(wait_s - 0.01)
        assert len(fleet.processes) == started
        fleet.clock.advance(0.02)
        assert len(fleet.processes) == started + 1
        fleet.processes[-1].ready()
    assert {type(message) for message in first.told} == {Begin, Health, Workers}
    assert first.states()[2] == WorkerState(2, fleet.processes[-1].pid, "ready", 0, 3)
    assert fleet.processes[-1].number == second.number


def test_long_life_is_a_new_beginning() -> None:
    """A worker that dies once an hour is back in half a second each time."""
    fleet = Fleet(count=1)
    fleet.started()
    for _ in range(8):
        fleet.clock.advance(3600)
        fleet.processes[-1].end(status=1)
        started = len(fleet.processes)
        fleet.clock.advance(0.5)
        assert len(fleet.processes) == started + 1
        fleet.processes[-1].ready()


@pytest.mark.parametrize(
    ("status", "signal", "says"),
    [
        (1, None, "ended with status 1"),
        (0, 9, "was ended by signal 9 (SIGKILL)"),
        (0, 40, "was ended by signal 40"),
        (0, None, "ended"),
    ],
)
def test_death_is_logged_once_with_its_cause(status: int, signal: int | None, says: str) -> None:
    """Which worker, which process, how, how many calls went with it, and what happens next."""
    fleet = Fleet()
    worker, _ = fleet.started()
    worker.calls(3)
    with capturedLogs() as events:
        worker.end(status, signal)
        fleet.clock.advance(0.4)
    [event] = events
    assert formatEvent(event) == (
        f"Worker 1 (pid {worker.pid}) {says}; 3 calls were cut. It is started again in 0.5 s."
    )
    assert event["log_level"].name == "error"


def test_worker_that_never_gets_ready_ends_the_whole() -> None:
    """While the gateway starts: one that ends five times in a row before it is ready will not do better later."""
    fleet = Fleet()
    fleet.supervisor.start()
    fleet.processes[1].ready()
    for attempt in range(MAX_FALSE_STARTS):
        assert fleet.told() == [], attempt
        [process] = [each for each in fleet.processes if each.number == 1][attempt:]
        process.end(status=1)
        fleet.clock.advance(30)
    assert fleet.told() == ["hopeless"]
    assert len(fleet.processes) == MAX_FALSE_STARTS + 1


def test_program_that_cannot_be_started_ends_the_whole() -> None:
    """An interpreter that is not there is as hopeless as one that ends at once."""
    fleet = Fleet(count=1, cannot_start=True)
    with capturedLogs() as events:
        fleet.supervisor.start()
        for _ in range(MAX_FALSE_STARTS):
            fleet.clock.advance(30)
    assert fleet.told() == ["hopeless"]
    assert "Worker 1 cannot be started: no such program" in formatEvent(events[0])


def test_gateway_that_was_complete_is_never_given_up() -> None:
    """When workers fail later, the others go on, and it is tried again and again: half a minute apart at last."""
    fleet = Fleet()
    _, second = fleet.started()
    second.end(signal=9)
    for _ in range(3 * MAX_FALSE_STARTS):
        fleet.clock.advance(30)
        fleet.processes[-1].end(status=1)
    assert fleet.told() == ["complete"]
    assert fleet.processes[0].states()[2].state == "restarting"


def test_message_to_a_worker_that_is_just_dying_is_lost_quietly() -> None:
    """Its pipe may be closed before its end is known."""
    fleet = Fleet()
    first, second = fleet.started()
    first.close_pipes()
    fleet.supervisor.tell(Hurry())
    assert second.told[-1] == Hurry()


# Telling


def test_each_worker_knows_how_all_are() -> None:
    """Changes of state are told at once; running calls, which change all the time, a few times in a second."""
    fleet = Fleet()
    first, second = fleet.started()
    ready = {
        1: WorkerState(1, first.pid, "ready", 0, 0),
        2: WorkerState(2, second.pid, "ready", 0, 0),
    }
    assert first.states() == second.states() == ready
    for count in (1, 2, 3):
        second.calls(count)
    assert first.states() == ready
    fleet.clock.advance(REPORT_S)
    assert (first.states()[2].calls, second.states()[2].calls) == (3, 3)
    second.end(signal=9)
    assert first.states()[2] == WorkerState(2, None, "restarting", 0, 1)
    fleet.clock.advance(0.5)
    assert first.states()[2] == WorkerState(2, fleet.processes[-1].pid, "starting", 0, 1)


def messages(process: FakeProcess, kind: type) -> list[object]:
    return [message for message in process.told if isinstance(message, kind)]


def test_worker_that_asks_for_calls_hears_those_that_it_asked() -> None:
    """And nobody else hears anything of it."""
    fleet = Fleet(count=4)
    first, second, third, fourth = fleet.started()
    first.say(AskCalls([second.pid, third.pid]))
    asked = [messages(process, ShowCalls) for process in fleet.processes]
    assert asked == [[], [ShowCalls(first.pid)], [ShowCalls(first.pid)], []]
    third.say(ShownCalls(first.pid, 2, [live_call("a", 3), live_call("b", 3)]))
    second.say(ShownCalls(first.pid, 0, []))
    heard = [OthersCalls(third.pid, 2, [live_call("a", 3), live_call("b", 3)]), OthersCalls(second.pid, 0, [])]
    assert [messages(process, OthersCalls) for process in fleet.processes] == [heard, [], [], []]
    assert fourth.told == [message for message in fourth.told if isinstance(message, (Begin, Health, Workers))]


def test_questions_and_answers_of_a_worker_that_is_gone_are_dropped() -> None:
    """The process that is started in its place has asked nothing, and owes nothing."""
    fleet = Fleet()
    first, second = fleet.started()
    first.say(AskCalls([second.pid]))
    first.end(signal=9)
    fleet.clock.advance(0.5)
    again = fleet.processes[-1]
    again.ready()
    second.say(ShownCalls(first.pid, 1, [live_call("a", 2)]))
    second.say(AskCalls([first.pid]))
    assert (messages(again, OthersCalls), messages(again, ShowCalls)) == ([], [])


def test_calls_can_be_asked_for_while_workers_drain() -> None:
    fleet = Fleet()
    first, second = fleet.started()
    fleet.supervisor.drain()
    first.say(AskCalls([second.pid]))
    second.say(ShownCalls(first.pid, 1, [live_call("a", 2)]))
    assert first.told[-1] == OthersCalls(second.pid, 1, [live_call("a", 2)])


def test_configuration_counts_when_all_have_it() -> None:
    """The log says so once: when the last worker uses it, one that was started in the meantime included."""
    fleet = Fleet()
    first, second = fleet.started()
    with capturedLogs() as events:
        fleet.generation = 2
        fleet.supervisor.tell(Use(2, Content([], [])))
        first.using(2)
        assert events == []
        second.end(signal=9)
        fleet.clock.advance(0.5)
        fleet.processes[-1].ready()
        first.using(2)
    told = [formatEvent(event) for event in events if event["log_level"].name == "info"]
    assert told == [
        f"Worker 2 (pid {fleet.processes[-1].pid}) is ready",
        "All 2 workers use the new configuration",
    ]


def test_what_a_worker_says_on_standard_error_is_logged() -> None:
    """Also the last line of a process that died before it could end it."""
    fleet = Fleet()
    first, _ = fleet.started()
    with capturedLogs() as events:
        first.write_error(b"one\ntw")
        first.write_error(b"o\nthree")
        first.end(signal=6)
    assert [formatEvent(event) for event in events][:3] == ["Worker 1: one", "Worker 1: two", "Worker 1: three"]


# Stopping


def test_stop_waits_for_every_worker() -> None:
    """All are told to drain, none is started again, and the end is the end of the last one."""
    fleet = Fleet()
    first, second = fleet.started()
    gone = fleet.supervisor.drain()
    assert (first.told[-1], second.told[-1]) == (Drain(False), Drain(False))
    assert first.states()[2].state == "draining"
    first.end()
    fleet.clock.advance(40)
    assert not gone.called
    second.end()
    assert gone.called
    assert len(fleet.processes) == 2
    assert fleet.clock.getDelayedCalls() == []


def test_stop_says_how_many_calls_are_waited_for() -> None:
    """The sum of what the workers count themselves, told once, when each has told its own."""
    fleet = Fleet()
    first, second = fleet.started()
    with capturedLogs() as events:
        fleet.supervisor.drain()
        first.calls(2)
        assert events == []
        second.calls(1)
        first.calls(1)
    assert [formatEvent(event) for event in events] == [
        "Stopping: 3 calls are running and get up to 60 s. A second signal ends them now."
    ]


def test_stop_without_calls_says_nothing() -> None:
    fleet = Fleet()
    first, second = fleet.started()
    with capturedLogs() as events:
        fleet.supervisor.drain()
        first.calls(0)
        first.end()
        second.end()
    assert events == []


def test_stop_while_a_worker_waits_to_be_started_does_not_wait_for_it() -> None:
    fleet = Fleet()
    first, second = fleet.started()
    first.end(signal=9)
    gone = fleet.supervisor.drain()
    second.end()
    assert gone.called
    fleet.clock.advance(60)
    assert len(fleet.processes) == 2


def test_stop_with_no_worker_left_is_immediate() -> None:
    fleet = Fleet(count=1)
    [worker] = fleet.started()
    worker.end(signal=9)
    assert fleet.supervisor.drain().called
    assert fleet.clock.getDelayedCalls() == []


def test_worker_that_does_not_end_is_killed() -> None:
    """A worker that hangs does not keep the gateway: after the drain timeout and some grace it is ended."""
    fleet = Fleet()
    first, second = fleet.started()
    gone = fleet.supervisor.drain()
    first.end()
    fleet.clock.advance(60 + GRACE_S - 0.1)
    assert not second.killed
    fleet.clock.advance(0.2)
    assert second.killed
    with capturedLogs() as events:
        second.end(signal=9)
    assert gone.called
    assert formatEvent(events[0]) == f"Worker 2 (pid {second.pid}) was ended by signal 9 (SIGKILL)"


def test_hurry_is_passed_on_and_shortens_the_wait() -> None:
    """The second SIGTERM: workers end their calls, and who hangs is killed soon rather than after ten minutes."""
    fleet = Fleet(drain_timeout_s=600)
    first, _ = fleet.started()
    fleet.supervisor.drain()
    fleet.supervisor.hurry()
    assert first.told[-1] == Hurry()
    fleet.clock.advance(GRACE_S)
    assert first.killed


def test_hurry_without_a_stop_does_nothing() -> None:
    fleet = Fleet()
    first, _ = fleet.started()
    fleet.supervisor.hurry()
    assert Hurry() not in first.told


def test_leaving_the_sockets_is_passed_on() -> None:
    """After a hand-over the workers leave new connections to the new program."""
    fleet = Fleet()
    first, _ = fleet.started()
    fleet.supervisor.drain(leave_sockets=True)
    assert first.told[-1] == Drain(True)
