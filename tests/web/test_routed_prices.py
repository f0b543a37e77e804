"""The strategy ``cheapest``: calls go where they cost least, as prices are at the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from llm_gateway.config.prices import price_book
from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.prices.said import Prices
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.routing.settings import ModelSettings, RoutingSettings, Strategy, Target
from llm_gateway.web.routes import RouteBook
from tests.web.routed import PROVIDERS, Routed, chat, key, nothing_stays, works


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


def cheapest(**dollars: str) -> Routed:
    """:param dollars: what a million tokens cost at each provider."""
    providers = [
        replace(each, models=ModelRules([ModelRule("m", prices=Prices(input=price, output=price))]))
        if (price := dollars.get(each.name))
        else each
        for each in PROVIDERS
    ]
    gateway = Routed(key("vk", "a", "c"), routing=RoutingSettings(strategy=Strategy.CHEAPEST), providers=providers)
    book = price_book({each.name: each for each in providers})
    gateway.routes.price = lambda candidate: book.typical(candidate.provider, None, candidate.model, 0.0)
    return gateway


def asked_after(gateway: Routed) -> str:
    client = gateway.call()
    works(gateway.last)
    assert client.answer()[0] == 200
    return gateway.asked[-1]


def test_call_goes_to_the_cheaper_provider_though_it_is_listed_later() -> None:
    assert asked_after(cheapest(one="2", two="1.5")) == "c"
    assert asked_after(cheapest(one="1.5", two="2")) == "a"


def test_provider_without_a_price_comes_last() -> None:
    """Nothing known is not free of charge."""
    assert asked_after(cheapest(two="1000")) == "c"


def test_price_that_changes_with_the_hour_is_looked_at_again() -> None:
    gateway = cheapest()
    prices = {"one": 1.0, "two": 2.0}

    def price(candidate: Candidate) -> float:
        return prices[candidate.provider]

    gateway.routes.price = price
    assert asked_after(gateway) == "a"
    prices["one"] = 3.0
    assert asked_after(gateway) == "a"
    gateway.clock.advance(RouteBook.PRICES_HOLD_S)
    assert asked_after(gateway) == "c"


def test_prices_are_asked_for_where_they_decide_and_nowhere_else() -> None:
    """To read the list of them takes a call 3 ms."""
    both = Target("one", "m"), Target("two", "m")
    models = {"listed": ModelSettings(both, strategy=Strategy.IN_ORDER)}
    in_order = RoutingSettings(models=models, strategy=Strategy.CHEAPEST)
    gateway = Routed(key("vk", "a", "c"), routing=in_order)
    asked: list[str] = []

    def price(candidate: Candidate) -> float:
        asked.append(candidate.model)
        return 1.0 if candidate.provider == "two" else 2.0

    gateway.routes.price = price
    client = gateway.call(chat("listed"))
    works(gateway.last)
    assert (client.answer()[0], gateway.asked[-1], asked) == (200, "a", [])
    # The same candidates, of which one plan knows no price.
    assert asked_after(gateway) == "c"
    assert set(asked) == {"m"}
