"""Whatever comes in, the answer is one clear error: never another exception."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.errors import BadRequest, UpstreamMalformed
from tests.core.translation.messages.test_claude_code import ASKED
from tests.core.translation.messages.test_streams import START, STOP, block, delta, end, frames, stop

CODEC = MessagesCodec()

LAW = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

KINDS = ["text", "image", "document", "tool_use", "tool_result", "thinking", "base64", "url"]
WORDS = st.sampled_from([*ASKED, *KINDS, "type", "role", "content", "source", "input", "citations", "cache_control"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)

REQUEST = msgspec.json.encode(ASKED)
ANSWER = msgspec.json.encode(
    {
        "id": "a",
        "type": "message",
        "model": "m",
        "content": [
            {"type": "text", "text": "a", "citations": [{"type": "page_location", "cited_text": "c"}]},
            {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}},
            {"type": "thinking", "thinking": "a", "signature": "s"},
        ],
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": None},
        "usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 1}},
    }
)
STREAM = frames(
    START,
    block("text", text=""),
    delta("text_delta", text="a"),
    end(),
    block("tool_use", 1, id="i", name="n", input={}),
    delta("input_json_delta", 1, partial_json="{}"),
    end(1),
    stop(output_tokens=1),
    STOP,
)


@st.composite
def damaged(draw: st.DrawFn, document: bytes) -> bytes:
    """A document with one of its values, or some of its bytes, replaced."""
    if draw(st.booleans()):
        at = draw(st.integers(0, len(document)))
        return document[:at] + draw(st.binary(max_size=4)) + document[at + draw(st.integers(0, 9)) :]
    fields = msgspec.json.decode(document)
    place = fields
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not inner or not isinstance(inner, dict | list) or draw(st.integers(0, 2)) == 0:
            place[key] = draw(VALUES)
            return msgspec.json.encode(fields)
        place = inner


@LAW
@given(body=st.one_of(st.binary(max_size=60), VALUES.map(msgspec.json.encode), damaged(REQUEST)))
def test_requests(body: bytes) -> None:
    with suppress(BadRequest):
        request = CODEC.decode_request(body)
        for dialect in ("messages", "chat"):
            again = msgspec.structs.replace(request, dialect=dialect)
            with suppress(BadRequest, Unsupported):
                CODEC.encode_request(again, Destination("claude-opus-5", "p"), Losses(OnUnsupported.DROP))


@LAW
@given(body=st.one_of(st.binary(max_size=60), VALUES.map(msgspec.json.encode), damaged(ANSWER)))
def test_answers(body: bytes) -> None:
    with suppress(UpstreamMalformed):
        CODEC.encode_answer(CODEC.decode_answer(body, provider="p"), CODEC.decode_request(REQUEST))


@LAW
@given(at=st.integers(0, len(STREAM)), junk=st.binary(max_size=12), gone=st.integers(0, 40))
def test_streams(at: int, junk: bytes, gone: int) -> None:
    decoder = CODEC.stream_decoder(provider="p")
    encoder = CODEC.stream_encoder(CODEC.decode_request(REQUEST))
    with suppress(UpstreamMalformed):
        encoder.encode(decoder.feed(STREAM[:at] + junk + STREAM[at + gone :]))
        encoder.encode(decoder.close())


@LAW
@given(status=st.integers(400, 599), body=st.one_of(st.binary(max_size=60), VALUES.map(msgspec.json.encode)))
def test_failures(status: int, body: bytes) -> None:
    found = CODEC.decode_failure(status, body)

    assert found.status == status
    assert found.message
    CODEC.encode_failure(found, "r")


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"type":"tool_result","tool_use_id":"i","content":'])
@pytest.mark.parametrize("field", ["messages", "system", "tools", "of_tomorrow", "thinking", "output_format"])
def test_nesting_without_end(field: str, opening: str) -> None:
    body = b'{"model":"m","messages":[],"%s":%s' % (field.encode(), opening.encode() * 50_000)

    with pytest.raises(BadRequest):
        CODEC.decode_request(body)


@pytest.mark.parametrize("depth", [2, 100, 300, 900])
@pytest.mark.parametrize(
    "outer",
    [
        '[{"type":"tool_result","tool_use_id":"i","content":%s}]',
        '[{"type":"document","source":{"type":"content","content":%s}}]',
    ],
)
def test_blocks_inside_blocks_inside_blocks(outer: str, depth: int) -> None:
    inner = '"x"'
    for _ in range(depth):
        inner = outer % inner

    with pytest.raises(BadRequest, match=r"may not be of this kind|must be text or image|nested too deep"):
        CODEC.decode_request(b'{"model":"m","messages":[{"role":"user","content":%s}]}' % inner.encode())
