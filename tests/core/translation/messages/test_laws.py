"""Laws: what the dialect can say survives it, whole or streamed, and however a stream is cut."""

from __future__ import annotations

import base64
from itertools import pairwise

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    ChoiceMode,
    Document,
    Inline,
    Message,
    Part,
    Reasoning,
    Request,
    Role,
    Stop,
    Thinking,
    ToolCall,
    ToolChoice,
)
from llm_gateway.core.translation.events import Event
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.messages.codec import MessagesCodec
from tests.core.translation import strategies
from tests.core.translation.messages import sdk

CODEC = MessagesCodec()

LAW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""Whole conversations take a while to draw."""

REACH = strategies.Reach(
    codec="messages",
    system="first",
    alternate=True,
    inline_documents=True,
    linked_documents=True,
    marks=(None, "5m", "1h"),
    thinking=True,
    opaque="messages",
    redacted=True,
    joined_results=True,
    pictured_results=True,
    failed_results=True,
    json_objects=False,
    sampling=("temperature", "top_p", "top_k"),
    fields=("max_tokens", "stop", "user", "service_tier"),
    stops=(Stop.END, Stop.LENGTH, Stop.STOP_SEQUENCE, Stop.PAUSE, Stop.REFUSAL, Stop.CONTEXT),
    usage=("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning"),
    created=False,
    answer_tiers=("default", "priority", "batch"),
)

EFFORTS = st.sampled_from([None, "low", "medium", "high", "xhigh", "max"])
SHOWN = st.sampled_from([None, "auto", "none"])
REASONINGS = st.one_of(
    st.none(),
    st.builds(Reasoning, enabled=st.just(False), effort=EFFORTS),
    st.builds(Reasoning, enabled=st.just(True), adaptive=st.just(True), effort=EFFORTS, show=SHOWN),
    st.builds(Reasoning, enabled=st.just(True), budget_tokens=st.integers(1024, 9000), effort=EFFORTS, show=SHOWN),
    EFFORTS.map(lambda effort: None if effort is None else Reasoning(effort=effort)),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """What is peculiar to this dialect, on top of what all can say."""
    request = draw(strategies.requests(REACH))
    messages = list(request.messages)
    if len(messages) > 1 and messages[1].role is Role.SYSTEM:
        # All leading instructions are one field here.
        del messages[1]
    choice = request.tool_choice
    if choice is not None and (choice.mode is not ChoiceMode.REQUIRED or len(choice.names) != 1):
        choice = ToolChoice(choice.mode)
    parallel = None
    if choice is not None and choice.mode is not ChoiceMode.NONE:
        parallel = draw(st.sampled_from([None, False]))
    return msgspec.structs.replace(
        request,
        messages=tuple(_canonical(message) for message in messages),
        max_tokens=request.max_tokens or draw(st.integers(1, 100_000)),
        reasoning=draw(REASONINGS),
        tool_choice=choice,
        parallel_tool_calls=parallel,
    )


def _canonical(message: Message) -> Message:
    return msgspec.structs.replace(message, parts=tuple(_canonical_part(part) for part in message.parts))


def _canonical_part(part: Part) -> Part:
    """No arguments are written in one way only."""
    return (
        msgspec.structs.replace(part, arguments="") if isinstance(part, ToolCall) and part.arguments == "{}" else part
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    answer = draw(strategies.answers(REACH))
    [choice] = answer.choices
    return msgspec.structs.replace(answer, choices=(_made(choice),))


def _made(choice: Choice) -> Choice:
    """In answers it is known who signed."""
    parts = []
    for part in choice.parts:
        if isinstance(part, Thinking) and part.opaque is not None:
            part = msgspec.structs.replace(part, opaque=msgspec.structs.replace(part.opaque, provider="claude"))
        parts.append(_canonical_part(part))
    return msgspec.structs.replace(choice, parts=tuple(parts))


@LAW
@given(request=requests())
def test_request_written_and_read_is_the_same(request: Request) -> None:
    losses = Losses(OnUnsupported.REJECT)

    written = CODEC.encode_request(request, Destination(request.model, "claude"), losses)

    assert CODEC.decode_request(written) == request
    assert losses.dropped == losses.changed == []


@LAW
@given(request=requests())
def test_request_is_one_that_the_sdk_could_send(request: Request) -> None:
    sdk.request(CODEC.encode_request(request, Destination(request.model, "claude"), Losses()))


@LAW
@given(request=requests(), model=st.sampled_from(["claude-haiku-4-5", "claude-opus-4-6", "claude-sonnet-5-5", "other"]))
def test_request_of_another_dialect_is_one_that_the_sdk_could_send(request: Request, model: str) -> None:
    foreign = msgspec.structs.replace(request, dialect="chat")

    written = sdk.request(CODEC.encode_request(foreign, Destination(model, "claude"), Losses(OnUnsupported.DROP)))

    roles = [message["role"] for message in written["messages"]]  # type: ignore[attr-defined]
    assert roles[0] == "user"
    assert all(one != other for one, other in pairwise(roles))


@LAW
@given(name=st.text(max_size=9), data=st.binary(max_size=40))
def test_plain_text_of_a_document_comes_back(name: str, data: bytes) -> None:
    text = data.decode("utf-8", "replace") + "."
    source = Inline("text/plain", base64.b64encode(text.encode()).decode())
    message = Message(Role.USER, (Document(source, name=name or None, context="c", citations=True),))
    request = Request("m", (message,), max_tokens=1, dialect="messages")

    written = CODEC.encode_request(request, Destination("m", "claude"), Losses())

    assert CODEC.decode_request(written) == request
    sdk.request(written)


@LAW
@given(answer=answers())
def test_answer_written_and_read_is_the_same(answer: Answer) -> None:
    written = CODEC.encode_answer(answer, Request("m", ()))

    assert CODEC.decode_answer(written, provider="claude") == answer
    sdk.message(written)


@LAW
@given(drawn=strategies.streams(REACH), places=st.lists(st.integers(min_value=0), max_size=9))
def test_any_cut_of_a_stream_gives_the_same_answer(drawn: tuple[Answer, list[Event]], places: list[int]) -> None:
    answer, events = drawn
    [choice] = answer.choices
    expected = msgspec.structs.replace(answer, choices=(_made(choice),))
    written = CODEC.stream_encoder(Request("m", ())).encode(events)

    decoder = CODEC.stream_decoder(provider="claude")
    found = [event for piece in strategies.cuts(written, places) for event in decoder.feed(piece)]
    found += decoder.close()

    collected = collect(found)
    assert msgspec.structs.replace(collected, choices=(_made(collected.choices[0]),)) == expected


@LAW
@given(drawn=strategies.streams(REACH), places=st.lists(st.integers(min_value=0), max_size=9))
def test_events_do_not_depend_on_the_cuts(drawn: tuple[Answer, list[Event]], places: list[int]) -> None:
    written = CODEC.stream_encoder(Request("m", ())).encode(drawn[1])
    whole, cut = CODEC.stream_decoder(provider="claude"), CODEC.stream_decoder(provider="claude")

    expected = [*whole.feed(written), *whole.close()]

    assert [event for piece in strategies.cuts(written, places) for event in cut.feed(piece)] == expected


@LAW
@given(answer=answers(), one_by_one=st.booleans())
def test_sdk_collects_from_the_stream_what_the_whole_answer_says(answer: Answer, one_by_one: bool) -> None:
    encoder = CODEC.stream_encoder(Request("m", ()))
    events = exploded(answer)
    written = b"".join(encoder.encode([event]) for event in events) if one_by_one else encoder.encode(events)

    streamed = sdk.collected(written).to_dict()
    whole = sdk.message(CODEC.encode_answer(answer, Request("m", ()))).to_dict()

    # Totals of the tier and of what stays for an hour are told at the beginning only, which comes before the counts.
    for one in (streamed, whole):
        assert isinstance(one["usage"], dict)
        one["usage"].pop("cache_creation", None)
        one["usage"].pop("service_tier", None)
    for block in streamed["content"]:  # type: ignore[attr-defined]
        block.pop("parsed_output", None)
    assert _without_nulls(streamed) == _without_nulls(whole)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
