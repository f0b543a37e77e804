"""Google's own SDK on a provider that takes only valid requests of the Messages API."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from google import genai
from google.genai import errors, types

from tests.real.translation.anthropic_scene import (
    COUNTED,
    ERRORS,
    HELLO,
    PARALLEL,
    THINKING,
    VIRTUAL_KEY,
    WEATHER,
    Scene,
    scene,
)
from tests.real.validating.anthropic_answers import (
    Answered,
    Broken,
    Called,
    Counted,
    Failing,
    Found,
    Redacted,
    Said,
    Thought,
)
from tests.real.validating.anthropic_models import ADAPTIVE, BUDGETED, MODELS, NEWEST
from tests.real.validating.anthropic_provider import AnthropicProvider
from tests.real.validating.files import PDF, PDF_BASE64, PNG, PNG_BASE64

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

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[AnthropicProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture(scope="module")
def client(running: Scene) -> Iterator[genai.Client]:
    with genai.Client(api_key=VIRTUAL_KEY, http_options=types.HttpOptions(base_url=running.gateway.url)) as made:
        yield made


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

    @property
    def usage(self) -> types.GenerateContentResponseUsageMetadata:
        assert self.last.usage_metadata is not None
        return self.last.usage_metadata


def ask(client: genai.Client, stream: bool, contents: Any = "Hello", *, model: str = ADAPTIVE, **fields: Any) -> Answer:
    asked: Any = {"model": model, "contents": contents, "config": config(**fields)}
    if stream:
        return Answer(list(client.models.generate_content_stream(**asked)))
    return Answer([client.models.generate_content(**asked)])


def user(*parts: Any) -> types.Content:
    return types.Content(
        role="user", parts=[types.Part(text=part) if isinstance(part, str) else part for part in parts]
    )


def model(*parts: Any) -> types.Content:
    return types.Content(
        role="model", parts=[types.Part(text=part) if isinstance(part, str) else part for part in parts]
    )


def result(call: Any, output: Any = "18 degrees", **more: Any) -> types.Part:
    named = {"id": call.id, "name": call.name, "response": {"output": output}, **more}
    return types.Part(function_response=types.FunctionResponse(**named))


@both
def test_text_and_usage_are_the_providers(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(HELLO)
    answer = ask(client, stream)
    assert answer.text == "Grüß Gott, wie geht es Ihnen?"
    assert (answer.finish, answer.last.model_version) == (types.FinishReason.STOP, ADAPTIVE)
    usage = answer.usage
    assert (usage.prompt_token_count, usage.total_token_count) == (56, 73)
    # Google counts thoughts apart from the answer.
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (11, 6)
    assert usage.cached_content_token_count == COUNTED["cache_read_input_tokens"]
    assert provider.last["messages"] == [{"role": "user", "content": "Hello"}]
    assert provider.last["max_tokens"] == MODELS[ADAPTIVE].max_tokens


def test_chunks_come_as_the_provider_sends_them(client: genai.Client, provider: AnthropicProvider) -> None:
    """A chunk for each piece; the reason and the usage with the last one."""
    provider.plays(HELLO)
    answer = ask(client, True)
    assert [part.text for part in answer.parts if part.text] == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]
    reasons = [chunk.candidates[0].finish_reason for chunk in answer.chunks if chunk.candidates]
    assert reasons == [*[None] * (len(reasons) - 1), types.FinishReason.STOP]
    assert len({chunk.response_id for chunk in answer.chunks}) == 1


def test_system_instruction_goes_to_the_system_prompt(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, system_instruction=["Be kind.", "Be brief."])
    assert [block["text"] for block in provider.last["system"]] == ["Be kind.", "Be brief."]


@both
def test_chat_goes_on(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    """The SDK's ``chats`` keep what was said, of streamed answers chunk by chunk."""
    provider.plays(HELLO, HELLO)
    chat = client.chats.create(model=ADAPTIVE)
    for text in ("Hello", "And you?"):
        if stream:
            assert (
                "".join(chunk.text or "" for chunk in chat.send_message_stream(text)) == "Grüß Gott, wie geht es Ihnen?"
            )
        else:
            assert chat.send_message(text).text == "Grüß Gott, wie geht es Ihnen?"
    assert provider.last["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Grüß Gott, wie geht es Ihnen?"},
        {"role": "user", "content": "And you?"},
    ]


