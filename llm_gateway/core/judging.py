"""Whether a provider's answer has failed, and with what: read from its status, its headers and its beginning."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite

import msgspec

from llm_gateway.core.apis import Api
from llm_gateway.core.headers import Fields
from llm_gateway.core.sse import EventStreamError, EventStreamParser
from llm_gateway.core.translation.failures import ProviderFailure

__all__ = ["MAX_BEGINNING_BYTES", "Opening", "failure_in_answer", "failure_in_event", "opening", "retry_after_s"]

MAX_BEGINNING_BYTES = 65_536
"""Of a stream whose first event is waited for; errors are shorter."""

_SPOKEN = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}
"""What reads the errors of each dialect."""

_MAX_RETRY_AFTER_S = 86_400.0 * 366


class Opening(Enum):
    """How a stream begins."""

    UNKNOWN = "unknown"
    """Nothing but comments so far, which keep a connection open and say nothing."""
    CONTENT = "content"
    ERROR = "error"


def opening(beginning: bytes) -> Opening:
    """
    :param beginning: whole events of a stream, all that came so far.
    :return: what its first event is.
    """
    if len(beginning) > MAX_BEGINNING_BYTES:
        return Opening.CONTENT
    if b"error" not in beginning and (beginning.startswith(b"data") or b"\ndata" in beginning):
        # Nearly every stream: there is no need to look closer.
        return Opening.CONTENT
    data = _first_data(beginning)
    if data is None:
        return Opening.UNKNOWN
    return Opening.CONTENT if _error_body(data) is None else Opening.ERROR


def failure_in_event(dialect: str, beginning: bytes) -> ProviderFailure | None:
    """
    :param dialect: the provider's.
    :param beginning: of a stream whose first event is an error.
    :return: the error in neutral words; ``None`` where it cannot be read.
    """
    data = _first_data(beginning)
    body = None if data is None else _error_body(data)
    return None if body is None else failure_in_answer(dialect, 500, body)


def failure_in_answer(dialect: str, status: int, body: bytes) -> ProviderFailure:
    """
    :param status: 400 or more.
    """
    # With the first answer that has failed: until then many a gateway does without what reads conversations.
    from llm_gateway.core.translation.codecs import CODECS

    return CODECS[_SPOKEN[dialect]].decode_failure(status, body)


def retry_after_s(headers: Fields, now: float) -> float | None:
    """
    When a provider wants to be asked again: ``retry-after-ms``, which OpenAI's SDKs look for first, or ``retry-after``,
    in seconds or as a date (RFC 9110, section 10.2.3).

    :param now: seconds since the epoch.
    :return: in seconds from now; never negative.
    """
    for name, unit in ((b"Retry-After-Ms", 0.001), (b"Retry-After", 1.0)):
        for value in headers.get(name, ())[:1]:
            found = _seconds(value, unit, now)
            if found is not None:
                return found
    return None


def _seconds(value: bytes, unit: float, now: float) -> float | None:
    text = value.decode("latin-1").strip()
    try:
        seconds = float(text) * unit
    except ValueError:
        if unit != 1.0:
            return None
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _MAX_RETRY_AFTER_S) if isfinite(seconds) else None


def _first_data(beginning: bytes) -> str | None:
    try:
        events = EventStreamParser(MAX_BEGINNING_BYTES).feed(beginning)
    except EventStreamError:
        return ""
    return next((event.data for event in events), None)


class _Said(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"null")
    type: msgspec.Raw = msgspec.Raw(b"null")


_said = msgspec.json.Decoder(_Said).decode


def _error_body(data: str) -> bytes | None:
    """
    :return: the event's data as the body of an answer that is an error; ``None`` if it is none.
    """
    body = data.encode("utf-8", "replace")
    try:
        said = _said(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if bytes(said.error)[:1] in (b"{", b'"'):
        return body
    # The Responses API says it without the object around it.
    return b'{"error":%b}' % body if bytes(said.type) == b'"error"' else None
