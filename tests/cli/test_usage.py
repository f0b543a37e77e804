"""``llmgateway usage``: what it prints of a ledger, and how it ends."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path

import pytest

from llm_gateway.cli.main import main
from llm_gateway.cli.usage import add_parser
from llm_gateway.core.usage.values import Source, Usage
from llm_gateway.ledger.store import open_store
from tests.ledger.rows import AT, ended

DAY_S = 86_400


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with the use of two keys on two days."""
    path = str(tmp_path / "ledger.sqlite")
    store = open_store(path)
    store.write(
        [
            ended(0, cost=1_500_000_000),
            ended(1, key="bob", cost=250_000, group=None, usage=Usage(input=1000, cached=500, output=10)),
            ended(2, key="bob", cost=None, price=None, model="new", ended="upstream_error"),
            ended(2 * DAY_S, source=Source.PARTLY, cost=500_000_000, labels={"app": "x\x1b[31m"}),
        ]
    )
    store.close()
    monkeypatch.delenv("LEDGER", raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """:return: what a command that does well prints."""
    assert main(["usage", "--since", "all", *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """:return: what a command that is used wrongly complains about."""
    with pytest.raises(SystemExit) as end:
        main(["usage", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_a_table_has_the_most_expensive_first_and_a_total(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is not in the dollars, and what is estimated, below."""
    assert printed(capsys, "--ledger", ledger) == (
        "KEY    CALLS  ATTEMPTS  ERRORS  INPUT  CACHED  OUTPUT  DOLLARS\n"
        "alice      2         2       0    240      40      75     2.00\n"
        "bob        2         2       1  1,620     520      47  0.00025\n"
        "total      4         4       1  1,860     560     122   2.0003\n"
        "\n"
        "Without a price, and not in the dollars: 1 attempt.\n"
        "\n"
        "Estimated, at least in part: the tokens of 1 attempt.\n"
    )


def test_who_and_when_are_chosen(
    ledger: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger may be named by the environment; "-" is how none is shown, and asked for."""
    monkeypatch.setenv("LEDGER", f"sqlite:{ledger}")
    told = printed(capsys, "--by", "group,model", "--where", "key=bob", "--where", "group=-", "--until", "2026-11-23")
    assert [line.split()[:2] for line in told.splitlines()] == [["GROUP", "MODEL"], ["-", "gpt-5.4-mini-2026-03-17"]]
    assert main(["usage", "--since", "2026-11-24T00:00", "--by", "day"]) == 0
    assert "2026-11-24" in capsys.readouterr().out


def test_csv_holds_no_formulas_and_nothing_that_terminals_obey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Callers choose names of models."""
    store = open_store(str(tmp_path / "ledger.sqlite"))
    store.write([ended(0, model='=HYPERLINK("http://a")', labels={"app": "x\x1b[31m"})])
    store.close()
    told = printed(capsys, "--ledger", str(tmp_path / "ledger.sqlite"), "--by", "model,label:app", "--format", "csv")
    assert told.splitlines()[1].startswith('"\'=HYPERLINK(""http://a"")",x?[31m,1,')


def test_nothing_is_said_to_be_nothing(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And a program gets an empty list."""
    assert printed(capsys, "--ledger", ledger, "--where", "key=nobody") == "Nothing was used.\n"
    told = json.loads(printed(capsys, "--ledger", ledger, "--where", "key=nobody", "--format", "json"))
    assert (told["lines"], told["total"]["calls"], told["total"]["dollars"]) == ([], 0, "0.00")


def test_csv_has_every_class_of_tokens(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And dollars to the last digit."""
    lines = list(csv.DictReader(io.StringIO(printed(capsys, "--ledger", ledger, "--by", "day,key", "--format", "csv"))))
    assert [(line["day"], line["key"], line["dollars"]) for line in lines] == [
        ("2026-11-22", "alice", "1.50"),
        ("2026-11-22", "bob", "0.00025"),
        ("2026-11-24", "alice", "0.50"),
    ]
    assert (lines[1]["input_tokens"], lines[1]["input"], lines[1]["cached"]) == ("1620", "1100", "520")
    assert (lines[0]["duration_s"], lines[0]["first_token_s"]) == ("2.0", "0.3")


def test_json_has_lines_and_their_total(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the times that were asked for."""
    told = json.loads(printed(capsys, "--ledger", ledger, "--by", "label:app", "--format", "json"))
    assert [(line["by"], line["dollars"]) for line in told["lines"]] == [
        ({"label:app": "chat"}, "1.50025"),
        ({"label:app": "x\x1b[31m"}, "0.50"),
    ]
    assert told["total"]["dollars"] == "2.00025"
    assert told["since"] is None


def test_a_terminal_sees_no_control_characters(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels are what callers have made them."""
    assert "\x1b" not in printed(capsys, "--ledger", ledger, "--by", "label:app")
    assert "\x1b" not in printed(capsys, "--ledger", ledger, "--by", "label:app", "--chart")


def test_a_chart_draws_days_to_scale(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those without use; as wide as the terminal."""
    first, gap, last = printed(capsys, "--ledger", ledger, "--by", "day", "--chart").splitlines()
    assert (len(first), first.count("█"), last.count("█")) == (60, 40, 13)
    assert gap == "2026-11-23" + " " * 46 + "0.00"
    calls = printed(capsys, "--ledger", ledger, "--by", "day", "--chart", "calls").splitlines()
    assert [line.split()[-1] for line in calls] == ["3", "0", "1"]
    assert printed(capsys, "--ledger", ledger, "--by", "", "--chart", "tokens").startswith("all  ███")


def test_what_is_not_at_the_top_is_added_up(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a line of its own; the total stays what it is."""
    told = printed(capsys, "--ledger", ledger, "--by", "key,day", "--top", "1").splitlines()
    assert [line.split()[0] for line in told[:4]] == ["KEY", "alice", "(others)", "total"]
    assert told[3].split()[-1] == "2.0003"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--by", "keys"], "use is not told apart by keys; there are key, "),
        (["--where", "key"], "--where takes NAME=VALUE"),
        (["--where", "id=1"], "use is not told apart by id"),
        (["--since", "yesterday"], "--since takes a time such as 7d"),
        (["--until", "999999w"], "--until takes a time"),
        (["--top", "0"], "--top takes a number of at least 1"),
        (["--format", "csv", "--chart"], "--chart is for people"),
        (["--sice", "7d"], "there is no option --sice; did you mean --since?"),
    ],
)
def test_a_wrong_question_is_refused(
    ledger: str, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    """With what would be right."""
    assert complaint in refused(capsys, "--ledger", ledger, *arguments)


def test_what_names_no_ledger_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a password that it may have."""
    assert "mysql" in refused(capsys, "--ledger", "mysql://localhost/x")


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt path would otherwise show that nothing was used."""
    with pytest.raises(SystemExit) as end:
        main(["usage", "--ledger", str(tmp_path / "missing")])
    assert end.value.code == 1
    assert "there is no such file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    (tmp_path / "notes").write_text("not a database " * 100)
    assert main(["usage", "--ledger", str(tmp_path / "notes")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "not a database" in line


def test_recent_use_is_shown_by_default(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 30 days: what is older has to be asked for."""
    subparsers = argparse.ArgumentParser().add_subparsers()
    add_parser(subparsers)
    assert subparsers.choices["usage"].parse_args([]).since == "30d"
    assert AT == 1_795_370_400_000_000
