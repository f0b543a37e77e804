"""Limits and budgets, wherever in ``keys.json`` they stand: how they are written, and reading them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from llm_gateway.config.document import Object, Scalar
from llm_gateway.config.notation import SomeShare, about, from_to, one_of
from llm_gateway.config.problems import Spot
from llm_gateway.config.shape import is_object, read_fields
from llm_gateway.core.limits.values import Limit, Measure, Scope, Unreachable, Window

__all__ = ["FIELDS", "LimitSetEntry", "read_limits"]

NANO: Final = 1_000_000_000
"""Of a dollar."""

MAX_AMOUNT: Final = 1_000_000_000_000
MAX_DOLLARS: Final = 1_000_000_000

_RATES = (Window.SECOND, Window.MINUTE, Window.HOUR, Window.DAY)
_TOKENS = (Window.MINUTE, Window.HOUR, Window.DAY)
_BUDGETS = (Window.DAY, Window.WEEK, Window.MONTH, Window.TOTAL)
_WINDOWS = {
    Measure.REQUESTS: _RATES,
    Measure.INPUT_TOKENS: _TOKENS,
    Measure.OUTPUT_TOKENS: _TOKENS,
    Measure.TOKENS: _TOKENS,
    Measure.IN_FLIGHT: (Window.NOW,),
    Measure.DOLLARS: _BUDGETS,
}

FIELDS: Final = {
    limit.name: (measure, window)
    for measure, windows in _WINDOWS.items()
    for window in windows
    for limit in [Limit(Scope.KEY, "", measure, window, 0)]
}
"""By name: what is counted, and over which time."""

_DOLLARS_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
_DOLLARS = re.compile(_DOLLARS_PATTERN)

Amount = Annotated[int, from_to("a whole number", 0, MAX_AMOUNT)]
DollarsText = Annotated[str, msgspec.Meta(pattern=_DOLLARS_PATTERN)]
DollarsNumber = Annotated[float, msgspec.Meta(ge=0, le=MAX_DOLLARS)]
Burst = Annotated[int, from_to("a whole number", 1, MAX_AMOUNT)]

_WARN = "The share of it from which on there are warnings: in the log, and in a header of the answers."
_SHADOW = "Whether it is only counted and reported, and nothing refused."
_UNREACHABLE = "What becomes of calls while nobody can count: closed refuses them. Default: closed."


class LimitEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One limit, with all that can be said of it."""

    limit: Annotated[Amount, about("How much.")]
    burst: Annotated[Burst, about("How much of it at once. Default: all.")] | UnsetType = UNSET
    warn_at: Annotated[SomeShare, about(_WARN)] | UnsetType = UNSET
    shadow: Annotated[bool, about(_SHADOW)] = False
    unreachable: Annotated[
        str, one_of("policy", *(each.value for each in Unreachable), plural="policies"), about(_UNREACHABLE)
    ] = Unreachable.CLOSED.value


class BudgetEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One budget, with all that can be said of it."""

    limit: Annotated[DollarsText | DollarsNumber, about('Dollars: "12.50". Numbers are read as they are written.')]
    warn_at: Annotated[SomeShare, about(_WARN)] | UnsetType = UNSET
    shadow: Annotated[bool, about(_SHADOW)] = False
    unreachable: Annotated[
        str, one_of("policy", *(each.value for each in Unreachable), plural="policies"), about(_UNREACHABLE)
    ] = Unreachable.CLOSED.value


_WORDS = {
    Measure.REQUESTS: "Calls",
    Measure.INPUT_TOKENS: "Tokens that models read",
    Measure.OUTPUT_TOKENS: "Tokens that models write",
    Measure.TOKENS: "Tokens, read and written together",
    Measure.IN_FLIGHT: "Calls at the same time",
    Measure.DOLLARS: "Dollars",
}
_SPANS = {
    Window.NOW: "",
    Window.MONTH: " in any 30 days",
    Window.TOTAL: " for good",
    **{each: f" in any {each.value}" for each in (*_RATES, Window.WEEK)},
}


def _field(name: str, measure: Measure, window: Window) -> tuple[str, Any, Any]:
    said = about(f"{_WORDS[measure]}{_SPANS[window]}.")
    if measure is Measure.DOLLARS:
        return name, Annotated[DollarsText | DollarsNumber | BudgetEntry, said] | UnsetType, UNSET
    return name, Annotated[Amount | LimitEntry, said] | UnsetType, UNSET


if TYPE_CHECKING:

    class LimitSetEntry(Struct):
        """Limits and budgets: each a number, or an object that says more."""

else:
    LimitSetEntry = msgspec.defstruct(
        "LimitSetEntry",
        [_field(name, measure, window) for name, (measure, window) in FIELDS.items()],
        forbid_unknown_fields=True,
        kw_only=True,
        namespace={"__doc__": "Limits and budgets: each a number, or an object that says more."},
        module=__name__,
    )


def read_limits(spot: Spot, scope: Scope, subject: str) -> tuple[Limit, ...]:
    """
    Read ``limits``.

    :param subject: whose they are: a name, a digest in hexadecimal, or nothing.
    :return: those that are right.
    """
    if not is_object(spot):
        return ()
    read_fields(spot, LimitSetEntry, quote=False, aside=frozenset(FIELDS))
    assert isinstance(spot.node, Object)
    found = []
    for name in dict.fromkeys(member.name for member in spot.node.members if member.name in FIELDS):
        limit = _read(spot.field(name), scope, subject, *FIELDS[name])
        if limit is not None:
            found.append(limit)
    return tuple(found)


def _read(spot: Spot, scope: Scope, subject: str, measure: Measure, window: Window) -> Limit | None:
    dollars = measure is Measure.DOLLARS
    there, values = spot, {}
    if isinstance(spot.node, Object):
        values = read_fields(spot, BudgetEntry if dollars else LimitEntry, quote=False, aside=frozenset({"limit"}))
        there = spot.field("limit")
        if there is spot:
            return None
    amount = _dollars(there) if dollars else _amount(there)
    if amount is None:
        return None
    burst = values.get("burst")
    if burst is not None and (window in (Window.DAY, Window.NOW) or burst > amount):
        spot.field("burst").wrong(
            "must not be above the limit itself" if burst > amount else "is of limits per second, minute or hour only"
        )
        return None
    return Limit(
        scope,
        subject,
        measure,
        window,
        amount,
        burst=burst,
        warn_at=values.get("warn_at"),
        shadow=values.get("shadow", False),
        unreachable=Unreachable(values.get("unreachable", "closed")),
    )


def _amount(spot: Spot) -> int | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        spot.wrong(f'must be a whole number, or an object with "limit", not {spot.node.kind}')
        return None
    if isinstance(value, float) or not 0 <= value <= MAX_AMOUNT:
        spot.wrong(f"must be a whole number from 0 to {MAX_AMOUNT}")
        return None
    return value


def _dollars(spot: Spot) -> int | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        spot.wrong(f'must be dollars, such as "12.50", or an object with "limit", not {spot.node.kind}')
        return None
    # What was written as 12.1 is meant so: the shortest text that is read as this float.
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f").removesuffix(".0")
    try:
        amount = Decimal(text) if _DOLLARS.fullmatch(text) else None
    except InvalidOperation:
        amount = None
    if amount is None:
        spot.wrong(f'must be dollars from 0 to {MAX_DOLLARS - 1}, with nine decimals at most: "12.50"')
        return None
    return int(amount * NANO)
