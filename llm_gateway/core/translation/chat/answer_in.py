"""A provider's whole answer, and those pieces of one that stand in chunks too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.chat.documents import (
    AnnotationDoc,
    AnswerDoc,
    AudioDoc,
    CallDoc,
    ChoiceDoc,
    FunctionDoc,
    ImageDoc,
    LogprobDoc,
    LogprobsDoc,
    MessageDoc,
    count,
    entry,
    name,
    said,
    signature_in,
)
from llm_gateway.core.translation.chat.finishes import called, finish_in, refused
from llm_gateway.core.translation.chat.media import located, sniffed
from llm_gateway.core.translation.chat.thoughts import read_detail, thinking_of
from llm_gateway.core.translation.chat.usage import usage_in
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.fields import BROKEN
from llm_gateway.errors import UpstreamMalformed

__all__ = [
    "arguments_of",
    "call_id_for",
    "citations_in",
    "content_in",
    "images_in",
    "logprobs_in",
    "opaque_in",
    "read_answer",
]

_decode = msgspec.json.Decoder(AnswerDoc).decode


def read_answer(body: bytes, provider: str) -> Answer:
    """
    :raises UpstreamMalformed: it is no chat completion.
    """
    try:
        document = _decode(body)
        if document.choices is None or said(document.error):
            raise UpstreamMalformed("The provider's answer is not a chat completion.")
        extras = {}
        if isinstance(document.system_fingerprint, str):
            extras["system_fingerprint"] = msgspec.Raw(msgspec.json.encode(document.system_fingerprint))
        mark = document.id or str(document.created)
        return Answer(
            id=document.id or "",
            model=document.model or "",
            choices=tuple(_choice(each, at, mark, provider) for at, each in enumerate(document.choices)),
            usage=Usage() if document.usage is None else usage_in(document.usage),
            created=count(document.created),
            service_tier=name(document.service_tier),
            extras=extras,
        )
    except BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not a chat completion.") from error


def _choice(choice: ChoiceDoc, at: int, mark: str, provider: str) -> Choice:
    index = at if choice.index is None else choice.index
    parts = _parts(choice.message or MessageDoc(), mark, index, provider)
    finish = finish_in(
        choice.finish_reason,
        choice.native_finish_reason,
        choice.stop_reason,
        called=called(parts),
        refused=refused(parts),
    )
    return Choice(parts, finish, index, logprobs_in(choice.logprobs) or None)


def _parts(message: MessageDoc, mark: str, choice: int, provider: str) -> tuple[Part, ...]:
    thought, text = content_in(message.content)
    parts: list[Part] = []
    if message.reasoning_details:
        for raw in message.reasoning_details:
            parts.append(thinking_of(read_detail(raw), provider, from_caller=False))
    else:
        plain = message.reasoning_content or message.reasoning or thought
        if plain:
            parts.append(Thinking(plain))
    opaque = opaque_in(signature_in(message.extra_content), provider)
    if text or opaque is not None or message.annotations:
        parts.append(Text(text, citations_in(message.annotations), opaque=opaque))
    if message.refusal:
        parts.append(Refusal(message.refusal))
    if message.audio is not None:
        parts.append(_audio(message.audio))
    parts += images_in(message.images)
    for number, call in enumerate(message.tool_calls or ()):
        parts.append(_call(call, call_id_for(mark, choice, number), provider))
    if message.function_call is not None:
        function = message.function_call
        parts.append(ToolCall(call_id_for(mark, choice, 0), function.name or "", arguments_of(function)))
    return tuple(parts)


def content_in(content: str | Sequence[msgspec.Raw] | None) -> tuple[str, str]:
    """
    :return: thinking and text of a ``content``, which Mistral's reasoning models write as a list of both.
    """
    if content is None or isinstance(content, str):
        return "", content or ""
    entries = [entry(raw) for raw in content]
    return (
        "".join(text for kind, text in entries if kind == "thinking"),
        "".join(text for kind, text in entries if kind == "text"),
    )


def opaque_in(signature: str | None, provider: str) -> Opaque | None:
    """A signature of Google's means the same in Google's own dialect."""
    return None if signature is None else Opaque("gemini", provider, signature)


def call_id_for(answer: str, choice: int, number: int) -> str:
    """
    :param answer: what no other answer of the conversation has: its id, or else when it was made.
    :return: an id for a call that came without one, as some local models' do.
    """
    digest = hashlib.blake2s(f"{answer}/{choice}/{number}".encode("utf-8", "replace"), digest_size=12)
    return f"call_{digest.hexdigest()}"


def arguments_of(function: FunctionDoc | None) -> str:
    arguments = None if function is None else function.arguments
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return msgspec.json.encode(arguments).decode()


def _call(call: CallDoc, call_id: str, provider: str) -> ToolCall:
    opaque = opaque_in(signature_in(call.extra_content), provider)
    custom = call.custom
    if call.type == "custom" and custom is not None:
        return ToolCall(call.id or call_id, custom.name or "", custom.input or "", opaque, custom=True)
    function = call.function or FunctionDoc()
    return ToolCall(call.id or call_id, function.name or "", arguments_of(function), opaque)


def _audio(audio: AudioDoc) -> Audio:
    source = Inline(sniffed(audio.data), audio.data) if audio.data else None
    return Audio(source, audio.id or None, audio.transcript or None, count(audio.expires_at) or None)


def images_in(images: Sequence[ImageDoc] | None) -> list[Image]:
    return [Image(located(each.image_url.url)) for each in images or () if each.image_url is not None]


def citations_in(annotations: Sequence[AnnotationDoc] | None) -> tuple[Citation, ...]:
    """Only pages of the web are cited in this dialect."""
    cited = [each.url_citation for each in annotations or () if each.url_citation is not None]
    return tuple(Citation(each.url, each.title, each.content, each.start_index, each.end_index) for each in cited)


def logprobs_in(logprobs: LogprobsDoc | None) -> tuple[TokenLogprob, ...]:
    if logprobs is None:
        return ()
    return tuple(_logprob(each) for each in logprobs.content or logprobs.refusal or ())


def _logprob(token: LogprobDoc) -> TokenLogprob:
    top = tuple(TokenLogprob(each.token, each.logprob, _bytes(each)) for each in token.top_logprobs or ())
    return TokenLogprob(token.token, token.logprob, _bytes(token), top)


def _bytes(token: LogprobDoc) -> tuple[int, ...] | None:
    return None if token.bytes is None else tuple(token.bytes)
