"""How much the model thinks: said in the words that its generation takes, and never against another setting."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    ChoiceMode,
    Opaque,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.messages.codec import MessagesCodec
from tests.core.translation.messages.asking import HELLO, OLD, assistant, user, written

LOOK = Tool("look")
FORCED = ToolChoice(ChoiceMode.REQUIRED)
UNTHINKING = "claude-3-5-haiku-20241022"


def thinking(model: str, reasoning: Reasoning, *said: Any, **fields: Any) -> tuple[object, object, list[str]]:
    """
    :return: the fields ``thinking`` and ``output_config.effort``, and what was changed.
    """
    losses = Losses()
    document = written(*said, model=model, reasoning=reasoning, losses=losses, **fields)
    return document.get("thinking"), document.get("output_config", {}).get("effort"), losses.changed


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        # Words where the model knows them.
        ("claude-opus-4-6", "high", ({"type": "adaptive"}, "high", [])),
        ("claude-opus-4-6", "xhigh", ({"type": "adaptive"}, "high", ["reasoning"])),
        ("claude-opus-4-6", "minimal", ({"type": "adaptive"}, "low", ["reasoning"])),
        ("claude-opus-4-8", "xhigh", ({"type": "adaptive"}, "xhigh", [])),
        # Models that think by themselves are not told to.
        ("claude-opus-5-5", "low", (None, "low", [])),
        ("claude-sonnet-5", "max", (None, "max", [])),
        # Tokens elsewhere.
        (OLD, "low", ({"type": "enabled", "budget_tokens": 2048}, None, ["reasoning"])),
        (OLD, "high", ({"type": "enabled", "budget_tokens": 24_000}, None, ["reasoning"])),
        ("deepseek-reasoner", "medium", ({"type": "enabled", "budget_tokens": 6144}, None, ["reasoning"])),
        # And not at all.
        ("claude-opus-4-6", "none", ({"type": "disabled"}, None, [])),
        (OLD, "none", ({"type": "disabled"}, None, [])),
        ("claude-sonnet-5-5", "none", ({"type": "between_tools"}, None, [])),
        ("claude-opus-5-5", "none", (None, "low", ["reasoning"])),
        (UNTHINKING, "none", (None, None, [])),
    ],
)
def test_efforts(model: str, effort: str, expected: object) -> None:
    assert thinking(model, Reasoning(effort=effort)) == expected


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        (OLD, Reasoning(True, budget_tokens=5000), ({"type": "enabled", "budget_tokens": 5000}, None, [])),
        (OLD, Reasoning(budget_tokens=200), ({"type": "enabled", "budget_tokens": 1024}, None, ["reasoning"])),
        (OLD, Reasoning(True), ({"type": "enabled", "budget_tokens": 8192}, None, ["reasoning"])),
        (OLD, Reasoning(True, adaptive=True), ({"type": "enabled", "budget_tokens": 8192}, None, ["reasoning"])),
        (OLD, Reasoning(budget_tokens=0), ({"type": "disabled"}, None, [])),
        ("claude-opus-4-8", Reasoning(budget_tokens=9000), ({"type": "adaptive"}, "medium", ["reasoning"])),
        ("claude-opus-4-8", Reasoning(True, adaptive=True), ({"type": "adaptive"}, None, [])),
        ("claude-opus-4-8", Reasoning(True, budget_tokens=-1), ({"type": "adaptive"}, None, [])),
        ("claude-opus-5", Reasoning(True), (None, None, [])),
        ("claude-opus-5", Reasoning(), (None, None, [])),
    ],
)
def test_budgets(model: str, reasoning: Reasoning, expected: object) -> None:
    assert thinking(model, reasoning) == expected


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        ("claude-opus-5", Reasoning(effort="low", show="auto"), {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-5", Reasoning(show="detailed"), {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-4-8", Reasoning(True, adaptive=True, show="none"), {"type": "adaptive", "display": "omitted"}),
        ("claude-opus-4-8", Reasoning(show="auto"), None),
    ],
)
def test_what_is_shown(model: str, reasoning: Reasoning, expected: object) -> None:
    assert thinking(model, reasoning)[0] == expected


@pytest.mark.parametrize(
    ("max_tokens", "budget"),
    [(100_000, 24_576), (20_000, 15_000), (4000, 3000), (1100, 1024), (1025, 1024), (1024, None), (10, None)],
)
def test_budget_leaves_room_for_the_answer(max_tokens: int, budget: int | None) -> None:
    written_thinking, _, changed = thinking(OLD, Reasoning(effort="high"), max_tokens=max_tokens)

    assert written_thinking == (None if budget is None else {"type": "enabled", "budget_tokens": budget})
    assert changed == ["reasoning"]


def test_budget_that_the_caller_gave_is_less_than_the_limit() -> None:
    assert thinking(OLD, Reasoning(budget_tokens=5000), max_tokens=5000)[0] == {
        "type": "enabled",
        "budget_tokens": 4999,
    }


def test_model_that_does_not_think_is_not_asked_to() -> None:
    losses = Losses()

    assert "thinking" not in written(model=UNTHINKING, reasoning=Reasoning(effort="high"), losses=losses)
    assert losses.dropped == ["reasoning"]


def test_catalogue_knows_who_does_not_reason() -> None:
    request = Request("alias", (HELLO,), reasoning=Reasoning(effort="high"), dialect="chat")
    losses = Losses()

    body = MessagesCodec().encode_request(request, Destination("other", "p", reasoning=False), losses)

    assert b"thinking" not in body
    assert losses.dropped == ["reasoning"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (OLD, (None, None, ["reasoning"])),
        ("claude-opus-4-6", (None, "high", ["reasoning"])),
        ("claude-opus-5", (None, "high", [])),
    ],
)
def test_forced_tools_forbid_thinking_that_was_asked_for(model: str, expected: object) -> None:
    assert thinking(model, Reasoning(effort="high"), tools=(LOOK,), tool_choice=FORCED) == expected


CALLED = (assistant(ToolCall("a", "look", "")), user(ToolResult("a", (Text("seen"),))))
SIGNED = Thinking("hm", Opaque("messages", "claude", "sig"))


@pytest.mark.parametrize(
    ("said", "thinks"),
    [
        ((HELLO, *CALLED), False),
        ((HELLO, *CALLED, user("Go on")), False),
        ((HELLO, *CALLED, assistant("So."), user("And?")), True),
        ((HELLO, assistant(SIGNED, ToolCall("a", "look", "")), CALLED[1]), True),
        ((HELLO, assistant(SIGNED), *CALLED), True),
    ],
)
def test_older_models_do_not_begin_to_think_between_call_and_result(said: Any, thinks: bool) -> None:
    assert (thinking(OLD, Reasoning(effort="high"), *said, tools=(LOOK,))[0] is not None) is thinks


def test_newer_models_and_others_may_think_between_call_and_result() -> None:
    for model in ("claude-opus-4-6", "deepseek-reasoner"):
        assert thinking(model, Reasoning(effort="high"), HELLO, *CALLED, tools=(LOOK,))[0] is not None


@pytest.mark.parametrize(
    ("model", "fields", "expected", "dropped"),
    [
        (OLD, {"temperature": 0.5, "top_k": 3}, {"temperature": 0.5, "top_k": 3}, []),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["top_p"]),
        (OLD, {"temperature": 0.5, "top_p": 1.0}, {"temperature": 0.5}, []),
        ("claude-sonnet-4-20250514", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}, []),
        ("claude-opus-4-7", {"temperature": 0.5, "top_p": 0.5, "top_k": 3}, {}, ["temperature", "top_p", "top_k"]),
        ("claude-opus-4-7", {"temperature": 1.0, "top_p": 1.0}, {}, []),
        ("other", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}, []),
    ],
)
def test_sampling_that_the_model_does_not_take_is_dropped(
    model: str, fields: dict[str, float], expected: dict[str, float], dropped: list[str]
) -> None:
    losses = Losses()

    document = written(model=model, sampling=_sampling(fields), losses=losses)

    assert _sampled(document) == expected
    assert losses.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "expected", "dropped"),
    [
        ({"temperature": 0.5, "top_k": 3}, {}, ["temperature", "top_k"]),
        ({"temperature": 1.0}, {}, []),
        ({"top_p": 0.96}, {"top_p": 0.96}, []),
        ({"top_p": 0.5}, {}, ["top_p"]),
    ],
)
def test_thinking_forbids_sampling(fields: dict[str, float], expected: dict[str, float], dropped: list[str]) -> None:
    losses = Losses()

    document = written(sampling=_sampling(fields), reasoning=Reasoning(effort="low"), losses=losses)

    assert _sampled(document) == expected
    assert losses.dropped == dropped


def test_temperature_above_one_becomes_one() -> None:
    losses = Losses()

    assert written(sampling=_sampling({"temperature": 1.5}), losses=losses)["temperature"] == 1.0
    assert losses.changed == ["temperature"]


def test_operators_can_have_sampling_passed_on() -> None:
    sampling = _sampling({"temperature": 0.5})

    assert written(model="claude-opus-5", sampling=sampling, policy=OnUnsupported.PASS)["temperature"] == 0.5


def _sampling(fields: dict[str, Any]) -> Sampling:
    return Sampling(**fields)


def _sampled(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("temperature", "top_p", "top_k") if name in document}
