"""
Which of OpenAI's two ways of holding a conversation is right for one that comes from another dialect.

Chat Completions knows more fields, and is what every provider of the dialect has. But with it OpenAI's own models lose
their reasoning from one turn to the next, and the newer ones do not reason at all where they have tools.

Source: https://developers.openai.com/api/docs/guides/reasoning, and :mod:`~.openai_models`
"""

from __future__ import annotations

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.chat.flavours import flavour_of
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Request
from llm_gateway.core.translation.openai_models import OpenAIModel, openai_model

__all__ = ["preferred_api"]


def preferred_api(request: Request, to: Destination) -> Api:
    """
    :param to: a provider that has both.
    """
    model = openai_model(to.model)
    if model is None or not model.efforts or not flavour_of(to).is_openai or _needs_chat(request, model):
        return Api.CHAT
    return Api.RESPONSES


def _needs_chat(request: Request, model: OpenAIModel) -> bool:
    """Whether the Responses API would have to refuse what the model takes in Chat Completions."""
    sampling, reasoning = request.sampling, request.reasoning
    if request.choices > 1 or "audio" in request.modalities or sampling.seed is not None:
        return True
    effort = None
    if reasoning is not None:
        effort = "none" if reasoning.enabled is False else reasoning.effort
    biased = sampling.presence_penalty or sampling.frequency_penalty or sampling.logit_bias is not None
    return bool(biased) and model.takes_sampling(effort)
