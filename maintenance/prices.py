"""
The shipped list of prices, made from what the package genai-prices knows.

``python -m maintenance.prices`` makes ``llm_gateway/data/prices.json`` anew from the installed release of genai-prices,
a development dependency, and says what has changed, what could not be taken over, and which models of the catalogue
have no price. ``--dry-run`` writes nothing. Nothing is fetched: another release comes with ``make lock``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ModelPrice

from llm_gateway.config.catalogue import shipped_models
from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.genai import NotTaken, price_list
from llm_gateway.core.prices.lists import PriceList, changes, read_list, written

__all__ = ["made", "main", "published", "unpriced"]

PRICES = Path(__file__).parents[1] / "llm_gateway" / "data" / "prices.json"
PACKAGE = "genai-prices"
_LICENCE = ", see prices.LICENSE.txt"


def published() -> bytes:
    """:return: what is in the package, in the form of the file that the project publishes."""
    return json.dumps([_plain(provider) for provider in providers]).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, ModelPrice):
        return {name: _plain(each) for name, each in vars(value).items()}
    if dataclasses.is_dataclass(value):
        # Names such as "or" are no names for Python.
        names = [field.name for field in dataclasses.fields(value) if field.name != "extractors"]
        fields = ((name, getattr(value, name)) for name in names)
        return {name.removesuffix("_"): _plain(each) for name, each in fields if each is not None}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, (date, time)) else value


def made(day: str) -> tuple[PriceList, list[NotTaken]]:
    """
    :param day: ``YYYY-MM-DD``, on which this is done.
    :return: the list, and what is not in it.
    """
    prices, missing = price_list(published(), f"{PACKAGE} {version(PACKAGE)}", day)
    text = written(prices).replace("MIT licence", f"MIT licence{_LICENCE}", 1)
    return read_list(text.encode()), missing


def unpriced(prices: PriceList, now: float) -> Iterator[str]:
    """:return: the models of the catalogue that have no price."""
    book = PriceBook(prices)
    for name, family in shipped_models().families.items():
        for model in family.models:
            if book.find("", name, model, now) is None:
                yield f"no price   {name}/{model}"


def _said(lines: Iterable[object]) -> None:
    for line in lines:
        print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    :return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m maintenance.prices", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--file", type=Path, default=PRICES, help="the file to write")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="the day of the list, YYYY-MM-DD")
    options = parser.parse_args(arguments)
    try:
        now = datetime.combine(date.fromisoformat(options.date), datetime.min.time(), UTC).timestamp()
        old = read_list(options.file.read_bytes()) if options.file.exists() else None
    except (OSError, ValueError) as error:
        print(f"maintenance.prices: {error}", file=sys.stderr)
        return 1
    new, missing = made(options.date)
    _said(missing)
    if old is not None:
        _said(changes(old, new))
    _said(unpriced(new, now))
    if not options.dry_run:
        options.file.write_text(written(new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
