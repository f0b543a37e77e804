"""Google's own SDK on providers that take only valid requests of Chat Completions or of the Responses API."""

from __future__ import annotations

import asyncio
import base64
import enum
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from google import genai
from google.genai import errors, types

from tests.real.translation.openai_scene import (
    BOTH,
    CHAT,
    DEEPSEEK,
    ERRORS,
    GOOGLE,
    HELLO,
    MODEL,
    OPENROUTER,
    PARALLEL,
    REASONED,
    RESPONSES,
    SIGNED,
    WEATHER,
    Scene,
    scene,
)
from tests.real.validating.files import PDF, PDF_BASE64, PNG, PNG_BASE64
from tests.real.validating.openai_answers import (
    Answered,
    Broken,
    Called,
    Cited,
    Failing,
    Ran,
    Refusing,
    Said,
    Thought,
)
from tests.real.validating.openai_models import NEWEST, PLAIN, REASONING
from tests.real.validating.openai_provider import OpenAIProvider

WEATHER_TOOL = types.FunctionDeclaration(
    name="get_weather",
    description="Tells the weather.",
    parameters=types.Schema(
        type=types.Type.OBJECT,
        properties={
            "location": types.Schema(type=types.Type.STRING, description="A city.", min_length=2),
            "days": types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.INTEGER), nullable=True),
        },
        required=["location"],
    ),
)
TIME_TOOL = types.FunctionDeclaration(name="get_time")
TOOLS = [types.Tool(function_declarations=[WEATHER_TOOL, TIME_TOOL])]

PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PDF_URL = f"data:application/pdf;base64,{PDF_BASE64}"

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
apis = pytest.mark.parametrize("key", [CHAT, RESPONSES], ids=["chat", "responses"])


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[OpenAIProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture(scope="module")
def clients(running: Scene) -> Iterator[dict[str, genai.Client]]:
    """By virtual key."""
    options = types.HttpOptions(base_url=running.gateway.url)
    made = {
        key: genai.Client(api_key=key, http_options=options)
        for key in (CHAT, RESPONSES, BOTH, DEEPSEEK, OPENROUTER, GOOGLE)
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def client(clients: dict[str, genai.Client], key: str) -> genai.Client:
    return clients[key]


def config(**fields: Any) -> types.GenerateContentConfig:
    """Without the SDK's own loop that calls functions."""
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=off, **fields)


class Answer:
    """All chunks of an answer; of a whole one there is one."""

    def __init__(self, chunks: list[types.GenerateContentResponse]) -> None:
        self.chunks = chunks
        self.contents = [
            chunk.candidates[0].content for chunk in chunks if chunk.candidates and chunk.candidates[0].content
        ]
        self.parts = [part for content in self.contents for part in content.parts or []]
        self.text = "".join(part.text or "" for part in self.parts if not part.thought)
        self.thoughts = "".join(part.text or "" for part in self.parts if part.thought)
        self.calls = [part.function_call for part in self.parts if part.function_call]
        self.last = chunks[-1]
        assert self.last.candidates
        self.finish = self.last.candidates[0].finish_reason


def ask(client: genai.Client, stream: bool, contents: Any = "Hello", *, model: str = PLAIN, **fields: Any) -> Answer:
    asked: Any = {"model": model, "contents": contents, "config": config(**fields)}
    if stream:
        return Answer(list(client.models.generate_content_stream(**asked)))
    return Answer([client.models.generate_content(**asked)])


def user(*parts: Any) -> types.Content:
    return types.Content(
        role="user", parts=[types.Part(text=part) if isinstance(part, str) else part for part in parts]
    )


def result(call: Any, output: Any = "18 degrees", **more: Any) -> types.Part:
    named = {"id": call.id, "name": call.name, "response": {"output": output}, **more}
    return types.Part(function_response=types.FunctionResponse(**named))


def sent(provider: OpenAIProvider) -> list[dict[str, Any]]:
    """The messages, or items, of the last request."""
    last = provider.last
    messages: list[dict[str, Any]] = last["messages"] if "messages" in last else last["input"]
    return messages


# Text


@both
@apis
def test_text_and_usage_are_the_providers(
    client: genai.Client, provider: OpenAIProvider, key: str, stream: bool
) -> None:
    provider.plays(HELLO)
    answer = ask(client, stream, model=MODEL[key], max_output_tokens=1000)
    assert answer.text == "Grüß Gott, wie geht es Ihnen?"
    assert (answer.finish, answer.last.model_version) == (types.FinishReason.STOP, MODEL[key])
    usage = answer.last.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.total_token_count, usage.cached_content_token_count) == (56, 73, 30)
    # Google counts thoughts apart from the answer.
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (11, 6)
    limit = "max_completion_tokens" if key == CHAT else "max_output_tokens"
    assert provider.last[limit] == 1000


