"""Tools, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from llm_gateway.core.translation.conversation import ChoiceMode, Foreign, Tool, ToolChoice
from llm_gateway.core.translation.fields import Fields, boolean, reading, text
from llm_gateway.core.translation.responses import builtins
from llm_gateway.core.translation.responses.documents import CustomTool, FunctionTool, NamespaceTool
from llm_gateway.core.translation.responses.names import flat_name
from llm_gateway.core.translation.responses.raw import is_text
from llm_gateway.errors import BadRequest

__all__ = ["WrittenTool", "read_choice", "read_tools", "write_choice", "write_tools"]

WrittenTool = FunctionTool | CustomTool | NamespaceTool | msgspec.Raw

_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')
_FREE_TEXT = msgspec.Raw(b'{"type":"text"}')
_MODES = {mode.value: mode for mode in ChoiceMode}

_EXTENDING = ("web_search", "tool_search")
"""
What OpenAI adds to a program's own tools: a search of the web, and finding tools that are not told at first. Codex
always sends the one and with many tools the other. Where the caller has tools of its own and demands none of these, it
gets on without, so they are hints; such a tool alone is what the caller wants.
"""


# Reading


def read_tools(
    tools: Iterable[tuple[msgspec.Raw, str]], forced: bool, unknown: dict[str, msgspec.Raw]
) -> tuple[tuple[Tool, ...], tuple[Foreign, ...]]:
    """
    :param tools: with their places.
    :param forced: whether ``tool_choice`` names a tool of OpenAI's own.
    :param unknown: gets the fields that are not understood, by name.
    :return: the caller's tools and OpenAI's. Of several with one name, the first.
    """
    reader = _ToolReader(unknown)
    for raw, place in tools:
        reader.read(raw, place)
    extends = bool(reader.tools) and not forced
    foreign = tuple(
        Foreign("responses", kind, raw, hint=extends and kind.startswith(_EXTENDING)) for kind, raw in reader.foreign
    )
    return tuple(reader.tools.values()), foreign


class _ToolReader:
    def __init__(self, unknown: dict[str, msgspec.Raw]) -> None:
        self.tools: dict[str, Tool] = {}
        self.foreign: list[tuple[str, msgspec.Raw]] = []
        self._unknown = unknown

    def read(self, raw: msgspec.Raw, place: str, namespace: str | None = None) -> None:
        tool = Fields(raw, place)
        kind = tool.need("type", text)
        if kind == "function":
            self._function(tool, namespace)
        elif kind == "custom":
            self._custom(tool, namespace)
        elif kind == "namespace" and namespace is None:
            name = tool.need("name", text)
            for member, where in tool.each("tools"):
                self.read(member, where, name)
            return
        elif (own := builtins.tool_for(kind, tool)) is not None:
            self.tools.setdefault(own.name, own)
            return
        else:
            self.foreign.append((kind, raw))
            return
        for name, value in tool.rest.items():
            self._unknown.setdefault(f"tools[].{name}", value)

    def _add(self, tool: Tool, name: str, namespace: str | None) -> None:
        if namespace is not None:
            tool = msgspec.structs.replace(tool, name=flat_name(namespace, name), namespace=(namespace, name))
        self.tools.setdefault(tool.name, tool)

    def _function(self, tool: Fields, namespace: str | None) -> None:
        name = tool.need("name", text)
        parameters = tool.raw("parameters")
        if parameters is not None:
            Fields(parameters, tool.at("parameters"))
        read = Tool(name, tool.take("description", text), parameters, tool.take("strict", boolean))
        self._add(read, name, namespace)

    def _custom(self, tool: Fields, namespace: str | None) -> None:
        name = tool.need("name", text)
        form = tool.raw("format")
        if form is not None:
            Fields(form, tool.at("format"))
        read = Tool(name, tool.take("description", text), custom=_FREE_TEXT if form is None else form)
        self._add(read, name, namespace)


class ReadChoice(NamedTuple):
    choice: ToolChoice | None
    foreign: bool
    """Whether it names a tool that OpenAI runs."""


def read_choice(raw: msgspec.Raw, place: str) -> ReadChoice:
    """
    :param raw: ``tool_choice``.
    """
    if is_text(raw):
        mode = _MODES.get(reading(text, raw, place))
        if mode is None:
            raise BadRequest.of_field(place, f"must be one of {', '.join(_MODES)}, or an object.")
        return ReadChoice(ToolChoice(mode), False)
    fields = Fields(raw, place)
    kind = fields.need("type", text)
    if kind != "allowed_tools":
        name = _chosen(kind, fields)
        return ReadChoice(None, True) if name is None else ReadChoice(ToolChoice(ChoiceMode.REQUIRED, (name,)), False)
    mode = _MODES.get(fields.need("mode", text))
    if mode not in (ChoiceMode.AUTO, ChoiceMode.REQUIRED):
        raise BadRequest.of_field(fields.at("mode"), "must be auto or required.")
    names = []
    for tool, where in fields.each("tools"):
        allowed = Fields(tool, where)
        name = _chosen(allowed.need("type", text), allowed)
        if name is None:
            return ReadChoice(None, True)
        names.append(name)
    return ReadChoice(ToolChoice(mode, tuple(names)), False)


def _chosen(kind: str, tool: Fields) -> str | None:
    if kind in ("function", "custom"):
        name = tool.need("name", text)
        namespace = tool.take("namespace", text)
        return name if namespace is None else flat_name(namespace, name)
    return kind if builtins.tool_for(kind, tool) is not None else None


# Writing


def write_tools(tools: Sequence[Tool]) -> list[WrittenTool]:
    """
    :return: the caller's tools as the dialect has them, those of one namespace together where its first one stands.
    """
    written: list[WrittenTool] = []
    spaces: dict[str, list[FunctionTool | CustomTool]] = {}
    for tool in tools:
        if builtins.is_builtin(tool):
            written.append(builtins.written(tool))
            continue
        if tool.namespace is None:
            written.append(_written(tool, tool.name))
            continue
        space, name = tool.namespace
        members = spaces.get(space)
        if members is None:
            members = spaces[space] = []
            written.append(NamespaceTool(name=space, description=f"Tools in the {space} namespace.", tools=members))
        members.append(_written(tool, name))
    return written


def _written(tool: Tool, name: str) -> FunctionTool | CustomTool:
    if tool.custom is not None:
        return CustomTool(name=name, description=tool.description, format=_flat(tool.custom))
    return FunctionTool(
        name=name,
        description=tool.description,
        parameters=_NO_ARGUMENTS if tool.parameters is None else tool.parameters,
        # Strict is the default of this dialect and of no other: not said, it has to be refused.
        strict=bool(tool.strict),
    )


class _Grammar(msgspec.Struct):
    syntax: msgspec.Raw
    definition: msgspec.Raw


class _NestedFormat(msgspec.Struct):
    type: msgspec.Raw
    grammar: _Grammar


_nested_format = msgspec.json.Decoder(_NestedFormat).decode


def _flat(form: msgspec.Raw) -> msgspec.Raw:
    """Chat Completions has a grammar's fields in an object of their own, this dialect beside the type."""
    try:
        found = _nested_format(form)
    except msgspec.MsgspecError:
        return form
    grammar = found.grammar
    fields = {"type": found.type, "syntax": grammar.syntax, "definition": grammar.definition}
    return msgspec.Raw(msgspec.json.encode(fields))


class _Named(msgspec.Struct, frozen=True):
    type: str
    name: str


class _Allowed(msgspec.Struct, frozen=True, tag_field="type", tag="allowed_tools"):
    mode: str
    tools: list[_Named]


def write_choice(choice: ToolChoice, tools: Sequence[Tool]) -> str | _Named | _Allowed:
    """
    :param tools: the request's, that tell functions from custom tools.
    """
    if not choice.names or choice.mode is ChoiceMode.NONE:
        return choice.mode.value
    kinds = {tool.name: "custom" for tool in tools if tool.custom is not None}
    named = [_Named(kinds.get(name, "function"), name) for name in choice.names]
    if choice.mode is ChoiceMode.REQUIRED and len(named) == 1:
        return named[0]
    return _Allowed(choice.mode.value, named)
