"""
Counts of tokens.

Anthropic's ``input_tokens`` are those that were neither read from the cache nor written to it; the neutral ``input`` is
all three. In a stream, ``message_delta`` tells totals again, and leaves out what it has nothing new of.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Usage
from llm_gateway.core.translation.messages.names import Json

__all__ = ["Counts", "CountsSoFar", "service_tier_of", "usage_document"]

_TIERS = {"standard": "default"}
_OWN_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class Counts(msgspec.Struct):
    """The ``usage`` of a message, or of a ``message_delta``."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None

    def neutral(self) -> Usage:
        details, creation = self.output_tokens_details, self.cache_creation
        total = self.input_tokens
        if total is not None:
            total += (self.cache_creation_input_tokens or 0) + (self.cache_read_input_tokens or 0)
        return Usage(
            input=total,
            output=self.output_tokens,
            cached_input=self.cache_read_input_tokens,
            cache_write=self.cache_creation_input_tokens,
            cache_write_1h=None if creation is None else creation.ephemeral_1h_input_tokens,
            reasoning=None if details is None else details.thinking_tokens,
        )


class CountsSoFar:
    """Those of one stream."""

    def __init__(self) -> None:
        self._counts = Counts()

    def take(self, counts: Counts) -> Usage:
        """
        :return: what is known now; sums of old and new numbers where only some of them came.
        """
        for name in Counts.__struct_fields__:
            value = getattr(counts, name)
            if value is not None:
                setattr(self._counts, name, value)
        return self._counts.neutral()


def service_tier_of(counts: Counts) -> str | None:
    tier = counts.service_tier
    return None if tier is None else _TIERS.get(tier, tier)


def usage_document(usage: Usage, service_tier: str | None = None) -> Json:
    """
    :return: ``usage`` as an answer has it; what is not known is null, and 0 where that is not allowed.
    """
    cached, written = usage.cached_input, usage.cache_write
    document: Json = {
        "input_tokens": max((usage.input or 0) - (cached or 0) - (written or 0), 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output or 0,
    }
    if usage.cache_write_1h is not None:
        document["cache_creation"] = {
            "ephemeral_5m_input_tokens": max((written or 0) - usage.cache_write_1h, 0),
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning is not None:
        document["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if service_tier is not None:
        document["service_tier"] = _OWN_TIERS.get(service_tier)
    return document
