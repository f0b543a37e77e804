"""Half a character in anybody's JSON breaks neither a request nor an answer: U+FFFD stands for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import Message, Request, Role, Text, ToolCall
from llm_gateway.core.translation.events import Event
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.translation import Translation

HALF, READ = "cut \ud83d here", "cut \ufffd here"
ACROSS = [(caller, provider) for caller in CODECS for provider in CODECS if caller is not provider]

ASKED: dict[Api, dict[str, Any]] = {
    Api.CHAT: {"messages": [{"role": "user", "content": HALF}]},
    Api.RESPONSES: {"input": HALF},
    Api.MESSAGES: {"max_tokens": 9, "messages": [{"role": "user", "content": HALF}]},
    Api.GEMINI: {"contents": [{"role": "user", "parts": [{"text": HALF}]}]},
}

CALLED = json.dumps({"said": HALF})
"""With the half as an escape, as models write it."""

ANSWERS: dict[Api, dict[str, Any]] = {
    Api.CHAT: {
        "choices": [
            {
                "message": {
                    "content": HALF,
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "say", "arguments": CALLED}}],
                },
                "finish_reason": "tool_calls",
            }
        ]
    },
    Api.RESPONSES: {
        "id": "r",
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [
            {"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": HALF}]},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "say", "arguments": CALLED},
        ],
    },
    Api.MESSAGES: {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "text", "text": HALF},
            {"type": "tool_use", "id": "c", "name": "say", "input": {"said": HALF}},
        ],
        "stop_reason": "tool_use",
    },
    Api.GEMINI: {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [{"text": HALF}, {"functionCall": {"name": "say", "args": {"said": HALF}}}],
                },
                "finishReason": "STOP",
            }
        ]
    },
}

STREAMS: dict[Api, list[dict[str, Any]]] = {
    Api.CHAT: [
        {"choices": [{"index": 0, "delta": {"content": HALF}}]},
        {"choices": [{"index": 0, "delta": {"content": HALF}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ],
    Api.RESPONSES: [
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "i"}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": HALF},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": HALF},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [{"x": HALF}]}},
    ],
    Api.MESSAGES: [
        {"type": "message_start", "message": {"id": "m", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": HALF}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": HALF}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ],
    Api.GEMINI: [
        {"candidates": [{"content": {"parts": [{"text": HALF}]}}]},
        {"candidates": [{"content": {"parts": [{"text": HALF}]}, "finishReason": "STOP"}]},
    ],
}


def translation(caller: Api, provider: Api) -> Translation:
    asked = Request("m", (Message(Role.USER, (Text("Hi"),)),))
    return Translation(CODECS[caller], CODECS[provider], asked, Destination("m", "p", 99), Losses())


@pytest.mark.parametrize(("caller", "provider"), ACROSS)
def test_request_is_read(caller: Api, provider: Api) -> None:
    body = json.dumps({"model": "m", **ASKED[caller]}).encode()
    assert b"\\ud83d" in body
    asked = CODECS[caller].decode_request(body, model="m", stream=False)
    made = Translation(CODECS[caller], CODECS[provider], asked, Destination("m", "p", 99), Losses())
    assert READ in json.dumps(json.loads(made.body), ensure_ascii=False)


@pytest.mark.parametrize(("caller", "provider"), ACROSS)
def test_whole_answer_is_read(caller: Api, provider: Api) -> None:
    body = json.dumps(ANSWERS[provider]).encode()
    assert b"\\ud83d" in body
    answer = CODECS[caller].decode_answer(translation(caller, provider).answer(body), provider="p")
    text, call = answer.choices[0].parts
    assert isinstance(text, Text)
    assert text.text == READ
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments)["said"].replace("\ud83d", "\ufffd") == READ


@pytest.mark.parametrize(("caller", "provider"), ACROSS)
def test_stream_is_read(caller: Api, provider: Api) -> None:
    stream = CODECS[provider].stream_decoder(provider="p")
    events: list[Event] = []
    for document in STREAMS[provider]:
        events += stream.feed(f"data: {json.dumps(document)}\n\n".encode())
    if provider is Api.CHAT:
        events += stream.feed(b"data: [DONE]\n\n")
    events += stream.close()
    [text] = collect(events).choices[0].parts
    assert isinstance(text, Text)
    assert text.text == 2 * READ
    written = CODECS[caller].stream_encoder(Request("m", (), stream=True)).encode(events)
    assert READ in written.decode()


@pytest.mark.parametrize("provider", CODECS)
def test_error_is_read(provider: Api) -> None:
    body = json.dumps({"type": "error", "error": {"message": HALF, "type": "x", "code": 400}}).encode()
    caller = Api.CHAT if provider is not Api.CHAT else Api.MESSAGES
    _, said, failure = translation(caller, provider).failure(400, body, "id")
    assert failure.message == READ
    assert READ in json.loads(said)["error"]["message"]
