"""Telling when a call's arguments, that come in fragments, are whole."""

from __future__ import annotations

import re

__all__ = ["Arguments"]

_SIGNS = re.compile(r'["\\{}\[\]]')
_IN_TEXT = re.compile(r'["\\]')


class Arguments:
    """
    The fragments of one JSON object, of which only the nesting is kept.

    Calls may interleave in a stream, although hardly any provider's do: while one's arguments are open, what comes for
    another has to wait.
    """

    __slots__ = ("_depth", "_escaped", "_in_text", "whole")

    def __init__(self) -> None:
        self.whole = False
        """Whether the object has been closed; no more than blanks can follow."""
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def feed(self, piece: str) -> None:
        at = 0
        if self._escaped and piece:
            self._escaped = False
            at = 1
        while True:
            found = (_IN_TEXT if self._in_text else _SIGNS).search(piece, at)
            if found is None:
                break
            at = found.end()
            sign = found.group()
            if sign == "\\":
                if at == len(piece):
                    self._escaped = True
                at += 1
            elif sign == '"':
                self._in_text = not self._in_text
            elif sign in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                self.whole = self.whole or self._depth <= 0
