"""
Custom tools (free text in place of JSON arguments) for providers that know functions only.

A function with one string, ``input``, stands in for the tool. Every codec whose dialect has no custom tools writes them
so, and the codec of a caller who has them takes the text out again. The grammar that the text has to follow becomes a
part of the description: nothing but the model's good will enforces it then, so it counts as changed.

Source: https://platform.openai.com/docs/guides/function-calling#custom-tools
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.conversation import Tool

__all__ = ["FREEFORM_PARAMETERS", "as_arguments", "as_text", "description_of"]

FREEFORM_PARAMETERS = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as it is."}},'
    b'"required":["input"],"additionalProperties":false}'
)
"""The schema of the function that stands in for a custom tool."""


class _Arguments(msgspec.Struct):
    input: str


class _Grammar(msgspec.Struct):
    syntax: str = ""
    definition: str = ""


class _Format(msgspec.Struct):
    type: str = "text"
    syntax: str = ""
    definition: str = ""
    grammar: _Grammar | None = None
    """Chat Completions nests it, Responses does not."""


_decode_arguments = msgspec.json.Decoder(_Arguments).decode
_decode_format = msgspec.json.Decoder(_Format).decode


def description_of(tool: Tool) -> str:
    """
    :param tool: a custom tool.
    :return: what to describe the function with: the tool's own description and the grammar, if there is one.
    """
    text = tool.description or ""
    if tool.custom is None:
        return text
    try:
        form = _decode_format(tool.custom)
    except msgspec.DecodeError:
        return text
    grammar = form.grammar or _Grammar(form.syntax, form.definition)
    if not grammar.definition:
        return text
    return f"{text}\n\nThe input follows this grammar ({grammar.syntax or 'lark'}):\n{grammar.definition}".lstrip("\n")


def as_arguments(text: str) -> str:
    """
    :param text: the input of a custom tool's call.
    :return: the arguments of the function's call that stands in for it.
    """
    return msgspec.json.encode({"input": text}).decode()


def as_text(arguments: str) -> str:
    """
    :param arguments: of the function's call, as the model wrote them.
    :return: the input of the custom tool's call; the arguments as they are if the model did not follow the schema.
    """
    try:
        return _decode_arguments(arguments).input
    except msgspec.DecodeError:
        pass
    try:
        return _decode_arguments(mended(arguments.encode())).input
    except msgspec.DecodeError:
        return arguments
