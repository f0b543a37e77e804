"""``llmgateway prices``: what models cost, other lists of prices, and rating again what the ledger has."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from llm_gateway.cli.ledgers import add_ledger, existing_ledger, moment
from llm_gateway.config.load import DEFAULT_PRICES_FILE, choose_files, choose_prices, read_configuration
from llm_gateway.config.prices import (
    OWN,
    price_book,
    price_text,
    read_price_file,
    shipped_prices,
)
from llm_gateway.config.problems import suggestion
from llm_gateway.config.values import Provider
from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.genai import price_list
from llm_gateway.core.prices.lists import PriceList, changes, dollars, rates_of, read_list, written
from llm_gateway.core.prices.said import BadPrice
from llm_gateway.core.prices.values import CLASSES, FREE, Rates, cost
from llm_gateway.core.usage.values import Source
from llm_gateway.ledger import queries
from llm_gateway.ledger.queries import Rerated, rerate
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.store import StoreError

__all__ = ["add_parser"]

_DESCRIPTION = """\
Print what models cost, in dollars per million tokens: the prices of aiservices.json first, then those of the list. With
--model NAME, what each configured provider charges for that model, in full. Without a network.
"""

_EPILOG = """\
The list is the one that ships with the gateway, unless --prices, $PRICES_FILE or a prices.json in this folder says
otherwise.

examples:
  llmgateway prices
  llmgateway prices --model gpt-5.4
  llmgateway prices --provider anthropic --model 'claude-*' --format json
  llmgateway prices update new.json --to prices.json
  llmgateway prices re-rate --since 2026-11-01 --dry-run

exit status: 0 when there is something to print, 1 when no price is known or it cannot be done, 2 for wrong usage.
"""

_UPDATE = """\
Check a file with a list of prices, say what it changes, and put it where the gateway finds it. It has the form of the
prices.json that ships with the gateway, or is the data.json that the project genai-prices publishes.
"""

_RERATE = """\
Rate the attempts in the ledger again, by the prices of now for the time of each attempt, and write down the new cost
and the version of the prices. What has no price now keeps the cost that it has. Sums by hour follow. A running gateway
counts budgets on from what it has counted already, until it is started again.
"""


class _Failed(Exception):
    """It cannot be done. The message is one line for a person."""


class _Priced(msgspec.Struct, frozen=True):
    """One line of what is printed."""

    provider: str
    model: str
    rates: Rates
    times: str | None = None
    """In place of rates: what those of the list are multiplied by."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "prices",
        help="say what models cost, and rate the ledger again",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=plain,
        allow_abbrev=False,
    )
    _add_files(parser)
    parser.add_argument("--provider", metavar="NAME", help="only of this provider of aiservices.json, or this preset")
    parser.add_argument("--model", metavar="NAME", help="only this model; with *, all that fit")
    parser.add_argument("--at", metavar="TIME", help="as of then, as --since of re-rate (default: now)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to print (default: table)")
    parser.set_defaults(func=_command(_list, parser))

    more = parser.add_subparsers(title="more", dest="more", metavar="COMMAND")
    update = more.add_parser("update", help="take over another list", description=_UPDATE, formatter_class=plain)
    update.add_argument("file", metavar="FILE", help="the new list")
    update.add_argument(
        "--to", metavar="PATH", help="where it goes (default: $PRICES_FILE, else prices.json in this folder)"
    )
    update.add_argument("--dry-run", action="store_true", help="only say what would change")
    update.set_defaults(func=_command(_update, update))

    again = more.add_parser(
        "re-rate", help="rate the ledger again", description=_RERATE, formatter_class=plain, allow_abbrev=False
    )
    _add_files(again)
    add_ledger(again)
    again.add_argument(
        "--since", metavar="TIME", help="attempts from then on: 7d, 36h, 2026-11-01 or 2026-11-01T12:00 in UTC"
    )
    again.add_argument("--until", metavar="TIME", help="attempts before then")
    again.add_argument("--unpriced", action="store_true", help="only what has no price yet")
    again.add_argument("--dry-run", action="store_true", help="change nothing, only say what would change")
    again.add_argument("--format", choices=("table", "json"), default="table", help="how to print (default: table)")
    again.set_defaults(func=_command(_rerate, again))


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aiservices", metavar="FILE", help="the providers (default: $AISERVICES_FILE, else aiservices.json)"
    )
    parser.add_argument(
        "--prices", metavar="FILE", help="the list (default: $PRICES_FILE, else prices.json, else ours)"
    )


