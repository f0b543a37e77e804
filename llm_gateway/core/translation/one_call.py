"""
At most one call of a tool in an answer.

Some callers want no more at once (``parallel_tool_calls`` is false), and not every provider can be told so. What the
model calls besides is left out, and then it never was: the model sees the result of its first call, and calls the
others when it still wants them. An answer of a provider that was told so stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from llm_gateway.core.translation.conversation import Answer, Choice, Part, ToolCall
from llm_gateway.core.translation.events import Delta, Event, PartBegun, PartEnded

__all__ = ["OneCall", "with_one_call"]


def with_one_call(answer: Answer) -> Answer:
    """
    :return: the answer with the first call of each choice.
    """
    return replace(answer, choices=tuple(_with_one_call(choice) for choice in answer.choices))


def _with_one_call(choice: Choice) -> Choice:
    places = [at for at, part in enumerate(choice.parts) if isinstance(part, ToolCall)]
    if len(places) < 2:
        return choice
    return replace(choice, parts=tuple(part for at, part in enumerate(choice.parts) if at not in places[1:]))


class OneCall:
    """The same of a stream."""

    def __init__(self) -> None:
        self._called: set[int] = set()
        """The choices that have called something."""
        self._hidden: set[int] = set()
        """Those whose open part is left out."""

    def keep(self, events: Iterable[Event]) -> list[Event]:
        """
        :return: the events without those of further calls.
        """
        return [event for event in events if not self._hides(event)]

    def _hides(self, event: Event) -> bool:
        match event:
            case PartBegun():
                return self._begins_hidden(event.part, event.choice)
            case Delta():
                return event.choice in self._hidden
            case PartEnded():
                hides = event.choice in self._hidden
                self._hidden.discard(event.choice)
                return hides
            case _:
                return False

    def _begins_hidden(self, part: Part, choice: int) -> bool:
        if not isinstance(part, ToolCall):
            return False
        if choice not in self._called:
            self._called.add(choice)
            return False
        self._hidden.add(choice)
        return True
