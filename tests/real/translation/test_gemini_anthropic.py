"""Anthropic's own SDK, and Claude Code, on a provider that takes only valid requests of the Gemini API."""

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

from tests.core.translation.messages.test_claude_code import ASKED
from tests.real.client import Client
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
from tests.real.validating.gemini_answers import (
    Answered,
    Blocked,
    Broken,
    Called,
    Counted,
    Failing,
    Play,
    Ran,
    Said,
    Thought,
)
from tests.real.validating.gemini_models import BUDGETED, LEVELLED, NEWEST
from tests.real.validating.gemini_provider import GeminiProvider
from tests.real.validating.gemini_turns import SKIPPED

PLACE = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "location": {"type": "string", "minLength": 2},
        "days": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["location"],
    "additionalProperties": False,
}
TOOL: Any = {"name": "get_weather", "description": "Tells the weather.", "input_schema": PLACE}
TIME: Any = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
MARK = {"cache_control": {"type": "ephemeral"}}

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
def client(running: Scene) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=running.gateway.url, api_key=VIRTUAL_KEY, max_retries=0) as made:
        yield made


def user(*content: Any) -> Any:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def ask(client: anthropic.Anthropic, stream: bool, *messages: Any, **fields: Any) -> Any:
    """
    :return: the message, whole or as the stream helper has put it together.
    """
    asked: Any = {"model": NEWEST, "max_tokens": 1000, "messages": list(messages) or [user("Hello")], **fields}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def dropped(client: anthropic.Anthropic, **fields: Any) -> set[str]:
    """
    :return: what a request with these fields loses, as its answer says.
    """
    asked: Any = {"model": NEWEST, "max_tokens": 1000, "messages": [user("Hello")], **fields}
    named = client.messages.with_raw_response.create(**asked).headers.get("x-gw-dropped")
    return set(named.split(",")) if named else set()


def back(message: Any) -> Any:
    """An answer as programs send it back with their next request."""
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


def calls_of(message: Any) -> list[Any]:
    return [block for block in message.content if block.type == "tool_use"]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def result(call: Any, content: Any = "18 degrees", **more: Any) -> Any:
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **more}


@both
@every_model
def test_text_and_usage_are_the_providers(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(HELLO)
    message = ask(client, stream, model=model)
    assert text_of(message) == "Grüß Gott, wie geht es Ihnen?"
    assert (message.role, message.stop_reason, message.model) == ("assistant", "end_turn", model)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (26, 30, 17)
    assert provider.last == {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {"maxOutputTokens": 1000},
    }


def test_events_come_in_their_order(client: anthropic.Anthropic, provider: GeminiProvider) -> None:
    """Blocks numbered from 0, one closed before the next begins, a delta for each piece."""
    provider.plays(STEPS)
    asked: Any = {"model": NEWEST, "max_tokens": 99, "messages": [user("Hello")]}
    events: list[Any] = list(client.messages.create(**asked, stream=True))
    assert (events[0].type, events[-2].type, events[-1].type) == ("message_start", "message_delta", "message_stop")
    opened: list[int] = []
    for event in events[1:-2]:
        if event.type == "content_block_start":
            assert event.index == len(opened)
            opened.append(event.index)
        else:
            assert event.index == opened[-1]
    texts = [e.delta.text for e in events if e.type == "content_block_delta" and e.delta.type == "text_delta"]
    assert texts == ["It is 18 ", "degrees, ", "and it wi", "ll rain."]


def test_system_prompt_has_its_own_place(client: anthropic.Anthropic, provider: GeminiProvider) -> None:
    provider.plays(HELLO, HELLO)
    ask(client, False, system="You are kind.")
    assert provider.last["systemInstruction"] == {"parts": [{"text": "You are kind."}]}
    blocks = [{"type": "text", "text": "You are kind.", **MARK}, {"type": "text", "text": "You are brief."}]
    assert dropped(client, system=blocks) == {"system[].cache_control"}
    assert [part["text"] for part in provider.last["systemInstruction"]["parts"]] == ["You are kind.", "You are brief."]


@every_model
def test_answer_may_be_begun_where_the_model_goes_on(
    client: anthropic.Anthropic, provider: GeminiProvider, model: str
) -> None:
    provider.plays(HELLO)
    ask(client, False, user("Hello"), {"role": "assistant", "content": "Well,"}, model=model)
    roles = [content["role"] for content in provider.last["contents"]]
    assert roles == ["user", "model", *(["user"] if model == NEWEST else [])]


# Tools


@both
@every_model
def test_tool_is_called_and_its_result_used(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, model: str
) -> None:
    """What is said behind a result, as programs remind the model of something, is said behind it there too."""
    provider.plays(WEATHER, HELLO)
    message = ask(client, stream, user("The weather?"), tools=[TOOL], model=model)
    assert (message.stop_reason, text_of(message)) == ("tool_use", "I look.")
    [call] = calls_of(message)
    assert (call.id, call.name, call.input) == (
        "fc-1a",
        "get_weather",
        {"location": "Zürich \U0001f5fb", "days": [1, 2]},
    )
    [tool] = provider.last["tools"]
    expected = {"name": "get_weather", "description": "Tells the weather.", "parametersJsonSchema": PLACE}
    assert tool == {"functionDeclarations": [expected]}
    reminder = {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"}
    ask(client, stream, user("The weather?"), back(message), user(result(call), reminder), tools=[TOOL], model=model)
    _, called, answered, reminded = provider.last["contents"]
    assert called["parts"] == [part.part() for part in WEATHER.parts]
    response = {"id": "fc-1a", "name": "get_weather", "response": {"output": "18 degrees"}}
    assert answered == {"role": "user", "parts": [{"functionResponse": response}]}
    assert reminded["parts"] == [{"text": reminder["text"]}]


@both
@every_model
def test_parallel_calls_and_their_results_in_any_order(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(PARALLEL, HELLO)
    fields: Any = {"tools": [TOOL, TIME], "model": model}
    message = ask(client, stream, **fields)
    calls = calls_of(message)
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"location": "Paris"}),
        ("get_time", {}),
        ("get_weather", {"location": "Rome"}),
    ]
    assert len({call.id for call in calls}) == 3
    results = [result(call, json.dumps(call.input), is_error=call.name == "get_time") for call in reversed(calls)]
    ask(client, stream, user("Hello"), back(message), user(*results), **fields)
    *_, called, answered = provider.last["contents"]
    signatures = [part.get("thoughtSignature") for part in called["parts"]]
    assert signatures == ["CiQBVKhc7nR3byBjYWxscw==", None, None]
    assert [part["functionResponse"]["response"] for part in answered["parts"]] == [
        {"output": '{"location": "Paris"}'},
        {"error": "{}"},
        {"output": '{"location": "Rome"}'},
    ]


