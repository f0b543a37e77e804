"""What a call is for, told from its path."""

from __future__ import annotations

import pytest

from llm_gateway.core.apis import Api, asked_of
from llm_gateway.core.operations import OPERATIONS, operation_of


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (b"/v1/chat/completions", "chat"),
        (b"/chat/completions", "chat"),
        (b"/completions/chat", "chat"),
        (b"/v1/completions", "chat"),
        (b"/v1/responses", "chat"),
        (b"/v1/messages", "chat"),
        (b"/v1/messages/batches", "batches"),
        (b"/v1beta/models/gemini-pro:generateContent", "chat"),
        (b"/v1/embeddings", "embeddings"),
        (b"/v1/messages/count_tokens", "count_tokens"),
        (b"/v1/images/generations", "images"),
        (b"/v1/audio/speech", "speech"),
        (b"/v1/audio/transcriptions", "transcription"),
        (b"/v1/audio/else", "other"),
        (b"/v1/moderations", "moderation"),
        (b"/v1/rerank", "rerank"),
        (b"/v1/realtime/sessions", "realtime"),
        (b"/v1/files", "files"),
        (b"/v1/files/file-1/content", "files"),
        (b"/v1/batches", "batches"),
        (b"/v1/videos", "other"),
        (b"/p/openai/images/edits", "images"),
        (b"/p/openai/v1/audio/speech", "speech"),
        (b"/p/anthropic/v1/messages", "chat"),
        (b"/", "other"),
    ],
)
def test_path_tells_what_a_call_is_for(path: bytes, operation: str) -> None:
    api = asked_of(b"POST", path).api if not path.startswith(b"/p/") else Api.OTHER
    assert operation_of(api, path) == operation
    assert operation in OPERATIONS
