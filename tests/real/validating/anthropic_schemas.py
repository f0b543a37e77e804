"""
JSON Schemas of tools and of structured outputs, as Anthropic takes them.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations, and for tools
the messages of its errors, as people report them.
"""

from __future__ import annotations

from typing import Any

import jsonschema

__all__ = ["fault_of_strict_schema", "fault_of_tool_schema"]

_KEYWORDS = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
    }
    | {"format", "items", "minItems", "pattern", "properties", "required", "title", "type"}
)
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})


def fault_of_tool_schema(schema: dict[str, Any], place: str) -> str | None:
    """
    :param schema: the ``input_schema`` of any tool.
    """
    if schema.get("type") != "object":
        return f"{place}.type: Input should be 'object'"
    if schema.keys() & {"oneOf", "allOf", "anyOf"}:
        return f"{place}: input_schema does not support oneOf, allOf, or anyOf at the top level"
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{place}: JSON schema is invalid. It must match JSON Schema draft 2020-12: {error.message}"
    return None


def fault_of_strict_schema(schema: Any, place: str) -> str | None:
    """
    :param schema: that of a structured output, or of a strict tool.
    """
    if not isinstance(schema, dict):
        return f"{place}: a schema is an object"
    unknown = schema.keys() - _KEYWORDS
    if unknown:
        return f"{place}: For '{schema.get('type')}' type, properties {', '.join(sorted(unknown))} are not supported"
    kinds = schema.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if kinds - _TYPES:
        return f"{place}.type: unknown type {kinds - _TYPES}"
    if "object" in kinds and schema.get("additionalProperties") is not False:
        return f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
    if schema.get("format", "date") not in _FORMATS:
        return f"{place}.format: {schema['format']!r} is not supported"
    if schema.get("minItems", 0) not in (0, 1):
        return f"{place}.minItems: For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if not kinds and not schema.keys() & {"enum", "const", "anyOf", "allOf", "$ref"}:
        return f"{place}: says nothing of the type"
    if str(schema.get("$ref", "#")).startswith("#") is False:
        return f"{place}.$ref: external references are not supported"
    return _fault_inside(schema, place)


def _fault_inside(schema: dict[str, Any], place: str) -> str | None:
    inner = {
        f"{place}.{name}.{key}": one
        for name in ("properties", "$defs", "definitions")
        for key, one in schema.get(name, {}).items()
    }
    inner |= {f"{place}.{name}.{at}": one for name in ("anyOf", "allOf") for at, one in enumerate(schema.get(name, ()))}
    if "items" in schema:
        inner[f"{place}.items"] = schema["items"]
    return next((fault for at, one in inner.items() if (fault := fault_of_strict_schema(one, at))), None)
