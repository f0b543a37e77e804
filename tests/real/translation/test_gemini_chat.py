"""OpenAI's own SDK, speaking Chat Completions, on a provider that takes only valid requests of the Gemini API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

from tests.real.translation.gemini_scene import (
    ERRORS,
    HELLO,
    PARALLEL,
    STEPS,
    THINKING,
    VIRTUAL_KEY,
    WEATHER,
    Scene,
    scene,
)
from tests.real.validating.files import PDF_BASE64, PNG_BASE64
from tests.real.validating.gemini_answers import Answered, Blocked, Broken, Called, Drawn, Failing, Play, Ran, Said
from tests.real.validating.gemini_models import BUDGETED, LEVELLED, NEWEST
from tests.real.validating.gemini_provider import GeminiProvider
from tests.real.validating.gemini_turns import SKIPPED

PLACE = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "minLength": 2},
        "days": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["location"],
}
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": PLACE},
}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
every_model = pytest.mark.parametrize("model", [BUDGETED, LEVELLED, NEWEST])


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[GeminiProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture(scope="module")
def client(running: Scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.gateway.url}/v1", api_key=VIRTUAL_KEY, max_retries=0) as made:
        yield made


def user(*content: Any) -> Any:
    return {"role": "user", "content": content[0] if content and isinstance(content[0], str) else list(content)}


def ask(client: openai.OpenAI, stream: bool, *messages: Any, **fields: Any) -> Any:
    """
    :return: the completion, whole or as the stream helper has put it together.
    """
    asked = {"model": NEWEST, "messages": list(messages or [user("Hello")]), **fields}
    if not stream:
        return client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        return events.get_final_completion()


def back(message: Any) -> Any:
    """An answer's message as programs send it back with their next request."""
    return message.model_dump(exclude_unset=True, exclude={"parsed"})


def result(call: Any, content: Any = "18 degrees") -> Any:
    return {"role": "tool", "tool_call_id": call.id, "content": content}


def dropped(client: openai.OpenAI, **fields: Any) -> set[str]:
    """
    :return: what a request with these fields loses, as its answer says.
    """
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], **fields}
    raw = client.chat.completions.with_raw_response.create(**asked)
    named = raw.headers.get("x-gw-dropped")
    return set(named.split(",")) if named else set()


@both
@every_model
def test_text_and_usage_are_the_providers(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(HELLO)
    completion = ask(client, stream, model=model)
    [choice] = completion.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Grüß Gott, wie geht es Ihnen?")
    assert (choice.finish_reason, completion.model, completion.object) == ("stop", model, "chat.completion")
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.prompt_tokens_details.cached_tokens == 30
    assert usage.completion_tokens_details.reasoning_tokens == 6
    assert provider.last == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    assert provider.models == [model]


def test_chunks_come_as_the_provider_sends_them(client: openai.OpenAI, provider: GeminiProvider) -> None:
    """The role first, a chunk for each piece, the reason on its own, the usage last and only if it was asked for."""
    provider.plays(HELLO, HELLO)
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "stream": True}
    chunks: list[Any] = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["Grüß Gott", ", wie geh", "t es Ihne", "n?"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "stop"]
    assert [(chunk.choices, chunk.usage.total_tokens) for chunk in chunks if chunk.usage] == [([], 73)]
    assert len({chunk.id for chunk in chunks}) == 1
    assert not any(chunk.usage for chunk in client.chat.completions.create(**asked))


