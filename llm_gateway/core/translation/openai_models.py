"""
What each of OpenAI's own models takes, in either of its APIs: the same field is an error on one and usual on another.

The model catalogue knows sizes; these are rules that come with generations of models. A name that is not of OpenAI's
tells nothing.

Source, as of November 2026: https://developers.openai.com/api/docs/guides/reasoning, .../guides/latest-model (which
parameters go with which efforts) and https://platform.openai.com/docs/api-reference/chat/create#stop, and what the API
answers to an effort that a model has not ("Supported values are: ...") and to functions in Chat Completions ("Function
tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions").
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

import msgspec

__all__ = ["ChatWithTools", "OpenAIModel", "openai_model"]


class ChatWithTools(Enum):
    """What Chat Completions takes for the effort where there are tools; the Responses API takes all of them."""

    ANY_EFFORT = "any"
    UNSAID = "unsaid"
    """``none``, or nothing: the model does as it usually does then."""
    NONE = "none"
    """``none`` has to be said."""


class OpenAIModel(msgspec.Struct, frozen=True):
    efforts: tuple[str, ...]
    """What it takes as an effort, from the least to the most; none at all if it does not reason."""
    effort: str = "none"
    """What it takes where the request does not say."""
    with_tools: ChatWithTools = ChatWithTools.ANY_EFFORT
    sampling: tuple[str, ...] | None = ()
    """The efforts with which ``temperature`` and its like may be set; ``None`` for all."""

    @property
    def stops(self) -> bool:
        """Whether it takes stop sequences, which models that reason do not."""
        return not self.efforts

    def takes_sampling(self, effort: str | None) -> bool:
        """
        :param effort: what it is told, if anything.
        """
        return self.sampling is None or (effort or self.effort) in self.sampling


_NOT_REASONING = OpenAIModel((), sampling=None)

_NAME = re.compile(
    r"(?:.*/)?(?:(?P<plain>gpt-(?:3|4|audio|realtime)|chatgpt-)|o\d|codex-"
    r"|gpt-(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?P<kind>-codex-max|-codex|-pro|-chat)?(?![\w.]))"
)
"""``gpt-5``, ``openai/gpt-5.4-mini``, ``gpt-5.1-codex-max``, ``o3``, ``gpt-4o``; not ``gpt-oss``."""

_LOW_TO_HIGH = ("low", "medium", "high")
_LOW_TO_XHIGH = (*_LOW_TO_HIGH, "xhigh")


@lru_cache(maxsize=256)
def openai_model(name: str) -> OpenAIModel | None:
    """
    :param name: at the provider, perhaps with the maker in front of it.
    :return: ``None`` for a model that is not OpenAI's, or not known.
    """
    found = _NAME.match(name.lower())
    if found is None:
        return None
    if found["plain"] or found["kind"] == "-chat":
        return _NOT_REASONING
    if found["major"] is None:
        return OpenAIModel(_LOW_TO_HIGH, "medium")
    version = int(found["major"]), int(found["minor"] or 0)
    # The first to reason at will sample as they are told where they do not; newer ones sample as they like.
    sampling = ("none",) if (5, 1) <= version < (5, 5) and found["kind"] is None else ()
    return OpenAIModel(*_efforts(version, found["kind"]), with_tools=_with_tools(version), sampling=sampling)


def _with_tools(version: tuple[int, int]) -> ChatWithTools:
    if version < (5, 4):
        return ChatWithTools.ANY_EFFORT
    return ChatWithTools.UNSAID if version < (5, 6) else ChatWithTools.NONE


def _efforts(version: tuple[int, int], kind: str | None) -> tuple[tuple[str, ...], str]:
    """
    :return: those that there are, and the one that is usual.
    """
    if version < (5, 1):
        by_kind = {"-pro": ("high",), "-codex": _LOW_TO_HIGH}
        efforts = by_kind.get(kind or "", ("minimal", *_LOW_TO_HIGH))
        return efforts, efforts[-1] if kind == "-pro" else "medium"
    most = _LOW_TO_HIGH if version < (5, 2) else _LOW_TO_XHIGH
    if kind == "-codex-max":
        most = _LOW_TO_XHIGH
    if version >= (5, 6):
        most = (*most, "max")
    if kind == "-pro":
        return most[1:], "medium"
    if kind is not None:
        return most, "medium"
    return ("none", *most), "none" if version < (5, 5) else "medium"
