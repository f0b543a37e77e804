"""Fitting a document to one of the formats, and reporting everything that does not fit instead of the first thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any

import msgspec
from msgspec import inspect

from llm_gateway.config.document import List, Object, Scalar
from llm_gateway.config.problems import Spot, join, shown, suggestion


def members(spot: Spot, *, what: str, quote: bool) -> Iterator[tuple[str, Spot]]:
    """
    Go through the members of an object once each, reporting names that are given again.

    :param what: what a name is: ``header``.
    :param quote: whether names may stand in places and messages. Where they may not, and where they do not look like
        names, the position stands in for them, counted from 1.
    """
    assert isinstance(spot.node, Object)
    first_lines: dict[str, tuple[int, str]] = {}
    for position, member in enumerate(spot.node.members, 1):
        named = quote and shown(member.name) is not None
        place = join(spot.place, member.name) if named else f"{spot.place or what}[{position}]"
        if member.name in first_lines:
            line, first_place = first_lines[member.name]
            again = "is given twice" if named else f"is the same {what} as {first_place}"
            spot.report.add(member.line, place, f"{again}; first on line {line}")
            continue
        first_lines[member.name] = (member.line, place)
        yield member.name, Spot(spot.report, member.node, member.line, place)


def is_object(spot: Spot, expected: str = "an object") -> bool:
    """Report a value that is not an object."""
    if not isinstance(spot.node, Object):
        spot.wrong(f"must be {expected}, not {spot.node.kind}")
    return isinstance(spot.node, Object)


def read_fields(
    spot: Spot, shape: type[msgspec.Struct], *, quote: bool, aside: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """
    Read the fields of a struct from an object, reporting those that are unknown, repeated, missing or of a wrong type.

    :param spot: stands at an object; see `is_object`.
    :param quote: whether unknown names may be shown. Never in ``keys.json``, where a key may stand in their place.
    :param aside: fields that are known and whose values the caller reads.
    :return: the values that are right, by attribute. Objects become structs, with the defaults for what is wrong.
    """
    assert isinstance(spot.node, Object)
    fields = _fields(shape)
    values: dict[str, Any] = {}
    first_lines: dict[str, int] = {}
    for member in spot.node.members:
        field = fields.get(member.name)
        if field is None:
            spot.report.add(member.line, spot.place or "top level", _unknown(member.name, fields, quote))
            continue
        there = Spot(spot.report, member.node, member.line, join(spot.place, member.name))
        if member.name in first_lines:
            spot.report.add(member.line, there.place, f"is given twice; first on line {first_lines[member.name]}")
            continue
        first_lines[member.name] = member.line
        value = None if member.name in aside else _read_value(there, field.type, quote)
        if value is not None:
            values[field.name] = value
    for name, field in fields.items():
        if field.required and name not in first_lines:
            spot.report.add(spot.line, spot.place or "top level", f'needs a field "{name}"')
    return values


class _Field:
    """One of a format."""

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.name = field.name
        self.required = field.required
        self._said = field.type

    @cached_property
    def type(self) -> inspect.Type:
        """What may stand in it. It is looked at when something does: all formats together have hundreds of fields."""
        return inspect.type_info(self._said)


@cache
def _fields(shape: type[msgspec.Struct]) -> Mapping[str, _Field]:
    """:return: by the name in the file. Looking them up resolves their annotations anew each time, which is slow."""
    fields = msgspec.structs.fields(shape)
    return {each.encode_name: _Field(each) for each in fields}


def _unknown(name: str, fields: Mapping[str, _Field], quote: bool) -> str:
    quoted = shown(name) if quote else None
    known = [each for each in fields if not each.startswith("$")]
    return f"unknown field{f' {quoted}' if quoted else ''}{suggestion(name, known, what='fields')}"


def _read_value(spot: Spot, wanted: inspect.Type, quote: bool) -> Any:
    """:return: the value, or None when it has been reported. No format knows ``null``."""
    extra: dict[str, Any] = {}
    while isinstance(wanted, inspect.Metadata):
        extra |= wanted.extra or {}
        wanted = wanted.type
    match wanted:
        case inspect.StructType(cls=cls):
            return cls(**read_fields(spot, cls, quote=quote)) if is_object(spot) else None
        case inspect.DictType(value_type=value_type):
            return _read_dict(spot, value_type, quote)
        case inspect.ListType(item_type=item_type):
            return _read_list(spot, item_type, quote)
        case inspect.StrType():
            return _read_string(spot, extra)
        case inspect.BoolType():
            return _read_bool(spot)
        case inspect.FloatType():
            return _read_number(spot, wanted, extra)
        case inspect.IntType():
            return _read_integer(spot, wanted, extra)
        case _:
            raise TypeError(f"a format uses a type that is not read yet: {wanted}")


def _read_dict(spot: Spot, value_type: inspect.Type, quote: bool) -> dict[str, Any] | None:
    if not is_object(spot):
        return None
    found = members(spot, what="name", quote=quote)
    values = {name: _read_value(there, value_type, quote) for name, there in found}
    return {name: value for name, value in values.items() if value is not None}


def _read_list(spot: Spot, item_type: inspect.Type, quote: bool) -> list[Any] | None:
    """:return: None for each item that has been reported, so that positions stay right."""
    if not isinstance(spot.node, List):
        spot.wrong(f"must be a list, not {spot.node.kind}")
        return None
    return [_read_value(item, item_type, quote) for item in spot.items()]


def _read_string(spot: Spot, extra: dict[str, Any]) -> str | None:
    """Check that it is a string, and one of the choices where there are any. What it must look like comes later."""
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if not isinstance(value, str):
        spot.wrong(f"must be a string, not {spot.node.kind}")
        return None
    choices = extra.get("choices")
    if choices is None or value in choices:
        return value
    quoted = shown(value)
    what = extra["what"]
    plural = extra.get("plural") or f"{what}s"
    spot.wrong(f"unknown {what}{f' {quoted}' if quoted else ''}{suggestion(value, choices, what=plural)}")
    return None


def _read_bool(spot: Spot) -> bool | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if isinstance(value, bool):
        return value
    spot.wrong(f"must be true or false, not {spot.node.kind}")
    return None


def _read_number(spot: Spot, wanted: inspect.FloatType, extra: dict[str, Any]) -> float | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    expected = extra.get("expected", "a number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        spot.wrong(f"must be {expected}, not {spot.node.kind}")
        return None
    too_small = (wanted.gt is not None and value <= wanted.gt) or (wanted.ge is not None and value < wanted.ge)
    if too_small or (wanted.le is not None and value > wanted.le):
        spot.wrong(f"must be {expected}")
        return None
    return float(value)


def _read_integer(spot: Spot, wanted: inspect.IntType, extra: dict[str, Any]) -> int | None:
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    expected = extra.get("expected", "a whole number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        spot.wrong(f"must be {expected}, not {spot.node.kind}")
        return None
    too_small, too_large = wanted.ge is not None and value < wanted.ge, wanted.le is not None and value > wanted.le
    if isinstance(value, float) or too_small or too_large:
        spot.wrong(f"must be {expected}")
        return None
    return value