def test_instructions_have_their_own_place(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    first = {"role": "system", "content": "You are kind."}
    second = {"role": "developer", "content": [{"type": "text", "text": "You are brief."}]}
    ask(client, False, first, second, user("Hello"))
    assert [part["text"] for part in provider.last["systemInstruction"]["parts"]] == ["You are kind.", "You are brief."]
    assert provider.last["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]


@every_model
def test_messages_in_any_order_become_turns(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    """The assistant may begin and end, one side may speak twice, a message may say nothing."""
    provider.plays(HELLO)
    said = {"role": "assistant", "content": "Hi."}
    messages = [said, user("A"), user("B"), said, said, user("C"), {"role": "assistant", "content": ""}, said]
    ask(client, False, *messages, model=model)
    roles = [content["role"] for content in provider.last["contents"]]
    assert roles == ["model", "user", "model", "user", "model", *(["user"] if model == NEWEST else [])]


# Tools


@both
@every_model
def test_tool_is_called_and_its_result_used(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(WEATHER, HELLO)
    question = user("The weather?")
    choice = ask(client, stream, question, tools=[TOOL], model=model).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
    [call] = choice.message.tool_calls
    assert (call.id, call.type, call.function.name) == ("fc-1a", "function", "get_weather")
    assert json.loads(call.function.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    [tool] = provider.last["tools"]
    expected = {"name": "get_weather", "description": "Tells the weather.", "parametersJsonSchema": PLACE}
    assert tool == {"functionDeclarations": [expected]}
    ask(client, stream, question, back(choice.message), result(call), tools=[TOOL], model=model)
    _, called, answered = provider.last["contents"]
    assert called["parts"] == [part.part() for part in WEATHER.parts]
    assert answered == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "fc-1a", "name": "get_weather", "response": {"output": "18 degrees"}}},
        ],
    }


@both
@every_model
def test_parallel_calls_and_their_results_in_any_order(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    """Google gives its calls no ids, so theirs is the order in which they came."""
    provider.plays(PARALLEL, HELLO)
    message = ask(client, stream, tools=[TOOL, TIME], model=model).choices[0].message
    calls = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time", "get_weather"]
    assert len({call.id for call in calls}) == 3
    assert [json.loads(call.function.arguments) for call in calls] == [{"location": "Paris"}, {}, {"location": "Rome"}]
    results = [result(call, call.function.arguments) for call in reversed(calls)]
    ask(client, stream, user("Hello"), back(message), *results, user("So?"), tools=[TOOL, TIME], model=model)
    *_, called, answered, said = provider.last["contents"]
    signatures = [part.get("thoughtSignature") for part in called["parts"]]
    assert signatures == ["CiQBVKhc7nR3byBjYWxscw==", None, None]
    responses = [part["functionResponse"] for part in answered["parts"]]
    assert [(each["name"], json.loads(each["response"]["output"])) for each in responses] == [
        ("get_weather", {"location": "Paris"}),
        ("get_time", {}),
        ("get_weather", {"location": "Rome"}),
    ]
    assert said["parts"] == [{"text": "So?"}]


def test_arguments_come_with_the_index_of_their_call(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(PARALLEL)
    chunks = client.chat.completions.create(model=NEWEST, messages=[user("Hello")], tools=[TOOL, TIME], stream=True)
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    names = [(each.index, each.function and each.function.name) for each in deltas if each.id]
    assert names == [(0, "get_weather"), (1, "get_time"), (2, "get_weather")]
    said = "".join(each.function.arguments or "" for each in deltas if each.index == 2 and each.function)
    assert json.loads(said) == {"location": "Rome"}


@both
def test_one_call_at_a_time(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    """Google cannot be told so: the gateway passes on the first call, and says that it had to see to it."""
    provider.plays(PARALLEL, HELLO)
    message = ask(client, stream, tools=[TOOL, TIME], parallel_tool_calls=False).choices[0].message
    [call] = message.tool_calls
    assert json.loads(call.function.arguments) == {"location": "Paris"}
    ask(client, stream, user("Hello"), back(message), result(call), tools=[TOOL, TIME], parallel_tool_calls=False)
    provider.plays(HELLO)
    assert dropped(client, tools=[TOOL], parallel_tool_calls=False) == {"parallel_tool_calls"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "get_time"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_time"]},
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "get_time"}}],
                },
            },
            {"mode": "VALIDATED", "allowedFunctionNames": ["get_time"]},
        ),
    ],
    ids=["unsaid", "auto", "none", "required", "named", "allowed"],
)
def test_choice_of_tools_is_kept(client: openai.OpenAI, provider: GeminiProvider, choice: Any, expected: Any) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=[TOOL, TIME], **({"tool_choice": choice} if choice else {}))
    assert provider.last.get("toolConfig", {}).get("functionCallingConfig") == expected


def test_choice_without_tools_is_none(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, tool_choice="none")
    assert provider.last.keys() == {"contents"}


def test_strict_tools_are_validated(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    strict = {**TOOL, "function": {**TOOL["function"], "strict": True}}
    ask(client, False, tools=[strict])
    assert provider.last["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}


@both
def test_custom_tool_takes_free_text(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    """A function with one string stands in for it; the program sees a custom tool."""
    provider.plays(Answered((Called("run", {"input": 'say "hi"\n'}, "fc-3", "cnVu"),)), HELLO)
    tool: Any = {"type": "custom", "custom": {"name": "run", "description": "Runs a program."}}
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "tools": [tool]}
    answered: Any = client.chat.completions.create(**asked, stream=stream)
    calls: list[Any]
    if stream:
        deltas = [each for chunk in answered if chunk.choices for each in chunk.choices[0].delta.tool_calls or ()]
        calls = [each.to_dict() for each in deltas]
    else:
        calls = [each.to_dict() for each in answered.choices[0].message.tool_calls]
    call, said = calls[0], "".join(each["custom"].get("input", "") for each in calls)
    assert (call["id"], call["type"], call["custom"]["name"], said) == ("fc-3", "custom", "run", 'say "hi"\n')
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "fc-3", "type": "custom", "custom": {"name": "run", "input": said}}],
    }
    ask(client, False, user("Hello"), called, {"role": "tool", "tool_call_id": "fc-3", "content": "ok"}, tools=[tool])
    [part] = provider.last["contents"][1]["parts"]
    assert part["functionCall"]["args"] == {"input": 'say "hi"\n'}
    assert part["thoughtSignature"] == SKIPPED[0]


