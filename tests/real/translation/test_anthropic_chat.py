"""OpenAI's own SDK, speaking Chat Completions, on a provider that takes only valid requests of the Messages API."""

from __future__ import annotations

import asyncio
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
from tests.real.validating.anthropic_answers import Answered, Broken, Called, Failing, Found, Redacted, Said, Thought
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
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": PLACE},
}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}

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
    return {
        "role": "user",
        "content": content[0] if len(content) == 1 and isinstance(content[0], str) else list(content),
    }


def ask(client: openai.OpenAI, stream: bool, *messages: Any, **fields: Any) -> Any:
    """
    :return: the completion, whole or as the stream helper has put it together.
    """
    asked = {"model": ADAPTIVE, "messages": list(messages or [user("Hello")]), **fields}
    if not stream:
        return client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        return events.get_final_completion()


def back(message: Any) -> Any:
    """An answer's message as programs send it back with their next request."""
    return message.model_dump(exclude_unset=True, exclude={"parsed"})


@both
def test_text_and_usage_are_the_providers(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(HELLO)
    completion = ask(client, stream)
    [choice] = completion.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Grüß Gott, wie geht es Ihnen?")
    assert (choice.finish_reason, completion.model, completion.object) == ("stop", ADAPTIVE, "chat.completion")
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.prompt_tokens_details.cached_tokens == COUNTED["cache_read_input_tokens"]
    assert usage.completion_tokens_details.reasoning_tokens == 6
    assert provider.last["messages"] == [{"role": "user", "content": "Hello"}]
    assert provider.last["max_tokens"] == MODELS[ADAPTIVE].max_tokens


def test_chunks_come_as_the_provider_sends_them(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """The role first, a chunk for each piece, the reason on its own, the usage last and only if it was asked for."""
    provider.plays(HELLO, HELLO)
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")], "stream": True}
    chunks: list[Any] = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "stop"]
    assert [(chunk.choices, chunk.usage.total_tokens) for chunk in chunks if chunk.usage] == [([], 73)]
    assert len({chunk.id for chunk in chunks}) == 1
    assert not any(chunk.usage for chunk in client.chat.completions.create(**asked))


def test_instructions_go_to_the_system_prompt(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    first = {"role": "system", "content": "You are kind."}
    second = {"role": "developer", "content": [{"type": "text", "text": "You are brief."}]}
    ask(client, False, first, second, user("Hello"))
    assert [block["text"] for block in provider.last["system"]] == ["You are kind.", "You are brief."]
    assert provider.last["messages"] == [user("Hello")]


@pytest.mark.parametrize("model", [ADAPTIVE, NEWEST])
def test_instructions_in_mid_conversation_stay_in_their_place(
    client: openai.OpenAI, provider: AnthropicProvider, model: str
) -> None:
    """As a message of the system's where the model takes one there, marked in the user's where it does not."""
    provider.plays(HELLO)
    said = {"role": "assistant", "content": "Yes?"}
    ask(client, False, user("Hello"), said, user("Go on"), {"role": "system", "content": "Now in French."}, model=model)
    assert "Now in French." in json.dumps(provider.last["messages"][-1])
    assert "system" not in provider.last
    expected = ["user", "assistant", "user", *(["system"] if model == NEWEST else [])]
    assert [message["role"] for message in provider.last["messages"]] == expected


def test_messages_in_any_order_become_turns(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """The assistant may begin, one side may speak twice, a message may say nothing."""
    provider.plays(HELLO)
    said = {"role": "assistant", "content": "Hi."}
    more = {"role": "assistant", "content": "What is it?"}
    ask(
        client,
        False,
        said,
        user("A"),
        user(" "),
        said,
        more,
        user("B"),
        user("C"),
        {"role": "assistant", "content": ""},
    )
    assert [message["role"] for message in provider.last["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE])
def test_conversation_may_end_with_the_assistant(
    client: openai.OpenAI, provider: AnthropicProvider, model: str
) -> None:
    provider.plays(HELLO)
    ask(client, False, user("Hello"), {"role": "assistant", "content": "Well, "}, model=model)
    assert provider.last["messages"][-1]["role"] == ("assistant" if model == BUDGETED else "user")


# Tools


@both
def test_tool_is_called_and_its_result_used(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(WEATHER, HELLO)
    question = user("The weather?")
    choice = ask(client, stream, question, tools=[TOOL]).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
    [call] = choice.message.tool_calls
    assert (call.id, call.type, call.function.name) == ("toolu_01A", "function", "get_weather")
    assert json.loads(call.function.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    [tool] = provider.last["tools"]
    assert (tool["name"], tool["description"], tool["input_schema"]) == ("get_weather", "Tells the weather.", PLACE)
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    assert ask(client, stream, question, back(choice.message), result, tools=[TOOL]).choices[0].finish_reason == "stop"
    _, called, answered = provider.last["messages"]
    assert [block["type"] for block in called["content"]] == ["text", "tool_use"]
    assert called["content"][1]["input"] == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "toolu_01A", "content": "18 degrees"}]


@both
def test_parallel_calls_and_their_results_in_any_order(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool
) -> None:
    provider.plays(PARALLEL, HELLO)
    message = ask(client, stream, tools=[TOOL, TIME]).choices[0].message
    calls = message.tool_calls
    assert [(call.id, call.function.name) for call in calls] == [
        ("toolu_01B", "get_weather"),
        ("toolu_01C", "get_time"),
        ("toolu_01D", "get_weather"),
    ]
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"location": "Paris"},
        {},
        {"location": "Rome"},
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.id} for call in reversed(calls)]
    ask(client, stream, user("Hello"), back(message), *results, user("So?"), tools=[TOOL, TIME])
    kinds = [block["type"] for block in provider.last["messages"][-1]["content"]]
    assert kinds == ["tool_result", "tool_result", "tool_result", "text"]


def test_arguments_come_in_fragments(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Every fragment as it came, under the index of its call; id and name with the first one."""
    provider.plays(PARALLEL)
    chunks = client.chat.completions.create(model=ADAPTIVE, messages=[user("Hello")], tools=[TOOL, TIME], stream=True)
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert [(each.index, each.id) for each in deltas if each.id] == [
        (0, "toolu_01B"),
        (1, "toolu_01C"),
        (2, "toolu_01D"),
    ]
    fragments = [each.function.arguments for each in deltas if each.index == 0 and each.function]
    assert [piece for piece in fragments if piece] == ['{"locat', 'ion": "', 'Paris"}']


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "get_time"}}, None, {"type": "tool", "name": "get_time"}),
    ],
)
def test_choice_of_tools_is_kept(
    client: openai.OpenAI, provider: AnthropicProvider, choice: Any, parallel: bool | None, expected: Any
) -> None:
    provider.plays(HELLO)
    fields = {"tool_choice": choice, "parallel_tool_calls": parallel}
    ask(client, False, tools=[TOOL, TIME], **{name: value for name, value in fields.items() if value is not None})
    assert provider.last["tool_choice"] == expected


@pytest.mark.parametrize(("mode", "expected"), [("auto", "auto"), ("required", "any")])
def test_choice_among_some_tools_leaves_the_others_out(
    client: openai.OpenAI, provider: AnthropicProvider, mode: str, expected: str
) -> None:
    provider.plays(HELLO)
    third: Any = {"type": "function", "function": {"name": "look"}}
    named = {"mode": mode, "tools": [{"type": "function", "function": {"name": name}} for name in ("look", "get_time")]}
    ask(client, False, tools=[TOOL, TIME, third], tool_choice={"type": "allowed_tools", "allowed_tools": named})
    assert [tool["name"] for tool in provider.last["tools"]] == ["get_time", "look"]
    assert provider.last["tool_choice"] == {"type": expected}


def test_forced_tool_on_a_model_without_is_refused(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    with pytest.raises(openai.BadRequestError, match="tool_choice"):
        ask(client, False, tools=[TOOL], tool_choice="required", model=NEWEST)


def test_strict_tool_gets_a_schema_that_is_taken(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=[{"type": "function", "function": {**TOOL["function"], "strict": True}}])
    [tool] = provider.last["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_schema_of_alternatives_is_taken(client: openai.OpenAI, provider: AnthropicProvider, keyword: str) -> None:
    """Tools of MCP servers have such schemas; here they are errors at the top."""
    provider.plays(HELLO)
    schema = {**PLACE, keyword: [{"required": ["location"]}, {"required": ["days"]}]}
    ask(client, False, tools=[{"type": "function", "function": {"name": "look", "parameters": schema}}])
    assert provider.last["tools"][0]["input_schema"]["properties"] == PLACE["properties"]


@both
def test_custom_tool_takes_text(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """A function with one text stands in for it; the caller sees its own tool called."""
    provider.plays(Answered((Called("toolu_01F", "patch", {"input": 'say "hi"\n'}),), "tool_use"), HELLO)
    tool: Any = {"type": "custom", "custom": {"name": "patch", "description": "Edits."}}
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")], "tools": [tool]}
    if stream:
        deltas = [
            call
            for chunk in client.chat.completions.create(**asked, stream=True)
            if chunk.choices
            for call in chunk.choices[0].delta.tool_calls or []
        ]
        customs: list[Any] = [each.to_dict().get("custom", {}) for each in deltas]
        name = "".join(each.get("name") or "" for each in customs)
        text = "".join(each.get("input") or "" for each in customs)
    else:
        [call] = client.chat.completions.create(**asked).choices[0].message.tool_calls
        name, text = call.custom.name, call.custom.input
    assert (name, text) == ("patch", 'say "hi"\n')
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "toolu_01F", "type": "custom", "custom": {"name": name, "input": text}}],
    }
    ask(
        client,
        False,
        user("Hello"),
        called,
        {"role": "tool", "tool_call_id": "toolu_01F", "content": "ok"},
        tools=[tool],
    )
    assert provider.last["messages"][1]["content"][0]["input"] == {"input": 'say "hi"\n'}


@both
def test_functions_of_old_work(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """``functions``, the forerunner of tools: called by name, with no id."""
    provider.plays(WEATHER, HELLO)
    old: Any = {"functions": [TOOL["function"]], "function_call": "auto"}
    choice = ask(client, stream, **old).choices[0]
    assert choice.finish_reason == "function_call"
    call = choice.message.function_call
    assert (call.name, json.loads(call.arguments)["days"]) == ("get_weather", [1, 2])
    called = {"role": "assistant", "content": None, "function_call": call.to_dict()}
    ask(client, stream, user("Hello"), called, {"role": "function", "name": "get_weather", "content": "18"}, **old)
    assert [block["type"] for block in provider.last["messages"][1]["content"]] == ["tool_use"]
    assert provider.last["messages"][2]["content"][0]["content"] == "18"


def test_tools_may_be_gone_when_their_results_come(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Programs leave them out to get an answer rather than another call."""
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=[TOOL]).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    ask(client, False, user("Hello"), back(message), result)
    assert provider.last["tool_choice"] == {"type": "none"}


def test_refusals_and_parts_of_the_assistant_go_back(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    refused = {"role": "assistant", "content": None, "refusal": "I will not."}
    parts = [{"type": "text", "text": "Nor"}, {"type": "refusal", "refusal": " this."}]
    ask(client, False, user("A"), refused, user("B"), {"role": "assistant", "content": parts}, user("C"))
    _, first, _, second, _ = provider.last["messages"]
    assert first["content"] == "I will not."
    assert [block["text"] for block in second["content"]] == ["Nor", " this."]


def test_result_may_be_empty_or_in_parts(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    calls = [{"id": name, "type": "function", "function": {"name": "get_time", "arguments": ""}} for name in ("a", "b")]
    parts = [{"type": "text", "text": "It is"}, {"type": "text", "text": "noon."}]
    results = [
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": parts},
    ]
    ask(client, False, user("Hello"), {"role": "assistant", "tool_calls": calls}, *results, tools=[TIME])
    assert [block["tool_use_id"] for block in provider.last["messages"][-1]["content"]] == ["a", "b"]


def test_ids_that_are_not_taken_there_are_replaced(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Conversations come from other providers, whose ids of calls have other letters, or are not unique."""
    provider.plays(HELLO)
    round_ = [
        {
            "role": "assistant",
            "tool_calls": [{"id": "call:1.a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call:1.a", "content": "noon"},
    ]
    ask(client, False, user("Hello"), *round_, *round_, tools=[TIME])
    ids = [block["tool_use_id"] for at in (2, 4) for block in provider.last["messages"][at]["content"]]
    assert len(set(ids)) == 2


def test_call_without_a_result_is_refused_with_its_place(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    with pytest.raises(openai.BadRequestError, match="has no result behind it") as caught:
        ask(client, False, user("Hello"), {"role": "assistant", "tool_calls": [called]}, user("So?"), tools=[TIME])
    assert caught.value.param == "messages[1].tool_calls[0]"


# Media and formats


def test_images_and_documents_are_seen(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    ask(
        client,
        False,
        user(
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://images.test/a.png", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_BASE64}"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"}},
        ),
    )
    text, linked, inline, document = provider.last["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert linked["source"] == {"type": "url", "url": "https://images.test/a.png"}
    assert inline["source"] == {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}
    assert document["source"] == {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64}
    assert document["title"] == "a.pdf"


def test_audio_is_refused(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    with pytest.raises(openai.BadRequestError, match="audio"):
        ask(client, False, user({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}))


class Event(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    people: list[str]


@both
def test_structured_output_is_parsed(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    provider.plays(Answered((Said('{"name": "Fair", "people": ["Ann", "Bob"]}'),)))
    asked: Any = {"model": ADAPTIVE, "messages": [user("Who goes?")], "response_format": Event}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            parsed = events.get_final_completion().choices[0].message.parsed
    else:
        parsed = client.chat.completions.parse(**asked).choices[0].message.parsed
    assert parsed == Event(name="Fair", people=["Ann", "Bob"])
    assert provider.last["output_config"]["format"]["type"] == "json_schema"


def test_any_json_is_asked_for_in_words(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    assert ask(client, False, response_format={"type": "json_object"}).choices[0].message.content == "{}"
    assert "JSON" in json.dumps(provider.last["system"])


@both
def test_tool_arguments_are_parsed(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """``parse`` with a tool made from a model of pydantic's."""
    provider.plays(Answered((Called("toolu_01G", "Event", {"name": "Fair", "people": []}),), "tool_use"))
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")], "tools": [openai.pydantic_function_tool(Event)]}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.parse(**asked).choices[0].message
    [call] = message.tool_calls or []
    assert call.function.parsed_arguments == Event(name="Fair", people=[])


# Thinking


@both
@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE, NEWEST])
def test_thinking_goes_on_in_the_next_turn(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool, model: str
) -> None:
    """The provider gets its signatures back unchanged, in their order; a program sees what may be read."""
    provider.plays(THINKING, HELLO)
    fields: Any = {"tools": [TOOL], "reasoning_effort": "high", "model": model}
    choice = ask(client, stream, user("The weather?"), **fields).choices[0]
    assert choice.message.reasoning_content == "They want the weather, so I have to look."
    [call] = choice.message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    ask(client, stream, user("The weather?"), back(choice.message), result, **fields)
    expected = [block.block() for block in THINKING.blocks]
    del expected[2]["caller"]
    assert provider.last["messages"][1]["content"] == expected
    assert provider.last.get("thinking", {"type": "adaptive"})["type"] == (
        "enabled" if model == BUDGETED else "adaptive"
    )
    if model != BUDGETED:
        assert provider.last["output_config"]["effort"] == "high"


@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE, NEWEST])
def test_program_need_not_send_thinking_back(client: openai.OpenAI, provider: AnthropicProvider, model: str) -> None:
    """Most programs send no more than OpenAI has fields for."""
    provider.plays(THINKING, HELLO)
    fields: Any = {"tools": [TOOL], "reasoning_effort": "high", "model": model}
    message = ask(client, False, user("The weather?"), **fields).choices[0].message
    [call] = message.tool_calls
    plain = {"role": "assistant", "content": message.content, "tool_calls": [call.to_dict()]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    ask(client, False, user("The weather?"), plain, result, **fields)
    assert [block["type"] for block in provider.last["messages"][1]["content"]] == ["tool_use"]


@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE, NEWEST])
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("limit", [1, 1024, 1025, 3000, 500_000])
def test_effort_never_makes_a_request_invalid(
    client: openai.OpenAI, provider: AnthropicProvider, model: str, effort: str, limit: int
) -> None:
    """Whatever room is left for an answer, and if a tool has to be called."""
    forced = model != NEWEST and limit == 3000
    provider.plays(HELLO)
    more: Any = {"tools": [TOOL], "tool_choice": "required"} if forced else {}
    ask(client, False, reasoning_effort=effort, max_completion_tokens=limit, model=model, **more)
    assert provider.last["max_tokens"] == min(limit, MODELS[model].max_tokens)


