"""Which models there are, what is known of each, and what a caller's name for one leads to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from llm_gateway.core.model_rules import NOTHING, ModelFacts, ModelRule, ModelRules

__all__ = [
    "Catalogue",
    "Chosen",
    "Family",
    "Model",
    "Shelf",
    "choose",
    "described",
    "holders",
    "leaves_open",
    "offered",
]

_VENDORS = re.compile(r"(?:[a-z][a-z0-9-]*\.){1,2}(?=[a-z])")
"""``us.anthropic.`` in front of a name, as Amazon Bedrock has it. Versions begin with a digit and stay."""
_TUNED = "ft:"
"""In front of a name, as OpenAI and Mistral have it."""
_VERSION = re.compile(r"-v\d+$")
_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class Model(msgspec.Struct, frozen=True):
    """A model under the name that callers use."""

    name: str
    owner: str
    """Who made it or serves it: ``openai``."""
    facts: ModelFacts = NOTHING


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models of one provider as it calls them."""

    title: str
    """The provider as people write it."""
    models: dict[str, ModelFacts]
    source: tuple[str, ...] = ()
    """Where the facts are from."""


class Catalogue:
    """All that is known of models, from what ships and from nowhere else."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        """
        :param families: by the name of the preset that is their provider.
        """
        self.families = dict(families)
        self._plain: dict[str, dict[str, ModelFacts]] = {}
        self._any: dict[str, ModelFacts] = {}
        for name, family in self.families.items():
            plain = self._plain[name] = {_plain(model): facts for model, facts in family.models.items()}
            for model, facts in plain.items():
                self._any.setdefault(model, facts)

    def find(self, name: str, family: str | None = None) -> ModelFacts:
        """
        :param name: as a provider calls the model. Vendors in front of it, tags and dates behind it are looked past
            where it is not known as it is: ``us.anthropic.claude-haiku-4-5-20251001-v1:0``.
        :param family: whose models to look at first.
        :return: nothing but ``None``, for a model that is not known.
        """
        own = self.families.get(family or "")
        if own is not None and name in own.models:
            return own.models[name]
        plain = _plain(name)
        for spelling in (plain, _DATE.sub("", plain)):
            for known in (self._plain.get(family or "", {}), self._any):
                if spelling in known:
                    facts = known[spelling]
                    # What was made of a model is not of its name and day.
                    return replace(facts, title=None, released=None) if name.startswith(_TUNED) else facts
        return NOTHING

    def has(self, name: str, family: str | None) -> bool:
        """
        :return: whether this family is known to have a model that its provider calls so.
        """
        own = self.families.get(family or "")
        if own is None or name in own.models:
            return own is not None
        plain = _plain(name)
        return any(spelling in self._plain[family or ""] for spelling in (plain, _DATE.sub("", plain)))

    def lists(self, family: str | None) -> bool:
        """
        :return: whether there is such a family.
        """
        return family in self.families

    def knows(self, name: str) -> bool:
        """
        :return: whether any family is known to have such a model.
        """
        plain = _plain(name)
        return plain in self._any or _DATE.sub("", plain) in self._any


def _plain(name: str) -> str:
    """
    :return: a spelling that is the same for one model wherever it is served, and for what was made of it by tuning.
    """
    if name.startswith(_TUNED):
        # ft:gpt-4o-2024-08-06:acme::id
        name = name.removeprefix(_TUNED).partition(":")[0]
    name = name.casefold().rpartition("/")[2].partition("@")[0]
    name = _VENDORS.sub("", name, count=1) if _VENDORS.match(name) else name
    return _VERSION.sub("", name.partition(":")[0]).replace(".", "-")


class Chosen(msgspec.Struct, frozen=True):
    """What a caller's name for a model leads to."""

    asked: str
    """The caller's name for it."""
    name: str
    """The provider's."""
    facts: ModelFacts


def choose(
    asked: str, key: ModelRules | None, provider: ModelRules, catalogue: Catalogue, family: str | None
) -> Chosen | None:
    """
    :param asked: as the caller wrote it.
    :param key: what the caller's key may call and under which names; ``None`` for everything as it is.
    :param provider: what its provider calls them, and what the operator says of them.
    :param family: of the provider.
    :return: ``None`` for a model that the key may not call.
    """
    name = asked
    if key is not None:
        allowed = key.find(asked)
        if allowed is None:
            return None
        name = allowed.target_of(asked)
    return Chosen(asked, *described(name, provider, catalogue, family))


