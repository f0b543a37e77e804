"""
A request, written for a provider.

What is written is right for the API's version 2023-06-01, and for 2026-10-21 where the request has no sampling: that
version knows no ``temperature``, ``top_p`` and ``top_k`` any more, and no newer model does.

Source: the types of the ``anthropic`` package (2.12) and platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import ChoiceMode, OutputFormat, Request, Tool
from llm_gateway.core.translation.freeform import FREEFORM_PARAMETERS, description_of
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.messages.models import Abilities, abilities_of
from llm_gateway.core.translation.messages.names import NAME, Json
from llm_gateway.core.translation.messages.parts import PartWriter
from llm_gateway.core.translation.messages.schemas import conforming
from llm_gateway.core.translation.messages.thinking import Thought, as_said, thought
from llm_gateway.core.translation.messages.turns import Turns
from llm_gateway.core.translation.tool_schemas import tool_schema
from llm_gateway.errors import BadRequest

__all__ = ["write_request"]

_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')

_JSON_ONLY = "Answer with one JSON object and nothing else."
"""There is no mode of JSON without a schema."""

_MOST_MARKS = 4
"""Of the cache, in one prompt."""

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

_THINKING_TOP_P = 0.95
"""The least ``top_p`` while the model thinks."""

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def write_request(request: Request, to: Destination, losses: Losses) -> bytes:
    """
    :raises Unsupported: by way of ``losses``.
    :raises BadRequest: the conversation makes no sense.
    """
    return msgspec.json.encode(_Writing(request, to, losses).document())


class _Writing:
    """One request on its way out."""

    def __init__(self, request: Request, to: Destination, losses: Losses) -> None:
        self._request = request
        self._to = to
        self._losses = losses
        self._abilities: Abilities = abilities_of(to.model)
        if to.reasoning is False:
            self._abilities = msgspec.structs.replace(self._abilities, adaptive=False, budget=False)
        self._own = request.dialect == NAME
        self._more: dict[str, Json] = {}
        self._parts = PartWriter(losses, self._abilities, to.provider, own=self._own, more=self._more)
        self._doc: Json = {"model": to.model}
        self._called: dict[str, None] = {}

    def document(self) -> Json:
        doc = self._doc
        max_tokens = self._max_tokens()
        doc["max_tokens"] = max_tokens
        extras = self._extras()
        self._conversation(extras.pop("system[0]", None))
        if self._request.stream:
            doc["stream"] = True
        self._tools()
        thinks = self._thinking(max_tokens)
        self._output(thinks)
        self._sampling(thinks)
        self._others()
        self._unsayable()
        self._merge(extras)
        return doc

    def _max_tokens(self) -> int:
        """The field is required: what nobody gives comes from the catalogue, else from the model's generation."""
        most = self._to.max_output_tokens
        asked = self._request.max_tokens
        if asked is None:
            return most or self._abilities.max_tokens
        if most is not None and asked > most and not self._own:
            self._losses.change("max_tokens")
            return most
        return asked

    def _extras(self) -> dict[str, msgspec.Raw]:
        """
        :return: those that are fields of the document. Those of blocks wait for their blocks.
        """
        top: dict[str, msgspec.Raw] = {}
        for name, raw in self._request.extras.items():
            if self._own:
                place, _, field = name.rpartition(".")
                if "[" in place:
                    self._more.setdefault(place, {})[field] = raw
                else:
                    top[name] = raw
                continue
            weight = Weight.HINT if name in self._request.hints else Weight.MEANING
            if "." in name or "[" in name:
                self._losses.lose(name, weight, "Anthropic has no such field")
            elif self._losses.drop(name, weight, "Anthropic has no such field"):
                top[name] = raw
        return top

    def _merge(self, extras: dict[str, msgspec.Raw]) -> None:
        for name, raw in extras.items():
            outer, dot, inner = name.partition(".")
            if not dot:
                self._doc[name] = raw
                continue
            nested = self._doc.setdefault(outer, {})
            if isinstance(nested, dict):
                nested[inner] = raw

    def _conversation(self, note: msgspec.Raw | None) -> None:
        """
        :param note: a first block of ``system`` that is not for the model.
        """
        request, losses = self._request, self._losses
        turns = Turns(request, self._parts, skipped=0 if note is None else 1)
        system = turns.system
        if self._wants_any_json():
            losses.change("response_format")
            system.append({"type": "text", "text": _JSON_ONLY})
        if not self._own:
            self._keep_marks([*turns.blocks()])
        if note is not None:
            self._doc["system"] = [note, *system]
        elif len(system) == 1 and system[0].keys() == {"type", "text"}:
            self._doc["system"] = system[0]["text"]
        elif system:
            self._doc["system"] = system
        self._doc["messages"] = turns.documents()
        self._called = turns.called

    def _wants_any_json(self) -> bool:
        output = self._request.output
        return output is not None and output.schema is None

    def _keep_marks(self, blocks: Iterable[Json]) -> None:
        marked = [block for block in blocks if "cache_control" in block]
        room = _MOST_MARKS - sum(tool.cache is not None for tool in self._request.tools)
        if len(marked) <= room:
            return
        # A mark covers all that is before it: the last ones are worth most.
        for block in marked[: len(marked) - max(room, 0)]:
            del block["cache_control"]
        self._losses.lose("cache_control", Weight.HINT, "a prompt has four cache marks at most")

    # Tools

    def _tools(self) -> None:
        request = self._request
        choice = request.tool_choice
        only = choice.names if choice is not None else ()
        allowed = frozenset(only)
        forced = choice is not None and choice.mode is ChoiceMode.REQUIRED
        may_force = self._own or self._abilities.forced_tools
        if forced and not may_force:
            may_force = self._losses.drop(
                "tool_choice", Weight.MEANING, "this model decides by itself whether it calls a tool"
            )
        one = forced and may_force and len(only) == 1
        tools: list[object] = [
            self._tool(tool, at) for at, tool in enumerate(request.tools) if one or not only or tool.name in allowed
        ]
        if one or not only:
            tools.extend(self._foreign_tools())
        elif "tool_choice" not in self._losses.dropped:
            # The tools that may not be called are not there at all then, which comes to the same.
            self._losses.change("tool_choice")
        if tools:
            self._doc["tools"] = tools
        elif forced:
            raise BadRequest.of_field("tool_choice", "there is no tool to call.")
        elif self._called and not self._own:
            self._recall_tools()
            return
        written = self._tool_choice(choice.mode if choice else None, only[0] if one else None, forced and not may_force)
        if tools and written is not None:
            self._doc["tool_choice"] = written

    def _recall_tools(self) -> None:
        """Calls in a conversation are only taken with their tools; the caller left those out to have no more calls."""
        self._losses.change("tools")
        self._doc["tools"] = [{"name": name, "input_schema": _NO_ARGUMENTS} for name in self._called]
        self._doc["tool_choice"] = {"type": "none"}

    def _tool_choice(self, mode: ChoiceMode | None, name: str | None, unforced: bool) -> Json | None:
        alone: Json = {"disable_parallel_tool_use": True} if self._request.parallel_tool_calls is False else {}
        if name is not None:
            return {"type": "tool", "name": name, **alone}
        match mode:
            case ChoiceMode.REQUIRED if not unforced:
                return {"type": "any", **alone}
            case ChoiceMode.NONE:
                return {"type": "none"}
            case None if not alone:
                return None
            case _:
                return {"type": "auto", **alone}

    def _tool(self, tool: Tool, at: int) -> Json:
        place = f"tools[{at}]"
        block: Json = {"name": tool.name}
        description = tool.description
        schema = tool.parameters or _NO_ARGUMENTS
        if tool.custom is not None:
            self._losses.change(place)
            description, schema = description_of(tool), FREEFORM_PARAMETERS
        if description:
            block["description"] = description
        block["input_schema"] = schema if self._own else self._tool_schema(schema, place)
        if tool.strict is not None:
            self._strict(block, tool, place)
        if tool.cache is not None:
            block["cache_control"] = self._parts.mark(tool.cache, place)
        block.update(self._more.pop(place, {}))
        return block

    def _strict(self, block: Json, tool: Tool, place: str) -> None:
        if self._own:
            block["strict"] = tool.strict
        elif tool.strict and tool.custom is None:
            if not self._abilities.structured:
                self._losses.lose(f"{place}.strict", Weight.HINT, "this model has no strict tools")
                return
            block["strict"] = True
            if tool.parameters is not None:
                schema, changed = conforming(self._tool_schema(tool.parameters, place), f"{place}.parameters")
                if changed:
                    self._losses.change(f"{place}.parameters")
                block["input_schema"] = schema

    def _tool_schema(self, schema: msgspec.Raw, place: str) -> msgspec.Raw:
        written, changed = tool_schema(schema, f"{place}.parameters")
        if changed:
            self._losses.change(f"{place}.parameters")
        return written

    def _foreign_tools(self) -> Iterable[msgspec.Raw]:
        for tool in self._request.foreign_tools:
            if tool.dialect == NAME:
                yield tool.raw
                continue
            weight = Weight.HINT if tool.hint else Weight.MEANING
            self._losses.lose(f"tools[{tool.kind}]", weight, "only the provider that the tool belongs to can run it")

    # What and how the model answers

    def _thinking(self, max_tokens: int) -> Thought:
        if self._own:
            written = as_said(self._request.reasoning)
        else:
            written = thought(self._request, self._abilities, max_tokens, self._losses)
        if written.thinking is not None:
            self._doc["thinking"] = written.thinking
        return written

    def _output(self, thinks: Thought) -> None:
        config: Json = {}
        if thinks.effort is not None:
            config["effort"] = thinks.effort
        output = self._request.output
        if output is not None and output.schema is not None:
            schema = self._schema(output, output.schema)
            if schema is not None:
                config["format"] = {"type": "json_schema", "schema": schema}
        if config:
            self._doc["output_config"] = config

    def _schema(self, output: OutputFormat, schema: msgspec.Raw) -> msgspec.Raw | None:
        if self._own:
            return schema
        if not self._abilities.structured:
            self._losses.lose("response_format", Weight.MEANING, "this model has no structured outputs")
            return None
        conformed, changed = conforming(schema, "response_format.json_schema.schema")
        if changed:
            self._losses.change("response_format")
        if not output.description:
            return conformed
        # It is for the model, and stands in the schema here.
        self._losses.change("response_format.description")
        fields = _object(conformed)
        if "description" in fields:
            return conformed
        return msgspec.Raw(msgspec.json.encode({"description": output.description, **fields}))

    def _sampling(self, thinks: Thought) -> None:
        sampling = self._request.sampling
        temperature = sampling.temperature
        if self._own:
            for name, value in (("temperature", temperature), ("top_p", sampling.top_p), ("top_k", sampling.top_k)):
                if value is not None:
                    self._doc[name] = value
            return
        why = self._why_not_sampled(thinks)
        if temperature is not None and temperature > 1:
            self._losses.change("temperature")
            temperature = 1.0
        # 1 is what both are where nothing is said.
        if temperature is not None and (why is None or temperature != 1):
            self._say("temperature", temperature, why)
        if sampling.top_p is not None and sampling.top_p != 1:
            if thinks.active and self._abilities.sampling and sampling.top_p >= _THINKING_TOP_P:
                why = None
            elif why is None and not self._abilities.both_samplings and "temperature" in self._doc:
                why = "this model takes a temperature or top_p, not both"
            self._say("top_p", sampling.top_p, why)
        if sampling.top_k is not None:
            self._say("top_k", sampling.top_k, self._why_not_sampled(thinks))

    def _why_not_sampled(self, thinks: Thought) -> str | None:
        if not self._abilities.sampling:
            return "this model's sampling cannot be set"
        if thinks.active and not self._abilities.sampling_while_thinking:
            return "this model's sampling cannot be set while it thinks"
        return None

    def _say(self, name: str, value: object, why_not: str | None) -> None:
        # Hints, unlike penalties and seeds: the model's own sampling gives an answer of the same kind.
        if why_not is None or self._losses.drop(name, Weight.HINT, why_not):
            self._doc[name] = value

    def _others(self) -> None:
        request, losses = self._request, self._losses
        stop = [sequence for sequence in request.stop if self._own or sequence.strip()]
        if stop:
            self._doc["stop_sequences"] = stop
        if len(stop) < len(request.stop):
            losses.lose("stop", Weight.MEANING, "stop sequences of nothing but white space are not taken")
        if request.user is not None:
            self._doc["metadata"] = {"user_id": request.user}
        tier = request.service_tier
        if tier is not None:
            written = tier if self._own else None
            written = _TIERS.get(tier, written)
            if written is not None:
                self._doc["service_tier"] = written
            else:
                losses.lose("service_tier", Weight.HINT, "the tiers are auto and standard_only")
        if request.metadata:
            losses.lose("metadata", Weight.HINT, "metadata is only an id of the user")

    def _unsayable(self) -> None:
        request, sampling = self._request, self._request.sampling
        self._without("presence_penalty", sampling.presence_penalty or None, "Anthropic has no penalties")
        self._without("frequency_penalty", sampling.frequency_penalty or None, "Anthropic has no penalties")
        bias = sampling.logit_bias
        self._without("logit_bias", None if bias == msgspec.Raw(b"{}") else bias, "Anthropic has no logit_bias")
        self._without("seed", sampling.seed, "Anthropic has no seed")
        self._without("n", request.choices if request.choices > 1 else None, "Anthropic gives one answer")
        self._without("logprobs", request.logprobs or None, "Anthropic tells no probabilities")
        self._without("top_logprobs", request.top_logprobs or None, "Anthropic tells no probabilities")
        if any(modality != "text" for modality in request.modalities):
            self._without("modalities", request.modalities, "Anthropic answers in text")
        self._without("verbosity", request.verbosity, "Anthropic has no verbosity", Weight.HINT)
        self._without("prompt_cache_key", request.cache_key, "Anthropic has no keys of the cache", Weight.HINT)

    def _without(self, name: str, value: object, why: str, weight: Weight = Weight.MEANING) -> None:
        """
        :param value: ``None`` where the caller did not say it, or said what is the case anyway.
        """
        if value is not None and self._losses.drop(name, weight, why):
            self._doc[name] = value
