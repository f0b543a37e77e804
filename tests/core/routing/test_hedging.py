"""When a second candidate is asked beside the first, and how often."""

from __future__ import annotations

import pytest

from llm_gateway.core.routing.candidates import Call, Effect
from llm_gateway.core.routing.hedging import Hedges
from llm_gateway.core.routing.settings import Hedging

STREAM = Call("t", stream=True)


def test_off_unless_a_time_is_given() -> None:
    assert Hedges(Hedging()).after_s(STREAM, 1.0) is None


@pytest.mark.parametrize(
    "call", [Call("t"), Call("t", Effect.CREATES, stream=True), Call("t", stream=True, bound=True)]
)
def test_only_streams_that_make_nothing_are_hedged(call: Call) -> None:
    assert Hedges(Hedging(after_s=1.0)).after_s(call, None) is None


@pytest.mark.parametrize(("usual_s", "after_s"), [(None, 2.0), (0.1, 2.0), (1.0, 3.0)])
def test_what_usually_takes_longer_is_waited_for_longer(usual_s: float | None, after_s: float) -> None:
    assert Hedges(Hedging(after_s=2.0, times_usual=3.0)).after_s(STREAM, usual_s) == after_s


def test_no_more_than_a_share_of_the_calls() -> None:
    hedges = Hedges(Hedging(after_s=1.0, share=0.05, reserve=3))
    for _ in range(1000):
        hedges.after_s(STREAM, None)
        hedges.take()
    assert hedges.made == pytest.approx(53, abs=1)
    assert not hedges.is_there
