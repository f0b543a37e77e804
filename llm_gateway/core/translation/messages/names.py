"""Words of the Messages dialect that several of its modules need."""

from __future__ import annotations

import re

__all__ = ["DIALECT", "IMAGE_TYPES", "NAME", "TOOL_NAME", "Json", "is_hint"]

NAME = "messages"
"""Of the codec; what its providers sign is marked with it."""

DIALECT = "anthropic"
"""Of the providers that speak it; what was uploaded to them is marked with it."""

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""What a tool's name has to be."""

Json = dict[str, object]
"""A JSON object that is being written."""

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

_TOP_HINTS = frozenset(
    {
        "anthropic_beta",  # in the body on the platforms of others, for what those fields below need
        "anthropic_version",
        "betas",
        "cache_control",  # marks the last block that can be cached
        "context_management",  # takes what is old out of a long prompt; Claude Code sends it with every request
        "diagnostics",  # why the cache was missed
        "fallback_credit_token",  # what a call costs that is sent again
        "fallbacks",
        "output_config.task_budget",
        "speed",
        "thinking",  # of a type that there was not when this was written
        "user_profile_id",  # for whom the caller asks
    }
)
"""Fields of a request that the neutral conversation lacks and whose loss leaves the answer of the same kind."""

_NESTED_HINTS = frozenset(
    {
        "defer_loading",  # without it the model sees the tool from the start
        "eager_input_streaming",
        "input_examples",
        "scope",  # of a cache mark
        "transformations",  # what happens to an image that is too large
    }
)
"""The same of fields of blocks and tools."""

_BILLING = re.compile(r"system\[\d+\]")


def is_hint(name: str) -> bool:
    """
    :param name: a field that the neutral conversation lacks, with its place: ``tools[0].defer_loading``.
    """
    if name in _TOP_HINTS or name.startswith("metadata.") or _BILLING.fullmatch(name):
        return True
    return "[" in name and name.rpartition(".")[2] in _NESTED_HINTS
