"""The webhook that is told of warnings."""

from __future__ import annotations

import json

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from llm_gateway.core.limits.values import Measure, Scope, Window
from llm_gateway.web.warnings import MOST_AT_ONCE, TIMEOUT_S, Webhook
from tests.memory import FakeAgent
from tests.web.accounted import limit

BUDGET = limit(Measure.DOLLARS, Window.MONTH, 12_500_000_000, Scope.KEY, warn_at=0.8)


class Scene:
    def __init__(self) -> None:
        self.agent, self.clock = FakeAgent(), Clock()
        self.hook = Webhook("http://ops.test/warn", self.agent, self.clock, lambda: 1_800_000_000.0, lambda _: "ann")


def test_post_says_what_is_nearly_used_up() -> None:
    scene = Scene()
    scene.hook(BUDGET)
    [sent] = scene.agent.sent
    assert (sent.method, sent.url) == (b"POST", b"http://ops.test/warn")
    assert json.loads(sent.body) == {
        "time": "2027-01-15T08:00:00.000Z",
        "event": "limit_warning",
        "limit": "usd_per_month",
        "scope": "key",
        "subject": "ann",
        "amount": 12.5,
        "warn_at": 0.8,
    }
    response = sent.answer(204)
    assert response.transport.closed
    assert scene.clock.getDelayedCalls() == []


@pytest.mark.parametrize("trouble", ["refused", "silent", "500"])
def test_webhook_that_fails_is_logged_and_forgotten(trouble: str) -> None:
    scene = Scene()
    with capturedLogs() as logged:
        scene.hook(BUDGET)
        [sent] = scene.agent.sent
        if trouble == "refused":
            sent.fail(ConnectionRefusedError())
        elif trouble == "silent":
            scene.clock.advance(TIMEOUT_S)
        else:
            sent.answer(500)
    [line] = [formatEvent(event) for event in logged]
    expected = {"refused": "cannot be reached", "silent": "no answer within 10 s", "500": "answers 500"}
    assert expected[trouble] in line
    assert scene.clock.getDelayedCalls() == []


def test_webhook_that_stalls_gets_no_more_than_so_many() -> None:
    scene = Scene()
    for _ in range(MOST_AT_ONCE + 5):
        scene.hook(BUDGET)
    assert len(scene.agent.sent) == MOST_AT_ONCE
    with capturedLogs():
        scene.clock.advance(TIMEOUT_S)
    scene.hook(BUDGET)
    assert len(scene.agent.sent) == MOST_AT_ONCE + 1
