"""
Requests, answers and streams for Hypothesis to draw, within what a dialect can say.

A codec's tests say that once, as a :class:`Reach`, and draw from it; what is peculiar to one dialect its tests add to
what is drawn here. Values are small and few, so that a law sees many shapes rather than long texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    CacheMark,
    Choice,
    ChoiceMode,
    Citation,
    Document,
    Finish,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Sampling,
    Source,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)

__all__ = [
    "Reach",
    "answers",
    "cuts",
    "events_of",
    "json_objects",
    "requests",
    "streams",
    "unhurried",
    "words",
]

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For laws: they hold on a slow machine too, and on one that measures coverage."""

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PAGE = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What one dialect can say, of all that the neutral conversation can. What is not named is left out."""

    codec: str
    """The codec's name, which is the ``dialect`` of the requests."""
    # Messages
    system: str = "anywhere"
    """Where system messages stand: ``anywhere``, ``first`` (any number of them) or ``never``."""
    developer: bool = False
    names: bool = False
    """Participants' names."""
    several_texts: bool = True
    """Whether a message keeps several texts apart."""
    alternate: bool = False
    """Whether no two messages of one role may follow each other."""
    inline_images: bool = True
    linked_images: bool = True
    image_details: tuple[str, ...] = ()
    inline_documents: bool = False
    linked_documents: bool = False
    named_documents: bool = True
    """Whether a document has to have a name (``True``) or may not (``False``)."""
    audio: tuple[str, ...] = ()
    """Media types of sound that a user may send."""
    marks: tuple[str | None, ...] = ()
    """Times to live of cache marks on texts and images."""
    refusals: bool = False
    # Reasoning in messages and answers
    thinking: bool = False
    """Whether there is readable thinking with nothing opaque."""
    opaque: str | None = None
    """The dialect of the opaque parts that it carries as they are, in thinking that is first in its message."""
    redacted: bool = False
    # Tools
    custom_tools: bool = False
    strict_tools: bool = True
    joined_results: bool = False
    """Whether the results of one turn stand in one message, rather than in a message each."""
    pictured_results: bool = False
    failed_results: bool = False
    named_results: bool = False
    choice_of: int = 1
    """How many tools a tool choice may name."""
    auto_choice_of: bool = False
    """Whether it may name them without demanding one."""
    # The rest of a request
    efforts: tuple[str, ...] = ()
    budgets: bool = False
    json_objects: bool = True
    """Whether an answer may have to be any JSON object."""
    json_schemas: bool = True
    named_schemas: bool = False
    sampling: tuple[str, ...] = ("temperature", "top_p")
    fields: tuple[str, ...] = ("max_tokens", "stop")
    """Fields of :class:`Request` that may be set, by their names, where a simple value will do."""
    service_tiers: tuple[str, ...] = ("auto", "default")
    usage_on_request: bool = False
    """Whether a stream has its usage only if the request asks for it; it then does."""
    # Answers
    canonical: bool = False
    """Whether the order of an answer's parts is fixed: thinking, one text, a refusal, calls."""
    several_choices: bool = False
    citations: bool = False
    logprobs: bool = False
    stops: tuple[Stop, ...] = (Stop.END, Stop.LENGTH)
    """Besides ``TOOL_CALLS``, which every answer with calls ends with, and no other."""
    usage: tuple[str, ...] = ("input", "output", "cached_input", "reasoning")
    created: bool = True
    answer_tiers: tuple[str, ...] = ()


# Small values

_CHARACTERS = "abcXYZ 09.,:{}[]\"\\/'\n\t\r\0\x7fäß€漢🙂\u2028\ufeff<>&="


@cache
def words(min_size: int = 1, max_size: int = 12) -> st.SearchStrategy[str]:
    """
    :return: text with everything in it that an encoder may get wrong; never only blanks, which some providers refuse.
    """
    text = st.text(_CHARACTERS, min_size=min_size, max_size=max_size)
    return text if not min_size else text.map(lambda drawn: drawn if drawn.strip() else "x" + drawn)


