"""Rows to write down."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from llm_gateway.core.record import ENDINGS
from llm_gateway.core.usage.values import INPUT, OUTPUT, Source, Usage
from llm_gateway.ledger.row import Row

__all__ = ["AT", "ended", "rows", "running"]

AT = 1_795_370_400_000_000
"""The full hour from which on these are sent: microseconds since the epoch."""


def running(number: int, **values: Any) -> Row:
    """:return: an attempt that has just begun; each number is another call's, a second after the one before."""
    told: dict[str, Any] = {
        "request_id": f"{number:024x}",
        "attempt": 1,
        "at": AT + number * 1_000_000,
        "key": "alice",
        "key_digest": "a1" * 32,
        "group": "team",
        "labels": {"app": "chat"},
        "provider": "openai",
        "credential": "main",
        "dialect": "openai",
        "operation": "chat",
        "model_asked": "gpt-5.4-mini",
    }
    return Row(**(told | values))


def ended(number: int, **values: Any) -> Row:
    """:return: an attempt that went well."""
    told: dict[str, Any] = {
        "model": "gpt-5.4-mini-2026-03-17",
        "status": 200,
        "ended": "ok",
        "usage": Usage(input=100, cached=20, output=30 + number % 7, reasoning=5),
        "source": Source.PROVIDER,
        "price": "list 1",
        "cost": 1_234_567 + number,
        "duration_us": 2_000_000,
        "first_token_us": 300_000,
    }
    return running(number, **(told | values))


_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_maybe = st.none() | _words
_counts = st.integers(0, 10**9)


def _usages() -> st.SearchStrategy[Usage]:
    return st.builds(
        Usage,
        **{name: st.just(0) | _counts for name in (*INPUT, *OUTPUT)},
        pieces=st.dictionaries(_words, _counts, max_size=2),
        tier=_maybe,
    )


def rows() -> st.SearchStrategy[Row]:
    """Any attempt that may be written down; the same pair of request and attempt is drawn more than once."""
    names = st.tuples(st.integers(0, 39), st.integers(1, 3))
    return names.flatmap(lambda name: _named(*name))


def _named(number: int, attempt: int) -> st.SearchStrategy[Row]:
    few = st.sampled_from(["alice", "bob", "käthe"])
    return st.builds(
        Row,
        request_id=st.just(f"{number:024x}"),
        attempt=st.just(attempt),
        # Some two days, and always the same for one attempt.
        at=st.just(AT + (number - 20) * 5_407_000_003 + attempt),
        key=few,
        key_digest=st.sampled_from(["a1" * 32, "b2" * 32]),
        group=st.none() | few,
        labels=st.dictionaries(st.sampled_from(["app", "a b", 'q"']), _words, max_size=2),
        provider=st.sampled_from(["openai", "anthropic"]),
        credential=few,
        dialect=st.sampled_from(["openai", "anthropic"]),
        operation=st.sampled_from(["chat", "messages"]),
        method=st.just("POST"),
        stream=st.booleans(),
        model_asked=_maybe,
        model=_maybe,
        status=st.none() | st.integers(200, 599),
        ended=st.sampled_from([*ENDINGS, "interrupted"]),
        error=_maybe,
        usage=_usages(),
        source=st.sampled_from(Source),
        price=_maybe,
        cost=st.none() | st.integers(0, 10**15),
        duration_us=st.none() | _counts,
        first_token_us=st.none() | _counts,
    )
