"""From figures to tables."""

from __future__ import annotations

import math

import attrs
import pytest

from benchmarks.measure import CALLS, DIRECT, IMAGES, LOADS, PACED, SATURATED, TRANSLATED, Case, Plan, cases_of
from benchmarks.report import DISTURBED, faults, profile_tables, tables
from tests.benchmarks.records import profile, record
from tests.markdown import section
from tests.markdown import tables as read_tables

RUN = [
    record(DIRECT, 0.0, latency_ms=0.1),
    record("nginx", 12.0, latency_ms=0.2),
    record("llmgateway", 52.0, latency_ms=0.4),
    record("nginx", 14.0, latency_ms=0.2),
]


def cells(text: str, title: str) -> dict[str, dict[str, str]]:
    """The first table under a heading, by the first column and the titles; of two rows with one name the later one."""
    lines = [line for line in section(text, title).splitlines() if line.startswith("|")]
    titles = [cell.strip() for cell in lines[0].strip("|").split("|")]
    [rows] = read_tables("\n".join(lines))
    return {row[0]: dict(zip(titles, row, strict=True)) for row in rows}


def test_ratio_is_to_the_mean_of_nginx_before_and_after() -> None:
    rows = cells(tables(RUN, Plan()), "Calls")
    assert rows["llmgateway"]["CPU per call, x nginx"] == "4.00"
    assert rows["llmgateway"]["in µs"] == "52.0"
    assert rows["nginx"]["CPU per call, x nginx"] == "1.08"


def test_share_of_kernel_and_core_are_shown() -> None:
    row = cells(tables(RUN, Plan()), "Calls")["llmgateway"]
    assert row["kernel's part"] == "25 %"
    # 10,000 calls of 52 µs in 4 seconds.
    assert row["core used"] == "13 %"
    assert row["calls/s"] == "2,500"


def test_added_latency_is_without_what_there_is_without_a_gateway() -> None:
    text = tables(RUN, Plan())
    assert cells(text, "Calls")["llmgateway"]["one connection adds, p50 / p99"] == "0.30 / 0.60 ms"
    assert DIRECT not in text


def test_run_without_nginx_or_without_a_direct_one_has_no_ratio() -> None:
    row = cells(tables([record("llmgateway", 52.0)], Plan()), "Calls")["llmgateway"]
    assert (row["CPU per call, x nginx"], row["one connection adds, p50 / p99"]) == ("-", "-")


def test_each_part_is_compared_with_its_own_nginx() -> None:
    more = [record("nginx", 4.0, part=SATURATED), record("llmgateway", 6.0, part=SATURATED)]
    text = tables([*RUN, *more], Plan(connections=32))
    assert cells(text, "Streams without a pause")["llmgateway"]["CPU per chunk, x nginx"] == "1.50"
    assert cells(text, "Calls")["llmgateway"]["CPU per call, x nginx"] == "4.00"
    assert "32 streams, 5 s." in text
    assert "Paced" not in text


def test_memory_of_a_stream_is_what_came_on_top() -> None:
    [row] = cells(tables([record("llmgateway", 40.0, part=PACED)], Plan(streams=100)), "Paced streams").values()
    # 30 MB at the most, 20 MB idle.
    assert row["memory per stream"] == "100 KB"


def test_memory_of_a_call_with_an_image_is_told_in_images() -> None:
    [row] = cells(tables([record("nginx", 900.0, part=IMAGES)], Plan()), "Calls with an image").values()
    # 30 MB at the most, 20 MB idle.
    assert row["memory at the most, x the image"] == "2.00"


def test_what_a_gateway_did_is_told_with_its_name() -> None:
    run = [record("llmgateway", 900.0, part=IMAGES, case=Case(name)) for name in ("relayed", "translated")]
    assert list(cells(tables(run, Plan()), "Calls with an image")) == ["llmgateway, relayed", "llmgateway, translated"]


def test_translated_stream_is_compared_with_the_untouched_ones_of_its_provider() -> None:
    cost = {"saturated": 4.0, "paced": 30.0}
    run = []
    for load in LOADS:
        for place, case in enumerate(cases_of(load)):
            across = case.caller != case.provider
            # Of the two untouched ones one is a little dearer.
            cpu_us = cost[load] + (10 if across else 0.5 if place % 5 else -0.5)
            run.append(record("llmgateway", cpu_us, part=TRANSLATED, case=case, others=1.0))
    text = tables(run, Plan())
    lines = [line.strip("| ").split(" | ") for line in section(text, "Translated streams").splitlines() if "|" in line]
    rows = {(row[0], row[1]): row[2:] for row in lines[2:]}
    assert len(rows) == 12
    assert rows["chat", "messages"] == [
        "3.5 / 4.5", "14.0", "10.0", "3.50", "29.5 / 30.5", "40.0", "10.0", "1.33", "0", "1 %",
    ]  # fmt: skip


def test_wrong_answers_of_translated_streams_tell_which() -> None:
    case = cases_of(PACED)[1]
    [line] = faults([record("llmgateway", 50.0, faults=3, part=TRANSLATED, case=case)])
    assert line.startswith("translated, llmgateway, chat for responses, paced: 3 wrong answers.")


def test_disturbed_measurement_is_marked_and_explained() -> None:
    quiet = tables(RUN, Plan())
    noisy = tables([*RUN, record("twisted", 99.0, others=40.0)], Plan())
    assert DISTURBED not in quiet
    assert cells(noisy, "Calls")[f"twisted {DISTURBED}"]["others used"] == "40 % / 1 %"
    assert noisy.rstrip().endswith("of the gateway's core.")


def test_nothing_answered_is_no_figure() -> None:
    nothing = attrs.evolve(record("llmgateway", 52.0, faults=1), units=0)
    assert math.isnan(nothing.cpu_us)
    assert cells(tables([*RUN, nothing], Plan()), "Calls")["llmgateway"]["in µs"] == "-"


def test_wrong_answers_are_told_with_an_example() -> None:
    [line] = faults([*RUN, record("twisted", 50.0, faults=3, part=PACED)])
    assert line == "paced, twisted: 3 wrong answers. in place of event 3 came b'000004'"


def test_profile_shows_every_room_with_something_in_it() -> None:
    rows = cells(profile_tables([profile()]), "Where the time of a call goes, --wire llhttp")
    assert list(rows) == ["llm_gateway.wire", "klein", "all"]
    assert rows["klein"]["time"] == "40 %"
    assert rows["klein"]["in µs"] == "32"
    assert list(rows["all"].values())[1:] == ["100 %", "80", "500", "20", "10"]


@pytest.mark.parametrize("part", [CALLS, SATURATED, PACED])
def test_every_row_has_a_cell_for_every_title(part: str) -> None:
    text = tables([attrs.evolve(each, part=part) for each in RUN], Plan())
    lines = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 5
    assert len(set(lines)) == 1
