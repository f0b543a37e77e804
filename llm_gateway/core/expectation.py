"""How long answers are likely to be, of models whose callers do not say how long they may be."""

from __future__ import annotations

from collections import deque

__all__ = ["Expectation"]

_MOST = 64
"""Answers of one model that are remembered."""

_MODELS = 1_024


class Expectation:
    """Learns from answers how many tokens nine in ten of a model's stay below."""

    UNKNOWN = 4_096
    """Tokens, before there was any answer."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[int]] = {}
        self._found: dict[tuple[str, str], int] = {}
        self._news = 0

    def of(self, provider: str, model: str) -> int:
        """
        :return: tokens.
        """
        return self._found.get((provider, model), self.UNKNOWN)

    def learn(self, provider: str, model: str, tokens: int) -> None:
        """
        :param tokens: of an answer that came to its end.
        """
        key = provider, model
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= _MODELS:
                # Providers say what their models are called, and must not fill the memory with it.
                self._seen.clear()
                self._found.clear()
            seen = self._seen[key] = deque(maxlen=_MOST)
        seen.append(tokens)
        self._news += 1
        if len(seen) < 8 or self._news % 8 == 0:
            # Of few, the longest.
            ordered = sorted(seen)
            self._found[key] = max(1, ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)])
