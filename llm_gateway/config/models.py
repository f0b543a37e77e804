"""What both files say about models: which there are, what they are called, and which a key may call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm_gateway.config.document import List, Object, Scalar
from llm_gateway.config.formats import ModelEntry
from llm_gateway.config.problems import Spot
from llm_gateway.config.shape import members, read_fields
from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules
from llm_gateway.core.prices.said import Prices

MAX_NAME = 256
"""The longest names in use have some 100 characters."""


def read_provider_models(spot: Spot) -> ModelRules:
    """
    Read a provider's ``models``: a list of names, or an object of names and facts.

    :return: the rules that are right.
    """
    if isinstance(spot.node, List):
        return ModelRules(ModelRule(name) for name, _ in _listed(spot))
    if not isinstance(spot.node, Object):
        spot.wrong(f"must be a list of names or an object, not {spot.node.kind}")
        return ModelRules()
    return ModelRules(
        rule
        for name, there in members(spot, what="model", quote=True)
        if (rule := _provider_rule(name, there)) is not None
    )


def _provider_rule(name: str, spot: Spot) -> ModelRule | None:
    named_well = is_model_name(name, spot)
    if not isinstance(spot.node, Object):
        spot.wrong(f"must be an object, not {spot.node.kind}")
        return None
    values = read_fields(spot, ModelEntry, quote=True, aside=frozenset({"prices"}))
    priced = spot.field("prices")
    prices = None if priced is spot else _prices(priced)
    target = values.pop("upstream_name", None)
    if target is not None and not _is_target(name, target, spot.field("upstream_name")):
        target = None
    return ModelRule(name, target, _facts(values), prices) if named_well else None


def _prices(spot: Spot) -> Prices | None:
    # Loaded for who has prices of his own.
    from llm_gateway.config.prices import read_prices

    return read_prices(spot)


def _facts(values: dict[str, Any]) -> ModelFacts:
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    # What has been reported in a list stands there as None.
    return ModelFacts(**values | lists)


def read_key_models(spot: Spot) -> ModelRules | None:
    """
    Read a key's ``models``: a list of names, or an object of names and what they stand for. Names are not shown: a key
    may stand in their place.

    :return: None when something has been reported that leaves nothing to speak of.
    """
    if not isinstance(spot.node, (List, Object)):
        spot.wrong(f"must be a list of names or an object, not {spot.node.kind}")
        return None
    if not (spot.node.items if isinstance(spot.node, List) else spot.node.members):
        spot.wrong("must not be empty; without it, the key may call every model")
        return None
    if isinstance(spot.node, List):
        return ModelRules(ModelRule(name) for name, _ in _listed(spot))
    return ModelRules(
        rule for name, there in members(spot, what="model", quote=False) if (rule := _key_rule(name, there)) is not None
    )


def _key_rule(name: str, spot: Spot) -> ModelRule | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    named_well = is_model_name(name, spot)
    if value is True:
        return ModelRule(name) if named_well else None
    if not isinstance(value, str):
        spot.wrong(f"must be the name of a model, or true for the same name, not {spot.node.kind}")
        return None
    return ModelRule(name, value) if _is_target(name, value, spot) and named_well else None


def listed_models(spot: Spot) -> Iterator[str]:
    """
    Read a list of names and patterns.

    :return: those that are right.
    """
    if isinstance(spot.node, List):
        yield from (name for name, _ in _listed(spot))
    else:
        spot.wrong(f"must be a list of names, not {spot.node.kind}")


def _listed(spot: Spot) -> Iterator[tuple[str, Spot]]:
    seen: set[str] = set()
    for there in spot.items():
        name = there.node.value if isinstance(there.node, Scalar) else None
        if not isinstance(name, str):
            there.wrong(f"must be a string, not {there.node.kind}")
        elif name in seen:
            there.wrong("is listed twice")
        elif is_model_name(name, there):
            seen.add(name)
            yield name, there


def is_model_name(name: str, spot: Spot) -> bool:
    """Report what cannot be the name of a model."""
    if 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip():
        return True
    message = f"the name of a model is 1 to {MAX_NAME} printable characters, with no space at either end"
    spot.report.add(spot.line, spot.place, message)
    return False


def _is_target(name: str, target: str, spot: Spot) -> bool:
    if not is_model_name(target, spot):
        return False
    stars = target.count("*")
    if stars > 1 or (stars == 1 and name.count("*") != 1):
        spot.wrong('may have one "*" and only where the name that it replaces has one: it stands for the same there')
        return False
    return True