@apis
def test_chunks_come_as_the_provider_sends_them(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    answer = ask(client, True)
    assert [part.text for part in answer.parts if part.text] == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]
    reasons = [chunk.candidates[0].finish_reason for chunk in answer.chunks if chunk.candidates]
    assert reasons == [*[None] * (len(reasons) - 1), types.FinishReason.STOP]


@apis
def test_asynchronous_client_gets_streams_too(running: Scene, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO, HELLO)

    async def converse() -> tuple[str, str]:
        options = types.HttpOptions(base_url=running.gateway.url)
        async with genai.Client(api_key=key, http_options=options).aio as client:
            whole = await client.models.generate_content(model=PLAIN, contents="Hello")
            pieces = [
                chunk.text or ""
                async for chunk in await client.models.generate_content_stream(model=PLAIN, contents="Hello")
            ]
            return whole.text or "", "".join(pieces)

    whole, streamed = asyncio.run(converse())
    assert whole == streamed == "Grüß Gott, wie geht es Ihnen?"


@apis
def test_system_instruction_comes_first(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO, HELLO)
    ask(client, False, system_instruction="Be kind.")
    if key == CHAT:
        assert sent(provider)[0] == {"role": "system", "content": "Be kind."}
    else:
        assert provider.last["instructions"] == "Be kind."
    ask(client, False, system_instruction=["Be kind.", "Be brief."])
    first = json.dumps(sent(provider)[0])
    assert first.index("Be kind.") < first.index("Be brief.")


@both
@apis
def test_chat_goes_on(client: genai.Client, provider: OpenAIProvider, stream: bool) -> None:
    """The SDK's ``chats`` keep what was said, of streamed answers chunk by chunk."""
    provider.plays(HELLO, HELLO)
    chat = client.chats.create(model=PLAIN)
    for text in ("Hello", "And you?"):
        if stream:
            said = "".join(chunk.text or "" for chunk in chat.send_message_stream(text))
        else:
            said = chat.send_message(text).text or ""
        assert said == "Grüß Gott, wie geht es Ihnen?"
    assert [message["role"] for message in sent(provider)] == ["user", "assistant", "user"]
    assert "Grüß Gott, wie geht es Ihnen?" in json.dumps(sent(provider)[1], ensure_ascii=False)


@apis
def test_sampling_is_passed_on(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, temperature=0.5, top_p=0.9)
    assert (provider.last["temperature"], provider.last["top_p"]) == (0.5, 0.9)


@pytest.mark.parametrize("key", [CHAT])
def test_what_only_chat_can_say_is_passed_on(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, stop_sequences=["END"], seed=7, presence_penalty=0.5, frequency_penalty=-0.5)
    last = provider.last
    assert (last["stop"], last["seed"]) == (["END"], 7)
    assert (last["presence_penalty"], last["frequency_penalty"]) == (0.5, -0.5)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stop_sequences": ["END"]}, "generationConfig.stopSequences"),
        ({"presence_penalty": 0.5}, "generationConfig.presencePenalty"),
        ({"frequency_penalty": 0.5}, "generationConfig.frequencyPenalty"),
        ({"candidate_count": 2}, "generationConfig.candidateCount"),
        ({"tools": [types.Tool(google_search=types.GoogleSearch())]}, "googleSearch"),
        ({"cached_content": "cachedContents/1"}, "cachedContent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_change_the_answer_is_refused_by_name(
    clients: dict[str, genai.Client], provider: OpenAIProvider, fields: Any, named: str
) -> None:
    with pytest.raises(errors.ClientError, match=named) as caught:
        ask(clients[RESPONSES], False, **fields)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert not provider.requests


