"""What Google is sent, and what is said of all that it cannot be told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.codec import Destination
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
from llm_gateway.core.translation.gemini.codec import GeminiCodec
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.errors import BadRequest
from tests.core.translation.gemini import sdk
from tests.core.translation.gemini.reach import CODEC

HI = Message(Role.USER, (Text("Hi"),))
SIGNED = Opaque("gemini", "google", "c2ln")
PIXEL = Inline("image/png", "QQ==")
SKIP = "skip_thought_signature_validator"


def write(request: Request, model: str = "gemini-3-flash", *, losses: Losses | None = None, **codec: bool) -> Any:
    losses = losses or Losses(OnUnsupported.REJECT)
    body = (GeminiCodec(**codec) if codec else CODEC).encode_request(request, Destination(model, "google"), losses)
    return sdk.request(body)


def said(*messages: Message, model: str = "gemini-3-flash", losses: Losses | None = None) -> Any:
    return write(Request("m", messages), model, losses=losses)["contents"]


def config(losses: Losses | None = None, model: str = "gemini-3-flash", **fields: Any) -> Any:
    return write(Request("m", (HI,), **fields), model, losses=losses).get("generationConfig", {})


def test_the_least_request_has_nothing_else() -> None:
    assert write(Request("m", (HI,))) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_instructions_have_one_place() -> None:
    losses = Losses()
    request = Request(
        "m",
        (
            Message(Role.SYSTEM, (Text("One."),)),
            Message(Role.DEVELOPER, (Text("Two."),)),
            HI,
            Message(Role.SYSTEM, (Text("Three."),)),
        ),
    )
    written = write(request, losses=losses)
    assert written["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]}
    assert written["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert losses.changed == ["messages[3].role"]


def test_instructions_alone_are_what_the_user_says() -> None:
    losses = Losses()
    assert said(Message(Role.SYSTEM, (Text("Tell a joke."),)), losses=losses) == [
        {"role": "user", "parts": [{"text": "Tell a joke."}]}
    ]
    assert losses.changed == ["messages"]


def test_messages_of_one_role_are_one_content() -> None:
    call = Message(Role.ASSISTANT, (ToolCall("b", "g", ""),))
    results = [Message(Role.USER, (ToolResult(call_id, (Text(call_id),)),)) for call_id in "ab"]
    written = said(
        HI,
        Message(Role.ASSISTANT, (Text("Look."), ToolCall("a", "f", '{"x": 1}'))),
        call,
        *results,
        HI,
        model="gemini-2.5-pro",
    )
    assert [content["role"] for content in written] == ["user", "model", "user", "user"]
    assert written[1]["parts"] == [
        {"text": "Look."},
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": SKIP},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]
    # Newer models take nothing beside results.
    assert written[2]["parts"] == [
        {"functionResponse": {"id": "a", "name": "f", "response": {"output": "a"}}},
        {"functionResponse": {"id": "b", "name": "g", "response": {"output": "b"}}},
    ]
    assert written[3]["parts"] == [{"text": "Hi"}]


def test_results_stand_right_behind_their_calls() -> None:
    losses = Losses()
    calls = Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")))
    first = Message(Role.USER, (ToolResult("a", (Text("1"),)),))
    second = Message(Role.USER, (Text("Wait."), ToolResult("b", (Text("2"),))))
    written = said(HI, calls, HI, first, second, losses=losses)
    assert [[*part] for content in written[2:] for part in content["parts"]] == [
        ["functionResponse"],
        ["functionResponse"],
        ["text"],
        ["text"],
    ]
    assert [part["text"] for part in written[3]["parts"]] == ["Hi", "Wait."]
    assert [response["functionResponse"]["id"] for response in written[2]["parts"]] == ["a", "b"]
    assert losses.changed == ["messages[3]", "messages[4]"]


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3.8-flash"])
def test_calls_that_come_first_answer_somebody(model: str) -> None:
    losses = Losses()
    conversation = (
        Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)),
        Message(Role.USER, (ToolResult("a", (Text("x"),)),)),
    )
    assert [content["role"] for content in said(*conversation, model=model, losses=losses)] == ["user", "model", "user"]
    assert losses.changed == ["messages"]
    assert said(Message(Role.ASSISTANT, (Text("Hi"),)), HI, model=model)[0]["role"] == "model"


@pytest.mark.parametrize(
    ("model", "goes_on"),
    [
        ("gemini-2.5-flash", True),
        ("gemini-3.1-pro-preview", True),
        ("gemini-3.5-flash", True),
        ("gemini-3.5-flash-lite", False),
        ("gemini-3.8-flash", False),
        ("gemini-4-argon", False),
        ("gemini-flash-latest", False),
    ],
)
def test_newer_models_do_not_go_on_with_words_of_their_own(model: str, goes_on: bool) -> None:
    losses = Losses()
    written = said(HI, Message(Role.ASSISTANT, (Text("Well"),)), model=model, losses=losses)
    assert [content["role"] for content in written] == ["user", "model"] + ([] if goes_on else ["user"])
    assert losses.changed == ([] if goes_on else ["messages"])


def test_empty_text_is_not_sent() -> None:
    assert said(HI, Message(Role.ASSISTANT, (Text(""),)), HI) == [{"role": "user", "parts": [{"text": "Hi"}] * 2}]


def test_results_without_ids_stand_in_the_order_of_the_calls() -> None:
    calls = Message(Role.ASSISTANT, (ToolCall("gwfc_1_0", "f", "{}"), ToolCall("gwfc_1_1", "f", "{}")))
    results = Message(Role.USER, (ToolResult("gwfc_1_1", (Text("2"),)), ToolResult("gwfc_1_0", (Text("1"),))))
    written = said(HI, calls, results)
    assert [part["functionCall"] for part in written[1]["parts"]] == [{"name": "f", "args": {}}] * 2
    assert [part["functionResponse"]["response"]["output"] for part in written[2]["parts"]] == ["1", "2"]


def test_a_result_of_no_call_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"messages\[0\].parts\[0\]"):
        said(Message(Role.USER, (ToolResult("a", (Text("x"),)),)))


def test_errors_of_tools_are_errors() -> None:
    written = said(
        HI,
        Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)),
        Message(Role.USER, (ToolResult("a", (Text("No."),), True),)),
    )
    assert written[2]["parts"][0]["functionResponse"]["response"] == {"error": "No."}


@pytest.mark.parametrize("arguments", ["{", "[1]", "5", '{"a":1}}', "[" * 100_000])
def test_arguments_that_are_no_object_stay_visible(arguments: str) -> None:
    losses = Losses()
    written = said(HI, Message(Role.ASSISTANT, (ToolCall("a", "f", arguments),)), losses=losses)
    assert written[1]["parts"][0]["functionCall"]["args"].keys() == {"input"}
    assert losses.changed == ["messages[1].parts[0].arguments"]


def test_pictures_are_in_results_since_gemini_3_and_behind_them_before() -> None:
    conversation = (
        HI,
        Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)),
        Message(Role.USER, (ToolResult("a", (Text("x"), Image(PIXEL))),)),
    )
    blob = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}
    losses = Losses()
    (new,) = said(*conversation, losses=losses)[2]["parts"]
    assert new["functionResponse"]["parts"] == [blob]
    assert losses.changed == []
    *_, result, picture = said(*conversation, model="gemini-2.5-flash", losses=losses)
    assert "parts" not in result["parts"][0]["functionResponse"]
    assert picture == {"role": "user", "parts": [blob]}
    assert losses.changed == ["messages[2].parts[0]"]


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Image(PIXEL), {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}),
        (
            Image(Linked("https://example.com/a.webp")),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/a.webp"}},
        ),
        (
            Image(Stored("gs://b/a", "gemini", "image/png")),
            {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a"}},
        ),
        (Document(Inline("application/pdf", "QQ==")), {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}}),
        (Audio(Inline("audio/wav", "QQ==")), {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}}),
        (
            Image(PIXEL, "high"),
            {
                "inlineData": {"mimeType": "image/png", "data": "QQ=="},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
            },
        ),
        (
            Foreign("gemini", "executableCode", msgspec.Raw(b'{"executableCode":{"code":"1"}}')),
            {"executableCode": {"code": "1"}},
        ),
    ],
)
def test_parts_that_google_has(part: Part, written: Any) -> None:
    assert said(Message(Role.USER, (part,)))[0]["parts"] == [written]


RAW = msgspec.Raw(b"{}")
OTHERS = Opaque("messages", "anthropic", "x")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Image(Stored("file-1", "chat")), "messages[0].parts[0].file_id"),
        (Document(Inline("application/pdf", "QQ=="), citations=True), "messages[0].parts[0].citations"),
        (Audio(None, id="audio_1"), "messages[0].parts[0].audio"),
        (Foreign("messages", "web_search_tool_result", RAW), "messages[0].parts[0].web_search_tool_result"),
        (Thinking("a", OTHERS), "messages[0].parts[0].signature"),
        (Thinking("a", Opaque("gemini", "vertex", "x")), "messages[0].parts[0].signature"),
        (ToolCall("a", "f", "{}", OTHERS), "messages[0].parts[0].signature"),
    ],
)
def test_parts_that_google_cannot_have_are_refused_or_left_out(part: Part, field: str) -> None:
    message = Message(Role.ASSISTANT, (part, Text("x")))
    with pytest.raises(Unsupported, match=field.replace("[", r"\[").replace("]", r"\]")):
        said(message, losses=Losses())
    for policy in (OnUnsupported.DROP, OnUnsupported.PASS):
        losses = Losses(policy)
        assert said(message, losses=losses)[-1]["parts"][-1] == {"text": "x"}
        assert losses.dropped == [field]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message(Role.USER, (Text("x"),), "Ada"), "messages[0].name"),
        (Message(Role.USER, (Text("x", cache=CacheMark("5m")),)), "cache_control"),
        (Message(Role.USER, (Image(PIXEL, cache=CacheMark()),)), "cache_control"),
        (Message(Role.USER, (Document(PIXEL, "a.pdf"),)), "messages[0].parts[0].name"),
        (Message(Role.ASSISTANT, (Text("x", (Citation("https://example.com"),)),)), "messages[0].parts[0].citations"),
        (Message(Role.ASSISTANT, (Text("x"), Foreign("chat", "audio", RAW, hint=True))), "messages[0].parts[1].audio"),
    ],
)
def test_hints_are_left_out_and_named(message: Message, field: str) -> None:
    losses = Losses()
    said(message, losses=losses)
    assert losses.dropped == [field]


def test_parts_of_results_are_hints_where_they_are_elsewhere() -> None:
    losses = Losses()
    found = ToolResult("a", (Text("seen"), Foreign("messages", "tool_reference", RAW, hint=True)))
    said(Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)), Message(Role.USER, (found,)), losses=losses)
    assert losses.dropped == ["messages[1].parts[0].tool_reference"]


def test_what_is_said_another_way_is_named() -> None:
    losses = Losses()
    written = said(
        Message(Role.USER, (Document(Inline("text/plain", "QQ=="), context="A letter."), Audio(None, "a", "Hello."))),
        Message(Role.ASSISTANT, (Refusal("No."),)),
        Message(Role.USER, (Image(Linked("https://example.com/picture")),)),
        losses=losses,
    )
    assert written[0]["parts"][0] == {"text": "A letter."}
    assert written[0]["parts"][2] == {"text": "Hello."}
    assert written[1]["parts"] == [{"text": "No."}]
    assert written[2]["parts"] == [{"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/picture"}}]
    assert losses.changed == [
        "messages[0].parts[0].context",
        "messages[0].parts[1]",
        "messages[1].parts[0]",
        "messages[2].parts[0].media_type",
    ]


def test_older_models_fetch_nothing() -> None:
    with pytest.raises(Unsupported, match="url"):
        said(
            Message(Role.USER, (Image(Linked("https://example.com/a.png")),)), model="gemini-2.0-flash", losses=Losses()
        )


@pytest.mark.parametrize(
    ("model", "signatures"),
    [
        ("gemini-3-pro-preview", [SKIP, None]),
        ("models/gemini-3.5-flash", [SKIP, None]),
        ("gemini-flash-latest", [SKIP, None]),
        ("gemini-2.5-pro", [SKIP, None]),
        ("gemini-2.0-flash-001", [None, None]),
        ("gemma-3-27b-it", [None, None]),
    ],
)
def test_calls_of_other_models_say_so_to_those_who_ask(model: str, signatures: list[str | None]) -> None:
    calls = Message(Role.ASSISTANT, (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")))
    assert [part.get("thoughtSignature") for part in said(HI, calls, model=model)[1]["parts"]] == signatures


def test_calls_of_its_own_keep_their_signature() -> None:
    calls = Message(Role.ASSISTANT, (ToolCall("a", "f", "{}", SIGNED), ToolCall("b", "f", "{}")))
    assert [part.get("thoughtSignature") for part in said(HI, calls)[1]["parts"]] == ["c2ln", None]


# Tools

SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":["integer","null"],"exclusiveMinimum":0}}}')


def test_tools_keep_their_json_schema() -> None:
    tools = (Tool("f", "Does f.", SCHEMA), Tool("g"))
    assert write(Request("m", (HI,), tools=tools))["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "Does f.", "parametersJsonSchema": json.loads(bytes(SCHEMA))},
                {"name": "g"},
            ]
        }
    ]


def test_tools_have_googles_schema_where_the_endpoint_knows_no_other() -> None:
    tools = (Tool("f", None, SCHEMA), Tool("g", None, msgspec.Raw(b'{"type":"object","properties":{}}')))
    losses = Losses(OnUnsupported.REJECT)
    (entry,) = write(Request("m", (HI,), tools=tools), losses=losses, json_schema=False)["tools"]
    assert entry["functionDeclarations"] == [
        {
            "name": "f",
            "parameters": {
                "type": "OBJECT",
                "properties": {"a": {"type": "INTEGER", "nullable": True, "minimum": 1}},
                "propertyOrdering": ["a"],
            },
        },
        {"name": "g"},
    ]
    assert losses.changed == []


def test_a_function_stands_in_for_a_custom_tool() -> None:
    losses = Losses()
    tools = (Tool("shell", "Runs it.", custom=msgspec.Raw(b'{"type":"text"}')),)
    call = Message(Role.ASSISTANT, (ToolCall("a", "shell", "ls", custom=True),))
    written = write(Request("m", (HI, call), tools=tools), losses=losses)
    (declared,) = written["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"]["required"] == ["input"]
    assert written["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": "ls"}
    assert losses.changed == ["tools.shell"]


def test_tools_that_providers_run() -> None:
    own = Foreign("gemini", "googleSearch", msgspec.Raw(b"{}"))
    assert write(Request("m", (HI,), foreign_tools=(own,)))["tools"] == [{"googleSearch": {}}]
    with pytest.raises(Unsupported, match=r"tools\.web_search_20260209"):
        write(Request("m", (HI,), foreign_tools=(Foreign("messages", "web_search_20260209", RAW),)), losses=Losses())


@pytest.mark.parametrize(
    ("choice", "strict", "written"),
    [
        (None, None, None),
        (None, True, {"mode": "VALIDATED"}),
        (ToolChoice(ChoiceMode.AUTO), None, {"mode": "AUTO"}),
        (ToolChoice(ChoiceMode.AUTO), True, {"mode": "VALIDATED"}),
        (ToolChoice(ChoiceMode.AUTO, ("f",)), None, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ChoiceMode.NONE), True, {"mode": "NONE"}),
        (ToolChoice(ChoiceMode.REQUIRED), None, {"mode": "ANY"}),
        (ToolChoice(ChoiceMode.REQUIRED, ("f",)), True, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choices(choice: ToolChoice | None, strict: bool | None, written: Any) -> None:
    document = write(Request("m", (HI,), tools=(Tool("f", strict=strict),), tool_choice=choice))
    assert document.get("toolConfig", {}).get("functionCallingConfig") == written


def test_what_tool_choices_cannot_say() -> None:
    losses = Losses()
    write(Request("m", (HI,), tools=(Tool("f", strict=True), Tool("g"))), losses=losses)
    assert losses.dropped == ["tools.strict"]
    choice = ToolChoice(ChoiceMode.AUTO, ("f",))
    with pytest.raises(Unsupported, match="tool_choice"):
        write(Request("m", (HI,), tools=(Tool("f"),), tool_choice=choice), "gemini-2.0-flash", losses=Losses())
    with pytest.raises(Unsupported, match="tool_choice"):
        write(Request("m", (HI,), tool_choice=ToolChoice(ChoiceMode.REQUIRED)), losses=Losses())
    assert write(Request("m", (HI,), tool_choice=ToolChoice(ChoiceMode.NONE))).keys() == {"contents"}


def test_one_call_at_a_time_is_seen_to_by_the_gateway() -> None:
    for parallel, changed in ((False, ["parallel_tool_calls"]), (True, [])):
        losses = Losses(OnUnsupported.REJECT)
        request = Request("m", (HI,), tools=(Tool("f"),), parallel_tool_calls=parallel)
        assert write(request, losses=losses).keys() == {"contents", "tools"}
        assert losses.changed == changed


# How to answer


def test_settings_have_googles_names() -> None:
    assert config(
        max_tokens=10,
        stop=("a", "b"),
        sampling=Sampling(0.5, 0.9, 40, 0.1, 0.2, None, 7),
        choices=2,
        logprobs=True,
        top_logprobs=3,
        modalities=("image",),
    ) == {
        "maxOutputTokens": 10,
        "stopSequences": ["a", "b"],
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "seed": 7,
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }


def test_no_more_is_asked_for_than_an_answer_can_have() -> None:
    losses = Losses()
    to = Destination("gemini-3-flash", "google", max_output_tokens=65_536)
    for asked, written in ((1000, 1000), (128_000, 65_536)):
        body = sdk.request(CODEC.encode_request(Request("m", (HI,), max_tokens=asked), to, losses))
        assert body["generationConfig"] == {"maxOutputTokens": written}
    assert losses.changed == ["max_tokens"]


def test_newer_models_sample_as_they_like() -> None:
    losses = Losses()
    written = config(losses, "gemini-3.6-flash", max_tokens=10, sampling=Sampling(0.5, 0.9, 40, seed=7))
    assert written == {"maxOutputTokens": 10, "seed": 7}
    assert losses.dropped == ["temperature", "top_p", "top_k"]
    for penalty in (Sampling(presence_penalty=0.5), Sampling(frequency_penalty=0.5)):
        with pytest.raises(Unsupported, match="penalty"):
            config(Losses(), "gemini-4-argon", sampling=penalty)
    passed = config(Losses(OnUnsupported.PASS), "gemini-4-argon", sampling=Sampling(0.5, presence_penalty=0.5))
    assert passed == {"temperature": 0.5, "presencePenalty": 0.5}


def test_six_stop_sequences_are_too_many() -> None:
    stop = tuple("abcdef")
    with pytest.raises(Unsupported, match="stop"):
        config(Losses(), stop=stop)
    assert config(Losses(OnUnsupported.DROP), stop=stop)["stopSequences"] == list("abcde")
    assert config(Losses(OnUnsupported.PASS), stop=stop)["stopSequences"] == list(stop)


def test_a_seed_of_64_bits_is_made_one_of_32() -> None:
    losses = Losses()
    assert config(losses, sampling=Sampling(seed=2**40 + 5))["seed"] == 5
    assert losses.changed == ["seed"]


def test_structured_output() -> None:
    losses = Losses()
    assert config(output=OutputFormat()) == {"responseMimeType": "application/json"}
    written = config(losses, output=OutputFormat(SCHEMA, "answer", "The answer.", True))
    assert written["responseMimeType"] == "application/json"
    assert written["responseJsonSchema"] == {"description": "The answer."} | json.loads(bytes(SCHEMA))
    assert losses.changed == ["response_format.description"]
    old = write(Request("m", (HI,), output=OutputFormat(SCHEMA)), json_schema=False)["generationConfig"]
    assert old["responseSchema"]["properties"]["a"]["type"] == "INTEGER"


def test_structured_output_beside_functions_is_for_gemini_3() -> None:
    request = Request("m", (HI,), tools=(Tool("f"),), output=OutputFormat(SCHEMA))
    assert write(request)["generationConfig"].keys() == {"responseMimeType", "responseJsonSchema"}
    with pytest.raises(Unsupported, match="response_format"):
        write(request, "gemini-2.5-flash", losses=Losses())
    assert "generationConfig" not in write(request, "gemini-2.5-flash", losses=Losses(OnUnsupported.DROP))
    assert "generationConfig" in write(request, "gemini-2.5-flash", losses=Losses(OnUnsupported.PASS))


@pytest.mark.parametrize(
    ("model", "reasoning", "written", "changed"),
    [
        ("gemini-3-flash", Reasoning(effort="low"), {"thinkingLevel": "LOW"}, False),
        ("gemini-3-flash", Reasoning(effort="none"), {"thinkingLevel": "MINIMAL"}, True),
        ("gemini-3-flash", Reasoning(enabled=False), {"thinkingLevel": "MINIMAL"}, True),
        ("gemini-3-flash", Reasoning(effort="max"), {"thinkingLevel": "HIGH"}, True),
        ("gemini-3.1-pro", Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}, True),
        ("gemini-3.6-flash", Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL"}, False),
        ("gemini-3.8-flash", Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}, True),
        ("gemini-4-argon", Reasoning(effort="none"), {"thinkingLevel": "LOW"}, True),
        ("gemini-flash-latest", Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}, True),
        ("gemini-flash-lite-latest", Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL"}, False),
        ("gemini-3-flash", Reasoning(budget_tokens=5000), {"thinkingBudget": 5000}, False),
        ("gemini-3-flash", Reasoning(enabled=True, adaptive=True, show="auto"), {"includeThoughts": True}, False),
        (
            "gemini-3-flash",
            Reasoning(effort="high", show="none"),
            {"thinkingLevel": "HIGH", "includeThoughts": False},
            False,
        ),
        ("gemini-2.5-flash", Reasoning(effort="none"), {"thinkingBudget": 0}, False),
        ("gemini-2.5-flash", Reasoning(effort="medium"), {"thinkingBudget": 8192}, True),
        ("gemini-2.5-flash", Reasoning(effort="max"), {"thinkingBudget": 24_576}, True),
        ("gemini-2.5-flash", Reasoning(budget_tokens=5000), {"thinkingBudget": 5000}, False),
        ("gemini-2.5-flash", Reasoning(adaptive=True), {"thinkingBudget": -1}, False),
        # Who turns it on by name sees it.
        ("gemini-2.5-flash", Reasoning(enabled=True), {"thinkingBudget": -1, "includeThoughts": True}, False),
        (
            "gemini-2.5-flash",
            Reasoning(enabled=True, show="none"),
            {"thinkingBudget": -1, "includeThoughts": False},
            False,
        ),
        ("gemini-2.5-pro", Reasoning(enabled=False), {"thinkingBudget": 128}, True),
        ("gemini-2.5-pro", Reasoning(budget_tokens=64_000), {"thinkingBudget": 32_768}, True),
        ("gemini-2.0-flash", Reasoning(enabled=False), None, False),
    ],
)
def test_thinking_in_the_words_of_each_generation(
    model: str, reasoning: Reasoning, written: Any, changed: bool
) -> None:
    losses = Losses(OnUnsupported.REJECT)
    assert config(losses, model, reasoning=reasoning).get("thinkingConfig") == written
    assert losses.changed == (["reasoning"] if changed else [])


def test_models_that_do_not_think_are_not_asked_to() -> None:
    losses = Losses()
    assert config(losses, "gemini-2.0-flash", reasoning=Reasoning(effort="high")) == {}
    assert losses.dropped == ["reasoning"]


@pytest.mark.parametrize(("tier", "written"), [("default", "standard"), ("flex", "flex"), ("auto", None)])
def test_service_tiers(tier: str, written: str | None) -> None:
    assert write(Request("m", (HI,), service_tier=tier)).get("serviceTier") == written


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"user": "u"}, "user", True),
        ({"metadata": {"a": "b"}}, "metadata", True),
        ({"cache_key": "k"}, "prompt_cache_key", True),
        ({"verbosity": "low"}, "verbosity", True),
        ({"service_tier": "scale"}, "service_tier", True),
        ({"sampling": Sampling(logit_bias=msgspec.Raw(b'{"5":3}'))}, "logit_bias", False),
        ({"extras": {"store": RAW}, "dialect": "chat"}, "store", False),
        ({"extras": {"store": RAW}, "hints": frozenset({"store"}), "dialect": "chat"}, "store", True),
    ],
)
def test_what_google_has_no_word_for(fields: Any, field: str, hint: bool) -> None:
    request = Request("m", (HI,), **fields)
    to = Destination("gemini-3-flash", "google")
    with pytest.raises(Unsupported, match=field):
        CODEC.encode_request(request, to, Losses(OnUnsupported.REJECT))
    losses = Losses(OnUnsupported.DEFAULT if hint else OnUnsupported.DROP)
    assert json.loads(CODEC.encode_request(request, to, losses)).keys() == {"contents"}
    assert losses.dropped == [field]
    passed = json.loads(CODEC.encode_request(request, to, Losses(OnUnsupported.PASS)))
    assert passed.keys() == {"contents", field}


def test_bias_of_no_tokens_says_nothing() -> None:
    assert write(Request("m", (HI,), sampling=Sampling(logit_bias=msgspec.Raw(b"{}")))) == write(Request("m", (HI,)))


def test_its_own_extras_go_back_to_their_places() -> None:
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "x"}, {"text": "Hi", "partMetadata": {"a": 1}}]}],
        "safetySettings": [],
        "generationConfig": {
            "temperature": 1.0,
            "thinkingConfig": {"thinkingLevel": "LOW", "new": 1},
            "speechConfig": {},
        },
        "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
    }
    request = CODEC.decode_request(json.dumps(body).encode(), model="m")
    losses = Losses(OnUnsupported.REJECT)
    again = CODEC.encode_request(request, Destination("gemini-3-flash", "google"), losses)
    assert json.loads(again) == body
