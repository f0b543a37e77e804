"""A caller's request of the Responses API as a neutral one."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Message, OutputFormat, Reasoning, Request, Role, Sampling, Text
from llm_gateway.core.translation.fields import Fields, boolean, in_utf8, integer, number, text
from llm_gateway.core.translation.responses.raw import is_text, json_text
from llm_gateway.core.translation.responses.read_items import Items
from llm_gateway.core.translation.responses.tools import ReadChoice, read_choice, read_tools
from llm_gateway.errors import BadRequest

__all__ = ["read_request"]

_STATEFUL = {
    "previous_response_id": "Send the whole conversation in input.",
    "conversation": "Send the whole conversation in input.",
    "prompt": "Send the prompt's own text.",
}
"""What names something that OpenAI keeps. Leaving it out would ask the model about another conversation, so it is
refused whatever the key's policy is about fields that cannot be sent."""

_HINTS = frozenset(
    {
        "access_programs",
        "background_options",
        "client_metadata",
        "context_management",
        "image",
        "include",
        "max_tool_calls",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning.context",
        "reasoning.mode",
        "store",
        "stream_options",
        "truncation",
        "user",
    }
)
"""
Fields without which the answer is of the same kind. ``truncation`` and ``context_management`` say what to do with a
conversation that is too long, ``max_tool_calls`` counts calls of OpenAI's own tools only, ``client_metadata`` is for
Codex's own servers.
"""

_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"

_strings = msgspec.json.Decoder(list[str]).decode
_metadata = msgspec.json.Decoder(dict[str, str]).decode


def read_request(body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
    """
    :raises BadRequest: it is not valid, or it names what OpenAI keeps.
    """
    fields = Fields(in_utf8(body), "")
    _refuse_state(fields)
    items = Items()
    instructions = fields.take("instructions", text)
    given = fields.raw("input")
    if given is not None:
        items.read(given, "input")
    messages = items.messages
    if not messages:
        raise BadRequest.of_field("input", "is required.")
    if instructions:
        messages.insert(0, Message(Role.SYSTEM, (Text(instructions),)))

    raw_choice = fields.raw("tool_choice")
    choice = ReadChoice(None, False) if raw_choice is None else read_choice(raw_choice, "tool_choice")
    extras = items.unknown
    hints = set(extras)
    tools, foreign_tools = read_tools(fields.each("tools") + items.tools, choice.foreign, extras)
    hints.update(extras)
    if choice.foreign and raw_choice is not None:
        extras["tool_choice"] = raw_choice

    include = fields.take("include", _strings) or []
    top_logprobs = fields.take("top_logprobs", integer)
    output, verbosity = _output(fields.inner("text"), extras)
    read = Request(
        model=_model(fields, model),
        messages=tuple(messages),
        stream=bool(fields.take("stream", boolean)) if stream is None else stream,
        max_tokens=fields.take("max_output_tokens", integer),
        tools=tools,
        foreign_tools=foreign_tools,
        tool_choice=choice.choice,
        parallel_tool_calls=fields.take("parallel_tool_calls", boolean),
        output=output,
        reasoning=_reasoning(fields.inner("reasoning"), _ENCRYPTED in include, extras),
        sampling=Sampling(temperature=fields.take("temperature", number), top_p=fields.take("top_p", number)),
        logprobs=_LOGPROBS in include or bool(top_logprobs),
        top_logprobs=top_logprobs,
        user=_user(fields),
        metadata=fields.take("metadata", _metadata) or {},
        service_tier=fields.take("service_tier", text),
        cache_key=fields.take("prompt_cache_key", text),
        verbosity=verbosity,
        extras=extras,
        dialect="responses",
    )
    others = [name for name in include if name not in (_ENCRYPTED, _LOGPROBS)]
    if others:
        extras["include"] = msgspec.Raw(msgspec.json.encode(others))
    for name, value in fields.rest.items():
        if value != msgspec.Raw(b"null"):
            extras[name] = value
    hints.update(_HINTS.intersection(extras))
    return msgspec.structs.replace(read, hints=frozenset(hints))


def _refuse_state(fields: Fields) -> None:
    for name, instead in _STATEFUL.items():
        if fields.raw(name) is not None:
            raise BadRequest.of_field(
                name, f"names something that OpenAI keeps, and this key's provider is another. {instead}"
            )
    if fields.take("background", boolean):
        raise BadRequest.of_field("background", "this key's provider does not answer in the background. Leave it out.")
    # What is not wanted, and not had, is no loss.
    if fields.take("store", boolean):
        fields.rest["store"] = msgspec.Raw(b"true")
    if fields.take("truncation", text) == "auto":
        fields.rest["truncation"] = msgspec.Raw(b'"auto"')


def _model(fields: Fields, model: str | None) -> str:
    told = fields.take("model", text)
    if model is not None:
        return model
    if not told:
        raise BadRequest.of_field("model", "is required.")
    return told


def _user(fields: Fields) -> str | None:
    identifier = fields.take("safety_identifier", text)
    return fields.take("user", text) if identifier is None else identifier


def _output(config: Fields | None, extras: dict[str, msgspec.Raw]) -> tuple[OutputFormat | None, str | None]:
    """
    :return: the format and the verbosity.
    """
    if config is None:
        return None, None
    verbosity = config.take("verbosity", text)
    form = config.inner("format")
    _keep(config, extras)
    if form is None:
        return None, verbosity
    kind = form.need("type", text)
    output: OutputFormat | None
    if kind == "text":
        output = None
    elif kind == "json_object":
        output = OutputFormat()
    elif kind == "json_schema":
        schema = form.need("schema", msgspec.Raw)
        Fields(schema, form.at("schema"))
        output = OutputFormat(
            schema, form.take("name", text), form.take("description", text), form.take("strict", boolean)
        )
    else:
        raise BadRequest.of_field(form.at("type"), "must be text, json_object or json_schema.")
    _keep(form, extras)
    return output, verbosity


def _reasoning(config: Fields | None, encrypted: bool, extras: dict[str, msgspec.Raw]) -> Reasoning | None:
    if config is None:
        return Reasoning(encrypted=True) if encrypted else None
    summary = config.take("summary", text)
    older = config.take("generate_summary", text)
    reasoning = Reasoning(effort=config.take("effort", _effort), show=summary or older, encrypted=encrypted)
    _keep(config, extras)
    return None if reasoning == Reasoning() else reasoning


def _effort(raw: msgspec.Raw) -> str:
    # Codex writes an effort that its user gave as a number as one.
    if is_text(raw):
        return text(raw)
    number(raw)
    return json_text(raw)


def _keep(fields: Fields, extras: dict[str, msgspec.Raw]) -> None:
    for name, value in fields.rest.items():
        extras[fields.at(name)] = value
