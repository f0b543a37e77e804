"""What the gateway's own errors look like in each dialect, field by field."""

from __future__ import annotations

import re
from typing import Any

import attrs
import msgspec

from tests.real.client import Answer


@attrs.frozen
class Kind:
    """One kind of error, as clients of each dialect are told of it."""

    code: str
    """The body's ``code`` where the dialect has one, and ``x-gw-error``."""
    status: int
    openai: str = "invalid_request_error"
    anthropic: str = "invalid_request_error"
    gemini: str = "INVALID_ARGUMENT"


BAD_REQUEST = Kind("bad_request", 400)
MISSING_KEY = Kind("missing_key", 401, anthropic="authentication_error", gemini="UNAUTHENTICATED")
UNKNOWN_KEY = Kind("invalid_api_key", 401, anthropic="authentication_error", gemini="UNAUTHENTICATED")
NOT_CONFIGURED = Kind("provider_not_configured", 400, gemini="FAILED_PRECONDITION")
WRONG_PROVIDER = Kind("provider_not_allowed", 403, anthropic="permission_error", gemini="PERMISSION_DENIED")
WRONG_DIALECT = Kind("dialect_mismatch", 400)
NOT_FOUND = Kind("not_found", 404, anthropic="not_found_error", gemini="NOT_FOUND")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405)
TOO_LARGE = Kind("request_too_large", 413, anthropic="request_too_large")
HEADERS_TOO_LARGE = Kind("headers_too_large", 431)
INTERNAL = Kind("internal_error", 500, "server_error", "api_error", "INTERNAL")
UNAVAILABLE = Kind("no_provider_available", 503, "server_error", "overloaded_error", "UNAVAILABLE")
RATE_LIMITED = Kind("providers_rate_limited", 429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED")
BUSY = Kind("gateway_busy", 503, "server_error", "overloaded_error", "UNAVAILABLE")
UNREACHABLE = Kind("upstream_unreachable", 502, "server_error", "api_error", "UNAVAILABLE")
DISCONNECTED = Kind("upstream_disconnected", 502, "server_error", "api_error", "UNAVAILABLE")
MALFORMED = Kind("upstream_malformed", 502, "server_error", "api_error", "UNAVAILABLE")
TIMEOUT = Kind("upstream_timeout", 504, "server_error", "timeout_error", "DEADLINE_EXCEEDED")

FRAME = {
    "openai": re.compile(rb"data: (\{[^\r\n]*\})\n\n"),
    "anthropic": re.compile(rb"event: error\ndata: (\{[^\r\n]*\})\n\n"),
    "gemini": re.compile(rb"data: (\{[^\r\n]*\})\r\n\r\n"),
}


def check_error(dialect: str, document: bytes, kind: Kind, request_id: str | None, status: int | None = None) -> str:
    """
    Check that an error document has the fields of its dialect and no others.

    :return: its message.
    """
    error: Any = msgspec.json.decode(document)
    status = kind.status if status is None else status
    message = error["error"]["message"]
    if dialect == "openai":
        fields = {"message": message, "type": kind.openai, "param": None, "code": kind.code}
        assert error == {"error": fields}
    elif dialect == "anthropic":
        fields = {"type": kind.anthropic, "message": message}
        assert error == {"type": "error", "error": fields, "request_id": request_id}
    else:
        assert error == {"error": {"code": status, "message": message, "status": kind.gemini}}
    assert isinstance(message, str)
    assert message.endswith(".")
    return message


def check_refusal(answer: Answer, dialect: str, kind: Kind, *, status: int | None = None) -> str:
    """
    Check that an answer is the gateway's own error of this kind, in every respect.

    :param status: where it is not the kind's usual one.
    :return: its message.
    """
    status = kind.status if status is None else status
    assert answer.whole
    assert answer.status == status, answer
    assert answer.value("x-gw-error") == kind.code, answer
    assert answer.value("content-type") == "application/json"
    assert answer.value("server") is None
    request_id = answer.value("x-gw-request-id")
    assert re.fullmatch(r"[0-9a-f]{24}", request_id or ""), answer
    if answer.framing == "none":
        assert int(answer.value("content-length") or 0) > 0
        return ""
    assert answer.framing == "length"
    return check_error(dialect, answer.body, kind, request_id, status)


def check_broken_stream(answer: Answer, dialect: str, kind: Kind, begun: bytes) -> str:
    """
    Check that a stream broke off in the dialect's way: what had come, exactly one error event, a clean end.

    :return: the error's message.
    """
    assert (answer.status, answer.whole, answer.framing) == (200, True, "chunked"), answer
    assert answer.body.startswith(begun), answer
    frame = FRAME[dialect].fullmatch(answer.body.removeprefix(begun))
    assert frame, answer
    return check_error(dialect, frame[1], kind, answer.value("x-gw-request-id"))