@every_model
def test_calls_of_another_provider_are_taken(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    """A conversation may have begun elsewhere: its calls have no signature, and may come before all else."""
    provider.plays(HELLO)
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": "get_time", "arguments": arguments}}
        for name, arguments in (("a", ""), ("b", "{}"))
    ]
    parts = [{"type": "text", "text": "It is"}, {"type": "text", "text": "noon."}]
    results = [
        {"role": "tool", "tool_call_id": "call_b", "content": parts},
        {"role": "tool", "tool_call_id": "call_a", "content": ""},
    ]
    ask(client, False, {"role": "assistant", "tool_calls": calls}, *results, tools=[TIME], model=model)
    _, called, answered = provider.last["contents"]
    assert [part.get("thoughtSignature") for part in called["parts"]] == [SKIPPED[0], None]
    assert [part["functionResponse"]["response"]["output"] for part in answered["parts"]] == ["It is\nnoon.", ""]


@every_model
def test_words_between_call_and_result_come_behind(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=[TOOL], model=model).choices[0].message
    answered = result(message.tool_calls[0])
    ask(client, False, user("Hello"), back(message), user("Well?"), answered, tools=[TOOL], model=model)
    assert [next(iter(content["parts"][0])) for content in provider.last["contents"][2:]] == [
        "functionResponse",
        "text",
    ]


# Media and formats


@every_model
def test_images_documents_and_sound_are_perceived(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    provider.plays(HELLO)
    sound = base64.b64encode(b"RIFF\0\0\0\0WAVE").decode()
    ask(
        client,
        False,
        user(
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://images.test/a.png", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_BASE64}"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"}},
            {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        ),
        model=model,
    )
    text, linked, inline, document, audio = provider.last["contents"][0]["parts"]
    assert text == {"text": "What is this?"}
    assert linked["fileData"] == {"mimeType": "image/png", "fileUri": "https://images.test/a.png"}
    assert ("mediaResolution" in linked) is (model != BUDGETED)
    assert inline == {"inlineData": {"mimeType": "image/png", "data": PNG_BASE64}}
    assert document == {"inlineData": {"mimeType": "application/pdf", "data": PDF_BASE64}}
    assert audio == {"inlineData": {"mimeType": "audio/wav", "data": sound}}


@both
def test_picture_in_an_answer_is_seen(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Said("Look: "), Drawn(PNG_BASE64))))
    message = ask(client, stream, modalities=["text", "image"]).choices[0].message
    assert PNG_BASE64 in json.dumps(message.to_dict())
    assert provider.config["responseModalities"] == ["TEXT", "IMAGE"]


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    friend: Person | None = None


class Event(pydantic.BaseModel):
    name: str
    host: Person = pydantic.Field(title="Host", description="Who invites.")
    people: list[Person]


FAIR = Event(name="Fair", host=Person(name="Ann"), people=[Person(name="Bob", friend=Person(name="Cid"))])


@both
@every_model
def test_structured_output_is_parsed(client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str) -> None:
    """With a schema that refers to parts of itself, as pydantic makes them."""
    provider.plays(Answered((Said(FAIR.model_dump_json()),)))
    asked: Any = {"model": model, "messages": [user("Who goes?")], "response_format": Event}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            parsed = events.get_final_completion().choices[0].message.parsed
    else:
        parsed = client.chat.completions.parse(**asked).choices[0].message.parsed
    assert parsed == FAIR
    assert provider.config["responseMimeType"] == "application/json"
    assert provider.config["responseJsonSchema"]["$defs"].keys() == {"Person"}


