"""What can come of sending a call, and what may be done about it: one table, which the documentation shows."""

from __future__ import annotations

from enum import Enum, Flag

import msgspec

from llm_gateway.core.translation.failures import FailureKind

__all__ = [
    "FALLS_BACK",
    "RULES",
    "TABLE",
    "Acted",
    "Again",
    "Outcome",
    "OutcomeKind",
    "Rule",
    "Scope",
    "Verdict",
    "kind_of_error",
    "kind_of_frame",
    "kind_of_status",
]


class Scope(Flag):
    """What an outcome can tell of."""

    NOTHING = 0
    PROVIDER = 1
    MODEL = 2
    """One model of a provider, whoever asks for it."""
    CREDENTIAL = 4
    ACCESS = 8
    """One credential's use of one model: what most providers limit the rate of."""
    ALL = 15


class Verdict(Enum):
    """What an outcome says of the health of its scope."""

    NONE = "none"
    FAILED = "failed"
    """Many of these, and the scope is taken for broken."""
    REFUSED = "refused"
    """A few of these in a row, and somebody has to mend a key, an account or a permission."""
    COOLS = "cools"
    """Nothing is broken; the scope is left alone until the time that the provider said."""


class Again(Enum):
    """Whether the same candidate may be asked once more."""

    NEVER = "never"
    LAST = "last"
    """After a wait, and when no other candidate is left."""


class Acted(Enum):
    """Whether the provider may have done what was asked."""

    NO = "no"
    """It has not seen the call, or has refused it."""
    FAILED = "failed"
    """It says that it tried and failed; it bills nothing, and may have left half of something behind."""
    MAYBE = "maybe"
    """It may have answered, and may bill that."""


