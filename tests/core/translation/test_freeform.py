"""A function stands in for a custom tool, and nothing of its text is lost on the way."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.conversation import Tool
from llm_gateway.core.translation.freeform import FREEFORM_PARAMETERS, as_arguments, as_text, description_of


@given(st.text())
def test_text_comes_back_from_the_arguments_that_stand_in_for_it(text: str) -> None:
    assert as_text(as_arguments(text)) == text


@pytest.mark.parametrize("arguments", ["", "{}", '{"input":1}', '{"patch":"x"}', "*** Begin Patch", '{"input":"cut'])
def test_arguments_of_another_shape_are_taken_as_the_text(arguments: str) -> None:
    assert as_text(arguments) == arguments


def test_arguments_fit_the_schema_of_the_function() -> None:
    schema = msgspec.json.decode(FREEFORM_PARAMETERS)

    assert set(msgspec.json.decode(as_arguments("x"))) == set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize(
    "form",
    [
        b'{"type":"grammar","syntax":"lark","definition":"start: A"}',
        b'{"type":"grammar","grammar":{"syntax":"lark","definition":"start: A"}}',
    ],
)
def test_grammar_is_told_in_the_description(form: bytes) -> None:
    description = description_of(Tool("patch", "Edits files.", custom=msgspec.Raw(form)))

    assert description.startswith("Edits files.")
    assert description.endswith("(lark):\nstart: A")


@pytest.mark.parametrize("form", [b'{"type":"text"}', b"{}", b"[]", b'{"type":7}'])
def test_free_text_adds_nothing_to_the_description(form: bytes) -> None:
    assert description_of(Tool("say", "Says it.", custom=msgspec.Raw(form))) == "Says it."
