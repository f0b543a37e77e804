"""The tools of a request for a provider that speaks Chat Completions."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.chat.flavours import Flavour
from llm_gateway.core.translation.conversation import ChoiceMode, Request, Tool, ToolChoice
from llm_gateway.core.translation.freeform import FREEFORM_PARAMETERS, description_of
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.openai_schemas import parameters_of, strict_parameters_of

__all__ = ["ToolWriter"]

Object = dict[str, object]


class ToolWriter:
    """Writes one request's tools."""

    def __init__(self, request: Request, flavour: Flavour, losses: Losses) -> None:
        self._request = request
        self._flavour = flavour
        self._losses = losses
        self._own = request.dialect == "chat"

    def document(self) -> Object:
        """
        :return: ``tools`` and what goes with them; nothing where there are none.
        """
        request = self._request
        chosen = request.tool_choice
        tools = request.tools
        if chosen is not None and _lists(chosen) and not self._flavour.allowed_tools:
            # The tools that may not be called are not there at all then, which comes to the same.
            self._losses.change("tool_choice")
            allowed = frozenset(chosen.names)
            tools = tuple(tool for tool in tools if tool.name in allowed)
            chosen = ToolChoice(chosen.mode)
        documents: list[object] = [self._tool(tool) for tool in tools]
        for index, foreign in enumerate(request.foreign_tools):
            if foreign.dialect == "chat":
                documents.append(foreign.raw)
            else:
                weight = Weight.HINT if foreign.hint else Weight.MEANING
                self._losses.lose(f"tools[{index}].{foreign.kind}", weight, "it does not run such a tool itself.")
        if not documents:
            # Neither of the other two fields is allowed without tools.
            return {}
        out: Object = {"tools": documents}
        if chosen is not None:
            out["tool_choice"] = self._choice(chosen)
        if request.parallel_tool_calls is not None:
            out["parallel_tool_calls"] = request.parallel_tool_calls
        return out

    def _tool(self, tool: Tool) -> Object:
        described: Object = {"name": tool.name}
        if tool.description is not None:
            described["description"] = tool.description
        if tool.cache is not None:
            self._losses.lose("cache_control", Weight.HINT, "tools have no marks for the cache.")
        if tool.custom is not None and self._flavour.custom_tools:
            described["format"] = _nested(tool.custom)
            return {"type": "custom", "custom": described}
        if tool.custom is not None:
            self._losses.change(f"tools.{tool.name}")
            described["description"] = description_of(tool)
            described["parameters"] = FREEFORM_PARAMETERS
        elif tool.parameters is not None:
            described["parameters"] = self._parameters(tool, tool.parameters)
        if tool.strict is not None:
            described["strict"] = tool.strict
        if tool.strict and tool.custom is None:
            self._bind(tool, described)
        return {"type": "function", "function": described}

    def _bind(self, tool: Tool, described: Object) -> None:
        schema = strict_parameters_of(tool, self._request.dialect)
        if schema is not None:
            described["parameters"] = schema
        elif tool.parameters is not None:
            described["strict"] = False
            self._losses.change(f"tools.{tool.name}.strict")

    def _parameters(self, tool: Tool, schema: msgspec.Raw) -> msgspec.Raw:
        if self._own:
            return schema
        written, changed = parameters_of(schema, f"tools.{tool.name}.parameters")
        if not changed:
            return written
        if not self._flavour.is_openai:
            # Others may take it as it is.
            return schema
        self._losses.change(f"tools.{tool.name}.parameters")
        return written

    def _choice(self, choice: ToolChoice) -> object:
        if not choice.names or choice.mode is ChoiceMode.NONE:
            return choice.mode.value
        named = [self._named_tool(name) for name in choice.names]
        if not _lists(choice):
            return named[0]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode.value, "tools": named}}

    def _named_tool(self, name: str) -> Object:
        custom = self._flavour.custom_tools and any(
            tool.custom is not None for tool in self._request.tools if tool.name == name
        )
        kind = "custom" if custom else "function"
        return {"type": kind, kind: {"name": name}}


def _lists(choice: ToolChoice) -> bool:
    """Whether it restricts the tools rather than naming the one to call."""
    if not choice.names or choice.mode is ChoiceMode.NONE:
        return False
    return choice.mode is ChoiceMode.AUTO or len(choice.names) > 1


class _Grammar(msgspec.Struct, omit_defaults=True):
    syntax: str | None = None
    definition: str | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    syntax: str | None = None
    definition: str | None = None
    grammar: msgspec.Raw | None = None


_read_format = msgspec.json.Decoder(_Format).decode


def _nested(form: msgspec.Raw) -> object:
    """Responses has a grammar's fields beside its type, Chat Completions in an object of their own."""
    try:
        found = _read_format(form)
    except msgspec.DecodeError:
        return form
    if found.type != "grammar" or found.grammar is not None:
        return form
    return {"type": "grammar", "grammar": _Grammar(found.syntax, found.definition)}
