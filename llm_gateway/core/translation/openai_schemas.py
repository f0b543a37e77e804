"""
JSON Schemas as OpenAI takes them: of functions, and such that it can bind an answer to.

Other dialects always bind an answer to its schema. OpenAI does so where it is told to be strict, and then takes schemas
of one kind only: every object names all of its properties, all of them are required, and few keywords are known. Any
other schema is no more than a proposal to the model.

Source: https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import OutputFormat, Request, Text, Tool
from llm_gateway.core.translation.tool_schemas import tool_schema

__all__ = ["ASKED_FOR_JSON", "asks_for_json", "binding", "enforceable", "parameters_of", "strict_parameters_of"]

Object = dict[str, object]

_KNOWN = frozenset(
    {
        *("$ref", "title", "description", "type", "enum", "const", "required", "additionalProperties"),
        *("minItems", "maxItems", "pattern", "format", "minLength", "maxLength"),
        *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
)
_OF_NAMED_SCHEMAS = ("properties", "$defs", "definitions")
_FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")
_DEEPEST = 10
"""Levels that schemas may be nested."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


ASKED_FOR_JSON = "Answer with a JSON object."
"""What an operator says where the prompt does not."""

_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')

_OPENAIS = ("chat", "responses")
"""The dialects whose callers write schemas as OpenAI takes them, and say themselves whether they bind."""


class _Loose(Exception):
    """The schema allows what cannot be enforced."""


def binding(output: OutputFormat, schema: msgspec.Raw, dialect: str) -> tuple[msgspec.Raw, bool | None]:
    """
    :param schema: the format's.
    :param dialect: the caller's.
    :return: the schema to send, and what to say of it; ``False`` where the caller's dialect binds the answer and OpenAI
        cannot.
    """
    if output.strict is not None or dialect in _OPENAIS:
        return schema, output.strict
    found = enforceable(schema)
    return (schema, False) if found is None else (found, True)


def parameters_of(schema: msgspec.Raw, place: str) -> tuple[msgspec.Raw, bool]:
    """
    :param schema: of a function's arguments.
    :return: the same as OpenAI takes it, be it strict or not, and whether it says something else now.
    :raises BadRequest: it is no schema.
    """
    return tool_schema(schema, place, forbidden=("enum", "not"), properties=True)


def strict_parameters_of(tool: Tool, dialect: str) -> msgspec.Raw | None:
    """
    :param tool: a strict function.
    :param dialect: the caller's.
    :return: its parameters as they have to be; ``None`` where OpenAI cannot bind its calls to them.
    """
    if dialect in _OPENAIS:
        return tool.parameters
    return enforceable(_NO_ARGUMENTS if tool.parameters is None else tool.parameters)


def asks_for_json(request: Request) -> bool:
    """
    :return: whether the prompt has the word in it, without which OpenAI takes no format of "any JSON". Its own callers
        know that.
    """
    if request.dialect in _OPENAIS:
        return True
    texts = (part.text for message in request.messages for part in message.parts if isinstance(part, Text))
    return any("json" in text.lower() for text in texts)


def enforceable(schema: msgspec.Raw) -> msgspec.Raw | None:
    """
    :param schema: as a caller wrote it, whose dialect allows no properties but those that are named.
    :return: the same, written as OpenAI demands it; ``None`` where there is no such way.
    """
    try:
        found = _decode(schema)
        if found.get("type") != "object":
            return None
        closed = _closed(found, 0)
    except (_Loose, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return schema if closed == found else msgspec.Raw(msgspec.json.encode(closed))


def _closed(schema: object, depth: int) -> Object:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise _Loose
    made: Object = {}
    for keyword, value in schema.items():
        if keyword in _OF_NAMED_SCHEMAS and isinstance(value, dict):
            deeper = depth + (keyword == "properties")
            made[keyword] = {name: _closed(one, deeper) for name, one in value.items()}
        elif keyword == "items":
            made[keyword] = _closed(value, depth + 1)
        elif keyword == "anyOf" and isinstance(value, list) and depth:
            made[keyword] = [_closed(one, depth) for one in value]
        elif keyword in _KNOWN and (keyword != "format" or value in _FORMATS):
            made[keyword] = value
        else:
            raise _Loose
    if schema.get("type") == "object" or "properties" in schema:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if schema.get("additionalProperties", False) is not False or not _all_named(properties, required):
            raise _Loose
        made |= {"properties": made.get("properties", {}), "required": required, "additionalProperties": False}
    return made


def _all_named(properties: object, required: object) -> bool:
    return (
        isinstance(properties, dict) and isinstance(required, list) and sorted(properties) == sorted(map(str, required))
    )
