"""The form of a request to OpenAI, by the types of its official SDK."""

from __future__ import annotations

from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as Chat,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsStreaming as StreamedChat,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming as Response,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsStreaming as StreamedResponse,
)

from tests.real.validating.typed_forms import fault_of_type

__all__ = ["fault_of_chat", "fault_of_response"]

Json = dict[str, Any]


def fault_of_chat(document: Json) -> str | None:
    """
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    return fault_of_type(StreamedChat if document.get("stream") is True else Chat, document)


def fault_of_response(document: Json) -> str | None:
    return fault_of_type(StreamedResponse if document.get("stream") is True else Response, document)
