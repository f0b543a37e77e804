"""A neutral request as one of the Responses API."""

from __future__ import annotations

import hashlib
import re
from typing import TypeVar

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Message, OutputFormat, Reasoning, Request, Role, Text, Tool
from llm_gateway.core.translation.efforts import effort_of, nearest_effort
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.openai_models import OpenAIModel, openai_model
from llm_gateway.core.translation.openai_schemas import (
    ASKED_FOR_JSON,
    asks_for_json,
    binding,
    parameters_of,
    strict_parameters_of,
)
from llm_gateway.core.translation.responses.documents import Format, InputItem, InputText
from llm_gateway.core.translation.responses.documents import Message as InputMessage
from llm_gateway.core.translation.responses.tools import WrittenTool, write_choice, write_tools
from llm_gateway.core.translation.responses.write_items import ItemWriter

__all__ = ["TIERS", "write_format", "write_request"]

_SMALLEST_LIMIT = 16
"""Of ``max_output_tokens``; below it OpenAI refuses the request."""

_LONGEST_USER = 64
"""Characters of ``user`` that OpenAI takes; Claude Code's ids are longer."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
"""Of a format's name, and what may not be in it."""

TIERS = frozenset({"auto", "default", "fast", "flex", "priority", "scale", "ultrafast"})
"""OpenAI's service tiers."""

_SHOW = {"auto": "auto", "concise": "concise", "detailed": "detailed", "full": "detailed"}

T = TypeVar("T")

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Reasoning(msgspec.Struct, frozen=True, omit_defaults=True):
    effort: str | None = None
    summary: str | None = None


class _Text(msgspec.Struct, frozen=True, omit_defaults=True):
    format: Format | None = None
    verbosity: str | None = None


class _Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    model: str
    input: list[InputItem]
    instructions: str | None = None
    stream: bool = False
    store: bool | None = None
    max_output_tokens: int | None = None
    tools: list[WrittenTool] = []
    tool_choice: object = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    user: str | None = None
    metadata: dict[str, str] = {}
    service_tier: str | None = None
    prompt_cache_key: str | None = None


def write_request(request: Request, to: Destination, losses: Losses) -> bytes:
    """
    Write it so that nothing is kept at the provider: all that it has to know comes with every request.
    """
    instructions, messages = _instructions(request.messages)
    items = ItemWriter(request, to, losses)
    for index, message in enumerate(messages, len(request.messages) - len(messages)):
        items.write(message, f"messages[{index}]")
    if request.output is not None and request.output.schema is None and not asks_for_json(request):
        # Instructions do not count for that.
        losses.change("messages")
        items.items.insert(0, InputMessage(role="system", content=[InputText(text=ASKED_FOR_JSON)]))
    reasoning = _reasoning(request.reasoning, to, losses)
    request = _sampled(request, reasoning.effort, to, losses)
    more: dict[str, msgspec.Raw] = {}
    _leave_out(request, losses, more)
    body = _Body(
        model=to.model,
        instructions=instructions,
        input=items.items,
        stream=request.stream,
        store=None if "store" in more else False,
        max_output_tokens=_limit(request.max_tokens, losses),
        tools=write_tools(_tools(request, losses)) + _foreign_tools(request, losses),
        parallel_tool_calls=request.parallel_tool_calls,
        text=_said(_Text(_format(request, losses), request.verbosity), _Text()),
        reasoning=_said(reasoning, _Reasoning()),
        include=_include(request, to),
        temperature=request.sampling.temperature,
        top_p=request.sampling.top_p,
        top_logprobs=request.top_logprobs if request.logprobs else None,
        user=_user(request.user, losses),
        metadata=request.metadata,
        service_tier=_tier(request.service_tier, losses),
        prompt_cache_key=request.cache_key,
    )
    if request.tool_choice is not None:
        body.tool_choice = write_choice(request.tool_choice, request.tools)
    written = msgspec.json.encode(body)
    return _merged(written, more) if more else written


def _sampled(request: Request, effort: str | None, to: Destination, losses: Losses) -> Request:
    """
    :param effort: what the model is told.
    :return: the request without what the model cannot be told about sampling.
    """
    known = openai_model(to.model)
    if known is None or known.takes_sampling(effort) or request.dialect == "responses":
        return request
    sampling, why = request.sampling, "this model's sampling cannot be set"
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        # 1 is what both are where nothing is said.
        if value is not None and (value == 1 or not losses.drop(name, Weight.HINT, why)):
            sampling = msgspec.structs.replace(sampling, **{name: None})
    logprobs = request.logprobs and losses.drop("logprobs", Weight.MEANING, why)
    return msgspec.structs.replace(request, sampling=sampling, logprobs=logprobs)


