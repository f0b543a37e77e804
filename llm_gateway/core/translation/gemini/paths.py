"""
Google's paths: ``/v1beta/models/{model}:{verb}``, on Vertex AI behind projects, locations and publishers.

Source: https://ai.google.dev/api/generate-content and https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import msgspec

__all__ = [
    "BATCH_EMBED",
    "COUNT",
    "EMBED",
    "GENERATE",
    "STREAM",
    "VERBS",
    "Asked",
    "asked",
    "path_for",
    "wants_events",
]

GENERATE = "generateContent"
STREAM = "streamGenerateContent"
COUNT = "countTokens"
EMBED = "embedContent"
BATCH_EMBED = "batchEmbedContents"

VERBS = frozenset({GENERATE, STREAM, COUNT, EMBED, BATCH_EMBED})
"""What can be translated."""

_PATH = re.compile(
    r"/(?P<version>v\d+\w*)/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?"
    r"(?P<kind>models|tunedModels|endpoints)/(?P<model>.+):(?P<verb>[A-Za-z]+)"
)


class Asked(msgspec.Struct, frozen=True):
    """What a path asks for."""

    model: str
    """Without ``models/``; with ``tunedModels/`` and ``endpoints/``, which are names of their own."""
    verb: str
    version: str

    @property
    def stream(self) -> bool:
        return self.verb == STREAM


def asked(path: str) -> Asked | None:
    """
    :param path: as the client wrote it, from the gateway's root, without the query. Models' names may have slashes and
        colons, as other providers' have.
    :return: ``None`` for any other path.
    """
    found = _PATH.fullmatch(unquote(path))
    if found is None:
        return None
    kind, model = found["kind"], found["model"]
    return Asked(model if kind == "models" else f"{kind}/{model}", found["verb"], found["version"])


def path_for(model: str, verb: str, version: str = "v1beta") -> str:
    """
    :param model: its name at the provider, with or without ``models/``.
    :param version: empty where the base URL has it.
    :return: the path to ask, from the provider's root.
    """
    name = quote(
        model if model.startswith(("models/", "tunedModels/", "endpoints/")) else f"models/{model}", safe="/:@"
    )
    return f"/{version}/{name}:{verb}" if version else f"/{name}:{verb}"


def wants_events(query: str) -> bool:
    """
    :param query: of a streamed call.
    :return: whether it asks for server-sent events; without ``alt=sse`` a stream is one array.
    """
    return any(pair.partition("=")[::2] == ("alt", "sse") for pair in re.split("[&;]", query))
