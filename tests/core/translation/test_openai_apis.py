"""Conversations of other dialects go to the API of OpenAI's that says most of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Message, Reasoning, Request, Role, Sampling, Text, Tool
from llm_gateway.core.translation.openai_apis import preferred_api


def preferred(to: Destination, **fields: Any) -> Api:
    return preferred_api(Request("m", (Message(Role.USER, (Text("Hi"),)),), **fields), to)


@pytest.mark.parametrize(
    ("model", "provider", "api"),
    [
        ("gpt-6", "openai", Api.RESPONSES),
        ("gpt-5", "azure", Api.RESPONSES),
        ("o3", "house", Api.RESPONSES),
        ("gpt-4.1", "openai", Api.CHAT),
        ("my-deployment", "azure", Api.CHAT),
        ("openai/gpt-6", "openrouter", Api.CHAT),
        ("openai/gpt-oss-120b", "groq", Api.CHAT),
        ("grok-4.7", "xai", Api.CHAT),
        ("llama", "vllm", Api.CHAT),
    ],
)
def test_models_that_reason_are_asked_where_they_can(model: str, provider: str, api: Api) -> None:
    to = Destination(model=model, provider=provider)
    assert preferred(to) is preferred(to, tools=(Tool("look"),)) is api


@pytest.mark.parametrize(
    "fields",
    [{"choices": 2}, {"modalities": ("audio",)}, {"sampling": Sampling(seed=1)}],
    ids=lambda one: next(iter(one)),
)
def test_what_only_chat_can_say_goes_there(fields: dict[str, Any]) -> None:
    assert preferred(Destination(model="gpt-6", provider="openai"), **fields) is Api.CHAT


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(presence_penalty=1),
        Sampling(frequency_penalty=1),
        Sampling(logit_bias=msgspec.Raw(b'{"1":1}')),
    ],
)
def test_penalties_go_there_if_the_model_takes_them(sampling: Sampling) -> None:
    older, newer = (Destination(model=model, provider="openai") for model in ("gpt-5.4", "gpt-6"))
    assert preferred(older, sampling=sampling) is Api.CHAT
    assert preferred(older, sampling=sampling, reasoning=Reasoning(effort="high")) is Api.RESPONSES
    assert preferred(older, sampling=sampling, reasoning=Reasoning(enabled=False, effort="high")) is Api.CHAT
    assert preferred(newer, sampling=sampling) is Api.RESPONSES
    assert preferred(older, sampling=Sampling(temperature=1, presence_penalty=0)) is Api.RESPONSES
