"""Arguments made from JSON Schemas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llm_gateway.demo.schema import example_of


def one(schema: Any, name: str = "a", said: str = "") -> Any:
    return example_of({"type": "object", "properties": {name: schema}}, said)[name]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "example"),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"type": "string", "minLength": 9}, "examplexx"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"type": "number"}, 1.5),
        ({"type": "number", "exclusiveMaximum": 1}, 0),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": ["null"]}, None),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "minItems": 2}, ["example", "example"]),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 9}, 9),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "examples": ["e"]}, "e"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"allOf": [{"properties": {"b": {"const": 1}}}, {"properties": {"c": {"const": 2}}}]}, {"b": 1, "c": 2}),
        ({"type": "object", "properties": {"b": {}, "c": {}}, "required": ["c"]}, {"c": "example"}),
        ({"type": "object"}, {}),
        ({}, "example"),
        (True, None),
    ],
)
def test_value_fits_the_schema(schema: Any, value: Any) -> None:
    assert one(schema) == value


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("location", "the weather in New York, please", "New York"),
        ("home_city", "flights for Oslo", "Oslo"),
        ("city", "what about here", "Paris"),
        ("query", " find it ", "find it"),
        ("colour", "in Paris", "example"),
    ],
)
def test_places_and_questions_are_taken_from_the_message(name: str, said: str, value: str) -> None:
    assert one({"type": "string"}, name, said) == value


def test_references_are_followed() -> None:
    schema = {
        "$defs": {"a/b": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "properties": {"x": {"$ref": "#/$defs/a~1b"}, "y": {"$ref": "#/$defs/none"}},
    }
    assert example_of(schema, "") == {"x": {"n": 1}, "y": None}


def test_schema_that_refers_to_itself_many_times_over_ends() -> None:
    node = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcdefghij"}}
    assert set(example_of(node, "")) == set("abcdefghij")


def test_arguments_are_an_object_whatever_the_schema_says() -> None:
    assert example_of({"type": "string"}, "") == {}


SIMPLE = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 3, "maxLength": 20},
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": "number", "exclusiveMinimum": 4},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"enum": [2, 3]},
    ]
)
NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "minItems": 1}, inner),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)},
            st.dictionaries(st.sampled_from(["a", "city", "query"]), inner),
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("xyz"), NESTED))
def test_a_validator_accepts_what_is_made(properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    Draft202012Validator(schema).validate(example_of(schema, "hello"))