def described(name: str, provider: ModelRules, catalogue: Catalogue, family: str | None) -> tuple[str, ModelFacts]:
    """
    :return: what a provider calls the model that others call ``name``, and what is known of it.
    """
    rule = provider.find(name)
    if rule is None:
        return name, catalogue.find(name, family)
    upstream = rule.target_of(name)
    known = catalogue.find(upstream, family)
    # A deployment may be called anything; then its callers' name for it may tell what it is.
    return upstream, rule.facts.over(catalogue.find(name, family) if known is NOTHING else known)


class Shelf(msgspec.Struct, frozen=True):
    """What is known of the models that one provider has."""

    listed: ModelRules
    """What the operator says of them."""
    family: str | None
    """In the catalogue."""
    serves: ModelRules
    """Patterns that the names of all of them fit; none where it may have any."""
    spells: ModelRules
    """Patterns of names that nobody else uses."""


def holders(name: str, shelves: Mapping[str, Shelf], catalogue: Catalogue) -> Collection[str] | None:
    """
    Find out who of several has a model: those that are known to. Of a model that nobody knows, nobody is known not to
    have it, but by the names that a provider gives its models.

    :param shelves: of those who can be asked, by their names.
    :return: their names; none where the model is known to be with others; ``None`` where anybody may have it.
    """
    theirs = {who: described(name, shelf.listed, catalogue, shelf.family)[0] for who, shelf in shelves.items()}
    spelling = {who for who, shelf in shelves.items() if shelf.spells.find(name) is not None}
    known = {who for who, shelf in shelves.items() if shelf.listed.find(name) is not None} | (
        spelling or {who for who, shelf in shelves.items() if catalogue.has(theirs[who], shelf.family)}
    )
    is_known = any(map(catalogue.knows, theirs.values()))
    if known and (spelling or is_known):
        return known
    able = {who for who, shelf in shelves.items() if not shelf.serves or shelf.serves.find(theirs[who]) is not None}
    if able and len(able | known) < len(shelves):
        return able | known
    return () if is_known else None


def offered(
    key: ModelRules | None,
    provider: ModelRules,
    catalogue: Catalogue,
    family: str | None,
    owner: str,
    listed: Mapping[str, ModelFacts] | None = None,
) -> list[Model]:
    """
    List what a key may call, as far as it is known: the names that key and provider list, and the family's models.

    :param owner: whose the models are said to be, for callers: the provider's name.
    :param listed: what the provider itself says that it has, under its own names.
    :return: under the names that the key's callers use, in the order of the files, then of the catalogue. Empty where
        nothing is known, which is not to say that there is nothing.
    """
    known = catalogue.families.get(family or "")
    listed = listed or {}
    names = [*(rule.pattern for rule in provider.rules if rule.is_name), *(known.models if known else ()), *listed]
    if key is not None:
        names = [name for rule in key.rules for name in _listed(rule, names)]
    return [
        Model(chosen.asked, owner, chosen.facts.over(listed.get(chosen.name, NOTHING)))
        for chosen in (choose(name, key, provider, catalogue, family) for name in dict.fromkeys(names))
        if chosen is not None
    ]


def _listed(rule: ModelRule, names: Iterable[str]) -> Iterable[str]:
    if rule.is_name:
        return [rule.pattern]
    only = ModelRules([rule])
    fitting = [name for name in names if only.find(name)]
    if rule.target is None or "*" not in rule.target:
        return fitting
    # What names become that fit the one becomes of the other.
    back = ModelRules([ModelRule(rule.target, rule.pattern)])
    return [*fitting, *(found.target_of(name) for name in names if (found := back.find(name)) is not None)]


def leaves_open(key: ModelRules, models: Iterable[Model]) -> bool:
    """
    :param models: that are offered.
    :return: whether the key may call what has none of these names.
    """
    names = [model.name for model in models]
    patterns = (rule for rule in key.rules if not rule.is_name and (rule.target is None or "*" in rule.target))
    return any(not any(map(ModelRules([rule]).find, names)) for rule in patterns)
