"""What a caller's request means, field by field, and what is said of one that means nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
    ChoiceMode,
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
from llm_gateway.core.translation.opaque import sealed, sealed_thinking
from llm_gateway.errors import BadRequest

HELLO = {"role": "user", "content": "Hello"}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def read(**fields: Any) -> Request:
    return ChatCodec().decode_request(msgspec.json.encode({"model": "m", "messages": [HELLO], **fields}))


def said(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return read(messages=list(messages)).messages


def part(content: dict[str, Any]) -> Part:
    (message,) = said({"role": "user", "content": [content]})
    (found,) = message.parts
    return found


def refusal(**fields: Any) -> str:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    return raised.value.message


def test_smallest_request() -> None:
    assert read() == Request("m", (Message(Role.USER, (Text("Hello"),)),), dialect="chat")


def test_every_role_is_read_in_its_place() -> None:
    messages = said(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}], "name": "ann"},
        {"role": "system", "content": "Be kind."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a tree"},
        {"role": "assistant", "content": "A tree.", "refusal": None},
    )
    assert messages == (
        Message(Role.DEVELOPER, (Text("Be brief."),)),
        Message(Role.USER, (Text("Look."),), "ann"),
        Message(Role.SYSTEM, (Text("Be kind."),)),
        Message(Role.ASSISTANT, (ToolCall("c1", "look", '{"at":1}'),)),
        Message(Role.USER, (ToolResult("c1", (Text("a tree"),)),)),
        Message(Role.ASSISTANT, (Text("A tree."),)),
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"type": "text", "text": "x"}, Text("x")),
        (
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("x", cache=CacheMark("12h")),
        ),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, Text("x", cache=CacheMark())),
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
            Image(Linked("https://a.test/b.png"), "low"),
        ),
        ({"type": "image_url", "image_url": "https://a.test/b.png"}, Image(Linked("https://a.test/b.png"))),
        (
            {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,iVBORw0="}},
            Image(Inline("image/png", "iVBORw0=")),
        ),
        (
            {"type": "image_url", "image_url": {"url": "DATA:image/svg+xml;charset=utf-8,%3Csvg/%3E"}},
            Image(Inline("image/svg+xml", "PHN2Zy8+")),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            Document(Inline("application/pdf", "JVBERi0="), "a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, Document(Stored("file-1", "openai"))),
        (
            {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a.pdf"}},
            Document(Inline("application/pdf", "JVBERi0="), "a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "https://a.test/b.pdf"}},
            Document(Linked("https://a.test/b.pdf")),
        ),
        ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, Audio(Inline("audio/wav", "UklG"))),
        (
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
            Audio(Inline("audio/mpeg", "SUQz")),
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://a.test/v.mp4"}},
            Foreign("chat", "video_url", raw({"type": "video_url", "video_url": {"url": "https://a.test/v.mp4"}})),
        ),
    ],
)
def test_parts_of_a_users_message(content: dict[str, Any], expected: Part) -> None:
    assert part(content) == expected


def test_text_and_refusal_of_the_model() -> None:
    messages = said(
        HELLO,
        {"role": "assistant", "content": [{"type": "text", "text": "No."}, {"type": "refusal", "refusal": "Never."}]},
        {"role": "assistant", "content": None, "refusal": "I will not."},
        {"role": "assistant", "content": "", "audio": {"id": "audio-1"}},
    )
    assert [message.parts for message in messages[1:]] == [
        (Text("No."), Refusal("Never.")),
        (Refusal("I will not."),),
        (Audio(None, "audio-1"),),
    ]


def test_parallel_and_custom_calls_and_their_results() -> None:
    messages = said(
        HELLO,
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "index": 0, "function": {"name": "look", "arguments": ""}},
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": None, "name": "look"},
    )
    assert messages[1].parts == (ToolCall("c1", "look", ""), ToolCall("c2", "patch", "*** Begin", custom=True))
    assert messages[2].parts == (ToolResult("c2", (Text("a"), Text("b")), custom=True),)
    assert messages[3].parts == (ToolResult("c1", (), name="look"),)


def test_functions_of_old_become_tools() -> None:
    request = read(
        messages=[
            HELLO,
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
            {"role": "function", "name": "look", "content": "a tree"},
        ],
        functions=[{"name": "look", "parameters": {"type": "object"}}],
        function_call={"name": "look"},
    )
    assert request.tools == (Tool("look", parameters=raw({"type": "object"})),)
    assert request.tool_choice == ToolChoice(ChoiceMode.REQUIRED, ("look",))
    assert request.parallel_tool_calls is False
    assert request.legacy_functions
    (called,) = request.messages[1].parts
    assert called == ToolCall("function_1", "look", "{}")
    assert request.messages[2].parts == (ToolResult("function_1", (Text("a tree"),), name="look"),)


def test_functions_result_without_its_call_is_refused() -> None:
    told = refusal(messages=[HELLO, {"role": "function", "name": "look", "content": "x"}])
    assert told.startswith("messages[1]: is the result of a function")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_in_text(field: str) -> None:
    messages = said(HELLO, {"role": "assistant", "content": "Yes.", field: "Hm."})
    assert messages[1].parts == (Thinking("Hm."), Text("Yes."))


def test_reasoning_details_win_over_the_same_in_text() -> None:
    messages = said(
        HELLO,
        {
            "role": "assistant",
            "content": "Yes.",
            "reasoning_content": "Hm.",
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "Hm.", "id": "r1", "index": 0},
                {"type": "reasoning.encrypted", "data": "c2VjcmV0", "format": "x-v1", "index": 1},
            ],
        },
    )
    summary, encrypted, text = messages[1].parts
    assert summary == Thinking("Hm.", id="r1", summary=True)
    assert isinstance(encrypted, Thinking)
    assert encrypted.redacted
    assert encrypted.opaque is not None
    assert (encrypted.opaque.dialect, encrypted.opaque.provider) == ("chat", None)
    assert text == Text("Yes.")


def test_what_another_provider_sealed_is_known_again() -> None:
    thinking = Thinking("Hm.", Opaque("anthropic", "claude", "c2ln"), id="t1")
    signature = Opaque("gemini", "google", "dGhvdWdodA==")
    extra = {"google": {"thought_signature": sealed(signature, "chat")}}
    seal = sealed_thinking(thinking, "chat")
    messages = said(
        HELLO,
        {
            "role": "assistant",
            "content": "Yes.",
            "extra_content": extra,
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": seal, "index": 0}],
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": "{}"},
                    "extra_content": extra,
                }
            ],
        },
    )
    assert messages[1].parts == (
        thinking,
        Text("Yes.", opaque=signature),
        ToolCall("c1", "look", "{}", signature),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"stop": "END"}, {"stop": ("END",)}),
        ({"stop": ["a", "b"]}, {"stop": ("a", "b")}),
        ({"n": 3}, {"choices": 3}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "include_usage": True}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"temperature": 1, "top_p": 0.5, "top_k": 7}, {"sampling": Sampling(temperature=1.0, top_p=0.5, top_k=7)}),
        ({"seed": 1, "presence_penalty": -1}, {"sampling": Sampling(seed=1, presence_penalty=-1.0)}),
        ({"logit_bias": {"50": -100}}, {"sampling": Sampling(logit_bias=raw({"50": -100}))}),
        ({"user": "u"}, {"user": "u"}),
        ({"safety_identifier": "s"}, {"user": "s"}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"prompt_cache_key": "k"}, {"cache_key": "k"}),
        ({"verbosity": "low"}, {"verbosity": "low"}),
        ({"modalities": ["text", "audio"]}, {"modalities": ("audio",)}),
        ({"reasoning_effort": "high"}, {"reasoning": Reasoning(effort="high")}),
        ({"reasoning_effort": "default"}, {}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning(enabled=False)}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"reasoning": Reasoning(enabled=True, budget_tokens=2048)},
        ),
        ({"thinking": {"type": "adaptive"}}, {"reasoning": Reasoning(enabled=True, adaptive=True)}),
        ({"reasoning": {"effort": "low", "exclude": True}}, {"reasoning": Reasoning(effort="low", show="none")}),
        ({"reasoning": {"max_tokens": 9, "enabled": True}}, {"reasoning": Reasoning(True, budget_tokens=9)}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"output": OutputFormat()}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"},
                }
            },
            {"output": OutputFormat(raw({"type": "object"}), "n", "d", True)},
        ),
        ({"tool_choice": "auto"}, {"tool_choice": ToolChoice(ChoiceMode.AUTO)}),
        ({"tool_choice": "none"}, {"tool_choice": ToolChoice(ChoiceMode.NONE)}),
        ({"tool_choice": "required"}, {"tool_choice": ToolChoice(ChoiceMode.REQUIRED)}),
        ({"tool_choice": "any"}, {"tool_choice": ToolChoice(ChoiceMode.REQUIRED)}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "a"}}},
            {"tool_choice": ToolChoice(ChoiceMode.REQUIRED, ("a",))},
        ),
        (
            {"tool_choice": {"type": "custom", "custom": {"name": "a"}}},
            {"tool_choice": ToolChoice(ChoiceMode.REQUIRED, ("a",))},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [
                            {"type": "function", "function": {"name": "a"}},
                            {"type": "custom", "custom": {"name": "b"}},
                        ],
                    },
                }
            },
            {"tool_choice": ToolChoice(ChoiceMode.AUTO, ("a", "b"))},
        ),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "description": "d", "strict": True}}]},
            {"tools": (Tool("a", "d", strict=True),)},
        ),
        (
            {"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "text"}}}]},
            {"tools": (Tool("a", custom=raw({"type": "text"})),)},
        ),
        (
            {"tools": [{"type": "web_search"}]},
            {"foreign_tools": (Foreign("chat", "web_search", raw({"type": "web_search"})),)},
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**fields) == msgspec.structs.replace(read(), **expected)


def test_what_is_not_kept_anyway_is_no_loss() -> None:
    assert read(store=False) == read()


@pytest.mark.parametrize(
    ("fields", "place", "hint"),
    [
        ({"store": True}, "store", True),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction", True),
        ({"prompt_cache_retention": "24h"}, "prompt_cache_retention", True),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options.include_obfuscation", True),
        ({"audio": {"format": "wav", "voice": "ash"}}, "audio", False),
        ({"web_search_options": {}}, "web_search_options", False),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", True),
        ({"user": "a", "safety_identifier": "b"}, "user", True),
        ({"min_p": 0.1}, "min_p", False),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", False),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format", False),
        ({"messages": [{**HELLO, "weight": 1}]}, "messages[0].weight", False),
        ({"messages": [HELLO, {"role": "assistant", "content": "x", "weight": 1}]}, "messages[1].weight", True),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "note": 1}]}]},
            "messages[0].content[0].note",
            False,
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "returns": {}}}]},
            "tools[0].function.returns",
            False,
        ),
    ],
)
def test_what_is_not_understood_is_kept(fields: dict[str, Any], place: str, hint: bool) -> None:
    request = read(**fields)
    assert list(request.extras) == [place]
    assert request.hints == ({place} if hint else frozenset())


def test_fields_that_are_null_were_not_said() -> None:
    known = Request.__struct_fields__
    theirs = ["functions", "function_call", "stream_options", "response_format", "reasoning_effort", "thinking", "n"]
    others = [name for name in known if name not in ("model", "messages")]
    assert read(**dict.fromkeys([*theirs, *others, "whatever"])) == read()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": None}, "model: is required."),
        ({"model": 7}, "model: Expected `str`, got `int`."),
        ({"messages": []}, "messages: must not be empty."),
        ({"messages": None}, "messages: is required."),
        ({"messages": {}}, "messages: Expected `array`, got `object`."),
        ({"messages": ["x"]}, "messages[0]: Expected `object`, got `str`."),
        ({"messages": [{"content": "x"}]}, "messages[0].role: is required."),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role: must be one of system,"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: is required."),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: Expected `array`, got `int`."),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type: is required."),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text: is required."),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].image_url: is required.",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file: needs file_data or file_id.",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id: is required."),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "function"}]}]},
            "messages[0].tool_calls[0].id: is required.",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "magic"}]}]},
            "messages[0].tool_calls[0].type: must be function or custom.",
        ),
        ({"n": 0}, "n: must be 1 or more."),
        ({"stop": 7}, "stop: Expected `array`, got `int`."),
        ({"stop": [7]}, "stop[0]: Expected `str`, got `int`."),
        ({"temperature": "hot"}, "temperature: Expected `float`, got `str`."),
        ({"tools": [{"type": "function"}]}, "tools[0].function: is required."),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name: is required."),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
            "tools[0].function.parameters: Expected `object`, got `array`.",
        ),
        ({"tool_choice": "perhaps"}, "tool_choice: must be none, auto or required, or name a tool."),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function: is required."),
        ({"reasoning_effort": "much"}, "reasoning_effort: must be one of none,"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema: is required."),
        ({"metadata": {"a": 1}}, "metadata[...]: Expected `str`, got `int`."),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(fields: dict[str, Any], told: str) -> None:
    assert refusal(**fields).startswith(told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"text"',
        b'{"model":"m"',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"extra":"\xff"}',
        b'{"model":"m","messages":' + b"[" * 100_000,
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":' + b'{"a":' * 50_000,
    ],
)
def test_what_is_no_request_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        ChatCodec().decode_request(body)


def test_messages_of_errors_hold_nothing_that_was_said() -> None:
    assert "SECRET" not in refusal(messages=[{"role": "SECRET", "content": "x"}])
    assert "SECRET" not in refusal(reasoning_effort="SECRET")
    assert "SECRET" not in refusal(tool_choice="SECRET")


def test_model_and_stream_may_come_from_the_path() -> None:
    body = msgspec.json.encode({"messages": [HELLO]})
    request = ChatCodec().decode_request(body, model="m", stream=True)
    assert (request.model, request.stream) == ("m", True)