def test_arguments_come_as_json_deltas(client: anthropic.Anthropic, provider: GeminiProvider) -> None:
    provider.plays(PARALLEL)
    asked: Any = {"model": NEWEST, "max_tokens": 99, "messages": [user("Hello")], "tools": [TOOL, TIME]}
    said: dict[int, str] = {}
    for event in client.messages.create(**asked, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            said[event.index] = said.get(event.index, "") + event.delta.partial_json
    assert [json.loads(each or "{}") for each in said.values()] == [{"location": "Paris"}, {}, {"location": "Rome"}]


@both
def test_one_call_at_a_time(client: anthropic.Anthropic, provider: GeminiProvider, stream: bool) -> None:
    provider.plays(PARALLEL, HELLO)
    fields: Any = {"tools": [TOOL, TIME], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    message = ask(client, stream, **fields)
    [call] = calls_of(message)
    assert call.input == {"location": "Paris"}
    ask(client, stream, user("Hello"), back(message), user(result(call)), **fields)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"mode": "AUTO"}),
        ({"type": "none"}, {"mode": "NONE"}),
        ({"type": "any"}, {"mode": "ANY"}),
        ({"type": "tool", "name": "get_time"}, {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
    ],
    ids=["auto", "none", "any", "tool"],
)
def test_choice_of_tools_is_kept(
    client: anthropic.Anthropic, provider: GeminiProvider, choice: Any, expected: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=[TOOL, TIME], tool_choice=choice)
    assert provider.last["toolConfig"]["functionCallingConfig"] == expected


@every_model
def test_results_may_have_pictures_and_documents(
    client: anthropic.Anthropic, provider: GeminiProvider, model: str
) -> None:
    provider.plays(WEATHER, HELLO)
    message = ask(client, False, tools=[TOOL], model=model)
    content = [
        {"type": "text", "text": "See."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64}},
        {"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}},
    ]
    [call] = calls_of(message)
    ask(client, False, user("Hello"), back(message), user(result(call, content)), tools=[TOOL], model=model)
    *_, answered, pictures = provider.last["contents"]
    [part] = answered["parts"]
    assert part["functionResponse"]["response"] == {"output": "See."}
    kinds = [next(iter(each)) for each in (*part["functionResponse"].get("parts", ()), *pictures["parts"])]
    assert kinds == ["inlineData", "inlineData", "fileData"]


