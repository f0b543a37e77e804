"""What becomes of a field that a caller of one dialect sends to a provider of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.conversation import (
    Audio,
    ChoiceMode,
    Document,
    Image,
    Linked,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Request,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.errors import BadRequest

__all__ = ["CODEC", "DESTINATIONS", "Fate", "fate"]

CODEC: Mapping[str, Codec] = {codec.name: codec for codec in CODECS.values()}

DESTINATIONS: Mapping[str, Destination] = {
    "chat": Destination("gpt-5.5", "openai", 128_000, True, "openai"),
    "responses": Destination("gpt-5.5", "openai", 128_000, True, "openai"),
    "messages": Destination("claude-haiku-5-5", "anthropic", 128_000, True, "anthropic"),
    "gemini": Destination("gemini-3.8-flash", "gemini", 65_536, True, "gemini"),
}
"""The providers and models that the tables are about, as the catalogue has them."""


class Fate(NamedTuple):
    word: str
    """``exact``, ``mapped``, ``dropped``, ``rejected``, or ``refused`` whatever the policy is."""
    why: str
    """What the caller is told."""


def fate(caller: str, document: Mapping[str, Any], provider: str, to: Destination) -> Fate:
    """
    :param caller: the name of the caller's codec.
    :param document: the caller's request; of Gemini's, ``stream`` is what its path would say.
    :param provider: the name of the provider's codec.
    :raises AssertionError: something is lost and nobody is told.
    """
    streamed = bool(document.get("stream"))
    try:
        asked = _decoded(caller, document, "m", streamed)
        told = Losses()
        written = CODEC[provider].encode_request(asked, to, told)
    except Unsupported as refusal:
        return _rejected(asked, provider, to, refusal)
    except BadRequest as refusal:
        return Fate("refused", refusal.message)
    if told.dropped:
        return Fate("dropped", ", ".join(told.dropped))
    if told.changed:
        return Fate("mapped", ", ".join(told.changed))
    meant, said = _meaning(asked), _meaning(_decoded(provider, msgspec.json.decode(written), to.model, streamed))
    if asked.reasoning is None or asked.reasoning.show is None:
        # Callers who do not say whether they want to see it may see it.
        said = replace(said, reasoning=_unseen(said.reasoning))
    assert meant == said, f"nobody is told: {_differences(meant, said)}"
    return Fate("exact", "")


def _rejected(asked: Request, provider: str, to: Destination, refusal: Unsupported) -> Fate:
    told = Losses(OnUnsupported.DROP)
    CODEC[provider].encode_request(asked, to, told)
    assert told.dropped, f"it is refused, and nobody is told where it is dropped: {refusal.message}"
    return Fate("rejected", refusal.message)


def _decoded(codec: str, document: Mapping[str, Any], model: str, stream: bool) -> Request:
    if codec != "gemini":
        return CODEC[codec].decode_request(msgspec.json.encode(document))
    body = msgspec.json.encode({name: value for name, value in document.items() if name != "stream"})
    return CODEC[codec].decode_request(body, model=model, stream=stream)


def _differences(meant: Request, said: Request) -> str:
    pairs = ((name, getattr(meant, name), getattr(said, name)) for name in Request.__struct_fields__)
    return "; ".join(f"{name}: {one!r} became {other!r}" for name, one, other in pairs if one != other)


# What two dialects say differently and mean alike


def _meaning(request: Request) -> Request:
    choice = request.tool_choice
    if choice is not None and choice.mode is ChoiceMode.AUTO and not choice.names:
        # That is how it is where nobody says it.
        choice = None
    output = request.output
    return replace(
        request,
        model="",
        dialect="",
        messages=_joined(request.messages),
        # The gateway asks for it, and gives it to those who want it.
        include_usage=False,
        legacy_functions=False,
        tools=tuple(
            replace(
                tool,
                parameters=_value(tool.parameters),
                strict=tool.strict or None,
                custom=_grammar(tool.custom),
                namespace=None,
            )
            for tool in request.tools
        ),
        tool_choice=choice,
        parallel_tool_calls=request.parallel_tool_calls is False,
        output=None if output is None else OutputFormat(_value(output.schema)),
        reasoning=_reasoning(request.reasoning),
        service_tier=None if request.service_tier == "auto" else request.service_tier,
        hints=frozenset(),
    )


def _value(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _reasoning(reasoning: Reasoning | None) -> Reasoning | None:
    if reasoning is None:
        return None
    effort = "none" if reasoning.enabled is False else reasoning.effort
    show = None if reasoning.show == "none" else reasoning.show
    # To think, and no word on how much, is what models that think do by themselves.
    meant = Reasoning(None, effort, reasoning.budget_tokens, show=show)
    return None if meant == Reasoning() else meant


def _unseen(reasoning: Reasoning | None) -> Reasoning | None:
    if reasoning is None or reasoning == Reasoning(show=reasoning.show):
        return None
    return replace(reasoning, show=None)


def _grammar(form: msgspec.Raw | None) -> Any:
    """Chat Completions nests what Responses has beside the type."""
    fields = _value(form)
    return fields | fields.pop("grammar") if fields is not None and "grammar" in fields else fields


def _joined(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Messages of one side that follow each other are one message."""
    joined: list[Message] = []
    for message in messages:
        role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
        parts = tuple(map(_part, message.parts))
        if joined and joined[-1].role is role:
            joined[-1] = replace(joined[-1], parts=joined[-1].parts + parts)
        else:
            joined.append(replace(message, role=role, parts=parts))
    return tuple(joined)


def _part(part: Part) -> Part:
    match part:
        case Image():
            return replace(part, source=_place(part.source), detail=None if part.detail == "auto" else part.detail)
        case Document():
            # A file without a name gets one where the dialect demands it.
            name = None if part.name is not None and part.name.startswith("document") else part.name
            return replace(part, source=_place(part.source), name=name)
        case Audio(source=Linked() as source):
            return replace(part, source=_place(source))
        case ToolCall():
            arguments = part.arguments if part.custom else _value(msgspec.Raw((part.arguments or "{}").encode()))
            return replace(part, arguments=arguments)
        case ToolResult():
            pieces = [_part(piece) for piece in part.parts]
            # A mark on the whole is one on the last of it.
            if part.cache is not None and isinstance(pieces[-1], Text):
                pieces[-1] = replace(pieces[-1], cache=part.cache)
            return replace(part, parts=tuple(pieces), name=None, custom=False, cache=None)
        case Thinking():
            return replace(part, id=None, summary=False)
    return part


def _place(source: Any) -> Any:
    return Linked(source.url) if isinstance(source, Linked) else source
