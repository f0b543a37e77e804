"""
What three generations of Gemini models take.

Source: the pages of ai.google.dev/gemini-api/docs about thinking, thought signatures and function calling, and its
"What's new" page of each model.
"""

from __future__ import annotations

import attrs

__all__ = ["BUDGETED", "LEVELLED", "MODELS", "NEWEST", "Model"]


@attrs.frozen
class Model:
    """What is an error with one model may be the only way with another."""

    max_tokens: int = 65_536
    budget: tuple[int, int] | None = None
    """The least and the most tokens that it can be told to think for; ``None`` where it is told a level."""
    levels: frozenset[str] = frozenset()
    sampling: bool = True
    """Whether ``temperature`` and the like change anything: newer models pass over the ones and refuse the others."""
    prefill: bool = True
    """Whether the conversation may end with something else than the user's words, or than results alone."""
    format_with_functions: bool = True
    media_in_results: bool = True


BUDGETED = "gemini-2.5-flash"
"""Thinks within a budget of tokens."""
LEVELLED = "gemini-3.1-pro-preview"
"""Thinks at a level."""
NEWEST = "gemini-3.8-flash"
"""The same, and goes on with nothing that it has not said itself."""

_LEVELS = frozenset({"LOW", "MEDIUM", "HIGH"})

MODELS = {
    BUDGETED: Model(budget=(0, 24_576), format_with_functions=False, media_in_results=False),
    LEVELLED: Model(levels=_LEVELS),
    NEWEST: Model(levels=_LEVELS, sampling=False, prefill=False),
}
