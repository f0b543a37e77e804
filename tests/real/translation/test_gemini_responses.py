"""OpenAI's own SDK, speaking Responses, on a provider that takes only valid requests of the Gemini API."""

from __future__ import annotations

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
TOOL: Any = {"type": "function", "name": "get_weather", "description": "Tells the weather.", "parameters": PLACE}
TIME: Any = {"type": "function", "name": "get_time", "parameters": None, "strict": None}

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
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def ask(client: openai.OpenAI, stream: bool, *items: Any, **fields: Any) -> Any:
    """
    :return: the response, whole or as the stream helper has put it together.
    """
    asked = {"model": NEWEST, "input": list(items) or "Hello", "store": False, **fields}
    if not stream:
        return client.responses.create(**asked)
    with client.responses.stream(**asked) as events:
        return events.get_final_response()


def back(response: Any) -> list[Any]:
    """An answer's items as programs send them back with their next request."""
    return [item.model_dump(exclude_unset=True, exclude={"parsed_arguments", "parsed"}) for item in response.output]


def calls_of(response: Any) -> list[Any]:
    return [item for item in response.output if item.type == "function_call"]


def thoughts_of(response: Any) -> list[str]:
    return [part.text for item in response.output if item.type == "reasoning" for part in item.summary]


def result(call: Any, output: Any = "18 degrees") -> Any:
    return {"type": "function_call_output", "call_id": call.call_id, "output": output}


