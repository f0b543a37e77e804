"""Gemini's answers."""

from __future__ import annotations

import msgspec

from llm_gateway.core.usage.answers import NOTHING_THERE, AnswerReader, is_error, read, strings
from llm_gateway.core.usage.counts import Counted, GeminiCounts

__all__ = ["GeminiReader"]


class _Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[object] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    finish_reason: object = None
    grounding_metadata: _Grounding | None = None


class _GeminiNumbers(msgspec.Struct, rename="camel", gc=False):
    model_version: object = None
    usage_metadata: GeminiCounts | None = None
    candidates: list[_Candidate] | None = None
    error: msgspec.Raw = NOTHING_THERE


class _FunctionCall(msgspec.Struct, gc=False):
    name: object = None
    args: msgspec.Raw = NOTHING_THERE


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
    error: msgspec.Raw = NOTHING_THERE


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
        found = read(_gemini_numbers, document)
        if isinstance(found, list):
            return max([self._take(each) for each in found], default=False)
        return None if found is None else self._take(found)

    def _take(self, found: _GeminiNumbers) -> bool:
        self._named(found.model_version)
        if is_error(found.error):
            self.failed = True
        for candidate in found.candidates or ():
            if candidate.finish_reason is not None:
                self.final = True
            if candidate.grounding_metadata is not None:
                self._searches = max(self._searches, len(candidate.grounding_metadata.web_search_queries or ()))
        return found.usage_metadata is not None and self._add(found.usage_metadata)

    def take_usage(self, document: bytes) -> bool:
        usage = read(_gemini_usage, document)
        return usage is not None and self._add(usage)

    def _add(self, counts: GeminiCounts) -> bool:
        if counts.prompt_token_count is None and counts.total_token_count is None:
            return False
        self.numbered += 1
        told = self._told(counts)
        if told or self._counts is None or not self._told(self._counts):
            self._counts = counts
        return told

    def _told(self, counts: GeminiCounts) -> bool:
        # Events before the last may leave it out, or say 0, and have a text all the same.
        return self.final or bool(counts.candidates_token_count)

    def said(self, document: bytes) -> str:
        found = read(_gemini_text, document)
        said: list[str] = []
        for each in found if isinstance(found, list) else () if found is None else (found,):
            if is_error(each.error):
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
    said += strings(part.text)
    if part.function_call is not None:
        said += strings(part.function_call.name)
        said.append(bytes(part.function_call.args).decode("utf-8", "replace"))
    if part.executable_code is not None:
        said += strings(part.executable_code.code)
