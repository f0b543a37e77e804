"""A caller's request, read: every field has its neutral place, or is kept under its own name."""

from __future__ import annotations

import base64

import msgspec
import pytest

from llm_gateway.core.translation.conversation import (
    CacheMark,
    ChoiceMode,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Request,
    Role,
    Sampling,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.core.translation.opaque import sealed, sealed_thinking
from llm_gateway.errors import BadRequest

CODEC = MessagesCodec()

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x/a"}}


def raw(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def read(**fields: object) -> Request:
    document = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return CODEC.decode_request(msgspec.json.encode(document))


def blocks(*content: object, role: str = "user") -> tuple[Part, ...]:
    return read(messages=[{"role": role, "content": list(content)}]).messages[0].parts


def test_plain_request() -> None:
    request = read(max_tokens=10, stream=True, stop_sequences=["a"], temperature=0.5, top_p=1, top_k=5)

    assert request == Request(
        "m",
        (Message(Role.USER, (Text("Hi"),)),),
        stream=True,
        max_tokens=10,
        stop=("a",),
        sampling=Sampling(temperature=0.5, top_p=1.0, top_k=5),
        dialect="messages",
    )


def test_path_and_route_say_it_better_than_the_body() -> None:
    request = CODEC.decode_request(b'{"messages":[],"stream":true}', model="other", stream=False)

    assert (request.model, request.stream) == ("other", False)


def test_system_comes_first_whether_text_or_blocks() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}

    assert read(system="Be brief.").messages[0] == Message(Role.SYSTEM, (Text("Be brief."),))
    assert read(system=[{"type": "text", "text": "A", "cache_control": mark}, {"type": "text", "text": "B"}]).messages[
        0
    ] == Message(Role.SYSTEM, (Text("A", cache=CacheMark("1h")), Text("B")))
    assert len(read(system="").messages) == len(read(system=[]).messages) == 1


def test_instructions_in_the_middle_stay_where_they_are() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "assistant", "content": "c"}]

    roles = [message.role for message in read(system="s", messages=said).messages]

    assert roles == [Role.SYSTEM, Role.USER, Role.SYSTEM, Role.ASSISTANT]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "text", "text": "a", "citations": None}, Text("a")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            Image(Inline("image/png", "QQ==")),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/a"}, "cache_control": {"type": "ephemeral"}},
            Image(Linked("https://x/a"), cache=CacheMark()),
        ),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, Image(Stored("f", "anthropic"))),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                "title": "T",
                "context": "C",
                "citations": {"enabled": True},
            },
            Document(Inline("application/pdf", "QQ=="), "T", "C", citations=True),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
            Document(Inline("text/plain", base64.b64encode("é".encode()).decode())),
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}] * 2}},
            Document(Inline("text/plain", base64.b64encode(b"a\n\na").decode())),
        ),
        ({"type": "document", "source": {"type": "url", "url": "https://x/a"}}, Document(Linked("https://x/a"))),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, Document(Stored("f", "anthropic"))),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, Thinking("hm", Opaque("messages", None, "s"))),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, Thinking("hm")),
        ({"type": "redacted_thinking", "data": "d"}, Thinking(opaque=Opaque("messages", None, "d"), redacted=True)),
        (
            {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}, "caller": {"type": "direct"}},
            ToolCall("i", "n", '{"a":1}'),
        ),
        ({"type": "tool_use", "id": "i", "name": "n", "input": {}}, ToolCall("i", "n", "")),
        ({"type": "tool_result", "tool_use_id": "i"}, ToolResult("i", ())),
        (
            {"type": "tool_result", "tool_use_id": "i", "content": "no", "is_error": True},
            ToolResult("i", (Text("no"),), is_error=True),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "i",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image", "source": {"type": "url", "url": "https://x/a"}},
                    {"type": "document", "source": {"type": "url", "url": "https://x/a"}},
                ],
                "cache_control": {"type": "ephemeral", "ttl": "5m"},
            },
            ToolResult(
                "i",
                (Text("a"), Image(Linked("https://x/a")), Document(Linked("https://x/a"))),
                cache=CacheMark("5m"),
            ),
        ),
    ],
)
def test_blocks_become_parts(block: object, part: Part) -> None:
    assert blocks(block) == (part,)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "i", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "i", "content": []},
        {"type": "mcp_tool_use", "id": "i", "name": "n", "server_name": "s", "input": {}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "container_upload", "file_id": "f"},
        {"type": "tool_use", "id": "i", "name": "n", "input": {}, "caller": {"type": "code_execution_20260120"}},
        {"type": "document", "source": {"type": "content", "content": [IMAGE]}},
        {"type": "image", "source": {"type": "hologram"}},
        {"type": "of_tomorrow", "anything": [1]},
    ],
)
def test_blocks_that_only_this_dialect_has_are_kept_as_they_are(block: dict[str, object]) -> None:
    assert blocks(block) == (Foreign("messages", str(block["type"]), raw(block)),)


