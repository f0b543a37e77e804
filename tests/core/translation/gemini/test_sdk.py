"""Google's SDK with the codec on the other side: what it sends is understood, and it understands what it gets."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest
from google.genai import errors, types

from llm_gateway.core.apis import Api, asked_of
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    ChoiceMode,
    Citation,
    Document,
    Finish,
    Image,
    Inline,
    Message,
    Opaque,
    Reasoning,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)
from llm_gateway.core.translation.events import Failed
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from tests.core.translation.gemini.reach import CODEC
from tests.core.translation.gemini.sdk import Served, client, client_of
from tests.core.translation.gemini.sdk import request as checked

NOBODY = Request("gemini-3-flash", ())
SEALED = Opaque("messages", "anthropic", "EqQBCkYIBBgCKkA+/w==")
THOUGHT = Thinking("Let me look.", SEALED)
CALL = ToolCall("toolu_1", "weather", '{"city":"Bonn"}')


def answer(*parts: Any, stop: Stop = Stop.END) -> Answer:
    usage = Usage(input=20, output=30, cached_input=5, reasoning=10)
    return Answer("msg_1", "claude-haiku-5-5", (Choice(tuple(parts), Finish(stop)),), usage, 1_700_000_000)


def whole(*parts: Any, stop: Stop = Stop.END) -> bytes:
    return CODEC.encode_answer(answer(*parts, stop=stop), NOBODY)


def streamed(*parts: Any, stop: Stop = Stop.END) -> bytes:
    return CODEC.stream_encoder(NOBODY).encode(exploded(answer(*parts, stop=stop)))


def understood(served: Served, number: int = -1) -> Request:
    """What the codec makes of what the SDK asked."""
    sent = served.asked[number]
    call = asked_of(b"POST", sent.url.path.encode())
    assert call.api is Api.GEMINI
    return CODEC.decode_request(sent.read(), model=call.model, stream=call.stream)


def test_a_plain_question_and_its_answer() -> None:
    sdk, served = client(whole(Text("Hello.")))

    got = sdk.models.generate_content(
        model="gemini-3-flash",
        contents="Hi",
        config=types.GenerateContentConfig(
            system_instruction="Be brief.",
            max_output_tokens=100,
            stop_sequences=["END"],
            temperature=0.5,
            top_k=40,
            seed=7,
        ),
    )

    assert got.text == "Hello."
    assert got.response_id == "msg_1"
    assert got.model_version == "claude-haiku-5-5"
    assert got.candidates is not None
    assert got.candidates[0].finish_reason is types.FinishReason.STOP
    assert got.usage_metadata is not None
    assert got.usage_metadata.prompt_token_count == 20
    assert got.usage_metadata.cached_content_token_count == 5
    assert got.usage_metadata.candidates_token_count == 20
    assert got.usage_metadata.thoughts_token_count == 10
    assert got.usage_metadata.total_token_count == 50
    request = understood(served)
    assert request.model == "gemini-3-flash"
    assert request.messages == (Message(Role.SYSTEM, (Text("Be brief."),)), Message(Role.USER, (Text("Hi"),)))
    assert (request.max_tokens, request.stop, request.stream) == (100, ("END",), False)
    assert (request.sampling.temperature, request.sampling.top_k, request.sampling.seed) == (0.5, 40, 7)
    assert request.extras == {}


def test_a_stream_is_read_chunk_by_chunk() -> None:
    sdk, served = client(streamed(Text("Hello, \u2028world."), stop=Stop.LENGTH))

    chunks = list(sdk.models.generate_content_stream(model="gemini-3-flash", contents="Hi"))

    assert "".join(chunk.text or "" for chunk in chunks) == "Hello, \u2028world."
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == 50
    assert served.asked[0].url.query == b"alt=sse"
    assert understood(served).stream


def test_a_chat_in_streams_keeps_what_was_thought() -> None:
    """Its history has a content for each chunk; the next request must have the whole thought with its signature."""
    sdk, served = client(streamed(THOUGHT, Text("It rains.")), streamed(Text("Yes.")))
    chat = sdk.chats.create(model="gemini-3-flash")

    list(chat.send_message_stream("Weather?"))
    list(chat.send_message_stream("Really?"))

    assert understood(served).messages == (
        Message(Role.USER, (Text("Weather?"),)),
        Message(Role.ASSISTANT, (THOUGHT, Text("It rains."))),
        Message(Role.USER, (Text("Really?"),)),
    )


@pytest.mark.parametrize(
    "thinking",
    [
        Thinking("", SEALED, redacted=True),
        Thinking("In short.", Opaque("responses", "openai", "gAAA"), id="rs_1", summary=True),
        Thinking("Own.", Opaque("gemini", None, "c2lnbmVk"), summary=True),
    ],
)
def test_a_chat_keeps_all_that_belongs_to_a_thought(thinking: Thinking) -> None:
    sdk, served = client(whole(thinking, Text("It rains.")), whole(Text("Yes.")))
    chat = sdk.chats.create(model="gemini-3-flash")

    chat.send_message("Weather?")
    chat.send_message("Really?")

    assert understood(served).messages[1] == Message(Role.ASSISTANT, (thinking, Text("It rains.")))


def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: its name
    """
    return f"It rains in {city}."