@both
def test_several_candidates_come_back(clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said("One, two."),), others=((Said("Three, four."),),)))
    answer = ask(clients[CHAT], stream, candidate_count=2)
    said = {0: "", 1: ""}
    for chunk in answer.chunks:
        for candidate in chunk.candidates or []:
            for part in (candidate.content.parts or []) if candidate.content else []:
                said[candidate.index or 0] += part.text or ""
    assert said == {0: "One, two.", 1: "Three, four."}
    assert provider.last["n"] == 2


@apis
def test_probabilities_of_tokens_come_back(client: genai.Client, provider: OpenAIProvider) -> None:
    top = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}, {"token": "Ho", "logprob": -2.5, "bytes": [72, 111]}]
    provider.plays(Answered((Said("Hi", logprobs=({**top[0], "top_logprobs": top},)),)))
    [candidate] = ask(client, False, response_logprobs=True, logprobs=2).last.candidates or []
    found = candidate.logprobs_result
    assert found is not None
    assert found.chosen_candidates is not None
    assert found.top_candidates is not None
    assert [(each.token, each.log_probability) for each in found.chosen_candidates] == [("Hi", -0.1)]
    assert [each.token for each in found.top_candidates[0].candidates or []] == ["Hi", "Ho"]


# Tools


@both
@apis
def test_tool_is_called_and_its_result_used(
    client: genai.Client, provider: OpenAIProvider, key: str, stream: bool
) -> None:
    provider.plays(WEATHER, HELLO)
    answer = ask(client, stream, model=MODEL[key], tools=TOOLS)
    assert answer.text == "I look."
    [call] = answer.calls
    assert (call.id, call.name, call.args) == (
        "call_01A",
        "get_weather",
        {"location": "Zürich \U0001f5fb", "days": [1, 2]},
    )
    weather = provider.last["tools"][0] if key == RESPONSES else provider.last["tools"][0]["function"]
    assert weather["parameters"]["properties"]["location"] == {
        "type": "string",
        "description": "A city.",
        "minLength": 2,
    }

    contents = [user("Hello"), *answer.contents, user(result(call))]
    assert ask(client, stream, contents, model=MODEL[key], tools=TOOLS).text == "Grüß Gott, wie geht es Ihnen?"
    last = sent(provider)[-1]
    assert (last.get("tool_call_id") or last["call_id"]) == "call_01A"
    assert (last.get("content") or last["output"]) == "18 degrees"


