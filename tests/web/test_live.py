"""The calls that run now."""

from __future__ import annotations

import pytest

from llm_gateway.errors import Draining, GatewayError
from llm_gateway.web.live import LiveCalls


class Call:
    """A running call that ends when it is told to."""

    asking = True

    def __init__(self, live: LiveCalls) -> None:
        self.live, self.stopped = live, 0

    def stop(self, error: GatewayError) -> None:
        assert isinstance(error, Draining)
        self.stopped += 1
        self.live.leave(self)


def test_last_call_to_leave_ends_the_drain() -> None:
    """Not the one before it."""
    live = LiveCalls()
    calls = [Call(live), Call(live)]
    for call in calls:
        live.enter(call)
    drained = live.drained()
    live.leave(calls[0])
    assert (len(live), drained.called) == (1, False)
    live.leave(calls[1])
    live.leave(calls[1])
    assert (len(live), drained.called) == (0, True)


def test_nothing_to_wait_for() -> None:
    """A gateway without calls stops at once."""
    assert LiveCalls().drained().called


def test_waiting_can_be_given_up() -> None:
    """Without ending any call."""
    live = LiveCalls()
    live.enter(Call(live))
    waiting = live.drained()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    live.stop_all()
    assert len(live) == 0


def test_all_can_be_ended_at_once() -> None:
    """Each of them once, even as they leave while the others are told."""
    live = LiveCalls()
    calls = [Call(live) for _ in range(3)]
    for call in calls:
        live.enter(call)
    live.stop_all()
    assert [call.stopped for call in calls] == [1, 1, 1]


def test_new_calls_are_refused_while_draining() -> None:
    """With a hint when to come again."""
    live = LiveCalls()
    live.refuse_while_draining()
    live.draining = True
    with pytest.raises(Draining) as refused:
        live.refuse_while_draining()
    assert refused.value.headers == {"retry-after": "5"}
