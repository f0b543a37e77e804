"""Reading the documentation as its readers do: by heading, table, list and block of code."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """All that people read, wherever it lies."""
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def reference(name: str) -> str:
    """:return: the text of ``docs/reference/{name}.md``."""
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text()


def blocks(text: str, *languages: str) -> list[str]:
    """:return: the fenced blocks of code in these languages, without the indentation that a list gives them."""
    return [textwrap.dedent(found[3]) for found in _FENCE.finditer(text) if found[2] in languages]


def section(text: str, heading: str) -> str:
    """
    :param heading: without its marks and backticks.
    :return: what stands under it, up to the next heading of any level.
    """
    bare = _FENCE.sub("", text)
    headings = list(_HEADING.finditer(bare))
    for found, following in zip(headings, [*headings[1:], None], strict=True):
        if found[1].replace("`", "") == heading:
            return bare[found.end() : following.start() if following else None]
    raise AssertionError(f"there is no heading {heading!r}")


def tables(text: str) -> list[list[list[str]]]:
    """:return: the cells of each table, row by row, without the row of titles."""
    found = re.findall(r"(?:^\|.*\n?)+", _FENCE.sub("", text), re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in each.splitlines()[2:]] for each in found]


def bullets(text: str) -> list[list[str]]:
    """:return: for each list of names, the names; a list of anything else does not count."""
    found = re.findall(r"(?:^- `[^`]+`$\n?)+", text, re.MULTILINE)
    return [_CODE.findall(each) for each in found]


def code(text: str) -> list[str]:
    """:return: what stands between backticks."""
    return _CODE.findall(text)


def links(text: str) -> list[str]:
    """:return: where the page's links lead."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """:return: the headings of a page as the ends of links, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
