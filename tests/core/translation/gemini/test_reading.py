"""What callers of ``generateContent`` may send, in all the ways in which they may spell it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.conversation import (
    Audio,
    ChoiceMode,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    Request,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.errors import BadRequest
from tests.core.translation.gemini.reach import CODEC

HI = {"role": "user", "parts": [{"text": "Hi"}]}


def read(**fields: Any) -> Request:
    return CODEC.decode_request(json.dumps({"contents": [HI]} | fields).encode(), model="m", stream=False)


def contents(*given: Any) -> tuple[Message, ...]:
    return read(contents=list(given)).messages


def user(*parts: Any) -> tuple[Any, ...]:
    return contents({"role": "user", "parts": list(parts)})[0].parts


def configured(**fields: Any) -> Request:
    return read(generationConfig=fields)


def test_one_object_stands_for_a_list_of_one() -> None:
    request = read(
        system_instruction={"parts": {"text": "Be a cat."}},
        contents={"role": "user", "parts": {"text": "Hi"}},
        tools={"function_declarations": {"name": "look"}},
    )
    assert request.messages == (Message(Role.SYSTEM, (Text("Be a cat."),)), Message(Role.USER, (Text("Hi"),)))
    assert [tool.name for tool in request.tools] == ["look"]


def test_the_model_and_whether_it_streams_are_in_the_path() -> None:
    body = json.dumps({"contents": [HI], "model": "models/other"}).encode()
    assert CODEC.decode_request(body, model="mine", stream=True).model == "mine"
    assert CODEC.decode_request(body, model="mine", stream=True).stream
    assert CODEC.decode_request(body).model == "other"


def test_no_role_is_the_users() -> None:
    assert contents({"parts": [{"text": "Hi"}]}) == (Message(Role.USER, (Text("Hi"),)),)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "a"}, Text("a")),
        ({"text": "a", "thoughtSignature": "c2ln"}, Text("a", opaque=Opaque("gemini", None, "c2ln"))),
        ({"text": "", "thought_signature": "c2ln"}, Text("", opaque=Opaque("gemini", None, "c2ln"))),
        ({"text": "", "thoughtSignature": "c-l_bg=="}, Text("", opaque=Opaque("gemini", None, "c+l/bg=="))),
        ({"inlineData": {"mimeType": "image/png", "data": "QUJD"}}, Image(Inline("image/png", "QUJD"))),
        ({"inline_data": {"mime_type": "image/png", "data": "-_8"}}, Image(Inline("image/png", "+/8="))),
        (
            {
                "inlineData": {"mimeType": "image/png", "data": "QQ=="},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
            Image(Inline("image/png", "QQ=="), detail="low"),
        ),
        ({"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}}, Audio(Inline("audio/wav", "QQ=="))),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ==", "displayName": "a.pdf"}},
            Document(Inline("application/pdf", "QQ=="), "a.pdf"),
        ),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a"}},
            Image(Linked("https://example.com/a", "image/png")),
        ),
        (
            {"fileData": {"fileUri": "https://example.com/a.PDF?x=1"}},
            Document(Linked("https://example.com/a.PDF?x=1", "application/pdf")),
        ),
        (
            {"file_data": {"mime_type": "image/png", "file_uri": "gs://bucket/a"}},
            Image(Stored("gs://bucket/a", "gemini", "image/png")),
        ),
        (
            {
                "fileData": {
                    "mimeType": "text/plain",
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a",
                }
            },
            Document(Stored("https://generativelanguage.googleapis.com/v1beta/files/a", "gemini", "text/plain")),
        ),
    ],
)
def test_parts_of_a_user(part: Any, expected: Any) -> None:
    assert user(part) == (expected,)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("fileData", {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}}),
        ("inlineData", {"inlineData": {"mimeType": "video/mp4", "data": "QQ=="}, "videoMetadata": {"fps": 1}}),
        ("executableCode", {"executableCode": {"language": "PYTHON", "code": "1"}}),
        ("codeExecutionResult", {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}),
        ("toolCall", {"toolCall": {"toolType": "URL_CONTEXT"}, "thoughtSignature": "c2ln"}),
        ("somethingNew", {"somethingNew": {}}),
    ],
)
def test_what_only_google_has_is_kept_whole(kind: str, part: Any) -> None:
    (found,) = contents({"role": "model", "parts": [part]})[0].parts
    assert isinstance(found, Foreign)
    assert (found.dialect, found.kind, json.loads(bytes(found.raw))) == ("gemini", kind, part)


def test_calls_and_results_belong_together_by_id() -> None:
    messages = contents(
        HI,
        {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f", "args": {}}},
                                    {"functionCall": {"id": "b", "name": "f", "args": {"x": [1]}}}]},
        {"role": "function", "parts": [{"functionResponse": {"id": "b", "name": "f", "response": {"output": "B"}}},
                                       {"functionResponse": {"id": "a", "name": "f", "response": {"output": "A"}}}]},
    )  # fmt: skip
    assert messages[1].parts == (ToolCall("a", "f", "{}"), ToolCall("b", "f", '{"x":[1]}'))
    assert messages[2] == Message(
        Role.USER, (ToolResult("b", (Text("B"),), name="f"), ToolResult("a", (Text("A"),), name="f"))
    )


def test_calls_without_ids_get_some_that_stay_the_same() -> None:
    turn = [
        HI,
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}},
                                    {"functionCall": {"name": "f"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}},
                                   {"functionResponse": {"name": "f", "response": {"output": "3"}}},
                                   {"functionResponse": {"name": "g", "response": {"output": "2"}}}]},
    ]  # fmt: skip
    messages = contents(*turn)
    ids = [part.id for part in messages[1].parts if isinstance(part, ToolCall)]
    answered = {part.call_id: part.parts for part in messages[2].parts if isinstance(part, ToolResult)}
    assert len(set(ids)) == 3
    assert [answered[call_id] for call_id in ids] == [(Text("1"),), (Text("2"),), (Text("3"),)]
    longer = contents(*turn, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]})
    assert longer[:3] == messages
    assert isinstance(longer[3].parts[0], ToolCall)
    assert longer[3].parts[0].id not in ids


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "x"}, "x", False),
        ({"result": "x"}, "x", False),
        ({"error": "x"}, "x", True),
        ({"output": {"a": [1, "ü"]}}, '{"a":[1,"ü"]}', False),
        ({"a": 1, "output": "x"}, '{"a":1,"output":"x"}', False),
        ({"error": "x", "code": 5}, '{"error":"x","code":5}', True),
        ({"celsius": 20}, '{"celsius":20}', False),
    ],
)
def test_results_are_what_functions_gave(response: Any, text: str, is_error: bool) -> None:
    body = json.dumps({"functionResponse": {"name": "f", "response": response}}, ensure_ascii=False)
    (result,) = user(json.loads(body))
    assert isinstance(result, ToolResult)
    assert len(result.parts) == 1
    assert isinstance(result.parts[0], Text)
    assert json.loads(f"[{result.parts[0].text}]") == json.loads(f"[{text}]") if text[0] == "{" else True
    assert result.is_error is is_error


def test_results_may_have_pictures() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}
    (result,) = user({"functionResponse": {"name": "f", "response": {"output": "x"}, "parts": [blob]}})
    assert isinstance(result, ToolResult)
    assert result.parts == (Text("x"), Image(Inline("image/png", "QQ==")))


@pytest.mark.parametrize("signature", ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"])
def test_a_signature_that_says_there_is_none_is_none(signature: str) -> None:
    call = {"functionCall": {"name": "f"}, "thoughtSignature": signature}
    (found,) = contents({"role": "model", "parts": [call]})[0].parts
    assert isinstance(found, ToolCall)
    assert found.opaque is None


def test_chunks_of_a_stream_that_stand_as_contents_are_one_message() -> None:
    def said(*parts: Any) -> Any:
        return {"role": "model", "parts": list(parts)}

    messages = contents(
        HI,
        said({"text": "I ", "thought": True}),
        said({"text": "think", "thought": True}),
        said({"text": "", "thought": True, "thoughtSignature": "c2ln"}),
        said({"text": "It "}),
        said({"text": "rains"}),
        said({"text": "", "thoughtSignature": "c2ln"}),
        said({"text": "."}),
        said({"functionCall": {"id": "a", "name": "f"}}),
        said({"text": ""}),
        HI,
    )
    signature = Opaque("gemini", None, "c2ln")
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert messages[1].parts == (
        Thinking("I think", signature, summary=True),
        Text("It rains", opaque=signature),
        Text("."),
        ToolCall("a", "f", "{}"),
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": 0}, Reasoning(enabled=False)),
        ({"thinkingBudget": -1}, Reasoning(enabled=True, adaptive=True)),
        ({"thinking_budget": "2048"}, Reasoning(enabled=True, budget_tokens=2048)),
        ({"thinkingLevel": "LOW"}, Reasoning(effort="low")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"includeThoughts": True}, Reasoning(show="auto")),
        ({"includeThoughts": False, "thinkingLevel": "high"}, Reasoning(effort="high", show="none")),
    ],
)
def test_thinking(config: Any, expected: Any) -> None:
    assert configured(thinkingConfig=config).reasoning == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"mode": "AUTO"}, ToolChoice(ChoiceMode.AUTO)),
        ({"mode": "NONE"}, ToolChoice(ChoiceMode.NONE)),
        ({"mode": "ANY"}, ToolChoice(ChoiceMode.REQUIRED)),
        ({"mode": "any", "allowed_function_names": ["f"]}, ToolChoice(ChoiceMode.REQUIRED, ("f",))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice(ChoiceMode.AUTO, ("f",))),
        ({"mode": "MODE_UNSPECIFIED"}, None),
    ],
)
def test_tool_choices(config: Any, expected: Any) -> None:
    assert read(toolConfig={"functionCallingConfig": config}).tool_choice == expected


@pytest.mark.parametrize(("mode", "strict"), [("VALIDATED", True), ("AUTO", None)])
def test_validated_calls_keep_to_the_schema(mode: str, strict: bool | None) -> None:
    request = read(
        tools=[{"functionDeclarations": [{"name": "f"}]}], toolConfig={"functionCallingConfig": {"mode": mode}}
    )
    assert [tool.strict for tool in request.tools] == [strict]


def test_tools_that_google_runs_are_kept() -> None:
    request = read(tools=[{"googleSearch": {}, "functionDeclarations": [{"name": "f"}]}, {"url_context": {"x": 1}}])
    assert [(tool.dialect, tool.kind, bytes(tool.raw)) for tool in request.foreign_tools] == [
        ("gemini", "googleSearch", b"{}"),
        ("gemini", "urlContext", b'{"x": 1}'),
    ]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, OutputFormat()),
    ],
)
def test_output_formats(config: Any, expected: Any) -> None:
    request = configured(**config)
    assert request.output == expected
    assert request.extras == {}


def test_schemas_of_answers_become_json_schema() -> None:
    google = configured(responseMimeType="application/json", responseSchema={"type": "STRING"}).output
    plain = configured(responseMimeType="application/json", response_json_schema={"type": "string"}).output
    assert google is not None
    assert plain is not None
    assert google.schema is not None
    assert plain.schema is not None
    assert json.loads(bytes(google.schema)) == json.loads(bytes(plain.schema)) == {"type": "string"}


@pytest.mark.parametrize(
    ("names", "modalities", "kept"),
    [
        (["TEXT"], (), False),
        (["AUDIO"], ("audio",), False),
        (["TEXT", "IMAGE"], ("image",), False),
        (["IMAGE"], (), True),
    ],
)
def test_modalities(names: list[str], modalities: tuple[str, ...], kept: bool) -> None:
    request = configured(responseModalities=names)
    assert request.modalities == modalities
    assert ("generationConfig.responseModalities" in request.extras) is kept


def test_what_no_other_dialect_has_is_kept_with_its_place() -> None:
    request = read(
        safetySettings=[{"category": "X"}],
        cached_content="cachedContents/x",
        labels={"team": "a"},
        contents=[{"role": "user", "parts": [{"text": "Hi", "partMetadata": {"a": 1}, "audioMetadata": {}}]}],
        generationConfig={"speechConfig": {"a": 1}, "thinkingConfig": {"new": 1}, "responseMimeType": "text/x.enum"},
        toolConfig={"retrievalConfig": {}, "functionCallingConfig": {"streamFunctionCallArguments": True}},
        tools=[{"functionDeclarations": [{"name": "f", "response": {}, "behavior": "NON_BLOCKING"}]}],
    )
    hints = {
        "safetySettings",
        "labels",
        "toolConfig.retrievalConfig",
        "toolConfig.functionCallingConfig.streamFunctionCallArguments",
        "tools[0].functionDeclarations[0].response",
        "contents[0].parts[0].partMetadata",
    }
    meanings = {
        "cachedContent",
        "contents[0].parts[0].audioMetadata",
        "generationConfig.speechConfig",
        "generationConfig.thinkingConfig.new",
        "generationConfig.responseMimeType",
        "tools[0].functionDeclarations[0].behavior",
    }
    assert request.extras.keys() == hints | meanings
    assert request.hints == hints
    assert request.dialect == "gemini"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contents": []}, "contents: there has to be at least one."),
        (
            {"contents": [{"role": "system", "parts": [{"text": "x"}]}]},
            'contents[0].role: the roles are "user" and "model".',
        ),
        ({"contents": [HI, {"role": "user", "parts": [{}]}]}, "contents[1].parts[0]: it has no data."),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text: Expected `str`, got `int`."),
        ({"contents": [{"parts": [{"inlineData": {"data": "x"}}]}]}, "contents[0].parts[0].inlineData: it needs"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}, "functionCall: calls of functions belong"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]}, "functionCall.name: it is missing."),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": [1]}}]}]},
            "functionCall.args: Expected `object`.",
        ),
        (
            {"contents": [{"role": "model", "parts": [{"functionResponse": {"name": "f"}}]}]},
            "functionResponse: results of functions belong",
        ),
        ({"generationConfig": {"temperature": "warm"}}, "generationConfig.temperature: Expected `float`"),
        (
            {"generationConfig": {"stopSequences": ["a", 1]}},
            "generationConfig.stopSequences[1]: Expected `str`, got `int`.",
        ),
        ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount: it has to be from 1 to 8."),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name: it is missing."),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"a": 1}}}]}]},
            "tools[0].functionDeclarations[0].parameters.properties.a: Expected `object`, got `int`.",
        ),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
            "toolConfig.functionCallingConfig.mode: the modes",
        ),
        ({"systemInstruction": "Be brief."}, "systemInstruction: Expected `object`, got `str`."),
    ],
)
def test_what_is_wrong_is_named_by_its_place(fields: Any, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert message in raised.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"contents":"\xff"}', b'{"\xff":1}', b"[" * 100_000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        CODEC.decode_request(body)


def test_a_schema_may_not_nest_without_end() -> None:
    schema = b'{"type":"ARRAY","items":' * 2000 + b"{}" + b"}" * 2000
    body = b'{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":%s}]}]}'
    with pytest.raises(BadRequest):
        CODEC.decode_request(body % schema)


FULL: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}]},
        {
            "role": "model",
            "parts": [
                {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "f", "args": {"a": 1}}},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]},
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"enum": ["1"]}}}}
            ]
        },
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "temperature": 1,
        "stopSequences": ["x"],
        "thinkingConfig": {"thinkingBudget": 5},
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "minItems": "1", "items": {"anyOf": [{"type": "STRING"}]}},
    },
}
LEAVES = (
    st.sampled_from(["user", "model", "image/png", "OBJECT", "", "Z3cxAAAA"])
    | st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = (
    LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(["text", "type", "x"]), LEAVES, max_size=2)
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in the document with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [found for key in keys for found in places(value[key])]


@given(st.lists(st.tuples(st.integers(0, 1000), VALUES), min_size=1, max_size=3))
def test_whatever_comes_is_read_or_refused(broken: list[tuple[int, Any]]) -> None:
    document = json.loads(json.dumps(FULL))
    for number, value in broken:
        found = places(document)
        container, key = found[number % len(found)]
        container[key] = value
    with contextlib.suppress(BadRequest):
        assert CODEC.decode_request(json.dumps(document).encode()).messages
