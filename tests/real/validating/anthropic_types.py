"""The form of a request to Anthropic, by the types of its official SDK."""

from __future__ import annotations

from typing import Any

from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

from tests.real.validating.typed_forms import fault_of_type

__all__ = ["SAMPLING", "fault_of_form"]

SAMPLING = ("temperature", "top_p", "top_k")
"""Fields of the API's version 2023-06-01 that the SDK (2.0 and newer) has no types for: later versions refuse them."""


def fault_of_form(document: dict[str, Any], *, counting: bool = False) -> str | None:
    """
    :param counting: only the prompt's tokens are asked for.
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    known = {name: value for name, value in document.items() if name not in SAMPLING}
    return fault_of_type(_form(known, counting), known)


def _form(document: dict[str, Any], counting: bool) -> type:
    if counting:
        return MessageCountTokensParams
    return MessageCreateParamsStreaming if document.get("stream") is True else MessageCreateParamsNonStreaming
