"""What is sent to a provider that speaks the Responses API."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
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
    Refusal,
    Request,
    Role,
    Sampling,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.core.translation.responses.codec import ResponsesCodec
from llm_gateway.errors import BadRequest
from tests.core.translation.responses.official import checked_request

CODEC = ResponsesCodec()
TO = Destination("gpt-test", "openai")
SIGNED = Opaque("gemini", "google", "c2ln")


def user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def write(*messages: Message, to: Destination = TO, losses: Losses | None = None, **fields: Any) -> dict[str, Any]:
    request = Request("m", messages or (user(Text("Hi")),), **{"dialect": "messages", **fields})
    return checked_request(CODEC.encode_request(request, to, losses or Losses(OnUnsupported.REJECT)))


def test_nothing_is_kept_at_the_provider() -> None:
    assert write() == {
        "model": "gpt-test",
        "store": False,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    }


def test_leading_system_text_is_instructions() -> None:
    written = write(Message(Role.SYSTEM, (Text("Be brief."),)), user(Text("Hi")))

    assert written["instructions"] == "Be brief."
    assert [item["role"] for item in written["input"]] == ["user"]


def test_other_system_messages_stay_where_they_came() -> None:
    written = write(
        Message(Role.SYSTEM, (Text("One."), Text("Two."))),
        user(Text("Hi")),
        Message(Role.DEVELOPER, (Text("Three."),)),
        user(Text("Ho")),
    )

    assert [item["role"] for item in written["input"]] == ["system", "user", "developer", "user"]
    assert len(written["input"][0]["content"]) == 2


def test_turn_with_reasoning_text_calls_and_results_is_items_in_its_order() -> None:
    written = write(
        user(Text("Look.")),
        assistant(
            Thinking("Hm.", Opaque("responses", "openai", "gAAA"), id="rs_1", summary=True),
            Text("I look."),
            ToolCall("c1", "look", '{"at":1}'),
            ToolCall("c2", "patch", "*** Begin", custom=True),
            ToolCall("c3", "look", ""),
        ),
        user(
            ToolResult("c1", (Text("one"),)),
            ToolResult("c2", (Text("two"), Image(Inline("image/png", "QUJD")))),
            ToolResult("c3", ()),
            Text("And?"),
        ),
    )

    assert written["input"][1:] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAA",
        },
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "function_call", "call_id": "c3", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "two"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,QUJD"},
            ],
        },
        {"type": "function_call_output", "call_id": "c3", "output": ""},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]},
    ]


def test_what_the_assistant_cited_and_refused_is_told() -> None:
    losses = Losses()
    written = write(
        user(Text("Hi")),
        assistant(Text("So.", (Citation("https://e.test", "E"), Citation(title="offline"))), Refusal("No.")),
        user(Text("Ho")),
        losses=losses,
    )

    assert losses.dropped == ["messages[1].parts[0].citations"]
    assert written["input"][1]["content"] == [
        {
            "type": "output_text",
            "text": "So.",
            "annotations": [
                {"type": "url_citation", "url": "https://e.test", "title": "E", "start_index": 0, "end_index": 3}
            ],
        },
        {"type": "refusal", "refusal": "No."},
    ]


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (
            Image(Linked("https://e.test/a.png"), "high"),
            {"type": "input_image", "detail": "high", "image_url": "https://e.test/a.png"},
        ),
        (Image(Stored("file-1", "openai")), {"type": "input_image", "detail": "auto", "file_id": "file-1"}),
        (
            Document(Inline("application/pdf", "QUJD")),
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        ),
        (
            Document(Inline("text/plain", "QUJD"), "a.txt"),
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,QUJD"},
        ),
        (
            Document(Linked("https://e.test/a.pdf")),
            {"type": "input_file", "file_url": "https://e.test/a.pdf"},
        ),
    ],
)
def test_media_are_sent_where_they_are(part: Part, content: dict[str, Any]) -> None:
    assert write(user(part))["input"][0]["content"] == [content]


def test_sound_is_sent_inline() -> None:
    # Codex sends it, and the SDK's types do not have it yet.
    request = Request("m", (user(Audio(Inline("audio/mpeg", "QUJD"))),), dialect="chat")
    written = msgspec.json.decode(CODEC.encode_request(request, TO, Losses()))

    assert written["input"][0]["content"] == [{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}]


def test_tools_of_other_dialects_are_not_strict_unless_said() -> None:
    tools = (Tool("a", "A.", msgspec.Raw(b'{"type":"object"}')), Tool("b", strict=True))

    assert write(tools=tools)["tools"] == [
        {
            "type": "function",
            "name": "a",
            "description": "A.",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
        {
            "type": "function",
            "name": "b",
            "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
            "strict": True,
        },
    ]


def test_schema_without_a_name_gets_one() -> None:
    written = write(output=OutputFormat(msgspec.Raw(b'{"type":"object"}'), strict=True))

    assert written["text"]["format"] == {
        "type": "json_schema",
        "name": "answer",
        "schema": {"type": "object"},
        "strict": True,
    }


def test_limit_below_the_smallest_is_raised_and_told() -> None:
    losses = Losses()

    assert write(max_tokens=1, losses=losses)["max_output_tokens"] == 16
    assert losses.changed == ["max_tokens"]


def test_long_name_of_a_user_is_told_by_a_digest() -> None:
    losses = Losses()
    told = {write(user=f"user_{number}_" + "x" * 99, losses=losses)["user"] for number in (1, 1, 2)}

    assert {len(user) for user in told} == {64}
    assert len(told) == 2
    assert losses.changed == ["user"]


def test_name_of_a_format_is_one_that_openai_takes() -> None:
    losses = Losses()
    output = OutputFormat(msgspec.Raw(b'{"type":"object"}'), "an answer, " * 9)

    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", write(output=output, losses=losses)["text"]["format"]["name"])
    assert losses.changed == ["output.name"]


def test_alternatives_of_a_tool_are_merged() -> None:
    losses = Losses()
    schema = msgspec.Raw(b'{"type":"object","anyOf":[{"properties":{"a":{"type":"string"}}}]}')
    [tool] = write(tools=(Tool("a", parameters=schema),), losses=losses)["tools"]

    assert "anyOf" not in tool["parameters"]
    assert losses.changed == ["tools.a.parameters"]
    own = write(tools=(Tool("a", parameters=schema),), dialect="responses", losses=Losses(OnUnsupported.REJECT))
    assert "anyOf" in own["tools"][0]["parameters"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            b'{"type":"grammar","grammar":{"syntax":"lark","definition":"start: X"}}',
            {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        ),
        (
            b'{"type":"grammar","syntax":"lark","definition":"start: X"}',
            {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        ),
        (b'{"type":"text"}', {"type": "text"}),
    ],
)
def test_grammar_of_a_custom_tool_is_said_as_here(form: bytes, expected: dict[str, str]) -> None:
    [tool] = write(tools=(Tool("patch", custom=msgspec.Raw(form)),), dialect="chat")["tools"]

    assert tool["format"] == expected


def test_tools_are_strict_where_their_schemas_allow_it() -> None:
    losses = Losses()
    loose = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
    first, second = write(tools=(Tool("a", parameters=loose, strict=True), Tool("b", strict=True)), losses=losses)[
        "tools"
    ]

    assert (first["strict"], second["strict"]) == (False, True)
    assert second["parameters"]["additionalProperties"] is False
    assert losses.changed == ["tools.a.strict"]
    assert write(tools=(Tool("a", parameters=loose, strict=True),), dialect="chat")["tools"][0]["strict"] is True


def test_json_is_asked_for_in_words_too() -> None:
    """Without them OpenAI refuses it."""
    losses = Losses()
    written = write(Message(Role.SYSTEM, (Text("Be brief."),)), user(Text("Hi")), output=OutputFormat(), losses=losses)

    assert written["instructions"] == "Be brief."
    assert "JSON" in written["input"][0]["content"][0]["text"]
    assert losses.changed == ["messages"]
    assert len(write(user(Text("As JSON.")), output=OutputFormat())["input"]) == 1


CLOSED = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'


def test_schema_binds_the_answer_as_the_callers_dialect_does() -> None:
    losses = Losses()
    output = OutputFormat(msgspec.Raw(CLOSED))

    assert write(output=output, losses=losses)["text"]["format"]["strict"] is True
    assert losses.changed == []
    assert "strict" not in write(output=output, dialect="chat")["text"]["format"]

    loose = OutputFormat(msgspec.Raw(CLOSED.replace(b'["a"]', b"[]")))
    assert write(output=loose, losses=losses)["text"]["format"]["strict"] is False
    assert losses.changed == ["output.strict"]


def test_long_ids_of_calls_are_shortened() -> None:
    long = "toolu_" + "x" * 100
    calls = (ToolCall(long, "look", "{}"), ToolCall(long + "y", "look", "{}"))
    results = (ToolResult(long, (Text("a"),)), ToolResult(long + "y", (Text("b"),)))
    items = write(user(Text("Hi")), assistant(*calls), user(*results))["input"][1:]

    assert [len(item["call_id"]) for item in items] == [37] * 4
    assert [item["call_id"] for item in items[:2]] == [item["call_id"] for item in items[2:]]
    assert items[0]["call_id"] != items[1]["call_id"]


def test_tier_that_openai_has_not_is_left_out() -> None:
    losses = Losses()

    assert "service_tier" not in write(service_tier="standard_only", losses=losses)
    assert losses.dropped == ["service_tier"]


# Reasoning


@pytest.mark.parametrize(
    ("reasoning", "model_reasons", "written", "encrypted"),
    [
        (None, None, None, False),
        (None, True, None, True),
        (None, False, None, False),
        (Reasoning(effort="low"), None, {"effort": "low"}, True),
        (Reasoning(effort="low"), False, None, False),
        (Reasoning(effort="none"), None, {"effort": "none"}, False),
        (Reasoning(enabled=True, budget_tokens=1_024), None, {"effort": "low"}, True),
        (Reasoning(enabled=True, budget_tokens=10_000), None, {"effort": "medium"}, True),
        (Reasoning(enabled=True, budget_tokens=32_000), None, {"effort": "high"}, True),
        (Reasoning(enabled=True, adaptive=True), None, None, True),
        (Reasoning(enabled=False), True, None, True),
        (Reasoning(effort="high", show="detailed"), None, {"effort": "high", "summary": "detailed"}, True),
        (Reasoning(effort="high", show="full"), None, {"effort": "high", "summary": "detailed"}, True),
        (Reasoning(effort="high", show="none"), None, {"effort": "high"}, True),
    ],
)
def test_reasoning_is_asked_for_and_comes_back_encrypted(
    reasoning: Reasoning | None, model_reasons: bool | None, written: dict[str, str] | None, encrypted: bool
) -> None:
    asked = write(reasoning=reasoning, to=Destination("m", "openai", reasoning=model_reasons), losses=Losses())

    assert asked.get("reasoning") == written
    assert ("reasoning.encrypted_content" in asked.get("include", [])) == encrypted


@pytest.mark.parametrize(
    "opaque",
    [Opaque("messages", "claude", "c2ln"), Opaque("responses", "azure", "gAAA"), Opaque("gemini", None, "c2ln")],
)
def test_reasoning_of_another_provider_is_refused_or_left_out(opaque: Opaque) -> None:
    messages = (user(Text("Hi")), assistant(Thinking("Hm.", opaque), Text("Ho.")), user(Text("So?")))
    losses = Losses(OnUnsupported.DROP)

    with pytest.raises(Unsupported, match=r"messages\[1\].*thinking"):
        write(*messages, losses=Losses())
    assert [item["type"] for item in write(*messages, losses=losses)["input"]] == ["message"] * 3
    assert losses.dropped == ["messages[1].parts[0].thinking"]


def test_readable_reasoning_alone_is_left_out_as_a_hint() -> None:
    losses = Losses()

    write(user(Text("Hi")), assistant(Thinking("Hm."), Text("Ho.")), user(Text("So?")), losses=losses)

    assert losses.dropped == ["messages[1].parts[0].thinking"]


@pytest.mark.parametrize(
    ("model", "reasoning", "effort"),
    [
        ("gpt-6", Reasoning(enabled=False), "none"),
        ("gpt-5", Reasoning(enabled=False), "minimal"),
        ("gpt-5", Reasoning(effort="max"), "high"),
        ("gpt-6", Reasoning(effort="minimal"), "none"),
        ("gpt-5.4", Reasoning(enabled=True, adaptive=True), "medium"),
        ("gpt-6", Reasoning(enabled=True, adaptive=True), None),
        ("gpt-4.1", Reasoning(effort="high"), None),
    ],
)
def test_effort_is_one_that_the_model_has(model: str, reasoning: Reasoning, effort: str | None) -> None:
    written = write(reasoning=reasoning, to=Destination(model, "openai"), losses=Losses())

    assert written.get("reasoning", {}).get("effort") == effort
    assert ("include" in written) == (model != "gpt-4.1")


# Losses


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"stop": ("x",)}, "stop"),
        ({"sampling": Sampling(seed=3)}, "seed"),
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=0.5)}, "frequency_penalty"),
        ({"sampling": Sampling(logit_bias=msgspec.Raw(b'{"1":2}'))}, "logit_bias"),
        ({"choices": 2}, "n"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"extras": {"of_tomorrow": msgspec.Raw(b"1")}}, "of_tomorrow"),
        ({"foreign_tools": (Foreign("messages", "web_search_20250305", msgspec.Raw(b"{}")),)}, "tools"),
        ({"messages": (user(Image(Stored("file_1", "anthropic"))),)}, "messages[0].parts[0].file_id"),
        ({"messages": (user(Audio(Inline("audio/flac", "QUJD"))),)}, "messages[0].parts[0].audio"),
        ({"messages": (user(Foreign("messages", "x", msgspec.Raw(b"{}"))),)}, "messages[0].parts[0].x"),
        ({"messages": (user(Document(Linked("https://e.test/a.pdf"), citations=True)),)}, "messages[0].parts[0].cit"),
        ({"messages": (assistant(Text("Ho", opaque=SIGNED)),)}, "messages[0].parts[0].signature"),
        ({"messages": (assistant(ToolCall("c", "look", "{}", SIGNED)),)}, "messages[0].parts[0].signature"),
    ],
)
def test_what_has_meaning_and_cannot_be_said_is_refused(fields: dict[str, Any], lost: str) -> None:
    request = Request("m", **{"messages": (user(Text("Hi")),), "dialect": "chat", **fields})
    losses = Losses(OnUnsupported.DROP)

    with pytest.raises(Unsupported) as caught:
        CODEC.encode_request(request, TO, Losses())
    assert caught.value.message.startswith(lost)
    CODEC.encode_request(request, TO, losses)
    assert len(losses.dropped) == 1
    assert losses.dropped[0].startswith(lost)


@pytest.mark.parametrize(
    "sampling", [Sampling(presence_penalty=0.0, frequency_penalty=0.0), Sampling(logit_bias=msgspec.Raw(b"{}"))]
)
def test_what_says_nothing_is_no_loss(sampling: Sampling) -> None:
    assert write(sampling=sampling) == write()


def test_hints_that_cannot_be_said_are_left_out_and_named() -> None:
    losses = Losses()
    write(
        Message(Role.USER, (Text("Hi", cache=CacheMark()),), "Ann"),
        assistant(Text("Ho", (Citation(cited_text="Hi"),)), ToolCall("c", "look", "{}", cache=CacheMark())),
        user(ToolResult("c", (Text("no"),), cache=CacheMark())),
        tools=(Tool("look", cache=CacheMark()),),
        sampling=Sampling(top_k=3),
        extras={"metadata.x": msgspec.Raw(b"1"), "thinking.display": msgspec.Raw(b'"omitted"')},
        hints=frozenset({"metadata.x", "thinking.display"}),
        losses=losses,
    )

    assert losses.dropped == [
        "messages[0].name",
        "messages[0].parts[0].cache_control",
        "messages[1].parts[0].citations",
        "messages[1].parts[1].cache_control",
        "messages[2].parts[0].cache_control",
        "top_k",
        "cache_control",
        "metadata.x",
        "thinking.display",
    ]


def test_models_that_reason_are_not_told_how_to_sample() -> None:
    losses = Losses()
    sampled: dict[str, Any] = {"sampling": Sampling(temperature=0.5, top_p=1.0)}
    written = write(to=Destination("gpt-5.5", "openai"), losses=losses, **sampled)

    assert not {"temperature", "top_p"} & written.keys()
    assert losses.dropped == ["temperature"]
    to = Destination("gpt-5.4", "openai")
    assert write(to=to, reasoning=Reasoning(effort="none"), **sampled)["temperature"] == 0.5
    with pytest.raises(Unsupported, match=r"^logprobs"):
        write(to=Destination("gpt-5.5", "openai"), losses=Losses(), logprobs=True, top_logprobs=2)
    own = write(to=Destination("gpt-5.5", "openai"), dialect="responses", **sampled)
    assert (own["temperature"], own["top_p"]) == (0.5, 1.0)


def test_what_is_said_about_a_document_stands_before_it() -> None:
    losses = Losses()
    written = write(user(Text("Hi"), Document(Linked("https://e.test/a.pdf"), context="Of old.")), losses=losses)

    assert written["input"][0]["content"] == [
        {"type": "input_text", "text": "Hi"},
        {"type": "input_text", "text": "Of old."},
        {"type": "input_file", "file_url": "https://e.test/a.pdf"},
    ]
    assert (losses.dropped, losses.changed) == ([], ["messages[0].parts[1].context"])


def test_model_is_told_that_a_tool_failed() -> None:
    losses = Losses()
    written = write(
        user(Text("Hi")),
        assistant(ToolCall("c", "look", "{}")),
        user(ToolResult("c", (Text("No such file."),), is_error=True)),
        losses=losses,
    )

    assert [part["text"] for part in written["input"][-1]["output"]] == ["The tool failed.", "No such file."]
    assert (losses.dropped, losses.changed) == ([], ["messages[2].parts[0].is_error"])


def test_fields_are_passed_on_under_their_names_where_the_policy_says_so() -> None:
    losses = Losses(OnUnsupported.PASS)
    request = Request(
        "m",
        (user(Text("Hi")),),
        stop=("x",),
        choices=2,
        sampling=Sampling(top_k=3),
        extras={"of_tomorrow": msgspec.Raw(b"[1]"), "model": msgspec.Raw(b'"other"'), "a.b": msgspec.Raw(b"1")},
        dialect="chat",
    )
    written = msgspec.json.decode(CODEC.encode_request(request, TO, losses))

    assert written["stop"] == ["x"]
    assert (written["n"], written["top_k"], written["of_tomorrow"]) == (2, 3, [1])
    assert written["model"] == "gpt-test"
    assert losses.dropped == ["model", "a.b"]


def test_extras_of_its_own_dialect_are_written_back() -> None:
    body = msgspec.json.encode(
        {
            "model": "m",
            "input": "Hi",
            "of_tomorrow": {"x": 1},
            "reasoning": {"effort": "low", "mode": "pro"},
            "text": {"of_tomorrow": 1},
            "tool_choice": {"type": "file_search"},
            "store": True,
        }
    )
    written = msgspec.json.decode(CODEC.encode_request(CODEC.decode_request(body), TO, Losses(OnUnsupported.REJECT)))

    assert written["of_tomorrow"] == {"x": 1}
    assert written["reasoning"] == {"effort": "low", "mode": "pro"}
    assert written["text"] == {"of_tomorrow": 1}
    assert written["tool_choice"] == {"type": "file_search"}
    assert written["store"] is True


def test_result_for_a_call_that_never_was_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"messages\[1\].*call"):
        write(user(Text("Hi")), user(ToolResult("c", (Text("x"),))))


def test_foreign_part_of_a_result_is_refused_or_left_out() -> None:
    found = Foreign("messages", "search_result", msgspec.Raw(b"{}"))
    messages = (user(Text("Hi")), assistant(ToolCall("c", "look", "{}")), user(ToolResult("c", (Text("x"), found))))
    losses = Losses(OnUnsupported.DROP)

    with pytest.raises(Unsupported):
        write(*messages, losses=Losses())
    assert write(*messages, losses=losses)["input"][-1]["output"] == [{"type": "input_text", "text": "x"}]
    assert losses.dropped == ["messages[2].parts[0].parts[1].search_result"]


def test_items_and_content_of_its_own_dialect_are_written_back() -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_of_tomorrow", "x": 1}]},
        {"type": "compaction", "encrypted_content": "x"},
    ]
    body = msgspec.json.encode({"model": "m", "input": items})
    written = msgspec.json.decode(CODEC.encode_request(CODEC.decode_request(body), TO, Losses(OnUnsupported.REJECT)))

    assert written["input"] == [{"type": "message", **items[0]}, items[1]]