@cache
def names(prefix: str = "") -> st.SearchStrategy[str]:
    return st.text("abcdefgh_-0123", min_size=1, max_size=8).map(lambda drawn: prefix + drawn)


@cache
def json_objects() -> st.SearchStrategy[msgspec.Raw]:
    """Small JSON objects, as the text that a codec carries."""
    values = st.sampled_from([None, True, 7, -0.5, "", "so", [], [1, "two"], {}, {"a": {"b": None}}]) | words(0, 5)
    return st.dictionaries(words(1, 4), values, max_size=2).map(lambda drawn: msgspec.Raw(msgspec.json.encode(drawn)))


@cache
def schemas() -> st.SearchStrategy[msgspec.Raw]:
    """JSON Schemas that every provider takes."""
    kinds = st.sampled_from(["string", "number", "integer", "boolean"])
    fields = st.dictionaries(names(), st.fixed_dictionaries({"type": kinds}), max_size=3)
    return fields.map(
        lambda drawn: msgspec.Raw(
            msgspec.json.encode(
                {"type": "object", "properties": drawn, "required": sorted(drawn), "additionalProperties": False}
            )
        )
    )


@cache
def _arguments() -> st.SearchStrategy[str]:
    return json_objects().map(lambda drawn: bytes(drawn).decode())


# Parts


@cache
def _mark(reach: Reach) -> st.SearchStrategy[CacheMark | None]:
    if not reach.marks:
        return st.none()
    return st.none() | st.sampled_from(reach.marks).map(CacheMark)


@cache
def _texts(reach: Reach) -> st.SearchStrategy[Text]:
    return st.builds(Text, words(), cache=_mark(reach))


@cache
def _plain_texts() -> st.SearchStrategy[Text]:
    return words().map(Text)


@cache
def _images(reach: Reach) -> st.SearchStrategy[Image] | None:
    sources: list[st.SearchStrategy[Source]] = []
    if reach.inline_images:
        sources.append(st.sampled_from(["image/png", "image/jpeg"]).map(lambda kind: Inline(kind, PIXEL)))
    if reach.linked_images:
        sources.append(names().map(lambda name: Linked(f"https://example.com/{name}.png")))
    if not sources:
        return None
    details = st.sampled_from([None, *reach.image_details])
    return st.builds(Image, st.one_of(sources), detail=details, cache=_mark(reach))


@cache
def _documents(reach: Reach) -> st.SearchStrategy[Document] | None:
    sources: list[st.SearchStrategy[Source]] = []
    if reach.inline_documents:
        sources.append(st.just(Inline("application/pdf", PAGE)))
    if reach.linked_documents:
        sources.append(names().map(lambda name: Linked(f"https://example.com/{name}.pdf")))
    if not sources:
        return None
    name = names().map(lambda drawn: f"{drawn}.pdf") if reach.named_documents else st.none()
    return st.builds(Document, st.one_of(sources), name=name, cache=_mark(reach))


@cache
def _sounds(reach: Reach) -> st.SearchStrategy[Audio] | None:
    if not reach.audio:
        return None
    return st.sampled_from(reach.audio).map(lambda kind: Audio(Inline(kind, SOUND)))


@cache
def _thoughts(reach: Reach) -> st.SearchStrategy[Thinking] | None:
    kinds: list[st.SearchStrategy[Thinking]] = []
    if reach.thinking:
        kinds.append(words().map(Thinking))
    if reach.opaque is not None:
        # Base64, as every maker of seals writes them.
        data = st.text("abcDEF0123+/", min_size=1, max_size=8).map(lambda drawn: f"sig{drawn}")
        opaque = data.map(lambda drawn: Opaque(str(reach.opaque), None, drawn))
        kinds.append(st.builds(Thinking, words(), opaque))
        if reach.redacted:
            kinds.append(opaque.map(lambda drawn: Thinking("", drawn, redacted=True)))
    return st.one_of(kinds) if kinds else None


