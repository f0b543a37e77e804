"""Where the bytes of pictures, documents and sound are: ``inlineData`` and ``fileData``."""

from __future__ import annotations

import posixpath
from urllib.parse import urlsplit

import msgspec

from llm_gateway.core.translation.conversation import Audio, Document, Foreign, Image, Inline, Linked, Source, Stored

__all__ = ["DIALECT", "DOCUMENT_TYPES", "blob_of", "guessed_type", "part_of", "source_of_uri", "standard_base64"]

DIALECT = "gemini"

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".html": "text/html",
    ".xml": "text/xml",
    ".json": "application/json",
    ".wav": "audio/wav",
    ".mp3": "audio/mp3",
    ".aiff": "audio/aiff",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
}
"""Not the machine's own table: the same URL has to be the same everywhere."""

DOCUMENT_TYPES = ("application/", "text/")

_STANDARD = str.maketrans("-_", "+/")


def standard_base64(data: str) -> str:
    """
    :param data: base64 in either alphabet, padded or not: Google's SDK for Python writes the URL-safe one.
    :return: the same in the alphabet that other providers take.
    """
    if "-" in data or "_" in data:
        data = data.translate(_STANDARD)
    return data + "=" * (-len(data) % 4)


def guessed_type(url: str) -> str | None:
    """
    :return: the media type that the path of the URL ends in.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return _TYPES.get(posixpath.splitext(path)[1].lower())


def source_of_uri(uri: str, media_type: str | None) -> Stored | Linked:
    """
    :param uri: of ``fileData``. Google's file store and its cloud storage are read by Google alone.
    """
    if not uri.startswith(("https://", "http://")) or "generativelanguage.googleapis.com/" in uri:
        return Stored(uri, DIALECT, media_type)
    return Linked(uri, media_type)


def part_of(
    source: Source, media_type: str | None, name: str | None, kind: str, whole: msgspec.Raw
) -> Image | Document | Audio | Foreign:
    """
    :param media_type: as far as it is known.
    :param kind: ``inlineData`` or ``fileData``.
    :param whole: the part as it came: what only Google takes, films above all, is kept so.
    """
    if media_type is None:
        # A film of YouTube's, or a file whose type the store knows.
        return Foreign(DIALECT, kind, whole)
    if media_type.startswith("image/"):
        return Image(source)
    if media_type.startswith("audio/"):
        return Audio(source)
    if media_type.startswith(DOCUMENT_TYPES):
        return Document(source, name)
    return Foreign(DIALECT, kind, whole)


def blob_of(source: Source, fallback: str) -> dict[str, object]:
    """
    :param fallback: the media type where none is known.
    :return: one of ``inlineData`` and ``fileData`` as a part has it.
    """
    match source:
        case Inline():
            return {"inlineData": {"mimeType": source.media_type, "data": source.data}}
        case Linked():
            media_type = source.media_type or guessed_type(source.url) or fallback
            return {"fileData": {"mimeType": media_type, "fileUri": source.url}}
        case Stored():
            uri = source.file_id
            return {"fileData": {"fileUri": uri} | ({"mimeType": source.media_type} if source.media_type else {})}