def _said(value: T, nothing: T) -> T | None:
    return None if value == nothing else value


def _merged(written: bytes, more: dict[str, msgspec.Raw]) -> bytes:
    """
    :param more: fields by name, dotted for nested; what is written already wins over them.
    """
    fields = _object(written)
    for name, value in more.items():
        outer, dot, inner = name.partition(".")
        if dot:
            nested = _object(fields.get(outer, msgspec.Raw(b"{}")))
            nested.setdefault(inner, value)
            fields[outer] = msgspec.Raw(msgspec.json.encode(nested))
        else:
            fields.setdefault(name, value)
    return msgspec.json.encode(fields)


def _instructions(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    """
    :return: the leading system message where it is one plain text, and the other messages.
    """
    if len(messages) > 1 and messages[0].role is Role.SYSTEM and messages[1].role is not Role.SYSTEM:
        first = messages[0]
        match first.parts:
            case (Text(text=text, cache=None),) if text and first.name is None:
                return text, messages[1:]
    return None, messages


def _leave_out(request: Request, losses: Losses, more: dict[str, msgspec.Raw]) -> None:
    """
    Tell what the dialect cannot say.

    :param more: gets the fields to send under their own names.
    """

    def without(field: str, weight: Weight, why: str, value: object) -> None:
        if losses.drop(field, weight, why):
            more[field] = msgspec.Raw(msgspec.json.encode(value))

    sampling = request.sampling
    if request.stop:
        without("stop", Weight.MEANING, "the Responses API has no stop sequences", request.stop)
    if sampling.top_k is not None:
        # A hint, as in the other dialects: the model's own sampling gives an answer of the same kind.
        without("top_k", Weight.HINT, "the Responses API has no top_k", sampling.top_k)
    if sampling.seed is not None:
        without("seed", Weight.MEANING, "the Responses API has no seed", sampling.seed)
    if sampling.presence_penalty:
        without("presence_penalty", Weight.MEANING, "the Responses API has no penalties", sampling.presence_penalty)
    if sampling.frequency_penalty:
        without("frequency_penalty", Weight.MEANING, "the Responses API has no penalties", sampling.frequency_penalty)
    if sampling.logit_bias is not None and bytes(sampling.logit_bias) != b"{}":
        without("logit_bias", Weight.MEANING, "the Responses API has no logit_bias", sampling.logit_bias)
    if request.choices > 1:
        without("n", Weight.MEANING, "the Responses API gives one answer", request.choices)
    others = [modality for modality in request.modalities if modality != "text"]
    if others:
        without("modalities", Weight.MEANING, "the Responses API answers in text", request.modalities)
    if any(tool.cache is not None for tool in request.tools):
        losses.lose("cache_control", Weight.HINT, "OpenAI caches prompts by itself")
    for name, value in request.extras.items():
        if request.dialect == "responses" and "[" not in name:
            more[name] = value
            continue
        weight = Weight.HINT if name in request.hints else Weight.MEANING
        if "." in name or "[" in name:
            losses.lose(name, weight, "the Responses API has no such field")
        elif losses.drop(name, weight, "the Responses API has no such field"):
            more[name] = value


def _tools(request: Request, losses: Losses) -> list[Tool]:
    """
    :return: with schemas that OpenAI takes.
    """
    if request.dialect == "responses":
        return list(request.tools)
    tools = []
    for tool in request.tools:
        if tool.parameters is not None:
            schema, changed = parameters_of(tool.parameters, f"tools.{tool.name}.parameters")
            if changed:
                losses.change(f"tools.{tool.name}.parameters")
            tool = msgspec.structs.replace(tool, parameters=schema)
        if tool.strict and tool.custom is None:
            bound = strict_parameters_of(tool, request.dialect)
            if bound is None:
                losses.change(f"tools.{tool.name}.strict")
            tool = msgspec.structs.replace(tool, parameters=bound or tool.parameters, strict=bound is not None)
        tools.append(tool)
    return tools


def _foreign_tools(request: Request, losses: Losses) -> list[WrittenTool]:
    written: list[WrittenTool] = []
    for tool in request.foreign_tools:
        if tool.dialect == "responses":
            written.append(tool.raw)
            continue
        weight = Weight.HINT if tool.hint else Weight.MEANING
        if losses.drop(f"tools[{tool.kind}]", weight, "only the provider that the tool belongs to can run it"):
            written.append(tool.raw)
    return written


def _limit(max_tokens: int | None, losses: Losses) -> int | None:
    if max_tokens is not None and max_tokens < _SMALLEST_LIMIT:
        losses.change("max_tokens")
        return _SMALLEST_LIMIT
    return max_tokens


def _user(user: str | None, losses: Losses) -> str | None:
    if user is None or len(user) <= _LONGEST_USER:
        return user
    losses.change("user")
    # As good for telling users apart, and no longer readable, which OpenAI asks for.
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _tier(tier: str | None, losses: Losses) -> str | None:
    if tier is None or tier in TIERS:
        return tier
    passed = losses.drop("service_tier", Weight.HINT, "OpenAI has no such tier")
    return tier if passed else None


def _format(request: Request, losses: Losses) -> Format | None:
    form = write_format(request.output)
    if form is None or form.name is None or request.output is None or request.output.schema is None:
        return form
    if not _NAME.fullmatch(form.name):
        losses.change("output.name")
        form = msgspec.structs.replace(form, name=_FORBIDDEN.sub("_", form.name)[:64])
    schema, strict = binding(request.output, request.output.schema, request.dialect)
    if strict is False and request.output.strict is None:
        losses.change("output.strict")
    return msgspec.structs.replace(form, schema=schema, strict=strict)


def write_format(output: OutputFormat | None) -> Format | None:
    """
    :return: the ``text.format``; ``None`` for plain text.
    """
    if output is None:
        return None
    if output.schema is None:
        return Format(type="json_object")
    return Format(
        type="json_schema",
        name=output.name or "answer",
        schema=output.schema,
        description=output.description,
        strict=output.strict,
    )


def _reasoning(reasoning: Reasoning | None, to: Destination, losses: Losses) -> _Reasoning:
    if reasoning is None:
        return _Reasoning()
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None and reasoning.enabled is not False:
        effort = effort_of(reasoning.budget_tokens)
        losses.change("reasoning.budget_tokens")
    known = openai_model(to.model)
    if known is not None and known.efforts:
        effort = _known_effort(reasoning, effort, known, losses)
    summary = None if reasoning.show is None else _SHOW.get(reasoning.show)
    if reasoning.show == "full":
        losses.change("reasoning.show")
    if _reasons(to) is False:
        if effort not in (None, "none") or summary is not None:
            losses.lose("reasoning", Weight.HINT, "the model does not reason")
        return _Reasoning()
    if reasoning.enabled is False and effort is None:
        # Some models can be told not to reason ("none"), some only to hardly do so ("minimal"), and each refuses the
        # other's word; of a model that is not known, the default is the one that works.
        losses.lose("reasoning.enabled", Weight.HINT, "whether this model can be told not to reason is not known")
    return _Reasoning(effort, summary)


def _reasons(to: Destination) -> bool | None:
    """
    :return: whether the model reasons; ``None`` where neither the catalogue nor its name tells.
    """
    known = openai_model(to.model)
    return to.reasoning if known is None or to.reasoning is not None else bool(known.efforts)


def _known_effort(reasoning: Reasoning, effort: str | None, model: OpenAIModel, losses: Losses) -> str | None:
    """
    :return: the effort in words that the model knows; it refuses all others.
    """
    if effort is None and reasoning.enabled is False:
        effort = "none"
    elif effort is None and reasoning.enabled and model.effort == "none":
        effort = "medium"
        losses.change("reasoning.effort")
    if effort is None:
        return None
    nearest = nearest_effort(effort, model.efforts)
    if nearest != effort:
        losses.change("reasoning.effort")
    return nearest


def _include(request: Request, to: Destination) -> list[str]:
    reasoning = request.reasoning
    wanted = reasoning is not None and (
        reasoning.encrypted or bool(reasoning.enabled) or reasoning.adaptive or reasoning.effort not in (None, "none")
    )
    include = []
    # The provider keeps nothing, so the next request has to bring the reasoning along. Models that do not reason refuse
    # to be asked ("Encrypted content is not supported with this model").
    reasons = _reasons(to)
    if reasons or (reasons is None and wanted):
        include.append("reasoning.encrypted_content")
    if request.logprobs:
        include.append("message.output_text.logprobs")
    return include
