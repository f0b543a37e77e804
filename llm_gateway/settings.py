"""What the process was told, checked."""

from __future__ import annotations

import msgspec

DEFAULT_PORT = 8080
ACCESS_LOG_FORMATS = ("text", "json")
BACKLOG = 1024
"""Connections that may wait to be accepted. Twisted's 50 are too few for a fleet of programs that starts at once: the
others would try again after a second, then after three."""
WHEN_FULL = ("refuse", "drop")
WIRES = ("llhttp", "twisted")
"""The implementations of HTTP/1.1: ours on llhttp, and Twisted's own."""


_AT_LEAST = {
    "workers": 1,
    "drain_timeout_s": 0,
    "health_interval_s": 0,
    "health_timeout_s": 0.001,
    "reload_interval_s": 0,
    "max_body_bytes": 1,
    "ledger_retention_days": 0,
    "pool_size": 0,
    "pool_idle_s": 0,
}
_ONE_OF = {"wire": WIRES, "access_log_format": ACCESS_LOG_FORMATS, "ledger_when_full": WHEN_FULL}


class Settings(msgspec.Struct, frozen=True):
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
    wire: str = "llhttp"
    """Which implementation of HTTP/1.1 is used: one of ``WIRES``."""
    workers: int = 1
    """How many processes answer calls. From two up another one supervises them, which the program does."""
    drain_timeout_s: float = 600.0
    """How long running calls get after SIGTERM."""
    health_interval_s: float = 30.0
    """Between two probes of a provider; 0 for none."""
    health_timeout_s: float = 5.0
    reload_interval_s: float = 2.0
    """Between two looks at the configuration files; 0 for none (SIGHUP still reloads)."""
    access_log: str | None = "-"
    """A path, ``-`` for standard output, ``None`` for no log."""
    access_log_format: str = "text"
    max_body_bytes: int = 104_857_600
    """Of a request. Anthropic takes 32 MB per message, OpenAI 25 MB of audio; larger uploads need a larger limit."""
    ledger: str | None = None
    """Where what calls use is written: the path of an SQLite file or ``postgresql://...``; ``None`` for nowhere."""
    journal: str | None = None
    """The folder of what is not in the database yet; ``None`` for one beside the SQLite file."""
    ledger_when_full: str = "refuse"
    """What becomes of calls while the database is away and the journal has no more room."""
    ledger_retention_days: float = 0.0
    """How long single attempts are kept; 0 for ever. Their sums by the hour stay."""
    prices_file: str | None = None
    """A list of prices in place of the one that ships with the package."""
    warn_webhook: str | None = None
    """A URL that is told when the share of a limit for a warning is passed."""
    admin_key_file: str | None = None
    """Where the keys of the admin API are; ``None`` for no such API."""
    admin_listen: tuple[str, ...] = ()
    """Twisted endpoint strings of the admin API, where it is not on those of the gateway."""
    pool_size: int = 512
    """Idle connections kept open per provider; there is no limit on those in use."""
    pool_idle_s: float = 55.0
    """How long an idle connection is kept: less than the 60 s after which many servers and balancers close it, since a
    call sent on a connection that is being closed fails."""

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1e12:
                raise ValueError(f"{name} must be a number of at least {least:g}, not {value!r}")
        for name, known in _ONE_OF.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)!r}")
