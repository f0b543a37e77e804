"""The clocks of a call, as arithmetic."""

from __future__ import annotations

import pytest

from llm_gateway.core.clocks import CallClock, Timeouts

TIMEOUTS = Timeouts(connect_s=1, first_byte_s=10, idle_s=5, total_s=30)


def test_defaults_let_a_reasoning_model_think() -> None:
    """Ten minutes without a byte are what the official SDKs allow."""
    clock = CallClock(Timeouts(), 0.0)
    assert clock.expired(599.0) is None
    assert clock.expired(600.0) == "first_byte"


@pytest.mark.parametrize(
    ("bytes_at", "now", "expired", "due_at"),
    [
        ([], 109, None, 110),
        ([], 110, "first_byte", 110),
        ([101], 105, None, 106),
        ([101], 106, "idle", 106),
        ([101, 105], 106, None, 110),
        (range(101, 130, 4), 129.9, None, 130),
        (range(101, 130, 4), 130, "total", 130),
    ],
)
def test_each_clock_runs_on_its_own(bytes_at: list[float], now: float, expired: str | None, due_at: float) -> None:
    """First byte from the start, idle from the last piece, total from the start whatever comes."""
    clock = CallClock(TIMEOUTS, 100)
    for at in bytes_at:
        clock.byte_came(at)
    assert clock.expired(now) == expired
    assert clock.due_at() == due_at


@pytest.mark.parametrize("first_byte_at", [0, 3, 9])
def test_first_look_comes_before_anything_can_run_out(first_byte_at: float) -> None:
    """So that no byte has to set a timer."""
    clock = CallClock(TIMEOUTS, 0)
    assert TIMEOUTS.first_look_s == 5
    clock.byte_came(first_byte_at)
    assert TIMEOUTS.first_look_s <= clock.due_at()
