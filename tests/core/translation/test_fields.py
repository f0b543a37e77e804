"""What is wrong with a document is named by its place, and what nobody took is seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.fields import (
    MAX_ELEMENTS,
    Fields,
    boolean,
    integer,
    number,
    plain_message,
    plain_text,
    text,
)
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


MANY: dict[Api, list[dict[str, Any]]] = {
    Api.CHAT: [
        {"messages": [{"role": "user", "content": "a"}] * (MAX_ELEMENTS + 1)},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * MAX_ELEMENTS}]},
        {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "x"}] * MAX_ELEMENTS},
    ],
    Api.RESPONSES: [
        {"input": [{"role": "user", "content": "a"}] * (MAX_ELEMENTS + 1)},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}] * MAX_ELEMENTS}]},
        {"input": "a", "tools": [{"type": "x"}] * (MAX_ELEMENTS + 1)},
    ],
    Api.MESSAGES: [
        {"max_tokens": 1, "messages": [{"role": "user", "content": "a"}] * (MAX_ELEMENTS + 1)},
        {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * MAX_ELEMENTS}]},
        {"max_tokens": 1, "messages": [], "system": [{"type": "text", "text": "a"}] * (MAX_ELEMENTS + 1)},
    ],
    Api.GEMINI: [
        {"contents": [{"parts": [{"text": "a"}] * MAX_ELEMENTS}]},
        {"contents": [{"parts": [{"text": "a"}]}] * MAX_ELEMENTS},
    ],
}


@pytest.mark.parametrize(("api", "document"), [(api, one) for api, several in MANY.items() for one in several])
def test_more_elements_than_any_conversation_has_are_refused(api: Api, document: dict[str, Any]) -> None:
    """Each takes a few microseconds, for which everybody else waits."""
    codec = CODECS[api]
    body = msgspec.json.encode({"model": "m", **document})
    with pytest.raises(BadRequest, match=f"more than {MAX_ELEMENTS} messages, parts and tools"):
        codec.decode_request(body, model="m", stream=False)


@pytest.mark.parametrize("api", CODECS)
def test_elements_are_counted_for_each_request_anew(api: Api) -> None:
    half = MAX_ELEMENTS // 2
    documents: dict[Api, dict[str, Any]] = {
        Api.CHAT: {"messages": [{"role": "user", "content": "a"}] * half},
        Api.RESPONSES: {"input": [{"role": "user", "content": "a"}] * half},
        Api.MESSAGES: {"max_tokens": 1, "messages": [{"role": "user", "content": "a"}] * half},
        Api.GEMINI: {"contents": [{"parts": [{"text": "a"}] * half}]},
    }
    body = msgspec.json.encode({"model": "m", **documents[api]})
    for _ in range(3):
        assert CODECS[api].decode_request(body, model="m", stream=False).messages


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"type":"text","text":"a"}', "a"),
        (b' { "text" : "\\u00e9" , "type" : "input_text" } ', "\u00e9"),
        (b'{"type":"text"}', None),
        (b'{"type":"text","text":"a","cache_control":null}', None),
        (b'{"type":"output_text","text":"a"}', None),
        (b'{"type":"text","text":1}', None),
        (b'{"type":"text","text":"\xff"}', None),
        (b"[]", None),
    ],
)
def test_plain_text_is_told_from_all_else(raw: bytes, said: str | None) -> None:
    found = plain_text(msgspec.Raw(raw))
    assert (found and found.text) == said


def test_plain_message_is_told_from_all_else() -> None:
    found = plain_message(msgspec.Raw(b'{"role":"user","content":"a"}'))
    assert found is not None
    assert (found.role, found.content) == ("user", "a")
    for raw in (
        b'{"role":"tool","content":"a"}',
        b'{"role":"user","content":[]}',
        b'{"role":"user","content":"a","name":"b"}',
    ):
        assert plain_message(msgspec.Raw(raw)) is None
