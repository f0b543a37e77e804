"""
JSON Schemas as structured outputs and strict tools take them.

Objects have to refuse properties that are not named, and only some keywords are known. What is not known becomes a part
of the description, as Anthropic's own SDKs do it: the model may follow it all the same.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

import msgspec

from llm_gateway.errors import BadRequest

__all__ = ["conforming", "tool_schema"]

_PLAIN = frozenset(
    {"$ref", "additionalProperties", "const", "default", "description", "enum", "required", "title", "type"}
)
_OF_SCHEMAS = frozenset({"allOf", "anyOf", "items"})
_DEFINITIONS = ("$defs", "definitions")
_OF_NAMED_SCHEMAS = frozenset({*_DEFINITIONS, "properties"})
_ALTERNATIVES = ("allOf", "anyOf", "oneOf")

_FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid")

_decode_object = msgspec.json.Decoder(dict[str, object]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode

_OBJECT = msgspec.Raw(b'"object"')


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
        raise BadRequest(f"{place}: is not a JSON Schema object.") from error
    except RecursionError as error:
        raise BadRequest(f"{place}: is nested too deep.") from error


def tool_schema(schema: msgspec.Raw, place: str) -> tuple[msgspec.Raw, bool]:
    """
    A tool's schema has ``type`` of ``object`` at its top, and there is nothing to choose from beside it.

    What schemas of MCP servers have there is merged: all properties of all alternatives, of which those are required
    that every alternative requires. The alternatives themselves become a part of the description.

    :return: the schema as a tool may have it, and whether it says something else now; untouched if it was so already.
    :raises BadRequest: it is not a JSON object, or nested too deep.
    """
    try:
        fields = _decode_fields(schema)
        if fields.keys().isdisjoint(_ALTERNATIVES):
            if fields.get("type") == _OBJECT:
                return schema, False
            return msgspec.Raw(_encode({**fields, "type": _OBJECT})), False
        return msgspec.Raw(_encode(_merged(_decode_object(schema)))), True
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"{place}: is not a JSON Schema object.") from error
    except RecursionError as error:
        raise BadRequest(f"{place}: is nested too deep.") from error


def _merged(schema: dict[str, object]) -> dict[str, object]:
    alternatives = {keyword: schema.pop(keyword) for keyword in _ALTERNATIVES if keyword in schema}
    properties: dict[str, list[object]] = {name: [one] for name, one in _named(schema.get("properties")).items()}
    required = dict.fromkeys(_names(schema.get("required")))
    for keyword, value in alternatives.items():
        variants = [_named(_resolved(one, schema)) for one in value] if isinstance(value, list) else []
        demands = [_names(variant.get("required")) for variant in variants]
        for name in [name for demand in demands for name in demand]:
            if keyword == "allOf" or all(name in demand for demand in demands):
                required[name] = None
        for name, one in [pair for variant in variants for pair in _named(variant.get("properties")).items()]:
            known = properties.setdefault(name, [])
            if one not in known:
                known.append(one)
    schema["type"] = "object"
    schema["properties"] = {name: ones[0] if len(ones) == 1 else {"anyOf": ones} for name, ones in properties.items()}
    if required:
        schema["required"] = list(required)
    schema["description"] = _described(schema.get("description"), alternatives)
    return schema


def _named(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _resolved(value: object, schema: dict[str, object]) -> object:
    """What a reference into the schema's own definitions refers to."""
    reference = _named(value).get("$ref")
    if not isinstance(reference, str):
        return value
    _, _, place = reference.partition("#/")
    outer, _, name = place.partition("/")
    return _named(schema.get(outer)).get(name, value) if outer in _DEFINITIONS else value


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
            kept["description"] = _described(kept.get("description"), unknown)
        return kept

    def _inner(self, value: object) -> object:
        if isinstance(value, dict):
            return self.schema(value)
        return [self._inner(one) for one in value] if isinstance(value, list) else value


def _fits(keyword: str, value: object) -> bool:
    """Keywords of which some values are known."""
    return (keyword == "format" and value in _FORMATS) or (keyword == "minItems" and value in (0, 1))


def _described(description: object, unknown: dict[str, object]) -> str:
    rest = ", ".join(f"{keyword}: {_encode(value).decode()}" for keyword, value in unknown.items())
    return f"{description}\n\n{{{rest}}}" if isinstance(description, str) and description else f"{{{rest}}}"
