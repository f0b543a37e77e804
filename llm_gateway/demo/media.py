"""What is not a conversation: models, embeddings, uploads and audio, as OpenAI and Anthropic answer them."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import random
import re
import struct
import wave
from array import array
from collections.abc import Callable
from typing import Any

import msgspec

from llm_gateway.demo.events import decode
from llm_gateway.demo.script import word_count
from llm_gateway.demo.values import Query, Refused, Whole

__all__ = ["anthropic_models", "embeddings", "files", "openai_models", "speech", "transcriptions", "vector"]

_RATE_HZ = 8_000
_MAX_SPEECH_S = 10.0
_CREATED_S = 1_735_689_600


def openai_models(names: tuple[str, ...], owner: str) -> Callable[[Query], Whole]:
    """Answer ``GET models`` and ``GET models/{id}``."""
    entries = {name: {"id": name, "object": "model", "created": _CREATED_S, "owned_by": owner} for name in names}

    def answer(query: Query) -> Whole:
        if not query.tail:
            return _json({"object": "list", "data": list(entries.values())})
        if query.tail not in entries:
            message = f"The model '{query.tail}' does not exist or you do not have access to it."
            raise Refused(404, message, param="model", code="model_not_found")
        return _json(entries[query.tail])

    return answer


def anthropic_models(names: tuple[str, ...]) -> Callable[[Query], Whole]:
    """Answer ``GET models`` and ``GET models/{id}``."""
    entries = {
        name: {
            "type": "model",
            "id": name,
            "display_name": name.replace("-", " ").title(),
            "created_at": "2025-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in names
    }

    def answer(query: Query) -> Whole:
        if not query.tail:
            page = {"data": list(entries.values()), "has_more": False, "first_id": names[0], "last_id": names[-1]}
            return _json(page)
        if query.tail not in entries:
            raise Refused(404, f"model: {query.tail}")
        return _json(entries[query.tail])

    return answer


class _EmbeddingsRequest(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = "float"
    dimensions: int | None = None


def embeddings(query: Query) -> Whole:
    """Answer ``POST embeddings``: vectors of length 1 that depend on the text alone."""
    request = decode(query.body, _EmbeddingsRequest)
    several = isinstance(request.input, list) and not all(isinstance(each, int) for each in request.input)
    inputs: list[Any] = list(request.input) if several else [request.input]
    size = 256 if request.dimensions is None else request.dimensions
    if not 1 <= size <= 4096:
        raise Refused(400, "'dimensions' must be between 1 and 4096.", param="dimensions")
    data = []
    for index, each in enumerate(inputs):
        values = vector(repr(each), size)
        packed: Any = values
        if request.encoding_format == "base64":
            packed = base64.b64encode(struct.pack(f"<{size}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    tokens = sum(len(each) if isinstance(each, list) else max(1, word_count([str(each)])) for each in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": request.model, "usage": usage})


class _SpeechRequest(msgspec.Struct):
    model: str
    input: str
    voice: Any
    response_format: str | None = "mp3"


def speech(query: Query) -> Whole:
    """Answer ``POST audio/speech``: a hum of 80 ms a word, as WAV, or as bare samples where ``pcm`` is asked for."""
    request = decode(query.body, _SpeechRequest)
    seconds = min(_MAX_SPEECH_S, 0.08 * max(1, word_count([request.input])))
    count = int(seconds * _RATE_HZ)
    samples = array("h", (int(9_000 * math.sin(2 * math.pi * 220 * n / _RATE_HZ)) for n in range(count)))
    packed = struct.pack(f"<{count}h", *samples)
    if request.response_format == "pcm":
        return Whole(packed, "audio/pcm")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE_HZ)
        sound.writeframes(packed)
    return Whole(file.getvalue(), "audio/wav")


def transcriptions(query: Query) -> Whole:
    """Answer ``POST audio/transcriptions``: the text says which file came and how large it was."""
    form = _form(query)
    upload, model = _required(form, "file"), _required(form, "model").text
    text = f"{upload.filename} has {len(upload.content)} bytes, says {model}, played by the gateway's demo provider."
    if "response_format" in form and form["response_format"].text == "text":
        return Whole(text.encode() + b"\n", "text/plain; charset=utf-8")
    tokens = {"input_tokens": 1 + len(upload.content) // 1000, "output_tokens": word_count([text])}
    usage = {"type": "tokens", **tokens, "total_tokens": sum(tokens.values())}
    return _json({"text": text, "usage": usage})


def files(query: Query) -> Whole:
    """Answer ``POST files``. Nothing is kept."""
    form = _form(query)
    upload, purpose = _required(form, "file"), _required(form, "purpose").text
    return _json(
        {
            "id": f"file-demo{query.number:06d}",
            "object": "file",
            "bytes": len(upload.content),
            "created_at": query.now_s,
            "filename": upload.filename,
            "purpose": purpose,
            "status": "processed",
        }
    )


def _json(document: Any) -> Whole:
    return Whole(msgspec.json.encode(document))


def vector(text: str, size: int) -> list[float]:
    """:return: one of length 1 that depends on the text alone."""
    source = random.Random(hashlib.sha256(text.encode()).digest())
    values = [source.gauss(0, 1) for _ in range(size)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / length, 6) for value in values]


class _Field(msgspec.Struct, frozen=True):
    """One part of a form."""

    content: bytes
    filename: str

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


def _form(query: Query) -> dict[str, _Field]:
    """
    Read ``multipart/form-data``, every byte of every part as sent.

    :raises Refused: the body is something else.
    """
    boundary = re.search(r'boundary="?([^";]+)"?', query.content_type)
    if boundary is None or not query.content_type.lower().startswith("multipart/form-data"):
        raise Refused(400, "This path takes multipart/form-data.")
    fields = {}
    # Every part, the first too, is framed by CR LF and the boundary (RFC 2046, section 5.1.1).
    parts = (b"\r\n" + query.body).split(b"\r\n--" + boundary[1].encode("latin-1"))
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise Refused(400, "The form is not complete.")
    for part in parts[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        disposition = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', disposition)
        filename = re.search(r'filename="([^"]*)"', disposition)
        if name is not None:
            fields[name[1]] = _Field(content, filename[1] if filename else "")
    return fields


def _required(form: dict[str, _Field], name: str) -> _Field:
    if name not in form:
        raise Refused(400, f"The form has no field '{name}'.", param=name)
    return form[name]
