"""Prices in the form of genai-prices: what is taken over, what is told to be left out, and what is no such file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.genai import NotTaken, _of_regex, _pattern, price_list
from llm_gateway.core.prices.lists import PriceList
from llm_gateway.core.prices.said import BadPrice
from llm_gateway.core.prices.values import Rates

DAY = 86_400.0


def taken(*models: dict[str, Any]) -> tuple[PriceList, list[NotTaken]]:
    listed = [{"match": {"equals": "m"}, "id": "m", **model} for model in models]
    return price_list(json.dumps([{"id": "openai", "name": "O", "models": listed}]).encode(), "theirs", "2026-11-22")


def rates(at: float, **model: Any) -> Rates:
    found = PriceBook(taken(model)[0]).find("", "openai", "m", at)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("regex", "names"),
    [
        (r"^a-\d{4}$", ["a-####"]),
        (r"^a-\d{2}-\d", ["a-##-#*"]),
        (r"^a[-@]\d$", ["a-#", "a@#"]),
        (r"^a\.b\-c$", ["a.b-c"]),
        (r"a$", None),
        (r"^a+$", None),
        (r"^(a|b)$", None),
        (r"^a\w$", None),
    ],
)
def test_expression_is_taken_over_where_it_can_be_said_in_patterns(regex: str, names: list[str] | None) -> None:
    """Otherwise it is reported, and not guessed."""
    assert _of_regex(regex) == names


def test_name_that_is_told_by_something_new_is_reported() -> None:
    assert _pattern({"and": [{"equals": "a"}, {"equals": "b"}]}) is None


def test_later_price_of_a_tier_counts_from_its_day_and_the_first_one_before() -> None:
    """What was charged before the first day that is known of is taken to have been the same."""
    variants = [
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 3}, "constraint": {"start_date": "1970-01-03"}},
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 2}, "constraint": {"start_date": "1970-01-02"}},
    ]
    prices = {"input_mtok": 10, "output_mtok": 1}
    found = [rates(day * DAY, prices=prices, price_variants=variants).tiers["flex"].input for day in (0, 1, 2)]
    assert found == [2_000_000, 2_000_000, 3_000_000]


def test_tier_of_a_price_that_is_over_does_not_come_back() -> None:
    """A model's next price has its own tiers, also where a tier changes after it."""
    prices = [
        {"prices": {"input_mtok": 10}},
        {"prices": {"input_mtok": 20}, "constraint": {"start_date": "1970-01-02"}},
    ]
    variants = [
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 4}, "constraint": {"start_date": "1970-01-04"}},
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 5}},
    ]
    found = [rates(day * DAY, prices=prices, price_variants=variants) for day in range(5)]
    assert [each.input for each in found] == [10_000_000, *[20_000_000] * 4]
    assert [each.tiers["batch"].input for each in found] == [*[5_000_000] * 3, *[4_000_000] * 2]


def test_hours_are_those_of_utc() -> None:
    def prices(since: str, until: str) -> list[dict[str, Any]]:
        hours = {"start_time": since, "end_time": until}
        return [{"prices": {"input_mtok": 1}}, {"prices": {"input_mtok": 2}, "constraint": hours}]

    for since, until in (("01:00:00Z", "02:30:00Z"), ("01:00:00+00:00", "02:30"), ("01:00Z", "02:30Z")):
        found = [rates(hour * 3600.0, prices=prices(since, until)).input for hour in (0, 1, 2, 3)]
        assert found == [1_000_000, 2_000_000, 2_000_000, 1_000_000]
    with pytest.raises(BadPrice, match="hours that are not in UTC"):
        taken({"prices": prices("01:00:00+08:00", "02:30:00+08:00")})


def test_what_has_no_place_here_is_told() -> None:
    prices = {"input_mtok": 1, "output_mtok": 1, "input_video_mtok": 2, "smells_kcount": 3}
    variants = [{"when": {"route": "eu"}, "prices": {"input_mtok": 2}}]
    _, missing = taken({"prices": prices, "price_variants": variants}, {"id": "n", "match": {"equals": "n"}})
    assert sorted(str(each) for each in missing) == [
        "not taken  openai/m: input_video_mtok: video counts as input",
        "not taken  openai/m: prices for {'route': 'eu'}",
        "not taken  openai/m: smells_kcount: nothing counts that",
        "not taken  openai/n: it has no price",
    ]


def test_model_that_is_free_by_its_name_costs_nothing() -> None:
    prices, missing = taken({"id": "m:free", "match": {"equals": "m"}})
    assert missing == []
    found = PriceBook(prices).find("", "openai", "m", 0.0)
    assert found is not None
    assert (found.input, found.output) == (0, 0)


def test_numbers_are_taken_over_as_they_are_written() -> None:
    found = rates(0.0, prices={"input_mtok": 0.1, "output_mtok": 1e-05, "cache_read_mtok": "0.041666666666666664"})
    assert (found.input, found.output, found.cached) == (100_000, 10, 41_667)