def test_contents_in_any_order_become_turns(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, [model("Hi."), user("A"), user("B", "C"), model("Yes?"), model("Well?"), user("D")])
    assert [message["role"] for message in provider.last["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]


# Tools


@both
def test_tool_is_called_and_its_result_used(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(WEATHER, HELLO)
    answer = ask(client, stream, "The weather?", tools=TOOLS)
    [call] = answer.calls
    assert (call.id, call.name, call.args) == (
        "toolu_01A",
        "get_weather",
        {"location": "Zürich \U0001f5fb", "days": [1, 2]},
    )
    assert (answer.text, answer.finish) == ("I look.", types.FinishReason.STOP)
    weather, time = provider.last["tools"]
    assert (weather["name"], weather["description"]) == ("get_weather", "Tells the weather.")
    assert weather["input_schema"]["properties"]["location"] == {
        "type": "string",
        "description": "A city.",
        "minLength": 2,
    }
    assert time["input_schema"]["type"] == "object"
    ask(client, stream, [user("The weather?"), *answer.contents, user(result(call))], tools=TOOLS)
    _, called, answered = provider.last["messages"]
    assert [block["type"] for block in called["content"]] == ["text", "tool_use"]
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "toolu_01A", "content": "18 degrees"}]


@both
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
def test_parallel_calls_and_their_results(
    client: genai.Client, provider: AnthropicProvider, stream: bool, ids: bool
) -> None:
    """Programs need not repeat the ids: results then belong to the calls of their name, in their order."""
    provider.plays(PARALLEL, HELLO)
    answer = ask(client, stream, tools=TOOLS)
    assert [(call.name, call.args) for call in answer.calls] == [
        ("get_weather", {"location": "Paris"}),
        ("get_time", {}),
        ("get_weather", {"location": "Rome"}),
    ]
    more: Any = {} if ids else {"id": None}
    results = [result(call, str(at), **more) for at, call in enumerate(answer.calls)]
    if not ids:
        for part in answer.parts:
            if part.function_call:
                part.function_call.id = None
    ask(client, stream, [user("Hello"), *answer.contents, user(*results, "So?")], tools=TOOLS)
    called, answered = provider.last["messages"][1:]
    kinds = [block["type"] for block in answered["content"]]
    assert kinds == ["tool_result", "tool_result", "tool_result", "text"]
    names = {block["id"]: index for index, block in enumerate(called["content"])}
    assert [(names[block["tool_use_id"]], block["content"]) for block in answered["content"][:3]] == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
    ]


def test_functions_are_called_by_the_sdk_itself(client: genai.Client, provider: AnthropicProvider) -> None:
    """Given a function of Python's, the SDK describes it, calls it and sends its result, thinking included."""
    asked = []

    def get_weather(location: str, days: list[int] | None = None) -> str:
        """Tells the weather.

        Args:
            location: A city.
            days: Which days from now.
        """
        asked.append(location)
        return "18 degrees"

    provider.plays(THINKING, HELLO)
    chat = client.chats.create(model=ADAPTIVE, config=types.GenerateContentConfig(tools=[get_weather]))
    assert chat.send_message("The weather?").text == "Grüß Gott, wie geht es Ihnen?"
    assert asked == ["Bern"]
    called, answered = provider.last["messages"][1:]
    assert [block["type"] for block in called["content"]] == ["thinking", "redacted_thinking", "tool_use"]
    assert answered["content"][0]["content"] == "18 degrees"


