"""What a caller of the Responses API gets, whole or streamed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import openai
import pytest
from pydantic import BaseModel

from llm_gateway.core.sse import EventStreamParser
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
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import Begun, Delta, Ended, Event, Failed, PartBegun, PartEnded
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.responses.codec import ResponsesCodec
from tests.core.translation.responses import codex
from tests.core.translation.responses.official import checked_response, checked_stream, client

NOW = 1_800_000_000.0
CODEC = ResponsesCodec(now=lambda: NOW, new_id=lambda: "new")
ASKED = Request("m", (Message(Role.USER, (Text("Hi"),)),), stream=True, dialect="responses")


DONE = Finish(Stop.END)


def answer(*parts: Part, finish: Finish | None = DONE, **fields: Any) -> Answer:
    return Answer(**{"id": "a", "model": "claude", "choices": (Choice(parts, finish),), "created": 7, **fields})


def whole(*parts: Part, asked: Request = ASKED, **fields: Any) -> dict[str, Any]:
    written = CODEC.encode_answer(answer(*parts, **fields), asked)
    checked_response(written)
    document: dict[str, Any] = msgspec.json.decode(written)
    return document


def streamed(*parts: Part, asked: Request = ASKED, **fields: Any) -> list[dict[str, Any]]:
    written = CODEC.stream_encoder(asked).encode(exploded(answer(*parts, **fields)))
    checked_stream(written)
    return events(written)


def events(written: bytes) -> list[dict[str, Any]]:
    parser = EventStreamParser(16 * 1024 * 1024)
    found = [msgspec.json.decode(event.data) for event in parser.feed(written)]
    parser.close()
    return found


def ask(**fields: object) -> Request:
    return CODEC.decode_request(msgspec.json.encode({"model": "m", "input": "Hi", **fields}))


# The Response


def test_response_repeats_what_was_asked() -> None:
    function = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
    asked = ask(
        instructions="Be brief.",
        max_output_tokens=99,
        metadata={"a": "b"},
        parallel_tool_calls=False,
        prompt_cache_key="k",
        reasoning={"effort": "low", "summary": "auto"},
        safety_identifier="u",
        temperature=0.5,
        top_p=0.25,
        top_logprobs=2,
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        tool_choice={"type": "function", "name": "look"},
        tools=[function, {"type": "web_search"}, {"type": "local_shell"}, *codex.TOOLS[3:]],
    )
    response = whole(Text("So."), asked=asked, service_tier="flex")

    echo = {
        "background": False,
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "u",
        "service_tier": "flex",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tool_choice": {"type": "function", "name": "look"},
        "top_logprobs": 2,
        "top_p": 0.25,
        "truncation": "disabled",
        "user": None,
    }
    assert {name: response[name] for name in echo} == echo
    assert [tool["type"] for tool in response["tools"]] == ["function", "local_shell", "namespace", "web_search"]
    assert response["tools"][0] == function


def test_response_has_an_id_a_time_and_ids_of_items() -> None:
    response = whole(Text("So."), ToolCall("c1", "look", "{}"), id="msg_01")

    assert (response["id"], response["object"], response["created_at"]) == ("resp_msg_01", "response", 7)
    assert (response["status"], response["completed_at"]) == ("completed", int(NOW))
    assert [item["id"] for item in response["output"]] == ["msg_msg_01_0", "fc_msg_01_1"]


def test_answer_without_id_and_time_gets_them() -> None:
    response = whole(Text("So."), id="", created=None)

    assert (response["id"], response["created_at"]) == ("resp_new", int(NOW))


def test_usage_is_told_with_its_parts() -> None:
    usage = Usage(input=10, output=20, cached_input=3, cache_write=2, reasoning=5)

    assert whole(Text("So."), usage=usage)["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 30,
    }
    assert whole(Text("So."))["usage"] is None


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        (Stop.END, "completed", None),
        (Stop.STOP_SEQUENCE, "completed", None),
        (Stop.TOOL_CALLS, "completed", None),
        (Stop.PAUSE, "completed", None),
        (Stop.OTHER, "completed", None),
        (Stop.LENGTH, "incomplete", "max_output_tokens"),
        (Stop.CONTEXT, "incomplete", "max_output_tokens"),
        (Stop.FILTERED, "incomplete", "content_filter"),
        (Stop.REFUSAL, "incomplete", "content_filter"),
        (Stop.ERROR, "failed", None),
    ],
)
def test_every_reason_to_stop_is_a_status(stop: Stop, status: str, reason: str | None) -> None:
    response = whole(Text("So."), finish=Finish(stop))

    assert response["status"] == status
    assert (response["incomplete_details"] or {}).get("reason") == reason
    assert (response["error"] is None) == (status != "failed")
    assert streamed(Text("So."), finish=Finish(stop))[-1]["type"] == f"response.{status}"


def test_refusal_in_words_completes_the_response() -> None:
    response = whole(Refusal("No."), finish=Finish(Stop.REFUSAL))

    assert response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_texts_in_a_row_are_one_message() -> None:
    output = whole(Text("One."), Text("Two.", (Citation("https://e.test", "E", start=0, end=2),)))["output"]

    assert [item["type"] for item in output] == ["message"]
    assert [content["text"] for content in output[0]["content"]] == ["One.", "Two."]
    assert output[0]["content"][1]["annotations"] == [
        {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 2}
    ]


def test_picture_is_what_the_image_tool_would_have_made() -> None:
    assert whole(Image(Inline("image/webp", "QUJD")))["output"] == [
        {
            "type": "image_generation_call",
            "id": "ig_a_0",
            "result": "QUJD",
            "status": "completed",
            "output_format": "webp",
        }
    ]


def test_what_only_another_dialect_has_is_not_shown() -> None:
    assert (
        whole(Foreign("messages", "server_tool_use", msgspec.Raw(b"{}")), Text("So."))["output"][0]["id"] == "msg_a_0"
    )


def test_sdk_parses_structured_output() -> None:
    class Point(BaseModel):
        x: int

    written = CODEC.encode_answer(answer(Text('{"x":3}')), ASKED)
    stream = CODEC.stream_encoder(ASKED).encode(exploded(answer(Text('{"x":3}'))))

    parsed = client(written, stream=False).responses.parse(model="m", input="Hi", text_format=Point)
    assert parsed.output_parsed == Point(x=3)
    with client(stream, stream=True).responses.stream(model="m", input="Hi", text_format=Point) as told:
        assert told.get_final_response().output_parsed == Point(x=3)


# Tools


def test_call_of_a_function_that_stands_for_a_custom_tool_is_one_of_the_tool() -> None:
    asked = CODEC.decode_request(msgspec.json.encode(codex.request()))
    call = ToolCall("c1", "apply_patch", '{"input":"*** Begin Patch\\n"}')
    item = {
        "type": "custom_tool_call",
        "id": "ctc_a_0",
        "call_id": "c1",
        "name": "apply_patch",
        "input": "*** Begin Patch\n",
        "status": "completed",
    }

    assert whole(call, asked=asked)["output"] == [item]
    told = streamed(call, asked=asked)
    assert [event["type"].removeprefix("response.") for event in told[2:-1]] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert told[3]["delta"] == told[4]["input"] == "*** Begin Patch\n"


def test_call_of_a_custom_tool_is_streamed_as_it_comes() -> None:
    asked = ask(tools=[{"type": "custom", "name": "patch"}])
    encoder = CODEC.stream_encoder(asked)
    encoder.encode([Begun("a", "m"), PartBegun(ToolCall("c1", "patch", "", custom=True))])

    assert events(encoder.encode([Delta("*** ")]))[0]["delta"] == "*** "


def test_call_of_a_tool_in_a_namespace_names_both() -> None:
    asked = CODEC.decode_request(msgspec.json.encode(codex.request()))
    [item] = whole(ToolCall("c1", "mcp__files__read", '{"path":"a"}'), asked=asked)["output"]

    assert (item["namespace"], item["name"]) == ("mcp__files", "read")


@pytest.mark.parametrize(
    ("tool", "arguments", "item"),
    [
        (
            {"type": "local_shell"},
            '{"command":["ls"],"timeout_ms":5}',
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5},
                "status": "completed",
            },
        ),
        (
            {"type": "shell"},
            '{"commands":["ls"]}',
            {"type": "shell_call", "action": {"commands": ["ls"]}, "status": "completed"},
        ),
        (
            {"type": "apply_patch"},
            '{"type":"create_file","path":"a","diff":"+b"}',
            {
                "type": "apply_patch_call",
                "operation": {"type": "create_file", "path": "a", "diff": "+b"},
                "status": "completed",
            },
        ),
        (
            {"type": "local_shell"},
            '{"command":"ls"}',
            {"type": "function_call", "name": "local_shell", "arguments": '{"command":"ls"}', "status": "completed"},
        ),
    ],
)
def test_call_of_a_tool_that_the_caller_runs_is_the_item_that_it_waits_for(
    tool: dict[str, Any], arguments: str, item: dict[str, Any]
) -> None:
    asked = ask(tools=[tool])
    call = ToolCall("c1", str(tool["type"]), arguments)

    assert whole(call, asked=asked)["output"] == [{**item, "id": "fc_a_0", "call_id": "c1"}]
    assert streamed(call, asked=asked)[-1]["response"]["output"] == [{**item, "id": "fc_a_0", "call_id": "c1"}]


# Over two turns


def test_codex_sends_back_what_another_provider_made() -> None:
    """Codex keeps of a stream the items that are done, and sends them with its next request."""
    asked = CODEC.decode_request(msgspec.json.encode(codex.request()))
    made = (
        Thinking("Hm.", Opaque("messages", "claude", "c2ln")),
        Thinking("", Opaque("messages", "claude", "YmxhY2s="), redacted=True),
        Text("I look."),
        ToolCall("c1", "exec_command", '{"cmd":"ls"}'),
        ToolCall("c2", "apply_patch", '{"input":"*** Begin"}'),
        ToolCall("c3", "mcp__files__read", "{}"),
    )
    items = [event["item"] for event in streamed(*made, asked=asked) if event["type"] == "response.output_item.done"]
    for item in items:
        item.pop("status", None)
        if item["type"] == "reasoning":
            item["content"] = None

    again = CODEC.decode_request(msgspec.json.encode(codex.request(*items)))

    assert again.messages[-1].parts == (
        *made[:4],
        ToolCall("c2", "apply_patch", "*** Begin", custom=True),
        made[5],
    )


def test_signatures_of_calls_and_texts_come_back_to_what_they_sign() -> None:
    first, second = Opaque("gemini", "google", "b25l"), Opaque("gemini", "google", "dHdv")
    made = (
        Text("One.", opaque=first),
        Text("Two."),
        ToolCall("c1", "look", "{}", opaque=second),
        ToolCall("c2", "look", "{}"),
    )
    response = whole(*made)

    assert streamed(*made)[-1]["response"]["output"] == response["output"]
    assert ask(input=response["output"]).messages[0].parts == made


# The stream


def test_events_come_in_the_order_that_the_sdks_demand() -> None:
    told = streamed(
        Thinking("Hm.", Opaque("messages", "claude", "c2ln")),
        Text("So.", (Citation("https://e.test", "E"),)),
        Refusal("No."),
        ToolCall("c1", "look", '{"at":1}'),
        ToolCall("c2", "look", ""),
    )

    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    indices = [event["output_index"] for event in told if "output_index" in event]
    assert indices == sorted(indices)
    assert [event["content_index"] for event in told if "content_index" in event] == [0] * 5 + [1] * 4


def test_every_event_names_the_item_that_is_open() -> None:
    told = streamed(Text("So."), ToolCall("c1", "look", "{}"))
    open_item = None
    for event in told:
        if event["type"] == "response.output_item.added":
            open_item = event["item"]["id"]
        elif "item_id" in event:
            assert event["item_id"] == open_item
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == open_item


def test_deltas_go_out_one_by_one() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    encoder.encode([Begun("a", "m"), PartBegun(Text(""))])

    assert [events(encoder.encode([Delta(piece)]))[0]["delta"] for piece in ("So", " it", " is")] == [
        "So",
        " it",
        " is",
    ]


def test_tools_that_were_written_over_lines_do_not_break_the_stream() -> None:
    body = b'{"model": "m", "input": "Hi", "tools": [\r\n{"type": "function",\n "name": "x",\n "parameters": {\n}}]}'
    written = CODEC.stream_encoder(CODEC.decode_request(body)).encode(exploded(answer(Text("a\nb"))))

    assert events(written)[-1]["response"]["tools"][0]["name"] == "x"
    assert all(line.startswith((b"event: ", b"data: ")) for line in written.split(b"\n") if line)


def test_other_choices_are_not_told() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    written = encoder.encode(
        [Begun("a", "m"), PartBegun(Text(""), 1), Delta("x", 1), PartEnded(1), PartBegun(Text("")), Delta("y")]
    )

    assert [event["delta"] for event in events(written) if "delta" in event] == ["y"]


@pytest.mark.parametrize("begun", [True, False])
def test_error_in_a_stream_makes_the_sdk_raise_and_codex_stop(begun: bool) -> None:
    failure = ProviderFailure(400, FailureKind.CONTEXT_OVERFLOW, "Too long.", "input")
    before: list[Event] = [Begun("a", "m"), PartBegun(Text("")), Delta("So")] if begun else []
    written = CODEC.stream_encoder(ASKED).encode([*before, Failed(failure), Ended()])
    told = events(written)

    assert [event["type"] for event in told[-2:]] == ["error", "response.failed"]
    assert told[-1]["response"]["status"] == "failed"
    assert told[-1]["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}
    assert told[0]["type"] == "response.created"
    with (
        pytest.raises(openai.APIError, match=r"Too long\.") as caught,
        client(written, stream=True).responses.stream(model="m", input="Hi") as stream,
    ):
        stream.until_done()
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_error_is_read_from_a_stream_as_it_was_written(kind: FailureKind) -> None:
    written = CODEC.stream_encoder(ASKED).encode([Failed(ProviderFailure(500, kind, "Sorry."))])
    [failed] = [event for event in CODEC.stream_decoder(provider="p").feed(written) if isinstance(event, Failed)]

    assert failed.failure.kind is kind
    assert failed.failure.message == "Sorry."


def test_nothing_is_written_behind_the_end() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    encoder.encode(exploded(answer(Text("So."))))

    assert encoder.encode([PartBegun(Text("")), Delta("x"), Ended(), Begun("b", "m")]) == b""


def test_whole_parts_are_items_that_begin_and_end_at_once() -> None:
    action = {"type": "search", "query": "x"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    made = (
        Foreign("responses", "web_search_call", msgspec.Raw(msgspec.json.encode(search))),
        Image(Inline("image/png", "QUJD")),
        Image(Linked("https://e.test/a.png")),
        Foreign("messages", "server_tool_use", msgspec.Raw(b"{}")),
        Audio(Inline("audio/wav", "QUJD"), transcript="Said."),
    )
    told = streamed(*made)

    assert told[-1]["response"]["output"] == whole(*made)["output"]
    assert [item["type"] for item in told[-1]["response"]["output"]] == [
        "web_search_call",
        "image_generation_call",
        "message",
    ]


def test_part_that_begins_with_all_of_it_is_told_by_a_delta() -> None:
    citation = Citation("https://e.test", "E", start=0, end=2)
    made = (Text("So.", (citation,)), Thinking("Hm."), ToolCall("c1", "look", '{"at":1}'))
    told: list[Event] = [Begun("a", "claude", 7)]
    for part in made:
        told += [PartBegun(part), PartEnded()]
    written = CODEC.stream_encoder(ASKED).encode([*told, Ended()])
    checked_stream(written)

    assert events(written)[-1]["response"]["output"] == whole(*made)["output"]


def test_parts_that_follow_each_other_without_an_end_are_told_apart() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    told = events(encoder.encode([Begun("a", "m"), PartBegun(Text("")), Delta("x"), PartBegun(Thinking()), Ended()]))
    kinds = [event["type"] for event in told]

    for before, after in pairwise(told):
        assert before["sequence_number"] + 1 == after["sequence_number"]
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 2
