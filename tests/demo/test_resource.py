"""What the demo provider refuses, and in whose words."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from llm_gateway.demo import demo_resource
from tests.demo.memory import KEY, Connection, call, chat

VERSION = {"anthropic_version": "2023-06-01"}


def test_it_is_a_resource() -> None:
    assert verifyObject(IResource, demo_resource(Clock(), ["k"]))


@pytest.mark.parametrize("name", ["openai", "deepseek"])
@pytest.mark.parametrize("header", ["", "Bearer wrong", f"Basic {KEY}", "Bearer", f"Bearer {KEY}x", "Bearer \xff"])
def test_wrong_or_missing_bearer_is_401_in_openai_shape(name: str, header: str) -> None:
    answer = call("GET", f"/{name}/v1/models", authorization=header)
    assert answer.status == 401
    error = answer.document["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == "invalid_request_error"
    assert KEY not in answer.transport.value().decode("latin-1")


def test_keys_that_are_added_while_it_runs_are_taken() -> None:
    keys: set[str] = set()
    connection = Connection(keys)
    connection.send("GET", "/openai/v1/models")
    assert connection.status == 401
    connection.transport.clear()
    keys.add(KEY)
    connection.send("GET", "/openai/v1/models")
    assert connection.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "", "x_api_key": KEY}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"authorization": "", "x_api_key": "wrong"}, 401),
        ({"authorization": ""}, 401),
    ],
)
def test_anthropic_takes_the_key_in_both_places(headers: dict[str, str], status: int) -> None:
    answer = call("GET", "/anthropic/v1/models", **headers, **VERSION)
    assert answer.status == status
    if status == 401:
        assert answer.document["type"] == "error"
        assert answer.document["error"]["type"] == "authentication_error"
        assert answer.document["request_id"] == answer.headers["request-id"]


def test_openai_does_not_take_the_key_in_anthropics_header() -> None:
    assert call("GET", "/openai/v1/models", authorization="", x_api_key=KEY).status == 401


def test_anthropic_demands_its_version_header() -> None:
    answer = call("POST", "/anthropic/v1/messages", chat("hi", max_tokens=5))
    assert answer.status == 400
    assert answer.document["error"] == {
        "type": "invalid_request_error",
        "message": "anthropic-version: header is required",
    }


@pytest.mark.parametrize("path", ["/openai/v1/nothing", "/openai/v1", "/openai/v1/chat", "/openai/v1/files/x/y"])
def test_unknown_path_is_404_in_openai_shape(path: str) -> None:
    answer = call("POST", path, {})
    assert (answer.status, answer.document["error"]["type"]) == (404, "invalid_request_error")
    assert answer.headers["content-type"] == "application/json"


def test_unknown_path_is_404_in_anthropic_shape() -> None:
    answer = call("GET", "/anthropic/v1/nothing", **VERSION)
    assert (answer.status, answer.document["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/", "/openai", "/nobody/v1/models", "/openai/v2/models"])
def test_unknown_provider_is_404_and_says_where_to_ask(path: str) -> None:
    answer = call("GET", path)
    assert answer.status == 404
    assert "/anthropic/v1/" in answer.document["error"]["message"]


def test_wrong_method_is_405_and_names_the_right_one() -> None:
    answer = call("GET", "/openai/v1/chat/completions")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert "use POST" in answer.document["error"]["message"]


def test_head_is_answered_without_a_body() -> None:
    answer = call("HEAD", "/openai/v1/models")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "document", "param"),
    [
        ("chat/completions", b"{", None),
        ("chat/completions", b"\xff", None),
        ("chat/completions", {"messages": []}, None),
        ("chat/completions", {"model": "m", "messages": []}, "messages"),
        ("chat/completions", {"model": 5, "messages": []}, "model"),
        ("chat/completions", {"model": "m", "messages": [{"role": 1}]}, "messages[0].role"),
        (
            "chat/completions",
            chat("x", tool_choice={"function": {"name": "y"}}, tools=[{"function": {"name": "z"}}]),
            "tool_choice",
        ),
        ("responses", {"model": "m"}, None),
        ("embeddings", {"model": "m", "input": "x", "dimensions": 0}, "dimensions"),
        ("audio/speech", {"model": "m"}, None),
        ("files", {"model": "m"}, None),
    ],
)
def test_malformed_request_is_400_and_names_the_field(path: str, document: object, param: str | None) -> None:
    answer = call("POST", f"/openai/v1/{path}", document)
    assert (answer.status, answer.document["error"]["param"]) == (400, param)
    assert answer.document["error"]["message"]


@pytest.mark.parametrize("document", [{"model": "m", "messages": []}, chat("no limit"), b"nonsense"])
def test_malformed_message_is_400_in_anthropic_shape(document: object) -> None:
    answer = call("POST", "/anthropic/v1/messages", document, **VERSION)
    assert (answer.status, answer.document["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b"--b--\r\n",
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nx',
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
    ],
)
def test_incomplete_form_is_400(body: bytes) -> None:
    answer = call("POST", "/openai/v1/files", body, content_type="multipart/form-data; boundary=b")
    assert answer.status == 400


def test_form_is_read_with_a_quoted_boundary() -> None:
    body = (
        b'preamble\r\n--b b\r\nContent-Disposition: form-data; filename="f"; name="file"\r\n\r\na\r\n\r\nb'
        b'\r\n--b b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b b--\r\n'
    )
    answer = call("POST", "/openai/v1/files", body, content_type='multipart/form-data; boundary="b b"')
    assert (answer.document["bytes"], answer.document["filename"]) == (len(b"a\r\n\r\nb"), "f")


def test_plain_transcription_is_text() -> None:
    body = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
        for name, value in ((b"file", b"123"), (b"model", b"whisper-1"), (b"response_format", b"text"))
    )
    answer = call(
        "POST", "/openai/v1/audio/transcriptions", body + b"--b--\r\n", content_type="multipart/form-data; boundary=b"
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b" has 3 bytes, says whisper-1" in answer.body


def test_fault_in_a_handler_is_500_in_the_dialects_shape() -> None:
    tool: Any = {"function": {"name": "f", "parameters": {"properties": {"a": {"enum": 5}}}}}
    answer = call("POST", "/openai/v1/chat/completions", chat("f", tools=[tool]))
    assert (answer.status, answer.document["error"]["type"]) == (500, "server_error")
    assert "Traceback" not in answer.body.decode()


def test_answers_carry_what_a_gateway_must_drop_and_keep() -> None:
    headers = call("GET", "/openai/v1/models").headers
    assert {"set-cookie", "openai-organization", "x-request-id", "x-ratelimit-limit-requests"} <= set(headers)
    headers = call("GET", "/anthropic/v1/models", **VERSION).headers
    assert {"set-cookie", "anthropic-organization-id", "request-id"} <= set(headers)
