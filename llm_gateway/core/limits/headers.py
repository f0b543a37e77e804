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

_Names = tuple[bytes, bytes, bytes]
"""Of the headers for one kind of limit, as Twisted spells them: how much, how much is left, and until when."""


def _openai(kind: bytes) -> _Names:
    return b"X-Ratelimit-Limit-" + kind, b"X-Ratelimit-Remaining-" + kind, b"X-Ratelimit-Reset-" + kind


def _anthropic(kind: bytes) -> _Names:
    begin = b"Anthropic-Ratelimit-" + kind
    return begin + b"-Limit", begin + b"-Remaining", begin + b"-Reset"


_TOKENS = _anthropic(b"Tokens")
# By the names of measures and not by themselves, whose hashes Python works out anew each time.
_OPENAI: dict[str, tuple[_Names, ...]] = {
    Measure.REQUESTS.value: (_openai(b"Requests"),),
    **dict.fromkeys(
        (Measure.TOKENS.value, Measure.INPUT_TOKENS.value, Measure.OUTPUT_TOKENS.value), (_openai(b"Tokens"),)
    ),
}
_ANTHROPIC: dict[str, tuple[_Names, ...]] = {
    Measure.REQUESTS.value: (_anthropic(b"Requests"),),
    Measure.TOKENS.value: (_TOKENS,),
    Measure.INPUT_TOKENS.value: (_TOKENS, _anthropic(b"Input-Tokens")),
    Measure.OUTPUT_TOKENS.value: (_TOKENS, _anthropic(b"Output-Tokens")),
}


def openai_headers(standings: Iterable[Standing]) -> Fields:
    """
    :return: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``; tokens are those of the limit on all of them, on
        those read or on those written that has the least left. Resets are times such as ``1s``, ``6m0s``, ``250ms``.
    """
    found: Fields = {}
    for (limit, remaining, reset), standing in _tightest(standings, _OPENAI).items():
        found[limit] = [_number(standing.limit.amount)]
        found[remaining] = [b"%d" % standing.remaining]
        found[reset] = [_milliseconds_text(-int((standing.reset_s or 0.0) * -1_000 // 1))]
    return found


def anthropic_headers(standings: Iterable[Standing], now: float) -> Fields:
    """
    :param now: seconds since the epoch.
    :return: ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}``; tokens as for
        OpenAI. Resets are times as RFC 3339 has them, in UTC, rounded up to a second.
    """
    found: Fields = {}
    for (limit, remaining, reset), standing in _tightest(standings, _ANTHROPIC).items():
        found[limit] = [_number(standing.limit.amount)]
        found[remaining] = [b"%d" % standing.remaining]
        found[reset] = [time_text(now + (standing.reset_s or 0.0))]
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


def _tightest(standings: Iterable[Standing], known: dict[str, tuple[_Names, ...]]) -> dict[_Names, Standing]:
    """:return: by the headers' names: the limit with the least left, and of two with as little the later one."""
    found: dict[_Names, Standing] = {}
    for standing in standings:
        limit = standing.limit
        kinds = known.get(limit.measure._value_)
        if kinds is None or limit.shadow:
            continue
        for names in kinds:
            best = found.setdefault(names, standing)
            if best is not standing and _urgency(standing) < _urgency(best):
                found[names] = standing
    return found


@lru_cache(maxsize=512)
def _number(amount: int) -> bytes:
    return b"%d" % amount


def _urgency(standing: Standing) -> tuple[int, float]:
    return standing.remaining, -(standing.reset_s or 0.0)
