"""
How hard a model thinks: some dialects say it in words, others in tokens.

The words are OpenAI's and Anthropic's; the tokens are of the size that Google gives for the words in its own
OpenAI-compatible interface. A translation between the two is never exact and is to be counted as a change.

Source: https://ai.google.dev/gemini-api/docs/openai#thinking
"""

from __future__ import annotations

__all__ = ["EFFORTS", "budget_of", "effort_of", "nearest_effort"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From no thinking at all to as much as there is."""

_BUDGETS = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 49_152}

_LOW_TO = 4096
_MEDIUM_TO = 16_384


def budget_of(effort: str) -> int:
    """
    :param effort: one of :data:`EFFORTS`; any other counts as ``medium``.
    :return: how many tokens the model may think for.
    """
    return _BUDGETS.get(effort, _BUDGETS["medium"])


def effort_of(budget_tokens: int) -> str:
    """
    :return: the word for it, out of those that every model with efforts knows, and ``none`` for no tokens.
    """
    if budget_tokens <= 0:
        return "none"
    if budget_tokens <= _LOW_TO:
        return "low"
    return "medium" if budget_tokens <= _MEDIUM_TO else "high"


def nearest_effort(effort: str, known: tuple[str, ...]) -> str:
    """
    :param known: the efforts that the model has, one at least.
    :return: the one that is nearest; of two, the one that costs less.
    """
    if effort in known:
        return effort
    wanted = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    ranks = {name: EFFORTS.index(name) for name in known if name in EFFORTS}
    return min(ranks, key=lambda name: (abs(ranks[name] - wanted), ranks[name]), default=known[0])