@cache
def _limited(strategy: st.SearchStrategy[Part] | None, most: int) -> st.SearchStrategy[list[Part]]:
    return st.just([]) if strategy is None else st.lists(strategy, max_size=most)


# Messages


@cache
def _user_messages(reach: Reach) -> st.SearchStrategy[Message]:
    kinds: list[st.SearchStrategy[Part]] = [_texts(reach)]
    kinds += [kind for kind in (_images(reach), _documents(reach), _sounds(reach)) if kind is not None]
    parts = st.lists(st.one_of(kinds), min_size=1, max_size=3)
    if not reach.several_texts:
        parts = parts.map(_one_text)
    return st.builds(Message, st.just(Role.USER), parts.map(tuple), _participant(reach))


def _one_text(parts: Sequence[Part]) -> list[Part]:
    first = next((part for part in parts if isinstance(part, Text)), None)
    return [part for part in parts if not isinstance(part, Text) or part is first]


@cache
def _participant(reach: Reach) -> st.SearchStrategy[str | None]:
    return st.none() | names() if reach.names else st.none()


@cache
def _system_messages(reach: Reach) -> st.SearchStrategy[Message]:
    roles = [Role.SYSTEM, Role.DEVELOPER] if reach.developer else [Role.SYSTEM]
    most = 2 if reach.several_texts else 1
    parts = st.lists(_texts(reach), min_size=1, max_size=most).map(tuple)
    return st.builds(Message, st.sampled_from(roles), parts, _participant(reach))


@st.composite
def _turns(draw: st.DrawFn, reach: Reach, number: int, tools: Sequence[Tool]) -> list[Message]:
    """
    :param number: which turn it is; calls' ids are not used twice.
    :return: what the model says, and the results of all the calls that it makes.
    """
    calls = []
    if tools:
        for index in range(draw(st.integers(0, 2))):
            tool = draw(st.sampled_from(tools))
            call_id = f"call_{number}_{index}"
            calls.append(draw(_calls(call_id, tool)))
    if reach.refusals and not calls and draw(st.integers(0, 3)) == 0:
        return [Message(Role.ASSISTANT, (Refusal(draw(words())),))]
    thoughts = draw(_limited(_thoughts(reach), 1))
    texts: list[Part] = list(draw(st.lists(_plain_texts(), min_size=0 if calls else 1, max_size=1)))
    message = Message(Role.ASSISTANT, (*thoughts, *texts, *calls), draw(_participant(reach)))
    results = [draw(_results(reach, call)) for call in calls]
    if not results:
        return [message]
    if reach.joined_results:
        return [message, Message(Role.USER, tuple(results))]
    return [message, *(Message(Role.USER, (result,)) for result in results)]


def _calls(call_id: str, tool: Tool) -> st.SearchStrategy[ToolCall]:
    custom = tool.custom is not None
    said = words() if custom else _arguments()
    return said.map(lambda drawn: ToolCall(call_id, tool.name, drawn, custom=custom))


@st.composite
def _results(draw: st.DrawFn, reach: Reach, call: ToolCall) -> ToolResult:
    parts: list[Text | Image] = list(draw(st.lists(_plain_texts(), min_size=1, max_size=2)))
    images = _images(reach)
    if reach.pictured_results and images is not None:
        parts += [msgspec.structs.replace(image, cache=None) for image in draw(st.lists(images, max_size=1))]
    if not reach.several_texts:
        parts = parts[:1]
    return ToolResult(
        call.id,
        tuple(parts),
        is_error=reach.failed_results and draw(st.booleans()),
        name=call.name if reach.named_results else None,
        custom=call.custom,
    )


