"""
Prices as the project genai-prices publishes them, turned into a list of ours.

The file is ``prices/new_data/v2/data.json`` of https://github.com/pydantic/genai-prices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from llm_gateway.core.prices.lists import Family, Listed, Period, PriceList
from llm_gateway.core.prices.said import BadPrice, Prices

__all__ = ["NAMES", "NotTaken", "price_list"]

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
    "rerank_searches_kcount": ("search_units", 1000),
    "code_executions_kcount": ("code_execution", 1000),
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
_TIME = re.compile(r"(\d\d:\d\d)(?::00)?(?:Z|\+00:00)?")


class NotTaken(msgspec.Struct, frozen=True):
    """Something that is known there and not here."""

    family: str
    model: str
    why: str

    def __str__(self) -> str:
        return f"not taken  {self.family}/{self.model}: {self.why}"


# The file, as far as it is looked at


class _Step(msgspec.Struct):
    start: int
    price: Decimal


class _Stepped(msgspec.Struct):
    base: Decimal
    tiers: list[_Step]


_Values = dict[str, Decimal | _Stepped | None]


class _Constraint(msgspec.Struct):
    start_date: str | None = None
    start_time: str | None = None
    end_time: str | None = None


class _Conditional(msgspec.Struct):
    prices: _Values
    constraint: _Constraint | None = None


class _Variant(msgspec.Struct):
    when: dict[str, str]
    prices: _Values
    constraint: _Constraint | None = None


class _Model(msgspec.Struct):
    id: str
    match: dict[str, Any]
    prices: msgspec.Raw = msgspec.Raw(b"{}")
    """One or several; numbers are read as they are written."""
    price_variants: list[_Variant] | None = None

    def entries(self) -> list[_Conditional]:
        if bytes(self.prices).lstrip().startswith(b"["):
            return _several(self.prices)
        return [_Conditional(_one(self.prices))]


_several = msgspec.json.Decoder(list[_Conditional]).decode
_one = msgspec.json.Decoder(_Values).decode


class _Provider(msgspec.Struct):
    id: str
    name: str
    pricing_urls: list[str] | None = None
    fallback_model_providers: list[str] | None = None
    models: list[_Model] = []


def price_list(text: bytes, origin: str, day: str) -> tuple[PriceList, list[NotTaken]]:
    """
    :param text: the file.
    :param origin: what it is: ``genai-prices 0.2.3``.
    :param day: on which it was published or taken over, ``YYYY-MM-DD``.
    :return: the list, and what is not in it.
    :raises BadPrice: that is no such file.
    """
    try:
        theirs = {provider.id: provider for provider in msgspec.json.decode(text, type=list[_Provider])}
    except msgspec.DecodeError as error:
        raise BadPrice(str(error)) from None
    ours = {name: family for family, name in NAMES.items()}
    missing: list[NotTaken] = []
    families = {}
    for family, name in NAMES.items():
        provider = theirs.get(name)
        if provider is None:
            continue
        models = [found for model in provider.models if (found := _listed(model, family, missing)) is not None]
        also = [ours[each] for each in provider.fallback_model_providers or () if each in ours and each in theirs]
        families[family] = Family(
            title=provider.name, source=tuple(provider.pricing_urls or ()), also=tuple(also), models=tuple(models)
        )
    if not families:
        raise BadPrice("has none of the providers that are known here")
    made_from = f"{origin}, https://github.com/pydantic/genai-prices, MIT licence"
    return PriceList(version=f"{origin}, {day}", date=day, made_from=(made_from,), families=families), missing


def _listed(model: _Model, family: str, missing: list[NotTaken]) -> Listed | None:
    names: list[str] = []
    but_not: list[str] = []
    for clause in _clauses(model.match):
        found = _pattern(clause)
        if found is None:
            missing.append(NotTaken(family, model.id, f"its name is told by {clause}"))
            continue
        names += found[0]
        but_not += found[1]
    try:
        periods = _periods(model, family, missing)
    except msgspec.ValidationError as error:
        raise BadPrice(f"{family}, model {model.id}: {error}") from None
    if periods is None or not names:
        return None
    names = list(dict.fromkeys(names))
    alone = names == [model.id.casefold()]
    return Listed(id=model.id, names=() if alone else tuple(names), but_not=tuple(but_not), prices=periods)


def _clauses(match: Any) -> Iterator[Any]:
    match match:
        case {"or": list(clauses)}:
            for each in clauses:
                yield from _clauses(each)
        case _:
            yield match


def _pattern(clause: Any) -> tuple[list[str], list[str]] | None:
    """:return: names that mean the same, and what they do not mean; ``None`` where that cannot be said so."""
    match clause:
        case {"equals": str(text)}:
            return [text.casefold()], []
        case {"starts_with": str(text)}:
            return [f"{text.casefold()}*"], []
        case {"ends_with": str(text)}:
            return [f"*{text.casefold()}"], []
        case {"contains": str(text)}:
            return [f"*{text.casefold()}*"], []
        case {"regex": str(regex)}:
            found = _of_regex(regex)
            return None if found is None else (found, [])
        case {"and": [first, {"regex": str(regex)}]} if regex == _NOT_SPEECH:
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


def _periods(model: _Model, family: str, missing: list[NotTaken]) -> tuple[Period, ...] | None:
    entries = model.entries()
    if not any(_values(entry.prices) for entry in entries):
        if FREE.search(model.id):
            return ()
        missing.append(NotTaken(family, model.id, "it has no price"))
        return None
    variants = [variant for variant in model.price_variants or () if _tier(variant) is not None]
    for variant in model.price_variants or ():
        if _tier(variant) is None:
            missing.append(NotTaken(family, model.id, f"prices for {variant.when}"))
    for name in {name for entry in entries for name in _values(entry.prices)}:
        if name not in CLASSES and name not in PIECES and name != PER_REQUEST[0]:
            missing.append(NotTaken(family, model.id, f"{name}: {NOT_COUNTED.get(name, 'nothing counts that')}"))
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


def _first_days(variants: Sequence[_Variant]) -> dict[str, str]:
    """:return: by tier, the day from which on its prices are known. They are taken to have been the same before."""
    days: dict[str, str] = {}
    for variant in variants:
        tier, day = _tier(variant) or "", _start(variant.constraint) or ""
        days[tier] = min(day, days.get(tier, day))
    return days


def _since(variant: _Variant, first: Mapping[str, str]) -> str | None:
    day = _start(variant.constraint)
    return None if day == first[_tier(variant) or ""] else day


def _counts(variant: _Variant, first: Mapping[str, str], day: str | None) -> bool:
    since = _since(variant, first)
    return since is None or (day is not None and since <= day)


def _period(prices: _Values, variants: Sequence[_Variant], day: str | None, hours: tuple[str, str] | None) -> Period:
    values = _values(prices)
    changed: dict[str, dict[str, Any]] = {}
    for variant in variants:
        tier = changed.setdefault(_tier(variant) or "", {})
        for name, value in _values(variant.prices).items():
            tier.setdefault(name, value)
    base = _prices(values)
    tiers = {name: _different(_prices({**values, **tier}), base) for name, tier in changed.items() if tier}
    start = day
    return Period(**msgspec.structs.asdict(base) | {"tiers": tiers}, start=start, hours=hours)


def _different(tier: Prices, base: Prices) -> Prices:
    """:return: the tier without what it has in common with the base; what is above has to be said in full."""
    own = {name: None for name in CLASSES.values() if getattr(tier, name) == getattr(base, name)}
    request = None if tier.request == base.request else tier.request
    pieces = {name: text for name, text in tier.pieces.items() if base.pieces.get(name) != text}
    return msgspec.structs.replace(tier, **own, request=request, pieces=pieces)


def _same(one: Period, other: Period) -> bool:
    return msgspec.structs.replace(one, start=other.start) == other


def _values(prices: _Values) -> dict[str, Any]:
    return {name: value for name, value in prices.items() if value is not None}


def _tier(variant: _Variant) -> str | None:
    ((what, value), *others) = variant.when.items()
    if others or what not in TIERS:
        return None
    known = TIERS[what]
    return value if known is None else known.get(value)


def _start(constraint: _Constraint | None) -> str | None:
    # Days in this form are in the order of their texts.
    return None if constraint is None else constraint.start_date


def _hours(constraint: _Constraint | None) -> tuple[str, str] | None:
    if constraint is None or constraint.start_time is None or constraint.end_time is None:
        return None
    times = [_TIME.fullmatch(text) for text in (constraint.start_time, constraint.end_time)]
    since, until = (None if found is None else found[1] for found in times)
    if since is None or until is None:
        raise BadPrice(f"has hours that are not in UTC: {constraint.start_time}")
    return since, until


def _prices(values: Mapping[str, Any]) -> Prices:
    own: dict[str, Any] = {}
    pieces: dict[str, str] = {}
    above: dict[int, dict[str, str]] = {}
    for name, value in values.items():
        amount = value.base if isinstance(value, _Stepped) else value
        if name in CLASSES:
            own[CLASSES[name]] = _text(amount)
            for step in value.tiers if isinstance(value, _Stepped) else ():
                above.setdefault(step.start, {})[CLASSES[name]] = _text(step.price)
        elif name in PIECES:
            piece, per = PIECES[name]
            pieces[piece] = _text(amount / per, 12)
        elif name == PER_REQUEST[0]:
            own["request"] = _text(amount / PER_REQUEST[1], 12)
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
