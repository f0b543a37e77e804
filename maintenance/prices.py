"""
The shipped list of prices, made from what the package genai-prices knows.

``python -m maintenance.prices`` makes ``llm_gateway/data/prices.json`` anew from the installed release of genai-prices,
a development dependency, and says what has changed, what could not be taken over, and which models of the catalogue
have no price. ``--dry-run`` writes nothing. Nothing is fetched: another release comes with ``make lock``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import types
from genai_prices.data import providers

from llm_gateway.config.catalogue import shipped_models
from llm_gateway.core.prices.book import PriceBook
from llm_gateway.core.prices.lists import Family, Listed, Period, PriceList, Prices, changes, read_list

__all__ = ["NotTaken", "made", "main", "unpriced", "written"]

PRICES = Path(__file__).parents[1] / "llm_gateway" / "data" / "prices.json"
PACKAGE = "genai-prices"

NAMES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "azure": "azure",
    "bedrock": "aws",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "groq": "groq",
    "cerebras": "cerebras",
    "openrouter": "openrouter",
    "together": "together",
    "fireworks": "fireworks",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "moonshot": "moonshotai",
    "zai": "zai",
    "minimax": "minimax",
}
"""What genai-prices calls the providers that the gateway has presets for. It knows nothing of the others."""

CLASSES = {
    "input_mtok": "input",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "cached_audio",
    "input_image_mtok": "image_input",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
    "output_image_mtok": "image_output",
}
PIECES = {
    "web_searches_kcount": ("web_search", 1000),
    "storage_searches_kcount": ("file_search", 1000),
    "audio_hours": ("seconds", 3600),
    "input_audio_hours": ("seconds", 3600),
    "input_mchars": ("characters", 1_000_000),
    "input_document_kpages": ("pages", 1000),
    "input_annotated_document_kpages": ("annotated_pages", 1000),
}
"""What is charged by the piece, and for how many of them the price is."""
PER_REQUEST = ("requests_kcount", 1000)
NOT_COUNTED = {
    "cache_image_read_mtok": "cached images count as what is cached",
    "input_video_mtok": "video counts as input",
    "output_video_mtok": "video counts as output",
    "output_citation_mtok": "no answer counts citations apart",
    "input_text_messages_kcount": "of calls over sockets, which are not relayed",
}
"""What the ledger has no class for."""
TIERS = {"service_tier": None, "processing": {"batch": "batch"}, "speed": {"fast": "fast"}}
"""What makes a variant of a price that answers tell; ``None`` for any value."""
FREE = re.compile(r":free$|^gemma-|^moderation$")
"""What costs nothing, of what has no price there. Of others it is not known."""

_NOT_SPEECH = r"^(?!.*-[tT][tT][sS](?:$|-))"
_SPEECH = ("*-tts", "*-tts-*")
_DIGITS = re.compile(r"\\d(?:\{(\d+)\})?")
_ESCAPED = re.compile(r"\\([.\-/])")
_ONE_OF = re.compile(r"\[([^\]]+)\]")


class NotTaken(msgspec.Struct, frozen=True):
    """Something that is known there and not here."""

    family: str
    model: str
    why: str

    def __str__(self) -> str:
        return f"not taken  {self.family}/{self.model}: {self.why}"


def made(day: str) -> tuple[PriceList, list[NotTaken]]:
    """
    :param day: ``YYYY-MM-DD``, on which this is done.
    :return: the list, and what is not in it.
    """
    theirs = {provider.id: provider for provider in providers}
    ours = {name: family for family, name in NAMES.items()}
    missing: list[NotTaken] = []
    families = {}
    for family, name in NAMES.items():
        provider = theirs[name]
        models = [found for model in provider.models if (found := _listed(model, family, missing)) is not None]
        families[family] = Family(
            title=provider.name,
            source=tuple(provider.pricing_urls or ()),
            also=tuple(ours[other] for other in provider.fallback_model_providers or () if other in ours),
            models=tuple(models),
        )
    release = f"{PACKAGE} {version(PACKAGE)}"
    origin = f"{release}, https://github.com/pydantic/genai-prices, MIT licence, see prices.LICENSE.txt"
    return PriceList(version=f"{release}, {day}", date=day, made_from=(origin,), families=families), missing


def _listed(model: types.ModelInfo, family: str, missing: list[NotTaken]) -> Listed | None:
    names: list[str] = []
    but_not: list[str] = []
    for clause in _clauses(model.match):
        found = _pattern(clause)
        if found is None:
            missing.append(NotTaken(family, model.id, f"its name is told by {clause}"))
            continue
        names += found[0]
        but_not += found[1]
    periods = _periods(model, family, missing)
    if periods is None or not names:
        return None
    names = list(dict.fromkeys(names))
    alone = names == [model.id.casefold()]
    return Listed(id=model.id, names=() if alone else tuple(names), but_not=tuple(but_not), prices=periods)


def _clauses(match: Any) -> Iterator[Any]:
    if isinstance(match, types.ClauseOr):
        for each in match.or_:
            yield from _clauses(each)
    else:
        yield match


def _pattern(clause: Any) -> tuple[list[str], list[str]] | None:
    """:return: names that mean the same, and what they do not mean; ``None`` where that cannot be said so."""
    match clause:
        case types.ClauseEquals(equals=text):
            return [text.casefold()], []
        case types.ClauseStartsWith(starts_with=text):
            return [f"{text.casefold()}*"], []
        case types.ClauseEndsWith(ends_with=text):
            return [f"*{text.casefold()}"], []
        case types.ClauseContains(contains=text):
            return [f"*{text.casefold()}*"], []
        case types.ClauseRegex(regex=regex):
            found = _of_regex(regex)
            return None if found is None else (found, [])
        case types.ClauseAnd(and_=[first, types.ClauseRegex(regex=regex)]) if regex == _NOT_SPEECH:
            found_first = _pattern(first)
            return None if found_first is None else (found_first[0], [*found_first[1], *_SPEECH])
    return None


def _of_regex(regex: str) -> list[str] | None:
    text = regex.removeprefix("^")
    if text == regex:
        return None
    whole = text.endswith("$")
    text = _DIGITS.sub(lambda found: "#" * int(found[1] or 1), text.removesuffix("$"))
    text = _ESCAPED.sub(r"\1", text)
    texts = [text]
    one_of = _ONE_OF.search(text)
    if one_of is not None:
        texts = [text[: one_of.start()] + each + text[one_of.end() :] for each in one_of[1]]
    if any(re.search(r"[\\()\[\]|+?*{}^$]", each) for each in texts):
        return None
    return [each if whole else f"{each}*" for each in texts]


def _periods(model: types.ModelInfo, family: str, missing: list[NotTaken]) -> tuple[Period, ...] | None:
    entries = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    if not any(_values(entry.prices) for entry in entries):
        if FREE.search(model.id):
            return ()
        missing.append(NotTaken(family, model.id, "it has no price"))
        return None
    variants = [variant for variant in model.price_variants or () if _tier(variant) is not None]
    for variant in model.price_variants or ():
        if _tier(variant) is None:
            missing.append(NotTaken(family, model.id, f"prices for {_shown(variant.when)}"))
    for name in {name for entry in entries for name in _values(entry.prices)}:
        if name in NOT_COUNTED:
            missing.append(NotTaken(family, model.id, f"{name}: {NOT_COUNTED[name]}"))
    periods: list[Period] = []
    first = _first_days(variants)
    days = sorted({day for variant in variants if (day := _since(variant, first)) is not None})
    for position, entry in enumerate(entries):
        since = _start(entry.constraint)
        later = [_start(other.constraint) for other in entries[position + 1 :] if _hours(other.constraint) is None]
        hours = _hours(entry.constraint)
        for day in (since, *(day for day in days if since is None or day > since)):
            # What a later entry is charged instead of from then on, or from before, never counts.
            if hours is None and day != since and any(other is not None and other <= day for other in later if day):
                continue
            period = _period(entry.prices, [each for each in variants if _counts(each, first, day)], day, hours)
            before = next((each for each in reversed(periods) if each.hours == hours), None)
            if before is None or not _same(before, period):
                periods.append(period)
    # What has hours counts before what has none, whatever day it is from.
    return tuple(sorted(periods, key=lambda period: period.hours is not None))


def _first_days(variants: Sequence[types.PriceVariant]) -> dict[str, date]:
    """:return: by tier, the day from which on its prices are known. They are taken to have been the same before."""
    days: dict[str, date] = {}
    for variant in variants:
        tier, day = _tier(variant) or "", _start(variant.constraint) or date.min
        days[tier] = min(day, days.get(tier, day))
    return days


def _since(variant: types.PriceVariant, first: Mapping[str, date]) -> date | None:
    day = _start(variant.constraint)
    return None if day == first[_tier(variant) or ""] else day


def _counts(variant: types.PriceVariant, first: Mapping[str, date], day: date | None) -> bool:
    since = _since(variant, first)
    return since is None or (day is not None and since <= day)


def _period(
    prices: types.ModelPrice, variants: Sequence[types.PriceVariant], day: date | None, hours: tuple[str, str] | None
) -> Period:
    values = _values(prices)
    changed: dict[str, dict[str, Any]] = {}
    for variant in variants:
        tier = changed.setdefault(_tier(variant) or "", {})
        for name, value in _values(variant.prices).items():
            tier.setdefault(name, value)
    base = _prices(values)
    tiers = {name: _different(_prices({**values, **tier}), base) for name, tier in changed.items() if tier}
    start = None if day is None else day.isoformat()
    return Period(**msgspec.structs.asdict(base) | {"tiers": tiers}, start=start, hours=hours)


def _different(tier: Prices, base: Prices) -> Prices:
    """:return: the tier without what it has in common with the base; what is above has to be said in full."""
    own = {name: None for name in CLASSES.values() if getattr(tier, name) == getattr(base, name)}
    request = None if tier.request == base.request else tier.request
    pieces = {name: text for name, text in tier.pieces.items() if base.pieces.get(name) != text}
    return msgspec.structs.replace(tier, **own, request=request, pieces=pieces)


def _same(one: Period, other: Period) -> bool:
    return msgspec.structs.replace(one, start=other.start) == other


def _values(prices: types.ModelPrice) -> dict[str, Any]:
    return {name: value for name, value in vars(prices).items() if value is not None}


def _tier(variant: types.PriceVariant) -> str | None:
    ((what, value), *others) = variant.when.items()
    if others or what not in TIERS:
        return None
    known = TIERS[what]
    return value if known is None else known.get(value)


def _start(constraint: Any) -> date | None:
    return constraint.start_date if isinstance(constraint, types.StartDateConstraint) else None


def _hours(constraint: Any) -> tuple[str, str] | None:
    if not isinstance(constraint, types.TimeOfDateConstraint):
        return None
    return f"{constraint.start_time:%H:%M}", f"{constraint.end_time:%H:%M}"


def _prices(values: Mapping[str, Any]) -> Prices:
    own: dict[str, Any] = {}
    pieces: dict[str, str] = {}
    above: dict[int, dict[str, str]] = {}
    for name, value in values.items():
        amount = value.base if isinstance(value, types.TieredPrices) else value
        if name in CLASSES:
            own[CLASSES[name]] = _text(amount)
            for step in value.tiers if isinstance(value, types.TieredPrices) else ():
                above.setdefault(step.start, {})[CLASSES[name]] = _text(step.price)
        elif name in PIECES:
            piece, per = PIECES[name]
            pieces[piece] = _text(amount / per, 12)
        elif name == PER_REQUEST[0]:
            own["request"] = _text(amount / PER_REQUEST[1], 12)
        elif name not in NOT_COUNTED:
            raise ValueError(f"genai-prices has a price that is new here: {name}")
    steps: dict[str, Prices] = {}
    so_far: dict[str, str] = {}
    for tokens, prices in sorted(above.items()):
        # Where one class goes up and another does not, it stays where the step before has put it.
        so_far = {**so_far, **prices}
        steps[str(tokens)] = msgspec.convert(so_far, Prices)
    in_order = {name: own[name] for name in Prices.__struct_fields__ if name in own}
    return Prices(**in_order, pieces=dict(sorted(pieces.items())), above=steps)


def _text(amount: Decimal, places: int = 6) -> str:
    """:return: without zeros at the end; what is finer than the unit of rates is rounded."""
    rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = f"{rounded:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def written(prices: PriceList) -> str:
    """:return: the file, with a line for each model, so that a change of one is a change of one line."""
    head = {"version": prices.version, "date": prices.date, "made_from": list(prices.made_from)}
    lines = [f"  {_shown(name)}: {_shown(value)},\n" for name, value in head.items()]
    families = []
    for name, family in prices.families.items():
        facts = msgspec.to_builtins(msgspec.structs.replace(family, models=()))
        rest = "".join(f"      {_shown(each)}: {_shown(value)},\n" for each, value in facts.items())
        models = ",\n".join(f"        {_shown(msgspec.to_builtins(model))}" for model in family.models)
        families.append(f'    {_shown(name)}: {{\n{rest}      "models": [\n{models}\n      ]\n    }}')
    return "{\n" + "".join(lines) + '  "families": {\n' + ",\n".join(families) + "\n  }\n}\n"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


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
    text = written(new)
    new = read_list(text.encode())
    _said(missing)
    if old is not None:
        _said(changes(old, new))
    _said(unpriced(new, now))
    if not options.dry_run:
        options.file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
