"""Callers of every dialect on providers of every other one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed

from llm_gateway.config.values import Configuration
from llm_gateway.core.translation import room
from llm_gateway.upstream.relay import LINGER_S
from llm_gateway.web.translating import MAX_NAMED_BYTES, named
from tests.memory import Client, MemoryGateway, provider, virtual_key
from tests.memory import configuration as configured

PROVIDERS = {
    "openai": "https://openai.test/v1/chat/completions",
    "anthropic": "https://anthropic.test/v1/messages",
    "gemini": "https://gemini.test/v1beta",
}

ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Say hi"}]}),
    "responses": ("/v1/responses", {"model": "m", "input": "Say hi"}),
    "messages": (
        "/v1/messages",
        {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Say hi"}]},
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Say hi"}]}]},
    ),
}

URLS = {
    "openai": b"https://openai.test/v1/chat/completions",
    "anthropic": b"https://anthropic.test/v1/messages",
    "gemini": b"https://gemini.test/v1beta/models/m:generateContent",
}

ANSWERS: dict[str, dict[str, Any]] = {
    "openai": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [{"type": "text", "text": "Hi there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 5},
    },
    "gemini": {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "Hi there"}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16},
        "modelVersion": "m-1",
        "responseId": "r1",
    },
}

STREAMS: dict[str, list[str]] = {
    "openai": [
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":'
        '{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":'
        '{"content":"Hi "},"finish_reason":null}]}\n\n',
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":'
        '{"content":"there"},"finish_reason":null}]}\n\n',
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},'
        '"finish_reason":"stop"}]}\n\n',
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[],"usage":'
        '{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}\n\n',
        "data: [DONE]\n\n",
    ],
    "anthropic": [
        'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":'
        '"assistant","model":"m-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,'
        '"output_tokens":1}}}\n\n',
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
        '"text":""}}\n\n',
        'event: ping\ndata: {"type":"ping"}\n\n',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        '"text":"Hi "}}\n\n',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        '"text":"there"}}\n\n',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"output_tokens":5}}\n\n',
        'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
    "gemini": [
        'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hi "}]},"index":0}],"usageMetadata":'
        '{"promptTokenCount":11},"modelVersion":"m-1","responseId":"r1"}\r\n\r\n',
        'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"there"}]},"finishReason":"STOP","index":0}],'
        '"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":5,"totalTokenCount":16},"modelVersion":"m-1",'
        '"responseId":"r1"}\r\n\r\n',
    ],
}

FAILURES: dict[str, dict[str, Any]] = {
    "openai": {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    "anthropic": {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req_1",
    },
    "gemini": {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}},
}

OWN = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}

ACROSS = [(caller, to) for caller in ASKS for to in PROVIDERS if OWN[caller] != to]


def configuration(**changes: Any) -> Configuration:
    providers = [provider(name, url, name, **changes) for name, url in PROVIDERS.items()]
    return configured([virtual_key(f"vk_{name}", name, f"sk-real-{name}") for name in PROVIDERS], providers)


def ask(gateway: MemoryGateway, caller: str, to: str, *, stream: bool = False, **fields: Any) -> Client:
    path, document = ASKS[caller]
    document = {**document, **fields}
    if stream and caller == "gemini":
        path = path.replace("generateContent", "streamGenerateContent") + "?alt=sse"
    elif stream:
        document["stream"] = True
        if caller == "chat":
            document["stream_options"] = {"include_usage": True}
    client = gateway.client()
    client.ask("POST", path, json.dumps(document).encode(), authorization=f"Bearer vk_{to}")
    return client


def said(caller: str, body: bytes) -> tuple[str, int, int]:
    """Text and tokens of a whole answer."""
    answer = json.loads(body)
    match caller:
        case "chat":
            usage = answer["usage"]
            return answer["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"]
        case "responses":
            usage = answer["usage"]
            [message] = [item for item in answer["output"] if item["type"] == "message"]
            return message["content"][0]["text"], usage["input_tokens"], usage["output_tokens"]
        case "messages":
            return answer["content"][0]["text"], answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]
    usage = answer["usageMetadata"]
    text = answer["candidates"][0]["content"]["parts"][0]["text"]
    return text, usage["promptTokenCount"], usage["candidatesTokenCount"]


def events(body: bytes) -> list[dict[str, Any]]:
    lines = [line for line in body.decode().splitlines() if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line[6:]) for line in lines]


def streamed(caller: str, body: bytes) -> tuple[str, int, int]:
    """Text and tokens of a streamed one."""
    seen = events(body)
    match caller:
        case "chat":
            assert body.endswith(b"data: [DONE]\n\n")
            text = "".join(each["choices"][0]["delta"].get("content") or "" for each in seen if each["choices"])
            [usage] = [each["usage"] for each in seen if each.get("usage")]
            return text, usage["prompt_tokens"], usage["completion_tokens"]
        case "responses":
            assert [each["sequence_number"] for each in seen] == list(range(len(seen)))
            text = "".join(each["delta"] for each in seen if each["type"] == "response.output_text.delta")
            assert seen[-1]["type"] == "response.completed"
            usage = seen[-1]["response"]["usage"]
            return text, usage["input_tokens"], usage["output_tokens"]
        case "messages":
            assert (seen[0]["type"], seen[-1]["type"]) == ("message_start", "message_stop")
            deltas = [each["delta"] for each in seen if each["type"] == "content_block_delta"]
            [end] = [each for each in seen if each["type"] == "message_delta"]
            usage = {**seen[0]["message"]["usage"], **end["usage"]}
            return "".join(each["text"] for each in deltas), usage["input_tokens"], usage["output_tokens"]
    text = "".join(
        part["text"] for each in seen for part in each["candidates"][0]["content"]["parts"] if "text" in part
    )
    usage = seen[-1]["usageMetadata"]
    return text, usage["promptTokenCount"], usage["candidatesTokenCount"]


@pytest.fixture
def gateway() -> MemoryGateway:
    return MemoryGateway(configuration())


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_whole_answer_reaches_callers_of_another_dialect(gateway: MemoryGateway, caller: str, to: str) -> None:
    client = ask(gateway, caller, to)
    assert gateway.sent.url == URLS[to]
    sent = json.loads(gateway.sent.body)
    assert "Say hi" in json.dumps(sent)
    response = gateway.sent.answer(x_request_id="req-of-provider")
    whole = json.dumps(ANSWERS[to]).encode()
    response.write(whole[:20])
    response.write(whole[20:])
    response.end()
    status, headers, body = client.answer()
    assert (status, headers["content-type"]) == (200, "application/json")
    assert said(caller, body) == ("Hi there", 11, 5)
    assert headers["x-request-id"] == "req-of-provider"
    assert client.whole
    assert (gateway.record.ended, gateway.record.model, gateway.record.dialect) == ("ok", "m", to)


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_stream_reaches_callers_of_another_dialect(gateway: MemoryGateway, caller: str, to: str) -> None:
    client = ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    for event in STREAMS[to]:
        response.write(event.encode())
    response.end()
    status, headers, body = client.answer()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert streamed(caller, body) == ("Hi there", 11, 5)
    assert client.whole
    assert gateway.record.ended == "ok"


TOLD = [(caller, to) for caller, to in ACROSS if to != "gemini"]
"""Google's streams have no event that ends them."""


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "gathered"])
@pytest.mark.parametrize(("caller", "to"), TOLD)
def test_answer_ends_with_its_last_event_although_the_provider_goes_on(
    gateway: MemoryGateway, caller: str, to: str, stream: bool
) -> None:
    """Some keep the stream open: their callers must not wait for the idle clock."""
    client = ask(gateway, caller, to, stream=stream)
    response = gateway.sent.answer(content_type="text/event-stream")
    for event in STREAMS[to]:
        assert not (client.received and client.whole)
        response.write(event.encode())
    assert client.whole
    body = client.answer()[2]
    assert (streamed if stream else said)(caller, body) == ("Hi there", 11, 5)
    assert gateway.record.ended == "ok"
    assert len(gateway.live) == 0
    response.write(STREAMS[to][0].encode())
    assert client.answer()[2] == body
    assert not response.transport.closed
    gateway.clock.advance(LINGER_S)
    assert response.transport.closed


