"""Why an answer ended, as Chat Completions says it."""

from __future__ import annotations

from collections.abc import Iterable

from llm_gateway.core.translation.chat.documents import name
from llm_gateway.core.translation.conversation import Finish, Part, Refusal, Stop, ToolCall

__all__ = ["called", "finish_in", "finish_reason", "refused"]

_STOPS = {
    "stop": Stop.END,
    "length": Stop.LENGTH,
    "tool_calls": Stop.TOOL_CALLS,
    "function_call": Stop.TOOL_CALLS,
    "content_filter": Stop.FILTERED,
    # Other providers' own
    "end_turn": Stop.END,
    "eos": Stop.END,
    "error": Stop.ERROR,
    "max_tokens": Stop.LENGTH,
    "model_length": Stop.CONTEXT,
    "insufficient_system_resource": Stop.ERROR,
    "abort": Stop.OTHER,
}
_OPENAIS = ("stop", "length", "tool_calls", "function_call", "content_filter")

_REASONS = {
    Stop.END: "stop",
    Stop.STOP_SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.TOOL_CALLS: "tool_calls",
    Stop.FILTERED: "content_filter",
    Stop.REFUSAL: "content_filter",
    Stop.PAUSE: "stop",
    Stop.CONTEXT: "length",
    Stop.ERROR: "stop",
    Stop.OTHER: "stop",
}


def finish_in(reason: str | None, native: object, sequence: object, *, called: bool, refused: bool) -> Finish | None:
    """
    :param native: OpenRouter's ``native_finish_reason``.
    :param sequence: vLLM's ``stop_reason``.
    :param called: whether the answer calls tools: ``stop`` says nothing of that where the caller had named the tool,
        and some providers always say it.
    :param refused: whether the model refused, which has no reason of its own here.
    :return: ``None`` where the answer does not say.
    """
    if not reason:
        return None
    stop = _STOPS.get(reason, Stop.OTHER)
    detail = name(native) or (None if reason in _OPENAIS else reason)
    if stop is Stop.END and called:
        return Finish(Stop.TOOL_CALLS, detail=detail)
    if stop is Stop.END and refused:
        return Finish(Stop.REFUSAL, detail=detail)
    if stop is Stop.END and isinstance(sequence, str):
        return Finish(Stop.STOP_SEQUENCE, sequence, detail)
    return Finish(stop, detail=detail)


def finish_reason(finish: Finish | None, *, refused: bool, legacy: bool) -> str:
    """
    :param refused: whether the refusal is there to read; without one the answer counts as filtered.
    :param legacy: whether the caller has functions rather than tools.
    :return: one of the five that the official SDK knows.
    """
    stop = Stop.OTHER if finish is None else finish.stop
    if stop is Stop.REFUSAL and refused:
        return "stop"
    if stop is Stop.TOOL_CALLS and legacy:
        return "function_call"
    return _REASONS[stop]


def called(parts: Iterable[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)


def refused(parts: Iterable[Part]) -> bool:
    return any(isinstance(part, Refusal) for part in parts)
