"""
OpenAI's error bodies, and what compatible providers make of them.

Source: https://platform.openai.com/docs/guides/error-codes/api-errors and the official SDK, which picks an exception by
the status alone.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec

from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.fields import BROKEN

__all__ = ["failure_document", "failure_in", "read_failure", "write_failure"]

_LONGEST = 4096
"""Characters of a provider's message that are passed on. Some quote the whole request."""

_BY_CODE = {
    "context_length_exceeded": FailureKind.CONTEXT_OVERFLOW,
    "string_above_max_length": FailureKind.INVALID,
    "insufficient_quota": FailureKind.BILLING,
    "billing_hard_limit_reached": FailureKind.BILLING,
    "billing_not_active": FailureKind.BILLING,
    "rate_limit_exceeded": FailureKind.RATE_LIMIT,
    "invalid_api_key": FailureKind.AUTHENTICATION,
    "model_not_found": FailureKind.NOT_FOUND,
    "deploymentnotfound": FailureKind.NOT_FOUND,
    "content_filter": FailureKind.FILTERED,
    "content_policy_violation": FailureKind.FILTERED,
    "invalid_prompt": FailureKind.FILTERED,
    "server_error": FailureKind.SERVER,
    "server_overloaded": FailureKind.OVERLOADED,
    "overloaded": FailureKind.OVERLOADED,
}
_BY_TYPE = {
    "insufficient_quota": FailureKind.BILLING,
    "exceed_context_size_error": FailureKind.CONTEXT_OVERFLOW,
    "authentication_error": FailureKind.AUTHENTICATION,
    "permission_error": FailureKind.PERMISSION,
    "overloaded_error": FailureKind.OVERLOADED,
    "engine_overloaded_error": FailureKind.OVERLOADED,
    "exceeded_current_quota_error": FailureKind.BILLING,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "rate_limit_reached_error": FailureKind.RATE_LIMIT,
    "requests": FailureKind.RATE_LIMIT,
    "tokens": FailureKind.RATE_LIMIT,
    "server_error": FailureKind.SERVER,
    "invalid_request_error": FailureKind.INVALID,
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
    498: FailureKind.OVERLOADED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
_TOO_LONG = re.compile(
    r"context (?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|input is too long|exceeds? the (?:model's )?(?:maximum|limit)[^.]{0,40} tokens",
    re.IGNORECASE,
)

_WORDS: dict[FailureKind, tuple[int, str, str | None]] = {
    FailureKind.INVALID: (400, "invalid_request_error", None),
    FailureKind.CONTEXT_OVERFLOW: (400, "invalid_request_error", "context_length_exceeded"),
    FailureKind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    FailureKind.AUTHENTICATION: (401, "invalid_request_error", "invalid_api_key"),
    FailureKind.BILLING: (429, "insufficient_quota", "insufficient_quota"),
    FailureKind.PERMISSION: (403, "invalid_request_error", None),
    FailureKind.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    FailureKind.CONFLICT: (409, "invalid_request_error", None),
    FailureKind.RATE_LIMIT: (429, "requests", "rate_limit_exceeded"),
    FailureKind.FILTERED: (400, "invalid_request_error", "content_filter"),
    FailureKind.SERVER: (500, "server_error", None),
    FailureKind.OVERLOADED: (503, "server_error", "server_overloaded"),
    FailureKind.TIMEOUT: (504, "server_error", "timeout"),
}
"""Status, ``type`` and ``code``: programs look at the last of these for what they can do something about."""


class _Error(msgspec.Struct):
    message: object = None
    type: object = None
    code: object = None
    param: object = None
    status: object = None


_Any = dict[str, msgspec.Raw]
_decode_map = msgspec.json.Decoder(_Any).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def read_failure(status: int, body: bytes) -> ProviderFailure:
    """
    :param body: JSON in one of the forms that are in use, or anything else, such as a proxy's page.
    """
    try:
        error = _error_in(body)
    except BROKEN:
        error = None
    if error is None:
        return ProviderFailure(status, _kind(status, None, None, ""), _without_words(status))
    return _failure(status, error)


def failure_in(raw: msgspec.Raw) -> ProviderFailure:
    """
    :param raw: ``error`` of an event in a stream, an object or a text.
    """
    try:
        error = _inner(raw)
    except BROKEN:
        error = None
    if error is None:
        return ProviderFailure(500, FailureKind.SERVER, _without_words(500))
    status = error.code if isinstance(error.code, int) and 400 <= error.code < 600 else None
    failure = _failure(status or 500, error)
    if status is None:
        failure = msgspec.structs.replace(failure, status=_WORDS[failure.kind][0])
    return failure


def _error_in(body: bytes) -> _Error | None:
    body = body.strip()
    if body[:1] == b"[":
        # Google's OpenAI-compatible interface puts the object into a list.
        elements = _decode_list(body)
        return _error_in(bytes(elements[0])) if elements and bytes(elements[0])[:1] == b"{" else None
    document = _decode_map(body)
    if "error" in document:
        return _inner(document["error"])
    if "message" in document or "detail" in document:
        # Mistral, vLLM, and servers made with FastAPI.
        error = _decode_error(body)
        if error.message is None:
            error.message = _detail(document["detail"]) if "detail" in document else None
        return error
    return None


def _inner(raw: msgspec.Raw) -> _Error | None:
    start = bytes(memoryview(raw)[:1])
    if start == b'"':
        return _Error(_decode_text(raw))
    return _decode_error(raw) if start == b"{" else None


def _detail(raw: msgspec.Raw) -> str | None:
    start = bytes(memoryview(raw)[:1])
    if start == b'"':
        return _decode_text(raw)
    return bytes(raw).decode("utf-8", "replace") if start in (b"[", b"{") else None


def _failure(status: int, error: _Error) -> ProviderFailure:
    code = _word(error.code)
    kind_word = _word(error.type)
    message = error.message
    if message is not None and not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    said = (message or "").strip()[:_LONGEST] or _without_words(status)
    return ProviderFailure(
        status,
        _kind(status, code, kind_word, said),
        said,
        param=_word(error.param),
        code=code if not (code or "").isdigit() else kind_word,
    )


def _word(value: object) -> str | None:
    if isinstance(value, str):
        return value[:200] or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _kind(status: int, code: str | None, kind_word: str | None, message: str) -> FailureKind:
    by_code = _BY_CODE.get((code or "").lower())
    if by_code is not None:
        return by_code
    by_status = _BY_STATUS.get(status)
    if by_status in (None, FailureKind.INVALID, FailureKind.TOO_LARGE) and _TOO_LONG.search(message):
        return FailureKind.CONTEXT_OVERFLOW
    by_type = _BY_TYPE.get((kind_word or "").lower())
    if by_type is not None and (by_status in (None, FailureKind.INVALID) or by_type is FailureKind.BILLING):
        return by_type
    return by_status or (FailureKind.SERVER if status >= 500 else FailureKind.INVALID)


def _without_words(status: int) -> str:
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    return f"The provider answered with status {status}{phrase} and did not say why."


def write_failure(failure: ProviderFailure) -> tuple[int, bytes]:
    """
    :return: a status that makes the SDK raise the right exception, and the body.
    """
    status = _WORDS[failure.kind][0]
    if failure.kind is FailureKind.SERVER and 500 <= failure.status < 600:
        # To the SDK they are all one.
        status = failure.status
    elif failure.kind is FailureKind.INVALID and failure.status == 422:
        # To it this is a class of its own.
        status = failure.status
    return status, msgspec.json.encode(failure_document(failure))


def failure_document(failure: ProviderFailure) -> dict[str, object]:
    _, kind, code = _WORDS[failure.kind]
    return {
        "error": {
            "message": failure.message,
            "type": kind,
            "param": failure.param,
            # What OpenAI has a code for is known by it; anything else by the provider's own.
            "code": code or failure.code,
        }
    }
