"""The list of models, as each dialect's own SDK reads it."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import httpx2
import pytest
from anthropic import Anthropic
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from llm_gateway.core.catalogue import Model
from llm_gateway.core.dialects import ANTHROPIC, DIALECTS, GEMINI, OPENAI, Dialect
from llm_gateway.core.model_rules import ModelFacts
from llm_gateway.core.models_page import model_body, models_body
from llm_gateway.errors import BadRequest

KNOWN = Model(
    "claude-sonnet-4-5",
    "mine",
    ModelFacts(
        title="Claude Sonnet 4.5",
        released="2025-09-29",
        retires="2026-11-30",
        context_window=200_000,
        max_output_tokens=64_000,
        reasoning=True,
        operations=("chat",),
    ),
)
UNKNOWN = Model("mine/new", "mine")
EMBEDDING = Model("embedding", "mine", ModelFacts(operations=("embeddings",), context_window=8192))
THREE = [KNOWN, UNKNOWN, EMBEDDING]
MANY = [Model(f"m-{number}", "mine") for number in range(45)]


def serving(dialect: Dialect, models: list[Model]) -> httpx2.Client:
    """A client of the gateway, which has these models."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/v1/models")
        if path:
            named = next(model for model in models if model.name == path.removeprefix("/"))
            return httpx2.Response(200, content=model_body(dialect, named))
        return httpx2.Response(200, content=models_body(dialect, models, request.url.query))

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def openai_client(models: list[Model]) -> OpenAI:
    return OpenAI(
        api_key="vk",
        base_url="http://gateway/v1",
        http_client=serving(OPENAI, models),
        _strict_response_validation=True,
    )


def anthropic_client(models: list[Model]) -> Anthropic:
    http_client = serving(ANTHROPIC, models)
    return Anthropic(api_key="vk", base_url="http://gateway", http_client=http_client, _strict_response_validation=True)


# OpenAI


def test_openai_s_sdk_lists_models_and_gets_one() -> None:
    with openai_client(THREE) as client:
        listed = list(client.models.list())
        assert listed == [client.models.retrieve(model.name) for model in (KNOWN, UNKNOWN, EMBEDDING)]
    known, unknown, _ = listed
    assert (known.id, known.object, known.owned_by) == ("claude-sonnet-4-5", "model", "mine")
    assert datetime.fromtimestamp(known.created, UTC) == datetime(2025, 9, 29, tzinfo=UTC)
    assert (known.shutdown_date, unknown.shutdown_date) == ("2026-11-30", None)
    assert unknown.created == 0


def test_openai_s_list_is_whole() -> None:
    """It has no pages; Codex and others add parameters of their own."""
    assert len(json.loads(models_body(OPENAI, MANY, b"limit=2&client_version=1"))["data"]) == 45


# Anthropic


def test_anthropic_s_sdk_lists_models_and_gets_one() -> None:
    with anthropic_client(THREE) as client:
        listed = list(client.models.list())
        assert listed == [client.models.retrieve(model.name) for model in THREE]
    known, unknown, _ = listed
    assert (known.id, known.display_name, known.type) == ("claude-sonnet-4-5", "Claude Sonnet 4.5", "model")
    assert known.created_at == datetime(2025, 9, 29, tzinfo=UTC)
    assert known.retires_at == datetime(2026, 11, 30, tzinfo=UTC)
    assert (known.lifecycle, unknown.lifecycle) == ("deprecated", "active")
    assert (known.max_input_tokens, known.max_tokens) == (200_000, 64_000)
    assert (unknown.display_name, unknown.max_tokens, unknown.retires_at) == ("mine/new", None, None)
    assert unknown.created_at == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("limit", [1, 7, 20, 45, 1000])
def test_anthropic_s_sdk_goes_through_all_pages_forth_and_back(limit: int) -> None:
    names = [model.name for model in MANY]
    with anthropic_client(MANY) as client:
        assert [model.id for model in client.models.list(limit=limit)] == names
        back = [model.id for model in client.models.list(limit=limit, before_id="m-44")]
    assert sorted(back) == sorted(names[:-1])