def test_results_hold_images_and_errors(client: genai.Client, provider: AnthropicProvider) -> None:
    """An error is marked as one; one with an image says so in words, since the provider takes errors as text only."""
    provider.plays(PARALLEL, HELLO)
    answer = ask(client, False, tools=TOOLS)
    first, second, third = answer.calls
    blob = types.FunctionResponsePart(inline_data=types.FunctionResponseBlob(mime_type="image/png", data=PNG))
    linked = types.FunctionResponsePart(
        file_data=types.FunctionResponseFileData(mime_type="image/png", file_uri="https://images.test/map.png")
    )
    results = [
        result(first, "A map", parts=[blob, linked]),
        result(second, response={"error": "no clock"}),
        result(third, response={"error": "see there"}, parts=[blob]),
    ]
    ask(client, False, [user("Hello"), *answer.contents, user(*results)], tools=TOOLS)
    pictured, failed, both_of_it = provider.last["messages"][-1]["content"]
    assert [one["type"] for one in pictured["content"]] == ["text", "image", "image"]
    assert (failed["content"], failed["is_error"]) == ("no clock", True)
    assert "is_error" not in both_of_it
    assert [one["type"] for one in both_of_it["content"]] == ["text", "text", "image"]


def test_error_without_words_is_taken(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(WEATHER, HELLO)
    answer = ask(client, False, tools=TOOLS)
    failed = user(result(answer.calls[0], response={"error": ""}))
    ask(client, False, [user("Hello"), *answer.contents, failed], tools=TOOLS)
    [block] = provider.last["messages"][-1]["content"]
    assert block["is_error"]
    assert block["content"]


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        ("AUTO", None, {"type": "auto"}),
        ("NONE", None, {"type": "none"}),
        ("ANY", None, {"type": "any"}),
        ("ANY", ["get_time"], {"type": "tool", "name": "get_time"}),
    ],
)
def test_choice_of_functions_is_kept(
    client: genai.Client, provider: AnthropicProvider, mode: Any, names: list[str] | None, expected: Any
) -> None:
    provider.plays(HELLO)
    calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=names)
    ask(client, False, tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling))
    assert provider.last["tool_choice"] == expected


