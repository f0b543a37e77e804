"""What is said about models by name: which a key may call, and what a provider calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from llm_gateway.core.prices.said import Prices

__all__ = ["NOTHING", "ModelFacts", "ModelRule", "ModelRules"]


class ModelFacts(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is known of one model. ``None`` is not known."""

    title: str | None = None
    """As people write it: ``Claude Haiku 5.5``."""
    released: str | None = None
    """``YYYY-MM-DD``."""
    retires: str | None = None
    """``YYYY-MM-DD``: the day from which its provider refuses calls to it, where one is announced."""
    context_window: int | None = None
    """In tokens, input and output together where the provider counts them so."""
    max_output_tokens: int | None = None
    """In tokens, reasoning included."""
    reasoning: bool | None = None
    """Whether it thinks before it answers, or can be asked to."""
    sampling: bool | None = None
    """Whether it takes ``temperature`` and ``top_p``."""
    inputs: tuple[str, ...] | None = None
    """Of ``text``, ``image``, ``pdf``, ``audio`` and ``video``."""
    outputs: tuple[str, ...] | None = None
    """Of the same."""
    operations: tuple[str, ...] | None = None
    """Of ``chat``, ``embeddings``, ``images``, ``speech``, ``transcription``, ``moderation`` and ``realtime``."""

    def over(self, other: ModelFacts) -> ModelFacts:
        """:return: these facts, and the other ones where these do not say."""
        said = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not None}
        return msgspec.structs.replace(other, **said) if said else other


NOTHING = ModelFacts()


class ModelRule(msgspec.Struct, frozen=True):
    """What is said of one name, or of all that one pattern fits."""

    pattern: str
    """A name; ``*`` in it stands for any characters, also none. Capitals count."""
    target: str | None = None
    """The name to use in its place; a ``*`` in it stands for what the pattern's one stood for."""
    facts: ModelFacts = NOTHING
    prices: Prices | None = None
    """What it costs, where the operator says so."""

    @property
    def is_name(self) -> bool:
        """Whether it is about one model."""
        return "*" not in self.pattern

    def target_of(self, name: str) -> str:
        """
        :param name: one that fits the pattern.
        """
        if self.target is None:
            return name
        if "*" not in self.target or self.is_name:
            return self.target
        before, _, behind = self.pattern.partition("*")
        return self.target.replace("*", name[len(before) : len(name) - len(behind)], 1)


class ModelRules:
    """Rules in the order in which they were written. A name counts before a pattern, a pattern before a later one."""

    __slots__ = ("_names", "_patterns", "rules")

    def __init__(self, rules: Iterable[ModelRule] = ()) -> None:
        self.rules = tuple(rules)
        self._names = {rule.pattern: rule for rule in reversed(self.rules) if rule.is_name}
        self._patterns = [(_compiled(rule.pattern), rule) for rule in self.rules if not rule.is_name]

    def find(self, name: str) -> ModelRule | None:
        """:return: the rule that counts for this name."""
        found = self._names.get(name)
        if found is not None:
            return found
        return next((rule for pattern, rule in self._patterns if pattern.fullmatch(name)), None)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __eq__(self, other: object) -> bool:
        return self.rules == other.rules if isinstance(other, ModelRules) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.rules)

    def __repr__(self) -> str:
        # Names in keys.json are not shown: a key may stand in their place.
        return f"ModelRules(<{len(self.rules)} rules>)"


def _compiled(pattern: str) -> re.Pattern[str]:
    # Each piece but the last is taken where it first fits and never again: several stars cost no more than one.
    first, *pieces = (re.escape(piece) for piece in pattern.split("*"))
    last = pieces.pop()
    middle = "".join(f"(?>.*?{piece})" for piece in pieces if piece)
    return re.compile(f"{first}{middle}.*{last}", re.DOTALL)
