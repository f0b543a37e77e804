"""What generations of Gemini differ in, as far as a request has to be written differently. Told from the name alone."""

from __future__ import annotations

import re
from enum import IntEnum

__all__ = ["Generation", "generation_of", "thinks_minimally"]


class Generation(IntEnum):
    """How a model takes what is asked of it; a later one is greater."""

    PLAIN = 1
    """Gemini 1 and 2.0, Gemma: they do not think, fetch no URLs, and do not know ``VALIDATED``."""
    BUDGETS = 2
    """Gemini 2.5: thinks within a budget of tokens, and refuses calls without the signatures that it made."""
    LEVELS = 3
    """Gemini 3 to 3.5: thinks at a level, takes pictures inside the results of functions, and a format beside them."""
    FIXED = 4
    """Gemini 3.5 Flash-Lite, 3.6 and later, and every name that tells no generation (``gemini-flash-latest``): samples
    as it likes, and refuses a conversation that ends with words of its own."""


_NUMBERED = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?![\d.])")
_PLAIN = re.compile(r"gemma|learnlm|(?:^|/)aqa")


def generation_of(model: str) -> Generation:
    """
    :param model: its name at the provider, with or without ``models/``.
    Source: https://ai.google.dev/gemini-api/docs/thinking, .../thought-signatures and .../latest-model
    """
    number = _number(model)
    if number is None:
        return Generation.PLAIN if _PLAIN.search(model) else Generation.FIXED
    if number < (3, 0):
        return Generation.PLAIN if number < (2, 5) else Generation.BUDGETS
    return Generation.FIXED if number >= (3, 6) or (number == (3, 5) and "lite" in model) else Generation.LEVELS


def thinks_minimally(model: str) -> bool:
    """
    :param model: one that thinks at a level.
    :return: whether the lowest one is ``minimal``: Gemini Pro never had it, and since 3.7 only Flash-Lite has.
    Source: https://ai.google.dev/gemini-api/docs/thinking#thinking-levels
    """
    number = _number(model)
    return "lite" in model or ("pro" not in model and number is not None and number < (3, 7))


def _number(model: str) -> tuple[int, int] | None:
    found = _NUMBERED.search(model)
    return None if found is None else (int(found[1][:3]), int((found[2] or "0")[:3]))