def _command(
    run: Callable[[argparse.Namespace, argparse.ArgumentParser], int], parser: argparse.ArgumentParser
) -> Callable[[argparse.Namespace], int]:
    def command(options: argparse.Namespace) -> int:
        try:
            return run(options, parser)
        except (_Failed, BadPrice, StoreError, OSError) as error:
            print(f"llmgateway prices: {error}", file=sys.stderr)
            return 1

    return command


# Showing them


def _list(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    now = datetime.now(UTC)
    at = now.timestamp() if options.at is None else moment(options.at, now, "--at", parser)
    providers, prices = _providers(options), _prices(options.prices)
    book = price_book(providers, prices)
    if options.provider is not None and options.provider not in {*providers, *prices.families}:
        known = suggestion(options.provider, {*providers, *prices.families}, what="providers")
        raise _Failed(f"there is no provider {options.provider!r}{known}")
    if options.model is not None and "*" not in options.model:
        found = list(_of_model(options.model, options.provider, providers, prices, book, at))
    else:
        found = [
            each
            for each in _all(providers, prices, book, at, _fits(options.model))
            if options.provider in (None, each.provider) or _family(options.provider, providers) == each.provider
        ]
    if not found:
        said = f"no price is known for {options.model}" if options.model else "no price is known"
        print(f'llmgateway prices: {said}; say what it costs under "prices" of the model in {OWN}', file=sys.stderr)
        return 1
    if options.format == "json":
        print(json.dumps([_document(each) for each in found], indent=2))
    elif options.model is not None and "*" not in options.model:
        for each in found:
            print(f"{each.provider}/{each.model}, in dollars per million tokens, by {each.rates.version}")
            print("".join(_table(list(_in_full(each.rates)), right=True)))
    else:
        print("".join(_table([_HEADING, *map(_line, found)], right=False)), end="")
    return 0


def _of_model(
    model: str,
    only: str | None,
    providers: Mapping[str, Provider],
    prices: PriceList,
    book: PriceBook,
    at: float,
) -> Iterator[_Priced]:
    """:return: what each provider charges for it; of those that are not configured, by the list."""
    families = {name: provider.family for name, provider in providers.items()}
    known = {family for family in families.values() if family}
    families |= {name: name for name in prices.families if name not in known and name not in families}
    for name, family in families.items():
        if only in (None, name) or only == family:
            rates = book.find(name, family, model, at)
            if rates is not None:
                yield _Priced(name, model, rates)


def _all(
    providers: Mapping[str, Provider],
    prices: PriceList,
    book: PriceBook,
    at: float,
    fits: Callable[[str], bool],
) -> Iterator[_Priced]:
    for name, provider in providers.items():
        for rule in provider.models.rules:
            if rule.prices is not None and fits(rule.pattern):
                times = rule.prices.times
                yield _Priced(name, rule.pattern, FREE if times else rates_of(rule.prices, OWN), times)
    for name, family in prices.families.items():
        for model in family.models:
            rates = book.listed_at(name, model, at) if fits(model.id) else None
            if rates is not None:
                yield _Priced(name, model.id, rates)


def _fits(pattern: str | None) -> Callable[[str], bool]:
    if pattern is None:
        return lambda _: True
    rules = ModelRules([ModelRule(pattern)])
    return lambda name: rules.find(name) is not None


def _family(name: str | None, providers: Mapping[str, Provider]) -> str | None:
    provider = providers.get(name or "")
    return name if provider is None else provider.family


_HEADING = ("PROVIDER", "MODEL", "INPUT", "CACHED", "OUTPUT", "BY", "BESIDES")


def _line(priced: _Priced) -> Sequence[str]:
    rates = priced.rates
    if priced.times is not None:
        return (priced.provider, priced.model, *(f"x {priced.times}" for _ in _ALWAYS), OWN, "-")
    besides = [f"{name} {dollars(getattr(rates, name))}" for name in _own_classes([rates]) if name not in _ALWAYS]
    besides += [f"{name} {dollars(each, 1)}" for name, each in rates.pieces.items()]
    if rates.request:
        besides.append(f"request {dollars(rates.request, 1)}")
    besides += [f"above {step.tokens}" for step in rates.above]
    besides += rates.tiers
    shown = (dollars(getattr(rates, name)) for name in _ALWAYS)
    return (priced.provider, priced.model, *shown, rates.version, ", ".join(besides) or "-")


_ALWAYS = ("input", "cached", "output")
_LIKE = {
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "cached_audio": "cached",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""What a class costs as much as, where it is not worth showing."""


def _own_classes(rates: Sequence[Rates]) -> list[str]:
    """:return: the classes of tokens that do not just cost what another does."""
    return [
        name
        for name in CLASSES
        if name in _ALWAYS or any(getattr(each, name) != getattr(each, _LIKE[name]) for each in rates)
    ]


def _in_full(rates: Rates) -> Iterator[Sequence[str]]:
    named = list(_kinds(rates))
    classes = _own_classes([each for _, each in named])
    pieces = sorted({name for _, each in named for name in each.pieces})
    request = ["request"] if any(each.request for _, each in named) else []
    yield ("", *classes, *request, *(f"a {name}" for name in pieces))
    for name, each in named:
        yield (
            name,
            *(dollars(getattr(each, column)) for column in classes),
            *(dollars(each.request, 1) for _ in request),
            *(dollars(each.pieces[piece], 1) if piece in each.pieces else "-" for piece in pieces),
        )


def _kinds(rates: Rates) -> Iterator[tuple[str, Rates]]:
    """:return: the rates of all calls that are charged differently."""
    for name, tier in (("standard", rates), *rates.tiers.items()):
        yield name, tier
        for step in tier.above:
            yield f"{name}, above {step.tokens} read", step.rates


def _document(priced: _Priced) -> dict[str, Any]:
    return {
        "provider": priced.provider,
        "model": priced.model,
        "version": priced.rates.version if priced.times is None else OWN,
        "prices": _of_rates(priced.rates) if priced.times is None else {"times": priced.times},
    }


def _of_rates(rates: Rates) -> dict[str, Any]:
    """:return: as ``prices`` of a model has it, with every class."""
    found: dict[str, Any] = {name: dollars(getattr(rates, name)) for name in CLASSES}
    if rates.request:
        found["request"] = dollars(rates.request, 1)
    if rates.pieces:
        found["pieces"] = {name: dollars(each, 1) for name, each in rates.pieces.items()}
    if rates.above:
        found["above"] = {str(step.tokens): _of_rates(step.rates) for step in rates.above}
    if rates.tiers:
        found["tiers"] = {name: _of_rates(each) for name, each in rates.tiers.items()}
    return found


def _table(rows: Sequence[Sequence[str]], *, right: bool) -> Iterable[str]:
    """
    :param right: whether all columns but the first are numbers.
    :return: lines with the columns below one another, the first one being the heading.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if right and position else f"{cell:{width}}"
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip() + "\n"


# Another list


def _update(options: argparse.Namespace, _: argparse.ArgumentParser) -> int:
    target = Path(options.to or os.environ.get("PRICES_FILE") or DEFAULT_PRICES_FILE)
    new, text = _new_list(Path(options.file))
    old = read_price_file(target) if target.exists() else shipped_prices()
    for line in changes(old, new):
        print(line)
    print(f"{old.version} -> {new.version}")
    if options.dry_run:
        return 0
    # Whoever reads it meanwhile reads the one or the other.
    beside = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        with beside.open("xb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    print(f"written to {target}; the gateway goes by it with --prices {target}, and from its next start or reload on")
    return 0


def _new_list(path: Path) -> tuple[PriceList, bytes]:
    """:return: the list, and the file that it is to be, if it is not that already."""
    text = price_text(path)
    if not text.lstrip().startswith(b"["):
        return read_price_file(path), text
    try:
        new, missing = price_list(text, f"genai-prices {path.name}", datetime.now(UTC).date().isoformat())
    except BadPrice as error:
        raise BadPrice(f"{path}: {error}") from None
    for each in missing:
        print(each)
    text = written(new).encode()
    # What was read there has not been looked at as closely as a list of ours is.
    return read_list(text), text


# The ledger


class _Change(msgspec.Struct):
    """What rating again does to the rows of one model."""

    rows: int = 0
    before: int = 0
    after: int = 0
    versions: set[str] = set()


class _Rating:
    """Rates rows by a book, and keeps account of what changes."""

    def __init__(self, book: PriceBook, family: Callable[[str], str | None], only_unpriced: bool) -> None:
        self._book = book
        self._family = family
        self._only_unpriced = only_unpriced
        self.changes: dict[tuple[str, str], _Change] = {}
        self.without: dict[tuple[str, str], int] = {}
        """Attempts that no price is known for, by provider and model."""

    def rate(self, row: Row) -> tuple[str | None, int | None] | None:
        """:return: as `llm_gateway.ledger.queries.Rate`."""
        if row.source is Source.NONE or (self._only_unpriced and row.cost is not None):
            return None
        model = row.model or row.model_asked or ""
        rates = self._book.find(row.provider, self._family(row.provider), model, row.at / 1e6, row.model_asked)
        if rates is None:
            self.without[row.provider, model] = self.without.get((row.provider, model), 0) + 1
            return None
        amount = cost(rates, row.usage)
        if (rates.version, amount) != (row.price, row.cost):
            change = self.changes.setdefault((row.provider, model), _Change())
            change.rows += 1
            change.before += row.cost or 0
            change.after += amount
            change.versions.add(rates.version)
        return rates.version, amount


def _rerate(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    now = datetime.now(UTC)
    since = None if options.since is None else moment(options.since, now, "--since", parser)
    until = None if options.until is None else moment(options.until, now, "--until", parser)
    providers, prices = _providers(options), _prices(options.prices)
    store = existing_ledger(options, "prices", parser)

    def family(provider: str) -> str | None:
        # Of one that is not configured any more, as if it had been the known one of that name.
        return _family(provider, providers) if provider in providers or provider in prices.families else None

    rating = _Rating(price_book(providers, prices), family, options.unpriced)
    try:
        total = rerate(store, rating.rate, since, until, dry_run=options.dry_run)
    finally:
        store.close()
    if options.format == "json":
        print(json.dumps(_told(rating, total, options.dry_run), indent=2))
    else:
        sys.stdout.writelines(_shown(rating, total, options.dry_run))
    return 0


def _shown(rating: _Rating, total: Rerated, dry_run: bool) -> Iterator[str]:
    rows: list[Sequence[str]] = [("MODEL", "ATTEMPTS", "BEFORE", "AFTER", "DIFFERENCE")]
    for (provider, model), change in sorted(rating.changes.items()):
        amounts = (change.before, change.after, change.after - change.before)
        rows.append((f"{provider}/{model}", str(change.rows), *(queries.dollars(each) for each in amounts)))
    if len(rows) > 1:
        yield from _table(rows, right=True)
        yield "\n"
    for (provider, model), count in sorted(rating.without.items()):
        yield f"no price: {provider}/{model}, {_count(count, 'attempt')}\n"
    done = "would change" if dry_run else "changed"
    yield (
        f"{_count(total.rows, 'attempt')} read, {total.changed} {done}; "
        f"{queries.dollars(total.before)} dollars before, {queries.dollars(total.after)} after\n"
    )


def _told(rating: _Rating, total: Rerated, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "attempts": total.rows,
        "changed": total.changed,
        "before": queries.dollars(total.before),
        "after": queries.dollars(total.after),
        "models": [
            {
                "provider": provider,
                "model": model,
                "attempts": change.rows,
                "before": queries.dollars(change.before),
                "after": queries.dollars(change.after),
                "versions": sorted(change.versions),
            }
            for (provider, model), change in sorted(rating.changes.items())
        ],
        "without_price": [
            {"provider": provider, "model": model, "attempts": count}
            for (provider, model), count in sorted(rating.without.items())
        ],
    }


# Options


def _providers(options: argparse.Namespace) -> Mapping[str, Provider]:
    """
    :raises _Failed: the file is wrong: prices would be, too.
    """
    keys_file, services_file = choose_files(None, options.aiservices, os.environ)
    reading = read_configuration(keys_file, services_file, os.environ)
    # Of keys.json nothing is needed here, not even that there is one.
    problems = [problem for problem in reading.problems if problem.file != keys_file]
    if problems:
        raise _Failed(f"{problems[0]}; `llmgateway check` tells all")
    return reading.configuration.providers


def _prices(named: str | None) -> PriceList:
    path = choose_prices(named, os.environ)
    return shipped_prices() if path is None else read_price_file(Path(path))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
