"""Everything that can go wrong, as one tree, and how each kind looks on the wire.

::

    GatewayError                    answered to a client, in the caller's dialect
    |-- CallerError                 the caller can mend it; no provider was asked
    |   |-- MissingKey              401 (400 on the two native paths)
    |   |-- UnknownKey              401
    |   |-- ProviderNotConfigured   400
    |   |-- WrongProvider           403
    |   |-- WrongDialect            400
    |   |-- KeyExpired              401
    |   |-- OperationNotAllowed     403
    |   |-- ModelNotAllowed         404
    |   |-- UnpricedModel           400
    |   |-- NotFound                404
    |   |-- MethodNotAllowed        405
    |   |-- RequestTooLarge         413
    |   |-- HeadersTooLarge         431
    |   `-- BadRequest              400
    |-- Draining                    503, the gateway is stopping
    |-- NoProvider                  503, every provider that could be asked is out, as far as the gateway knows
    |-- RateLimited                 429, every credential that could be used has to wait
    |   `-- CredentialLimited       429, the same by a limit of the operator's; another one may have room
    |-- Busy                        503, too many calls are in flight, and too many wait
    |-- LimitExceeded               429, a limit of the operator's is reached
    |   |-- RateExceeded            429, of calls or tokens in some time, or of calls at the same time
    |   `-- BudgetExceeded            429, of money
    |-- LimitsUnreachable           503, what is left of a limit cannot be known
    |-- LedgerFull                  503, what calls use can be written down no more
    |-- InternalError               500, a fault of ours
    `-- UpstreamError               a provider failed
        |-- UpstreamUnreachable     502, no connection
        |-- UpstreamDisconnected    502, the connection ended before the answer did
        |-- UpstreamTimeout         504, one of the four clocks ran out
        `-- UpstreamMalformed       502, what came was not HTTP

    ConfigurationError              a file or an option is wrong; never answered to a client

Messages name the field and the limit. They never hold a key, a prompt or a provider's raw answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import ClassVar

import msgspec


class GatewayError(Exception):
    """A call ended in a way that the gateway itself must explain to the client."""

    status: ClassVar[int] = 500
    """HTTP status, used while no byte of an answer has gone out."""
    kind: ClassVar[str] = "internal_error"
    """Our own name: the body's ``code`` where the dialect has one, and the header ``x-gw-error``."""
    openai_type: ClassVar[str] = "server_error"
    anthropic_type: ClassVar[str] = "api_error"
    gemini_status: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed when it is sent again."""
    retry_after_s: ClassVar[int | None] = None
    ended: ClassVar[str] = "internal_error"
    """How the access log says that a call ended which failed so; see ``core.record.ENDINGS``."""
    param: str | None = None
    """The field of the request that is at fault, as the caller wrote it, for the dialects that have a place for it."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        """
        :param message: what happened and what to do about it, in one or two sentences for the caller.
        :param status: an HTTP status in place of the kind's own.
        :param headers: response headers that belong to this error, such as ``allow``.
        :param param: the field that is at fault, in place of the kind's own.
        """
        super().__init__(message)
        self.message = message
        if param is not None:
            self.param = param
        self.http_status = self.status if status is None else status
        self.headers: dict[str, str] = dict(headers or {})
        if self.retry_after_s is not None:
            self.headers.setdefault("retry-after", str(self.retry_after_s))


class CallerError(GatewayError):
    """The caller sent something that cannot be served. No provider was asked; the same call fails again."""

    status = 400
    kind = "bad_request"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"
    gemini_status = "INVALID_ARGUMENT"
    ended = "refused"


class BadRequest(CallerError):
    """The request could not be understood as HTTP or lacks what its path needs."""

    @classmethod
    def of_field(cls, field: str, complaint: str) -> BadRequest:
        """
        :param field: its place in the request, such as ``messages[0].content``.
        :param complaint: what is wrong with it, to be said behind its name and a colon.
        """
        return cls(f"{field}: {complaint}", param=field)


class MissingKey(CallerError):
    """No virtual key in any of the places where one is looked for, or a malformed ``Authorization`` header."""

    status = 401
    kind = "missing_key"
    anthropic_type = "authentication_error"
    gemini_status = "UNAUTHENTICATED"


class UnknownKey(CallerError):
    """A key was sent and no virtual key matches it."""

    status = 401
    kind = "invalid_api_key"
    anthropic_type = "authentication_error"
    gemini_status = "UNAUTHENTICATED"


class ProviderNotConfigured(CallerError):
    """The virtual key names a provider that ``aiservices.json`` does not have. The operator can mend it."""

    kind = "provider_not_configured"
    gemini_status = "FAILED_PRECONDITION"


class WrongProvider(CallerError):
    """``/p/{provider}/`` was asked with a key that may not use that provider."""

    status = 403
    kind = "provider_not_allowed"
    anthropic_type = "permission_error"
    gemini_status = "PERMISSION_DENIED"


class ModelNotAllowed(CallerError):
    """The virtual key may not call the model that was asked for."""

    status = 404
    kind = "model_not_found"
    param = "model"
    anthropic_type = "not_found_error"
    gemini_status = "NOT_FOUND"


class KeyExpired(CallerError):
    """The virtual key was good for some time only, which is over."""

    status = 401
    kind = "key_expired"
    anthropic_type = "authentication_error"
    gemini_status = "UNAUTHENTICATED"


class OperationNotAllowed(CallerError):
    """The virtual key may not be used for what the path does."""

    status = 403
    kind = "operation_not_allowed"
    anthropic_type = "permission_error"
    gemini_status = "PERMISSION_DENIED"


class UnpricedModel(CallerError):
    """Nobody knows what the model costs, and a budget counts for the call."""

    kind = "model_unpriced"
    gemini_status = "FAILED_PRECONDITION"


class WrongDialect(CallerError):
    """The path speaks one dialect and the key's provider another, and there is no translation between them."""

    kind = "dialect_mismatch"