@both
@apis
def test_parallel_calls_and_their_results_stay_together(
    client: genai.Client, provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(PARALLEL, HELLO)
    answer = ask(client, stream, tools=TOOLS)
    assert [(call.name, call.args) for call in answer.calls] == [
        ("get_weather", {"location": "Paris"}),
        ("get_time", {}),
        ("get_weather", {"location": "Rome"}),
    ]
    results = [result(call, f"result {at}") for at, call in enumerate(answer.calls)]
    ask(client, stream, [user("Hello"), *answer.contents, user(*results)], tools=TOOLS)
    answered = [
        (item.get("tool_call_id") or item["call_id"], item.get("content") or item["output"])
        for item in sent(provider)[-3:]
    ]
    assert answered == [("call_01B", "result 0"), ("call_01C", "result 1"), ("call_01D", "result 2")]


@apis
def test_results_without_ids_belong_to_the_calls_in_their_order(client: genai.Client, provider: OpenAIProvider) -> None:
    """Older programs of Google's know no ids; OpenAI wants one for each."""
    provider.plays(HELLO)
    calls = [types.Part.from_function_call(name="get_time", args={"at": at}) for at in (1, 2)]
    results = [
        types.Part.from_function_response(name="get_time", response={"output": f"{at} o'clock"}) for at in (1, 2)
    ]
    contents = [user("When?"), types.Content(role="model", parts=calls), user(*results)]
    ask(client, False, contents, tools=TOOLS)
    items = sent(provider)
    answered = [item.get("content") or item["output"] for item in items[-2:]]
    assert answered == ["1 o'clock", "2 o'clock"]
    ids = [item.get("tool_call_id") or item["call_id"] for item in items[-2:]]
    assert len(set(ids)) == 2


@apis
def test_functions_of_python_are_called_by_the_sdk(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    """Automatic function calling: the SDK makes the schema, calls, and sends the result."""
    asked = []

    def get_weather(location: str, days: list[int] | None = None) -> dict[str, str]:
        """Tells the weather."""
        asked.append((location, days))
        return {"weather": "sunny"}

    provider.plays(WEATHER, HELLO)
    answer = client.models.generate_content(
        model=MODEL[key], contents="Hello", config=types.GenerateContentConfig(tools=[get_weather])
    )
    assert answer.text == "Grüß Gott, wie geht es Ihnen?"
    assert asked == [("Zürich \U0001f5fb", [1, 2])]
    assert "sunny" in json.dumps(sent(provider)[-1])


@pytest.mark.parametrize(
    ("mode", "names", "chat", "response"),
    [
        ("AUTO", None, "auto", "auto"),
        ("ANY", None, "required", "required"),
        ("NONE", None, "none", "none"),
        (
            "ANY",
            ["get_time"],
            {"type": "function", "function": {"name": "get_time"}},
            {"type": "function", "name": "get_time"},
        ),
        (
            "ANY",
            ["get_time", "get_weather"],
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "get_time"}},
                        {"type": "function", "function": {"name": "get_weather"}},
                    ],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_time"}, {"type": "function", "name": "get_weather"}],
            },
        ),
    ],
    ids=["auto", "any", "none", "one", "some"],
)
@apis
def test_choice_of_tools_is_passed_on(
    client: genai.Client, provider: OpenAIProvider, key: str, mode: Any, names: Any, chat: Any, response: Any
) -> None:
    provider.plays(HELLO)
    calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=names)
    ask(client, False, tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling))
    assert provider.last["tool_choice"] == (chat if key == CHAT else response)


@apis
def test_calls_that_follow_their_schemas_are_asked_for(client: genai.Client, provider: OpenAIProvider) -> None:
    """``VALIDATED`` binds calls to the schemas; OpenAI binds those that are closed."""
    provider.plays(HELLO)
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.VALIDATED)
    ask(client, False, tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling))
    assert provider.last["tool_choice"] == "auto"


@apis
def test_names_that_openai_does_not_take_come_back_as_they_were(client: genai.Client, provider: OpenAIProvider) -> None:
    """Google allows dots and colons in the names of functions."""
    tools = [types.Tool(function_declarations=[types.FunctionDeclaration(name="files.read")])]
    provider.plays(HELLO)
    ask(client, False, tools=tools)
    tool = provider.last["tools"][0]
    name = tool["name"] if "name" in tool else tool["function"]["name"]
    provider.plays(Answered((Called("call_1", name),)), HELLO)
    answer = ask(client, False, tools=tools)
    assert answer.calls[0].name == "files.read"
    ask(client, False, [user("Hello"), *answer.contents, user(result(answer.calls[0]))], tools=tools)


