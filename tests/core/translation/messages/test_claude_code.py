"""Claude Code with a provider of another dialect: what it sends is understood, and nothing of it is refused.

The shape of the requests is that of Claude Code 2.1: ``POST /v1/messages?beta=true`` with blocks and cache marks in
``system``, adaptive thinking, an effort, edits of the context and an id of the user that is itself JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.conversation import CacheMark, Message, Reasoning, Request, Role, Text, ToolResult
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.messages.codec import MessagesCodec

CODEC = MessagesCodec()

MARK = {"type": "ephemeral", "ttl": "1h"}
USER = '{"device_id":"b4","account_uuid":"","session_id":"fe79bd85-e0f6-4811-b886-8af6dc007e6d"}'

ASKED: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 64_000,
    "stream": True,
    "temperature": 1,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.69.fb2; cc_entrypoint=cli; cch=00000;"},
        {"type": "text", "text": "You are Claude Code.", "cache_control": MARK},
        {"type": "text", "text": "How to work.", "cache_control": {**MARK, "scope": "global"}},
    ],
    "messages": [
        {"role": "user", "content": "<system-reminder>Tools</system-reminder>"},
        {"role": "system", "content": [{"type": "text", "text": "Be careful.", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "c2lnbmF0dXJl"},
                {"type": "text", "text": "I look."},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "Read",
                    "input": {"file_path": "/a"},
                    "caller": {"type": "direct"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"tool_use_id": "toolu_1", "type": "tool_result", "content": "1\tx", "is_error": False},
                {"type": "text", "text": "<system-reminder>x</system-reminder>", "cache_control": MARK},
            ],
        },
    ],
    "tools": [
        {
            "name": "Read",
            "description": "Reads.",
            "input_schema": {"$schema": "s", "type": "object", "properties": {}, "additionalProperties": False},
            "eager_input_streaming": True,
        },
        {"name": "Late", "input_schema": {"type": "object"}, "defer_loading": True},
    ],
    "metadata": {"user_id": USER},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
}


def asked(**fields: Any) -> Request:
    return CODEC.decode_request(msgspec.json.encode({**ASKED, **fields}))


def test_all_that_has_no_neutral_place_is_a_hint() -> None:
    request = asked()

    assert (
        request.hints
        == request.extras.keys()
        == {
            "context_management",
            "system[0]",
            "system[2].cache_control.scope",
            "tools[0].eager_input_streaming",
            "tools[1].defer_loading",
        }
    )
    assert request.foreign_tools == ()


@pytest.mark.parametrize("api", CODECS)
def test_no_dialect_refuses_it(api: Api) -> None:
    messages = msgspec.json.decode(msgspec.json.encode(ASKED["messages"]))
    # As the gateway signs what a provider thought that signs nothing itself.
    messages[2]["content"][0]["signature"] = ""
    losses = Losses()

    CODECS[api].encode_request(asked(messages=messages), Destination("model", "provider"), losses)

    assert {"context_management", "system[0]"} <= {*losses.dropped} or api is Api.MESSAGES


def test_prompt_begins_with_what_stays_the_same() -> None:
    """The note for Anthropic's books differs from call to call: with it no other provider could cache the prompt."""
    assert asked().messages[0] == Message(
        Role.SYSTEM, (Text("You are Claude Code.", cache=CacheMark("1h")), Text("How to work.", cache=CacheMark("1h")))
    )


def test_the_rest_is_what_it_means() -> None:
    request = asked()

    assert request.user == USER
    assert request.reasoning == Reasoning(enabled=True, adaptive=True, effort="high", show="none")
    assert [tool.name for tool in request.tools] == ["Read", "Late"]
    assert [message.role for message in request.messages[1:]] == [Role.USER, Role.SYSTEM, Role.ASSISTANT, Role.USER]
    assert request.messages[4].parts[0] == ToolResult("toolu_1", (Text("1\tx"),))


def test_counting_tokens_asks_without_a_limit() -> None:
    counted = {name: ASKED[name] for name in ("model", "messages", "system", "tools", "thinking")}

    request = CODEC.decode_request(msgspec.json.encode(counted))

    assert request.max_tokens is None
    assert request.messages == asked().messages


def test_probe_for_the_quota_is_a_request_like_any_other() -> None:
    probe = {
        "model": "claude-haiku-4-5",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "quota"}],
        "metadata": {"user_id": USER},
    }

    request = CODEC.decode_request(msgspec.json.encode(probe))

    assert (request.max_tokens, request.stream, request.extras) == (1, False, {})
