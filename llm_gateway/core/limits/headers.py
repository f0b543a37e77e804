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

from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.values import Measure

__all__ = ["anthropic_headers", "duration_text", "openai_headers", "retry_after", "time_text"]

_KINDS: dict[Measure, tuple[bytes, ...]] = {
    Measure.REQUESTS: (b"requests",),
    Measure.TOKENS: (b"tokens",),
    Measure.INPUT_TOKENS: (b"tokens", b"input-tokens"),
    Measure.OUTPUT_TOKENS: (b"tokens", b"output-tokens"),
}
"""By what is limited: what it is called in the headers."""

_PARTS = (b"limit", b"remaining", b"reset")
_OPENAI = {kind: tuple(b"x-ratelimit-%b-%b" % (part, kind) for part in _PARTS) for kind in (b"requests", b"tokens")}
_ANTHROPIC = {
    kind: tuple(b"anthropic-ratelimit-%b-%b" % (kind, part) for part in _PARTS)
    for kind in (b"requests", b"tokens", b"input-tokens", b"output-tokens")
}


def openai_headers(standings: Iterable[Standing]) -> list[tuple[bytes, bytes]]:
    """
    :return: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``; tokens are those of the limit on all of them, on
        those read or on those written that has the least left. Resets are times such as ``1s``, ``6m0s``, ``250ms``.
    """
    found: list[tuple[bytes, bytes]] = []
    for kind, standing in _tightest(standings).items():
        names = _OPENAI.get(kind)
        if names is not None:
            limit, remaining, reset = names
            found += (
                (limit, b"%d" % standing.limit.amount),
                (remaining, b"%d" % standing.remaining),
                (reset, duration_text(standing.reset_s or 0.0)),
            )
    return found


def anthropic_headers(standings: Iterable[Standing], now: float) -> list[tuple[bytes, bytes]]:
    """
    :param now: seconds since the epoch.
    :return: ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}``; tokens as for
        OpenAI. Resets are times as RFC 3339 has them, in UTC, rounded up to a second.
    """
    found: list[tuple[bytes, bytes]] = []
    for kind, standing in _tightest(standings).items():
        limit, remaining, reset = _ANTHROPIC[kind]
        found += (
            (limit, b"%d" % standing.limit.amount),
            (remaining, b"%d" % standing.remaining),
            (reset, time_text(now + (standing.reset_s or 0.0))),
        )
    return found


def retry_after(seconds: float) -> bytes:
    """:return: whole seconds, rounded up, for the header of that name: who comes then is not too early."""
    return b"%d" % max(1, -int(-seconds // 1))


def duration_text(seconds: float) -> bytes:
    """:return: such as ``0s``, ``1ms``, ``8.64s``, ``1m1s``, ``23h59m59s``; rounded up."""
    milliseconds = -int(-seconds * 1_000 // 1)
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


def _tightest(standings: Iterable[Standing]) -> dict[bytes, Standing]:
    """:return: by what the headers call it: the limit with the least left, and of two with as little the later one."""
    found: dict[bytes, Standing] = {}
    for standing in standings:
        limit = standing.limit
        for kind in () if limit.shadow else _KINDS.get(limit.measure, ()):
            best = found.get(kind)
            if best is None or _urgency(standing) < _urgency(best):
                found[kind] = standing
    return found


def _urgency(standing: Standing) -> tuple[int, float]:
    return standing.remaining, -(standing.reset_s or 0.0)
