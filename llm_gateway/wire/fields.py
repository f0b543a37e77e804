"""Header fields between the wire and Twisted's ``Headers``, without spelling and checking each of them again."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

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


_spelling: dict[bytes, bytes] = {}
"""Names in their usual spelling, by any other. Bounded in number and in length: whoever sends names chooses them."""


def read(raw: bytes) -> Fields:
    """
    Take apart what a parser has found to be nothing but tokens, colons and values between CRLFs.

    llhttp could hand the fields over one by one; that takes twice the time.

    :param raw: one or more header lines with CRLF between them.
    """
    lines = raw.split(b"\r\n")
    parts = [line.partition(b":") for line in lines]
    try:
        fields = {_spelling[name]: [value.strip(b" \t")] for name, _, value in parts}
        if len(fields) == len(lines):
            return fields
    except KeyError:
        pass
    fields = {}
    for name, _, value in parts:
        fields.setdefault(_spelling.get(name) or _spelt(name), []).append(value.strip(b" \t"))
    return fields


def written(fields: Fields) -> bytes:
    """
    :return: header lines, each with its CRLF.
    """
    lines = [name + b": " + value for name, values in fields.items() for value in values]
    lines.append(b"")
    return b"\r\n".join(lines)


def _spelt(name: bytes) -> bytes:
    spelt = b"-".join([word.capitalize() for word in name.split(b"-")])
    spelt = _SPECIAL.get(spelt, spelt)
    if len(name) <= _MAX_REMEMBERED_BYTES and len(_spelling) < _MAX_REMEMBERED:
        _spelling[name] = spelt
    return spelt


def headers_of(fields: Fields) -> Headers:
    """
    :param fields: in which there is nothing to make safe; the headers keep and change this very object.
    """
    headers = _new(Headers)
    # Documented private. What is public does over again, header by header, what is known here.
    headers._rawHeaders = fields
    return headers


_new = object.__new__

fields_of: Callable[[Headers], Fields] = attrgetter("_rawHeaders")
"""What these headers keep, to read or to change; names must be spelt right."""
