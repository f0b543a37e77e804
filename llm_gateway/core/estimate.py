"""
How many tokens a request comes to, told without a tokenizer: for providers that cannot be asked.

Text is counted by kinds of characters, with weights that were fitted to ``o200k_base``, the vocabulary of OpenAI's
models since GPT-4o, over 7,000 pieces of 3,000 characters: prose, twelve kinds of code and data, 22 languages. Of those
that were not fitted to, the middle half of English and code comes out between 7 % too low and 5 % too high, nine in ten
between 18 % too low and 17 % too high; other languages are on average between 18 % too low (Finnish) and 12 % too high
(Russian). A quarter of the characters, the usual rule, is 57 % too low for one in twenty. Other vocabularies cut more
finely, Claude's above all.

Images, pages and sound are counted by each provider's published rule; what a provider puts around messages and tools
is not published and only guessed.

Sources: https://developers.openai.com/api/docs/guides/images-vision#calculating-costs,
https://platform.claude.com/docs/en/build-with-claude/vision, .../pdf-support and .../token-counting,
https://ai.google.dev/gemini-api/docs/tokens.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable

import msgspec

from llm_gateway.core.image_size import image_size
from llm_gateway.core.translation.conversation import (
    Audio,
    Document,
    Foreign,
    Image,
    Inline,
    Part,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

__all__ = ["estimate_body", "estimate_input", "estimate_text", "vocabulary_factor"]

PER_REQUEST = 3
PER_MESSAGE = 4
"""Who speaks, and where a message begins and ends."""
PER_CALL = 6
"""The frame of a tool's call or result."""
PER_TOOL = 10
SCHEMA = 0.7
"""Of the tokens of a tool's JSON Schema as it is written: providers show it to the model in a shorter notation."""

PAGE = {"anthropic": 2500, "gemini": 258}
OTHER_PAGE = 2000
"""Of a PDF: its text and its picture. Anthropic says 1,500 to 3,000 for the text alone."""
SECOND = {"gemini": 32}
OTHER_SECOND = 10
"""Of sound."""
BYTES_PER_SECOND = 16_000
"""Of sound in a file whose header is not read: 128 kbit/s."""

_NEW_CLAUDE = re.compile(r"claude-(?:opus-4-[7-9]|[a-z]+-[5-9])(?!\d)")
_NEW_CLAUDE_FACTOR, _CLAUDE_FACTOR = 1.43, 1.1
"""Claude's first public vocabulary makes 1.01 to 1.1 times the tokens of ``o200k_base`` of English and code; that of
Claude Opus 4.7 and what came after makes some 30 % more of the same text than the one before."""


def estimate_input(request: Request, *, dialect: str, model: str = "") -> int:
    """
    :param dialect: the provider's: ``openai``, ``anthropic`` or ``gemini``.
    :param model: the provider's name for the model.
    :return: tokens of the prompt, one at least.
    """
    words = 0.0
    media = 0.0
    for message in request.messages:
        words += PER_MESSAGE + estimate_text(message.name or "")
        text, other = _parts(message.parts, dialect)
        words += text
        media += other
    for tool in request.tools:
        words += _tool(tool)
    for raw in request.foreign_tools:
        words += estimate_text(_json_text(raw.raw))
    if request.output is not None and request.output.schema is not None:
        words += SCHEMA * estimate_text(_json_text(request.output.schema))
    return max(1, math.ceil((words + PER_REQUEST) * vocabulary_factor(model) + media))


def estimate_body(dialect: str, tokens: int) -> bytes:
    """
    :param dialect: the caller's.
    :return: the answer to its call for a count.
    """
    if dialect == "anthropic":
        return msgspec.json.encode({"input_tokens": tokens})
    if dialect == "gemini":
        return msgspec.json.encode({"totalTokens": tokens})
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})


def vocabulary_factor(model: str) -> float:
    """
    :return: by what ``estimate_text`` is multiplied for this model.
    """
    name = model.casefold().replace(".", "-")
    if "claude" not in name:
        return 1.0
    return _NEW_CLAUDE_FACTOR if _NEW_CLAUDE.search(name) else _CLAUDE_FACTOR


def _tool(tool: Tool) -> float:
    schema = tool.parameters if tool.custom is None else tool.custom
    said = estimate_text(tool.name) + estimate_text(tool.description or "")
    return PER_TOOL + said + (SCHEMA * estimate_text(_json_text(schema)) if schema is not None else 0)


def _json_text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


# Parts of messages


def _parts(parts: Iterable[Part], dialect: str) -> tuple[float, float]:
    """
    :return: tokens of text, which depend on the model's vocabulary, and of everything else.
    """
    words = media = 0.0
    for part in parts:
        match part:
            case Text(text=text) | Refusal(text=text):
                words += estimate_text(text)
            case Image():
                media += _image(part, dialect)
            case Document():
                text_tokens, other = _document(part, dialect)
                words += text_tokens
                media += other
            case Audio():
                media += _sound(part, dialect)
            case ToolCall():
                words += PER_CALL + estimate_text(part.name) + estimate_text(part.arguments)
            case ToolResult():
                text_tokens, other = _parts(part.parts, dialect)
                words += PER_CALL + text_tokens
                media += other
            case Foreign():
                words += estimate_text(_json_text(part.raw))
            case _:
                # Thinking of earlier turns is not shown to the model again, or not counted.
                pass
    return words, media


