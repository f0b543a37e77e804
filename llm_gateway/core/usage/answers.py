"""
What each dialect's answers tell of what was used, whole or event by event.

A reader is shown as little of an answer as will do: what has numbers, and, where the numbers never came, what has text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

import msgspec

from llm_gateway.core.surrogates import mended
from llm_gateway.core.usage.counts import Counted, GeminiCounts, MessagesCounts, OpenAICounts, ToolUsage, tier_of

__all__ = ["AnswerReader", "GeminiReader", "MessagesReader", "OpenAIReader"]

_T = TypeVar("_T")
_RAW = msgspec.Raw()
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _read(decode: Callable[[bytes], _T], document: bytes) -> _T | None:
    """
    :return: ``None`` for what is not of this form: it counts for nothing.
    """
    try:
        return decode(document)
    except _BROKEN:
        pass
    if b"\\u" not in document:
        return None
    try:
        return decode(mended(document))
    except _BROKEN:
        return None


class _Named(msgspec.Struct, gc=False):
    model: object = None
    model_version: object = msgspec.field(default=None, name="modelVersion")
    service_tier: object = None
    response: _Named | None = None
    message: _Named | None = None


_named = msgspec.json.Decoder(_Named).decode


class AnswerReader(ABC):
    """Reads one answer."""

    needle: ClassVar[bytes]
    """Is in every event that has numbers, and in few others. Quoted text has a backslash before the quote."""
    cumulative: ClassVar[bool] = True
    """Whether the last event with numbers has all of them."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.tier: str | None = None
        self.final = False
        """Whether the numbers are the last that there will be, even if the answer's end does not come."""
        self.failed = False
        """Whether it says that it is an error."""

    @abstractmethod
    def take(self, document: bytes) -> bool | None:
        """
        Learn the numbers, the model and the tier.

        :param document: an answer, or the data of one event.
        :return: whether it tells how much has been written so far; ``None`` if it cannot be read.
        """

    def name(self, document: bytes) -> None:
        """Learn the model and the tier alone."""
        found = _read(_named, document)
        for each in () if found is None else (found, found.response, found.message):
            if each is not None:
                self._named(each.model or each.model_version)
                self.tier = tier_of(each.service_tier) or self.tier

    @abstractmethod
    def take_usage(self, document: bytes) -> bool:
        """
        The same of an object that was found under a name like ``usage``, where the rest is not at hand.
        """

    @abstractmethod
    def said(self, document: bytes) -> str:
        """
        :param document: an answer, or the data of one event.
        :return: all in it that a model wrote: texts, thoughts, the arguments of calls.
        """

    @abstractmethod
    def counted(self) -> Counted | None:
        """What the numbers come to; ``None`` while there are none."""

    def _named(self, model: object) -> None:
        if isinstance(model, str) and model:
            self.model = model[:256]


