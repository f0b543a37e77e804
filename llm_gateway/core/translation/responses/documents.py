"""
The documents of the Responses API, as they are written.

Fields without a default are always there: the official SDK's models demand them. Fields with one are left out where
they hold it.

Source: the types of the official Python SDK 3.54, ``openai.types.responses``, which are made from OpenAI's own schema.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "AudioData",
    "Breakpoint",
    "Content",
    "CustomTool",
    "CustomToolCall",
    "CustomToolCallOutput",
    "Format",
    "FunctionCall",
    "FunctionCallOutput",
    "FunctionTool",
    "ImageGenerationCall",
    "InputAudio",
    "InputFile",
    "InputImage",
    "InputItem",
    "InputText",
    "Logprob",
    "Message",
    "NamespaceTool",
    "OutputItem",
    "OutputMessage",
    "OutputRefusal",
    "OutputText",
    "ReasoningItem",
    "ReasoningText",
    "SummaryText",
    "TopLogprob",
    "UrlCitation",
]


class _Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    pass


# Content of messages and of tools' outputs


class Breakpoint(msgspec.Struct, frozen=True):
    """The end of a prefix that is worth caching; models from ``gpt-5.6`` on know it."""

    mode: str = "explicit"


class InputText(_Document, frozen=True, tag="input_text"):
    text: str
    prompt_cache_breakpoint: Breakpoint | None = None


class InputImage(_Document, frozen=True, tag="input_image"):
    detail: str
    image_url: str | None = None
    file_id: str | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class InputFile(_Document, frozen=True, tag="input_file"):
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class AudioData(msgspec.Struct, frozen=True):
    data: str
    format: str


class InputAudio(_Document, frozen=True, tag="input_audio"):
    input_audio: AudioData


class UrlCitation(_Document, frozen=True, tag="url_citation"):
    url: str
    title: str
    start_index: int
    end_index: int


class TopLogprob(msgspec.Struct, frozen=True):
    token: str
    bytes: tuple[int, ...]
    logprob: float


class Logprob(msgspec.Struct, frozen=True):
    token: str
    bytes: tuple[int, ...]
    logprob: float
    top_logprobs: tuple[TopLogprob, ...]


class OutputText(_Document, frozen=True, tag="output_text"):
    text: str
    annotations: tuple[UrlCitation | msgspec.Raw, ...]
    logprobs: tuple[Logprob, ...] | None = None


class OutputRefusal(_Document, frozen=True, tag="refusal"):
    refusal: str


Content = InputText | InputImage | InputFile | InputAudio | OutputText | OutputRefusal | msgspec.Raw


# Items


class Message(_Document, frozen=True, tag="message"):
    role: str
    content: str | list[Content]


class OutputMessage(_Document, frozen=True, tag="message"):
    id: str
    role: str
    status: str
    content: list[Content]


class SummaryText(_Document, frozen=True, tag="summary_text"):
    text: str


class ReasoningText(_Document, frozen=True, tag="reasoning_text"):
    text: str


class ReasoningItem(_Document, frozen=True, tag="reasoning"):
    summary: list[SummaryText]
    id: str | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    status: str | None = None


class FunctionCall(_Document, frozen=True, tag="function_call"):
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    namespace: str | None = None
    status: str | None = None


class CustomToolCall(_Document, frozen=True, tag="custom_tool_call"):
    call_id: str
    name: str
    input: str
    id: str | None = None
    namespace: str | None = None
    status: str | None = None


class FunctionCallOutput(_Document, frozen=True, tag="function_call_output"):
    call_id: str
    output: str | list[Content]


class CustomToolCallOutput(_Document, frozen=True, tag="custom_tool_call_output"):
    call_id: str
    output: str | list[Content]


class ImageGenerationCall(_Document, frozen=True, tag="image_generation_call"):
    id: str
    result: str
    status: str
    output_format: str | None = None


InputItem = (
    Message
    | OutputMessage
    | ReasoningItem
    | FunctionCall
    | CustomToolCall
    | FunctionCallOutput
    | CustomToolCallOutput
    | msgspec.Raw
)
OutputItem = OutputMessage | ReasoningItem | FunctionCall | CustomToolCall | ImageGenerationCall | msgspec.Raw


# Tools and formats


class FunctionTool(_Document, frozen=True, tag="function"):
    name: str
    parameters: msgspec.Raw
    strict: bool
    description: str | None = None


class CustomTool(_Document, frozen=True, tag="custom"):
    name: str
    description: str | None = None
    format: msgspec.Raw | None = None


class NamespaceTool(_Document, frozen=True, tag="namespace"):
    name: str
    description: str
    tools: list[FunctionTool | CustomTool]


class Format(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of ``text.format``."""

    type: str
    name: str | None = None
    schema: msgspec.Raw | None = None
    description: str | None = None
    strict: bool | None = None
