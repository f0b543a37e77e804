"""The command as a whole, with measurements that cost nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import benchmarks.__main__ as command
from benchmarks.gateways import Gateway
from benchmarks.machine import CannotMeasure
from benchmarks.measure import DIRECT, IMAGE_CASES, LOADS, TRANSLATED, Case, Plan, Record, cases_of
from benchmarks.pages import BEGIN, END
from benchmarks.rooms import Profile
from tests.benchmarks.records import profile, record


class FakeBench:
    """Finds 13 µs for nginx and 52 µs for everyone else."""

    measured: list[tuple[str, str]]
    breaks: str | None = None
    faults = 0

    def __init__(self, plan: Plan, tools: dict[str, str], folder: Path) -> None:
        self.plan = plan

    def measure(self, part: str, gateway: Gateway | None, case: Case | None = None) -> Record:
        name = gateway.name if gateway else DIRECT
        self.measured.append((part, f"{name}, {case.name}" if case else name))
        if name == self.breaks:
            raise CannotMeasure(f"{name} does not start")
        return record(name, 13.0 if name == "nginx" else 52.0, part=part, faults=self.faults, case=case)

    def translated(self, gateway: Gateway) -> Iterator[Record]:
        for load in LOADS:
            self.measured.append((TRANSLATED, f"{gateway.name}, {load}"))
            for case in cases_of(load):
                yield record(gateway.name, 52.0, part=TRANSLATED, case=case)

    def profile(self, wire: str, stacks: Path | None) -> Profile:
        self.measured.append(("profile", wire))
        return profile(wire)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> type[FakeBench]:
    class Fake(FakeBench):
        measured: list[tuple[str, str]] = []  # noqa: RUF012  # a new one for each test

    pinned: dict[str, Any] = {"Bench": Fake, "find_tools": lambda names: dict.fromkeys(names, "/x")}
    for name, value in pinned.items():
        monkeypatch.setattr(command, name, value)
    monkeypatch.setattr(command, "version_of", lambda nginx: "nginx/1.22.1")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    # The tests must not find themselves on one core.
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cores: None)
    return Fake


def test_everything_is_measured_between_two_runs_of_nginx(bench: type[FakeBench]) -> None:
    assert command.main([]) == 0
    gateways = ["nginx", "llmgateway", "accounting", "twisted", "nginx"]
    assert bench.measured == [
        *(("calls", name) for name in [DIRECT, *gateways]),
        *(("saturated", name) for name in gateways),
        *(("paced", name) for name in [DIRECT, *gateways]),
        *(("translated", f"llmgateway, {load}") for load in LOADS),
        ("images", "nginx"),
        *(("images", f"{name}, {case.name}") for name in ("llmgateway", "twisted") for case in IMAGE_CASES),
        ("images", "nginx"),
        ("profile", "llhttp"),
        ("profile", "twisted"),
    ]


def test_parts_gateways_and_peers_are_chosen(bench: type[FakeBench]) -> None:
    assert command.main(["saturated", "profile", "--only", "nginx,llmgateway", "--gateway", "other=run"]) == 0
    names = ["nginx", "llmgateway", "other", "nginx"]
    assert bench.measured == [*(("saturated", name) for name in names), ("profile", "llhttp")]


def test_tables_are_printed_and_figures_written(
    bench: type[FakeBench], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["calls", "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "### Calls" in printed
    assert "| llmgateway | 4.00 |" in printed
    assert "nginx/1.22.1" in printed.splitlines()[0]
    written = json.loads((tmp_path / "all.json").read_text())
    assert [each["gateway"] for each in written["records"]] == [name for _, name in bench.measured]
    assert written["plan"]["seconds"] == Plan().seconds


def test_page_gets_the_tables(bench: type[FakeBench], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{BEGIN}\n{END}\n")
    assert command.main(["--write", str(page)]) == 0
    written = page.read_text()
    assert written.startswith("# Page\n")
    sections = ("Calls", "Streams without a pause", "Paced streams", "Calls with an image", "Translated streams")
    for heading in (*sections, "Where the time of a call goes"):
        assert f"### {heading}" in written


def test_page_is_looked_at_before_anything_is_measured(bench: type[FakeBench], tmp_path: Path) -> None:
    assert command.main(["--write", str(tmp_path / "none.md")]) == 1
    assert bench.measured == []


def test_page_takes_everything_or_nothing(bench: type[FakeBench], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command.main(["calls", "--write", str(tmp_path / "page.md")])
    assert bench.measured == []


def test_what_was_found_before_a_failure_is_shown(
    bench: type[FakeBench], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    bench.breaks = "twisted"
    assert command.main(["--write", str(page)]) == 1
    printed = capsys.readouterr()
    assert "| llmgateway |" in printed.out
    assert "benchmarks: twisted does not start" in printed.err
    assert page.read_text() == f"{BEGIN}\n{END}\n"


def test_wrong_answers_make_it_fail(bench: type[FakeBench], capsys: pytest.CaptureFixture[str]) -> None:
    bench.faults = 2
    assert command.main(["saturated", "--only", "llmgateway"]) == 1
    assert "saturated, llmgateway: 2 wrong answers." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--only ngnix", "--only ngnix: there are nginx, llmgateway, accounting, twisted"),
        ("--cores 0,7", "core 7 is not there"),
    ],
)
def test_what_cannot_be_measured_is_told(
    words: str, complaint: str, bench: type[FakeBench], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(words.split()) == 1
    assert complaint in capsys.readouterr().err
    assert bench.measured == []


@pytest.mark.parametrize(
    ("parts", "names", "needed"),
    [
        (["calls"], ["llmgateway"], ["taskset", "wrk", "nginx"]),
        (["paced"], ["llmgateway"], ["taskset"]),
        (["paced"], ["nginx", "llmgateway"], ["taskset", "nginx"]),
        (["profile"], ["nginx", "llmgateway"], ["taskset"]),
        (["translated"], ["nginx", "llmgateway"], ["taskset"]),
        (["translated", "images"], ["nginx", "llmgateway"], ["taskset", "nginx"]),
    ],
)
def test_only_what_is_needed_must_be_installed(parts: list[str], names: list[str], needed: list[str]) -> None:
    assert command._needed(parts, names) == needed
