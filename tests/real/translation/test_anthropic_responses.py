"""OpenAI's own SDK, speaking Responses, on a provider that takes only valid requests of the Messages API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

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
from tests.real.validating.files import PDF_BASE64, PNG_BASE64

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


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[AnthropicProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture(scope="module")
def client(running: Scene) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.gateway.url}/v1", api_key=VIRTUAL_KEY, max_retries=0) as made:
        yield made


def user(*content: Any) -> Any:
    return {"role": "user", "content": list(content) if not isinstance(content[0], str) else content[0]}


def ask(client: openai.OpenAI, stream: bool, *items: Any, **fields: Any) -> Any:
    """
    :return: the response, whole or as the stream helper has put it together.
    """
    asked = {"model": ADAPTIVE, "input": list(items) or "Hello", "store": False, **fields}
    if not stream:
        return client.responses.create(**asked)
    with client.responses.stream(**asked) as events:
        return events.get_final_response()


def back(response: Any) -> list[Any]:
    """An answer's items as programs send them back with their next request."""
    return [item.model_dump(exclude_unset=True, exclude={"parsed_arguments", "parsed"}) for item in response.output]


def calls_of(response: Any) -> list[Any]:
    return [item for item in response.output if item.type == "function_call"]


def result(call: Any, output: Any = "18 degrees") -> Any:
    return {"type": "function_call_output", "call_id": call.call_id, "output": output}


@both
def test_text_and_usage_are_the_providers(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(HELLO)
    response = ask(client, stream)
    assert response.output_text == "Grüß Gott, wie geht es Ihnen?"
    assert (response.status, response.model, response.error, response.incomplete_details) == (
        "completed",
        ADAPTIVE,
        None,
        None,
    )
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.input_tokens_details.cached_tokens == COUNTED["cache_read_input_tokens"]
    assert usage.output_tokens_details.reasoning_tokens == 6
    assert provider.last["messages"] == [{"role": "user", "content": "Hello"}]
    assert provider.last["max_tokens"] == MODELS[ADAPTIVE].max_tokens


def test_events_come_in_their_order(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Numbered from 0, a delta for each piece, each part closed before the next, ``response.completed`` last."""
    provider.plays(WEATHER)
    events: list[Any] = list(client.responses.create(model=ADAPTIVE, input="Hello", tools=[TOOL], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "completed",
    ]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["I look."]
    fragments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(fragments) > 3
    assert json.loads("".join(fragments)) == WEATHER.blocks[1].block()["input"]
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert done == [item.to_dict() for item in events[-1].response.output]
    assert [event.output_index for event in events if event.type == "response.output_item.added"] == [0, 1]


def test_instructions_go_to_the_system_prompt(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    items = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be exact."}, user("Hello")]
    ask(client, False, *items, instructions="Be kind.")
    assert [block["text"] for block in provider.last["system"]] == ["Be kind.", "Be brief.", "Be exact."]
    assert provider.last["messages"] == [user("Hello")]


def test_conversation_goes_on(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO, HELLO)
    first = ask(client, False, user("Hello"))
    ask(client, False, user("Hello"), *back(first), user("Well, and you?"))
    assert provider.last["messages"][1] == {"role": "assistant", "content": "Grüß Gott, wie geht es Ihnen?"}


# Tools


@both
def test_tool_is_called_and_its_result_used(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(WEATHER, HELLO)
    response = ask(client, stream, user("The weather?"), tools=[TOOL])
    [call] = calls_of(response)
    assert (call.call_id, call.name, call.status) == ("toolu_01A", "get_weather", "completed")
    assert json.loads(call.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    [tool] = provider.last["tools"]
    assert (tool["name"], tool["description"]) == ("get_weather", "Tells the weather.")
    assert tool["input_schema"]["required"] == ["location"]
    ask(client, stream, user("The weather?"), *back(response), result(call), tools=[TOOL])
    _, called, answered = provider.last["messages"]
    assert [block["type"] for block in called["content"]] == ["text", "tool_use"]
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "toolu_01A", "content": "18 degrees"}]


@both
def test_parallel_calls_and_their_results_in_any_order(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool
) -> None:
    provider.plays(PARALLEL, HELLO)
    response = ask(client, stream, tools=[TOOL, TIME])
    calls = calls_of(response)
    assert [(call.call_id, call.name, json.loads(call.arguments)) for call in calls] == [
        ("toolu_01B", "get_weather", {"location": "Paris"}),
        ("toolu_01C", "get_time", {}),
        ("toolu_01D", "get_weather", {"location": "Rome"}),
    ]
    results = [result(call) for call in reversed(calls)]
    ask(client, stream, user("Hello"), *back(response), *results, user("So?"), tools=[TOOL, TIME])
    kinds = [block["type"] for block in provider.last["messages"][-1]["content"]]
    assert kinds == ["tool_result", "tool_result", "tool_result", "text"]


def test_calls_and_results_may_take_turns(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Programs write a call, its result, and the next call of the same turn."""
    provider.plays(PARALLEL, HELLO)
    first, second, third = back(ask(client, False, tools=[TOOL, TIME]))
    outputs = [
        {"type": "function_call_output", "call_id": each["call_id"], "output": ""} for each in (first, second, third)
    ]
    taken = [item for pair in zip((first, second, third), outputs, strict=True) for item in pair]
    ask(client, False, user("Hello"), *taken, tools=[TOOL, TIME])
    answered = [
        block["tool_use_id"]
        for message in provider.last["messages"][1:]
        if message["role"] == "user"
        for block in message["content"]
    ]
    assert answered == ["toolu_01B", "toolu_01C", "toolu_01D"]


def test_results_hold_images_and_documents(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(WEATHER, HELLO)
    response = ask(client, False, tools=[TOOL])
    output = [
        {"type": "input_text", "text": "A map"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"},
        {"type": "input_image", "image_url": "https://images.test/map.png", "detail": "low"},
        {"type": "input_file", "filename": "map.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"},
    ]
    ask(client, False, user("Hello"), *back(response), result(calls_of(response)[0], output), tools=[TOOL])
    [block] = provider.last["messages"][-1]["content"]
    assert [one["type"] for one in block["content"]] == ["text", "image", "image", "document"]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "function", "name": "get_time"}, None, {"type": "tool", "name": "get_time"}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_time"}]},
            None,
            {"type": "auto"},
        ),
    ],
)
def test_choice_of_tools_is_kept(
    client: openai.OpenAI, provider: AnthropicProvider, choice: Any, parallel: bool | None, expected: Any
) -> None:
    provider.plays(HELLO)
    more = {} if parallel is None else {"parallel_tool_calls": parallel}
    ask(client, False, tools=[TOOL, TIME], tool_choice=choice, **more)
    assert provider.last["tool_choice"] == expected


