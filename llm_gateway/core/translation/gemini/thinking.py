"""
How much a model thinks, in Google's words: ``thinkingConfig``.

Gemini 3 takes a level and Gemini 2.5 a budget, and either refuses the other's, or both at once.

Source: https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Reasoning
from llm_gateway.core.translation.efforts import budget_of, nearest_effort
from llm_gateway.core.translation.gemini.fields import Fields, boolean, integer, text
from llm_gateway.core.translation.gemini.models import Generation, generation_of, thinks_minimally
from llm_gateway.core.translation.losses import Losses, Weight

__all__ = ["read_thinking", "thinking_config"]

_LEVELS = ("minimal", "low", "medium", "high")


def read_thinking(config: Fields) -> Reasoning | None:
    """
    :param config: a request's ``thinkingConfig``; what is not understood is left in it.
    """
    level = config.take("thinkingLevel", text)
    budget = config.take("thinkingBudget", integer)
    include = config.take("includeThoughts", boolean)
    effort = None if level is None or level.endswith("UNSPECIFIED") else level.lower()
    show = None if include is None else "auto" if include else "none"
    if effort is None and budget is None and show is None:
        return None
    if budget is None:
        return Reasoning(effort=effort, show=show)
    return Reasoning(
        enabled=budget != 0,
        effort=effort,
        budget_tokens=budget if budget > 0 else None,
        adaptive=budget < 0,
        show=show,
    )


def thinking_config(reasoning: Reasoning, to: Destination, losses: Losses, *, own: bool) -> dict[str, object]:
    """
    :param own: whether the caller speaks Google's dialect.
    :return: ``thinkingConfig``; empty where the model decides.
    """
    generation = generation_of(to.model)
    off = reasoning.enabled is False or reasoning.effort == "none"
    if generation is Generation.PLAIN or to.reasoning is False:
        if not off:
            losses.lose("reasoning", Weight.HINT, "this model does not reason.")
        return {}
    made = (_level if generation >= Generation.LEVELS else _budget)(reasoning, off, to, losses)
    if reasoning.show is not None and not off:
        made["includeThoughts"] = reasoning.show != "none"
    elif reasoning.enabled and not own:
        # Who turns thinking on elsewhere sees it, unless he says that he does not want to; here he has to say it.
        made["includeThoughts"] = True
    return made


def _level(reasoning: Reasoning, off: bool, to: Destination, losses: Losses) -> dict[str, object]:
    effort = "none" if off else reasoning.effort
    if effort is None:
        # Budgets are still taken "for backwards compatibility"; a level would be a guess.
        return {} if reasoning.budget_tokens is None else {"thinkingBudget": reasoning.budget_tokens}
    nearest = nearest_effort(effort, _LEVELS if thinks_minimally(to.model) else _LEVELS[1:])
    if nearest != effort:
        losses.change("reasoning")
    return {"thinkingLevel": nearest.upper()}


def _budget(reasoning: Reasoning, off: bool, to: Destination, losses: Losses) -> dict[str, object]:
    pro = "pro" in to.model
    least, most = (128, 32_768) if pro else (512, 24_576) if "lite" in to.model else (1, 24_576)
    if off and not pro:
        return {"thinkingBudget": 0}
    asked = 0 if off else reasoning.budget_tokens
    if asked is None and reasoning.effort is not None:
        asked = budget_of(reasoning.effort)
        losses.change("reasoning")
    if asked is None:
        return {"thinkingBudget": -1} if reasoning.adaptive or reasoning.enabled else {}
    budget = min(max(asked, least), most)
    if budget != asked:
        losses.change("reasoning")
    return {"thinkingBudget": budget}
