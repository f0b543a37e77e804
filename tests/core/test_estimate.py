"""Tokens told without a tokenizer: near enough, and by each provider's rules for what is not text."""

from __future__ import annotations

import base64
import json
import struct
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.estimate import (
    OTHER_PAGE,
    PAGE,
    PER_MESSAGE,
    PER_REQUEST,
    estimate_body,
    estimate_input,
    estimate_text,
)
from llm_gateway.core.translation.conversation import (
    Audio,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    OutputFormat,
    Part,
    Request,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

TEXTS = {
    name: (each["tokens"], each["text"])
    for name, each in json.loads((Path(__file__).parent / "token_counts.json").read_text()).items()
}
"""With the tokens that ``o200k_base`` makes of them."""


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_any_kind_is_estimated_to_a_quarter(name: str) -> None:
    tokens, text = TEXTS[name]
    assert abs(estimate_text(text) / tokens - 1) < 0.25


def test_texts_together_are_estimated_to_a_twentieth() -> None:
    """What is too low here is too high there: long conversations come out better than single messages."""
    tokens = sum(tokens for tokens, _ in TEXTS.values())
    assert abs(sum(estimate_text(text) for _, text in TEXTS.values()) / tokens - 1) < 0.05


def test_no_text_is_no_tokens() -> None:
    assert estimate_text("") == 0


@given(st.text(max_size=200), st.text(max_size=20))
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert 0 <= estimate_text(text) <= estimate_text(text + more) + 1.5


def test_odd_text_is_estimated_too() -> None:
    """Half a surrogate pair, which JSON can carry, and control characters."""
    assert estimate_text("\ud83d\x00\x7f") > 0


def asked(*parts: Part, dialect: str = "openai", model: str = "", **fields: object) -> int:
    request = Request("m", (Message(Role.USER, parts),), **fields)  # type: ignore[arg-type]  # mypy cannot see which
    return estimate_input(request, dialect=dialect, model=model)


EMPTY = PER_REQUEST + PER_MESSAGE


def test_every_message_costs_something() -> None:
    messages = tuple(Message(Role.USER, ()) for _ in range(10))
    assert estimate_input(Request("m", messages), dialect="openai") == PER_REQUEST + 10 * PER_MESSAGE
    assert asked() == EMPTY


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("gpt-5.4", 1.0),
        ("claude-haiku-4-5", 1.1),
        ("claude-opus-4-6", 1.1),
        ("claude-3-5-haiku-20241022", 1.1),
        ("us.anthropic.claude-opus-4-7-v1:0", 1.43),
        ("claude-sonnet-5", 1.43),
        ("anthropic/claude-haiku-5.5", 1.43),
        ("claude-opus-4-20250514", 1.1),
    ],
)
def test_claude_cuts_text_more_finely(model: str, factor: float) -> None:
    _, text = TEXTS["english"]
    text *= 100
    assert asked(Text(text), model=model) == pytest.approx(factor * (estimate_text(text) + EMPTY), abs=1)


def test_tools_and_formats_count_with_what_describes_them() -> None:
    schema = msgspec.Raw(TEXTS["json"][1].encode())
    plain = asked(tools=(Tool("weather"),))
    described = asked(tools=(Tool("weather", "Tells the weather of a city.", schema),))
    assert EMPTY < plain < described
    assert 30 < described - plain < 80
    assert asked(output=OutputFormat(schema)) > EMPTY + 30
    assert (
        asked(foreign_tools=(Foreign("messages", "web_search", msgspec.Raw(b'{"type":"web_search_20250305"}')),))
        > EMPTY
    )


def test_calls_and_results_count() -> None:
    call = ToolCall("c-1", "weather", '{"city": "Cologne"}')
    result = ToolResult("c-1", (Text("Rain, all day."),))
    assert EMPTY + 10 < asked(call) < asked(call, result) < EMPTY + 50


def test_thinking_of_earlier_turns_does_not_count() -> None:
    assert asked(Thinking("Let me think about this for a while.")) == EMPTY


# Images


def png(width: int, height: int) -> Image:
    data = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", width, height) + bytes(1000)
    return Image(Inline("image/png", base64.b64encode(data).decode()))


