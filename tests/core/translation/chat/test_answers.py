"""Whole answers: OpenAI's own, those of providers that only resemble it, and what callers are told."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.chat.answer_in import call_id_for
from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Finish,
    Foreign,
    Image,
    Inline,
    Linked,
    Opaque,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
)
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation.chat.sdk import valid_answer

codec = ChatCodec(now=lambda: 1_700_000_000.9)


def answered(message: dict[str, Any], **choice: Any) -> Choice:
    document = {"id": "a1", "model": "m", "choices": [{"message": message, "finish_reason": "stop", **choice}]}
    (found,) = codec.decode_answer(msgspec.json.encode(document), provider="house").choices
    return found


def used(**usage: Any) -> Usage:
    return codec.decode_answer(msgspec.json.encode({"choices": [], "usage": usage}), provider="house").usage


def told(*parts: Part, stop: Stop = Stop.END, request: Request | None = None, **fields: Any) -> dict[str, Any]:
    answer = Answer("a1", "m", (Choice(parts, Finish(stop)),), **fields)
    body = codec.encode_answer(answer, request or Request("alias", ()))
    valid_answer(body)
    document: dict[str, Any] = msgspec.json.decode(body)
    return document


def message_told(*parts: Part, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = told(*parts, **fields)["choices"][0]["message"]
    return message


# Read


def test_answer_as_openai_writes_it() -> None:
    body = b"""{
      "id": "chatcmpl-1", "object": "chat.completion", "created": 1741569952, "model": "gpt-6-2026-01-01",
      "choices": [{
        "index": 0,
        "message": {"role": "assistant", "content": "Hello!", "refusal": null, "annotations": []},
        "logprobs": null,
        "finish_reason": "stop"
      }],
      "usage": {
        "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0, "accepted_prediction_tokens": 0}
      },
      "service_tier": "default", "system_fingerprint": "fp_1"
    }"""
    answer = codec.decode_answer(body, provider="openai")
    assert answer == Answer(
        "chatcmpl-1",
        "gpt-6-2026-01-01",
        (Choice((Text("Hello!"),), Finish(Stop.END)),),
        Usage(19, 10, 3, 2, reasoning=4, audio_input=0, audio_output=0),
        1741569952,
        "default",
        {"system_fingerprint": msgspec.Raw(b'"fp_1"')},
    )
    again = msgspec.json.decode(codec.encode_answer(answer, Request("m", ())))
    assert again["system_fingerprint"] == "fp_1"


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({"content": "x", "reasoning_content": "Hm."}, (Thinking("Hm."), Text("x"))),
        ({"content": "x", "reasoning": "Hm."}, (Thinking("Hm."), Text("x"))),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": "x"},
                ]
            },
            (Thinking("Hm."), Text("x")),
        ),
        ({"content": None, "refusal": "No."}, (Refusal("No."),)),
        (
            {
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*"}},
                ],
            },
            (ToolCall("c1", "look", "{}"), ToolCall("c2", "patch", "*", custom=True)),
        ),
        (
            {"content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}, {"function": {}}]},
            (ToolCall(call_id_for("a1", 0, 0), "look", '{"at":1}'), ToolCall(call_id_for("a1", 0, 1), "", "")),
        ),
        (
            {"content": None, "function_call": {"name": "look", "arguments": "{}"}},
            (ToolCall(call_id_for("a1", 0, 0), "look", "{}"),),
        ),
        (
            {
                "tool_calls": [
                    {"id": "c", "function": {"name": "look"}, "extra_content": {"google": {"thought_signature": "s"}}}
                ]
            },
            (ToolCall("c", "look", "", Opaque("gemini", "house", "s")),),
        ),
        (
            {"content": "x", "extra_content": {"google": {"thought_signature": "s"}}},
            (Text("x", opaque=Opaque("gemini", "house", "s")),),
        ),
        (
            {"content": None, "audio": {"id": "a", "data": "UklGRg==", "expires_at": 9, "transcript": "Hi"}},
            (Audio(Inline("audio/wav", "UklGRg=="), "a", "Hi", 9),),
        ),
        (
            {"content": "x", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
            (Text("x"), Image(Inline("image/png", "iVBO"))),
        ),
        (
            {
                "content": "So.",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"url": "https://a.test", "title": "A", "start_index": 0, "end_index": 3},
                    },
                    {"type": "file_citation"},
                ],
            },
            (Text("So.", (Citation("https://a.test", "A", start=0, end=3),)),),
        ),
    ],
)
def test_messages_are_read(message: dict[str, Any], parts: tuple[Part, ...]) -> None:
    assert answered(message).parts == parts


def test_calls_without_ids_get_some_that_no_other_call_has() -> None:
    found = {call_id_for(answer, choice, number) for answer in ("a", "b") for choice in (0, 1) for number in (0, 1)}
    assert len(found) == 8
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", each) for each in found)


def test_details_of_reasoning_are_read_with_their_maker() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "f", "index": 0},
        {"type": "reasoning.encrypted", "data": "c2VjcmV0", "id": "r1", "index": 1},
        {"type": "reasoning.summary", "summary": "So.", "index": 2},
    ]
    signed, encrypted, summary = answered({"content": None, "reasoning": "Hm.So.", "reasoning_details": details}).parts
    assert isinstance(signed, Thinking)
    assert signed.text == "Hm."
    assert signed.opaque is not None
    assert (signed.opaque.dialect, signed.opaque.provider) == ("chat", "house")
    assert isinstance(encrypted, Thinking)
    assert (encrypted.redacted, encrypted.id, encrypted.text) == (True, "r1", "")
    assert summary == Thinking("So.", summary=True)


@pytest.mark.parametrize(
    ("reason", "message", "finish"),
    [
        ("stop", {"content": "x"}, Finish(Stop.END)),
        ("length", {"content": "x"}, Finish(Stop.LENGTH)),
        ("content_filter", {"content": "x"}, Finish(Stop.FILTERED)),
        ("tool_calls", {"tool_calls": [{"function": {"name": "a"}}]}, Finish(Stop.TOOL_CALLS)),
        ("function_call", {"function_call": {"name": "a"}}, Finish(Stop.TOOL_CALLS)),
        ("stop", {"tool_calls": [{"function": {"name": "a"}}]}, Finish(Stop.TOOL_CALLS)),
        ("stop", {"refusal": "No."}, Finish(Stop.REFUSAL)),
        ("eos", {"content": "x"}, Finish(Stop.END, detail="eos")),
        ("model_length", {"content": "x"}, Finish(Stop.CONTEXT, detail="model_length")),
        ("error", {"content": "x"}, Finish(Stop.ERROR, detail="error")),
        ("whim", {"content": "x"}, Finish(Stop.OTHER, detail="whim")),
        (None, {"content": "x"}, None),
    ],
)
def test_reasons_to_finish_are_read(reason: str | None, message: dict[str, Any], finish: Finish | None) -> None:
    assert answered(message, finish_reason=reason).finish == finish


def test_other_providers_say_more_of_why_they_finished() -> None:
    assert answered({"content": "x"}, stop_reason="END").finish == Finish(Stop.STOP_SEQUENCE, "END")
    assert answered({"content": "x"}, stop_reason=7).finish == Finish(Stop.END)
    assert answered({"content": "x"}, native_finish_reason="STOP").finish == Finish(Stop.END, detail="STOP")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 3}, Usage(5, 2, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 3}, Usage(5, 2, 3)),
        # Where reasoning is not in the completion's tokens, the total tells.
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(5, 12, reasoning=10),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 12,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(5, 12, reasoning=10),
        ),
        ({"prompt_tokens": "many", "completion_tokens": -1, "total_tokens": True}, Usage()),
        ({"prompt_tokens": 5.0, "completion_tokens": 1e300}, Usage(5)),
        ({}, Usage()),
    ],
)
def test_usage_is_read_in_one_sense(usage: dict[str, Any], expected: Usage) -> None:
    assert used(**usage) == expected


def test_answers_with_odd_trifles_are_not_lost() -> None:
    body = b"""{"id": null, "created": "now", "model": null, "service_tier": 7, "system_fingerprint": [],
      "choices": [{"message": null}], "error": null}"""
    assert codec.decode_answer(body, provider="house") == Answer("", "", (Choice((), None),))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":{}}',
        b'{"choices":[7]}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[],"error":"x"}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'{"choices":[{"message":{"content":[[]]}}]}',
        b'{"choices":[{"message":{"reasoning_details":["x"]}}]}',
        b'{"choices":' + b"[" * 100_000,
        b'{"choices":[{"message":{"content":[{"type":"thinking","thinking":' + b'[{"thinking":' * 50_000,
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        codec.decode_answer(body, provider="house")


# Written


def test_smallest_answer_has_all_that_the_official_type_demands() -> None:
    document = told()
    assert document == {
        "id": "a1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    nameless = msgspec.json.decode(codec.encode_answer(Answer("", "", ()), Request("alias", ())))
    assert (bool(nameless["id"]), nameless["model"]) == (True, "alias")


def test_texts_become_one_and_citations_move_with_them() -> None:
    message = message_told(
        Text("Abc.", (Citation("https://a.test", "A", "Abc"), Citation(None, "A book"))),
        Foreign("messages", "web_search_tool_result", msgspec.Raw(b"{}")),
        Text("Def.", (Citation("https://d.test", start=1, end=3),)),
    )
    assert message["content"] == "Abc.Def."
    assert [each["url_citation"] for each in message["annotations"]] == [
        {"start_index": 0, "end_index": 4, "title": "A", "url": "https://a.test", "content": "Abc"},
        {"start_index": 5, "end_index": 7, "title": "https://d.test", "url": "https://d.test"},
    ]


def test_thinking_is_told_to_read_and_to_send_back() -> None:
    opaque = Opaque("anthropic", "claude", "c2ln")
    message = message_told(Thinking("A.", opaque), Thinking("", opaque, redacted=True), Thinking("B."), Text("x"))
    assert message["reasoning_content"] == "A.\n\nB."
    kinds = [(each["type"], each.get("text"), each["index"]) for each in message["reasoning_details"]]
    assert kinds == [("reasoning.text", "A.", 0), ("reasoning.encrypted", None, 1), ("reasoning.text", "B.", 2)]
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}, message]})
    assert codec.decode_request(body).messages[1].parts == (
        Thinking("A.", opaque),
        Thinking("", opaque, redacted=True),
        Thinking("B."),
        Text("x"),
    )


def test_signatures_of_calls_and_texts_come_back_with_them() -> None:
    opaque = Opaque("gemini", "google", "dGhvdWdodA==")
    parts = (Text("x", opaque=opaque), ToolCall("c1", "look", "{}", opaque))
    message = message_told(*parts, stop=Stop.TOOL_CALLS)
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}, message]})
    assert codec.decode_request(body).messages[1].parts == parts


def test_calls_are_told_as_the_caller_has_its_tools() -> None:
    patch = Tool("patch", custom=msgspec.Raw(b'{"type":"text"}'))
    request = Request("alias", (), tools=(Tool("look"), patch))
    parts = (
        ToolCall("c1", "look", ""),
        ToolCall("c2", "patch", '{"input":"*"}'),
        ToolCall("c3", "patch", "*", custom=True),
    )
    document = told(*parts, stop=Stop.TOOL_CALLS, request=request)
    assert document["choices"][0]["finish_reason"] == "tool_calls"
    assert document["choices"][0]["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*"}},
        {"id": "c3", "type": "custom", "custom": {"name": "patch", "input": "*"}},
    ]


def test_caller_with_functions_of_old_gets_a_function_call() -> None:
    request = Request("alias", (), tools=(Tool("look"),), legacy_functions=True)
    (choice,) = told(ToolCall("c1", "look", '{"at":1}'), stop=Stop.TOOL_CALLS, request=request)["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "look", "arguments": '{"at":1}'}
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("stop", "parts", "reason"),
    [
        (Stop.END, (), "stop"),
        (Stop.STOP_SEQUENCE, (), "stop"),
        (Stop.LENGTH, (), "length"),
        (Stop.FILTERED, (), "content_filter"),
        (Stop.REFUSAL, (), "content_filter"),
        (Stop.REFUSAL, (Refusal("No."),), "stop"),
        (Stop.PAUSE, (), "stop"),
        (Stop.CONTEXT, (), "length"),
        (Stop.ERROR, (), "stop"),
        (Stop.OTHER, (), "stop"),
    ],
)
def test_every_reason_to_finish_is_one_that_the_sdk_knows(stop: Stop, parts: tuple[Part, ...], reason: str) -> None:
    assert told(*parts, stop=stop)["choices"][0]["finish_reason"] == reason


def test_media_that_the_model_made() -> None:
    message = message_told(
        Audio(Inline("audio/wav", "UklG"), "a", "Hi"),
        Image(Inline("image/png", "iVBO")),
        Image(Linked("https://a.test")),
    )
    assert message["audio"] == {"id": "a", "data": "UklG", "expires_at": 0, "transcript": "Hi"}
    assert [each["image_url"]["url"] for each in message["images"]] == ["data:image/png;base64,iVBO", "https://a.test"]


def test_logprobs_stand_with_what_they_are_about() -> None:
    tokens = (TokenLogprob("x", -0.5, (120,), (TokenLogprob("y", -1.0),)),)
    for part, field in ((Text("x"), "content"), (Refusal("x"), "refusal")):
        answer = Answer("a1", "m", (Choice((part,), Finish(Stop.END), logprobs=tokens),))
        body = codec.encode_answer(answer, Request("m", ()))
        logprobs = valid_answer(body).choices[0].logprobs
        assert logprobs is not None
        assert getattr(logprobs, field)[0].top_logprobs[0].token == "y"
        assert codec.decode_answer(body, provider="x").choices[0].logprobs == tokens


@pytest.mark.parametrize(
    ("tier", "expected"), [("standard", "default"), ("priority", "priority"), ("batch", None), (None, None)]
)
def test_tiers_are_told_in_openais_words(tier: str | None, expected: str | None) -> None:
    assert told(Text("x"), service_tier=tier).get("service_tier") == expected


def test_usage_that_is_not_known_is_not_told() -> None:
    assert "usage" not in told(Text("x"))
    assert told(Text("x"), usage=Usage(5, 2, cached_input=0))["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
