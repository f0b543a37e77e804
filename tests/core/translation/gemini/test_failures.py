"""Google's errors in neutral words, and everybody's errors in Google's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from tests.core.translation.gemini.reach import CODEC


def body(code: int, message: str, status: str, *details: Any) -> bytes:
    return json.dumps(
        {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    ).encode()


@pytest.mark.parametrize(
    ("status", "word", "message", "kind"),
    [
        (400, "INVALID_ARGUMENT", "Invalid value at 'contents'", FailureKind.INVALID),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1054016) exceeds the maximum number of tokens allowed (1048576).",
            FailureKind.CONTEXT_OVERFLOW,
        ),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", FailureKind.AUTHENTICATION),
        (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.", FailureKind.TOO_LARGE),
        (400, "FAILED_PRECONDITION", "Please enable billing on your project.", FailureKind.BILLING),
        (401, "UNAUTHENTICATED", "No.", FailureKind.AUTHENTICATION),
        (403, "PERMISSION_DENIED", "No.", FailureKind.PERMISSION),
        (404, "NOT_FOUND", "models/x is not found", FailureKind.NOT_FOUND),
        (409, "ABORTED", "No.", FailureKind.CONFLICT),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", FailureKind.RATE_LIMIT),
        (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", FailureKind.BILLING),
        (500, "INTERNAL", "An internal error has occurred.", FailureKind.SERVER),
        (503, "UNAVAILABLE", "The model is overloaded.", FailureKind.OVERLOADED),
        (504, "DEADLINE_EXCEEDED", "No.", FailureKind.TIMEOUT),
        (429, "SOMETHING_NEW", "No.", FailureKind.RATE_LIMIT),
        (418, "", "No.", FailureKind.INVALID),
        (599, "", "No.", FailureKind.SERVER),
    ],
)
def test_kinds_of_errors(status: int, word: str, message: str, kind: FailureKind) -> None:
    failure = CODEC.decode_failure(status, body(status, message, word))
    assert (failure.status, failure.kind, failure.message, failure.code) == (status, kind, message, word)


def test_an_error_may_stand_in_a_list() -> None:
    single = body(503, "Later.", "UNAVAILABLE")
    assert CODEC.decode_failure(503, b"[" + single + b"]") == CODEC.decode_failure(503, single)


def test_details_are_read() -> None:
    failure = CODEC.decode_failure(
        429,
        body(
            429,
            "Slower.",
            "RESOURCE_EXHAUSTED",
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "x"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "10.689924287s"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents[0].parts"}]},
            {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "abc"},
        ),
    )
    assert failure.retry_after_s == pytest.approx(10.69, abs=0.01)
    assert (failure.param, failure.request_id) == ("contents[0].parts", "abc")


def test_a_bad_key_is_known_by_its_reason() -> None:
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    assert CODEC.decode_failure(400, body(400, "Nein.", "INVALID_ARGUMENT", reason)).kind is FailureKind.AUTHENTICATION


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"[]",
        b"{}",
        b'{"error":"no"}',
        b'{"error":{"code":"x"}}',
        b"\xff",
        b"[" * 100_000,
        b'{"error":{"details":[{"retryDelay":5}]}}',
        b'{"error":{"details":{}}}',
        b'[{"error":{}},5]',
    ],
)
def test_whatever_the_body_is_there_is_a_failure(body: bytes) -> None:
    failure = CODEC.decode_failure(502, body)
    assert (failure.status, failure.kind) == (502, FailureKind.SERVER)
    assert "502" in failure.message
    assert "Gateway" not in failure.message


@pytest.mark.parametrize("delay", ["soon", "-5s", "1e9s", "5", "99999999999s"])
def test_a_delay_that_is_none_is_not_waited_for(delay: str) -> None:
    assert CODEC.decode_failure(429, body(429, "x", "RESOURCE_EXHAUSTED", {"retryDelay": delay})).retry_after_s is None


def test_what_is_written_says_who_asked_and_when_to_ask_again() -> None:
    failure = ProviderFailure(529, FailureKind.OVERLOADED, "Later.", "field", "overloaded_error", "req_up", 7)
    status, written = CODEC.encode_failure(failure, "req_gw")
    assert status == 503
    assert json.loads(written) == {
        "error": {
            "code": 503,
            "message": "Later.",
            "status": "UNAVAILABLE",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"},
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "field", "description": "Later."}],
                },
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req_gw"},
            ],
        }
    }


@pytest.mark.parametrize("kind", FailureKind)
def test_kinds_that_google_tells_apart_come_back(kind: FailureKind) -> None:
    coarse = {
        FailureKind.CONTEXT_OVERFLOW: FailureKind.INVALID,
        FailureKind.FILTERED: FailureKind.INVALID,
        FailureKind.BILLING: FailureKind.RATE_LIMIT,
    }
    status, written = CODEC.encode_failure(ProviderFailure(400, kind, "x"), "r")
    assert CODEC.decode_failure(status, written).kind is coarse.get(kind, kind)


@pytest.mark.parametrize("status", [500, 502, 520])
def test_status_of_a_broken_provider_is_kept(status: int) -> None:
    answered, body = CODEC.encode_failure(ProviderFailure(status, FailureKind.SERVER, "Broken."), "r")
    error = json.loads(body)["error"]
    assert (answered, error["code"], error["status"]) == (status, status, "INTERNAL")
