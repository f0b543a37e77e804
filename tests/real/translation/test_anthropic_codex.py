"""
Codex on a provider that takes only valid requests of the Messages API.

The requests have the form in which Codex 0.159 sends them; the events are read as Codex reads them: by their ``type``,
items from ``response.output_item.done``, the end from ``response.completed`` or ``response.failed``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from tests.core.translation.responses import codex
from tests.real.provider import Seen
from tests.real.translation.anthropic_scene import COUNTED, VIRTUAL_KEY, Scene, scene
from tests.real.validating.anthropic_answers import Answered, Broken, Called, Failing, Redacted, Said, Thought
from tests.real.validating.anthropic_models import ADAPTIVE, NEWEST
from tests.real.validating.anthropic_provider import AnthropicProvider
from tests.real.validating.files import PNG_BASE64

PATCH = "*** Begin Patch\n*** Add File: a.txt\n+Grüße\n*** End Patch\n"
WORKING = Answered(
    (
        Thought("First the files, then the patch.", "ErUBCkYIBxgCcodex+/=="),
        Redacted("EmwKAhgBEgycodex=="),
        Said("I look around."),
        Called("toolu_01A", "exec_command", {"cmd": "ls -la"}),
        Called("toolu_01B", "mcp__files__read", {"path": "a.txt"}),
        Called("toolu_01C", "apply_patch", {"input": PATCH}),
    ),
    "tool_use",
    usage=COUNTED,
)
DONE = Answered((Said("Done."),))

HEADERS = {
    "originator": "codex_cli_rs",
    "version": "0.159.0",
    "session_id": "0198",
    "thread-id": "0198",
    "x-codex-turn-metadata": "{}",
    "chatgpt-account-id": "acct_1",
    "openai-beta": "responses=experimental",
    "accept": "text/event-stream",
}

_TYPES: dict[str, type[pydantic.BaseModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(get_args(ResponseStreamEvent)[0])
}


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


def frames(client: openai.OpenAI, *items: Any, model: str = ADAPTIVE, **changes: Any) -> list[Any]:
    """
    :param items: behind the first message of the user's.
    :return: the events' data.
    """
    document: Any = {**codex.request(*items), "model": model, **changes}
    streaming = client.responses.with_streaming_response
    with streaming.create(extra_body=document, extra_headers=HEADERS, stream=True) as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


def turn(client: openai.OpenAI, *items: Any, model: str = ADAPTIVE, **changes: Any) -> list[Any]:
    """
    :return: the events, each one valid by the SDK's own type for it.
    """
    return [_TYPES[each["type"]].model_validate(each) for each in frames(client, *items, model=model, **changes)]


def items_of(events: list[Any]) -> list[Any]:
    return [event.item for event in events if event.type == "response.output_item.done"]


def back(items: list[Any]) -> list[Any]:
    """As Codex keeps them: it sends no ids and no status, and of reasoning all."""
    kept = [item.model_dump(exclude_none=True, exclude={"id", "status"}) for item in items]
    return [{"summary": [], **each} if each["type"] == "reasoning" else each for each in kept]


@pytest.mark.parametrize("model", [ADAPTIVE, NEWEST])
def test_whole_round_of_an_agent(client: openai.OpenAI, provider: AnthropicProvider, model: str) -> None:
    """Thinking, a command, an MCP server's tool and a patch; then their results, and what was thought goes back."""
    provider.plays(WORKING, DONE)
    events = turn(client, model=model, parallel_tool_calls=True)
    first, second, said, command, read, patch = items_of(events)
    assert [part.text for part in first.summary] == ["First the files, then the patch."]
    assert second.encrypted_content
    assert said.content[0].text == "I look around."
    assert (command.type, command.name, json.loads(command.arguments)) == (
        "function_call",
        "exec_command",
        {"cmd": "ls -la"},
    )
    assert (read.name, read.namespace, json.loads(read.arguments)) == ("read", "mcp__files", {"path": "a.txt"})
    assert (patch.type, patch.name, patch.input) == ("custom_tool_call", "apply_patch", PATCH)
    results = [
        {"type": "function_call_output", "call_id": "toolu_01A", "output": "a.txt\n"},
        {
            "type": "function_call_output",
            "call_id": "toolu_01B",
            "output": [
                {"type": "input_text", "text": "Grüße"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "toolu_01C", "name": "apply_patch", "output": "Success."},
    ]
    last = turn(client, *back(items_of(events)), *results, model=model, parallel_tool_calls=True)
    assert items_of(last)[0].content[0].text == "Done."
    called, answered = provider.last["messages"][-2:]
    expected = [block.block() for block in WORKING.blocks]
    for block in expected:
        block.pop("caller", None)
    assert called["content"] == expected
    assert [block["tool_use_id"] for block in answered["content"]] == ["toolu_01A", "toolu_01B", "toolu_01C"]
    assert [block["type"] for block in answered["content"][1]["content"]] == ["text", "image"]


def test_request_becomes_what_the_provider_takes(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(DONE)
    turn(client)
    sent = provider.last
    assert sent["system"][0]["text"] == "You are a coding agent."
    assert [tool["name"] for tool in sent["tools"]] == ["exec_command", "apply_patch", "mcp__files__read"]
    assert codex.GRAMMAR in sent["tools"][1]["description"]
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert (sent["thinking"]["type"], sent["output_config"]) == ("adaptive", {"effort": "high"})
    assert sent["messages"][-1]["role"] == "user"


def test_nothing_of_codex_own_reaches_the_provider(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(DONE)
    turn(client)
    seen: Seen = provider.seen
    assert not seen.names() & {name for name in HEADERS if name != "accept"}
    assert not [name for name in seen.names() if name.startswith(("x-codex", "x-stainless", "chatgpt"))]
    assert b"x-codex-installation-id" not in seen.body


def test_events_are_those_that_codex_waits_for(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(WORKING)
    events = turn(client, parallel_tool_calls=True)
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    kinds = {event.type for event in events}
    assert {
        "response.output_item.added",
        "response.output_text.delta",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    } <= kinds
    written = "".join(event.delta for event in events if event.type == "response.custom_tool_call_input.delta")
    assert written == PATCH
    response: Response = events[-1].response
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (56, 17, 73)


def test_parallel_calls_may_be_wanted(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(DONE)
    turn(client, parallel_tool_calls=True)
    assert provider.last["tool_choice"] == {"type": "auto"}


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (Failing(529, "overloaded_error", "Overloaded"), "overloaded"),
        (Failing(429, "rate_limit_error", "Slow down"), "rate_limit_exceeded"),
        (None, None),
    ],
    ids=["overloaded", "limited", "cut"],
)
def test_broken_answer_ends_with_a_failed_response(
    client: openai.OpenAI, provider: AnthropicProvider, failing: Failing | None, code: str | None
) -> None:
    """Codex takes anything else for a connection that broke."""
    provider.plays(Broken(WORKING, 5, failing))
    last = frames(client)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["message"]
    assert code is None or last["response"]["error"]["code"] == code


def test_full_context_has_the_code_that_codex_looks_for(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    provider.plays(Failing(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"))
    with pytest.raises(openai.BadRequestError) as caught:
        turn(client)
    assert caught.value.code == "context_length_exceeded"


def test_shells_are_functions_that_answer_as_shells(client: openai.OpenAI, provider: AnthropicProvider) -> None:
    """Older versions of Codex have a tool of OpenAI's own for commands."""
    provider.plays(Answered((Called("toolu_01D", "local_shell", {"command": ["ls"]}),), "tool_use"), DONE)
    events = turn(client, tools=[{"type": "local_shell"}])
    [call] = items_of(events)
    assert (call.type, call.action.command) == ("local_shell_call", ["ls"])
    output = {"type": "local_shell_call_output", "call_id": "toolu_01D", "id": "toolu_01D", "output": "a.txt"}
    turn(client, call.model_dump(exclude_none=True), output, tools=[{"type": "local_shell"}])
    assert provider.last["messages"][-1]["content"][0]["content"] == "a.txt"
