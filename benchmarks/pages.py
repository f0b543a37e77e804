"""The part of a page that a program writes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.machine import CannotMeasure

BEGIN = "<!-- figures: written by python -m benchmarks --write, do not edit -->"
END = "<!-- end of the figures -->"


def write_into(page: Path, text: str) -> None:
    """
    Put the text between the two marks of the page.

    :raises CannotMeasure: the page cannot be read or has not both marks once, in order.
    """
    before, after = around(page)
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def around(page: Path) -> tuple[str, str]:
    """
    :return: what stands before the first mark and behind the second.
    :raises CannotMeasure: as above.
    """
    try:
        before, begin, rest = page.read_text().partition(BEGIN)
    except OSError as error:
        raise CannotMeasure(f"the page cannot be read: {error}") from error
    _old, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise CannotMeasure(f"{page} must have these two lines once:\n{BEGIN}\n{END}")
    return before, after
