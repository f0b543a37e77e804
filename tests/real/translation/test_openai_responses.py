"""
OpenAI's own SDK, speaking Responses, and Codex, on providers that have only Chat Completions and take nothing but valid
requests of it: ``"apis": ["chat"]`` in ``aiservices.json``.
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
from tests.real.translation.openai_scene import (
    CHAT,
    DEEPSEEK,
    ERRORS,
    GOOGLE,
    HELLO,
    OPENROUTER,
    PARALLEL,
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
    Failing,
    Refusing,
    Said,
    Thought,
    Wrote,
)
from tests.real.validating.openai_models import NEWEST, PLAIN, REASONING
from tests.real.validating.openai_provider import OpenAIProvider

PLACE = {
    "type": "object",
    "properties": {
        "location": {"type": "string"},
        "days": {"type": ["array", "null"], "items": {"type": "integer"}},
    },
    "required": ["location", "days"],
    "additionalProperties": False,
}
WEATHER_TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": PLACE,
    "strict": True,
}
TIME_TOOL: Any = {"type": "function", "name": "get_time", "parameters": None, "strict": False}
TOOLS = [WEATHER_TOOL, TIME_TOOL]
PATCH_TOOL: Any = {
    "type": "custom",
    "name": "patch",
    "description": "Edits.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}

PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PDF_URL = f"data:application/pdf;base64,{PDF_BASE64}"

_EVENTS: dict[str, type[pydantic.BaseModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(get_args(ResponseStreamEvent)[0])
}

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
def clients(running: Scene) -> Iterator[dict[str, openai.OpenAI]]:
    """By virtual key."""
    base_url = f"{running.gateway.url}/v1"
    made = {
        key: openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
        for key in (CHAT, DEEPSEEK, OPENROUTER, GOOGLE)
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def client(clients: dict[str, openai.OpenAI]) -> openai.OpenAI:
    return clients[CHAT]


def ask(client: openai.OpenAI, stream: bool, *items: Any, **fields: Any) -> Any:
    """
    :return: the response, whole or as the last event of its stream has it. Every event is of its type, and numbered.
    """
    asked: Any = {"model": PLAIN, "input": list(items) or "Hello", "store": False, **fields}
    if not stream:
        return client.responses.create(**asked)
    events: list[Any] = list(client.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        _EVENTS[event.type].model_validate(event.to_dict())
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert done == [item.to_dict() for item in events[-1].response.output]
    return events[-1].response


def user(*content: Any) -> Any:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def back(response: Any) -> list[Any]:
    """An answer's items as programs send them back with their next request."""
    return [item.to_dict() for item in response.output]


def result(call: Any, output: Any = "18 degrees") -> Any:
    kind = "custom_tool_call_output" if call.type == "custom_tool_call" else "function_call_output"
    return {"type": kind, "call_id": call.call_id, "output": output}


def messages(provider: OpenAIProvider) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = provider.last["messages"]
    return found


# Text


