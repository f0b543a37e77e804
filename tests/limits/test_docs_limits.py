"""The page on limits says what the code does."""

from __future__ import annotations

import re

import pytest

from llm_gateway.config.limits import FIELDS
from llm_gateway.core.limits.book import AGAIN_S, MAX_OWED
from llm_gateway.core.limits.gcra import Gcra
from llm_gateway.core.limits.headers import anthropic_headers, openai_headers
from llm_gateway.core.limits.table import counter_class
from llm_gateway.core.limits.values import Measure, Unreachable, Window
from llm_gateway.core.limits.windows import InFlight, Sliding, Total, steps_of
from llm_gateway.limits import shared
from tests.core.limits.told import NOON, World, limit
from tests.markdown import ROOT

PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text()
HOURS = {"30 minutes": 0.5, "3 hours": 3.0, "12 hours": 12.0}


@pytest.mark.parametrize(("measure", "window"), FIELDS.values(), ids=FIELDS)
def test_each_is_counted_as_its_row_says(measure: Measure, window: Window) -> None:
    """By its first column: which windows, and of what."""
    (row,) = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if re.match(rf"\| [^|:]*\b{'`in_flight`' if window is Window.NOW else window.value}(?!\w)", line)
        or (window is Window.NOW and line.startswith("| `in_flight` |"))
    ]
    told = limit(
        "in_flight" if window is Window.NOW else f"{measure.value}_x_{window.value}".replace("_x_", "_per_"), 9
    )
    kind = counter_class(told)
    what = {Measure.REQUESTS: "calls", Measure.DOLLARS: "dollars", Measure.IN_FLIGHT: "in_flight"}
    assert what.get(measure, "tokens") in row[0]
    if steps := re.match(r"(\d+) steps of (\d+ \w+)", row[1]):
        assert window.seconds is not None
        assert (kind, steps_of(window)) == (Sliding, int(steps[1]))
        assert window.seconds / int(steps[1]) == HOURS[steps[2]] * 3_600
        assert row[3].endswith(f"up to {steps[2]} more")
    else:
        assert kind is {"GCRA": Gcra, "a sum": Total, "a count": InFlight}[row[1].split(" (")[0]]


def test_what_happens_when_counts_cannot_be_reached_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:are|go)", PAGE, re.MULTILINE)) == {each.value for each in Unreachable}
    assert f"{MAX_OWED:,} calls are remembered" in PAGE
    assert AGAIN_S == 1
    assert "asked again after a second" in PAGE
    assert f"waited for {shared._PATIENCE_S} s" in PAGE


def test_documented_headers_are_those_that_are_sent() -> None:
    world = World(*[limit(f"{each}_per_minute", 60) for each in ("requests", "input_tokens", "output_tokens")])
    standings = world.limiter.state(world.limits)
    sent = {name.decode().lower() for name in (*openai_headers(standings), *anthropic_headers(standings, NOON))}
    assert sent == {name for each in re.findall(r"`(\S+-ratelimit-\S+)`", PAGE) for name in spread(each)}


def spread(text: str) -> list[str]:
    """:return: all that ``a-{b,c}-{d,e}`` stands for."""
    if (found := re.search(r"\{([^}]*)\}", text)) is None:
        return [text]
    return [each for part in found[1].split(",") for each in spread(text[: found.start()] + part + text[found.end() :])]


def test_the_threshold_for_steps_is_documented() -> None:
    assert "60,000,000 tokens" in PAGE
    assert Gcra.serves(limit("tokens_per_minute", 60_000_000))
    assert not Gcra.serves(limit("tokens_per_minute", 60_060_001))