@apis
def test_result_is_an_image(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    provider.plays(WEATHER, HELLO)
    answer = ask(client, False, tools=TOOLS)
    blob = types.FunctionResponseBlob(mime_type="image/png", data=PNG)
    image = types.FunctionResponsePart(inline_data=blob)
    contents = [user("Hello"), *answer.contents, user(result(answer.calls[0], "A picture", parts=[image]))]
    ask(client, False, contents, tools=TOOLS)
    if key == RESPONSES:
        urls = [part["image_url"] for part in sent(provider)[-1]["output"] if part["type"] == "input_image"]
    else:
        assert [message["role"] for message in sent(provider)[-2:]] == ["tool", "user"]
        urls = [part["image_url"]["url"] for part in sent(provider)[-1]["content"] if part["type"] == "image_url"]
    assert urls == [PNG_URL]


@apis
def test_result_is_an_error(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER, HELLO)
    answer = ask(client, False, tools=TOOLS)
    failed = result(answer.calls[0], response={"error": "No such city."})
    ask(client, False, [user("Hello"), *answer.contents, user(failed)], tools=TOOLS)
    said = json.dumps(sent(provider)[-1])
    assert "No such city." in said
    assert "failed" in said


# What is not text


@apis
def test_images_are_seen(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO)
    linked = types.Part.from_uri(file_uri="https://images.test/a.png", mime_type="image/png")
    ask(client, False, ["Look:", types.Part.from_bytes(data=PNG, mime_type="image/png"), linked])
    [_, *images] = sent(provider)[0]["content"]
    urls = [image["image_url"] if key == RESPONSES else image["image_url"]["url"] for image in images]
    assert urls == [PNG_URL, "https://images.test/a.png"]


@apis
def test_pdf_is_read(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO)
    ask(client, False, [types.Part.from_bytes(data=PDF, mime_type="application/pdf"), "Read."])
    [file, _] = sent(provider)[0]["content"]
    assert (file if key == RESPONSES else file["file"])["file_data"] == PDF_URL


@apis
def test_text_documents_are_read(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, [types.Part.from_bytes(data="Grüße".encode(), mime_type="text/plain"), "Read."])
    said = json.dumps(sent(provider), ensure_ascii=False)
    assert "Grüße" in said or base64.b64encode("Grüße".encode()).decode() in said


@apis
def test_files_at_google_and_films_are_refused(client: genai.Client, provider: OpenAIProvider) -> None:
    stored = types.Part.from_uri(
        file_uri="https://generativelanguage.googleapis.com/v1beta/files/abc", mime_type="image/png"
    )
    film = types.Part.from_bytes(data=b"film", mime_type="video/mp4")
    for part in (stored, film):
        with pytest.raises(errors.ClientError) as caught:
            ask(client, False, ["Look:", part])
        assert caught.value.code == 400
    assert not provider.requests


# Structured output


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str = pydantic.Field(description="The first.")
    age: int | None
    moods: list[Mood]


@both
@apis
def test_structured_output_is_parsed(client: genai.Client, provider: OpenAIProvider, key: str, stream: bool) -> None:
    provider.plays(Answered((Said('{"name": "Ada", "age": null, "moods": ["good"]}'),)))
    answer = ask(client, stream, model=MODEL[key], response_mime_type="application/json", response_schema=Person)
    if not stream:
        assert answer.last.parsed == Person(name="Ada", age=None, moods=[Mood.GOOD])
    assert json.loads(answer.text)["name"] == "Ada"
    form = provider.last["response_format"]["json_schema"] if key == CHAT else provider.last["text"]["format"]
    assert form["schema"]["properties"]["moods"]["items"]["enum"] == ["good", "bad"]
    # Google binds the answer to the schema, so OpenAI has to.
    assert form["strict"] is True


@apis
def test_json_schema_is_passed_on(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    provider.plays(Answered((Said('{"name": "Ada", "age": null, "moods": ["good"]}'),)))
    ask(client, False, response_mime_type="application/json", response_json_schema=Person.model_json_schema())
    form = provider.last["response_format"]["json_schema"] if key == CHAT else provider.last["text"]["format"]
    assert form["strict"] is True
    assert form["schema"]["$defs"]["Mood"]["enum"] == ["good", "bad"]


@apis
def test_json_without_a_schema_is_asked_for(client: genai.Client, provider: OpenAIProvider, key: str) -> None:
    """OpenAI takes that only where the prompt has the word in it."""
    provider.plays(Answered((Said('{"a": 1}'),)))
    assert ask(client, False, "Hello", response_mime_type="application/json").text == '{"a": 1}'
    form = provider.last["response_format"] if key == CHAT else provider.last["text"]["format"]
    assert form == {"type": "json_object"}
    assert len(sent(provider)) == 2


# Thinking


@both
def test_thinking_goes_on_over_two_turns(
    clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool
) -> None:
    """The Responses API seals it; the SDK carries that as the signature of a thought, and it comes back as it was."""
    provider.plays(REASONED, HELLO)
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)
    chat = clients[BOTH].chats.create(model=NEWEST, config=config(tools=TOOLS, thinking_config=thinking))
    answer = Answer(list(chat.send_message_stream("Hello")) if stream else [chat.send_message("Hello")])
    assert answer.thoughts == "They want the weather, so I have to look."
    assert provider.last["reasoning"] == {"effort": "high", "summary": "auto"}
    [call] = answer.calls
    chat.send_message(result(call))
    items = sent(provider)
    assert [item["type"] for item in items] == ["message", "reasoning", "function_call", "function_call_output"]
    assert (items[1]["id"], items[1]["encrypted_content"]) == ("rs_01", "gAAAAABqQ+/0==")


@both
def test_thinking_of_openrouter_goes_on(
    clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(Answered((Thought("Hm, the weather.", "ErUB+sig"), Thought("", "gSealed"), *WEATHER.blocks)), HELLO)
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
    answer = ask(clients[OPENROUTER], stream, tools=TOOLS, thinking_config=thinking)
    assert answer.thoughts == "Hm, the weather."
    contents = [user("Hello"), *answer.contents, user(result(answer.calls[0]))]
    ask(clients[OPENROUTER], stream, contents, tools=TOOLS, thinking_config=thinking)
    details = sent(provider)[1]["reasoning_details"]
    assert [detail.get("signature") or detail["data"] for detail in details] == ["ErUB+sig", "gSealed"]


@both
def test_thinking_of_deepseek_goes_on(clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Thought("Hm."), *WEATHER.blocks)), HELLO)
    thinking = types.ThinkingConfig(include_thoughts=True)
    answer = ask(clients[DEEPSEEK], stream, tools=TOOLS, thinking_config=thinking)
    assert answer.thoughts == "Hm."
    contents = [user("Hello"), *answer.contents, user(result(answer.calls[0]))]
    ask(clients[DEEPSEEK], stream, contents, tools=TOOLS, thinking_config=thinking)
    assert sent(provider)[1]["reasoning_content"].strip()


