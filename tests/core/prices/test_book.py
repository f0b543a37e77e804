"""Which price counts for a model: the operator's, or the one of the list, at the time of the call."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.prices.book import OwnPrices, PriceBook
from llm_gateway.core.prices.lists import Family, Listed, Period, PriceList
from llm_gateway.core.prices.said import Prices
from llm_gateway.core.prices.values import Cost
from llm_gateway.core.usage.values import Usage


def at(text: str) -> float:
    """:param text: ``2026-11-22 18:00``, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-22 12:00")

LIST = PriceList(
    version="list of tests, 2026-11-22",
    date="2026-11-22",
    families={
        "openai": Family(
            title="OpenAI",
            models=(
                Listed(id="gpt-9", names=("gpt-9", "gpt-9-2026-01-31"), prices=(Period(input="1"),)),
                Listed(id="gpt-9-mini", names=("gpt-9-mini*",), prices=(Period(input="0.1"),)),
                Listed(
                    id="wide", names=("gpt-8*", "gpt-8.#-x"), but_not=("*-tts", "*-tts-*"), prices=(Period(input="8"),)
                ),
                Listed(id="gpt-8-tts", prices=(Period(input="88"),)),
                Listed(id="gpt-7-######", names=("GPT-7-######",), prices=(Period(input="7"),)),
                Listed(id="free", prices=()),
            ),
        ),
        "azure": Family(title="Azure", also=("openai",), models=(Listed(id="gpt-9", prices=(Period(input="1.5"),)),)),
        "deepseek": Family(
            title="DeepSeek",
            models=(
                Listed(
                    id="v9",
                    prices=(
                        Period(input="1"),
                        Period(input="2", start="2026-08-17"),
                        Period(input="4", hours=("01:00", "04:00")),
                        Period(input="3", hours=("22:00", "00:30")),
                    ),
                ),
                Listed(
                    id="later", prices=(Period(input="1", start="2027-01-01"), Period(input="2", start="2027-02-01"))
                ),
            ),
        ),
    },
)


def price(model: str, when: float = NOW, family: str | None = "openai", book: PriceBook | None = None) -> int | None:
    """:return: of a million tokens read, in dollars."""
    rates = (book or PriceBook(LIST)).find("mine", family, model, when)
    return None if rates is None else rates.input


@pytest.mark.parametrize(
    ("model", "micro"),
    [
        ("gpt-9", 1_000_000),
        ("GPT-9", 1_000_000),
        ("models/gpt-9", 1_000_000),
        ("gpt-9-2026-01-31", 1_000_000),
        ("gpt-9-20260131", 1_000_000),
        ("gpt-9-2027-02-03", 1_000_000),
        ("gpt-9@20270203", 1_000_000),
        ("gpt-9-mini", 100_000),
        ("gpt-9-mini-2026-05-05", 100_000),
        ("gpt-9-max", None),
        ("gpt-90", None),
        ("gpt-8", 8_000_000),
        ("gpt-8-anything", 8_000_000),
        ("gpt-8-tts", 88_000_000),
        ("gpt-8-tts-large", None),
        ("gpt-7-123456", 7_000_000),
        ("gpt-7-12345a", None),
        ("free", 0),
        ("", None),
        ("*", None),
    ],
)
def test_model_is_found_under_the_names_that_providers_answer_with(model: str, micro: int | None) -> None:
    """With dates of all kinds behind it, and in capitals; but a longer name is another model."""
    assert price(model) == micro


def test_price_says_where_it_is_from() -> None:
    rates = PriceBook(LIST).find("mine", "openai", "gpt-9", NOW)
    assert rates is not None
    assert rates.version == "list of tests, 2026-11-22"
    assert PriceBook(LIST).rate("mine", "openai", "gpt-9", Usage(input=1_000), NOW) == Cost(1_000_000, rates.version)
    assert PriceBook(LIST).rate("mine", "openai", "gpt-0", Usage(input=1_000), NOW) is None


def test_provider_that_has_the_models_of_others_charges_its_own_price_first() -> None:
    assert price("gpt-9", family="azure") == 1_500_000
    assert price("gpt-9-mini", family="azure") == 100_000


@pytest.mark.parametrize("family", [None, "", "nobody"])
def test_server_of_nobody_known_has_no_prices(family: str | None) -> None:
    """A model's name at an address of one's own says nothing of what it costs there."""
    assert price("gpt-9", family=family) is None


@pytest.mark.parametrize(
    ("when", "micro"),
    [
        ("2020-01-01 12:00", 1_000_000),
        ("2026-08-16 23:59:59", 3_000_000),
        ("2026-08-16 21:59:59", 1_000_000),
        ("2026-08-17 00:00", 3_000_000),
        ("2026-08-17 00:30", 2_000_000),
        ("2026-08-17 01:00", 4_000_000),
        ("2026-08-17 03:59:59", 4_000_000),
        ("2026-08-17 04:00", 2_000_000),
        ("2026-08-17 22:00", 3_000_000),
    ],
)
def test_price_is_the_one_of_the_time_of_the_call(when: str, micro: int) -> None:
    assert price("v9", at(when), "deepseek") == micro


