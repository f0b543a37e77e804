"""Errors keep their kind: the SDK raises the class that belongs to it, and a provider's are understood."""

from __future__ import annotations

import anthropic
import httpx2
import msgspec
import pytest

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.core.translation.messages.failures import failure_of_event

CODEC = MessagesCodec()

CLASSES = {
    FailureKind.INVALID: anthropic.BadRequestError,
    FailureKind.CONTEXT_OVERFLOW: anthropic.BadRequestError,
    FailureKind.TOO_LARGE: anthropic.RequestTooLargeError,
    FailureKind.AUTHENTICATION: anthropic.AuthenticationError,
    FailureKind.BILLING: anthropic.PaymentRequiredError,
    FailureKind.PERMISSION: anthropic.PermissionDeniedError,
    FailureKind.NOT_FOUND: anthropic.NotFoundError,
    FailureKind.CONFLICT: anthropic.ConflictError,
    FailureKind.RATE_LIMIT: anthropic.RateLimitError,
    FailureKind.FILTERED: anthropic.BadRequestError,
    FailureKind.SERVER: anthropic.InternalServerError,
    FailureKind.OVERLOADED: anthropic.OverloadedError,
    FailureKind.TIMEOUT: anthropic.GatewayTimeoutError,
}


@pytest.mark.parametrize("kind", FailureKind)
def test_sdk_raises_the_class_of_the_kind(kind: FailureKind) -> None:
    status, body = CODEC.encode_failure(ProviderFailure(418, kind, "It went wrong."), "req-1")

    def answer(asked: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, request=asked)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(api_key="none", base_url="http://test", max_retries=0, http_client=transport)
    with pytest.raises(CLASSES[kind]) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[])

    assert type(caught.value) is CLASSES[kind]
    assert caught.value.api_message is not None
    assert "It went wrong." in caught.value.api_message
    assert msgspec.json.decode(body)["request_id"] == "req-1"


@pytest.mark.parametrize("kind", FailureKind)
def test_kind_survives_being_written_and_read(kind: FailureKind) -> None:
    message = "Blocked by the content filter." if kind is FailureKind.FILTERED else "It went wrong."
    status, body = CODEC.encode_failure(ProviderFailure(500, kind, message), "req-1")

    found = CODEC.decode_failure(status, body)

    assert found.kind is kind
    assert message in found.message
    assert found.request_id == "req-1"


def test_full_context_is_said_in_the_words_that_callers_look_for() -> None:
    _, body = CODEC.encode_failure(ProviderFailure(400, FailureKind.CONTEXT_OVERFLOW, "Too many tokens."), "r")
    _, same = CODEC.encode_failure(ProviderFailure(400, FailureKind.CONTEXT_OVERFLOW, "Prompt is too long."), "r")

    assert msgspec.json.decode(body)["error"]["message"] == "prompt is too long: Too many tokens."
    assert msgspec.json.decode(same)["error"]["message"] == "Prompt is too long."


@pytest.mark.parametrize("status", [500, 502, 520])
def test_status_of_a_server_error_is_kept(status: int) -> None:
    assert CODEC.encode_failure(ProviderFailure(status, FailureKind.SERVER, "x"), "r")[0] == status


def error(kind: str, message: str, **more: object) -> bytes:
    return msgspec.json.encode(
        {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "r"}
    )


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "messages: at least one message is required", FailureKind.INVALID),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", FailureKind.CONTEXT_OVERFLOW),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
            FailureKind.CONTEXT_OVERFLOW,
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", FailureKind.BILLING),
        (400, "invalid_request_error", "Output blocked by content filtering policy", FailureKind.FILTERED),
        (413, "request_too_large", "Request exceeds the maximum size", FailureKind.TOO_LARGE),
        (413, "invalid_request_error", "Too big", FailureKind.TOO_LARGE),
        (402, "billing_error", "Pay", FailureKind.BILLING),
        (429, "rate_limit_error", "Slow down", FailureKind.RATE_LIMIT),
        (529, "overloaded_error", "Overloaded", FailureKind.OVERLOADED),
        (500, "api_error", "Internal", FailureKind.SERVER),
        (503, "api_error", "Unavailable", FailureKind.OVERLOADED),
        (504, "api_error", "Gateway timeout", FailureKind.TIMEOUT),
        (502, "api_error", "Bad gateway", FailureKind.SERVER),
        (504, "timeout_error", "Late", FailureKind.TIMEOUT),
        (422, "unheard_of", "What?", FailureKind.INVALID),
        (503, "unheard_of", "What?", FailureKind.OVERLOADED),
    ],
)
def test_provider_errors_are_understood(status: int, kind: str, message: str, expected: FailureKind) -> None:
    found = CODEC.decode_failure(status, error(kind, message))

    assert (found.status, found.kind, found.message, found.code) == (status, expected, message, kind)
    assert found.request_id == "r"


def test_place_and_code_are_told_where_the_provider_tells_them() -> None:
    body = error(
        "invalid_request_error",
        "messages.0.content.1.text: text content blocks must be non-empty",
        details={"error_code": "blank"},
    )

    found = CODEC.decode_failure(400, body)

    assert (found.param, found.code) == ("messages.0.content.1.text", "blank")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"[]", b"{}", b'{"error":"no"}', b'{"error":{"message":1}}', b"\xff", b"[" * 99_999],
)
def test_bodies_of_other_kinds_leave_the_status(body: bytes) -> None:
    found = CODEC.decode_failure(502, body)

    assert found == ProviderFailure(502, FailureKind.SERVER, "The provider answered with status 502.")


def test_openai_shape_of_providers_that_mix_them_is_understood() -> None:
    found = CODEC.decode_failure(401, b'{"error":{"message":"Bad key","type":"auth","code":"invalid_api_key"}}')

    assert (found.kind, found.message, found.code) == (FailureKind.AUTHENTICATION, "Bad key", "invalid_api_key")


def test_error_inside_a_stream_has_the_status_of_its_kind() -> None:
    assert failure_of_event(error("overloaded_error", "Overloaded").decode()) == ProviderFailure(
        529, FailureKind.OVERLOADED, "Overloaded", code="overloaded_error", request_id="r"
    )
    assert failure_of_event("nonsense").kind is FailureKind.SERVER