@pytest.mark.parametrize(
    ("dialect", "width", "height", "tokens"),
    [
        # The examples of the providers' own pages.
        ("openai", 1024, 1024, 765),
        ("openai", 2048, 4096, 1105),
        ("openai", 100, 100, 255),
        ("anthropic", 1000, 1000, 1334),
        ("anthropic", 200, 200, 85),
        ("anthropic", 8000, 8000, 1600),
        ("gemini", 384, 384, 258),
        ("gemini", 1024, 1024, 1032),
    ],
)
def test_image_counts_by_its_size(dialect: str, width: int, height: int, tokens: int) -> None:
    assert asked(png(width, height), dialect=dialect) == pytest.approx(EMPTY + tokens, abs=1)


def test_image_of_low_detail_costs_little() -> None:
    low = msgspec.structs.replace(png(2048, 4096), detail="low")
    assert asked(low) == EMPTY + 85


@pytest.mark.parametrize(
    "image", [Image(Linked("https://a.example/x.png")), Image(Inline("image/png", "!!!")), Image(Inline("image/x", ""))]
)
def test_image_of_unknown_size_counts_as_one_of_1024_pixels(image: Image) -> None:
    for dialect in ("openai", "anthropic", "gemini"):
        assert asked(image, dialect=dialect) == asked(png(1024, 1024), dialect=dialect)


def test_image_in_a_tool_s_result_counts() -> None:
    assert asked(ToolResult("c-1", (png(1024, 1024),))) > EMPTY + 765


def test_large_image_is_not_decoded_whole() -> None:
    """5 MB are looked at no longer than 5 KB."""
    image = png(1024, 1024)
    assert isinstance(image.source, Inline)
    large = Image(Inline("image/png", image.source.data.rstrip("=")[:1200] + "!" * 5_000_000))
    assert asked(large) == EMPTY + 765


# Documents and sound


def pdf(pages: int) -> Document:
    data = b"%PDF-1.7\n<< /Type /Pages >>\n" + b"<< /Type /Page >>\n" * pages
    return Document(Inline("application/pdf", base64.b64encode(data).decode()))


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
def test_pdf_counts_by_its_pages(dialect: str) -> None:
    page = PAGE.get(dialect, OTHER_PAGE)
    counts = [asked(pdf(pages), dialect=dialect) for pages in (1, 2, 3)]
    assert counts[0] == EMPTY + page
    assert [after - before for before, after in pairwise(counts)] == [page, page]


def test_pdf_that_hides_its_pages_counts_by_its_weight() -> None:
    data = base64.b64encode(b"%PDF-1.7\n" + bytes(120_000)).decode()
    assert asked(Document(Inline("application/pdf", data))) == EMPTY + 3 * OTHER_PAGE


def test_document_elsewhere_counts_as_a_page() -> None:
    assert asked(Document(Linked("https://a.example/x.pdf"))) == EMPTY + OTHER_PAGE


def test_text_in_a_document_counts_as_text() -> None:
    _, text = TEXTS["english"]
    coded = base64.b64encode(text.encode()).decode()
    assert asked(Document(Inline("text/plain", coded))) == pytest.approx(asked(Text(text)), abs=1)
    # Some dialects carry it as it is, not in base64.
    assert asked(Document(Inline("text/plain", text))) == pytest.approx(asked(Text(text)), abs=1)


def test_sound_counts_by_its_length() -> None:
    head = b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16)
    wave = Audio(Inline("audio/wav", base64.b64encode(head + bytes(480_000 - len(head))).decode()))
    mp3 = Audio(Inline("audio/mpeg", base64.b64encode(b"ID3" + bytes(160_000 - 3)).decode()))
    assert asked(wave) == asked(mp3) == EMPTY + 100
    assert asked(wave, dialect="gemini") == EMPTY + 320
    assert asked(Audio(None, id="audio-1", transcript="It rains all day.")) < EMPTY + 10


def test_estimate_is_answered_in_the_caller_s_dialect() -> None:
    assert json.loads(estimate_body("anthropic", 7)) == {"input_tokens": 7}
    assert json.loads(estimate_body("gemini", 7)) == {"totalTokens": 7}
    assert json.loads(estimate_body("openai", 7)) == {"object": "response.input_tokens", "input_tokens": 7}