@both
def test_text_and_usage_are_the_providers(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(HELLO)
    response = ask(client, stream, max_output_tokens=1000)
    assert response.output_text == "Grüß Gott, wie geht es Ihnen?"
    assert (response.status, response.model, response.error) == ("completed", PLAIN, None)
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (56, 17, 73)
    assert usage.input_tokens_details.cached_tokens == 30
    assert usage.output_tokens_details.reasoning_tokens == 6
    assert messages(provider) == [{"role": "user", "content": "Hello"}]
    assert provider.last["max_completion_tokens"] == 1000


def test_stream_helper_puts_the_answer_together(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    with client.responses.stream(model=PLAIN, input="Hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert deltas == ["Grüß Go", "tt, wie", " geht e", "s Ihnen", "?"]
    assert final.output_text == "Grüß Gott, wie geht es Ihnen?"


def test_instructions_and_roles_keep_their_places(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    items = [{"role": "developer", "content": "Be exact."}, user("A"), {"role": "assistant", "content": "B"}, user("C")]
    ask(client, False, *items, instructions="Be kind.")
    assert [(message["role"], message["content"]) for message in messages(provider)] == [
        ("system", "Be kind."),
        ("developer", "Be exact."),
        ("user", "A"),
        ("assistant", "B"),
        ("user", "C"),
    ]


@both
def test_conversation_goes_on(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(HELLO, HELLO)
    first = ask(client, stream, user("Hello"))
    ask(client, stream, user("Hello"), *back(first), user("And you?"))
    assert messages(provider)[1] == {"role": "assistant", "content": "Grüß Gott, wie geht es Ihnen?"}


def test_sampling_is_passed_on(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    ask(client, False, temperature=0.5, top_p=0.9, safety_identifier="u-1", prompt_cache_key="k")
    last = provider.last
    assert (last["temperature"], last["top_p"]) == (0.5, 0.9)
    assert (last["safety_identifier"], last["prompt_cache_key"]) == ("u-1", "k")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "file_search"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_openai_would_keep_or_run_is_refused_by_name(
    client: openai.OpenAI, provider: OpenAIProvider, fields: Any, named: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=named):
        ask(client, False, **fields)
    assert not provider.requests


# Tools


@both
def test_tool_is_called_and_its_result_used(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(WEATHER, HELLO)
    response = ask(client, stream, tools=TOOLS)
    said, call = response.output
    assert said.content[0].text == "I look."
    assert (call.call_id, call.name, call.status) == ("call_01A", "get_weather", "completed")
    assert json.loads(call.arguments) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}
    [weather, time] = [tool["function"] for tool in provider.last["tools"]]
    assert (weather["parameters"], weather["strict"], time["name"]) == (PLACE, True, "get_time")

    assert ask(client, stream, user("Hello"), *back(response), result(call), tools=TOOLS).output_text
    assert [message["role"] for message in messages(provider)] == ["user", "assistant", "tool"]
    assert messages(provider)[1]["content"] == "I look."
    assert (messages(provider)[2]["tool_call_id"], messages(provider)[2]["content"]) == ("call_01A", "18 degrees")


@both
@pytest.mark.parametrize("mixed", [False, True], ids=["in order", "mixed"])
def test_parallel_calls_and_their_results_stay_together(
    client: openai.OpenAI, provider: OpenAIProvider, stream: bool, mixed: bool
) -> None:
    provider.plays(Answered(PARALLEL.blocks, mixed=mixed), HELLO)
    response = ask(client, stream, tools=TOOLS)
    assert [(call.call_id, call.name, call.arguments) for call in response.output] == [
        ("call_01B", "get_weather", '{"location": "Paris"}'),
        ("call_01C", "get_time", "{}"),
        ("call_01D", "get_weather", '{"location": "Rome"}'),
    ]
    results = [result(call, f"result {at}") for at, call in enumerate(response.output)]
    ask(client, stream, user("Hello"), *back(response), *results, user("Now?"), tools=TOOLS)
    assert len(messages(provider)[1]["tool_calls"]) == 3
    assert [(m["tool_call_id"], m["content"]) for m in messages(provider)[2:5]] == [
        ("call_01B", "result 0"),
        ("call_01C", "result 1"),
        ("call_01D", "result 2"),
    ]


def test_arguments_come_in_fragments(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER)
    events: Any = client.responses.create(model=PLAIN, input="Hello", tools=TOOLS, stream=True)
    fragments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(fragments) > 3
    assert json.loads("".join(fragments)) == {"location": "Zürich \U0001f5fb", "days": [1, 2]}


@both
def test_custom_tool_takes_text(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Wrote("call_1", "patch", "*** Begin\n"),)), HELLO)
    response = ask(client, stream, tools=[PATCH_TOOL])
    [call] = response.output
    assert (call.type, call.call_id, call.name, call.input) == ("custom_tool_call", "call_1", "patch", "*** Begin\n")
    [tool] = provider.last["tools"]
    # Chat Completions has an object where Responses has two fields.
    assert tool["custom"]["format"] == {
        "type": "grammar",
        "grammar": {"syntax": "lark", "definition": "start: /.+/"},
    }
    ask(client, stream, user("Hello"), *back(response), result(call, "done"), tools=[PATCH_TOOL])
    assert messages(provider)[1]["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** Begin\n"}


@both
def test_function_stands_in_for_a_custom_tool(
    clients: dict[str, openai.OpenAI], provider: OpenAIProvider, stream: bool
) -> None:
    """Where the provider has no such tools, as only OpenAI has them."""
    provider.plays(Answered((Thought("Hm."), Called("call_1", "patch", '{"input": "*** Begin\\n"}'))), HELLO)
    response = ask(clients[DEEPSEEK], stream, tools=[PATCH_TOOL])
    call = response.output[-1]
    assert (call.type, call.name, call.input) == ("custom_tool_call", "patch", "*** Begin\n")
    ask(clients[DEEPSEEK], stream, user("Hello"), *back(response), result(call, "done"), tools=[PATCH_TOOL])
    assert messages(provider)[1]["tool_calls"][0]["function"]["name"] == "patch"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "get_time"}, {"type": "function", "function": {"name": "get_time"}}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_time"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_time"}}]},
            },
        ),
    ],
)
def test_choice_of_tools_is_passed_on(
    client: openai.OpenAI, provider: OpenAIProvider, choice: Any, expected: Any
) -> None:
    provider.plays(HELLO)
    ask(client, False, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    assert (provider.last["tool_choice"], provider.last["parallel_tool_calls"]) == (expected, False)


def test_result_is_an_image(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(WEATHER, HELLO)
    response = ask(client, False, tools=TOOLS)
    output = [{"type": "input_text", "text": "A picture:"}, {"type": "input_image", "image_url": PNG_URL}]
    ask(client, False, user("Hello"), *back(response), result(response.output[1], output), tools=TOOLS)
    answered, shown = messages(provider)[-2:]
    assert (answered["role"], shown["role"]) == ("tool", "user")
    assert shown["content"][-1]["image_url"]["url"] == PNG_URL


# What is not text


def test_images_and_documents_are_seen(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(HELLO)
    content = [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": PNG_URL, "detail": "high"},
        {"type": "input_image", "image_url": "https://images.test/a.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL},
    ]
    ask(client, False, user(*content))
    _, image, linked, file = messages(provider)[0]["content"]
    assert image["image_url"] == {"url": PNG_URL, "detail": "high"}
    assert linked["image_url"]["url"] == "https://images.test/a.png"
    assert file["file"] == {"filename": "a.pdf", "file_data": PDF_URL}


def test_document_by_url_is_refused(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    with pytest.raises(openai.BadRequestError, match="by URL"):
        ask(client, False, user({"type": "input_file", "file_url": "https://files.test/a.pdf"}))
    assert not provider.requests


# Structured output


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    tags: list[str]


@both
def test_structured_output_is_parsed(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said('{"name": "Ada", "tags": ["x"]}'),)))
    asked: Any = {"model": PLAIN, "input": "Who?", "text_format": Person}
    if stream:
        with client.responses.stream(**asked) as events:
            parsed = events.get_final_response()
    else:
        parsed = client.responses.parse(**asked)
    assert parsed.output_parsed == Person(name="Ada", tags=["x"])
    form = provider.last["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("Person", True)


def test_any_json_is_asked_for(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    provider.plays(Answered((Said("{}"),)))
    ask(client, False, user("As JSON."), text={"format": {"type": "json_object"}})
    assert provider.last["response_format"] == {"type": "json_object"}
    assert len(messages(provider)) == 1


def test_probabilities_of_tokens_come_back(client: openai.OpenAI, provider: OpenAIProvider) -> None:
    top = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}, {"token": "Ho", "logprob": -2.5, "bytes": [72, 111]}]
    provider.plays(Answered((Said("Hi", logprobs=({**top[0], "top_logprobs": top},)),)))
    response = ask(client, False, include=["message.output_text.logprobs"], top_logprobs=2)
    [found] = response.output[0].content[0].logprobs
    assert (found.token, found.logprob, [each.token for each in found.top_logprobs]) == ("Hi", -0.1, ["Hi", "Ho"])


# Thinking


@both
def test_thinking_of_openrouter_goes_on(
    clients: dict[str, openai.OpenAI], provider: OpenAIProvider, stream: bool
) -> None:
    """It comes as reasoning items; what only their maker can read is sealed in them, and comes back as it was."""
    provider.plays(Answered((Thought("Hm, the weather.", "ErUB+sig"), Thought("", "gSealed"), *WEATHER.blocks)), HELLO)
    asked: Any = {
        "tools": TOOLS,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    response = ask(clients[OPENROUTER], stream, **asked)
    first, second, _, call = response.output
    assert (first.type, second.type) == ("reasoning", "reasoning")
    assert "Hm, the weather." in json.dumps(first.to_dict())
    ask(clients[OPENROUTER], stream, user("Hello"), *back(response), result(call), **asked)
    assistant = messages(provider)[1]
    assert assistant["reasoning"] == "Hm, the weather."
    assert [detail.get("signature") or detail["data"] for detail in assistant["reasoning_details"]] == [
        "ErUB+sig",
        "gSealed",
    ]
    assert provider.last["reasoning"]["effort"] == "high"


@both
def test_thinking_of_deepseek_goes_on(
    clients: dict[str, openai.OpenAI], provider: OpenAIProvider, stream: bool
) -> None:
    provider.plays(Answered((Thought("Hm."), *WEATHER.blocks)), HELLO)
    response = ask(clients[DEEPSEEK], stream, tools=TOOLS)
    assert response.output[0].type == "reasoning"
    ask(clients[DEEPSEEK], stream, user("Hello"), *back(response), result(response.output[-1]), tools=TOOLS)
    assert messages(provider)[1]["reasoning_content"] == "Hm."


@both
def test_signature_of_googles_goes_on(
    clients: dict[str, openai.OpenAI], provider: OpenAIProvider, stream: bool
) -> None:
    """Google's interface of the dialect signs calls rather than thoughts, and wants that back."""
    provider.plays(SIGNED, HELLO)
    response = ask(clients[GOOGLE], stream, tools=TOOLS)
    results = [result(item) for item in response.output if item.type == "function_call"]
    assert len(results) == 2
    assert ask(clients[GOOGLE], stream, user("Hello"), *back(response), *results, tools=TOOLS).output_text


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [(REASONING, "low", "low"), (REASONING, "none", "minimal"), (NEWEST, "max", "max"), (PLAIN, "high", None)],
)
def test_effort_is_one_that_the_model_has(
    client: openai.OpenAI, provider: OpenAIProvider, model: str, effort: str, expected: str | None
) -> None:
    provider.plays(HELLO)
    ask(client, False, model=model, reasoning={"effort": effort})
    assert provider.last.get("reasoning_effort") == expected


# How answers end


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answered((Said("And so"),), "length"), "incomplete", "max_output_tokens"),
        (Answered((Said("And so"),), "content_filter"), "incomplete", "content_filter"),
        (Answered((Called("call_1", "get_weather", '{"location": "Zü'),), "length"), "incomplete", "max_output_tokens"),
        (Answered(()), "completed", None),
    ],
    ids=["length", "filter", "broken call", "nothing"],
)
@both
def test_reason_to_stop_is_the_providers(
    client: openai.OpenAI, provider: OpenAIProvider, stream: bool, answer: Answered, status: str, reason: str | None
) -> None:
    provider.plays(answer)
    response = ask(client, stream, tools=TOOLS)
    assert response.status == status
    assert (response.incomplete_details.reason if response.incomplete_details else None) == reason