def test_forced_function_on_a_model_without_is_refused(client: genai.Client, provider: AnthropicProvider) -> None:
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    with pytest.raises(errors.ClientError, match="tool") as caught:
        ask(client, False, model=NEWEST, tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


@both
def test_names_that_are_not_taken_there_come_back_as_they_were(
    client: genai.Client, provider: AnthropicProvider, stream: bool
) -> None:
    """Google takes dots and colons in a function's name, Anthropic does not."""
    declared = [types.FunctionDeclaration(name=name) for name in ("files.read", "files:read", "files_read")]
    tools = [types.Tool(function_declarations=declared)]
    provider.plays(HELLO)
    ask(client, stream, tools=tools)
    names = [tool["name"] for tool in provider.last["tools"]]
    provider.plays(Answered(tuple(Called(f"toolu_{at}", name, {}) for at, name in enumerate(names)), "tool_use"), HELLO)
    answer = ask(client, stream, tools=tools)
    assert [call.name for call in answer.calls] == ["files.read", "files:read", "files_read"]
    results = [result(call) for call in answer.calls]
    ask(client, stream, [user("Hello"), *answer.contents, user(*results)], tools=tools)
    assert [block["name"] for block in provider.last["messages"][1]["content"]] == names


def test_tools_that_google_runs_are_refused(client: genai.Client, provider: AnthropicProvider) -> None:
    with pytest.raises(errors.ClientError, match="codeExecution"):
        ask(client, False, tools=[types.Tool(code_execution=types.ToolCodeExecution())])


def test_tokens_are_counted_by_the_provider(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(Counted(42))
    contents = [user("What is this?", types.Part.from_bytes(data=PNG, mime_type="image/png"))]
    assert client.models.count_tokens(model=ADAPTIVE, contents=contents).total_tokens == 42
    assert [block["type"] for block in provider.last["messages"][0]["content"]] == ["text", "image"]


# Media and formats


def test_images_and_documents_are_seen(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    parts = [
        "What is this?",
        types.Part.from_bytes(data=PNG, mime_type="image/png"),
        types.Part.from_uri(file_uri="https://images.test/a.png", mime_type="image/png"),
        types.Part.from_bytes(data=PDF, mime_type="application/pdf"),
        types.Part.from_uri(file_uri="https://files.test/b.pdf", mime_type="application/pdf"),
        types.Part.from_bytes(data="Grüße".encode(), mime_type="text/plain"),
    ]
    ask(client, False, [user(*parts)])
    sources = [block.get("source") for block in provider.last["messages"][0]["content"]]
    assert sources == [
        None,
        {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
        {"type": "url", "url": "https://images.test/a.png"},
        {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64},
        {"type": "url", "url": "https://files.test/b.pdf"},
        {"type": "text", "media_type": "text/plain", "data": "Grüße"},
    ]


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        (types.Part.from_bytes(data=b"RIFF", mime_type="audio/wav"), "audio"),
        (types.Part.from_bytes(data=b"x", mime_type="video/mp4"), "inlineData|video"),
        (
            types.Part.from_uri(
                file_uri="https://generativelanguage.googleapis.com/v1beta/files/a1", mime_type="image/png"
            ),
            "uploaded",
        ),
    ],
    ids=["audio", "video", "file"],
)
def test_media_that_anthropic_lacks_are_refused(
    client: genai.Client, provider: AnthropicProvider, part: types.Part, complaint: str
) -> None:
    with pytest.raises(errors.ClientError, match=complaint):
        ask(client, False, [user(part)])


class Kind(enum.Enum):
    FAIR = "fair"
    FEAST = "feast"


class Event(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    kind: Kind
    people: list[str] | None = None


EVENT = Answered((Said('{"name": "Fair", "kind": "fair", "people": ["Ann"]}'),))


@both
@pytest.mark.parametrize("form", ["model", "schema", "json schema"])
def test_structured_output_is_parsed(
    client: genai.Client, provider: AnthropicProvider, stream: bool, form: str
) -> None:
    provider.plays(EVENT)
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={
            "name": types.Schema(type=types.Type.STRING),
            "kind": types.Schema(type=types.Type.STRING, enum=["fair"]),
        },
        property_ordering=["name", "kind"],
        required=["name"],
    )
    fields: Any = {
        "model": {"response_schema": Event},
        "schema": {"response_schema": schema},
        "json schema": {"response_json_schema": Event.model_json_schema()},
    }[form]
    answer = ask(client, stream, response_mime_type="application/json", **fields)
    assert json.loads(answer.text)["name"] == "Fair"
    if form == "model" and not stream:
        assert answer.last.parsed == Event(name="Fair", kind=Kind.FAIR, people=["Ann"])
    assert provider.last["output_config"]["format"]["type"] == "json_schema"


def test_any_json_is_asked_for_in_words(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    assert ask(client, False, response_mime_type="application/json").text == "{}"
    assert "JSON" in json.dumps(provider.last["system"])


# Thinking


@both
@pytest.mark.parametrize("name", [BUDGETED, ADAPTIVE, NEWEST])
def test_thinking_goes_on_in_the_next_turn(
    client: genai.Client, provider: AnthropicProvider, stream: bool, name: str
) -> None:
    """The provider gets its signatures back unchanged, in their order; a program sees what may be read."""
    provider.plays(THINKING, HELLO)
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=4096)
    fields: Any = {"tools": TOOLS, "thinking_config": thinking, "model": name}
    answer = ask(client, stream, "The weather?", **fields)
    assert answer.thoughts == "They want the weather, so I have to look."
    [call] = answer.calls
    ask(client, stream, [user("The weather?"), *answer.contents, user(result(call))], **fields)
    expected = [block.block() for block in THINKING.blocks]
    del expected[2]["caller"]
    assert provider.last["messages"][1]["content"] == expected
    told = provider.last["thinking"]
    if name == BUDGETED:
        assert (told["type"], told["budget_tokens"]) == ("enabled", 4096)
    else:
        assert told["type"] == "adaptive"
        assert provider.last["output_config"]["effort"] == "low"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_chat_keeps_what_was_thought(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(THINKING, HELLO)
    chat = client.chats.create(model=ADAPTIVE, config=config(tools=TOOLS))
    if stream:
        parts = [
            part
            for chunk in chat.send_message_stream("The weather?")
            if chunk.candidates and chunk.candidates[0].content
            for part in chunk.candidates[0].content.parts or []
        ]
        [call] = [part.function_call for part in parts if part.function_call]
        list(chat.send_message_stream(result(call)))
    else:
        [call] = chat.send_message("The weather?").function_calls or []
        chat.send_message(result(call))
    expected = [block.block() for block in THINKING.blocks]
    del expected[2]["caller"]
    assert provider.last["messages"][1]["content"] == expected


@both
def test_hidden_thinking_comes_back_too(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    """Newer models sign thoughts that they do not show."""
    hidden = Answered((Thought("", "EhIDDEN=="), Said("Hm."), Redacted("EreDACTED=="), Said("Yes.")))
    provider.plays(hidden, HELLO)
    answer = ask(client, stream, model=NEWEST)
    assert answer.text == "Hm.Yes."
    ask(client, stream, [user("Hello"), *answer.contents, user("And?")], model=NEWEST)
    assert provider.last["messages"][1]["content"] == [block.block() for block in hidden.blocks]


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (types.ThinkingConfig(thinking_budget=0), {"type": "disabled"}),
        (types.ThinkingConfig(thinking_budget=-1), {"type": "adaptive"}),
        (
            types.ThinkingConfig(thinking_level=types.ThinkingLevel.HIGH, include_thoughts=False),
            {"type": "adaptive", "display": "omitted"},
        ),
    ],
    ids=["off", "dynamic", "level"],
)
def test_thinking_is_set(
    client: genai.Client, provider: AnthropicProvider, thinking: types.ThinkingConfig, expected: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, thinking_config=thinking)
    assert provider.last["thinking"] == expected


# Limits, endings, errors


def test_limits_and_stop_sequences_are_kept(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, max_output_tokens=50, stop_sequences=["END", "\n\nHuman:"], temperature=0.3, top_k=5)
    sent = provider.last
    assert (sent["max_tokens"], sent["stop_sequences"]) == (50, ["END", "\n\nHuman:"])
    assert (sent["temperature"], sent["top_k"]) == (0.3, 5)


@pytest.mark.parametrize("name", [BUDGETED, ADAPTIVE, NEWEST])
@pytest.mark.parametrize("budget", [None, 0, 512, 30_000, -1])
def test_sampling_never_makes_a_request_invalid(
    client: genai.Client, provider: AnthropicProvider, name: str, budget: int | None
) -> None:
    provider.plays(HELLO)
    thinking: Any = {} if budget is None else {"thinking_config": types.ThinkingConfig(thinking_budget=budget)}
    answer = ask(client, False, model=name, temperature=1.7, top_p=0.9, top_k=40, max_output_tokens=2000, **thinking)
    assert answer.text


@both
@pytest.mark.parametrize(
    ("played", "reason"),
    [
        (Answered((Said("Done."),), "end_turn"), "STOP"),
        (Answered((Said("Done"),), "stop_sequence", stop_sequence="END"), "STOP"),
        (Answered((Said("It goes"),), "max_tokens"), "MAX_TOKENS"),
        (Answered((Said("It goes"),), "model_context_window_exceeded"), "MAX_TOKENS"),
        (Answered((Called("toolu_01H", "get_time", {}),), "tool_use"), "STOP"),
        (Answered((Said("Searching"), Found("x")), "pause_turn"), "OTHER"),
        (Answered((Said("I"),), "refusal"), "SAFETY"),
        (Answered((), "end_turn"), "STOP"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.stop_reason,
)
def test_every_end_has_its_reason(
    client: genai.Client, provider: AnthropicProvider, stream: bool, played: Answered, reason: str
) -> None:
    provider.plays(played)
    assert ask(client, stream, tools=TOOLS).finish == types.FinishReason(reason)


STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


@both
@pytest.mark.parametrize(("status", "kind", "message"), ERRORS)
def test_errors_are_the_sdks_own(
    client: genai.Client, provider: AnthropicProvider, stream: bool, status: int, kind: str, message: str
) -> None:
    provider.plays(Failing(status, kind, message, {"retry-after": "3"}))
    with pytest.raises(errors.APIError) as caught:
        ask(client, stream)
    error = caught.value
    assert message in str(error)
    assert isinstance(error, errors.ServerError if status >= 500 else errors.ClientError)
    assert error.status == ("RESOURCE_EXHAUSTED" if "credit" in message else STATUSES[status])
    expected = {402: 429, 529: 503}.get(status, status)
    assert error.code == (429 if "credit" in message else expected)


@pytest.mark.parametrize("failing", [Failing(529, "overloaded_error", "Overloaded"), None], ids=["told", "cut"])
def test_error_in_mid_stream_is_raised(
    client: genai.Client, provider: AnthropicProvider, failing: Failing | None
) -> None:
    provider.plays(Broken(HELLO, 5, failing))
    seen: list[types.GenerateContentResponse] = []
    chunks = client.models.generate_content_stream(model=ADAPTIVE, contents="Hello")
    with pytest.raises(errors.APIError, match="Overloaded" if failing else "before its answer was whole"):
        seen.extend(chunks)
    assert Answer(seen).text.startswith("Grüß Go")


def test_error_before_anything_is_an_error_with_a_status(client: genai.Client, provider: AnthropicProvider) -> None:
    """The provider began its stream, and has said nothing in it yet."""
    provider.plays(Broken(HELLO, 0, Failing(529, "overloaded_error", "Overloaded")))
    with pytest.raises(errors.ServerError, match="Overloaded"):
        ask(client, True)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("candidate_count", 2, "candidateCount|n "),
        ("seed", 5, "seed"),
        ("presence_penalty", 0.5, "presence"),
        ("frequency_penalty", 0.5, "frequency"),
        ("response_logprobs", True, "logprobs|responseLogprobs"),
        ("response_modalities", ["TEXT", "IMAGE"], "modalities|responseModalities"),
        ("cached_content", "cachedContents/a", "cachedContent"),
    ],
)
def test_what_changes_the_answer_is_refused_by_name(
    client: genai.Client, provider: AnthropicProvider, field: str, value: Any, named: str
) -> None:
    with pytest.raises(errors.ClientError, match=named):
        ask(client, False, **{field: value})


def test_hints_are_dropped_and_named(client: genai.Client, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    harm = types.HarmCategory.HARM_CATEGORY_HARASSMENT
    safety = [types.SafetySetting(category=harm, threshold=types.HarmBlockThreshold.BLOCK_NONE)]
    answer = ask(client, False, safety_settings=safety)
    response = answer.last.sdk_http_response
    assert response is not None
    assert "safetySettings" in (response.headers or {})["x-gw-dropped"]


@both
def test_citations_of_the_web_become_grounding(client: genai.Client, provider: AnthropicProvider, stream: bool) -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://weather.test/",
        "title": "Weather",
        "cited_text": "It rains.",
        "encrypted_index": "E==",
    }
    provider.plays(Answered((Said("It rains there.", (cited,)),)))
    answer = ask(client, stream)
    assert answer.text == "It rains there."
    assert "https://weather.test/" in "".join(chunk.model_dump_json() for chunk in answer.chunks)
