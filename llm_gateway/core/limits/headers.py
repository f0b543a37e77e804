"""
How limits stand, as headers that the SDKs of OpenAI and Anthropic know.

Of several limits of a kind, the one with the least left is told: it is the next to refuse. Dollars and calls in flight
have no such header, and what is only watched is not told.

Sources: "Rate limits in headers" in OpenAI's guide to rate limits; "Response headers" in Anthropic's API documentation
on rate limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from time import gmtime

from llm_gateway.core.headers import Fields
from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.values import Measure

__all__ = ["anthropic_headers", "duration_text", "openai_headers", "retry_after", "time_text"]

_REQUESTS = Measure.REQUESTS
_TOKENS = frozenset({Measure.TOKENS.value, Measure.INPUT_TOKENS.value, Measure.OUTPUT_TOKENS.value})
# By the names of measures and not by themselves, whose hashes Python works out anew each time.
_KINDS: dict[str, tuple[bytes, ...]] = {
    Measure.REQUESTS.value: (b"Requests",),
    Measure.TOKENS.value: (b"Tokens",),
    Measure.INPUT_TOKENS.value: (b"Tokens", b"Input-Tokens"),
    Measure.OUTPUT_TOKENS.value: (b"Tokens", b"Output-Tokens"),
}
"""By what is limited: what it is called in Anthropic's headers."""


def openai_headers(standings: Iterable[Standing]) -> Fields:
    """
    :return: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``, as Twisted spells them; tokens are those of the
        limit on all of them, on those read or on those written that has the least left. Resets are times such as
        ``1s``, ``6m0s``, ``250ms``.
    """
    requests = tokens = None
    for each in standings:
        limit = each.limit
        if limit.shadow:
            continue
        if limit.measure is _REQUESTS:
            requests = each if requests is None else _tighter(each, requests)
        elif limit.measure._value_ in _TOKENS:
            tokens = each if tokens is None else _tighter(each, tokens)
    found: Fields = {}
    if requests is not None:
        found[b"X-Ratelimit-Limit-Requests"] = [_number(requests.limit.amount)]
        found[b"X-Ratelimit-Remaining-Requests"] = [b"%d" % requests.remaining]
        found[b"X-Ratelimit-Reset-Requests"] = [_milliseconds_text(-int((requests.reset_s or 0.0) * -1_000 // 1))]
    if tokens is not None:
        found[b"X-Ratelimit-Limit-Tokens"] = [_number(tokens.limit.amount)]
        found[b"X-Ratelimit-Remaining-Tokens"] = [b"%d" % tokens.remaining]
        found[b"X-Ratelimit-Reset-Tokens"] = [_milliseconds_text(-int((tokens.reset_s or 0.0) * -1_000 // 1))]
    return found


def anthropic_headers(standings: Iterable[Standing], now: float) -> Fields:
    """
    :param now: seconds since the epoch.
    :return: ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}``, as
        OpenAI's. Resets are times as RFC 3339 has them, in UTC, rounded up to a second.
    """
    tightest: dict[bytes, Standing] = {}
    for each in standings:
        limit = each.limit
        for kind in () if limit.shadow else _KINDS.get(limit.measure._value_, ()):
            best = tightest.get(kind)
            tightest[kind] = each if best is None else _tighter(each, best)
    found: Fields = {}
    for kind, each in tightest.items():
        begin = b"Anthropic-Ratelimit-" + kind
        found[begin + b"-Limit"] = [_number(each.limit.amount)]
        found[begin + b"-Remaining"] = [b"%d" % each.remaining]
        found[begin + b"-Reset"] = [time_text(now + (each.reset_s or 0.0))]
    return found


def retry_after(seconds: float) -> bytes:
    """:return: whole seconds, rounded up, for the header of that name: who comes then is not too early."""
    return b"%d" % max(1, -int(-seconds // 1))


def duration_text(seconds: float) -> bytes:
    """:return: such as ``0s``, ``1ms``, ``8.64s``, ``1m1s``, ``23h59m59s``; rounded up."""
    return _milliseconds_text(-int(-seconds * 1_000 // 1))


@lru_cache(maxsize=1024)
def _milliseconds_text(milliseconds: int) -> bytes:
    if milliseconds < 1_000:
        return b"%dms" % milliseconds if milliseconds > 0 else b"0s"
    if milliseconds < 60_000:
        whole, rest = divmod(milliseconds, 1_000)
        return b"%d.%ss" % (whole, (b"%03d" % rest).rstrip(b"0")) if rest else b"%ds" % whole
    minutes, whole = divmod(-(-milliseconds // 1_000), 60)
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%ds" % (hours, minutes, whole) if hours else b"%dm%ds" % (minutes, whole)


def time_text(at: float) -> bytes:
    """
    :param at: seconds since the epoch.
    :return: such as ``2027-01-15T08:00:00Z``; rounded up.
    """
    return _second_text(-int(-at // 1))


@lru_cache(maxsize=512)
def _second_text(at: int) -> bytes:
    return b"%04d-%02d-%02dT%02d:%02d:%02dZ" % gmtime(at)[:6]


@lru_cache(maxsize=512)
def _number(amount: int) -> bytes:
    return b"%d" % amount


def _tighter(one: Standing, other: Standing) -> Standing:
    """:return: the one with less left, and of two with as little the one that is free again later, or the other."""
    if one.remaining != other.remaining:
        return one if one.remaining < other.remaining else other
    return one if (one.reset_s or 0.0) > (other.reset_s or 0.0) else other