def _strings(value: object) -> Iterator[str]:
    """The texts of a ``content``, which is one, or a list of parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for name in ("text", "thinking", "refusal", "content"):
            yield from _strings(value.get(name))


def _is_error(raw: msgspec.Raw) -> bool:
    return bytes(raw)[:1] in (b"{", b'"')


# OpenAI, and who is compatible with it


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
    error: msgspec.Raw = _RAW


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
    error: msgspec.Raw = _RAW


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

    def __init__(self, *, images: bool = False) -> None:
        """
        :param images: whether what was written is images, where the answer does not say.
        """
        super().__init__()
        self._images = images
        self._counted: Counted | None = None

    def take(self, document: bytes) -> bool | None:
        found = _read(_numbers, document)
        if found is None:
            return None
        if found.response is not None:
            found = found.response
        self._named(found.model)
        if _is_error(found.error):
            self.failed = True
        usage, choices = found.usage, found.choices
        if usage is None:
            if found.x_groq is not None:
                usage = found.x_groq.usage
            for choice in choices or ():
                usage = usage or choice.usage
        if usage is None:
            return False
        counted = usage.counted(found.service_tier, self._pieces(found), images=self._images)
        if not (counted.has_input or counted.has_output or counted.usage.pieces):
            return False
        self._counted = counted
        self.final = not choices or any(choice.finish_reason is not None for choice in choices)
        return counted.has_output

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
        usage = _read(_openai_usage, document)
        counted = None if usage is None else usage.counted(images=self._images)
        if counted is None or not (counted.has_input or counted.has_output):
            return False
        self._counted = counted
        self.final = True
        return counted.has_output

    def said(self, document: bytes) -> str:
        found = _read(_text, document)
        if found is None:
            return ""
        if found.error is not _RAW and _is_error(found.error):
            self.failed = True
        said: list[str] = []
        if found.choices is not None:
            for choice in found.choices:
                message = choice.delta or choice.message
                if message is not None:
                    _say_message(message, said)
                elif choice.text is not None:
                    said += _strings(choice.text)
            return said[0] if len(said) == 1 else "".join(said)
        kind = found.type
        if isinstance(kind, str):
            if kind in ("error", "response.failed"):
                self.failed = True
            # Of sound there are the bytes and the transcript.
            if kind.endswith(".delta") and "audio.delta" not in kind and isinstance(found.delta, str):
                said.append(found.delta)
        else:
            said += _strings(found.text)
        for item in found.output or ():
            for part in (item.name, item.content, item.summary, item.arguments, item.input, item.code):
                said += _strings(part)
        return "".join(said)

    def counted(self) -> Counted | None:
        return self._counted


def _say_message(message: _Message, said: list[str]) -> None:
    content = message.content
    if content is not None:
        if type(content) is str:
            said.append(content)
        else:
            said += _strings(content)
    # Some providers say it under both names.
    thought = message.reasoning_content or message.reasoning
    if thought is not None:
        said += _strings(thought)
    if message.refusal is not None:
        said += _strings(message.refusal)
    if message.audio is not None:
        said += _strings(message.audio.transcript)
    if message.tool_calls is not None:
        for call in message.tool_calls:
            _say_call(call.function or call.custom, said)
    if message.function_call is not None:
        _say_call(message.function_call, said)


def _say_call(function: _Function | None, said: list[str]) -> None:
    if function is None:
        return
    if function.name is not None:
        said += _strings(function.name)
    arguments = function.arguments or function.input
    if type(arguments) is str:
        said.append(arguments)
    elif arguments is not None:
        said.append(msgspec.json.encode(arguments).decode())


# Anthropic


class _MessageNumbers(msgspec.Struct, gc=False):
    """A message, or an event of its stream."""

    type: object = None
    model: object = None
    message: _MessageNumbers | None = None
    usage: MessagesCounts | None = None
    error: msgspec.Raw = _RAW


class _Delta(msgspec.Struct, gc=False):
    text: object = None
    thinking: object = None
    partial_json: object = None


class _Block(msgspec.Struct, gc=False):
    name: object = None
    text: object = None
    thinking: object = None
    input: msgspec.Raw = _RAW


class _MessageText(msgspec.Struct, gc=False):
    type: object = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    content: list[_Block] | None = None
    completion: object = None
    """Of the old Text Completions."""


_message_numbers = msgspec.json.Decoder(_MessageNumbers).decode
_messages_usage = msgspec.json.Decoder(MessagesCounts).decode
_message_text = msgspec.json.Decoder(_MessageText).decode


class MessagesReader(AnswerReader):
    needle = b'_tokens"'
    cumulative = False

    def __init__(self) -> None:
        super().__init__()
        self._counts: MessagesCounts | None = None
        self._told = False
        """Whether what was written is known: the number that a stream begins with is no more than a least one."""

    def take(self, document: bytes) -> bool | None:
        found = _read(_message_numbers, document)
        if found is None:
            return None
        begins = found.message is not None
        if found.message is not None:
            found = found.message
        self._named(found.model)
        if _is_error(found.error):
            self.failed = True
        return found.usage is not None and self._add(found.usage, told=not begins)

    def take_usage(self, document: bytes) -> bool:
        usage = _read(_messages_usage, document)
        return usage is not None and self._add(usage, told=True)

    def _add(self, usage: MessagesCounts, *, told: bool) -> bool:
        if usage.input_tokens is None and usage.output_tokens is None:
            return False
        if self._counts is None:
            self._counts = usage
        else:
            self._counts.add(usage)
        told = told and usage.output_tokens is not None
        self._told = self.final = self._told or told
        return told

    def said(self, document: bytes) -> str:
        found = _read(_message_text, document)
        if found is None:
            return ""
        if found.type == "error":
            self.failed = True
        said: list[str] = []
        delta = found.delta
        if delta is not None:
            text = delta.text or delta.thinking or delta.partial_json
            return text if type(text) is str else ""
        if found.content_block is not None:
            _say_block(found.content_block, said)
        for block in found.content or ():
            _say_block(block, said)
        said += _strings(found.completion)
        return "".join(said)

    def counted(self) -> Counted | None:
        if self._counts is None:
            return None
        counted = self._counts.counted()
        return counted if self._told else msgspec.structs.replace(counted, has_output=False)


def _say_block(block: _Block, said: list[str]) -> None:
    said += _strings(block.name)
    said += _strings(block.text)
    said += _strings(block.thinking)
    written = bytes(block.input)
    if len(written) > 2:
        said.append(written.decode("utf-8", "replace"))


# Gemini


class _Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[object] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    finish_reason: object = None
    grounding_metadata: _Grounding | None = None


class _GeminiNumbers(msgspec.Struct, rename="camel", gc=False):
    model_version: object = None
    usage_metadata: GeminiCounts | None = None
    candidates: list[_Candidate] | None = None
    error: msgspec.Raw = _RAW


class _FunctionCall(msgspec.Struct, gc=False):
    name: object = None
    args: msgspec.Raw = _RAW


class _Code(msgspec.Struct, gc=False):
    code: object = None


class _Part(msgspec.Struct, rename="camel", gc=False):
    text: object = None
    function_call: _FunctionCall | None = None
    executable_code: _Code | None = None
    """What it came to is not the model's, which reads it."""


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _TextCandidate(msgspec.Struct, gc=False):
    content: _Content | None = None


