"""What is limited, for whom, and what happens where it cannot be known."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["Limit", "Measure", "Scope", "Unreachable", "Window"]


class Measure(Enum):
    """What is counted."""

    REQUESTS = "requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOKENS = "tokens"
    """Both together."""
    IN_FLIGHT = "in_flight"
    """Calls at the same time."""
    DOLLARS = "usd"
    """In billionths."""


class Scope(Enum):
    """Whose use is counted together."""

    GLOBAL = "global"
    GROUP = "group"
    KEY = "key"
    CREDENTIAL = "credential"


class Window(Enum):
    """Over which time; none slides less than continuously, and none begins anew at a full hour."""

    NOW = "now"
    """Of ``in_flight``."""
    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    """30 days."""
    TOTAL = "total"
    """For good."""

    @property
    def seconds(self) -> float | None:
        """:return: ``None`` for ``NOW`` and ``TOTAL``."""
        return _SECONDS.get(self)


_SECONDS = {
    Window.SECOND: 1.0,
    Window.MINUTE: 60.0,
    Window.HOUR: 3_600.0,
    Window.DAY: 86_400.0,
    Window.WEEK: 604_800.0,
    Window.MONTH: 2_592_000.0,
}


class Unreachable(Enum):
    """What becomes of calls while the store that counts cannot be reached."""

    CLOSED = "closed"
    """They are refused."""
    OPEN = "open"
    """They go on, uncounted until it is back."""
    LOCAL = "local_share"
    """Each process counts for itself, up to its part of the limit."""


class Limit(msgspec.Struct, frozen=True):
    """One limit."""

    scope: Scope
    subject: str
    """Which key, by its digest in hexadecimal; which group or credential, by name; empty for all calls."""
    measure: Measure
    window: Window
    amount: int
    """How much in the window; of dollars, billionths."""
    burst: int | None = None
    """Of requests and tokens per second to hour: how much of it at once; ``None`` for all."""
    warn_at: float | None = None
    """The share of it from which on the operator and the caller are warned."""
    shadow: bool = False
    """Whether it is only counted and reported, and nothing refused."""
    unreachable: Unreachable = Unreachable.CLOSED

    @property
    def name(self) -> str:
        """As the configuration calls it: ``requests_per_minute``, ``usd_total``, ``in_flight``."""
        return _NAMES[self.measure, self.window]

    @property
    def id(self) -> str:
        """What its count is kept under; another amount is the same count."""
        return f"{self.scope.value}:{self.subject}:{self.name}"


def _name(measure: Measure, window: Window) -> str:
    if window is Window.NOW:
        return measure.value
    between = "_" if window is Window.TOTAL else "_per_"
    return f"{measure.value}{between}{window.value}"


_NAMES = {(measure, window): _name(measure, window) for measure in Measure for window in Window}
