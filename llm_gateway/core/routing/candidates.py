"""Where a call could go, what is known of the call, and choosing by chance or by conversation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from llm_gateway.core.apis import Api
from llm_gateway.core.routing.outcomes import Acted
from llm_gateway.core.routing.settings import Repeat

__all__ = [
    "Call",
    "Candidate",
    "Chance",
    "Effect",
    "conversation_number",
    "conversation_of",
    "draw",
    "effect_of",
    "may_repeat",
    "place_on_circle",
    "weighted_order",
]

Chance = Callable[[], float]
"""From 0 up to, and without, 1."""

_BITS: Final = 53
"""Of a fraction, which is what a float holds."""
_MASK: Final = (1 << 64) - 1


class Candidate(msgspec.Struct, frozen=True):
    """One place where a call could go."""

    provider: str
    credential: str
    """Its name, never the key."""
    model: str
    """As the provider calls it; empty where the call has none."""
    dialect: str | None = None
    """The one that it is asked in; ``None`` for the caller's."""
    order: int = 0
    """Lower ones first."""
    weight: float = 1.0
    """Among those of the same order."""

    def __str__(self) -> str:
        return f"{self.provider}/{self.model or '*'} with {self.credential}"


class Effect(Enum):
    """What it means for a call to be acted on twice."""

    SAFE = "safe"
    """Nothing: it reads or counts."""
    GENERATES = "generates"
    """An answer is generated, and billed, that nobody gets."""
    CREATES = "creates"
    """Something is there twice: a file, a batch."""


_GENERATING = frozenset({Api.CHAT, Api.RESPONSES, Api.MESSAGES, Api.GEMINI, Api.EMBEDDINGS, Api.GEMINI_EMBEDDINGS})
_COUNTING = frozenset({Api.COUNT_TOKENS, Api.GEMINI_COUNT_TOKENS, Api.MODELS})


def effect_of(method: str, api: Api) -> Effect:
    """
    :param method: of the request: ``POST``.
    """
    if method in ("GET", "HEAD", "OPTIONS") or api in _COUNTING:
        return Effect.SAFE
    return Effect.GENERATES if api in _GENERATING else Effect.CREATES


def may_repeat(acted: Acted, effect: Effect, allowed: Repeat) -> bool:
    """
    :return: whether a call may be sent a second time after an outcome that leaves ``acted`` open.
    """
    if acted is Acted.NO or effect is Effect.SAFE or allowed is Repeat.ALL:
        return True
    # A provider that says it has failed bills nothing for it; half a file may still be there.
    return effect is Effect.GENERATES and (acted is Acted.FAILED or allowed is Repeat.GENERATIONS)


class Call(msgspec.Struct, frozen=True):
    """What routing has to know of one call."""

    tenant: str = ""
    """Whose queue it waits in: the virtual key's label."""
    effect: Effect = Effect.GENERATES
    conversation: str | None = None
    """What ``conversation_of`` found."""
    stream: bool = False
    bound: bool = False
    """Whether it is about something that is stored at one account, such as a file: only the first candidate has it."""
    once: bool = False
    """Whether it can be sent only once, since its body is passed on while it comes."""


_PLAIN_CALL = Call()

_CONVERSATION_HEADERS = ("x-claude-code-session-id", "session_id", "session-id", "x-session-id")
"""Claude Code's, Codex's, and what others send."""
_CONVERSATION_FIELDS = ("prompt_cache_key", "safety_identifier", "user", "user_id")
"""Of the body. The first two and ``user`` are OpenAI's, the last one Anthropic's, inside ``metadata``."""


def conversation_of(headers: Mapping[str, str], fields: Mapping[str, str]) -> str | None:
    """
    Find what calls of one conversation have in common and calls of others do not: what is likely to find a provider's
    prompt cache warm.

    :param headers: the caller's, names in lower case.
    :param fields: strings of the body, by name.
    """
    for names, there in ((_CONVERSATION_HEADERS, headers), (_CONVERSATION_FIELDS, fields)):
        for name in names:
            if found := there.get(name):
                return found
    return None


def conversation_number(conversation: str) -> int:
    """
    :return: 64 bits that are the same in every process and on every machine.
    """
    return int.from_bytes(hashlib.blake2b(conversation.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def place_on_circle(candidate: Candidate) -> int:
    """
    :return: 64 bits for a candidate, odd, that depend on where it leads and not on what is beside it.
    """
    name = "\n".join((candidate.provider, candidate.credential, candidate.model))
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"candidate").digest(), "big") | 1


def draw(conversation: int, place: int) -> float:
    """
    Draw lots for one conversation and one candidate; the same two always draw the same. Ordering candidates by their
    lots is rendezvous hashing: one that leaves moves only the conversations that it had.

    :param conversation: from ``conversation_number``.
    :param place: from ``place_on_circle``.
    :return: above 0 and below 1, as if by chance.
    """
    # The middle of the product of two random numbers depends on all bits of both.
    middle = ((conversation ^ (place >> 7)) * place >> 32) & _MASK
    return ((middle >> (64 - _BITS)) + 0.5) / (1 << _BITS)


def weighted_order(weights: Sequence[float], lots: Sequence[float]) -> list[int]:
    """
    Order by lots in which weights count: each is first with the chance of its share among all weights, and so on for
    the rest.

    :param lots: as many as weights, each from 0 to 1.
    :return: positions. Weights of 0 come last.
    """
    # The smallest of exponential variables with these rates.
    times = [
        -math.log(1.0 - lot) / weight if weight > 0 else math.inf for weight, lot in zip(weights, lots, strict=True)
    ]
    return sorted(range(len(times)), key=times.__getitem__)
