"""What the process was told, checked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import attrs

DEFAULT_PORT = 8080
ACCESS_LOG_FORMATS = ("text", "json")
BACKLOG = 1024
"""Connections that may wait to be accepted. Twisted's 50 are too few for a fleet of programs that starts at once: the
others would try again after a second, then after three."""
WHEN_FULL = ("refuse", "drop")
WIRES = ("llhttp", "twisted")
"""The implementations of HTTP/1.1: ours on llhttp, and Twisted's own."""


def _at_least(least: float) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_settings: object, field: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1e12:
            raise ValueError(f"{field.name} must be a number of at least {least:g}, not {value!r}")

    return check


def _one_of(known: Collection[str]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_settings: object, field: attrs.Attribute[Any], value: Any) -> None:
        if value not in known:
            raise ValueError(f"{field.name} must be {' or '.join(known)}, not {value!r}")

    return check


@attrs.frozen
class Settings:
    """
    Everything that options and environment decide. Durations in seconds, sizes in bytes.

    :raises ValueError: a value cannot be used; the message names it.
    """

    keys_file: str = "keys.json"
    aiservices_file: str | None = "aiservices.json"
    """``None``: the one that ships with the package."""
    listen: tuple[str, ...] = (f"tcp:{DEFAULT_PORT}:backlog={BACKLOG}",)
    """Twisted endpoint strings."""
    demo: bool = False
    """Whether a built-in provider stands in for the real ones."""
    wire: str = attrs.field(default="llhttp", validator=_one_of(WIRES))
    """Which implementation of HTTP/1.1 is used: one of ``WIRES``."""
    workers: int = attrs.field(default=1, validator=_at_least(1))
    """How many processes answer calls. From two up another one supervises them, which the program does."""
    drain_timeout_s: float = attrs.field(default=600.0, validator=_at_least(0))
    """How long running calls get after SIGTERM."""
    health_interval_s: float = attrs.field(default=30.0, validator=_at_least(0))
    """Between two probes of a provider; 0 for none."""
    health_timeout_s: float = attrs.field(default=5.0, validator=_at_least(0.001))
    reload_interval_s: float = attrs.field(default=2.0, validator=_at_least(0))
    """Between two looks at the configuration files; 0 for none (SIGHUP still reloads)."""
    access_log: str | None = "-"
    """A path, ``-`` for standard output, ``None`` for no log."""
    access_log_format: str = attrs.field(default="text", validator=_one_of(ACCESS_LOG_FORMATS))
    max_body_bytes: int = attrs.field(default=104_857_600, validator=_at_least(1))
    """Of a request. Anthropic takes 32 MB per message, OpenAI 25 MB of audio; larger uploads need a larger limit."""
    ledger: str | None = None
    """Where what calls use is written: the path of an SQLite file or ``postgresql://...``; ``None`` for nowhere."""
    journal: str | None = None
    """The folder of what is not in the database yet; ``None`` for one beside the SQLite file."""
    ledger_when_full: str = attrs.field(default="refuse", validator=_one_of(WHEN_FULL))
    """What becomes of calls while the database is away and the journal has no more room."""
    ledger_retention_days: float = attrs.field(default=0.0, validator=_at_least(0))
    """How long single attempts are kept; 0 for ever. Their sums by the hour stay."""
    prices_file: str | None = None
    """A list of prices in place of the one that ships with the package."""
    warn_webhook: str | None = None
    """A URL that is told when the share of a limit for a warning is passed."""
    admin_key_file: str | None = None
    """Where the keys of the admin API are; ``None`` for no such API."""
    admin_listen: tuple[str, ...] = ()
    """Twisted endpoint strings of the admin API, where it is not on those of the gateway."""
    pool_size: int = attrs.field(default=512, validator=_at_least(0))
    """Idle connections kept open per provider; there is no limit on those in use."""
    pool_idle_s: float = attrs.field(default=55.0, validator=_at_least(0))
    """How long an idle connection is kept: less than the 60 s after which many servers and balancers close it, since a
    call sent on a connection that is being closed fails."""