def _image(image: Image, dialect: str) -> float:
    size = image_size(image.source.data) if isinstance(image.source, Inline) else None
    width, height = size or (1024, 1024)
    if dialect == "gemini":
        # Tiles of 768 pixels, of 258 tokens each; a small image is one.
        small = width <= 384 and height <= 384
        return 258.0 if small else 258.0 * math.ceil(width / 768) * math.ceil(height / 768)
    if dialect == "anthropic":
        shrunk = min(1.0, 1568 / max(width, height))
        return max(85.0, min(1600.0, width * height * shrunk * shrunk / 750))
    if image.detail == "low":
        return 85.0
    # Fits 2048 pixels, the short side 768, in tiles of 512.
    shrunk = min(1.0, 2048 / max(width, height))
    shrunk *= min(1.0, 768 / (min(width, height) * shrunk))
    return 85.0 + 170.0 * math.ceil(width * shrunk / 512) * math.ceil(height * shrunk / 512)


_PAGE_OBJECT = re.compile(rb"/Type\s{0,4}/Page\b")


def _document(document: Document, dialect: str) -> tuple[float, float]:
    """
    :return: tokens of text, and of pages.
    """
    words = estimate_text(document.name or "") + estimate_text(document.context or "")
    page = PAGE.get(dialect, OTHER_PAGE)
    source = document.source
    if not isinstance(source, Inline):
        return words, page
    try:
        data = base64.b64decode(source.data)
    except (binascii.Error, ValueError):
        return words + estimate_text(source.data), 0
    if source.media_type.startswith("text/") or not data.startswith(b"%PDF"):
        return words + estimate_text(data.decode("utf-8", "replace")), 0
    # Newer files keep their pages where they cannot be seen; then by weight, at 50 KB each.
    pages = sum(1 for _ in _PAGE_OBJECT.finditer(data)) or math.ceil(len(data) / 50_000)
    return words, page * pages


def _sound(audio: Audio, dialect: str) -> float:
    per_second = SECOND.get(dialect, OTHER_SECOND)
    if isinstance(audio.source, Inline):
        size = len(audio.source.data) * 3 / 4
        return per_second * max(1, round(size / (_wave_rate(audio.source.data) or BYTES_PER_SECOND)))
    return estimate_text(audio.transcript or "")


def _wave_rate(data: str) -> int | None:
    """:return: bytes per second of a WAV file."""
    try:
        head = base64.b64decode(data[:48])
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(head[28:32], "little") or None if head.startswith(b"RIFF") else None


# Text

_LOWER, _UPPER, _DIGIT, _SPACE, _LINE, _MARK = b"aA0 \n."


def _kind(byte: int) -> int:
    """:return: one byte that stands for all of its kind."""
    if byte < 0x80:
        character = chr(byte)
        if character.isalpha():
            return _LOWER if character.islower() else _UPPER
        if character.isdigit():
            return _DIGIT
        return _SPACE if character == " " else _LINE if character in "\t\r\n" else _MARK
    # The first byte of a character tells its script; those that follow count for nothing.
    leads = ((0xC0, b"-"), (0xCC, b"L"), (0xE0, b"Y"), (0xE2, b"I"), (0xE3, b"P"), (0xE4, b"K"), (0xEA, b"H"))
    for end, kind in (*leads, (0xEE, b"G"), (0xF0, b"P")):
        if byte < end:
            return kind[0]
    return ord("E")


_KINDS = bytes(_kind(byte) for byte in range(256))

_WEIGHTS = (
    (b"a", 0.164),
    (b"A", 0.152),
    (b"0", 0.384),
    (b"\n", 1.293),
    (b".", 0.436),
    (b"L", 1.536),  # Latin letters with marks
    (b"Y", 0.353),  # Greek, Cyrillic, Hebrew, Arabic
    (b"I", 0.426),  # the scripts of India and South East Asia
    (b"P", 0.494),  # punctuation and symbols
    (b"K", 0.667),  # kana
    (b"H", 0.899),  # Han
    (b"G", 0.773),  # Hangul
    (b"E", 2.0),  # emoji and rare characters
    (b"  ", 0.102),
)
"""By kind, and for two spaces in a row."""


def _beginnings(kind: bytes, behind: bytes) -> bytes:
    """:return: a table that makes the kind ``1``, what it begins behind ``0``, and all else neither."""
    return bytes(ord("1") if each in kind else ord("0") if each in behind else ord("-") for each in _KINDS)


_BEGINNINGS = (
    (_beginnings(b"a", b" \n.0"), 0.272),
    (_beginnings(b"A", b" \n.a"), 0.384),
    (_beginnings(b"0", b" .a"), 1.453),
)
"""Where words, capitals and numbers begin."""


def estimate_text(text: str) -> float:
    """
    :return: tokens; some 25 ms for a megabyte.
    """
    data = text.encode("utf-8", "replace")
    kinds = data.translate(_KINDS)
    tokens = sum(weight * kinds.count(kind) for kind, weight in _WEIGHTS)
    return tokens + sum(weight * data.translate(table).count(b"01") for table, weight in _BEGINNINGS)
