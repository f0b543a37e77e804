"""What a caller of the Responses API asks, in neutral words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.conversation import (
    Audio,
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
    Reasoning,
    Refusal,
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
from llm_gateway.core.translation.opaque import sealed
from llm_gateway.core.translation.responses.builtins import CALLS, OUTPUTS
from llm_gateway.core.translation.responses.codec import ResponsesCodec
from llm_gateway.errors import BadRequest
from tests.core.translation.responses import codex

CODEC = ResponsesCodec()


def read(document: dict[str, Any]) -> Request:
    return CODEC.decode_request(msgspec.json.encode(document))


def ask(**fields: object) -> Request:
    return read({"model": "m", "input": "Hi", **fields})


def items(*given: object) -> tuple[Message, ...]:
    return ask(input=list(given)).messages


def parts(*content: object, role: str = "user") -> tuple[object, ...]:
    (message,) = items({"role": role, "content": list(content)})
    return message.parts


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


# Messages


def test_input_as_text_is_a_message_of_the_user() -> None:
    assert ask(input="Hi").messages == (Message(Role.USER, (Text("Hi"),)),)


def test_instructions_come_first_as_a_system_message() -> None:
    assert ask(instructions="Be brief.").messages[0] == Message(Role.SYSTEM, (Text("Be brief."),))


@pytest.mark.parametrize("role", ["user", "system", "developer"])
def test_message_items_of_both_forms_are_messages(role: str) -> None:
    easy = {"role": role, "content": "Hi"}
    full = {"type": "message", "role": role, "status": "completed", "content": [{"type": "input_text", "text": "Hi"}]}

    assert items(easy) == items(full) == (Message(Role(role), (Text("Hi"),)),)


def test_items_of_the_assistant_become_one_message_up_to_the_next_of_another() -> None:
    read = items(
        {"role": "user", "content": "Look."},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"at":1}'},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "look", "arguments": '{"at":2}'},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"role": "user", "content": "And?"},
    )

    assert read == (
        Message(Role.USER, (Text("Look."),)),
        Message(
            Role.ASSISTANT,
            (
                Thinking("Hm.", id="rs_1", summary=True),
                Text("I look."),
                ToolCall("c1", "look", '{"at":1}'),
                ToolCall("c2", "look", '{"at":2}'),
            ),
        ),
        Message(Role.USER, (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),)))),
        Message(Role.USER, (Text("And?"),)),
    )


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (
            {"type": "input_image", "image_url": "https://e.test/a.png", "detail": "low"},
            Image(Linked("https://e.test/a.png"), "low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
            Image(Inline("image/png", "QUJD")),
        ),
        ({"type": "input_image", "file_id": "file-1", "detail": "auto"}, Image(Stored("file-1", "openai"), "auto")),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
            Document(Inline("application/pdf", "QUJD"), "a.pdf"),
        ),
        (
            {"type": "input_file", "filename": "a.txt", "file_data": "QUJD"},
            Document(Inline("text/plain", "QUJD"), "a.txt"),
        ),
        ({"type": "input_file", "file_url": "https://e.test/a.pdf"}, Document(Linked("https://e.test/a.pdf"))),
        ({"type": "input_file", "file_id": "file-1"}, Document(Stored("file-1", "openai"))),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            Audio(Inline("audio/wav", "QUJD")),
        ),
        (
            {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text("Hi", cache=CacheMark()),
        ),
        (
            {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
            Text("Hi", cache=CacheMark("1h")),
        ),
    ],
)
def test_every_kind_of_input_is_a_part(content: dict[str, Any], part: object) -> None:
    assert parts(content) == (part,)


def test_what_the_assistant_said_keeps_its_citations_and_refusals() -> None:
    url = {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 2}
    file = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 3}

    assert parts(
        {"type": "output_text", "text": "So.", "annotations": [url, file]},
        {"type": "refusal", "refusal": "No."},
        role="assistant",
    ) == (
        Text("So.", (Citation("https://e.test", "E", None, 0, 2, raw(url)), Citation(title="a.txt", raw=raw(file)))),
        Refusal("No."),
    )


def test_output_of_a_tool_may_be_a_list_of_content() -> None:
    output = [
        {"type": "input_text", "text": "See:"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
        {"type": "input_file", "file_url": "https://e.test/a.pdf"},
    ]
    call = {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"}
    (said, got) = items(call, {"type": "custom_tool_call_output", "call_id": "c1", "output": output})

    assert said.parts == (ToolCall("c1", "patch", "*** Begin", custom=True),)
    assert got.parts == (
        ToolResult(
            "c1",
            (Text("See:"), Image(Inline("image/png", "QUJD")), Document(Linked("https://e.test/a.pdf"))),
            custom=True,
        ),
    )


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}, True),
        ({"type": "file_search_call", "id": "fs_1", "queries": [], "status": "completed"}, True),
        ({"type": "computer_call", "call_id": "c", "id": "cu_1"}, False),
        ({"type": "compaction", "encrypted_content": "x"}, False),
        ({"type": "of_tomorrow", "x": 1}, False),
    ],
)
def test_calls_of_tools_of_openai_stay_as_they_came(item: dict[str, Any], hint: bool) -> None:
    (message,) = items(item)

    assert message == Message(Role.ASSISTANT, (Foreign("responses", item["type"], raw(item), hint),))


# Reasoning


def test_reasoning_of_openai_is_kept_with_the_id_that_it_is_bound_to() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
        "content": None,
        "encrypted_content": "gAAA",
    }

    assert items(item)[0].parts == (
        Thinking("One.\n\nTwo.", Opaque("responses", None, "gAAA"), id="rs_1", summary=True),
    )


def test_reasoning_item_with_summary_and_text_is_two_parts() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Short."}],
        "content": [{"type": "reasoning_text", "text": "Long."}],
        "encrypted_content": None,
    }

    assert items(item)[0].parts == (Thinking("Short.", id="rs_1", summary=True), Thinking("Long.", id="rs_1"))


def test_reasoning_item_with_nothing_in_it_is_no_part() -> None:
    assert items({"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "Hi"}) == (
        Message(Role.USER, (Text("Hi"),)),
    )


def test_reasoning_of_another_provider_comes_back_as_it_was() -> None:
    signature = Opaque("messages", "claude", "c2ln")
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": sealed(signature, "responses"),
    }

    assert items(item)[0].parts == (Thinking("Hm.", signature),)


# State


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"background": True},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
    ],
)
def test_what_openai_keeps_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(**fields)

    assert caught.value.message.startswith(next(iter(fields)))


@pytest.mark.parametrize(
    "fields",
    [{"previous_response_id": None}, {"conversation": None}, {"background": False}, {"store": False}, {"prompt": None}],
)
def test_what_is_not_asked_of_openai_is_no_matter(fields: dict[str, Any]) -> None:
    assert ask(**fields) == ask()


# Tools


def test_tools_of_every_kind_are_told_apart() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "integer"}}}
    form = {"type": "grammar", "syntax": "lark", "definition": "start: A"}
    search = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    request = ask(
        tools=[
            {"type": "function", "name": "look", "description": "Looks.", "parameters": schema, "strict": True},
            {"type": "custom", "name": "patch", "description": "Patches.", "format": form},
            {"type": "custom", "name": "say"},
            search,
        ]
    )

    assert request.tools == (
        Tool("look", "Looks.", raw(schema), True),
        Tool("patch", "Patches.", custom=raw(form)),
        Tool("say", custom=raw({"type": "text"})),
    )
    assert request.foreign_tools == (Foreign("responses", "file_search", raw(search)),)


def test_tools_of_a_namespace_have_one_flat_name_in_tools_and_calls() -> None:
    request = ask(
        tools=[
            {
                "type": "namespace",
                "name": "mcp__files",
                "description": "Files.",
                "tools": [
                    {"type": "function", "name": "read"},
                    {"type": "function", "name": "a_name_that_is_too_long_for_some_" * 2},
                ],
            }
        ],
        input=[
            {"type": "function_call", "call_id": "c", "namespace": "mcp__files", "name": "read", "arguments": "{}"},
        ],
    )

    assert request.tools[0].name == "mcp__files__read"
    assert request.tools[0].namespace == ("mcp__files", "read")
    assert len(request.tools[1].name) == 64
    assert request.messages[0].parts == (ToolCall("c", "mcp__files__read", "{}"),)


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "tool_search"])
def test_search_beside_tools_of_the_callers_own_is_a_hint(kind: str) -> None:
    own = {"type": "function", "name": "look"}

    assert ask(tools=[own, {"type": kind}]).foreign_tools[0].hint
    assert not ask(tools=[{"type": kind}]).foreign_tools[0].hint
    assert not ask(tools=[own, {"type": kind}], tool_choice={"type": kind}).foreign_tools[0].hint


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "local_shell"}, "local_shell"),
        ({"type": "shell", "environment": {"type": "local"}}, "shell"),
        ({"type": "apply_patch"}, "apply_patch"),
    ],
)
def test_tools_that_the_caller_runs_are_functions(tool: dict[str, Any], name: str) -> None:
    request = ask(tools=[tool])

    assert [tool.name for tool in request.tools] == [name]
    assert request.tools[0].parameters is not None
    assert not request.foreign_tools


def test_shell_that_openai_runs_is_a_tool_of_its_own() -> None:
    assert ask(tools=[{"type": "shell", "environment": {"type": "container_auto"}}]).foreign_tools[0].kind == "shell"


def test_calls_of_tools_that_the_caller_runs_are_calls() -> None:
    read = items(
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "c1",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {}, "working_directory": "/w"},
        },
        {"type": "local_shell_call_output", "id": "c1", "output": "a\nb"},
        {"type": "shell_call", "call_id": "c2", "action": {"commands": ["ls"], "timeout_ms": 5}, "status": "completed"},
        {
            "type": "shell_call_output",
            "call_id": "c2",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        {
            "type": "apply_patch_call",
            "call_id": "c3",
            "status": "completed",
            "operation": {"type": "delete_file", "path": "a"},
        },
        {"type": "apply_patch_call_output", "call_id": "c3", "status": "failed", "output": "no such file"},
    )

    assert [message.parts for message in read] == [
        (ToolCall("c1", "local_shell", '{"command":["ls","-l"],"working_directory":"/w"}'),),
        (ToolResult("c1", (Text("a\nb"),)),),
        (ToolCall("c2", "shell", '{"commands":["ls"],"timeout_ms":5}'),),
        (ToolResult("c2", (Text('[{"stdout":"a","stderr":"","outcome":{"type":"exit","exit_code":0}}]'),)),),
        (ToolCall("c3", "apply_patch", '{"type":"delete_file","path":"a"}'),),
        (ToolResult("c3", (Text("no such file"),), is_error=True),),
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice(ChoiceMode.AUTO)),
        ("none", ToolChoice(ChoiceMode.NONE)),
        ("required", ToolChoice(ChoiceMode.REQUIRED)),
        ({"type": "function", "name": "look"}, ToolChoice(ChoiceMode.REQUIRED, ("look",))),
        ({"type": "custom", "name": "patch"}, ToolChoice(ChoiceMode.REQUIRED, ("patch",))),
        ({"type": "apply_patch"}, ToolChoice(ChoiceMode.REQUIRED, ("apply_patch",))),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
            ToolChoice(ChoiceMode.AUTO, ("look",)),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "look"}, {"type": "custom", "name": "patch"}],
            },
            ToolChoice(ChoiceMode.REQUIRED, ("look", "patch")),
        ),
    ],
)
def test_every_form_of_tool_choice_is_understood(choice: object, expected: ToolChoice) -> None:
    request = ask(tools=[{"type": "function", "name": "look"}], tool_choice=choice)

    assert request.tool_choice == expected
    assert request.extras == {}


@pytest.mark.parametrize(
    "choice",
    [{"type": "file_search"}, {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "image_generation"}]}],
)
def test_choice_of_a_tool_of_openai_is_a_field_of_its_own_with_meaning(choice: dict[str, Any]) -> None:
    request = ask(tool_choice=choice)

    assert request.tool_choice is None
    assert request.extras == {"tool_choice": raw(choice)}
    assert request.hints == frozenset()


# Fields


def test_fields_of_all_dialects_are_read() -> None:
    schema = {"type": "object"}
    request = read(
        {
            "model": "m",
            "input": "Hi",
            "stream": True,
            "max_output_tokens": 99,
            "parallel_tool_calls": False,
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"},
                "verbosity": "low",
            },
            "reasoning": {"effort": "high", "summary": "detailed"},
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "temperature": 1,
            "top_p": 0.5,
            "top_logprobs": 3,
            "safety_identifier": "u",
            "metadata": {"a": "b"},
            "service_tier": "flex",
            "prompt_cache_key": "k",
        }
    )

    assert request == Request(
        model="m",
        messages=(Message(Role.USER, (Text("Hi"),)),),
        stream=True,
        max_tokens=99,
        parallel_tool_calls=False,
        output=OutputFormat(raw(schema), "n", "d", True),
        verbosity="low",
        reasoning=Reasoning(effort="high", show="detailed", encrypted=True),
        sampling=Sampling(temperature=1.0, top_p=0.5),
        logprobs=True,
        top_logprobs=3,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        cache_key="k",
        dialect="responses",
    )


@pytest.mark.parametrize(
    ("form", "output"),
    [({"type": "text"}, None), ({"type": "json_object"}, OutputFormat())],
)
def test_formats_without_a_schema(form: dict[str, Any], output: OutputFormat | None) -> None:
    assert ask(text={"format": form}).output == output


@pytest.mark.parametrize(("effort", "read"), [("minimal", "minimal"), (5, "5"), (None, None)])
def test_effort_may_be_a_number(effort: object, read: str | None) -> None:
    assert (ask(reasoning={"effort": effort}).reasoning or Reasoning()).effort == read


def test_older_names_of_fields_are_understood() -> None:
    request = ask(user="u", reasoning={"generate_summary": "concise"})

    assert request.user == "u"
    assert request.reasoning == Reasoning(show="concise")


def test_fields_that_are_not_understood_are_kept_and_hints_among_them_told() -> None:
    request = ask(
        input=[{"role": "user", "content": "Hi", "phase": "commentary"}],
        tools=[{"type": "function", "name": "look", "defer_loading": True}],
        include=["web_search_call.action.sources"],
        moderation={"model": "omni"},
        of_tomorrow=[1],
        store=True,
        truncation="auto",
        max_tool_calls=3,
        prompt_cache_retention="24h",
        stream_options={"include_obfuscation": False},
        reasoning={"context": "auto"},
        text={"of_tomorrow": 1},
    )

    assert request.hints == {
        "include",
        "input[].phase",
        "max_tool_calls",
        "prompt_cache_retention",
        "reasoning.context",
        "store",
        "stream_options",
        "tools[].defer_loading",
        "truncation",
    }
    assert set(request.extras) - request.hints == {"moderation", "of_tomorrow", "text.of_tomorrow"}
    assert request.extras["of_tomorrow"] == raw([1])


def test_model_and_stream_of_the_path_win() -> None:
    request = CODEC.decode_request(b'{"input":"Hi","model":"a","stream":true}', model="b", stream=False)

    assert (request.model, request.stream) == ("b", False)


def test_request_of_codex_is_understood_whole() -> None:
    request = read(
        codex.request(
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAA"},
            {"type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": "c1", "name": "apply_patch",
             "input": "*** Begin Patch"},
            {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "c1", "output": "Success."},
            codex.message("assistant", "Done.", kind="output_text", phase="final_answer"),
        )
    )  # fmt: skip

    assert [message.role for message in request.messages] == [
        Role.SYSTEM,
        Role.DEVELOPER,
        Role.USER,
        Role.USER,
        Role.ASSISTANT,
        Role.USER,
        Role.ASSISTANT,
    ]
    assert request.messages[4].parts == (
        Thinking("", Opaque("responses", None, "gAAA"), id="rs_1"),
        ToolCall("c1", "apply_patch", "*** Begin Patch", custom=True),
    )
    assert [tool.name for tool in request.tools] == ["exec_command", "apply_patch", "mcp__files__read"]
    assert set(request.extras) == request.hints
    assert all(tool.hint for tool in request.foreign_tools)


def test_tools_that_come_as_an_item_are_tools() -> None:
    request = ask(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": codex.TOOLS},
            codex.message("user", "Hi"),
        ]
    )

    assert [tool.name for tool in request.tools] == ["exec_command", "apply_patch", "mcp__files__read"]


# What is wrong


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": 7}, "model: Expected `str`, got `int`."),
        ({"model": None}, "model: is required."),
        ({"input": None}, "input: is required."),
        ({"input": []}, "input: is required."),
        ({"input": 7}, "input: Expected `array`, got `int`."),
        ({"input": [7]}, "input[0]: Expected `object`, got `int`."),
        ({"input": [{}]}, "input[0].type: is required."),
        ({"input": [{"role": "robot", "content": ""}]}, "input[0].role: must be one of"),
        ({"input": [{"role": "user"}]}, "input[0].content: is required."),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text: is required."),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]: needs image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]: needs file_data"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png,x"}]}]},
            "input[0].content[0].image_url: a data: URL must hold base64.",
        ),
        ({"input": [{"type": "function_call", "name": "x", "arguments": "{}"}]}, "input[0].call_id: is required."),
        ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output: is required."),
        (
            {
                "input": [
                    {"type": "function_call_output", "call_id": "x", "output": [{"type": "refusal", "refusal": ""}]}
                ]
            },
            "input[0].output: may hold",
        ),
        ({"tools": [{"name": "x"}]}, "tools[0].type: is required."),
        ({"tools": [{"type": "function"}]}, "tools[0].name: is required."),
        ({"tools": [{"type": "function", "name": "x", "parameters": 1}]}, "tools[0].parameters: Expected `object`"),
        ({"tool_choice": "some"}, "tool_choice: must be one of"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}}, "tool_choice.mode: must be"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type: must be"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema: is required."),
        ({"metadata": {"a": 1}}, "metadata[...]: Expected `str`, got `int`."),
        ({"include": "x"}, "include: Expected `array`, got `str`."),
        ({"temperature": "warm"}, "temperature: Expected `float`, got `str`."),
        ({"reasoning": {"effort": {}}}, "reasoning.effort: Expected `float`, got `object`."),
    ],
)
def test_what_is_wrong_is_named_by_its_place(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(**fields)

    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"model":"m","input":"\xff"}',
        b'{"model":"m","input":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"model":"m","input":"Hi","tools":[{"type":"function","name":"x","parameters":{"a":' + b"[" * 3_000,
        b'{"model":"m","input":"Hi","temperature":1e999}',
    ],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        CODEC.decode_request(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KINDS = st.sampled_from(
    [
        *(*CALLS, *OUTPUTS),
        *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call"),
        *("custom_tool_call_output", "item_reference", "additional_tools", "tool_search_output", "compaction"),
        *("input_text", "input_image", "input_file", "input_audio", "output_text", "refusal"),
        *("function", "custom", "namespace", "shell", "web_search", "allowed_tools", "json_schema"),
    ]
)
NAMES = st.sampled_from(
    [
        *("role", "content", "id", "call_id", "name", "namespace", "arguments", "input", "output", "summary"),
        *("encrypted_content", "action", "operation", "tools", "text", "refusal", "image_url", "file_data"),
        *("input_audio", "annotations", "parameters", "format", "environment", "mode", "schema"),
    ]
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.builds(lambda kind, fields: {"type": kind, **fields}, KINDS, st.dictionaries(NAMES, VALUES, max_size=6))
)
VALUES: st.SearchStrategy[Any] = st.deferred(
    lambda: JSON | OBJECTS | st.lists(OBJECTS, max_size=3) | st.just("assistant")
)


@given(
    st.fixed_dictionaries(
        {"input": VALUES},
        optional={"tools": VALUES, "tool_choice": VALUES, "text": VALUES, "reasoning": VALUES, "instructions": JSON},
    )
)
def test_any_document_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        request = read({"model": "m", **fields})
    except BadRequest:
        return
    assert request.messages
