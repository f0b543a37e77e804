"""A request for a provider that speaks Chat Completions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from llm_gateway.core.translation.chat.flavours import Flavour, flavour_of
from llm_gateway.core.translation.chat.messages_out import MessageWriter
from llm_gateway.core.translation.chat.tools_out import ToolWriter
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import OutputFormat, Reasoning, Request
from llm_gateway.core.translation.efforts import effort_of, nearest_effort
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.openai_models import ChatWithTools
from llm_gateway.core.translation.openai_schemas import (
    ASKED_FOR_JSON,
    asks_for_json,
    binding,
)

__all__ = ["write_request"]

Object = dict[str, object]

_LONGEST_USER = 64
"""Characters of ``user`` and ``safety_identifier`` that OpenAI takes; Claude Code's ids are longer."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FALSE = msgspec.Raw(b"false")
_WORD = re.compile(r"\w+")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_TIERS = {"standard": "default", "standard_only": "default"}
"""Anthropic's and Google's words for OpenAI's."""
_KNOWN_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

_SAMPLING: tuple[tuple[str, Weight, object], ...] = (
    ("temperature", Weight.HINT, 1),
    ("top_p", Weight.HINT, 1),
    ("presence_penalty", Weight.MEANING, 0),
    ("frequency_penalty", Weight.MEANING, 0),
    ("logit_bias", Weight.MEANING, msgspec.Raw(b"{}")),
    ("logprobs", Weight.MEANING, None),
)
"""What not every model can be told, what it is to leave it out, and what it is where nothing is said."""

_encode = msgspec.json.Encoder().encode


def write_request(request: Request, to: Destination, losses: Losses) -> bytes:
    """
    :raises Unsupported: by way of the losses.
    :raises BadRequest: a result belongs to no call.
    """
    return _encode(_Writer(request, to, losses).document())


