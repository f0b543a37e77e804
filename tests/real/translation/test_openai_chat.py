"""
OpenAI's own SDK, speaking Chat Completions, on a provider that has only the Responses API and takes nothing but valid
requests of it: ``"apis": ["responses"]`` in ``aiservices.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

from tests.real.translation.openai_scene import (
    ERRORS,
    HELLO,
    PARALLEL,
    REASONED,
    RESPONSES,
    WEATHER,
    Scene,
    scene,
)
from tests.real.validating.files import PDF_BASE64, PNG_BASE64
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
    Wrote,
)
from tests.real.validating.openai_models import NEWEST, PLAIN, REASONING
from tests.real.validating.openai_provider import OpenAIProvider

PLACE = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["location"],
}
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": PLACE},
}
TIME_TOOL: Any = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [WEATHER_TOOL, TIME_TOOL]
PATCH_TOOL: Any = {
    "type": "custom",
    "custom": {
        "name": "patch",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}},
    },
}

PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PDF_URL = f"data:application/pdf;base64,{PDF_BASE64}"

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[OpenAIProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture(scope="module")
def client(running: Scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.gateway.url}/v1", api_key=RESPONSES, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, stream: bool, *messages: Any, **fields: Any) -> Any:
    """
    :return: the completion, whole or as the stream helper has put it together.
    """
    asked: Any = {"model": NEWEST, "messages": list(messages) or [user("Hello")], **fields}
    if not stream:
        return client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        return events.get_final_completion()


def user(*content: Any) -> Any:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def back(completion: Any) -> Any:
    """An answer as programs send it back with their next request."""
    return completion.choices[0].message.model_dump(
        exclude_none=True, exclude={"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}}}}
    )


def result(call: Any, content: str = "18 degrees") -> Any:
    return {"role": "tool", "tool_call_id": call.id, "content": content}


# Text


@both
def test_text_and_usage_are_the_providers(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(HELLO)
    completion = ask(client, stream, max_completion_tokens=1000)
    [choice] = completion.choices
    assert (choice.message.content, choice.finish_reason) == ("Grüß Gott, wie geht es Ihnen?", "stop")
    assert completion.model == NEWEST
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.prompt_tokens_details.cached_tokens == 30
    assert usage.completion_tokens_details.reasoning_tokens == 6
    assert (provider.last["max_output_tokens"], provider.last["store"]) == (1000, False)


def test_chunks_come_as_the_provider_sends_them(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    """The role first, the text in pieces, the reason, and the usage only where it is asked for."""
    provider.plays(HELLO, HELLO)
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "stream": True}
    chunks: list[Any] = list(client.chat.completions.create(**asked))
    assert chunks[0].choices[0].delta.role == "assistant"
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert said == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    chunks = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 73)


def test_messages_of_operators_keep_their_places(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    turns: list[Any] = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": "Be exact."},
        user("A"),
        {"role": "assistant", "content": "B"},
        {"role": "system", "content": "Be brief."},
        user("C"),
    ]
    ask(client, False, *turns)
    assert provider.last["instructions"] == "Be kind."
    assert [item["role"] for item in provider.last["input"]] == ["developer", "user", "assistant", "system", "user"]


def test_sampling_and_hints_are_passed_on(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, model=PLAIN, temperature=0.5, top_p=0.9, user="u-1", prompt_cache_key="k", metadata={"a": "b"})
    last = provider.last
    assert (last["temperature"], last["top_p"]) == (0.5, 0.9)
    assert (last["user"], last["prompt_cache_key"], last["metadata"]) == ("u-1", "k", {"a": "b"})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stop": ["END"]}, "stop"),
        ({"n": 2}, "n"),
        ({"seed": 7}, "seed"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"1": -100}}, "logit_bias"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_change_the_answer_is_refused_by_name(
    client: openai.OpenAI, provider: OpenAIProvider, fields: Any, named: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=named) as caught:
        ask(client, False, **fields)
    assert caught.value.response.headers["x-gw-error"] == "unsupported_field"
    assert not provider.requests


# Tools


@both
def test_tool_is_called_and_its_result_used(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(WEATHER, HELLO)
    completion = ask(client, stream, tools=TOOLS)
    [choice] = completion.choices
    [call] = choice.message.tool_calls
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    assert (call.id, call.type, call.function.name) == ("call_01A", "function", "get_weather")
    assert json.loads(call.function.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    [weather, time] = provider.last["tools"]
    # Strict is the default there, and not here.
    assert (weather["parameters"], weather["strict"], time["strict"]) == (PLACE, False, False)

    assert ask(client, stream, user("Hello"), back(completion), result(call), tools=TOOLS).choices[0].message.content
    assert [item["type"] for item in provider.last["input"]] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]


@both
def test_parallel_calls_and_their_results_stay_together(
    client: openai.OpenAI, provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(PARALLEL, HELLO)
    completion = ask(client, stream, tools=TOOLS)
    calls = completion.choices[0].message.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_01B", "get_weather", '{"location": "Paris"}'),
        ("call_01C", "get_time", "{}"),
        ("call_01D", "get_weather", '{"location": "Rome"}'),
    ]
    results = [result(call, f"result {at}") for at, call in enumerate(calls)]
    ask(client, stream, user("Hello"), back(completion), *results, tools=TOOLS)
    assert [(item["call_id"], item["output"]) for item in provider.last["input"][-3:]] == [
        ("call_01B", "result 0"),
        ("call_01C", "result 1"),
        ("call_01D", "result 2"),
    ]


def test_arguments_come_in_fragments(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER)
    chunks: Any = client.chat.completions.create(model=NEWEST, messages=[user("Hello")], tools=TOOLS, stream=True)
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert len(calls) > 3
    assert {call.index for call in calls} == {0}
    assert (calls[0].id, calls[0].function.name) == ("call_01A", "get_weather")
    arguments = "".join(call.function.arguments or "" for call in calls)
    assert json.loads(arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}


@both
def test_custom_tool_takes_text(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Wrote("call_1", "patch", "*** Begin\n"),)), HELLO)
    if stream:
        chunks: Any = client.chat.completions.create(
            model=NEWEST, messages=[user("Hello")], tools=[PATCH_TOOL], stream=True
        )
        calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
        # The SDK has no type for these deltas.
        assert "".join(call.to_dict()["custom"].get("input") or "" for call in calls) == "*** Begin\n"
        message: Any = {
            "role": "assistant",
            "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin\n"}}],
        }
    else:
        message = back(ask(client, False, tools=[PATCH_TOOL]))
        assert message["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** Begin\n"}
    [tool] = provider.last["tools"]
    assert tool["format"] == {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "done"}
    ask(client, False, user("Hello"), message, answered, tools=[PATCH_TOOL])
    assert [item["type"] for item in provider.last["input"][1:]] == ["custom_tool_call", "custom_tool_call_output"]


@both
def test_functions_of_old_still_work(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    """``functions`` and ``function_call``, the forerunners of tools."""
    provider.plays(Answered(WEATHER.blocks[1:]), HELLO)
    functions: Any = [WEATHER_TOOL["function"]]
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "functions": functions}
    if stream:
        arguments = ""
        for chunk in client.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                if choice.delta.function_call:
                    arguments += choice.delta.function_call.arguments or ""
                reason = choice.finish_reason
    else:
        [found] = client.chat.completions.create(**asked).choices
        assert found.message.function_call is not None
        arguments, reason = found.message.function_call.arguments, found.finish_reason
    assert json.loads(arguments)["location"] == "Zürich \U0001f5fb"
    assert reason == "function_call"
    called = {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": arguments}}
    answered = {"role": "function", "name": "get_weather", "content": "18 degrees"}
    ask(client, False, user("Hello"), called, answered, functions=functions)
    assert [item["type"] for item in provider.last["input"][1:]] == ["function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "get_time"}}, {"type": "function", "name": "get_time"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_time"}}]},
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_time"}]},
        ),
    ],
)
def test_choice_of_tools_is_passed_on(
    client: openai.OpenAI, provider: OpenAIProvider, choice: Any, expected: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    assert (provider.last["tool_choice"], provider.last["parallel_tool_calls"]) == (expected, False)


# What is not text


def test_images_and_documents_are_seen(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://images.test/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}},
    ]
    ask(client, False, user(*content))
    _, image, linked, file = provider.last["input"][0]["content"]
    assert (image["image_url"], image["detail"]) == (PNG_URL, "high")
    assert linked["image_url"] == "https://images.test/a.png"
    assert (file["filename"], file["file_data"]) == ("a.pdf", PDF_URL)


# Structured output


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    tags: list[str]


@both
def test_structured_output_is_parsed(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said('{"name": "Ada", "tags": ["x"]}'),)))
    asked: Any = {"model": NEWEST, "messages": [user("Who?")], "response_format": Person}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            parsed = events.get_final_completion()
    else:
        parsed = client.chat.completions.parse(**asked)
    assert parsed.choices[0].message.parsed == Person(name="Ada", tags=["x"])
    form = provider.last["text"]["format"]
    assert (form["name"], form["strict"]) == ("Person", True)


@both
def test_arguments_of_tools_are_parsed(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Called("call_1", "Person", '{"name": "Ada", "tags": []}'),)))
    asked: Any = {"model": NEWEST, "messages": [user("Who?")], "tools": [openai.pydantic_function_tool(Person)]}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            parsed: Any = events.get_final_completion()
    else:
        parsed = client.chat.completions.parse(**asked)
    assert parsed.choices[0].message.tool_calls[0].function.parsed_arguments == Person(name="Ada", tags=[])
    assert provider.last["tools"][0]["strict"] is True


def test_any_json_is_asked_for(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    ask(client, False, user("As JSON."), response_format={"type": "json_object"})
    assert provider.last["text"]["format"] == {"type": "json_object"}


@both
def test_probabilities_of_tokens_come_back(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    top = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}, {"token": "Ho", "logprob": -2.5, "bytes": [72, 111]}]
    provider.plays(Answered((Said("Hi", logprobs=({**top[0], "top_logprobs": top},)),)))
    completion = ask(client, stream, model=PLAIN, logprobs=True, top_logprobs=2)
    [found] = completion.choices[0].logprobs.content
    assert (found.token, found.logprob, [each.token for each in found.top_logprobs]) == ("Hi", -0.1, ["Hi", "Ho"])
    assert provider.last["include"] == ["message.output_text.logprobs"]


# Thinking


@both
def test_thinking_goes_on_over_two_turns(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    """It comes as ``reasoning_details``, in which what is sealed travels; with them back nothing is lost."""
    provider.plays(Answered((Thought("", "gFirst", "rs_00"), *REASONED.blocks), usage=REASONED.usage), HELLO)
    asked: Any = {"tools": TOOLS, "reasoning_effort": "high"}
    completion = ask(client, stream, **asked)
    message = back(completion)
    assert "They want the weather, so I have to look." in json.dumps(message)
    assert provider.last["reasoning"] == {"effort": "high"}
    [call] = completion.choices[0].message.tool_calls
    ask(client, stream, user("Hello"), message, result(call), **asked)
    items = provider.last["input"]
    assert [item["type"] for item in items] == [
        "message",
        "reasoning",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert [item.get("encrypted_content") for item in items[1:3]] == ["gFirst", "gAAAAABqQ+/0=="]


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [(REASONING, "minimal", "minimal"), (REASONING, "none", "minimal"), (NEWEST, "max", "max"), (PLAIN, "low", None)],
)
def test_effort_is_one_that_the_model_has(
    client: openai.OpenAI, provider: OpenAIProvider, model: str, effort: Any, expected: str | None
) -> None:
    provider.plays(HELLO)
    ask(client, False, model=model, reasoning_effort=effort)
    assert provider.last.get("reasoning", {}).get("effort") == expected


# How answers end


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answered((Said("And so"),), "length"), "length"),
        (Answered((Said("And so"),), "content_filter"), "content_filter"),
        (Answered((Called("call_1", "get_weather", '{"location": "Zü'),), "length"), "length"),
        (Answered(()), "stop"),
        (Answered((Ran("weather"), Said("Sunny."))), "stop"),
    ],
    ids=["length", "filter", "broken call", "nothing", "a tool of the provider's"],
)
@both
def test_reason_to_stop_is_the_providers(
    client: openai.OpenAI, provider: OpenAIProvider, stream: bool, answer: Answered, reason: str
) -> None:
    provider.plays(answer)
    asked: Any = {"model": NEWEST, "messages": [user("Hello")], "tools": TOOLS}
    if stream:
        # The helper raises where an answer is not whole.
        chunks = client.chat.completions.create(**asked, stream=True)
        [found] = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    else:
        found = client.chat.completions.create(**asked).choices[0].finish_reason
    assert found == reason


@both
def test_refusals_are_refusals(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Refusing("I can't help with that."),)), HELLO)
    completion = ask(client, stream)
    assert (completion.choices[0].message.refusal, completion.choices[0].finish_reason) == (
        "I can't help with that.",
        "stop",
    )
    ask(client, stream, user("Hello"), back(completion), user("Why?"))
    assert provider.last["input"][1]["content"][0] == {"type": "refusal", "refusal": "I can't help with that."}


def test_citations_are_annotations(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(Answered((Said("It is so.", (Cited("https://a.test", "A page", 0, 5),)),)))
    [note] = ask(client, False).choices[0].message.annotations
    assert (note.url_citation.url, note.url_citation.title, note.url_citation.end_index) == (
        "https://a.test",
        "A page",
        5,
    )


# Errors

CLASSES: dict[int, Any] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}


@pytest.mark.parametrize("failing", ERRORS, ids=[f"{each.status}-{each.code}" for each in ERRORS])
def test_errors_are_the_sdks_own(client: openai.OpenAI, provider: OpenAIProvider, failing: Failing) -> None:
    provider.plays(failing)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, False)
    assert type(caught.value) is CLASSES[failing.status]
    assert caught.value.status_code == failing.status
    assert failing.message in str(caught.value)
    assert caught.value.request_id == "req_8e7a4b"
    assert caught.value.param == failing.param
    if failing.code in ("context_length_exceeded", "insufficient_quota", "rate_limit_exceeded", "invalid_api_key"):
        assert caught.value.code == failing.code


@both
def test_hint_when_to_come_back_is_kept(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Failing(429, "Slow down.", "requests", "rate_limit_exceeded", headers={"retry-after": "7"}))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, stream)
    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Broken(HELLO, 7, Failing(500, "No output.", "server_error", "server_error")), "No output"),
        (Broken(HELLO, 7, Failing(500, "No output.", "server_error", "server_error"), failed=True), "No output"),
        (Broken(HELLO, 7), "before its answer was whole"),
    ],
    ids=["error", "response.failed", "cut"],
)
def test_stream_that_fails_is_an_error(
    client: openai.OpenAI, provider: OpenAIProvider, broken: Broken, said: str
) -> None:
    provider.plays(broken)
    with pytest.raises(openai.APIError, match=said):
        ask(client, True)
