"""Schemas of tools' arguments become what strict providers take; those that are it already are not touched."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.tool_schemas import tool_schema
from llm_gateway.errors import BadRequest


@pytest.mark.parametrize("schema", [b"[]", b"1", b'"a"', b"{"])
def test_what_is_no_schema_is_refused(schema: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^here: is not a JSON Schema object\.$"):
        tool_schema(msgspec.Raw(schema), "here")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "if": {}}, {"type": "object", "if": {}}),
        ({"properties": {}}, {"properties": {}, "type": "object"}),
        ({"type": "string"}, {"type": "object"}),
        ({}, {"type": "object"}),
    ],
)
def test_tools_take_objects(schema: Any, expected: Any) -> None:
    found, changed = tool_schema(msgspec.Raw(msgspec.json.encode(schema)), "here")

    assert (msgspec.json.decode(found), changed) == (expected, False)


A: Any = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
B: Any = {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["b", "a"]}


@pytest.mark.parametrize(
    ("schema", "properties", "required"),
    [
        ({"anyOf": [A, B]}, {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "b": {}}, ["a"]),
        ({"allOf": [A, {"required": ["c"]}], "required": ["c"]}, A["properties"], ["c", "a"]),
        ({**A, "oneOf": [{"required": ["b"]}, {"required": ["c"]}]}, A["properties"], ["a"]),
        ({"oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": A}}, A["properties"], ["a"]),
        ({"anyOf": [{"$ref": "#/$defs/none"}, {"$ref": "https://a.test/"}, True]}, {}, None),
        ({"anyOf": 5}, {}, None),
    ],
)
def test_alternatives_of_a_tool_are_merged_and_told_in_words(schema: Any, properties: Any, required: Any) -> None:
    """They are errors at the top of a schema, and schemas of MCP servers have them there."""
    found, changed = tool_schema(msgspec.Raw(msgspec.json.encode(schema)), "here")

    merged = msgspec.json.decode(found)
    assert changed
    assert merged.keys().isdisjoint({"allOf", "anyOf", "oneOf"})
    assert (merged["type"], merged["properties"], merged.get("required")) == ("object", properties, required)
    assert any(f"{keyword}: " in merged["description"] for keyword in schema)


@pytest.mark.parametrize(
    ("schema", "expected", "changed"),
    [
        ({"type": "object"}, {"type": "object", "properties": {}}, False),
        ({}, {"type": "object", "properties": {}}, False),
        ({"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, False),
        (
            {"type": "object", "not": {"required": ["a"]}, "enum": [{}]},
            {"type": "object", "properties": {}, "description": '{enum: [{}], not: {"required":["a"]}}'},
            True,
        ),
    ],
)
def test_more_can_be_demanded_of_the_top(schema: Any, expected: Any, changed: bool) -> None:
    written = msgspec.Raw(msgspec.json.encode(schema))
    found = tool_schema(written, "here", forbidden=("enum", "not"), properties=True)

    assert (msgspec.json.decode(found[0]), found[1]) == (expected, changed)


def test_many_alternatives_take_no_more_time_than_their_bytes() -> None:
    """Each is looked up, not searched for among all others: that would take a minute here."""
    count = 20_000
    variants = [
        {"properties": {"p": {"const": number}, f"q{number}": {}}, "required": ["p"]} for number in range(count)
    ]
    began = time.process_time()

    found, changed = tool_schema(msgspec.Raw(msgspec.json.encode({"type": "object", "anyOf": variants})), "here")

    assert time.process_time() - began < 5
    merged = msgspec.json.decode(found)
    assert changed
    assert (len(merged["properties"]), len(merged["properties"]["p"]["anyOf"])) == (count + 1, count)
    assert merged["required"] == ["p"]