@pytest.mark.parametrize(("caller", "to"), TOLD)
def test_connection_of_a_provider_that_ends_a_little_later_is_kept(
    gateway: MemoryGateway, caller: str, to: str
) -> None:
    ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    response.write("".join(STREAMS[to]).encode())
    response.end()
    gateway.clock.advance(LINGER_S)
    assert not response.transport.closed


def test_client_that_stalls_at_the_end_does_not_hold_the_provider(gateway: MemoryGateway) -> None:
    client = ask(gateway, "messages", "openai", stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    response.write(STREAMS["openai"][0].encode())
    client.stall()
    assert response.transport.paused
    # What was read from the socket before it paused.
    response.write("".join(STREAMS["openai"][1:]).encode())
    assert not response.transport.paused
    assert client.whole


@pytest.mark.parametrize(("caller", "to"), TOLD)
def test_error_within_a_stream_ends_it_although_the_provider_goes_on(
    gateway: MemoryGateway, caller: str, to: str
) -> None:
    client = ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    response.write(STREAMS[to][0].encode())
    response.write(STREAMS[to][1].encode())
    response.write(f"event: error\ndata: {json.dumps(FAILURES[to])}\n\n".encode())
    assert client.whole
    assert "slow down" in json.dumps(events(client.answer()[2]))
    assert gateway.record.ended == "upstream_error"


PICTURE = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
SEARCHED = {"executableCode": {"language": "PYTHON", "code": "1"}}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("caller", "unsaid"),
    [
        ("chat", ["answer.executableCode"]),
        ("responses", ["answer.executableCode"]),
        ("messages", ["answer.image", "answer.executableCode"]),
    ],
)
def test_what_of_an_answer_cannot_be_said_is_named(
    gateway: MemoryGateway, caller: str, stream: bool, unsaid: list[str]
) -> None:
    """Nobody would know that there was a picture."""
    client = ask(gateway, caller, "gemini", stream=stream, temperature=1)
    document = json.loads(json.dumps(ANSWERS["gemini"]))
    document["candidates"][0]["content"]["parts"] += [PICTURE, PICTURE, SEARCHED]
    body = json.dumps(document)
    response = gateway.sent.answer(content_type="text/event-stream" if stream else "application/json")
    response.write((f"data: {body}\r\n\r\n" if stream else body).encode())
    response.end()
    _, headers, _ = client.answer()
    dropped = (gateway.record.dropped or "").split(",")
    assert [name for name in dropped if name.startswith("answer.")] == unsaid
    if stream:
        assert "answer." not in headers.get("x-gw-dropped", "")
    else:
        assert headers["x-gw-dropped"].split(",") == dropped


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in two"])
@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_what_cannot_be_read_is_told_at_once(gateway: MemoryGateway, caller: str, to: str, together: bool) -> None:
    """Behind what can, and also where the provider says nothing more."""
    client = ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    end = "\r\n\r\n" if to == "gemini" else "\n\n"
    good = "".join(STREAMS[to][: {"openai": 2, "anthropic": 4, "gemini": 1}[to]])
    bad = f"data: {{broken{end}"
    for piece in [good + bad] if together else [good, bad]:
        response.write(piece.encode())
    assert client.whole
    body = client.answer()[2]
    assert b"Hi " in body
    assert "error" in json.dumps(events(body)[-1])
    assert response.transport.closed
    assert gateway.record.error == "upstream_malformed"


