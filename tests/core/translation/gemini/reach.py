"""What ``generateContent`` can say, for Hypothesis to draw from."""

from __future__ import annotations

from itertools import groupby

from msgspec.structs import replace

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    ChoiceMode,
    Document,
    Finish,
    Image,
    Linked,
    Message,
    Part,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.gemini.codec import GeminiCodec
from tests.core.translation.strategies import Reach

CODEC = GeminiCodec()

REACH = Reach(
    codec="gemini",
    system="first",
    alternate=True,
    inline_images=True,
    linked_images=True,
    image_details=("low", "high", "original"),
    inline_documents=True,
    linked_documents=True,
    named_documents=False,
    audio=("audio/wav", "audio/mp3"),
    thinking=True,
    opaque="gemini",
    joined_results=True,
    failed_results=True,
    named_results=True,
    choice_of=3,
    auto_choice_of=True,
    efforts=("minimal", "low", "medium", "high"),
    budgets=True,
    sampling=("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed"),
    fields=("max_tokens", "stop", "choices", "logprobs", "top_logprobs", "service_tier", "modalities"),
    service_tiers=("default", "flex", "priority"),
    canonical=True,
    several_choices=True,
    citations=True,
    logprobs=True,
    stops=(Stop.END, Stop.LENGTH, Stop.FILTERED, Stop.OTHER),
    usage=("input", "output", "cached_input", "reasoning", "audio_input", "audio_output", "tool_input"),
)

TO = Destination("gemini-3-flash", "google")


def sayable(request: Request) -> Request:
    """
    :return: the request as Google's dialect has it: one system message, thoughts that are summaries, one text in each
        result, tools of which all or none are strict, and pictures whose kind is known.
    """
    system = tuple(part for message in request.messages if message.role is Role.SYSTEM for part in message.parts)
    messages = [Message(Role.SYSTEM, system)] if system else []
    messages += [
        replace(message, parts=tuple(_part(part) for part in message.parts))
        for message in request.messages
        if message.role is not Role.SYSTEM
    ]
    choice = request.tool_choice
    named = choice is not None and bool(choice.names)
    strict = bool(request.tools) and not named and request.tools[0].strict is True
    if strict and (choice is None or choice.mode is not ChoiceMode.AUTO):
        strict = False
    return replace(
        request,
        messages=tuple(messages),
        tools=tuple(replace(tool, strict=True if strict else None) for tool in request.tools),
        top_logprobs=request.top_logprobs or None,
        stop=request.stop[:5],
    )


def _part(part: Part) -> Part:
    match part:
        case Thinking():
            return replace(part, summary=True)
        case ToolResult():
            text = "\n".join(piece.text for piece in part.parts if isinstance(piece, Text))
            return replace(part, parts=(Text(text),))
        case Image(source=Linked() as source):
            return replace(part, source=replace(source, media_type="image/png"))
        case Document(source=Linked() as source):
            return replace(part, source=replace(source, media_type="application/pdf"))
        case _:
            return part


def made_by(answer: Answer, provider: str) -> Answer:
    """
    :return: the answer as it is read from a provider of the dialect.
    """
    return replace(answer, choices=tuple(_choice(choice, provider) for choice in answer.choices))


def _choice(choice: Choice, provider: str) -> Choice:
    parts = tuple(_said(part, provider) for part in _one_thought(choice.parts))
    finish = choice.finish
    if finish is not None:
        stop = Stop.TOOL_CALLS if any(isinstance(part, ToolCall) for part in parts) else finish.stop
        words = {Stop.LENGTH: "MAX_TOKENS", Stop.FILTERED: "SAFETY", Stop.OTHER: "OTHER"}
        finish = Finish(stop, detail=words.get(stop, "STOP"))
    logprobs = choice.logprobs and tuple(
        replace(one, bytes=None, top=tuple(replace(top, bytes=None) for top in one.top)) for one in choice.logprobs
    )
    return replace(choice, parts=parts, finish=finish, logprobs=logprobs)


def _one_thought(parts: tuple[Part, ...]) -> list[Part]:
    """Thoughts that follow each other without a signature are one."""
    joined: list[Part] = []
    for is_thought, group in groupby(parts, key=lambda part: isinstance(part, Thinking)):
        if not is_thought:
            joined += group
            continue
        for part in group:
            last = joined[-1] if joined else None
            assert isinstance(part, Thinking)
            if isinstance(last, Thinking) and last.opaque is None:
                joined[-1] = replace(part, text=last.text + part.text)
            else:
                joined.append(part)
    return joined


def _said(part: Part, provider: str) -> Part:
    if isinstance(part, Thinking):
        opaque = part.opaque and replace(part.opaque, provider=provider)
        return replace(part, opaque=opaque, summary=True)
    return part