@every_model
def test_calls_of_another_provider_are_taken(client: anthropic.Anthropic, provider: GeminiProvider, model: str) -> None:
    provider.plays(HELLO)
    calls = [{"type": "tool_use", "id": f"toolu_{name}", "name": "get_time", "input": {}} for name in "ab"]
    results = [{"type": "tool_result", "tool_use_id": "toolu_b"}, {"type": "tool_result", "tool_use_id": "toolu_a"}]
    ask(
        client, False, user("Hello"), {"role": "assistant", "content": calls}, user(*results), model=model, tools=[TIME]
    )
    _, called, answered = provider.last["contents"]
    assert [part.get("thoughtSignature") for part in called["parts"]] == [SKIPPED[0], None]
    assert {part["functionResponse"]["id"] for part in answered["parts"]} == {"toolu_a", "toolu_b"}


def test_thoughts_of_another_provider_are_refused_with_their_maker(
    client: anthropic.Anthropic, provider: GeminiProvider
) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYIBBgCKkA="}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[1\].*signature"):
        ask(client, False, user("Hello"), said, user("And?"))


# Media and formats


@every_model
def test_images_and_documents_are_perceived(client: anthropic.Anthropic, provider: GeminiProvider, model: str) -> None:
    provider.plays(HELLO)
    ask(
        client,
        False,
        user(
            {"type": "text", "text": "What is this?", **MARK},
            {"type": "image", "source": {"type": "url", "url": "https://images.test/a.webp"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64}},
            {"type": "document", "source": {"type": "url", "url": "https://files.test/b.pdf"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
        ),
        model=model,
    )
    text, linked, inline, document, fetched, plain = provider.last["contents"][0]["parts"]
    assert text == {"text": "What is this?"}
    assert linked == {"fileData": {"mimeType": "image/webp", "fileUri": "https://images.test/a.webp"}}
    assert inline == {"inlineData": {"mimeType": "image/png", "data": PNG_BASE64}}
    assert document == {"inlineData": {"mimeType": "application/pdf", "data": PDF_BASE64}}
    assert fetched == {"fileData": {"mimeType": "application/pdf", "fileUri": "https://files.test/b.pdf"}}
    assert base64.b64decode(plain["inlineData"]["data"]).decode() == "Grüße"


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)


class Event(pydantic.BaseModel):
    name: str
    host: Person = pydantic.Field(title="Host")


FAIR = Event(name="Fair", host=Person(name="Ann"))


@both
@every_model
def test_structured_output_is_parsed(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, model: str
) -> None:
    provider.plays(Answered((Said(FAIR.model_dump_json()),)))
    asked: Any = {"model": model, "max_tokens": 1000, "messages": [user("Who goes?")], "output_format": Event}
    if stream:
        with client.messages.stream(**asked) as events:
            parsed = events.get_final_message().parsed_output
    else:
        parsed = client.messages.parse(**asked).parsed_output
    assert parsed == FAIR
    assert provider.config["responseMimeType"] == "application/json"
    assert provider.config["responseJsonSchema"]["type"] == "object"


# Thinking


@both
@every_model
def test_thinking_goes_on_in_the_next_turn(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, model: str
) -> None:
    """
    The provider gets its signatures back unchanged, on the parts that they were on; a program sees the thoughts, and
    an answer ends with what it says.
    """
    provider.plays(THINKING, STEPS, HELLO)
    thinking = {"type": "enabled", "budget_tokens": 2000}
    fields: Any = {"tools": [TOOL], "thinking": thinking, "max_tokens": 3000, "model": model}
    messages = [user("The weather?")]
    message = ask(client, stream, *messages, **fields)
    assert [block.thinking for block in message.content if block.type == "thinking"] == [
        "They want the weather, so I have to look."
    ]
    messages += [back(message), user(result(calls_of(message)[0]))]
    message = ask(client, stream, *messages, **fields)
    assert [block.thinking for block in message.content if block.type == "thinking"] == ["Now I know."]
    assert message.content[-1].type == "text"
    messages += [back(message), user("And tomorrow?")]
    ask(client, stream, *messages, **fields)
    _, called, _, said, _ = provider.last["contents"]
    assert called["parts"] == [part.part() for part in THINKING.parts]
    steps = [part.part() for part in STEPS.parts]
    if stream:
        # It comes behind the text, and would be the answer's last block; Google does not demand it back.
        del steps[-1]["thoughtSignature"]
    assert said["parts"] == steps
    assert provider.config["thinkingConfig"] == {"thinkingBudget": 2000, "includeThoughts": True}


@every_model
@pytest.mark.parametrize(
    ("thinking", "effort", "expected"),
    [
        ({"type": "disabled"}, None, [{"thinkingBudget": 0}, {"thinkingLevel": "LOW"}, {"thinkingLevel": "LOW"}]),
        ({"type": "adaptive"}, None, [{"thinkingBudget": -1}, {}, {}]),
        (
            {"type": "adaptive", "display": "omitted"},
            "max",
            [{"thinkingBudget": 24_576}, {"thinkingLevel": "HIGH"}, {"thinkingLevel": "HIGH"}],
        ),
    ],
    ids=["disabled", "adaptive", "hidden"],
)
def test_thinking_is_what_the_model_has(
    client: anthropic.Anthropic, provider: GeminiProvider, model: str, thinking: Any, effort: str | None, expected: Any
) -> None:
    provider.plays(HELLO)
    config: Any = {} if effort is None else {"output_config": {"effort": effort}}
    ask(client, False, thinking=thinking, model=model, **config)
    written = provider.config["thinkingConfig"]
    shown = written.pop("includeThoughts", None)
    assert written == expected[[BUDGETED, LEVELLED, NEWEST].index(model)]
    assert shown is (None if thinking["type"] == "disabled" else "display" not in thinking)


# Limits, endings, errors


def test_limits_and_stop_sequences_are_kept(client: anthropic.Anthropic, provider: GeminiProvider) -> None:
    provider.plays(HELLO, HELLO)
    sampling: Any = {"extra_body": {"temperature": 0.5, "top_k": 40}}
    ask(client, False, max_tokens=50, stop_sequences=["END", "\n\nHuman:"], model=LEVELLED, **sampling)
    assert provider.config == {
        "maxOutputTokens": 50,
        "stopSequences": ["END", "\n\nHuman:"],
        "temperature": 0.5,
        "topK": 40,
    }
    lost = dropped(client, max_tokens=128_000, timeout=60, extra_body={"temperature": 1}, metadata={"user_id": "u"})
    assert lost == {"max_tokens", "temperature", "metadata.user_id"}
    assert provider.config == {"maxOutputTokens": 65_536}


@both
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answered((Said("Done."),)), "end_turn"),
        (Answered((Said("It goes"),), "MAX_TOKENS"), "max_tokens"),
        (Answered((Called("get_time"),)), "tool_use"),
        (Answered((Said("I"),), "SAFETY", "No."), "refusal"),
        (Answered((), "RECITATION"), "refusal"),
        (Answered((Thought("Hm."),), "MAX_TOKENS"), "max_tokens"),
        (Answered((), "MALFORMED_FUNCTION_CALL", "print(x)"), "end_turn"),
        (Blocked("PROHIBITED_CONTENT"), "refusal"),
    ],
    ids=["done", "length", "tool", "safety", "nothing", "thought", "malformed", "blocked"],
)
def test_every_end_has_its_reason(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, answer: Play, reason: str
) -> None:
    provider.plays(answer)
    assert ask(client, stream, tools=[TIME]).stop_reason == reason