@both
def test_hidden_thinking_comes_back_too(client: openai.OpenAI, provider: AnthropicProvider, stream: bool) -> None:
    """Newer models sign thoughts that they do not show."""
    hidden = Answered((Thought("", "EhIDDEN=="), Said("Hm."), Redacted("EreDACTED=="), Said("Yes.")))
    provider.plays(hidden, HELLO)
    message = ask(client, stream, model=NEWEST).choices[0].message
    assert message.content == "Hm.Yes."
    ask(client, stream, user("Hello"), back(message), user("And?"), model=NEWEST)
    thoughts = [block for block in provider.last["messages"][1]["content"] if block["type"] != "text"]
    assert thoughts == [hidden.blocks[0].block(), hidden.blocks[2].block()]


def test_thinking_can_be_turned_off(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    for model, expected in ((ADAPTIVE, "disabled"), (NEWEST, "between_tools")):
        provider.plays(HELLO)
        ask(client, False, reasoning_effort="none", model=model)
        assert provider.last["thinking"] == {"type": expected}


# Limits, endings, errors


def test_limits_and_stop_sequences_are_kept(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO, HELLO)
    ask(client, False, max_completion_tokens=50, stop=["END", "\n\nHuman:"], temperature=0.3, user="u-1")
    sent = provider.last
    assert (sent["max_tokens"], sent["stop_sequences"]) == (50, ["END", "\n\nHuman:"])
    assert (sent["temperature"], sent["metadata"]) == (0.3, {"user_id": "u-1"})
    ask(client, False, max_tokens=60, stop="END", top_p=0.5, model=BUDGETED)
    assert (provider.last["max_tokens"], provider.last["stop_sequences"], provider.last["top_p"]) == (60, ["END"], 0.5)


@pytest.mark.parametrize("model", [BUDGETED, ADAPTIVE, NEWEST])
@pytest.mark.parametrize("effort", [None, "minimal", "low", "xhigh"])
def test_sampling_never_makes_a_request_invalid(
    client: openai.OpenAI, provider: AnthropicProvider, model: str, effort: str | None
) -> None:
    """Ranges differ, some models take none, and thinking forbids others."""
    provider.plays(HELLO)
    thinking: Any = {} if effort is None else {"reasoning_effort": effort}
    sampling: Any = {"temperature": 1.7, "top_p": 0.9}
    asked: Any = {"model": model, "messages": [user("Hello")], **sampling, **thinking}
    raw = client.chat.completions.with_raw_response.create(**asked)
    named = raw.headers["x-gw-dropped"].split(",")
    assert "temperature" in named or "top_p" in named


@both
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answered((Said("Done."),), "end_turn"), "stop"),
        (Answered((Said("Done"),), "stop_sequence", stop_sequence="END"), "stop"),
        (Answered((Said("It goes"),), "max_tokens"), "length"),
        (Answered((Said("It goes"),), "model_context_window_exceeded"), "length"),
        (Answered((Called("toolu_01H", "get_time", {}),), "tool_use"), "tool_calls"),
        (Answered((Said("Searching"), Found("x")), "pause_turn"), "stop"),
        (Answered((Said("I"),), "refusal"), "content_filter"),
        (Answered((), "end_turn"), "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.stop_reason,
)
def test_every_end_has_its_reason(
    client: openai.OpenAI, provider: AnthropicProvider, stream: bool, answer: Answered, reason: str
) -> None:
    """The stream helper itself raises for two of them: it cannot parse what is cut off."""
    provider.plays(answer)
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")], "tools": [TIME]}
    if stream:
        chunks = client.chat.completions.create(**asked, stream=True)
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        assert [each for each in reasons if each] == [reason]
    else:
        assert client.chat.completions.create(**asked).choices[0].finish_reason == reason


