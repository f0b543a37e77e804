"""What an attempt costs, to the billionth of a dollar."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.lists import PriceList, rates_of
from llm_gateway.core.prices.said import Prices
from llm_gateway.core.prices.values import CLASSES, FREE, Rates, cost, most, typical
from llm_gateway.core.usage.values import INPUT, NOTHING, OUTPUT, Usage

HAIKU = rates_of(
    Prices(
        input="0.1",
        cached="0.01",
        cache_write="0.125",
        cache_write_1h="0.2",
        output="0.5",
        pieces={"web_search": "0.01"},
        above={"100000": Prices(input="0.5", cached="0.05", cache_write="0.625", cache_write_1h="1", output="2.5")},
        tiers={"batch": Prices(input="0.05", output="0.25")},
    ),
    "a list",
)
"""Dear above 100,000 tokens."""

REALTIME = rates_of(
    Prices(input="4", cached="0.4", output="16", audio_input="32", audio_output="64", image_input="5"), "a list"
)

DEAR = rates_of(msgspec.convert(dict.fromkeys(CLASSES, "1000000"), Prices), "a list")
counts = st.integers(0, 10**9)


def usages() -> st.SearchStrategy[Usage]:
    return st.builds(
        Usage, **dict.fromkeys(CLASSES, counts), pieces=st.dictionaries(st.sampled_from(["web_search", "x"]), counts)
    )


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (NOTHING, 0),
        (Usage(input=1_000_000), 5 * 10**8),
        (Usage(input=100_000), 10**7),
        (Usage(input=99_999, cached=1), 9_999_910),
        (Usage(input=99_999, cached=2), 50_000_000 - 500 + 100),
        (Usage(input=10, cached=90_000, cache_write=1_000, cache_write_1h=1_000, output=7, reasoning=3), 1_231_000),
        (Usage(output=1_000), 500_000),
        (Usage(input=1_000, output=1_000, tier="batch"), 300_000),
        (Usage(input=1_000, cached=1_000, tier="batch"), 60_000),
        (Usage(input=1_000, tier="priority"), 100_000),
        (Usage(pieces={"web_search": 3}), 30_000_000),
        (Usage(pieces={"something_new": 3}), 0),
        (Usage(pieces={"web_search": 1}, tier="batch"), 10_000_000),
    ],
)
def test_usage_costs_what_the_price_page_says(usage: Usage, nano: int) -> None:
    """Also beyond the prompt's length where all tokens get dearer, and in tiers, known and not."""
    assert cost(HAIKU, usage) == nano


@pytest.mark.parametrize(("tokens", "nano"), [(0, 0), (1, 0), (4, 0), (5, 1), (14, 1), (15, 2), (1_000, 100)])
def test_half_a_billionth_is_rounded_up_once(tokens: int, nano: int) -> None:
    """A row is rounded, not each class of its tokens: many small classes do not add up to money that nobody charged."""
    rates = rates_of(Prices(input="0.0001"), "a list")
    assert cost(rates, Usage(input=tokens)) == nano
    spread = Usage(input=tokens - tokens // 2, image_input=tokens // 2)
    assert cost(rates, spread) == nano


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(cached_audio=1_000), 32_000_000),
        (Usage(audio_input=1_000), 32_000_000),
        (Usage(image_input=1_000), 5_000_000),
        (Usage(audio_output=1_000), 64_000_000),
        (Usage(image_output=1_000), 16_000_000),
        (Usage(reasoning=1_000), 16_000_000),
        (Usage(cache_write=1_000), 4_000_000),
        (Usage(cache_write_1h=1_000), 4_000_000),
    ],
)
def test_class_without_a_price_costs_what_the_nearest_one_does(usage: Usage, nano: int) -> None:
    """Cached audio costs what audio does, not what cached text does: never less than the provider may charge."""
    assert cost(REALTIME, usage) == nano


def test_cached_audio_costs_what_cached_text_does_where_audio_has_no_price() -> None:
    rates = rates_of(Prices(input="4", cached="0.4"), "a list")
    assert cost(rates, Usage(cached_audio=1_000)) == 400_000


def test_price_of_a_call_is_charged_once_and_only_if_it_used_something() -> None:
    rates = rates_of(Prices(input="1", request="0.012", tiers={"fast": Prices(input="2")}), "a list")
    assert cost(rates, NOTHING) == 0
    assert cost(rates, Usage(input=1)) == 12_001_000
    assert cost(rates, Usage(output=1)) == 12_000_000
    assert cost(rates, Usage(input=1, tier="fast")) == 12_002_000


@given(usages(), usages())
def test_two_attempts_together_cost_what_each_costs_but_for_a_billionth(one: Usage, other: Usage) -> None:
    """No float is involved: with the dearest rates and a billion tokens of each class it is as exact as with few."""
    both = Usage(
        **{name: getattr(one, name) + getattr(other, name) for name in CLASSES},
        pieces={name: one.pieces.get(name, 0) + other.pieces.get(name, 0) for name in {*one.pieces, *other.pieces}},
    )
    for rates in (REALTIME, DEAR):
        assert abs(cost(rates, both) - cost(rates, one) - cost(rates, other)) <= 1


@given(usages(), st.sampled_from([HAIKU, REALTIME, FREE]), st.sampled_from([None, "batch", "fast"]))
def test_no_call_costs_more_than_its_reservation(usage: Usage, rates: Rates, tier: str | None) -> None:
    """The most that a call can cost, for as many tokens as it used: whatever classes they turn out to be of."""
    used = msgspec.structs.replace(usage, tier=tier)
    read, written = (sum(getattr(used, name) for name in names) for names in (INPUT, OUTPUT))
    bound = most(rates, read, written, used.pieces, tier=tier)
    assert cost(rates, used) <= bound


BOOK = PriceBook(PriceList(version="a list", date="2026-11-22", families={}))


@given(
    counts | st.integers(99_998, 100_002),
    counts,
    st.sampled_from([HAIKU, REALTIME, FREE, rates_of(Prices(input="1", output="2", request="0.01"), "a list")]),
    st.none() | st.dictionaries(st.sampled_from(["web_search", "x"]), counts),
    st.sampled_from([None, "batch", "fast"]),
)
def test_book_remembers_the_most_that_a_call_can_cost(
    read: int, written: int, rates: Rates, pieces: dict[str, int] | None, tier: str | None
) -> None:
    assert BOOK.most(rates, read, written, pieces, tier) == most(rates, read, written, pieces, tier=tier)


def test_reservation_is_nearer_where_it_is_known_that_nothing_is_cached_or_heard() -> None:
    assert most(HAIKU, 1_000, 1_000) == 700_000
    assert most(HAIKU, 1_000, 1_000, caching=False) == 600_000
    assert most(HAIKU, 1_000, 1_000, caching=False, tier="batch") == 300_000
    assert most(REALTIME, 1_000, 1_000) == 96_000_000
    assert most(REALTIME, 1_000, 1_000, media=False) == 20_000_000


def test_model_that_reads_cheaply_is_the_cheaper_one() -> None:
    reads = rates_of(Prices(input="1", output="10"), "a list")
    writes = rates_of(Prices(input="4", output="5"), "a list")
    assert typical(reads) < typical(writes)