@both
def test_custom_tool_takes_text(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(Answered((Called("toolu_01F", "patch", {"input": 'say "hi"\n'}),), "tool_use"), HELLO)
    tool: Any = {"type": "custom", "name": "patch", "description": "Edits."}
    response = ask(client, stream, tools=[tool])
    [call] = response.output
    assert (call.type, call.name, call.input, call.call_id) == ("custom_tool_call", "patch", 'say "hi"\n', "toolu_01F")
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "ok"}
    ask(client, stream, user("Hello"), *back(response), output, tools=[tool])
    assert provider.last["messages"][1]["content"][0]["input"] == {"input": 'say "hi"\n'}


def test_strict_tool_gets_a_schema_that_is_taken(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=[{**TOOL, "strict": True}])
    [tool] = provider.last["tools"]
    assert (tool["strict"], tool["input_schema"]["additionalProperties"]) == (True, False)


def test_tools_that_openai_runs_are_refused(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    with pytest.raises(openai.BadRequestError, match="code_interpreter"):
        ask(client, False, tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])


def test_tokens_are_counted_by_the_provider(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(Counted(42))
    counted = client.responses.input_tokens.count(model=ADAPTIVE, input="Hello", instructions="Be kind.", tools=[TOOL])
    assert counted.input_tokens == 42
    assert (provider.last["system"], len(provider.last["tools"])) == ("Be kind.", 1)


# Media and formats


def test_images_and_documents_are_seen(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(
        client,
        False,
        user(
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "https://images.test/a.png", "detail": "high"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"},
            {"type": "input_file", "file_url": "https://files.test/b.pdf"},
        ),
    )
    sources = [block.get("source") for block in provider.last["messages"][0]["content"]]
    assert sources == [
        None,
        {"type": "url", "url": "https://images.test/a.png"},
        {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
        {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64},
        {"type": "url", "url": "https://files.test/b.pdf"},
    ]


@pytest.mark.parametrize("part", [{"type": "input_image", "file_id": "file-1"}, {"type": "input_file", "file_id": "f"}])
def test_files_that_openai_keeps_are_refused(client: openai.OpenAI, provider: AnthropicProvider, part: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="uploaded"):
        ask(client, False, user(part))


class Event(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    people: list[str]


@both
def test_structured_output_is_parsed(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(Answered((Said('{"name": "Fair", "people": ["Ann", "Bob"]}'),)))
    asked: Any = {"model": ADAPTIVE, "input": "Who goes?", "text_format": Event}
    if stream:
        with client.responses.stream(**asked) as events:
            parsed = events.get_final_response().output_parsed
    else:
        parsed = client.responses.parse(**asked).output_parsed
    assert parsed == Event(name="Fair", people=["Ann", "Bob"])
    assert provider.last["output_config"]["format"]["type"] == "json_schema"


@both
def test_tool_arguments_are_parsed(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """``parse`` with a tool made from a model of pydantic's."""
    provider.plays(Answered((Called("toolu_01G", "Event", {"name": "Fair", "people": []}),), "tool_use"))
    asked: Any = {
        "model": ADAPTIVE,
        "input": "Hello",
        "tools": [openai.pydantic_function_tool(Event)["function"] | {"type": "function"}],
    }
    if stream:
        with client.responses.stream(**asked) as events:
            response: Any = events.get_final_response()
    else:
        response = client.responses.parse(**asked)
    assert json.loads(response.output[0].arguments) == {"name": "Fair", "people": []}


def test_any_json_is_asked_for_in_words(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    assert ask(client, False, text={"format": {"type": "json_object"}}).output_text == "{}"
    assert "JSON" in json.dumps(provider.last["system"])


# Thinking


@both
@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE, NEWEST])
def test_thinking_goes_on_in_the_next_turn(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool, model: str
) -> None:
    """The provider gets its signatures back unchanged, in their order; a program sees what may be read."""
    provider.plays(THINKING, HELLO)
    fields: Any = {
        "tools": [TOOL],
        "model": model,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    response = ask(client, stream, user("The weather?"), **fields)
    first, second, call = response.output
    assert (first.type, second.type, call.type) == ("reasoning", "reasoning", "function_call")
    assert [part.text for part in first.summary] == ["They want the weather, so I have to look."]
    assert second.summary == []
    ask(client, stream, user("The weather?"), *back(response), result(call), **fields)
    expected = [block.block() for block in THINKING.blocks]
    del expected[2]["caller"]
    assert provider.last["messages"][1]["content"] == expected
    thinking = provider.last["thinking"]
    assert thinking["type"] == ("enabled" if model == BUDGETED else "adaptive")
    assert thinking["display"] == "summarized"
    if model != BUDGETED:
        assert provider.last["output_config"]["effort"] == "high"


def test_thinking_streams_as_a_summary(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(THINKING)
    events: list[Any] = list(
        client.responses.create(model=ADAPTIVE, input="Hello", tools=[TOOL], stream=True, reasoning={"effort": "low"})
    )
    deltas = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == "They want the weather, so I have to look."


@both
def test_hidden_thinking_comes_back_too(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """Newer models sign thoughts that they do not show."""
    hidden = Answered((Thought("", "EhIDDEN=="), Said("Hm."), Redacted("EreDACTED=="), Said("Yes.")))
    provider.plays(hidden, HELLO)
    response = ask(client, stream, model=NEWEST)
    assert response.output_text == "Hm.Yes."
    ask(client, stream, user("Hello"), *back(response), user("And?"), model=NEWEST)
    assert provider.last["messages"][1]["content"] == [block.block() for block in hidden.blocks]


def test_thinking_can_be_turned_off(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    for model, expected in ((ADAPTIVE, "disabled"), (NEWEST, "between_tools")):
        provider.plays(HELLO)
        ask(client, False, reasoning={"effort": "none"}, model=model)
        assert provider.last["thinking"] == {"type": expected}


# Limits, endings, errors


def test_limits_and_sampling_are_kept(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO, HELLO)
    ask(client, False, max_output_tokens=50, temperature=0.3, safety_identifier="u-1")
    assert (provider.last["max_tokens"], provider.last["temperature"]) == (50, 0.3)
    assert provider.last["metadata"] == {"user_id": "u-1"}
    ask(client, False, top_p=0.5, model=BUDGETED)
    assert provider.last["top_p"] == 0.5


@both
@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answered((Said("Done."),), "end_turn"), "completed", None),
        (Answered((Said("Done"),), "stop_sequence", stop_sequence="END"), "completed", None),
        (Answered((Said("It goes"),), "max_tokens"), "incomplete", "max_output_tokens"),
        (Answered((Said("It goes"),), "model_context_window_exceeded"), "incomplete", "max_output_tokens"),
        (Answered((Called("toolu_01H", "get_time", {}),), "tool_use"), "completed", None),
        (Answered((Said("Searching"), Found("x")), "pause_turn"), "completed", None),
        (Answered((Said("I"),), "refusal"), "incomplete", "content_filter"),
        (Answered((), "end_turn"), "completed", None),
    ],
    ids=lambda value: value if isinstance(value, str) or value is None else value.stop_reason,
)
def test_every_end_has_its_status(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool, answer: Answered, status: str, reason: str | None
) -> None:
    provider.plays(answer)
    asked: Any = {"model": ADAPTIVE, "input": "Hello", "tools": [TIME]}
    if stream:
        last: Any = list(client.responses.create(**asked, stream=True))[-1]
        assert last.type == f"response.{status}"
        response = last.response
    else:
        response = client.responses.create(**asked)
    assert response.status == status
    assert (response.incomplete_details and response.incomplete_details.reason) == reason


CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
    529: openai.InternalServerError,
}


@both
@pytest.mark.parametrize(("status", "kind", "message"), ERRORS)
def test_errors_are_the_sdks_own(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool, status: int, kind: str, message: str
) -> None:
    provider.plays(Failing(status, kind, message, {"retry-after": "3"}))
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, stream)
    error = caught.value
    assert message in str(error)
    billing = status == 402 or "credit" in message
    assert isinstance(error, openai.RateLimitError if billing else CLASSES.get(status, openai.APIStatusError))
    assert error.code == "insufficient_quota" if billing else error.code != "insufficient_quota"
    assert error.response.headers["retry-after"] == "3"
    assert error.response.headers["request-id"].startswith("req_")
    if "too long" in message:
        assert error.code == "context_length_exceeded"


@pytest.mark.parametrize("failing", [Failing(529, "overloaded_error", "Overloaded"), None], ids=["told", "cut"])
def test_error_in_mid_stream_is_raised(
    client: openai.OpenAI, provider: AnthropicProvider, failing: Failing | None
) -> None:
    provider.plays(Broken(HELLO, 5, failing))
    events = client.responses.create(model=ADAPTIVE, input="Hello", stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="Overloaded" if failing else "before its answer was whole"):
        seen.extend(events)
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta").startswith("Grüß Go")


def test_error_before_anything_is_an_error_with_a_status(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """The provider began its stream, and has said nothing in it yet."""
    provider.plays(Broken(HELLO, 0, Failing(529, "overloaded_error", "Overloaded")))
    with pytest.raises(openai.InternalServerError, match="Overloaded"):
        ask(client, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("include", ["message.output_text.logprobs"]),
        ("background", True),
    ],
)
def test_what_changes_the_answer_is_refused_by_name(
    client: openai.OpenAI, provider: AnthropicProvider, field: str, value: Any
) -> None:
    with pytest.raises(openai.BadRequestError, match=field):
        ask(client, False, **{field: value})


def test_hints_are_dropped_and_named(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    raw = client.responses.with_raw_response.create(
        model=ADAPTIVE,
        input="Hello",
        prompt_cache_key="k",
        text={"verbosity": "low"},
        service_tier="flex",
        metadata={"a": "b"},
        truncation="auto",
    )
    named = raw.headers["x-gw-dropped"].split(",")
    assert {"prompt_cache_key", "text.verbosity", "service_tier", "metadata", "truncation"} <= set(named)


@both
def test_citations_of_the_web_become_annotations(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool
) -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://weather.test/",
        "title": "Weather",
        "cited_text": "It rains.",
        "encrypted_index": "E==",
    }
    provider.plays(Answered((Said("It rains there.", (cited,)),)))
    [message] = ask(client, stream).output
    [note] = message.content[0].annotations
    assert (note.type, note.url, note.title) == ("url_citation", "https://weather.test/", "Weather")
