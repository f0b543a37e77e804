"""
JSON Schemas of functions and of structured outputs, as OpenAI takes them.

Source: https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas, and for functions the
messages of its errors, as people report them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

__all__ = ["fault_of_function", "fault_of_strict_schema"]

_KEYWORDS = frozenset(
    {
        *("$defs", "$ref", "$schema", "$id", "definitions", "title", "description", "default", "examples"),
        *("type", "enum", "const", "anyOf", "properties", "required", "additionalProperties"),
        *("items", "minItems", "maxItems", "pattern", "format"),
        *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    }
)
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "enum", "not")
_DEEPEST = 10


def fault_of_function(name: str, schema: Any, *, strict: bool) -> str | None:
    """
    :param schema: the parameters; ``None`` for no arguments.
    """
    if schema is None:
        return None
    head = f"Invalid schema for function '{name}'"
    if schema.get("type") != "object":
        return f"{head}: schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if any(keyword in schema for keyword in _NOT_AT_THE_TOP):
        return f"{head}: schema must not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
    if "properties" not in schema:
        return f"{head}: In context=(), object schema missing properties."
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{head}: {error.message}"
    for inner, place in _inside(schema, ()):
        if isinstance(inner, dict) and inner.get("type") == "array" and "items" not in inner:
            return f"{head}: In context={place}, array schema missing items."
    return fault_of_strict_schema(schema, head) if strict else None


def fault_of_strict_schema(schema: Any, head: str) -> str | None:
    """
    :param head: of the message.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return f"{head}: schema must be a JSON Schema of 'type: \"object\"'."
    if "anyOf" in schema:
        return f"{head}: root schema must not be anyOf."
    for inner, place in _inside(schema, ()):
        fault = _fault(inner, place)
        if fault is not None:
            return f"{head}: In context={place}, {fault}"
    return None


def _inside(schema: Any, place: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The schema, and all those in it."""
    yield schema, place
    if not isinstance(schema, dict):
        return
    for keyword in ("properties", "$defs", "definitions"):
        for name, inner in schema.get(keyword, {}).items():
            yield from _inside(inner, (*place, keyword, name))
    for keyword in ("anyOf", "oneOf", "allOf"):
        for at, inner in enumerate(schema.get(keyword, ())):
            yield from _inside(inner, (*place, keyword, str(at)))
    if "items" in schema:
        yield from _inside(schema["items"], (*place, "items"))


def _fault(schema: Any, place: tuple[str, ...]) -> str | None:
    if not isinstance(schema, dict):
        return "a schema is an object."
    if len(place) > 2 * _DEEPEST:
        return f"it is nested deeper than {_DEEPEST} levels."
    unknown = sorted(schema.keys() - _KEYWORDS)
    if unknown:
        return f"'{unknown[0]}' is not permitted."
    if "$ref" in schema:
        extra = schema.keys() - {"$ref", "description", "title", "default"}
        return f"$ref cannot have keywords {sorted(extra)}." if extra else None
    kinds = schema.get("type")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds or ())
    if not kinds and not schema.keys() & {"anyOf", "enum", "const"}:
        return "schema must have a 'type' key."
    if kinds - _TYPES:
        return f"{sorted(kinds - _TYPES)} is not a valid type."
    if "format" in schema and schema["format"] not in _FORMATS:
        return f"'{schema['format']}' is not a valid format."
    if "array" in kinds and "items" not in schema:
        return "array schema missing items."
    return _fault_of_object(schema) if "object" in kinds else None


def _fault_of_object(schema: dict[str, Any]) -> str | None:
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    names, required = set(schema.get("properties", ())), set(schema.get("required", ()))
    if names != required:
        return (
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing or extra: {sorted(names ^ required)}."
        )
    return None
