"""Beta features: clients ask for them in a header, and a provider that does not know one refuses the whole call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_gateway.core.model_rules import ModelRule, ModelRules

__all__ = ["BETA_HEADERS", "BetaFilter"]

BETA_HEADERS = (b"anthropic-beta", b"openai-beta")
"""Lists of features, separated by commas; perhaps several of the same name."""


class BetaFilter:
    """
    Lets through what one provider knows. Verdicts are remembered: clients send the same list with every call.

    :ivar MAX_REMEMBERED: features remembered at most; whoever invents names does not fill the memory.
    """

    MAX_REMEMBERED = 256

    __slots__ = ("_known", "_verdicts")

    def __init__(self, known: Iterable[str]) -> None:
        """
        :param known: names of features, with ``*`` for any characters.
        """
        self._known = ModelRules(ModelRule(name) for name in known)
        self._verdicts: dict[bytes, bool] = {}

    def keep(self, values: Sequence[bytes]) -> list[bytes]:
        """
        :param values: of one of `BETA_HEADERS`, as the client sent them.
        :return: the features that are known, as one value or none; the very values where nothing is to be left out.
        """
        asked = [[name.strip(b" \t") for name in value.split(b",")] for value in values]
        known = [[name for name in names if name and self._knows(name)] for names in asked]
        if known == asked:
            return list(values)
        kept = dict.fromkeys(name for names in known for name in names)
        return [b",".join(kept)] if kept else []

    def _knows(self, name: bytes) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = self._known.find(name.decode("latin-1")) is not None
            if len(self._verdicts) < self.MAX_REMEMBERED and len(name) <= 128:
                self._verdicts[name] = verdict
        return verdict