def test_any_json_is_a_format_of_googles(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    assert ask(client, False, response_format={"type": "json_object"}).choices[0].message.content == "{}"
    assert provider.config == {"responseMimeType": "application/json"}


def test_format_beside_tools_is_refused_where_the_model_takes_none(
    client: openai.OpenAI, provider: GeminiProvider
) -> None:
    fields: Any = {"response_format": {"type": "json_object"}, "tools": [TOOL]}
    provider.plays(Answered((Said("{}"),)))
    ask(client, False, model=LEVELLED, **fields)
    with pytest.raises(openai.BadRequestError, match="response_format"):
        ask(client, False, model=BUDGETED, **fields)


@both
def test_tool_arguments_are_parsed(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    """``parse`` with a tool made from a model of pydantic's."""
    provider.plays(Answered((Called("Event", FAIR.model_dump(), "fc-4"),)))
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "tools": [openai.pydantic_function_tool(Event)]}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.parse(**asked).choices[0].message
    [call] = message.tool_calls or []
    assert call.function.parsed_arguments == FAIR


# Thinking


@both
@every_model
def test_thinking_goes_on_in_the_next_turn(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    """The provider gets its signatures back unchanged, on the parts that they were on; a program sees the thoughts."""
    provider.plays(THINKING, STEPS, HELLO)
    fields: Any = {"tools": [TOOL], "reasoning_effort": "high", "model": model}
    messages = [user("The weather?")]
    message = ask(client, stream, *messages, **fields).choices[0].message
    assert message.reasoning_content == "They want the weather, so I have to look."
    messages += [back(message), result(message.tool_calls[0])]
    message = ask(client, stream, *messages, **fields).choices[0].message
    assert (message.reasoning_content, message.content) == ("Now I know.", "It is 18 degrees, and it will rain.")
    messages += [back(message), user("And tomorrow?")]
    ask(client, stream, *messages, **fields)
    _, called, _, said, _ = provider.last["contents"]
    assert called["parts"] == [part.part() for part in THINKING.parts]
    assert said["parts"] == [part.part() for part in STEPS.parts]
    thinking = {"thinkingBudget": 24_576} if model == BUDGETED else {"thinkingLevel": "HIGH"}
    assert provider.config["thinkingConfig"].items() >= thinking.items()


@every_model
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "xhigh", "max"])
def test_every_effort_is_one_that_the_model_has(
    client: openai.OpenAI, provider: GeminiProvider, model: str, effort: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, reasoning_effort=effort, model=model)
    assert provider.config["thinkingConfig"]


# Limits, endings, errors


def test_limits_and_stop_sequences_are_kept(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO, HELLO)
    ask(client, False, max_completion_tokens=50, stop=["END", "\n\nHuman:"], seed=2**40 + 7)
    assert provider.config == {"maxOutputTokens": 50, "stopSequences": ["END", "\n\nHuman:"], "seed": 7}
    fields: Any = {"temperature": 1.7, "top_p": 0.5, "presence_penalty": 0.5, "frequency_penalty": -0.5}
    ask(client, False, max_tokens=60, stop="END", model=LEVELLED, **fields)
    assert provider.config == {
        "maxOutputTokens": 60,
        "stopSequences": ["END"],
        "temperature": 1.7,
        "topP": 0.5,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
    }


def test_sampling_that_newer_models_pass_over_is_named(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    assert dropped(client, temperature=0.2, top_p=0.5) == {"temperature", "top_p"}
    with pytest.raises(openai.BadRequestError, match="presence_penalty"):
        ask(client, False, presence_penalty=0.5)


@both
def test_several_choices_are_candidates(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Said("One, as long as it is."),), others=((Said("Two."),),)))
    choices = ask(client, stream, n=2).choices
    assert [(choice.index, choice.message.content) for choice in choices] == [
        (0, "One, as long as it is."),
        (1, "Two."),
    ]
    assert provider.config == {"candidateCount": 2}


@both
def test_logprobs_are_the_providers(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    chosen = [{"token": "Yes", "logProbability": -0.1}, {"token": ".", "logProbability": -0.2}]
    top = [{"candidates": [each, {"token": "No", "logProbability": -3.5}]} for each in chosen]
    provider.plays(Answered((Said("Yes."),), logprobs={"chosenCandidates": chosen, "topCandidates": top}))
    choice = ask(client, stream, logprobs=True, top_logprobs=2, model=LEVELLED).choices[0]
    assert [(each.token, each.logprob) for each in choice.logprobs.content] == [("Yes", -0.1), (".", -0.2)]
    assert [each.token for each in choice.logprobs.content[0].top_logprobs] == ["Yes", "No"]
    assert provider.config == {"responseLogprobs": True, "logprobs": 2}


@both
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answered((Said("Done."),)), "stop"),
        (Answered((Said("It goes"),), "MAX_TOKENS"), "length"),
        (Answered((Called("get_time"),)), "tool_calls"),
        *[
            (Answered((Said("I"),), word, "No."), "content_filter")
            for word in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY")
        ],
        (Answered((), "SAFETY"), "content_filter"),
        (Answered((), "MALFORMED_FUNCTION_CALL", "print(x)"), "stop"),
        (Answered((Said("Hm"),), "OTHER"), "stop"),
        (Blocked("PROHIBITED_CONTENT"), "content_filter"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "finish", "blocked"),
)
def test_every_end_has_its_reason(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, answer: Play, reason: str
) -> None:
    """The stream helper itself raises for two of them: it cannot parse what is cut off."""
    provider.plays(answer)
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "tools": [TIME]}
    if stream:
        chunks = client.chat.completions.create(**asked, stream=True)
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        assert [each for each in reasons if each] == [reason]
    else:
        assert client.chat.completions.create(**asked).choices[0].finish_reason == reason


