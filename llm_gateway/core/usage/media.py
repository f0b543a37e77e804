"""
Answers about images and sound, which may have no numbers: then what is billed is counted.

Source: https://platform.openai.com/docs/api-reference/images and .../audio
"""

from __future__ import annotations

import math

import msgspec

from llm_gateway.core.usage.answers import read
from llm_gateway.core.usage.counts import Counted
from llm_gateway.core.usage.openai import OpenAIReader
from llm_gateway.core.usage.values import Usage

__all__ = ["ImagesReader", "SpeechReader", "TranscriptionReader"]


class _Images(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None


class _Transcript(msgspec.Struct, gc=False):
    duration: object = None
    """In seconds, as a number or a text."""


_images = msgspec.json.Decoder(_Images).decode
_transcript = msgspec.json.Decoder(_Transcript).decode


def _pieces(name: str, number: int) -> Counted:
    return Counted(Usage(pieces={name: number}), False, False)


class ImagesReader(OpenAIReader):
    """Models that tell no tokens are billed by the image."""

    places = (b'"b64_json"', b'"url"')

    def __init__(self) -> None:
        super().__init__(wrote="image")

    def take(self, document: bytes) -> bool | None:
        told = super().take(document)
        if told is not None and self._counted is None:
            found = read(_images, document)
            if found is not None and found.data:
                self._counted = _pieces("images", len(found.data))
        return told

    def counted(self) -> Counted | None:
        if self._counted is None and self.places_seen:
            return _pieces("images", self.places_seen)
        return self._counted


class SpeechReader(OpenAIReader):
    """A stream of it has numbers; a file of sound has none."""

    def __init__(self) -> None:
        super().__init__(wrote="audio")


class TranscriptionReader(OpenAIReader):
    """Whisper is billed by the second."""

    def take(self, document: bytes) -> bool | None:
        told = super().take(document)
        if told is not None and self._counted is None:
            found = read(_transcript, document)
            seconds = None if found is None else _seconds(found.duration)
            if seconds is not None:
                self._counted = _pieces("seconds", seconds)
        return told


def _seconds(said: object) -> int | None:
    if not isinstance(said, str | int | float):
        return None
    try:
        seconds = float(said)
    except ValueError:
        return None
    return math.ceil(seconds) if 0 <= seconds < 1e9 else None
