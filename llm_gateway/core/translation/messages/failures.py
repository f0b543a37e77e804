"""
Errors, both ways.

Source: https://platform.claude.com/docs/en/api/errors, and the ``ErrorType`` of the ``anthropic`` package (2.12).
"""

from __future__ import annotations

import re

import msgspec

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure

__all__ = ["error_document", "failure_of_event", "read_failure", "write_failure"]

_KINDS = {
    "invalid_request_error": FailureKind.INVALID,
    "request_too_large": FailureKind.TOO_LARGE,
    "authentication_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.BILLING,
    "permission_error": FailureKind.PERMISSION,
    "not_found_error": FailureKind.NOT_FOUND,
    "conflict_error": FailureKind.CONFLICT,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "api_error": FailureKind.SERVER,
    "overloaded_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.TIMEOUT,
}

_OF_STATUS = {
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
    529: FailureKind.OVERLOADED,
}

_WRITTEN = {
    FailureKind.INVALID: (400, "invalid_request_error"),
    FailureKind.CONTEXT_OVERFLOW: (400, "invalid_request_error"),
    FailureKind.TOO_LARGE: (413, "request_too_large"),
    FailureKind.AUTHENTICATION: (401, "authentication_error"),
    FailureKind.BILLING: (402, "billing_error"),
    FailureKind.PERMISSION: (403, "permission_error"),
    FailureKind.NOT_FOUND: (404, "not_found_error"),
    FailureKind.CONFLICT: (409, "conflict_error"),
    FailureKind.RATE_LIMIT: (429, "rate_limit_error"),
    FailureKind.FILTERED: (400, "invalid_request_error"),
    FailureKind.SERVER: (500, "api_error"),
    FailureKind.OVERLOADED: (529, "overloaded_error"),
    FailureKind.TIMEOUT: (504, "timeout_error"),
}

_TOO_LONG = "prompt is too long"
"""How the API says that the context is full. Claude Code looks for these words and shortens its conversation."""

_OVERFLOW = re.compile(
    r"prompt is too long|exceeds? (?:the )?(?:model'?s? )?(?:maximum )?context|context[ _]window|context limit"
)
_NO_CREDIT = re.compile(r"credit balance|spend limit|billing")
_FILTERED = re.compile(r"content filter|blocked by|usage polic")

_PLACE = re.compile(r"([a-z_]+(?:\.[a-z0-9_]+)*): ", re.IGNORECASE)
"""The field that a complaint is about: ``messages.0.content.1.text: text content blocks must be non-empty``."""


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None
    details: _Details | None = None
    code: str | int | None = None
    """Not Anthropic's; some providers that speak the dialect answer errors in OpenAI's."""


class _Body(msgspec.Struct):
    error: _Error
    request_id: str | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read_failure(status: int, body: bytes) -> ProviderFailure:
    """
    :param body: JSON or not.
    """
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ProviderFailure(status, _kind_of_status(status), f"The provider answered with status {status}.")
    return _failure(status, found)


def failure_of_event(data: str) -> ProviderFailure:
    """
    :param data: of an ``error`` event in a stream.
    """
    try:
        found = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ProviderFailure(500, FailureKind.SERVER, "The provider ended its stream with an error.")
    kind = _KINDS.get(found.error.type or "", FailureKind.SERVER)
    return _failure(_WRITTEN[kind][0], found)


def _failure(status: int, body: _Body) -> ProviderFailure:
    error = body.error
    message = error.message or f"The provider answered with status {status}."
    kind = _KINDS.get(error.type or "", _kind_of_status(status))
    if kind is FailureKind.SERVER:
        # The word stands for all of the provider's own faults; the status may tell more.
        kind = _OF_STATUS.get(status, kind) if status >= 500 else kind
    place = _PLACE.match(message) if kind is FailureKind.INVALID else None
    code = None if error.details is None else error.details.error_code
    if code is None:
        code = error.type if error.code is None else str(error.code)
    if kind is FailureKind.INVALID:
        kind = _kind_of_message(status, message.lower())
    return ProviderFailure(
        status,
        kind,
        message,
        param=None if place is None else place[1],
        code=code,
        request_id=body.request_id,
    )


def _kind_of_status(status: int) -> FailureKind:
    return _OF_STATUS.get(status, FailureKind.SERVER if status >= 500 else FailureKind.INVALID)


def _kind_of_message(status: int, message: str) -> FailureKind:
    """``invalid_request_error`` stands for several things that callers of other dialects tell apart."""
    if _OVERFLOW.search(message):
        return FailureKind.CONTEXT_OVERFLOW
    if _NO_CREDIT.search(message):
        return FailureKind.BILLING
    if _FILTERED.search(message):
        return FailureKind.FILTERED
    kind = _kind_of_status(status)
    return FailureKind.INVALID if kind is FailureKind.SERVER else kind


def write_failure(failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
    """
    :return: status and body.
    """
    status, _ = _WRITTEN[failure.kind]
    if failure.kind is FailureKind.SERVER and 500 <= failure.status < 600:
        status = failure.status
    return status, error_document(failure, request_id)


def error_document(failure: ProviderFailure, request_id: str | None) -> bytes:
    """
    :param request_id: ``None`` where the answer has said it in a header.
    """
    _, kind = _WRITTEN[failure.kind]
    message = failure.message
    if failure.kind is FailureKind.CONTEXT_OVERFLOW and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    document: dict[str, object] = {"type": "error", "error": {"type": kind, "message": message}}
    if request_id is not None:
        document["request_id"] = request_id
    return msgspec.json.encode(document)
