"""
Errors of OpenAI's APIs, read and written.

Providers that speak OpenAI's dialect do not all write errors alike: vLLM has a number for a code, LM Studio a string
for an error, others a message beside it.

Source: https://platform.openai.com/docs/guides/error-codes, and ``_make_status_error`` of the official Python SDK,
which chooses the exception's class by the status alone.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.fields import BROKEN

__all__ = ["ReadError", "read_error", "read_failure", "stream_failure", "write_error", "write_failure"]

_LONGEST_MESSAGE = 2_000
"""Of a message that is made of a body which is no JSON, in characters."""


class ReadError(msgspec.Struct, frozen=True):
    """What is known of an error, whatever its form was."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None


class _Loose(msgspec.Struct, frozen=True):
    message: object = None
    type: object = None
    code: object = None
    param: object = None


class _Body(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw()
    message: object = None
    detail: object = None


_body = msgspec.json.Decoder(_Body).decode
_loose = msgspec.json.Decoder(_Loose).decode
_text = msgspec.json.Decoder(str).decode

_BY_CODE = {
    "billing_hard_limit_reached": FailureKind.BILLING,
    "conflict": FailureKind.CONFLICT,
    "content_filter": FailureKind.FILTERED,
    "content_policy_violation": FailureKind.FILTERED,
    "context_length_exceeded": FailureKind.CONTEXT_OVERFLOW,
    "credit_balance_exhausted": FailureKind.BILLING,
    "exceed_context_size_error": FailureKind.CONTEXT_OVERFLOW,
    "insufficient_quota": FailureKind.BILLING,
    "invalid_api_key": FailureKind.AUTHENTICATION,
    "invalid_prompt": FailureKind.FILTERED,
    "bio_policy": FailureKind.FILTERED,
    "cyber_policy": FailureKind.FILTERED,
    "misalignment_policy_violation": FailureKind.FILTERED,
    "model_not_found": FailureKind.NOT_FOUND,
    "not_found": FailureKind.NOT_FOUND,
    "overloaded": FailureKind.OVERLOADED,
    "permission_denied": FailureKind.PERMISSION,
    "rate_limit_exceeded": FailureKind.RATE_LIMIT,
    "request_too_large": FailureKind.TOO_LARGE,
    "server_error": FailureKind.SERVER,
    "server_is_overloaded": FailureKind.OVERLOADED,
    "slow_down": FailureKind.RATE_LIMIT,
    "timeout": FailureKind.TIMEOUT,
}
_BY_TYPE = {
    "authentication_error": FailureKind.AUTHENTICATION,
    "exceed_context_size_error": FailureKind.CONTEXT_OVERFLOW,
    "insufficient_quota": FailureKind.BILLING,
    "invalid_request_error": FailureKind.INVALID,
    "not_found_error": FailureKind.NOT_FOUND,
    "overloaded_error": FailureKind.OVERLOADED,
    "permission_error": FailureKind.PERMISSION,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "rate_limit_exceeded": FailureKind.RATE_LIMIT,
    "server_error": FailureKind.SERVER,
    "service_unavailable_error": FailureKind.OVERLOADED,
}
_BY_STATUS = {
    400: FailureKind.INVALID,
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.BILLING,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.CONFLICT,
    413: FailureKind.TOO_LARGE,
    422: FailureKind.INVALID,
    429: FailureKind.RATE_LIMIT,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
_OVERFLOW = (
    "context window",
    "maximum context length",
    "exceeds the available context size",
    "context the overflows",
    "prompt is too long",
)
"""What servers say that have no code for it: OpenAI, vLLM, llama.cpp, LM Studio."""

_WRITTEN = {
    FailureKind.INVALID: (400, "invalid_request_error", None),
    FailureKind.CONTEXT_OVERFLOW: (400, "invalid_request_error", "context_length_exceeded"),
    FailureKind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    FailureKind.AUTHENTICATION: (401, "invalid_request_error", "invalid_api_key"),
    FailureKind.BILLING: (429, "insufficient_quota", "insufficient_quota"),
    FailureKind.PERMISSION: (403, "invalid_request_error", "permission_denied"),
    FailureKind.NOT_FOUND: (404, "invalid_request_error", "not_found"),
    FailureKind.CONFLICT: (409, "invalid_request_error", "conflict"),
    FailureKind.RATE_LIMIT: (429, "rate_limit_error", "rate_limit_exceeded"),
    FailureKind.FILTERED: (400, "invalid_request_error", "content_policy_violation"),
    FailureKind.SERVER: (500, "server_error", "server_error"),
    FailureKind.OVERLOADED: (503, "server_error", "overloaded"),
    FailureKind.TIMEOUT: (504, "server_error", "timeout"),
}
"""
Status, type and code of each kind. ``server_is_overloaded``, OpenAI's own, is one that Codex gives up at; others it
tries again, as is right for the short overloads of other providers.
"""


def read_error(raw: msgspec.Raw) -> ReadError:
    """
    :param raw: the value of an ``error`` field, whatever it is.
    """
    try:
        error = _loose(raw)
    except BROKEN:
        try:
            return ReadError(_text(raw))
        except BROKEN:
            return ReadError()
    return ReadError(_said(error.message) or "", _said(error.type), _said(error.code), _said(error.param))


def _said(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def read_failure(status: int, body: bytes) -> ProviderFailure:
    """
    :param body: JSON or not.
    """
    try:
        document = _body(body)
    except BROKEN:
        error = ReadError(body[:_LONGEST_MESSAGE].decode("utf-8", "replace").strip())
    else:
        error = read_error(document.error) if document.error else ReadError()
        if not error.message:
            beside = _said(document.message) or _said(document.detail) or ""
            error = msgspec.structs.replace(error, message=beside)
    kind = _kind(status, error)
    message = error.message or f"The provider answered with status {status}."
    return ProviderFailure(status, kind, message, error.param, error.code or error.type)


def stream_failure(error: ReadError) -> ProviderFailure:
    """
    :param error: that came inside a stream, where there is no status.
    """
    kind = _kind(None, error)
    message = error.message or "The provider ended its answer with an error."
    return ProviderFailure(_WRITTEN[kind][0], kind, message, error.param, error.code or error.type)


def _kind(status: int | None, error: ReadError) -> FailureKind:
    by_code = _BY_CODE.get(error.code or "") or _BY_CODE.get(error.type or "")
    # Of "server_error" there are several, which the status tells apart.
    if by_code is not None and not (by_code is FailureKind.SERVER and status in _BY_STATUS):
        return by_code
    said = error.message.lower()
    if status in (None, 400, 413, 422) and any(phrase in said for phrase in _OVERFLOW):
        return FailureKind.CONTEXT_OVERFLOW
    by_type = _BY_TYPE.get(error.type or "")
    if status is None:
        return by_type or FailureKind.SERVER
    by_status = _BY_STATUS.get(status)
    if by_status is not None:
        return by_status
    return by_type or (FailureKind.INVALID if status < 500 else FailureKind.SERVER)


class _Error(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


def write_failure(failure: ProviderFailure) -> tuple[int, bytes]:
    """
    :return: the status and the body that make the SDKs raise the class that belongs to the kind.
    """
    status, type, code = _WRITTEN[failure.kind]
    # The provider's own status is kept where it means the same to the SDKs.
    if (failure.kind is FailureKind.SERVER and 500 <= failure.status <= 502) or (
        failure.kind is FailureKind.INVALID and failure.status == 422
    ):
        status = failure.status
    error = _Error(failure.message, type, failure.param, code or failure.code)
    return status, msgspec.json.encode(_Failure(error))


def write_error(failure: ProviderFailure) -> tuple[str, str]:
    """
    :return: type and code of the error inside a stream.
    """
    _, type, code = _WRITTEN[failure.kind]
    if failure.kind is FailureKind.FILTERED:
        # The one code for it that a Response may have, and that Codex does not try again.
        return type, "invalid_prompt"
    return type, code or failure.code or type