KINDS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}


@both
@pytest.mark.parametrize("failing", ERRORS, ids=lambda failing: failing.message[:20])
def test_errors_are_the_sdks_own(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, failing: Failing
) -> None:
    provider.plays(failing)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, stream)
    error = caught.value
    assert failing.message in str(error)
    expected = openai.AuthenticationError if "API key" in failing.message else KINDS[failing.status]
    assert type(error) is expected
    assert (error.code == "insufficient_quota") is ("prepaid" in failing.message)
    assert (error.code == "context_length_exceeded") is ("token count" in failing.message)
    if "quota" in failing.message:
        # Google says so in the body, and to fractions of a second.
        assert error.response.headers["retry-after"] == "3"


def test_error_in_mid_stream_is_raised(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(Broken(HELLO, 2, Failing(503, "UNAVAILABLE", "Overloaded")), Broken(HELLO, 2))
    for complaint in ("Overloaded", "before its answer was whole"):
        chunks = client.chat.completions.create(model=NEWEST, messages=[user("Hello")], stream=True)
        said: list[Any] = []
        with pytest.raises(openai.APIError, match=complaint):
            said.extend(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert "".join(said).startswith("Grüß Gott, wie")


def test_error_before_anything_is_an_error_with_a_status(client: openai.OpenAI, provider: GeminiProvider) -> None:
    """The provider began its stream, and has said nothing in it yet."""
    provider.plays(Broken(HELLO, 0, Failing(503, "UNAVAILABLE", "Overloaded")))
    with pytest.raises(openai.InternalServerError, match="Overloaded"):
        ask(client, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("logit_bias", {"50256": -100}), ("stop", list("abcdef")), ("web_search_options", {})],
)
def test_what_changes_the_answer_is_refused_by_name(
    client: openai.OpenAI, provider: GeminiProvider, field: str, value: Any
) -> None:
    with pytest.raises(openai.BadRequestError, match=field):
        ask(client, False, **{field: value})


def test_hints_are_dropped_and_named(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    named = dropped(
        client,
        prompt_cache_key="k",
        verbosity="low",
        service_tier="flex",
        metadata={"a": "b"},
        store=False,
        safety_identifier="u-2",
    )
    assert {"prompt_cache_key", "verbosity", "metadata", "safety_identifier"} <= named
    assert provider.last["serviceTier"] == "flex"


@both
def test_sources_of_the_web_become_annotations(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://weather.test/", "title": "Weather"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 0, "endIndex": 15, "text": "It rains there."},
                "groundingChunkIndices": [0],
            }
        ],
    }
    provider.plays(Answered((Said("It rains there."),), grounding=grounding))
    message = ask(client, stream).choices[0].message
    assert message.content == "It rains there."
    assert json.dumps(message.to_dict()).count("https://weather.test/") == 1


@both
def test_what_only_google_says_does_no_harm(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Ran("1+1"), Said("Two."))))
    assert ask(client, stream).choices[0].message.content == "Two."


def test_asynchronous_client_streams_side_by_side(running: Scene, provider: GeminiProvider) -> None:
    provider.plays(*[HELLO] * 6)

    async def converse() -> list[Any]:
        async with openai.AsyncOpenAI(
            base_url=f"{running.gateway.url}/v1", api_key=VIRTUAL_KEY, max_retries=0
        ) as client:

            async def streamed() -> Any:
                async with client.chat.completions.stream(model=NEWEST, messages=[user("Hello")]) as events:
                    return (await events.get_final_completion()).choices[0].message.content

            async def whole() -> Any:
                completion = await client.chat.completions.create(model=NEWEST, messages=[user("Hello")])
                return completion.choices[0].message.content

            return list(await asyncio.gather(*[each() for each in 3 * (streamed, whole)]))

    assert asyncio.run(converse()) == ["Grüß Gott, wie geht es Ihnen?"] * 6
