"""Messages of the conversation as the items of ``input``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.core.translation.responses import documents
from llm_gateway.core.translation.responses.documents import Breakpoint, Content, InputItem
from llm_gateway.errors import BadRequest

__all__ = ["ItemWriter", "annotation", "written_citations"]

_FAILED = "The tool failed."
"""What stands before the result of a tool that did."""

_LONGEST_ID = 64
"""Of a call; OpenAI refuses longer ones."""

_OURS = frozenset({"file_citation", "url_citation", "container_file_citation", "file_path"})
_AUDIO_FORMATS = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
}
_EXTENSIONS = {
    "application/json": "json",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}


class ItemWriter:
    """Writes one message after another."""

    def __init__(self, request: Request, to: Destination, losses: Losses) -> None:
        self.items: list[InputItem] = []
        self._to = to
        self._losses = losses
        self._own = request.dialect == "responses"
        self._calls: dict[str, bool] = {}
        """Ids of the calls so far, and whether each is a custom tool's."""

    def write(self, message: Message, place: str) -> None:
        """
        :param place: in the neutral conversation, for the names of what is left out.
        :raises Unsupported: by way of the losses.
        :raises BadRequest: a result for a call that never was.
        """
        if message.name is not None:
            self._losses.lose(f"{place}.name", Weight.HINT, "the Responses API has no names of participants")
        run: list[Content] = []
        for part, where in self._parts(message.parts, place):
            content = self._content(part, where, message.role)
            if content is not None:
                run.append(content)
                continue
            self._say(message.role, run)
            run = []
            self._item(part, where)
        self._say(message.role, run)

    def _parts(self, parts: Sequence[Part], place: str) -> Iterator[tuple[Part, str]]:
        """
        :return: each with its place; what is said about a document is a text before it, for there is no field for it.
        """
        for index, part in enumerate(parts):
            where = f"{place}.parts[{index}]"
            if isinstance(part, Document) and part.context is not None:
                self._losses.change(f"{where}.context")
                yield Text(part.context), where
            yield part, where

    def _say(self, role: Role, run: list[Content]) -> None:
        if not run:
            return
        if role is not Role.ASSISTANT:
            self.items.append(documents.Message(role=role.value, content=run))
            return
        match run:
            case [documents.OutputText(text=text, annotations=())]:
                self.items.append(documents.Message(role="assistant", content=text))
            case _:
                self.items.append(
                    documents.OutputMessage(
                        id=f"msg_{len(self.items)}", role="assistant", status="completed", content=run
                    )
                )

    def _item(self, part: Part, place: str) -> None:
        match part:
            case ToolCall():
                self._calls[part.id] = part.custom
                self._sign(part.opaque, place)
                self._cache(part.cache, place)
                if part.custom:
                    self.items.append(
                        documents.CustomToolCall(call_id=_call_id(part.id), name=part.name, input=part.arguments)
                    )
                else:
                    call = documents.FunctionCall(
                        call_id=_call_id(part.id), name=part.name, arguments=part.arguments or "{}"
                    )
                    self.items.append(call)
            case ToolResult():
                self._result(part, place)
            case Thinking():
                self._thinking(part, place)
            case Foreign(dialect="responses"):
                self.items.append(part.raw)
            case Foreign():
                self._foreign(part, place)

    def _foreign(self, part: Foreign, place: str) -> None:
        weight = Weight.HINT if part.hint else Weight.MEANING
        self._without(f"{place}.{part.kind}", weight, "the Responses API has nothing like it")

    def _without(self, field: str, weight: Weight, why: str) -> None:
        self._losses.lose(field, weight, why)

    def _result(self, result: ToolResult, place: str) -> None:
        custom = self._calls.get(result.call_id)
        if custom is None:
            raise BadRequest.of_field(place, "is the result of a call that is not in the conversation before it.")
        self._cache(result.cache, place)
        parts = result.parts
        if result.is_error:
            # Nothing else tells failed calls from others.
            self._losses.change(f"{place}.is_error")
            parts = (Text(_FAILED), *parts)
        output: str | list[Content]
        match parts:
            case ():
                output = ""
            case (Text(text=text, cache=None),):
                output = text
            case _:
                output = []
                for part, where in self._parts(parts, place):
                    content = self._content(part, where, Role.USER)
                    if content is not None:
                        output.append(content)
                    elif isinstance(part, Foreign):
                        self._foreign(part, where)
        if custom or result.custom:
            self.items.append(documents.CustomToolCallOutput(call_id=_call_id(result.call_id), output=output))
        else:
            self.items.append(documents.FunctionCallOutput(call_id=_call_id(result.call_id), output=output))

    def _thinking(self, thinking: Thinking, place: str) -> None:
        opaque = thinking.opaque
        if opaque is None and not self._own:
            self._without(f"{place}.thinking", Weight.HINT, "OpenAI takes no reasoning back that it has not encrypted")
            return
        if opaque is not None and (opaque.dialect != "responses" or opaque.provider not in (None, self._to.provider)):
            whose = opaque.provider or "another provider"
            self._without(f"{place}.thinking", Weight.MEANING, f"only {whose} can read its reasoning")
            return
        read = thinking.text
        self.items.append(
            documents.ReasoningItem(
                id=thinking.id,
                summary=[documents.SummaryText(text=read)] if read and thinking.summary else [],
                content=[documents.ReasoningText(text=read)] if read and not thinking.summary else None,
                encrypted_content=None if opaque is None else opaque.data,
            )
        )

    # Content

    def _content(self, part: Part, place: str, role: Role) -> Content | None:
        """
        :return: ``None`` where the part is an item of its own, or is left out.
        """
        match part:
            case Text():
                return self._text(part, place, role)
            case Refusal():
                return documents.OutputRefusal(refusal=part.text)
            case Image():
                return self._image(part, place)
            case Document():
                return self._document(part, place)
            case Audio():
                return self._audio(part, place)
            case Foreign(dialect="responses") if role is not Role.ASSISTANT and part.kind.startswith("input_"):
                return part.raw
        return None

    def _text(self, text: Text, place: str, role: Role) -> Content:
        self._sign(text.opaque, place)
        cache = self._cache(text.cache, place)
        annotations = written_citations(text.citations, text.text) if role is Role.ASSISTANT else ()
        if len(annotations) < len(text.citations):
            self._without(f"{place}.citations", Weight.HINT, "OpenAI's models cite URLs only, and users nothing")
        if role is Role.ASSISTANT:
            return documents.OutputText(text=text.text, annotations=annotations)
        return documents.InputText(text=text.text, prompt_cache_breakpoint=cache)

    def _sign(self, opaque: Opaque | None, place: str) -> None:
        """OpenAI signs neither calls nor texts, so that it is another provider's."""
        if opaque is not None:
            whose = opaque.provider or "another provider"
            self._without(f"{place}.signature", Weight.MEANING, f"only {whose}, which made it, can read it")

    def _cache(self, cache: CacheMark | None, place: str) -> Breakpoint | None:
        if cache is None:
            return None
        if self._own:
            return Breakpoint()
        # Models before gpt-5.6 do not know breakpoints, and cache by themselves.
        self._without(f"{place}.cache_control", Weight.HINT, "OpenAI caches prompts by itself")
        return None

    def _image(self, image: Image, place: str) -> Content | None:
        cache = self._cache(image.cache, place)
        url, file_id = self._source(image.source, place)
        if url is None and file_id is None:
            return None
        return documents.InputImage(
            detail=image.detail or "auto", image_url=url, file_id=file_id, prompt_cache_breakpoint=cache
        )

    def _document(self, document: Document, place: str) -> Content | None:
        if document.citations:
            self._without(f"{place}.citations", Weight.MEANING, "the model cannot be asked to cite a document")
        cache = self._cache(document.cache, place)
        source = document.source
        url, file_id = self._source(source, place)
        if isinstance(source, Inline):
            ending = _EXTENSIONS.get(source.media_type, "bin")
            return documents.InputFile(
                filename=document.name or f"document.{ending}", file_data=url, prompt_cache_breakpoint=cache
            )
        if url is None and file_id is None:
            return None
        return documents.InputFile(filename=document.name, file_url=url, file_id=file_id, prompt_cache_breakpoint=cache)

    def _source(self, source: Inline | Linked | Stored, place: str) -> tuple[str | None, str | None]:
        """
        :return: a URL or the id of a file; neither where the file is another provider's.
        """
        match source:
            case Inline():
                return f"data:{source.media_type};base64,{source.data}", None
            case Linked():
                return source.url, None
            case Stored(dialect="openai"):
                return None, source.file_id
        self._without(f"{place}.file_id", Weight.MEANING, "the file was uploaded to another provider")
        return None, None

    def _audio(self, audio: Audio, place: str) -> Content | None:
        source = audio.source
        form = _AUDIO_FORMATS.get(source.media_type) if isinstance(source, Inline) else None
        if isinstance(source, Inline) and form is not None:
            return documents.InputAudio(input_audio=documents.AudioData(source.data, form))
        self._without(f"{place}.audio", Weight.MEANING, "the Responses API takes audio as inline mp3 or wav only")
        return None


def _call_id(given: str) -> str:
    """
    :param given: as the caller sent it, perhaps another provider's, with all that it has to say in it.
    """
    if len(given) <= _LONGEST_ID:
        return given
    return f"call_{hashlib.blake2s(given.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


class _Typed(msgspec.Struct):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed).decode


def written_citations(citations: tuple[Citation, ...], text: str) -> tuple[documents.UrlCitation | msgspec.Raw, ...]:
    """
    :param text: that they belong to.
    :return: those that the dialect can say.
    """
    return tuple(said for citation in citations if (said := annotation(citation, len(text))) is not None)


def annotation(citation: Citation, length: int) -> documents.UrlCitation | msgspec.Raw | None:
    """
    :param length: of the text so far, in characters: the end of what is cited where the citation does not say it.
    """
    if citation.raw is not None:
        try:
            if _typed(citation.raw).type in _OURS:
                return citation.raw
        except msgspec.MsgspecError:
            pass
    if citation.url is None:
        return None
    end = length if citation.end is None else citation.end
    return documents.UrlCitation(
        url=citation.url, title=citation.title or "", start_index=citation.start or 0, end_index=end
    )
