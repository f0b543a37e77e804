"""
``GenerateContentResponse``, as far as it is read. What it has besides is passed over.

Source: https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

__all__ = [
    "ABSENT",
    "Answered",
    "Candidate",
    "CitationMetadata",
    "GroundingChunk",
    "GroundingMetadata",
    "GroundingSupport",
    "LogprobsResult",
    "Part",
    "Segment",
    "answered",
    "leniently",
    "raw_part",
]

T = TypeVar("T")

ABSENT = msgspec.Raw(b"null")
"""A field that is not there; msgspec knows no optional raw fields."""


class Blob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""
    display_name: str | None = None


class FileData(msgspec.Struct, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(msgspec.Struct):
    name: str
    id: str | None = None
    args: msgspec.Raw = ABSENT


class Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None


class Content(msgspec.Struct):
    parts: list[Part] | None = None


class Web(msgspec.Struct):
    uri: str | None = None
    title: str | None = None
    text: str | None = None


class GroundingChunk(msgspec.Struct, rename="camel"):
    web: Web | None = None
    retrieved_context: Web | None = None
    maps: Web | None = None


class Segment(msgspec.Struct, rename="camel"):
    part_index: int | None = None
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class GroundingSupport(msgspec.Struct, rename="camel"):
    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class GroundingMetadata(msgspec.Struct, rename="camel"):
    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[GroundingSupport] | None = None


class CitationSource(msgspec.Struct, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None


class CitationMetadata(msgspec.Struct, rename="camel"):
    citation_sources: list[CitationSource] | None = None
    citations: list[CitationSource] | None = None
    """The same on Vertex AI."""


class LogprobsCandidate(msgspec.Struct, rename="camel"):
    token: str | None = None
    log_probability: float | None = None


class TopCandidates(msgspec.Struct):
    candidates: list[LogprobsCandidate] | None = None


class LogprobsResult(msgspec.Struct, rename="camel"):
    chosen_candidates: list[LogprobsCandidate] | None = None
    top_candidates: list[TopCandidates] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int | None = None
    # What goes with the text is read on its own: should it be broken, the text is not.
    grounding_metadata: msgspec.Raw = ABSENT
    citation_metadata: msgspec.Raw = ABSENT
    logprobs_result: msgspec.Raw = ABSENT


class RawContent(msgspec.Struct):
    parts: list[dict[str, msgspec.Raw]] | None = None


class RawCandidate(msgspec.Struct):
    content: RawContent | None = None


class RawAnswered(msgspec.Struct):
    candidates: list[RawCandidate] | None = None


class PromptFeedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class Answered(msgspec.Struct, rename="camel"):
    """One whole answer, or one chunk of a streamed one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: msgspec.Raw = ABSENT
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: msgspec.Raw = ABSENT


answered = msgspec.json.Decoder(Answered).decode
_raw_parts = msgspec.json.Decoder(RawAnswered).decode


def leniently(decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw) -> T | None:
    """
    :return: ``None`` where the field is not there or is not what it should be.
    """
    try:
        return None if raw == ABSENT else decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def raw_part(document: bytes, candidate: int, part: int) -> dict[str, msgspec.Raw]:
    """
    :param candidate: its place in the document.
    :return: one part, with the fields that are not read.
    """
    content = (_raw_parts(document).candidates or [])[candidate].content
    return {} if content is None else (content.parts or [])[part]
