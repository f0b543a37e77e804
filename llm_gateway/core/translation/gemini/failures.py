"""
Errors, as ``google.rpc.Status`` in JSON.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting and https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import math
import re

import msgspec

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure

__all__ = ["error_document", "failure_in", "read_failure"]


class _Violation(msgspec.Struct):
    field: str | None = None


class _Detail(msgspec.Struct, rename="camel"):
    """Of any of the kinds that ``google.rpc`` has."""

    retry_delay: str | None = None
    reason: str | None = None
    request_id: str | None = None
    field_violations: list[_Violation] | None = None


class _Status(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: msgspec.Raw = msgspec.Raw(b"[]")


class _Body(msgspec.Struct):
    error: _Status


_body = msgspec.json.Decoder(_Body | list[_Body]).decode
_status = msgspec.json.Decoder(_Status).decode
_details = msgspec.json.Decoder(list[_Detail]).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_KINDS = {
    "INVALID_ARGUMENT": FailureKind.INVALID,
    "FAILED_PRECONDITION": FailureKind.INVALID,
    "OUT_OF_RANGE": FailureKind.INVALID,
    "UNAUTHENTICATED": FailureKind.AUTHENTICATION,
    "PERMISSION_DENIED": FailureKind.PERMISSION,
    "NOT_FOUND": FailureKind.NOT_FOUND,
    "ALREADY_EXISTS": FailureKind.CONFLICT,
    "ABORTED": FailureKind.CONFLICT,
    "RESOURCE_EXHAUSTED": FailureKind.RATE_LIMIT,
    "DEADLINE_EXCEEDED": FailureKind.TIMEOUT,
    "UNAVAILABLE": FailureKind.OVERLOADED,
    "INTERNAL": FailureKind.SERVER,
    "UNKNOWN": FailureKind.SERVER,
    "DATA_LOSS": FailureKind.SERVER,
    "UNIMPLEMENTED": FailureKind.SERVER,
    "CANCELLED": FailureKind.SERVER,
}

_KINDS_OF_STATUS = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.BILLING,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.CONFLICT,
    413: FailureKind.TOO_LARGE,
    429: FailureKind.RATE_LIMIT,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
}

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

# What Google has one code for and callers tell apart, from the words that it uses. They are its own, and can change;
# the kind is then the coarser one.
_OVERFLOW = re.compile(r"token count .{0,40}exceeds|exceeds the maximum number of tokens", re.IGNORECASE)
_PAYMENT = re.compile(r"spend(?:ing)? cap|credits are depleted|prepa(?:id|yment)|enable billing", re.IGNORECASE)
_BAD_KEY = re.compile(r"api[ _]key (?:not valid|expired|not found)", re.IGNORECASE)
_TOO_LARGE = re.compile(r"payload size exceeds", re.IGNORECASE)
_BLOCKED = re.compile(r"blocked by (?:safety|policy)|prohibited use policy", re.IGNORECASE)

_SAYS = {
    FailureKind.INVALID: (400, "INVALID_ARGUMENT"),
    FailureKind.CONTEXT_OVERFLOW: (400, "INVALID_ARGUMENT"),
    FailureKind.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    FailureKind.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    FailureKind.BILLING: (429, "RESOURCE_EXHAUSTED"),
    FailureKind.PERMISSION: (403, "PERMISSION_DENIED"),
    FailureKind.NOT_FOUND: (404, "NOT_FOUND"),
    FailureKind.CONFLICT: (409, "ABORTED"),
    FailureKind.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED"),
    FailureKind.FILTERED: (400, "INVALID_ARGUMENT"),
    FailureKind.SERVER: (500, "INTERNAL"),
    FailureKind.OVERLOADED: (503, "UNAVAILABLE"),
    FailureKind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
}


def read_failure(status: int, body: bytes) -> ProviderFailure:
    """
    :param body: of an answer of that status: an error, one in a list (a stream that never began), or anything.
    """
    try:
        found = _body(body)
    except _BROKEN:
        found = []
    if isinstance(found, list):
        if not found:
            return _failure(status, _Status())
        found = found[0]
    return _failure(status, found.error)


def failure_in(error: msgspec.Raw, status: int | None) -> ProviderFailure:
    """
    :param error: the ``error`` of a document.
    :param status: of the answer; ``None`` in the middle of one.
    """
    try:
        found = _status(error)
    except _BROKEN:
        found = _Status()
    return _failure(status, found)


def _failure(status: int | None, error: _Status) -> ProviderFailure:
    word = error.status or ""
    if status is None:
        said = error.code if error.code is not None and 400 <= error.code < 600 else None
        status = said or _STATUSES.get(word, 500)
    message = error.message or f"The provider answered with status {status} and did not say why."
    kind = _KINDS.get(word)
    if kind is None:
        default = FailureKind.SERVER if status >= 500 else FailureKind.INVALID
        kind = _KINDS_OF_STATUS.get(status, default)
    try:
        details = _details(error.details)
    except _BROKEN:
        details = []
    if _BAD_KEY.search(message) or any(detail.reason == "API_KEY_INVALID" for detail in details):
        kind = FailureKind.AUTHENTICATION
    elif kind in (FailureKind.INVALID, FailureKind.RATE_LIMIT):
        kind = _finer(kind, message, status)
    fields = [violation.field for detail in details for violation in detail.field_violations or ()]
    return ProviderFailure(
        status=status,
        kind=kind,
        message=message,
        param=next((field for field in fields if field), None),
        code=error.status,
        request_id=next((detail.request_id for detail in details if detail.request_id), None),
        retry_after_s=next((_seconds(detail.retry_delay) for detail in details if detail.retry_delay), None),
    )


def _finer(kind: FailureKind, message: str, status: int) -> FailureKind:
    if _PAYMENT.search(message):
        return FailureKind.BILLING
    if kind is FailureKind.INVALID:
        if _OVERFLOW.search(message):
            return FailureKind.CONTEXT_OVERFLOW
        if status == 413 or _TOO_LARGE.search(message):
            return FailureKind.TOO_LARGE
        if _BLOCKED.search(message):
            return FailureKind.FILTERED
    return kind


def _seconds(delay: str) -> float | None:
    """A ``google.protobuf.Duration``: ``22s``, ``10.689924287s``."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", delay)
    return float(found[1]) if found else None


def error_document(failure: ProviderFailure, request_id: str | None) -> tuple[int, dict[str, object]]:
    """
    :param request_id: the gateway's.
    :return: the status, and the document that makes Google's SDKs raise ``ClientError`` or ``ServerError`` with it.
    """
    status, word = _SAYS[failure.kind]
    if _KINDS.get(failure.code or "") is failure.kind and failure.code in _STATUSES:
        status, word = _STATUSES[failure.code], failure.code
    elif failure.kind is FailureKind.SERVER and 500 <= failure.status < 600:
        status = failure.status
    details: list[dict[str, object]] = []
    if failure.retry_after_s is not None:
        delay = f"{math.ceil(failure.retry_after_s)}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    if failure.param is not None:
        violations = [{"field": failure.param, "description": failure.message}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    asked = request_id or failure.request_id
    if asked is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": asked})
    error: dict[str, object] = {"code": status, "message": failure.message, "status": word}
    if details:
        error["details"] = details
    return status, {"error": error}
