"""
What three generations of Claude models take.

Source: the pages of platform.claude.com/docs/en about thinking, effort, mid-conversation system messages and structured
outputs, the migration guide of each model, and its page for the largest answer.
"""

from __future__ import annotations

import attrs

__all__ = ["ADAPTIVE", "BUDGETED", "MODELS", "NEWEST", "Model"]


@attrs.frozen
class Model:
    """What is an error with one model may be the only way with another."""

    max_tokens: int
    thinking: frozenset[str]
    """The types of ``thinking`` that it takes."""
    efforts: frozenset[str] = frozenset()
    prefill: bool = False
    """Whether it continues a last message of the assistant's."""
    forced_tools: bool = True
    sampling: bool = True
    both_samplings: bool = False
    """Whether ``temperature`` and ``top_p`` may come together."""
    system_messages: bool = False


BUDGETED = "claude-sonnet-4-5"
"""Thinks with a budget of tokens."""
ADAPTIVE = "claude-opus-4-6"
"""Decides how much to think, and can be told the effort."""
NEWEST = "claude-sonnet-5-5"
"""Always thinks, and takes neither sampling nor forced tools."""

MODELS = {
    BUDGETED: Model(64_000, frozenset({"enabled", "disabled"}), prefill=True),
    ADAPTIVE: Model(
        128_000,
        frozenset({"adaptive", "enabled", "disabled"}),
        efforts=frozenset({"low", "medium", "high", "max"}),
    ),
    NEWEST: Model(
        128_000,
        frozenset({"adaptive", "between_tools"}),
        efforts=frozenset({"low", "medium", "high", "xhigh", "max"}),
        forced_tools=False,
        sampling=False,
        system_messages=True,
    ),
}
