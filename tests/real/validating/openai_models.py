"""
What OpenAI's models take of what its API has.

Source: https://developers.openai.com/api/docs/guides/reasoning, the guide to each of the models, and the errors that
people report: since GPT-5.4 Chat Completions refuses tools together with reasoning, and since GPT-5.6 that is so
where the request says nothing of reasoning, because the model reasons by itself.
"""

from __future__ import annotations

import attrs

__all__ = ["MODELS", "NEWEST", "PLAIN", "REASONING", "Model"]


@attrs.frozen
class Model:
    """What is an error with one model may be the only way with another."""

    efforts: tuple[str, ...] = ()
    """What its effort may be; none for models that do not reason."""
    effort: str = "none"
    """What it is where the request does not say."""
    sampling: tuple[str, ...] = ()
    """The efforts with which sampling may be changed."""
    tools_while_reasoning: bool = True
    """Whether Chat Completions takes functions together with an effort."""
    stops: bool = True
    """Whether Chat Completions takes stop sequences."""
    breakpoints: bool = False
    """Whether it takes marks for the cache."""
    verbosity: bool = True


PLAIN = "gpt-4.1"
"""Does not reason."""
REASONING = "gpt-5-mini"
"""Always reasons, a little at least."""
NEWEST = "gpt-6-sol"
"""Reasons unless it is told not to, and with tools in the Responses API only."""

MODELS = {
    PLAIN: Model(sampling=("none",), verbosity=False),
    REASONING: Model(("minimal", "low", "medium", "high"), "medium", stops=False),
    "gpt-5.4": Model(
        ("none", "low", "medium", "high", "xhigh"), sampling=("none",), tools_while_reasoning=False, stops=False
    ),
    NEWEST: Model(
        ("none", "low", "medium", "high", "xhigh", "max"),
        "medium",
        tools_while_reasoning=False,
        stops=False,
        breakpoints=True,
    ),
}
