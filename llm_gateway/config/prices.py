"""The list of prices that ships with the gateway, in ``data/prices.json``, and the book that a configuration makes."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from llm_gateway.core.prices.lists import BadPrice, PriceList, read_list

__all__ = ["read_price_file", "shipped_prices"]


@cache
def shipped_prices() -> PriceList:
    """:return: the shipped list, the same one every time."""
    return read_list((resources.files("llm_gateway") / "data" / "prices.json").read_bytes())


def read_price_file(path: Path) -> PriceList:
    """
    :param path: a file in the form of ``data/prices.json``.
    :raises OSError: it cannot be read.
    :raises BadPrice: it is not a list of prices.
    """
    try:
        return read_list(path.read_bytes())
    except BadPrice as error:
        raise BadPrice(f"{path}: {error}") from None
