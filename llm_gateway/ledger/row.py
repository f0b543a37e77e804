"""One attempt, as it is written down."""

from __future__ import annotations

import msgspec

from llm_gateway.core.usage.values import NOTHING, Source, Usage

__all__ = ["INTERRUPTED", "Row"]

INTERRUPTED = "interrupted"
"""How an attempt ended whose process did, before it: the row has what was known of it last."""


# Without a place in the collector's lists, since a row refers to nothing that could refer to it.
# Written as an array, which is what a journal has two of for each attempt: new fields go to the end.
class Row(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """
    One attempt: what was asked of whom for whom, how it ended, what it used and what that costs.

    ``request_id`` and ``attempt`` name it, with ``at``: there is one row of each, however often it is written.
    """

    request_id: str
    attempt: int
    """From 1: how many times its call had been sent, with this one."""
    at: int
    """When it was sent: microseconds since the epoch."""
    key: str
    """The virtual key's name or fingerprint, never the key."""
    key_digest: str = ""
    """SHA-256 of the virtual key in hexadecimal: the name may be given to another one."""
    group: str | None = None
    labels: dict[str, str] = {}
    provider: str = ""
    credential: str = ""
    """The name of the real key."""
    dialect: str = ""
    """The one that the provider was asked in."""
    operation: str = ""
    """As ``core.apis.Api`` calls it."""
    method: str = "POST"
    stream: bool = False
    model_asked: str | None = None
    """As the caller names it."""
    model: str | None = None
    """As the provider's answer names it, or as it was asked for where there is none."""
    status: int | None = None
    """Of the provider's answer."""
    ended: str = INTERRUPTED
    """One of ``core.record.ENDINGS``, or ``INTERRUPTED``."""
    error: str | None = None
    """The kind of the gateway's own error, if there was one."""
    usage: Usage = NOTHING
    source: Source = Source.NONE
    price: str | None = None
    """The version of the price list that it was rated by; ``None`` where it has no price."""
    cost: int | None = None
    """In billionths of a dollar; ``None`` where it has no price."""
    duration_us: int | None = None
    first_token_us: int | None = None
    """From ``at`` to the first byte of the answer's body."""
