"""A list of prices as a file: what is right in it, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.prices.lists import (
    PriceList,
    changes,
    dollars,
    factor,
    pico,
    rates_of,
    read_list,
    scaled,
    written,
)
from llm_gateway.core.prices.said import BadPrice, Prices


@pytest.mark.parametrize(
    ("text", "per", "rate"),
    [
        ("1", 1_000_000, 1_000_000),
        ("2.50", 1_000_000, 2_500_000),
        ("0.000001", 1_000_000, 1),
        ("0.0000005", 1_000_000, 1),
        ("0.0000004", 1_000_000, 0),
        ("0", 1_000_000, 0),
        ("1000000", 1_000_000, 10**12),
        ("0.01", 1, 10**10),
        ("0.000030833333", 1, 30_833_333),
    ],
)
def test_dollars_become_whole_numbers(text: str, per: int, rate: int) -> None:
    assert pico(text, per) == rate


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "1_0", " 1", "1.", ".5", "nan", "1000001", "٣", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadPrice):
        pico(text)


@pytest.mark.parametrize("text", ["", "-1", "100.1", "1e1", "85%"])
def test_what_is_no_factor_is_refused(text: str) -> None:
    with pytest.raises(BadPrice, match=r"such as 0\.85"):
        factor(text)


def test_rates_are_multiplied_all_of_them() -> None:
    step = Prices(output="7")
    prices = Prices(input="1", output="3", request="1", pieces={"a": "1"}, above={"9": step}, tiers={"t": step})
    half = scaled(rates_of(prices, "v"), factor("0.5"), "half")
    assert half == rates_of(
        Prices(
            input="0.5",
            output="1.5",
            request="0.5",
            pieces={"a": "0.5"},
            above={"9": Prices(output="3.5")},
            tiers={"t": Prices(output="3.5")},
        ),
        "half",
    )


@given(st.integers(0, 10**12))
def test_rate_is_shown_as_the_dollars_that_make_it(rate: int) -> None:
    assert pico(dollars(rate)) == rate
    assert pico(dollars(rate, 1), 1) == rate


def test_tier_and_long_prompt_keep_what_they_do_not_change() -> None:
    rates = rates_of(
        Prices(
            input="2",
            cached="0.2",
            output="8",
            request="0.01",
            above={"1000": Prices(input="4"), "200": Prices(output="9")},
            tiers={"priority": Prices(input="3", above={"500": Prices(output="99")})},
        ),
        "v",
    )
    assert [(step.tokens, step.rates.input, step.rates.cached, step.rates.output) for step in rates.above] == [
        (200, 2_000_000, 200_000, 9_000_000),
        (1000, 4_000_000, 200_000, 8_000_000),
    ]
    tier = rates.tiers["priority"]
    assert (tier.input, tier.cached, tier.output, tier.request) == (3_000_000, 200_000, 8_000_000, 10**10)
    assert [(step.tokens, step.rates.input, step.rates.output) for step in tier.above] == [(500, 3_000_000, 99_000_000)]
    assert {rates.version, tier.version, rates.above[0].rates.version} == {"v"}


def a_list(**model: Any) -> dict[str, Any]:
    listed = {"id": "m", "prices": [{"input": "1"}], **model}
    return {"version": "v", "date": "2026-11-22", "families": {"openai": {"title": "OpenAI", "models": [listed]}}}


def test_changes_of_a_list_are_told_model_by_model() -> None:
    def listed(**model: Any) -> PriceList:
        return read_list(json.dumps(a_list(**model)).encode())

    assert list(changes(listed(), listed())) == []
    assert list(changes(listed(), listed(names=["m", "n"]))) == ["name       openai/m"]
    assert list(changes(listed(), listed(prices=[{"input": "2"}]))) == ["price      openai/m"]
    assert list(changes(listed(), listed(id="n"))) == ["gone       openai/m", "new        openai/n"]


def test_list_that_is_written_is_the_list_that_is_read() -> None:
    found = read_list(json.dumps(a_list(names=["m"], prices=[{"input": "1", "hours": ["01:00", "02:00"]}])).encode())
    assert read_list(written(found).encode()) == found
    assert '        {"id": "m", "names": ["m"], "prices": [' in written(found)


def twice() -> dict[str, Any]:
    found = a_list()
    found["families"]["openai"]["models"] *= 2
    return found


def test_list_is_read_as_it_is_written() -> None:
    found = read_list(json.dumps(a_list(names=["m", "m-*"])).encode())
    assert found.families["openai"].models[0].names == ("m", "m-*")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "truncated"),
        (json.dumps({"version": "v"}), "date"),
        (json.dumps({**a_list(), "version": ""}), "version"),
        (json.dumps({**a_list(), "extra": 1}), "extra"),
        (json.dumps(a_list(prices=[{"inptu": "1"}])), "inptu"),
        (json.dumps(a_list(prices=[{"input": 1}])), "input"),
        (json.dumps(a_list(prices=[{"input": "-1"}])), "families.openai, model m: input: must be dollars"),
        (json.dumps(a_list(prices=[{"pieces": {"web_search": "x"}}])), "pieces.web_search: must be dollars"),
        (json.dumps(a_list(prices=[{"tiers": {"flex": {"output": "x"}}}])), "tiers.flex.output: must be dollars"),
        (json.dumps(a_list(prices=[{"above": {"9": {"output": "x"}}}])), "above.9.output: must be dollars"),
        (json.dumps(a_list(prices=[{"above": {"many": {}}}])), "above: must be by a whole number"),
        (json.dumps(a_list(prices=[{"above": {"9": {"above": {"10": {}}}}}])), "above.9: has neither"),
        (json.dumps(a_list(prices=[{"times": "2"}])), "times: is for the whole price of a model, in aiservices.json"),
        (json.dumps(a_list(prices=[{"tiers": {"a": {"times": "2"}}}])), "tiers.a.times: is for the whole price"),
        (json.dumps(a_list(prices=[{"start": "today"}])), "start: must be a day"),
        (json.dumps(a_list(prices=[{"hours": ["1:00", "02:00"]}])), "hours: must be two times"),
        (json.dumps({**a_list(), "families": {"a": {"title": "A", "also": ["b"]}}}), "there is no family b"),
        (json.dumps(twice()), "families.openai, model m: is there twice"),
        (b"\xff".decode("latin-1"), "JSON"),
    ],
)
def test_wrong_list_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(BadPrice, match=complaint):
        read_list(text.encode("latin-1"))
