"""
The tables, of SQLite and of PostgreSQL: one schema, in numbered steps that are each taken once and never changed.

A step only adds: while one program hands over to the next, the older one goes on writing for as long as its calls run.
Where the two databases differ a step has a name in braces, which ``TYPES`` explains.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.structs import astuple

from llm_gateway.core.usage.values import INPUT, OUTPUT
from llm_gateway.ledger.row import Row

__all__ = ["COLUMNS", "MIGRATIONS", "SUBJECTS", "SUMS", "TYPES", "TYPES_OF_COLUMNS", "fold_sql", "values_of"]

TYPES = {
    "sqlite": {
        # Not AUTOINCREMENT, which would write to another table for each row.
        "id": "integer primary key",
        "json": "text",
    },
    "postgresql": {
        "id": "bigint generated always as identity primary key",
        "json": "jsonb",
    },
}
"""What the names in braces are called in each."""

# Time comes first in what names an attempt: a database adds to the end of that index, and not to some page in the midst
# of it for each row; and what is asked between two times needs no other one.
_ATTEMPTS = """
create table attempts (
    id {id},
    request_id text not null,
    attempt bigint not null,
    at bigint not null,
    key text not null,
    key_digest text not null,
    key_group text,
    labels {json},
    provider text not null,
    credential text not null,
    dialect text not null,
    operation text not null,
    method text not null,
    stream bigint not null,
    model_asked text,
    model text,
    status bigint,
    ended text not null,
    error text,
    input bigint not null,
    cached bigint not null,
    cache_write bigint not null,
    cache_write_1h bigint not null,
    audio_input bigint not null,
    cached_audio bigint not null,
    image_input bigint not null,
    output bigint not null,
    reasoning bigint not null,
    audio_output bigint not null,
    image_output bigint not null,
    pieces {json},
    tier text,
    source text not null,
    price text,
    cost bigint,
    duration_us bigint,
    first_token_us bigint,
    unique (at, request_id, attempt)
)
"""

# One row per hour and whatever it is about: what is kept for good, and what answers questions without reading millions.
_HOURS = """
create table hours (
    hour bigint not null,
    key text not null,
    key_digest text not null,
    key_group text not null,
    provider text not null,
    credential text not null,
    model text not null,
    operation text not null,
    ended text not null,
    calls bigint not null,
    attempts bigint not null,
    estimated bigint not null,
    unpriced bigint not null,
    input bigint not null,
    cached bigint not null,
    cache_write bigint not null,
    cache_write_1h bigint not null,
    audio_input bigint not null,
    cached_audio bigint not null,
    image_input bigint not null,
    output bigint not null,
    reasoning bigint not null,
    audio_output bigint not null,
    image_output bigint not null,
    cost bigint not null,
    duration_us bigint not null,
    first_token_us bigint not null,
    first_tokens bigint not null,
    primary key (hour, key, key_digest, key_group, provider, credential, model, operation, ended)
)
"""

# The keys that were made at run time, beside those of keys.json. An entry is text, as it was written: in an object of
# models the order counts, which PostgreSQL's own type would lose.
_VIRTUAL_KEYS = """
create table virtual_keys (
    id text primary key,
    account text not null unique,
    name text not null unique,
    entry text not null,
    created_at bigint not null,
    changed_at bigint not null,
    revoked_at bigint,
    version bigint not null
)
"""

# What a caller may send, hashed: the one that is valid, and after a rotation the ones before it for a while.
_VIRTUAL_KEY_DIGESTS = """
create table virtual_key_digests (
    digest text primary key,
    key_id text not null references virtual_keys (id) on delete cascade,
    created_at bigint not null,
    valid_until bigint
)
"""

_AUDIT = """
create table audit (
    id {id},
    at bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    request_id text,
    address text
)
"""

# Numbers that somebody else watches, such as the revision of the virtual keys.
_COUNTERS = """
create table counters (
    name text primary key,
    value bigint not null
)
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        _ATTEMPTS,
        _HOURS,
        _VIRTUAL_KEYS,
        _VIRTUAL_KEY_DIGESTS,
        "create index virtual_key_digests_key on virtual_key_digests (key_id)",
        _AUDIT,
        "create index audit_at on audit (at)",
        _COUNTERS,
        "insert into counters (name, value) values ('virtual_keys', 0)",
    ),
)
"""The statements of each step, from the first."""

