"""
What fields are called in the request that was sent.

Codecs name what they leave out by its place in the neutral conversation (``messages[1].parts[0].cache_control``), for
they know no dialect but their own. A caller looks for it in its own document, where it is
``messages[0].content[0].cache_control``, and an instruction stands in ``system``. The document itself tells which of a
field's possible names was used, and whether a position in the conversation is one in the document: where messages were
joined, the index is left out (``input[]``) rather than wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from llm_gateway.core.translation.conversation import (
    Audio,
    Message,
    Part,
    Refusal,
    Request,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported, Weight
from llm_gateway.errors import BadRequest

__all__ = ["SpelledLosses", "Spelling", "collapsed"]

_MOST_PLACES = 64
"""Named one by one. Of more, each field is named once: there would be no room for them in a header."""

_INDEX = re.compile(r"\[\d+\]")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")
_LAST = re.compile(r"[^.\[\]]+")
_CAPITAL = re.compile(r"(?<!^)([A-Z])")
_PLACE = re.compile(
    r"messages\[(?P<message>\d+)\]"
    r"(?:\.(?:parts|content)\[(?P<part>\d+)\])?"
    r"(?:\.(?:parts|content)\[(?P<inner>\d+)\])?"
    r"(?:\.(?P<field>.+))?"
)
_TOOL = re.compile(r"tools\[(?P<at>\d+)\](?:\.(?P<field>.+))?")
_FOREIGN_TOOL = re.compile(r"tools\[(?P<kind>[^\]]*[^\]\d][^\]]*)\]")
_NAMED_TOOL = re.compile(r"tools\.(?P<name>.+?)(?:\.(?P<field>parameters|strict))?")

_Names = Mapping[str, tuple[str, ...]]

_CHAT: _Names = {
    "include.reasoning.encrypted_content": ("include",),
    "max_tokens": ("max_completion_tokens", "max_tokens"),
    "messages.name": ("messages[].name",),
    "output.name": ("response_format.json_schema.name",),
    "output.strict": ("response_format.json_schema.strict",),
    "parallel_tool_calls": ("parallel_tool_calls", "functions"),
    "reasoning": ("reasoning_effort", "reasoning", "thinking"),
    "reasoning.budget_tokens": ("thinking.budget_tokens", "reasoning.max_tokens"),
    "reasoning.effort": ("reasoning_effort", "reasoning.effort", "thinking.type", "reasoning.enabled"),
    "reasoning.enabled": ("thinking.type", "reasoning.enabled", "reasoning_effort"),
    "reasoning.show": ("reasoning.exclude",),
    "reasoning_effort": ("reasoning_effort", "reasoning", "thinking"),
    "response_format.description": ("response_format.json_schema.description",),
    "thinking": ("thinking", "reasoning.enabled"),
    "tool_choice": ("tool_choice", "function_call"),
    "tools": ("tools", "functions"),
    "user": ("safety_identifier", "user"),
}

_FORMAT_OF_MESSAGES = ("output_config.format", "output_format")
_THINKING_OF_MESSAGES = ("output_config.effort", "thinking.budget_tokens", "thinking")

_MESSAGES: _Names = {
    "messages.name": ("messages",),
    "metadata": ("metadata",),
    "output.name": _FORMAT_OF_MESSAGES,
    "output.strict": _FORMAT_OF_MESSAGES,
    "parallel_tool_calls": ("tool_choice.disable_parallel_tool_use",),
    "reasoning": ("thinking", "output_config.effort"),
    "reasoning.budget_tokens": ("thinking.budget_tokens",),
    "reasoning.effort": _THINKING_OF_MESSAGES,
    "reasoning.enabled": ("thinking",),
    "reasoning.show": ("thinking.display",),
    "reasoning.summary": ("thinking.display",),
    "reasoning_effort": _THINKING_OF_MESSAGES,
    "response_format": _FORMAT_OF_MESSAGES,
    "response_format.description": _FORMAT_OF_MESSAGES,
    "response_format.json_schema": _FORMAT_OF_MESSAGES,
    "response_format.json_schema.name": _FORMAT_OF_MESSAGES,
    "response_format.json_schema.schema": ("output_config.format.schema", "output_format.schema"),
    "response_format.json_schema.strict": _FORMAT_OF_MESSAGES,
    "stop": ("stop_sequences",),
    "user": ("metadata.user_id",),
}

_RESPONSES: _Names = {
    "include.reasoning.encrypted_content": ("include",),
    "logprobs": ("top_logprobs", "include"),
    "max_tokens": ("max_output_tokens",),
    "messages": ("input",),
    "messages.name": ("input",),
    "output.name": ("text.format.name",),
    "output.strict": ("text.format.strict",),
    "reasoning": ("reasoning", "include"),
    "reasoning.budget_tokens": ("reasoning",),
    "reasoning.enabled": ("reasoning.effort",),
    "reasoning.show": ("reasoning.summary", "reasoning.generate_summary"),
    "reasoning.summary": ("reasoning.summary", "reasoning.generate_summary"),
    "reasoning_effort": ("reasoning.effort",),
    "response_format": ("text.format",),
    "response_format.description": ("text.format.description",),
    "response_format.json_schema": ("text.format",),
    "response_format.json_schema.name": ("text.format.name",),
    "response_format.json_schema.schema": ("text.format.schema",),
    "response_format.json_schema.strict": ("text.format.strict",),
    "thinking": ("reasoning.effort",),
    "user": ("safety_identifier", "user"),
    "verbosity": ("text.verbosity",),
}

_CONFIG = "generationConfig."
_THINKING = f"{_CONFIG}thinkingConfig"
_FORMAT_OF_GEMINI = (
    f"{_CONFIG}_responseJsonSchema",
    f"{_CONFIG}responseJsonSchema",
    f"{_CONFIG}responseSchema",
    f"{_CONFIG}responseMimeType",
)
_EFFORT_OF_GEMINI = (f"{_THINKING}.thinkingLevel", f"{_THINKING}.thinkingBudget", _THINKING)

_GEMINI: _Names = {
    "frequency_penalty": (f"{_CONFIG}frequencyPenalty",),
    "logprobs": (f"{_CONFIG}responseLogprobs",),
    "max_tokens": (f"{_CONFIG}maxOutputTokens",),
    "messages": ("contents",),
    "messages.name": ("contents",),
    "modalities": (f"{_CONFIG}responseModalities",),
    "n": (f"{_CONFIG}candidateCount",),
    "output.name": _FORMAT_OF_GEMINI,
    "output.strict": _FORMAT_OF_GEMINI,
    "presence_penalty": (f"{_CONFIG}presencePenalty",),
    "reasoning": (_THINKING,),
    "reasoning.budget_tokens": (f"{_THINKING}.thinkingBudget",),
    "reasoning.effort": _EFFORT_OF_GEMINI,
    "reasoning.enabled": _EFFORT_OF_GEMINI[1:],
    "reasoning.show": (f"{_THINKING}.includeThoughts",),
    "reasoning.summary": (f"{_THINKING}.includeThoughts",),
    "reasoning_effort": _EFFORT_OF_GEMINI,
    "response_format": _FORMAT_OF_GEMINI,
    "response_format.description": _FORMAT_OF_GEMINI,
    "response_format.json_schema": _FORMAT_OF_GEMINI,
    "response_format.json_schema.name": _FORMAT_OF_GEMINI,
    "response_format.json_schema.schema": _FORMAT_OF_GEMINI,
    "response_format.json_schema.strict": _FORMAT_OF_GEMINI,
    "seed": (f"{_CONFIG}seed",),
    "service_tier": ("serviceTier",),
    "stop": (f"{_CONFIG}stopSequences",),
    "taskType": ("taskType", "embedContentConfig.taskType", "requests[].taskType"),
    "temperature": (f"{_CONFIG}temperature",),
    "thinking": _EFFORT_OF_GEMINI[1:],
    "title": ("title", "embedContentConfig.title", "requests[].title"),
    "tool_choice": ("toolConfig.functionCallingConfig",),
    "top_k": (f"{_CONFIG}topK",),
    "top_logprobs": (f"{_CONFIG}logprobs",),
    "top_p": (f"{_CONFIG}topP",),
}

_NAMES: Mapping[str, _Names] = {"chat": _CHAT, "responses": _RESPONSES, "messages": _MESSAGES, "gemini": _GEMINI}

_WHOLE = frozenset({("chat", "reasoning"), ("messages", "reasoning")})
"""Lost with all that it is made of: every name that was used is told."""

_IN_MESSAGES: Mapping[str, _Names] = {
    "chat": {"name": ("name", "tool_calls[].function.name", "tool_calls[].custom.name", "function_call.name")},
    "messages": {"name": ("content[].name",)},
    "responses": {},
    "gemini": {"name": ("parts[].functionCall.name",)},
}

_IN_PARTS: Mapping[str, _Names] = {
    "chat": {
        "arguments": ("function.arguments", "custom.input", "arguments"),
        "audio": ("input_audio",),
        "cache_control": ("prompt_cache_breakpoint", "cache_control"),
        "cache_control.ttl": ("prompt_cache_breakpoint.ttl", "cache_control.ttl"),
        "detail": ("image_url.detail",),
        "file_id": ("file.file_id",),
        "name": ("file.filename",),
        "signature": ("extra_content",),
        "url": ("image_url", "file.file_data"),
    },
    "messages": {
        "arguments": ("input",),
        "file_id": ("source.file_id",),
        "media_type": ("source.media_type", "source"),
        "name": ("title",),
        "signature": ("signature", "data"),
        "url": ("source.url",),
    },
    "responses": {
        "arguments": ("arguments", "input"),
        "audio": ("input_audio",),
        "cache_control": ("prompt_cache_breakpoint",),
        "cache_control.ttl": ("prompt_cache_breakpoint.ttl",),
        "citations": ("annotations",),
        "name": ("filename",),
        "signature": ("encrypted_content",),
        "url": ("image_url", "file_url"),
    },
    "gemini": {
        "arguments": ("functionCall.args",),
        "audio": ("inlineData", "fileData"),
        "detail": ("mediaResolution",),
        "file_id": ("fileData.fileUri",),
        "is_error": ("functionResponse.response",),
        "media_type": ("fileData.mimeType", "inlineData.mimeType"),
        "name": ("fileData.displayName", "inlineData.displayName"),
        "signature": ("thoughtSignature",),
        "url": ("fileData.fileUri",),
    },
}

_IN_TOOLS: Mapping[str, _Names] = {
    "chat": {
        "name": ("function.name", "custom.name", "name"),
        "parameters": ("function.parameters", "parameters"),
        "strict": ("function.strict", "strict"),
    },
    "messages": {"parameters": ("input_schema",)},
    "responses": {},
    "gemini": {"parameters": ("parametersJsonSchema", "parameters")},
}

_TOOLS: _Names = {
    "chat": ("tools[]", "functions[]"),
    "responses": ("tools[]", "input[].tools[]"),
    "gemini": ("tools[].functionDeclarations[]", "tools[]"),
}
"""Where tools are."""

_IN_RESULTS = {"chat": "content", "messages": "content", "responses": "output", "gemini": "functionResponse.parts"}
"""Where the parts of a tool's result are in it."""

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")

