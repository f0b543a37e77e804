"""What generations of Gemini differ in, as far as a request has to be written differently. Told from the name alone."""

from __future__ import annotations

import re
from enum import Enum

__all__ = ["Generation", "generation_of"]


class Generation(Enum):
    """How a model takes what is asked of it."""

    PLAIN = 1
    """Gemini 1 and 2.0, Gemma: they do not think, fetch no URLs, and do not know ``VALIDATED``."""
    BUDGETS = 2
    """Gemini 2.5: thinks within a budget of tokens."""
    LEVELS = 3
    """Gemini 3 and later, and every name that tells no generation (``gemini-flash-latest``): thinks at a level, refuses
    calls without the signatures that it made, and takes pictures inside the results of functions."""


_NUMBERED = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?![\d.])")
_PLAIN = re.compile(r"gemma|learnlm|(?:^|/)aqa")


def generation_of(model: str) -> Generation:
    """
    :param model: its name at the provider, with or without ``models/``.
    Source: https://ai.google.dev/gemini-api/docs/thinking and .../thought-signatures
    """
    if found := _NUMBERED.search(model):
        number = int(found[1][:3]), int((found[2] or "0")[:3])
        return Generation.PLAIN if number < (2, 5) else Generation.BUDGETS if number < (3, 0) else Generation.LEVELS
    return Generation.PLAIN if _PLAIN.search(model) else Generation.LEVELS