def test_answer_that_is_too_long_to_be_held_ends_with_one_error(
    gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers of Responses get all of it again at its end."""
    monkeypatch.setattr(room, "MAX_HELD_BYTES", 1_000)
    client = ask(gateway, "responses", "anthropic", stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    begin, block, _, delta, *_ = STREAMS["anthropic"]
    response.write((begin + block).encode())
    for _ in range(20):
        response.write(delta.replace("Hi ", "x" * 100).encode())
    assert client.whole
    told = [each["type"] for each in events(client.answer()[2])]
    assert told.count("error") == told.count("response.failed") == 1
    assert told[-1] == "response.failed"
    assert "response.completed" not in told
    assert response.transport.closed
    assert gateway.record.error == "upstream_malformed"


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_text_is_passed_on_as_it_comes(gateway: MemoryGateway, caller: str, to: str) -> None:
    """Not when the stream is over."""
    client = ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    for event in STREAMS[to]:
        response.write(event.encode())
        if "Hi " in event:
            assert b"Hi " in client.answer()[2]
            assert b"there" not in client.answer()[2]
    response.end()


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_providers_error_is_said_in_the_callers_dialect(gateway: MemoryGateway, caller: str, to: str) -> None:
    client = ask(gateway, caller, to)
    response = gateway.sent.answer(429, retry_after="7")
    response.write(json.dumps(FAILURES[to]).encode())
    response.end()
    status, headers, body = client.answer()
    assert (status, headers["retry-after"]) == (429, "7")
    error = json.loads(body)["error"]
    assert "slow down" in error["message"]
    expected = {"messages": ("type", "rate_limit_error"), "gemini": ("status", "RESOURCE_EXHAUSTED")}
    name, value = expected.get(caller, ("message", error["message"]))
    assert error[name] == value


@pytest.mark.parametrize("name", ["request-id", "x-request-id"])
@pytest.mark.parametrize("status", [200, 429])
def test_providers_id_of_the_call_is_where_either_sdk_looks(gateway: MemoryGateway, name: str, status: int) -> None:
    client = ask(gateway, "messages", "openai")
    named: dict[str, Any] = {name.replace("-", "_"): "req-of-provider"}
    response = gateway.sent.answer(status, **named)
    response.write(json.dumps(ANSWERS["openai"] if status == 200 else FAILURES["openai"]).encode())
    response.end()
    _, headers, _ = client.answer()
    assert (headers["request-id"], headers["x-request-id"]) == ("req-of-provider", "req-of-provider")


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_stream_that_breaks_off_ends_with_an_error_of_the_callers_dialect(
    gateway: MemoryGateway, caller: str, to: str
) -> None:
    client = ask(gateway, caller, to, stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    for event in STREAMS[to][:-1]:
        response.write(event.encode())
        if "Hi " in event:
            break
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert client.whole
    body = client.answer()[2]
    last = events(body)[-1]
    assert "error" in json.dumps(last)
    assert b"[DONE]" not in body
    assert gateway.record.ended == "upstream_error"


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_answer_that_is_none_is_the_providers_fault(gateway: MemoryGateway, caller: str, to: str) -> None:
    client = ask(gateway, caller, to)
    response = gateway.sent.answer()
    response.write(b"<html>busy</html>")
    response.end()
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (502, "upstream_malformed")
    assert "error" in json.loads(body)
    assert gateway.record.ended == "upstream_error"


@pytest.mark.parametrize("caller", ["chat", "responses", "messages"])
def test_request_that_makes_no_sense_is_refused_with_its_place(gateway: MemoryGateway, caller: str) -> None:
    to = "gemini"
    path, _ = ASKS[caller]
    client = gateway.client()
    client.ask("POST", path, b'{"model": "m", "messages": 5, "input": 5}', authorization=f"Bearer vk_{to}")
    status, _, body = client.answer()
    assert status == 400
    assert "messages" in json.loads(body)["error"]["message"] or "input" in json.loads(body)["error"]["message"]
    assert not gateway.agent.sent


def test_responses_go_to_a_provider_that_has_only_chat() -> None:
    gateway = MemoryGateway(configuration(apis=("chat",)))
    client = ask(gateway, "responses", "openai")
    assert gateway.sent.url == URLS["openai"]
    response = gateway.sent.answer()
    response.write(json.dumps(ANSWERS["openai"]).encode())
    response.end()
    assert said("responses", client.answer()[2]) == ("Hi there", 11, 5)


@pytest.mark.parametrize(
    ("model", "url"), [("gpt-6", b"https://openai.test/v1/responses"), ("gpt-4.1", URLS["openai"])]
)
def test_models_of_openai_that_reason_are_asked_where_they_do_so_with_tools(
    gateway: MemoryGateway, model: str, url: bytes
) -> None:
    ask(gateway, "messages", "openai", model=model)
    assert gateway.sent.url == url


def test_what_cannot_be_said_is_named(gateway: MemoryGateway) -> None:
    """In a header of the answer and in the access log."""
    client = ask(gateway, "chat", "anthropic", prompt_cache_key="k")
    response = gateway.sent.answer()
    response.write(json.dumps(ANSWERS["anthropic"]).encode())
    response.end()
    assert "prompt_cache_key" in client.answer()[1]["x-gw-dropped"]
    assert "prompt_cache_key" in (gateway.record.dropped or "")


def test_a_field_lost_in_every_message_leaves_room_for_the_others(gateway: MemoryGateway) -> None:
    """The header is bounded, and no field goes unnamed for that."""
    messages = [{"role": "user", "name": "ann", "content": "Say hi"}] * 100
    client = ask(gateway, "chat", "anthropic", messages=messages, verbosity="low", prompt_cache_key="k")
    response = gateway.sent.answer()
    response.write(json.dumps(ANSWERS["anthropic"]).encode())
    response.end()
    dropped = client.answer()[1]["x-gw-dropped"]
    assert {"messages[].name", "verbosity", "prompt_cache_key"} == set(dropped.split(","))
    assert gateway.record.dropped == dropped


def code_run(work: Callable[[], object]) -> set[str]:
    """The files whose functions are called."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return files


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("caller", OWN)
def test_calls_within_one_dialect_run_nothing_of_the_translation(
    gateway: MemoryGateway, caller: str, stream: bool
) -> None:
    """Though it is there: what is passed on costs what it did before the first call was translated."""

    def call(to: str) -> None:
        ask(gateway, caller, to, stream=stream)
        response = gateway.agent.sent[-1].answer(content_type="text/event-stream" if stream else "application/json")
        for piece in STREAMS[to] if stream else [json.dumps(ANSWERS[to])]:
            response.write(piece.encode())
        response.end()

    other = "anthropic" if OWN[caller] == "openai" else "openai"

    def translating(files: set[str]) -> list[str]:
        return sorted(name for name in files if "/core/translation/" in name or "/web/translat" in name)

    assert translating(code_run(lambda: call(other)))
    assert translating(code_run(lambda: call(OWN[caller]))) == []


def test_names_without_room_end_in_dots_and_never_in_half_a_name() -> None:
    fields = [f"field_{number:04}" for number in range(1_000)]
    text = named(fields)
    *whole, end = text.split(",")
    assert end == "..."
    assert whole == fields[: len(whole)]
    assert MAX_NAMED_BYTES - 16 < len(text) <= MAX_NAMED_BYTES
    assert named(["x" * 2_000]) == "..."
    assert named(["a", "b[3].c"]) == "a,b[3].c"


RESULT = {"type": "tool_result", "tool_use_id": "x", "content": "r"}


@pytest.mark.parametrize(
    ("caller", "to", "fields", "place"),
    [
        (
            "messages",
            "openai",
            {"system": "s", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [RESULT]}]},
            "messages[1].content[0]: ",
        ),
        (
            "gemini",
            "anthropic",
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            "contents[0].parts[0]: ",
        ),
        (
            "responses",
            "gemini",
            {"instructions": "i", "input": [{"type": "function_call_output", "call_id": "x", "output": "r"}]},
            "input[0]: ",
        ),
        ("messages", "openai", {"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema: "),
    ],
)
def test_what_makes_no_sense_to_the_provider_is_named_as_the_caller_wrote_it(
    gateway: MemoryGateway, caller: str, to: str, fields: dict[str, Any], place: str
) -> None:
    client = ask(gateway, caller, to, **fields)
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (400, "bad_request")
    assert json.loads(body)["error"]["message"].startswith(place)
    assert not gateway.agent.sent


