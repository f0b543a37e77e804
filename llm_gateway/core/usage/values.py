"""What was used, as one shape for every provider."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["INPUT", "NOTHING", "OUTPUT", "Source", "Usage"]

INPUT = ("input", "cached", "cache_write", "cache_write_1h", "audio_input", "cached_audio", "image_input")
"""The classes of tokens that a model reads."""

OUTPUT = ("output", "reasoning", "audio_output", "image_output")
"""The classes of tokens that a model writes."""


class Source(Enum):
    """Where the numbers come from."""

    NONE = "none"
    """Nothing was used: the provider did not take the call, or it is of a kind that nobody counts."""
    PROVIDER = "provider"
    """All of them are the provider's own."""
    PARTLY = "partly"
    """Some are the provider's own; the rest is estimated."""
    ESTIMATED = "estimated"


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Tokens by class, of one attempt. The classes do not overlap: every token counts in one of them.

    Providers differ: OpenAI's and Gemini's input includes what was cached, Anthropic's does not; OpenAI's output
    includes reasoning, Gemini's does not.
    """

    input: int = 0
    """Text, and all that has no class of its own, that was neither read from a cache nor written to one."""
    cached: int = 0
    """Read from a cache."""
    cache_write: int = 0
    """Written to a cache that is kept for five minutes, or for a time that the provider does not tell."""
    cache_write_1h: int = 0
    """Written to a cache that is kept for an hour."""
    audio_input: int = 0
    cached_audio: int = 0
    image_input: int = 0
    """Where the provider counts them apart."""
    output: int = 0
    """Without reasoning, where the provider tells it apart."""
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0
    pieces: dict[str, int] = {}
    """What is billed by the piece, by name: ``{"web_search": 2}``."""
    tier: str | None = None
    """The service tier that the provider says it answered in: ``priority``, ``batch``, ``flex``..."""

    @property
    def input_tokens(self) -> int:
        """All that was read."""
        # Written out: it is asked for several times in a call.
        return (
            self.input
            + self.cached
            + self.cache_write
            + self.cache_write_1h
            + self.audio_input
            + self.cached_audio
            + self.image_input
        )

    @property
    def output_tokens(self) -> int:
        """All that was written."""
        return self.output + self.reasoning + self.audio_output + self.image_output


NOTHING = Usage()
