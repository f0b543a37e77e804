"""The list of prices that ships with the gateway, in ``data/prices.json``, and the book that a configuration makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llm_gateway.config.document import Object, Scalar
from llm_gateway.config.formats import ClassPricesEntry, PricesEntry, TierPricesEntry
from llm_gateway.config.problems import Spot
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import Provider
from llm_gateway.core.prices.lists import PriceList, checked_list, factor, pico, read_list
from llm_gateway.core.prices.said import BadPrice, Prices
from llm_gateway.core.prices.values import CLASSES
from llm_gateway.shipped import DATA

if TYPE_CHECKING:
    from llm_gateway.core.prices.book import PriceBook

__all__ = ["OWN", "price_book", "price_text", "read_price_file", "read_prices", "shipped_prices"]

OWN = "aiservices.json"
"""The version of prices that the operator has written there."""

MAX_BYTES = 16 * 1024 * 1024
"""Of a list. The one that ships has a quarter of a megabyte."""

_PIECE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKENS = re.compile(r"[1-9][0-9]{0,9}")


@cache
def shipped_prices() -> PriceList:
    """:return: the shipped list, the same one every time."""
    text = (DATA / "prices.json").read_bytes()
    # What is in it has been checked when it was made.
    return checked_list(text)


def read_price_file(path: Path) -> PriceList:
    """
    :param path: a file in the form of ``data/prices.json``.
    :raises OSError: it cannot be read.
    :raises BadPrice: it is not a list of prices.
    """
    text = price_text(path)
    try:
        return read_list(text)
    except BadPrice as error:
        raise BadPrice(f"{path}: {error}") from None


def price_text(path: Path) -> bytes:
    """
    :return: what is in the file.
    :raises OSError: it cannot be read.
    :raises BadPrice: it is too long for a list of prices.
    """
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise BadPrice(f"{path}: is longer than {MAX_BYTES} bytes")
    return text


def price_book(providers: Mapping[str, Provider], prices: PriceList | None = None) -> PriceBook:
    """
    :param providers: the configuration's.
    :param prices: the list to go by, where the operator says nothing; ``None`` for the shipped one.
    """
    from llm_gateway.core.prices.book import OwnPrices, PriceBook

    own = {
        name: OwnPrices(provider.models, OWN)
        for name, provider in providers.items()
        if any(rule.prices is not None or rule.target is not None for rule in provider.models.rules)
    }
    return PriceBook(prices or shipped_prices(), own)


def read_prices(spot: Spot) -> Prices | None:
    """
    Read the ``prices`` of a model.

    :return: None when something has been reported.
    """
    before = len(spot.report.problems)
    if not is_object(spot):
        return None
    assert isinstance(spot.node, Object)
    values = _classes(spot, PricesEntry)
    by_tokens = "input" in values or "output" in values
    if spot.field("times") is not spot:
        if len(spot.node.members) > 1:
            spot.field("times").wrong("stands alone: what is charged is the price of the list times this")
    elif not spot.node.members:
        spot.wrong('must not be empty; {"input": 0, "output": 0} is for a model that costs nothing')
    elif by_tokens or not (values.keys() & {"request", "pieces"}):
        # Whoever leaves one out by mistake gives tokens away, and every budget with them.
        for name in ("input", "output"):
            if name not in values and spot.field(name) is spot:
                spot.wrong(f'needs a field "{name}"; 0 is for what costs nothing')
    return Prices(**values) if len(spot.report.problems) == before else None


def _classes(spot: Spot, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """:return: the fields of `Prices` that are right."""
    if not is_object(spot):
        return {}
    read_fields(spot, shape, quote=True, aside=frozenset(shape.__struct_fields__))
    values: dict[str, Any] = {}
    for name in shape.__struct_fields__:
        there = spot.field(name)
        if there is spot:
            continue
        if name in CLASSES or name == "request":
            value: Any = _price(there, 1 if name == "request" else 1_000_000)
        elif name == "times":
            value = _times(there)
        elif name == "pieces":
            value = dict(_pieces(there))
        elif name == "above":
            value = dict(_above(there))
        else:
            value = dict(_tiers(there))
        if value is not None:
            values[name] = value
    return values


def _text(spot: Spot, what: str) -> str | None:
    """
    :param what: what it must be: ``dollars``.
    :return: a number as it was written; None when it has been reported that it is none.
    """
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        spot.wrong(f"must be {what}, not {spot.node.kind}")
        return None
    # What a float was written as is what it is shown as, up to 15 digits; a price has fewer.
    return value if isinstance(value, str) else f"{Decimal(repr(value)):f}"


def _times(spot: Spot) -> str | None:
    text = _text(spot, 'a number, also as text such as "0.85"')
    if text is not None:
        try:
            factor(text)
        except BadPrice as error:
            spot.wrong(str(error))
            return None
    return text


def _price(spot: Spot, per: int = 1_000_000) -> str | None:
    """:return: the price as `Prices` has it; None when it has been reported."""
    text = _text(spot, 'dollars, as a number or as text such as "2.50"')
    if text is None:
        return None
    try:
        exact = pico(text, per) * per == Decimal(text) * 10**12
    except BadPrice as error:
        spot.wrong(str(error))
        return None
    if not exact:
        spot.wrong(f"must not have more than {6 if per > 1 else 12} digits behind the point")
        return None
    return text


def _pieces(spot: Spot) -> Iterator[tuple[str, str]]:
    for name, there in _named(spot, "piece", _PIECE, "the name of a piece, such as web_search"):
        price = _price(there, 1)
        if price is not None:
            yield name, price


def _above(spot: Spot) -> Iterator[tuple[str, Prices]]:
    for name, there in _named(spot, "number of tokens", _TOKENS, 'a number of tokens, such as "200000"'):
        yield name, Prices(**_classes(there, ClassPricesEntry))


def _tiers(spot: Spot) -> Iterator[tuple[str, Prices]]:
    for name, there in _named(spot, "tier", _PIECE, "the name of a service tier, such as priority"):
        yield name, Prices(**_classes(there, TierPricesEntry))


def _named(spot: Spot, what: str, pattern: re.Pattern[str], expected: str) -> Iterator[tuple[str, Spot]]:
    """Go through an object whose names fit a pattern, reporting the others."""
    if not is_object(spot):
        return
    for name, there in members(spot, what=what, quote=True):
        if pattern.fullmatch(name):
            yield name, there
        else:
            spot.report.add(there.line, there.place, f"is not {expected}")