@both
@every_model
def test_text_and_usage_are_the_providers(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(HELLO)
    response = ask(client, stream, model=model)
    assert response.output_text == "Grüß Gott, wie geht es Ihnen?"
    assert (response.status, response.model, response.error, response.incomplete_details) == (
        "completed",
        model,
        None,
        None,
    )
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.input_tokens_details.cached_tokens == 30
    assert usage.output_tokens_details.reasoning_tokens == 6
    assert provider.last == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def test_events_come_in_their_order(client: openai.OpenAI, provider: GeminiProvider) -> None:
    """Numbered from 0, a delta for each piece, each part closed before the next, ``response.completed`` last."""
    provider.plays(STEPS)
    events: list[Any] = list(client.responses.create(model=NEWEST, input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "completed",
    ]
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert pieces == ["It is 18 ", "degrees, ", "and it wi", "ll rain."]


def test_instructions_have_their_own_place(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    developer = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are brief."}]}
    ask(client, False, developer, user("Hello"), instructions="You are kind.")
    assert [part["text"] for part in provider.last["systemInstruction"]["parts"]] == ["You are kind.", "You are brief."]
    assert provider.last["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]


@every_model
def test_messages_in_any_order_become_turns(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    provider.plays(HELLO)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    ask(client, False, said, user("A"), user("B"), {"role": "assistant", "content": "Yes?"}, said, model=model)
    roles = [content["role"] for content in provider.last["contents"]]
    assert roles == ["model", "user", "model", *(["user"] if model == NEWEST else [])]


# Tools


@both
@every_model
def test_tool_is_called_and_its_result_used(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(WEATHER, HELLO)
    response = ask(client, stream, user("The weather?"), tools=[TOOL], model=model)
    assert response.output_text == "I look."
    [call] = calls_of(response)
    assert (call.call_id, call.name) == ("fc-1a", "get_weather")
    assert json.loads(call.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    ask(client, stream, user("The weather?"), *back(response), result(call), tools=[TOOL], model=model)
    _, called, answered = provider.last["contents"]
    assert called["parts"] == [part.part() for part in WEATHER.parts]
    expected = {"id": "fc-1a", "name": "get_weather", "response": {"output": "18 degrees"}}
    assert answered == {"role": "user", "parts": [{"functionResponse": expected}]}


@both
@every_model
def test_parallel_calls_and_their_results_in_any_order(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(PARALLEL, HELLO)
    fields: Any = {"tools": [TOOL, TIME], "model": model}
    response = ask(client, stream, **fields)
    calls = calls_of(response)
    assert [call.name for call in calls] == ["get_weather", "get_time", "get_weather"]
    assert len({call.call_id for call in calls}) == 3
    results = [result(call, call.arguments) for call in reversed(calls)]
    ask(client, stream, user("Hello"), *back(response), *results, user("So?"), **fields)
    *_, called, answered, said = provider.last["contents"]
    signatures = [part.get("thoughtSignature") for part in called["parts"]]
    assert signatures == ["CiQBVKhc7nR3byBjYWxscw==", None, None]
    outputs = [part["functionResponse"]["response"]["output"] for part in answered["parts"]]
    assert list(map(json.loads, outputs)) == [{"location": "Paris"}, {}, {"location": "Rome"}]
    assert said["parts"] == [{"text": "So?"}]


@both
def test_one_call_at_a_time(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(PARALLEL, HELLO)
    fields: Any = {"tools": [TOOL, TIME], "parallel_tool_calls": False}
    response = ask(client, stream, **fields)
    [call] = calls_of(response)
    assert json.loads(call.arguments) == {"location": "Paris"}
    assert response.parallel_tool_calls is False
    ask(client, stream, user("Hello"), *back(response), result(call), **fields)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "name": "get_time"}, {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]},
            {"mode": "ANY", "allowedFunctionNames": ["get_time"]},
        ),
    ],
    ids=["auto", "none", "required", "named", "allowed"],
)
def test_choice_of_tools_is_kept(client: openai.OpenAI, provider: GeminiProvider, choice: Any, expected: Any) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=[TOOL, TIME], tool_choice=choice)
    assert provider.last["toolConfig"]["functionCallingConfig"] == expected


@every_model
def test_results_may_have_pictures(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    """Inside the result since Gemini 3; before, and where it would have to be fetched, as the user's own behind it."""
    provider.plays(WEATHER, HELLO)
    response = ask(client, False, tools=[TOOL], model=model)
    output = [
        {"type": "input_text", "text": "See."},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"},
        {"type": "input_image", "image_url": "https://images.test/a.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"},
    ]
    [call] = calls_of(response)
    ask(client, False, user("Hello"), *back(response), result(call, output), tools=[TOOL], model=model)
    *_, answered, pictures = provider.last["contents"]
    [part] = answered["parts"]
    assert part["functionResponse"]["response"] == {"output": "See."}
    inside = part["functionResponse"].get("parts", [])
    assert len(inside) == (0 if model == BUDGETED else 2)
    assert [next(iter(each)) for each in (*inside, *pictures["parts"])].count("inlineData") == 2
    assert {"fileData": {"mimeType": "image/png", "fileUri": "https://images.test/a.png"}} in pictures["parts"]


@both
def test_custom_tool_takes_free_text(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Called("run", {"input": 'say "hi"\n'}, "fc-3", "cnVu"),)), HELLO)
    tool: Any = {"type": "custom", "name": "run", "description": "Runs a program."}
    response = ask(client, stream, tools=[tool])
    [call] = [item for item in response.output if item.type == "custom_tool_call"]
    assert (call.call_id, call.name, call.input) == ("fc-3", "run", 'say "hi"\n')
    output = {"type": "custom_tool_call_output", "call_id": "fc-3", "output": "ok"}
    ask(client, stream, user("Hello"), *back(response), output, tools=[tool])
    [part] = provider.last["contents"][1]["parts"]
    assert part == {
        "functionCall": {"id": "fc-3", "name": "run", "args": {"input": 'say "hi"\n'}},
        "thoughtSignature": "cnVu",
    }


def test_calls_of_another_provider_are_taken(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    called = {"type": "function_call", "call_id": "call_1", "name": "get_time", "arguments": ""}
    ask(client, False, called, {"type": "function_call_output", "call_id": "call_1", "output": ""}, tools=[TIME])
    assert provider.last["contents"][1]["parts"][0]["thoughtSignature"] == SKIPPED[0]


# Media and formats


@every_model
def test_images_and_documents_are_perceived(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    provider.plays(HELLO)
    ask(
        client,
        False,
        user(
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "https://images.test/a.png", "detail": "low"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"},
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"},
            {"type": "input_file", "file_url": "https://files.test/b.pdf"},
        ),
        model=model,
    )
    text, linked, inline, document, fetched = provider.last["contents"][0]["parts"]
    assert text == {"text": "What is this?"}
    assert linked["fileData"]["fileUri"] == "https://images.test/a.png"
    assert inline == {"inlineData": {"mimeType": "image/png", "data": PNG_BASE64}}
    assert document == {"inlineData": {"mimeType": "application/pdf", "data": PDF_BASE64}}
    assert fetched == {"fileData": {"mimeType": "application/pdf", "fileUri": "https://files.test/b.pdf"}}


@both
def test_picture_in_an_answer_is_an_item(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Said("Look: "), Drawn(PNG_BASE64))))
    response = ask(client, stream)
    [image] = [item for item in response.output if item.type == "image_generation_call"]
    assert image.result == PNG_BASE64


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)


class Event(pydantic.BaseModel):
    name: str
    host: Person = pydantic.Field(title="Host")
    people: list[Person]


FAIR = Event(name="Fair", host=Person(name="Ann"), people=[Person(name="Bob")])


@both
@every_model
def test_structured_output_is_parsed(client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str) -> None:
    provider.plays(Answered((Said(FAIR.model_dump_json()),)))
    asked: Any = {"model": model, "input": "Who goes?", "text_format": Event}
    if stream:
        with client.responses.stream(**asked) as events:
            parsed = events.get_final_response().output_parsed
    else:
        parsed = client.responses.parse(**asked).output_parsed
    assert parsed == FAIR
    assert provider.config["responseJsonSchema"]["$defs"].keys() == {"Person"}


@both
def test_tool_arguments_are_parsed(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Called("Event", FAIR.model_dump(), "fc-4"),)))
    tool: Any = openai.pydantic_function_tool(Event)["function"]
    asked: Any = {"model": NEWEST, "input": "Hello", "tools": [{"type": "function", **tool}]}
    if stream:
        with client.responses.stream(**asked) as events:
            response: Any = events.get_final_response()
    else:
        response = client.responses.parse(**asked)
    [call] = calls_of(response)
    assert json.loads(call.arguments) == FAIR.model_dump()


