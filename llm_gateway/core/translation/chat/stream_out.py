"""
Neutral events, written as a stream of chunks for a caller.

The official SDK adds the chunks up, and what it cannot add up makes it fail. So the first chunk of a choice has the
role, and choices begin in the order of their indices; calls and entries of lists have an ``index``; what has one value
(an id, a name, a signature) comes once; annotations, that OpenAI sends without an index, come in one list; the chunk
with the usage has no choices and is the last.

Source: ``openai/lib/streaming/chat/_completions.py`` and ``_deltas.py`` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llm_gateway.core.translation.chat.answer_out import answer_id, custom_tools, tier_of
from llm_gateway.core.translation.chat.choice_out import ChoiceWriter
from llm_gateway.core.translation.chat.failures import failure_document
from llm_gateway.core.translation.chat.finishes import finish_reason
from llm_gateway.core.translation.chat.usage import usage_document
from llm_gateway.core.translation.codec import StreamEncoder
from llm_gateway.core.translation.collect import usage_after
from llm_gateway.core.translation.conversation import Request, Usage
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.room import Room

__all__ = ["ChatStreamEncoder"]

Object = dict[str, object]

_encode = msgspec.json.Encoder().encode


class ChatStreamEncoder(StreamEncoder):
    """Writes whole chunks; those of a text's deltas from prepared pieces."""

    def __init__(self, request: Request, now: Callable[[], float]) -> None:
        self._request = request
        self._now = now
        self._customs = custom_tools(request)
        self._head = b""
        """What every chunk begins with, up to its choices."""
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._usage = Usage()
        self._choices: list[ChoiceWriter] = []
        self._room = Room()

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                # Nearly all that there is.
                index, choices = event.choice, self._choices
                (choices[index] if index < len(choices) else self._choice(index, out)).more(event, out)
                continue
            match event:
                case PartBegun():
                    self._choice(event.choice, out).begin(event.part, out)
                case PartEnded():
                    self._choice(event.choice, out).end(out)
                case Finished():
                    choice = self._choice(event.choice, out)
                    choice.finish(
                        finish_reason(event.finish, refused=choice.refused, legacy=self._request.legacy_functions), out
                    )
                case UsageSeen():
                    self._usage = usage_after(self._usage, event.usage)
                case Begun():
                    self._begin(event)
                case Failed():
                    out.append(b"data: " + _encode(failure_document(event.failure)) + b"\n\n")
                case Ended():
                    self._end(out)
        return b"".join(out)

    def _begin(self, begun: Begun) -> None:
        document: Object = {
            "id": answer_id(begun.id),
            "object": "chat.completion.chunk",
            "created": int(self._now()) if begun.created is None else begun.created,
            "model": begun.model or self._request.model,
        }
        tier = tier_of(begun.service_tier)
        if tier is not None:
            document["service_tier"] = tier
        self._head = b"data: " + _encode(document)[:-1] + b',"choices":['

    def _choice(self, index: int, out: list[bytes]) -> ChoiceWriter:
        if index < len(self._choices):
            return self._choices[index]
        if not self._head:
            self._begin(Begun("", ""))
        while len(self._choices) <= index:
            choice = ChoiceWriter(
                len(self._choices), self._head, self._tail, self._customs, self._request.legacy_functions, self._room
            )
            self._choices.append(choice)
            if choice.index < index:
                # The SDK finds choices by their place in the list: those before have to be there.
                choice.say_role(out, None)
        return self._choices[index]

    def _end(self, out: list[bytes]) -> None:
        if self._request.include_usage:
            usage = usage_document(self._usage)
            if usage is not None:
                if not self._head:
                    self._begin(Begun("", ""))
                out.append(self._head + b'],"usage":' + _encode(usage) + b"}\n\n")
        out.append(b"data: [DONE]\n\n")
