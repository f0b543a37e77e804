"""What is known of OpenAI's models by their names."""

from __future__ import annotations

import pytest

from llm_gateway.core.translation.openai_models import ChatWithTools, openai_model

EVERYTHING = ("none", "low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("name", "efforts", "usual"),
    [
        ("o3", ("low", "medium", "high"), "medium"),
        ("o4-mini-2025-04-16", ("low", "medium", "high"), "medium"),
        ("gpt-5", ("minimal", "low", "medium", "high"), "medium"),
        ("gpt-5-mini", ("minimal", "low", "medium", "high"), "medium"),
        ("gpt-5-2025-08-07", ("minimal", "low", "medium", "high"), "medium"),
        ("gpt-5-codex", ("low", "medium", "high"), "medium"),
        ("gpt-5-pro", ("high",), "high"),
        ("gpt-5.1", ("none", "low", "medium", "high"), "none"),
        ("gpt-5.1-codex-mini", ("low", "medium", "high"), "medium"),
        ("gpt-5.1-codex-max", ("low", "medium", "high", "xhigh"), "medium"),
        ("gpt-5.2", EVERYTHING[:-1], "none"),
        ("gpt-5.2-pro", ("medium", "high", "xhigh"), "medium"),
        ("gpt-5.3-codex", ("low", "medium", "high", "xhigh"), "medium"),
        ("openai/gpt-5.4-mini", EVERYTHING[:-1], "none"),
        ("gpt-5.5", EVERYTHING[:-1], "medium"),
        ("GPT-5.6-Terra", EVERYTHING, "medium"),
        ("gpt-6-sol", EVERYTHING, "medium"),
        ("gpt-6.2-astra", EVERYTHING, "medium"),
        ("gpt-10", EVERYTHING, "medium"),
        ("gpt-4o-mini", (), "none"),
        ("gpt-4.1", (), "none"),
        ("gpt-audio", (), "none"),
        ("chatgpt-4o-latest", (), "none"),
        ("gpt-5-chat-latest", (), "none"),
    ],
)
def test_efforts_are_those_of_the_generation(name: str, efforts: tuple[str, ...], usual: str) -> None:
    model = openai_model(name)
    assert model is not None
    assert (model.efforts, model.effort) == (efforts, usual)


@pytest.mark.parametrize(
    ("name", "effort", "takes"),
    [
        ("gpt-4.1", None, True),
        ("gpt-5-chat-latest", None, True),
        ("o3", None, False),
        ("gpt-5-mini", "minimal", False),
        ("gpt-5.4", None, True),
        ("gpt-5.4", "none", True),
        ("gpt-5.4", "low", False),
        ("gpt-5.4-pro", None, False),
        ("gpt-5.5", "none", False),
        ("gpt-6.2-sol", None, False),
    ],
)
def test_models_that_reason_sample_as_they_like(name: str, effort: str | None, takes: bool) -> None:
    model = openai_model(name)
    assert model is not None
    assert model.takes_sampling(effort) is takes
    assert model.stops is (not model.efforts)


@pytest.mark.parametrize("name", ["gpt-oss-120b", "openai/gpt-oss-20b", "llama-3.3-70b", "claude-opus-5", "gpt", ""])
def test_models_of_others_are_not_known(name: str) -> None:
    assert openai_model(name) is None


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("o3", ChatWithTools.ANY_EFFORT),
        ("gpt-4.1", ChatWithTools.ANY_EFFORT),
        ("gpt-5.2", ChatWithTools.ANY_EFFORT),
        ("gpt-5.4-nano", ChatWithTools.UNSAID),
        ("gpt-5.5", ChatWithTools.UNSAID),
        ("gpt-5.6-luna", ChatWithTools.NONE),
        ("gpt-6.1-sol", ChatWithTools.NONE),
    ],
)
def test_newer_models_call_no_tools_in_chat_while_they_reason(name: str, takes: ChatWithTools) -> None:
    model = openai_model(name)
    assert model is not None
    assert model.with_tools is takes
