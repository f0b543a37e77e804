"""A JSON text read strictly, with the line on which everything in it stands.

The standard readers keep no positions, drop repeated names, accept ``NaN`` and stop at the first thing that does not
fit. A settings file deserves better: this reader keeps the line of every name and value, and its complaints about
broken text never quote the text, which may hold keys.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any, TypeAlias

import msgspec

from llm_gateway.core.discreet import Discreet

MAX_DEPTH = 32
"""Settings nest four deep; the limit only keeps a hostile file from exhausting Python's stack."""

_SPACE = re.compile(r"[ \t\r\n]*")
_NEWLINE = re.compile(r"\r\n|\r|\n")
# Possessive: with places to come back to for every character, a long string would take gigabytes.
_STRING_BODY = re.compile(
    r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+',
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_AFTER_NUMBER = re.compile(r"[0-9A-Za-z_.+-]")
_WORD = re.compile(r"[A-Za-z]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_LONG_INTEGER = 300
"""Python refuses to convert integers of several thousand digits; beyond this many a float does for us."""


class MalformedDocument(Exception):
    """The text is not JSON. Holds where and why, and nothing of the text."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.line = line
        self.column = column
        self.reason = reason


class Scalar(Discreet, msgspec.Struct, frozen=True):
    """A string, a number, ``true``, ``false`` or ``null``."""

    line: int
    value: str | int | float | bool | None

    def shown(self) -> tuple[str, ...]:
        return ("line",)

    @property
    def kind(self) -> str:
        """What it is, for messages: ``a string``."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if self.value is None:
            return "null"
        return "a string" if isinstance(self.value, str) else "a number"


class Member(Discreet, msgspec.Struct, frozen=True):
    """One name of an object and what it stands for."""

    line: int
    """Line of the name; the value may begin further down."""
    name: str
    node: Node

    def shown(self) -> tuple[str, ...]:
        return ("line",)


class Object(msgspec.Struct, frozen=True):
    """``{...}``, with its members in the order of the text and repeated names kept."""

    line: int
    members: tuple[Member, ...]
    kind = "an object"

    def find(self, name: str) -> Member | None:
        """:return: the first member of that name."""
        # A plain loop takes a third of the time of a generator, and files of many keys are full of small objects.
        for member in self.members:
            if member.name == name:
                return member
        return None


class List(msgspec.Struct, frozen=True):
    """``[...]``."""

    line: int
    items: tuple[Node, ...]
    kind = "a list"


Node: TypeAlias = Scalar | Object | List


def read_document(text: str) -> Node:
    """
    Read a JSON text (RFC 8259) and remember where everything stands.

    :raises MalformedDocument: the text is not JSON, is nested deeper than `MAX_DEPTH`, or holds half a surrogate pair.
    """
    return _Reader(text).document()


def document_of(value: Any, depth: int = 1) -> Node:
    """
    :param value: what a JSON text has been read to before.
    :return: the same as for a text of one line that says this.
    :raises MalformedDocument: it is nested deeper than `MAX_DEPTH`.
    """
    if isinstance(value, (dict, list)):
        if depth > MAX_DEPTH:
            raise MalformedDocument(1, 1, f"nested more than {MAX_DEPTH} deep")
        if isinstance(value, list):
            return List(1, tuple(document_of(each, depth + 1) for each in value))
        return Object(1, tuple(Member(1, name, document_of(each, depth + 1)) for name, each in value.items()))
    return Scalar(1, value)


class _Reader:
    """The text, how far it has been read, and the offsets at which its lines begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in _NEWLINE.finditer(text))]

    def document(self) -> Node:
        node = self._value(depth=1)
        if self._peek():
            raise self._fault("something follows the end of the document")
        return node

    def _line(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset)

    def _fault(self, reason: str, offset: int | None = None) -> MalformedDocument:
        offset = self._at if offset is None else offset
        line = self._line(offset)
        return MalformedDocument(line, offset - self._line_starts[line - 1] + 1, reason)

    def _peek(self) -> str:
        """:return: the next character that is not white space, empty at the end of the text."""
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Node:
        first = self._peek()
        line = self._line(self._at)
        if first == '"':
            return Scalar(line, self._string())
        if first in ("{", "["):
            if depth > MAX_DEPTH:
                raise self._fault(f"nested more than {MAX_DEPTH} deep")
            return self._object(line, depth) if first == "{" else self._list(line, depth)
        if first == "-" or "0" <= first <= "9":
            return Scalar(line, self._number())
        return Scalar(line, self._word(first))

    def _object(self, line: int, depth: int) -> Object:
        self._at += 1
        members: list[Member] = []
        if self._peek() == "}":
            self._at += 1
            return Object(line, ())
        while True:
            first = self._peek()
            if first != '"':
                raise self._unexpected(first, "a name in double quotes", f"inside the object opened on line {line}")
            at = self._line(self._at)
            name = self._string()
            if (mark := self._peek()) != ":":
                raise self._unexpected(mark, 'a ":" after the name', f"inside the object opened on line {line}")
            self._at += 1
            members.append(Member(at, name, self._value(depth + 1)))
            if self._closes("}", f"inside the object opened on line {line}"):
                return Object(line, tuple(members))

    def _list(self, line: int, depth: int) -> List:
        self._at += 1
        items: list[Node] = []
        if self._peek() == "]":
            self._at += 1
            return List(line, ())
        while True:
            items.append(self._value(depth + 1))
            if self._closes("]", f"inside the list opened on line {line}"):
                return List(line, tuple(items))

    def _closes(self, bracket: str, inside: str) -> bool:
        """Read what follows a member or an item: the closing bracket, or a comma and something after it."""
        mark = self._peek()
        if mark == bracket:
            self._at += 1
            return True
        if mark != ",":
            raise self._unexpected(mark, f'"," or "{bracket}"', inside)
        comma = self._at
        self._at += 1
        if self._peek() == bracket:
            raise self._fault(f'a "," stands before "{bracket}" with nothing after it', comma)
        return False

    def _unexpected(self, found: str, expected: str, inside: str = "") -> MalformedDocument:
        """:param found: the character that stands there, empty at the end of the text."""
        if not found:
            return self._fault(f"the text ends {inside or 'where a value is expected'}")
        hints = {"/": "; JSON has no comments", "#": "; JSON has no comments", "'": "; single quotes do not count"}
        return self._fault(f"expected {expected}{inside and f' {inside}'}{hints.get(found, '')}")

    def _string(self) -> str:
        body = _STRING_BODY.match(self._text, self._at)
        assert body is not None
        if not self._text.startswith('"', body.end()):
            raise self._broken_string(body.end())
        value = self._text[self._at + 1 : body.end()]
        if "\\" in value:
            value = json.loads(f'"{value}"')
            if _LONE_SURROGATE.search(value):
                raise self._fault("a string holds half of a surrogate pair")
        self._at = body.end() + 1
        return value

    def _broken_string(self, end: int) -> MalformedDocument:
        """:param end: offset of the first character that cannot be part of it."""
        stop = self._text[end : end + 1]
        if stop == "\\":
            return self._fault("a backslash in a string begins no escape that JSON knows", end)
        if stop in ("\n", "\r", ""):
            return self._fault("a string is not closed on its line")
        return self._fault("a control character in a string must be written as an escape", end)

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None or _AFTER_NUMBER.match(self._text, match.end()):
            raise self._fault("a number is not written as JSON writes them")
        digits = match.group()
        self._at = match.end()
        is_integer = not set(digits) & set(".eE")
        return int(digits) if is_integer and len(digits) <= _LONG_INTEGER else float(digits)

    def _word(self, first: str) -> bool | None:
        match = _WORD.match(self._text, self._at)
        if match is None or match.group() not in _WORDS:
            raise self._unexpected(
                first, "a value: a string in double quotes, a number, true, false, null, {...} or [...]"
            )
        self._at = match.end()
        return _WORDS[match.group()]
