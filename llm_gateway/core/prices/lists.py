"""
A list of prices as a file has it, and the rates that it comes to.

Money is written in dollars: per million tokens, per piece, per call, as text (``"0.075"``), so that nothing is rounded
on the way. A class of tokens without a price of its own is charged for like another one:

=====================  ===========================================
``cached``             ``input``
``cache_write``        ``input``
``cache_write_1h``     ``cache_write``
``audio_input``        ``input``
``cached_audio``       ``audio_input`` if that has one, or ``cached``
``image_input``        ``input``
``output``             nothing
``reasoning``          ``output``
``audio_output``       ``output``
``image_output``       ``output``
=====================  ===========================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import msgspec

from llm_gateway.core.prices.said import MAX_DOLLARS, MAX_FACTOR, BadPrice, Prices
from llm_gateway.core.prices.values import CLASSES, Above, Rates

__all__ = [
    "Family",
    "Listed",
    "Period",
    "PriceList",
    "changes",
    "checked_list",
    "dollars",
    "pico",
    "rates_of",
    "read_list",
]

_AMOUNT = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,18})?")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_LIKE = {
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""In this order, ``cached_audio`` aside."""


# The collector need not look at a list, which has no cycles: it is large, and there for as long as the program.


class Period(Prices, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Prices and when they are charged: the last one of a model's that fits counts, and if none does, the first one."""

    start: str | None = None
    """The day from which on, ``YYYY-MM-DD``, in UTC."""
    hours: tuple[str, str] | None = None
    """From and up to this time of the day in UTC, ``HH:MM``; it may be over midnight."""


class Listed(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One model."""

    id: str
    names: tuple[str, ...] = ()
    """What it is called, in small letters: names count before patterns. ``*`` stands for any characters, ``#`` for a
    digit. Without any, it is called as its ``id``."""
    but_not: tuple[str, ...] = ()
    """Patterns of what is not meant, though ``names`` would fit."""
    prices: tuple[Period, ...]
    """None at all: it costs nothing."""


class Family(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The models of one provider as it calls them."""

    title: str
    source: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Families whose models it may have besides, at the same prices."""
    models: tuple[Listed, ...] = ()


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: str
    """What rows of the ledger say: ``genai-prices 0.2.3, 2026-11-20``."""
    date: str
    """The day on which the prices were true, ``YYYY-MM-DD``."""
    made_from: tuple[str, ...] = ()
    families: Mapping[str, Family] = {}
    """By the name of the preset that is their provider."""


class _Sealed(msgspec.Struct):
    """A list whose families have not been looked into."""

    version: str
    date: str
    made_from: tuple[str, ...] = ()
    families: dict[str, msgspec.Raw] = {}


class _Families(Mapping[str, Family]):
    """Families that are read when somebody asks for them: no gateway has providers of all of them."""

    def __init__(self, sealed: dict[str, msgspec.Raw]) -> None:
        self._sealed = sealed
        self._read: dict[str, Family] = {}

    def __getitem__(self, name: str) -> Family:
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = msgspec.json.decode(self._sealed[name], type=Family)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._sealed

    def __iter__(self) -> Iterator[str]:
        return iter(self._sealed)

    def __len__(self) -> int:
        return len(self._sealed)


def pico(text: str, per: int = 1_000_000) -> int:
    """
    :param text: dollars: ``2.50``.
    :param per: for how many of what one is charged for.
    :return: what one costs, in 10^-12 dollars, rounded half up where it is not whole.
    :raises BadPrice: it is not an amount.
    """
    if not _AMOUNT.fullmatch(text):
        raise BadPrice(f"must be dollars as a decimal number from 0 to {MAX_DOLLARS}, such as 2.50")
    try:
        amount = Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern lets nothing through that Decimal does not take
        raise BadPrice("must be a number") from None
    if amount > MAX_DOLLARS:
        raise BadPrice(f"must not be more than {MAX_DOLLARS} dollars")
    return int((amount * (10**12 // per)).to_integral_value(ROUND_HALF_UP))


def dollars(pico: int, per: int = 1_000_000) -> str:
    """
    :return: the other way round: dollars, without zeros at the end: ``2.5``.
    """
    text = f"{Decimal(pico * per).scaleb(-12):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rates_of(prices: Prices, version: str) -> Rates:
    """
    :return: the rates, with those of classes that have no price of their own.
    :raises BadPrice: something in it is not a price.
    """
    return _rates(_own(prices), prices, version, prices.tiers)


def factor(text: str) -> Decimal:
    """
    :param text: what prices are multiplied by: ``0.85``.
    :raises BadPrice: it is not such a number.
    """
    if not _AMOUNT.fullmatch(text) or Decimal(text) > MAX_FACTOR:
        raise BadPrice(f"must be a decimal number from 0 to {MAX_FACTOR}, such as 0.85")
    return Decimal(text)


def scaled(rates: Rates, by: Decimal, version: str) -> Rates:
    """
    :return: every rate times that, rounded half up.
    """

    def one(rate: int) -> int:
        return int((rate * by).to_integral_value(ROUND_HALF_UP))

    return Rates(
        **{name: one(getattr(rates, name)) for name in CLASSES},
        request=one(rates.request),
        pieces={name: one(rate) for name, rate in rates.pieces.items()},
        above=tuple(Above(step.tokens, scaled(step.rates, by, version)) for step in rates.above),
        tiers={name: scaled(tier, by, version) for name, tier in rates.tiers.items()},
        version=version,
    )


def _rates(texts: Mapping[str, str], prices: Prices, version: str, tiers: Mapping[str, Prices]) -> Rates:
    own = {name: _pico(name, text) for name, text in texts.items()}
    request = 0 if prices.request is None else _pico("request", prices.request, 1)
    pieces = {name: _pico(f"pieces.{name}", text, 1) for name, text in prices.pieces.items()}
    above = []
    for tokens, step in sorted(_steps(prices)):
        try:
            above.append(Above(tokens, _rates({**texts, **_own(step)}, _over(step, prices), version, {})))
        except BadPrice as error:
            raise BadPrice(f"above.{tokens}.{error}") from None
    made = {}
    for name, tier in tiers.items():
        try:
            made[name] = _rates({**texts, **_own(tier)}, _over(tier, prices, tier.above), version, {})
        except BadPrice as error:
            raise BadPrice(f"tiers.{name}.{error}") from None
    return Rates(**_complete(own), request=request, pieces=pieces, above=tuple(above), tiers=made, version=version)


def _own(prices: Prices) -> dict[str, str]:
    if prices.times is not None:
        raise BadPrice("times: is for the whole price of a model, in aiservices.json")
    return {name: text for name in CLASSES if (text := getattr(prices, name)) is not None}


def _over(prices: Prices, base: Prices, above: Mapping[str, Prices] | None = None) -> Prices:
    """:return: what is not charged by the token, from the one or else the other."""
    return Prices(
        request=base.request if prices.request is None else prices.request,
        pieces={**base.pieces, **prices.pieces},
        above=dict(above or {}),
    )


def _steps(prices: Prices) -> Iterator[tuple[int, Prices]]:
    for text, step in prices.above.items():
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise BadPrice("above: must be by a whole number of tokens")
        if step.above or step.tiers:
            raise BadPrice(f"above.{text}: has neither above nor tiers of its own")
        yield int(text), step


def _pico(name: str, text: str, per: int = 1_000_000) -> int:
    try:
        return pico(text, per)
    except BadPrice as error:
        raise BadPrice(f"{name}: {error}") from None


def _complete(own: Mapping[str, int]) -> dict[str, int]:
    rates = dict(own)
    rates.setdefault("input", 0)
    rates.setdefault("output", 0)
    for name, other in _LIKE.items():
        rates.setdefault(name, rates[other])
    rates.setdefault("cached_audio", rates["audio_input"] if "audio_input" in own else rates["cached"])
    return rates


def starts_at(period: Period) -> float:
    """
    :return: seconds since the epoch; minus infinity where it was always so.
    :raises BadPrice: that is not a day.
    """
    if period.start is None:
        return float("-inf")
    try:
        day = date.fromisoformat(period.start)
    except ValueError:
        raise BadPrice("start: must be a day, YYYY-MM-DD") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def hours_of(period: Period) -> tuple[int, int] | None:
    """
    :return: seconds since midnight, from and up to.
    :raises BadPrice: those are not times.
    """
    if period.hours is None:
        return None
    if not all(_TIME.fullmatch(text) for text in period.hours):
        raise BadPrice("hours: must be two times, HH:MM")
    since, until = (int(text[:2]) * 3600 + int(text[3:]) * 60 for text in period.hours)
    return since, until


def checked_list(text: bytes) -> PriceList:
    """
    :param text: of a file in which all is as it has to be: a list that ships.
    """
    found = msgspec.json.decode(text, type=_Sealed)
    return PriceList(
        version=found.version, date=found.date, made_from=found.made_from, families=_Families(found.families)
    )


def read_list(text: bytes) -> PriceList:
    """
    Read a file and check all that is in it.

    :raises BadPrice: it is not a list of prices.
    """
    try:
        found = msgspec.json.decode(text, type=PriceList)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadPrice(str(error)) from None
    if not found.version or len(found.version) > 100 or not found.version.isprintable():
        raise BadPrice("version: must be 1 to 100 printable characters")
    for name, family in found.families.items():
        for other in family.also:
            if other not in found.families:
                raise BadPrice(f"families.{name}.also: there is no family {other}")
        ids: set[str] = set()
        for model in family.models:
            if model.id in ids:
                raise BadPrice(f"families.{name}, model {model.id}: is there twice")
            ids.add(model.id)
            for period in model.prices:
                try:
                    rates_of(period, "")
                    starts_at(period)
                    hours_of(period)
                except BadPrice as error:
                    raise BadPrice(f"families.{name}, model {model.id}: {error}") from None
    return found


def changes(old: PriceList, new: PriceList) -> Iterator[str]:
    """:return: a line for each model that is new, gone, has other prices or other names."""
    for name in dict.fromkeys([*old.families, *new.families]):
        before, after = (
            {model.id: model for model in each.families[name].models} if name in each.families else {}
            for each in (old, new)
        )
        for model in dict.fromkeys([*before, *after]):
            if model not in after:
                yield f"gone       {name}/{model}"
            elif model not in before:
                yield f"new        {name}/{model}"
            elif before[model].prices != after[model].prices:
                yield f"price      {name}/{model}"
            elif before[model] != after[model]:
                yield f"name       {name}/{model}"


def written(prices: PriceList) -> str:
    """:return: the file, with a line for each model, so that a change of one is a change of one line."""
    head = {"version": prices.version, "date": prices.date, "made_from": list(prices.made_from)}
    lines = [f"  {_line(name)}: {_line(value)},\n" for name, value in head.items()]
    families = []
    for name, family in prices.families.items():
        facts = msgspec.to_builtins(msgspec.structs.replace(family, models=()))
        rest = "".join(f"      {_line(each)}: {_line(value)},\n" for each, value in facts.items())
        models = ",\n".join(f"        {_line(msgspec.to_builtins(model))}" for model in family.models)
        families.append(f'    {_line(name)}: {{\n{rest}      "models": [\n{models}\n      ]\n    }}')
    return "{\n" + "".join(lines) + '  "families": {\n' + ",\n".join(families) + "\n  }\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
