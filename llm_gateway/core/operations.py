"""What a call is for, in the words of whoever may allow it and whoever pays for it."""

from __future__ import annotations

import re
from typing import Final

from llm_gateway.core.apis import CONVERSATIONS, COUNTS, Api, asked_of

__all__ = ["OPERATIONS", "operation_of"]

OPERATIONS: Final = (
    "chat",
    "embeddings",
    "count_tokens",
    "models",
    "images",
    "speech",
    "transcription",
    "moderation",
    "rerank",
    "realtime",
    "files",
    "batches",
    "other",
)
"""``chat`` is every way of having an answer generated: Chat Completions, Responses, Messages, Gemini, completions."""

_BY_API = {
    **dict.fromkeys(CONVERSATIONS, "chat"),
    **dict.fromkeys(COUNTS, "count_tokens"),
    Api.EMBEDDINGS: "embeddings",
    Api.GEMINI_EMBEDDINGS: "embeddings",
    Api.MODELS: "models",
}

_BY_SEGMENT = {
    "completions": "chat",
    "responses": "chat",
    "images": "images",
    "moderations": "moderation",
    "rerank": "rerank",
    "realtime": "realtime",
    "files": "files",
    "uploads": "files",
    "vector_stores": "files",
    "batches": "batches",
    "models": "models",
}

_AUDIO = {"speech": "speech", "transcriptions": "transcription", "translations": "transcription"}

_PREFIX = re.compile(rb"(?:/p/[^/]+)?(?:/openai)?(?:/v\d\w*)*/")


def operation_of(api: Api, path: bytes) -> str:
    """
    :param path: as the client wrote it, from the gateway's root, without the query.
    :return: one of ``OPERATIONS``.
    """
    known = _BY_API.get(api)
    if known is not None:
        return known
    found = _PREFIX.match(path)
    segments = path[found.end() :].decode("latin-1").split("/") if found else []
    first = segments[0] if segments else ""
    second = segments[1] if len(segments) > 1 else ""
    if first == "audio":
        return _AUDIO.get(second, "other")
    if first == "chat" or (first, second) == ("completions", "chat"):
        return "chat"
    if first == "messages":
        return "batches" if second == "batches" else "chat"
    if first == "models" and second:
        # Below ``/p/{provider}`` Google's paths say what is done with a model behind its name.
        asked = asked_of(b"POST", b"/v1beta/" + "/".join(segments).encode("latin-1"))
        if asked.verb is not None:
            return _BY_API.get(asked.api, "other")
    return _BY_SEGMENT.get(first, "other")
