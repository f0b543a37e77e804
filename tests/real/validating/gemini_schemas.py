"""
JSON Schemas of functions and of structured outputs, as Google takes them.

Source: ``responseJsonSchema`` under https://ai.google.dev/api/generate-content#generationconfig, and the messages of
its errors, as people report them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

__all__ = ["fault_of_parameters", "fault_of_schema"]

_BESIDE_A_REFERENCE = ("description", "default")
_INSIDE = ("properties", "$defs", "definitions")
_SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")


def fault_of_parameters(schema: Any, place: str) -> str | None:
    """
    :param schema: a function's ``parametersJsonSchema``.
    """
    fault = fault_of_schema(schema, place)
    if fault is not None:
        return fault
    whole = schema
    for _ in range(8):
        if "$ref" in whole:
            whole = _target(schema, whole["$ref"]) or {}
    if whole.get("type") != "object":
        return f"{place}: functionDeclaration parameters schema should be of type OBJECT."
    return None


def fault_of_schema(schema: Any, place: str) -> str | None:
    """
    :param schema: that of a function or of a structured output.
    """
    if not isinstance(schema, dict):
        return f"{place}: schema at top-level must be an object"
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{place}: is not a valid JSON schema: {error.message}"
    for where, one in _all(schema, place):
        reference = one.get("$ref")
        if reference is None:
            continue
        beside = [name for name in one if not name.startswith("$") and name not in _BESIDE_A_REFERENCE]
        if beside:
            return (
                f"{where}: $ref {reference!r} was set alongside unsupported fields {', '.join(beside)}. If a schema "
                "node has $ref set, then only description and default can be set alongside it"
            )
        if _target(schema, reference) is None:
            return f"{where}: reference to undefined schema {reference!r}"
    return None


def _all(schema: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield place, schema
    for name in _INSIDE:
        for key, one in schema.get(name, {}).items():
            yield from _all_of(one, f"{place}.{name}.{key}")
    for name in _SEVERAL:
        for at, one in enumerate(schema.get(name, ())):
            yield from _all_of(one, f"{place}.{name}[{at}]")
    for name in ("items", "additionalProperties"):
        yield from _all_of(schema.get(name), f"{place}.{name}")


def _all_of(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield from _all(schema, place)


def _target(schema: dict[str, Any], reference: str) -> dict[str, Any] | None:
    if not reference.startswith("#"):
        return None
    found: Any = schema
    for step in reference[1:].split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None
