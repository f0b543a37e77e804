"""The options of ``python -m benchmarks``, and the page that explains them."""

from __future__ import annotations

import re

import pytest

from benchmarks.measure import Plan
from benchmarks.options import EVERYTHING, make_parser, plan_of
from tests.markdown import ROOT, blocks, code, section, tables

PAGE = (ROOT / "docs" / "performance.md").read_text()


def options_there_are() -> dict[str, object]:
    return {
        action.option_strings[-1]: action.default
        for action in make_parser()._actions
        if action.option_strings and action.dest != "help"
    }


def test_every_option_is_documented_with_its_default() -> None:
    [rows] = tables(section(PAGE, "Options"))
    documented = {code(row[0])[0].split()[0]: code(row[1]) for row in rows}
    there = options_there_are()
    assert set(documented) == set(there)
    shown = {"--cores": "0,1", "--gap-ms": "20"}
    for name, default in there.items():
        assert documented[name] == ([shown.get(name, str(default))] if default else []), name


def test_commands_of_the_page_are_accepted() -> None:
    commands = re.findall(r"python -m benchmarks(?: (.*))?$", "\n".join(blocks(PAGE, "sh")), re.MULTILINE)
    assert len(commands) > 2
    for command in commands:
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command.partition("#")[0])]
        make_parser().parse_args(words)


def test_every_part_is_documented() -> None:
    assert set(EVERYTHING) <= set(code(section(PAGE, "Run it")))


def test_plan_is_what_the_options_say() -> None:
    words = "calls --seconds 2 --connections 8 --streams 9 --gap-ms 1.5 --cores 3,2 --attempts 1"
    options = make_parser().parse_args(words.split())
    assert plan_of(options) == Plan(seconds=2, connections=8, streams=9, gap_ms=1.5, cores=(3, 2), attempts=1)
    assert options.part == ["calls"]


def test_plan_without_options_is_the_default() -> None:
    assert plan_of(make_parser().parse_args([])) == Plan()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("cals", "there are calls, saturated, paced, translated, images, profile"),
        ("--cores 0", "two different numbers"),
        ("--cores 1,1", "two different numbers"),
        ("--seconds 0", "must be more than 0"),
        ("--seconds 1.5", "invalid int value"),
        ("--gap-ms -1", "must be more than 0"),
        ("--streams many", "invalid int value"),
        ("--gateway other", "must be NAME=COMMAND"),
    ],
)
def test_wrong_option_is_refused(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(words.split())
    assert complaint in capsys.readouterr().err
