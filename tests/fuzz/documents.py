"""What providers answer, with most of what an answer may have; every value of it has a turn at being something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["ANSWERS", "FAILURES", "STREAMS", "framed"]

Json = dict[str, Any]

_IMAGE = "data:image/png;base64,iVBO"
_CHAT_SAID: Json = {
    "role": "assistant",
    "content": "Hi",
    "reasoning_content": "t",
    "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "c2ln", "index": 0}],
    "refusal": "no",
    "tool_calls": [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "a", "arguments": "{}"}},
        {"index": 1, "id": "d", "type": "custom", "custom": {"name": "b", "input": "x"}},
    ],
    "audio": {"id": "a", "data": "UklG", "expires_at": 1, "transcript": "t"},
    "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0}}],
    "images": [{"image_url": {"url": _IMAGE}}],
    "extra_content": {"google": {"thought_signature": "c2ln"}},
}
_CHAT_META: Json = {"id": "a1", "object": "chat.completion", "created": 7, "model": "m", "service_tier": "default"}
_CHAT_USAGE: Json = {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}
_LOGPROBS: Json = {"content": [{"token": "x", "logprob": -1.0, "bytes": [120], "top_logprobs": []}]}

_BLOCKS: list[Json] = [
    {"type": "thinking", "thinking": "t", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "c2ln"},
    {"type": "text", "text": "Hi", "citations": [{"type": "page_location", "cited_text": "c", "document_index": 0}]},
    {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}},
    {"type": "server_tool_use", "id": "j", "name": "web_search", "input": {"query": "q"}},
]
_MESSAGE: Json = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
_COUNTS: Json = {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 1}}

_ITEMS: list[Json] = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "gAAA"},
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "Hi",
                "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
                "logprobs": _LOGPROBS["content"],
            },
            {"type": "refusal", "refusal": "no"},
        ],
    },
    {"type": "function_call", "id": "f", "call_id": "c", "name": "a", "arguments": '{"at":1}'},
    {"type": "custom_tool_call", "id": "g", "call_id": "d", "name": "b", "input": "x"},
    {"type": "web_search_call", "id": "w", "status": "completed"},
    {"type": "image_generation_call", "id": "p", "status": "completed", "result": "iVBO"},
]
_RESPONSE: Json = {"id": "resp", "object": "response", "created_at": 7, "model": "m", "status": "in_progress"}
_SPENT: Json = {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}

_CANDIDATE: Json = {
    "index": 0,
    "content": {
        "role": "model",
        "parts": [
            {"text": "t", "thought": True, "thoughtSignature": "c2ln"},
            {"text": "Hi"},
            {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
            {"functionCall": {"name": "a", "args": {"at": 1}}, "thoughtSignature": "c2ln"},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
        ],
    },
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 2, "text": "Hi"}, "groundingChunkIndices": [0]}
        ],
    },
    "citationMetadata": {"citationSources": [{"startIndex": 0, "endIndex": 1, "uri": "u"}]},
    "logprobsResult": {
        "chosenCandidates": [{"token": "x", "logProbability": -1.0}],
        "topCandidates": [{"candidates": [{"token": "x", "logProbability": -1.0}]}],
    },
}
_ENDED: Json = {
    "candidates": [{**_CANDIDATE, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
    "modelVersion": "m",
    "responseId": "r",
}

ANSWERS: Mapping[str, Json] = {
    "chat": {
        **_CHAT_META,
        "choices": [{"index": 0, "message": _CHAT_SAID, "logprobs": _LOGPROBS, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
    },
    "responses": {**_RESPONSE, "status": "completed", "output": _ITEMS, "usage": _SPENT},
    "messages": {**_MESSAGE, "content": _BLOCKS, "stop_reason": "end_turn", "stop_sequence": None, "usage": _COUNTS},
    "gemini": _ENDED,
    "embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}, {"index": 1, "embedding": "AAAAPwAAgD8="}],
        "model": "m",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
    "gemini_embeddings": {"embeddings": [{"values": [0.5, 1]}], "usageMetadata": {"promptTokenCount": 1}},
    "count_tokens": {"input_tokens": 5},
    "gemini_count_tokens": {"totalTokens": 5},
}
"""By the name of the API."""

FAILURES: Sequence[Json] = (
    {"error": {"message": "slow", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}, "request_id": "r"},
    {
        "error": {
            "code": 429,
            "message": "slow",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}],
        }
    },
    {"detail": [{"loc": ["body"], "msg": "slow"}]},
)


def _chunk(choices: list[Json], **more: Any) -> Json:
    return {**_CHAT_META, "object": "chat.completion.chunk", "choices": choices, **more}


def _block(index: int, block: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _item(index: int, item: Json, *events: Json) -> list[Json]:
    at = {"output_index": index, "item_id": item["id"]}
    return [
        {"type": "response.output_item.added", **at, "item": {**item, "status": "in_progress"}},
        *({**event, **at} for event in events),
        {"type": "response.output_item.done", **at, "item": item},
    ]


STREAMS: Mapping[str, list[Json]] = {
    "chat": [
        _chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        *(_chunk([{"index": 0, "delta": {name: said}}]) for name, said in _CHAT_SAID.items()),
        _chunk([{"index": 1, "delta": _CHAT_SAID, "logprobs": _LOGPROBS, "finish_reason": "length"}]),
        _chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
        _chunk([], usage=_CHAT_USAGE),
    ],
    "responses": [
        {"type": "response.created", "response": {**_RESPONSE, "output": []}},
        *_item(
            0,
            _ITEMS[0],
            {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {"type": "summary_text"}},
            {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "t"},
        ),
        *_item(
            1,
            _ITEMS[1],
            {"type": "response.content_part.added", "content_index": 0, "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.delta", "content_index": 0, "delta": "H", "logprobs": []},
            {
                "type": "response.output_text.annotation.added",
                "content_index": 0,
                "annotation": {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1},
            },
            {"type": "response.refusal.delta", "content_index": 1, "delta": "n"},
        ),
        *_item(2, _ITEMS[2], {"type": "response.function_call_arguments.delta", "delta": '{"at"'}),
        *_item(3, _ITEMS[3], {"type": "response.custom_tool_call_input.delta", "delta": "x"}),
        *_item(4, _ITEMS[4]),
        {"type": "response.completed", "response": {**_RESPONSE, "status": "completed", "output": [], "usage": _SPENT}},
    ],
    "messages": [
        {"type": "message_start", "message": {**_MESSAGE, "usage": _COUNTS}},
        *_block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "t"},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        {"type": "ping"},
        *_block(1, _BLOCKS[1]),
        *_block(
            2,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "Hi"},
            {"type": "citations_delta", "citation": {"type": "page_location", "cited_text": "c"}},
        ),
        *_block(3, {**_BLOCKS[3], "input": {}}, {"type": "input_json_delta", "partial_json": '{"a":1}'}),
        *_block(4, {**_BLOCKS[4], "input": {}}, {"type": "input_json_delta", "partial_json": "{}"}),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": _COUNTS},
        {"type": "message_stop"},
    ],
    "gemini": [{"candidates": [_CANDIDATE], "responseId": "r"}, {"candidates": [{"index": 1}]}, _ENDED],
}
"""Its events, by the name of the API."""


def framed(api: str, events: list[Any]) -> bytes:
    """
    :return: the stream of these events.
    """
    out = b""
    for event in events:
        if api in ("responses", "messages") and isinstance(event, dict) and isinstance(event.get("type"), str):
            out += b"event: %b\n" % event["type"].encode()
        out += b"data: " + msgspec.json.encode(event) + (b"\r\n\r\n" if api == "gemini" else b"\n\n")
    return out + (b"data: [DONE]\n\n" if api == "chat" else b"")
