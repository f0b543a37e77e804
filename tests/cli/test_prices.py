"""``llmgateway prices``: what it prints, what it writes, and what it does to the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_gateway.cli.main import main
from llm_gateway.config.prices import OWN, shipped_prices
from llm_gateway.core.usage.values import NOTHING, Source, Usage
from llm_gateway.ledger.queries import read, usage
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.store import open_store

SERVICES = """{
  "openai": {
    "url": "https://api.openai.com/v1/chat/completions",
    "models": {
      "gpt-5.4": {"prices": {"input": "2", "output": "12"}},
      "mine-*": {"upstream_name": "prod-*", "prices": {"input": "0.000001", "output": 0}}
    }
  },
  "azure": {"resource": "contoso", "models": {"gpt-*": {"prices": {"times": "0.9"}}}},
  "corp": {"url": "https://llm.example.com/v1/chat/completions"}
}
"""
LIST = """{
  "version": "a list, 2026-12-01",
  "date": "2026-12-01",
  "families": {"openai": {"title": "OpenAI", "models": [
    {"id": "gpt-6.2-sol",
     "prices": [{"input": "3", "output": "9"}, {"input": "1", "output": "1", "start": "2026-12-24"}]},
    {"id": "gpt-5.5", "prices": [{"input": "7", "output": "8", "request": "0.005", "pieces": {"web_search": "0.01"}}]}
  ]}}
}
"""
NOON = 1_795_608_000
"""2026-11-25 12:00 in UTC."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with providers and, beside them, another list. There is no keys.json."""
    monkeypatch.chdir(tmp_path)
    for name in ("KEYS_FILE", "AISERVICES_FILE", "PRICES_FILE", "LEDGER"):
        monkeypatch.delenv(name, raising=False)
    Path("aiservices.json").write_text(SERVICES)
    Path("list.json").write_text(LIST)
    return tmp_path