class OutcomeKind(Enum):
    """Every way in which sending a call can come out."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    DISCONNECTED = "disconnected"
    MALFORMED = "malformed"
    SILENT = "silent"
    CUT_SHORT = "cut_short"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    TOO_EARLY = "too_early"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    EDGE_TIMEOUT = "edge_timeout"
    ERROR_FRAME = "error_frame"
    KEY_REFUSED = "key_refused"
    UNPAID = "unpaid"
    FORBIDDEN = "forbidden"
    CONTEXT_OVERFLOW = "context_overflow"
    FILTERED = "filtered"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    CLIENT_GONE = "client_gone"
    LOST_RACE = "lost_race"
    UNSUPPORTED = "unsupported"
    OVER_LIMIT = "over_limit"
    FAULT = "fault"


class Rule(msgspec.Struct, frozen=True):
    """One row of the table."""

    kind: OutcomeKind
    meaning: str
    """How it shows, for the documentation."""
    elsewhere: bool = False
    """Whether another candidate may be asked at once: one that does not share ``scope`` with the one that failed."""
    again: Again = Again.NEVER
    acted: Acted = Acted.NO
    scope: Scope = Scope.NOTHING
    """What the outcome is held against, for the rest of this call and by ``verdict`` for others."""
    verdict: Verdict = Verdict.NONE
    good_for: Scope = Scope.NOTHING
    """What it shows to be well: a status, whichever it is, shows that the provider can be reached."""
    alert: bool = False
    """Whether a person has to mend it."""
    falls_back: bool = False
    """Whether the operator may list it to fall back on another model."""


_P, _M, _C, _A = Scope.PROVIDER, Scope.MODEL, Scope.CREDENTIAL, Scope.ACCESS

# fmt: off
TABLE: tuple[Rule, ...] = (
    Rule(OutcomeKind.OK, "an answer below 400 that has begun with content", good_for=Scope.ALL),
    Rule(OutcomeKind.UNREACHABLE, "no connection: name not found, refused, TLS not verified",
         elsewhere=True, again=Again.LAST, scope=_P, verdict=Verdict.FAILED, falls_back=True),
    Rule(OutcomeKind.CONNECT_TIMEOUT, "no connection within `connect_s`",
         elsewhere=True, again=Again.LAST, scope=_P, verdict=Verdict.FAILED, falls_back=True),
    Rule(OutcomeKind.DISCONNECTED, "the connection closed after the request was sent",
         elsewhere=True, again=Again.LAST, acted=Acted.MAYBE, scope=_P, verdict=Verdict.FAILED, falls_back=True),
    Rule(OutcomeKind.MALFORMED, "what came is not HTTP",
         elsewhere=True, acted=Acted.MAYBE, scope=_P, verdict=Verdict.FAILED, falls_back=True),
    Rule(OutcomeKind.SILENT, "nothing within `first_byte_s`",
         elsewhere=True, acted=Acted.MAYBE, scope=_M, verdict=Verdict.FAILED, falls_back=True),
    Rule(OutcomeKind.CUT_SHORT, "`idle_s` or `total_s` ran out before anything reached the client",
         elsewhere=True, acted=Acted.MAYBE, scope=_M, verdict=Verdict.FAILED, good_for=_P, falls_back=True),
    Rule(OutcomeKind.REQUEST_TIMEOUT, "408",
         elsewhere=True, again=Again.LAST, scope=_M, verdict=Verdict.FAILED, good_for=_P, falls_back=True),
    Rule(OutcomeKind.CONFLICT, "409",
         elsewhere=True, again=Again.LAST, scope=_M, good_for=_P | _C, falls_back=True),
    Rule(OutcomeKind.TOO_EARLY, "425",
         elsewhere=True, again=Again.LAST, scope=_M, good_for=_P, falls_back=True),
    Rule(OutcomeKind.RATE_LIMITED, "429",
         elsewhere=True, again=Again.LAST, scope=_A, verdict=Verdict.COOLS, good_for=_P | _C, falls_back=True),
    Rule(OutcomeKind.SERVER_ERROR, "500 and every status above it that has no row of its own",
         elsewhere=True, again=Again.LAST, acted=Acted.FAILED, scope=_M, verdict=Verdict.FAILED, good_for=_P,
         falls_back=True),
    Rule(OutcomeKind.OVERLOADED, "503 or 529",
         elsewhere=True, again=Again.LAST, scope=_M, verdict=Verdict.FAILED, good_for=_P, falls_back=True),
    Rule(OutcomeKind.EDGE_TIMEOUT, "504 or 524: a proxy gave up waiting; the provider behind it may not have",
         elsewhere=True, again=Again.LAST, acted=Acted.MAYBE, scope=_M, verdict=Verdict.FAILED, good_for=_P,
         falls_back=True),
    Rule(OutcomeKind.ERROR_FRAME, "200, and the stream begins with an error that fits no other kind, or has no event",
         elsewhere=True, again=Again.LAST, acted=Acted.FAILED, scope=_M, verdict=Verdict.FAILED, good_for=_P,
         falls_back=True),
    Rule(OutcomeKind.KEY_REFUSED, "401",
         elsewhere=True, scope=_C, verdict=Verdict.REFUSED, good_for=_P, alert=True, falls_back=True),
    Rule(OutcomeKind.UNPAID, "402, or 429 with `insufficient_quota`",
         elsewhere=True, scope=_C, verdict=Verdict.REFUSED, good_for=_P, alert=True, falls_back=True),
    Rule(OutcomeKind.FORBIDDEN, "403",
         elsewhere=True, scope=_A, verdict=Verdict.REFUSED, good_for=_P, alert=True, falls_back=True),
    Rule(OutcomeKind.CONTEXT_OVERFLOW, "400 or 413: more tokens than the model takes",
         elsewhere=True, scope=_M, good_for=_P | _C, falls_back=True),
    Rule(OutcomeKind.FILTERED, "400: the prompt was blocked", good_for=Scope.ALL, falls_back=True),
    Rule(OutcomeKind.NOT_FOUND, "404", good_for=_P, falls_back=True),
    Rule(OutcomeKind.INVALID, "every other status from 400 to 499", good_for=_P, falls_back=True),
    Rule(OutcomeKind.BUSY, "the gateway's own limit of calls in flight, and no room in its queue",
         elsewhere=True, scope=_A, falls_back=True),
    Rule(OutcomeKind.UNAVAILABLE, "no candidate is in, so that nobody is asked"),
    Rule(OutcomeKind.CLIENT_GONE, "the client has left"),
    Rule(OutcomeKind.LOST_RACE, "another attempt of the same call had content first"),
    Rule(OutcomeKind.UNSUPPORTED, "the provider's dialect cannot say what is asked, so that it is not sent there",
         elsewhere=True, scope=_P, falls_back=True),
    Rule(OutcomeKind.OVER_LIMIT, "a limit of the operator's on the credential is reached, so that it is not sent there",
         elsewhere=True, scope=_C, falls_back=True),
    Rule(OutcomeKind.FAULT, "a fault of the gateway's own"),
)
# fmt: on
"""
Every outcome, once.

