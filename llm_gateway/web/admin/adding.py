"""What was used, as operators and the owners of keys are shown it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from llm_gateway.core.usage.values import INPUT, OUTPUT
from llm_gateway.issuing.faults import BadQuestion
from llm_gateway.ledger.queries import DIMENSIONS, LABEL, Line, dollars
from llm_gateway.web.admin.values import Amount, Tokens, UsageRow

__all__ = ["BY", "MAX_BY", "MOST_ROWS", "OWN_BY", "UsageReport", "amount_of", "dimensions", "rows_of", "total_of"]

BY: Final = tuple(each for each in DIMENSIONS if each != "request_id")
"""What use can be told apart by, besides ``label:NAME``."""
OWN_BY: Final = ("model", "provider", "operation", "ended", "hour", "day", "week", "month")
"""
The same for the owner of a key, to whom real keys are no business, not even by name; and only what the sums of hours
tell, so that nobody keeps the database busy with his questions.
"""
MAX_BY: Final = 4
MOST_ROWS: Final = 10_000
"""Of one answer, some 5 MB."""


class UsageReport(Protocol):
    """Asks the ledger, as ``ledger.queries.usage`` does. It waits for the database: not for the reactor's thread."""

    def __call__(
        self, by: Sequence[str], since: float, until: float, where: Mapping[str, Sequence[str]]
    ) -> Sequence[Line]: ...


def dimensions(text: str | None, known: Sequence[str], *, labels: bool) -> list[str]:
    """
    :param text: names with commas between.
    :param labels: whether ``label:NAME`` is one, too.
    :raises BadQuestion: one of them is not known, or there are too many.
    """
    names = list(dict.fromkeys(filter(None, (text or "").split(","))))
    for name in names:
        if name not in known and not (labels and name.startswith(LABEL) and len(name) > len(LABEL)):
            and_labels = " and label:NAME" if labels else ""
            raise BadQuestion(f"by must be of {', '.join(known)}{and_labels}, with commas between.", param="by")
    if len(names) > MAX_BY:
        raise BadQuestion(f"by must name {MAX_BY} things at most.", param="by")
    return names


def rows_of(lines: Sequence[Line], by: Sequence[str]) -> list[UsageRow]:
    """
    :raises BadQuestion: there are too many.
    """
    if len(lines) > MOST_ROWS:
        raise BadQuestion(
            f"That is more than {MOST_ROWS} rows: ask for a shorter time, or for less at once.", param="by"
        )
    return [
        UsageRow({name: told or None for name, told in zip(by, line.by, strict=True)}, amount_of(line))
        for line in lines
    ]


def amount_of(line: Line) -> Amount:
    """:return: as it is shown."""
    return Amount(
        line.calls,
        line.attempts,
        line.errors,
        line.input_tokens,
        line.output_tokens,
        Tokens(**{name: getattr(line, name) for name in (*INPUT, *OUTPUT)}),
        dollars(line.cost),
        line.estimated,
        line.unpriced,
    )


def total_of(lines: Sequence[Line]) -> Amount:
    """:return: all of them together."""
    total = Line(by=())
    for line in lines:
        total.add(line)
    return amount_of(total)
