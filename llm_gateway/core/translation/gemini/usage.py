"""
``usageMetadata``: Google counts thoughts beside the answer, and what tools brought in beside the prompt.

Source: https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Usage

__all__ = ["UsageMetadata", "usage_of", "written_usage"]


class ModalityTokenCount(msgspec.Struct, rename="camel", frozen=True):
    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(msgspec.Struct, rename="camel", frozen=True):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokenCount] | None = None
    candidates_tokens_details: list[ModalityTokenCount] | None = None


def usage_of(counts: UsageMetadata) -> Usage:
    """
    :return: the totals that the neutral usage has; numbers that are 0 Google leaves out.
    """
    prompt, tools = counts.prompt_token_count, counts.tool_use_prompt_token_count
    said, thoughts = counts.candidates_token_count, counts.thoughts_token_count
    output = None if said is None and thoughts is None else (said or 0) + (thoughts or 0)
    if said is None and prompt is not None and counts.total_token_count is not None:
        output = max(counts.total_token_count - prompt - (tools or 0), output or 0)
    return Usage(
        input=None if prompt is None else prompt + (tools or 0),
        output=output,
        cached_input=counts.cached_content_token_count,
        reasoning=thoughts,
        audio_input=_audio(counts.prompt_tokens_details),
        audio_output=_audio(counts.candidates_tokens_details),
        tool_input=tools,
    )


def _audio(details: list[ModalityTokenCount] | None) -> int | None:
    counts = [one.token_count for one in details or () if one.modality == "AUDIO" and one.token_count is not None]
    return sum(counts) if counts else None


def written_usage(usage: Usage) -> dict[str, object]:
    """
    :return: ``usageMetadata``; empty where nothing is known.
    """
    prompt = None if usage.input is None else max(usage.input - (usage.tool_input or 0), 0)
    said = None if usage.output is None else max(usage.output - (usage.reasoning or 0), 0)
    total = None if usage.input is None or usage.output is None else usage.input + usage.output
    made: dict[str, object] = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.cached_input,
        "candidatesTokenCount": said,
        "toolUsePromptTokenCount": usage.tool_input,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": total,
        "promptTokensDetails": _details(prompt, usage.audio_input),
        "candidatesTokensDetails": _details(said, usage.audio_output),
    }
    return {name: value for name, value in made.items() if value is not None}


def _details(total: int | None, audio: int | None) -> list[dict[str, object]] | None:
    if audio is None:
        return None
    details: list[dict[str, object]] = [{"modality": "AUDIO", "tokenCount": audio}]
    if total is not None and total > audio:
        details.insert(0, {"modality": "TEXT", "tokenCount": total - audio})
    return details
