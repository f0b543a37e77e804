"""What somebody says that a model costs: see `llm_gateway.core.prices.lists` for what that comes to."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["MAX_DOLLARS", "MAX_FACTOR", "BadPrice", "Prices"]

MAX_DOLLARS: Final = 1_000_000
"""Beyond it somebody meant something else. Per million tokens, or for one piece."""

MAX_FACTOR: Final = 100
"""Beyond it somebody meant per cent."""


class BadPrice(ValueError):
    """A list of prices, or one price, is not what it has to be. Holds where and why."""


class Prices(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What is charged, in dollars per million tokens. What is not said has no price of its own."""

    input: str | None = None
    cached: str | None = None
    cache_write: str | None = None
    cache_write_1h: str | None = None
    audio_input: str | None = None
    cached_audio: str | None = None
    image_input: str | None = None
    output: str | None = None
    reasoning: str | None = None
    audio_output: str | None = None
    image_output: str | None = None
    request: str | None = None
    """Dollars for each call in which tokens were used."""
    pieces: dict[str, str] = {}
    """Dollars for each piece."""
    above: dict[str, Prices] = {}
    """What is different, for all tokens, where more than so many are read: ``{"200000": {...}}``."""
    tiers: dict[str, Prices] = {}
    """What is different in a service tier, ``above`` included."""
    times: str | None = None
    """In place of all that, in ``aiservices.json`` only: what is charged is the list's price times this."""

    def __hash__(self) -> int:
        # Made by msgspec it would be of all fields, and those that are by name have none.
        return hash((self.input, self.output, self.times))
