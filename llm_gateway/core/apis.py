"""What a path asks for, beyond whose dialect it is in."""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import unquote

import msgspec

__all__ = ["ASKED_BY", "CONVERSATIONS", "COUNTS", "NATIVE", "OTHER", "Api", "Asked", "asked_of"]


class Api(Enum):
    """An operation that the gateway knows more of than its path."""

    CHAT = "chat"
    """OpenAI Chat Completions."""
    RESPONSES = "responses"
    """OpenAI Responses."""
    MESSAGES = "messages"
    """Anthropic Messages."""
    GEMINI = "gemini"
    """Gemini's ``generateContent`` and ``streamGenerateContent``."""
    EMBEDDINGS = "embeddings"
    """OpenAI's."""
    GEMINI_EMBEDDINGS = "gemini_embeddings"
    """``embedContent`` and ``batchEmbedContents``."""
    COUNT_TOKENS = "count_tokens"
    """Anthropic's."""
    GEMINI_COUNT_TOKENS = "gemini_count_tokens"
    RESPONSES_COUNT_TOKENS = "responses_count_tokens"
    """OpenAI's ``/responses/input_tokens``."""
    MODELS = "models"
    """The list of models, or one of them, in any dialect."""
    OTHER = "other"
    """Relayed to a provider of the same dialect, or refused."""

    # Each is there once. Enum's own hash is worked out in Python, and every call asks for several.
    __hash__ = object.__hash__


CONVERSATIONS = frozenset({Api.CHAT, Api.RESPONSES, Api.MESSAGES, Api.GEMINI})
"""What can be translated into each other."""

COUNTS = frozenset({Api.COUNT_TOKENS, Api.GEMINI_COUNT_TOKENS, Api.RESPONSES_COUNT_TOKENS})
"""What asks how many tokens a prompt has."""

ASKED_BY = {
    "chat": ("openai", Api.CHAT),
    "responses": ("openai", Api.RESPONSES),
    "messages": ("anthropic", Api.MESSAGES),
    "gemini": ("gemini", Api.GEMINI),
    "embeddings": ("openai", Api.EMBEDDINGS),
    "native": ("openai", Api.CHAT),
}
"""What people call the operations whose routes they ask about, with the dialect that the callers of each speak."""

NATIVE = "native"
"""What they call a conversation on a path that takes any provider's own dialect."""

_GEMINI_VERBS = {
    "generateContent": Api.GEMINI,
    "streamGenerateContent": Api.GEMINI,
    "embedContent": Api.GEMINI_EMBEDDINGS,
    "batchEmbedContents": Api.GEMINI_EMBEDDINGS,
    "countTokens": Api.GEMINI_COUNT_TOKENS,
}
_POSTED = {
    "chat/completions": Api.CHAT,
    "responses": Api.RESPONSES,
    "messages": Api.MESSAGES,
    "responses/input_tokens": Api.RESPONSES_COUNT_TOKENS,
    "messages/count_tokens": Api.COUNT_TOKENS,
    "embeddings": Api.EMBEDDINGS,
}
_PATH = re.compile(r"(?:/v1beta|/v1)?/(?P<rest>.*?)/?")


class Asked(msgspec.Struct, frozen=True):
    """What one path asks for."""

    api: Api
    model: str | None = None
    """Where the path names it."""
    verb: str | None = None
    """Gemini's."""

    @property
    def stream(self) -> bool | None:
        """Whether a stream is asked for, where the path says so."""
        return None if self.verb is None else self.verb == "streamGenerateContent"


OTHER = Asked(Api.OTHER)
"""What is not looked into."""


def asked_of(method: bytes, path: bytes) -> Asked:
    """
    :param path: as the client wrote it, from the gateway's root, without the query: ``/v1/chat/completions``,
        ``/responses``, ``/v1beta/models/gemini-pro:generateContent``.
    """
    found = _PATH.fullmatch(path.decode("latin-1"))
    rest = "" if found is None else found["rest"]
    if rest == "models" or rest.startswith("models/"):
        name = unquote(rest[7:])
        model, colon, verb = name.rpartition(":")
        if method == b"POST":
            # Of anything else there is no telling where a provider sees it end.
            plain = colon and verb.isascii() and verb.isalpha()
            return Asked(_GEMINI_VERBS.get(verb, Api.OTHER), model, verb) if plain else Asked(Api.OTHER)
        return Asked(Api.MODELS, name or None) if method in (b"GET", b"HEAD") else Asked(Api.OTHER)
    return Asked(_POSTED.get(rest, Api.OTHER) if method == b"POST" else Api.OTHER)