@pytest.mark.parametrize(
    ("caller", "path", "fields", "place"),
    [
        (
            "gemini",
            "/v1beta/models/m:countTokens",
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            "contents[0].parts[0]: ",
        ),
        (
            "responses",
            "/v1/responses/input_tokens",
            {"model": "m", "input": [{"type": "function_call_output", "call_id": "x", "output": "r"}]},
            "input[0]: ",
        ),
    ],
)
def test_what_cannot_be_counted_is_named_as_the_caller_wrote_it(
    gateway: MemoryGateway, caller: str, path: str, fields: dict[str, Any], place: str
) -> None:
    client = gateway.client()
    client.ask("POST", path, json.dumps(fields).encode(), authorization="Bearer vk_anthropic")
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (400, "bad_request")
    assert json.loads(body)["error"]["message"].startswith(place)


def test_what_is_at_fault_stands_in_openais_field_for_it(gateway: MemoryGateway) -> None:
    """Be it wrong, or nothing that the provider could be told."""
    for fields, param in (
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
    ):
        body = ask(gateway, "chat", "anthropic", **fields).answer()[2]
        assert json.loads(body)["error"]["param"] == param


def test_what_would_change_the_answer_is_refused(gateway: MemoryGateway) -> None:
    client = ask(gateway, "chat", "anthropic", logit_bias={"50256": -100})
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (400, "unsupported_field")
    assert "logit_bias" in json.loads(body)["error"]["message"]
    assert not gateway.agent.sent


