"""
What Claude models of each generation take: the same field is an error on one and the only way on another.

The model catalogue knows sizes; these are rules of the dialect, which come with generations of models. A name that is
not of Claude (other providers speak the dialect too) gets what the dialect had before generations differed.

Source, as of November 2026: the pages of platform.claude.com/docs/en/build-with-claude on thinking, effort, structured
outputs and mid-conversation system messages, and the migration guides of each model.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

__all__ = ["Abilities", "abilities_of"]


class Abilities(msgspec.Struct, frozen=True):
    """What one model takes; the defaults are those of a model that is not known."""

    adaptive: bool = False
    """``thinking`` of the type ``adaptive``."""
    budget: bool = True
    """``thinking`` of the type ``enabled``, with ``budget_tokens``."""
    off: str | None = "disabled"
    """The type of ``thinking`` that turns it off; ``None`` where nothing does."""
    on_by_default: bool = False
    """Whether it thinks where the request does not say."""
    efforts: tuple[str, ...] = ()
    """What ``output_config.effort`` may be; empty where the field is an error."""
    sampling: bool = True
    """``temperature``, ``top_p`` and ``top_k``."""
    sampling_while_thinking: bool = True
    both_samplings: bool = True
    """``temperature`` and ``top_p`` in one request."""
    forced_tools: bool = True
    """``tool_choice`` of the types ``any`` and ``tool``."""
    system_anywhere: bool = False
    """Messages of the role ``system`` behind a user's."""
    structured: bool = True
    """``output_config.format``, and tools that are ``strict``."""
    prefill: bool = True
    """A last message of the assistant's, which the answer continues."""
    unsigned_thinking: bool = True
    """Thinking without a signature is taken back."""
    max_tokens: int = 8192
    """The limit of an answer where neither the caller nor the model catalogue gives one."""


_UNKNOWN = Abilities()

_LOW_TO_HIGH = ("low", "medium", "high")
_TO_MAX = (*_LOW_TO_HIGH, "max")
_ALL = (*_LOW_TO_HIGH, "xhigh", "max")

_NAME = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2})(?!\d))?"
    r"|(?P<old_major>\d)(?:[-.](?P<old_minor>\d)(?!\d))?-(?P<old_family>[a-z]+))(?![0-9a-z])"
)
"""``claude-opus-4-8``, ``claude-sonnet-4-5-20250929``, ``us.anthropic.claude-opus-5-v1:0``, ``claude-3-7-sonnet``; a
date is no minor version."""


@lru_cache(maxsize=256)
def abilities_of(model: str) -> Abilities:
    """
    :param model: its name at the provider, perhaps with a platform's prefix and suffix.
    :return: those of its generation; of the newest for Claude models that do not say which they are.
    """
    name = model.lower()
    if "claude" not in name:
        return _UNKNOWN
    found = _NAME.search(name)
    if found is None:
        return _claude("", (99, 0))
    family = found["family"] or found["old_family"]
    major = int(found["major"] or found["old_major"])
    minor = int(found["minor"] or found["old_minor"] or 0)
    return _claude(family, (major, minor))


def _claude(family: str, version: tuple[int, int]) -> Abilities:
    if version < (4, 6):
        thinks = version >= (3, 7)
        return Abilities(
            budget=thinks,
            efforts=_LOW_TO_HIGH if (family, version) == ("opus", (4, 5)) else (),
            sampling_while_thinking=False,
            both_samplings=version < (4, 1),
            structured=version >= (4, 5),
            unsigned_thinking=False,
            max_tokens=4096 if version < (3, 7) else 32_000,
        )
    if version < (4, 7):
        return Abilities(
            adaptive=True,
            efforts=_TO_MAX,
            sampling_while_thinking=False,
            both_samplings=False,
            prefill=False,
            unsigned_thinking=False,
            max_tokens=64_000,
        )
    # Opus 5.5, Sonnet 5.5 and every Fable and Mythos always think or take another word for not thinking; what comes
    # after them is expected to be as they are.
    always = family in ("fable", "mythos") or (family != "haiku" and version >= (5, 5))
    off: str | None = "disabled"
    if always:
        off = "between_tools" if family == "sonnet" else None
    return Abilities(
        adaptive=True,
        budget=False,
        off=off,
        on_by_default=version >= (5, 0),
        efforts=_ALL,
        sampling=False,
        both_samplings=False,
        forced_tools=not always,
        system_anywhere=version >= (4, 8) and (family, version) != ("sonnet", (5, 0)),
        prefill=False,
        unsigned_thinking=False,
        max_tokens=64_000,
    )
