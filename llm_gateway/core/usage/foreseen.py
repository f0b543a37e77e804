"""
What a call may use, told from its request before it is sent: what a reservation is made for.

It is told from the weight of the body, not from its text: counting words costs some 25 µs for a kilobyte. Prose in any
script has 3 to 4.5 bytes for a token, JSON and code about 3, so that a third of the bytes is rather too many; Claude
cuts more finely. Of base64, which has nothing to do with tokens, each file is counted by what it holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from mmap import mmap
from typing import TypeAlias

import msgspec

from llm_gateway.core.apis import Api
from llm_gateway.core.estimate import (
    BYTES_PER_SECOND,
    OTHER_PAGE,
    OTHER_SECOND,
    PAGE,
    SECOND,
    estimate_input,
    estimate_text,
    vocabulary_factor,
)
from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.chat.documents import count
from llm_gateway.core.translation.conversation import Image, Inline, Message, Request, Role
from llm_gateway.core.usage.counts import tier_of
from llm_gateway.core.usage.kinds import Kind, kind_of
from llm_gateway.core.usage.media import SPOKEN

__all__ = ["Body", "Foreseen", "expected_input", "foreseen"]

# Members of an enum take Python a tenth of a microsecond to find.
_FREE, _TEXT, _UNKNOWN = Kind.FREE, Kind.TEXT, Kind.UNKNOWN

_BYTES_PER_TOKEN = {"anthropic": 2.5}
_OTHER_BYTES_PER_TOKEN = 3.0

Body: TypeAlias = bytes | mmap

_LONG = 2048
"""Characters of base64 from which on a file is counted by what it holds."""
_MOST_FILES = 256
"""Of one request, that are looked at; the rest counts as text, which is too many."""
_BYTES_PER_PAGE = 50_000
_MAX_TEXT = 65_536
"""Bytes of what is no file of a known kind up to which it is taken for text."""
_HEAD = 16_384
"""Of an image, that is looked at for its size."""
_READ = 32_768
"""Bytes of text that are read by ``expected_input``; what the rest comes to is inferred from them."""


class Foreseen(msgspec.Struct, frozen=True, gc=False):
    """What a call may use."""

    input: int
    """Tokens, rather too many."""
    output: int | None = None
    """Tokens that may be written, of all choices together; ``None`` where the request does not say."""
    pieces: dict[str, int] = {}
    """What is billed by the piece, as far as the request tells: images to be made, characters to be spoken."""
    tier: str | None = None
    """The service tier that it asks for, as ``Usage.tier`` would name it."""


class _Config(msgspec.Struct, rename="camel", gc=False):
    max_output_tokens: object = None
    candidate_count: object = None


_NO_PROMPT = msgspec.Raw()


class _Wishes(msgspec.Struct, gc=False):
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    max_tokens_to_sample: object = None
    n: object = None
    best_of: object = None
    service_tier: object = None
    speed: object = None
    prompt: msgspec.Raw = _NO_PROMPT
    config: _Config | None = msgspec.field(default=None, name="generationConfig")
    snake_config: _Config | None = msgspec.field(default=None, name="generation_config")


class _Spoken(msgspec.Struct, gc=False):
    input: object = None


_wishes = msgspec.json.Decoder(_Wishes).decode
_spoken = msgspec.json.Decoder(_Spoken).decode
_listed = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def foreseen(body: Body, api: Api, dialect: str, *, method: bytes = b"POST", path: bytes = b"") -> Foreseen:
    """
    :param body: of the request: JSON, a form, or anything else. Of a long one that is mapped no copy is made.
    :param dialect: the one that it is in.
    :param path: without the query; it tells more of what ``api`` calls other.
    """
    kind = kind_of(method, api, path)
    if kind is _FREE:
        return _NOTHING
    if not _is_object(body):
        return _of_form(body, kind, dialect)
    weight, media = _weighed(body, dialect)
    read = math.ceil(weight / _BYTES_PER_TOKEN.get(dialect, _OTHER_BYTES_PER_TOKEN) + media)
    if kind is _TEXT or kind is _UNKNOWN:
        wishes = _wishes_of(body)
        if wishes is None:
            return Foreseen(read)
        tier = None
        if wishes.speed is not None or wishes.service_tier is not None:
            tier = tier_of(wishes.speed) or tier_of(wishes.service_tier)
        return Foreseen(read, _written(wishes), {}, tier)
    if kind is Kind.READING:
        return Foreseen(read, 0)
    if kind is Kind.IMAGES:
        return Foreseen(read, None, {"images": _choices(body)})
    if kind is Kind.SPEECH:
        characters = _characters(body)
        return Foreseen(read, math.ceil(SPOKEN * characters), {"characters": characters})
    return Foreseen(read)


_NOTHING = Foreseen(0, 0)

_START_BYTES = 64
"""In which an object begins, blank ones left out."""


def _is_object(body: Body) -> bool:
    return body[:_START_BYTES].lstrip(b" \t\r\n")[:1] == b"{"


def expected_input(body: bytes, api: Api, dialect: str, model: str = "") -> int:
    """
    The same for an answer that did not come to say what was read: no longer too many but as it is likely to be, at some
    25 µs for a kilobyte and 2 ms at most.

    :param model: the provider's name for it.
    :return: tokens.
    """
    if not _is_object(body):
        return foreseen(body, api, dialect).input
    media = 0.0
    texts: list[bytes] = []
    at = 0
    for start, end in _files(body):
        media += _file(body, start, end, dialect)
        texts.append(body[at:start])
        at = end
    text = b"".join((*texts, body[at:]))
    read = text[:_READ]
    tokens = estimate_text(read.decode("utf-8", "ignore")) * (len(text) / len(read))
    return math.ceil(tokens * vocabulary_factor(model) + media)


def _written(wishes: _Wishes) -> int | None:
    # Field by field, since nearly all requests have one of them at most.
    most = 0
    if wishes.max_tokens is not None:
        most = count(wishes.max_tokens) or 0
    if wishes.max_completion_tokens is not None:
        most = max(most, count(wishes.max_completion_tokens) or 0)
    if wishes.max_output_tokens is not None:
        most = max(most, count(wishes.max_output_tokens) or 0)
    if wishes.max_tokens_to_sample is not None:
        most = max(most, count(wishes.max_tokens_to_sample) or 0)
    times = 1
    if wishes.n is not None or wishes.best_of is not None:
        times = max(count(wishes.n) or 1, count(wishes.best_of) or 1)
    for config in (wishes.config, wishes.snake_config):
        if config is not None:
            # A provider of another dialect does not know it, and goes by the rest.
            most = max(most, count(config.max_output_tokens) or 0)
            times = max(times, count(config.candidate_count) or 1)
    if wishes.prompt is not _NO_PROMPT:
        times *= _prompts(wishes.prompt)
    return most * times or None


def _prompts(prompt: msgspec.Raw) -> int:
    """:return: how many answers a completion has for each of its choices: several prompts stand in a list."""
    if not bytes(prompt).startswith(b"["):
        return 1
    try:
        found = _listed(prompt)
    except _BROKEN:
        return 1
    # A prompt may also be a list of numbers, which are its tokens.
    return len(found) if found and bytes(found[0])[:1] in (b'"', b"[") else 1


def _choices(body: Body) -> int:
    wishes = _wishes_of(body)
    return 1 if wishes is None else count(wishes.n) or 1


def _wishes_of(body: Body) -> _Wishes | None:
    try:
        return _wishes(body)
    except _BROKEN:
        pass
    try:
        return _wishes(mended(bytes(body)))
    except _BROKEN:
        return None


def _characters(body: Body) -> int:
    try:
        text = _spoken(body).input
    except _BROKEN:
        return 0
    return len(text) if isinstance(text, str) else 0


def _of_form(body: Body, kind: Kind, dialect: str) -> Foreseen:
    """Of a form with files: what it asks is in there somewhere; it is the file that counts."""
    if kind is Kind.TRANSCRIPTION:
        seconds = math.ceil(len(body) / BYTES_PER_SECOND)
        return Foreseen(seconds * SECOND.get(dialect, OTHER_SECOND), None, {"seconds": seconds})
    if kind is Kind.IMAGES:
        return Foreseen(_IMAGE + min(len(body), _LONG) // 3, None, {"images": 1})
    return Foreseen(0)


_IMAGE = 1600
"""Of an image that is not looked at."""


# Files in base64


_WINDOW = 64
_STEP = _LONG - _WINDOW
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=-]{64}")


def _weighed(body: Body, dialect: str) -> tuple[int, float]:
    """
    :return: bytes of everything that is not a file, and tokens of the files.
    """
    if len(body) < _LONG:
        return len(body), 0.0
    weight, tokens = len(body), 0.0
    for start, end in _files(body):
        weight -= end - start
        tokens += _file(body, start, end, dialect)
    return weight, tokens


def _files(body: Body) -> Iterator[tuple[int, int]]:
    """
    Whatever it is called, each string of ``_LONG`` bytes and more that is base64 where it is looked at.

    One look for every ``_STEP`` bytes finds them all: a search for names takes twenty times as long, and longer than
    anything else that is done with a body.
    """
    size, at, looked = len(body), 0, _STEP
    left = _MOST_FILES
    while looked < size and left:
        if _BASE64.match(body, looked) is None:
            looked += _STEP
            continue
        start = body.rfind(b'"', at, looked) + 1
        end = body.find(b'"', looked)
        if end < 0:
            return
        # With a backslash before the quote it is a text about a file.
        if start > 1 and body[start - 2] != _BACKSLASH:
            if body[start : start + 5] == b"data:":
                start = body.find(b",", start, looked) + 1 or start
            if end - start >= _LONG:
                left -= 1
                yield start, end
        at = end + 1
        looked = at + _STEP


_BACKSLASH = ord("\\")


def _file(body: Body, start: int, end: int, dialect: str) -> float:
    """
    :return: tokens of one file.
    """
    size = (end - start) * 3 // 4
    head = body[start : min(end, start + _HEAD)]
    if head.startswith((b"iVBORw0KGgo", b"/9j/", b"R0lGOD")) or (head.startswith(b"UklGR") and b"XRUJQ" in head[8:16]):
        image = Image(Inline("image/*", head.decode("ascii", "replace")))
        return estimate_input(Request("", (Message(Role.USER, (image,)),)), dialect=dialect)
    if head.startswith((b"UklGR", b"SUQz", b"//", b"T2dn", b"ZkxhQ")):
        return max(1, size / BYTES_PER_SECOND) * SECOND.get(dialect, OTHER_SECOND)
    if head.startswith(b"JVBERi") or size > _MAX_TEXT:
        return math.ceil(size / _BYTES_PER_PAGE) * PAGE.get(dialect, OTHER_PAGE)
    # Signatures and thoughts under seal, most likely.
    return (end - start) / _OTHER_BYTES_PER_TOKEN
