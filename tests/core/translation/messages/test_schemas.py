"""JSON Schemas become what structured outputs take; those that are it already are not touched."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.messages.schemas import conforming
from llm_gateway.errors import BadRequest


def conformed(schema: Any) -> tuple[Any, bool]:
    found, changed = conforming(msgspec.Raw(msgspec.json.encode(schema)), "here")
    return msgspec.json.decode(found), changed


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}, "additionalProperties": False},
        {
            "type": "object",
            "title": "T",
            "description": "D",
            "properties": {
                "minimum": {"type": ["string", "null"], "format": "date", "default": {"minimum": 1}},
                "of": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}, "minItems": 1},
                "one": {"enum": ["a", 1, None]},
                "same": {"const": {"pattern": "x"}},
            },
            "required": ["one"],
            "additionalProperties": False,
            "$defs": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
        },
    ],
)
def test_schema_that_fits_is_untouched(schema: Any) -> None:
    written = msgspec.json.format(msgspec.json.encode(schema), indent=3)

    assert conforming(msgspec.Raw(written), "here") == (msgspec.Raw(written), False)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, {"type": "object", "additionalProperties": False}),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": False},
        ),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "object"}}}, "additionalProperties": False},
            {
                "properties": {"a": {"type": "array", "items": {"type": "object", "additionalProperties": False}}},
                "additionalProperties": False,
            },
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "A digit."},
            {"type": "integer", "description": "A digit.\n\n{minimum: 1, maximum: 9}"},
        ),
        ({"type": "string", "format": "color"}, {"type": "string", "description": '{format: "color"}'}),
        ({"type": "string", "format": []}, {"type": "string", "description": "{format: []}"}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": "{minItems: 2}"}),
        (
            {"oneOf": [{"type": "string", "maxLength": 3}]},
            {"anyOf": [{"type": "string", "description": "{maxLength: 3}"}]},
        ),
        ({"type": "string", "$schema": "https://json-schema.org/draft/2020-12/schema"}, {"type": "string"}),
        (
            {"$defs": {"a": {"type": "object"}}, "$ref": "#/$defs/a"},
            {"$defs": {"a": {"type": "object", "additionalProperties": False}}, "$ref": "#/$defs/a"},
        ),
    ],
)
def test_what_is_not_taken_is_closed_or_told_in_words(schema: Any, expected: Any) -> None:
    assert conformed(schema) == (expected, True)


@pytest.mark.parametrize("schema", [b"[]", b"1", b'"a"', b"{"])
def test_what_is_no_schema_is_refused(schema: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^here: is not a JSON Schema object\.$"):
        conforming(msgspec.Raw(schema), "here")


def test_schema_without_end_is_refused() -> None:
    deep = b'{"items":' * 900 + b"{}" + b"}" * 900

    with pytest.raises(BadRequest, match=r"^here: is nested too deep\.$"):
        conforming(msgspec.Raw(deep), "here")
