"""The reader of JSON texts: as strict as the standard one, and right about lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.config.document import (
    MAX_DEPTH,
    List,
    MalformedDocument,
    Node,
    Object,
    Scalar,
    document_of,
    read_document,
)


class Pairs(tuple[tuple[str, Any], ...]):
    """An object as its author wrote it: repeated names stay."""


SPACES = st.text(alphabet=" \t\n\r", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(st.text(max_size=5), inner), max_size=4).map(Pairs),
    max_leaves=12,
)


class Printer:
    """Prints a value with white space of anybody's taste, and notes the line on which each part begins."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self._text = ""
        self.lines: list[int] = []

    def print(self, value: Any) -> str:
        self._space()
        self._value(value)
        self._space()
        return self._text

    def _value(self, value: Any) -> None:
        self._note()
        if isinstance(value, Pairs):
            self._sequence("{", "}", value, self._member)
        elif isinstance(value, list):
            self._sequence("[", "]", value, self._value)
        else:
            self._text += json.dumps(value, ensure_ascii=self._data.draw(st.booleans()))

    def _member(self, member: tuple[str, Any]) -> None:
        self._note()
        self._text += json.dumps(member[0])
        self._space()
        self._text += ":"
        self._space()
        self._value(member[1])

    def _sequence(self, opening: str, closing: str, parts: Any, write: Any) -> None:
        self._text += opening
        for number, part in enumerate(parts):
            self._text += "," if number else ""
            self._space()
            write(part)
            self._space()
        self._space()
        self._text += closing

    def _space(self) -> None:
        self._text += self._data.draw(SPACES)

    def _note(self) -> None:
        """A line ends as in an editor: at CRLF, CR or LF. `str.splitlines` would count other characters too."""
        universal = self._text.replace("\r\n", "\n").replace("\r", "\n")
        self.lines.append(universal.count("\n") + 1)


def lines_of(node: Node) -> Iterator[int]:
    """Lines in the order in which the printer notes them."""
    yield node.line
    if isinstance(node, Object):
        for member in node.members:
            yield member.line
            yield from lines_of(member.node)
    elif isinstance(node, List):
        for item in node.items:
            yield from lines_of(item)


def plain(node: Node) -> Any:
    """The node as the standard reader would give it, but for objects, which stay pairs."""
    if isinstance(node, Object):
        return Pairs((member.name, plain(member.node)) for member in node.members)
    return [plain(item) for item in node.items] if isinstance(node, List) else node.value


@settings(deadline=None)
@given(value=VALUES, data=st.data())
def test_every_line_is_right_however_it_is_printed(value: Any, data: st.DataObject) -> None:
    """The line that a message names is the one that the author sees in an editor."""
    printer = Printer(data)
    node = read_document(printer.print(value))
    assert list(lines_of(node)) == printer.lines
    assert plain(node) == value


@settings(deadline=None)
@given(text=st.text(alphabet='{}[]:,"\\ntrue0123.-+eEu\n \t/a\x00', max_size=40))
def test_reader_accepts_what_json_accepts(text: str) -> None:
    """Nothing that is JSON is refused and nothing else is accepted."""
    try:
        expected = json.loads(text, object_pairs_hook=Pairs, parse_constant=refuse)
    except ValueError:
        with pytest.raises(MalformedDocument):
            read_document(text)
    else:
        assert plain(read_document(text)) == expected


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@settings(deadline=None)
@given(text=st.text())
def test_complaint_points_into_the_text(text: str) -> None:
    """Whatever is wrong with a text, the place of it exists."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    line, column = where_it_breaks(text)
    assert 1 <= line <= len(lines)
    # One past the end of a line is where it is not closed; CRLF counts as two characters.
    assert 1 <= column <= len(lines[line - 1]) + 2


def where_it_breaks(text: str) -> tuple[int, int]:
    try:
        read_document(text)
    except MalformedDocument as fault:
        return fault.line, fault.column
    return 1, 1


def test_huge_integer_is_a_number() -> None:
    """A number that Python would refuse to convert is read, for the limits of the field to judge."""
    node = read_document("9" * 10_000)
    assert isinstance(node, Scalar)
    assert node.value == math.inf


def test_repeated_names_are_kept() -> None:
    """Both members are there, so that the second can be reported."""
    node = read_document('{"a": 1, "a": 2}')
    assert plain(node) == Pairs([("a", 1), ("a", 2)])


def test_depth_has_a_limit_and_settings_are_below_it() -> None:
    """A hostile file cannot exhaust the stack."""
    assert isinstance(read_document("[" * MAX_DEPTH + "]" * MAX_DEPTH), List)
    with pytest.raises(MalformedDocument, match="nested more than 32 deep"):
        read_document("[" * 100_000)


def test_printing_a_document_shows_none_of_its_texts() -> None:
    """A document in a traceback or a debugger's log gives no key away."""
    assert "canary" not in repr(read_document('{"canary": ["canary"]}'))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_value_is_the_same_document_as_its_text(value: Any) -> None:
    assert document_of(value) == read_document(json.dumps(value))


def test_value_that_is_nested_too_deep_is_no_document_either() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert document_of(value) == read_document(json.dumps(value))
    with pytest.raises(MalformedDocument, match="nested more than"):
        document_of([value])