Two lines of thought are behind it. An answer speaks for the model that gave it, so one model's overload does not cost a
provider its others; no connection speaks for the whole provider. And a call is sent a second time only where the first
cannot have been acted on, or the operator has said that acting twice is fine.
"""

RULES: dict[OutcomeKind, Rule] = {rule.kind: rule for rule in TABLE}

FALLS_BACK: frozenset[OutcomeKind] = frozenset(rule.kind for rule in TABLE if rule.falls_back and rule.elsewhere)
"""What leads to another model where a fallback does not say: what leads to another candidate."""

_STATUSES = {
    401: OutcomeKind.KEY_REFUSED,
    402: OutcomeKind.UNPAID,
    403: OutcomeKind.FORBIDDEN,
    404: OutcomeKind.NOT_FOUND,
    408: OutcomeKind.REQUEST_TIMEOUT,
    409: OutcomeKind.CONFLICT,
    425: OutcomeKind.TOO_EARLY,
    429: OutcomeKind.RATE_LIMITED,
    503: OutcomeKind.OVERLOADED,
    504: OutcomeKind.EDGE_TIMEOUT,
    524: OutcomeKind.EDGE_TIMEOUT,
    529: OutcomeKind.OVERLOADED,
}
"""524 is Cloudflare's, 529 Anthropic's."""

_TELLING = {
    FailureKind.CONTEXT_OVERFLOW: OutcomeKind.CONTEXT_OVERFLOW,
    FailureKind.BILLING: OutcomeKind.UNPAID,
    FailureKind.FILTERED: OutcomeKind.FILTERED,
}
"""Where the body says more than the status."""

_IN_FRAMES = {
    **_TELLING,
    FailureKind.INVALID: OutcomeKind.INVALID,
    FailureKind.TOO_LARGE: OutcomeKind.INVALID,
    FailureKind.AUTHENTICATION: OutcomeKind.KEY_REFUSED,
    FailureKind.PERMISSION: OutcomeKind.FORBIDDEN,
    FailureKind.NOT_FOUND: OutcomeKind.NOT_FOUND,
    FailureKind.CONFLICT: OutcomeKind.CONFLICT,
    FailureKind.RATE_LIMIT: OutcomeKind.RATE_LIMITED,
    FailureKind.OVERLOADED: OutcomeKind.OVERLOADED,
    FailureKind.TIMEOUT: OutcomeKind.EDGE_TIMEOUT,
}

_ERRORS = {
    "upstream_unreachable": OutcomeKind.UNREACHABLE,
    "upstream_disconnected": OutcomeKind.DISCONNECTED,
    "upstream_malformed": OutcomeKind.MALFORMED,
}
_CLOCKS = {"connect": OutcomeKind.CONNECT_TIMEOUT, "first_byte": OutcomeKind.SILENT}


def kind_of_status(status: int, told: FailureKind | None = None) -> OutcomeKind:
    """
    :param status: of a whole answer.
    :param told: what its body says, where that was read.
    """
    if status < 400:
        return OutcomeKind.OK
    if told is not None and status < 500 and told in _TELLING:
        return _TELLING[told]
    return _STATUSES.get(status) or (OutcomeKind.SERVER_ERROR if status >= 500 else OutcomeKind.INVALID)


def kind_of_frame(told: FailureKind | None) -> OutcomeKind:
    """
    :param told: what an error says that is the first event of a stream; ``None`` where it could not be read.
    """
    return OutcomeKind.ERROR_FRAME if told is None else _IN_FRAMES.get(told, OutcomeKind.ERROR_FRAME)


def kind_of_error(kind: str, clock: str | None = None) -> OutcomeKind:
    """
    :param kind: of the gateway's own error that an attempt ended with: ``upstream_timeout``.
    :param clock: the one that ran out: ``connect``, ``first_byte``, ``idle`` or ``total``.
    """
    if kind == "upstream_timeout":
        return _CLOCKS.get(clock or "", OutcomeKind.CUT_SHORT)
    return _ERRORS.get(kind, OutcomeKind.FAULT)


class Outcome(msgspec.Struct, frozen=True):
    """What came of one attempt."""

    kind: OutcomeKind
    status: int | None = None
    """The provider's, where there was one."""
    retry_after_s: float | None = None
    """When to come back, as the provider said, in seconds from now; never negative."""

    def __str__(self) -> str:
        """For logs and the health page: nothing of what the provider wrote."""
        words = self.kind.value.replace("_", " ")
        return words if self.status is None else f"{words} (status {self.status})"
