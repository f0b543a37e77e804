"""A caller's ``generateContent`` request, read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llm_gateway.core.translation.conversation import (
    ChoiceMode,
    Foreign,
    Message,
    OutputFormat,
    Part,
    Request,
    Role,
    Sampling,
    Tool,
    ToolChoice,
)
from llm_gateway.core.translation.gemini.fields import Fields, boolean, integer, number, read_body, text, texts, wrong
from llm_gateway.core.translation.gemini.media import DIALECT
from llm_gateway.core.translation.gemini.parts import ContentReader, joined
from llm_gateway.core.translation.gemini.schema import json_schema
from llm_gateway.core.translation.gemini.thinking import read_thinking

__all__ = ["read_fields", "read_request", "without_prefix"]

HINTS = frozenset(
    {
        *("safetySettings", "labels", "store", "toolConfig.retrievalConfig"),
        "toolConfig.includeServerSideToolInvocations",
        "toolConfig.functionCallingConfig.streamFunctionCallArguments",
        *("generationConfig.mediaResolution", "generationConfig.enableEnhancedCivicAnswers"),
    }
)
"""Fields without which the answer is of the same kind. Other providers have filters of their own."""

_TOOL_HINTS = ("response", "responseJsonSchema")

_TIERS = {"standard": "default"}

_MODES = {
    "AUTO": ChoiceMode.AUTO,
    "ANY": ChoiceMode.REQUIRED,
    "NONE": ChoiceMode.NONE,
    "VALIDATED": ChoiceMode.AUTO,
}

_JSON = "application/json"


def read_request(body: bytes, model: str | None, stream: bool | None) -> Request:
    """
    :raises BadRequest: naming the field and what is wrong with it.
    """
    return read_fields(read_body(body), model, stream)


def without_prefix(model: str) -> str:
    """
    :return: the model's name as paths have it, without ``models/``.
    """
    return model.removeprefix("models/")


def read_fields(body: Fields, model: str | None, stream: bool | None) -> Request:
    """
    :param body: the whole request, or the one within another's ``generateContentRequest``.
    """
    named = body.take("model", text)
    reader = ContentReader()
    extras = reader.extras
    messages = []
    instruction = body.inner("systemInstruction")
    if instruction is not None:
        messages.append(reader.system(instruction))
    contents = body.each("contents")
    if not contents:
        raise wrong(body.at("contents"), "there has to be at least one.")
    messages += _messages(reader, contents)
    tools, foreign = _tools(body, reader)
    choice, validated = _choice(body.inner("toolConfig"), reader)
    if validated and not (choice and choice.names):
        tools = tuple(msgspec.structs.replace(tool, strict=True) for tool in tools)
    config = body.inner("generationConfig") or Fields(msgspec.Raw(b"{}"), body.at("generationConfig"))
    thinking = config.inner("thinkingConfig")
    reasoning = None if thinking is None else read_thinking(thinking)
    top_logprobs = config.take("logprobs", integer)
    tier = body.take("serviceTier", text)
    request = Request(
        model=model if model is not None else without_prefix(named or ""),
        messages=tuple(messages),
        stream=bool(stream),
        max_tokens=config.take("maxOutputTokens", integer),
        stop=tuple(config.take("stopSequences", texts) or ()),
        tools=tools,
        foreign_tools=foreign,
        tool_choice=choice,
        output=_output(config),
        reasoning=reasoning,
        sampling=_sampling(config),
        choices=_count(config),
        logprobs=bool(config.take("responseLogprobs", boolean)),
        top_logprobs=top_logprobs,
        service_tier=None if tier is None else _TIERS.get(tier.lower(), tier.lower()),
        modalities=_modalities(config),
        dialect=DIALECT,
    )
    for fields in (thinking, config, body):
        if fields is not None:
            extras.update({fields.at(name): raw for name, raw in fields.rest.items()})
    return msgspec.structs.replace(request, extras=extras, hints=frozenset(reader.hints | (HINTS & extras.keys())))


def _messages(reader: ContentReader, contents: Sequence[tuple[msgspec.Raw, str]]) -> Iterator[Message]:
    run: list[tuple[Part, ...]] = []
    for raw, place in contents:
        message = reader.read(raw, place)
        if message.role is Role.ASSISTANT:
            run.append(message.parts)
            continue
        if run:
            yield Message(Role.ASSISTANT, joined(run))
            run.clear()
        yield message
    if run:
        yield Message(Role.ASSISTANT, joined(run))


def _count(config: Fields) -> int:
    count = config.take("candidateCount", integer)
    if count is None:
        return 1
    if not 1 <= count <= 8:
        raise wrong(config.at("candidateCount"), "it has to be from 1 to 8.")
    return count


def _sampling(config: Fields) -> Sampling:
    top_k = config.take("topK", number)
    return Sampling(
        temperature=config.take("temperature", number),
        top_p=config.take("topP", number),
        top_k=None if top_k is None else int(min(top_k, 2**31)),
        presence_penalty=config.take("presencePenalty", number),
        frequency_penalty=config.take("frequencyPenalty", number),
        seed=config.take("seed", integer),
    )


def _output(config: Fields) -> OutputFormat | None:
    """
    JSON, with a schema or without. Other forms (``text/x.enum``) are left over, for no other dialect has them.
    """
    if "responseMimeType" not in config:
        return None
    if config.rest["responseMimeType"] == msgspec.Raw(b'"text/plain"'):
        config.raw("responseMimeType")
        return None
    if config.rest["responseMimeType"] != msgspec.Raw(b'"application/json"'):
        return None
    config.raw("responseMimeType")
    # The first is the older name of the second, of the time when it was tried out.
    for name in ("_responseJsonSchema", "responseJsonSchema"):
        schema = config.raw(name)
        if schema is not None:
            config.raw("responseSchema")
            return OutputFormat(schema)
    schema = config.raw("responseSchema")
    return OutputFormat(None if schema is None else json_schema(schema, config.at("responseSchema")))


def _modalities(config: Fields) -> tuple[str, ...]:
    """
    :return: what there is besides text. Left over where no other dialect could say it: pictures without any text.
    """
    raw = config.rest.get("responseModalities")
    if raw is None:
        return ()
    names = [name.upper() for name in config.take("responseModalities", texts) or ()]
    others = tuple(name.lower() for name in names if name not in ("TEXT", "MODALITY_UNSPECIFIED"))
    if others in ((), ("audio",)) or "TEXT" in names:
        return others
    config.rest["responseModalities"] = raw
    return ()


def _tools(body: Fields, reader: ContentReader) -> tuple[tuple[Tool, ...], tuple[Foreign, ...]]:
    tools: list[Tool] = []
    foreign: list[Foreign] = []
    for entry in body.objects("tools"):
        tools += [_tool(declaration, reader) for declaration in entry.objects("functionDeclarations")]
        foreign += [Foreign(DIALECT, kind, raw) for kind, raw in entry.rest.items()]
    return tuple(tools), tuple(foreign)


def _tool(declaration: Fields, reader: ContentReader) -> Tool:
    name = declaration.take("name", text)
    if not name:
        raise wrong(declaration.at("name"), "it is missing.")
    description = declaration.take("description", text)
    parameters = declaration.raw("parametersJsonSchema")
    schema = declaration.raw("parameters")
    if parameters is None and schema is not None:
        parameters = json_schema(schema, declaration.at("parameters"))
    for left, raw in declaration.rest.items():
        reader.extras[declaration.at(left)] = raw
        if left in _TOOL_HINTS:
            reader.hints.add(declaration.at(left))
    return Tool(name, description, parameters)


def _choice(config: Fields | None, reader: ContentReader) -> tuple[ToolChoice | None, bool]:
    """
    :return: the choice, and whether calls have to follow the tools' schemas.
    """
    if config is None:
        return None, False
    calling = config.inner("functionCallingConfig")
    choice = None
    validated = False
    if calling is not None:
        named = calling.take("mode", text)
        names = tuple(calling.take("allowedFunctionNames", texts) or ())
        if named is not None and named.upper() != "MODE_UNSPECIFIED":
            mode = _MODES.get(named.upper())
            if mode is None:
                raise wrong(calling.at("mode"), f"the modes are {', '.join(_MODES)}.")
            choice = ToolChoice(mode, names)
            validated = named.upper() == "VALIDATED"
        elif names:
            choice = ToolChoice(ChoiceMode.AUTO, names)
        reader.extras.update({calling.at(name): raw for name, raw in calling.rest.items()})
    reader.extras.update({config.at(name): raw for name, raw in config.rest.items()})
    return choice, validated
