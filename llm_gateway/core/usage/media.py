"""
Answers about images, sound, rankings and pages, which may have no tokens: then what is billed is counted.

Sources: https://platform.openai.com/docs/api-reference/images and .../audio, https://docs.cohere.com/reference/rerank,
https://docs.mistral.ai/api/endpoint/ocr
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from llm_gateway.core.translation.chat.documents import count
from llm_gateway.core.usage.answers import read
from llm_gateway.core.usage.counts import Counted
from llm_gateway.core.usage.openai import OpenAIReader
from llm_gateway.core.usage.values import Usage

__all__ = ["SPOKEN", "ImagesReader", "ReadingReader", "SpeechReader", "TranscriptionReader"]


SPOKEN = 1.4
"""Tokens of sound for a character: OpenAI puts a minute at $0.015, which is 1,250 tokens at $12 per million, and a
minute of English has some 900 characters."""


class _Images(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None


class _Transcript(msgspec.Struct, gc=False):
    duration: object = None
    """In seconds, as a number or a text."""


class _Billed(msgspec.Struct, gc=False):
    input_tokens: object = None
    search_units: object = None


class _Meta(msgspec.Struct, gc=False):
    billed_units: _Billed | None = None


class _Scanned(msgspec.Struct, gc=False):
    pages_processed: object = None


class _Ranking(msgspec.Struct, gc=False):
    meta: _Meta | None = None
    usage_info: _Scanned | None = None


_ranking = msgspec.json.Decoder(_Ranking).decode
_images = msgspec.json.Decoder(_Images).decode
_transcript = msgspec.json.Decoder(_Transcript).decode


def _pieces(name: str, number: int) -> Counted:
    return Counted(Usage(pieces={name: number}), False, False)


class ImagesReader(OpenAIReader):
    """Models that tell no tokens are billed by the image."""

    places = (b'"b64_json"', b'"url"')
    wrote = "image"

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

    wrote = "audio"

    def spoken(self, pieces: Mapping[str, int]) -> int:
        return math.ceil(SPOKEN * pieces.get("characters", 0))


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


class ReadingReader(OpenAIReader):
    """Cohere bills rankings by the search, Mistral the reading of documents by the page."""

    def take(self, document: bytes) -> bool | None:
        told = super().take(document)
        if told is not None and self._counted is None:
            found = read(_ranking, document)
            if found is not None and found.usage_info is not None:
                self._counted = _pieces("pages", count(found.usage_info.pages_processed) or 0)
            billed = None if found is None or found.meta is None else found.meta.billed_units
            if billed is not None:
                tokens, searches = count(billed.input_tokens), count(billed.search_units)
                if tokens or searches:
                    pieces = {"search_units": searches} if searches else {}
                    self._counted = Counted(Usage(input=tokens or 0, pieces=pieces), tokens is not None, False)
        return told


def _seconds(said: object) -> int | None:
    if not isinstance(said, str | int | float):
        return None
    try:
        seconds = float(said)
    except ValueError:
        return None
    return math.ceil(seconds) if 0 <= seconds < 1e9 else None
