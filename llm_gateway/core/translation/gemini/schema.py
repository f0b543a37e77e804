"""
Google's ``Schema`` (a part of OpenAPI 3.0 with a spelling of its own) and JSON Schema, each made from the other.

From ``Schema`` nothing is lost. The other way serves endpoints that know no ``parametersJsonSchema``: what ``Schema``
cannot say is left out, never tightened, so that all that the JSON Schema allows stays allowed; such a schema counts as
changed.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from llm_gateway.core.translation.gemini.fields import camel, wrong

__all__ = ["json_schema", "open_api", "tidied"]

MAX_DEPTH = 64
"""Schemas of tools are a few levels deep; what nests further is not one."""

MAX_SCHEMAS = 10_000
"""Of one tool, each as often as it is referred to. Large tools have hundreds."""

MAX_REFERRED_BYTES = 4_194_304
"""Of what is referred to, as often as it is written out."""

Object = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_NUMBERS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_SAME = ("title", "description", "default", "pattern", "minimum", "maximum", "format")
_NEVER_A_FORMAT = ("enum", "TYPE_UNSPECIFIED")
_STRING_FORMATS = ("enum", "date-time")
"""Any other is refused for strings: "only 'enum' and 'date-time' are supported for STRING type"."""


# From Google's to JSON Schema


def json_schema(raw: msgspec.Raw, place: str) -> msgspec.Raw:
    """
    :param raw: a ``Schema`` as a caller wrote it, its types in either case.
    :param place: of it in the request.
    :raises BadRequest: it is none.
    """
    return msgspec.Raw(msgspec.json.encode(_to_json_schema(_decoded(raw, place), place, 0)))


def _decoded(raw: msgspec.Raw, place: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise wrong(place, "it is not a schema.") from None


def _to_json_schema(value: Any, place: str, depth: int) -> Object:
    if not isinstance(value, dict):
        raise wrong(place, f"Expected `object`, got `{type(value).__name__}`.")
    if depth > MAX_DEPTH:
        raise wrong(place, f"it is nested more than {MAX_DEPTH} levels deep.")
    given: Object = {camel(name): field for name, field in value.items() if field is not None}
    made: Object = {name: given.pop(name) for name in _SAME if name in given}
    if made.get("format") in _NEVER_A_FORMAT:
        del made["format"]
    for name in _NUMBERS:
        if name in given:
            made[name] = _whole(given.pop(name), f"{place}.{name}")
    if "example" in given:
        made["examples"] = [given.pop("example")]
    for ours, theirs in (("ref", "$ref"), ("$ref", "$ref")):
        if ours in given:
            made[theirs] = str(given.pop(ours)).replace("#/defs/", "#/$defs/")
    for ours in ("defs", "$defs"):
        if ours in given:
            made["$defs"] = _each(given.pop(ours), f"{place}.{ours}", depth)
    if "items" in given:
        made["items"] = _to_json_schema(given.pop("items"), f"{place}.items", depth + 1)
    if "additionalProperties" in given:
        more = given.pop("additionalProperties")
        made["additionalProperties"] = (
            _to_json_schema(more, f"{place}.additionalProperties", depth + 1) if isinstance(more, dict) else more
        )
    if "anyOf" in given:
        made["anyOf"] = [
            _to_json_schema(one, f"{place}.anyOf[{index}]", depth + 1)
            for index, one in enumerate(_items(given.pop("anyOf"), f"{place}.anyOf"))
        ]
    order = given.pop("propertyOrdering", None)
    if "properties" in given:
        made["properties"] = _ordered(_each(given.pop("properties"), f"{place}.properties", depth), order)
    _add_type(made, given)
    # What is left is no Schema's: JSON Schema in the place of one, as SDKs let through.
    return made | given


def _add_type(made: Object, given: Object) -> None:
    kind = given.pop("type", None)
    nullable = bool(given.pop("nullable", False))
    values = given.pop("enum", None)
    if isinstance(kind, str):
        kind = kind.lower()
        if kind == "type_unspecified":
            kind = None
    if isinstance(values, list):
        if kind == "integer":
            values = [int(one) if isinstance(one, str) and one.lstrip("-").isdecimal() else one for one in values]
        made["enum"] = [*values, None] if nullable and None not in values else values
    if isinstance(kind, str) and nullable and kind != "null":
        made["type"] = [kind, "null"]
    elif kind is not None:
        made["type"] = kind
    elif nullable and "anyOf" in made:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]


def _each(value: Any, place: str, depth: int) -> Object:
    if not isinstance(value, dict):
        raise wrong(place, f"Expected `object`, got `{type(value).__name__}`.")
    return {name: _to_json_schema(field, f"{place}.{name}", depth + 1) for name, field in value.items()}


def _items(value: Any, place: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise wrong(place, f"Expected `array`, got `{type(value).__name__}`.")
    return value


def _whole(value: Any, place: str) -> int:
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong(place, "Expected a whole number.")


def _ordered(properties: Object, order: Any) -> Object:
    """JSON Schema has no order of its own; models write properties in the order in which they stand."""
    if not isinstance(order, list):
        return properties
    first = [name for name in order if isinstance(name, str) and name in properties]
    return {name: properties[name] for name in [*first, *properties]}


# JSON Schema as Google takes it

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_IN_A_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_BY_THEMSELVES = ("items", "additionalProperties", "not")


def tidied(raw: msgspec.Raw, *, of_function: bool) -> msgspec.Raw:
    """
    Endpoints that take JSON Schema refuse more than a description and a default beside ``$ref``, pass over ``const``,
    and want a function's parameters to be an object. All of that can be said in a way that they understand.

    :param of_function: whether it describes a function's parameters.
    :return: what allows the same.
    """
    data = bytes(raw)
    if b'"$ref"' not in data and b'"const"' not in data and not (of_function and _has_no_type(raw)):
        return raw
    try:
        schema = _tidied(msgspec.json.decode(data), 0)
        if of_function and isinstance(schema, dict) and not {"type", "$ref"} & schema.keys():
            schema = {"type": "object", **schema}
        return msgspec.Raw(msgspec.json.encode(schema))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw


def _has_no_type(raw: msgspec.Raw) -> bool:
    try:
        return "type" not in _fields(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _tidied(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return value
    schema: Object = dict(value)
    for name in _BY_NAME:
        if isinstance(schema.get(name), dict):
            schema[name] = {key: _tidied(one, depth + 1) for key, one in schema[name].items()}
    for name in _IN_A_LIST:
        if isinstance(schema.get(name), list):
            schema[name] = [_tidied(one, depth + 1) for one in schema[name]]
    for name in _BY_THEMSELVES:
        if name in schema:
            schema[name] = _tidied(schema[name], depth + 1)
    only = schema.get("const")
    if isinstance(only, (str, int, float)) and not isinstance(only, bool) and "enum" not in schema:
        schema["enum"] = [schema.pop("const")]
    if "$ref" in schema and "anyOf" not in schema:
        beside = {name for name in schema if not name.startswith("$")} - {"description", "default"}
        if beside:
            schema["anyOf"] = [{"$ref": schema.pop("$ref")}]
    return schema


# From JSON Schema to Google's


def open_api(raw: msgspec.Raw) -> tuple[Object, bool]:
    """
    :param raw: a JSON Schema.
    :return: a ``Schema`` that allows at least as much, and whether it allows more or says less.
    """
    try:
        root = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"type": "OBJECT"}, True
    maker = _Maker(root if isinstance(root, dict) else {})
    return maker.schema(root, (), 0), maker.loose


class _Maker:
    """Makes one ``Schema``, with what is referred to put in place of each reference."""

    def __init__(self, root: Object) -> None:
        self._root = root
        self._made = 0
        self._referred: dict[str, tuple[Object | None, int]] = {}
        """What is found under each reference, and the bytes of it."""
        self._referred_bytes = 0
        self.loose = False

    def schema(self, value: Any, within: tuple[str, ...], depth: int) -> Object:
        """
        :param within: the references that led here.
        """
        self._made += 1
        if not isinstance(value, dict) or depth > MAX_DEPTH or self._made > MAX_SCHEMAS:
            # "true", "false", something that refers to itself twice per level: anything goes.
            self.loose = True
            return {}
        reference = value.get("$ref")
        if isinstance(reference, str):
            target = self._target(reference)
            if target is None or reference in within:
                self.loose = True
                return {"type": "OBJECT"} if target is None or "properties" in target else {}
            value = {**target, **{name: field for name, field in value.items() if name != "$ref"}}
            within = (*within, reference)
        value = self._joined(value)
        made: Object = {name: value[name] for name in ("title", "description", "default") if name in value}
        self._add_kind(made, value, within, depth)
        self._add_limits(made, value)
        self._add_members(made, value, within, depth)
        self.loose = self.loose or not _SAID.issuperset(value)
        return made

    def _target(self, reference: str) -> Object | None:
        """What is referred to; nothing once too much was."""
        if reference not in self._referred:
            found = self._looked_up(reference)
            self._referred[reference] = found, len(msgspec.json.encode(found))
        target, size = self._referred[reference]
        self._referred_bytes += size
        return target if self._referred_bytes <= MAX_REFERRED_BYTES else None

    def _looked_up(self, reference: str) -> Object | None:
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else None

    def _joined(self, value: Object) -> Object:
        """All of several schemas as one, where they are objects with different properties or there is only one."""
        parts = value.get("allOf")
        if not isinstance(parts, list):
            return value
        joined = {name: _copied(field) for name, field in value.items() if name != "allOf"}
        own = joined.pop("properties", None)
        for part in parts:
            target = part
            if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                target = self._target(part["$ref"])
            if not isinstance(target, dict):
                self.loose = True
                continue
            for name, field in target.items():
                mine = joined.get(name)
                if mine is None:
                    joined[name] = _copied(field)
                elif name == "properties" and isinstance(mine, dict) and isinstance(field, dict):
                    for key, one in field.items():
                        if mine.setdefault(key, one) != one:
                            self.loose = True
                elif name == "required" and isinstance(mine, list) and isinstance(field, list):
                    mine.extend(field)
                elif mine != field:
                    self.loose = True
        if own is not None:
            # A class's own are written behind those that it has from others, and count before them.
            others = joined.get("properties")
            if isinstance(others, dict) and isinstance(own, dict):
                self.loose = self.loose or any(others[key] != own[key] for key in others.keys() & own.keys())
                own = {**others, **own}
            joined["properties"] = own
        if isinstance(joined.get("required"), list):
            joined["required"] = list(dict.fromkeys(one for one in joined["required"] if isinstance(one, str)))
        return joined

    def _add_kind(self, made: Object, value: Object, within: tuple[str, ...], depth: int) -> None:
        kinds = value.get("type")
        kinds = kinds if isinstance(kinds, list) else [] if kinds is None else [kinds]
        named = [kind for kind in kinds if kind != "null"]
        choices = value.get("anyOf", value.get("oneOf"))
        # Exactly one of them is more than any of them can say.
        self.loose = self.loose or ("oneOf" in value)
        values = [value["const"]] if "const" in value else value.get("enum")
        if len(kinds) > len(named):
            made["nullable"] = True
        if isinstance(values, list):
            if None in values:
                made["nullable"] = True
                values = [one for one in values if one is not None]
            named = named or _kinds_of(values)
            if named == ["string"] or named == ["integer"]:
                made["format"] = "enum"
                made["enum"] = [str(one) for one in values]
            else:
                self.loose = True
        if isinstance(choices, list):
            something = [one for one in choices if not (isinstance(one, dict) and one.get("type") == "null")]
            if len(something) < len(choices):
                made["nullable"] = True
            made["anyOf"] = [self.schema(one, within, depth + 1) for one in something]
            if len(made["anyOf"]) == 1:
                only = made.pop("anyOf")[0]
                made.update({name: field for name, field in only.items() if name not in made})
        elif len(named) > 1:
            made["anyOf"] = [{"type": str(kind).upper()} for kind in named]
            self.loose = self.loose or bool(_DETAILS & value.keys())
        if len(named) == 1 and "anyOf" not in made:
            made["type"] = str(named[0]).upper()

    def _add_limits(self, made: Object, value: Object) -> None:
        kind = made.get("type")
        if kind == "STRING":
            form = value.get("format")
            if form in _STRING_FORMATS:
                made.setdefault("format", form)
            elif form is not None:
                self.loose = True
            names: Sequence[str] = ("minLength", "maxLength", "pattern")
        elif kind in ("NUMBER", "INTEGER"):
            if "format" in value:
                made.setdefault("format", value["format"])
            names = ("minimum", "maximum")
            for name, step in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
                limit = value.get(name)
                if kind == "INTEGER" and isinstance(limit, int) and not isinstance(limit, bool):
                    made[name.replace("exclusiveM", "m")] = limit + step
                elif limit is not None:
                    self.loose = True
        else:
            names = {"ARRAY": ("minItems", "maxItems"), "OBJECT": ("minProperties", "maxProperties")}.get(str(kind), ())
        made.update({name: value[name] for name in names if name in value})

    def _add_members(self, made: Object, value: Object, within: tuple[str, ...], depth: int) -> None:
        if "items" in value:
            made["items"] = self.schema(value["items"], within, depth + 1)
        properties = value.get("properties")
        if isinstance(properties, Mapping) and properties:
            made["properties"] = {
                name: self.schema(field, within, depth + 1) for name, field in cast(Object, properties).items()
            }
            made["propertyOrdering"] = list(properties)
            required = value.get("required")
            if isinstance(required, list):
                made["required"] = [name for name in required if name in properties]


_DETAILS = {"items", "properties", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "format"}
_SAID = {
    *("$ref", "$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "default", "type"),
    *("format", "enum", "const", "anyOf", "oneOf", "minLength", "maxLength", "pattern", "minimum", "maximum"),
    *("exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minProperties", "maxProperties", "items"),
    # Nothing beside the properties is what Google's models write anyway.
    *("properties", "required", "additionalProperties", "nullable"),
}
"""What a ``Schema`` can say, or what says nothing of values."""


def _copied(field: Any) -> Any:
    """The same, to put more into it."""
    return field.copy() if isinstance(field, dict | list) else field


def _kinds_of(values: Sequence[Any]) -> list[str]:
    if all(isinstance(one, str) for one in values):
        return ["string"]
    if all(isinstance(one, int) and not isinstance(one, bool) for one in values):
        return ["integer"]
    return []
