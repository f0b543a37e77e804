"""
JSON Schemas of tools' arguments, as providers take them that are strict about their top.

Anthropic and OpenAI want an object there, with nothing to choose from beside it; servers of MCP write what they like.

Source: the errors of both, as people report them: "input_schema does not support oneOf, allOf, or anyOf at the top
level", "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level", and "object
schema missing properties".
"""

from __future__ import annotations

from collections import Counter

import msgspec

from llm_gateway.errors import BadRequest

__all__ = ["described", "tool_schema"]

_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_DEFINITIONS = ("$defs", "definitions")

_OBJECT = msgspec.Raw(b'"object"')
_EMPTY = msgspec.Raw(b"{}")

_decode_object = msgspec.json.Decoder(dict[str, object]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


def tool_schema(
    schema: msgspec.Raw, place: str, *, forbidden: tuple[str, ...] = (), properties: bool = False
) -> tuple[msgspec.Raw, bool]:
    """
    A tool's schema has ``type`` of ``object`` at its top, and there is nothing to choose from beside it.

    What schemas of MCP servers have there is merged: all properties of all alternatives, of which those are required
    that every alternative requires. The alternatives themselves become a part of the description.

    :param forbidden: more keywords that may not be at its top.
    :param properties: whether it has to have ``properties``, be there any or not.
    :return: the schema as a tool may have it, and whether it says something else now; untouched if it was so already.
    :raises BadRequest: it is not a JSON object, or nested too deep.
    """
    try:
        fields = _decode_fields(schema)
        if not fields.keys().isdisjoint((*_ALTERNATIVES, *forbidden)):
            return msgspec.Raw(_encode(_merged(_decode_object(schema), forbidden))), True
        missing = {} if fields.get("type") == _OBJECT else {"type": _OBJECT}
        if properties and "properties" not in fields:
            missing["properties"] = _EMPTY
        return (msgspec.Raw(_encode({**fields, **missing})) if missing else schema), False
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest.of_field(place, "is not a JSON Schema object.") from error
    except RecursionError as error:
        raise BadRequest.of_field(place, "is nested too deep.") from error


def _merged(schema: dict[str, object], forbidden: tuple[str, ...]) -> dict[str, object]:
    others = {keyword: schema.pop(keyword) for keyword in forbidden if keyword in schema}
    alternatives = {keyword: schema.pop(keyword) for keyword in _ALTERNATIVES if keyword in schema}
    # By their JSON: looked for among all others, each would take as long as all of them.
    properties: dict[str, dict[bytes, object]] = {}
    for name, one in _named(schema.get("properties")).items():
        properties[name] = {_encode(one): one}
    required = dict.fromkeys(_names(schema.get("required")))
    for keyword, value in alternatives.items():
        variants = [_named(_resolved(one, schema)) for one in value] if isinstance(value, list) else []
        demanded = Counter(name for variant in variants for name in set(_names(variant.get("required"))))
        for variant in variants:
            for name in _names(variant.get("required")):
                if keyword == "allOf" or demanded[name] == len(variants):
                    required[name] = None
            for name, one in _named(variant.get("properties")).items():
                properties.setdefault(name, {}).setdefault(_encode(one), one)
    schema["type"] = "object"
    schema["properties"] = {
        name: next(iter(ones.values())) if len(ones) == 1 else {"anyOf": list(ones.values())}
        for name, ones in properties.items()
    }
    if required:
        schema["required"] = list(required)
    schema["description"] = described(schema.get("description"), {**alternatives, **others})
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


def described(description: object, unknown: dict[str, object]) -> str:
    """
    :param description: of a schema.
    :param unknown: keywords that it cannot have.
    :return: a description that tells the model of them.
    """
    rest = ", ".join(f"{keyword}: {_encode(value).decode()}" for keyword, value in unknown.items())
    return f"{description}\n\n{{{rest}}}" if isinstance(description, str) and description else f"{{{rest}}}"
