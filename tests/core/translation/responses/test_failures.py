"""A provider's errors, and how a caller of the Responses API is told of one."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.responses.codec import ResponsesCodec

CODEC = ResponsesCodec()


def read(status: int, document: object) -> ProviderFailure:
    return CODEC.decode_failure(status, msgspec.json.encode(document))


def error(message: str = "Sorry.", **fields: object) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, error(type="invalid_request_error"), FailureKind.INVALID),
        (400, error(code="context_length_exceeded"), FailureKind.CONTEXT_OVERFLOW),
        (400, error("Your input exceeds the context window of this model."), FailureKind.CONTEXT_OVERFLOW),
        (400, error("This model's maximum context length is 8 tokens.", code=400), FailureKind.CONTEXT_OVERFLOW),
        (400, error(type="exceed_context_size_error"), FailureKind.CONTEXT_OVERFLOW),
        (400, error(code="content_policy_violation"), FailureKind.FILTERED),
        (400, error(code="invalid_prompt"), FailureKind.FILTERED),
        (401, error(code="invalid_api_key"), FailureKind.AUTHENTICATION),
        (402, error(), FailureKind.BILLING),
        (403, error(), FailureKind.PERMISSION),
        (404, error(code="model_not_found"), FailureKind.NOT_FOUND),
        (408, error(), FailureKind.TIMEOUT),
        (409, error(), FailureKind.CONFLICT),
        (413, error(), FailureKind.TOO_LARGE),
        (422, error(), FailureKind.INVALID),
        (418, error(), FailureKind.INVALID),
        (429, error(code="rate_limit_exceeded"), FailureKind.RATE_LIMIT),
        (429, error(type="insufficient_quota", code="insufficient_quota"), FailureKind.BILLING),
        (500, error(type="server_error"), FailureKind.SERVER),
        (502, error(), FailureKind.SERVER),
        (503, error(), FailureKind.OVERLOADED),
        (503, error(type="server_error"), FailureKind.OVERLOADED),
        (504, error(code="server_error"), FailureKind.TIMEOUT),
        (503, error(code="server_is_overloaded"), FailureKind.OVERLOADED),
        (504, error(), FailureKind.TIMEOUT),
        (529, error(), FailureKind.OVERLOADED),
    ],
)
def test_kind_is_found_by_code_words_and_status(status: int, document: object, kind: FailureKind) -> None:
    failure = read(status, document)

    assert failure.kind is kind
    assert failure.status == status


@pytest.mark.parametrize(
    "document",
    [error(), {"error": "Sorry."}, {"message": "Sorry."}, {"detail": "Sorry."}, {"error": {"message": "Sorry."}}],
)
def test_message_is_found_wherever_it_stands(document: object) -> None:
    assert read(400, document).message == "Sorry."


def test_field_and_code_are_kept() -> None:
    failure = read(400, error(param="input[0]", code="invalid_value"))

    assert (failure.param, failure.code) == ("input[0]", "invalid_value")


@given(status=st.integers(400, 599), body=st.binary(max_size=60))
def test_any_body_is_an_error_with_a_message(status: int, body: bytes) -> None:
    assert CODEC.decode_failure(status, body).message


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        (FailureKind.INVALID, openai.BadRequestError),
        (FailureKind.CONTEXT_OVERFLOW, openai.BadRequestError),
        (FailureKind.TOO_LARGE, openai.APIStatusError),
        (FailureKind.AUTHENTICATION, openai.AuthenticationError),
        (FailureKind.BILLING, openai.RateLimitError),
        (FailureKind.PERMISSION, openai.PermissionDeniedError),
        (FailureKind.NOT_FOUND, openai.NotFoundError),
        (FailureKind.CONFLICT, openai.ConflictError),
        (FailureKind.RATE_LIMIT, openai.RateLimitError),
        (FailureKind.FILTERED, openai.BadRequestError),
        (FailureKind.SERVER, openai.InternalServerError),
        (FailureKind.OVERLOADED, openai.InternalServerError),
        (FailureKind.TIMEOUT, openai.InternalServerError),
    ],
)
def test_sdk_raises_the_class_of_the_kind(kind: FailureKind, raised: type[openai.APIStatusError]) -> None:
    status, body = CODEC.encode_failure(ProviderFailure(599, kind, "Sorry.", "input", "own"), "req_1")
    response = httpx2.Response(status, content=body, request=httpx2.Request("POST", "http://test"))

    told = openai.OpenAI(api_key="x", base_url="http://test")._make_status_error_from_response(response)

    assert type(told) is raised
    assert told.param == "input"
    assert "Sorry." in told.message


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_is_read_as_it_was_written(kind: FailureKind) -> None:
    status, body = CODEC.encode_failure(ProviderFailure(599, kind, "Sorry."), "req_1")

    assert CODEC.decode_failure(status, body).kind is kind


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ProviderFailure(422, FailureKind.INVALID, "x"), 422),
        (ProviderFailure(502, FailureKind.SERVER, "x"), 502),
        (ProviderFailure(529, FailureKind.OVERLOADED, "x"), 503),
        (ProviderFailure(402, FailureKind.BILLING, "x"), 429),
    ],
)
def test_status_is_kept_where_the_sdk_takes_it_for_the_same(failure: ProviderFailure, status: int) -> None:
    assert CODEC.encode_failure(failure, "req_1")[0] == status