def prices(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """:return: the exit status, what was printed, what was complained about."""
    status = main(["prices", *arguments])
    return status, *capsys.readouterr()


def test_model_is_shown_with_all_that_is_charged_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = prices(capsys, "--model", "gpt-5.5", "--prices", "list.json", "--provider", "openai")
    assert status == 0
    assert out == (
        "openai/gpt-5.5, in dollars per million tokens, by a list, 2026-12-01\n"
        "          input  cached  output  request  a web_search\n"
        "standard      7       7       8    0.005          0.01\n"
        "\n"
    )


def test_price_of_the_operator_is_shown_where_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """And what the list says, for everybody else who has the model."""
    status, out, _ = prices(capsys, "--model", "gpt-5.4", "--format", "json")
    found = {each["provider"]: each for each in json.loads(out)}
    assert status == 0
    assert found["openai"]["version"] == OWN
    assert (found["openai"]["prices"]["input"], found["openai"]["prices"]["output"]) == ("2", "12")
    assert found["azure"]["version"] == f"{shipped_prices().version} x 0.9"
    assert found["azure"]["prices"]["tiers"]["priority"]["input"] == "4.5"
    assert found["azure"]["prices"]["above"]["272000"]["output"] == "20.25"
    assert "corp" not in found


def test_everything_is_listed_the_operators_own_first(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = prices(capsys)
    heading, *lines = out.splitlines()
    assert status == 0
    assert heading.split() == ["PROVIDER", "MODEL", "INPUT", "CACHED", "OUTPUT", "BY", "BESIDES"]
    assert [line.split()[:5] for line in lines[:3]] == [
        ["openai", "gpt-5.4", "2", "2", "12"],
        ["openai", "mine-*", "0.000001", "0.000001", "0"],
        ["azure", "gpt-*", "x", "0.9", "x"],
    ]
    assert len(lines) == 3 + sum(len(family.models) for family in shipped_prices().families.values())
    [haiku] = [line for line in lines if line.startswith("anthropic  ") and " claude-haiku-5-5 " in line]
    assert haiku.endswith("cache_write 0.125, cache_write_1h 0.2, web_search 0.01, above 100000, batch")


def test_prices_of_a_call_and_of_pieces_are_beside_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = prices(capsys, "--prices", "list.json", "--model", "*5.5", "--provider", "openai")
    assert out.splitlines()[1].endswith("a list, 2026-12-01  web_search 0.01, request 0.005")
    _, out, _ = prices(capsys, "--prices", "list.json", "--model", "*5.5", "--format", "json")
    assert json.loads(out)[0]["prices"]["request"] == "0.005"


def test_list_is_narrowed_by_provider_and_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = prices(capsys, "--provider", "anthropic", "--model", "claude-opus-*", "--format", "json")
    found = {(each["provider"], each["model"]) for each in json.loads(out)}
    assert ("anthropic", "claude-opus-5-5") in found
    assert all(provider == "anthropic" and model.startswith("claude-opus-") for provider, model in found)


@pytest.mark.parametrize(("at", "price"), [("2026-12-23", "3"), ("2026-12-24", "1"), ("2026-12-24T00:30+01:00", "3")])
def test_price_is_shown_as_of_a_time(capsys: pytest.CaptureFixture[str], at: str, price: str) -> None:
    _, out, _ = prices(
        capsys,
        "--model",
        "gpt-6.2-sol",
        "--at",
        at,
        "--prices",
        "list.json",
        "--provider",
        "openai",
        "--format",
        "json",
    )
    assert [each["prices"]["input"] for each in json.loads(out)] == [price]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "gpt-6.2-sol"], 'no price is known for gpt-6.2-sol; say what it costs under "prices"'),
        (["--provider", "antropic"], "there is no provider 'antropic'; did you mean \"anthropic\"?"),
        (["--prices", "missing.json"], "missing.json"),
        (["--prices", "aiservices.json"], "aiservices.json: "),
        (["--aiservices", "list.json"], "list.json:2: version: "),
        (["update", "aiservices.json"], "aiservices.json: "),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    status, out, err = prices(capsys, *arguments)
    assert (status, out) == (1, "")
    assert complaint in err
    assert err.startswith("llmgateway prices: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (
            ["--at", "yesterday"],
            2,
            "--at takes a time such as 7d, 36h, 2026-11-01 or 2026-11-01T12:00, not 'yesterday'",
        ),
        (["re-rate", "--since", "1y"], 2, "--since takes a time"),
        (["re-rate", "--ledger", "none.sqlite"], 1, "none.sqlite: there is no such file; name the ledger"),
        (["re-rate"], 1, "llmgateway-ledger.sqlite: there is no such file; name the ledger"),
        (["re-rate", "--ledger", "mysql://host/db"], 2, "--ledger: a ledger is a file's path"),
        (["re-rate", "--modl", "x"], 2, "there is no option --modl"),
    ],
)
def test_wrong_usage_ends_the_command_before_it_begins(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prices", *arguments])
    assert ended.value.code == status
    assert complaint in capsys.readouterr().err
    assert not list(Path().glob("*.sqlite"))


# Another list


def test_new_list_is_checked_compared_and_put_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    """From then on it is what the gateway and this command find in the folder."""
    status, out, _ = prices(capsys, "update", "list.json")
    assert status == 0
    assert "new        openai/gpt-6.2-sol\n" in out
    assert "price      openai/gpt-5.5\n" in out
    assert "gone       anthropic/claude-opus-5-5\n" in out
    assert Path("prices.json").read_text() == LIST
    assert prices(capsys, "--model", "gpt-6.2-sol")[0] == 0
    assert prices(capsys, "update", "list.json", "--dry-run")[1] == "a list, 2026-12-01 -> a list, 2026-12-01\n"


def test_dry_run_of_an_update_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert prices(capsys, "update", "list.json", "--dry-run")[0] == 0
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_list_does_not_take_the_place_of_the_old_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("prices.json").write_text(LIST)
    Path("new.json").write_text(LIST.replace('"3"', '"a lot"'))
    status, _, err = prices(capsys, "update", "new.json", "--to", "prices.json")
    assert status == 1
    assert "new.json: families.openai, model gpt-6.2-sol: input: must be dollars" in err
    assert Path("prices.json").read_text() == LIST


def test_file_of_genai_prices_is_taken_over(capsys: pytest.CaptureFixture[str]) -> None:
    """As the project publishes it. What has no place in a list of ours is told, and left out."""
    model = {"id": "gpt-6.2-sol", "match": {"or": [{"starts_with": "gpt-6.2-sol"}, {"regex": "sol$"}]}}
    model["prices"] = {"input_mtok": 0.1, "output_mtok": {"base": 9, "tiers": [{"start": 1000, "price": 18}]}}
    provider = {"id": "openai", "name": "OpenAI", "api_pattern": "x", "models": [model]}
    Path("data.json").write_text(json.dumps([provider, {"id": "new", "name": "New", "models": []}]))
    status, out, _ = prices(capsys, "update", "data.json")
    assert status == 0
    assert "not taken  openai/gpt-6.2-sol: its name is told by {'regex': 'sol$'}\n" in out
    found = json.loads(prices(capsys, "--model", "gpt-6.2-sol-x", "--provider", "openai", "--format", "json")[1])
    [charged] = [each["prices"] for each in found]
    assert (charged["input"], charged["output"], charged["above"]["1000"]["output"]) == ("0.1", "9", "18")
    assert found[0]["version"].startswith("genai-prices data.json, 20")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "data.json: "),
        ("[1]", "data.json: Expected `object`"),
        ("[]", "data.json: has none of the providers that are known here"),
        (
            '[{"id": "openai", "name": "x", "models": [{"id": "m", "match": {}, "prices": {"input_mtok": "x"}}]}]',
            "model m",
        ),
    ],
)
def test_file_that_only_looks_like_that_is_refused(
    capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    Path("data.json").write_text(text)
    status, _, err = prices(capsys, "update", "data.json")
    assert status == 1
    assert complaint in err
    assert not Path("prices.json").exists()


# The ledger


def row(number: int, model: str, **changes: object) -> Row:
    values: dict[str, object] = {
        "request_id": f"r{number}",
        "attempt": 1,
        "at": NOON * 1_000_000 + number,
        "key": "alice",
        "provider": "openai",
        "model_asked": model,
        "model": model,
        "status": 200,
        "ended": "ok",
        "usage": Usage(input=1_000_000, output=1_000_000),
        "source": Source.PROVIDER,
        "price": "an old list",
        "cost": 1_000_000_000,
        **changes,
    }
    return Row(**values)  # type: ignore[arg-type]  # whatever it takes


def ledger(*rows: Row) -> None:
    store = open_store("ledger.sqlite")
    store.write(rows)
    store.close()


def written() -> dict[str, tuple[str | None, int | None]]:
    """:return: price and cost of every row, and that the sums of the hours are in step."""
    store = open_store("ledger.sqlite")
    rows = list(read(store))
    [line] = usage(store)
    store.close()
    assert line.cost == sum(row.cost or 0 for row in rows)
    return {row.request_id: (row.price, row.cost) for row in rows}


ROWS = (
    row(1, "gpt-5.4"),
    row(2, "gpt-6.2-sol", price=None, cost=None),
    row(3, "gpt-5.5", usage=NOTHING, source=Source.NONE, price=None, cost=None),
    row(4, "prod-x"),
    row(5, "whatever", provider="corp"),
    row(6, "whatever", provider="corp", price=None, cost=None),
    row(7, "gpt-5.5-2030-01-01", model_asked="gpt-5.5", provider="old", usage=Usage(pieces={"web_search": 2})),
    row(8, "gpt-5.4", at=(NOON - 90_000) * 1_000_000),
)


def test_rows_are_rated_again_by_the_prices_of_now(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that have a price now, whether or not they had one. Others keep what they have."""
    ledger(*ROWS)
    status, out, _ = prices(capsys, "re-rate", "--ledger", "ledger.sqlite", "--prices", "list.json")
    assert status == 0
    assert written() == {
        "r1": (OWN, 14_000_000_000),
        "r2": ("a list, 2026-12-01", 12_000_000_000),
        "r3": (None, None),
        "r4": (OWN, 1_000),
        "r5": ("an old list", 1_000_000_000),
        "r6": (None, None),
        "r7": ("an old list", 1_000_000_000),
        "r8": (OWN, 14_000_000_000),
    }
    assert out == (
        "MODEL               ATTEMPTS  BEFORE     AFTER  DIFFERENCE\n"
        "openai/gpt-5.4             2    2.00     28.00       26.00\n"
        "openai/gpt-6.2-sol         1    0.00     12.00       12.00\n"
        "openai/prod-x              1    1.00  0.000001   -0.999999\n"
        "\n"
        "no price: corp/whatever, 2 attempts\n"
        "no price: old/gpt-5.5-2030-01-01, 1 attempt\n"
        "8 attempts read, 4 changed; 5.00 dollars before, 42.000001 after\n"
    )


def test_dry_run_says_the_same_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ledger(*ROWS)
    before = written()
    arguments = ("re-rate", "--ledger", "ledger.sqlite", "--prices", "list.json", "--format", "json")
    dry = json.loads(prices(capsys, *arguments, "--dry-run")[1])
    assert written() == before
    wet = json.loads(prices(capsys, *arguments)[1])
    assert dry == {**wet, "dry_run": True}
    assert (dry["attempts"], dry["changed"], dry["before"], dry["after"]) == (8, 4, "5.00", "42.000001")
    assert written() != before


def test_rating_again_twice_is_rating_again_once(capsys: pytest.CaptureFixture[str]) -> None:
    ledger(*ROWS)
    arguments = ("re-rate", "--ledger", "ledger.sqlite", "--prices", "list.json")
    prices(capsys, *arguments)
    once = written()
    assert "8 attempts read, 0 changed;" in prices(capsys, *arguments)[1]
    assert written() == once


def test_only_what_was_asked_for_is_rated_again(capsys: pytest.CaptureFixture[str]) -> None:
    ledger(*ROWS)
    arguments = ("re-rate", "--ledger", "ledger.sqlite", "--prices", "list.json")
    prices(capsys, *arguments, "--unpriced")
    assert {name for name, (price, _) in written().items() if price != "an old list"} == {"r2", "r3", "r6"}
    prices(capsys, *arguments, "--since", "2026-11-25", "--until", "2026-11-26T00:00")
    assert {name for name, (price, _) in written().items() if price == OWN} == {"r1", "r4"}
