"""A caller's request: everything about it but its messages."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.chat.messages_in import MessageReader, is_text
from llm_gateway.core.translation.conversation import (
    CacheMark,
    ChoiceMode,
    Foreign,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Tool,
    ToolChoice,
)
from llm_gateway.core.translation.efforts import EFFORTS
from llm_gateway.core.translation.fields import Fields, boolean, in_utf8, integer, number, raws, reading, text
from llm_gateway.errors import BadRequest

__all__ = ["read_request"]

_HINTS = frozenset(
    {
        "include_reasoning",
        "max_tokens",
        "prediction",
        "prompt_cache_options",
        "prompt_cache_retention",
        "provider",
        "reasoning.summary",
        "reasoning_format",
        "store",
        "stream_options.include_obfuscation",
        "usage",
        "user",
    }
)
"""Of what is kept in ``extras``: how an answer is made, kept and accounted for, rather than what it is."""

_MODES = {
    "auto": ChoiceMode.AUTO,
    "none": ChoiceMode.NONE,
    "required": ChoiceMode.REQUIRED,
    "any": ChoiceMode.REQUIRED,
}
"""``any`` is Mistral's."""

_ANY_TEXT = msgspec.Raw(b'{"type":"text"}')

_texts = msgspec.json.Decoder(list[str]).decode
_text_map = msgspec.json.Decoder(dict[str, str]).decode
_schema = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_request(body: bytes, model: str | None, stream: bool | None) -> Request:
    """
    :raises BadRequest: naming the field.
    """
    return _Reader(Fields(in_utf8(body), "")).request(model, stream)


