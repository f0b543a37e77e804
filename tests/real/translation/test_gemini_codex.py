"""
Codex on a provider that takes only valid requests of the Gemini API.

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
from openai.types.responses import ResponseStreamEvent

from tests.core.translation.responses import codex
from tests.real.translation.gemini_scene import COUNTED, VIRTUAL_KEY, Scene, scene
from tests.real.validating.files import PNG_BASE64
from tests.real.validating.gemini_answers import Answered, Broken, Called, Failing, Said, Thought
from tests.real.validating.gemini_models import BUDGETED, LEVELLED, NEWEST
from tests.real.validating.gemini_provider import GeminiProvider

PATCH = "*** Begin Patch\n*** Add File: a.txt\n+Grüße\n*** End Patch\n"
WORKING = Answered(
    (
        Thought("First the files, then the patch."),
        Said("I look around."),
        Called("exec_command", {"cmd": "ls -la"}, signature="CiQBVKhc7mNvZGV4"),
        Called("mcp__files__read", {"path": "a.txt"}),
        Called("apply_patch", {"input": PATCH}),
    ),
    usage=COUNTED,
)
PATCHING = Answered((Called("apply_patch", {"input": PATCH}, signature="CiQBVKhc7nBhdGNo"),))
DONE = Answered((Said("Done."),))

HEADERS = {
    "originator": "codex_cli_rs",
    "version": "0.159.0",
    "session_id": "0198",
    "x-codex-turn-metadata": "{}",
    "chatgpt-account-id": "acct_1",
    "openai-beta": "responses=experimental",
    "accept": "text/event-stream",
}

_TYPES: dict[str, type[pydantic.BaseModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(get_args(ResponseStreamEvent)[0])
}

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


def frames(client: openai.OpenAI, *items: Any, model: str = NEWEST, **changes: Any) -> list[Any]:
    """
    :param items: behind the first message of the user's.
    :return: the events' data.
    """
    document: Any = {**codex.request(*items), "model": model, **changes}
    streaming = client.responses.with_streaming_response
    with streaming.create(extra_body=document, extra_headers=HEADERS, stream=True) as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


def turn(client: openai.OpenAI, *items: Any, model: str = NEWEST, **changes: Any) -> list[Any]:
    """
    :return: the items, from events of which each is valid by the SDK's own type for it.
    """
    events: list[Any] = [
        _TYPES[each["type"]].model_validate(each) for each in frames(client, *items, model=model, **changes)
    ]
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.usage is not None
    return [event.item for event in events if event.type == "response.output_item.done"]


def back(items: list[Any]) -> list[Any]:
    """As Codex keeps them: it sends no ids and no status, and of reasoning all."""
    kept = [item.model_dump(exclude_none=True, exclude={"id", "status"}) for item in items]
    return [{"summary": [], **each} if each["type"] == "reasoning" else each for each in kept]


def called(items: list[Any]) -> list[Any]:
    return [item for item in items if item.type in ("function_call", "custom_tool_call")]


@every_model
def test_it_works_one_step_at_a_time(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    """
    As it comes: it asks for one call at a time, which Google cannot be told. What the model calls besides is left out,
    and what it thought goes back with the call that stays.
    """
    provider.plays(WORKING, PATCHING, DONE)
    items = turn(client, model=model)
    assert [part.text for item in items if item.type == "reasoning" for part in item.summary] == [
        "First the files, then the patch."
    ]
    [command] = called(items)
    assert (command.name, json.loads(command.arguments)) == ("exec_command", {"cmd": "ls -la"})
    history = [*back(items), {"type": "function_call_output", "call_id": command.call_id, "output": "a.txt\n"}]
    items = turn(client, *history, model=model)
    [patch] = called(items)
    assert (patch.type, patch.name, patch.input) == ("custom_tool_call", "apply_patch", PATCH)
    history += [*back(items), {"type": "custom_tool_call_output", "call_id": patch.call_id, "output": "Success."}]
    [said] = turn(client, *history, model=model)
    assert said.content[0].text == "Done."
    _, first, listed, second, patched = provider.last["contents"]
    assert first["parts"] == [part.part() for part in WORKING.parts[:3]]
    assert [part["functionResponse"]["response"] for part in listed["parts"]] == [{"output": "a.txt\n"}]
    assert second["parts"] == [part.part() for part in PATCHING.parts]
    assert patched["parts"][0]["functionResponse"]["name"] == "apply_patch"


@every_model
def test_it_may_want_several_calls_at_once(client: openai.OpenAI, provider: GeminiProvider, model: str) -> None:
    provider.plays(WORKING, DONE)
    items = turn(client, model=model, parallel_tool_calls=True)
    command, read, patch = called(items)
    assert (read.name, read.namespace, json.loads(read.arguments)) == ("read", "mcp__files", {"path": "a.txt"})
    output = [
        {"type": "input_text", "text": "Grüße"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"},
    ]
    results = [
        {"type": "custom_tool_call_output", "call_id": patch.call_id, "name": "apply_patch", "output": "Success."},
        {"type": "function_call_output", "call_id": read.call_id, "output": output},
        {"type": "function_call_output", "call_id": command.call_id, "output": "a.txt\n"},
    ]
    turn(client, *back(items), *results, model=model, parallel_tool_calls=True)
    _, first, answered, *more = provider.last["contents"]
    assert first["parts"] == [part.part() for part in WORKING.parts]
    names = [part["functionResponse"]["name"] for part in answered["parts"]]
    assert names == ["exec_command", "mcp__files__read", "apply_patch"]
    assert len(more) == (1 if model == BUDGETED else 0)


def test_request_becomes_what_the_provider_takes(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(DONE)
    turn(client)
    sent = provider.last
    assert sent["systemInstruction"]["parts"][0] == {"text": "You are a coding agent."}
    [tool] = sent["tools"]
    assert [one["name"] for one in tool["functionDeclarations"]] == ["exec_command", "apply_patch", "mcp__files__read"]
    assert codex.GRAMMAR in tool["functionDeclarations"][1]["description"]
    assert sent["toolConfig"]["functionCallingConfig"] == {"mode": "AUTO"}
    assert sent["generationConfig"] == {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}}
    assert [content["role"] for content in sent["contents"]] == ["user"]


def test_what_is_lost_is_named(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(DONE)
    document: Any = {**codex.request(), "model": NEWEST, "stream": False}
    raw = client.responses.with_raw_response.create(extra_body=document)
    named = raw.headers["x-gw-dropped"].split(",")
    [searching] = [index for index, tool in enumerate(document["tools"]) if tool["type"] == "web_search"]
    search = f"tools[{searching}]"
    assert {"parallel_tool_calls", "prompt_cache_key", "text.verbosity", search, "client_metadata"} <= set(named)


def test_nothing_of_codex_own_reaches_the_provider(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(DONE)
    turn(client)
    assert not provider.seen.names() & {name for name in HEADERS if name != "accept"}
    assert b"x-codex-installation-id" not in provider.seen.body


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (Failing(503, "UNAVAILABLE", "Overloaded"), "overloaded"),
        (Failing(429, "RESOURCE_EXHAUSTED", "Slow down"), "rate_limit_exceeded"),
        (None, None),
    ],
    ids=["overloaded", "limited", "cut"],
)
def test_broken_answer_ends_with_a_failed_response(
    client: openai.OpenAI, provider: GeminiProvider, failing: Failing | None, code: str | None
) -> None:
    """Codex takes anything else for a connection that broke."""
    provider.plays(Broken(WORKING, 3, failing))
    last = frames(client)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["message"]
    assert code is None or last["response"]["error"]["code"] == code


def test_full_context_has_the_code_that_codex_looks_for(client: openai.OpenAI, provider: GeminiProvider) -> None:
    provider.plays(Failing(400, "INVALID_ARGUMENT", "The input token count (2) exceeds the maximum number of tokens"))
    with pytest.raises(openai.BadRequestError) as caught:
        turn(client)
    assert caught.value.code == "context_length_exceeded"
