"""What the process was told, checked."""

from __future__ import annotations

import attrs

DEFAULT_PORT = 8080
BACKLOG = 1024
"""Connections that may wait to be accepted. Twisted's 50 are too few for a fleet of programs that starts at once: the
others would try again after a second, then after three."""
WIRES = ("llhttp", "twisted")
"""The implementations of HTTP/1.1: ours on llhttp, and Twisted's own."""


@attrs.frozen
class Settings:
    """Everything that options and environment decide. Durations in seconds, sizes in bytes."""

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
    pool_size: int = 512
    """Idle connections kept open per provider; there is no limit on those in use."""
    pool_idle_s: float = 55.0
    """How long an idle connection is kept: less than the 60 s after which many servers and balancers close it, since a
    call sent on a connection that is being closed fails."""
