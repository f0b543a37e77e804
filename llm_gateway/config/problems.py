"""Collecting what is wrong with a file, and showing names only where they cannot be keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import msgspec

from llm_gateway.config.document import List, Node, Object, Scalar
from llm_gateway.errors import Problem

NEAR = 0.6
"""Half of the letters, and some more."""

VERY_NEAR = 0.85
"""One letter missing, added or another in a name of six or more."""

_MOST_LISTED = 40
"""All fields of a provider and all presets; there may be hundreds of credentials."""

_KEY_PREFIX = re.compile(r"\W*(?:(?:sk|vk|gsk)[-_]|aiza|sha256:|bearer\s)", re.IGNORECASE)
_LONG_RUN = re.compile(r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}")


class Report(msgspec.Struct):
    """What is wrong with one file, in the order in which it was noticed."""

    file: str
    problems: list[Problem] = []
    warnings: list[Problem] = []

    def add(self, line: int | None, place: str, message: str) -> None:
        self.problems.append(Problem(self.file, line, place, message))

    def warn(self, line: int | None, place: str, message: str) -> None:
        self.warnings.append(Problem(self.file, line, place, message))


class Spot(msgspec.Struct, frozen=True):
    """A value of a document, where it stands, and the report on its file."""

    report: Report
    node: Node
    line: int
    """Line of the value's name, or of the value itself where it has none."""
    place: str

    def field(self, name: str) -> Spot:
        """:return: the field of that name, or this spot itself where the field is not given."""
        member = self.node.find(name) if isinstance(self.node, Object) else None
        if member is None:
            return self
        return Spot(self.report, member.node, member.line, join(self.place, name))

    def items(self) -> tuple[Spot, ...]:
        """:return: the items of a list, counted from 1 in their places."""
        nodes = self.node.items if isinstance(self.node, List) else ()
        return tuple(
            Spot(self.report, node, node.line, f"{self.place}[{position}]") for position, node in enumerate(nodes, 1)
        )

    def wrong(self, message: str) -> None:
        """Report a fault in this value."""
        self.report.add(self._value_line, self.place or "top level", message)

    def doubtful(self, message: str) -> None:
        """Report something that does not keep the rest from working."""
        self.report.warn(self._value_line, self.place or "top level", message)

    @property
    def _value_line(self) -> int:
        return self.node.line if isinstance(self.node, Scalar) else self.line


def join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def listed(names: Iterable[str]) -> str:
    """:return: the names in alphabetical order, for a message; of very many, the first ones."""
    in_order = sorted(names)
    shown_ones = ", ".join(in_order[:_MOST_LISTED]) or "none"
    more = len(in_order) - _MOST_LISTED
    return f"{shown_ones} and {more} more" if more > 0 else shown_ones


def nearest(name: str, known: Iterable[str], *, cutoff: float = NEAR) -> str | None:
    """
    :param cutoff: how near, from 0 up to 1 for the same.
    :return: the known name that a misspelt one most likely stands for, if one is near. Case does not matter.
    """
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[near[0]] if near else None


def suggestion(name: str, known: Iterable[str], *, what: str, besides: Iterable[str] = (), cutoff: float = NEAR) -> str:
    """
    :param what: what the known names are, in the plural: ``fields``.
    :param cutoff: as for ``nearest``, where the name may well be meant.
    :param besides: more that may be meant: too many to be listed, and to be guessed unless they are very near.
    :return: the second half of a message: ``; did you mean "url"? Known fields: base_url, url``.
    """
    known = tuple(known)
    near = nearest(name, known, cutoff=cutoff) or nearest(name, besides, cutoff=VERY_NEAR)
    guess = f'; did you mean "{near}"?' if near else ";"
    return f"{guess} {'K' if near else 'k'}nown {what}: {listed(known)}"


def begins_like_key(text: str) -> bool:
    """
    Tell whether a text is most likely a key: what people do not call anything, however long their names are.
    """
    return _KEY_PREFIX.match(text) is not None


def looks_like_key(text: str) -> bool:
    """
    Tell whether a text that should be an ordinary name may be a key that was put in the wrong place.

    A heuristic with a preference for yes: what it costs is a name that a message leaves out.
    """
    return bool(len(text) > 64 or _KEY_PREFIX.match(text) or _LONG_RUN.search(text))


def shown(name: str) -> str | None:
    """:return: the name in quotes when it may stand in a message: short, printable ASCII, and no key by its looks."""
    fits = name and name.isascii() and name.isprintable() and '"' not in name and not looks_like_key(name)
    return f'"{name}"' if fits else None
