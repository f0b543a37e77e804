"""What would become of a call, as lines for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.config.problems import VERY_NEAR, nearest
from llm_gateway.core.routing.explain import Explained, Explanation
from llm_gateway.core.routing.outcomes import FALLS_BACK

__all__ = ["lines_of", "printable"]

_USUAL_OUTCOMES = frozenset(kind.value for kind in FALLS_BACK)


def lines_of(explanation: Explanation) -> Iterator[str]:
    """:return: a table, what was asked for first and then each fallback, and what to make of it."""
    candidates = explanation.candidates
    asked = [each for each in candidates if each.position is not None]
    columns = [column for column in _COLUMNS if column.shown(asked)]
    rows = [[printable(column.cell(each)) for column in columns] for each in candidates]
    titles = [column.title for column in columns]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    yield _line(titles, widths)
    # The candidates come by position, so that what is no candidate of anything stands at the end.
    for fallback in sorted({each.fallback for each in candidates}, key=_place_of(candidates)):
        group = [(each, row) for each, row in zip(candidates, rows, strict=True) if each.fallback == fallback]
        if fallback is not None:
            yield ""
            yield printable(f"fallback {fallback}, after {_outcomes(group[0][0].after)}:")
        for _, row in group:
            yield _line(row, widths)
    yield ""
    yield _summary(asked)
    yield from _doubts(asked)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _place_of(candidates: Sequence[Explained]) -> Callable[[str | None], tuple[bool, int]]:
    """:return: what puts groups in order: what was asked for, then fallbacks as they are listed."""
    listed = [each.fallback for each in candidates]
    return lambda fallback: (fallback is not None, listed.index(fallback))


# Columns


def _always(_asked: Sequence[Explained]) -> bool:
    return True


def _differs(name: str) -> Callable[[Sequence[Explained]], bool]:
    return lambda asked: len({getattr(each, name) for each in asked}) > 1


class _Column(msgspec.Struct, frozen=True):
    title: str
    cell: Callable[[Explained], str]
    shown: Callable[[Sequence[Explained]], bool] = _always
    """Whether it says anything of these."""


def _of_asked(cell: Callable[[Explained], str]) -> Callable[[Explained], str]:
    return lambda each: "" if each.position is None else cell(each)


def _usual(each: Explained) -> str:
    return "" if each.usual_s is None else f"{each.usual_s:.2f} s"


def _asked_in(each: Explained) -> str:
    if each.dialect is None or each.api == each.dialect:
        return each.dialect or ""
    return f"{each.dialect} {each.api}"


def _because(each: Explained) -> str:
    if each.asked_again_in_s is None:
        return each.reason
    return f"{each.reason}; asked again in {max(1, math.ceil(each.asked_again_in_s))} s"


_COLUMNS = (
    _Column("#", lambda each: "-" if each.position is None else str(each.position)),
    _Column("PROVIDER", lambda each: each.provider),
    _Column("CREDENTIAL", lambda each: each.credential),
    _Column("MODEL", lambda each: each.model or "-"),
    _Column("ASKED IN", _asked_in, lambda asked: any(each.dialect for each in asked)),
    _Column("ORDER", _of_asked(lambda each: str(each.order)), _differs("order")),
    _Column("WEIGHT", _of_asked(lambda each: f"{each.weight:g}"), _differs("weight")),
    _Column("IN FLIGHT", _of_asked(lambda each: str(each.in_flight)), lambda asked: any(e.in_flight for e in asked)),
    _Column("FIRST TOKEN", _usual, lambda asked: any(each.usual_s is not None for each in asked)),
    _Column("IS", lambda each: "in" if each.is_in else "out"),
    _Column("BECAUSE", _because),
)


# Words


def _outcomes(after: Sequence[str]) -> str:
    return "all that lead to another candidate" if set(after) == _USUAL_OUTCOMES else ", ".join(after)


def _summary(asked: Sequence[Explained]) -> str:
    number = sum(each.is_in for each in asked)
    if not number:
        return "No candidate is in."
    return f"{number} of {len(asked)} candidates {'is' if number == 1 else 'are'} in."


def _doubts(asked: Sequence[Explained]) -> Iterator[str]:
    """:return: a line for each model that is most likely misspelt; any name may be one that is new to the catalogue."""
    catalogue = shipped_catalogue()
    known = sorted({name for family in catalogue.families.values() for name in family.models})
    for model in dict.fromkeys(each.model for each in asked):
        near = None if not model or catalogue.knows(model) else nearest(model, known, cutoff=VERY_NEAR)
        if near is not None:
            yield f'No well-known model is called "{printable(model)}"; did you mean "{near}"?'


def printable(text: str) -> str:
    # Names come from callers and from files, and must not move the cursor or retitle the window.
    return "".join(letter if letter.isprintable() else "?" for letter in text)
