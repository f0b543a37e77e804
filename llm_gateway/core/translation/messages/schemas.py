"""
JSON Schemas as structured outputs and strict tools take them.

Objects have to refuse properties that are not named, and only some keywords are known. What is not known becomes a part
of the description, as Anthropic's own SDKs do it: the model may follow it all the same.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.tool_schemas import described
from llm_gateway.errors import BadRequest

__all__ = ["conforming"]

_PLAIN = frozenset(
    {"$ref", "additionalProperties", "const", "default", "description", "enum", "required", "title", "type"}
)
_OF_SCHEMAS = frozenset({"allOf", "anyOf", "items"})
_DEFINITIONS = ("$defs", "definitions")
_OF_NAMED_SCHEMAS = frozenset({*_DEFINITIONS, "properties"})

_FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid")

_decode_object = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.encode


def conforming(schema: msgspec.Raw, place: str) -> tuple[msgspec.Raw, bool]:
    """
    :return: the schema as it may be sent, and whether it says something else now; untouched if it does not.
    :raises BadRequest: it is not a JSON object, or nested too deep.
    """
    try:
        found = _decode_object(schema)
        changed = _Conformed()
        conformed = changed.schema(found)
        return (msgspec.Raw(_encode(conformed)), True) if changed.anything else (schema, False)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest.of_field(place, "is not a JSON Schema object.") from error
    except RecursionError as error:
        raise BadRequest.of_field(place, "is nested too deep.") from error


class _Conformed:
    """One schema's way through; remembers whether anything was changed."""

    def __init__(self) -> None:
        self.anything = False

    def schema(self, schema: dict[str, object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        unknown: dict[str, object] = {}
        for keyword, value in schema.items():
            if keyword in _PLAIN or _fits(keyword, value):
                kept[keyword] = value
            elif keyword in _OF_SCHEMAS:
                kept[keyword] = self._inner(value)
            elif keyword in _OF_NAMED_SCHEMAS and isinstance(value, dict):
                kept[keyword] = {name: self._inner(one) for name, one in value.items()}
            elif keyword == "oneOf" and "anyOf" not in schema:
                self.anything = True
                kept["anyOf"] = self._inner(value)
            elif keyword == "$schema":
                self.anything = True
            else:
                unknown[keyword] = value
        is_object = schema.get("type") == "object" or "properties" in schema
        if is_object and schema.get("additionalProperties") is not False:
            self.anything = True
            kept["additionalProperties"] = False
        if unknown:
            self.anything = True
            kept["description"] = described(kept.get("description"), unknown)
        return kept

    def _inner(self, value: object) -> object:
        if isinstance(value, dict):
            return self.schema(value)
        return [self._inner(one) for one in value] if isinstance(value, list) else value


def _fits(keyword: str, value: object) -> bool:
    """Keywords of which some values are known."""
    return (keyword == "format" and value in _FORMATS) or (keyword == "minItems" and value in (0, 1))