def test_reference_to_a_tool_is_a_hint_since_all_tools_are_there() -> None:
    reference = {"type": "tool_reference", "tool_name": "n"}

    [result] = blocks({"type": "tool_result", "tool_use_id": "i", "content": [reference]})

    assert result == ToolResult("i", (Foreign("messages", "tool_reference", raw(reference), hint=True),))


def test_citations_keep_what_others_can_show_and_how_they_came() -> None:
    web = {
        "type": "web_search_result_location",
        "url": "https://x",
        "title": "T",
        "cited_text": "c",
        "encrypted_index": "e",
    }
    page = {"type": "page_location", "document_title": "D", "cited_text": "p", "document_index": 0}
    found = {"type": "search_result_location", "source": "https://y", "title": None, "cited_text": "s"}

    [part] = blocks({"type": "text", "text": "a", "citations": [web, page, found]}, role="assistant")

    assert part == Text(
        "a",
        (
            Citation("https://x", "T", "c", raw=raw(web)),
            Citation(None, "D", "p", raw=raw(page)),
            Citation("https://y", None, "s", raw=raw(found)),
        ),
    )


def test_thinking_of_another_dialect_is_known_again() -> None:
    theirs = Thinking("hm", Opaque("responses", "openai", "enc"), id="rs_1", summary=True)
    signature = sealed_thinking(theirs, "messages")

    assert blocks({"type": "thinking", "thinking": "hm", "signature": signature}, role="assistant") == (theirs,)


def test_signature_of_a_call_goes_back_to_the_call() -> None:
    data = sealed(Opaque("gemini", "google", "next:sig"), "messages")
    behind = sealed(Opaque("gemini", "google", "last:end"), "messages")

    found = blocks(
        {"type": "text", "text": "a"},
        {"type": "redacted_thinking", "data": behind},
        {"type": "redacted_thinking", "data": data},
        {"type": "tool_use", "id": "i", "name": "n", "input": {}},
        role="assistant",
    )

    signature = Opaque("gemini", "google", "sig")
    assert found == (Text("a", opaque=Opaque("gemini", "google", "end")), ToolCall("i", "n", "", opaque=signature))


def test_signature_whose_part_is_gone_is_dropped() -> None:
    data = sealed(Opaque("gemini", "google", "next:sig"), "messages")

    assert blocks({"type": "redacted_thinking", "data": data}, role="assistant") == ()


def test_tools_of_the_caller_and_of_the_provider_are_told_apart() -> None:
    schema = {"type": "object", "properties": {}}
    search = {"type": "web_search_20260318", "name": "web_search", "max_uses": 2}
    finder = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}

    request = read(
        tools=[
            search,
            finder,
            {"name": "a", "description": "d", "input_schema": schema, "strict": True},
            {"type": "custom", "name": "b", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
            {"name": "c", "input_schema": schema, "allowed_callers": ["direct"], "defer_loading": True},
        ]
    )

    assert request.tools == (
        Tool("a", "d", raw(schema), strict=True),
        Tool("b", None, raw(schema), cache=CacheMark()),
        Tool("c", None, raw(schema)),
    )
    assert request.foreign_tools == (
        Foreign("messages", "web_search_20260318", raw(search)),
        Foreign("messages", "tool_search_tool_bm25_20251119", raw(finder), hint=True),
    )
    assert set(request.extras) == request.hints == {"tools[2].defer_loading"}


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(ChoiceMode.AUTO), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(ChoiceMode.REQUIRED), False),
        ({"type": "tool", "name": "t"}, ToolChoice(ChoiceMode.REQUIRED, ("t",)), None),
        ({"type": "none", "disable_parallel_tool_use": False}, ToolChoice(ChoiceMode.NONE), True),
        (None, None, None),
    ],
)
def test_tool_choice_in_all_forms(choice: object, expected: ToolChoice | None, parallel: bool | None) -> None:
    request = read(tool_choice=choice)

    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(enabled=True, budget_tokens=2000)),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}},
            Reasoning(enabled=True, adaptive=True, show="none", effort="xhigh"),
        ),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, Reasoning(True, adaptive=True, show="auto")),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
        ({"thinking": None, "output_config": {}}, None),
    ],
)
def test_thinking_and_effort(fields: dict[str, object], expected: Reasoning | None) -> None:
    request = read(**fields)

    assert request.reasoning == expected
    assert not request.extras


