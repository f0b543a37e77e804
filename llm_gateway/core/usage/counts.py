"""
The providers' own numbers, as classes that do not overlap.

The codecs already know what each dialect means by its totals; what they have no use for, since no other dialect can say
it, is read here: images, what of the sound was cached, tools that are billed by the call, the service tier.

Sources: https://platform.openai.com/docs/api-reference/chat/object, .../responses/object, .../images/object and
.../audio/json-object; https://platform.claude.com/docs/en/api/messages; https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from llm_gateway.core.translation.chat.documents import CompletionDetailsDoc, PromptDetailsDoc, UsageDoc, count
from llm_gateway.core.translation.chat.usage import usage_in
from llm_gateway.core.translation.conversation import Usage as Totals
from llm_gateway.core.translation.gemini.usage import ModalityTokenCount, UsageMetadata, usage_of
from llm_gateway.core.translation.messages.usage import Counts
from llm_gateway.core.usage.values import Usage

__all__ = ["Counted", "GeminiCounts", "MessagesCounts", "OpenAICounts", "ToolUsage", "UsualCounts", "tier_of"]

_ORDINARY = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand", "unspecified"})


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What a provider said so far."""

    usage: Usage
    has_input: bool
    """Whether it told what it read."""
    has_output: bool


def tier_of(said: object) -> str | None:
    """
    :param said: a provider's name for a service tier.
    :return: ``None`` for the ordinary one, however it is called.
    """
    if not isinstance(said, str):
        return None
    name = said.lower()
    return None if name in _ORDINARY else name[:64]


def _counted(
    totals: Totals,
    tier: str | None,
    pieces: dict[str, int],
    image_input: int = 0,
    image_output: int = 0,
    cached_audio: int = 0,
) -> Counted:
    """
    Take the parts out of the totals. What is left is text; a part is never more than what is left, so that the classes
    come to the provider's totals whatever it says of the parts.
    """
    has_input, has_output = totals.input is not None, totals.output is not None
    left, rest = totals.input or 0, totals.output or 0
    cached, written = totals.cached_input or 0, totals.cache_write or 0
    reasoning = totals.reasoning or 0
    plain = not (totals.cache_write_1h or totals.audio_input or totals.audio_output or image_input or image_output)
    if plain and cached + written <= left and reasoning <= rest and not cached_audio:
        # Nearly all answers.
        usage = Usage(
            input=left - cached - written,
            cached=cached,
            cache_write=written,
            output=rest - reasoning,
            reasoning=reasoning,
            pieces=pieces,
            tier=tier,
        )
        return Counted(usage, has_input, has_output)
    cached = min(cached, left)
    left -= cached
    written = min(written, left)
    left -= written
    hour = min(totals.cache_write_1h or 0, written)
    cached_audio = min(cached_audio, cached)
    audio = min(max((totals.audio_input or 0) - cached_audio, 0), left)
    left -= audio
    image = min(image_input, left)
    reasoning = min(reasoning, rest)
    rest -= reasoning
    spoken = min(totals.audio_output or 0, rest)
    rest -= spoken
    painted = min(image_output, rest)
    usage = Usage(
        input=left - image,
        cached=cached - cached_audio,
        cache_write=written - hour,
        cache_write_1h=hour,
        audio_input=audio,
        cached_audio=cached_audio,
        image_input=image,
        output=rest - painted,
        reasoning=reasoning,
        audio_output=spoken,
        image_output=painted,
        pieces=pieces,
        tier=tier,
    )
    return Counted(usage, has_input, has_output)


# OpenAI, and who is compatible with it


_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Nothing = Literal[0, None]