_Step = str | int | None
"""A field, an index, or any index."""


def collapsed(place: str) -> str:
    """
    :return: the same of all elements: ``messages[].name``.
    """
    return _INDEX.sub("[]", place)


def _written(steps: Iterable[_Step]) -> str:
    text = ""
    for step in steps:
        if isinstance(step, str):
            text += f".{step}" if text else step
        else:
            text += "[]" if step is None else f"[{step}]"
    return text


class _Document:
    """A caller's request; only what is asked for is read."""

    def __init__(self, body: bytes | msgspec.Raw) -> None:
        self._values: dict[tuple[_Step, ...], dict[str, msgspec.Raw] | list[msgspec.Raw] | None] = {}
        self._found: dict[str, str | None] = {}
        self._root = msgspec.Raw(body)

    def find(self, path: str) -> str | None:
        """
        :param path: such as ``messages[0].content[].text``; ``[]`` is any element.
        :return: the same as the document has it; ``None`` if it has it not. Google takes ``snake_case`` for its names.
        """
        if path not in self._found:
            steps = tuple(name or (int(index) if index else None) for name, index in _STEP.findall(path))
            found = self._search((), self._root, steps)
            self._found[path] = None if found is None else _written(found)
        return self._found[path]

    def fields(self, path: str) -> dict[str, msgspec.Raw]:
        """
        :return: those of an object; none where there is no object.
        """
        value = self._value(path)
        return value if isinstance(value, dict) else {}

    def elements(self, path: str) -> list[msgspec.Raw] | None:
        """
        :return: ``None`` where there is no list.
        """
        value = self._value(path)
        return value if isinstance(value, list) else None

    def _value(self, path: str) -> dict[str, msgspec.Raw] | list[msgspec.Raw] | None:
        at: tuple[_Step, ...] = ()
        raw = self._root
        for name, index in _STEP.findall(path):
            value = self._read(at, raw)
            step: _Step = name or int(index)
            inner: msgspec.Raw | None = None
            if isinstance(value, dict) and isinstance(step, str):
                inner = value.get(step)
            elif isinstance(value, list) and isinstance(step, int):
                inner = value[step] if step < len(value) else None
            if inner is None:
                return None
            raw, at = inner, (*at, step)
        return self._read(at, raw)

    def _read(self, at: tuple[_Step, ...], raw: msgspec.Raw) -> dict[str, msgspec.Raw] | list[msgspec.Raw] | None:
        if at not in self._values:
            first = bytes(memoryview(raw)[:1])
            try:
                value = _list(raw) if first == b"[" else None if first == b'"' else _object(raw)
            except BROKEN:
                value = None
            self._values[at] = value
        return self._values[at]

    def _search(self, at: tuple[_Step, ...], raw: msgspec.Raw, steps: tuple[_Step, ...]) -> tuple[_Step, ...] | None:
        """
        :param at: where ``raw`` is.
        :param steps: what is looked for in it.
        """
        if not steps:
            return None if raw == _NULL else ()
        step, rest = steps[0], steps[1:]
        value = self._read(at, raw)
        if isinstance(value, dict) and isinstance(step, str):
            for name in (step, _CAPITAL.sub(r"_\1", step).lower()):
                if name in value:
                    tail = self._search((*at, name), value[name], rest)
                    return None if tail is None else (name, *tail)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            tail = self._search((*at, step), value[step], rest)
            return None if tail is None else (step, *tail)
        elif isinstance(value, list) and step is None:
            for index, element in enumerate(value):
                tail = self._search((*at, index), element, rest)
                if tail is not None:
                    return (None, *tail)
        return None


