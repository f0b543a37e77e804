"""Answers of every dialect, as providers send them, shortened; and what was used, worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from llm_gateway.core.usage.values import Usage


class Recording(msgspec.Struct, frozen=True):
    dialect: str
    body: bytes
    usage: Usage
    model: str | None


def sse(*events: dict[str, Any] | str, named: bool = False) -> bytes:
    lines = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        lines.append(f"{name}data: {data}\n\n".encode())
    return b"".join(lines)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5.4-mini", "choices": choices, **more}


CHAT_USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 70,
    "total_tokens": 1270,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 0, "rejected_prediction_tokens": 0},
}
CHAT_READ = Usage(input=176, cached=1024, output=30, reasoning=40)

CHAT = sse(
    chunk({"role": "assistant", "content": ""}, usage=None, service_tier="default"),
    chunk({"content": "Grüße, 世界 🌍, you have max_tokens"}, usage=None),
    chunk({"reasoning_content": 'He said "usage": {"prompt_tokens": 5}.'}, usage=None),
    chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "now", "arguments": ""}}]}, usage=None),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"usage": {"x_tokens": 1}}'}}]}, usage=None),
    chunk({}, "tool_calls", usage=None),
    chunk(usage=CHAT_USAGE),
    "[DONE]",
)

CHAT_SILENT = sse(chunk({"content": "Hello, "}), chunk({"content": "world."}), chunk({}, "stop"), "[DONE]")
"""Nobody asked for its numbers."""

DEEPSEEK = sse(
    chunk({"reasoning_content": "Hm."}),
    chunk({"content": "Yes."}),
    chunk(
        {"content": ""},
        "stop",
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
            "completion_tokens_details": {"reasoning_tokens": 12},
        },
    ),
    "[DONE]",
)

GROQ = sse(
    chunk({"content": "Yes."}),
    chunk(
        {},
        "stop",
        x_groq={"id": "req_1", "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}},
    ),
    "[DONE]",
)

MOONSHOT = sse(
    chunk({"content": "Yes."}),
    {
        "id": "c",
        "model": "kimi-k2",
        "choices": [
            {
                "index": 0,
                "delta": {},
                "finish_reason": "stop",
                "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "cached_tokens": 4},
            }
        ],
    },
    "[DONE]",
)

CONTINUOUS = sse(
    *(
        chunk({"content": f" word{number}"}, usage={"prompt_tokens": 9, "completion_tokens": number, "total_tokens": 0})
        for number in range(1, 6)
    ),
    chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}),
    "[DONE]",
)
"""vLLM's ``continuous_usage_stats``."""

LEGACY = sse(
    {"object": "text_completion", "model": "gpt-3.5-turbo-instruct", "choices": [{"index": 0, "text": "Once upon"}]},
    {
        "object": "text_completion",
        "model": "gpt-3.5-turbo-instruct",
        "choices": [],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    },
    "[DONE]",
)


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "model": "gpt-5.6", "output": [], **more}


RESPONSE_USAGE = {
    "input_tokens": 300,
    "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 100},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 350,
}
RESPONSE_READ = Usage(input=72, cached=128, cache_write=100, output=30, reasoning=20)
RESPONSE_ITEMS = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed"},
    {"type": "message", "content": [{"type": "output_text", "text": "It is noon."}]},
]


def responses(ending: str, **more: Any) -> bytes:
    return sse(
        {"type": "response.created", "response": response("in_progress", usage=None)},
        {"type": "response.reasoning_summary_text.delta", "delta": "Let me see."},
        {"type": "response.output_text.delta", "delta": "It is "},
        {"type": "response.output_text.delta", "delta": "noon."},
        {"type": "response.output_text.done", "text": "It is noon."},
        {"type": "response.function_call_arguments.delta", "delta": '{"x":1}'},
        {"type": f"response.{ending}", "response": response(ending, usage=RESPONSE_USAGE, **more)},
        named=True,
    )


