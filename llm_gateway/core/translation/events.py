"""
An answer as it comes: neutral events, between one dialect's stream decoder and another's stream encoder.

Their order, for every answer: one :class:`Begun`; for each part one :class:`PartBegun`, its deltas, one
:class:`PartEnded`; for each choice one :class:`Finished` behind its parts; :class:`UsageSeen` whenever numbers come,
later ones replacing earlier ones field by field; last :class:`Ended`, or :class:`Failed`, and nothing behind either.
Parts of different choices may interleave, those of one choice do not: a decoder whose dialect interleaves them (as chat
completions do tool calls) ends one before it begins the next, and holds back what comes for one that is not open.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Citation, Finish, Opaque, Part, TokenLogprob, Usage
from llm_gateway.core.translation.failures import ProviderFailure

__all__ = [
    "Begun",
    "Delta",
    "Ended",
    "Event",
    "Failed",
    "Finished",
    "PartBegun",
    "PartEnded",
    "UsageSeen",
]


class Begun(msgspec.Struct, frozen=True, gc=False, tag=True):
    id: str
    model: str
    created: int | None = None
    service_tier: str | None = None


class PartBegun(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A part begins: its kind and what is known of it at once. Its text or arguments are empty, all comes in deltas."""

    part: Part
    choice: int = 0


class Delta(msgspec.Struct, frozen=True, gc=False, tag=True):
    """More of the part that is open in this choice. Usually one field is set."""

    text: str = ""
    """Of a text, a thinking, a refusal or a transcript; of a tool call more of its arguments."""
    choice: int = 0
    citation: Citation | None = None
    opaque: Opaque | None = None
    """The signature of a thinking, or its encrypted form; replaces what was there."""
    logprobs: tuple[TokenLogprob, ...] = ()
    audio: str = ""
    """More of the base64 data of an audio part."""


class PartEnded(msgspec.Struct, frozen=True, gc=False, tag=True):
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, gc=False, tag=True):
    finish: Finish
    choice: int = 0


class UsageSeen(msgspec.Struct, frozen=True, gc=False, tag=True):
    usage: Usage


class Failed(msgspec.Struct, frozen=True, gc=False, tag=True):
    failure: ProviderFailure


class Ended(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The provider said that this is all."""


Event = Begun | PartBegun | Delta | PartEnded | Finished | UsageSeen | Failed | Ended
