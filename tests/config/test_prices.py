"""Prices in ``aiservices.json``, and the list that ships."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_gateway.config.catalogue import shipped_models
from llm_gateway.config.load import read_configuration
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.prices import OWN, price_book, read_price_file, shipped_prices
from llm_gateway.config.schema import aiservices_schema
from llm_gateway.core.prices.lists import Family, read_list
from llm_gateway.core.prices.said import BadPrice
from llm_gateway.core.prices.values import cost
from llm_gateway.core.usage.values import Usage

NOW = 1_795_000_000.0


def services(**prices: Any) -> dict[str, Any]:
    return {"openai": {"url": "https://a.example/v1/chat/completions", "models": {"m": {"prices": prices}}}}


def read(folder: Path, aiservices: dict[str, Any]) -> tuple[list[str], Any]:
    """:return: complaints, each with its place, and the book."""
    (folder / "keys.json").write_text('{"virtual_keys": {"vk": {"provider": "openai", "api_key": "sk-one"}}}')
    (folder / "aiservices.json").write_text(json.dumps(aiservices))
    reading = read_configuration(str(folder / "keys.json"), str(folder / "aiservices.json"), {})
    return [f"{each.place}: {each.message}" for each in reading.problems], price_book(reading.configuration.providers)


def is_fit(aiservices: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(aiservices_schema()).is_valid(aiservices)


ALL = {
    "input": "2.50",
    "cached": 0.25,
    "cache_write": "3",
    "cache_write_1h": "4",
    "audio_input": 40,
    "cached_audio": "2.5",
    "image_input": "5",
    "output": "10",
    "reasoning": "11",
    "audio_output": "80",
    "image_output": "30",
    "request": "0.012",
    "pieces": {"web_search": "0.01", "images": 0.04},
    "above": {"200000": {"input": "5", "output": 15}},
    "tiers": {"priority": {"input": "5", "above": {"200000": {"input": "9"}}}},
}


def test_price_of_the_operator_is_charged_to_the_billionth(tmp_path: Path) -> None:
    problems, book = read(tmp_path, services(**ALL))
    assert problems == []
    assert is_fit(services(**ALL))
    rates = book.find("openai", "openai", "m", NOW)
    assert rates is not None
    assert rates.version == OWN
    assert cost(rates, Usage(input=1_000, cached=1_000, output=1, pieces={"images": 2})) == 2_500_000 + 250_000 + (
        10_000 + 80_000_000 + 12_000_000
    )
    assert cost(rates, Usage(input=200_001, tier="priority")) == 1_800_009_000 + 12_000_000


def test_numbers_are_read_as_they_are_written(tmp_path: Path) -> None:
    """0.1 is a tenth: what a float is a little more or less than does not become money."""
    problems, book = read(tmp_path, services(input=0.1, output=1e-6))
    assert problems == []
    rates = book.find("openai", "openai", "m", NOW)
    assert (rates.input, rates.output) == (100_000, 1)


def test_discount_is_taken_off_every_price_of_the_list(tmp_path: Path) -> None:
    """Rows say both: which list, and how much of it."""
    services = {
        "openai": {"url": "https://a.example/v1/chat/completions", "models": {"*": {"prices": {"times": 0.85}}}}
    }
    problems, book = read(tmp_path, services)
    assert problems == []
    assert is_fit(services)
    listed, rates = (book.find(name, "openai", "gpt-5.4", NOW) for name in ("other", "openai"))
    assert rates.version == f"{listed.version} x 0.85"
    used = Usage(input=1_000, cached=1_000, output=1_000, pieces={"web_search": 1}, tier="priority")
    assert cost(rates, used) * 100 == cost(listed, used) * 85
    assert book.find("openai", "openai", "nobody-knows", NOW) is None


@pytest.mark.parametrize("prices", [{"input": 0, "output": 0}, {"request": "0.01"}, {"pieces": {"seconds": "0.0001"}}])
def test_model_may_cost_nothing_or_only_by_the_piece(tmp_path: Path, prices: dict[str, Any]) -> None:
    problems, book = read(tmp_path, services(**prices))
    assert problems == []
    assert is_fit(services(**prices))
    assert cost(book.find("openai", "openai", "m", NOW), Usage(input=0, output=0)) == 0


@pytest.mark.parametrize(
    ("prices", "complaint", "schema_knows"),
    [
        ({}, 'm.prices: must not be empty; {"input": 0', False),
        ({"input": 1}, 'm.prices: needs a field "output"; 0 is for what costs nothing', False),
        ({"output": 1}, 'm.prices: needs a field "input"', False),
        ({"cached": 1}, 'm.prices: needs a field "input"', False),
        ({"input": 1, "outptu": 1}, 'm.prices: unknown field "outptu"; did you mean "output"?', True),
        ({"input": -1, "output": 1}, "m.prices.input: must be dollars as a decimal number from 0 to 1000000", True),
        ({"input": 1, "output": True}, "m.prices.output: must be dollars, as a number or as text", True),
        ({"input": 1, "output": None}, "m.prices.output: must be dollars, as a number or as text", True),
        ({"input": "1,5", "output": 1}, "m.prices.input: must be dollars as a decimal number", True),
        ({"input": "1e3", "output": 1}, "m.prices.input: must be dollars as a decimal number", True),
        ({"input": 1000001, "output": 1}, "m.prices.input: must not be more than 1000000 dollars", True),
        ({"input": "0.0000001", "output": 1}, "m.prices.input: must not have more than 6 digits", False),
        ({"input": 1, "output": 1, "pieces": {"a b": 1}}, "pieces.a b: is not the name of a piece", True),
        ({"input": 1, "output": 1, "pieces": {"a": "x"}}, "m.prices.pieces.a: must be dollars", True),
        ({"input": 1, "output": 1, "pieces": []}, "m.prices.pieces: must be an object, not a list", True),
        ({"input": 1, "output": 1, "above": {"lots": {}}}, "above.lots: is not a number of tokens", True),
        ({"input": 1, "output": 1, "above": {"9": {"above": {}}}}, 'above.9: unknown field "above"', True),
        ({"input": 1, "output": 1, "tiers": {"x": {"tiers": {}}}}, 'tiers.x: unknown field "tiers"', True),
        ({"input": 1, "output": 1, "tiers": {"x": {"input": "y"}}}, "tiers.x.input: must be dollars", True),
        ({"times": "0.85", "input": 1}, "m.prices.times: stands alone", False),
        ({"times": 101}, "m.prices.times: must be a decimal number from 0 to 100, such as 0.85", True),
        ({"times": "85%"}, "m.prices.times: must be a decimal number from 0 to 100", True),
        ({"times": []}, 'm.prices.times: must be a number, also as text such as "0.85", not a list', True),
        ({"input": 1, "output": 1, "tiers": {"x": {"times": 1}}}, 'tiers.x: unknown field "times"', True),
        ({"input": 1, "output": 1, "tiers": {"x": 1}}, "m.prices.tiers.x: must be an object, not a number", True),
    ],
)
def test_wrong_price_is_an_error_with_its_place(
    tmp_path: Path, prices: dict[str, Any], complaint: str, schema_knows: bool
) -> None:
    problems, _ = read(tmp_path, services(**prices))
    assert complaint in problems[0]
    assert len(problems) == 1 or not (prices.keys() >= {"input", "output"} or "times" in prices)
    assert is_fit(services(**prices)) is not schema_knows


def test_prices_that_are_no_object_are_an_error(tmp_path: Path) -> None:
    aiservices = services()
    aiservices["openai"]["models"]["m"]["prices"] = 3
    problems, _ = read(tmp_path, aiservices)
    assert problems == ["openai.models.m.prices: must be an object, not a number"]


def test_shipped_list_has_the_families_of_presets() -> None:
    assert set(shipped_prices().families) <= set(shipped_presets().presets)


def test_only_families_that_are_asked_for_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the shipped list is of one provider that few have."""
    read: list[str] = []
    families = shipped_prices().families
    find = type(families).__getitem__

    def noted(mapping: Mapping[str, Family], name: str) -> Family:
        read.append(name)
        return find(mapping, name)

    monkeypatch.setattr(type(families), "__getitem__", noted)
    book = price_book({})
    assert read == []
    assert book.find("any", "openai", "gpt-5.4-mini", 0.0) is not None
    assert set(read) == {"openai"}


