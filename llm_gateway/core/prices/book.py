"""Finding what a model costs: by what the operator says of it, or by a list of prices."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.prices.lists import (
    Family,
    Listed,
    Period,
    PriceList,
    factor,
    hours_of,
    rates_of,
    scaled,
    starts_at,
)
from llm_gateway.core.prices.values import PICO_IN_NANO, Cost, Rates, cost, dearest, for_prompt_of, most, typical
from llm_gateway.core.usage.values import Usage

__all__ = ["OwnPrices", "PriceBook"]

_DAY = 86_400
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])(?=$|[:-])")
_DATE = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")


class OwnPrices:
    """What the operator says of the models of one provider, under the names that the file gives them."""

    def __init__(self, models: ModelRules, version: str) -> None:
        """
        :param models: the provider's, in the order of the file.
        :param version: what rows say of a price that is from here.
        """
        self._prices: dict[str, Rates | Decimal] = {
            rule.pattern: rates_of(rule.prices, version) if rule.prices.times is None else factor(rule.prices.times)
            for rule in reversed(models.rules)
            if rule.prices is not None
        }
        # As it is asked for, and as the provider calls it: a call is rated by the latter.
        theirs = [ModelRule(rule.target, rule.pattern) for rule in models.rules if rule.target is not None]
        self._by_their_names = ModelRules([rule for rule in theirs if rule.target in self._prices])
        self._by_our_names = ModelRules([ModelRule(rule.pattern) for rule in models.rules if rule.prices is not None])
        self._called = ModelRules(theirs)

    def find(self, model: str) -> Rates | Decimal | None:
        """
        :param model: as the provider calls it, or the operator.
        :return: its rates, or what the list's are multiplied by.
        """
        for spelling in _spellings(model):
            found = self._by_their_names.find(spelling)
            if found is not None and found.target is not None:
                return self._prices[found.target]
            ours = self._by_our_names.find(spelling)
            if ours is not None:
                return self._prices[ours.pattern]
        return None

    def called(self, model: str) -> str | None:
        """
        :param model: as the provider calls it: the name of a deployment.
        :return: what the operator calls it, where that is something else.
        """
        found = self._called.find(model)
        if found is None or found.target is None or ("*" in found.target and found.is_name):
            return None
        return found.target_of(model)


class _Found(msgspec.Struct, frozen=True):
    """The rates of a model, and for how long: seconds since the epoch, from and up to."""

    since: float
    until: float
    rates: Rates | None


_NOWHERE = _Found(-math.inf, math.inf, None)


class PriceBook:
    """
    Every price that there is. It outlives no configuration: make another one.

    It remembers what it has found, as every call asks for the same few models again.
    """

    MAX_KNOWN = 4096
    """Names of models come from callers and from providers, who must not fill the memory with them."""

    def __init__(self, prices: PriceList, own: Mapping[str, OwnPrices] | None = None) -> None:
        """
        :param own: the operator's, by provider.
        """
        self.version = prices.version
        """Of the list."""
        self._prices = prices
        self._families: dict[str, _FamilyPrices] = {}
        """Those that were asked for."""
        self._own = dict(own or {})
        self._known: dict[tuple[str, str | None, str, str | None], _Found] = {}
        self._dearest: dict[int, tuple[Rates, int, int]] = {}
        """By the identity of rates: they, kept alive by it, and the most that a token read and one written can cost."""

    def find(self, provider: str, family: str | None, model: str, at: float, asked: str | None = None) -> Rates | None:
        """
        The operator's word counts before the list, and of two names the one that was asked for: he knows that one.
        In the list it is the other way round: one name may stand for many models.

        :param provider: its name in ``aiservices.json``.
        :param family: whose models it has, as `llm_gateway.config.values.Provider.family`.
        :param model: as the provider calls it: in its answer, or before that in what it was sent.
        :param at: when the call was sent, in seconds since the epoch.
        :param asked: after the answer, what it was sent.
        :return: ``None`` where no price is known.
        """
        known = self._known.get((provider, family, model, asked))
        if known is None or not known.since <= at < known.until:
            known = self._look_up(provider, family, model, at, asked)
        return known.rates

    def cost(self, rates: Rates, usage: Usage) -> int:
        """:return: billionths of a dollar, rounded half up."""
        return cost(rates, usage)

    def rate(
        self, provider: str, family: str | None, model: str, usage: Usage, at: float, asked: str | None = None
    ) -> Cost | None:
        """:return: what an attempt costs, as `find`; ``None`` where no price is known."""
        rates = self.find(provider, family, model, at, asked)
        return None if rates is None else Cost(cost(rates, usage), rates.version)

    def most(
        self, rates: Rates, input: int, output: int, pieces: Mapping[str, int] | None = None, tier: str | None = None
    ) -> int:
        """:return: the most that a call can cost, as `llm_gateway.core.prices.values.most`."""
        if tier is not None or pieces:
            return most(rates, input, output, pieces, tier=tier)
        if rates.above:
            rates = for_prompt_of(input, rates)
        known = self._dearest.get(id(rates)) or self._remember(rates)
        return -(-(input * known[1] + output * known[2] + rates.request) // PICO_IN_NANO)

    def _remember(self, rates: Rates) -> tuple[Rates, int, int]:
        if len(self._dearest) >= self.MAX_KNOWN:
            self._dearest.clear()
        found = self._dearest[id(rates)] = (rates, *dearest(rates))
        return found

    def listed_at(self, family: str, model: Listed, at: float) -> Rates | None:
        """:return: what the list says of one of its models, whatever the operator does."""
        known = self._family(family)
        return None if known is None else known.prices_of(model).at(at).rates

    def typical(self, provider: str, family: str | None, model: str, at: float) -> int | None:
        """:return: what providers are compared by, as `llm_gateway.core.prices.values.typical`; ``None`` if unknown."""
        rates = self.find(provider, family, model, at)
        return None if rates is None else typical(rates)

    def _look_up(self, provider: str, family: str | None, model: str, at: float, asked: str | None) -> _Found:
        own = self._own.get(provider)
        said: Rates | Decimal | None = None
        if own is not None:
            said = None if asked is None else own.find(asked)
            said = own.find(model) if said is None else said
        if isinstance(said, Rates):
            found = _Found(-math.inf, math.inf, said)
        else:
            names = [model] if asked is None else [model, asked]
            if own is not None:
                names += [ours for name in names if (ours := own.called(name)) is not None]
            listed = next((each for name in names if (each := self._listed(family, name)) is not None), None)
            found = _NOWHERE if listed is None else listed.at(at)
            if said is not None and found.rates is not None:
                version = f"{found.rates.version} x {said}"
                found = msgspec.structs.replace(found, rates=scaled(found.rates, said, version))
        if len(self._known) >= self.MAX_KNOWN:
            self._known.clear()
        self._known[provider, family, model, asked] = found
        return found

    def _listed(self, name: str | None, model: str) -> _Model | None:
        family = self._family(name or "")
        if family is None:
            return None
        found = family.find(model)
        if found is None:
            others = (self._family(other) for other in family.family.also)
            found = next((there for each in others if each is not None and (there := each.find(model))), None)
        return found

    def _family(self, name: str) -> _FamilyPrices | None:
        found = self._families.get(name)
        if found is None and name in self._prices.families:
            found = self._families[name] = _FamilyPrices(self._prices.families[name], self._prices.version)
        return found


class _FamilyPrices:
    """The prices of one provider's models. What is not asked for is not worked out."""

    def __init__(self, family: Family, version: str) -> None:
        self.family = family
        self._version = version
        self._names: dict[str, Listed] | None = None
        self._patterns: list[tuple[re.Pattern[str], re.Pattern[str] | None, Listed]] = []
        self._models: dict[str, _Model] = {}

    def find(self, model: str) -> _Model | None:
        if self._names is None:
            self._index()
        for spelling in _spellings(model.casefold()):
            listed = self._fitting(spelling)
            if listed is not None:
                return self.prices_of(listed)
        return None

    def prices_of(self, listed: Listed) -> _Model:
        found = self._models.get(listed.id)
        if found is None:
            found = self._models[listed.id] = _Model(listed.prices, self._version)
        return found

    def _fitting(self, spelling: str) -> Listed | None:
        assert self._names is not None
        named = self._names.get(spelling)
        if named is not None:
            return named
        for pattern, but_not, listed in self._patterns:
            if pattern.fullmatch(spelling) and not (but_not is not None and but_not.fullmatch(spelling)):
                return listed
        return None

    def _index(self) -> None:
        names: dict[str, Listed] = {}
        for model in self.family.models:
            called = [name.casefold() for name in model.names or (model.id,)]
            patterns = [name for name in called if _is_pattern(name)]
            for name in called:
                if not _is_pattern(name):
                    names.setdefault(name, model)
            if patterns:
                but_not = _compiled(model.but_not) if model.but_not else None
                self._patterns.append((_compiled(patterns), but_not, model))
        self._names = names


