"""What a translated call holds while its answer comes."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Document,
    Finish,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Part,
    Refusal,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.translation import StreamTranslation, Translation

DATA = "iVBO" * 500_000
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}

ASKED: dict[Api, dict[str, Any]] = {
    Api.CHAT: {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        "logit_bias": {"7": 1},
        "unheard_of": [1],
    },
    Api.RESPONSES: {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}]},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}, {"type": "web_search"}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "unheard_of": [1],
    },
    Api.MESSAGES: {
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                ],
            }
        ],
        "tools": [{"name": "look", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
        "unheard_of": [1],
    },
    Api.GEMINI: {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}]}],
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": SCHEMA}]}, {"googleSearch": {}}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA},
        "unheardOf": [1],
    },
}


def translation(caller: Api, provider: Api) -> Translation:
    body = json.dumps({"model": "m", "stream": True, **ASKED[caller]}).encode()
    asked = CODECS[caller].decode_request(body, model="m", stream=True)
    losses = Losses(OnUnsupported.DROP)
    return Translation(CODECS[caller], CODECS[provider], asked, Destination("m", "p", 99), losses)


@pytest.mark.parametrize(("caller", "provider"), [(a, b) for a in ASKED for b in ASKED if a is not b])
def test_image_is_not_held_until_the_answer_is_over(caller: Api, provider: Api) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = translation(caller, provider)
        assert DATA.encode() in made.take_body()
        stream = made.streamed()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(stream, StreamTranslation)
    assert held - before < len(DATA) // 10


def test_answer_repeats_its_request_although_that_is_not_held() -> None:
    made = translation(Api.RESPONSES, Api.MESSAGES)
    assert made.take_body()
    stream = made.streamed()
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"m"}}\n\n'
    created = json.loads(stream.feed(start).split(b"\n")[1].removeprefix(b"data: "))["response"]
    assert created["instructions"] == "Be brief."
    assert created["tools"][0]["parameters"] == SCHEMA
    assert created["text"]["format"]["schema"] == SCHEMA


PARTS: dict[str, Part] = {
    "text": Text("b"),
    "refusal": Refusal("b"),
    "thinking": Thinking("b"),
    "call": ToolCall("c", "look", "{}"),
    "image": Image(Inline("image/png", "QUJD")),
    "image elsewhere": Image(Linked("https://e.test/a.png")),
    "document": Document(Inline("application/pdf", "QUJD"), "a.pdf"),
    **{
        codec.name: Foreign(codec.name, "of_its_own", msgspec.Raw(b'{"type":"of_its_own","executableCode":{}}'))
        for codec in CODECS.values()
        if codec.name != "chat"
    },
}


@pytest.mark.parametrize("api", CODECS)
@pytest.mark.parametrize("name", PARTS)
def test_what_a_dialect_says_of_an_answer_is_what_it_claims_to_say(name: str, api: Api) -> None:
    codec, part = CODECS[api], PARTS[name]
    asked = Request("m", (Message(Role.USER, (Text("Hi"),)),), stream=True)
    with_it, without = (
        Answer("a", "m", (Choice(parts, Finish(Stop.END)),), Usage(1, 1), created=1)
        for parts in ((Text("a"), part), (Text("a"),))
    )
    whole = codec.encode_answer(with_it, asked) != codec.encode_answer(without, asked)
    streamed = codec.stream_encoder(asked).encode(exploded(with_it)) != codec.stream_encoder(asked).encode(
        exploded(without)
    )
    assert (whole, streamed) == (codec.says(part), codec.says(part))


def test_callers_that_get_a_transcript_are_not_told_the_sound() -> None:
    says = {api.value for api, codec in CODECS.items() if codec.says(Audio(Inline("audio/wav", "QUJD"), "a"))}
    assert says == {"chat", "gemini"}
