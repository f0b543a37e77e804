"""What the beginning of an answer, and its headers, say of a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.framing import WholeEvents
from llm_gateway.core.judging import (
    MAX_BEGINNING_BYTES,
    Opening,
    failure_in_answer,
    failure_in_event,
    opening,
    retry_after_s,
)
from llm_gateway.core.translation.failures import FailureKind

NOW = 1_000_000_000.0
"""Sun, 09 Sep 2001 01:46:40 GMT."""

OVERLOADED: dict[str, tuple[bytes, FailureKind]] = {
    "openai": (
        b'data: {"error":{"message":"Busy","type":"server_error","code":"server_error"}}\n\n',
        FailureKind.SERVER,
    ),
    "openai, in a word": (b'data: {"error":"Busy"}\n\n', FailureKind.SERVER),
    "openai, limited": (
        b'data: {"error":{"message":"Slow down","type":"tokens","code":"rate_limit_exceeded"}}\n\n',
        FailureKind.RATE_LIMIT,
    ),
    "openai, responses": (
        b'event: error\ndata: {"type":"error","code":"server_error","message":"Busy","param":null}\n\n',
        FailureKind.SERVER,
    ),
    "openai, responses limited": (
        b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"Slow down","param":null}\n\n',
        FailureKind.RATE_LIMIT,
    ),
    "anthropic": (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n',
        FailureKind.OVERLOADED,
    ),
    "anthropic, limited": (
        b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}\n\n',
        FailureKind.RATE_LIMIT,
    ),
    "gemini": (
        b'data: {"error":{"code":503,"status":"UNAVAILABLE","message":"Busy"}}\r\n\r\n',
        FailureKind.OVERLOADED,
    ),
    "gemini, on several lines": (
        b'data: {"error":\ndata: {"code":429,"status":"RESOURCE_EXHAUSTED",\ndata: "message":"Slow down"}}\n\n',
        FailureKind.RATE_LIMIT,
    ),
}
"""The first event of a stream that fails, by the provider's dialect."""

AHEAD = {
    "nothing": b"",
    "comments": b": one\n\n:\n\n",
    "a comment on data": b": no data yet, no error\n\n",
    "a comment that looks like an event": b': data: {"choices":[]}\n\n',
    "a byte order mark": b"\xef\xbb\xbf",
    "an empty event": b"event: ping\n\n",
    "a time to reconnect": b"retry: 500\n\n",
    "a comment in the event": b": soon\n",
}

CONTENT = {
    "openai": b'data: {"id":"c1","choices":[{"delta":{"content":"Hi"}}]}\n\n',
    "openai, of an error": b'data: {"id":"c1","choices":[{"delta":{"content":"an \\"error\\":{} it is"}}]}\n\n',
    "openai, without an error": b'data: {"id":"c1","error":null,"choices":[]}\n\n',
    "openai, no error": b'data: {"error":false,"choices":[]}\n\n',
    "responses": b'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n',
    "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1"}}\n\n',
    "gemini": b'data: {"candidates":[{"content":{"parts":[{"text":"error"}]}}]}\r\n\r\n',
    "no JSON": b"data: error\n\n",
    "a list": b'data: ["error"]\n\n',
    "the end": b"data: [DONE]\n\n",
    "deep": b'data: {"error":' + b"[" * 20_000 + b"\n\n",
    "with errors later": b'data: {"id":"c1","choices":[]}\n\ndata: {"error":{"message":"late"}}\n\n',
}


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD)
@pytest.mark.parametrize(
    ("dialect", "event", "kind"), [(name, *each) for name, each in OVERLOADED.items()], ids=OVERLOADED
)
def test_error_that_comes_first_is_known_in_every_dialect(
    dialect: str, event: bytes, kind: FailureKind, ahead: bytes
) -> None:
    """Also behind what is no event."""
    beginning = ahead + event
    assert opening(beginning) is Opening.ERROR
    said = failure_in_event(dialect.partition(",")[0], beginning)
    assert said is not None
    assert said.kind is kind


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD)
@pytest.mark.parametrize("event", CONTENT.values(), ids=CONTENT)
def test_anything_else_is_content(event: bytes, ahead: bytes) -> None:
    """Whatever it speaks of."""
    assert opening(ahead + event) is Opening.CONTENT


@pytest.mark.parametrize("ahead", [each for name, each in AHEAD.items() if name != "a comment in the event"])
def test_what_is_no_event_tells_nothing_yet(ahead: bytes) -> None:
    """An error may follow."""
    assert opening(ahead) is Opening.UNKNOWN


@given(
    st.sampled_from(list(AHEAD.values())),
    st.sampled_from([event for event, _ in OVERLOADED.values()]),
    st.lists(st.integers(1, 200), max_size=8),
)
def test_error_is_known_however_the_stream_is_cut(ahead: bytes, event: bytes, cuts: list[int]) -> None:
    """By the time that it is whole, and not before."""
    whole = ahead + event
    framing = WholeEvents()
    beginning = b""
    found = Opening.UNKNOWN
    places = sorted({min(each, len(whole)) for each in cuts} | {len(whole)})
    at = 0
    for place in places:
        piece = framing.feed(whole[at:place])
        at = place
        if piece:
            beginning += piece
            found = opening(beginning)
            assert found is not Opening.CONTENT
    assert found is Opening.ERROR


