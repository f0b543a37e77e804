"""The shipped list of prices against the package that it is made from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import types
from genai_prices.data import providers

from llm_gateway.config.prices import shipped_prices
from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.genai import NAMES
from llm_gateway.core.prices.lists import Listed, read_list, written
from llm_gateway.core.prices.values import cost
from llm_gateway.core.usage.values import Usage
from maintenance.prices import PRICES, made, main, unpriced

THEIRS = {provider.id: provider for provider in providers}
TIERS = {"flex": "service_tier", "priority": "service_tier", "batch": "processing", "fast": "speed"}
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
THEN = (datetime(2026, 11, 22, 2, tzinfo=UTC), datetime(2026, 2, 2, 7, 30, tzinfo=UTC))
"""At night, when DeepSeek is dearer, and in February."""
USED = (
    Usage(input=100, cached=90_001, cache_write=5_000, cache_write_1h=3_000, output=100, reasoning=77),
    Usage(input=300_000, output=10, audio_input=1_000, image_input=500, audio_output=300, image_output=20),
    Usage(input=1, pieces={"web_search": 3, "file_search": 2, "seconds": 100, "characters": 12_345}),
)
COUNTED = {
    "cached": "cache_read_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_input": "input_audio_tokens",
    "image_input": "input_image_tokens",
    "audio_output": "output_audio_tokens",
    "image_output": "output_image_tokens",
}


def theirs(prices: types.ModelPrice, usage: Usage) -> Decimal:
    """:return: billionths of a dollar, by their own calculation."""
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    counts |= {name: count for ours, name in COUNTED.items() if (count := getattr(usage, ours))}
    if usage.cache_write:
        counts["cache_write_tokens"] = usage.cache_write + usage.cache_write_1h
    if usage.pieces:
        heard = 100 if prices.input_audio_hours is not None else 0
        counts |= {"web_searches": 3, "storage_searches": 2, "input_characters": 12_345}
        counts |= {"audio_seconds": 100, "input_audio_seconds": heard}
    return prices.calc_price(types.Usage(**counts))["total_price"] * 10**9


def priced() -> Iterator[tuple[str, types.ModelInfo, Listed]]:
    for family, name in NAMES.items():
        ours = {model.id: model for model in shipped_prices().families[family].models}
        yield from ((family, model, ours[model.id]) for model in THEIRS[name].models if model.id in ours)


def test_shipped_list_is_what_the_locked_release_comes_to() -> None:
    """It is not edited by hand, and not forgotten when the release changes."""
    prices, _ = made(shipped_prices().date)
    assert PRICES.read_text() == written(prices)
    assert read_list(PRICES.read_bytes()) == prices


def test_every_price_comes_to_the_same_money() -> None:
    """All models, all classes of tokens, long prompts, tiers, pieces, days and hours."""
    book = PriceBook(shipped_prices())
    compared = 0
    for family, model, ours in priced():
        tiers: list[tuple[str | None, types.PriceContext | None]] = [(None, None)]
        for each, what in TIERS.items():
            if any(variant.when == {what: each} for variant in model.price_variants or ()):
                tiers.append((each, {what: each}))
        whens = (NOW, *THEN) if isinstance(model.prices, list) else (NOW,)
        for when in whens:
            rates = book.listed_at(family, ours, when.timestamp())
            assert rates is not None
            for tier, context in tiers if when is NOW else tiers[:1]:
                prices = model.get_prices(when, context)
                for usage in USED:
                    used = Usage(**{name: getattr(usage, name) for name in usage.__struct_fields__[:-1]}, tier=tier)
                    # A rate that is not whole in 10^-12 dollars is rounded, and what it comes to with it.
                    slack = Decimal("0.5") + Decimal(used.input_tokens + used.output_tokens + 100) * Decimal("0.0005")
                    assert abs(cost(rates, used) - theirs(prices, usage)) <= slack, (family, model.id, when, used)
                    compared += 1
    assert compared > 5_000


def test_every_name_leads_to_the_same_model() -> None:
    book, at = PriceBook(shipped_prices()), NOW.timestamp()
    for family, name in NAMES.items():
        ours = {model.id: model for model in shipped_prices().families[family].models}
        for model in ours.values():
            for spelling in model.names or (model.id.casefold(),):
                if "*" not in spelling and "#" not in spelling:
                    found = THEIRS[name].find_model(spelling)
                    assert found is not None
                    assert book.find("", family, spelling, at) == book.listed_at(family, ours[found.id], at), spelling


def test_command_writes_the_file_and_tells_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"version": "old", "date": "2026-01-01", "families": {}}')
    assert main(["--file", str(file), "--date", shipped_prices().date, "--dry-run"]) == 0
    assert "old" in file.read_text()
    assert main(["--file", str(file), "--date", shipped_prices().date]) == 0
    out = capsys.readouterr().out
    assert "new        anthropic/claude-opus-5-5\n" in out
    assert "not taken  cerebras/qwen-3-coder-480b: it has no price\n" in out
    assert "no price   openai/gpt-6.2-sol\n" in out
    assert file.read_bytes() == PRICES.read_bytes()


@pytest.mark.parametrize("arguments", [["--date", "today"], ["--file", "README.md"]])
def test_command_that_cannot_do_it_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--dry-run"]) == 1
    assert capsys.readouterr().err.startswith("maintenance.prices: ")


def test_models_without_a_price_are_named() -> None:
    assert "no price   anthropic/claude-mythos-5-1" in set(unpriced(shipped_prices(), NOW.timestamp()))
