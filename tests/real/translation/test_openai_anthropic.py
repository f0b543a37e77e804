"""Anthropic's own SDK on providers that take only valid requests of Chat Completions or of the Responses API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pydantic
import pytest

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
from tests.real.validating.files import PDF_BASE64, PNG_BASE64
from tests.real.validating.openai_answers import (
    Answered,
    Broken,
    Called,
    Cited,
    Counted,
    Failing,
    Ran,
    Refusing,
    Said,
    Thought,
)
from tests.real.validating.openai_models import NEWEST, PLAIN, REASONING
from tests.real.validating.openai_provider import OpenAIProvider

PLACE = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "minLength": 2},
        "days": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["location"],
}
WEATHER_TOOL: Any = {"name": "get_weather", "description": "Tells the weather.", "input_schema": PLACE}
TIME_TOOL: Any = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
TOOLS = [WEATHER_TOOL, TIME_TOOL]
MARK = {"cache_control": {"type": "ephemeral"}}

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
def clients(running: Scene) -> Iterator[dict[str, anthropic.Anthropic]]:
    """By virtual key."""
    made = {
        key: anthropic.Anthropic(base_url=running.gateway.url, api_key=key, max_retries=0)
        for key in (CHAT, RESPONSES, BOTH, DEEPSEEK, OPENROUTER, GOOGLE)
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def client(clients: dict[str, anthropic.Anthropic], key: str) -> anthropic.Anthropic:
    return clients[key]


def user(*content: Any) -> Any:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def ask(client: anthropic.Anthropic, stream: bool, *messages: Any, model: str | None = None, **fields: Any) -> Any:
    """
    :param model: the one that the client's provider is asked for mostly, if none is named.
    :return: the message, whole or as the stream helper has put it together.
    """
    asked: Any = {
        "model": model or MODEL.get(client.api_key or "", PLAIN),
        "max_tokens": 1000,
        "messages": list(messages) or [user("Hello")],
        **fields,
    }
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def sent(provider: OpenAIProvider) -> list[dict[str, Any]]:
    """The messages, or items, of the last request."""
    last = provider.last
    messages: list[dict[str, Any]] = last["messages"] if "messages" in last else last["input"]
    return messages


def back(message: Any) -> Any:
    """An answer as programs send it back with their next request."""
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


def result(call: Any, content: Any = "18 degrees", **more: Any) -> Any:
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# Text


@both
@apis
def test_text_and_usage_are_the_providers(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, stream: bool
) -> None:
    provider.plays(HELLO)
    message = ask(client, stream)
    assert text_of(message) == "Grüß Gott, wie geht es Ihnen?"
    assert (message.stop_reason, message.stop_sequence, message.model) == ("end_turn", None, MODEL[key])
    usage = message.usage
    # Anthropic counts what was read from the cache apart.
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (26, 30, 17)
    assert usage.output_tokens_details.thinking_tokens == 6
    limit = "max_completion_tokens" if key == CHAT else "max_output_tokens"
    assert provider.last[limit] == 1000
    assert len(sent(provider)) == 1


@apis
def test_deltas_come_as_the_provider_sends_them(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    with client.messages.stream(
        model=MODEL[client.api_key or ""], max_tokens=99, messages=[{"role": "user", "content": "Hello"}]
    ) as stream:
        assert list(stream.text_stream) == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]


@apis
def test_asynchronous_client_gets_streams_too(running: Scene, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO, HELLO)

    async def converse() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=running.gateway.url, api_key=key, max_retries=0) as client:
            asked: Any = {"model": MODEL[key], "max_tokens": 99, "messages": [user("Hello")]}
            whole = await client.messages.create(**asked)
            async with client.messages.stream(**asked) as stream:
                return text_of(whole), await stream.get_final_text()

    whole, streamed = asyncio.run(converse())
    assert whole == streamed == "Grüß Gott, wie geht es Ihnen?"


@pytest.mark.parametrize(
    "system",
    ["Be kind.", [{"type": "text", "text": "Be kind."}], [{"type": "text", "text": "Be kind.", **MARK}]],
    ids=["text", "block", "marked"],
)
@apis
def test_system_prompt_comes_first(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, system: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, system=system)
    if key == CHAT:
        assert sent(provider)[0] == {"role": "system", "content": "Be kind."}
    elif "instructions" in provider.last:
        assert provider.last["instructions"] == "Be kind."
    else:
        first = sent(provider)[0]
        assert (first["role"], first["content"][0]["text"]) == ("system", "Be kind.")


@apis
def test_conversation_keeps_its_order(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    turns = [
        user("A"),
        {"role": "assistant", "content": "B"},
        user({"type": "text", "text": "C"}, {"type": "text", "text": "D"}),
    ]
    ask(client, False, *turns, {"role": "assistant", "content": [{"type": "text", "text": "E"}]}, user("F"))
    assert [message["role"] for message in sent(provider)] == ["user", "assistant", "user", "assistant", "user"]
    said = json.dumps(sent(provider))
    assert [said.index(f'"{letter}') for letter in "ABCEF"] == sorted(said.index(f'"{letter}') for letter in "ABCEF")


@pytest.mark.parametrize("key", [CHAT])
def test_stop_sequences_are_passed_on(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, stop_sequences=["END", "\n\n"])
    assert provider.last["stop"] == ["END", "\n\n"]


@pytest.mark.parametrize(
    ("key", "fields", "named"),
    [
        (CHAT, {"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop"),
        (RESPONSES, {"stop_sequences": ["a"]}, "stop"),
        (CHAT, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        (RESPONSES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(
    client: anthropic.Anthropic, provider: OpenAIProvider, fields: Any, named: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=named) as caught:
        ask(client, False, **fields)
    assert caught.value.response.headers["x-gw-error"] == "unsupported_field"
    assert not provider.requests


@apis
def test_hint_of_sampling_is_left_out_and_named(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str
) -> None:
    provider.plays(HELLO)
    raw = client.messages.with_raw_response.create(
        model=MODEL[key], max_tokens=99, messages=[{"role": "user", "content": "Hello"}], extra_body={"top_k": 5}
    )
    assert "top_k" in raw.headers["x-gw-dropped"]
    assert "top_k" not in provider.last


@apis
def test_sampling_is_passed_on(client: anthropic.Anthropic, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO)
    ask(client, False, model=PLAIN, extra_body={"temperature": 0.5, "top_p": 0.9})
    assert (provider.last["temperature"], provider.last["top_p"]) == (0.5, 0.9)


@apis
def test_sampling_is_left_to_models_that_reason(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """OpenAI refuses it there; without it the answer is of the same kind, and the loss is told."""
    provider.plays(HELLO)
    raw = client.messages.with_raw_response.create(
        model=NEWEST,
        max_tokens=99,
        messages=[{"role": "user", "content": "Hello"}],
        extra_body={"temperature": 0.5, "top_p": 1},
    )
    assert provider.last.keys().isdisjoint({"temperature", "top_p"})
    assert raw.headers["x-gw-dropped"] == "temperature"


@pytest.mark.parametrize("user_id", ["u-1", "user_" + "0123456789abcdef" * 8])
@apis
def test_user_is_named_in_the_length_that_is_allowed(
    client: anthropic.Anthropic, provider: OpenAIProvider, user_id: str
) -> None:
    provider.plays(HELLO)
    ask(client, False, metadata={"user_id": user_id})
    named = provider.last.get("safety_identifier") or provider.last["user"]
    assert len(named) <= 64
    assert (named == user_id) == (len(user_id) <= 64)


# Tools


@both
@apis
def test_tool_is_called_and_its_result_used(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, stream: bool
) -> None:
    provider.plays(WEATHER, HELLO)
    message = ask(client, stream, tools=TOOLS)
    said, call = message.content
    assert said.text == "I look."
    assert (call.type, call.id, call.name) == ("tool_use", "call_01A", "get_weather")
    assert call.input == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    assert message.stop_reason == "tool_use"
    tools = provider.last["tools"]
    assert [(tool if key == RESPONSES else tool["function"])["name"] for tool in tools] == ["get_weather", "get_time"]
    assert (tools[0] if key == RESPONSES else tools[0]["function"])["parameters"] == PLACE

    answer = ask(client, stream, user("Hello"), back(message), user(result(call)), tools=TOOLS)
    assert text_of(answer) == "Grüß Gott, wie geht es Ihnen?"
    last = sent(provider)[-1]
    assert (last.get("tool_call_id") or last["call_id"]) == "call_01A"
    assert (last.get("content") or last["output"]) == "18 degrees"


@both
@apis
def test_parallel_calls_and_their_results_stay_together(
    client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(PARALLEL, HELLO)
    message = ask(client, stream, tools=TOOLS)
    assert [(call.id, call.name, call.input) for call in message.content] == [
        ("call_01B", "get_weather", {"location": "Paris"}),
        ("call_01C", "get_time", {}),
        ("call_01D", "get_weather", {"location": "Rome"}),
    ]
    results = [result(call, f"result {at}") for at, call in enumerate(reversed(message.content))]
    ask(client, stream, user("Hello"), back(message), user(*results, {"type": "text", "text": "Now?"}), tools=TOOLS)
    answered = [
        (item.get("tool_call_id") or item["call_id"], item.get("content") or item["output"])
        for item in sent(provider)
        if item.get("role") == "tool" or item.get("type") == "function_call_output"
    ]
    assert answered == [("call_01D", "result 0"), ("call_01C", "result 1"), ("call_01B", "result 2")]
    assert "Now?" in json.dumps(sent(provider)[-1])


@both
@pytest.mark.parametrize("key", [CHAT])
def test_fragments_of_calls_that_come_in_turns_are_sorted(
    client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool
) -> None:
    """Some providers mix them up; Anthropic's stream has one block after the other."""
    provider.plays(Answered(PARALLEL.blocks, mixed=True))
    message = ask(client, stream, tools=TOOLS)
    assert [call.input for call in message.content] == [{"location": "Paris"}, {}, {"location": "Rome"}]