def test_beginning_is_not_held_for_ever() -> None:
    """What is longer than any error is content."""
    comment = b": " + b"x" * 62 + b"\n\n"
    held = comment * (MAX_BEGINNING_BYTES // len(comment))
    assert opening(held) is Opening.UNKNOWN
    assert opening(held + comment * 2) is Opening.CONTENT
    assert opening(b'data: {"error":{"message":"' + b"x" * MAX_BEGINNING_BYTES + b'"}}\n\n') is Opening.CONTENT


@pytest.mark.parametrize("beginning", [b"", b": comment\n\n", b"data: {}\n\n", b"data: [\n\n", b'data: {"a":1}\n\n'])
def test_nothing_is_read_where_there_is_no_error(beginning: bytes) -> None:
    """And nothing breaks."""
    assert failure_in_event("openai", beginning) is None


def test_google_says_in_the_event_when_to_come_back() -> None:
    """As it does in the body of an answer."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}]
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down", "details": details}}
    said = failure_in_event("gemini", b"data: " + json.dumps(error).encode() + b"\r\n\r\n")
    assert said is not None
    assert said.retry_after_s == 7.5
    assert failure_in_answer("gemini", 429, json.dumps(error).encode()).retry_after_s == 7.5


@pytest.mark.parametrize(
    ("dialect", "status", "error", "kind"),
    [
        ("openai", 400, {"error": {"code": "context_length_exceeded"}}, FailureKind.CONTEXT_OVERFLOW),
        ("openai", 429, {"error": {"code": "insufficient_quota"}}, FailureKind.BILLING),
        ("openai", 400, {"error": {"code": "content_filter"}}, FailureKind.FILTERED),
        ("anthropic", 400, {"error": {"type": "invalid_request_error"}}, FailureKind.INVALID),
        (
            "anthropic",
            400,
            {"error": {"type": "invalid_request_error", "message": "prompt is too long: 2 tokens > 1 maximum"}},
            FailureKind.CONTEXT_OVERFLOW,
        ),
        ("gemini", 403, {"error": {"status": "PERMISSION_DENIED"}}, FailureKind.PERMISSION),
    ],
)
def test_body_says_more_than_the_status(dialect: str, status: int, error: Any, kind: FailureKind) -> None:
    """A prompt that is too long and a prompt that is wrong are both a 400."""
    assert failure_in_answer(dialect, status, json.dumps(error).encode()).kind is kind


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[]", b"null", b'{"error":' * 3_000])
def test_body_that_says_nothing_leaves_the_status(dialect: str, body: bytes) -> None:
    """Proxies answer in HTML."""
    assert failure_in_answer(dialect, 429, body).kind is FailureKind.RATE_LIMIT
    assert failure_in_answer(dialect, 500, body).kind is FailureKind.SERVER


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"Retry-After": [b"3"]}, 3.0),
        ({b"Retry-After": [b" 2.5 "]}, 2.5),
        ({b"Retry-After": [b"0"]}, 0.0),
        ({b"Retry-After": [b"-5"]}, 0.0),
        ({b"Retry-After": [b"Sun, 09 Sep 2001 01:46:50 GMT"]}, 10.0),
        ({b"Retry-After": [b"Sunday, 09-Sep-01 01:46:50 GMT"]}, 10.0),
        ({b"Retry-After": [b"Sun Sep  9 01:46:50 2001"]}, 10.0),
        ({b"Retry-After": [b"Sun, 09 Sep 2001 01:46:30 GMT"]}, 0.0),
        ({b"Retry-After": [b"soon"]}, None),
        ({b"Retry-After": [b""]}, None),
        ({b"Retry-After": [b"nan"]}, None),
        ({b"Retry-After": [b"inf"]}, None),
        ({b"Retry-After": [b"1e400"]}, None),
        ({b"Retry-After": [b"\xff"]}, None),
        ({b"Retry-After": [b"99999999999999"]}, 86_400.0 * 366),
        ({b"Retry-After": [b"Sun, 09 Sep 99999 01:46:30 GMT"]}, None),
        ({b"Retry-After": []}, None),
        ({b"Retry-After": [b"4", b"9"]}, 4.0),
        ({b"Retry-After-Ms": [b"1500"]}, 1.5),
        ({b"Retry-After-Ms": [b"1500"], b"Retry-After": [b"9"]}, 1.5),
        ({b"Retry-After-Ms": [b"Sun, 09 Sep 2001 01:46:50 GMT"], b"Retry-After": [b"9"]}, 9.0),
        ({b"Retry-After-Ms": [b"?"]}, None),
    ],
)
def test_time_to_come_back_is_read_in_every_form(headers: dict[bytes, list[bytes]], seconds: float | None) -> None:
    """Seconds, milliseconds, the three forms of a date; what cannot be read was not said."""
    assert retry_after_s(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@given(st.binary(max_size=40), st.sampled_from([b"Retry-After", b"Retry-After-Ms"]))
def test_no_header_breaks_anything(value: bytes, name: bytes) -> None:
    """Providers, and what stands before them, write what they want."""
    found = retry_after_s({name: [value]}, NOW)
    assert found is None or 0.0 <= found <= 86_400.0 * 366


@given(st.binary(max_size=200))
def test_no_beginning_breaks_anything(beginning: bytes) -> None:
    """Whatever came."""
    found = opening(beginning)
    for dialect in ("openai", "anthropic", "gemini"):
        said = failure_in_event(dialect, beginning)
        assert (said is not None) == (found is Opening.ERROR)