@st.composite
def _conversations(draw: st.DrawFn, reach: Reach, tools: Sequence[Tool]) -> tuple[Message, ...]:
    messages: list[Message] = []
    if reach.system == "first":
        messages += draw(st.lists(_system_messages(reach), max_size=2))
    for number in range(draw(st.integers(1, 3))):
        if reach.system == "anywhere" and draw(st.booleans()):
            messages.append(draw(_system_messages(reach)))
        after_results = bool(messages) and messages[-1].role is Role.USER
        if not (reach.alternate and after_results):
            messages.append(draw(_user_messages(reach)))
        if draw(st.booleans()):
            messages += draw(_turns(reach, number, tools))
    if messages[-1].role is Role.ASSISTANT:
        messages.append(draw(_user_messages(reach)))
    return tuple(messages)


# Requests


@st.composite
def _tools(draw: st.DrawFn, reach: Reach) -> tuple[Tool, ...]:
    found = draw(st.lists(names("t"), max_size=3, unique=True))
    tools = []
    for name in found:
        description = draw(st.none() | words())
        if reach.custom_tools and draw(st.integers(0, 3)) == 0:
            tools.append(Tool(name, description, custom=msgspec.Raw(b'{"type":"text"}')))
            continue
        strict = draw(st.sampled_from([None, True, False])) if reach.strict_tools else None
        tools.append(Tool(name, description, draw(schemas()), strict))
    return tuple(tools)


@st.composite
def _tool_choices(draw: st.DrawFn, reach: Reach, tools: Sequence[Tool]) -> ToolChoice | None:
    if not tools or draw(st.booleans()):
        return None
    mode = draw(st.sampled_from(ChoiceMode))
    if mode is ChoiceMode.NONE or not reach.choice_of or (mode is ChoiceMode.AUTO and not reach.auto_choice_of):
        return ToolChoice(mode)
    chosen = draw(st.lists(st.sampled_from([tool.name for tool in tools]), max_size=reach.choice_of, unique=True))
    return ToolChoice(mode, tuple(chosen))


@st.composite
def _output_formats(draw: st.DrawFn, reach: Reach) -> OutputFormat | None:
    kinds = ["any"] * reach.json_objects + ["schema"] * reach.json_schemas
    if not kinds or draw(st.booleans()):
        return None
    if draw(st.sampled_from(kinds)) == "any":
        return OutputFormat()
    if not reach.named_schemas:
        return OutputFormat(draw(schemas()))
    return OutputFormat(
        draw(schemas()), draw(names()), draw(st.none() | words()), draw(st.sampled_from([None, True, False]))
    )