@pytest.mark.parametrize(
    ("key", "path", "needed", "told"),
    [
        ("vk_anthropic", "/v1/images/generations", "OpenAI", "'anthropic' speaks Anthropic"),
        ("vk_anthropic", "/v1/audio/speech", "OpenAI", "'anthropic' speaks Anthropic"),
        ("vk_anthropic", "/v1/batches", "OpenAI", "'anthropic' speaks Anthropic"),
        ("vk_gemini", "/v1/moderations", "OpenAI", "'gemini' speaks Gemini"),
        ("vk_anthropic", "/v1/embeddings", "OpenAI", "'anthropic' speaks Anthropic"),
        ("vk_openai", "/v1/messages/batches", "Anthropic", "'openai' speaks OpenAI"),
        ("vk_openai", "/v1beta/models/m:predict", "Gemini", "'openai' speaks OpenAI"),
    ],
)
def test_call_without_counterpart_is_told_who_speaks_what_and_where(
    gateway: MemoryGateway, key: str, path: str, needed: str, told: str
) -> None:
    client = gateway.client()
    client.ask("POST", path, b'{"model": "m"}', authorization=f"Bearer {key}")
    status, headers, body = client.answer()
    message = json.loads(body)["error"]["message"]
    assert (status, headers["x-gw-error"]) == (400, "dialect_mismatch")
    assert f"a key with a provider that speaks {needed}, and of this key's {told}." in message
    assert not gateway.agent.sent
    below = next(word.strip(".,") for word in message.split() if word.startswith("/p/"))
    client = gateway.client()
    client.ask("GET", f"{below}v1/some/page", None, authorization=f"Bearer {key}")
    assert gateway.sent.url.endswith(b"/some/page")


