"""Input that somebody made wrong on purpose: a clear refusal, and never anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Request
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.errors import BadRequest, UpstreamMalformed
from tests.core.translation.strategies import unhurried

codec = ChatCodec()

REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind.", "name": "ann"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGkh", "filename": "a.txt"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://a.test"}},
            ],
        },
        {
            "role": "assistant",
            "content": "y",
            "refusal": "no",
            "audio": {"id": "a"},
            "reasoning_content": "t",
            "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "Z3cxkw==", "index": 0}],
            "extra_content": {"google": {"thought_signature": "s"}},
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "z"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "z"},
        {"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "z"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": True}},
        {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}}},
        {"type": "web_search"},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "reasoning_effort": "low",
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "reasoning": {"effort": "low", "max_tokens": 5},
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": True},
    "stop": ["a"],
    "n": 2,
    "max_tokens": 5,
    "temperature": 1.0,
    "logit_bias": {"5": 1},
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "audio": {"format": "wav", "voice": "ash"},
    "user": "u",
}
ANSWER: dict[str, Any] = {
    "id": "a1",
    "model": "m",
    "created": 7,
    "choices": [
        {
            "index": 0,
            "message": {
                "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}],
                "reasoning_content": "t",
                "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s", "index": 0}],
                "refusal": "no",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "a", "arguments": "{}"}}],
                "function_call": {"name": "a", "arguments": "{}"},
                "audio": {"id": "a", "data": "UklG", "expires_at": 1, "transcript": "t"},
                "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "start_index": 1}}],
                "images": [{"image_url": {"url": "data:image/png;base64,iVBO"}}],
                "extra_content": {"google": {"thought_signature": "s"}},
            },
            "logprobs": {"content": [{"token": "x", "logprob": -1.0, "bytes": [1], "top_logprobs": []}]},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}},
    "service_tier": "default",
    "system_fingerprint": "f",
}
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    "",
    "x",
    "x" * 5000,
    "data:,",
    "data:image/png;base64",
    "Z3cx",
    "Z3cx!!!!",
    "messages[0].content",
    [],
    [[]],
    {},
    {"": ""},
    {"type": "text"},
    {"type": "function"},
]


def _places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _changed(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The document with another value in one place, and one more field beside it."""
    if not path:
        return value
    inner = _changed(document[path[0]], path[1:], value)
    if isinstance(document, dict):
        return {**document, path[0]: inner, "": 1, "a.b[0]": {"c": 1}, "a\r\nb": 1}
    return [inner if at == path[0] else each for at, each in enumerate(document)]


def test_what_is_changed_is_right_before() -> None:
    request = codec.decode_request(msgspec.json.encode(REQUEST))
    for provider in ("openai", "mistral", "openrouter", "house"):
        assert codec.encode_request(request, Destination("m", provider), Losses(OnUnsupported.DROP))
    assert codec.decode_answer(msgspec.json.encode(ANSWER), provider="house").choices


@unhurried
@given(st.sampled_from(list(_places(REQUEST))), st.sampled_from(ODD), st.sampled_from(list(OnUnsupported)))
def test_requests_with_anything_anywhere(path: tuple[str | int, ...], value: Any, policy: OnUnsupported) -> None:
    body = msgspec.json.encode(_changed(REQUEST, path, value))
    told = ""
    try:
        request = codec.decode_request(body)
    except BadRequest as error:
        told = error.message
    if told:
        assert len(told) < 6000
        return
    for provider in ("openai", "mistral", "openrouter", "house"):
        for dialect in ("chat", "messages"):
            asked = msgspec.structs.replace(request, dialect=dialect)
            with suppress(BadRequest, Unsupported):
                written = codec.encode_request(asked, Destination("m", provider), Losses(policy))
                assert isinstance(msgspec.json.decode(written), dict)


@unhurried
@given(st.sampled_from(list(_places(ANSWER))), st.sampled_from(ODD))
def test_answers_with_anything_anywhere(path: tuple[str | int, ...], value: Any) -> None:
    body = msgspec.json.encode(_changed(ANSWER, path, value))
    with suppress(UpstreamMalformed):
        answer = codec.decode_answer(body, provider="house")
        assert isinstance(msgspec.json.decode(codec.encode_answer(answer, Request("m", ()))), dict)


@unhurried
@given(st.integers(400, 599), st.binary(max_size=60) | st.sampled_from(ODD).map(msgspec.json.encode), st.booleans())
def test_errors_of_any_form(status: int, body: bytes, framed: bool) -> None:
    failure = codec.decode_failure(status, b'{"error":' + body + b"}" if framed else body)
    assert failure.status == status
    assert 0 < len(failure.message) <= 4096


def test_many_small_things_take_no_more_time_than_their_bytes() -> None:
    """Nothing is searched again for each of many: this would take hours if it were."""
    count = 16_000
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "a", "arguments": ""}} for n in range(count)]
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": ""} for n in range(count)]
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}, *results]})
    request = codec.decode_request(body)
    assert len(request.messages) == count + 1
    assert len(codec.encode_request(request, Destination("m", "openai"), Losses())) > count