class NotFound(CallerError):
    """No such path, or no such provider in one."""

    status = 404
    kind = "not_found"
    anthropic_type = "not_found_error"
    gemini_status = "NOT_FOUND"


class MethodNotAllowed(CallerError):
    """The path exists and does not take this method; ``allow`` says which it takes."""

    status = 405
    kind = "method_not_allowed"


class RequestTooLarge(CallerError):
    """The request's body is over the limit. The connection closes after the answer."""

    status = 413
    kind = "request_too_large"
    anthropic_type = "request_too_large"

    @classmethod
    def over(cls, limit: int) -> RequestTooLarge:
        """
        :param limit: in bytes.
        """
        return cls(f"The request's body is larger than {limit} bytes, all that this gateway takes.")


class HeadersTooLarge(CallerError):
    """The request's line or headers are over the limit. The connection closes after the answer."""

    status = 431
    kind = "headers_too_large"


class Draining(GatewayError):
    """The gateway is stopping: it takes no new call, or it reached the end of the time given to running ones."""

    status = 503
    kind = "gateway_draining"
    anthropic_type = "overloaded_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    retry_after_s = 5
    ended = "drained"


class NoProvider(GatewayError):
    """Everything that could answer the call has failed of late and is left alone for a while; nobody was asked."""

    status = 503
    kind = "no_provider_available"
    anthropic_type = "overloaded_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    ended = "unavailable"


class RateLimited(GatewayError):
    """Every credential that could be used is over its provider's rate limit for now; nobody was asked."""

    status = 429
    kind = "providers_rate_limited"
    openai_type = "rate_limit_error"
    anthropic_type = "rate_limit_error"
    gemini_status = "RESOURCE_EXHAUSTED"
    retryable = True
    ended = "unavailable"


class CredentialLimited(RateLimited):
    """A limit of the operator's on this credential is reached; another candidate may have room."""

    def __init__(self, credential: str, again_s: float) -> None:
        """
        :param again_s: after how many seconds there may be room again.
        """
        super().__init__(
            "Every credential that this call could use is over its rate limit for now. Send it again later.",
            headers={"retry-after": str(max(1, ceil(again_s)))},
        )
        self.credential = credential
        self.again_s = again_s


class Busy(GatewayError):
    """The limit of calls in flight is reached, and the call found no place in the queue or did not get its turn."""

    status = 503
    kind = "gateway_busy"
    anthropic_type = "overloaded_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    ended = "shed"


class LimitExceeded(GatewayError):
    """What the operator allows is used up. No provider was asked, or its answer was ended in the middle."""

    status = 429
    kind = "rate_limit_exceeded"
    anthropic_type = "rate_limit_error"
    gemini_status = "RESOURCE_EXHAUSTED"
    ended = "over_limit"


class RateExceeded(LimitExceeded):
    """More calls or tokens than are allowed in some time, or at the same time."""

    openai_type = "rate_limit_error"
    retryable = True


class BudgetExceeded(LimitExceeded):
    """The money is gone; it is of no use to send the call again soon, and SDKs are told so."""

    kind = "insufficient_quota"
    openai_type = "insufficient_quota"
    anthropic_type = "billing_error"

    def __init__(self, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        # Both official SDKs obey it: openai-python and anthropic-sdk-python, _base_client.py, _should_retry.
        super().__init__(message, status=status, headers={"x-should-retry": "false", **(headers or {})})


class LimitsUnreachable(GatewayError):
    """What counts use cannot be reached, and the limit says that calls are refused then."""

    status = 503
    kind = "limits_unreachable"
    anthropic_type = "overloaded_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    retry_after_s = 5
    ended = "refused"


class LedgerFull(GatewayError):
    """More calls wait to be written down than there is room for, and the operator has calls refused then."""

    status = 503
    kind = "ledger_full"
    anthropic_type = "overloaded_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    retry_after_s = 30
    ended = "refused"


class InternalError(GatewayError):
    """A fault in the gateway. The log has the details under the request id; the answer has none."""


class UpstreamError(GatewayError):
    """A provider failed in a way that it did not explain itself."""

    status = 502
    kind = "upstream_error"
    gemini_status = "UNAVAILABLE"
    retryable = True
    ended = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider: name not found, refused, TLS not verified. It has not seen the call."""

    kind = "upstream_unreachable"


class UpstreamDisconnected(UpstreamError):
    """The provider closed the connection before its answer was whole. It may have acted on the call."""

    kind = "upstream_disconnected"


class UpstreamMalformed(UpstreamError):
    """What the provider sent was not HTTP that we understand."""

    kind = "upstream_malformed"


class UpstreamTimeout(UpstreamError):
    """One of the four clocks ran out: connect, first byte, idle or total."""

    status = 504
    kind = "upstream_timeout"
    anthropic_type = "timeout_error"
    gemini_status = "DEADLINE_EXCEEDED"
    ended = "timeout"

    def __init__(self, message: str, *, clock: str | None = None) -> None:
        """
        :param clock: the one that ran out: ``connect``, ``first_byte``, ``idle`` or ``total``.
        """
        super().__init__(message)
        self.clock = clock


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a configuration."""

    file: str
    line: int | None
    """Line in the file, from 1; None where the file as a whole is meant."""
    place: str
    """Path of the field, such as ``virtual_keys[2].api_key``. Virtual keys are shown by position, never by value."""
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.place}: {self.message}" if self.place else f"{where}: {self.message}"


class ConfigurationError(Exception):
    """One or both files cannot be used. All that is wrong with them is told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
