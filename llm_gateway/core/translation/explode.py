"""An answer that came whole, as the events that it would have come in."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Inline,
    Part,
    Refusal,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
)
from llm_gateway.core.translation.events import Begun, Delta, Ended, Event, Finished, PartBegun, PartEnded, UsageSeen

__all__ = ["exploded"]


def exploded(answer: Answer) -> list[Event]:
    """
    :return: what ``collect`` makes the same answer of again.
    """
    return list(_events(answer))


def _events(answer: Answer) -> Iterator[Event]:
    yield Begun(answer.id, answer.model, answer.created, answer.service_tier)
    for choice in answer.choices:
        logprobs = choice.logprobs or ()
        for part in choice.parts:
            yield from _part(part, choice.index, logprobs)
            if isinstance(part, Text):
                # They are of the text, wherever an answer has them.
                logprobs = ()
        if choice.finish is not None:
            yield Finished(choice.finish, choice.index)
    yield UsageSeen(answer.usage)
    yield Ended()


def _part(part: Part, choice: int, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
    match part:
        case Text():
            yield PartBegun(replace(part, text="", citations=()), choice)
            yield Delta(part.text, choice, logprobs=logprobs)
            for citation in part.citations:
                yield Delta(choice=choice, citation=citation)
        case Thinking():
            yield PartBegun(replace(part, text="", opaque=None), choice)
            yield Delta(part.text, choice)
            if part.opaque is not None:
                yield Delta(choice=choice, opaque=part.opaque)
        case ToolCall():
            yield PartBegun(replace(part, arguments=""), choice)
            yield Delta(part.arguments, choice)
        case Refusal():
            yield PartBegun(Refusal(""), choice)
            yield Delta(part.text, choice)
        case Audio(source=Inline() as source):
            yield PartBegun(replace(part, source=Inline(source.media_type, ""), transcript=None), choice)
            yield Delta(part.transcript or "", choice, audio=source.data)
        case _:
            yield PartBegun(part, choice)
    yield PartEnded(choice)
