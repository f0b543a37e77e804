"""Streams: a provider's events are understood, and a caller's are those that the SDK puts together."""

from __future__ import annotations

from typing import Any

import anthropic
import msgspec
import pytest

from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Audio,
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
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.core.translation.messages.stream_in import MAX_EVENT_BYTES
from llm_gateway.core.translation.messages.stream_out import MessagesStreamEncoder
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation.messages import sdk
from tests.core.translation.messages.asking import raw

CODEC = MessagesCodec()
SIGNATURE = Opaque("messages", "anthropic", "sig")

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5},
            "output_tokens": 1,
            "service_tier": "priority",
        },
    },
}
STOP = {"type": "message_stop"}
BEGUN: list[Event] = [
    Begun("msg_1", "claude", service_tier="priority"),
    UsageSeen(Usage(15, 1, cached_input=0, cache_write=5, cache_write_1h=5)),
]


def block(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def delta(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def end(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def stop(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


def frames(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in events)


def read(*events: dict[str, Any]) -> list[Event]:
    decoder = CODEC.stream_decoder(provider="anthropic")
    return [*decoder.feed(frames(START, *events)), *decoder.close()][2:]


def test_beginning_tells_who_answers_and_what_the_prompt_cost() -> None:
    assert CODEC.stream_decoder(provider="anthropic").feed(frames(START)) == BEGUN


def test_text_with_a_ping_and_citations() -> None:
    cited = {"type": "page_location", "cited_text": "c", "document_index": 0}

    assert read(
        block("text", text="", citations=[]),
        {"type": "ping"},
        delta("text_delta", text="He"),
        delta("text_delta", text="llo"),
        delta("citations_delta", citation=cited),
        end(),
        stop(output_tokens=7),
        STOP,
    ) == [
        PartBegun(Text("")),
        Delta("He"),
        Delta("llo"),
        Delta(citation=Citation(cited_text="c", raw=raw(cited))),
        PartEnded(),
        Finished(Finish(Stop.END)),
        UsageSeen(Usage(15, 7, cached_input=0, cache_write=5, cache_write_1h=5)),
        Ended(),
    ]


def test_thinking_readable_and_not() -> None:
    assert read(
        block("thinking", thinking="", signature=""),
        delta("thinking_delta", thinking="hm"),
        delta("signature_delta", signature="sig"),
        end(),
        block("redacted_thinking", 1, data="data"),
        end(1),
    ) == [
        PartBegun(Thinking()),
        Delta("hm"),
        Delta(opaque=SIGNATURE),
        PartEnded(),
        PartBegun(Thinking(opaque=Opaque("messages", "anthropic", "data"), redacted=True)),
        PartEnded(),
    ]


def test_calls_with_arguments_in_pieces_at_once_and_none() -> None:
    assert read(
        block("tool_use", id="a", name="n", input={}),
        delta("input_json_delta", partial_json=""),
        delta("input_json_delta", partial_json='{"a"'),
        delta("input_json_delta", partial_json=":1}"),
        end(),
        block("tool_use", 1, id="b", name="n", input={"b": 2}),
        end(1),
        block("tool_use", 2, id="c", name="n", input={}),
        end(2),
        stop("tool_use"),
    ) == [
        PartBegun(ToolCall("a", "n", "")),
        Delta('{"a"'),
        Delta(":1}"),
        PartEnded(),
        PartBegun(ToolCall("b", "n", "")),
        Delta('{"b":2}'),
        PartEnded(),
        PartBegun(ToolCall("c", "n", "")),
        PartEnded(),
        Finished(Finish(Stop.TOOL_CALLS)),
        UsageSeen(Usage(15, 1, cached_input=0, cache_write=5, cache_write_1h=5)),
    ]


def test_tools_of_the_provider_are_told_whole() -> None:
    call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}

    assert read(
        block("server_tool_use", id="s", name="web_search", input={}),
        delta("input_json_delta", partial_json='{"query":'),
        delta("input_json_delta", partial_json='"q"}'),
        end(),
        block("web_search_tool_result", 1, tool_use_id="s", content=[]),
        end(1),
    ) == [
        PartBegun(Foreign("messages", "server_tool_use", raw(call))),
        PartEnded(),
        PartBegun(Foreign("messages", "web_search_tool_result", raw(result))),
        PartEnded(),
    ]


def test_counts_at_the_end_are_totals_and_leave_out_what_is_not_new() -> None:
    events = read(stop(output_tokens=9, input_tokens=4, cache_read_input_tokens=6))

    [seen] = [event for event in events if isinstance(event, UsageSeen)]
    assert seen.usage == Usage(15, 9, cached_input=6, cache_write=5, cache_write_1h=5)


def test_error_ends_the_stream() -> None:
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    assert read(block("text", text=""), failure, STOP) == [
        PartBegun(Text("")),
        Failed(ProviderFailure(529, FailureKind.OVERLOADED, "Overloaded", code="overloaded_error")),
    ]


def test_stream_that_breaks_off_has_no_end() -> None:
    decoder = CODEC.stream_decoder(provider="anthropic")

    events = [*decoder.feed(frames(START, block("text", text="")) + b"event: content_bl"), *decoder.close()]

    assert events == [*BEGUN, PartBegun(Text(""))]


def test_what_is_new_or_comes_late_is_passed_over() -> None:
    assert read(
        {"type": "of_tomorrow", "index": 7, "delta": {"type": "x"}},
        block("of_tomorrow", content="c"),
        delta("of_tomorrow_delta", content="d"),
        end(),
        end(),
        block("text", 1, text="a"),
        delta("of_tomorrow_delta", 1),
        STOP,
        delta("text_delta", 1, text="b"),
    ) == [
        PartBegun(Foreign("messages", "of_tomorrow", raw({"type": "of_tomorrow", "content": "c"}))),
        PartEnded(),
        PartBegun(Text("")),
        Delta("a"),
        PartEnded(),
        Ended(),
    ]


@pytest.mark.parametrize(
    "events",
    [
        [delta("text_delta", text="a")],
        [block("text", text=""), delta("text_delta", 1, text="a")],
        [block("text", text=""), end(), delta("text_delta", text="a")],
        [START],
        [{"type": "content_block_start", "index": 0}],
        [block("text")],
        [block("text", text=1)],
        [block("server_tool_use", id="s"), delta("input_json_delta", partial_json="[]"), end()],
        [block("server_tool_use", id="s"), *[delta("input_json_delta", partial_json=" " * 600_000)] * 2],
    ],
)
def test_stream_that_makes_no_sense_is_the_providers_fault_and_what_came_before_is_told(events: list[Any]) -> None:
    decoder = CODEC.stream_decoder(provider="anthropic")

    told = [*decoder.feed(frames(START, *events))]

    assert told[:2] == BEGUN
    for again in (lambda: decoder.feed(b"more"), decoder.close):
        with pytest.raises(UpstreamMalformed):
            again()


@pytest.mark.parametrize(
    "data",
    [
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b'data: {"type":1}\n\n',
        b'data: {"type":"ping","x":"\xff"}\n\n',
        b"data: " + b"[" * 99_999 + b"\n\n",
        b"data: " + b"x" * MAX_EVENT_BYTES,
        frames(block("text", text="")),
    ],
)
def test_what_is_no_stream_is_the_providers_fault(data: bytes) -> None:
    if b"\xff" in data:
        # What nobody reads may be anything: the bytes were replaced.
        assert CODEC.stream_decoder(provider="anthropic").feed(data) == []
        return
    with pytest.raises(UpstreamMalformed):
        CODEC.stream_decoder(provider="anthropic").feed(data)


# Written


def written(*events: Event) -> bytes:
    encoder = CODEC.stream_encoder(Request("m", ()))
    return b"".join(encoder.encode([event]) for event in (Begun("a", "m"), *events))


def kinds(stream: bytes) -> list[str]:
    return [line[7:] for line in stream.decode().splitlines() if line.startswith("event: ")]


def said(part: Part, *deltas: Delta) -> list[Event]:
    return [PartBegun(part), *deltas, PartEnded()]


def test_order_of_events_is_the_documented_one() -> None:
    stream = written(
        *said(Thinking(), Delta("hm"), Delta(opaque=SIGNATURE)),
        *said(Text(""), Delta("Hi")),
        *said(ToolCall("a", "n", ""), Delta("{}")),
        Finished(Finish(Stop.TOOL_CALLS)),
        UsageSeen(Usage(5, 6)),
        Ended(),
    )

    assert kinds(stream) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_sdk_gets_text_thinking_and_calls_as_they_come() -> None:
    stream = written(
        *said(Thinking(), Delta("h"), Delta("m"), Delta(opaque=SIGNATURE)),
        *said(Text(""), Delta("He"), Delta("y"), Delta(citation=Citation("https://x", "T", "c"))),
        *said(ToolCall("a", "n", ""), Delta('{"a"'), Delta(":[1]}")),
        Finished(Finish(Stop.TOOL_CALLS)),
        Ended(),
    )

    seen = [(event.type, getattr(event, event.type, None)) for event in sdk.events(stream)]  # type: ignore[attr-defined]

    assert [text for kind, text in seen if kind == "text"] == ["He", "y"]
    assert [text for kind, text in seen if kind == "thinking"] == ["h", "m"]
    assert ("signature", "sig") in seen
    assert "citation" in dict(seen)
    message = sdk.collected(stream)
    assert message.content[2].to_dict() == {"type": "tool_use", "id": "a", "name": "n", "input": {"a": [1]}}


def test_counts_that_come_with_the_beginning_are_told_with_it() -> None:
    encoder = CODEC.stream_encoder(Request("m", ()))

    start = encoder.encode([Begun("a", "m", service_tier="default"), UsageSeen(Usage(15, 1, cached_input=5))])

    message = msgspec.json.decode(start.split(b"data: ")[1])["message"]
    assert message["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": 5,
        "output_tokens": 1,
        "service_tier": "standard",
    }


def test_counts_that_come_last_are_the_sdks() -> None:
    counts = UsageSeen(Usage(321, 9, cached_input=20, cache_write=300, reasoning=4))

    usage = sdk.collected(written(Finished(Finish(Stop.LENGTH)), counts, Ended())).usage

    assert (usage.input_tokens, usage.output_tokens) == (1, 9)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (20, 300)
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 4


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([Finished(Finish(Stop.STOP_SEQUENCE, "x"))], "stop_sequence"),
        ([*said(ToolCall("a", "n", "")), Finished(Finish(Stop.END))], "tool_use"),
        ([*said(ToolCall("a", "n", ""))], "tool_use"),
        ([*said(Refusal(""), Delta("No."))], "refusal"),
        ([], "end_turn"),
    ],
)
def test_reason_comes_at_the_end(events: list[Event], reason: str) -> None:
    message = sdk.collected(written(*events, Ended()))

    assert message.stop_reason == reason
    assert message.stop_sequence == ("x" if reason == "stop_sequence" else None)


def test_text_that_never_comes_has_no_block_and_indices_have_no_gap() -> None:
    stream = written(
        *said(Text("")),
        *said(Image(Linked("https://x/a"))),
        *said(Foreign("responses", "web_search_call", raw({}))),
        *said(Audio(None, "a"), Delta("Said")),
        *said(Text(""), Delta("Hi")),
        Ended(),
    )

    message = sdk.collected(stream)

    assert [block.to_dict()["text"] for block in message.content] == ["Said", "Hi"]
    assert b'"index":2' not in stream


def test_opaque_thinking_has_its_data_wherever_they_come() -> None:
    data = Opaque("messages", "anthropic", "data")
    stream = written(
        *said(Thinking(redacted=True), Delta(opaque=data)),
        *said(Thinking(opaque=SIGNATURE)),
        Ended(),
    )

    assert [block.to_dict() for block in sdk.collected(stream).content] == [
        {"type": "redacted_thinking", "data": "data"},
        {"type": "thinking", "thinking": "", "signature": "sig"},
    ]


def test_signature_behind_a_text_is_not_an_answers_last_block() -> None:
    """Agents take that for what the answer says; a text that something follows keeps its signature."""
    theirs = Opaque("gemini", "google", "sig")
    signed = (Text(""), Delta("Hi"), Delta(opaque=theirs))
    encoder = MessagesStreamEncoder()
    message = sdk.collected(encoder.encode([*said(*signed), Ended()]))
    assert [block.type for block in message.content] == ["text"]
    assert encoder.unsaid == ("answer.signature",)

    encoder = MessagesStreamEncoder()
    events = [*said(*signed), *said(ToolCall("a", "n", ""), Delta("{}")), Ended()]
    message = sdk.collected(encoder.encode(events))
    assert [block.type for block in message.content] == ["text", "redacted_thinking", "tool_use"]
    assert encoder.unsaid == ()


@pytest.mark.parametrize("early", [True, False])
def test_signature_of_a_call_travels_beside_it(early: bool) -> None:
    theirs = Opaque("gemini", "google", "sig")
    call = ToolCall("a", "n", "", opaque=theirs if early else None)
    late = [] if early else [Delta(opaque=theirs)]

    message = sdk.collected(written(*said(call, Delta("{}"), *late), Ended()))

    kinds = [block.type for block in message.content]
    assert kinds == (["redacted_thinking", "tool_use"] if early else ["tool_use", "redacted_thinking"])
    history = {"role": "assistant", "content": [block.to_dict() for block in message.content]}
    request = CODEC.decode_request(msgspec.json.encode({"model": "m", "messages": [history]}))
    assert request.messages[0].parts == (ToolCall("a", "n", "", opaque=theirs),)


def test_own_blocks_pass() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}

    [found] = sdk.collected(written(*said(Foreign("messages", "server_tool_use", raw(search))), Ended())).content

    assert found.to_dict() == search


def test_error_is_raised_by_the_sdk_and_nothing_follows_it() -> None:
    failure = Failed(ProviderFailure(529, FailureKind.OVERLOADED, "Overloaded"))

    stream = written(*said(Text(""), Delta("Hi")), failure, *said(Text(""), Delta("more")), Ended())

    assert kinds(stream)[-1] == "error"
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(sdk.events(stream))


def test_other_choices_are_not_written() -> None:
    stream = written(PartBegun(Text(""), 1), Delta("other", 1), PartEnded(1), Finished(Finish(Stop.LENGTH), 1), Ended())

    message = sdk.collected(stream)

    assert (message.content, message.stop_reason) == ([], "end_turn")


def test_stream_of_another_is_read_as_it_was_said() -> None:
    events = [*said(Text(""), Delta("Hi")), Finished(Finish(Stop.END)), UsageSeen(Usage(1, 2)), Ended()]

    decoder = CODEC.stream_decoder(provider="anthropic")
    found = decoder.feed(written(*events))

    assert collect(found) == collect([Begun("a", "m"), *events])
