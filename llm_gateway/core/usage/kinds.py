"""What an operation is billed for, which is coarser than what it does."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from llm_gateway.core.apis import CONVERSATIONS, COUNTS, Api

__all__ = ["Kind", "kind_of"]


class Kind(Enum):
    TEXT = "text"
    """Tokens read and written."""
    READING = "reading"
    """Tokens read: embeddings, rankings, scanned pages."""
    IMAGES = "images"
    """Tokens read and written as images, or images."""
    SPEECH = "speech"
    """Text made sound."""
    TRANSCRIPTION = "transcription"
    """Sound made text."""
    FREE = "free"
    """Nothing: lists of models, counts of tokens, moderations, files, what is looked up."""
    UNKNOWN = "unknown"
    """What the answer says, if it says anything."""


_BY_API = {
    **dict.fromkeys(CONVERSATIONS, Kind.TEXT),
    **dict.fromkeys(COUNTS, Kind.FREE),
    Api.MODELS: Kind.FREE,
    Api.EMBEDDINGS: Kind.READING,
    Api.GEMINI_EMBEDDINGS: Kind.READING,
}

_BY_ENDING = {
    "chat/completions": Kind.TEXT,
    "completions/chat": Kind.TEXT,
    "responses/compact": Kind.TEXT,
    "completions": Kind.TEXT,
    "responses": Kind.TEXT,
    "messages": Kind.TEXT,
    "complete": Kind.TEXT,
    "generateContent": Kind.TEXT,
    "streamGenerateContent": Kind.TEXT,
    "embeddings": Kind.READING,
    "embedContent": Kind.READING,
    "batchEmbedContents": Kind.READING,
    "rerank": Kind.READING,
    "ocr": Kind.READING,
    "images/generations": Kind.IMAGES,
    "images/edits": Kind.IMAGES,
    "images/variations": Kind.IMAGES,
    "audio/speech": Kind.SPEECH,
    "audio/transcriptions": Kind.TRANSCRIPTION,
    "audio/translations": Kind.TRANSCRIPTION,
    "moderations": Kind.FREE,
    "files": Kind.FREE,
    "uploads": Kind.FREE,
    "batches": Kind.FREE,
    # A response in the background was asked for, and is billed, once: this shows it again.
    "cancel": Kind.FREE,
    "countTokens": Kind.FREE,
    "count_tokens": Kind.FREE,
    "input_tokens": Kind.FREE,
}
"""By the last two parts of a path, or the last one."""


@lru_cache(maxsize=1024)
def kind_of(method: bytes, api: Api, path: bytes = b"") -> Kind:
    """
    :param path: the provider's or ours, without the query.
    """
    if method != b"POST":
        # A response can be looked up as often as one likes.
        return Kind.FREE
    known = _BY_API.get(api)
    if known is not None:
        return known
    parts = path.decode("latin-1").rstrip("/").replace(":", "/").rsplit("/", 2)
    if "batches" in parts:
        return Kind.FREE
    return _BY_ENDING.get("/".join(parts[-2:])) or _BY_ENDING.get(parts[-1], Kind.UNKNOWN)