@pytest.mark.parametrize("encode", [whole, streamed])
def test_the_sdk_calls_functions_and_sends_their_results(encode: Any) -> None:
    sdk, served = client(encode(THOUGHT, CALL, stop=Stop.TOOL_CALLS), encode(Text("It rains.")))
    config = types.GenerateContentConfig(tools=[weather])

    if encode is whole:
        text = sdk.models.generate_content(model="m", contents="Weather?", config=config).text
    else:
        chunks = list(sdk.models.generate_content_stream(model="m", contents="Weather?", config=config))
        text = "".join(chunk.text or "" for chunk in chunks)

    assert text == "It rains."
    first, second = understood(served, 0), understood(served, 1)
    assert [tool.name for tool in first.tools] == ["weather"]
    assert first.tools[0].parameters is not None
    assert json.loads(bytes(first.tools[0].parameters))["properties"]["city"]["type"].lower() == "string"
    called, result = second.messages[-2], second.messages[-1]
    assert [part for part in called.parts if isinstance(part, ToolCall)] == [CALL]
    assert THOUGHT in called.parts
    assert result == Message(Role.USER, (ToolResult("toolu_1", (Text("It rains in Bonn."),), name="weather"),))


def test_functions_may_be_called_by_hand_and_at_once() -> None:
    calls = [ToolCall("a", "weather", '{"city":"A"}'), ToolCall("b", "weather", '{"city":"B"}')]
    sdk, served = client(whole(*calls, stop=Stop.TOOL_CALLS), whole(Text("Done.")))
    declared = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING, nullable=True)}
        ),
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
            )
        ),
    )

    got = sdk.models.generate_content(model="m", contents="Weather?", config=config)
    assert got.function_calls is not None
    assert [(call.id, call.name, call.args) for call in got.function_calls] == [
        ("a", "weather", {"city": "A"}),
        ("b", "weather", {"city": "B"}),
    ]
    assert got.candidates is not None
    assert got.candidates[0].content is not None
    # As the documentation has it: results without ids, in the order of the calls.
    results = [types.Part.from_function_response(name="weather", response={"output": f"rain {n}"}) for n in (1, 2)]
    sdk.models.generate_content(
        model="m",
        contents=[types.UserContent("Weather?"), got.candidates[0].content, types.Content(role="user", parts=results)],
        config=config,
    )

    request = understood(served)
    assert request.tool_choice == ToolChoice(ChoiceMode.REQUIRED, ("weather",))
    assert request.tools[0].parameters is not None
    assert json.loads(bytes(request.tools[0].parameters)) == {
        "type": "object",
        "properties": {"city": {"type": ["string", "null"]}},
    }
    assert request.messages[1].parts == tuple(calls)
    assert request.messages[2].parts == (
        ToolResult("a", (Text("rain 1"),), name="weather"),
        ToolResult("b", (Text("rain 2"),), name="weather"),
    )


def test_pictures_and_pdfs_are_understood_in_googles_base64() -> None:
    sdk, served = client(whole(Text("A dot.")))
    data = bytes(range(250, 256)) * 2

    sdk.models.generate_content(
        model="m",
        contents=[
            "What is this?",
            types.Part.from_bytes(data=data, mime_type="image/png"),
            types.Part.from_bytes(data=data, mime_type="application/pdf"),
        ],
    )

    assert b"_" in served.asked[0].read()
    assert understood(served).messages[0].parts == (
        Text("What is this?"),
        Image(Inline("image/png", "+vv8/f7/+vv8/f7/")),
        Document(Inline("application/pdf", "+vv8/f7/+vv8/f7/")),
    )


def test_structured_output_is_parsed() -> None:
    class City(pydantic.BaseModel):
        name: str
        size: int

    sdk, served = client(whole(Text('{"name":"Köln","size":1}')), whole(Text('{"name":"Köln","size":1}')))
    for config in (
        {"response_mime_type": "application/json", "response_schema": City},
        {"response_mime_type": "application/json", "response_json_schema": City.model_json_schema()},
    ):
        got = sdk.models.generate_content(
            model="m", contents="A city", config=types.GenerateContentConfig.model_validate(config)
        )
        output = understood(served).output
        assert output is not None
        assert output.schema is not None
        schema = json.loads(bytes(output.schema))
        assert schema["type"] == "object"
        assert schema["properties"]["size"]["type"] == "integer"
        assert schema["required"] == ["name", "size"]
        assert json.loads(got.text or "") == {"name": "Köln", "size": 1}


