"""What a provider of the Responses API answers, whole or streamed, in neutral words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.codec import StreamDecoder
from llm_gateway.core.translation.collect import StreamFailed, collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    Citation,
    Finish,
    Foreign,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import Begun, Delta, Ended, Event, Failed, PartBegun, PartEnded
from llm_gateway.core.translation.failures import FailureKind
from llm_gateway.core.translation.responses import stream_decoder
from llm_gateway.core.translation.responses.codec import ResponsesCodec
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation import strategies

CODEC = ResponsesCodec()

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"at":1}'}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "encrypted_content": "gAAA",
}
THOUGHT = Thinking("One.\n\nTwo.", Opaque("responses", "openai", "gAAA"), id="rs_1", summary=True)


def response(*output: object, **fields: object) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7.0,
        "model": "gpt",
        "status": "completed",
        "output": list(output),
        **fields,
    }


def read(*output: object, **fields: object) -> Answer:
    return CODEC.decode_answer(msgspec.json.encode(response(*output, **fields)), provider="openai")


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


def event(kind: str, **fields: object) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


CREATED = event("created", response=response(status="in_progress"))
COMPLETED = event("completed", response=response())


def stream(*events: object) -> list[Event]:
    decoder = CODEC.stream_decoder(provider="openai")
    return [*decoder.feed(sse(*events)), *decoder.close()]


def feed(decoder: StreamDecoder, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


def parts_of(*events: object) -> tuple[Part, ...]:
    """What came between the beginning and a good end."""
    found = collect(stream(CREATED, *events, COMPLETED))
    return found.choices[0].parts


# Whole


def test_items_are_parts_in_their_order() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "patch", "input": "***"}
    refusal = {**MESSAGE, "content": [{"type": "refusal", "refusal": "No."}]}
    picture = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "QUJD"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}

    answer = read(REASONING, search, MESSAGE, refusal, CALL, custom, picture)

    assert answer.choices[0].parts == (
        THOUGHT,
        Foreign("responses", "web_search_call", msgspec.Raw(msgspec.json.encode(search)), hint=True),
        Text("Hello"),
        Refusal("No."),
        ToolCall("c1", "look", '{"at":1}'),
        ToolCall("c2", "patch", "***", custom=True),
        Image(Inline("image/png", "QUJD")),
    )


def test_answer_has_its_model_time_tier_and_usage() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 30,
    }
    assert read(MESSAGE, usage=usage, service_tier="flex") == Answer(
        "resp_1",
        "gpt",
        (Choice((Text("Hello"),), Finish(Stop.END)),),
        Usage(input=10, output=20, cached_input=3, cache_write=2, reasoning=5),
        7,
        "flex",
    )


def test_citations_and_probabilities_are_kept() -> None:
    note = {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 2}
    token = {"token": "So", "logprob": -0.5, "bytes": [83, 111], "top_logprobs": [{"token": "No", "logprob": -1.5}]}
    content = {"type": "output_text", "text": "So.", "annotations": [note], "logprobs": [token]}

    [choice] = read({**MESSAGE, "content": [content]}).choices

    assert choice.parts == (
        Text("So.", (Citation("https://e.test", "E", None, 0, 2, msgspec.Raw(msgspec.json.encode(note))),)),
    )
    assert choice.logprobs == (TokenLogprob("So", -0.5, (83, 111), (TokenLogprob("No", -1.5),)),)


@pytest.mark.parametrize(
    ("output", "fields", "finish"),
    [
        ([MESSAGE], {}, Finish(Stop.END)),
        ([MESSAGE, CALL], {}, Finish(Stop.TOOL_CALLS)),
        ([{**MESSAGE, "content": [{"type": "refusal", "refusal": "No."}]}], {}, Finish(Stop.REFUSAL)),
        (
            [CALL],
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Finish(Stop.LENGTH, detail="max_output_tokens"),
        ),
        (
            [],
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Finish(Stop.FILTERED, detail="content_filter"),
        ),
        (
            [],
            {"status": "incomplete", "incomplete_details": {"reason": "steered"}},
            Finish(Stop.OTHER, detail="steered"),
        ),
        ([], {"status": "incomplete", "incomplete_details": None}, Finish(Stop.OTHER)),
        ([], {"status": "failed", "error": {"code": "server_error"}}, Finish(Stop.ERROR, detail="server_error")),
        ([], {"status": "cancelled", "error": None}, Finish(Stop.OTHER, detail="cancelled")),
    ],
)
def test_status_tells_why_it_stopped(output: list[object], fields: dict[str, Any], finish: Finish) -> None:
    assert read(*output, **fields).choices[0].finish == finish


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"object":"chat.completion","choices":[]}',
        b'{"output":7}',
        b'{"output":[7]}',
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":7}]}]}',
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":"","annotations":[7]}]}]}',
        b'{"output":[],"usage":{"input_tokens":"many"}}',
        b'{"output":' + b"[" * 5_000,
    ],
)
def test_what_is_no_response_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        CODEC.decode_answer(body, provider="openai")


# Streamed


def test_deltas_are_told_as_they_come() -> None:
    told = stream(
        CREATED,
        event("output_item.added", output_index=0, item={**MESSAGE, "content": []}),
        event("content_part.added", output_index=0, content_index=0, part={"type": "output_text", "text": ""}),
        event("output_text.delta", output_index=0, content_index=0, delta="Hel", obfuscation="xyz"),
        event("output_text.delta", output_index=0, content_index=0, delta="lo", logprobs=[]),
        event("output_text.done", output_index=0, content_index=0, text="Hello"),
        event("content_part.done", output_index=0, content_index=0, part=MESSAGE["content"][0]),
        event("output_item.done", output_index=0, item=MESSAGE),
    )

    assert told == [
        Begun("resp_1", "gpt", 7),
        PartBegun(Text("")),
        Delta("Hel"),
        Delta("lo"),
        PartEnded(),
    ]


def test_summary_and_text_of_reasoning_are_told_apart() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Short."}],
        "content": [{"type": "reasoning_text", "text": "Long."}],
        "encrypted_content": "gAAA",
    }
    assert parts_of(
        event("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}),
        event("reasoning_summary_part.added", output_index=0, summary_index=0, part={}),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Short."),
        event("reasoning_text.delta", output_index=0, content_index=0, delta="Lo"),
        event("reasoning_text.delta", output_index=0, content_index=0, delta="ng."),
        event("output_item.done", output_index=0, item=item),
    ) == (
        Thinking("Short.", id="rs_1", summary=True),
        Thinking("Long.", Opaque("responses", "openai", "gAAA"), id="rs_1"),
    )


def test_parts_of_a_summary_are_paragraphs_as_in_the_whole() -> None:
    added = {"type": "reasoning", "id": "rs_1", "summary": []}

    assert parts_of(
        event("output_item.added", output_index=0, item=added),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="One."),
        event("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="Two."),
        event("output_item.done", output_index=0, item=REASONING),
    ) == (THOUGHT,)


@pytest.mark.parametrize("item", [MESSAGE, CALL, REASONING, {"type": "mcp_call", "id": "mcp_1", "arguments": {}}])
@pytest.mark.parametrize("announced", [True, False])
def test_item_without_deltas_is_taken_from_its_end(item: dict[str, Any], announced: bool) -> None:
    added = [event("output_item.added", output_index=0, item=item)] if announced else []

    assert parts_of(*added, event("output_item.done", output_index=0, item=item)) == read(item).choices[0].parts


def test_items_that_only_the_end_has_are_taken_from_it() -> None:
    told = collect(stream(CREATED, event("completed", response=response(REASONING, MESSAGE, CALL))))

    assert told.choices == read(REASONING, MESSAGE, CALL).choices


def test_deltas_that_are_missing_at_the_end_are_told_then() -> None:
    note = {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 2}
    content = {"type": "output_text", "text": "Hello", "annotations": [note]}
    done = {**MESSAGE, "content": [content, {"type": "refusal", "refusal": "No."}]}

    assert (
        parts_of(
            event("output_item.added", output_index=0, item={**MESSAGE, "content": []}),
            event("output_text.delta", output_index=0, content_index=0, delta="Hel"),
            event("output_item.done", output_index=0, item=done),
        )
        == read(done).choices[0].parts
    )


def test_citation_is_told_once() -> None:
    note = {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 2}
    content = {"type": "output_text", "text": "So", "annotations": [note]}

    [part] = parts_of(
        event("output_item.added", output_index=0, item={**MESSAGE, "content": []}),
        event("output_text.delta", output_index=0, content_index=0, delta="So"),
        event("output_text.annotation.added", output_index=0, content_index=0, annotation_index=0, annotation=note),
        event("output_item.done", output_index=0, item={**MESSAGE, "content": [content]}),
    )

    assert isinstance(part, Text)
    assert len(part.citations) == 1


def test_message_that_was_not_announced_is_told_all_the_same() -> None:
    assert parts_of(
        event("output_text.delta", output_index=0, content_index=0, delta="Hi"),
        event("refusal.delta", output_index=1, content_index=0, delta="No."),
    ) == (Text("Hi"), Refusal("No."))


def test_items_that_interleave_are_told_one_after_another() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "c2", "arguments": "{}"}
    told = stream(
        CREATED,
        event("output_item.added", output_index=0, item={**CALL, "arguments": ""}),
        event("output_item.added", output_index=1, item={**second, "arguments": ""}),
        event("output_item.added", output_index=2, item={**MESSAGE, "content": []}),
        event("function_call_arguments.delta", output_index=1, delta="{"),
        event("function_call_arguments.delta", output_index=0, delta='{"at"'),
        event("output_text.delta", output_index=2, content_index=0, delta="Hel"),
        event("function_call_arguments.delta", output_index=1, delta="}"),
        event("output_item.done", output_index=1, item=second),
        event("function_call_arguments.delta", output_index=0, delta=":1}"),
        event("output_item.done", output_index=0, item=CALL),
        event("output_text.delta", output_index=2, content_index=0, delta="lo"),
        event("output_item.done", output_index=2, item=MESSAGE),
        COMPLETED,
    )

    assert [type(event) for event in told[1:12]] == [
        *(PartBegun, Delta, Delta, PartEnded),
        *(PartBegun, Delta, Delta, PartEnded),
        *(PartBegun, Delta, Delta),
    ]
    assert collect(told).choices[0].parts == read(CALL, second, MESSAGE).choices[0].parts


def test_namespace_of_a_call_is_in_its_name() -> None:
    item = {**CALL, "namespace": "mcp__files"}

    assert parts_of(event("output_item.done", output_index=0, item=item)) == (
        ToolCall("c1", "mcp__files__look", '{"at":1}'),
    )


def test_usage_and_finish_come_with_the_end() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2}
    told = stream(
        CREATED,
        event(
            "incomplete",
            response=response(
                status="incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=usage, error=None
            ),
        ),
    )

    assert isinstance(told[-1], Ended)
    assert collect(told).usage == Usage(input=1, output=2)
    assert collect(told).choices[0].finish == Finish(Stop.LENGTH, detail="max_output_tokens")


ERROR = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Slow.", "param": None}


@pytest.mark.parametrize(
    "failed",
    [
        event("failed", response=response(status="failed", error=ERROR)),
        {"type": "error", "sequence_number": 3, "error": ERROR},
        {**ERROR, "type": "error", "sequence_number": 3},
        {**ERROR, "type": "error", "error": None},
        {"error": ERROR},
    ],
)
def test_error_is_told_whatever_its_form(failed: dict[str, Any]) -> None:
    told = stream(CREATED, failed, COMPLETED)

    with pytest.raises(StreamFailed) as caught:
        collect(told)
    assert caught.value.failure.kind is FailureKind.RATE_LIMIT
    assert caught.value.failure.message == "Slow."
    assert isinstance(told[-1], Failed)


@pytest.mark.parametrize("error", [None, {}, 7, [], "Sorry."])
def test_failure_without_a_reason_is_one(error: object) -> None:
    told = stream(CREATED, event("failed", response=response(status="failed", error=error)))

    assert isinstance(told[-1], Failed)
    assert told[-1].failure.kind is FailureKind.SERVER
    assert told[-1].failure.message


def test_stream_that_was_cut_has_no_end() -> None:
    told = stream(CREATED, event("output_text.delta", output_index=0, content_index=0, delta="Hi"))

    assert not any(isinstance(event, Ended | Failed) for event in told)


def test_nothing_counts_behind_the_end() -> None:
    told = stream(CREATED, COMPLETED, event("output_text.delta", output_index=5, delta="x"), "not an event")

    assert isinstance(told[-1], Ended)


def test_what_is_not_understood_is_passed_over() -> None:
    told = stream(
        CREATED,
        event("of_tomorrow", of_tomorrow=[1]),
        event("web_search_call.searching", output_index=0, item_id="ws_1"),
        event("reasoning_summary_text.done", output_index=0, summary_index=0, text="x"),
        event("output_item.added", output_index=0, item=None),
        COMPLETED,
    )
    assert [type(event) for event in told] == [Begun, *map(type, stream(CREATED, COMPLETED)[1:])]


def test_marker_of_the_chat_dialect_is_passed_over() -> None:
    decoder = CODEC.stream_decoder(provider="openai")

    assert isinstance(decoder.feed(sse(CREATED) + b"data: [DONE]\n\n" + sse(COMPLETED))[-1], Ended)


@pytest.mark.parametrize(
    "data",
    [
        b"data: {}\n\n",
        b"data: {\n\n",
        b"data: 7\n\n",
        b'data: {"object":"chat.completion.chunk","choices":[]}\n\n',
        b'data: {"type":"response.output_text.delta","output_index":0,"delta":7}\n\n',
        b'data: {"type":"response.created","response":{"id":7}}\n\n',
        b'data: {"type":"response.output_item.added","output_index":0,"item":7}\n\n',
        b'data: {"type":"response.output_item.added","output_index":-1e999,"item":{}}\n\n',
        b'data: {"type":"response.created","response":{"output":' + b"[" * 5_000 + b"\n\n",
    ],
)
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        # What came before the fault is told first.
        feed(CODEC.stream_decoder(provider="openai"), [data, b""])


def test_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_decoder, "MAX_EVENT_BYTES", 1_000)
    decoder = CODEC.stream_decoder(provider="openai")

    with pytest.raises(UpstreamMalformed):
        feed(decoder, [b"data: " + b"x" * 99] * 20)


def test_items_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_decoder, "MAX_ITEMS", 10)
    decoder = CODEC.stream_decoder(provider="openai")

    with pytest.raises(UpstreamMalformed):
        feed(decoder, [sse(event("output_item.done", output_index=index, item=MESSAGE)) for index in range(20)])


def test_item_that_has_ended_does_not_go_on() -> None:
    with pytest.raises(UpstreamMalformed):
        stream(
            CREATED,
            event("output_item.done", output_index=0, item=MESSAGE),
            event("output_text.delta", output_index=0, content_index=0, delta="x"),
        )


# Any stream

ITEMS = st.sampled_from(
    [
        MESSAGE,
        CALL,
        REASONING,
        {**MESSAGE, "content": []},
        {**CALL, "arguments": None, "name": None},
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "***"},
        {"type": "image_generation_call", "result": "QUJD"},
        {"type": "image_generation_call", "result": None},
        {"type": "web_search_call"},
        {},
        None,
    ]
)
KINDS = st.sampled_from(
    [
        *("created", "in_progress", "output_item.added", "output_item.done", "content_part.added"),
        *("output_text.delta", "output_text.annotation.added", "refusal.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("reasoning_summary_text.delta", "reasoning_text.delta", "of_tomorrow"),
    ]
)
EVENTS = st.fixed_dictionaries(
    {"type": KINDS.map(lambda kind: f"response.{kind}"), "output_index": st.integers(0, 3)},
    optional={
        "content_index": st.integers(0, 2),
        "summary_index": st.integers(0, 2),
        "item": ITEMS,
        "delta": st.text(max_size=3) | st.none(),
        "arguments": st.text(max_size=3) | st.none(),
        "input": st.text(max_size=3) | st.none(),
        "part": st.sampled_from([{"type": "output_text"}, {"type": "refusal"}, {"type": "reasoning_text"}, {}]),
        "annotation": st.sampled_from([{"type": "url_citation", "url": "https://e.test"}, None, {}]),
        "logprobs": st.sampled_from([[], None, [{"token": "a", "logprob": -1}]]),
        "response": st.sampled_from([response(), {}]),
    },
)


@given(events=st.lists(EVENTS, max_size=12), places=st.lists(st.integers(min_value=0), max_size=5))
def test_any_events_are_told_in_order_or_refused(events: Sequence[dict[str, Any]], places: list[int]) -> None:
    decoder = CODEC.stream_decoder(provider="openai")
    told: list[Event] = []
    try:
        for piece in strategies.cuts(sse(*events, COMPLETED), places):
            told += decoder.feed(piece)
    except UpstreamMalformed:
        return
    is_open = False
    assert isinstance(told[0], Begun)
    assert isinstance(told[-1], Ended)
    for one in told:
        if isinstance(one, PartBegun):
            assert not is_open
            is_open = True
        elif isinstance(one, PartEnded):
            assert is_open
            is_open = False
        elif isinstance(one, Delta):
            assert is_open
    assert not is_open


@given(pieces=st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    decoder = CODEC.stream_decoder(provider="openai")
    try:
        for piece in pieces:
            assert not decoder.feed(piece)
    except UpstreamMalformed:
        return
    assert not decoder.close()