@both
def test_refusals_are_refusals(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Refusing("I can't help with that."),)), HELLO)
    response = ask(client, stream)
    [part] = response.output[0].content
    assert (part.type, part.refusal) == ("refusal", "I can't help with that.")
    ask(client, stream, user("Hello"), *back(response), user("Why?"))
    assert messages(provider)[1]["refusal"] == "I can't help with that."


@both
def test_citations_are_annotations(client: openai.OpenAI, provider: OpenAIProvider, stream: bool) -> None:
    provider.plays(Answered((Said("It is so.", (Cited("https://a.test", "A page", 0, 5),)),)))
    [note] = ask(client, stream).output[0].content[0].annotations
    assert (note.type, note.url, note.title, note.start_index, note.end_index) == (
        "url_citation",
        "https://a.test",
        "A page",
        0,
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
    ("failing", "said"),
    [
        (Failing(500, "The model produced no output.", "server_error", "server_error"), "produced no output"),
        (None, "before its answer was whole"),
    ],
    ids=["told", "cut"],
)
def test_stream_that_fails_is_an_error(
    client: openai.OpenAI, provider: OpenAIProvider, failing: Failing | None, said: str
) -> None:
    provider.plays(Broken(HELLO, 7, failing), Broken(HELLO, 7, failing))
    with pytest.raises(openai.APIError, match=said):
        list(client.responses.create(model=PLAIN, input="Hello", stream=True))
    with pytest.raises(openai.APIError, match=said), client.responses.stream(model=PLAIN, input="Hello") as stream:
        stream.until_done()


