"""
Whole answers, both ways.

Source: the types of the ``anthropic`` package (2.12) and platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Foreign,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from llm_gateway.core.translation.messages.attached import carried
from llm_gateway.core.translation.messages.blocks import Extras, part_of
from llm_gateway.core.translation.messages.finishes import StopDetails, finish_document, finish_of
from llm_gateway.core.translation.messages.names import NAME, Json
from llm_gateway.core.translation.messages.parts import input_of, own_citations
from llm_gateway.core.translation.messages.usage import Counts, service_tier_of, usage_document
from llm_gateway.core.translation.opaque import sealed_thinking
from llm_gateway.errors import BadRequest, UpstreamMalformed

__all__ = ["BROKEN", "block_of", "citation_document", "read_answer", "redacted_block", "thinking_block", "write_answer"]

BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError, BadRequest)
"""What reading a provider's document raises where it is not as it should be."""

_NULL = msgspec.Raw(b"null")

_EXTRAS = ("container", "context_management", "diagnostics")


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]
    id: str = ""
    model: str = ""
    type: str = "message"
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Counts | None = None
    container: msgspec.Raw = _NULL
    context_management: msgspec.Raw = _NULL
    diagnostics: msgspec.Raw = _NULL


_decode = msgspec.json.Decoder(_Message).decode


def read_answer(body: bytes, provider: str) -> Answer:
    """
    :raises UpstreamMalformed: it is not a message.
    """
    ignored: Extras = {}
    try:
        message = _decode(body)
        if message.type != "message":
            raise UpstreamMalformed("The provider's answer is not a message.")
        parts = tuple(part_of(raw, "content", ignored, provider) for raw in message.content)
    except BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not one of the Messages API.") from error
    counts = message.usage or Counts()
    finish = finish_of(message.stop_reason, message.stop_sequence, message.stop_details)
    extras = {name: raw for name in _EXTRAS if (raw := getattr(message, name)) != _NULL}
    return Answer(
        id=message.id,
        model=message.model,
        choices=(Choice(parts, finish),),
        usage=counts.neutral(),
        service_tier=service_tier_of(counts),
        extras=extras,
    )


def write_answer(answer: Answer) -> bytes:
    """
    :return: the message; of several choices the first, since callers of this dialect ask for one.
    """
    choice = answer.choices[0] if answer.choices else Choice((), None)
    content = [block for part in choice.parts for block in _blocks(part)]
    called = any(isinstance(part, ToolCall) for part in choice.parts)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    document: Json = {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        **finish_document(choice.finish, called=called, refused=refused),
        "usage": usage_document(answer.usage, answer.service_tier),
    }
    document.update({name: answer.extras[name] for name in _EXTRAS if name in answer.extras})
    return msgspec.json.encode(document)


def _blocks(part: Part) -> list[object]:
    """
    :return: the block, perhaps behind one that carries its signature; none for what callers cannot have asked for.
    """
    match part:
        case Thinking():
            return [redacted_block(part) if part.redacted else thinking_block(part)]
        case Text() | ToolCall():
            block = block_of(part)
            opaque = part.opaque
            if block is None:
                return []
            if opaque is None or opaque.dialect == NAME:
                return [block]
            return [{"type": "redacted_thinking", "data": carried(opaque)}, block]
        case Refusal():
            return [{"type": "text", "text": part.text}] if part.text else []
        case Audio():
            return [{"type": "text", "text": part.transcript}] if part.transcript else []
        case Foreign(dialect=dialect, raw=raw) if dialect == NAME:
            return [raw]
        case _:
            return []


def block_of(part: Text | ToolCall) -> Json | None:
    """
    :return: ``None`` for a text that says nothing: such a block sent back with the next request would be refused.
    """
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": input_of(part.arguments)}
    if not part.text and not part.citations:
        return None
    block: Json = {"type": "text", "text": part.text}
    if part.citations:
        block["citations"] = [citation_document(citation) for citation in part.citations]
    return block


def citation_document(citation: Citation) -> object:
    """
    :return: as it came, or, of another dialect, as a result of a web search, which is all that those cite.
    """
    own = own_citations((citation,))
    if own:
        return own[0]
    return {
        "type": "web_search_result_location",
        "url": citation.url or "",
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
    }


def thinking_block(part: Thinking) -> Json:
    return {"type": "thinking", "thinking": part.text, "signature": sealed_thinking(part, NAME) or ""}


def redacted_block(part: Thinking) -> Json:
    return {"type": "redacted_thinking", "data": sealed_thinking(part, NAME) or ""}