def test_native_paths_are_never_translated(gateway: MemoryGateway) -> None:
    body = json.dumps(ASKS["chat"][1]).encode()
    client = gateway.client()
    client.ask("POST", "/chat/completions", body, authorization="Bearer vk_anthropic")
    assert (gateway.sent.url, gateway.sent.body) == (PROVIDERS["anthropic"].encode(), body)


def test_client_that_leaves_ends_a_translated_call(gateway: MemoryGateway) -> None:
    client = ask(gateway, "messages", "openai", stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    response.write(STREAMS["openai"][1].encode())
    client.leave()
    assert response.transport.closed
    assert gateway.record.ended == "client_gone"


def test_headers_of_the_callers_dialect_stay_here(gateway: MemoryGateway) -> None:
    client = gateway.client()
    path, document = ASKS["messages"]
    client.ask(
        "POST",
        path,
        json.dumps(document).encode(),
        x_api_key="vk_openai",
        anthropic_version="2023-06-01",
        anthropic_beta="x",
        accept_encoding="gzip",
        traceparent="00-1",
    )
    names = {name.lower() for name, _ in gateway.sent.headers.getAllRawHeaders()}
    assert not {name for name in names if name.startswith(b"anthropic-")}
    assert gateway.sent.headers.getRawHeaders(b"accept-encoding") == [b"identity"]
    assert gateway.sent.headers.getRawHeaders(b"authorization") == [b"Bearer sk-real-openai"]
    assert gateway.sent.headers.getRawHeaders(b"traceparent") == [b"00-1"]


# What is no conversation


def test_embeddings_cross_to_google(gateway: MemoryGateway) -> None:
    """Several texts in one call, and the vectors back in the form that OpenAI's SDK asks for."""
    client = gateway.client()
    body = {"model": "e", "input": ["one", "two"], "encoding_format": "float"}
    client.ask("POST", "/v1/embeddings", json.dumps(body).encode(), authorization="Bearer vk_gemini")
    assert gateway.sent.url == b"https://gemini.test/v1beta/models/e:batchEmbedContents"
    assert [each["content"]["parts"] for each in json.loads(gateway.sent.body)["requests"]] == [
        [{"text": "one"}],
        [{"text": "two"}],
    ]
    response = gateway.sent.answer()
    response.write(b'{"embeddings": [{"values": [0.5, 1]}, {"values": [2]}]}')
    response.end()
    status, _, answered = client.answer()
    document = json.loads(answered)
    assert (status, document["model"], document["object"]) == (200, "e", "list")
    assert [each["embedding"] for each in document["data"]] == [[0.5, 1], [2]]
    assert gateway.record.model == "e"


def test_embeddings_cross_from_google(gateway: MemoryGateway) -> None:
    client = gateway.client()
    body = {"content": {"parts": [{"text": "one"}]}}
    client.ask("POST", "/v1beta/models/e:embedContent", json.dumps(body).encode(), x_goog_api_key="vk_openai")
    assert gateway.sent.url == b"https://openai.test/v1/embeddings"
    assert json.loads(gateway.sent.body)["model"] == "e"
    response = gateway.sent.answer()
    response.write(b'{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[0.25]}]}')
    response.end()
    assert json.loads(client.answer()[2])["embedding"] == {"values": [0.25]}


def test_errors_of_embeddings_are_the_callers(gateway: MemoryGateway) -> None:
    client = gateway.client()
    client.ask("POST", "/v1/embeddings", b'{"model": "e", "input": "x"}', authorization="Bearer vk_gemini")
    response = gateway.sent.answer(429)
    response.write(json.dumps(FAILURES["gemini"]).encode())
    response.end()
    status, _, body = client.answer()
    assert (status, json.loads(body)["error"]["message"]) == (429, "slow down")


def test_google_counts_for_anthropics_callers(gateway: MemoryGateway) -> None:
    client = gateway.client()
    body = {"model": "m", "messages": [{"role": "user", "content": "Say hi"}]}
    client.ask("POST", "/v1/messages/count_tokens", json.dumps(body).encode(), x_api_key="vk_gemini")
    assert gateway.sent.url == b"https://gemini.test/v1beta/models/m:countTokens"
    response = gateway.sent.answer()
    response.write(b'{"totalTokens": 31}')
    response.end()
    assert json.loads(client.answer()[2]) == {"input_tokens": 31}


def test_anthropic_counts_for_googles_callers(gateway: MemoryGateway) -> None:
    """Without the fields that only a conversation has."""
    client = gateway.client()
    body = {"contents": [{"role": "user", "parts": [{"text": "Say hi"}]}]}
    client.ask("POST", "/v1beta/models/m:countTokens", json.dumps(body).encode(), x_goog_api_key="vk_anthropic")
    assert gateway.sent.url == b"https://anthropic.test/v1/messages/count_tokens"
    assert json.loads(gateway.sent.body).keys() == {"model", "messages"}
    response = gateway.sent.answer()
    response.write(b'{"input_tokens": 17}')
    response.end()
    assert json.loads(client.answer()[2]) == {"totalTokens": 17}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (
            "/v1/messages/count_tokens",
            {"model": "m", "messages": [{"role": "user", "content": "x" * 400}]},
            "input_tokens",
        ),
        ("/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "x" * 400}]}]}, "totalTokens"),
    ],
)
def test_count_is_estimated_where_nobody_can_be_asked(
    gateway: MemoryGateway, path: str, body: dict[str, Any], named: str
) -> None:
    """And marked as such."""
    client = gateway.client()
    client.ask("POST", path, json.dumps(body).encode(), authorization="Bearer vk_openai")
    status, headers, answered = client.answer()
    assert (status, headers["x-gw-estimated"]) == (200, "input_tokens")
    assert json.loads(answered)[named] > 10
    assert not gateway.agent.sent


