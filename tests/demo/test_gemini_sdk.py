"""Google's official SDK understands what the demo provider says in its dialect."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.demo.conftest import KEY

PLACE = types.Schema(type=types.Type.OBJECT, properties={"location": types.Schema(type=types.Type.STRING)})
WEATHER = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", parameters=PLACE)])
THINKS = types.ThinkingConfig(include_thoughts=True, thinking_budget=1_000)


@pytest.fixture
def gemini(demo_url: str) -> Iterator[genai.Client]:
    with genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=f"{demo_url}/gemini")) as client:
        yield client


def test_answer_plain_and_streamed_alike(gemini: genai.Client) -> None:
    asked: Any = {
        "model": "gemini-3.8-flash",
        "contents": "Hello there",
        "config": types.GenerateContentConfig(system_instruction="Be brief"),
    }
    plain = gemini.models.generate_content(**asked)
    assert (
        plain.text
        == "Hello! I am gemini-3.8-flash, played by the gateway's built-in demo provider. You said: Hello there"
    )
    usage = plain.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (4, len(plain.text.split()))
    chunks = list(gemini.models.generate_content_stream(**asked))
    assert len(chunks) > 5
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text
    assert chunks[-1].usage_metadata == usage
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    counted = gemini.models.count_tokens(model=asked["model"], contents="Hello there")
    assert counted.total_tokens == 2


def test_thoughts_and_calls_come_with_a_signature_that_has_to_come_back(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[WEATHER], thinking_config=THINKS)
    question = types.Content(role="user", parts=[types.Part(text="the weather in Rome")])
    asked: Any = {"model": "gemini-3.8-flash", "contents": [question], "config": config}
    plain = gemini.models.generate_content(**asked)
    assert plain.candidates is not None
    said = plain.candidates[0].content
    assert said is not None
    thought, call = said.parts or []
    assert (thought.thought, thought.text) == (
        True,
        "The user says: the weather in Rome I shall call what was asked for.",
    )
    assert call.function_call is not None
    assert (call.function_call.name, call.function_call.args) == ("get_weather", {"location": "Rome"})
    assert call.thought_signature
    assert plain.usage_metadata is not None
    assert plain.usage_metadata.thoughts_token_count == len((thought.text or "").split())
    streamed = [part for chunk in gemini.models.generate_content_stream(**asked) for part in chunk.parts or []]
    assert "".join(part.text or "" for part in streamed if part.thought) == thought.text
    assert streamed[-1].thought_signature == call.thought_signature
    result = types.Part.from_function_response(name="get_weather", response={"output": "mild"})
    history = [question, said, types.Content(role="user", parts=[result])]
    final = gemini.models.generate_content(model="gemini-3.8-flash", contents=history, config=config)
    assert (final.text or "").startswith("get_weather answered: mild\n")
    call.thought_signature = b"mine"
    with pytest.raises(errors.ClientError, match="signature"):
        gemini.models.generate_content(model="gemini-3.8-flash", contents=history, config=config)


def test_answer_has_the_asked_for_schema(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=PLACE)
    answer = gemini.models.generate_content(model="gemini-3.8-flash", contents="A town in Italy", config=config)
    assert json.loads(answer.text or "") == {"location": "Italy"}


def test_limit_is_kept(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(max_output_tokens=3)
    answer = gemini.models.generate_content(model="gemini-3.8-flash", contents="count to 9", config=config)
    assert answer.text == "1 2 3"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS


def test_models_and_embeddings(gemini: genai.Client) -> None:
    names = [model.name for model in gemini.models.list()]
    assert "models/gemini-3.8-flash" in names
    assert gemini.models.get(model="gemini-3.8-flash").display_name == "Gemini 3.8 Flash"
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.get(model="no-such-model")
    assert caught.value.code == 404
    found = gemini.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    assert [len(each.values or []) for each in found.embeddings or []] == [256, 256]


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (503, errors.ServerError, "UNAVAILABLE"),
    ],
)
def test_errors_are_the_sdks_own(gemini: genai.Client, status: int, kind: type[errors.APIError], name: str) -> None:
    with pytest.raises(kind) as caught:
        gemini.models.generate_content(model="gemini-3.8-flash", contents=f"error {status}")
    assert (caught.value.code, caught.value.status) == (status, name)


def test_wrong_key_is_refused(demo_url: str) -> None:
    client = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=f"{demo_url}/gemini"))
    with client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-3.8-flash", contents="Hello")
    assert caught.value.status == "UNAUTHENTICATED"


def test_stream_without_events_is_one_growing_document(demo_url: str) -> None:
    url = f"{demo_url}/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent?key={KEY}"
    body = json.dumps({"contents": [{"parts": [{"text": "count to 4"}]}]}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("application/json")
        chunks = json.load(answer)
    texts = [part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "1 2 3 4"
