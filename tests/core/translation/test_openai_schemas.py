"""Schemas that OpenAI can enforce are told from those that it cannot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.openai_schemas import enforceable
from tests.real.validating.openai_schemas import fault_of_strict_schema

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "The first."},
        "born": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/child"}},
        "sort": {"enum": ["a", "b"]},
    },
    "required": ["name", "born", "children", "sort"],
    "additionalProperties": False,
    "$defs": {"child": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}},
}


def made(schema: Any) -> Any:
    found = enforceable(msgspec.Raw(msgspec.json.encode(schema)))
    return None if found is None else msgspec.json.decode(found)


def test_schema_that_can_be_enforced_is_untouched() -> None:
    written = msgspec.Raw(msgspec.json.format(msgspec.json.encode(CLOSED), indent=3))
    assert enforceable(written) == written
    assert fault_of_strict_schema(CLOSED, "") is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {}}}},
            "required": ["a"],
        },
    ],
)
def test_objects_are_closed_where_that_is_all_that_lacks(schema: Any) -> None:
    assert fault_of_strict_schema(schema, "") is not None
    assert fault_of_strict_schema(made(schema), "") is None


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["name"]},
        {"required": [*CLOSED["required"], "more"]},
        {"additionalProperties": True},
        {"additionalProperties": {"type": "string"}},
        {"type": "string"},
        {"type": ["object", "null"]},
        {"anyOf": [{"type": "object"}]},
        {"allOf": [{"type": "object"}]},
        {"patternProperties": {"a": {}}},
        {"properties": {**CLOSED["properties"], "name": {"type": "string", "format": "uri"}}},
        {"properties": {**CLOSED["properties"], "name": {"oneOf": [{"type": "string"}]}}},
        {"properties": {**CLOSED["properties"], "name": True}},
        {"properties": {**CLOSED["properties"], "name": {"type": "object", "properties": {"a": {}}}}},
        {"properties": []},
    ],
)
def test_schema_that_cannot_be_enforced_is_told(change: dict[str, Any]) -> None:
    assert made({**CLOSED, **change}) is None


@pytest.mark.parametrize("raw", [b"[]", b"true", b"{", b'{"type": "\xff"}', b'{"items":' * 100_000])
def test_what_is_no_schema_cannot_be_enforced(raw: bytes) -> None:
    assert enforceable(msgspec.Raw(raw)) is None


def test_schema_that_is_nested_too_deep_cannot_be_enforced() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    assert made(schema) is None