@both
def test_signature_of_googles_goes_on(clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool) -> None:
    """Google's interface of the dialect signs calls; the SDK of Google's own sees that as it is."""
    provider.plays(SIGNED, HELLO)
    answer = ask(clients[GOOGLE], stream, tools=TOOLS)
    signatures = [part.thought_signature for part in answer.parts if part.function_call]
    assert signatures == [base64.b64decode("CiQBjz1rX+/sig=="), None]
    results = [result(call) for call in answer.calls]
    assert ask(clients[GOOGLE], stream, [user("Hello"), *answer.contents, user(*results)], tools=TOOLS).text


@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        (REASONING, {"thinking_budget": 1024}, "low"),
        (REASONING, {"thinking_budget": 0}, "minimal"),
        (NEWEST, {"thinking_budget": 0}, "none"),
        (NEWEST, {"thinking_budget": -1}, None),
        (NEWEST, {"thinking_level": "MINIMAL"}, "none"),
        (REASONING, {"thinking_level": "MINIMAL"}, "minimal"),
        (PLAIN, {"thinking_level": "HIGH"}, None),
    ],
)
@apis
def test_thinking_becomes_an_effort(
    client: genai.Client, provider: OpenAIProvider, key: str, model: str, thinking: Any, effort: str | None
) -> None:
    provider.plays(HELLO)
    ask(client, False, model=model, thinking_config=types.ThinkingConfig(**thinking))
    found = provider.last.get("reasoning_effort") if key == CHAT else provider.last.get("reasoning", {}).get("effort")
    assert found == effort


