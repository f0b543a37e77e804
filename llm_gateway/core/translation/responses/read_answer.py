"""A provider's answer of the Responses API as a neutral one."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    Finish,
    Foreign,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.core.translation.responses.failures import read_error
from llm_gateway.core.translation.responses.names import flat_name
from llm_gateway.core.translation.responses.read_items import annotation, thinkings
from llm_gateway.errors import BadRequest, UpstreamMalformed

__all__ = ["ReadItem", "ReadLogprob", "ReadPart", "ReadResponse", "finish", "item_parts", "read_answer", "read_item"]


class ReadTop(msgspec.Struct, frozen=True):
    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None


class ReadLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[ReadTop, ...] | None = None

    def neutral(self) -> TokenLogprob:
        top = tuple(TokenLogprob(top.token, top.logprob, top.bytes) for top in self.top_logprobs or ())
        return TokenLogprob(self.token, self.logprob, self.bytes, top)


class ReadPart(msgspec.Struct, frozen=True):
    """Content of a message, or one text of a reasoning item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[msgspec.Raw] | None = None
    logprobs: list[ReadLogprob] | None = None


class ReadItem(msgspec.Struct, frozen=True):
    """Any of the items that this codec understands."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[ReadPart] | None = None
    summary: list[ReadPart] | None = None
    encrypted_content: str | None = None
    result: str | None = None
    output_format: str | None = None

    @property
    def tool_name(self) -> str:
        name = self.name or ""
        return name if self.namespace is None else flat_name(self.namespace, name)


class _Kind(msgspec.Struct, frozen=True):
    type: str = ""


class _InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class ReadUsage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    def neutral(self) -> Usage:
        inputs = self.input_tokens_details or _InputDetails()
        outputs = self.output_tokens_details or _OutputDetails()
        return Usage(
            input=self.input_tokens,
            output=self.output_tokens,
            cached_input=inputs.cached_tokens,
            cache_write=inputs.cache_write_tokens,
            reasoning=outputs.reasoning_tokens,
        )


class _Incomplete(msgspec.Struct, frozen=True):
    reason: str | None = None


class ReadResponse(msgspec.Struct, frozen=True):
    id: str = ""
    model: str = ""
    created_at: float | None = None
    status: str | None = None
    service_tier: str | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = msgspec.Raw()
    output: list[msgspec.Raw] | None = None
    usage: ReadUsage | None = None

    @property
    def created(self) -> int | None:
        return None if self.created_at is None else int(self.created_at)


class _Whole(ReadResponse, frozen=True):
    object: str = ""


_UNDERSTOOD = frozenset({"message", "reasoning", "function_call", "custom_tool_call", "image_generation_call"})
_STOPS = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.FILTERED}

_whole = msgspec.json.Decoder(_Whole).decode
_kind = msgspec.json.Decoder(_Kind).decode
_item = msgspec.json.Decoder(ReadItem).decode


def read_answer(body: bytes, provider: str) -> Answer:
    """
    :raises UpstreamMalformed: it is not a response of this dialect.
    """
    try:
        response = _whole(body)
        if response.output is None and response.object != "response":
            raise UpstreamMalformed("The provider's answer is not a Response.")
        parts: list[Part] = []
        logprobs: list[TokenLogprob] = []
        for raw in response.output or ():
            item = read_item(raw)
            if isinstance(item, Foreign):
                parts.append(item)
                continue
            parts += item_parts(item, raw, provider)
            for content in item.content or ():
                logprobs += [logprob.neutral() for logprob in content.logprobs or ()]
    except (*BROKEN, BadRequest) as error:
        raise UpstreamMalformed("The provider's answer could not be read as a Response.") from error
    called = any(isinstance(part, ToolCall) for part in parts)
    refused = any(isinstance(part, Refusal) for part in parts)
    choice = Choice(tuple(parts), finish(response, called, refused), 0, tuple(logprobs) or None)
    usage = Usage() if response.usage is None else response.usage.neutral()
    return Answer(response.id, response.model, (choice,), usage, response.created, response.service_tier)


def read_item(raw: msgspec.Raw) -> ReadItem | Foreign:
    """
    :param raw: an item of ``output``.
    :return: the item; as a foreign part where it is not of a kind that other dialects have.
    """
    kind = _kind(raw).type
    return _item(raw) if kind in _UNDERSTOOD else Foreign("responses", kind, raw, hint=True)


def item_parts(item: ReadItem, raw: msgspec.Raw, provider: str) -> list[Part]:
    """
    :param raw: the same item as it came.
    :return: its parts, complete.
    """
    if item.type == "message":
        return [part for content in item.content or () if (part := _content(content)) is not None]
    if item.type == "reasoning":
        return list(reasoning_parts(item, provider))
    if item.type == "function_call":
        return [ToolCall(item.call_id or item.id or "", item.tool_name, item.arguments or "")]
    if item.type == "custom_tool_call":
        return [ToolCall(item.call_id or item.id or "", item.tool_name, item.input or "", custom=True)]
    if item.result is None:
        return [Foreign("responses", item.type, raw, hint=True)]
    return [Image(Inline(f"image/{item.output_format or 'png'}", item.result))]


def _content(content: ReadPart) -> Text | Refusal | None:
    if content.type == "output_text":
        notes = tuple(annotation(raw, "annotations") for raw in content.annotations or ())
        return Text(content.text or "", notes)
    if content.type == "refusal":
        return Refusal(content.refusal or "")
    return None


def reasoning_parts(item: ReadItem, provider: str) -> list[Thinking]:
    kept = None if item.encrypted_content is None else Opaque("responses", provider, item.encrypted_content)
    return thinkings(item.id, joined(item.summary), joined(item.content), kept)


def joined(texts: list[ReadPart] | None) -> str:
    return "\n\n".join(part.text or "" for part in texts or ())


def finish(response: ReadResponse, called: bool, refused: bool) -> Finish:
    """
    :param called: whether the answer calls a tool of the caller's; the status does not tell.
    :param refused: whether it has a refusal.
    """
    if response.status == "incomplete":
        reason = None if response.incomplete_details is None else response.incomplete_details.reason
        return Finish(_STOPS.get(reason or "", Stop.OTHER), detail=reason)
    if response.status == "failed":
        return Finish(Stop.ERROR, detail=read_error(response.error).code if response.error else None)
    if response.status == "cancelled":
        return Finish(Stop.OTHER, detail=response.status)
    if called:
        return Finish(Stop.TOOL_CALLS)
    return Finish(Stop.REFUSAL if refused else Stop.END)