class _UsualInput(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Nothing = None
    audio_tokens: _Nothing = None
    image_tokens: _Nothing = None
    cached_tokens_details: None = None


class _UsualOutput(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Nothing = None
    image_tokens: _Nothing = None


class UsualCounts(msgspec.Struct, gc=False):
    """
    What nearly all chat completions say: whole numbers, and nothing that takes a decision. Where a field says more than
    is allowed here, decoding fails, and ``OpenAICounts`` has the word.
    """

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _UsualInput | None = None
    completion_tokens_details: _UsualOutput | None = None
    prompt_cache_hit_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    input_tokens_details: None = None
    output_tokens_details: None = None
    input_token_details: None = None
    seconds: None = None
    server_tool_use: None = None
    num_search_queries: None = None
    server_side_tool_usage_details: None = None
    num_sources_used: None = None

    def counted(self, tier: str | None) -> Counted | None:
        """:return: as ``OpenAICounts`` counts it; ``None`` where the numbers do not add up to what they say."""
        read, written = self.prompt_tokens, self.completion_tokens
        inputs, outputs = self.prompt_tokens_details, self.completion_tokens_details
        cached = None if inputs is None else inputs.cached_tokens
        if cached is None:
            cached = self.prompt_cache_hit_tokens
            if cached is None:
                cached = self.cached_tokens or 0
        reasoning = 0 if outputs is None else outputs.reasoning_tokens or 0
        # Where reasoning is left out of what was written, the total tells.
        if self.total_tokens != read + written or cached > read or reasoning > written:
            return None
        if tier is not None:
            tier = None if tier == "default" else tier_of(tier)
        usage = Usage(input=read - cached, cached=cached, output=written - reasoning, reasoning=reasoning, tier=tier)
        return Counted(usage, True, True)


class _CachedDetails(msgspec.Struct, gc=False):
    audio_tokens: object = None


class _InputDetails(PromptDetailsDoc):
    image_tokens: object = None
    cached_tokens_details: _CachedDetails | None = None


class _OutputDetails(CompletionDetailsDoc):
    image_tokens: object = None


class OpenAICounts(UsageDoc):
    """``usage`` of any operation: Responses, images and transcriptions have other names for what chat counts."""

    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    input_tokens: object = None
    output_tokens: object = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    input_token_details: _InputDetails | None = None
    """Of a transcription."""
    seconds: object = None
    """Of a transcription that is billed by its duration."""
    server_tool_use: dict[str, object] | None = None
    """OpenRouter's."""
    num_search_queries: object = None
    """Perplexity's."""
    server_side_tool_usage_details: dict[str, object] | None = None
    num_sources_used: object = None
    """xAI's, as the one before."""

    def counted(self, tier: object = None, pieces: dict[str, int] | None = None, *, wrote: str = "text") -> Counted:
        """
        :param tier: what the answer says beside its usage.
        :param pieces: that the answer shows beside its usage.
        :param wrote: what was written, where it is not told by class: ``text``, ``image`` or ``audio``.
        """
        if self.prompt_tokens is None:
            self.prompt_tokens = self.input_tokens
        if self.completion_tokens is None:
            self.completion_tokens = self.output_tokens
        inputs = self.prompt_tokens_details or self.input_tokens_details or self.input_token_details
        outputs = self.completion_tokens_details or self.output_tokens_details
        # The same objects under another name: what reads the totals looks here.
        self.prompt_tokens_details, self.completion_tokens_details = inputs, outputs
        if self.prompt_tokens is None and self.total_tokens is not None:
            # Of embeddings and rankings.
            self.prompt_tokens = max((count(self.total_tokens) or 0) - (count(self.completion_tokens) or 0), 0)
        totals = usage_in(self)
        found = {} if pieces is None else dict(pieces)
        seconds = count(self.seconds)
        if seconds is not None:
            found["seconds"] = seconds + (seconds != self.seconds)
        if self.server_tool_use:
            found |= _calls(self.server_tool_use)
        if self.server_side_tool_usage_details:
            found |= _calls(self.server_side_tool_usage_details)
        if self.num_search_queries is not None and (queries := count(self.num_search_queries)):
            found["web_search"] = queries
        if self.num_sources_used is not None and (sources := count(self.num_sources_used)):
            found["sources"] = sources
        image_output = 0 if outputs is None else count(outputs.image_tokens) or 0
        if wrote != "text" and totals.output and not image_output and not totals.audio_output:
            if wrote == "image":
                image_output = totals.output
            else:
                totals = msgspec.structs.replace(totals, audio_output=totals.output)
        cached = None if inputs is None else inputs.cached_tokens_details
        return _counted(
            totals,
            tier_of(tier),
            found,
            0 if inputs is None else count(inputs.image_tokens) or 0,
            image_output,
            0 if cached is None else count(cached.audio_tokens) or 0,
        )


class _Searches(msgspec.Struct, gc=False):
    num_requests: object = None


class ToolUsage(msgspec.Struct, gc=False):
    """``tool_usage`` of a Response: what tools of the provider's own used beside the model."""

    image_gen: OpenAICounts | None = None
    web_search: _Searches | None = None

    def pieces(self) -> dict[str, int]:
        """
        :return: searches, and the tokens of the model for images, which has prices of its own.
        """
        found: dict[str, int] = {}
        if self.web_search is not None:
            found["web_search"] = count(self.web_search.num_requests) or 0
        if self.image_gen is not None:
            found["image_gen_input_tokens"] = count(self.image_gen.input_tokens) or 0
            found["image_gen_output_tokens"] = count(self.image_gen.output_tokens) or 0
        return {name: number for name, number in found.items() if number}


# Anthropic


def _calls(said: dict[str, object]) -> dict[str, int]:
    """
    :param said: ``{"web_search_requests": 2}``, or ``web_search_calls``.
    :return: ``{"web_search": 2}``.
    """
    return {
        name.removesuffix("_requests").removesuffix("_calls")[:64]: calls
        for name, number in said.items()
        if name.endswith(("_requests", "_calls")) and (calls := count(number))
    }


class _Iteration(Counts):
    type: str = ""


class MessagesCounts(Counts):
    """``usage`` of a message or of its ``message_delta``, which repeats the totals of what it has something new of."""

    server_tool_use: dict[str, object] | None = None
    speed: str | None = None
    iterations: list[_Iteration] | None = None

    def add(self, newer: MessagesCounts) -> None:
        """What a later event says takes the place of what was said before; what it leaves out stays."""
        for name in MessagesCounts.__struct_fields__:
            value = getattr(newer, name)
            if value is not None:
                setattr(self, name, value)

    def counted(self) -> Counted:
        pieces = _calls(self.server_tool_use) if self.server_tool_use else {}
        totals = self.neutral()
        for each in self.iterations or ():
            # What the others used is in the totals.
            if each.type == "compaction":
                totals = _sum(totals, each.neutral())
            elif each.type.startswith("advisor"):
                # Another model's, at another price.
                more = each.neutral()
                pieces["advisor_input_tokens"] = pieces.get("advisor_input_tokens", 0) + (more.input or 0)
                pieces["advisor_output_tokens"] = pieces.get("advisor_output_tokens", 0) + (more.output or 0)
        tier = self.speed if self.speed not in (None, "standard") else self.service_tier
        return _counted(totals, tier_of(tier), pieces)


def _sum(one: Totals, other: Totals) -> Totals:
    return Totals(
        *(
            None if left is None and right is None else (left or 0) + (right or 0)
            for left, right in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
        )
    )


# Gemini


_TRAFFIC = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_OFFPEAK": "offpeak"}


class GeminiCounts(UsageMetadata, rename="camel", frozen=True):
    """``usageMetadata``."""

    cache_tokens_details: list[ModalityTokenCount] | None = None
    service_tier: str | None = None
    traffic_type: str | None = None
    """Vertex's name for it."""

    def counted(self, pieces: dict[str, int]) -> Counted:
        tier = self.service_tier or _TRAFFIC.get(self.traffic_type or "", self.traffic_type)
        return _counted(
            usage_of(self),
            tier_of(tier),
            pieces,
            _of("IMAGE", self.prompt_tokens_details),
            _of("IMAGE", self.candidates_tokens_details),
            _of("AUDIO", self.cache_tokens_details),
        )


def _of(modality: str, details: list[ModalityTokenCount] | None) -> int:
    if not details:
        return 0
    return sum(each.token_count or 0 for each in details if each.modality == modality)