KINDS: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.OverloadedError,
    504: anthropic.DeadlineExceededError,
}


@both
@pytest.mark.parametrize("failing", ERRORS, ids=lambda failing: failing.message[:20])
def test_errors_are_the_sdks_own(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool, failing: Failing
) -> None:
    provider.plays(failing)
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, stream)
    error = caught.value
    assert failing.message in str(error)
    if "prepaid" in failing.message:
        assert error.type == "billing_error"
    else:
        expected = anthropic.AuthenticationError if "API key" in failing.message else KINDS[failing.status]
        assert type(error) is expected
    assert ("prompt is too long" in str(error)) is ("token count" in failing.message)
    if "quota" in failing.message:
        # Google says so in the body, and to fractions of a second.
        assert error.response.headers["retry-after"] == "3"


@pytest.mark.parametrize("failing", [Failing(503, "UNAVAILABLE", "Overloaded"), None], ids=["overloaded", "cut"])
def test_error_in_mid_stream_is_raised(
    client: anthropic.Anthropic, provider: GeminiProvider, failing: Failing | None
) -> None:
    provider.plays(Broken(HELLO, 2, failing))
    asked: Any = {"model": NEWEST, "max_tokens": 99, "messages": [user("Hello")]}
    said: list[str] = []
    with (
        client.messages.stream(**asked) as events,
        pytest.raises(anthropic.APIStatusError, match="Overloaded" if failing else "before its answer was whole"),
    ):
        said.extend(events.text_stream)
    assert "".join(said).startswith("Grüß Gott, wie")


