"""Tokens, as Chat Completions counts them."""

from __future__ import annotations

from llm_gateway.core.translation.chat.documents import CompletionDetailsDoc, PromptDetailsDoc, UsageDoc, count
from llm_gateway.core.translation.conversation import Usage

__all__ = ["usage_document", "usage_in"]

_NO_PROMPT_DETAILS = PromptDetailsDoc()
_NO_COMPLETION_DETAILS = CompletionDetailsDoc()


def usage_in(document: UsageDoc) -> Usage:
    """
    :return: the numbers, in the sense of the neutral conversation: xAI and Google leave reasoning out of
        ``completion_tokens``, as the total tells, and it is added here.
    """
    prompt = document.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = document.completion_tokens_details or _NO_COMPLETION_DETAILS
    read = count(document.prompt_tokens)
    output = count(document.completion_tokens)
    total = count(document.total_tokens)
    reasoning = count(completion.reasoning_tokens)
    if None not in (read, output, total, reasoning) and reasoning and total == (read or 0) + (output or 0) + reasoning:
        output = (output or 0) + reasoning
    cached = count(prompt.cached_tokens)
    if cached is None:
        cached = count(document.prompt_cache_hit_tokens)
    if cached is None:
        cached = count(document.cached_tokens)
    return Usage(
        input=read,
        output=output,
        cached_input=cached,
        cache_write=count(prompt.cache_write_tokens),
        reasoning=reasoning,
        audio_input=count(prompt.audio_tokens),
        audio_output=count(completion.audio_tokens),
    )


def usage_document(usage: Usage) -> dict[str, object] | None:
    """
    :return: ``usage``; ``None`` where nothing is known. The three totals are demanded by the dialect.
    """
    if usage.input is None and usage.output is None:
        return None
    read, output = usage.input or 0, usage.output or 0
    document: dict[str, object] = {
        "prompt_tokens": read,
        "completion_tokens": output,
        "total_tokens": read + output,
    }
    _add_details(
        document,
        "prompt_tokens_details",
        cached_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        audio_tokens=usage.audio_input,
    )
    _add_details(
        document,
        "completion_tokens_details",
        reasoning_tokens=usage.reasoning,
        audio_tokens=usage.audio_output,
    )
    return document


def _add_details(document: dict[str, object], field: str, **numbers: int | None) -> None:
    known = {name: number for name, number in numbers.items() if number is not None}
    if known:
        document[field] = known