def test_price_that_is_announced_counts_where_there_is_none_yet() -> None:
    assert price("later", NOW, "deepseek") == 1_000_000
    assert price("later", at("2027-02-01 00:00"), "deepseek") == 2_000_000


@given(st.lists(st.datetimes(datetime(2026, 8, 15), datetime(2026, 8, 20)), min_size=2, max_size=20))
def test_what_was_found_before_is_not_charged_at_another_time(whens: list[datetime]) -> None:
    """The book remembers prices only for as long as they hold."""
    book = PriceBook(LIST)
    for when in whens:
        seconds = when.replace(tzinfo=UTC).timestamp()
        assert price("v9", seconds, "deepseek", book) == price("v9", seconds, "deepseek")


def own(*rules: ModelRule) -> PriceBook:
    return PriceBook(LIST, {"mine": OwnPrices(ModelRules(rules), "aiservices.json")})


def costing(name: str, dollars: str, target: str | None = None) -> ModelRule:
    return ModelRule(name, target, prices=Prices(input=dollars, output="0"))


@pytest.mark.parametrize(
    ("model", "micro"),
    [
        ("gpt-9", 5_000_000),
        ("gpt-9-mini", 6_000_000),
        ("gpt-9-mini-x", 6_000_000),
        ("mine", 7_000_000),
        ("deployment-1", 7_000_000),
        ("vendor/some", 9_000_000),
        ("our-some", 9_000_000),
        ("gpt-8", 8_000_000),
    ],
)
def test_price_of_the_operator_counts_before_the_list(model: str, micro: int) -> None:
    """Whether the model is called as in ``aiservices.json`` or, in the provider's answer, as it is called there."""
    book = own(
        costing("gpt-9*", "6"),
        costing("gpt-9", "5"),
        costing("mine", "7", "deployment-1"),
        costing("our-*", "9", "vendor/*"),
    )
    assert price(model, book=book) == micro


def test_dated_name_in_an_answer_is_the_model_that_the_operator_prices() -> None:
    """He writes down what he asks for; providers answer with the snapshot that it stands for."""
    book = own(costing("gpt-9", "5"))
    assert price("gpt-9-2026-01-31", book=book) == 5_000_000
    assert price("gpt-9-2026-01-31") == 1_000_000


@pytest.mark.parametrize(
    ("answered", "asked", "micro"),
    [
        ("gpt-9", "auto", 2_000_000),
        ("gpt-9", "gpt-9-mini", 1_000_000),
        ("gpt-0", "gpt-9-mini", 100_000),
        ("gpt-0", "deployment-1", 1_000_000),
        ("gpt-7", "gpt-0", 4_000_000),
        ("gpt-0", "gpt-0", None),
    ],
)
def test_what_the_operator_asks_for_counts_first_and_in_the_list_what_answered(
    answered: str, asked: str, micro: int | None
) -> None:
    book = own(costing("auto", "2"), costing("gpt-7", "4"), ModelRule("gpt-9", "deployment-1"))
    rates = book.find("mine", "openai", answered, NOW, asked)
    assert (None if rates is None else rates.input) == micro


def test_cheaper_of_two_providers_is_told_by_what_they_charge() -> None:
    book = own(costing("gpt-9", "0.5"))
    mine, other = (book.typical(provider, "openai", "gpt-9", NOW) for provider in ("mine", "other"))
    assert mine is not None
    assert other is not None
    assert mine < other
    assert book.typical("mine", None, "gpt-0", NOW) is None


def test_price_of_the_operator_is_for_his_provider_only() -> None:
    rates = own(costing("gpt-9", "5")).find("other", "openai", "gpt-9", NOW)
    assert rates is not None
    assert rates.version == LIST.version


@pytest.mark.parametrize(
    ("model", "micro"), [("deployment-1", 1_000_000), ("eu.gpt-9-mini", 100_000), ("deployment-2", None)]
)
def test_deployment_costs_what_the_model_does_that_it_stands_for(model: str, micro: int | None) -> None:
    """An Azure deployment may be called anything; the operator says of which model it is."""
    book = own(ModelRule("gpt-9", "deployment-1"), ModelRule("gpt-*", "eu.gpt-*"), ModelRule("any-*", "deployment-2"))
    assert price(model, book=book) == micro


def test_names_that_callers_make_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PriceBook, "MAX_KNOWN", 8)
    book = PriceBook(LIST)
    for number in range(100):
        assert price(f"made-up-{number}", book=book) is None
    assert len(book._known) <= 8
    assert price("gpt-9", book=book) == 1_000_000


def test_list_can_be_shown_as_it_is_at_a_time() -> None:
    book = own(costing("gpt-9", "5"))
    [first, *_] = LIST.families["openai"].models
    rates = book.listed_at("openai", first, NOW)
    assert rates is not None
    assert rates.input == 1_000_000
    assert book.listed_at("nobody", first, NOW) is None


def test_rule_with_prices_reaches_workers_as_it_is() -> None:
    """Rules are sent as JSON, and can be members of sets."""
    rule = ModelRule(
        "a", prices=Prices(input="1", output="2", pieces={"images": "0.04"}, tiers={"x": Prices(input="2")})
    )
    assert msgspec.json.decode(msgspec.json.encode(rule), type=ModelRule) == rule
    assert len({rule, rule}) == 1