# How answers end


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (Answered((Said("And so"),), "length"), "MAX_TOKENS", "And so"),
        (Answered((Said("And so"),), "content_filter"), "SAFETY", "And so"),
        (Answered((Refusing("I can't help with that."),)), "SAFETY", "I can't help with that."),
        (Answered(()), "STOP", ""),
    ],
    ids=["length", "filter", "refusal", "nothing"],
)
@both
@apis
def test_reason_to_stop_is_the_providers(
    client: genai.Client, provider: OpenAIProvider, stream: bool, answer: Answered, reason: str, text: str
) -> None:
    provider.plays(answer)
    found = ask(client, stream)
    assert found.finish is not None
    assert (found.finish.value, found.text) == (reason, text)


@both
@apis
def test_arguments_that_broke_off_are_told(client: genai.Client, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Called("call_1", "get_weather", '{"location": "Zü'),), "length"))
    answer = ask(client, stream, tools=TOOLS)
    assert answer.finish is types.FinishReason.MAX_TOKENS


@both
@apis
def test_citations_are_shown(client: genai.Client, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said("It is so.", (Cited("https://a.test", "A page", 0, 5),)),)))
    answer = ask(client, stream)
    shown = json.dumps([chunk.model_dump(mode="json", exclude_none=True) for chunk in answer.chunks])
    assert "https://a.test" in shown


@both
def test_what_the_provider_ran_itself_is_left_out(
    clients: dict[str, genai.Client], provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(Answered((Ran("weather"), Said("Sunny."))))
    assert ask(clients[RESPONSES], stream, model=NEWEST).text == "Sunny."


# Errors

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@apis
@pytest.mark.parametrize("failing", ERRORS, ids=[f"{each.status}-{each.code}" for each in ERRORS])
def test_errors_are_the_sdks_own(client: genai.Client, provider: OpenAIProvider, failing: Failing) -> None:
    provider.plays(failing)
    with pytest.raises(errors.ClientError if failing.status < 500 else errors.ServerError) as caught:
        ask(client, False)
    assert caught.value.status == STATUSES[failing.status]
    assert failing.message.strip(".") in str(caught.value)


@both
@apis
def test_hint_when_to_come_back_is_kept(client: genai.Client, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Failing(429, "Slow down.", "requests", "rate_limit_exceeded", headers={"retry-after": "7"}))
    with pytest.raises(errors.ClientError) as caught:
        ask(client, stream)
    response: Any = caught.value.response
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("failed", [False, True], ids=["error", "response.failed"])
@apis
def test_error_in_a_stream_is_raised(client: genai.Client, provider: OpenAIProvider, failed: bool) -> None:
    failing = Failing(500, "The model produced no output.", "server_error", "server_error")
    provider.plays(Broken(HELLO, 7, failing, failed))
    with pytest.raises(errors.APIError, match="produced no output"):
        ask(client, True)


@apis
def test_stream_that_breaks_off_is_an_error(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(Broken(HELLO, 7))
    with pytest.raises(errors.APIError, match="before its answer was whole"):
        ask(client, True)


# Headers


@apis
def test_loss_of_a_hint_is_told(client: genai.Client, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    harm = types.SafetySetting(
        category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
    )
    answer = ask(client, False, safety_settings=[harm], top_k=40)
    headers: Any = answer.last.sdk_http_response
    assert {"safetySettings", "generationConfig.topK"} <= set(headers.headers["x-gw-dropped"].split(","))
    assert headers.headers["x-request-id"] == "req_8e7a4b"