class _Reader:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._extras: dict[str, msgspec.Raw] = {}
        self._hints: set[str] = set()
        self._foreign_tools: list[Foreign] = []

    def request(self, model: str | None, stream: bool | None) -> Request:
        fields = self._fields
        named = fields.take("model", text) or model
        if not named:
            raise BadRequest.of_field("model", "is required.")
        raw_messages = fields.need("messages", raws)
        if not raw_messages:
            raise BadRequest.of_field("messages", "must not be empty.")
        reader = MessageReader(self._extras, self._hints)
        messages = tuple(reader.read(raw, index) for index, raw in enumerate(raw_messages))
        streamed = fields.take("stream", boolean)
        legacy = fields.rest.get("tools") is None and fields.rest.get("functions") is not None
        tools = self._tools()
        parallel = fields.take("parallel_tool_calls", boolean)
        output = self._output()
        request = Request(
            model=named,
            messages=messages,
            stream=(streamed if streamed is not None else stream) or False,
            include_usage=self._include_usage(),
            max_tokens=self._max_tokens(),
            stop=self._stop(),
            tools=tools,
            foreign_tools=tuple(self._foreign_tools),
            tool_choice=self._tool_choice(),
            # There is room for one call in an answer of old.
            parallel_tool_calls=False if legacy and tools else parallel,
            output=output,
            reasoning=self._reasoning(),
            sampling=self._sampling(),
            choices=self._choices(),
            logprobs=fields.take("logprobs", boolean) or False,
            top_logprobs=fields.take("top_logprobs", integer),
            user=self._user(),
            metadata=fields.take("metadata", _text_map) or {},
            service_tier=fields.take("service_tier", text),
            cache_key=fields.take("prompt_cache_key", text),
            verbosity=fields.take("verbosity", text),
            modalities=tuple(each for each in fields.take("modalities", _texts) or () if each != "text"),
            dialect="chat",
            legacy_functions=legacy,
        )
        if fields.rest.get("store") == msgspec.Raw(b"false"):
            # What is not wanted, and not had, is no loss.
            del fields.rest["store"]
        self._keep(fields)
        return msgspec.structs.replace(request, extras=self._extras, hints=frozenset(self._hints))

    def _keep(self, fields: Fields) -> None:
        for name, raw in fields.rest.items():
            if raw == msgspec.Raw(b"null"):
                continue
            place = fields.at(name)
            self._extras[place] = raw.copy()
            if place in _HINTS:
                self._hints.add(place)

    # Limits and sampling

    def _max_tokens(self) -> int | None:
        newer = self._fields.take("max_completion_tokens", integer)
        if newer is not None:
            # Where both are said, the older one is told as dropped.
            return newer
        return self._fields.take("max_tokens", integer)

    def _stop(self) -> tuple[str, ...]:
        raw = self._fields.raw("stop")
        if raw is None:
            return ()
        if is_text(raw):
            return (reading(text, raw, "stop"),)
        return tuple(reading(_texts, raw, "stop"))

    def _sampling(self) -> Sampling:
        fields = self._fields
        bias = fields.raw("logit_bias")
        if bias is not None:
            reading(_schema, bias, "logit_bias")
        return Sampling(
            temperature=fields.take("temperature", number),
            top_p=fields.take("top_p", number),
            top_k=fields.take("top_k", integer),
            presence_penalty=fields.take("presence_penalty", number),
            frequency_penalty=fields.take("frequency_penalty", number),
            logit_bias=None if bias is None else bias.copy(),
            seed=fields.take("seed", integer),
        )

    def _choices(self) -> int:
        choices = self._fields.take("n", integer)
        if choices is None:
            return 1
        if choices < 1:
            raise BadRequest.of_field("n", "must be 1 or more.")
        return choices

    def _include_usage(self) -> bool:
        options = self._fields.inner("stream_options")
        if options is None:
            return False
        wanted = options.take("include_usage", boolean)
        self._keep(options)
        return wanted or False

    def _user(self) -> str | None:
        newer = self._fields.take("safety_identifier", text)
        # Where both are said, the older one stays in the extras.
        return newer if newer is not None else self._fields.take("user", text)

    # Tools

    def _tools(self) -> tuple[Tool, ...]:
        tools = [
            self._function(Fields(raw, place), Fields(raw, place)) for raw, place in self._fields.each("functions")
        ]
        for raw, place in self._fields.each("tools"):
            tool = Fields(raw, place)
            kind = tool.need("type", text)
            if kind == "function":
                tools.append(self._function(_inner(tool, "function"), tool))
            elif kind == "custom":
                tools.append(self._custom(_inner(tool, "custom")))
                self._keep(tool)
            else:
                self._foreign_tools.append(Foreign("chat", kind, raw.copy()))
        return tuple(tools)

    def _function(self, function: Fields, tool: Fields) -> Tool:
        """
        :param tool: what the function stands in; the function itself for one of old.
        """
        parameters = function.raw("parameters")
        if parameters is not None:
            reading(_schema, parameters, function.at("parameters"))
        mark = _mark(tool)
        found = Tool(
            function.need("name", text),
            function.take("description", text),
            None if parameters is None else parameters.copy(),
            function.take("strict", boolean),
            mark,
        )
        self._keep(function)
        if tool.place != function.place:
            self._keep(tool)
        return found

    def _custom(self, custom: Fields) -> Tool:
        form = custom.raw("format")
        if form is not None:
            reading(_schema, form, custom.at("format"))
        found = Tool(
            custom.need("name", text),
            custom.take("description", text),
            custom=_ANY_TEXT if form is None else form.copy(),
        )
        self._keep(custom)
        return found

    def _tool_choice(self) -> ToolChoice | None:
        of_old = self._fields.raw("function_call")
        raw = self._fields.raw("tool_choice")
        if raw is None:
            return None if of_old is None else self._function_choice(of_old)
        if is_text(raw):
            return ToolChoice(_mode(raw, "tool_choice"))
        choice = Fields(raw, "tool_choice")
        kind = choice.need("type", text)
        if kind in ("function", "custom"):
            return ToolChoice(ChoiceMode.REQUIRED, (_inner(choice, kind).need("name", text),))
        if kind != "allowed_tools":
            # A tool that the provider runs.
            self._extras["tool_choice"] = raw.copy()
            return None
        allowed = _inner(choice, "allowed_tools")
        mode = allowed.need("mode", msgspec.Raw.copy)
        names = [self._allowed(Fields(each, place)) for each, place in allowed.each("tools")]
        return ToolChoice(_mode(mode, allowed.at("mode")), tuple(names))

    def _allowed(self, tool: Fields) -> str:
        kind = tool.need("type", text)
        if kind not in ("function", "custom"):
            raise BadRequest.of_field(tool.at("type"), "must be function or custom.")
        return _inner(tool, kind).need("name", text)

    def _function_choice(self, raw: msgspec.Raw) -> ToolChoice:
        if is_text(raw):
            return ToolChoice(_mode(raw, "function_call"))
        return ToolChoice(ChoiceMode.REQUIRED, (Fields(raw, "function_call").need("name", text),))

    # What comes out

    def _output(self) -> OutputFormat | None:
        raw = self._fields.raw("response_format")
        if raw is None:
            return None
        form = Fields(raw, "response_format")
        kind = form.need("type", text)
        if kind == "text":
            return None
        if kind == "json_object":
            return OutputFormat()
        if kind != "json_schema":
            self._extras["response_format"] = raw.copy()
            return None
        described = _inner(form, "json_schema")
        schema = described.raw("schema")
        if schema is not None:
            reading(_schema, schema, described.at("schema"))
        output = OutputFormat(
            None if schema is None else schema.copy(),
            described.take("name", text),
            described.take("description", text),
            described.take("strict", boolean),
        )
        self._keep(described)
        return output

    def _reasoning(self) -> Reasoning | None:
        """
        OpenAI's ``reasoning_effort``, and what others have for the same: OpenRouter's ``reasoning``, and the
        ``thinking`` of DeepSeek and others, which is Anthropic's.
        """
        fields = self._fields
        effort = self._effort(fields, "reasoning_effort")
        enabled: bool | None = None
        budget: int | None = None
        adaptive = False
        show: str | None = None
        thinking = fields.inner("thinking")
        if thinking is not None:
            kind = thinking.need("type", text)
            enabled = kind != "disabled"
            adaptive = kind in ("adaptive", "auto")
            budget = thinking.take("budget_tokens", integer)
            self._keep(thinking)
        reasoning = fields.inner("reasoning")
        if reasoning is not None:
            effort = self._effort(reasoning, "effort") or effort
            budget = reasoning.take("max_tokens", integer) or budget
            said = reasoning.take("enabled", boolean)
            enabled = enabled if said is None else said
            show = "none" if reasoning.take("exclude", boolean) else None
            self._keep(reasoning)
        if (effort, enabled, budget, show) == (None, None, None, None):
            return None
        return Reasoning(enabled, effort, budget, adaptive, show)

    def _effort(self, fields: Fields, name: str) -> str | None:
        effort = fields.take(name, text)
        if effort is None or effort == "default":
            return None
        if effort not in EFFORTS:
            raise BadRequest.of_field(fields.at(name), f"must be one of {', '.join(EFFORTS)}.")
        return effort


def _inner(fields: Fields, name: str) -> Fields:
    found = fields.inner(name)
    if found is None:
        raise BadRequest.of_field(fields.at(name), "is required.")
    return found


def _mode(raw: msgspec.Raw, place: str) -> ChoiceMode:
    mode = reading(text, raw, place)
    if mode not in _MODES:
        raise BadRequest.of_field(place, "must be none, auto or required, or name a tool.")
    return _MODES[mode]


class _Mark(msgspec.Struct):
    ttl: str | None = None


_read_mark = msgspec.json.Decoder(_Mark).decode


def _mark(tool: Fields) -> CacheMark | None:
    mark = tool.take("cache_control", _read_mark)
    return None if mark is None else CacheMark(mark.ttl)
