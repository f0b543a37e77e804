"""Header fields between the wire and Twisted's ``Headers``, without spelling and checking each of them again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain
from operator import methodcaller

from twisted.web.http_headers import Headers

Fields = dict[bytes, list[bytes]]
"""Values by name, spelt as ``twisted.web.http_headers`` spells names: that is what its ``Headers`` keep."""

_SPECIAL = {
    b"Content-Md5": b"Content-MD5",
    b"Dnt": b"DNT",
    b"Etag": b"ETag",
    b"P3p": b"P3P",
    b"Te": b"TE",
    b"Www-Authenticate": b"WWW-Authenticate",
    b"X-Xss-Protection": b"X-XSS-Protection",
}
_MAX_REMEMBERED = 2_000
_MAX_REMEMBERED_BYTES = 64


class _Spelling(dict[bytes, bytes]):
    """
    From a name as it came to its usual spelling.

    Bounded in number and in length: whoever sends names chooses them.
    """

    def __missing__(self, name: bytes) -> bytes:
        spelt = b"-".join([word.capitalize() for word in name.split(b"-")])
        spelt = _SPECIAL.get(spelt, spelt)
        if len(name) <= _MAX_REMEMBERED_BYTES and len(self) < _MAX_REMEMBERED:
            self[name] = spelt
        return spelt


spelling: Mapping[bytes, bytes] = _Spelling()
"""Names in their usual spelling, by any other."""

_pairs: Callable[[bytes], list[tuple[bytes, bytes]]] = re.compile(rb"([^:\r\n]+):[ \t]*([^\r\n]*)\r\n").findall
_stripped = methodcaller("rstrip", b" \t")
_line: Callable[[tuple[bytes, bytes]], bytes] = b": ".join
_lines: Callable[[map[bytes]], bytes] = b"\r\n".join


def read(raw: bytes) -> list[tuple[bytes, bytes]]:
    """
    Take apart what a parser has found to be nothing but tokens, colons and values between CRLFs.

    llhttp could hand the fields over one by one; that takes several times as long.

    :param raw: header lines, each with its CRLF.
    :return: names as they came and values without the space around them.
    :raises ValueError: it is not that, after all.
    """
    pairs = _pairs(raw)
    if len(pairs) != raw.count(b"\r\n"):
        raise ValueError("a line that is no header")
    if b" \r\n" in raw or b"\t\r\n" in raw:
        return [(name, _stripped(value)) for name, value in pairs]
    return pairs


def gathered(pairs: list[tuple[bytes, bytes]]) -> Fields:
    """
    :return: the same fields by name.
    """
    fields = {spelling[name]: [value] for name, value in pairs}
    if len(fields) != len(pairs):
        fields = {}
        for name, value in pairs:
            fields.setdefault(spelling[name], []).append(value)
    return fields


def written(fields: Fields) -> bytes:
    """
    :return: header lines, each with its CRLF.
    """
    values = [*chain.from_iterable(fields.values())]
    if len(values) == len(fields) and [] not in fields.values():
        # One of each, as nearly always: without a step of Python's for each.
        return _lines(map(_line, zip(fields, values, strict=True))) + b"\r\n" if values else b""
    return b"".join([b"%b: %b\r\n" % (name, value) for name, values in fields.items() for value in values])


def headers_of(fields: Fields) -> Headers:
    """
    :param fields: in which there is nothing to make safe; the headers keep and change this very object.
    """
    headers = Headers()
    # Documented private. What is public does over again, header by header, what is known here.
    headers._rawHeaders = fields
    return headers


def fields_of(headers: Headers) -> Fields:
    """
    :return: what these headers keep, to read or to change; names must be spelt right.
    """
    return headers._rawHeaders
