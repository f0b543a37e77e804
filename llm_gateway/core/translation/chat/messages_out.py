"""Messages for a provider, in the order and the roles that Chat Completions demands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.chat.flavours import Flavour
from llm_gateway.core.translation.chat.media import data_url, format_of, text_of
from llm_gateway.core.translation.chat.thoughts import detail_of, merged
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
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
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llm_gateway.core.translation.freeform import as_arguments
from llm_gateway.core.translation.losses import Losses, Weight
from llm_gateway.errors import BadRequest

__all__ = ["MessageWriter"]

_NINE = re.compile(r"[A-Za-z0-9]{9}")
_LONGEST_ID = 40
"""Characters of a call's id that OpenAI takes."""
_ROLES = {Role.SYSTEM: "system", Role.DEVELOPER: "developer"}
_ELSEWHERE = "it was made by another provider, and only that one can read it."

Object = dict[str, object]


class MessageWriter:
    """
    Writes one request's messages.

    The results of a turn's calls have to stand right behind it, each in a message of its own and in text. Images and
    files of results follow them in the next message of the user.
    """

    def __init__(self, request: Request, to: Destination, flavour: Flavour, losses: Losses) -> None:
        self._request = request
        self._to = to
        self._flavour = flavour
        self._losses = losses
        self._calls: set[str] = set()
        self._media: list[Object] = []
        """Images and files of results, until the results of the turn are over."""
        self._out: list[Object] = []

    def write(self) -> list[Object]:
        """
        :raises BadRequest: a result belongs to no call.
        :raises Unsupported: by way of the losses.
        """
        for index, message in enumerate(self._request.messages):
            place = f"messages[{index}]"
            if message.role is Role.USER:
                self._user(message, place)
                continue
            self._add_media()
            self._out.append(
                self._assistant(message, place) if message.role is Role.ASSISTANT else self._operator(message, place)
            )
        self._add_media()
        return self._out

    def _add_media(self) -> None:
        if self._media:
            self._out.append({"role": "user", "content": self._media})
            self._media = []

    def _named(self, document: Object, message: Message) -> Object:
        if message.name is not None and (
            self._flavour.names or self._losses.drop("messages.name", Weight.HINT, "participants have no names.")
        ):
            document["name"] = message.name
        return document

    # The operator and the user

    def _operator(self, message: Message, place: str) -> Object:
        role = _ROLES[message.role]
        if role == "developer" and not self._flavour.developer:
            role = "system"
            self._losses.change(f"{place}.role")
        contents = [
            self._text(part)
            for at, part in enumerate(message.parts)
            if self._only(part, Text, f"{place}.content[{at}]") and isinstance(part, Text)
        ]
        return self._named({"role": role, "content": self._joined(contents)}, message)

    def _only(self, part: Part, kind: type[Part], place: str) -> bool:
        if isinstance(part, kind):
            return True
        self._leave_out(part, place, "its messages of this role hold text only.")
        return False

    def _leave_out(self, part: Part, place: str, why: str) -> None:
        hint = isinstance(part, Foreign) and part.hint
        self._losses.lose(place, Weight.HINT if hint else Weight.MEANING, why)

    def _user(self, message: Message, place: str) -> None:
        results = 0
        contents: list[Object] = []
        for at, part in enumerate(message.parts):
            where = f"{place}.content[{at}]"
            if isinstance(part, ToolResult):
                if contents:
                    # What was said before the result comes behind it.
                    self._losses.change(where)
                results += 1
                self._result(part, where)
                continue
            contents += self._content(part, where)
        if contents or not results:
            contents = self._media + contents
            self._media = []
            self._out.append(self._named({"role": "user", "content": self._joined(contents)}, message))

    def _content(self, part: Part, place: str) -> list[Object]:
        match part:
            case Text():
                return [self._text(part)]
            case Image():
                return self._image(part, place)
            case Document():
                return self._document(part, place)
            case Audio():
                return self._sound(part, place)
            case Foreign(dialect="chat"):
                return [_as_object(part)]
            case Thinking() | ToolCall() | Refusal():
                raise BadRequest.of_field(place, "only the model says such a thing.")
        self._leave_out(part, place, "it has no such part of a message.")
        return []

    def _text(self, part: Text) -> Object:
        return self._marked({"type": "text", "text": part.text}, part.cache)

    def _image(self, part: Image, place: str) -> list[Object]:
        source = part.source
        if isinstance(source, Inline):
            url = data_url(source)
        elif isinstance(source, Linked):
            url = source.url
        else:
            self._leave_out(part, place, "images are sent by URL or with their data, not by the id of a file.")
            return []
        image: Object = {"url": url}
        if part.detail is not None:
            image["detail"] = part.detail
        return [self._marked({"type": "image_url", "image_url": image}, part.cache)]

    def _document(self, part: Document, place: str) -> list[Object]:
        losses = self._losses
        before: list[Object] = []
        if part.citations:
            losses.lose(f"{place}.citations", Weight.MEANING, "the model cannot be asked to cite a document.")
        if part.context is not None:
            losses.change(f"{place}.context")
            before.append({"type": "text", "text": part.context})
        source = part.source
        file: Object
        if isinstance(source, Inline):
            said = text_of(source)
            if said is not None:
                # A file of text is not a file here; its text says the same.
                losses.change(place)
                titled = f"{part.name}:\n\n{said}" if part.name else said
                return [*before, self._marked({"type": "text", "text": titled}, part.cache)]
            file = {"filename": part.name or _file_name(source.media_type), "file_data": data_url(source)}
        elif isinstance(source, Linked):
            if "linked_files" not in self._flavour.knows:
                self._leave_out(part, place, "files are sent with their data, not by URL.")
                return before
            file = {"filename": part.name or "document", "file_data": source.url}
        elif source.dialect == "openai":
            file = {"file_id": source.file_id}
        else:
            self._leave_out(part, place, "the file was uploaded to another provider.")
            return before
        return [*before, self._marked({"type": "file", "file": file}, part.cache)]

    def _sound(self, part: Audio, place: str) -> list[Object]:
        if not isinstance(part.source, Inline):
            self._leave_out(part, place, "sound is sent with its data.")
            return []
        sound = {"data": part.source.data, "format": format_of(part.source.media_type)}
        return [{"type": "input_audio", "input_audio": sound}]

    def _marked(self, document: Object, mark: CacheMark | None) -> Object:
        if mark is None:
            return document
        field = self._flavour.marks
        if field == "prompt_cache_breakpoint":
            breakpoint_: Object = {"mode": "explicit"}
            if mark.ttl in ("30m", "12h"):
                breakpoint_["ttl"] = mark.ttl
            elif mark.ttl is not None:
                self._losses.change("cache_control.ttl")
            document[field] = breakpoint_
        elif field is not None or self._losses.drop("cache_control", Weight.HINT, "it caches prompts by itself."):
            document["cache_control"] = {"type": "ephemeral", **({"ttl": mark.ttl} if mark.ttl else {})}
        return document

    def _joined(self, contents: Sequence[Object], between: str = "\n\n") -> object:
        """A string where that says all; most providers take lists for images and files only."""
        if not contents:
            return ""
        if any(len(each) != 2 or each["type"] != "text" for each in contents):
            return contents
        if len(contents) == 1:
            return contents[0]["text"]
        return contents if self._flavour.part_lists else between.join(str(each["text"]) for each in contents)

    # Tools

    def _call_id(self, call_id: str) -> str:
        """The same for a call and its result: Gemini's and other gateways' ids may be longer than OpenAI takes."""
        if self._flavour.short_ids:
            return call_id if _NINE.fullmatch(call_id) else _digest(call_id)[:9]
        return call_id if len(call_id) <= _LONGEST_ID else f"call_{_digest(call_id)[:32]}"

    def _result(self, result: ToolResult, place: str) -> None:
        if result.call_id not in self._calls:
            raise BadRequest.of_field(place, "is the result of a call that is not in the conversation before it.")
        contents: list[Object] = []
        media: list[Object] = []
        for at, part in enumerate(result.parts):
            where = f"{place}.content[{at}]"
            for each in self._content(part, where):
                if each["type"] == "text":
                    contents.append(each)
                else:
                    self._losses.change(where)
                    media.append(each)
        if media:
            contents.append({"type": "text", "text": "(What is not text of this result follows in the next message.)"})
            self._media += [{"type": "text", "text": f"Of the result of the tool call {result.call_id}:"}, *media]
        if result.is_error:
            self._losses.change(f"{place}.is_error")
            contents.insert(0, {"type": "text", "text": "The tool failed."})
        if contents:
            last = contents[-1]
            contents[-1] = self._marked(dict(last), result.cache) if len(last) == 2 else last
        self._out.append(
            {"role": "tool", "tool_call_id": self._call_id(result.call_id), "content": self._joined(contents)}
        )

    def _call(self, call: ToolCall, place: str) -> Object:
        self._calls.add(call.id)
        document: Object = {"id": self._call_id(call.id)}
        if call.custom and self._flavour.custom_tools:
            document |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
        else:
            arguments = as_arguments(call.arguments) if call.custom else call.arguments or "{}"
            document |= {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        if call.cache is not None:
            self._losses.lose("cache_control", Weight.HINT, "calls have no marks for the cache.")
        self._add_signature(document, call.opaque, place)
        return document

    def _add_signature(self, document: Object, opaque: Opaque | None, place: str) -> None:
        if opaque is None:
            return
        if self._flavour.signatures and opaque.dialect == "gemini" and opaque.provider in (None, self._to.provider):
            document["extra_content"] = {"google": {"thought_signature": opaque.data}}
        else:
            self._losses.lose(f"{place}.signature", Weight.MEANING, _ELSEWHERE)

    # The model

    def _assistant(self, message: Message, place: str) -> Object:
        texts: list[Object] = []
        refusals: list[str] = []
        calls: list[Object] = []
        thoughts: list[tuple[Thinking, str]] = []
        document: Object = {"role": "assistant"}
        for at, part in enumerate(message.parts):
            where = f"{place}.content[{at}]"
            match part:
                case Text():
                    self._add_signature(document, part.opaque, where)
                    if part.citations:
                        self._losses.lose(f"{where}.citations", Weight.HINT, "messages have none.")
                    if part.text:
                        texts.append(self._text(part))
                case Thinking():
                    thoughts.append((part, where))
                case ToolCall():
                    calls.append(self._call(part, where))
                case Refusal() if self._flavour.refusals:
                    refusals.append(part.text)
                case Refusal():
                    self._losses.change(where)
                    texts.append({"type": "text", "text": part.text})
                case Audio():
                    self._said(part, document, texts, where)
                case Foreign(dialect="chat"):
                    texts.append(_as_object(part))
                case _:
                    self._leave_out(part, where, "its model cannot be shown such a part as its own.")
        content = self._joined(texts, "")
        document["content"] = content if texts or not (calls or refusals or "audio" in document) else None
        if refusals:
            document["refusal"] = "".join(refusals)
        if calls:
            document["tool_calls"] = calls
        self._add_thoughts(document, thoughts)
        return self._named(document, message)

    def _said(self, part: Audio, document: Object, texts: list[Object], place: str) -> None:
        if part.id is not None:
            document["audio"] = {"id": part.id}
        elif part.transcript:
            self._losses.change(place)
            texts.append({"type": "text", "text": part.transcript})
        else:
            self._leave_out(part, place, "sound that the model made is referred to by its id only.")

    def _add_thoughts(self, document: Object, thoughts: Sequence[tuple[Thinking, str]]) -> None:
        field = self._flavour.thoughts
        kept = [self._fit_to_go(thinking, place) for thinking, place in thoughts]
        said = merged(kept)
        if any(thinking.opaque is not None for thinking in kept):
            document["reasoning_details"] = [detail_of(each, index) for index, each in enumerate(kept)]
        if field == "content":
            if said:
                thought = {"type": "thinking", "thinking": [{"type": "text", "text": said}]}
                content = document["content"]
                texts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
                document["content"] = [thought, *(texts if isinstance(texts, list) else [])]
        elif field is not None and said:
            document[field] = said
        elif field is not None and self._flavour.thoughts_with_calls and "tool_calls" in document:
            # These models refuse a call without the thinking behind it, also one that another model made.
            document[field] = " "

    def _fit_to_go(self, thinking: Thinking, place: str) -> Thinking:
        """
        :return: what of it the provider is sent; its text is left out where there is no field for it.
        """
        opaque = thinking.opaque
        if opaque is not None and opaque.data and not self._is_its_own(opaque):
            self._losses.lose(f"{place}.signature", Weight.MEANING, _ELSEWHERE)
        elif opaque is not None and opaque.data:
            return thinking
        if thinking.text and self._flavour.thoughts is None:
            self._losses.lose(place, Weight.HINT, "it does not take a model's thinking back.")
        return Thinking(thinking.text)

    def _is_its_own(self, opaque: Opaque) -> bool:
        if opaque.dialect != "chat":
            return False
        return opaque.provider == self._to.provider if opaque.provider is not None else self._flavour.details


def _digest(call_id: str) -> str:
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()


def _as_object(part: Foreign) -> Object:
    document: Object = dict(msgspec.json.decode(part.raw, type=dict[str, msgspec.Raw]))
    document["type"] = part.kind
    return document


def _file_name(media_type: str) -> str:
    ending = media_type.rpartition("/")[2].rpartition(".")[2]
    return f"document.{ending}" if ending.isalnum() else "document"
