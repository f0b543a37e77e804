"""
Why an answer ended: ``finishReason``, and ``blockReason`` of a prompt that got none.

Source: https://ai.google.dev/api/generate-content#FinishReason and #BlockReason
"""

from __future__ import annotations

from llm_gateway.core.translation.conversation import Finish, Stop

__all__ = ["BLOCKED", "finish_of", "reason_of"]

_STOPS = {
    "STOP": Stop.END,
    "MAX_TOKENS": Stop.LENGTH,
    "SAFETY": Stop.FILTERED,
    "RECITATION": Stop.FILTERED,
    "LANGUAGE": Stop.FILTERED,
    "BLOCKLIST": Stop.FILTERED,
    "PROHIBITED_CONTENT": Stop.FILTERED,
    "SPII": Stop.FILTERED,
    "IMAGE_SAFETY": Stop.FILTERED,
    "IMAGE_PROHIBITED_CONTENT": Stop.FILTERED,
    "IMAGE_RECITATION": Stop.FILTERED,
    "ESCALATION": Stop.FILTERED,
    "PUP_LIMITED_DISABLED": Stop.FILTERED,
    "MODEL_ARMOR": Stop.FILTERED,
    "MALFORMED_FUNCTION_CALL": Stop.ERROR,
    "MALFORMED_RESPONSE": Stop.ERROR,
    "UNEXPECTED_TOOL_CALL": Stop.ERROR,
    "TOO_MANY_TOOL_CALLS": Stop.ERROR,
    "MISSING_THOUGHT_SIGNATURE": Stop.ERROR,
    "CONTINUATION": Stop.PAUSE,
    "IMAGE_OTHER": Stop.OTHER,
    "NO_IMAGE": Stop.OTHER,
    "OTHER": Stop.OTHER,
}

BLOCKED = frozenset(
    {"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"}
    | {"BLOCKED_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"}
)
"""Reasons for which a prompt gets no answer."""

_REASONS = {
    Stop.END: ("STOP", None),
    Stop.STOP_SEQUENCE: ("STOP", None),
    Stop.LENGTH: ("MAX_TOKENS", None),
    Stop.TOOL_CALLS: ("STOP", None),
    Stop.FILTERED: ("SAFETY", None),
    Stop.REFUSAL: ("SAFETY", "The model refused."),
    # CONTINUATION would promise a token to go on with.
    Stop.PAUSE: ("OTHER", "The model paused. Send its answer back to let it go on."),
    Stop.CONTEXT: ("MAX_TOKENS", "The context window is full."),
    Stop.ERROR: ("OTHER", "The model's answer was malformed."),
    Stop.OTHER: ("OTHER", None),
}


def finish_of(reason: str, *, calls: bool) -> Finish | None:
    """
    :param reason: ``finishReason`` as it came.
    :param calls: whether the answer calls functions: Google says ``STOP`` of that too.
    :return: ``None`` where the reason says that the answer goes on, as Vertex AI has it in the middle of streams.
    """
    if reason == "FINISH_REASON_UNSPECIFIED":
        return None
    stop = _STOPS.get(reason, Stop.OTHER)
    return Finish(Stop.TOOL_CALLS if calls and stop is Stop.END else stop, detail=reason)


def reason_of(finish: Finish) -> tuple[str, str | None]:
    """
    :return: ``finishReason``, and ``finishMessage`` where Google has no word for it.
    """
    if finish.detail is not None and _STOPS.get(finish.detail) is finish.stop:
        return finish.detail, None
    return _REASONS[finish.stop]
