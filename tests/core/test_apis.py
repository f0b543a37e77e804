"""What a path asks for."""

from __future__ import annotations

import pytest

from llm_gateway.core.apis import Api, Asked, asked_of


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("POST", "/v1/chat/completions", Asked(Api.CHAT)),
        ("POST", "/v1/responses", Asked(Api.RESPONSES)),
        ("POST", "/responses", Asked(Api.RESPONSES)),
        ("GET", "/v1/responses/resp_1", Asked(Api.OTHER)),
        ("POST", "/v1/messages", Asked(Api.MESSAGES)),
        ("POST", "/messages/", Asked(Api.MESSAGES)),
        ("POST", "/v1/messages/count_tokens", Asked(Api.COUNT_TOKENS)),
        ("GET", "/v1/messages", Asked(Api.OTHER)),
        ("POST", "/v1/messages/batches", Asked(Api.OTHER)),
        ("POST", "/v1/embeddings", Asked(Api.EMBEDDINGS)),
        ("POST", "/v1beta/models/gemini-pro:generateContent", Asked(Api.GEMINI, "gemini-pro", "generateContent")),
        ("POST", "/v1/models/g:streamGenerateContent", Asked(Api.GEMINI, "g", "streamGenerateContent")),
        ("POST", "/v1beta/models/g:countTokens", Asked(Api.GEMINI_COUNT_TOKENS, "g", "countTokens")),
        ("POST", "/v1beta/models/g:batchEmbedContents", Asked(Api.GEMINI_EMBEDDINGS, "g", "batchEmbedContents")),
        ("POST", "/v1beta/models/ft:g:acme:embedContent", Asked(Api.GEMINI_EMBEDDINGS, "ft:g:acme", "embedContent")),
        ("POST", "/v1beta/models/a%2Fb:generateContent", Asked(Api.GEMINI, "a/b", "generateContent")),
        ("POST", "/v1beta/models/g:predict", Asked(Api.OTHER, "g", "predict")),
        ("POST", "/v1/models", Asked(Api.OTHER)),
        ("GET", "/v1/models", Asked(Api.MODELS)),
        ("GET", "/models/", Asked(Api.MODELS)),
        ("GET", "/v1/models/ft:gpt-4o:org::id", Asked(Api.MODELS, "ft:gpt-4o:org::id")),
        ("GET", "/v1/models/org/model", Asked(Api.MODELS, "org/model")),
        ("DELETE", "/v1/models/ft:x", Asked(Api.OTHER)),
        ("POST", "/v1/files", Asked(Api.OTHER)),
        ("GET", "/", Asked(Api.OTHER)),
    ],
)
def test_path_says_what_it_asks_for(method: str, path: str, asked: Asked) -> None:
    assert asked_of(method.encode(), path.encode()) == asked


@pytest.mark.parametrize(
    ("verb", "stream"), [("generateContent", False), ("streamGenerateContent", True), (None, None)]
)
def test_only_geminis_verb_tells_whether_it_is_a_stream(verb: str | None, stream: bool | None) -> None:
    assert Asked(Api.GEMINI, "g", verb).stream is stream