class _Writer:
    def __init__(self, request: Request, to: Destination, losses: Losses) -> None:
        self._request = request
        self._to = to
        self._flavour: Flavour = flavour_of(to)
        self._losses = losses
        self._own = request.dialect == "chat"
        self._out: Object = {"model": to.model}
        self._messages: list[Object] = []

    def document(self) -> Object:
        request, out = self._request, self._out
        self._messages = MessageWriter(request, self._to, self._flavour, self._losses).write()
        out["messages"] = self._messages
        if request.stream:
            out["stream"] = True
            if self._flavour.usage_option:
                # Always asked for: whoever is the caller, what a call costs is to be known.
                out["stream_options"] = {"include_usage": True}
        self._add("max_tokens", request.max_tokens, self._flavour.max_tokens)
        self._add_stop()
        self._add_sampling()
        out.update(ToolWriter(request, self._flavour, self._losses).document())
        self._add_output()
        self._add_reasoning()
        self._keep_to_tools()
        if request.choices != 1:
            out["n"] = request.choices
        if request.logprobs:
            out["logprobs"] = True
            self._add("top_logprobs", request.top_logprobs)
        self._keep_to_sampling()
        self._add_audio()
        self._add_hints()
        self._add_extras()
        return out

    def _add(self, field: str, value: object, name: str | None = None) -> None:
        if value is not None:
            self._out[name or self._flavour.named(field)] = value

    def _add_if_known(self, field: str, value: object, weight: Weight, name: str | None = None) -> None:
        """Fields that a provider of which nothing is known is not sent, unless the caller speaks its dialect."""
        if value is None:
            return
        field_there = name or field
        if (
            self._own
            or field_there in self._flavour.knows
            or self._losses.drop(field, weight, "not every provider of this dialect knows it.")
        ):
            self._out[field_there] = value

    # How tokens are chosen

    def _add_stop(self) -> None:
        stop, most = self._request.stop, self._flavour.stops
        if stop and most == 0 and not self._own:
            if not self._losses.drop("stop", Weight.MEANING, "this model takes no stop sequences."):
                stop = ()
        elif most and len(stop) > most:
            self._losses.lose(f"stop[{most}:]", Weight.MEANING, f"it takes {most} stop sequences at most.")
            stop = stop[:most]
        if stop:
            self._out["stop"] = stop

    def _add_sampling(self) -> None:
        sampling = self._request.sampling
        self._add("temperature", sampling.temperature)
        self._add("top_p", sampling.top_p)
        # A hint, as in the other dialects: the model's own sampling gives an answer of the same kind.
        self._add_if_known("top_k", sampling.top_k, Weight.HINT)
        self._add("presence_penalty", sampling.presence_penalty)
        self._add("frequency_penalty", sampling.frequency_penalty)
        self._add("logit_bias", sampling.logit_bias)
        self._add("seed", sampling.seed)

    # What the answer is to be

    def _add_output(self) -> None:
        output = self._request.output
        if output is None:
            return
        if output.schema is None:
            self._add_json_object()
        elif self._flavour.schemas or self._losses.drop(
            "response_format.json_schema", Weight.MEANING, "it can be bound to JSON, but not to a schema."
        ):
            self._out["response_format"] = {"type": "json_schema", "json_schema": self._schema(output, output.schema)}
        else:
            self._add_json_object()

    def _add_json_object(self) -> None:
        self._out["response_format"] = {"type": "json_object"}
        if not self._own and not asks_for_json(self._request):
            self._losses.change("messages")
            self._messages.insert(0, {"role": "system", "content": ASKED_FOR_JSON})

    def _schema(self, output: OutputFormat, schema: msgspec.Raw) -> Object:
        name = output.name or "answer"
        if not _NAME.fullmatch(name):
            self._losses.change("response_format.json_schema.name")
            name = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]
        schema, strict = binding(output, schema, self._request.dialect)
        described: Object = {"name": name, "schema": schema}
        if output.description is not None:
            described["description"] = output.description
        if strict is not None:
            described["strict"] = strict
        if strict is False and output.strict is None:
            self._losses.change("response_format.json_schema.strict")
        return described

    def _add_reasoning(self) -> None:
        reasoning = self._request.reasoning
        if reasoning is None:
            return
        losses, flavour = self._losses, self._flavour
        if reasoning.encrypted:
            losses.lose("include.reasoning.encrypted_content", Weight.HINT, "it has no encrypted reasoning.")
        if flavour.reasoning_object:
            self._out["reasoning"] = _reasoning_object(reasoning)
            return
        if reasoning.show not in (None, "none") and flavour.thoughts is None:
            losses.lose("reasoning.summary", Weight.HINT, "it does not show a model's reasoning.")
        effort = self._effort(reasoning)
        if effort is None:
            return
        if self._to.reasoning is False or not flavour.efforts:
            if effort != "none":
                losses.lose("reasoning_effort", Weight.HINT, "this model does not reason.")
        elif effort == "none" and flavour.switch:
            self._out["thinking"] = {"type": "disabled"}
        else:
            nearest = nearest_effort(effort, flavour.efforts)
            if nearest != effort:
                losses.change("reasoning_effort")
            self._out["reasoning_effort"] = nearest

    def _effort(self, reasoning: Reasoning) -> str | None:
        if reasoning.effort is not None:
            return reasoning.effort
        if reasoning.enabled is False:
            if self._to.reasoning is None and not (self._flavour.switch or self._flavour.allowed_tools):
                # Models that never reason refuse the word.
                self._losses.lose("thinking", Weight.HINT, "whether its model reasons is not known.")
                return None
            return "none"
        if reasoning.budget_tokens is not None and not reasoning.adaptive:
            self._losses.change("reasoning_effort")
            return effort_of(reasoning.budget_tokens)
        if reasoning.enabled and self._flavour.effort == "none":
            self._losses.change("reasoning_effort")
            return "medium"
        # To think, and no word on how much, is what all other models do by themselves.
        return None

    def _keep_to_tools(self) -> None:
        """Some of OpenAI's models call tools in Chat Completions only where they do not reason, or are not told how."""
        takes = self._flavour.with_tools
        if self._own or "tools" not in self._out or takes is ChatWithTools.ANY_EFFORT:
            return
        effort = self._out.get("reasoning_effort")
        if effort == "none" or (effort is None and takes is ChatWithTools.UNSAID):
            return
        self._losses.change("reasoning_effort")
        if takes is ChatWithTools.UNSAID:
            del self._out["reasoning_effort"]
        else:
            # They reason by themselves, and then refuse the tools.
            self._out["reasoning_effort"] = "none"

    def _keep_to_sampling(self) -> None:
        """OpenAI's models that reason refuse to be told how to sample, but for some that were told not to reason."""
        efforts, told = self._flavour.sampling, self._out.get("reasoning_effort", self._flavour.effort)
        if self._own or efforts is None or told in efforts:
            return
        for name, weight, usual in _SAMPLING:
            value = self._out.get(name)
            if value is not None and (
                value == usual or not self._losses.drop(name, weight, "this model's sampling cannot be set.")
            ):
                del self._out[name]
        if "logprobs" not in self._out:
            self._out.pop("top_logprobs", None)

    def _add_audio(self) -> None:
        modalities = self._request.modalities
        if not modalities:
            return
        for kind in modalities:
            if kind != "audio" and not self._own and kind not in self._flavour.knows:
                self._losses.lose(f"modalities.{kind}", Weight.MEANING, "its answers hold no such thing.")
                modalities = tuple(each for each in modalities if each != kind)
        if modalities:
            self._out["modalities"] = ["text", *modalities]
        if "audio" in modalities and not self._own:
            # It demands to be told; and there is one format for streams.
            self._losses.change("modalities.audio")
            self._out["audio"] = {"voice": "alloy", "format": "pcm16" if self._request.stream else "wav"}

    # What does not change the answer

    def _add_hints(self) -> None:
        request = self._request
        self._add_user()
        self._add_if_known("prompt_cache_key", request.cache_key, Weight.HINT)
        self._add_if_known("verbosity", request.verbosity, Weight.HINT)
        tier = request.service_tier
        if tier is not None:
            known = _TIERS.get(tier, tier)
            if known != tier:
                self._losses.change("service_tier")
            if known in _KNOWN_TIERS:
                self._add_if_known("service_tier", known, Weight.HINT)
            else:
                self._losses.lose("service_tier", Weight.HINT, "it has no such tier.")
        if request.metadata and (
            self._own
            # OpenAI refuses them unless the answer is stored, which is not for the gateway to decide.
            or self._losses.drop("metadata", Weight.HINT, "it keeps them with stored answers only.")
        ):
            self._out["metadata"] = request.metadata

    def _add_user(self) -> None:
        user = self._request.user
        if user is None:
            return
        if len(user) > _LONGEST_USER:
            # As good for telling users apart, and no longer readable, which OpenAI asks for.
            self._losses.change("user")
            user = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
        self._out["safety_identifier" if "safety_identifier" in self._flavour.knows else "user"] = user

    def _add_extras(self) -> None:
        request = self._request
        for place, raw in request.extras.items():
            weight = Weight.HINT if place in request.hints else Weight.MEANING
            shared = request.dialect == "responses" and place in self._flavour.knows
            if self._own or shared:
                if not _put(self._out, place, raw):
                    self._losses.lose(place, weight, "it stood where nothing is now.")
            elif place == "store" and raw == _FALSE:
                # That is how it is here anyway.
                continue
            elif not _WORD.fullmatch(place):
                self._losses.lose(place, weight, "Chat Completions has no such field.")
            elif self._losses.drop(place, weight, "Chat Completions has no such field."):
                self._out.setdefault(place, raw)