def test_thinking_and_its_settings() -> None:
    sdk, served = client(whole(THOUGHT, Text("42.")))

    got = sdk.models.generate_content(
        model="m",
        contents="?",
        config=types.GenerateContentConfig(
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)
        ),
    )

    assert got.candidates is not None
    assert got.candidates[0].content is not None
    assert got.candidates[0].content.parts is not None
    assert [(part.text, part.thought) for part in got.candidates[0].content.parts] == [
        ("Let me look.", True),
        ("42.", None),
    ]
    assert understood(served).reasoning == Reasoning(effort="high", show="auto")


def test_sources_are_where_the_sdk_looks_for_them() -> None:
    text = Text("Ärger. Regen.", (Citation("https://example.com/a", "A", start=7, end=13),))
    sdk, _served = client(whole(text))

    got = sdk.models.generate_content(model="m", contents="?")

    assert got.candidates is not None
    found = got.candidates[0].grounding_metadata
    assert found is not None
    assert found.grounding_chunks is not None
    assert found.grounding_chunks[0].web is not None
    assert found.grounding_chunks[0].web.uri == "https://example.com/a"
    assert found.grounding_supports is not None
    assert found.grounding_supports[0].segment is not None
    # Bytes: one character has two.
    assert found.grounding_supports[0].segment.start_index == 8
    assert found.grounding_supports[0].segment.text == "Regen."


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.END, "STOP"),
        (Stop.STOP_SEQUENCE, "STOP"),
        (Stop.LENGTH, "MAX_TOKENS"),
        (Stop.CONTEXT, "MAX_TOKENS"),
        (Stop.FILTERED, "SAFETY"),
        (Stop.REFUSAL, "SAFETY"),
        (Stop.PAUSE, "OTHER"),
        (Stop.ERROR, "OTHER"),
        (Stop.OTHER, "OTHER"),
    ],
)
def test_every_stop_is_a_reason_that_the_sdk_knows(stop: Stop, reason: str) -> None:
    sdk, _served = client(whole(Text("x"), stop=stop), streamed(Text("x"), stop=stop))
    got = sdk.models.generate_content(model="m", contents="?")
    assert got.candidates is not None
    assert got.candidates[0].finish_reason is types.FinishReason[reason]
    *_, last = sdk.models.generate_content_stream(model="m", contents="?")
    assert last.candidates is not None
    assert last.candidates[0].finish_reason is types.FinishReason[reason]


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_is_the_sdks_own_exception(kind: FailureKind) -> None:
    failure = ProviderFailure(418, kind, "It went wrong.", param="max_tokens", retry_after_s=1.5)
    status, body = CODEC.encode_failure(failure, "req_1")
    sdk = client_of(Served([(status, body)]))

    with pytest.raises(errors.ClientError if status < 500 else errors.ServerError) as raised:
        sdk.models.generate_content(model="m", contents="?")

    assert raised.value.code == status
    assert raised.value.message == "It went wrong."
    assert raised.value.status == json.loads(body)["error"]["status"]
    assert CODEC.decode_failure(status, body).retry_after_s == 2


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failure_within_a_stream_is_too(kind: FailureKind) -> None:
    encoder = CODEC.stream_encoder(NOBODY)
    data = encoder.encode(exploded(answer(Text("Well, "), stop=Stop.END))[:4])
    data += encoder.encode([Failed(ProviderFailure(418, kind, "It went wrong."))])
    sdk, _served = client(data)
    stream = sdk.models.generate_content_stream(model="m", contents="?")

    assert next(iter(stream)).text == "Well, "
    with pytest.raises(errors.APIError, match="It went wrong"):
        list(stream)


def test_what_the_sdk_sends_can_be_sent_to_google_again() -> None:
    film = types.Part(
        file_data=types.FileData(file_uri="https://youtu.be/x", mime_type="video/mp4"),
        video_metadata=types.VideoMetadata(fps=2),
    )
    picture = types.Part(inline_data=types.Blob(data=b"abc", mime_type="image/png"), part_metadata={"from": "a camera"})
    safety = types.SafetySetting(
        category=types.HarmCategory.HARM_CATEGORY_HATE_SPEECH, threshold=types.HarmBlockThreshold.BLOCK_NONE
    )
    sdk, served = client(whole(Text("x")))
    sdk.models.generate_content(
        model="m",
        contents=[types.Content(role="user", parts=[film, picture])],
        config=types.GenerateContentConfig(
            safety_settings=[safety],
            cached_content="cachedContents/x",
            tools=[types.Tool(google_search=types.GoogleSearch())],
            response_modalities=["IMAGE"],
            speech_config="Kore",
            media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
        ),
    )

    losses = Losses(OnUnsupported.REJECT)
    again = checked(CODEC.encode_request(understood(served), Destination("gemini-3-flash", "google"), losses))

    sent = json.loads(served.asked[0].read())
    # The SDK writes some names in snake_case, inside of others in camelCase.
    assert [types.Content.model_validate(content) for content in again.pop("contents")] == [
        types.Content.model_validate(content) for content in sent.pop("contents")
    ]
    assert again == sent
    assert losses.dropped == []
