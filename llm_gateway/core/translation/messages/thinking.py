"""
How much the model shall think, and what that forbids.

Callers of other dialects say it in words (``reasoning_effort``) or in tokens. Here it is ``output_config.effort`` with
adaptive thinking on models that have them, and a budget of tokens on older ones: at least 1024, less than
``max_tokens``, and where it stands for a word (:mod:`~..efforts`) at most three quarters of them, so that room for the
answer itself is left.

Source: https://platform.claude.com/docs/en/build-with-claude/thinking and the effort page beside it.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import (
    ChoiceMode,
    Reasoning,
    Request,
    Role,
    Thinking,
    ToolResult,
)
from llm_gateway.core.translation.efforts import budget_of, effort_of, nearest_effort
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.messages.models import Abilities
from llm_gateway.core.translation.messages.names import Json

__all__ = ["FIELD", "Thought", "as_said", "thought"]

FIELD = "reasoning"
"""The name under which changes are told."""

_MIN_BUDGET = 1024


class Thought(msgspec.Struct, frozen=True):
    """What is written about thinking."""

    thinking: Json | None = None
    effort: str | None = None
    active: bool = False
    """Whether the model thinks because of it, which forbids other settings of the sampling."""


def as_said(reasoning: Reasoning | None) -> Thought:
    """
    The words of a caller of this dialect, whatever the model.
    """
    if reasoning is None:
        return Thought()
    thinking: Json | None = None
    if reasoning.enabled is False:
        thinking = {"type": "disabled"}
    elif reasoning.adaptive:
        thinking = {"type": "adaptive", **_display(reasoning)}
    elif reasoning.enabled:
        thinking = {"type": "enabled", "budget_tokens": reasoning.budget_tokens or _MIN_BUDGET, **_display(reasoning)}
    return Thought(thinking, reasoning.effort, active=bool(reasoning.enabled))


def thought(request: Request, abilities: Abilities, max_tokens: int, losses: Losses) -> Thought:
    """
    :param request: of a caller of another dialect.
    :param max_tokens: what will be written.
    """
    reasoning = request.reasoning
    if reasoning is None:
        return Thought()
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None and reasoning.budget_tokens >= 0:
        effort = effort_of(reasoning.budget_tokens)
    if reasoning.enabled is False or effort == "none":
        return _off(abilities, losses)
    if effort is None and not reasoning.enabled and not reasoning.adaptive:
        return Thought(_shown_only(reasoning, abilities))
    if abilities.adaptive:
        return _adaptive(request, reasoning, effort, abilities, losses)
    return _budgeted(request, reasoning, effort, abilities, max_tokens, losses)


def _off(abilities: Abilities, losses: Losses) -> Thought:
    if not abilities.adaptive and not abilities.budget:
        return Thought()
    if abilities.off is None:
        losses.change(FIELD)
        return Thought(effort=abilities.efforts[0] if abilities.efforts else None)
    return Thought({"type": abilities.off})


def _adaptive(
    request: Request, reasoning: Reasoning, effort: str | None, abilities: Abilities, losses: Losses
) -> Thought:
    if effort is not None and abilities.efforts:
        known = nearest_effort(effort, abilities.efforts)
        if known != reasoning.effort:
            losses.change(FIELD)
        effort = known
    display = _display(reasoning)
    if _forces_tools(request) and abilities.forced_tools:
        # Thinking that was asked for forbids it; thinking that a model does by itself gives way.
        if not abilities.on_by_default:
            losses.change(FIELD)
        return Thought(effort=effort)
    if abilities.on_by_default and not display:
        return Thought(effort=effort, active=True)
    return Thought({"type": "adaptive", **display}, effort, active=True)


def _budgeted(
    request: Request,
    reasoning: Reasoning,
    effort: str | None,
    abilities: Abilities,
    max_tokens: int,
    losses: Losses,
) -> Thought:
    if not abilities.budget:
        losses.lose(FIELD, Weight.HINT, "this model does not think before it answers")
        return Thought()
    exact = reasoning.budget_tokens
    if exact is not None and exact > 0:
        budget = max(_MIN_BUDGET, min(exact, max_tokens - 1))
    else:
        budget = max(_MIN_BUDGET, min(budget_of(effort or "medium"), max_tokens * 3 // 4))
    if budget != exact:
        losses.change(FIELD)
    if budget >= max_tokens or _forces_tools(request) or _unthought_call_is_open(request, abilities):
        losses.change(FIELD)
        return Thought()
    return Thought({"type": "enabled", "budget_tokens": budget, **_display(reasoning)}, active=True)


def _shown_only(reasoning: Reasoning, abilities: Abilities) -> Json | None:
    """A caller who only says what shall be shown gets it where the model thinks by itself."""
    display = _display(reasoning)
    return {"type": "adaptive", **display} if display and abilities.on_by_default else None


def _display(reasoning: Reasoning) -> Json:
    if reasoning.show is None:
        return {}
    return {"display": "omitted" if reasoning.show == "none" else "summarized"}


def _forces_tools(request: Request) -> bool:
    choice = request.tool_choice
    return choice is not None and choice.mode is ChoiceMode.REQUIRED


def _unthought_call_is_open(request: Request, abilities: Abilities) -> bool:
    """
    Whether the model is about to get results of calls that it made without thinking, or with thinking that did not come
    back. Models with budgets refuse to think on then: the turn has to begin with its thinking.
    """
    if abilities.unsigned_thinking:
        return False
    results = called = False
    for message in reversed(request.messages):
        if message.role is Role.ASSISTANT:
            called = True
            if any(isinstance(part, Thinking) and part.opaque is not None for part in message.parts):
                return False
        elif called:
            break
        else:
            results = results or any(isinstance(part, ToolResult) for part in message.parts)
    return results and called
