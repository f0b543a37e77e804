"""Reading one field out of a body that is not touched."""

from __future__ import annotations

import pytest

from llm_gateway.core.peek import model_of, said_in, wants_stream


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"messages":[{"a":[1]}],"stream":true,"model":"gpt"}', "gpt"),
        (b'{"stream":"yes","model":"gpt"}', "gpt"),
        (rb'{"user":"cut \ud83d","model":"gpt"}', "gpt"),
        (b'{"model":null}', None),
        (b'{"model":7}', None),
        (b"{}", None),
        (b"[]", None),
        (b"", None),
        (b'{"model":"gp', None),
        (b'{"model":"\xff"}', None),
        (b'{"deep":' + b"[" * 200_000, None),
    ],
)
def test_model_is_seen_and_nothing_is_judged(body: bytes, seen: str | None) -> None:
    """A body that the provider will refuse is the provider's business."""
    assert model_of(body) == seen


def test_what_tells_conversations_apart_is_seen() -> None:
    """Whatever else the fields hold."""
    body = (
        b'{"user":"u","metadata":{"user_id":"m","x":[1]},"prompt_cache_key":7,"conversation":{"id":"c"},"messages":[]}'
    )
    assert said_in(body) == {"user": "u", "user_id": "m", "conversation": '{"id":"c"}'}
    assert said_in(b'{"previous_response_id":"r","metadata":"x"}') == {"previous_response_id": "r"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nothing", b'{"user":"\xff"}', b'{"metadata":{"user_id":', b"[" * 200_000]
)
def test_nothing_is_seen_in_what_is_no_request(body: bytes) -> None:
    assert said_in(body) == {}


def test_large_body_is_read_from_a_map() -> None:
    """Any buffer will do."""
    assert model_of(memoryview(b'{"pad":"' + b"x" * 100_000 + b'","model":"m"}')) == "m"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"stream":true}', True),
        (b' { "a" : [1], "stream" : true } ', True),
        (b'{"stream":false}', False),
        (b'{"stream":"true"}', False),
        (b'{"stream":1}', False),
        (b'{"a":{"stream":true}}', False),
        (b'["stream"]', False),
        (b"stream=true", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_stream_is_wanted_by_those_who_say_so(body: bytes, wanted: bool) -> None:
    assert wants_stream(body) is wanted
