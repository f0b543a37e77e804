"""What is lost is told in the words of the caller's own request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.losses import OnUnsupported, Unsupported
from llm_gateway.core.translation.spelling import SpelledLosses, Spelling
from llm_gateway.core.translation.tool_names import ToolNames
from llm_gateway.errors import BadRequest
from tests.core.translation.fates import CODEC, DESTINATIONS
from tests.core.translation.samples import PLAIN, SAMPLES
from tests.core.translation.test_documented import laid

Json = dict[str, Any]

OTHERS: Mapping[str, Destination] = {
    "chat": Destination("m", "vllm", 4_096, False, "vllm"),
    "responses": Destination("gpt-4.1", "openai", 4_096, False, "openai"),
    "messages": Destination("claude-3-5-haiku-latest", "anthropic", 4_096, False, "anthropic"),
    "gemini": Destination("gemini-2.0-flash", "gemini", 4_096, False, "gemini"),
}
"""Models that can be told less than those that the documentation is about."""

CALLERS = ("chat", "responses", "messages", "gemini")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")
_MARK = {"type": "ephemeral", "ttl": "1h"}


def spelled(
    caller: str, document: Mapping[str, Any], provider: str, to: Destination, policy: OnUnsupported = OnUnsupported.DROP
) -> list[str]:
    """
    :return: the names that the caller is told.
    """
    body = json.dumps({name: value for name, value in document.items() if (caller, name) != ("gemini", "stream")})
    asked = CODEC[caller].decode_request(body.encode(), model="m", stream=False)
    losses = SpelledLosses(policy, Spelling.of_request(asked, body.encode()))
    named = ToolNames(asked, CODEC[provider].tool_name, losses).written(asked)
    with losses.complaining():
        CODEC[provider].encode_request(named, to, losses)
    return losses.named()


def has(value: Any, path: str) -> bool:
    """Whether a document has such a place, with any element for ``[]``."""
    steps: list[tuple[str, str]] = _STEP.findall(path)
    places = [value]
    for name, index in steps:
        if name:
            places = [place[name] for place in places if isinstance(place, dict) and name in place]
        elif index:
            places = [place[int(index)] for place in places if isinstance(place, list) and int(index) < len(place)]
        else:
            places = [element for place in places if isinstance(place, list) for element in place]
    return bool(steps) and bool(places)


@pytest.mark.parametrize("destinations", [DESTINATIONS, OTHERS], ids=["documented", "others"])
@pytest.mark.parametrize(
    ("caller", "provider"), [(caller, other) for caller in CALLERS for other in CALLERS if other != caller]
)
def test_every_name_is_one_of_the_callers_request(
    caller: str, provider: str, destinations: Mapping[str, Destination]
) -> None:
    """Of every field that the documentation has a row for."""
    wrong = []
    for field, samples in SAMPLES[caller].items():
        for sample in samples:
            document = laid(PLAIN[caller], sample)
            try:
                names = spelled(caller, document, provider, destinations[provider])
            except BadRequest:
                continue
            wrong += [f"{field}: {name}" for name in names if not has(document, name)]
    assert wrong == []


SYSTEM = [{"type": "text", "text": "S"}, {"type": "text", "text": "T", "cache_control": _MARK}]
SCHEMA: Json = {"type": "object", "properties": {}, "additionalProperties": False}
LOOSE: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
CALL: Json = {"type": "tool_use", "id": "t1", "name": "b", "input": {}}
RESULT: Json = {
    "type": "tool_result",
    "tool_use_id": "t1",
    "is_error": True,
    "content": [{"type": "text", "text": "R", "cache_control": _MARK}],
}


@pytest.mark.parametrize(
    ("caller", "more", "provider", "expected"),
    [
        pytest.param(
            "messages",
            {
                "system": SYSTEM,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": _MARK}]}],
            },
            "responses",
            {"system[1].cache_control", "messages[0].content[0].cache_control"},
            id="instructions have a field of their own",
        ),
        pytest.param(
            "messages",
            {
                "system": SYSTEM,
                "tools": [{"name": "b", "input_schema": SCHEMA, "cache_control": _MARK}],
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": [CALL]},
                    {"role": "user", "content": [RESULT]},
                ],
            },
            "gemini",
            {
                "system[].cache_control",
                "messages[].content[].content[].cache_control",
                "tools[].cache_control",
            },
            id="marks stand wherever they stand",
        ),
        pytest.param(
            "messages",
            {
                "stop_sequences": ["END"],
                "metadata": {"user_id": "u" * 65},
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "output_config": {"format": {"type": "json_schema", "schema": LOOSE}},
            },
            "responses",
            {"stop_sequences", "metadata.user_id", "thinking.budget_tokens", "output_config.format"},
            id="fields that have other names",
        ),
        pytest.param(
            "messages",
            {
                "tools": [
                    {"type": "web_search_20250305", "name": "web_search"},
                    {"name": "b", "input_schema": SCHEMA, "eager_input_streaming": True},
                ]
            },
            "responses",
            {"tools[0]", "tools[1].eager_input_streaming"},
            id="tools are counted as they came",
        ),
        pytest.param(
            "chat",
            {
                "reasoning_effort": "minimal",
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {
                        "role": "assistant",
                        "reasoning_content": "Hm.",
                        "content": "Ho",
                        "tool_calls": [
                            {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}},
                            {
                                "id": "c2",
                                "type": "function",
                                "function": {"name": "b", "arguments": "{}"},
                                "extra_content": {"google": {"thought_signature": "c2ln"}},
                            },
                        ],
                    },
                    {"role": "tool", "tool_call_id": "c1", "content": "R"},
                    {"role": "tool", "tool_call_id": "c2", "content": "R"},
                ],
            },
            "responses",
            {"messages[1].reasoning_content", "messages[1].tool_calls[1].extra_content", "reasoning_effort"},
            id="thoughts and calls have fields of their own",
        ),
        pytest.param(
            "responses",
            {
                "instructions": "S",
                "tools": [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("a", "b")],
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"},
                    {"type": "function_call", "call_id": "d", "name": "b", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "R"},
                    {"type": "function_call_output", "call_id": "d", "output": "R"},
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "Look."},
                            {"type": "input_image", "file_id": "file-1"},
                        ],
                    },
                ],
            },
            "messages",
            {"input[].content[]"},
            id="no index where messages were joined",
        ),
        pytest.param(
            "responses",
            {
                "instructions": "S",
                "input": [
                    {"role": "user", "content": "Hi"},
                    {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
                ],
            },
            "messages",
            {"input[1].content[0]"},
            id="an index where they were not",
        ),
        pytest.param(
            "gemini",
            {
                "systemInstruction": {"parts": [{"text": "S"}]},
                "generation_config": {"stop_sequences": ["END"], "top_k": 3, "max_output_tokens": 8},
                "contents": [
                    {"role": "user", "parts": [{"text": "Hi"}]},
                    {"role": "model", "parts": [{"text": "Ho", "thought_signature": "c2ln"}]},
                    {"role": "user", "parts": [{"text": "Hi"}]},
                ],
            },
            "responses",
            {
                "generation_config.stop_sequences",
                "generation_config.top_k",
                "generation_config.max_output_tokens",
                "contents[1].parts[0].thought_signature",
            },
            id="Google's names are told as they were written",
        ),
    ],
)
def test_names_are_the_callers(caller: str, more: Json, provider: str, expected: set[str]) -> None:
    document = {**PLAIN[caller], **more}
    if "generation_config" in document:
        del document["generationConfig"]
    names = spelled(caller, document, provider, DESTINATIONS[provider])
    assert [name for name in names if not has(document, name)] == []
    assert expected <= set(names)
    assert not {name for name in names if "parts" in name and caller != "gemini"}


@pytest.mark.parametrize(
    ("caller", "more", "provider", "told"),
    [
        ("messages", {"stop_sequences": ["END"]}, "responses", "stop_sequences"),
        ("gemini", {"generationConfig": {"stopSequences": ["END"]}}, "responses", "generationConfig.stopSequences"),
        ("chat", {"stop": ["END"]}, "responses", "stop"),
    ],
)
def test_refusals_name_the_callers_field(caller: str, more: Json, provider: str, told: str) -> None:
    document = {**PLAIN[caller], **more}
    with pytest.raises(Unsupported, match=f"^{re.escape(told)} cannot be sent to this provider: ") as caught:
        spelled(caller, document, provider, DESTINATIONS[provider], OnUnsupported.DEFAULT)
    assert caught.value.param == told


CALLING: Mapping[str, Json] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in "ab"
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "r"},
        ]
    },
    "responses": {
        "input": [
            {"role": "user", "content": "Hi"},
            *({"type": "function_call", "call_id": one, "name": "f", "arguments": "{}"} for one in "ab"),
            {"type": "function_call_output", "call_id": "a", "output": "r"},
        ]
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}] * 2},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        ]
    },
}
"""Conversations in which the second of two calls has no result."""

_LIST_FOR_SCHEMA: Json = {"responseMimeType": "application/json", "responseJsonSchema": []}


@pytest.mark.parametrize(
    ("caller", "more", "provider", "told"),
    [
        ("chat", CALLING["chat"], "messages", "messages[1].tool_calls[1]"),
        ("responses", CALLING["responses"], "messages", "input[2]"),
        ("gemini", CALLING["gemini"], "messages", "contents[1].parts[1]"),
        ("gemini", {"contents": CALLING["gemini"]["contents"][2:]}, "chat", "contents[0].parts[0]"),
        ("gemini", {"contents": CALLING["gemini"]["contents"][2:]}, "messages", "contents[0].parts[0]"),
        ("gemini", {"generationConfig": _LIST_FOR_SCHEMA}, "messages", "generationConfig.responseJsonSchema"),
        pytest.param(
            "messages",
            {"tools": [{"name": "f", "input_schema": {}}, {"name": "g" * 99, "input_schema": []}]},
            "chat",
            "tools[1].input_schema",
            id="a tool that the provider knows by another name",
        ),
    ],
)
def test_complaints_name_the_callers_field_and_nothing_made_up(
    caller: str, more: Json, provider: str, told: str
) -> None:
    """Google's callers need not give ids to their calls: those that stand for them are none of theirs."""
    with pytest.raises(BadRequest, match=f"^{re.escape(told)}: ") as caught:
        spelled(caller, {**PLAIN[caller], **more}, provider, DESTINATIONS[provider])
    assert caught.value.param == told
    assert "gwfc" not in caught.value.message


def test_fields_in_more_places_than_can_be_told_are_told_without_them() -> None:
    """Whose names are other ones in other places is told for each."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": _MARK}]}] * 300
    document = {**PLAIN["messages"], "system": SYSTEM, "messages": messages, "stop_sequences": ["END"]}
    names = spelled("messages", document, "responses", DESTINATIONS["responses"])
    assert names == ["system[].cache_control", "messages[].content[].cache_control", "stop_sequences"]


def test_embeddings_have_their_own_names() -> None:
    body = b'{"content":{"parts":[{"text":"Hi"}]},"embedContentConfig":{"taskType":"CLUSTERING"}}'
    assert Spelling("gemini", body, {}).of("taskType") == ("embedContentConfig.taskType",)


def test_counted_requests_keep_what_they_stand_in() -> None:
    body = b'{"generateContentRequest":{"contents":[],"generationConfig":{"stopSequences":["END"]}}}'
    named = Spelling("gemini", body, {}).of("stop")
    assert named == ("generateContentRequest.generationConfig.stopSequences",)
