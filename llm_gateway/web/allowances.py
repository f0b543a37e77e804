"""What callers are told of limits: why a call is refused, and how the limits stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llm_gateway.core.dialects import ANTHROPIC, Dialect
from llm_gateway.core.headers import Fields
from llm_gateway.core.limits.claims import Refused, Standing
from llm_gateway.core.limits.headers import anthropic_headers, openai_headers
from llm_gateway.core.limits.values import Limit, Measure, Scope, Window
from llm_gateway.core.record import printable
from llm_gateway.errors import BudgetExceeded, LimitExceeded, LimitsUnreachable, RateExceeded, UnpricedModel

if TYPE_CHECKING:
    from llm_gateway.core.limits.book import Limiter

__all__ = ["UNPRICED", "ToldLimits", "limit_fields", "refusal", "unpriced"]

UNPRICED = {
    "batches": "batches",
    "realtime": "realtime sessions",
    "background": "responses in the background",
    "other": "this operation",
}
"""Operations that may be billed and that nobody can price beforehand, and what they are called."""

_WHOSE = {
    Scope.GLOBAL: "All calls together have",
    Scope.GROUP: "The group of this key has",
    Scope.KEY: "This key has",
    Scope.CREDENTIAL: "The provider's key has",
}
_UNITS = {
    Measure.REQUESTS: "calls",
    Measure.INPUT_TOKENS: "input tokens",
    Measure.OUTPUT_TOKENS: "output tokens",
    Measure.TOKENS: "tokens",
}


_OF_WRITING = frozenset({Measure.TOKENS, Measure.OUTPUT_TOKENS})


def refusal(refused: Refused, way_out: str = "") -> LimitExceeded | LimitsUnreachable:
    """
    :param way_out: what to do where the limit is one on what is written.
    """
    limit = refused.limit
    if refused.unreachable:
        return LimitsUnreachable("What is left of a limit cannot be known at present. Send the call again later.")
    headers = {}
    if refused.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(refused.retry_after_s)))
    whose = _WHOSE[limit.scope]
    if limit.measure is Measure.DOLLARS:
        over = "for good" if limit.window is Window.TOTAL else f"per {limit.window.value}"
        message = f"{whose} a budget of ${_dollars_text(limit.amount)} {over}, and not enough of it is left.{way_out}"
        return BudgetExceeded(message, headers=headers)
    if limit.measure is Measure.IN_FLIGHT:
        headers.setdefault("retry-after", "1")
        message = f"{whose} a limit of {limit.amount} calls at the same time, and as many are running."
        return RateExceeded(message, headers=headers)
    message = f"{whose} a limit of {limit.amount} {_UNITS[limit.measure]} per {limit.window.value}, which is reached."
    if limit.measure in _OF_WRITING:
        message += way_out
    return RateExceeded(message, headers=headers)


def _dollars_text(nano: int) -> str:
    whole, rest = divmod(nano, 1_000_000_000)
    decimals = f"{rest:09}".rstrip("0")
    return f"{whole}.{decimals:0<2}"


def unpriced(operation: str, model: str) -> UnpricedModel:
    called = UNPRICED.get(operation)
    if called is not None:
        return UnpricedModel(f"A budget counts for this key, and nobody knows beforehand what {called} may cost.")
    if not model:
        return UnpricedModel("A budget counts for this key, and it cannot be told which model this request is for.")
    return UnpricedModel(f"A budget counts for this key, and the model {printable(model)!r} has no price.")


class ToldLimits:
    """
    What a caller is told of the limits of its key: a ``web.context.CallLimits``.

    It knows nothing of its call. The call's account would: it and the context would keep each other alive, with the
    request's body, until the collector comes.
    """

    __slots__ = ("_dialect", "_limiter", "_limits", "_wall")

    def __init__(
        self, limiter: Limiter, limits: tuple[Limit, ...], dialect: Dialect, wall: Callable[[], float]
    ) -> None:
        """
        :param limits: those that there are headers for.
        :param dialect: the caller's.
        :param wall: seconds since the epoch.
        """
        self._limiter = limiter
        self._limits = limits
        self._dialect = dialect
        self._wall = wall

    def fields(self) -> Fields:
        """:return: headers that tell how the limits stand."""
        if not self._limits:
            return {}
        return limit_fields(self._limiter.state(self._limits), self._dialect, self._wall())


def limit_fields(standings: Sequence[Standing], dialect: Dialect, now: float) -> Fields:
    """
    :param dialect: the caller's.
    :param now: seconds since the epoch.
    :return: headers that tell how the limits stand.
    """
    fields = anthropic_headers(standings, now) if dialect is ANTHROPIC else openai_headers(standings)
    warnings = [_warning(each) for each in standings if each.limit.warn_at is not None]
    if warnings and (said := b", ".join(filter(None, warnings))):
        fields[b"X-Gw-Warning"] = [said]
    return fields


def _warning(standing: Standing) -> bytes:
    """
    :return: that the share for a warning is passed; empty if it is not.
    """
    limit, used = standing.limit, standing.used
    if limit.warn_at is None or limit.amount <= 0 or used < limit.warn_at * limit.amount:
        return b""
    return b"%d%% of %b is used" % (used * 100 // limit.amount, limit.name.encode("ascii"))
