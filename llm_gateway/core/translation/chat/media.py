"""How images, documents and sound stand in Chat Completions: data URLs and formats."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from llm_gateway.core.translation.conversation import Inline, Linked

__all__ = ["data_url", "format_of", "located", "media_type_of", "sniffed", "text_of"]

_MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "pcm16": "audio/pcm",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
}
_FORMATS = {
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mp3": "mp3",
    **{media_type: name for name, media_type in _MEDIA_TYPES.items()},
}
_BEGINNINGS = {
    "UklGR": "audio/wav",
    "SUQz": "audio/mpeg",
    "//s": "audio/mpeg",
    "//M": "audio/mpeg",
    "//I": "audio/mpeg",
    "//o": "audio/mpeg",
    "T2dnU": "audio/ogg",
    "ZkxhQ": "audio/flac",
}


def located(url: str) -> Inline | Linked:
    """
    :param url: of an image or a file.
    :return: the data, where the URL is of that kind. Data that is not in base64 is written in base64.
    """
    if url[:5].lower() != "data:":
        return Linked(url)
    comma = url.find(",", 5)
    if comma < 0:
        return Linked(url)
    media_type, *parameters = [each.strip() for each in url[5:comma].split(";")]
    data = url[comma + 1 :]
    if not any(parameter.lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode("ascii")
    return Inline(media_type.lower() or "text/plain", data)


def data_url(source: Inline) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def text_of(source: Inline) -> str | None:
    """
    :return: a text file's text; ``None`` if it is none.
    """
    if not source.media_type.startswith("text/"):
        return None
    try:
        return base64.b64decode(source.data).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def media_type_of(audio_format: str) -> str:
    """
    :param audio_format: as Chat Completions names it.
    """
    return _MEDIA_TYPES.get(audio_format, f"audio/{audio_format}")


def format_of(media_type: str) -> str:
    return _FORMATS.get(media_type, media_type.removeprefix("audio/"))


def sniffed(data: str) -> str:
    """
    :param data: in base64: sound that a model made, whose format stands in the request only.
    :return: its media type, by its first bytes; without a known beginning it is plain samples.
    """
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "audio/pcm")