@pytest.mark.parametrize(
    ("reason", "error"),
    [("max_tokens", openai.LengthFinishReasonError), ("refusal", openai.ContentFilterFinishReasonError)],
)
def test_stream_helper_raises_where_nothing_can_be_parsed(
    client: openai.OpenAI, provider: AnthropicProvider, reason: str, error: type[Exception]
) -> None:
    provider.plays(Answered((Said('{"name": "Fa'),), reason))
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")], "response_format": Event}
    with pytest.raises(error), client.chat.completions.stream(**asked) as events:
        events.get_final_completion()


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


def test_error_in_mid_stream_is_raised(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(Broken(HELLO, 5, Failing(529, "overloaded_error", "Overloaded")), Broken(HELLO, 5))
    for complaint in ("Overloaded", "before its answer was whole"):
        chunks = client.chat.completions.create(model=ADAPTIVE, messages=[user("Hello")], stream=True)
        seen: list[Any] = []
        with pytest.raises(openai.APIError, match=complaint):
            seen.extend(chunks)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in seen).startswith("Grüß Go")


def test_error_before_anything_is_an_error_with_a_status(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """The provider began its stream, and has said nothing in it yet."""
    provider.plays(Broken(HELLO, 0, Failing(529, "overloaded_error", "Overloaded")))
    with pytest.raises(openai.InternalServerError, match="Overloaded"):
        ask(client, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"50256": -100}),
        ("n", 2),
        ("logprobs", True),
        ("seed", 5),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("modalities", ["text", "audio"]),
    ],
)
def test_what_changes_the_answer_is_refused_by_name(
    client: openai.OpenAI, provider: AnthropicProvider, field: str, value: Any
) -> None:
    with pytest.raises(openai.BadRequestError, match=field):
        ask(client, False, **{field: value})


