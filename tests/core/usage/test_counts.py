"""The numbers of many providers, each as it sends them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.usage.counts import Counted, GeminiCounts, MessagesCounts, OpenAICounts, ToolUsage, tier_of
from llm_gateway.core.usage.openai import OpenAIReader
from llm_gateway.core.usage.values import Usage


def openai(document: dict[str, Any], **more: Any) -> Counted:
    return msgspec.json.decode(msgspec.json.encode(document), type=OpenAICounts).counted(**more)


def messages(document: dict[str, Any]) -> Counted:
    return msgspec.json.decode(msgspec.json.encode(document), type=MessagesCounts).counted()


def gemini(document: dict[str, Any]) -> Counted:
    return msgspec.json.decode(msgspec.json.encode(document), type=GeminiCounts).counted({})


OPENAI: dict[str, tuple[dict[str, Any], Usage]] = {
    "OpenAI, with sound": (
        {
            "prompt_tokens": 200,
            "completion_tokens": 300,
            "total_tokens": 500,
            "prompt_tokens_details": {
                "audio_tokens": 120,
                "cached_tokens": 64,
                "text_tokens": 80,
                "cached_tokens_details": {"audio_tokens": 50, "text_tokens": 14},
            },
            "completion_tokens_details": {"audio_tokens": 250, "text_tokens": 50, "reasoning_tokens": 0},
        },
        Usage(input=66, cached=14, cached_audio=50, audio_input=70, output=50, audio_output=250),
    ),
    "OpenAI, with images and a cache that is written": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "prompt_tokens_details": {"image_tokens": 400, "cached_tokens": 100, "cache_write_tokens": 300},
        },
        Usage(input=200, cached=100, cache_write=300, image_input=400, output=10),
    ),
    "OpenAI, of embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input=8)),
    "Jina and Voyage, of rankings": ({"total_tokens": 15}, Usage(input=15)),
    "OpenAI, of a Response": (
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 0},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 123,
        },
        Usage(input=30, cached=6, output=23, reasoning=64),
    ),
    "OpenAI, of a transcription in tokens": (
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
            "output_tokens": 45,
            "total_tokens": 59,
        },
        Usage(input=4, audio_input=10, output=45),
    ),
    "OpenAI, of a transcription in seconds": ({"type": "duration", "seconds": 8.2}, Usage(pieces={"seconds": 9})),
    "DeepSeek": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        },
        Usage(input=36, cached=64, output=50),
    ),
    "Moonshot": (
        {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "cached_tokens": 4},
        Usage(input=6, cached=4, output=3),
    ),
    "xAI, which leaves reasoning out": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 94, "audio_tokens": 0},
            "num_sources_used": 0,
            "server_side_tool_usage_details": {"web_search_calls": 0, "x_search_calls": 2},
            "cost_in_usd_ticks": 37756000,
        },
        Usage(input=24, cached=8, output=9, reasoning=94, pieces={"x_search": 2}),
    ),
    "OpenRouter": (
        {
            "prompt_tokens": 194,
            "completion_tokens": 2,
            "total_tokens": 196,
            "cost": 0.95,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "cost_details": {"upstream_inference_cost": 19},
            "server_tool_use": {"web_search_requests": 3},
        },
        Usage(input=94, cache_write=100, output=2, pieces={"web_search": 3}),
    ),
    "Perplexity": (
        {
            "prompt_tokens": 14,
            "completion_tokens": 30,
            "total_tokens": 44,
            "search_context_size": "low",
            "num_search_queries": 2,
            "citation_tokens": 8,
            "reasoning_tokens": 7,
        },
        Usage(input=14, output=30, pieces={"web_search": 2}),
    ),
    "Groq": (
        {
            "queue_time": 0.03,
            "prompt_tokens": 72,
            "prompt_time": 0.004,
            "completion_tokens": 9,
            "completion_time": 0.02,
            "total_tokens": 81,
            "total_time": 0.03,
        },
        Usage(input=72, output=9),
    ),
    "Mistral": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 25,
            "prompt_audio_seconds": {},
            "num_cached_tokens": 0,
        },
        Usage(input=20, output=5),
    ),
    "one that says null": (
        {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None, "total_tokens": None},
        Usage(input=3, output=4),
    ),
    "one that counts in fractions, and below nothing": (
        {"prompt_tokens": 3.0, "completion_tokens": -4, "total_tokens": "7"},
        Usage(input=3),
    ),
    "one whose parts are more than the whole": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 50, "audio_tokens": 7, "image_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 9},
        },
        Usage(cached=10, reasoning=5),
    ),
}


@pytest.mark.parametrize("name", OPENAI)
def test_numbers_in_the_openai_dialect(name: str) -> None:
    document, usage = OPENAI[name]
    assert openai(document).usage == usage


def test_images_that_were_made_are_images() -> None:
    document = {
        "input_tokens": 50,
        "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
        "output_tokens": 4160,
        "total_tokens": 4210,
    }
    assert openai(document, wrote="image").usage == Usage(input=10, image_input=40, image_output=4160)
    document["output_tokens_details"] = {"image_tokens": 4000, "text_tokens": 160}
    assert openai(document, wrote="image").usage == Usage(input=10, image_input=40, output=160, image_output=4000)


def test_speech_that_was_made_is_sound() -> None:
    document = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    assert openai(document, wrote="audio").usage == Usage(input=14, audio_output=101)


def test_what_tools_of_a_response_used_is_told_apart() -> None:
    said = {
        "image_gen": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068},
        "web_search": {"num_requests": 0},
    }
    tools = msgspec.json.decode(msgspec.json.encode(said), type=ToolUsage)
    assert tools.pieces() == {"image_gen_input_tokens": 12, "image_gen_output_tokens": 1056}


MESSAGES: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": ({"input_tokens": 25, "output_tokens": 15}, Usage(input=25, output=15)),
    "a cache": (
        {
            "input_tokens": 25,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 15,
            "service_tier": "standard",
        },
        Usage(input=25, cached=1000, cache_write=200, cache_write_1h=100, output=15),
    ),
    "thinking and tools": (
        {
            "input_tokens": 25,
            "output_tokens": 90,
            "output_tokens_details": {"thinking_tokens": 60},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1, "code_execution_requests": 0},
            "service_tier": "batch",
        },
        Usage(input=25, output=30, reasoning=60, pieces={"web_search": 2, "web_fetch": 1}, tier="batch"),
    ),
    "fast": (
        {"input_tokens": 5, "output_tokens": 6, "service_tier": "standard", "speed": "fast"},
        Usage(input=5, output=6, tier="fast"),
    ),
    "compaction, which the totals leave out": (
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "iterations": [
                {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500, "cache_read_input_tokens": 500},
                {"type": "message", "input_tokens": 100, "output_tokens": 50},
            ],
        },
        Usage(input=180100, cached=500, output=3550),
    ),
    "an advisor, which has prices of its own": (
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "iterations": [
                {"type": "message", "input_tokens": 100, "output_tokens": 50},
                {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 900, "output_tokens": 70},
            ],
        },
        Usage(input=100, output=50, pieces={"advisor_input_tokens": 900, "advisor_output_tokens": 70}),
    ),
    "nulls": (
        {"input_tokens": 5, "output_tokens": 6, "cache_creation": None, "server_tool_use": None, "service_tier": None},
        Usage(input=5, output=6),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_numbers_in_the_anthropic_dialect(name: str) -> None:
    document, usage = MESSAGES[name]
    assert messages(document) == Counted(usage, True, True)


GEMINI: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": (
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        Usage(input=10, output=5),
    ),
    "thoughts, a cache, and tools": (
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 600,
            "candidatesTokenCount": 50,
            "thoughtsTokenCount": 200,
            "toolUsePromptTokenCount": 30,
            "totalTokenCount": 1280,
            "trafficType": "ON_DEMAND",
        },
        Usage(input=430, cached=600, output=50, reasoning=200),
    ),
    "an image that was made": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 1300,
            "totalTokenCount": 1310,
            "candidatesTokensDetails": [
                {"modality": "IMAGE", "tokenCount": 1290},
                {"modality": "TEXT", "tokenCount": 10},
            ],
            "trafficType": "ON_DEMAND_PRIORITY",
        },
        Usage(input=10, output=10, image_output=1290, tier="priority"),
    ),
    "speech that was made": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 80,
            "totalTokenCount": 90,
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 80}],
            "trafficType": "PROVISIONED_THROUGHPUT",
        },
        Usage(input=10, audio_output=80, tier="provisioned_throughput"),
    ),
    "a prompt that was blocked": ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(input=10)),
}


@pytest.mark.parametrize("name", GEMINI)
def test_numbers_in_the_gemini_dialect(name: str) -> None:
    document, usage = GEMINI[name]
    assert gemini(document) == Counted(usage, True, True)


@pytest.mark.parametrize("said", ["default", "auto", "standard", "on_demand", "STANDARD", "", None, 7])
def test_the_ordinary_tier_is_none(said: object) -> None:
    assert tier_of(said) is None


NUMBER = st.none() | st.integers(0, 10**6)
DETAILS = st.fixed_dictionaries(
    {"cached_tokens": NUMBER, "cache_write_tokens": NUMBER, "audio_tokens": NUMBER, "image_tokens": NUMBER}
)


@given(
    st.fixed_dictionaries(
        {
            "prompt_tokens": st.integers(0, 10**6),
            "completion_tokens": st.integers(0, 10**6),
            "prompt_tokens_details": st.none() | DETAILS,
            "completion_tokens_details": st.fixed_dictionaries(
                {"reasoning_tokens": NUMBER, "audio_tokens": NUMBER, "image_tokens": NUMBER}
            ),
        }
    )
)
def test_whatever_the_parts_the_classes_come_to_the_totals(document: dict[str, Any]) -> None:
    usage = openai(document).usage
    assert usage.input_tokens == document["prompt_tokens"]
    assert usage.output_tokens == document["completion_tokens"]
    assert min(value for value in msgspec.structs.astuple(usage) if isinstance(value, int)) >= 0


ODD = st.none() | st.integers(0, 3) | st.sampled_from([-1, True, 0.0, 2.0, "2", "", 10**13, 2**70])


def _details(*names: str) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(names, ODD))


USUAL = {
    "prompt_tokens": st.integers(0, 9) | ODD,
    "completion_tokens": st.integers(0, 9) | ODD,
    "total_tokens": st.integers(0, 18) | ODD,
    "prompt_tokens_details": _details("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"),
    "completion_tokens_details": _details("reasoning_tokens", "audio_tokens", "image_tokens"),
}
RARE = {
    "input_tokens": ODD,
    "output_tokens": ODD,
    "input_tokens_details": _details("cached_tokens"),
    "output_tokens_details": _details("reasoning_tokens"),
    "prompt_cache_hit_tokens": ODD,
    "cached_tokens": ODD,
    "seconds": ODD,
    "num_search_queries": ODD,
    "num_sources_used": ODD,
    "server_tool_use": st.just({"web_search_requests": 2}),
}


CHOICES = st.none() | st.lists(
    st.fixed_dictionaries({}, optional={"finish_reason": st.sampled_from([None, "stop", 3]), "usage": st.none()}),
    max_size=2,
)


@given(
    st.fixed_dictionaries({}, optional=USUAL) | st.fixed_dictionaries({}, optional=USUAL | RARE),
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from([None, "", "m" * 300, 3]),
            "service_tier": st.sampled_from([None, "default", "priority", 3]),
            "choices": CHOICES,
            "error": st.sampled_from([None, {}, "no"]),
            "output": st.just([{"type": "web_search_call"}]),
        },
    ),
)
def test_the_short_way_reads_the_same_as_the_long_one(
    usage: dict[str, Any], adds_up: bool, more: dict[str, Any]
) -> None:
    if adds_up and all(isinstance(usage.get(name), int) for name in ("prompt_tokens", "completion_tokens")):
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    document = msgspec.json.encode({"usage": usage, **more})
    short, long = OpenAIReader(), OpenAIReader()
    told = short.take(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenAIReader, "_take_usual", lambda self, document: False)
        assert long.take(document) == told
    assert vars(short) == vars(long)


def test_what_is_usual_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("llm_gateway.core.usage.counts.usage_in")
    usage = {
        "prompt_tokens": 8,
        "completion_tokens": 5,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0, "accepted_prediction_tokens": 0},
    }
    document = {"model": "gpt-9", "choices": [{"index": 0, "finish_reason": "stop"}], "usage": usage}
    reader = OpenAIReader()
    assert reader.take(msgspec.json.encode(document | {"service_tier": "default"}))
    assert reader.counted() == Counted(Usage(input=5, cached=3, output=3, reasoning=2), True, True)
