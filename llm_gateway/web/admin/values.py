"""What the admin API takes and gives, apart from entries of keys: the OpenAPI file is made from these."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from llm_gateway.issuing.keeper import DEFAULT_GRACE_S, MAX_GRACE_S, KeyView
from llm_gateway.web.live import LiveCall

__all__ = [
    "Amount",
    "AuditEntry",
    "AuditPage",
    "Error",
    "ErrorBody",
    "Health",
    "KeyPage",
    "LimitState",
    "LiveCalls",
    "OwnKey",
    "OwnUsage",
    "Reloaded",
    "Rotation",
    "Tokens",
    "Usage",
    "UsageRow",
    "Worker",
]


class Error(Struct, frozen=True):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    """The field or parameter that is at fault."""
    code: str
    """Also the header x-gw-error."""


class ErrorBody(Struct, frozen=True):
    """An answer that is not what was asked for."""

    error: Error


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """How a key is rotated."""

    grace_s: Annotated[
        float, Meta(ge=0, le=MAX_GRACE_S, description="How long the old key still works, in seconds; 0 for no longer.")
    ] = DEFAULT_GRACE_S


class KeyPage(Struct, frozen=True):
    """Some of the virtual keys: those of keys.json first, then those of the database, the oldest first."""

    data: list[KeyView]
    has_more: bool
    """Whether there are more behind the last one of these: ask with after=, and its id."""


class Tokens(Struct, frozen=True):
    """Tokens by class; the classes do not overlap."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    cached_audio: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0


class Amount(Struct, frozen=True):
    """What calls have used together."""

    calls: int
    """Where a call went on to another provider, it counts at the first."""
    attempts: int
    """How often they were sent to a provider."""
    errors: int
    """Attempts that did not end well, and not since the caller had left."""
    input_tokens: int
    """All that models read."""
    output_tokens: int
    """All that models wrote."""
    tokens: Tokens
    usd: str
    """Dollars, in decimals, to the billionth: add them up as such, not as floats."""
    estimated: int
    """Attempts whose numbers are estimated, all or some."""
    unpriced: int
    """Attempts that nobody knows the price of; they are not in usd."""


class UsageRow(Struct, frozen=True):
    """What calls have used that have these things in common."""

    by: dict[str, str | None]
    """By what was asked for: a name, or the beginning of an hour, day, week or month; null where there is none."""
    amount: Amount


class Usage(Struct, frozen=True):
    """What was used from since up to until."""

    since: str
    until: str
    by: list[str]
    data: list[UsageRow]
    total: Amount


class Worker(Struct, frozen=True):
    """One of several processes that answer calls."""

    number: int
    pid: int | None
    state: str
    calls: int
    restarts: int


class LiveCalls(Struct, frozen=True):
    """The calls of all processes of the gateway, the oldest first."""

    worker: int
    """The number of the process that answers this, among several; 0 where there is one."""
    calls: int
    """How many there are, but for those of missing processes."""
    data: list[LiveCall]
    """At most 1000 of them."""
    left_out: int
    """How many of them are not in data, since there are more than that."""
    missing: list[Worker]
    """Processes that did not say within a second what they are answering, as they were known last. Their calls are not
    in here."""


class Reloaded(Struct, frozen=True):
    """The files were read anew, and are in use."""

    reloaded: bool
    file_keys: int
    database_keys: int
    providers: int


class Health(Struct, frozen=True):
    """How the gateway is."""

    status: str
    """ok; degraded where the database does not answer; draining where the gateway is stopping."""
    version: str
    calls: int
    """Those that are being answered, by this process."""
    worker: int
    workers: list[Worker]
    file_keys: int
    database_keys: int
    providers: int
    database: bool
    """Whether the database with the virtual keys answers."""
    ledger: dict[str, Any]
    """What the ledger says of itself: rows that wait, that are written, that are lost."""


class AuditEntry(Struct, frozen=True):
    """One thing that was done, and by whom."""

    id: int
    at: str
    actor: str
    """admin: and the credential's name, or command: and the user's."""
    action: str
    subject: str
    """Mostly the id of a key."""
    detail: dict[str, Any]
    request_id: str | None
    address: str | None


class AuditPage(Struct, frozen=True):
    """What was done, the newest first."""

    data: list[AuditEntry]
    has_more: bool
    """Whether there is more behind the last of these: ask with before=, and its id."""


class LimitState(Struct, frozen=True):
    """How much of one limit is left."""

    name: str
    """As in keys.json: requests_per_minute, usd_per_day..."""
    scope: str
    """Whose use is counted: key, group, credential or global."""
    limit: int | str
    """Dollars are in decimals."""
    remaining: int | str
    resets_in_s: float | None
    """Until all of it is there again, if nothing is used; null where that never is, or depends on running calls."""
    shadow: bool = False
    """Whether it is only counted."""


class OwnKey(Struct, frozen=True):
    """What a key may do, and what of its limits is left, for its owner."""

    name: str | None
    fingerprint: str
    group: str | None
    labels: dict[str, str]
    expires: str | None
    models: list[str] | None
    """Names and patterns that it may call; null for all."""
    operations: list[str] | None
    """What it may be used for; null for everything."""
    limits: list[LimitState]
    """Those of its own and of its group."""


class OwnUsage(Struct, frozen=True):
    """What a key has used from since up to until."""

    since: str
    until: str
    by: list[str]
    data: list[UsageRow]
    total: Amount