@apis
def test_arguments_come_in_fragments(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER)
    events: Any = client.messages.create(
        model=MODEL[client.api_key or ""],
        max_tokens=99,
        messages=[{"role": "user", "content": "Hello"}],
        tools=TOOLS,
        stream=True,
    )
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    fragments = [delta.partial_json for delta in deltas if delta.type == "input_json_delta"]
    assert len(fragments) > 3
    assert json.loads("".join(fragments)) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}


@pytest.mark.parametrize(
    ("choice", "chat", "response"),
    [
        ({"type": "auto"}, "auto", "auto"),
        ({"type": "any"}, "required", "required"),
        ({"type": "none"}, "none", "none"),
        (
            {"type": "tool", "name": "get_time"},
            {"type": "function", "function": {"name": "get_time"}},
            {"type": "function", "name": "get_time"},
        ),
    ],
    ids=["auto", "any", "none", "tool"],
)
@apis
def test_choice_of_tools_is_passed_on(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, choice: Any, chat: Any, response: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=TOOLS, tool_choice=choice)
    assert provider.last["tool_choice"] == (chat if key == CHAT else response)


@apis
def test_one_call_at_a_time_is_passed_on(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert provider.last["parallel_tool_calls"] is False


@apis
def test_result_is_an_image(client: anthropic.Anthropic, provider: OpenAIProvider, key: str) -> None:
    """Chat Completions has no images in results: they follow in the next message, where the model sees them."""
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=TOOLS)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}}
    content = [{"type": "text", "text": "A picture:"}, image]
    ask(client, False, user("Hello"), back(message), user(result(message.content[1], content)), tools=TOOLS)
    if key == RESPONSES:
        [text, shown] = sent(provider)[-1]["output"]
        assert (text["text"], shown["image_url"]) == ("A picture:", PNG_URL)
    else:
        answered, shown = sent(provider)[-2:]
        assert (answered["role"], answered["tool_call_id"]) == ("tool", "call_01A")
        assert shown["role"] == "user"
        assert shown["content"][-1]["image_url"]["url"] == PNG_URL