class Spelling:
    """That of one request."""

    def __init__(
        self,
        dialect: str,
        body: bytes,
        extras: Mapping[str, msgspec.Raw],
        messages: Sequence[Message] = (),
        tools: Sequence[Tool] = (),
    ) -> None:
        """
        :param dialect: the caller's.
        :param body: the request as it came.
        :param extras: the names in it that only its own dialect has, which are the caller's already.
        :param messages: and the tools, as they were read from it.
        """
        self._dialect = dialect
        self._names = _NAMES.get(dialect, {})
        self._body = body
        self._extras = extras
        self._messages = messages
        self._tools = tools
        self._read: _Document | None = None
        self._prefix = ""
        self._tool_places: dict[str, str] = {}
        self._keys = {tool.name: _key(tool) for tool in tools}
        self._items: dict[tuple[str, bool], int] | None = None
        """Where calls of one id are, and their results (Responses)."""
        self.renamed: Mapping[str, str] = {}
        """What the caller calls the tools that are told of by other names."""

    @classmethod
    def of_request(cls, asked: Request, body: bytes) -> Spelling:
        """
        :param asked: what was read from the body.
        """
        return cls(asked.dialect, body, asked.extras, asked.messages, asked.tools)

    @property
    def _document(self) -> _Document:
        """Hardly any call loses nothing but by being read, so it is read again only then."""
        if self._read is None:
            self._read = _Document(self._body)
            if self._dialect == "gemini":
                whole = self._read.find("generateContentRequest")
                self._prefix = "" if whole is None else f"{whole}."
            self._tool_places = dict(self._named_tools())
        return self._read

    def names(self, dropped: Iterable[str], changed: Iterable[str]) -> list[str]:
        """
        :param dropped: fields by their neutral places, or by those names in ``extras``.
        :param changed: the same of those that say something else now.
        :return: what they are called in the request, each once.
        """
        named: dict[str, None] = {}
        groups: set[object] = set()
        left = _MOST_PLACES
        for lost, are_changed in ((dropped, False), (changed, True)):
            for place in lost:
                left -= "[" in place
                self._add(named, groups, place, left >= 0 or "[" not in place, are_changed)
        if left < 0:
            return [*dict.fromkeys(map(collapsed, named))]
        exact = {collapsed(name) for name in named if _INDEX.search(name)}
        # A field that is named by its places is not named a second time without them.
        return [name for name in named if name not in exact]

    def _add(self, named: dict[str, None], groups: set[object], place: str, exactly: bool, changed: bool) -> None:
        if exactly:
            named.update(dict.fromkeys(self.of(place, changed=changed)))
            return
        kind = (collapsed(place), self._kind(place))
        if kind not in groups:
            groups.add(kind)
            named.update(dict.fromkeys(map(collapsed, self.of(place, changed=changed))))

    def of(self, place: str, *, changed: bool = False) -> tuple[str, ...]:
        """
        :param changed: what only the caller's dialect has is dropped or not, but never changed.
        :return: one name for most; several for what the caller says in several places.
        """
        document = self._document
        if place in ("cache_control", "cache_control.ttl"):
            return self._marks(place) or (place,)
        if place in self._extras and not changed and not (self._dialect == "messages" and place.startswith("tools[")):
            return (document.find(place) or place,)
        if match := _PLACE.fullmatch(place):
            return (self._in_messages(match),)
        tool = self._of_tool(place)
        if tool is not None:
            return (tool,)
        outer = place.partition("[")[0] if place.startswith("stop[") else place
        candidates = self._names.get(outer)
        if candidates is None and outer.startswith("modalities."):
            candidates = self._names.get("modalities", ("modalities",))
        if candidates is None:
            candidates = (outer,)
        return self._found(candidates, every=(self._dialect, outer) in _WHOLE)

    def kind(self, place: str) -> str:
        """
        :return: the caller's word for the kind of element that a whole place is, to be said behind its name.
        """
        word = _LAST.findall(place)[-1]
        whole = self.of(place)[0].endswith("]") and not word.isdigit()
        return f" ({word})" if whole and f'"{word}"'.encode() in self._body else ""

    def _found(self, candidates: Sequence[str], every: bool = False) -> tuple[str, ...]:
        """
        :return: of possible names those that the document has, or the first; what is nearest where it has none.
        """
        found = [name for each in candidates if (name := self._find(each)) is not None]
        if found:
            return tuple(found) if every else (found[0],)
        for candidate in candidates:
            outer = candidate
            while "." in outer:
                outer = outer.rpartition(".")[0]
                if (name := self._find(outer)) is not None:
                    return (name,)
        return (candidates[0],)

    def _find(self, path: str) -> str | None:
        document = self._document
        return document.find(self._prefix + path)

    # Messages and their parts

    def _kind(self, place: str) -> object:
        """What tells places apart whose fields have other names."""
        match = _PLACE.fullmatch(place)
        if match is None or match["part"] is None:
            return None
        message, part = self._part(int(match["message"]), int(match["part"]))
        return None if message is None else message.role, type(part)

    def _part(self, at: int, part: int) -> tuple[Message | None, Part | None]:
        message = self._messages[at] if at < len(self._messages) else None
        if message is None or part >= len(message.parts):
            return message, None
        return message, message.parts[part]

    def _in_messages(self, match: re.Match[str]) -> str:
        at = int(match["message"])
        field = match["field"]
        place = self._message_place(at)
        table = _IN_MESSAGES.get(self._dialect, {})
        if match["part"] is not None:
            table = _IN_PARTS.get(self._dialect, {})
            message, part = self._part(at, int(match["part"]))
            place = self._part_place(place, message, part, int(match["part"]))
            if match["inner"] is not None:
                place = self._inner_place(place, part, int(match["inner"]))
        found = self._find(place) or place
        for candidate in table.get(field, (field,)) if field else ():
            name = self._find(f"{place}.{candidate}")
            if name is not None:
                return name
        return found

    def _elements(self, path: str) -> list[msgspec.Raw] | None:
        found = self._find(path)
        return None if found is None else self._document.elements(found)

    def _message_place(self, at: int) -> str:
        match self._dialect:
            case "messages":
                shift = len(self._messages) - len(self._elements("messages") or ())
                return "system" if at < shift else f"messages[{at - shift}]"
            case "responses":
                return self._joined_place(at, "instructions", "input", self._begins_with_instructions())
            case "gemini":
                instructed = self._find("systemInstruction") is not None
                return self._joined_place(at, "systemInstruction", "contents", instructed)
        return f"messages[{at}]"

    def _begins_with_instructions(self) -> bool:
        given = self._document.fields("").get("instructions")
        return given not in (None, _NULL, msgspec.Raw(b'""'))

    def _joined_place(self, at: int, instruction: str, messages: str, instructed: bool) -> str:
        """Each element makes one message at most: as many messages as elements are in the same places."""
        if instructed and at == 0:
            return instruction
        elements = self._elements(messages)
        if elements is None:
            return messages
        if len(self._messages) - instructed == len(elements):
            return f"{messages}[{at - instructed}]"
        return f"{messages}[]"

    def _part_place(self, place: str, message: Message | None, part: Part | None, at: int) -> str:
        parts = () if message is None else message.parts
        match self._dialect:
            case "chat":
                return self._chat_place(place, message, part, at)
            case "messages" if place == "system":
                return self._element(place, at, len(parts))
            case "messages":
                return self._element(f"{place}.content", at, len(parts))
            case "gemini":
                return self._element(f"{place}.parts", at, len(parts)) if self._find(f"{place}.parts") else place
        if isinstance(part, ToolResult | ToolCall) and place.endswith("[]"):
            return self._called_place(place, part)
        if isinstance(part, ToolResult | ToolCall | Thinking) or self._find(f"{place}.content") is None:
            return place
        if place.endswith("[]"):
            return f"{place}.content[]" if self._find(f"{place}.content[]") else f"{place}.content"
        return self._element(f"{place}.content", at, len(parts))

    def _called_place(self, place: str, part: ToolCall | ToolResult) -> str:
        """Items that are joined to one message are told apart by the ids of their calls."""
        if self._items is None:
            self._items = {}
            for index, raw in enumerate(self._elements(place.removesuffix("[]")) or ()):
                try:
                    item = _read_item(raw)
                except BROKEN:
                    continue
                if item.call_id is not None:
                    self._items.setdefault((item.call_id, item.type.endswith("_output")), index)
        called = (part.call_id, True) if isinstance(part, ToolResult) else (part.id, False)
        at = self._items.get(called)
        return place if at is None else f"{place.removesuffix('[]')}[{at}]"

    def _element(self, container: str, at: int, count: int) -> str:
        """
        :param count: of the parts that were made of the container's elements.
        """
        if "[]" in container:
            return f"{container}[]" if self._find(f"{container}[]") else container
        elements = self._elements(container)
        if elements is None:
            return container
        return f"{container}[{at}]" if len(elements) == count else f"{container}[]"

    def _chat_place(self, place: str, message: Message | None, part: Part | None, at: int) -> str:
        """An assistant's thoughts, calls and sound have fields of their own, before and behind the content."""
        before = () if message is None else message.parts[:at]
        said = message is not None and message.role is Role.ASSISTANT
        own: tuple[str, ...] = ()
        if isinstance(part, ToolResult):
            return place
        if isinstance(part, ToolCall):
            calls = sum(isinstance(each, ToolCall) for each in before)
            own = (f"tool_calls[{calls}]", "function_call")
        elif isinstance(part, Thinking):
            own = ("reasoning_details[]", "reasoning_content", "reasoning")
        elif isinstance(part, Refusal):
            own = ("refusal",)
        elif isinstance(part, Audio) and said:
            own = ("audio",)
        elif isinstance(part, Text) and said and not part.text:
            # It was made to bear the signature.
            return place
        for name in own:
            if self._find(f"{place}.{name}") is not None:
                return f"{place}.{name}"
        index = at - sum(isinstance(each, Thinking) for each in before)
        exact = self._find(f"{place}.content[{index}]")
        return exact or (f"{place}.content" if self._find(f"{place}.content") else place)

    def _inner_place(self, place: str, part: Part | None, at: int) -> str:
        container = f"{place}.{_IN_RESULTS.get(self._dialect, 'content')}"
        if self._find(container) is None:
            return place
        if self._dialect == "gemini":
            return container
        return self._element(container, at, len(part.parts) if isinstance(part, ToolResult) else -1)

    # The cache

    def _marks(self, place: str) -> tuple[str, ...]:
        """
        :return: where the caller's marks are, in general: which of them are meant is not said.
        """
        named: dict[str, None] = {}
        for path in self._marked(place):
            named[collapsed(path)] = None
        if place in self._extras:
            named[place] = None
        return tuple(named)

    def _marked(self, field: str) -> Iterator[str]:
        seen: set[object] = set()
        for index, message in enumerate(self._messages):
            for number, part in enumerate(message.parts):
                if getattr(part, "cache", None) is not None and (message.role, type(part)) not in seen:
                    seen.add((message.role, type(part)))
                    yield self.of(f"messages[{index}].parts[{number}].{field}")[0]
                inner = part.parts if isinstance(part, ToolResult) else ()
                for at, piece in enumerate(inner):
                    if getattr(piece, "cache", None) is not None and type(piece) not in seen:
                        seen.add(type(piece))
                        yield self.of(f"messages[{index}].parts[{number}].parts[{at}].{field}")[0]
        for index, tool in enumerate(self._tools):
            if tool.cache is not None:
                yield self.of(f"tools[{index}].{field}")[0]
                break

    # Tools

    def _of_tool(self, place: str) -> str | None:
        """
        :return: ``None`` if it is no place of a tool.
        """
        if match := _TOOL.fullmatch(place):
            if match["field"] in self._tool_places and match["field"] not in self._keys:
                # The kind of one that its provider runs.
                return self._tool_field(match["field"], None)
            at = int(match["at"])
            tool = self._tools[at] if at < len(self._tools) else None
            return self._tool_field(None if tool is None else _key(tool), match["field"])
        if match := _FOREIGN_TOOL.fullmatch(place):
            return self._tool_field(match["kind"], None)
        if match := _NAMED_TOOL.fullmatch(place):
            name = self.renamed.get(match["name"], match["name"])
            if name == "strict" and match["field"] is None:
                return self._tool_field(None, name)
            return self._tool_field(self._keys.get(name, name), match["field"])
        return None

    def _tool_field(self, key: str | None, field: str | None) -> str:
        place = self._tool_places.get(key or "")
        if place is None:
            # Its name may be another one now, or it came with the conversation.
            place = self._found(_TOOLS.get(self._dialect, ("tools[]",)))[0].removeprefix(self._prefix)
        for candidate in _IN_TOOLS.get(self._dialect, {}).get(field or "", (field,) if field else ()):
            name = self._find(f"{place}.{candidate}")
            if name is not None:
                return name
        return self._find(place) or place

    def _named_tools(self) -> Iterator[tuple[str, str]]:
        """Tools by their names, and those that their provider runs by their kinds; the first of each counts."""
        found = list(self._all_tools())
        yield from reversed(found)

    def _all_tools(self) -> Iterator[tuple[str, str]]:
        for container in ("tools", "functions"):
            for index, raw in enumerate(self._elements(container) or ()):
                place = f"{container}[{index}]"
                if self._dialect == "gemini":
                    yield from self._declared(place, raw)
                    continue
                try:
                    tool = _read_tool(raw)
                except BROKEN:
                    continue
                inner = tool.function or tool.custom
                name = tool.name if inner is None else inner.name
                if tool.type == "namespace":
                    for at, each in enumerate(tool.tools):
                        yield f"{name}\0{each.name}", f"{place}.tools[{at}]"
                    continue
                own = name is None or (self._dialect == "messages" and tool.type != "custom")
                known = tool.type or name if own else name
                if known is not None:
                    yield known, place

    def _declared(self, place: str, raw: msgspec.Raw) -> Iterator[tuple[str, str]]:
        try:
            entry = _object(raw)
        except BROKEN:
            return
        for kind in entry:
            yield kind, f"{place}.{kind}"
        for at, declaration in enumerate(self._elements(f"{place}.functionDeclarations") or ()):
            try:
                name = _read_tool(declaration).name
            except BROKEN:
                continue
            if name is not None:
                yield name, f"{place}.functionDeclarations[{at}]"