def page(query: bytes, models: list[Model] = MANY) -> tuple[list[str], bool, str | None, str | None]:
    body = json.loads(models_body(ANTHROPIC, models, query))
    return [each["id"] for each in body["data"]], body["has_more"], body["first_id"], body["last_id"]


@pytest.mark.parametrize(
    ("query", "first", "last", "more"),
    [
        (b"", 0, 19, True),
        (b"limit=45", 0, 44, False),
        (b"limit=5&after_id=m-39", 40, 44, False),
        (b"limit=4&after_id=m-39", 40, 43, True),
        (b"limit=5&before_id=m-5", 0, 4, False),
        (b"limit=4&before_id=m-5", 1, 4, True),
        (b"limit=&beta=true", 0, 19, True),
    ],
)
def test_page_is_the_one_that_was_asked_for(query: bytes, first: int, last: int, more: bool) -> None:
    names = [f"m-{number}" for number in range(first, last + 1)]
    assert page(query) == (names, more, names[0], names[-1])


def test_page_behind_the_last_model_is_empty() -> None:
    assert page(b"after_id=m-44") == ([], False, None, None)
    assert page(b"", []) == ([], False, None, None)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (b"limit=0", "limit: must be a whole number, 1 to 1000."),
        (b"limit=1001", "limit: must be a whole number, 1 to 1000."),
        (b"limit=ten", "limit: must be a whole number, 1 to 1000."),
        (b"limit=%D9%A3", "limit: must be a whole number, 1 to 1000."),
        (b"limit=" + b"9" * 5000, "limit: must be a whole number, 1 to 1000."),
        (b"after_id=nothing", "after_id: there is no such model."),
        (b"before_id=nothing", "before_id: there is no such model."),
        (b"before_id=m-1&after_id=m-1", "after_id and before_id cannot both be given."),
    ],
)
def test_what_is_no_page_is_refused(query: bytes, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        models_body(ANTHROPIC, MANY, query)
    assert caught.value.message == says


# Gemini


def test_gemini_s_list_is_what_google_s_is() -> None:
    known, unknown, embedding = json.loads(models_body(GEMINI, THREE))["models"]
    assert known == {
        "name": "models/claude-sonnet-4-5",
        "version": "001",
        "displayName": "Claude Sonnet 4.5",
        "inputTokenLimit": 200_000,
        "outputTokenLimit": 64_000,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        "thinking": True,
    }
    assert unknown["supportedGenerationMethods"] == known["supportedGenerationMethods"]
    assert not {"inputTokenLimit", "outputTokenLimit", "thinking"} & unknown.keys()
    assert embedding["supportedGenerationMethods"] == ["embedContent"]
    assert [json.loads(model_body(GEMINI, model)) for model in THREE] == [known, unknown, embedding]


@pytest.mark.parametrize("size", [b"0", b"1", b"20", b"45", b"100000"])
def test_all_pages_of_gemini_s_list_are_the_whole_list(size: bytes) -> None:
    names: list[str] = []
    token = ""
    for _ in range(len(MANY)):
        body = json.loads(models_body(GEMINI, MANY, b"key=vk&pageSize=" + size + b"&pageToken=" + token.encode()))
        names += [model["name"] for model in body["models"]]
        if "nextPageToken" not in body:
            break
        token = body["nextPageToken"]
    assert names == [f"models/{model.name}" for model in MANY]


@pytest.mark.parametrize("query", [b"pageSize=-1", b"pageToken=x", b"pageToken=-5"])
def test_what_is_no_page_of_gemini_s_is_refused(query: bytes) -> None:
    with pytest.raises(BadRequest, match="must be a whole number, 0 or more"):
        models_body(GEMINI, MANY, query)


@given(st.sampled_from(list(DIALECTS.values())), st.binary(max_size=40))
def test_any_query_is_answered_or_refused(dialect: Dialect, query: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert json.loads(models_body(dialect, THREE, query))