# Thinking


@both
@every_model
def test_thinking_goes_on_in_the_next_turn(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, model: str
) -> None:
    """The provider gets its signatures back unchanged, on the parts that they were on; a program sees the thoughts."""
    provider.plays(THINKING, STEPS, HELLO)
    fields: Any = {
        "tools": [TOOL],
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "model": model,
    }
    items = [user("The weather?")]
    response = ask(client, stream, *items, **fields)
    assert thoughts_of(response) == ["They want the weather, so I have to look."]
    items += [*back(response), result(calls_of(response)[0])]
    response = ask(client, stream, *items, **fields)
    assert thoughts_of(response) == ["Now I know."]
    items += [*back(response), user("And tomorrow?")]
    ask(client, stream, *items, **fields)
    _, called, _, said, _ = provider.last["contents"]
    assert called["parts"] == [part.part() for part in THINKING.parts]
    assert said["parts"] == [part.part() for part in STEPS.parts]
    thinking = provider.config["thinkingConfig"]
    expected = {"thinkingBudget": 24_576} if model == BUDGETED else {"thinkingLevel": "HIGH"}
    assert thinking == {**expected, "includeThoughts": True}


@every_model
@pytest.mark.parametrize("effort", ["none", "minimal", "xhigh"])
def test_every_effort_is_one_that_the_model_has(
    client: openai.OpenAI, provider: GeminiProvider, model: str, effort: str
) -> None:
    provider.plays(HELLO)
    ask(client, False, reasoning={"effort": effort, "summary": "detailed"}, model=model)
    assert provider.config["thinkingConfig"]


# Limits, endings, errors


@both
@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answered((Said("Done."),)), "completed", None),
        (Answered((Said("It goes"),), "MAX_TOKENS"), "incomplete", "max_output_tokens"),
        (Answered((Said("I"),), "SAFETY", "No."), "incomplete", "content_filter"),
        (Answered((), "PROHIBITED_CONTENT"), "incomplete", "content_filter"),
        (Blocked("SAFETY"), "incomplete", "content_filter"),
    ],
    ids=["done", "length", "safety", "nothing", "blocked"],
)
def test_every_end_has_its_reason(
    client: openai.OpenAI, provider: GeminiProvider, stream: bool, answer: Play, status: str, reason: str | None
) -> None:
    provider.plays(answer)
    response = None
    if stream:
        *_, last = client.responses.create(model=NEWEST, input="Hello", stream=True)
        response = getattr(last, "response", None)
        assert last.type == f"response.{status}"
    else:
        response = client.responses.create(model=NEWEST, input="Hello")
    assert response is not None
    assert response.status == status
    assert (response.incomplete_details and response.incomplete_details.reason) == reason


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
    assert type(error) is (openai.AuthenticationError if "API key" in failing.message else KINDS[failing.status])
    assert (error.code == "insufficient_quota") is ("prepaid" in failing.message)
    assert (error.code == "context_length_exceeded") is ("token count" in failing.message)


@pytest.mark.parametrize("failing", [Failing(503, "UNAVAILABLE", "Overloaded"), None], ids=["overloaded", "cut"])
def test_error_in_mid_stream_is_raised(
    client: openai.OpenAI, provider: GeminiProvider, failing: Failing | None
) -> None:
    provider.plays(Broken(HELLO, 2, failing))
    events = client.responses.create(model=NEWEST, input="Hello", stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="Overloaded" if failing else "before its answer was whole"):
        seen.extend(events)
    said = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert said.startswith("Grüß Gott, wie")


def test_settings_have_googles_names(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(HELLO)
    sampling: Any = {"temperature": 0.5, "top_p": 0.9, "top_logprobs": 2}
    ask(client, False, max_output_tokens=50, service_tier="priority", model=LEVELLED, **sampling)
    assert provider.config == {
        "maxOutputTokens": 50,
        "temperature": 0.5,
        "topP": 0.9,
        "responseLogprobs": True,
        "logprobs": 2,
    }
    assert provider.last["serviceTier"] == "priority"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("background", True),
        ("conversation", "conv_1"),
        ("tools", [{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
    ],
)
def test_what_changes_the_answer_is_refused_by_name(
    client: openai.OpenAI, provider: GeminiProvider, field: str, value: Any
) -> None:
    with pytest.raises(openai.BadRequestError, match=field):
        ask(client, False, **{field: value})


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
    response = ask(client, stream)
    [annotation] = response.output[0].content[0].annotations
    assert (annotation.type, annotation.url, annotation.title) == ("url_citation", "https://weather.test/", "Weather")
    assert response.output_text[annotation.start_index : annotation.end_index] == "It rains there."


@both
def test_what_only_google_says_does_no_harm(client: openai.OpenAI, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(Answered((Ran("1+1"), Said("Two."))))
    assert ask(client, stream).output_text == "Two."
