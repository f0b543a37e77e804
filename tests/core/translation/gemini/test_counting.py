"""``countTokens`` from Google's SDK, and to Google."""

from __future__ import annotations

import json

import pytest
from google.genai import types

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Message, Request, Role, Sampling, Text, Tool
from llm_gateway.core.translation.gemini.counting import (
    read_count,
    read_count_request,
    write_count,
    write_count_request,
)
from llm_gateway.core.translation.losses import Losses
from llm_gateway.errors import BadRequest, UpstreamMalformed
from tests.core.translation.gemini.sdk import client

TO = Destination("gemini-3-flash", "google")
HI = Message(Role.USER, (Text("Hi"),))


def test_the_sdk_gets_its_count() -> None:
    sdk, served = client(write_count(31))

    counted = sdk.models.count_tokens(model="m", contents=[types.UserContent("Hi")])

    assert counted.total_tokens == 31
    assert read_count_request(served.asked[0].read(), model="m").messages == (HI,)


def test_a_whole_request_may_be_counted() -> None:
    body = {"generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "Hi"}]}]}}
    request = read_count_request(json.dumps(body).encode())
    assert (request.model, request.messages) == ("m", (HI,))


def test_only_the_prompt_is_sent() -> None:
    request = Request("m", (HI,), max_tokens=5, sampling=Sampling(0.5))
    assert json.loads(write_count_request(request, TO, Losses())) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]
    }


def test_instructions_and_tools_are_counted_too() -> None:
    request = Request("m", (Message(Role.SYSTEM, (Text("Be brief."),)), HI), tools=(Tool("f"),))
    assert json.loads(write_count_request(request, TO, Losses())) == {
        "generateContentRequest": {
            "model": "models/gemini-3-flash",
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
        }
    }


def test_counts_are_read() -> None:
    assert read_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31
    assert read_count(b"{}") == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"totalTokens": "many"}', b"\xff"])
def test_what_is_no_count_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        read_count(body)


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(BadRequest, match="generateContentRequest"):
        read_count_request(b'{"generateContentRequest": 5}')
