"""Laws: what the dialect can say survives it, whole or streamed, and however a stream is cut."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    ChoiceMode,
    Citation,
    Finish,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.core.translation.events import Event
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.responses.codec import ResponsesCodec
from tests.core.translation import strategies
from tests.core.translation.responses.official import checked_request, checked_response, checked_stream

CODEC = ResponsesCodec(now=lambda: 1_800_000_000.0, new_id=lambda: "new")

REACH = strategies.Reach(
    codec="responses",
    developer=True,
    image_details=("auto", "low", "high", "original"),
    inline_documents=True,
    linked_documents=True,
    marks=(None,),
    refusals=True,
    thinking=True,
    opaque="responses",
    custom_tools=True,
    joined_results=True,
    pictured_results=True,
    choice_of=2,
    auto_choice_of=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    named_schemas=True,
    fields=(
        "max_tokens",
        "parallel_tool_calls",
        "logprobs",
        "top_logprobs",
        "user",
        "metadata",
        "service_tier",
        "cache_key",
        "verbosity",
    ),
    citations=True,
    logprobs=True,
    stops=(Stop.END, Stop.LENGTH, Stop.FILTERED),
    usage=("input", "output", "cached_input", "cache_write", "reasoning"),
    answer_tiers=("default", "flex", "priority"),
)
# Conversations are large values to draw; what counts is that there is a bound.
law = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
ASKED = Request("m", (Message(Role.USER, (Text("Hi"),)),), stream=True, dialect="responses")

SHOWN = st.sampled_from([None, "auto", "concise", "detailed"])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """What is peculiar to this dialect, on top of what all can say."""
    request = draw(strategies.requests(REACH))
    reasoning = request.reasoning
    if reasoning is not None:
        # Where the model is to reason its reasoning has to come back, so it is asked for.
        encrypted = reasoning.effort != "none" or draw(st.booleans())
        reasoning = msgspec.structs.replace(reasoning, show=draw(SHOWN), encrypted=encrypted)
    elif draw(st.booleans()):
        reasoning = Reasoning(encrypted=True)
    tools = tuple(_canonical_tool(tool) for tool in request.tools)
    spaced = draw(st.booleans())
    if tools and spaced:
        tools += (Tool("space__own", "In a space.", msgspec.Raw(b"{}"), False, namespace=("space", "own")),)
    choice = request.tool_choice
    if choice is not None and choice.mode is ChoiceMode.NONE:
        choice = ToolChoice(ChoiceMode.NONE)
    limit = request.max_tokens
    return msgspec.structs.replace(
        request,
        messages=_joined(tuple(_canonical(message) for message in request.messages)),
        tools=tools,
        tool_choice=choice,
        reasoning=reasoning,
        max_tokens=None if limit is None else max(limit, 16),
        # More than one is only of use with them.
        logprobs=request.logprobs or bool(request.top_logprobs),
    )


def _canonical_tool(tool: Tool) -> Tool:
    return tool if tool.custom is not None else msgspec.structs.replace(tool, strict=bool(tool.strict))


def _canonical(message: Message) -> Message:
    return msgspec.structs.replace(message, parts=tuple(map(_canonical_part, message.parts)))


def _canonical_part(part: Part) -> Part:
    match part:
        case Image(detail=None):
            return msgspec.structs.replace(part, detail="auto")
        case ToolCall(arguments="", custom=False):
            return msgspec.structs.replace(part, arguments="{}")
        case ToolResult():
            return msgspec.structs.replace(part, parts=tuple(map(_canonical_part, part.parts)))
        case Thinking():
            # OpenAI's own has an id, and what is readable of it is a summary or the whole.
            return msgspec.structs.replace(part, id="rs_1", summary=len(part.text) % 2 == 0)
    return part


def _joined(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Items of one side in a row are one message."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if before is not None and before.role is message.role and _is_items(before) and _is_items(message):
            joined[-1] = msgspec.structs.replace(before, parts=before.parts + message.parts)
        else:
            joined.append(message)
    return tuple(joined)


def _is_items(message: Message) -> bool:
    return message.role is Role.ASSISTANT or isinstance(message.parts[0], ToolResult)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    return _canonical_answer(draw(strategies.answers(REACH)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Answer, list[Event]]:
    answer = draw(answers())
    return answer, strategies.events_of(answer, draw(st.integers(1, 9)))


_REASONS = {Stop.LENGTH: "max_output_tokens", Stop.FILTERED: "content_filter"}


def _canonical_answer(answer: Answer) -> Answer:
    [choice] = answer.choices
    parts = []
    for number, part in enumerate(choice.parts):
        part = _canonical_part(part)
        if isinstance(part, Thinking):
            opaque = part.opaque and Opaque("responses", "openai", part.opaque.data)
            part = msgspec.structs.replace(part, id=f"rs_own_{number}", opaque=opaque)
        elif isinstance(part, Text):
            part = msgspec.structs.replace(part, citations=tuple(map(_canonical_citation, part.citations)))
        parts.append(part)
    logprobs = choice.logprobs
    finish = choice.finish
    if finish is not None and finish.stop in _REASONS:
        finish = Finish(finish.stop, detail=_REASONS[finish.stop])
    usage = {name: getattr(answer.usage, name) or 0 for name in REACH.usage}
    return msgspec.structs.replace(
        answer,
        id=f"resp_{answer.id}",
        choices=(
            msgspec.structs.replace(
                choice,
                parts=tuple(parts),
                finish=finish,
                logprobs=logprobs and tuple(map(_canonical_logprob, logprobs)),
            ),
        ),
        usage=msgspec.structs.replace(answer.usage, **usage),
    )


def _canonical_citation(citation: Citation) -> Citation:
    annotation = {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }
    return msgspec.structs.replace(citation, raw=msgspec.Raw(msgspec.json.encode(annotation)))


def _canonical_logprob(token: TokenLogprob) -> TokenLogprob:
    return msgspec.structs.replace(token, bytes=token.bytes or (), top=tuple(map(_canonical_logprob, token.top)))


# Requests


@law
@given(request=requests())
def test_request_written_and_read_is_the_same(request: Request) -> None:
    losses = Losses(OnUnsupported.REJECT)

    written = CODEC.encode_request(request, Destination(request.model, "openai"), losses)

    assert CODEC.decode_request(written) == request
    assert not losses.dropped
    assert not losses.changed


@law
@given(request=requests())
def test_request_is_one_that_the_sdk_could_send(request: Request) -> None:
    checked_request(CODEC.encode_request(request, Destination(request.model, "openai"), Losses()))


ALL = strategies.Reach(
    codec="chat",
    developer=True,
    names=True,
    inline_documents=True,
    linked_documents=True,
    named_documents=False,
    marks=(None, "5m", "1h"),
    refusals=True,
    thinking=True,
    opaque="messages",
    redacted=True,
    custom_tools=True,
    pictured_results=True,
    failed_results=True,
    named_results=True,
    choice_of=2,
    auto_choice_of=True,
    efforts=("none", "low", "max"),
    budgets=True,
    sampling=("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias", "seed"),
    fields=("max_tokens", "stop", "choices", "logprobs", "top_logprobs", "user", "metadata", "service_tier"),
)


@law
@given(request=strategies.requests(ALL), reasons=st.sampled_from([None, True, False]))
def test_request_of_another_dialect_is_one_that_the_sdk_could_send(request: Request, reasons: bool | None) -> None:
    losses = Losses(OnUnsupported.DROP)

    written = checked_request(CODEC.encode_request(request, Destination("gpt", "openai", reasoning=reasons), losses))

    assert written["store"] is False
    assert ("stop" in losses.dropped) == bool(request.stop)
    assert ("n" in losses.dropped) == (request.choices > 1)


# Answers


@law
@given(answer=answers())
def test_answer_written_and_read_is_the_same(answer: Answer) -> None:
    written = CODEC.encode_answer(answer, ASKED)

    assert CODEC.decode_answer(written, provider="openai") == answer
    checked_response(written)


@law
@given(drawn=streams(), places=st.lists(st.integers(min_value=0), max_size=9))
def test_any_cut_of_a_stream_gives_the_same_answer(drawn: tuple[Answer, list[Event]], places: list[int]) -> None:
    answer, events = drawn
    written = CODEC.stream_encoder(ASKED).encode(events)

    decoder = CODEC.stream_decoder(provider="openai")
    found = [event for piece in strategies.cuts(written, places) for event in decoder.feed(piece)]
    found += decoder.close()

    assert collect(found) == answer


@law
@given(drawn=streams(), places=st.lists(st.integers(min_value=0), max_size=9))
def test_events_do_not_depend_on_the_cuts(drawn: tuple[Answer, list[Event]], places: list[int]) -> None:
    written = CODEC.stream_encoder(ASKED).encode(drawn[1])
    whole, cut = CODEC.stream_decoder(provider="openai"), CODEC.stream_decoder(provider="openai")

    expected = [*whole.feed(written), *whole.close()]

    assert [event for piece in strategies.cuts(written, places) for event in cut.feed(piece)] == expected


EVERY = strategies.Reach(
    codec="messages",
    refusals=True,
    thinking=True,
    opaque="messages",
    redacted=True,
    several_choices=True,
    citations=True,
    logprobs=True,
    stops=tuple(set(Stop) - {Stop.ERROR, Stop.TOOL_CALLS}),
    usage=("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_output"),
    answer_tiers=("standard", "default"),
)


@law
@given(answer=strategies.answers(EVERY), one_by_one=st.booleans())
def test_sdk_collects_from_the_stream_what_the_whole_answer_says(answer: Answer, one_by_one: bool) -> None:
    encoder = CODEC.stream_encoder(ASKED)
    events = exploded(answer)
    written = b"".join(encoder.encode([event]) for event in events) if one_by_one else encoder.encode(events)
    whole = checked_response(CODEC.encode_answer(answer, ASKED))

    streamed, final = checked_stream(written)

    last = streamed[-1]
    assert last.type == f"response.{whole.status}"
    assert last.response.to_dict() == whole.to_dict()
    if final is not None:
        assert final.output_text == whole.output_text


def _snapshot(events: list[Any]) -> list[dict[str, Any]]:
    """What a program that reads events only knows of each item's text."""
    texts: dict[tuple[int, int], str] = {}
    for event in events:
        if event.type in ("response.output_text.delta", "response.refusal.delta"):
            key = (event.output_index, event.content_index)
            texts[key] = texts.get(key, "") + event.delta
    return [{"at": key, "text": text} for key, text in sorted(texts.items())]


@law
@given(answer=strategies.answers(EVERY))
def test_deltas_of_a_text_are_what_its_end_repeats(answer: Answer) -> None:
    events, _ = checked_stream(CODEC.stream_encoder(ASKED).encode(exploded(answer)))

    told = [
        {"at": (event.output_index, event.content_index), "text": getattr(event, "text", None) or event.refusal}
        for event in events
        if event.type in ("response.output_text.done", "response.refusal.done")
    ]
    assert _snapshot(events) == told


def test_sound_of_an_answer_is_shown_by_its_words() -> None:
    answer = Answer("a", "m", (Choice((Audio(None, "audio_1", "Hello."),), Finish(Stop.END)),))

    assert checked_response(CODEC.encode_answer(answer, ASKED)).output_text == "Hello."
