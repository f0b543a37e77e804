"""
Claude Code on providers that take only valid requests of OpenAI's dialects.

The requests have the form in which Claude Code 2.1 sends them: ``POST /v1/messages?beta=true``, always streamed, with
blocks and cache marks in ``system``, adaptive thinking, an effort, edits of the context, and fields and headers that
only Anthropic knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.real.translation.openai_scene import CLAUDE_CODE, CLAUDE_CODE_DEEPSEEK, USAGE, Scene, scene
from tests.real.validating.files import PNG_BASE64
from tests.real.validating.openai_answers import Answered, Called, Failing, Said, Thought
from tests.real.validating.openai_models import NEWEST, PLAIN
from tests.real.validating.openai_provider import OpenAIProvider

MARK = {"type": "ephemeral", "ttl": "1h"}
USER = json.dumps({"device_id": "b4" * 32, "account_uuid": "", "session_id": "fe79bd85-e0f6-4811-b886-8af6dc007e6d"})

SYSTEM = [
    {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.69.fb2; cc_entrypoint=cli; cch=00000;"},
    {"type": "text", "text": "You are Claude Code.", "cache_control": MARK},
    {"type": "text", "text": "How to work.", "cache_control": {**MARK, "scope": "global"}},
]
TOOLS: list[Any] = [
    {
        "name": "Bash",
        "description": "Runs a command. " * 200,
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command."},
                "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 600_000},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
        "eager_input_streaming": True,
    },
    {
        "name": "Read",
        "description": "Reads.",
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"file_path": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["file_path"],
        },
    },
    {"name": "mcp__files__list", "input_schema": {"type": "object"}, "defer_loading": True},
]
HEADERS = {
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "user-agent": "claude-cli/2.1.126 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "9b954515-bff1-4bc6-8833-8735528f396f",
}

WORKING = Answered(
    (
        Thought("First the files, then the tests.", "gAAAAABclaude+/=="),
        Said("I look around."),
        Called("call_A", "Bash", '{"command": "ls -la", "timeout": 1000}'),
        Called("call_B", "Read", '{"file_path": "/a.png"}'),
        Called("call_C", "mcp__files__list"),
    ),
    usage=USAGE,
)
DONE = Answered((Thought("", "gAAAAABmore", "rs_02"), Said("Done.")))


@pytest.fixture(scope="module")
def running(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def provider(running: Scene) -> Iterator[OpenAIProvider]:
    yield running.provider
    running.provider.forget()


@pytest.fixture
def client(running: Scene, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    """On OpenAI, unless the test asks for another one."""
    key = getattr(request, "param", CLAUDE_CODE)
    with anthropic.Anthropic(
        base_url=running.gateway.url, auth_token=key, api_key=None, max_retries=0, default_headers=HEADERS
    ) as made:
        yield made


def ask(client: anthropic.Anthropic, *messages: Any, **changes: Any) -> Any:
    """
    :return: the message, put together from the stream.
    """
    body: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "max_tokens": 64_000,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": "<system-reminder>Tools</system-reminder>"}, *messages],
        "tools": TOOLS,
        "metadata": {"user_id": USER},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "extra_body": {"temperature": 1},
        **changes,
    }
    with client.beta.messages.stream(**body) as stream:
        return stream.get_final_message()


def user(*content: Any) -> Any:
    return {"role": "user", "content": [*content]}


def text(said: str) -> Any:
    return {"type": "text", "text": said, "cache_control": MARK}


def back(message: Any) -> Any:
    return {
        "role": "assistant",
        "content": [
            {**block.to_dict(), **({"caller": {"type": "direct"}} if block.type == "tool_use" else {})}
            for block in message.content
        ],
    }


def results(message: Any) -> list[Any]:
    """A text, an image and an error."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}}
    contents: list[Any] = ["total 0", [image], "No such server."]
    calls = [block for block in message.content if block.type == "tool_use"]
    return [
        {"tool_use_id": call.id, "type": "tool_result", "content": content, "is_error": at == 2}
        for at, (call, content) in enumerate(zip(calls, contents, strict=True))
    ]