def test_the_shipped_list_is_as_a_file_of_the_same_text() -> None:
    text = (resources.files("llm_gateway") / "data" / "prices.json").read_bytes()
    assert shipped_prices() == read_list(text)


NO_PRICE = {
    "openai": {"gpt-6.2-astra", "gpt-6.2-sol"},
    "anthropic": {"claude-mythos-5-1", "claude-mythos-5"},
    "groq": {"groq/compound"},
}
"""Of the catalogue. Calls for them on a key with a budget are refused until the operator says what they cost."""


def test_models_of_the_catalogue_have_a_price_but_for_a_few() -> None:
    book = price_book({})
    without = {
        name: {model for model in family.models if book.find("", name, model, NOW) is None}
        for name, family in shipped_models().families.items()
    }
    assert {name: models for name, models in without.items() if models} == NO_PRICE


def test_models_of_vertex_are_those_of_gemini() -> None:
    """What a provider's models are called, for prices, is its family."""
    presets = shipped_presets().presets
    assert presets["vertex"].models_of == "gemini"
    assert price_book({}).find("v", presets["vertex"].models_of, "gemini-2.5-flash", NOW) is not None


def test_file_of_prices_is_read_or_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"version": "mine", "date": "2026-11-22", "families": {}}')
    assert read_price_file(file).version == "mine"
    file.write_text("[]")
    with pytest.raises(BadPrice, match=r"prices\.json: "):
        read_price_file(file)
