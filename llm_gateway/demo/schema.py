"""Values that fit a JSON Schema, for the arguments of tools and for answers in JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["example_of"]

_PLACE = re.compile(r"\b(?:in|for|at|of) ((?:[A-Z][\w'-]*)(?: [A-Z][\w'-]*)*)")
_PLACE_NAMES = ("location", "city", "place", "town", "destination")
_TEXT_NAMES = ("query", "question", "text", "input", "prompt", "message")
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# Deeper and larger than the schemas of real tools; what ends a schema that refers to itself, once or many times over.
_MAX_DEPTH = 12
_MAX_VALUES = 10_000


def example_of(schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """
    Make an object that fits: required properties, or all of them where none is required.

    ``pattern``, ``not``, ``if`` and conditions between properties are not looked at.

    :param said: what the user said; places and texts are taken from it.
    """
    value = _Maker(schema, said).value(schema, "", 0)
    return value if isinstance(value, dict) else {}


class _Maker:
    def __init__(self, root: Mapping[str, Any], said: str) -> None:
        self._root = root
        self._said = said
        self._values = 0

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._values += 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            return None
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for choices in ("enum", "examples"):
            if schema.get(choices):
                return schema[choices][0]
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), name, depth + 1)
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.value(_first_not_null(schema[union]), name, depth + 1)
        if schema.get("allOf"):
            parts = [self.value(part, name, depth + 1) for part in schema["allOf"]]
            merged = {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
            return merged or parts[0]
        return self._typed(schema, name, depth)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and (depth == 0 or "properties" in schema)):
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or list(properties)
            return {key: self.value(properties.get(key, {"type": "string"}), key, depth + 1) for key in wanted}
        if kind == "array":
            item = self.value(schema.get("items", {"type": "string"}), name, depth + 1)
            return [item] * max(1, schema.get("minItems", 1))
        if kind == "integer":
            return int(_within(schema, 1))
        if kind == "number":
            return _within(schema, 1.5)
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self._text(schema, name)

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        text = _FORMATS.get(schema.get("format", "")) or self._said_about(name.lower()) or "example"
        return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]

    def _said_about(self, name: str) -> str | None:
        if any(part in name for part in _PLACE_NAMES):
            match = _PLACE.search(self._said)
            return match[1] if match else "Paris"
        return self._said.strip() if name in _TEXT_NAMES else None

    def _resolve(self, reference: object) -> Any:
        found: Any = self._root
        for step in str(reference).removeprefix("#").strip("/").split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found


def _first_not_null(schemas: list[Any]) -> Any:
    return next((each for each in schemas if not (isinstance(each, Mapping) and each.get("type") == "null")), None)


def _within(schema: Mapping[str, Any], wish: float) -> float:
    if "exclusiveMinimum" in schema:
        wish = max(wish, schema["exclusiveMinimum"] + 1)
    if "exclusiveMaximum" in schema:
        wish = min(wish, schema["exclusiveMaximum"] - 1)
    if "minimum" in schema:
        wish = max(wish, schema["minimum"])
    if "maximum" in schema:
        wish = min(wish, schema["maximum"])
    return wish