def test_blank_stop_sequence_is_refused(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    with pytest.raises(openai.BadRequestError, match="stop"):
        ask(client, False, stop=["\n"])


def test_key_decides_about_what_anthropic_lacks(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Left out and named, refused even if it is only a hint, or sent as it came."""
    provider.plays(HELLO)
    asked: Any = {"model": ADAPTIVE, "messages": [user("Hello")]}
    lenient = client.with_options(api_key=f"{VIRTUAL_KEY}_drop").chat.completions.with_raw_response
    raw = lenient.create(**asked, seed=5, n=2, logit_bias={"5": 1}, prompt_cache_key="k")
    assert {"seed", "n", "logit_bias", "prompt_cache_key"} <= set(raw.headers["x-gw-dropped"].split(","))
    with pytest.raises(openai.BadRequestError, match="prompt_cache_key"):
        client.with_options(api_key=f"{VIRTUAL_KEY}_reject").chat.completions.create(**asked, prompt_cache_key="k")
    provider.plays(HELLO)
    with pytest.raises(openai.BadRequestError, match="seed: Extra inputs are not permitted"):
        client.with_options(api_key=f"{VIRTUAL_KEY}_pass").chat.completions.create(**asked, seed=5)
    assert provider.refusals.pop() == "seed: Extra inputs are not permitted"
    client.chat.completions.create(**asked)


def test_hints_are_dropped_and_named(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(HELLO)
    raw = client.chat.completions.with_raw_response.create(
        model=ADAPTIVE,
        messages=[user("Hello")],
        prompt_cache_key="k",
        verbosity="low",
        service_tier="flex",
        metadata={"a": "b"},
        store=False,
        safety_identifier="u-2",
    )
    named = raw.headers["x-gw-dropped"].split(",")
    assert {"prompt_cache_key", "verbosity", "service_tier", "metadata"} <= set(named)
    assert provider.last["metadata"] == {"user_id": "u-2"}


def test_citations_of_the_web_become_annotations(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://weather.test/",
        "title": "Weather",
        "cited_text": "It rains.",
        "encrypted_index": "E==",
    }
    for stream in (False, True):
        provider.plays(Answered((Said("It rains there.", (cited,)),)))
        message = ask(client, stream).choices[0].message
        assert message.content == "It rains there."
        assert json.dumps(message.to_dict()).count("https://weather.test/") == 1


def test_asynchronous_client_streams_side_by_side(running: Scene, provider: AnthropicProvider) -> None:
    provider.plays(*[HELLO] * 6)

    async def converse() -> list[Any]:
        async with openai.AsyncOpenAI(
            base_url=f"{running.gateway.url}/v1", api_key=VIRTUAL_KEY, max_retries=0
        ) as client:

            async def streamed() -> Any:
                async with client.chat.completions.stream(model=ADAPTIVE, messages=[user("Hello")]) as events:
                    return (await events.get_final_completion()).choices[0].message.content

            async def whole() -> Any:
                completion = await client.chat.completions.create(model=ADAPTIVE, messages=[user("Hello")])
                return completion.choices[0].message.content

            return list(await asyncio.gather(*[each() for each in 3 * (streamed, whole)]))

    assert asyncio.run(converse()) == ["Grüß Gott, wie geht es Ihnen?"] * 6
