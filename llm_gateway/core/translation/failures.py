"""A provider's own error, in neutral words: what any dialect can say of it."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["FailureKind", "ProviderFailure"]


class FailureKind(Enum):
    """What went wrong, as far as the caller's program has to tell kinds apart."""

    INVALID = "invalid"
    """400: the request is wrong."""
    CONTEXT_OVERFLOW = "context_overflow"
    """400 or 413: more tokens than the model takes."""
    TOO_LARGE = "too_large"
    """413."""
    AUTHENTICATION = "authentication"
    """401: of the gateway's own credential."""
    BILLING = "billing"
    """402, or OpenAI's 429 ``insufficient_quota``."""
    PERMISSION = "permission"
    """403."""
    NOT_FOUND = "not_found"
    """404: mostly the model."""
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    """429."""
    FILTERED = "filtered"
    """400: the prompt was blocked."""
    SERVER = "server"
    """500."""
    OVERLOADED = "overloaded"
    """503 or 529."""
    TIMEOUT = "timeout"
    """504 or 408."""


class ProviderFailure(msgspec.Struct, frozen=True):
    """An error that a provider answered with, or sent in a stream."""

    status: int
    """Of the answer; what it would have been where the error came inside a stream."""
    kind: FailureKind
    message: str
    param: str | None = None
    code: str | None = None
    """The provider's own code."""
    request_id: str | None = None
    retry_after_s: float | None = None
    """When to try again, where the body says so (Gemini's ``RetryInfo``); the header of that name is not read here."""
