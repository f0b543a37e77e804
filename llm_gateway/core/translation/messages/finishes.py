"""
Why an answer ended.

Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Finish, Stop
from llm_gateway.core.translation.messages.names import Json

__all__ = ["StopDetails", "finish_document", "finish_of"]

_STOPS = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "tool_use": Stop.TOOL_CALLS,
    "pause_turn": Stop.PAUSE,
    "refusal": Stop.REFUSAL,
    "model_context_window_exceeded": Stop.CONTEXT,
}

_REASONS = {stop: reason for reason, stop in _STOPS.items()} | {
    Stop.FILTERED: "refusal",
    # There is no word for an answer that came out wrong: what there is of it is all that comes.
    Stop.ERROR: "end_turn",
    Stop.OTHER: "end_turn",
}


class StopDetails(msgspec.Struct):
    """What is said of a refusal."""

    category: str | None = None
    explanation: str | None = None


def finish_of(reason: str | None, sequence: str | None, details: StopDetails | None) -> Finish | None:
    """
    :return: ``None`` where the answer does not say.
    """
    if reason is None:
        return None
    stop = _STOPS.get(reason)
    if stop is None:
        return Finish(Stop.OTHER, detail=reason)
    detail = None if details is None else details.explanation or details.category
    return Finish(stop, sequence, detail)


def finish_document(finish: Finish | None, *, called: bool, refused: bool) -> Json:
    """
    :param called: whether the answer has calls of tools, which callers look for only where the reason says so.
    :param refused: whether the model said that it will not.
    :return: ``stop_reason``, ``stop_sequence`` and ``stop_details``.
    """
    stop = Stop.END if finish is None else finish.stop
    if stop is Stop.END and called:
        stop = Stop.TOOL_CALLS
    elif stop is Stop.END and refused:
        stop = Stop.REFUSAL
    reason = _REASONS[stop]
    document: Json = {"stop_reason": reason, "stop_sequence": None if finish is None else finish.sequence}
    if reason == "refusal" and finish is not None and finish.detail is not None:
        document["stop_details"] = {"type": "refusal", "category": None, "explanation": finish.detail}
    return document
