"""A model's name is exchanged, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.renaming import MAX_MEMBERS, MAX_NAME, find_model, renamed, with_model


def changed(body: bytes, name: str = "new") -> bytes | None:
    places = find_model(body)
    return None if places is None else b"".join(renamed(body, places, name))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"old"}', b'{"model":"new"}'),
        (b' {"a": 1,\r\n\t"model" :\n "old" , "b":{}} \n', b' {"a": 1,\r\n\t"model" :\n "new" , "b":{}} \n'),
        (b'{"tools":[{"model":"x"}],"model":"old"}', b'{"tools":[{"model":"x"}],"model":"new"}'),
        (b'{"model":"old","metadata":{"model":"old"}}', b'{"model":"new","metadata":{"model":"old"}}'),
        (b'{"text":"\\"model\\":\\"old\\"","model":"old"}', b'{"text":"\\"model\\":\\"old\\"","model":"new"}'),
        (b'{"x\\"model":"a","model":"old"}', b'{"x\\"model":"a","model":"new"}'),
        (b'{"a":["model","old"],"model":"old"}', b'{"a":["model","old"],"model":"new"}'),
        (b'{"m\\u006fdel":"old"}', b'{"m\\u006fdel":"new"}'),
        (b'{"model":"o\\"l\\\\d"}', b'{"model":"new"}'),
        (b'{"n":-1.5e+7,"z":null,"model":"old","f":false}', b'{"n":-1.5e+7,"z":null,"model":"new","f":false}'),
        ('{"ü€😀":"ü","model":"öld"}'.encode(), '{"ü€😀":"ü","model":"new"}'.encode()),
    ],
)
def test_only_the_top_level_name_is_replaced(before: bytes, after: bytes) -> None:
    """What else looks like it, nested or inside a text, is left alone; so are spacing, order and escapes."""
    assert changed(before) == after


def test_repeated_names_are_all_replaced() -> None:
    """No parser finds the old name, whether it takes the first or the last; the last is the one that counts here."""
    body = b'{"model":"first","a":{"model":"x"},"\\u006dodel": 7, "model":"last"}'
    places = find_model(body)
    assert places is not None
    assert (places.name, places.ambiguous) == ("last", True)
    assert changed(body) == b'{"model":"new","a":{"model":"x"},"\\u006dodel": "new", "model":"new"}'


def test_new_name_is_written_as_json() -> None:
    assert changed(b'{"model":"old"}', 'a"\\b\n') == b'{"model":"a\\"\\\\b\\n"}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"model"',
        b"{}",
        b'{"model":null}',
        b'{"model":7}',
        b'{"model":"a","model":{}}',
        b'{"a":{"model":"x"}}',
        b'{"model":"cut',
        b'{"model":"a"} {}',
        b'{"model":"\xff"}',
        b'{"a":' + b"[" * 200_000,
        b"{" + b",".join(b'"k%d":1' % number for number in range(MAX_MEMBERS)) + b',"model":"a"}',
        b'{"' + b"k" * (MAX_NAME + 1) + b'":1,"model":"a"}',
    ],
)
def test_no_model_is_told_where_none_can_be(body: bytes) -> None:
    assert find_model(body) is None


def test_request_as_large_as_allowed_is_still_read() -> None:
    body = b"{" + b",".join(b'"k%d":1' % number for number in range(MAX_MEMBERS - 1)) + b',"model":"a"}'
    assert changed(body) == body.replace(b'"a"', b'"new"')
    assert changed(b'{"' + b"k" * MAX_NAME + b'":1,"model":"a"}') is not None


def test_body_after_an_overlong_one_is_read_from_its_own_count() -> None:
    """One hostile body takes nothing from the next."""
    assert find_model(b"{" + b",".join(b'"k%d":1' % number for number in range(2 * MAX_MEMBERS)) + b"}") is None
    assert find_model(b'{"model":"a"}') is not None


def test_large_body_is_not_copied() -> None:
    """What surrounds the name are views of the body that came."""
    body = b'{"image":"' + b"x" * 5_000_000 + b'","model":"old"}'
    places = find_model(body)
    assert places is not None
    pieces = renamed(body, places, "new")
    assert [len(piece) for piece in pieces] == [len(body) - 6, 5, 1]
    assert all(piece.obj is body for piece in (pieces[0], pieces[2]) if isinstance(piece, memoryview))
    assert isinstance(pieces[0], memoryview)


def test_body_in_a_map_is_read_too() -> None:
    """Any buffer will do."""
    places = find_model(memoryview(b'{"pad":"xx","model":"old"}'))
    assert places is not None
    assert places.name == "old"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"{}", b'{"model":"new"}'),
        (b" { } ", b' {"model":"new" } '),
        (b'{ "a":1}', b'{"model":"new", "a":1}'),
        (b'{"a":{"model":"x"}}', b'{"model":"new","a":{"model":"x"}}'),
        (b'{"a":1,"model":"old"}', b'{"a":1,"model":"new"}'),
        (b'{"model":null}', None),
        (b"[1]", None),
        (b"--boundary", None),
    ],
)
def test_model_of_the_path_is_put_where_the_body_names_none(before: bytes, after: bytes | None) -> None:
    pieces = with_model(before, "new")
    assert (None if pieces is None else b"".join(pieces)) == after


# Laws: a document with its name exchanged is the same document with its name exchanged.

SPACE = st.text(alphabet=" \t\r\n", max_size=2)


def escaped(text: str, draw: st.DrawFn) -> str:
    """JSON for a string, some of its characters escaped though they need not be."""
    plain = json.dumps(text, ensure_ascii=draw(st.booleans()))[1:-1]
    if text and draw(st.booleans()):
        at = draw(st.integers(0, len(text) - 1))
        if ord(text[at]) < 0x10000:
            parts = [json.dumps(each)[1:-1] for each in (text[:at], text[at + 1 :])]
            plain = f"{parts[0]}\\u{ord(text[at]):04X}{parts[1]}"
    return f'"{plain}"'


@st.composite
def documents(draw: st.DrawFn, depth: int = 0) -> str:
    """The text of a JSON value, an object at the top, with many members named ``model``."""
    strings = st.sampled_from(["model", "", 'a"model":"b"', "{", "}", "\\", "ü€😀", ",\n"]) | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=5
    )
    kind = "object" if not depth else draw(st.sampled_from(["object", "list", "string", "word"]))
    if kind == "string":
        return escaped(draw(strings), draw)
    if kind == "word" or depth > 3:
        return draw(st.sampled_from(["1", "-0.5E-3", "true", "null", "{}", "[]"]))
    items = []
    for _ in range(draw(st.integers(0, 4))):
        value = draw(documents(depth=depth + 1)) if draw(st.booleans()) else escaped(draw(strings), draw)
        name = escaped(draw(strings), draw) + draw(SPACE) + ":" + draw(SPACE) if kind == "object" else ""
        items.append(draw(SPACE) + name + value + draw(SPACE))
    left, right = ("{", "}") if kind == "object" else ("[", "]")
    return draw(SPACE) + left + (",".join(items) or draw(SPACE)) + right + draw(SPACE)


class Pairs(list[Any]):
    """An object as its members in order, repeated names kept."""


@given(documents())
def test_document_with_another_model_is_otherwise_the_same(text: str) -> None:
    body = text.encode()
    members = json.loads(body, object_pairs_hook=Pairs)
    models = [value for name, value in members if name == "model"]
    places = find_model(body)
    if not models or not isinstance(models[-1], str):
        assert places is None
        return
    assert places is not None
    assert places.name == models[-1]
    assert [json.loads(body[start:end], object_pairs_hook=Pairs) for start, end in places.spans] == models
    new = b"".join(renamed(body, places, "new"))
    assert json.loads(new, object_pairs_hook=Pairs) == Pairs(
        (name, "new" if name == "model" else value) for name, value in members
    )
    # Back again, and it is what it was, byte for byte.
    again = find_model(new)
    assert again is not None
    if len(models) == 1:
        old = body[slice(*places.spans[0])]
        assert b"".join([*renamed(new, again, "")[:1], old, *renamed(new, again, "")[2:]]) == body


@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,\\model1 ', max_size=30).map(str.encode))
def test_anything_is_read_without_a_traceback(body: bytes) -> None:
    found = find_model(body)
    assert found is None or json.loads(body)
    with_model(body, "m")


def test_half_of_a_character_hides_no_model() -> None:
    """JavaScript cuts texts so, and strict parsers refuse all of the body."""
    body = rb'{"messages": [{"content": "cut \ud83d"}], "model" : "fast", "user": "\\ud83d"}'
    places = find_model(body)
    assert places is not None
    assert b"".join(renamed(body, places, "slow")) == body.replace(b'"fast"', b'"slow"')
