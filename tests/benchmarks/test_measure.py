"""Real measurements, as short as they can be: nothing is said about the times that they find."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.gateways import Gateway, known_gateways, peer
from benchmarks.machine import CannotMeasure, find_tools
from benchmarks.measure import (
    CALLS,
    DIRECT,
    IMAGE_BYTES,
    IMAGE_CASES,
    IMAGES,
    LOADS,
    PACED,
    SATURATED,
    TRANSLATED,
    TRANSLATED_EVENTS,
    Bench,
    MemoryWatch,
    Plan,
    cases_of,
)
from benchmarks.shapes import EVENTS
from benchmarks.spoken import CHAT, RESPONSES, SPOKEN
from llm_gateway.settings import WIRES
from tests.benchmarks.records import record

OURS = "llmgateway"


def bench(folder: Path, *tools: str) -> Bench:
    """One that uses the cores that there are; skips the test if a program is missing."""
    try:
        found = find_tools(["taskset", *tools])
    except CannotMeasure as error:
        pytest.skip(str(error))
    cores = sorted(os.sched_getaffinity(0))
    plan = Plan(
        seconds=1,
        warm_up_s=0,
        connections=2,
        streams=3,
        gap_ms=1,
        cores=(cores[0], cores[-1]),
        counted_calls=20,
        attempts=1,
    )
    return Bench(plan, found, folder)


def known(name: str, folder: Path, *tools: str) -> tuple[Bench, Gateway]:
    made = bench(folder, *tools)
    return made, known_gateways(made._tools.get("nginx", ""))[name]


@pytest.mark.parametrize("ours", [OURS, "twisted"])
def test_streams_through_our_gateway_are_counted(tmp_path: Path, ours: str) -> None:
    made, gateway = known(ours, tmp_path)
    found = made.measure(PACED, gateway)
    assert (found.part, found.gateway, found.faults, found.examples) == (PACED, ours, 0, [])
    assert found.units > 0
    assert found.units % EVENTS == 0
    assert found.usage.peak_bytes > 0 < found.idle_bytes
    assert "/v1/chat/completions" in (tmp_path / "1-paced" / "access.log").read_text()


def test_calls_through_nginx_are_counted(tmp_path: Path) -> None:
    made, gateway = known("nginx", tmp_path, "nginx", "wrk")
    found = made.measure(CALLS, gateway)
    assert (found.gateway, found.faults) == ("nginx", 0)
    assert found.units > 0


def test_translated_streams_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.measure.cases_of", lambda load: cases_of(load)[1:2])
    made, gateway = known(OURS, tmp_path)
    found = next(made.translated(gateway))
    assert (found.part, found.case.provider, found.case.caller) == (TRANSLATED, CHAT, RESPONSES)
    assert (found.faults, found.examples) == (0, [])
    assert found.units > 0
    assert found.units % TRANSLATED_EVENTS == 0


def test_every_pair_of_dialects_is_measured_in_both_loads() -> None:
    pairs = {(case.provider, case.caller, case.load) for load in LOADS for case in cases_of(load)}
    assert pairs == {(provider, caller, load) for provider in SPOKEN for caller in SPOKEN for load in LOADS}


def test_call_with_an_image_is_translated_and_its_memory_seen(tmp_path: Path) -> None:
    made, gateway = known(OURS, tmp_path)
    found = made.measure(IMAGES, gateway, IMAGE_CASES[-1])
    assert (found.title, found.faults, found.examples) == (f"{OURS}, translated", 0, [])
    assert found.units > 0
    assert found.usage.peak_bytes - found.idle_bytes > IMAGE_BYTES


def test_without_a_gateway_nothing_of_one_is_found(tmp_path: Path) -> None:
    found = bench(tmp_path).measure(SATURATED, None)
    assert (found.gateway, found.faults) == (DIRECT, 0)
    assert found.units > 0 == found.usage.cpu.total_s


def test_gateway_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    broken = peer(f"broken={sys.executable} -c 'import sys; sys.exit(\"no licence\")'")
    with pytest.raises(CannotMeasure, match=r"broken gave no right answer(.|\n)*no licence"):
        bench(tmp_path).measure(SATURATED, broken)


def test_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="no-such-gateway"):
        bench(tmp_path).measure(SATURATED, peer("other=no-such-gateway"))


@pytest.mark.parametrize("others", [[40.0, 20.0, 30.0], [40.0, 3.0]], ids=["never quiet", "quiet at last"])
def test_least_disturbed_of_several_attempts_counts(
    others: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(others)
    monkeypatch.setattr(Bench, "_scene", lambda *_: nullcontext())
    monkeypatch.setattr(Bench, "_streams", lambda *_: record("other", 1.0, others=left.pop(0)))
    made = Bench(Plan(attempts=3), {}, tmp_path)
    assert made.measure(SATURATED, peer("other=run")).usage.others_percent[0] == min(others)
    assert left == []


def test_attempt_with_wrong_answers_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [record("other", 1.0, others=40.0, faults=1), record("other", 1.0)]
    monkeypatch.setattr(Bench, "_scene", lambda *_: nullcontext())
    monkeypatch.setattr(Bench, "_streams", lambda *_: left.pop(0))
    assert Bench(Plan(), {}, tmp_path).measure(SATURATED, peer("other=run")).faults == 1


def test_memory_is_looked_at_at_least_once() -> None:
    with MemoryWatch([os.getpid()]) as memory:
        pass
    assert memory.peak_bytes > 0


@pytest.mark.parametrize("wire", WIRES)
def test_profile_of_our_gateway_names_its_rooms(tmp_path: Path, wire: str) -> None:
    made = bench(tmp_path)
    stacks = tmp_path / "stacks"
    found = made.profile(wire, stacks)
    rooms = {room.name: room for room in found.rooms}
    assert {"llm_gateway.web", "llm_gateway.wire", "llm_gateway.upstream", "twisted.internet"} <= set(rooms)
    assert rooms["llm_gateway.web"].instructions > 0
    assert found.samples > 0 < found.cpu_us
    assert all(line.rpartition(" ")[2].isdecimal() for line in stacks.read_text().splitlines())
