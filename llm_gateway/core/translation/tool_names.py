"""
Tools' names, which each dialect limits in its own way.

Google takes dots and colons in them, Anthropic 128 letters and OpenAI 64: what a caller's dialect takes may be an error
in its provider's. Such a name is sent as another one, and a call of that one is a call of the caller's tool again. The
same tools always get the same names, so that a conversation's history and a provider's cache go on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from llm_gateway.core.translation.conversation import Answer, Message, Request, ToolCall, ToolResult
from llm_gateway.core.translation.events import Event, PartBegun
from llm_gateway.core.translation.losses import Losses

__all__ = ["ToolNames"]

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
"""What not every dialect takes."""

_LONGEST = 64
"""Letters that every dialect takes."""

_DIGEST = 8

T = TypeVar("T")


class ToolNames:
    """Those of one call."""

    def __init__(self, request: Request, taken: re.Pattern[str], losses: Losses) -> None:
        """
        :param taken: matches the whole of every name that the provider's dialect takes.
        :param losses: told of names that are sent as others.
        """
        self._written: dict[str, str] = {}
        places = dict(_named(request))
        used = {name for name in places if taken.fullmatch(name)}
        tools = {tool.name for tool in request.tools}
        # Neither the order of the tools nor what was called so far changes a name.
        for name in sorted(places.keys() - used, key=lambda name: (name not in tools, name)):
            self._written[name] = next(other for other in _others(name) if taken.fullmatch(other) and other not in used)
            used.add(self._written[name])
        for name in self._written:
            losses.change(places[name])
        self.given = {written: given for given, written in self._written.items()}
        """The caller's names, by those that the provider was sent instead."""
        losses.rename(self.given)

    def written(self, request: Request) -> Request:
        """
        :return: the request, with names that the provider's dialect takes.
        """
        if not self._written:
            return request
        choice = request.tool_choice
        names = self._written
        return msgspec.structs.replace(
            request,
            tools=tuple(_renamed(tool, names) for tool in request.tools),
            tool_choice=choice
            and msgspec.structs.replace(choice, names=tuple(names.get(name, name) for name in choice.names)),
            messages=tuple(self._message(message) for message in request.messages),
        )

    def _message(self, message: Message) -> Message:
        if not any(isinstance(part, ToolCall | ToolResult) for part in message.parts):
            return message
        parts = (
            _renamed(part, self._written) if isinstance(part, ToolCall | ToolResult) else part for part in message.parts
        )
        return msgspec.structs.replace(message, parts=tuple(parts))

    def answered(self, answer: Answer) -> Answer:
        """
        :return: a provider's answer, with the caller's names.
        """
        if not self.given:
            return answer
        choices = (
            msgspec.structs.replace(
                choice,
                parts=tuple(
                    _renamed(part, self.given) if isinstance(part, ToolCall) else part for part in choice.parts
                ),
            )
            for choice in answer.choices
        )
        return msgspec.structs.replace(answer, choices=tuple(choices))

    def streamed(self, events: Sequence[Event]) -> Sequence[Event]:
        """
        :return: the same of events.
        """
        if not self.given:
            return events
        return [
            PartBegun(_renamed(event.part, self.given), event.choice)
            if isinstance(event, PartBegun) and isinstance(event.part, ToolCall)
            else event
            for event in events
        ]


def _named(request: Request) -> Iterator[tuple[str, str]]:
    """Names, each with its first place last: of a dictionary's equal keys the last one counts."""
    for index, message in enumerate(request.messages):
        for part in message.parts:
            if isinstance(part, ToolCall):
                yield part.name, f"messages[{index}].name"
    for index, tool in enumerate(request.tools):
        yield tool.name, f"tools[{index}].name"


def _others(name: str) -> Iterator[str]:
    clean = _FORBIDDEN.sub("_", name)
    yield clean
    digest = hashlib.blake2s(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST // 2).hexdigest()
    room = _LONGEST - _DIGEST - 1
    yield f"{clean[:room]}_{digest}"
    # Some dialects want a letter first.
    yield f"t_{clean[: room - 2]}_{digest}"
    number = 2
    while True:
        yield f"t_{digest}_{number}"
        number += 1


def _renamed(named: T, names: dict[str, str]) -> T:
    name = names.get(named.name)  # type: ignore[attr-defined]  # a tool, a call or a result
    return named if name is None else msgspec.structs.replace(named, name=name)  # type: ignore[type-var]