MESSAGE_START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 1,
            "service_tier": "priority",
        },
    },
}
MESSAGES = sse(
    MESSAGE_START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Ωμέγα 🙂"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQBCgIYAhIM"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"max_tokens": 5}'},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {
            "input_tokens": 40,
            "output_tokens": 60,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
            "output_tokens_details": {"thinking_tokens": 11},
        },
    },
    {"type": "message_stop"},
    named=True,
)
MESSAGES_READ = Usage(
    input=40,
    cached=1000,
    cache_write=200,
    cache_write_1h=100,
    output=49,
    reasoning=11,
    pieces={"web_search": 2},
    tier="priority",
)


def candidate(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, "finishReason": finish, **more}


GEMINI_EVENTS: list[dict[str, Any]] = [
    {
        "candidates": [candidate("Noon ")],
        "usageMetadata": {"promptTokenCount": 500, "totalTokenCount": 500},
        "modelVersion": "gemini-3-pro",
    },
    {
        "candidates": [candidate("is at twelve.")],
        "usageMetadata": {
            "promptTokenCount": 500,
            "candidatesTokenCount": 6,
            "thoughtsTokenCount": 20,
            "totalTokenCount": 526,
        },
        "modelVersion": "gemini-3-pro",
    },
    {
        "candidates": [candidate("", "STOP", groundingMetadata={"webSearchQueries": ["noon", "when is noon"]})],
        "usageMetadata": {
            "promptTokenCount": 500,
            "cachedContentTokenCount": 100,
            "candidatesTokenCount": 8,
            "thoughtsTokenCount": 25,
            "toolUsePromptTokenCount": 40,
            "totalTokenCount": 573,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 100},
                {"modality": "IMAGE", "tokenCount": 258},
                {"modality": "AUDIO", "tokenCount": 142},
            ],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, {"modality": "TEXT", "tokenCount": 70}],
            "serviceTier": "flex",
        },
        "modelVersion": "gemini-3-pro",
    },
]
GEMINI_READ = Usage(
    input=70,
    cached=70,
    audio_input=112,
    cached_audio=30,
    image_input=258,
    output=8,
    reasoning=25,
    pieces={"web_search": 2},
    tier="flex",
)

STREAMS = {
    "chat": Recording("openai", CHAT, CHAT_READ, "gpt-5.4-mini"),
    "deepseek": Recording("openai", DEEPSEEK, Usage(input=36, cached=64, output=8, reasoning=12), "gpt-5.4-mini"),
    "groq": Recording("openai", GROQ, Usage(input=10, output=3), "gpt-5.4-mini"),
    "moonshot": Recording("openai", MOONSHOT, Usage(input=6, cached=4, output=3), "kimi-k2"),
    "continuous": Recording("openai", CONTINUOUS, Usage(input=9, output=5), "gpt-5.4-mini"),
    "legacy": Recording("openai", LEGACY, Usage(input=4, output=2), "gpt-3.5-turbo-instruct"),
    "responses": Recording("openai", responses("completed"), RESPONSE_READ, "gpt-5.6"),
    "responses with tools": Recording(
        "openai",
        responses("completed", output=RESPONSE_ITEMS),
        msgspec.structs.replace(RESPONSE_READ, pieces={"web_search": 1, "file_search": 1}),
        "gpt-5.6",
    ),
    "responses incomplete": Recording(
        "openai",
        responses("incomplete", incomplete_details={"reason": "max_output_tokens"}, service_tier="flex"),
        msgspec.structs.replace(RESPONSE_READ, tier="flex"),
        "gpt-5.6",
    ),
    "responses failed": Recording(
        "openai", responses("failed", error={"code": "server_error", "message": "no"}), RESPONSE_READ, "gpt-5.6"
    ),
    "messages": Recording("anthropic", MESSAGES, MESSAGES_READ, "claude-sonnet-4-5"),
    "gemini": Recording("gemini", sse(*GEMINI_EVENTS), GEMINI_READ, "gemini-3-pro"),
}
