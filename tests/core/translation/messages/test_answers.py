"""Whole answers: the provider's are read, and those of others are what the SDK expects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Finish,
    Foreign,
    Image,
    Linked,
    Opaque,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation.messages import sdk
from tests.core.translation.messages.asking import raw

CODEC = MessagesCodec()


def read(**fields: Any) -> Answer:
    document = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
        **fields,
    }
    return CODEC.decode_answer(msgspec.json.encode(document), provider="anthropic")


def written(*parts: Part, stop: Stop = Stop.END, usage: Usage | None = None, **fields: Any) -> Any:
    answer = Answer("a", "m", (Choice(parts, Finish(stop, **fields)),), usage or Usage())
    return sdk.message(CODEC.encode_answer(answer, Request("m", ())))


def test_answer_of_every_kind_of_block() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    answer = read(
        content=[
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            search,
            {"type": "text", "text": "Hi", "citations": None},
            {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "j", "name": "n", "input": {}},
        ],
        stop_reason="tool_use",
    )

    assert answer.choices == (
        Choice(
            (
                Thinking("hm", Opaque("messages", "anthropic", "sig")),
                Thinking(opaque=Opaque("messages", "anthropic", "data"), redacted=True),
                Foreign("messages", "server_tool_use", raw(search)),
                Text("Hi"),
                ToolCall("i", "n", '{"a":1}'),
                ToolCall("j", "n", ""),
            ),
            Finish(Stop.TOOL_CALLS),
        ),
    )


@pytest.mark.parametrize(
    ("reason", "more", "finish"),
    [
        ("end_turn", {}, Finish(Stop.END)),
        ("max_tokens", {}, Finish(Stop.LENGTH)),
        ("stop_sequence", {"stop_sequence": "x"}, Finish(Stop.STOP_SEQUENCE, "x")),
        ("tool_use", {}, Finish(Stop.TOOL_CALLS)),
        ("pause_turn", {}, Finish(Stop.PAUSE)),
        ("refusal", {}, Finish(Stop.REFUSAL)),
        (
            "refusal",
            {"stop_details": {"type": "refusal", "category": "cyber", "explanation": None}},
            Finish(Stop.REFUSAL, detail="cyber"),
        ),
        ("model_context_window_exceeded", {}, Finish(Stop.CONTEXT)),
        ("of_tomorrow", {}, Finish(Stop.OTHER, detail="of_tomorrow")),
        (None, {}, None),
    ],
)
def test_reasons_to_stop(reason: str | None, more: dict[str, Any], finish: Finish | None) -> None:
    assert read(stop_reason=reason, **more).choices[0].finish == finish


def test_input_is_the_total_of_three_counts() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        "of_tomorrow": {},
    }

    answer = read(usage=usage)

    assert answer.usage == Usage(321, 9, cached_input=20, cache_write=300, cache_write_1h=200, reasoning=4)
    assert answer.service_tier == "default"


def test_counts_are_parted_again() -> None:
    usage = written(
        Text("a"), usage=Usage(321, 9, cached_input=20, cache_write=300, cache_write_1h=200, reasoning=4)
    ).usage

    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1, 20, 300)
    assert (usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens) == (
        100,
        200,
    )
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (9, 4)


@pytest.mark.parametrize("usage", [Usage(), Usage(input=5, cached_input=9)])
def test_counts_that_are_unknown_or_do_not_fit_are_not_negative(usage: Usage) -> None:
    found = written(Text("a"), usage=usage).usage

    assert (found.input_tokens, found.output_tokens) == (0, 0)
    assert found.cache_read_input_tokens == usage.cached_input


def test_usage_may_be_missing() -> None:
    assert read(usage=None).usage == Usage()


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.END, "end_turn"),
        (Stop.LENGTH, "max_tokens"),
        (Stop.STOP_SEQUENCE, "stop_sequence"),
        (Stop.TOOL_CALLS, "tool_use"),
        (Stop.FILTERED, "refusal"),
        (Stop.REFUSAL, "refusal"),
        (Stop.PAUSE, "pause_turn"),
        (Stop.CONTEXT, "model_context_window_exceeded"),
        (Stop.ERROR, "end_turn"),
        (Stop.OTHER, "end_turn"),
    ],
)
def test_every_reason_has_a_word(stop: Stop, reason: str) -> None:
    assert written(Text("a"), stop=stop).stop_reason == reason


def test_sequence_and_explanation_are_told() -> None:
    assert written(Text("a"), stop=Stop.STOP_SEQUENCE, sequence="x").stop_sequence == "x"
    assert written(Text("a"), stop=Stop.FILTERED, detail="SAFETY").stop_details.explanation == "SAFETY"


def test_calls_are_looked_for_only_behind_their_reason() -> None:
    """Some providers end an answer with calls as any other."""
    assert written(ToolCall("i", "n", ""), stop=Stop.END).stop_reason == "tool_use"
    assert written(ToolCall("i", "n", '{"a":'), stop=Stop.LENGTH).stop_reason == "max_tokens"


def test_refusal_is_a_text_and_a_reason() -> None:
    message = written(Refusal("No."))

    assert (message.content[0].text, message.stop_reason) == ("No.", "refusal")


def test_empty_texts_have_no_block() -> None:
    assert [block.type for block in written(Text(""), ToolCall("i", "n", "")).content] == ["tool_use"]


def test_what_callers_cannot_have_asked_for_is_left_out_and_sound_is_its_transcript() -> None:
    parts = (
        Foreign("responses", "web_search_call", raw({})),
        Image(Linked("https://x/a")),
        Audio(None, "a", "Said."),
        Audio(None, "a"),
    )

    [block] = written(*parts).content

    assert block.text == "Said."


def test_signatures_of_others_are_sealed_and_come_back() -> None:
    parts: tuple[Part, ...] = (
        Thinking("hm", Opaque("responses", "openai", "enc"), id="rs_1", summary=True),
        Thinking("", Opaque("chat", "deep", "x"), redacted=True),
        Text("So.", opaque=Opaque("gemini", "google", "of the text")),
        ToolCall("i", "n", "", opaque=Opaque("gemini", "google", "of the call")),
    )

    message = written(*parts)

    kinds = [block.type for block in message.content]
    assert kinds == ["thinking", "redacted_thinking", "redacted_thinking", "text", "redacted_thinking", "tool_use"]
    history = {"role": "assistant", "content": [block.to_dict() for block in message.content]}
    request = CODEC.decode_request(msgspec.json.encode({"model": "m", "messages": [history]}))
    assert request.messages[0].parts == parts


def test_citations_of_others_are_results_of_a_search() -> None:
    found = written(Text("a", (Citation("https://x", "T", "c"), Citation()))).content[0].citations

    assert [(one.type, one.url, one.title, one.cited_text) for one in found] == [
        ("web_search_result_location", "https://x", "T", "c"),
        ("web_search_result_location", "", None, ""),
    ]


def test_first_of_several_choices_is_written() -> None:
    answer = Answer("a", "m", (Choice((Text("one"),), None), Choice((Text("two"),), None, 1)))

    message = sdk.message(CODEC.encode_answer(answer, Request("m", ())))

    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "one"}]
    assert sdk.message(CODEC.encode_answer(Answer("a", "m", ()), Request("m", ()))).content == []


def test_container_is_kept() -> None:
    answer = read(container={"id": "c", "expires_at": "2026-11-22T00:00:00Z"}, diagnostics=None)

    assert answer.extras == {"container": raw({"id": "c", "expires_at": "2026-11-22T00:00:00Z"})}
    assert sdk.message(CODEC.encode_answer(answer, Request("m", ()))).container is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"error","content":[]}',
        b'{"content":[{}]}',
        b'{"content":[{"type":"text"}]}',
        b'{"content":[{"type":"tool_use","id":"i","name":"n","input":[]}]}',
        b'{"content":[],"usage":{"input_tokens":"many"}}',
        b'{"content":[{"type":"text","text":"\xff"}]}',
        b'{"content":[{"type":"text","text":"\\ud800"}]}',
        b'{"content":[{"type":"text","text":' + b"[" * 99_999,
    ],
)
def test_what_is_no_message_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        CODEC.decode_answer(body, provider="anthropic")
