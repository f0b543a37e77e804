"""An answer's parts as Google's callers get them, whole; streams write the same pieces one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Document,
    Finish,
    Foreign,
    Image,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
)
from llm_gateway.core.translation.gemini.contents import arguments_of
from llm_gateway.core.translation.gemini.finish import BLOCKED, reason_of
from llm_gateway.core.translation.gemini.media import DIALECT, blob_of
from llm_gateway.core.translation.gemini.parts import MADE_UP
from llm_gateway.core.translation.gemini.sources import Span, Spoken, byte_at, written_grounding
from llm_gateway.core.translation.gemini.usage import written_usage
from llm_gateway.core.translation.opaque import sealed, sealed_thinking

__all__ = ["Cited", "finish_fields", "logprobs_result", "meta_of", "thought_signature", "whole_part", "write_answer"]

Object = dict[str, object]

MAX_PASSAGE = 4096
"""Characters of a passage that are repeated beside it. Passages are sentences."""

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Cited:
    """Counts where each text is in its content, and keeps what is cited in it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._part = -1
        self._base: int | None = 0
        """Bytes of the part before the text that is open; ``None`` where they were too many to count."""
        self._cited: list[Citation] = []
        self._spoken = Spoken()
        self.add = self._spoken.add

    def begin(self, *, goes_on: bool) -> None:
        """
        :param goes_on: whether the text is one part with the text before it.
        """
        if not goes_on:
            self._part += 1
            self._base = 0
        self._spoken = Spoken()
        self.add = self._spoken.add

    def skip(self) -> None:
        """Another kind of part."""
        self._part += 1

    def cite(self, citation: Citation) -> None:
        self._cited.append(citation)

    def end(self) -> None:
        text = self._spoken.text()
        cited, self._cited = self._cited, []
        if text is None or self._base is None:
            self._base = None
            self.spans += [Span(citation, self._part, None, None, None) for citation in cited]
            return
        length = byte_at(text, len(text))
        for citation in cited:
            start = 0 if citation.start is None else citation.start
            end = len(text) if citation.end is None else citation.end
            passage = text[start:end] or None
            self.spans.append(
                Span(
                    msgspec.structs.replace(citation, start=None, end=None, raw=None),
                    self._part,
                    self._base + byte_at(text, start),
                    self._base + byte_at(text, end),
                    passage if passage is None or len(passage) <= MAX_PASSAGE else None,
                )
            )
        self._base += length


def write_answer(answer: Answer) -> bytes:
    """
    :return: ``GenerateContentResponse``.
    """
    document: Object = {}
    blocked = _blocked(answer)
    if blocked is None:
        document["candidates"] = [_candidate(choice) for choice in answer.choices]
    else:
        document["promptFeedback"] = {"blockReason": blocked}
    usage = written_usage(answer.usage)
    if usage:
        document["usageMetadata"] = usage
    return _encode(document | meta_of(answer.id, answer.model, answer.created))


def meta_of(answer_id: str, model: str, created: int | None) -> Object:
    """
    :return: what is in every chunk of an answer.
    """
    made: Object = {"modelVersion": model, "responseId": answer_id}
    if created is not None:
        made["createTime"] = msgspec.to_builtins(_time(created))
    return made


def _time(seconds: int) -> datetime:
    # Python's calendar ends with the year 9999.
    return datetime.fromtimestamp(min(max(seconds, 0), 2**37), UTC)


def _blocked(answer: Answer) -> str | None:
    """
    :return: the reason why the prompt got no answer, where it is one that only prompts have.
    """
    for choice in answer.choices:
        finish = choice.finish
        if choice.parts or finish is None or finish.stop is not Stop.FILTERED or finish.detail not in BLOCKED:
            return None
        if reason_of(finish)[0] == finish.detail:
            return None
        return finish.detail
    return None


def _candidate(choice: Choice) -> Object:
    parts: list[Object] = []
    cited = Cited()
    for part in choice.parts:
        match part:
            case Text():
                _add_text(parts, part, cited)
            case Refusal():
                _add_text(parts, Text(part.text), cited)
            case Thinking():
                _add_thinking(parts, part, cited)
            case _:
                made = whole_part(part)
                if made is not None:
                    cited.skip()
                    parts.append(made)
    candidate: Object = {}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    if choice.finish is not None:
        candidate.update(finish_fields(choice.finish))
    candidate["index"] = choice.index
    if cited.spans:
        candidate["groundingMetadata"] = written_grounding(cited.spans)
    if choice.logprobs:
        candidate["logprobsResult"] = logprobs_result(choice.logprobs)
        candidate["avgLogprobs"] = sum(one.logprob for one in choice.logprobs) / len(choice.logprobs)
    return candidate


def _add_text(parts: list[Object], part: Text, cited: Cited) -> None:
    if not part.text and part.opaque is None:
        return
    last = parts[-1] if parts else {}
    goes_on = last.keys() == {"text"}
    cited.begin(goes_on=goes_on)
    cited.add(part.text)
    for citation in part.citations:
        cited.cite(citation)
    cited.end()
    if goes_on:
        last["text"] = f"{last['text']}{part.text}"
    else:
        last = {"text": part.text}
        parts.append(last)
    if part.opaque is not None:
        last["thoughtSignature"] = sealed(part.opaque, DIALECT)


def _add_thinking(parts: list[Object], part: Thinking, cited: Cited) -> None:
    if not part.text and part.opaque is None:
        return
    last = parts[-1] if parts else {}
    if last.keys() == {"text", "thought"} and not part.redacted:
        last["text"] = f"{last['text']}{part.text}"
    else:
        cited.skip()
        last = {"text": part.text, "thought": True}
        parts.append(last)
    signature = thought_signature(part)
    if signature is not None:
        last["thoughtSignature"] = signature


def thought_signature(part: Thinking) -> str | None:
    return sealed_thinking(part, DIALECT)


def whole_part(part: Part) -> Object | None:
    """
    :return: a part that is no text; ``None`` where Google has none such.
    """
    match part:
        case ToolCall():
            return _call(part)
        case Image() | Document():
            fallback = "image/jpeg" if isinstance(part, Image) else "application/pdf"
            return blob_of(part.source, fallback)
        case Audio():
            return None if part.source is None else blob_of(part.source, "audio/mp3")
        case Foreign(dialect="gemini", raw=raw):
            made: Object = {}
            made.update(_object(raw))
            return made
        case _:
            return None


def _call(part: ToolCall) -> Object:
    arguments, _exact = arguments_of(part)
    call: Object = {"name": part.name, "args": arguments}
    if not part.id.startswith(MADE_UP):
        call = {"id": part.id} | call
    made: Object = {"functionCall": call}
    if part.opaque is not None:
        made["thoughtSignature"] = sealed(part.opaque, DIALECT)
    return made


def finish_fields(finish: Finish) -> Object:
    reason, message = reason_of(finish)
    made: Object = {"finishReason": reason}
    if message is not None:
        made["finishMessage"] = message
    return made


def logprobs_result(logprobs: tuple[TokenLogprob, ...]) -> Object:
    """
    :return: ``logprobsResult``. Google's tokens have no bytes.
    """
    return {
        "chosenCandidates": [{"token": one.token, "logProbability": one.logprob} for one in logprobs],
        "topCandidates": [
            {"candidates": [{"token": top.token, "logProbability": top.logprob} for top in one.top]} for one in logprobs
        ],
    }
