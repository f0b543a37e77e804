"""What is wrong with a document is named by its place, and what nobody took is seen."""

from __future__ import annotations

import msgspec
import pytest

from llm_gateway.core.translation.fields import Fields, boolean, integer, number, text
from llm_gateway.errors import BadRequest


def test_fields_that_are_taken_are_gone_and_the_others_stay() -> None:
    fields = Fields(b'{"model":"m","n":2,"x":{"y":[1, 2]},"gone":null}', "")

    assert fields.need("model", text) == "m"
    assert fields.take("n", integer) == 2
    assert fields.take("gone", text) is None
    assert fields.take("never", boolean) is None
    assert fields.rest == {"x": msgspec.Raw(b'{"y":[1, 2]}')}


def test_elements_of_a_list_know_their_places() -> None:
    fields = Fields(b'{"input":[{"a":1},{"a":"one"}]}', "outer")

    places = [place for _, place in fields.each("input")]

    assert places == ["outer.input[0]", "outer.input[1]"]
    assert Fields(b"{}", "").each("input") == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"[]", "a: Expected `object`, got `array`."),
        (b'{"x":', "a: is not valid JSON."),
        (b"", "a: is not valid JSON."),
        (b'{"x":1}', "a.x: Expected `str`, got `int`."),
        (b'{"x":null}', "a.x: is required."),
        (b"{}", "a.x: is required."),
        (b'{"x":"\xff"}', "a.x: is not valid JSON."),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "a: is nested too deep."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Fields(document, "a").need("x", text)

    assert caught.value.message == message


def test_a_fault_deep_inside_is_named_with_the_whole_place() -> None:
    fields = Fields(b'{"outer":{"t":"hot"}}', "")
    inner = fields.inner("outer")
    assert inner is not None

    with pytest.raises(BadRequest, match=r"^outer\.t: Expected `float`, got `str`\.$"):
        inner.take("t", number)