class SpelledLosses(Losses):
    """Losses that are told to the caller in its own words, whatever the codecs call them."""

    def __init__(self, policy: OnUnsupported, spelling: Spelling) -> None:
        super().__init__(policy)
        self._spelling = spelling

    def drop(self, field: str, weight: Weight, why: str) -> bool:
        try:
            return super().drop(field, weight, why)
        except Unsupported as refused:
            names = self._spelling.of(field)
            said = " and ".join(names) + self._spelling.kind(field)
            raise Unsupported(refused.message.replace(field, said, 1), param=names[0]) from None

    def spelled(self, error: BadRequest) -> BadRequest:
        if error.param is None:
            return error
        name = self._spelling.of(error.param)[0]
        return BadRequest.of_field(name, error.message.removeprefix(f"{error.param}: "))

    def rename(self, names: Mapping[str, str]) -> None:
        self._spelling.renamed = names

    def named(self) -> list[str]:
        """
        :return: what was dropped and what was changed.
        """
        return self._spelling.names(self.dropped, self.changed) if self.dropped or self.changed else []


class _Named(msgspec.Struct):
    name: str | None = None


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    function: _Named | None = None
    custom: _Named | None = None
    tools: list[_Named] = []


class _Item(msgspec.Struct):
    type: str = "message"
    call_id: str | None = None


_read_item = msgspec.json.Decoder(_Item).decode
_read_tool = msgspec.json.Decoder(_Tool).decode


def _key(tool: Tool) -> str:
    return tool.name if tool.namespace is None else "\0".join(tool.namespace)