@apis
def test_result_is_an_error(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """OpenAI has no field for it: the model is told in words."""
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=TOOLS)
    failed = result(message.content[1], "No such city.", is_error=True)
    ask(client, False, user("Hello"), back(message), user(failed), tools=TOOLS)
    said = json.dumps(sent(provider)[-1])
    assert "No such city." in said
    assert "fail" in said.lower() or "error" in said.lower()


@apis
def test_empty_result_is_a_result(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=TOOLS)
    answered = {"type": "tool_result", "tool_use_id": "call_01A"}
    ask(client, False, user("Hello"), back(message), user(answered), tools=TOOLS)
    last = sent(provider)[-1]
    assert last.get("content", last.get("output")) == ""


@apis
def test_calls_that_another_provider_made_go_on(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """A conversation that began with Anthropic, with its ids; a longer one than OpenAI takes is shortened."""
    provider.plays(HELLO)
    long = "toolu_" + "vrtx_0123456789abcdef" * 5
    calls = [
        {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "get_time", "input": {}},
        {"type": "tool_use", "id": long, "name": "get_time", "input": {}},
    ]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "noon"} for call in calls]
    ask(client, False, user("Hello"), {"role": "assistant", "content": calls}, user(*results), tools=TOOLS)
    ids = [item.get("tool_call_id") or item.get("call_id") for item in sent(provider)[-2:]]
    assert ids[0] == "toolu_01A09q90qw90lq917835lq9"
    assert len(set(ids)) == 2


