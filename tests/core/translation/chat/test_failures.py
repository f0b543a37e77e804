"""Errors, from what a provider answers to the exception that the SDK raises."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import openai
import pytest

from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure

codec = ChatCodec()


def read(status: int, document: Any) -> ProviderFailure:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return codec.decode_failure(status, body)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "code": None}, FailureKind.INVALID),
        (400, {"code": "context_length_exceeded"}, FailureKind.CONTEXT_OVERFLOW),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, FailureKind.CONTEXT_OVERFLOW),
        (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, FailureKind.CONTEXT_OVERFLOW),
        (413, {"message": "Request body is big"}, FailureKind.TOO_LARGE),
        (413, {"message": "The context window is full"}, FailureKind.CONTEXT_OVERFLOW),
        (400, {"code": "content_filter"}, FailureKind.FILTERED),
        (400, {"type": "exceed_context_size_error", "code": 400}, FailureKind.CONTEXT_OVERFLOW),
        (401, {"code": "invalid_api_key", "type": "invalid_request_error"}, FailureKind.AUTHENTICATION),
        (401, {"type": "invalid_request_error"}, FailureKind.AUTHENTICATION),
        (402, {"message": "Insufficient Balance"}, FailureKind.BILLING),
        (403, {}, FailureKind.PERMISSION),
        (404, {"code": "model_not_found"}, FailureKind.NOT_FOUND),
        (409, {}, FailureKind.CONFLICT),
        (422, {"message": "wrong"}, FailureKind.INVALID),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, FailureKind.RATE_LIMIT),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, FailureKind.BILLING),
        (429, {"type": "exceeded_current_quota_error"}, FailureKind.BILLING),
        (429, {}, FailureKind.RATE_LIMIT),
        (500, {"type": "server_error"}, FailureKind.SERVER),
        (503, {}, FailureKind.OVERLOADED),
        (504, {}, FailureKind.TIMEOUT),
        (529, {}, FailureKind.OVERLOADED),
        (418, {}, FailureKind.INVALID),
        (599, {}, FailureKind.SERVER),
    ],
)
def test_kinds(status: int, error: dict[str, Any], kind: FailureKind) -> None:
    failure = read(status, {"error": {"message": "Something.", **error}})
    assert (failure.status, failure.kind) == (status, kind)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"error": {"message": "Wrong.", "param": "n", "code": "bad"}}, "Wrong."),
        ({"error": "Wrong."}, "Wrong."),
        ({"message": "Wrong.", "type": "x"}, "Wrong."),
        ({"object": "error", "message": {"detail": [{"msg": "no"}]}}, '{"detail":[{"msg":"no"}]}'),
        ({"detail": "Wrong."}, "Wrong."),
        ({"detail": [{"msg": "no"}]}, '[{"msg":"no"}]'),
        ([{"error": {"message": "Wrong.", "code": 400, "status": "INVALID_ARGUMENT"}}], "Wrong."),
        ({"error": {"message": "x" * 10_000}}, "x" * 4096),
    ],
)
def test_messages_are_found_wherever_they_stand(document: Any, message: str) -> None:
    assert read(400, document).message == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>502 Bad Gateway SECRET</title></html>",
        b"SECRET",
        b"{}",
        b"[]",
        b"[7]",
        b"null",
        b'{"error":null}',
        b'{"error":[]}',
        b'{"error":{"message":""}}',
        b'{"error":{"message":"\xff"}}',
        b"[" * 100_000,
        b'{"error":' * 50_000,
    ],
)
def test_bodies_without_a_message_are_told_by_their_status(body: bytes) -> None:
    failure = read(502, body)
    assert failure.kind is FailureKind.SERVER
    assert failure.message == "The provider answered with status 502 (Bad Gateway) and did not say why."


def test_place_and_code_are_kept() -> None:
    failure = read(400, {"error": {"message": "Wrong.", "param": "n", "code": "bad", "type": "t"}})
    assert (failure.param, failure.code) == ("n", "bad")
    assert read(400, {"error": {"message": "Wrong.", "code": 400, "type": "t"}}).code == "t"


@pytest.mark.parametrize(
    ("kind", "raised", "code"),
    [
        (FailureKind.INVALID, openai.BadRequestError, "own"),
        (FailureKind.CONTEXT_OVERFLOW, openai.BadRequestError, "context_length_exceeded"),
        (FailureKind.TOO_LARGE, openai.APIStatusError, "request_too_large"),
        (FailureKind.AUTHENTICATION, openai.AuthenticationError, "invalid_api_key"),
        (FailureKind.BILLING, openai.RateLimitError, "insufficient_quota"),
        (FailureKind.PERMISSION, openai.PermissionDeniedError, "own"),
        (FailureKind.NOT_FOUND, openai.NotFoundError, "model_not_found"),
        (FailureKind.CONFLICT, openai.ConflictError, "own"),
        (FailureKind.RATE_LIMIT, openai.RateLimitError, "rate_limit_exceeded"),
        (FailureKind.FILTERED, openai.BadRequestError, "content_filter"),
        (FailureKind.SERVER, openai.InternalServerError, "own"),
        (FailureKind.OVERLOADED, openai.InternalServerError, "server_overloaded"),
        (FailureKind.TIMEOUT, openai.InternalServerError, "timeout"),
    ],
)
def test_official_sdk_raises_its_exception_for_every_kind(
    kind: FailureKind, raised: type[openai.APIStatusError], code: str
) -> None:
    status, body = codec.encode_failure(ProviderFailure(418, kind, "Wrong.", "n", "own"), "req-1")
    response = httpx2.Response(status, content=body, request=httpx2.Request("POST", "https://a.test/v1"))
    client = openai.OpenAI(api_key="k", base_url="https://a.test/v1")
    error = client._make_status_error_from_response(response)
    assert type(error) is raised
    assert (error.code, error.param) == (code, "n")
    assert "Wrong." in error.message
    again = codec.decode_failure(status, body)
    assert again == ProviderFailure(status, kind, "Wrong.", "n", code)


def test_unprocessable_is_a_class_of_its_own() -> None:
    assert codec.encode_failure(ProviderFailure(422, FailureKind.INVALID, "No."), "r")[0] == 422
    assert codec.encode_failure(ProviderFailure(418, FailureKind.INVALID, "No."), "r")[0] == 400


@pytest.mark.parametrize("status", [500, 502, 520])
def test_status_of_a_broken_provider_is_kept(status: int) -> None:
    assert codec.encode_failure(ProviderFailure(status, FailureKind.SERVER, "Broken."), "r")[0] == status


def test_error_inside_a_stream_has_a_status_of_its_kind() -> None:
    assert codec.encode_failure(ProviderFailure(200, FailureKind.SERVER, "Broken."), "r")[0] == 500