# Codex


@pytest.mark.parametrize("key", [CHAT, DEEPSEEK], ids=["openai", "deepseek"])
def test_codex_works_over_two_turns(clients: dict[str, openai.OpenAI], provider: OpenAIProvider, key: str) -> None:
    """It reads items from ``response.output_item.done`` and the end from ``response.completed``."""
    patch = (
        Wrote("call_2", "apply_patch", "*** Begin Patch\n")
        if key == CHAT
        else Called("call_2", "apply_patch", json.dumps({"input": "*** Begin Patch\n"}))
    )
    working = Answered(
        (
            *([] if key == CHAT else [Thought("First the files.")]),
            Said("I look."),
            Called("call_1", "exec_command", '{"cmd": "ls"}'),
            patch,
            Called("call_3", "mcp__files__read", '{"path": "a"}'),
        )
    )
    provider.plays(working, HELLO)

    def turn(*items: Any) -> tuple[list[dict[str, Any]], Any]:
        body = {**codex.request(*items), "model": REASONING, "parallel_tool_calls": True}
        events: list[Any] = list(
            clients[key].post("/responses", body=body, cast_to=object, stream=True, stream_cls=openai.Stream[object])
        )
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        return done, events[-1]

    done, last = turn()
    assert last["type"] == "response.completed"
    calls = [item for item in done if item["type"].endswith("_call")]
    assert [(call["type"], call["name"], call.get("namespace")) for call in calls] == [
        ("function_call", "exec_command", None),
        ("custom_tool_call", "apply_patch", None),
        ("function_call", "read", "mcp__files"),
    ]
    assert calls[1]["input"] == "*** Begin Patch\n"
    outputs = [{"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "ok"} for call in calls]
    done, last = turn(*done, *outputs)
    assert done[-1]["content"][0]["text"] == "Grüß Gott, wie geht es Ihnen?"
    assert last["response"]["usage"]["total_tokens"] == 73
    roles = [message["role"] for message in messages(provider)]
    assert roles[-4:] == ["assistant", "tool", "tool", "tool"]
