"""What answers tell of limits, as the SDKs' users read it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.headers import Fields
from llm_gateway.core.limits.claims import Standing, Want
from llm_gateway.core.limits.headers import anthropic_headers, duration_text, openai_headers, retry_after, time_text
from tests.core.limits.told import NOON, World, limit


def told_by(fields: Fields) -> list[tuple[bytes, bytes]]:
    """:return: headers, in lower case."""
    return [(name.lower(), value) for name, [value] in fields.items()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0s"),
        (-1, b"0s"),
        (0.000_001, b"1ms"),
        (0.012, b"12ms"),
        (1, b"1s"),
        (1.001, b"1.001s"),
        (8.64, b"8.64s"),
        (59.9999, b"1m0s"),
        (60, b"1m0s"),
        (360, b"6m0s"),
        (60.2, b"1m1s"),
        (3_599.5, b"1h0m0s"),
        (86_399, b"23h59m59s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: bytes) -> None:
    assert duration_text(seconds) == text


@given(st.floats(0, 10**6))
def test_durations_are_never_too_short(seconds: float) -> None:
    found = re.fullmatch(rb"(?:(\d+)h)?(?:(\d+)m)?([\d.]+)(m?s)", duration_text(seconds))
    assert found is not None
    hours, minutes, rest, unit = found.groups()
    told = int(hours or 0) * 3_600 + int(minutes or 0) * 60 + float(rest) * (0.001 if unit == b"ms" else 1)
    assert seconds - 1e-6 <= told <= seconds + 1


@pytest.mark.parametrize(("seconds", "text"), [(0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.001, b"2"), (59.99, b"60")])
def test_who_comes_when_told_is_not_too_early(seconds: float, text: bytes) -> None:
    assert retry_after(seconds) == text


@given(st.floats(0, 4_000_000_000))
def test_times_are_read_back_as_the_next_full_second(at: float) -> None:
    read = datetime.strptime(time_text(at).decode(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    assert at <= read <= at + 1


def test_openai_is_told_of_requests_and_tokens() -> None:
    world = World(limit("requests_per_minute", 60), limit("tokens_per_minute", 6_000), limit("usd_per_day", 5))
    world.call(Want(1, 400, 200))
    assert told_by(openai_headers(world.limiter.state(world.limits))) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1s"),
        (b"x-ratelimit-limit-tokens", b"6000"),
        (b"x-ratelimit-remaining-tokens", b"5400"),
        (b"x-ratelimit-reset-tokens", b"6s"),
    ]


def test_anthropic_is_told_of_what_is_read_and_written_apart() -> None:
    world = World(limit("input_tokens_per_minute", 600), limit("output_tokens_per_minute", 60))
    world.call(Want(1, 100, 30))
    assert dict(told_by(anthropic_headers(world.limiter.state(world.limits), NOON))) == {
        b"anthropic-ratelimit-tokens-limit": b"60",
        b"anthropic-ratelimit-tokens-remaining": b"30",
        b"anthropic-ratelimit-tokens-reset": b"2027-01-15T08:00:30Z",
        b"anthropic-ratelimit-input-tokens-limit": b"600",
        b"anthropic-ratelimit-input-tokens-remaining": b"500",
        b"anthropic-ratelimit-input-tokens-reset": b"2027-01-15T08:00:10Z",
        b"anthropic-ratelimit-output-tokens-limit": b"60",
        b"anthropic-ratelimit-output-tokens-remaining": b"30",
        b"anthropic-ratelimit-output-tokens-reset": b"2027-01-15T08:00:30Z",
    }


def test_the_limit_that_refuses_next_is_told() -> None:
    minute, day = limit("requests_per_minute", 60), limit("requests_per_day", 1_000)
    told = dict(told_by(openai_headers([Standing(minute, 10, 0, 50, 10.0), Standing(day, 960, 0, 40, 80_000.0)])))
    assert told[b"x-ratelimit-remaining-requests"] == b"40"
    assert told[b"x-ratelimit-limit-requests"] == b"1000"
    both = dict(told_by(openai_headers([Standing(minute, 60, 0, 0, 60.0), Standing(day, 1_000, 0, 0, 80_000.0)])))
    assert both[b"x-ratelimit-reset-requests"] == b"22h13m20s"


def test_what_is_only_watched_is_not_told() -> None:
    world = World(limit("requests_per_minute", 60, shadow=True), limit("in_flight", 3), limit("usd_total", 9))
    assert openai_headers(world.limiter.state(world.limits)) == {}
    assert anthropic_headers(world.limiter.state(world.limits), NOON) == {}
