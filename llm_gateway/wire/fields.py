"""Header fields between the wire and Twisted's ``Headers``, without spelling and checking each of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, cast

from twisted.web.http_headers import Headers

Fields = dict[bytes, list[bytes]]
"""
Values by name, spelt as ``twisted.web.http_headers`` spells names: that is what its ``Headers`` keep.

Whoever has one may change the dictionary, but never a list in it: other headers have the same one. They put another
list in its place.
"""

MAX_REMEMBERED = 2_000
MAX_REMEMBERED_BYTES = 64
"""Names, by any spelling. Bounded in number and in length, since whoever sends names chooses them."""

MAX_LINES = 1_000
MAX_LINE_BYTES = 192
"""Lines, likewise. Providers send about 30 with each answer, most of them every time."""

MAX_FORMS = 128
MAX_FORM_BYTES = 4_096
"""Sets of names, as they are written together. Messages to and from the same programs have the same ones."""

_SPECIAL = {
    b"Content-Md5": b"Content-MD5",
    b"Dnt": b"DNT",
    b"Etag": b"ETag",
    b"P3p": b"P3P",
    b"Te": b"TE",
    b"Www-Authenticate": b"WWW-Authenticate",
    b"X-Xss-Protection": b"X-XSS-Protection",
}
_NOT_AGAIN = frozenset(
    {
        b"Api-Key",
        b"Authorization",
        b"Cf-Ray",
        b"Cookie",
        b"Proxy-Authorization",
        b"Request-Id",
        b"Set-Cookie",
        b"Traceparent",
        b"X-Api-Key",
        b"X-Goog-Api-Key",
        b"X-Request-Id",
    }
)
"""Headers that are another each time, or secret: there is nothing to remember, or it should not be. A date is the same
for all messages of a second."""

_spelling: dict[bytes, bytes] = {}

_forms: dict[tuple[bytes, ...], bytes] = {}
"""Header lines by their names, with a place for each value."""


class Lines(dict[bytes, tuple[bytes, list[bytes]]]):
    """
    Header lines that were taken apart lately: name and value by line.

    A line means the same whenever it comes. Those who send them come with the same ones nearly every time.
    """

    __slots__ = ()

    def __missing__(self, line: bytes) -> tuple[bytes, list[bytes]]:
        return take_apart(line, self)


def take_apart(line: bytes, lines: Lines) -> tuple[bytes, list[bytes]]:
    """
    :param lines: which it is not among; they remember it if it is worth that.
    :return: name and values.
    """
    name, _, value = line.partition(b":")
    name = _spelling.get(name) or _spelt(name)
    part = name, [value.strip(b" \t")]
    if name not in _NOT_AGAIN and len(line) <= MAX_LINE_BYTES:
        if len(lines) >= MAX_LINES:
            # Lines with an id in them come once; those that matter are back at once.
            lines.clear()
        lines[line] = part
    return part


def read(raw: bytes, lines: Lines) -> Fields:
    """
    Take apart what a parser has found to be nothing but tokens, colons and values between CRLFs.

    llhttp could hand the fields over one by one; that takes twice the time.

    :param raw: one or more header lines with CRLF between them.
    :param lines: where to look first.
    """
    found = raw.split(b"\r\n")
    fields: Fields = dict(map(lines.__getitem__, found))
    if len(fields) < len(found):
        # Several lines are of one name.
        fields = {}
        for name, values in map(lines.__getitem__, found):
            fields[name] = fields[name] + values if name in fields else values
    return fields


def written(fields: Fields) -> bytes:
    """
    :return: header lines, each with its CRLF.
    """
    lists = fields.values()
    values = tuple(chain.from_iterable(lists))
    if len(values) > len(fields) or not all(lists):
        return b"".join([b"%b: %b\r\n" % (name, value) for name, values in fields.items() for value in values])
    # One value of each name, as nearly always.
    names = tuple(fields)
    form = _forms.get(names)
    return (_form_of(names) if form is None else form) % values


def _form_of(names: tuple[bytes, ...]) -> bytes:
    form = b"".join([b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in names])
    if len(form) <= MAX_FORM_BYTES:
        if len(_forms) >= MAX_FORMS:
            # Those that matter are back at once.
            _forms.clear()
        _forms[names] = form
    return form


def _spelt(name: bytes) -> bytes:
    spelt = b"-".join([word.capitalize() for word in name.split(b"-")])
    spelt = _SPECIAL.get(spelt, spelt)
    if len(name) <= MAX_REMEMBERED_BYTES and len(_spelling) < MAX_REMEMBERED:
        _spelling[name] = spelt
    return spelt


class SharingHeaders(Headers):
    """Headers some of whose lists of values others have as well: they are copied before anybody can change them."""

    __slots__ = ()

    def addRawHeader(self, name: Any, value: Any) -> None:
        name = name.encode("iso-8859-1") if isinstance(name, str) else name
        self.setRawHeaders(name, [*self.getRawHeaders(name, ()), value])

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        values = super().getRawHeaders(name, None)
        return default if values is None else list(values)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        return ((name, list(values)) for name, values in fields_of(self).items())


class LastingHeaders(SharingHeaders):
    """Headers that are sent again and again, and never change."""

    __slots__ = ("lines",)

    lines: bytes | None
    """How they are written, once they have been."""


def lasting(headers: Headers) -> LastingHeaders:
    """
    :param headers: which nobody changes from now on.
    """
    made = object.__new__(LastingHeaders)
    made._rawHeaders = fields_of(headers)
    made.lines = None
    return made


def headers_of(fields: Fields) -> Headers:
    """
    :param fields: in which there is nothing to make safe; the headers keep and change this very object.
    """
    headers = new_headers(SharingHeaders)
    # Documented private. What is public does over again, header by header, what is known here.
    headers._rawHeaders = fields
    return headers


new_headers = cast(Callable[[type[SharingHeaders]], SharingHeaders], object.__new__)
"""Headers without their fields: whoever has no time for ``headers_of`` puts them in."""

fields_of: Callable[[Headers], Fields] = attrgetter("_rawHeaders")
"""What these headers keep, to read or to change; names must be spelt right."""
