"""
A caller's request, read.

``count_tokens`` takes the same document without ``max_tokens``, so that field may be missing here.

Source: the types of the ``anthropic`` package (2.12), and what Claude Code 2.1 sends.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import (
    ChoiceMode,
    Foreign,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Request,
    Role,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from llm_gateway.core.translation.fields import Fields, boolean, in_utf8, integer, number, plain_message, reading, text
from llm_gateway.core.translation.messages.attached import attach
from llm_gateway.core.translation.messages.blocks import Extras, cache_of, leave, text_or_blocks
from llm_gateway.core.translation.messages.names import NAME, is_hint
from llm_gateway.errors import BadRequest

__all__ = ["read_request"]

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}

_BILLING_NOTE = "x-anthropic-billing-header:"
"""How Claude Code begins a first block of ``system`` that is for Anthropic's books and not for the model. It differs
from call to call, so no other provider could cache a prompt that begins with it."""

_MODES = {"auto": ChoiceMode.AUTO, "any": ChoiceMode.REQUIRED, "none": ChoiceMode.NONE}

_SHOWN = {"summarized": "auto", "omitted": "none"}

_TIERS = {"standard_only": "default"}
"""The neutral words for tiers are OpenAI's."""

_strings = msgspec.json.Decoder(list[str]).decode


class _Typed(msgspec.Struct):
    type: str | None = None


_typed = msgspec.json.Decoder(_Typed).decode


def read_request(body: bytes, model: str | None, stream: bool | None) -> Request:
    """
    :raises BadRequest: naming the place and what is wrong there.
    """
    fields = Fields(in_utf8(body), "")
    extras: Extras = {}
    tools, foreign_tools = _tools(fields, extras)
    choice, parallel = _tool_choice(fields, extras)
    reasoning, output = _output_config(fields, extras, _thinking(fields, extras))
    streamed = bool(fields.take("stream", boolean))
    service_tier = fields.take("service_tier", text)
    named = fields.take("model", text)
    if model is None:
        if named is None:
            raise BadRequest.of_field("model", "is required.")
        model = named
    request = Request(
        model=model,
        messages=(*_system(fields, extras), *_messages(fields, extras)),
        stream=streamed if stream is None else stream,
        max_tokens=fields.take("max_tokens", integer),
        stop=tuple(fields.take("stop_sequences", _strings) or ()),
        tools=tools,
        foreign_tools=foreign_tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output=output,
        reasoning=reasoning,
        sampling=Sampling(
            temperature=fields.take("temperature", number),
            top_p=fields.take("top_p", number),
            top_k=fields.take("top_k", integer),
        ),
        user=_user(fields, extras),
        service_tier=None if service_tier is None else _TIERS.get(service_tier, service_tier),
        extras=extras,
        dialect=NAME,
    )
    leave(fields, extras)
    return msgspec.structs.replace(request, hints=frozenset(filter(is_hint, extras)))


def _system(fields: Fields, extras: Extras) -> tuple[Message, ...]:
    raw = fields.rest.get("system")
    parts = text_or_blocks(fields, "system", extras)
    if raw is not None and parts and isinstance(parts[0], Text) and parts[0].text.startswith(_BILLING_NOTE):
        extras["system[0]"] = msgspec.Raw(msgspec.json.encode({"type": "text", "text": parts[0].text}))
        del parts[0]
    for part in parts:
        if not isinstance(part, Text):
            raise BadRequest.of_field("system", "may only be text.")
    texts = [part for part in parts if isinstance(part, Text) and part.text]
    return (Message(Role.SYSTEM, tuple(texts)),) if texts else ()


def _messages(fields: Fields, extras: Extras) -> list[Message]:
    if "messages" not in fields.rest:
        raise BadRequest.of_field("messages", "is required.")
    return [_message(raw, place, extras) for raw, place in fields.each("messages")]


