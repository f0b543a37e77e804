"""Numbers that the client did not ask for, asked for and taken out again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gateway.core.usage.asking import WithoutUsage, asked, can_be_asked

USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
HELLO = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hello"}}],"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["stream", "stream_options", "include_usage"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    rest=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    options=st.none() | st.dictionaries(st.sampled_from(["include_usage", "include_obfuscation"]), st.booleans()),
    place=st.integers(0, 3),
    indent=st.none() | st.just(1),
    said=st.booleans(),
)
@example(
    rest={"a": {"stream_options": {"include_usage": False}}},
    options={"include_usage": False},
    place=0,
    indent=None,
    said=True,
)
def test_only_the_wish_is_new_in_the_request(
    rest: dict[str, Any], options: dict[str, Any] | None, place: int, indent: int | None, said: bool
) -> None:
    items = [(name, value) for name, value in rest.items() if name not in ("stream", "stream_options")]
    items.insert(min(place, len(items)), ("stream", True))
    if said:
        items.insert(min(place, len(items)), ("stream_options", options))
    body = json.dumps(dict(items), indent=indent).encode()
    found = asked(body)
    assert found is not None
    pieces, extra = found
    sent = b"".join(pieces)
    wanted = said and bool(options) and options["include_usage"] if options and "include_usage" in options else False
    assert extra is not wanted
    if wanted:
        assert sent == body
        return
    read = json.loads(sent)
    assert read.pop("stream_options") == {**((options or {}) if said else {}), "include_usage": True}
    assert read == {name: value for name, value in items if name != "stream_options"}
    # All bytes of the old are there in their order, but for the value that was changed.
    left = iter(sent)
    kept = body if not (said and options != {} and (options is None or "include_usage" in options)) else b""
    assert all(byte in left for byte in kept)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b'{"stream":false}',
        b'{"stream":"true"}',
        b'{"stream":1}',
        b'{"messages":[{"stream":true}]}',
        b'{"stream":true,"stream_options":[]}',
        b'{"stream":true,"stream_options":{"include_usage":1}}',
    ],
)
def test_what_is_no_stream_to_be_asked_is_left_alone(body: bytes) -> None:
    assert asked(body) is None


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b' { "stream" : true } ', b' {"stream_options":{"include_usage":true}, "stream" : true } '),
        (
            b'{"stream":true,"stream_options": {"include_usage": false, "x": [null]} }',
            b'{"stream":true,"stream_options": {"include_usage": true, "x": [null]} }',
        ),
        (b'{"stream_options":null,"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b'{"stream_options":{ },"stream":true}', b'{"stream_options":{"include_usage":true },"stream":true}'),
        (
            b'{"user":"\\"stream_options\\":null","stream_options":null,"stream":true,"m":{"stream_options":null}}',
            b'{"user":"\\"stream_options\\":null","stream_options":{"include_usage":true},"stream":true,'
            b'"m":{"stream_options":null}}',
        ),
        (
            b'{"messages":[{"content":"\\ud83d"}],"stream":true}',
            b'{"stream_options":{"include_usage":true},"messages":[{"content":"\\ud83d"}],"stream":true}',
        ),
    ],
)
def test_the_wish_is_spliced_in(body: bytes, sent: bytes) -> None:
    found = asked(body)
    assert found is not None
    assert b"".join(found[0]) == sent
    assert found[1]


def test_who_asked_gets_what_was_asked_for() -> None:
    body = b'{"stream":true,"stream_options":{"include_usage":true}}'
    assert asked(body) == ([body], False)


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("together", [False, True])
def test_exactly_the_extra_chunk_is_taken_out(line: bytes, together: bool) -> None:
    stream = [HELLO, b": ping\n\n", b'data: {"choices":[],"usage":null}\n\n', USAGE, DONE]
    events = [event.replace(b"\n", line) for event in stream]
    out = WithoutUsage()
    left = out.feed(b"".join(events)) if together else b"".join(out.feed(event) for event in events)
    assert left == b"".join(events[:3] + events[4:])


def test_only_one_chunk_is_taken_out() -> None:
    out = WithoutUsage()
    assert out.feed(USAGE) == b""
    assert out.feed(USAGE) == USAGE


@pytest.mark.parametrize(
    "event",
    [
        # Others have the numbers in a chunk that the client would have got anyway.
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":null,"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[],"usage":"prompt_tokens"}\n\n',
        b'data: {"choices":[{"delta":{"content":"max_tokens"}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}',
    ],
)
def test_all_else_goes_through(event: bytes) -> None:
    assert WithoutUsage().feed(event) == event


@given(
    st.lists(st.sampled_from([HELLO, DONE, USAGE, b": keep\n\n", b'event: x\ndata: {"a_tokens":1}\n\n']), max_size=6),
    st.data(),
)
def test_wherever_it_is_cut_between_events_the_same_is_left(events: list[bytes], data: st.DataObject) -> None:
    expected = list(events)
    if USAGE in expected:
        expected.remove(USAGE)
    out, left = WithoutUsage(), b""
    while events:
        count = data.draw(st.integers(1, len(events)))
        left += out.feed(b"".join(events[:count]))
        events = events[count:]
    assert left == b"".join(expected)


def test_a_provider_that_refuses_the_option_is_not_asked() -> None:
    assert can_be_asked("openai", "openai")
    assert can_be_asked("my-server")
    assert not can_be_asked("mistral", "mistral")
    assert not can_be_asked("eu", "mistral")
    assert not can_be_asked("openrouter", "openrouter")