@st.composite
def _samplings(draw: st.DrawFn, reach: Reach) -> Sampling:
    values: dict[str, st.SearchStrategy[object]] = {
        "temperature": st.sampled_from([0.0, 0.25, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.integers(1, 40),
        "presence_penalty": st.sampled_from([-1.5, 0.0, 2.0]),
        "frequency_penalty": st.sampled_from([-1.5, 0.0, 2.0]),
        "logit_bias": st.just(msgspec.Raw(b'{"50256":-100}')),
        "seed": st.integers(0, 2**31 - 1),
    }
    drawn = {name: draw(st.none() | values[name]) for name in reach.sampling}
    return msgspec.structs.replace(Sampling(), **drawn)


@st.composite
def _reasonings(draw: st.DrawFn, reach: Reach) -> Reasoning | None:
    kinds = ["effort"] * bool(reach.efforts) + ["budget"] * reach.budgets
    if not kinds or draw(st.booleans()):
        return None
    if draw(st.sampled_from(kinds)) == "effort":
        return Reasoning(effort=draw(st.sampled_from(reach.efforts)))
    return Reasoning(enabled=True, budget_tokens=draw(st.integers(1024, 32_000)))


@cache
def _fields(reach: Reach) -> dict[str, st.SearchStrategy[object]]:
    known: dict[str, st.SearchStrategy[object]] = {
        "max_tokens": st.none() | st.integers(1, 100_000),
        "stop": st.lists(words(), max_size=4).map(tuple),
        "parallel_tool_calls": st.sampled_from([None, True, False]),
        "choices": st.integers(1, 4),
        "logprobs": st.booleans(),
        "top_logprobs": st.none() | st.integers(0, 20),
        "user": st.none() | names("user-"),
        "metadata": st.dictionaries(names(), words(), max_size=2),
        "service_tier": st.none() | st.sampled_from(reach.service_tiers),
        "cache_key": st.none() | names("key-"),
        "verbosity": st.none() | st.sampled_from(["low", "medium", "high"]),
        "modalities": st.just(()) | st.just(("audio",)),
    }
    return {name: known[name] for name in reach.fields}


@st.composite
def requests(draw: st.DrawFn, reach: Reach) -> Request:
    """
    :return: requests that the dialect can say exactly: written and read again, they are the same.
    """
    tools = draw(_tools(reach))
    fields = draw(st.fixed_dictionaries(_fields(reach)))
    if not tools and "parallel_tool_calls" in fields:
        fields["parallel_tool_calls"] = None
    if "top_logprobs" in fields and not fields.get("logprobs"):
        fields["top_logprobs"] = None
    stream = draw(st.booleans())
    request = Request(
        model=draw(names("model-")),
        messages=draw(_conversations(reach, tools)),
        stream=stream,
        include_usage=stream and reach.usage_on_request,
        tools=tools,
        tool_choice=draw(_tool_choices(reach, tools)),
        output=draw(_output_formats(reach)),
        reasoning=draw(_reasonings(reach)),
        sampling=draw(_samplings(reach)),
        dialect=reach.codec,
    )
    return msgspec.structs.replace(request, **fields)


# Answers


@cache
def _citations() -> st.SearchStrategy[Citation]:
    return st.builds(
        Citation,
        names().map(lambda name: f"https://example.com/{name}"),
        words(),
        start=st.integers(0, 5),
        end=st.integers(5, 9),
    )


@st.composite
def _said(draw: st.DrawFn, reach: Reach, number: int) -> tuple[Part, ...]:
    """The parts of one choice."""
    thoughts = draw(_limited(_thoughts(reach), 1 if reach.canonical else 2))
    citations = st.lists(_citations(), max_size=2).map(tuple) if reach.citations else st.just(())
    texts = draw(st.lists(st.builds(Text, words(), citations), max_size=1 if reach.canonical else 2))
    tools = draw(st.lists(st.sampled_from([Tool("look"), Tool("write")]), max_size=3))
    calls = [draw(_calls(f"call_{number}_{index}", tool)) for index, tool in enumerate(tools)]
    if reach.refusals and not calls and draw(st.integers(0, 3)) == 0:
        return (*thoughts, Refusal(draw(words())))
    parts: list[Part] = [*thoughts, *texts, *calls]
    if not parts:
        parts.append(Text(draw(words())))
    return tuple(parts) if reach.canonical else tuple(draw(st.permutations(parts)))


@st.composite
def _finishes(draw: st.DrawFn, reach: Reach, parts: Sequence[Part]) -> Finish:
    if any(isinstance(part, ToolCall) for part in parts):
        return Finish(Stop.TOOL_CALLS)
    if any(isinstance(part, Refusal) for part in parts):
        return Finish(Stop.REFUSAL)
    return Finish(draw(st.sampled_from(reach.stops)))


@cache
def _token_logprobs() -> st.SearchStrategy[TokenLogprob]:
    one = st.builds(TokenLogprob, words(), st.sampled_from([-0.5, -9999.0]), st.sampled_from([None, (226, 130, 172)]))
    return st.builds(lambda token, top: msgspec.structs.replace(token, top=tuple(top)), one, st.lists(one, max_size=2))


@st.composite
def _choices(draw: st.DrawFn, reach: Reach, number: int) -> Choice:
    parts = draw(_said(reach, number))
    logprobs = None
    if reach.logprobs and any(isinstance(part, Text) for part in parts):
        logprobs = draw(st.none() | st.lists(_token_logprobs(), min_size=1, max_size=2).map(tuple))
    return Choice(parts, draw(_finishes(reach, parts)), number, logprobs)


@st.composite
def _usages(draw: st.DrawFn, reach: Reach) -> Usage:
    """Numbers that fit: what is part of a total is not more than it."""
    parts = {name: draw(st.none() | st.integers(0, 100)) for name in reach.usage if name not in ("input", "output")}
    written = parts.get("cache_write")
    if parts.get("cache_write_1h") is not None and (written is None or written < (parts["cache_write_1h"] or 0)):
        parts["cache_write_1h"] = None
    spent = {"input": draw(st.integers(500, 1000)), "output": draw(st.integers(500, 1000))}
    return msgspec.structs.replace(Usage(), **spent, **parts)


@st.composite
def answers(draw: st.DrawFn, reach: Reach) -> Answer:
    """
    :return: answers that the dialect can say exactly.
    """
    number = draw(st.integers(1, 3)) if reach.several_choices else 1
    return Answer(
        id=draw(names("answer-")),
        model=draw(names("model-")),
        choices=tuple(draw(_choices(reach, index)) for index in range(number)),
        usage=draw(_usages(reach)),
        created=draw(st.integers(1, 2**31)) if reach.created else None,
        service_tier=draw(st.sampled_from([None, *reach.answer_tiers])),
    )


# Streams


def events_of(answer: Answer, cut: int = 3) -> list[Event]:
    """
    :param cut: characters in one delta.
    :return: the answer as it would come in a stream, one choice behind the other.
    """
    events: list[Event] = [Begun(answer.id, answer.model, answer.created, answer.service_tier)]
    for choice in answer.choices:
        logprobs = choice.logprobs or ()
        for part in choice.parts:
            events += _part_events(part, choice.index, cut, logprobs)
            if isinstance(part, Text):
                logprobs = ()
        if choice.finish is not None:
            events.append(Finished(choice.finish, choice.index))
    return [*events, UsageSeen(answer.usage), Ended()]


def _part_events(part: Part, choice: int, cut: int, logprobs: Sequence[TokenLogprob]) -> list[Event]:
    begun: Part = part
    deltas: list[Event] = []
    match part:
        case Text():
            begun = Text("")
            deltas = [Delta(piece, choice) for piece in _pieces(part.text, cut)]
            if logprobs:
                deltas[0] = Delta(part.text[:cut], choice, logprobs=tuple(logprobs))
            deltas += [Delta(choice=choice, citation=citation) for citation in part.citations]
        case Thinking():
            begun = msgspec.structs.replace(part, text="", opaque=None)
            deltas = [Delta(piece, choice) for piece in _pieces(part.text, cut)]
            if part.opaque is not None:
                deltas.append(Delta(choice=choice, opaque=part.opaque))
        case ToolCall():
            begun = msgspec.structs.replace(part, arguments="")
            deltas = [Delta(piece, choice) for piece in _pieces(part.arguments, cut)]
        case Refusal():
            begun = Refusal("")
            deltas = [Delta(piece, choice) for piece in _pieces(part.text, cut)]
        case _:
            pass
    return [PartBegun(begun, choice), *deltas, PartEnded(choice)]


def _pieces(text: str, cut: int) -> list[str]:
    return [text[at : at + cut] for at in range(0, len(text), cut)]


@st.composite
def streams(draw: st.DrawFn, reach: Reach) -> tuple[Answer, list[Event]]:
    """
    :return: an answer, and the same as a stream.
    """
    answer = draw(answers(reach))
    return answer, events_of(answer, draw(st.integers(1, 9)))


def cuts(data: bytes, places: Sequence[int]) -> list[bytes]:
    """
    :param places: any numbers; where the bytes are cut, modulo their length.
    :return: pieces that joined are the bytes again.
    """
    borders = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(borders) if a < b]