@pytest.mark.parametrize("client", [CLAUDE_CODE, CLAUDE_CODE_DEEPSEEK], indirect=True, ids=["openai", "deepseek"])
def test_it_works_over_several_turns(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(WORKING, DONE, DONE)
    first = ask(client, user(text("Do it.")))
    assert first.stop_reason == "tool_use"
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use", "tool_use"]
    assert first.content[2].input == {"command": "ls -la", "timeout": 1000}
    assert (first.usage.input_tokens, first.usage.cache_read_input_tokens) == (26, 30)

    turns = [user(text("Do it.")), back(first), user(*results(first), text("<system-reminder>x</system-reminder>"))]
    second = ask(client, *turns)
    assert second.stop_reason == "end_turn"
    assert second.content[-1].text == "Done."

    third = ask(client, *turns, back(second), {"role": "system", "content": [text("Be careful.")]}, user(text("And?")))
    assert third.content[-1].text == "Done."


def test_openai_gets_what_it_means(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(WORKING, DONE)
    first = ask(client, user(text("Do it.")))
    sent = provider.last
    assert (sent["model"], sent["max_output_tokens"], sent["stream"]) == (NEWEST, 64_000, True)
    assert sent["reasoning"]["effort"] == "high"
    assert len(sent["user"] if "user" in sent else sent["safety_identifier"]) == 64
    assert [tool["name"] for tool in sent["tools"]] == ["Bash", "Read", "mcp__files__list"]
    # The note for Anthropic's books differs from call to call: behind it nothing could be cached.
    assert "billing" not in json.dumps(sent)
    assert [part["text"] for part in sent["input"][0]["content"]] == ["You are Claude Code.", "How to work."]

    ask(client, user(text("Do it.")), back(first), user(*results(first)))
    items = provider.last["input"]
    kinds = [item["type"] for item in items[3:]]
    assert kinds == ["reasoning", "message", *["function_call"] * 3, *["function_call_output"] * 3]
    assert items[3]["encrypted_content"] == "gAAAAABclaude+/=="
    text_output, image, error = (item["output"] for item in items[-3:])
    assert text_output == "total 0"
    assert image[0]["image_url"] == f"data:image/png;base64,{PNG_BASE64}"
    assert "No such server." in json.dumps(error)
    assert "failed" in json.dumps(error)


@pytest.mark.parametrize("client", [CLAUDE_CODE_DEEPSEEK], indirect=True)
def test_deepseek_gets_what_it_means(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    provider.plays(WORKING, DONE)
    first = ask(client, user(text("Do it.")))
    ask(client, user(text("Do it.")), back(first), user(*results(first)))
    sent = provider.last
    assert (sent["model"], sent["max_tokens"]) == (PLAIN, 64_000)
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["system", "user", "user", "assistant", "tool", "tool", "tool", "user"]
    assert sent["messages"][3]["reasoning_content"] == "First the files, then the tests."
    assert sent["messages"][-1]["content"][-1]["image_url"]["url"] == f"data:image/png;base64,{PNG_BASE64}"


def test_probe_for_the_quota_is_answered(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """Claude Code asks for one token when it starts."""
    provider.plays(Answered((Said("H"),), "length"))
    probe = client.beta.messages.create(
        model="claude-haiku-4-5",
        max_tokens=1,
        messages=[{"role": "user", "content": "quota"}],
        metadata={"user_id": USER},
    )
    assert probe.stop_reason == "max_tokens"


def test_title_is_structured(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    """It asks a small model for a title, as JSON, without tools and thinking."""
    provider.plays(Answered((Said('{"title": "Tests"}'),)))
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    message = ask(
        client,
        user(text("Write a title.")),
        model="claude-haiku-4-5",
        tools=[],
        thinking={"type": "disabled"},
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(message.content[0].text) == {"title": "Tests"}
    assert provider.last["text"]["format"]["strict"] is True
    assert provider.last["reasoning"] == {"effort": "none"}


def test_tokens_are_counted(client: anthropic.Anthropic) -> None:
    """By an estimate: OpenAI has no such call for other dialects' prompts."""
    counted = client.beta.messages.count_tokens(
        model="claude-opus-5-5",
        system=[{"type": "text", "text": "You are Claude Code."}],
        tools=TOOLS,
        messages=[user(text("Hi"))],
    )
    assert counted.input_tokens > 500


def test_full_context_is_told_in_the_words_that_it_looks_for(
    client: anthropic.Anthropic, provider: OpenAIProvider
) -> None:
    provider.plays(
        Failing(
            400,
            "Your input exceeds the context window of this model.",
            "invalid_request_error",
            "context_length_exceeded",
        )
    )
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        ask(client, user(text("Do it.")))


def test_search_of_anthropics_own_is_refused_by_name(client: anthropic.Anthropic, provider: OpenAIProvider) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        ask(client, user(text("Search.")), tools=[search])
    assert not provider.requests
