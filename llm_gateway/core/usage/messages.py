"""Anthropic's answers."""

from __future__ import annotations

import msgspec

from llm_gateway.core.usage.answers import NOTHING_THERE, AnswerReader, is_error, read, strings
from llm_gateway.core.usage.counts import Counted, MessagesCounts

__all__ = ["MessagesReader"]


class _MessageNumbers(msgspec.Struct, gc=False):
    """A message, or an event of its stream."""

    type: object = None
    model: object = None
    message: _MessageNumbers | None = None
    usage: MessagesCounts | None = None
    error: msgspec.Raw = NOTHING_THERE


class _Delta(msgspec.Struct, gc=False):
    text: object = None
    thinking: object = None
    partial_json: object = None


class _Block(msgspec.Struct, gc=False):
    name: object = None
    text: object = None
    thinking: object = None
    input: msgspec.Raw = NOTHING_THERE


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
        found = read(_message_numbers, document)
        if found is None:
            return None
        begins = found.message is not None
        if found.message is not None:
            found = found.message
        self._named(found.model)
        if is_error(found.error):
            self.failed = True
        return found.usage is not None and self._add(found.usage, told=not begins)

    def take_usage(self, document: bytes) -> bool:
        usage = read(_messages_usage, document)
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
        found = read(_message_text, document)
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
        said += strings(found.completion)
        return "".join(said)

    def counted(self) -> Counted | None:
        if self._counts is None:
            return None
        counted = self._counts.counted()
        return counted if self._told else msgspec.structs.replace(counted, has_output=False)


def _say_block(block: _Block, said: list[str]) -> None:
    said += strings(block.name)
    said += strings(block.text)
    said += strings(block.thinking)
    written = bytes(block.input)
    if len(written) > 2:
        said.append(written.decode("utf-8", "replace"))
