"""
What a provider answers with, whole and in chunks, as far as it is read.

Providers that are compatible with Chat Completions differ in small things: fields that are null or of another type
than OpenAI's. What the translation can do without is read as it comes and checked where it is used, so that no answer
is lost for its sake.

Source: https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming, and what DeepSeek,
OpenRouter, Mistral and Google add to them.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "AnnotationDoc",
    "AnswerDoc",
    "AudioDoc",
    "CallDoc",
    "ChoiceDoc",
    "ChunkChoiceDoc",
    "ChunkDoc",
    "FunctionDoc",
    "ImageDoc",
    "LogprobDoc",
    "LogprobsDoc",
    "MessageDoc",
    "NextChunkDoc",
    "UsageDoc",
    "count",
    "entry",
    "name",
    "said",
    "signature_in",
]


ABSENT = msgspec.Raw()
"""For a field that may be of any type and is not there; msgspec has no union of that and null."""
_NULL = msgspec.Raw(b"null")


class FunctionDoc(msgspec.Struct, gc=False):
    """``function`` of a call, ``custom`` of one of a custom tool, and ``function_call`` of old."""

    name: str | None = None
    arguments: str | dict[str, object] | None = None
    """Text; a few providers send the object itself."""
    input: str | None = None


class GoogleDoc(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class ExtraContentDoc(msgspec.Struct, gc=False):
    """Where Google's OpenAI-compatible interface has a thought's signature."""

    google: GoogleDoc | None = None


class CallDoc(msgspec.Struct, gc=False):
    id: str | None = None
    type: str | None = None
    index: int | None = None
    function: FunctionDoc | None = None
    custom: FunctionDoc | None = None
    extra_content: ExtraContentDoc | None = None


class AudioDoc(msgspec.Struct, gc=False):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: object = None


class UrlCitationDoc(msgspec.Struct, gc=False):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class AnnotationDoc(msgspec.Struct, gc=False):
    type: str | None = None
    url_citation: UrlCitationDoc | None = None


class ImageUrlDoc(msgspec.Struct, gc=False):
    url: str = ""


class ImageDoc(msgspec.Struct, gc=False):
    """An image that the model made, as OpenRouter has it."""

    image_url: ImageUrlDoc | None = None


class MessageDoc(msgspec.Struct, gc=False):
    """The message of an answer, and the delta of a chunk."""

    content: str | list[msgspec.Raw] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[msgspec.Raw] | None = None
    tool_calls: list[CallDoc] | None = None
    function_call: FunctionDoc | None = None
    audio: AudioDoc | None = None
    annotations: list[AnnotationDoc] | None = None
    images: list[ImageDoc] | None = None
    extra_content: ExtraContentDoc | None = None


class LogprobDoc(msgspec.Struct, gc=False):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list[LogprobDoc] | None = None


class LogprobsDoc(msgspec.Struct, gc=False):
    content: list[LogprobDoc] | None = None
    refusal: list[LogprobDoc] | None = None


class ChoiceDoc(msgspec.Struct, gc=False):
    index: int | None = None
    message: MessageDoc | None = None
    finish_reason: str | None = None
    native_finish_reason: object = None
    """OpenRouter: what the provider behind it said."""
    stop_reason: object = None
    """vLLM: the stop sequence that came, or the id of a token."""
    logprobs: LogprobsDoc | None = None


class ChunkChoiceDoc(msgspec.Struct, gc=False):
    index: int | None = None
    delta: MessageDoc | None = None
    finish_reason: str | None = None
    native_finish_reason: object = None
    stop_reason: object = None
    logprobs: LogprobsDoc | None = None


class PromptDetailsDoc(msgspec.Struct, gc=False):
    cached_tokens: object = None
    cache_write_tokens: object = None
    audio_tokens: object = None


class CompletionDetailsDoc(msgspec.Struct, gc=False):
    reasoning_tokens: object = None
    audio_tokens: object = None


class UsageDoc(msgspec.Struct, gc=False):
    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: PromptDetailsDoc | None = None
    completion_tokens_details: CompletionDetailsDoc | None = None
    prompt_cache_hit_tokens: object = None
    """DeepSeek's name for cached tokens."""
    cached_tokens: object = None
    """Moonshot's."""


class AnswerDoc(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: object = None
    choices: list[ChoiceDoc] | None = None
    usage: UsageDoc | None = None
    service_tier: object = None
    system_fingerprint: object = None
    error: msgspec.Raw = ABSENT


class ChunkDoc(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: object = None
    choices: list[ChunkChoiceDoc] | None = None
    usage: UsageDoc | None = None
    service_tier: object = None
    error: msgspec.Raw = ABSENT


class NextChunkDoc(msgspec.Struct, gc=False):
    """A chunk behind the first: what is the same in all of them is not read again."""

    choices: list[ChunkChoiceDoc] | None = None
    usage: UsageDoc | None = None
    error: msgspec.Raw = ABSENT


def said(raw: msgspec.Raw) -> bool:
    """Whether the field is there, and not null."""
    return raw is not ABSENT and raw != _NULL


def count(value: object) -> int | None:
    """
    :return: a number of tokens or of seconds; ``None`` for whatever else stood in its place.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return int(value) if value < 2**63 else None


def name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def signature_in(extra: ExtraContentDoc | None) -> str | None:
    """
    :return: the signature of the thought behind a text or a call.
    """
    return None if extra is None or extra.google is None else extra.google.thought_signature or None


class _Entry(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | list[_Entry] | None = None


_decode_entry = msgspec.json.Decoder(_Entry).decode


def entry(raw: msgspec.Raw) -> tuple[str, str]:
    """
    Read an element of a ``content`` that is a list, as Mistral's reasoning models write it.

    :return: ``text`` or ``thinking``, and the text of it.
    """
    found = _decode_entry(raw)
    if found.type != "thinking":
        return "text", found.text or ""
    thought = found.thinking
    if isinstance(thought, list):
        return "thinking", "".join(each.text or "" for each in thought)
    return "thinking", thought or found.text or ""
