"""Google's schemas as JSON Schema, which say the same, and the other way, which never forbids what was allowed."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import msgspec
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.gemini.schema import json_schema, open_api, tidied
from llm_gateway.errors import BadRequest


def to_json_schema(schema: Any) -> Any:
    return json.loads(bytes(json_schema(msgspec.Raw(json.dumps(schema).encode()), "parameters")))


def to_google(schema: Any) -> tuple[Any, bool]:
    made, loose = open_api(msgspec.Raw(json.dumps(schema).encode()))
    types.Schema.model_validate(made)
    return made, loose


@pytest.mark.parametrize(
    ("google", "plain"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "INTEGER", "format": "enum", "enum": ["1", "-2"]}, {"type": "integer", "enum": [1, -2]}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "min_items": "2"},
            {"type": "array", "items": {"type": "number"}, "minItems": 2},
        ),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "TYPE_UNSPECIFIED", "description": "x"}, {"description": "x"}),
        (
            {"type": "BOOLEAN", "example": True, "default": False},
            {"type": "boolean", "examples": [True], "default": False},
        ),
        (
            {"type": "OBJECT", "additionalProperties": {"type": "STRING"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        ({"ref": "#/defs/A", "defs": {"A": {"type": "NULL"}}}, {"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}}),
    ],
)
def test_googles_schemas_say_the_same_as_json_schema(google: Any, plain: Any) -> None:
    assert to_json_schema(google) == plain
    jsonschema.Draft202012Validator.check_schema(plain)


def test_names_of_properties_are_nobodys_spelling() -> None:
    google = {"type": "OBJECT", "properties": {"any_of": {"type": "STRING"}, "type": {"type": "NUMBER"}}}
    assert to_json_schema(google)["properties"] == {"any_of": {"type": "string"}, "type": {"type": "number"}}


def test_properties_stand_in_their_order() -> None:
    google = {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}, "c": {"type": "STRING"}},
        "propertyOrdering": ["c", "x", "a"],
    }
    assert list(to_json_schema(google)["properties"]) == ["c", "a", "b"]


@pytest.mark.parametrize(
    "schema",
    [
        5,
        "STRING",
        [],
        {"properties": []},
        {"items": 5},
        {"anyOf": {}},
        {"anyOf": [1]},
        {"minItems": "x"},
        {"maxLength": 1.5},
    ],
)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(BadRequest, match="parameters"):
        to_json_schema(schema)


@pytest.mark.parametrize(
    ("plain", "google", "loose"),
    [
        ({"type": "string", "minLength": 1, "pattern": "a"}, {"type": "STRING", "minLength": 1, "pattern": "a"}, False),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, False),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}, False),
        ({"enum": ["a", None]}, {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True}, False),
        ({"const": "a"}, {"type": "STRING", "format": "enum", "enum": ["a"]}, False),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER", "format": "enum", "enum": ["1", "2"]}, False),
        ({"type": "number", "enum": [1.5]}, {"type": "NUMBER"}, True),
        ({"type": "integer", "exclusiveMaximum": 5}, {"type": "INTEGER", "maximum": 4}, False),
        ({"type": "number", "exclusiveMaximum": 5}, {"type": "NUMBER"}, True),
        ({"type": "string", "format": "uri"}, {"type": "STRING"}, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}, False),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            True,
        ),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, {"type": "STRING"}, False),
        ({"$ref": "#/definitions/A~1b", "definitions": {"A/b": {"type": "string"}}}, {"type": "STRING"}, False),
        ({"$ref": "https://example.com"}, {"type": "OBJECT"}, True),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            {"type": "ARRAY", "items": {"type": "STRING"}},
            True,
        ),
        ({"allOf": [{"type": "string"}], "description": "x"}, {"type": "STRING", "description": "x"}, False),
        ({"not": {"type": "string"}}, {}, True),
        (True, {}, True),
    ],
)
def test_json_schema_in_googles_words(plain: Any, google: Any, loose: bool) -> None:
    assert to_google(plain) == (google, loose)


def test_objects_joined_are_one() -> None:
    plain = {
        "allOf": [
            {"$ref": "#/$defs/A"},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ],
        "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "x"]}},
    }
    assert to_google(plain) == (
        {
            "type": "OBJECT",
            "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
            "propertyOrdering": ["a", "b"],
            "required": ["a", "b"],
        },
        False,
    )


def test_a_tree_is_cut_where_it_comes_back_to_itself() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    made, loose = to_google({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert loose
    assert made["properties"]["next"] == {"type": "OBJECT"}


def test_a_schema_that_doubles_at_each_level_ends() -> None:
    definitions = {
        f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}, {"$ref": f"#/$defs/A{n + 1}"}]} for n in range(60)
    }
    _made, loose = to_google({"$ref": "#/$defs/A0", "$defs": definitions})
    assert loose


KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null", ["string", "null"]]),
    "enum": st.lists(st.sampled_from(["a", "b", 1, None]), min_size=1, max_size=3, unique_by=repr),
    "minimum": st.integers(-3, 3),
    "exclusiveMaximum": st.integers(-3, 3),
    "maxLength": st.integers(0, 3),
    "minItems": st.integers(0, 2),
    "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
}
SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional=KEYWORDS),
    lambda inner: st.fixed_dictionaries(
        {},
        optional=KEYWORDS
        | {
            "items": inner,
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=4,
)
INSTANCES = st.recursive(
    st.sampled_from(["a", "b", "abcd", 0, 1, -5, 1.5, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=3,
)


@given(SCHEMAS, st.lists(INSTANCES, min_size=5, max_size=20))
def test_what_json_schema_allows_stays_allowed(plain: Any, instances: list[Any]) -> None:
    made, _loose = to_google(plain)
    before = jsonschema.Draft202012Validator(plain)
    after = jsonschema.Draft202012Validator(to_json_schema(made))
    for instance in instances:
        if before.is_valid(instance):
            assert after.is_valid(instance), (plain, made, instance)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["string", "object", "#/properties/a", "#", ""]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [*KEYWORDS, "$ref", "$defs", "items", "properties", "anyOf", "oneOf", "allOf", "const", "format"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(ANYTHING)
def test_whatever_is_called_a_schema_can_be_sent(plain: Any) -> None:
    made, loose = open_api(msgspec.Raw(json.dumps(plain).encode()))
    assert msgspec.json.encode(made).startswith(b"{")
    assert loose or isinstance(plain, dict)


# JSON Schema as Google takes it

REFERENCE = {"$ref": "#/$defs/a"}


def tidy(schema: Any, *, of_function: bool = False) -> Any:
    return json.loads(bytes(tidied(msgspec.Raw(json.dumps(schema).encode()), of_function=of_function)))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (REFERENCE, REFERENCE),
        (
            {"items": {**REFERENCE, "description": "A.", "default": 1}},
            {"items": {**REFERENCE, "description": "A.", "default": 1}},
        ),
        (
            {"properties": {"b": {**REFERENCE, "title": "B", "description": "A."}}},
            {"properties": {"b": {"title": "B", "description": "A.", "anyOf": [REFERENCE]}}},
        ),
        (
            {"anyOf": [{**REFERENCE, "type": "object"}], "$defs": {"a": {"items": {"const": "x"}}}},
            {"anyOf": [{"type": "object", "anyOf": [REFERENCE]}], "$defs": {"a": {"items": {"enum": ["x"]}}}},
        ),
        ({"const": 5}, {"enum": [5]}),
        ({"const": True}, {"const": True}),
        ({"enum": ["x", "y"], "const": "x"}, {"enum": ["x", "y"], "const": "x"}),
        # What is no schema stays: a property of that name, an example of a value.
        (
            {"properties": {"const": {"type": "string"}, "$ref": {}}, "default": {"const": 1, **REFERENCE}},
            {"properties": {"const": {"type": "string"}, "$ref": {}}, "default": {"const": 1, **REFERENCE}},
        ),
    ],
)
def test_what_google_does_not_understand_is_said_otherwise(given: Any, written: Any) -> None:
    assert tidy(given) == written


def test_parameters_are_of_an_object() -> None:
    assert tidy({}, of_function=True) == {"type": "object"}
    assert tidy({"properties": {}}, of_function=True) == {"type": "object", "properties": {}}
    assert tidy({}) == {}
    for schema in ({"type": "object"}, {"type": "array"}, {**REFERENCE, "$defs": {"a": {"type": "object"}}}):
        assert tidy(schema, of_function=True) == schema


@pytest.mark.parametrize("broken", [b'{"const":', b"[]", b'"const"', b'{"items":' * 5000 + b'"const"' + b"}" * 5000])
def test_what_is_no_schema_goes_as_it_came(broken: bytes) -> None:
    assert bytes(tidied(msgspec.Raw(broken), of_function=True)) == broken


@pytest.mark.parametrize(
    "target",
    [
        {f"x{number}": 1 for number in range(5_000)},
        {"properties": {f"x{number}": {} for number in range(5_000)}},
        {"enum": [f"x{number}" for number in range(5_000)]},
        {"description": "x" * 5_000},
    ],
    ids=["keywords", "properties", "enum", "description"],
)
@pytest.mark.parametrize("way", [{"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/a"}] * 20}], ids=["one", "all"])
def test_what_is_referred_to_again_and_again_is_not_written_out_for_ever(target: Any, way: Any) -> None:
    """Each of 5,000 references brings 5,000 members: written out they would take a minute, and gigabytes."""
    root = {"$defs": {"a": target}, "properties": {f"p{number}": way for number in range(5_000)}}
    began = time.process_time()
    _, loose = open_api(msgspec.Raw(msgspec.json.encode(root)))
    assert loose
    assert time.process_time() - began < 5


def test_many_parts_of_one_object_are_joined_one_by_one() -> None:
    """And not all before each again."""
    count = 20_000
    parts = [{"properties": {f"p{number}": {}}, "required": [f"p{number}"]} for number in range(count)]
    began = time.process_time()
    made, _ = open_api(msgspec.Raw(msgspec.json.encode({"type": "object", "allOf": parts})))
    assert made["required"] == [f"p{number}" for number in range(count)]
    assert time.process_time() - began < 5
