"""What is remembered of one call: the source of the access log, and of nothing that could hold a prompt or a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

OK = "ok"
CLIENT_GONE = "client_gone"
CLIENT_STALLED = "client_stalled"
UPSTREAM_ERROR = "upstream_error"
TIMEOUT = "timeout"
REFUSED = "refused"
DRAINED = "drained"
UNAVAILABLE = "unavailable"
SHED = "shed"
OVER_LIMIT = "over_limit"
INTERNAL_ERROR = "internal_error"

SUPERSEDED = "superseded"
"""Of one attempt, not of a call: another one, which ran beside it, was first."""

ENDINGS: dict[str, str] = {
    OK: "the whole answer was handed to the client",
    CLIENT_GONE: "the client closed its connection first; the provider's was closed at once",
    CLIENT_STALLED: "the client read nothing for the idle time; both connections were closed",
    UPSTREAM_ERROR: "the provider could not be reached, broke off, or answered with a status of 500 or more",
    TIMEOUT: "one of the four clocks ran out",
    REFUSED: "the gateway refused the call; no provider was asked",
    UNAVAILABLE: "no provider was asked, since all that could be are left alone for a while",
    SHED: "no provider was asked, since too many calls are in flight and too many wait",
    OVER_LIMIT: "a limit or a budget was used up while the answer came; both connections were closed",
    DRAINED: "the gateway was stopping and the call outlived the drain timeout",
    INTERNAL_ERROR: "a fault of the gateway's own",
}
"""Every way in which a call can end, and what it means."""


class CallRecord(msgspec.Struct):
    """One call, filled in as it goes: its line in the access log, with the fields in their order there."""

    time: str
    """When it began, in UTC and to the millisecond, as :func:`timestamp` writes it."""
    request_id: str
    client_request_id: str | None = None
    """The client's own ``x-request-id``, cut to 128 printable characters."""
    key: str | None = None
    """The virtual key's name or fingerprint, never the key."""
    provider: str | None = None
    """The one whose answer this is, or that was asked last."""
    credential: str | None = None
    """The name of the real key that it was asked with."""
    attempts: int = 0
    """How often the call was sent to a provider."""
    model: str | None = None
    dialect: str | None = None
    method: str = "-"
    path: str = "-"
    """Without the query, which may hold a key."""
    status: int | None = None
    duration_s: float | None = None
    first_byte_s: float | None = None
    """Seconds until the answer's first byte went to the client."""
    bytes_in: int = 0
    """Bytes of the request's body."""
    bytes_out: int = 0
    """Bytes of the answer's body handed to the client's connection."""
    dropped: str | None = None
    """The fields of the request that the provider's dialect could not say, or not exactly, with commas between."""
    ended: str | None = None
    error: str | None = None
    """The kind of the gateway's own error, if there was one."""


def timestamp(seconds: float) -> str:
    """
    :param seconds: since the epoch.
    """
    return _to_the_millisecond(int(seconds * 1000))


@lru_cache(maxsize=8)
def _to_the_millisecond(milliseconds: int) -> str:
    """Calls that come together share this."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    """Many calls of one second share this."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def printable(text: str, limit: int = 128) -> str:
    """
    :return: ``text`` cut to ``limit`` characters, what a terminal or a log could trip over replaced by ``?``.
    """
    text = text[:limit]
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
