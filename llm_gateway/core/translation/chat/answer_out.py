"""An answer for a caller, whole; and those pieces of one that stand in chunks too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llm_gateway.core.translation.chat.finishes import finish_reason, refused
from llm_gateway.core.translation.chat.media import data_url
from llm_gateway.core.translation.chat.thoughts import detail_of, merged
from llm_gateway.core.translation.chat.usage import usage_document
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Image,
    Inline,
    Linked,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
)
from llm_gateway.core.translation.freeform import as_text
from llm_gateway.core.translation.opaque import sealed

__all__ = [
    "annotation",
    "answer_id",
    "custom_tools",
    "image_document",
    "logprob_document",
    "signature_document",
    "tier_of",
    "write_answer",
]

Object = dict[str, object]

_TIERS = {"standard": "default", "on_demand": "default"}
_KNOWN_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_EXTRAS = ("system_fingerprint", "moderation")
"""What an answer has in this dialect only."""

_encode = msgspec.json.Encoder().encode


def write_answer(answer: Answer, request: Request, now: Callable[[], float]) -> bytes:
    document: Object = {
        "id": answer_id(answer.id),
        "object": "chat.completion",
        "created": int(now()) if answer.created is None else answer.created,
        "model": answer.model or request.model,
        "choices": [_choice(choice, request) for choice in answer.choices],
    }
    usage = usage_document(answer.usage)
    if usage is not None:
        document["usage"] = usage
    tier = tier_of(answer.service_tier)
    if tier is not None:
        document["service_tier"] = tier
    for name in _EXTRAS:
        if name in answer.extras:
            document[name] = answer.extras[name]
    return _encode(document)


def answer_id(given: str) -> str:
    """The provider's own, so that it can be found in its logs; the dialect demands one."""
    return given or "chatcmpl-unknown"


def tier_of(tier: str | None) -> str | None:
    """
    :return: the tier in OpenAI's words; ``None`` where it has none for it.
    """
    known = _TIERS.get(tier or "", tier)
    return known if known in _KNOWN_TIERS else None


def _choice(choice: Choice, request: Request) -> Object:
    return {
        "index": choice.index,
        "message": _message(choice.parts, request),
        "logprobs": _logprobs(choice),
        "finish_reason": finish_reason(choice.finish, refused=refused(choice.parts), legacy=request.legacy_functions),
    }


def _message(parts: Sequence[Part], request: Request) -> Object:
    texts: list[str] = []
    annotations: list[Object] = []
    thoughts: list[Thinking] = []
    calls: list[Object] = []
    refusals: list[str] = []
    images: list[Object] = []
    message: Object = {"role": "assistant", "content": None, "refusal": None}
    customs = custom_tools(request)
    length = 0
    for part in parts:
        match part:
            case Text():
                found = (annotation(each, length, length + len(part.text)) for each in part.citations)
                annotations += [each for each in found if each is not None]
                texts.append(part.text)
                length += len(part.text)
                if part.opaque is not None:
                    message["extra_content"] = signature_document(part.opaque)
            case Thinking():
                thoughts.append(part)
            case ToolCall():
                calls.append(_call(part, customs))
            case Refusal():
                refusals.append(part.text)
            case Audio():
                message["audio"] = _audio(part)
            case Image():
                images.append(image_document(part))
            case _:
                # Calls of tools that the provider ran, and what they brought: the text is what came of them.
                pass
    if texts:
        message["content"] = "".join(texts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if annotations:
        message["annotations"] = annotations
    if images:
        message["images"] = images
    if thoughts:
        readable = merged(thoughts)
        if readable:
            message["reasoning_content"] = readable
        message["reasoning_details"] = [detail_of(each, index) for index, each in enumerate(thoughts)]
    if calls and request.legacy_functions:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def custom_tools(request: Request) -> frozenset[str]:
    """The names of the tools that take free text."""
    return frozenset(tool.name for tool in request.tools if tool.custom is not None)


def _call(call: ToolCall, customs: frozenset[str]) -> Object:
    document: Object = {"id": call.id}
    if call.custom:
        document |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    elif call.name in customs:
        document |= {"type": "custom", "custom": {"name": call.name, "input": as_text(call.arguments)}}
    else:
        document |= {"type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
    if call.opaque is not None:
        document["extra_content"] = signature_document(call.opaque)
    return document


def signature_document(opaque: Opaque) -> Object:
    """
    What has to go back with a text or a call, where Google's OpenAI-compatible interface has it.

    Google's own signatures are sealed too: they are for the one provider that made them.
    """
    return {"google": {"thought_signature": sealed(opaque, "chat")}}


def _audio(audio: Audio) -> Object:
    return {
        "id": audio.id or "",
        "data": audio.source.data if isinstance(audio.source, Inline) else "",
        "expires_at": audio.expires_at or 0,
        "transcript": audio.transcript or "",
    }


def image_document(image: Image) -> Object:
    """
    :return: an element of ``images``, which OpenRouter has beside the content.
    """
    source = image.source
    if isinstance(source, Inline):
        url = data_url(source)
    else:
        url = source.url if isinstance(source, Linked) else source.file_id
    return {"type": "image_url", "image_url": {"url": url}}


def annotation(citation: Citation, start: int, end: int) -> Object | None:
    """
    :param start: of the text that the citation belongs to, in the whole content.
    :param end: of that text.
    :return: ``None`` where it is not a page of the web that is cited.
    """
    if citation.url is None:
        return None
    cited: Object = {
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
        "title": citation.title or citation.url,
        "url": citation.url,
    }
    if citation.cited_text is not None:
        cited["content"] = citation.cited_text
    return {"type": "url_citation", "url_citation": cited}


def _logprobs(choice: Choice) -> Object | None:
    if choice.logprobs is None:
        return None
    tokens = [logprob_document(each) for each in choice.logprobs]
    said_no = refused(choice.parts) and not any(isinstance(part, Text) for part in choice.parts)
    return {"content": None, "refusal": tokens} if said_no else {"content": tokens, "refusal": None}


def logprob_document(token: TokenLogprob) -> Object:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": token.bytes,
        "top_logprobs": [{"token": each.token, "logprob": each.logprob, "bytes": each.bytes} for each in token.top],
    }
