"""Inputs near to what is right: made of right ones, bent in a few places and cut anywhere."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import strategies as st

LINE_ENDS = (b"\r\n", b"\n", b"\r", b"\r\n\r\n")
ODD = (*(bytes([each]) for each in b"\0\t \x0b\x7f\x80\xff:;,+-0=\"/'\\%#"), b"")
JOINT = re.compile(rb"[^0-9A-Za-z]")
"""Behind such a byte something else may begin."""


@st.composite
def bent(
    draw: st.DrawFn, whole: st.SearchStrategy[bytes], words: Sequence[bytes], *, most: int = 3, runs: bool = False
) -> bytes:
    """
    :param whole: what is bent.
    :param words: what may be put anywhere, besides line ends, bytes that parsers trip over, and parts of itself.
    :param most: how many things are bent together.
    :param runs: whether something may come again and again, to meet limits.
    """
    raw = bytearray().join(draw(st.lists(whole, min_size=1, max_size=most)))
    word, odd = st.sampled_from(words), st.sampled_from([*LINE_ENDS, *ODD]) | st.binary(max_size=4)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        if draw(st.booleans()) and (joint := JOINT.search(raw, at)):
            at = joint.end()
        put = draw(word if draw(st.booleans()) else odd)
        how = draw(st.integers(0, 9))
        if how == 0:
            other = draw(st.integers(0, len(raw)))
            put = bytes(raw[other : other + draw(st.integers(0, 40))])
        elif how == 1 and runs:
            put = put * (draw(st.sampled_from([1_000, 8_300, 16_600, 66_000])) // max(1, len(put)))
        raw[at : at + draw(st.sampled_from([0, 0, 0, 1, 2, 10, 10_000]))] = put
    return bytes(raw)


CUTS = st.lists(st.integers(0, 9_999), max_size=6) | st.none()
"""Where to cut something; see :func:`pieces`."""


def pieces(raw: bytes, cuts: list[int] | None) -> list[bytes]:
    """
    :param cuts: odd numbers for places beside the bytes of line ends, even ones for any places, counted around and
        around; ``None`` for every place near the beginning.
    """
    if cuts is None:
        places = set(range(min(len(raw), 1000)))
    else:
        ends = [at for at in range(1, len(raw)) if raw[at - 1] in b"\r\n" or raw[at] in b"\r\n"] or [0]
        places = {ends[cut // 2 % len(ends)] if cut % 2 else cut // 2 % (len(raw) + 1) for cut in cuts}
    return [raw[a:b] for a, b in pairwise([*sorted(places | {0}), len(raw)]) if a < b]


# Documents

MAX_BYTES = 200_000
"""Of a document, unless it has been broken."""

Json = Any
Place = tuple[str | int, ...]

_AGAIN = [
    b'"a%d":{"properties":{"x":{"$ref":"#/$defs/a%d"},"y":{"$ref":"#/$defs/a%d"}}}' % (n, n + 1, n + 1)
    for n in range(40)
]
SCHEMAS = (
    b'{"$ref":"#/$defs/a0","$defs":{%b,"a40":{"type":"string"}}}' % b",".join(_AGAIN),
    b'{"type":["object","null"],"anyOf":[{"$ref":"#"},{"$ref":"#/a"},{"const":1}],"allOf":[true],"prefixItems":[{}]}',
)
"""What is large once it is written out, and what never ends."""

VALUES = (
    *(b"null", b"true", b"0", b"-1", b"-0.0", b"1e308", b"1e-999", b"1000000000", b"1%b" % (b"0" * 30), b'"1"'),
    *(b"[]", b"{}", b"[[]]", b'""', b'"x"', b'"%b"' % (b"x" * 5_000), b'{"":""}', b'{"a":1,"a":[]}'),
    *(b'"\\u0000"', b'"\\r\\ndata: x\\n\\n"', b'"\xf0\x9f\x99\x82\xe2\x80\xa8"', b'"\\ud83d\\ude42"'),
    *(b'"data:,"', b'"data:image/png;base64,QQ"', b"[%b]" % b",".join([b"{}"] * 300)),
    *(b"[" * 600 + b"]" * 600, b'{"a":' * 600 + b"1" + b"}" * 600, *SCHEMAS),
)
BROKEN = (
    *(b"", b"1e999", b"-", b"NaN", b"[", b"[" * 100_000, b'{"a":' * 30_000, b"1" * 5_000, b'"', b'"\xff"', b'"\n"'),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83dx"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf0\x9f\x99'),
    b"\xef\xbb\xbf1",
)
"""What is no JSON, or is to some readers only."""


def hostile(documents: st.SearchStrategy[Json]) -> st.SearchStrategy[bytes]:
    """A JSON document with some of its values replaced, left out, doubled or put elsewhere; or its bytes broken."""
    raw = changed(documents).map(msgspec.json.encode)
    return st.integers(0, 9).flatmap(lambda rare: bent(raw, BROKEN, most=1) if rare == 9 else raw)


@st.composite
def changed(draw: st.DrawFn, documents: st.SearchStrategy[Json]) -> Json:
    """The same, not yet encoded; it may have raw JSON in it, and what is none."""
    document = draw(documents)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document)) if isinstance(document, dict | list) else []
        if places:
            other = draw(_changed(document, draw(st.sampled_from(places)), draw(st.sampled_from(places))))
            document = other if len(msgspec.json.encode(other)) <= MAX_BYTES else document
    return document


def _places(document: Json, above: Place = ()) -> Iterator[Place]:
    values = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in values:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*above, key))


@st.composite
def _changed(draw: st.DrawFn, document: Json, place: Place, other: Place) -> Json:
    """
    :param other: where there is another value.
    """
    above, key = place[:-1], place[-1]
    holder = copy.copy(_at(document, above))
    match draw(st.sampled_from(["value", "value", "value", "other", "other", "gone", "twice", "more", "broken"])):
        case "value":
            holder[key] = msgspec.Raw(draw(st.sampled_from(VALUES)))
        case "broken":
            holder[key] = msgspec.Raw(draw(st.sampled_from(BROKEN)))
        case "other":
            holder[key] = _at(document, other)
        case "gone":
            del holder[key]
        case "twice" if isinstance(holder, dict):
            again = {key: _at(document, other)}
            holder = msgspec.Raw(msgspec.json.encode(holder)[:-1] + b"," + msgspec.json.encode(again)[1:])
        case "twice":
            holder *= 50
        case _ if isinstance(holder, dict):
            holder |= {"": 1, "of_tomorrow": {"a.b[0]": []}, "a\r\nb": "x"}
    for at in range(len(above), 0, -1):
        outer = copy.copy(_at(document, above[: at - 1]))
        outer[above[at - 1]] = holder
        holder = outer
    return holder


def _at(document: Json, place: Place) -> Json:
    return functools.reduce(lambda value, key: value[key], place, document)
