"""Embeddings between OpenAI's SDK and Google, and Google's SDK and OpenAI."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from google.genai import types

from llm_gateway.core.apis import Api, asked_of
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.embeddings import Embeddings, EmbeddingsRequest, OpenAIEmbeddings
from llm_gateway.core.translation.gemini.embedding import GeminiEmbeddings
from llm_gateway.core.translation.losses import Losses, Unsupported
from llm_gateway.errors import BadRequest, UpstreamMalformed
from tests.core.translation.gemini.sdk import client

GOOGLE = GeminiEmbeddings()
OPENAI = OpenAIEmbeddings()
TO_GOOGLE = Destination("gemini-embedding-001", "google")
TO_OPENAI = Destination("text-embedding-3-small", "openai")

VECTORS = [[0.5, -0.25, 1.0], [0.0, 2.0, -3.5]]
GOOGLES = json.dumps(
    {"embeddings": [{"values": one} for one in VECTORS], "usageMetadata": {"promptTokenCount": 9}}
).encode()
OPENAIS = json.dumps(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": VECTORS[n]} for n in (1, 0)],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }
).encode()


def raws(vectors: Any) -> list[Any]:
    return [json.loads(bytes(vector)) for vector in vectors]


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_openais_sdk_on_google(form: Any) -> None:
    sent: list[Any] = []

    def google(call: httpx2.Request) -> httpx2.Response:
        request = OPENAI.decode_request(call.read())
        sent.append(json.loads(GOOGLE.encode_request(request, TO_GOOGLE, Losses())))
        return httpx2.Response(200, content=OPENAI.encode_answer(GOOGLE.decode_answer(GOOGLES), request))

    sdk = openai.OpenAI(
        api_key="vk", base_url="http://gateway/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(google))
    )
    options = {} if form is None else {"encoding_format": form}
    got = sdk.embeddings.create(model="m", input=["one", "two"], dimensions=3, **options)

    if form == "base64":
        assert isinstance(got.data[0].embedding, str)
    else:
        assert [one.embedding for one in got.data] == VECTORS
    assert [one.index for one in got.data] == [0, 1]
    assert got.usage.prompt_tokens == 9
    assert got.model == "m"
    assert sent == [
        {
            "requests": [
                {
                    "model": "models/gemini-embedding-001",
                    "outputDimensionality": 3,
                    "content": {"parts": [{"text": text}]},
                }
                for text in ("one", "two")
            ]
        }
    ]


def test_googles_sdk_on_openai() -> None:
    request = EmbeddingsRequest("m", ("one", "two"))
    sdk, served = client(GOOGLE.encode_answer(OPENAI.decode_answer(OPENAIS), request))

    got = sdk.models.embed_content(
        model="m",
        contents=["one", "two"],
        config=types.EmbedContentConfig(output_dimensionality=3, task_type="RETRIEVAL_QUERY"),
    )

    assert got.embeddings is not None
    assert [one.values for one in got.embeddings] == VECTORS
    call = asked_of(b"POST", served.asked[0].url.path.encode())
    assert call.api is Api.GEMINI_EMBEDDINGS
    read = GOOGLE.decode_request(served.asked[0].read(), model=call.model)
    assert (read.model, read.inputs, read.dimensions, read.task) == ("m", ("one", "two"), 3, "RETRIEVAL_QUERY")
    losses = Losses()
    assert json.loads(OPENAI.encode_request(read, TO_OPENAI, losses)) == {
        "model": "text-embedding-3-small",
        "input": ["one", "two"],
        "encoding_format": "float",
        "dimensions": 3,
    }
    assert losses.dropped == ["taskType"]


def test_one_text_is_answered_with_one_vector() -> None:
    body = {
        "model": "models/x",
        "content": {"parts": [{"text": "one"}, {"text": "two"}]},
        "embedContentConfig": {"title": "T"},
    }
    request = GOOGLE.decode_request(json.dumps(body).encode())
    assert (request.model, request.inputs, request.single, request.title) == ("x", ("one\ntwo",), True, "T")
    answer = Embeddings("", (msgspec.Raw(b"[1.0]"),))
    assert json.loads(GOOGLE.encode_answer(answer, request)) == {"embedding": {"values": [1.0]}}
    assert raws(GOOGLE.decode_answer(b'{"embedding":{"values":[1.0]}}').vectors) == [[1.0]]


@pytest.mark.parametrize(
    ("given", "inputs", "single"),
    [("a", ("a",), True), (["a"], ("a",), False), ([1, 2], ((1, 2),), False), ([[1], [2, 3]], ((1,), (2, 3)), False)],
)
def test_openais_forms_of_input(given: Any, inputs: Any, single: bool) -> None:
    request = OPENAI.decode_request(json.dumps({"model": "m", "input": given}).encode())
    assert (request.inputs, request.single) == (inputs, single)
    if isinstance(inputs[0], tuple):
        with pytest.raises(Unsupported, match="tokens"):
            GOOGLE.encode_request(request, TO_GOOGLE, Losses())


def test_what_the_other_has_no_word_for_is_named() -> None:
    request = OPENAI.decode_request(b'{"model":"m","input":"a","user":"u","new":1}')
    with pytest.raises(Unsupported, match="new"):
        GOOGLE.encode_request(request, TO_GOOGLE, Losses())
    known = msgspec.structs.replace(request, extras={})
    losses = Losses()
    GOOGLE.encode_request(known, TO_GOOGLE, losses)
    assert losses.dropped == ["user"]
    assert json.loads(OPENAI.encode_request(request, TO_OPENAI, Losses()))["new"] == 1


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"input":[]}', b'{"input":["a",1]}', b'{"input":5}', b'{"input":"a","encoding_format":"x"}'],
)
def test_what_openai_would_refuse_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        OPENAI.decode_request(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"requests":[]}',
        b'{"requests":[5]}',
        b'{"content":{"parts":[]}}',
        b'{"content":{"parts":[{"inlineData":{}}]}}',
        b'{"requests":[{"content":{"parts":{"text":"a"}},"taskType":"A"},{"content":{"parts":{"text":"b"}}}]}',
        b"\xff",
    ],
)
def test_what_google_would_refuse_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        GOOGLE.decode_request(body)


@pytest.mark.parametrize("codec", [GOOGLE, OPENAI])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"data":[{}]}',
        b'{"data":[{"embedding":"%%%"}]}',
        b'{"data":[{"embedding":["a"]}]}',
        b'{"data":[{"embedding":"AAA="}]}',
        b'{"embeddings":[{"values":["a"]}]}',
        b'{"embedding":{"values":"x"}}',
    ],
)
def test_what_is_no_answer_is_malformed(codec: Any, body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        codec.decode_answer(body)


def test_vectors_in_base64_are_read() -> None:
    request = OPENAI.decode_request(b'{"model":"m","input":["a","b"],"encoding_format":"base64"}')
    packed = OPENAI.encode_answer(OPENAI.decode_answer(OPENAIS), request)
    assert isinstance(json.loads(packed)["data"][0]["embedding"], str)
    assert raws(OPENAI.decode_answer(packed).vectors) == VECTORS
