"""A streamed answer put together: what a caller gets that asked for a whole one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Finish,
    Inline,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
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
from llm_gateway.core.translation.failures import ProviderFailure

__all__ = ["StreamFailed", "collect", "usage_after"]

_USAGE_FIELDS = Usage.__struct_fields__


class StreamFailed(Exception):
    """The provider ended its stream with an error of its own: there is no whole answer."""

    def __init__(self, failure: ProviderFailure) -> None:
        super().__init__(f"the stream ended with an error of kind {failure.kind.value}")
        self.failure = failure


def collect(events: Iterable[Event]) -> Answer:
    """
    :param events: one answer's, in the order that :mod:`~.events` gives.
    :return: the answer; of a stream that was cut, what came of it, with ``finish`` of ``None`` where none came.
    :raises StreamFailed: one of them is :class:`~.events.Failed`.
    """
    begun = Begun("", "")
    usage = Usage()
    choices: dict[int, _Collected] = {}
    for event in events:
        match event:
            case Delta():
                choices.setdefault(event.choice, _Collected()).more(event)
            case PartBegun():
                choices.setdefault(event.choice, _Collected()).begin(event.part)
            case PartEnded():
                choices.setdefault(event.choice, _Collected()).end()
            case Finished():
                choices.setdefault(event.choice, _Collected()).finish = event.finish
            case UsageSeen():
                usage = usage_after(usage, event.usage)
            case Begun():
                begun = event
            case Failed():
                raise StreamFailed(event.failure)
            case Ended():
                break
    return Answer(
        id=begun.id,
        model=begun.model,
        choices=tuple(choices[index].choice(index) for index in sorted(choices)),
        usage=usage,
        created=begun.created,
        service_tier=begun.service_tier,
    )


def usage_after(before: Usage, later: Usage) -> Usage:
    """
    :return: the later numbers, and the earlier ones where the later do not say.
    """
    known = {name: value for name in _USAGE_FIELDS if (value := getattr(later, name)) is not None}
    return msgspec.structs.replace(before, **known)


class _Collected:
    """One choice so far."""

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self._parts: list[Part] = []
        self._open: Part | None = None
        # Deltas are joined once, at the part's end: adding each to a text would copy the text for each.
        self._text: list[str] = []
        self._audio: list[str] = []
        self._citations: list[Citation] = []
        self._opaque: Opaque | None = None
        self._logprobs: list[TokenLogprob] = []

    def begin(self, part: Part) -> None:
        self.end()
        self._open = part

    def more(self, delta: Delta) -> None:
        if delta.text:
            self._text.append(delta.text)
        if delta.audio:
            self._audio.append(delta.audio)
        if delta.citation is not None:
            self._citations.append(delta.citation)
        if delta.opaque is not None:
            self._opaque = delta.opaque
        self._logprobs.extend(delta.logprobs)

    def end(self) -> None:
        if self._open is not None:
            self._parts.append(self._whole(self._open))
        self._open = None
        self._text.clear()
        self._audio.clear()
        self._citations.clear()
        self._opaque = None

    def choice(self, index: int) -> Choice:
        self.end()
        return Choice(tuple(self._parts), self.finish, index, tuple(self._logprobs) or None)

    def _whole(self, part: Part) -> Part:
        text = "".join(self._text)
        opaque = self._opaque
        match part:
            case Text():
                citations = part.citations + tuple(self._citations)
                return msgspec.structs.replace(
                    part, text=part.text + text, citations=citations, opaque=opaque or part.opaque
                )
            case Thinking():
                return msgspec.structs.replace(part, text=part.text + text, opaque=opaque or part.opaque)
            case ToolCall():
                return msgspec.structs.replace(part, arguments=part.arguments + text, opaque=opaque or part.opaque)
            case Refusal():
                return Refusal(part.text + text)
            case Audio():
                return self._whole_audio(part, text)
            case _:
                return part

    def _whole_audio(self, part: Audio, transcript: str) -> Audio:
        data = "".join(self._audio)
        source = part.source
        if data:
            before = source if isinstance(source, Inline) else Inline("application/octet-stream", "")
            source = Inline(before.media_type, before.data + data)
        return msgspec.structs.replace(
            part, source=source, transcript=(part.transcript or "") + transcript if transcript else part.transcript
        )