class _Model:
    """The prices of one model over time."""

    def __init__(self, periods: Sequence[Period], version: str) -> None:
        self._periods = [
            (starts_at(period), hours_of(period), rates_of(period, version)) for period in periods or (Period(),)
        ]

    def at(self, at: float) -> _Found:
        """:return: what counts then, and for how long that cannot change."""
        since, until = -math.inf, math.inf
        midnight = math.floor(at / _DAY) * _DAY if math.isfinite(at) else 0
        for start, hours, _ in self._periods:
            edges = [start]
            if hours is not None:
                edges += [midnight, midnight + hours[0], midnight + hours[1], midnight + _DAY]
            since = max([since, *(edge for edge in edges if edge <= at)])
            until = min([until, *(edge for edge in edges if edge > at)])
        fitting = [rates for start, hours, rates in self._periods if start <= at and _within(hours, at - midnight)]
        return _Found(since, until, fitting[-1] if fitting else self._periods[0][2])


def _within(hours: tuple[int, int] | None, second: float) -> bool:
    if hours is None:
        return True
    since, until = hours
    return since <= second < until if since <= until else second >= since or second < until


def _spellings(name: str) -> Iterator[str]:
    """
    Say what a model may be called in a list, likeliest first: as it is, with its date as others write it, without.

    :param name: in small letters, where capitals do not count.
    """
    yield name
    name = name.removeprefix("models/")
    dated = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    if dated != name:
        yield dated
    yield _DATE.sub("", name)


def _is_pattern(name: str) -> bool:
    return "*" in name or "#" in name


def _compiled(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(_expression(name) for name in names), re.DOTALL)


def _expression(name: str) -> str:
    # As in core.model_rules, each piece is taken where it first fits: many stars cost no more than one.
    first, *pieces = (re.escape(piece).replace(r"\#", "[0-9]") for piece in name.split("*"))
    if not pieces:
        return first
    last = pieces.pop()
    return f"{first}{''.join(f'(?>.*?{piece})' for piece in pieces if piece)}.*{last}"