# What is not text


@apis
def test_images_are_seen(client: anthropic.Anthropic, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO)
    sources = [
        {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
        {"type": "url", "url": "https://images.test/a.png"},
    ]
    ask(client, False, user({"type": "text", "text": "Look:"}, *({"type": "image", "source": one} for one in sources)))
    [_, *images] = sent(provider)[0]["content"]
    urls = [image["image_url"] if key == RESPONSES else image["image_url"]["url"] for image in images]
    assert urls == [PNG_URL, "https://images.test/a.png"]


@apis
def test_pdf_is_read(client: anthropic.Anthropic, provider: OpenAIProvider, key: str) -> None:
    provider.plays(HELLO)
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64}
    ask(
        client, False, user({"type": "document", "source": source, "title": "a.pdf"}, {"type": "text", "text": "Read."})
    )
    [file, _] = sent(provider)[0]["content"]
    assert (file if key == RESPONSES else file["file"])["file_data"] == PDF_URL
    assert (file if key == RESPONSES else file["file"])["filename"] == "a.pdf"


@apis
def test_text_documents_are_read(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    source = {"type": "text", "media_type": "text/plain", "data": "Grüße"}
    ask(client, False, user({"type": "document", "source": source}, {"type": "text", "text": "Read."}))
    said = json.dumps(sent(provider), ensure_ascii=False)
    assert "Grüße" in said or base64.b64encode("Grüße".encode()).decode() in said


def test_provider_with_both_apis_is_asked_in_the_one_that_reasons(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider
) -> None:
    """Its newest models call no tools in Chat Completions while they reason."""
    provider.plays(REASONED, HELLO)
    assert ask(clients[BOTH], False, model=NEWEST, tools=TOOLS).stop_reason == "tool_use"
    assert "input" in provider.last
    assert ask(clients[BOTH], False, model=PLAIN, stop_sequences=["END"])
    assert "messages" in provider.last


def test_tools_are_called_without_reasoning_where_there_is_only_chat(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider
) -> None:
    provider.plays(WEATHER)
    message = ask(
        clients[CHAT], False, model=NEWEST, tools=TOOLS, thinking={"type": "adaptive"}, output_config={"effort": "high"}
    )
    assert message.stop_reason == "tool_use"
    assert provider.last["reasoning_effort"] == "none"


def test_pdf_by_url_is_read_where_files_have_urls(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider
) -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://files.test/a.pdf"}}
    provider.plays(HELLO)
    ask(clients[RESPONSES], False, user(document, {"type": "text", "text": "Read."}))
    assert sent(provider)[0]["content"][0]["file_url"] == "https://files.test/a.pdf"
    with pytest.raises(anthropic.BadRequestError, match="by URL"):
        ask(clients[CHAT], False, user(document))


# Structured output


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str = pydantic.Field(description="The first.")
    age: int | None
    tags: list[str]


@apis
def test_structured_output_is_parsed(client: anthropic.Anthropic, provider: OpenAIProvider, key: str) -> None:
    provider.plays(Answered((Said('{"name": "Ada", "age": 36, "tags": ["x"]}'),)))
    parsed = client.messages.parse(
        model=MODEL[key],
        max_tokens=99,
        messages=[{"role": "user", "content": "Who?"}],
        output_format=Person,
    )
    assert parsed.parsed_output == Person(name="Ada", age=36, tags=["x"])
    form = provider.last["response_format"]["json_schema"] if key == CHAT else provider.last["text"]["format"]
    assert form["schema"]["required"] == ["name", "age", "tags"]
    # Anthropic binds the answer to the schema, so OpenAI has to.
    assert form["strict"] is True


@apis
def test_schema_that_openai_cannot_enforce_is_sent_all_the_same(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str
) -> None:
    """Anthropic allows fields that may be missing; OpenAI enforces no such schema, and the loss is told."""
    provider.plays(HELLO)
    schema = {**PLACE, "additionalProperties": False}
    raw = client.messages.with_raw_response.create(
        model=MODEL[key],
        max_tokens=99,
        messages=[{"role": "user", "content": "Where?"}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    form = provider.last["response_format"]["json_schema"] if key == CHAT else provider.last["text"]["format"]
    assert form["schema"] == schema
    assert form.get("strict") is not True
    assert "output_config.format" in raw.headers["x-gw-dropped"].split(",")


# Thinking


@both
def test_thinking_goes_on_over_two_turns(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    """The Responses API seals it; what was sealed comes back as it was, and in its place."""
    provider.plays(REASONED, HELLO)
    asked: Any = {"tools": TOOLS, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    message = ask(clients[RESPONSES], stream, **asked)
    thought, call = message.content
    assert (thought.type, thought.thinking) == ("thinking", "They want the weather, so I have to look.")
    assert thought.signature
    assert provider.last["reasoning"]["effort"] == "high"
    assert provider.last["include"] == ["reasoning.encrypted_content"]

    ask(clients[RESPONSES], stream, user("Hello"), back(message), user(result(call)), **asked)
    kinds = [item.get("type", item.get("role")) for item in sent(provider)]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    reasoning = sent(provider)[1]
    assert (reasoning["id"], reasoning["encrypted_content"]) == ("rs_01", "gAAAAABqQ+/0==")


@both
def test_thinking_that_nobody_may_read_goes_on_too(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    hidden = Answered((Thought("", "gHidden"), Said("So."), Thought("", "gMore", "rs_02"), *PARALLEL.blocks))
    provider.plays(hidden, HELLO)
    message = ask(clients[RESPONSES], stream, tools=TOOLS)
    results = [result(block) for block in message.content if block.type == "tool_use"]
    ask(clients[RESPONSES], stream, user("Hello"), back(message), user(*results), tools=TOOLS)
    seals = [item["encrypted_content"] for item in sent(provider) if item.get("type") == "reasoning"]
    assert seals == ["gHidden", "gMore"]


@both
def test_thinking_of_openrouter_goes_on(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    answer = Answered((Thought("Hm, the weather.", "ErUB+sig"), Thought("", "gSealed"), *WEATHER.blocks))
    provider.plays(answer, HELLO)
    asked: Any = {"tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
    message = ask(clients[OPENROUTER], stream, **asked)
    assert [block.type for block in message.content][-2:] == ["text", "tool_use"]
    assert message.content[0].thinking == "Hm, the weather."
    ask(clients[OPENROUTER], stream, user("Hello"), back(message), user(result(message.content[-1])), **asked)
    assistant = sent(provider)[1]
    assert assistant["reasoning"] == "Hm, the weather."
    assert [detail.get("signature") or detail["data"] for detail in assistant["reasoning_details"]] == [
        "ErUB+sig",
        "gSealed",
    ]


@both
def test_thinking_of_deepseek_goes_on(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    """It signs nothing, and refuses calls without the thinking behind them."""
    provider.plays(Answered((Thought("Hm."), *WEATHER.blocks)), HELLO)
    message = ask(clients[DEEPSEEK], stream, tools=TOOLS)
    assert message.content[0].thinking == "Hm."
    ask(clients[DEEPSEEK], stream, user("Hello"), back(message), user(result(message.content[-1])), tools=TOOLS)
    assert sent(provider)[1]["reasoning_content"] == "Hm."


@both
def test_signature_of_googles_goes_on(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    """Google's interface of the dialect signs calls rather than thoughts, and wants that back."""
    provider.plays(SIGNED, HELLO)
    message = ask(clients[GOOGLE], stream, tools=TOOLS)
    results = [result(block) for block in message.content if block.type == "tool_use"]
    assert len(results) == 2
    assert text_of(ask(clients[GOOGLE], stream, user("Hello"), back(message), user(*results), tools=TOOLS))


def test_deepseek_goes_on_where_claude_left_off(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider
) -> None:
    provider.plays(HELLO)
    call = {"type": "tool_use", "id": "toolu_01", "name": "get_time", "input": {}}
    answered = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "noon"}
    system = [{"type": "text", "text": "Be kind.", **MARK}, {"type": "text", "text": "Be brief."}]
    messages = [user("Hello"), {"role": "assistant", "content": [call]}, user(answered)]
    assert text_of(ask(clients[DEEPSEEK], False, *messages, tools=TOOLS, system=system))
    assert sent(provider)[0]["content"] == "Be kind.\n\nBe brief."


@apis
def test_thinking_that_another_provider_sealed_is_refused(
    client: anthropic.Anthropic, provider: OpenAIProvider
) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "ErUBCkYIBxgCIkDanthropic"}
    turn = {"role": "assistant", "content": [thought, {"type": "text", "text": "So."}]}
    with pytest.raises(anthropic.BadRequestError, match=r"only .* can read"):
        ask(client, False, user("Hello"), turn, user("And?"))


@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        (REASONING, {"type": "enabled", "budget_tokens": 1024}, "low"),
        (REASONING, {"type": "enabled", "budget_tokens": 9000}, "medium"),
        (NEWEST, {"type": "disabled"}, "none"),
        (NEWEST, {"type": "adaptive"}, None),
    ],
)
@apis
def test_budget_of_thinking_becomes_an_effort(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, model: str, thinking: Any, effort: str | None
) -> None:
    provider.plays(HELLO)
    ask(client, False, model=model, thinking=thinking, max_tokens=10_000)
    found = provider.last.get("reasoning_effort") if key == CHAT else provider.last.get("reasoning", {}).get("effort")
    assert found == effort


def test_summary_of_thinking_is_asked_for(clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(clients[RESPONSES], False, thinking={"type": "adaptive", "display": "summarized"})
    assert provider.last["reasoning"] == {"summary": "auto"}


# How answers end


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (Answered((Said("And so"),), "length"), "max_tokens", "And so"),
        (Answered((Said("And so"),), "content_filter"), "refusal", "And so"),
        (Answered((Refusing("I can't help with that."),)), "refusal", "I can't help with that."),
        (Answered(()), "end_turn", ""),
    ],
    ids=["length", "filter", "refusal", "nothing"],
)
@both
@apis
def test_reason_to_stop_is_the_providers(
    client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool, answer: Answered, reason: str, text: str
) -> None:
    provider.plays(answer)
    message = ask(client, stream)
    assert (message.stop_reason, text_of(message)) == (reason, text)


@both
@apis
def test_arguments_that_broke_off_are_told(client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool) -> None:
    """The limit came in the middle of a call: the SDK gets an object, and the reason."""
    provider.plays(Answered((Called("call_1", "get_weather", '{"location": "Zü'),), "length"))
    message = ask(client, stream, tools=TOOLS)
    assert message.stop_reason == "max_tokens"
    assert isinstance(message.content[0].input, dict)


@both
@apis
def test_citations_are_shown(client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said("It is so.", (Cited("https://a.test", "A page", 0, 5),)),)))
    [block] = ask(client, stream).content
    assert [(each.url, each.title) for each in block.citations] == [("https://a.test", "A page")]


@both
def test_what_the_provider_ran_itself_is_left_out(
    clients: dict[str, anthropic.Anthropic], provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(Answered((Ran("weather"), Said("Sunny."))))
    message = ask(clients[RESPONSES], stream)
    assert [block.type for block in message.content] == ["text"]


@both
@apis
def test_tokens_written_to_the_cache_are_counted(
    client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(Answered((Said("So."),), usage=Counted(100, 5, cached=20, written=30)))
    usage = ask(client, stream).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (50, 20, 30)


# Errors

CLASSES: dict[int, Any] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    413: anthropic.ContentTooLargeError,
    422: anthropic.BadRequestError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.OverloadedError,
    504: anthropic.DeadlineExceededError,
}


@apis
@pytest.mark.parametrize("failing", ERRORS, ids=[f"{each.status}-{each.code}" for each in ERRORS])
def test_errors_are_the_sdks_own(client: anthropic.Anthropic, provider: OpenAIProvider, failing: Failing) -> None:
    provider.plays(failing)
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, False)
    quota = failing.code == "insufficient_quota"
    assert type(caught.value) is (anthropic.PaymentRequiredError if quota else CLASSES[failing.status])
    assert failing.message.strip(".") in str(caught.value)
    assert caught.value.request_id == "req_8e7a4b"
    if failing.code == "context_length_exceeded":
        # The words that Claude Code looks for.
        assert "prompt is too long" in str(caught.value)


@both
@apis
def test_hint_when_to_come_back_is_kept(client: anthropic.Anthropic, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Failing(429, "Slow down.", "requests", "rate_limit_exceeded", headers={"retry-after": "7"}))
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(client, stream)
    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("failed", [False, True], ids=["error", "response.failed"])
@apis
def test_error_in_a_stream_is_raised(
    client: anthropic.Anthropic, provider: OpenAIProvider, key: str, failed: bool
) -> None:
    failing = Failing(500, "The model produced no output.", "server_error", "server_error")
    provider.plays(Broken(HELLO, 7, failing, failed))
    with pytest.raises(anthropic.APIStatusError, match="produced no output") as caught:
        ask(client, True)
    assert caught.value.body["error"]["type"] == "api_error"  # type: ignore[index]


@apis
def test_stream_that_breaks_off_is_an_error(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(Broken(HELLO, 7))
    with pytest.raises(anthropic.APIStatusError, match="before its answer was whole"):
        ask(client, True)


# Headers


@apis
def test_headers_of_anthropics_stay_here(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """The provider refuses them; its own id of the call comes back, and its account does not."""
    provider.plays(HELLO)
    raw = client.messages.with_raw_response.create(
        model=MODEL[client.api_key or ""],
        max_tokens=99,
        messages=[{"role": "user", "content": "Hello"}],
        extra_headers={"anthropic-beta": "context-1m-2025-08-07", "traceparent": "00-0af7-b7ad-01"},
    )
    assert raw.headers["x-request-id"] == "req_8e7a4b"
    assert raw.headers["content-type"] == "application/json"
    assert "openai-organization" not in raw.headers
    assert provider.seen.value("traceparent") == "00-0af7-b7ad-01"


@apis
def test_loss_of_a_hint_is_told(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    raw = client.messages.with_raw_response.create(
        model=MODEL[client.api_key or ""],
        max_tokens=99,
        system=[{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": "Hello"}],
    )
    assert "cache_control" in raw.headers["x-gw-dropped"]