TOKENS = (*INPUT, *OUTPUT)
"""The classes of tokens, each a column."""

SUBJECTS = ("hour", "key", "key_digest", "key_group", "provider", "credential", "model", "operation", "ended")
"""What the sums of an hour are told apart by."""

SUMS: dict[str, str] = {
    "calls": "case when attempt = 1 then 1 else 0 end",
    "attempts": "1",
    "estimated": "case when source in ('partly', 'estimated') then 1 else 0 end",
    "unpriced": "case when cost is null and source <> 'none' then 1 else 0 end",
    **{name: name for name in TOKENS},
    "cost": "coalesce(cost, 0)",
    "duration_us": "coalesce(duration_us, 0)",
    "first_token_us": "coalesce(first_token_us, 0)",
    "first_tokens": "case when first_token_us is null then 0 else 1 end",
}
"""What is summed up, each as one attempt adds to it."""

_SUBJECT_OF = {
    "hour": "at - at % 3600000000",
    "key_group": "coalesce(key_group, '')",
    "model": "coalesce(model, model_asked, '')",
}
"""Where an attempt says it otherwise than by the column of this name. Hours are microseconds since the epoch, too."""


def subject_of(name: str) -> str:
    """
    :param name: one of ``SUBJECTS``.
    :return: how an attempt's row says it.
    """
    return _SUBJECT_OF.get(name, name)


def fold_sql(source: str, sign: int = 1) -> str:
    """
    :param source: what follows ``from``: where the attempts come from, with a ``where``.
    :param sign: -1 to take away what they have added.
    :return: a statement that adds attempts to the sums of their hours.
    """
    subjects, sums = ", ".join(SUBJECTS), ", ".join(SUMS)
    by = ", ".join(str(number + 1) for number in range(len(SUBJECTS)))
    told = ", ".join(subject_of(name) for name in SUBJECTS)
    summed = ", ".join(f"{sign} * sum({each})" for each in SUMS.values())
    added = ", ".join(f"{name} = hours.{name} + excluded.{name}" for name in SUMS)
    # In one order, whoever writes: two that lock the same rows in different orders would wait for each other for ever.
    return (
        f"insert into hours ({subjects}, {sums}) select {told}, {summed} from {source} group by {by} order by {by} "
        f"on conflict ({subjects}) do update set {added}"
    )


COLUMNS = (
    *("request_id", "attempt", "at", "key", "key_digest", "key_group", "labels"),
    *("provider", "credential", "dialect", "operation", "method", "stream"),
    *("model_asked", "model", "status", "ended", "error"),
    *TOKENS,
    *("pieces", "tier"),
    *("source", "price", "cost", "duration_us", "first_token_us"),
)
"""Of an attempt, in the order of ``values_of``."""

MOST_TOKENS = 10**12
"""Of one class. A provider that says more is mistaken, and must not cost an hour its sums."""
MOST_COST = 10**15
"""A million dollars, of one attempt."""

TYPES_OF_COLUMNS = dict(re.findall(r"^    (\w+) (text|bigint|\{json\})", _ATTEMPTS, re.MULTILINE))
"""As a step writes them."""

_encode = msgspec.json.Encoder(order="sorted").encode


def values_of(row: Row) -> tuple[Any, ...]:
    """:return: what is written to the columns. Numbers that cannot be are cut to what has room in sums."""
    # By place, as COLUMNS has them, and not by name, which takes twice as long: it is done for every attempt.
    told, used = astuple(row), astuple(row.usage)
    labels, pieces, cost = row.labels, row.usage.pieces, row.cost
    counts = used[: len(TOKENS)]
    if max(counts) > MOST_TOKENS or min(counts) < 0:
        counts = tuple([max(0, min(each, MOST_TOKENS)) for each in counts])
    if cost is not None and not -MOST_COST < cost < MOST_COST:
        cost = max(-MOST_COST, min(cost, MOST_COST))
    return (
        *told[:6],
        _encode(labels).decode() if labels else None,
        *told[7:12],
        int(row.stream),
        *told[13:18],
        *counts,
        _encode(pieces).decode() if pieces else None,
        row.usage.tier,
        row.source._value_,
        row.price,
        cost,
        *told[22:],
    )
