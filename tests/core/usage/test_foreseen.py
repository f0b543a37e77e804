"""What is told of a call before it is sent."""

from __future__ import annotations

import base64
import json
import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.apis import Api
from llm_gateway.core.estimate import estimate_text
from llm_gateway.core.usage.foreseen import Foreseen, expected_input, foreseen

TEXT = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want. "


def asks(**more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": TEXT * 8}], **more}).encode()


@pytest.mark.parametrize(
    ("api", "dialect", "body", "output"),
    [
        (Api.CHAT, "openai", asks(), None),
        (Api.CHAT, "openai", asks(max_tokens=100), 100),
        (Api.CHAT, "openai", asks(max_completion_tokens=200, max_tokens=100, n=3), 600),
        (Api.CHAT, "openai", asks(max_tokens=None, n=None), None),
        (Api.CHAT, "openai", asks(max_tokens="many"), None),
        (Api.CHAT, "openai", asks(max_tokens=-5), None),
        (Api.RESPONSES, "openai", asks(max_output_tokens=50), 50),
        (Api.MESSAGES, "anthropic", asks(max_tokens=4096), 4096),
        (Api.GEMINI, "gemini", asks(generationConfig={"maxOutputTokens": 30, "candidateCount": 2}), 60),
        (Api.GEMINI, "gemini", asks(generationConfig=None), None),
        (Api.EMBEDDINGS, "openai", asks(), 0),
        (Api.GEMINI_EMBEDDINGS, "gemini", asks(), 0),
    ],
)
def test_what_may_be_written_is_what_the_request_allows(
    api: Api, dialect: str, body: bytes, output: int | None
) -> None:
    assert foreseen(body, api, dialect).output == output


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize(
    "text",
    [
        TEXT * 20,
        "Съешь ещё этих мягких булок. " * 50,
        "敏捷的棕色狐狸跳过了懒狗。" * 50,
        '{"id": 7, "ok": true}\n' * 50,
    ],
)
def test_rather_too_much_is_foreseen_than_too_little(dialect: str, text: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    tokens = estimate_text(text)
    assert tokens <= foreseen(body, Api.CHAT, dialect).input <= 2.5 * tokens + 30


def test_what_is_expected_in_the_end_is_likelier() -> None:
    assert expected_input(asks(), Api.CHAT, "openai") == pytest.approx(estimate_text(TEXT * 8), rel=0.15)
    long = asks(more=TEXT * 5000)
    assert expected_input(long, Api.CHAT, "openai") == pytest.approx(estimate_text(TEXT * 5008), rel=0.1)
    claude = expected_input(asks(), Api.MESSAGES, "anthropic", "claude-opus-5")
    assert claude > 1.3 * expected_input(asks(), Api.CHAT, "openai")


def png(width: int, height: int, size: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"
    return base64.b64encode(head + random.Random(1).randbytes(size)).decode()


@pytest.mark.parametrize("foresee", [lambda *args: foreseen(*args).input, expected_input])
@pytest.mark.parametrize(
    ("api", "dialect", "part", "least", "most"),
    [
        (Api.CHAT, "openai", {"image_url": {"url": "data:image/png;base64," + png(512, 512, 300_000)}}, 255, 400),
        (Api.MESSAGES, "anthropic", {"source": {"type": "base64", "data": png(750, 750, 300_000)}}, 750, 950),
        (Api.GEMINI, "gemini", {"inlineData": {"mimeType": "image/png", "data": png(300, 300, 300_000)}}, 258, 400),
        (
            Api.MESSAGES,
            "anthropic",
            {"source": {"data": base64.b64encode(b"%PDF-1.7\n" + bytes(160_000)).decode()}},
            10_000,
            10_200,
        ),
        (
            Api.GEMINI,
            "gemini",
            {"inlineData": {"data": base64.b64encode(b"ID3\4" + random.Random(2).randbytes(160_000)).decode()}},
            320,
            500,
        ),
        (Api.CHAT, "openai", {"input_audio": {"data": base64.b64encode(b"RIFF" + bytes(160_000)).decode()}}, 100, 300),
        # A text is a text, however long and whatever it is called.
        (Api.MESSAGES, "anthropic", {"source": {"type": "text", "data": TEXT * 100}}, 2_000, 6_000),
        (Api.CHAT, "openai", {"content": json.dumps({"url": png(512, 512, 9_000)})}, 3_000, 9_000),
    ],
)
def test_files_are_counted_by_what_they_hold(
    foresee: Any, api: Api, dialect: str, part: dict[str, Any], least: int, most: int
) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()
    assert least <= foresee(body, api, dialect) <= most


def test_what_is_billed_by_the_piece_is_told() -> None:
    speech = json.dumps({"model": "tts-1", "input": "Grüße!", "voice": "sage"}).encode()
    spoken = foreseen(speech, Api.OTHER, "openai", path=b"/v1/audio/speech")
    assert (spoken.output, spoken.pieces) == (9, {"characters": 6})
    images = json.dumps({"prompt": "A fox", "n": 3}).encode()
    assert foreseen(images, Api.OTHER, "openai", path=b"/v1/images/generations").pieces == {"images": 3}
    form = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n" + bytes(160_000)
    sound = foreseen(form, Api.OTHER, "openai", path=b"/v1/audio/transcriptions")
    assert sound == Foreseen(110, None, {"seconds": 11})


@pytest.mark.parametrize(
    ("wish", "tier"),
    [
        ({}, None),
        ({"service_tier": "auto"}, None),
        ({"service_tier": "standard_only"}, None),
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "priority", "speed": "standard"}, "priority"),
        ({"service_tier": "auto", "speed": "fast"}, "fast"),
    ],
)
def test_the_tier_that_is_asked_for_is_told(wish: dict[str, str], tier: str | None) -> None:
    assert foreseen(asks(**wish), Api.CHAT, "openai").tier == tier


@pytest.mark.parametrize("api", [Api.MODELS, Api.COUNT_TOKENS])
def test_nothing_is_foreseen_for_what_is_free(api: Api) -> None:
    assert foreseen(asks(max_tokens=5), api, "openai") == Foreseen(0, 0)
    assert foreseen(b"", Api.CHAT, "openai", method=b"GET") == Foreseen(0, 0)


@given(st.binary(max_size=200) | st.builds(lambda rest: b'{"data":"' + b"A" * 3000 + rest, st.binary(max_size=50)))
def test_no_body_does_any_harm(body: bytes) -> None:
    for api, dialect in ((Api.CHAT, "openai"), (Api.MESSAGES, "anthropic"), (Api.GEMINI, "gemini")):
        assert foreseen(body, api, dialect).input >= 0
        assert expected_input(body, api, dialect) >= 0


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({"max_tokens": 100_000, "generationConfig": {"maxOutputTokens": 1}}, 100_000),
        ({"max_tokens": 10, "n": 100, "generationConfig": {}}, 1_000),
        ({"max_tokens": 10, "prompt": ["a", "b", "c"]}, 30),
        ({"max_tokens": 10, "prompt": ["a", "b"], "n": 5}, 100),
        ({"max_tokens": 10, "prompt": [[1, 2], [3]]}, 20),
        ({"max_tokens": 10, "prompt": [1, 2, 3]}, 10),
        ({"max_tokens": 10, "prompt": "a"}, 10),
        ({"max_tokens": 10, "prompt": []}, 10),
        ({"max_tokens": 10, "prompt": None}, 10),
    ],
)
def test_what_one_dialect_does_not_know_makes_no_call_smaller(more: dict[str, Any], output: int) -> None:
    body = json.dumps({"model": "m", **more}).encode()
    assert foreseen(body, Api.OTHER, "openai", path=b"/v1/completions").output == output