@pytest.mark.parametrize(
    "tool",
    [{"type": "web_search_20260209", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}],
    ids=lambda tool: str(tool["name"]),
)
def test_tools_that_only_anthropic_has_are_refused_by_name(
    client: anthropic.Anthropic, provider: GeminiProvider, tool: Any
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=tool["type"]):
        ask(client, False, tools=[tool])


@both
def test_what_only_google_says_does_no_harm(
    client: anthropic.Anthropic, provider: GeminiProvider, stream: bool
) -> None:
    provider.plays(Answered((Ran("1+1"), Said("Two."))))
    assert text_of(ask(client, stream)) == "Two."


def test_tokens_are_counted_by_the_provider(client: anthropic.Anthropic, provider: GeminiProvider) -> None:
    provider.plays(Counted(7), Counted(77))
    assert client.messages.count_tokens(model=NEWEST, messages=[user("Hello")]).input_tokens == 7
    counted = client.messages.count_tokens(model=NEWEST, messages=[user("Hello")], system="Be kind.", tools=[TOOL])
    assert counted.input_tokens == 77
    assert provider.last["generateContentRequest"].keys() == {"model", "contents", "systemInstruction", "tools"}


# Claude Code

HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "user-agent": "claude-cli/2.1.69 (external, cli)",
    "x-stainless-lang": "js",
    "authorization": f"Bearer {VIRTUAL_KEY}",
    "content-type": "application/json",
}


@every_model
def test_claude_code_works_as_it_comes(running: Scene, provider: GeminiProvider, model: str) -> None:
    """Its own request, its headers, a round with tools and reminders, and nothing of Anthropic's reaches Google."""
    provider.plays(
        Answered(
            (
                Thought("I have to read two files."),
                Called("Read", {"file_path": "/a"}, signature="CiQBVKhc7mNsYXVkZQ=="),
                Called("Read", {"file_path": "/b"}),
            )
        ),
        HELLO,
    )
    asked: Any = {**ASKED, "model": model, "messages": ASKED["messages"][:2], "stream": False}
    with Client(running.gateway.port) as terminal:
        first = terminal.call("POST", "/v1/messages?beta=true", HEADERS, json.dumps(asked).encode())
    assert first.status == 200, first
    lost = set((first.value("x-gw-dropped") or "").split(","))
    assert {"system[].cache_control", "context_management", "metadata.user_id", "messages[1].role"} <= lost
    assert provider.last["contents"] == [{"role": "user", "parts": [{"text": ASKED["messages"][0]["content"]}]}]
    assert [part["text"] for part in provider.last["systemInstruction"]["parts"]] == [
        "You are Claude Code.",
        "How to work.",
        "Be careful.",
    ]
    assert not [name for name in provider.seen.names() if name.startswith(("anthropic-", "x-stainless-", "x-app"))]
    content = json.loads(first.body)["content"]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "1\tx", **MARK}
        for block in content
        if block["type"] == "tool_use"
    ]
    reminder = {"type": "text", "text": "<system-reminder>x</system-reminder>", **MARK}
    asked["messages"] = [*asked["messages"], {"role": "assistant", "content": content}, user(*results, reminder)]
    asked["stream"] = True
    with Client(running.gateway.port) as terminal:
        second = terminal.call("POST", "/v1/messages?beta=true", HEADERS, json.dumps(asked).encode())
    events = [json.loads(line[6:]) for line in second.body.decode().splitlines() if line.startswith("data: ")]
    said = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    assert said == "Grüß Gott, wie geht es Ihnen?"
    _, called, answered, reminded = provider.last["contents"]
    assert [part.get("thoughtSignature") for part in called["parts"]] == [None, "CiQBVKhc7mNsYXVkZQ==", None]
    assert len(answered["parts"]) == 2
    assert reminded["parts"] == [{"text": reminder["text"]}]


def test_asynchronous_client_streams_side_by_side(running: Scene, provider: GeminiProvider) -> None:
    provider.plays(*[HELLO] * 6)
    asked: Any = {"model": NEWEST, "max_tokens": 99, "messages": [user("Hello")]}

    async def converse() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=running.gateway.url, api_key=VIRTUAL_KEY, max_retries=0) as client:

            async def streamed() -> Any:
                async with client.messages.stream(**asked) as events:
                    return text_of(await events.get_final_message())

            async def whole() -> Any:
                return text_of(await client.messages.create(**asked))

            return list(await asyncio.gather(*[each() for each in 3 * (streamed, whole)]))

    assert asyncio.run(converse()) == ["Grüß Gott, wie geht es Ihnen?"] * 6