def _message(raw: msgspec.Raw, place: str, extras: Extras) -> Message:
    plain = plain_message(raw)
    if plain is not None and plain.role in _ROLES:
        return Message(_ROLES[plain.role], (Text(plain.content),))
    fields = Fields(raw, place)
    role = fields.need("role", text)
    if role not in _ROLES:
        raise BadRequest.of_field(fields.at("role"), "must be user, assistant or system.")
    if "content" not in fields.rest:
        raise BadRequest.of_field(fields.at("content"), "is required.")
    parts: list[Part] = text_or_blocks(fields, "content", extras)
    leave(fields, extras)
    return Message(_ROLES[role], attach(parts))


def _tools(fields: Fields, extras: Extras) -> tuple[tuple[Tool, ...], tuple[Foreign, ...]]:
    tools: list[Tool] = []
    foreign: list[Foreign] = []
    for raw, place in fields.each("tools"):
        kind = reading(_typed, raw, place).type
        if kind is not None and kind != "custom":
            # Those that find other tools are needless where every tool is shown to the model.
            foreign.append(Foreign(NAME, kind, raw, hint=kind.startswith("tool_search_tool")))
            continue
        # Counted without the provider's own, which are kept apart from here on.
        tool = Fields(raw, f"tools[{len(tools)}]")
        tool.take("type", text)
        callers = tool.rest.get("allowed_callers")
        if callers is not None and reading(_strings, callers, tool.at("allowed_callers")) == ["direct"]:
            del tool.rest["allowed_callers"]
        tools.append(
            Tool(
                tool.need("name", text),
                tool.take("description", text),
                tool.raw("input_schema"),
                tool.take("strict", boolean),
                cache_of(tool, extras),
            )
        )
        leave(tool, extras)
    return tuple(tools), tuple(foreign)


def _tool_choice(fields: Fields, extras: Extras) -> tuple[ToolChoice | None, bool | None]:
    choice = fields.inner("tool_choice")
    if choice is None:
        return None, None
    kind = choice.need("type", text)
    alone = choice.take("disable_parallel_tool_use", boolean)
    if kind == "tool":
        found = ToolChoice(ChoiceMode.REQUIRED, (choice.need("name", text),))
    elif kind in _MODES:
        found = ToolChoice(_MODES[kind])
    else:
        raise BadRequest.of_field("tool_choice.type", "must be auto, any, tool or none.")
    leave(choice, extras)
    return found, None if alone is None else not alone


def _thinking(fields: Fields, extras: Extras) -> Reasoning | None:
    raw = fields.rest.get("thinking")
    thinking = fields.inner("thinking")
    if raw is None or thinking is None:
        return None
    kind = thinking.need("type", text)
    shown = thinking.take("display", text)
    show = None if shown is None else _SHOWN.get(shown, shown)
    budget = thinking.take("budget_tokens", integer)
    leave(thinking, extras)
    match kind:
        case "enabled":
            return Reasoning(enabled=True, budget_tokens=budget, show=show)
        case "adaptive":
            return Reasoning(enabled=True, adaptive=True, show=show)
        case "disabled":
            return Reasoning(enabled=False)
        case "between_tools":
            # The word for not thinking of models that take no other.
            extras["thinking"] = raw
            return Reasoning(enabled=False)
        case _:
            extras["thinking"] = raw
            return None


def _output_config(
    fields: Fields, extras: Extras, reasoning: Reasoning | None
) -> tuple[Reasoning | None, OutputFormat | None]:
    # The older place of what is now output_config.format.
    form = fields.inner("output_format")
    config = fields.inner("output_config")
    if config is not None:
        effort = config.take("effort", text)
        form = config.inner("format") or form
        leave(config, extras)
        if effort is not None:
            reasoning = msgspec.structs.replace(reasoning or Reasoning(), effort=effort)
    if form is None:
        return reasoning, None
    if form.need("type", text) != "json_schema":
        raise BadRequest.of_field(form.at("type"), "must be json_schema.")
    schema = form.raw("schema")
    if schema is None:
        raise BadRequest.of_field(form.at("schema"), "is required.")
    leave(form, extras)
    return reasoning, OutputFormat(schema)


def _user(fields: Fields, extras: Extras) -> str | None:
    metadata = fields.inner("metadata")
    if metadata is None:
        return None
    user = metadata.take("user_id", text)
    leave(metadata, extras)
    return user
