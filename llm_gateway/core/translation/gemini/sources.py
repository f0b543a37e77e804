"""
Where an answer's text comes from: ``groundingMetadata`` of searches, ``citationMetadata`` of what was recited.

Google counts bytes of UTF-8, from the beginning of a part; the neutral conversation counts characters.

Source: https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llm_gateway.core.translation.conversation import Citation, TokenLogprob
from llm_gateway.core.translation.gemini.documents import (
    Candidate,
    CitationMetadata,
    GroundingChunk,
    GroundingMetadata,
    LogprobsResult,
    Segment,
    leniently,
)

__all__ = ["Span", "Spoken", "byte_at", "character_at", "logprobs_of", "spans_of", "written_grounding"]

MAX_SPOKEN = 32_768
"""Characters of one part that are held to count in, some 8,000 tokens and at most 128 KiB. What is in longer parts is
cited without its place."""

MAX_PIECES = 256
"""After so many pieces they are joined: each would cost more than its text."""

MAX_SPANS = 4096
"""Citations of one answer."""

_grounding = msgspec.json.Decoder(GroundingMetadata).decode
_citations = msgspec.json.Decoder(CitationMetadata).decode
_logprobs = msgspec.json.Decoder(LogprobsResult).decode


class Span(msgspec.Struct, frozen=True):
    """A passage of an answer and where it is from."""

    citation: Citation
    part: int | None
    """Which part of the content it is in, where the dialect says so."""
    start: int | None
    end: int | None
    """In bytes."""
    text: str | None
    """The passage."""


class Spoken:
    """The text of one part so far, to find passages in."""

    __slots__ = ("_length", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    def add(self, text: str) -> None:
        pieces = self._pieces
        pieces.append(text)
        self._length += len(text)
        if len(pieces) > MAX_PIECES or self._length > MAX_SPOKEN:
            pieces[:] = ["".join(pieces)] if self._length <= MAX_SPOKEN else []

    def text(self) -> str | None:
        """
        :return: ``None`` where there was too much of it to hold.
        """
        if self._length > MAX_SPOKEN:
            return None
        self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0]

    def has(self, span: Span) -> bool:
        """
        :return: whether the passage is in this text, at its place.
        """
        text = self.text()
        if text is None or span.text is None or span.end is None:
            return False
        return text.encode()[span.start or 0 : span.end] == span.text.encode()

    def cited(self, span: Span) -> Citation:
        """
        :return: the citation with its place in this text.
        """
        text = self.text()
        if text is None or (span.start is None and span.end is None):
            return span.citation
        end = None if span.end is None else character_at(text, span.end)
        return msgspec.structs.replace(span.citation, start=character_at(text, span.start or 0), end=end)


def character_at(text: str, byte: int) -> int:
    """
    :return: how many characters are in that many bytes; beyond the text, bytes count as one each.
    """
    if text.isascii():
        return byte
    encoded = text.encode()
    return len(encoded[: max(byte, 0)].decode("utf-8", "ignore")) + max(byte - len(encoded), 0)


def byte_at(text: str, character: int) -> int:
    """The other way."""
    if text.isascii():
        return character
    return len(text[: max(character, 0)].encode()) + max(character - len(text), 0)


def spans_of(candidate: Candidate) -> list[Span]:
    """
    :return: all passages that have a source.
    """
    return list(_spans(candidate))[:MAX_SPANS]


def _spans(candidate: Candidate) -> Iterator[Span]:
    grounding = leniently(_grounding, candidate.grounding_metadata)
    if grounding is not None:
        chunks = grounding.grounding_chunks or []
        for support in grounding.grounding_supports or ():
            segment = support.segment or Segment()
            for index in support.grounding_chunk_indices or ():
                if 0 <= index < len(chunks):
                    yield Span(
                        _citation(chunks[index]),
                        segment.part_index or 0,
                        segment.start_index if segment.start_index is not None else 0 if segment.end_index else None,
                        segment.end_index,
                        segment.text,
                    )
    recited = leniently(_citations, candidate.citation_metadata)
    if recited is not None:
        for source in recited.citation_sources or recited.citations or ():
            citation = Citation(url=source.uri, title=source.title)
            yield Span(citation, None, source.start_index or 0, source.end_index, None)


def _citation(chunk: GroundingChunk) -> Citation:
    source = chunk.web or chunk.retrieved_context or chunk.maps
    if source is None:
        return Citation()
    return Citation(url=source.uri, title=source.title, cited_text=source.text)


def written_grounding(spans: list[Span]) -> dict[str, object]:
    """
    :return: ``groundingMetadata``.
    """
    chunks: list[dict[str, object]] = []
    places: dict[tuple[str | None, ...], int] = {}
    """Of the sources among the chunks. Looked for among thousands, each would take as long as all of them."""
    supports: list[dict[str, object]] = []
    for span in spans:
        citation = span.citation
        named = {"uri": citation.url, "title": citation.title, "text": citation.cited_text}
        source = {name: value for name, value in named.items() if value is not None}
        # Only documents have the words that were cited.
        place = places.setdefault(tuple(named.values()), len(chunks))
        if place == len(chunks):
            chunks.append({"web" if citation.cited_text is None else "retrievedContext": source})
        segment = {"partIndex": span.part or None, "startIndex": span.start, "endIndex": span.end, "text": span.text}
        supports.append(
            {
                "segment": {name: value for name, value in segment.items() if value is not None},
                "groundingChunkIndices": [place],
            }
        )
    return {"groundingChunks": chunks, "groundingSupports": supports}


def logprobs_of(candidate: Candidate) -> tuple[TokenLogprob, ...]:
    """
    :return: of each token; none where there are none.
    """
    result = leniently(_logprobs, candidate.logprobs_result)
    if result is None:
        return ()
    tops = [top.candidates or [] for top in result.top_candidates or ()]
    return tuple(
        TokenLogprob(
            chosen.token or "",
            chosen.log_probability or 0.0,
            top=tuple(
                TokenLogprob(one.token or "", one.log_probability or 0.0)
                for one in (tops[index] if index < len(tops) else ())
            ),
        )
        for index, chosen in enumerate(result.chosen_candidates or ())
    )