def test_delay_that_google_says_in_the_body_becomes_a_header(gateway: MemoryGateway) -> None:
    """Other SDKs look for it there."""
    client = ask(gateway, "chat", "gemini")
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
    response = gateway.sent.answer(429)
    response.write(json.dumps({"error": FAILURES["gemini"]["error"] | {"details": [info]}}).encode())
    response.end()
    assert client.answer()[1]["retry-after"] == "37"


# What else providers do


def escaped(text: str) -> str:
    """JSON as some write it: every character of this text as its number."""
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


@pytest.mark.parametrize(("caller", "to"), ACROSS)
def test_real_key_that_came_escaped_stays_here(gateway: MemoryGateway, caller: str, to: str) -> None:
    """In an error, in an answer, and in the middle of a stream."""
    key = f"sk-real-{to}"
    client = ask(gateway, caller, to)
    response = gateway.sent.answer(401)
    response.write(json.dumps(FAILURES[to]).replace("slow down", f"bad key {escaped(key)}").encode())
    response.end()
    assert b"bad key ****" in client.answer()[2]

    for stream, pieces in ((False, [json.dumps(ANSWERS[to])]), (True, STREAMS[to])):
        gateway.agent.sent.clear()
        client = ask(gateway, caller, to, stream=stream)
        response = gateway.sent.answer(content_type="text/event-stream" if stream else "application/json")
        for piece in pieces:
            response.write(piece.replace("Hi ", f"Hi {escaped(key)} ").encode())
        response.end()
        assert b"Hi ****" in client.answer()[2]
        assert key.encode() not in client.received


