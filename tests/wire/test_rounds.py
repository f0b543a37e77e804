"""Steps that are done for all calls of a round in a row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import capturedLogs, formatEvent

from llm_gateway.wire import rounds
from llm_gateway.wire.rounds import together
from tests.memory import MemoryGateway
from tests.wire.origin import Client

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def a_round() -> Iterator[None]:
    rounds.begin()
    yield
    rounds.end()


def test_a_step_is_done_at_once_where_no_round_is_going_on() -> None:
    done: list[int] = []
    together(done.append, 1)
    assert done == [1]


def test_all_do_one_step_before_any_does_the_next(a_round: None) -> None:
    done: list[str] = []

    def first(name: str) -> None:
        done.append(f"first {name}")
        together(second, name)

    def second(name: str) -> None:
        done.append(f"second {name}")

    for name in "abc":
        together(first, name)
    assert done == []
    rounds.go_through()
    assert done == ["first a", "first b", "first c", "second a", "second b", "second c"]


def test_the_end_of_a_round_leaves_nothing_undone() -> None:
    done: list[int] = []

    def again(number: int) -> None:
        done.append(number)
        if number:
            together(again, number - 1)

    rounds.begin()
    together(again, 2)
    rounds.end()
    assert done == [2, 1, 0]
    together(done.append, 7)
    assert done[-1] == 7


def test_a_fault_in_one_step_is_logged_and_ends_no_other(a_round: None) -> None:
    """Where it was, and not what it says: that may be of what a call passes on."""
    done: list[int] = []

    def step(number: int) -> None:
        if number == 1:
            raise RuntimeError(" ".join(["a", "prompt"]))
        done.append(number)

    for number in range(3):
        together(step, number)
    with capturedLogs() as logged:
        rounds.go_through()
    assert done == [0, 2]
    [told] = [formatEvent(event) for event in logged]
    assert ("RuntimeError" in told, "test_rounds.py" in told, "a prompt" in told) == (True, True, False)


def test_request_whose_client_has_left_before_its_turn_is_not_rendered() -> None:
    gateway = MemoryGateway(wire="llhttp")
    client = gateway.client()
    rounds.begin()
    client.chat()
    client.leave()
    rounds.end()
    assert (gateway.agent.sent, gateway.records.written) == ([], [])


def test_answer_that_nobody_wants_any_more_before_its_turn_is_not_told() -> None:
    """And its connection, which is somebody else's by then, stays open."""
    client = Client()
    origin = client.kept()
    call = client.ask()
    origin.take()
    rounds.begin()
    origin.send(HELLO)
    call.deferred.cancel()
    next_call = client.ask()
    rounds.end()
    assert (call.response, call.failed_with) == (None, ["ResponseFailed", "CancelledError"])
    assert origin.take().startswith(b"GET")
    assert not origin.closed
    origin.send(HELLO)
    assert next_call.response is not None
    client.assert_at_rest()


def test_call_whose_client_has_left_before_its_turn_is_not_sent() -> None:
    gateway = MemoryGateway(wire="llhttp")
    client = gateway.client()
    rounds.begin()
    client.chat()
    together(type(client).leave, client)
    rounds.end()
    assert gateway.agent.sent == []
    assert gateway.record.ended == "client_gone"
    assert len(gateway.live) == 0