def test_other_words_for_not_thinking_are_hints() -> None:
    request = read(thinking={"type": "between_tools"})

    assert request.reasoning == Reasoning(enabled=False)
    assert request.extras == {"thinking": raw({"type": "between_tools"})}
    assert request.hints == {"thinking"}


def test_output_format_in_its_new_place_and_its_old() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"type": "json_schema", "schema": schema}

    assert read(output_config={"format": form}).output == read(output_format=form).output == OutputFormat(raw(schema))


def test_user_and_tier_have_neutral_names() -> None:
    request = read(metadata={"user_id": "u"}, service_tier="standard_only")

    assert (request.user, request.service_tier) == ("u", "default")


def test_what_has_no_neutral_place_is_kept_by_name_and_weight() -> None:
    fields: dict[str, object] = {
        "container": "c",
        "mcp_servers": [{"type": "url", "url": "https://x", "name": "n"}],
        "inference_geo": "eu",
        "of_tomorrow": {"a": 1},
        "context_management": {"edits": []},
        "cache_control": {"type": "ephemeral"},
        "speed": "fast",
        "betas": ["b"],
        "gone": None,
    }

    request = read(**fields, output_config={"task_budget": {"type": "tokens", "total": 1}}, metadata={"more": 1})

    expected = {name: raw(value) for name, value in fields.items() if value is not None}
    expected |= {"output_config.task_budget": raw({"type": "tokens", "total": 1}), "metadata.more": raw(1)}
    assert request.extras == expected
    assert request.hints == expected.keys() - {"container", "mcp_servers", "inference_geo", "of_tomorrow"}


def test_fields_of_blocks_and_messages_are_kept_by_their_place() -> None:
    content = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "scope": "global"}},
        {"type": "image", "source": {"type": "url", "url": "u"}, "transformations": {"oversized_image": "error"}},
        {"type": "tool_result", "tool_use_id": "i", "toolset_name": "browser"},
    ]

    request = read(messages=[{"role": "user", "content": content, "clear_at": 3}])

    assert request.extras == {
        "messages[0].content[0].cache_control.scope": raw("global"),
        "messages[0].content[1].transformations": raw({"oversized_image": "error"}),
        "messages[0].content[2].toolset_name": raw("browser"),
        "messages[0].clear_at": raw(3),
    }
    assert request.hints == {
        "messages[0].content[0].cache_control.scope",
        "messages[0].content[1].transformations",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model: is required."),
        ({"model": 1}, "model: Expected `str`, got `int`."),
        ({"messages": "Hi"}, "messages: Expected `array`, got `str`."),
        ({"messages": [1]}, "messages[0]: Expected `object`, got `int`."),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role: must be user, assistant or system."),
        ({"messages": [{"role": "user"}]}, "messages[0].content: is required."),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type: is required."),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text: is required.",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "messages[0].content[0].source: is required.",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": 1}]}]},
            "messages[0].content[0].input: Expected `object`, got `int`.",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "i",
                                "content": [{"type": "tool_use", "id": "i", "name": "n", "input": {}}],
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].content[0].type: may not be of this kind in the result of a tool.",
        ),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system: may only be text."),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name: is required."),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type: must be auto, any, tool or none."),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: is required."),
        ({"output_format": {"type": "xml"}}, "output_format.type: must be json_schema."),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: is required."),
        ({"stop_sequences": "a"}, "stop_sequences: Expected `array`, got `str`."),
        ({"temperature": "hot"}, "temperature: Expected `float`, got `str`."),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**fields)

    assert caught.value.message == message


def test_request_without_messages_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"^messages: is required\.$"):
        CODEC.decode_request(b'{"model":"m"}')