def test_error_that_came_compressed_keeps_its_status(gateway: MemoryGateway) -> None:
    """Nobody asked for it, and its words are lost; that it is to be tried again later is not."""
    client = ask(gateway, "chat", "anthropic")
    response = gateway.sent.answer(429, retry_after="9", content_encoding="gzip")
    response.write(b"\x1f\x8b\x08\x00")
    response.end()
    status, headers, body = client.answer()
    assert (status, headers["retry-after"]) == (429, "9")
    assert "content-encoding" not in headers
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"


def test_content_encoding_that_is_none_does_no_harm(gateway: MemoryGateway) -> None:
    client = ask(gateway, "chat", "anthropic")
    response = gateway.sent.answer(content_encoding="utf-8")
    response.write(json.dumps(ANSWERS["anthropic"]).encode())
    response.end()
    assert said("chat", client.answer()[2]) == ("Hi there", 11, 5)


def test_stream_without_end_that_nobody_asked_for_is_not_gathered_for_ever(
    gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_gateway.web.translated.MAX_WHOLE_BYTES", 4_096)
    client = ask(gateway, "chat", "anthropic")
    response = gateway.sent.answer(content_type="text/event-stream")
    response.write("".join(STREAMS["anthropic"][:3]).encode())
    for _ in range(40):
        response.write(STREAMS["anthropic"][3].encode())
        if response.transport.closed:
            break
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"]) == (502, "upstream_malformed")
    assert response.transport.closed


def test_error_that_ends_a_stream_is_the_providers_in_the_log(gateway: MemoryGateway) -> None:
    """However orderly HTTP found it."""
    ask(gateway, "chat", "anthropic", stream=True)
    response = gateway.sent.answer(content_type="text/event-stream")
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    for event in (*STREAMS["anthropic"][:4], f"event: error\ndata: {json.dumps(error)}\n\n"):
        response.write(event.encode())
    response.end()
    assert gateway.record.ended == "upstream_error"


def test_body_that_takes_too_long_to_translate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gateway.web.request_body.MAX_READ_BYTES", 50)
    gateway = MemoryGateway(configuration())
    client = ask(gateway, "chat", "anthropic")
    assert client.answer()[0] == 413
    assert not gateway.agent.sent