def _reasoning_object(reasoning: Reasoning) -> Object:
    """OpenRouter's ``reasoning``, which can say all of it."""
    document: Object = {}
    if reasoning.enabled is not None:
        document["enabled"] = reasoning.enabled
    if reasoning.budget_tokens is not None and not reasoning.adaptive:
        # One of the two only.
        document["max_tokens"] = reasoning.budget_tokens
    elif reasoning.effort is not None:
        document["effort"] = reasoning.effort
    if reasoning.show == "none":
        document["exclude"] = True
    return document


def _put(document: Object, place: str, raw: msgspec.Raw) -> bool:
    """
    :param place: such as ``messages[2].content[0].note``; all but the last step of it have to be there.
    :return: whether there was room.
    """
    steps = [name if name else int(index) for name, index in _STEP.findall(place)]
    if not steps:
        return False
    at: object = document
    for step in steps[:-1]:
        if isinstance(at, dict) and isinstance(step, str):
            if step not in at and at is document:
                at[step] = {}
            at = at.get(step)
        elif isinstance(at, list | tuple) and isinstance(step, int) and step < len(at):
            at = at[step]
        else:
            return False
    last = steps[-1]
    if isinstance(at, Mapping) and isinstance(last, str) and last not in at:
        at[last] = raw  # type: ignore[index]
        return True
    return False
