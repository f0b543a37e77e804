"""Answers of OpenAI, and of who is compatible with it: Chat Completions, Responses and all other operations."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from llm_gateway.core.usage.answers import BROKEN, NOTHING_THERE, AnswerReader, is_error, read, strings
from llm_gateway.core.usage.counts import Counted, OpenAICounts, ToolUsage, UsualCounts

__all__ = ["OpenAIReader"]


class _Finish(msgspec.Struct, gc=False):
    finish_reason: object = None
    usage: OpenAICounts | None = None
    """Moonshot's place for it, in streams."""


class _Groq(msgspec.Struct, gc=False):
    usage: OpenAICounts | None = None


class _Kind(msgspec.Struct, gc=False):
    type: object = None


class _Numbers(msgspec.Struct, gc=False):
    """An answer of any of OpenAI's operations, or an event of its streams."""

    model: object = None
    type: object = None
    status: object = None
    service_tier: object = None
    usage: OpenAICounts | None = None
    choices: list[_Finish] | None = None
    x_groq: _Groq | None = None
    response: _Numbers | None = None
    tool_usage: ToolUsage | None = None
    output: list[_Kind] | None = None
    error: msgspec.Raw = NOTHING_THERE


class _UsualFinish(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Usual(msgspec.Struct, gc=False):
    """Nearly all answers, and the last chunks of streams."""

    usage: UsualCounts
    model: str | None = None
    service_tier: str | None = None
    choices: list[_UsualFinish] | None = None
    response: None = None
    tool_usage: None = None
    output: None = None
    error: None = None


class _Function(msgspec.Struct, gc=False):
    name: object = None
    arguments: object = None
    input: object = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None
    custom: _Function | None = None


class _Audio(msgspec.Struct, gc=False):
    transcript: object = None


class _Message(msgspec.Struct, gc=False):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Message | None = None
    message: _Message | None = None
    text: object = None


class _Item(msgspec.Struct, gc=False):
    """Of a Response's output."""

    type: object = None
    name: object = None
    content: object = None
    summary: object = None
    arguments: object = None
    input: object = None
    code: object = None


class _Text(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    type: object = None
    delta: object = None
    output: list[_Item] | None = None
    text: object = None
    error: msgspec.Raw = NOTHING_THERE


_usual = msgspec.json.Decoder(_Usual).decode
_numbers = msgspec.json.Decoder(_Numbers).decode
_openai_usage = msgspec.json.Decoder(OpenAICounts).decode
_text = msgspec.json.Decoder(_Text).decode

_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
}
"""Items of a Response's output that are billed by the call."""


class OpenAIReader(AnswerReader):
    """Chat Completions, Responses and all other operations."""

    needle = b'_tokens"'
    wrote: ClassVar[str] = "text"
    """What was written, where the numbers do not say: ``text``, ``image`` or ``audio``."""
    _counted: Counted | None = None

    def take(self, document: bytes) -> bool | None:
        # From the end, where it is.
        if document.rfind(b'"prompt_tokens"') >= 0 and self.wrote == "text" and self._take_usual(document):
            return True
        found = read(_numbers, document)
        if found is None:
            return None
        if found.response is not None:
            found = found.response
        self._named(found.model)
        if found.error is not NOTHING_THERE and is_error(found.error):
            self.failed = True
        usage, choices = found.usage, found.choices
        if usage is None:
            if found.x_groq is not None:
                usage = found.x_groq.usage
            for choice in choices or ():
                usage = usage or choice.usage
        if usage is None:
            return False
        pieces = None
        if found.output is not None or found.tool_usage is not None:
            pieces = self._pieces(found)
        counted = usage.counted(found.service_tier, pieces, wrote=self.wrote)
        if not (counted.has_input or counted.has_output or counted.usage.pieces):
            return False
        self.numbered += 1
        final = not choices
        if choices:
            for choice in choices:
                if choice.finish_reason is not None:
                    final = True
                    break
        if not final and not counted.usage.output_tokens:
            # Some servers say 0 until the end.
            if self._counted is not None and self._counted.has_output:
                return False
            counted = msgspec.structs.replace(counted, has_output=False)
        self.final = final
        self._counted = counted
        return counted.has_output

    def _take_usual(self, document: bytes) -> bool:
        """
        Read the same by a shorter way, which most answers can go.

        :return: whether this is one of them.
        """
        try:
            found = _usual(document)
        except BROKEN:
            return False
        choices = found.choices
        final = not choices
        if choices:
            for choice in choices:
                if choice.finish_reason is not None:
                    final = True
                    break
        counted = found.usage.counted(found.service_tier)
        if counted is None or not (final or found.usage.completion_tokens):
            return False
        if found.model:
            self.model = found.model[:256]
        self.numbered += 1
        self.final = final
        self._counted = counted
        return True

    @staticmethod
    def _pieces(found: _Numbers) -> dict[str, int]:
        pieces: dict[str, int] = {}
        for item in found.output or ():
            tool = _TOOLS.get(item.type) if isinstance(item.type, str) else None
            if tool is not None:
                pieces[tool] = pieces.get(tool, 0) + 1
        if found.tool_usage is not None:
            # Of the searches it knows which are billed: opening a page is a call too.
            if found.tool_usage.web_search is not None:
                pieces.pop("web_search", None)
            pieces |= found.tool_usage.pieces()
        return pieces

    def take_usage(self, document: bytes) -> bool:
        usage = read(_openai_usage, document)
        counted = None if usage is None else usage.counted(wrote=self.wrote)
        if counted is None or not (counted.has_input or counted.has_output):
            return False
        self._counted = counted
        self.final = True
        return counted.has_output

    def said(self, document: bytes) -> str:
        found = read(_text, document)
        if found is None:
            return ""
        if found.error is not NOTHING_THERE and is_error(found.error):
            self.failed = True
        said: list[str] = []
        if found.choices is not None:
            for choice in found.choices:
                message = choice.delta or choice.message
                if message is not None:
                    _say_message(message, said)
                elif choice.text is not None:
                    said += strings(choice.text)
            return said[0] if len(said) == 1 else "".join(said)
        kind = found.type
        if isinstance(kind, str):
            if kind in ("error", "response.failed"):
                self.failed = True
            # Of sound there are the bytes and the transcript.
            if kind.endswith(".delta") and "audio.delta" not in kind and isinstance(found.delta, str):
                said.append(found.delta)
        else:
            said += strings(found.text)
        for item in found.output or ():
            for part in (item.name, item.content, item.summary, item.arguments, item.input, item.code):
                said += strings(part)
        return "".join(said)

    def counted(self) -> Counted | None:
        return self._counted


def _say_message(message: _Message, said: list[str]) -> None:
    content = message.content
    if content is not None:
        if type(content) is str:
            said.append(content)
        else:
            said += strings(content)
    # Some providers say it under both names.
    thought = message.reasoning_content or message.reasoning
    if thought is not None:
        said += strings(thought)
    if message.refusal is not None:
        said += strings(message.refusal)
    if message.audio is not None:
        said += strings(message.audio.transcript)
    if message.tool_calls is not None:
        for call in message.tool_calls:
            _say_call(call.function or call.custom, said)
    if message.function_call is not None:
        _say_call(message.function_call, said)


def _say_call(function: _Function | None, said: list[str]) -> None:
    if function is None:
        return
    if function.name is not None:
        said += strings(function.name)
    arguments = function.arguments or function.input
    if type(arguments) is str:
        said.append(arguments)
    elif arguments is not None:
        said.append(msgspec.json.encode(arguments).decode())
