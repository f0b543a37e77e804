"""
What can be told of JSON that is too long to be held, or that was cut: a document, or one event of a stream.

It is searched for the objects that have numbers and for what models write, as it comes; nothing is parsed but what was
found. A text cannot be taken for such an object: in JSON its quotes have backslashes.
"""

from __future__ import annotations

import re

from llm_gateway.core.estimate import estimate_text
from llm_gateway.core.usage.answers import AnswerReader

__all__ = ["OVERLAP_BYTES", "Scan"]

OVERLAP_BYTES = 8192
"""What is searched again with what comes next: longer than any of the objects that are looked for."""

_BYTES_PER_TOKEN = 4
"""Of text that is too long to be looked at."""

_FLAT = rb'[^{}"]*+(?:"(?:[^"\\]|\\.)*+"[^{}"]*+)*+'
_NESTED = rb"\{" + _FLAT + rb"(?:\{" + _FLAT + rb"(?:\{" + _FLAT + rb"\}" + _FLAT + rb")*+\}" + _FLAT + rb")*+\}"
_USAGE = re.compile(rb'"usage(?:Metadata)?"\s*+:\s*+(' + _NESTED + rb")", re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_MODEL = re.compile(rb'"model(?:Version)?"\s*+:\s*+"[^"\\]{1,256}+"')
_WRITTEN = re.compile(
    rb'"(?:text|content|thinking|arguments|reasoning|reasoning_content|refusal)"\s*+:\s*+"([^"\\]*+(?:\\.[^"\\]*+)*+)(\\?"?)',
    re.DOTALL,
)
_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class Scan:
    """Of one document or event."""

    __slots__ = ("_exact", "_inside", "_reader", "_tail", "tokens", "told")

    def __init__(self, reader: AnswerReader, *, exact: bool = False) -> None:
        """
        :param exact: whether it is a document that was cut, and short enough to be looked at closely.
        """
        self._reader = reader
        self._exact = exact
        self._tail = b""
        self._inside = False
        """Whether what comes next begins within a text."""
        self.tokens = 0.0
        """Of the text, estimated."""
        self.told = False
        """Whether it tells how much has been written."""

    def feed(self, blob: bytes) -> None:
        searched = self._tail + blob
        reader = self._reader
        at = searched.find(b'"usage')
        while at >= 0:
            found = _USAGE.match(searched, at)
            if found is not None and (not self._exact or _at_the_top(searched, at)):
                self.told = reader.take_usage(found[1]) or self.told
            at = searched.find(b'"usage', at + 6)
        if reader.model is None and (named := _MODEL.search(searched)) is not None:
            reader.name(b"{%b}" % named[0])
        for place in reader.places:
            # Those of the tail are counted, unless they end in what has just come.
            reader.places_seen += (self._tail[1 - len(place) :] + blob).count(place)
        self._read(blob)
        self._tail = searched[-OVERLAP_BYTES:]

    def _read(self, blob: bytes) -> None:
        at = 0
        if self._inside:
            rest = _REST.match(blob)
            assert rest is not None, "matches nothing as well"
            self._say(rest[0])
            at = rest.end()
            self._inside = at >= len(blob) - 1 and not blob.endswith(b'"')
        for found in _WRITTEN.finditer(blob, at):
            self._say(found[1])
            self._inside = found.end() == len(blob) and not found[2].endswith(b'"')

    def _say(self, text: bytes) -> None:
        if self._exact:
            self.tokens += estimate_text(text.decode("utf-8", "ignore"))
        else:
            self.tokens += len(text) / _BYTES_PER_TOKEN


def _at_the_top(document: bytes, at: int) -> bool:
    """:return: whether a member belongs to the document, or to an element of one that is a list."""
    before = _STRING.sub(b"", document[:at])
    depth = before.count(b"{") + before.count(b"[") - before.count(b"}") - before.count(b"]")
    return depth == (2 if before.lstrip().startswith(b"[") else 1)
