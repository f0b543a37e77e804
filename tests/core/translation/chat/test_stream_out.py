"""Streams as the official SDK demands them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.conversation import (
    Audio,
    Citation,
    Finish,
    Foreign,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    Tool,
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
from tests.core.translation.chat.sdk import chunks_of, ended

PLAIN = Request("alias", (), stream=True)
END: list[Event] = [Finished(Finish(Stop.END)), Ended()]

codec = ChatCodec(now=lambda: 1_700_000_000.9)


def part(kind: Part, *deltas: Delta) -> list[Event]:
    return [PartBegun(kind), *deltas, PartEnded()]


def written(*events: Event, request: Request = PLAIN) -> bytes:
    return codec.stream_encoder(request).encode([Begun("a1", "m", 7), *events])


def documents(stream: bytes) -> list[Any]:
    frames = stream.decode().split("\n\n")[:-1]
    return [frame[6:] if frame == "data: [DONE]" else msgspec.json.decode(frame[6:]) for frame in frames]


def deltas(*events: Event, request: Request = PLAIN) -> list[dict[str, Any]]:
    """Those of the first choice, without the one with the role and the one with the reason to finish."""
    found = documents(written(*events, *END, request=request))[:-1]
    return [each["choices"][0]["delta"] for each in found][1:-1]


def test_stream_of_a_text_frame_by_frame() -> None:
    stream = written(*part(Text(""), Delta('Hel"'), Delta("lo\n")), *END)
    head = b'data: {"id":"a1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":'
    rest = b',"logprobs":null,"finish_reason":null}]}\n\n'
    assert stream == (
        head + b'{"role":"assistant","content":"","refusal":null}' + rest
        + head + b'{"content":"Hel\\""}' + rest
        + head + b'{"content":"lo\\n"}' + rest
        + head + b'{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
        + b"data: [DONE]\n\n"
    )  # fmt: skip


def test_usage_comes_last_without_choices_if_it_was_asked_for() -> None:
    request = msgspec.structs.replace(PLAIN, include_usage=True)
    events = [*part(Text(""), Delta("x")), UsageSeen(Usage(input=5)), UsageSeen(Usage(output=2)), *END]
    *chunks, last = chunks_of(written(*events, request=request))
    assert all(chunk.usage is None and "usage" in chunk.to_dict() and chunk.choices for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (5, 2, 7)
    assert b"usage" not in written(*events)


def test_all_chunks_are_of_one_completion() -> None:
    stream = codec.stream_encoder(PLAIN).encode([Begun("", "", None, "standard"), *part(Text(""), Delta("x")), *END])
    seen = {(chunk.id, chunk.created, chunk.model, chunk.service_tier) for chunk in chunks_of(stream)}
    assert seen == {("chatcmpl-unknown", 1_700_000_000, "alias", "default")}


def test_cutting_events_over_calls_changes_nothing() -> None:
    events: list[Event] = [
        Begun("a1", "m", 7),
        *part(Thinking(), Delta("Hm"), Delta(opaque=Opaque("anthropic", "claude", "c2ln"))),
        *part(Text(""), Delta("x"), Delta(citation=Citation("https://a.test"))),
        *part(ToolCall("c1", "look", ""), Delta("{}")),
        *END,
    ]
    encoder = codec.stream_encoder(PLAIN)
    assert b"".join(encoder.encode([event]) for event in events) == codec.stream_encoder(PLAIN).encode(events)


def test_role_is_told_once_and_content_is_null_before_anything_but_text() -> None:
    first, *others = documents(
        written(*part(ToolCall("c1", "look", ""), Delta("{}")), *part(Text(""), Delta("x")), *END)
    )
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None, "refusal": None}
    assert not any("role" in each["choices"][0]["delta"] for each in others[:-1])


def test_choices_begin_in_the_order_of_their_indices() -> None:
    """The SDK finds a choice by its place in a list."""
    stream = written(
        PartBegun(Text(""), 2), Delta("c", 2), PartEnded(2), PartBegun(Text(""), 0), Delta("a", 0), PartEnded(0),
        Finished(Finish(Stop.END), 2), Finished(Finish(Stop.END), 0), Finished(Finish(Stop.LENGTH), 1), Ended(),
    )  # fmt: skip
    said = ended(stream)
    assert [(choice.index, choice.message.content, choice.finish_reason) for choice in said.choices] == [
        (0, "a", "stop"),
        (1, None, "length"),
        (2, "c", "stop"),
    ]


def test_parallel_calls_have_indices_and_one_id_and_name_each() -> None:
    events = [
        *part(ToolCall("c1", "look", ""), Delta('{"at"'), Delta(":1}")),
        *part(ToolCall("c2", "write", "")),
        Finished(Finish(Stop.TOOL_CALLS)),
        Ended(),
    ]
    (choice,) = ended(written(*events)).choices
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls or []
    assert [(call.id, call.type == "function" and call.function.to_dict()) for call in calls] == [
        ("c1", {"name": "look", "arguments": '{"at":1}', "parsed_arguments": None}),
        ("c2", {"name": "write", "arguments": "{}", "parsed_arguments": None}),
    ]


def test_custom_calls_and_functions_that_stand_in_for_them() -> None:
    patch = Tool("patch", custom=msgspec.Raw(b'{"type":"text"}'))
    request = msgspec.structs.replace(PLAIN, tools=(patch,))
    events = [
        *part(ToolCall("c1", "patch", "", custom=True), Delta("*** "), Delta("Begin")),
        *part(ToolCall("c2", "patch", ""), Delta('{"input":"***'), Delta(' End"}')),
    ]
    found = deltas(*events, request=request)
    inputs = [call["custom"].get("input") for delta in found for call in delta["tool_calls"] if call["index"] == 0]
    assert inputs == ["", "*** ", "Begin"]
    assert found[-1] == {"tool_calls": [{"index": 1, "custom": {"input": "*** End"}}]}


def test_functions_of_old_are_called_in_their_own_field() -> None:
    request = msgspec.structs.replace(PLAIN, tools=(Tool("look"),), legacy_functions=True)
    events = [*part(ToolCall("c1", "look", ""), Delta("{}")), *part(ToolCall("c2", "look", ""), Delta('{"a":1}'))]
    stream = written(*events, Finished(Finish(Stop.TOOL_CALLS)), Ended(), request=request)
    (choice,) = ended(stream).choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert choice.message.function_call.to_dict() == {"name": "look", "arguments": "{}"}


def test_thinking_is_told_to_read_and_to_send_back() -> None:
    sealed = Opaque("anthropic", "claude", "c2ln")
    events = [
        *part(Thinking(id="t1"), Delta("A"), Delta("."), Delta(opaque=sealed)),
        *part(Thinking(redacted=True, opaque=sealed)),
        *part(Thinking(summary=True), Delta("B.")),
        *part(Text(""), Delta("x")),
    ]
    message = ended(written(*events, *END)).choices[0].message.to_dict()
    assert message["reasoning_content"] == "A.\n\nB."
    again = codec.decode_request(
        msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}, message]})
    )
    assert again.messages[1].parts == (
        Thinking("A.", sealed, id="t1"),
        Thinking("", sealed, redacted=True),
        Thinking("B.", summary=True),
        Text("x"),
    )


def test_signatures_come_once_however_often_they_were_told() -> None:
    first, last = (Opaque("gemini", "google", name) for name in ("Zmlyc3Q=", "bGFzdA=="))
    events = [
        *part(Text(""), Delta("x"), Delta(opaque=first), Delta(opaque=last)),
        *part(ToolCall("c1", "look", "", first), Delta("{}"), Delta(opaque=last)),
    ]
    message = ended(written(*events, *END)).choices[0].message.to_dict()
    again = codec.decode_request(
        msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}, message]})
    )
    assert again.messages[1].parts == (Text("x", opaque=last), ToolCall("c1", "look", "{}", last))


def test_annotations_come_in_one_list_and_too_many_with_indices() -> None:
    """The SDK cannot add up two lists without indices."""
    cited = [Delta(citation=Citation(f"https://a.test/{number}")) for number in range(300)]
    stream = written(*part(Text(""), Delta("Abc"), *cited), *part(Text(""), Delta("D"), cited[0]), *END)
    annotations = ended(stream).choices[0].message.annotations or []
    urls = [each.url_citation.url for each in annotations]
    assert urls == [*(f"https://a.test/{number}" for number in range(300)), "https://a.test/0"]
    assert (annotations[0].url_citation.start_index, annotations[0].url_citation.end_index) == (0, 3)
    assert (annotations[300].url_citation.start_index, annotations[300].url_citation.end_index) == (3, 4)
    (message,) = [each for each in deltas(*part(Text(""), Delta("Abc"), *cited[:3])) if "annotations" in each]
    assert "index" not in message["annotations"][0]


def test_sound_and_images() -> None:
    events = [
        *part(Audio(Inline("audio/pcm", ""), "a1", expires_at=9), Delta("Hi"), Delta("!", audio="AAAA")),
        *part(Image(Inline("image/png", "iVBO"))),
        *part(Image(Inline("image/png", "iVBP"))),
    ]
    message = ended(written(*events, *END)).choices[0].message.to_dict()
    assert message["audio"] == {"id": "a1", "expires_at": 9, "transcript": "Hi!", "data": "AAAA"}
    images = message["images"]
    assert isinstance(images, list)
    assert [image["image_url"]["url"][-4:] for image in images] == ["iVBO", "iVBP"]


def test_parts_that_have_no_place_leave_no_trace() -> None:
    search = Foreign("messages", "web_search_tool_result", msgspec.Raw(b'{"secret":1}'))
    assert deltas(*part(search, Delta("secret")), *part(Text(""), Delta("x"))) == [{"content": "x"}]


def test_refusal_to_read_finishes_with_stop() -> None:
    events = [*part(Refusal(""), Delta("I won't.")), Finished(Finish(Stop.REFUSAL)), Ended()]
    (choice,) = ended(written(*events)).choices
    assert (choice.message.refusal, choice.message.content, choice.finish_reason) == ("I won't.", None, "stop")
    (filtered,) = ended(written(Finished(Finish(Stop.REFUSAL)), Ended())).choices
    assert filtered.finish_reason == "content_filter"


@pytest.mark.parametrize("begun", [True, False])
def test_failure_is_one_frame_and_the_last(begun: bool) -> None:
    failure = ProviderFailure(529, FailureKind.OVERLOADED, "Busy.")
    events: list[Event] = [Begun("a1", "m"), PartBegun(Text("")), Delta("x")] if begun else []
    stream = codec.stream_encoder(PLAIN).encode([*events, Failed(failure)])
    assert b"[DONE]" not in stream
    last = documents(stream)[-1]
    assert last == {"error": {"message": "Busy.", "type": "server_error", "param": None, "code": "server_overloaded"}}