class _GeminiText(msgspec.Struct, gc=False):
    candidates: list[_TextCandidate] | None = None
    error: msgspec.Raw = _RAW


_gemini_numbers = msgspec.json.Decoder(_GeminiNumbers | list[_GeminiNumbers]).decode
_gemini_usage = msgspec.json.Decoder(GeminiCounts).decode
_gemini_text = msgspec.json.Decoder(_GeminiText | list[_GeminiText]).decode


class GeminiReader(AnswerReader):
    """Without ``alt=sse`` a stream is one document: a list of what would have been its events."""

    needle = b'TokenCount"'

    def __init__(self) -> None:
        super().__init__()
        self._counts: GeminiCounts | None = None
        self._searches = 0

    def take(self, document: bytes) -> bool | None:
        found = _read(_gemini_numbers, document)
        if isinstance(found, list):
            return max([self._take(each) for each in found], default=False)
        return None if found is None else self._take(found)

    def _take(self, found: _GeminiNumbers) -> bool:
        self._named(found.model_version)
        if _is_error(found.error):
            self.failed = True
        for candidate in found.candidates or ():
            if candidate.finish_reason is not None:
                self.final = True
            if candidate.grounding_metadata is not None:
                self._searches = max(self._searches, len(candidate.grounding_metadata.web_search_queries or ()))
        return found.usage_metadata is not None and self._add(found.usage_metadata)

    def take_usage(self, document: bytes) -> bool:
        usage = _read(_gemini_usage, document)
        return usage is not None and self._add(usage)

    def _add(self, counts: GeminiCounts) -> bool:
        if counts.prompt_token_count is None and counts.total_token_count is None:
            return False
        self._counts = counts
        return self._told(counts)

    def _told(self, counts: GeminiCounts) -> bool:
        # Events before the last may leave it out, and have a text all the same.
        return self.final or counts.candidates_token_count is not None

    def said(self, document: bytes) -> str:
        found = _read(_gemini_text, document)
        said: list[str] = []
        for each in found if isinstance(found, list) else () if found is None else (found,):
            if _is_error(each.error):
                self.failed = True
            for candidate in each.candidates or ():
                for part in (candidate.content.parts or ()) if candidate.content is not None else ():
                    _say_part(part, said)
        return "".join(said)

    def counted(self) -> Counted | None:
        if self._counts is None:
            return None
        counted = self._counts.counted({"web_search": self._searches} if self._searches else {})
        return msgspec.structs.replace(counted, has_output=counted.has_output and self._told(self._counts))


def _say_part(part: _Part, said: list[str]) -> None:
    said += _strings(part.text)
    if part.function_call is not None:
        said += _strings(part.function_call.name)
        said.append(bytes(part.function_call.args).decode("utf-8", "replace"))
    if part.executable_code is not None:
        said += _strings(part.executable_code.code)
