"""What dialects/base.py asks of each of openai.py, anthropic.py and gemini.py."""

from __future__ import annotations

import json

import pytest

from llm_gateway.core.dialects import DIALECTS
from llm_gateway.errors import BadRequest, MissingKey, ModelNotAllowed, UpstreamTimeout

ERROR = UpstreamTimeout('took "too" long')

BODIES = {
    "openai": {
        "error": {"message": 'took "too" long', "type": "server_error", "param": None, "code": "upstream_timeout"}
    },
    "anthropic": {
        "type": "error",
        "error": {"type": "timeout_error", "message": 'took "too" long'},
        "request_id": "r1",
    },
    "gemini": {"error": {"code": 504, "message": 'took "too" long', "status": "DEADLINE_EXCEEDED"}},
}


@pytest.mark.parametrize("name", DIALECTS)
def test_error_has_the_dialects_own_shape(name: str) -> None:
    """The shape that its SDKs read."""
    assert json.loads(DIALECTS[name].error_body(ERROR, "r1")) == BODIES[name]


def test_openais_errors_name_the_field_that_is_at_fault() -> None:
    """Where one is known."""
    for error, field in (
        (BadRequest.of_field("input[0].role", "is required."), "input[0].role"),
        (BadRequest("?", param="model"), "model"),
        (ModelNotAllowed("There is no model named 'm'."), "model"),
        (BadRequest("The path is none."), None),
    ):
        assert json.loads(DIALECTS["openai"].error_body(error, "r"))["error"]["param"] == field
    assert b'"message":"input[0].role: is required."' in DIALECTS["openai"].error_body(
        BadRequest.of_field("input[0].role", "is required."), "r"
    )


@pytest.mark.parametrize(("name", "event"), [("openai", None), ("anthropic", b"event: error"), ("gemini", None)])
def test_error_frame_is_one_whole_event(name: str, event: bytes | None) -> None:
    """One event, ended by a blank line, with the same document as data."""
    frame = DIALECTS[name].error_frame(ERROR, "r1")
    *lines, blank, end = frame.replace(b"\r\n", b"\n").split(b"\n")
    assert (blank, end) == (b"", b"")
    assert lines[:-1] == ([event] if event else [])
    assert json.loads(lines[-1].removeprefix(b"data: ")) == BODIES[name]


def test_status_of_a_call_shows_in_gemini_bodies() -> None:
    """Also where it is not the kind's usual one."""
    body = json.loads(DIALECTS["gemini"].error_body(MissingKey("x", status=400), "r"))
    assert body["error"]["code"] == 400


@pytest.mark.parametrize(
    ("name", "tail", "ended"),
    [
        ("openai", b'"x"}\n\ndata: [DONE]\n\n', True),
        ("openai", b'event: response.completed\ndata: {"type":"response.completed"}\n\n', True),
        ("openai", b'data: {"type":"response.output_text.delta"}\n\n', False),
        ("openai", b'data: {"choices":[]}\n\n', False),
        ("openai", b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n', False),
        ("openai", b'event: response.completed\ndata: {"type":"respon', False),
        ("anthropic", b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        ("anthropic", b"event: message_delta\ndata: {}\n\n", False),
        ("anthropic", b'data: {"delta":{"text":"\\"type\\":\\"message_stop\\""}}\n\n', False),
        ("anthropic", b'event: message_stop\ndata: {"type":"mess', False),
        ("gemini", b'data: {"candidates":[{"finishReason":"STOP"}]}\r\n\r\n', True),
        ("gemini", b'data: {"candidates":[{}]}\r\n\r\n', False),
        ("gemini", b'data: {"text":"\\"finishReason\\":"}\r\n\r\n', False),
    ],
)
def test_end_of_a_stream_is_known(name: str, tail: bytes, ended: bool) -> None:
    """Where only the connection's end marks the end of an answer."""
    assert DIALECTS[name].ends_stream(tail) is ended
