"""Laws that hold for every conversation within the dialect's reach."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from llm_gateway.core.translation.events import Ended, Event
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from tests.core.translation.chat.sdk import ended, valid_answer, valid_request
from tests.core.translation.strategies import Reach, answers, cuts, requests, streams, unhurried

PLAIN = Request("m", (), stream=True)
OPENAI = Destination(model="gpt-6", provider="openai")

REACH = Reach(
    codec="chat",
    developer=True,
    names=True,
    image_details=("auto", "low", "high", "original"),
    inline_documents=True,
    audio=("audio/wav", "audio/mpeg"),
    marks=(None, "30m", "12h"),
    refusals=True,
    custom_tools=True,
    choice_of=3,
    auto_choice_of=True,
    efforts=("none", "low", "medium", "high", "xhigh", "max"),
    named_schemas=True,
    sampling=("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed"),
    fields=(
        "max_tokens",
        "stop",
        "parallel_tool_calls",
        "choices",
        "logprobs",
        "top_logprobs",
        "user",
        "metadata",
        "service_tier",
        "cache_key",
        "verbosity",
        "modalities",
    ),
    usage_on_request=True,
)
ANSWERS = msgspec.structs.replace(
    REACH,
    thinking=True,
    canonical=True,
    several_choices=True,
    citations=True,
    logprobs=True,
    stops=(Stop.END, Stop.LENGTH, Stop.FILTERED),
    usage=("cached_input", "cache_write", "reasoning", "audio_input", "audio_output"),
    answer_tiers=("default", "flex"),
)
OTHERS = msgspec.structs.replace(
    ANSWERS, canonical=False, opaque="anthropic", redacted=True, stops=tuple(set(Stop) - {Stop.TOOL_CALLS})
)
"""Answers of other dialects: parts in any order, and what only their makers can read."""

codec = ChatCodec(now=lambda: 1_700_000_000.0)


def read(stream: bytes, places: Sequence[int] = ()) -> list[Event]:
    decoder = codec.stream_decoder(provider="openai")
    events = [event for piece in cuts(stream, places) for event in decoder.feed(piece)]
    return [*events, *decoder.close()]


@unhurried
@given(requests(REACH))
def test_request_read_after_writing_is_the_same(request: Request) -> None:
    losses = Losses(OnUnsupported.REJECT)
    body = codec.encode_request(request, OPENAI, losses)
    assert losses.changed == []
    assert codec.decode_request(body) == msgspec.structs.replace(request, model="gpt-6")


@unhurried
@given(requests(msgspec.structs.replace(REACH, audio=("audio/wav",))))
def test_official_types_accept_every_request(request: Request) -> None:
    document = valid_request(codec.encode_request(request, OPENAI, Losses(OnUnsupported.REJECT)))
    assert len(document["messages"]) == len(request.messages)


@unhurried
@given(answers(ANSWERS))
def test_answer_read_after_writing_is_the_same(answer: Answer) -> None:
    body = codec.encode_answer(answer, Request("m", ()))
    assert codec.decode_answer(body, provider="openai") == answer
    assert valid_answer(body).id == answer.id


@unhurried
@given(streams(ANSWERS), st.booleans())
def test_stream_collected_is_the_whole_answer(drawn: tuple[Answer, list[Event]], usage: bool) -> None:
    answer, events = drawn
    request = Request("m", (), stream=True, include_usage=usage)
    found = read(codec.stream_encoder(request).encode(events))
    assert isinstance(found[-1], Ended)
    whole = codec.decode_answer(codec.encode_answer(answer, request), provider="openai")
    if not usage:
        whole = msgspec.structs.replace(whole, usage=collect(found).usage)
    assert collect(found) == whole


@unhurried
@given(streams(ANSWERS), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_any_cut_gives_the_same_events(drawn: tuple[Answer, list[Event]], places: list[int]) -> None:
    stream = codec.stream_encoder(Request("m", (), include_usage=True)).encode(drawn[1])
    assert read(stream, places) == read(stream)


@unhurried
@given(streams(ANSWERS), st.booleans())
def test_official_stream_helper_adds_up_to_the_whole_answer(drawn: tuple[Answer, list[Event]], usage: bool) -> None:
    answer, events = drawn
    request = Request("m", (), stream=True, include_usage=usage)
    said = ended(codec.stream_encoder(request).encode(events)).to_dict()
    whole = valid_answer(codec.encode_answer(answer, request)).to_dict()
    assert _plain(said, usage) == _plain(whole, usage)
    assert ("usage" in said) >= usage


@unhurried
@given(streams(OTHERS))
def test_answers_of_other_dialects_add_up_to_the_whole_too(drawn: tuple[Answer, list[Event]]) -> None:
    answer, events = drawn
    said = ended(codec.stream_encoder(PLAIN).encode(events)).to_dict()
    whole = valid_answer(codec.encode_answer(answer, PLAIN)).to_dict()
    assert _plain(said, usage=False) == _plain(whole, usage=False)


@unhurried
@given(answers(OTHERS))
def test_what_a_caller_sends_back_is_what_it_was_told(answer: Answer) -> None:
    """All that the model said, in the dialect's order: thinking, what is only its maker's with it, text, calls."""
    body = codec.encode_answer(answer, PLAIN)
    for choice, told in zip(answer.choices, msgspec.json.decode(body)["choices"], strict=True):
        again = {"model": "m", "messages": [{"role": "user", "content": "x"}, told["message"]]}
        parts = codec.decode_request(msgspec.json.encode(again)).messages[1].parts
        assert [part for part in parts if isinstance(part, Thinking)] == [
            part for part in choice.parts if isinstance(part, Thinking)
        ]
        assert [part for part in parts if isinstance(part, ToolCall)] == [
            part for part in choice.parts if isinstance(part, ToolCall)
        ]
        assert _said(Text, parts) == _said(Text, choice.parts)
        assert _said(Refusal, parts) == _said(Refusal, choice.parts)


def _said(kind: type[Text | Refusal], parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


def _plain(document: dict[str, object], usage: bool) -> object:
    """Without what only one of the two has, and no fields that are null."""
    left_out = {"object", "parsed", "parsed_arguments", "index", *([] if usage else ["usage"])}

    def walked(value: object) -> object:
        if isinstance(value, dict):
            return {name: walked(each) for name, each in value.items() if each is not None and name not in left_out}
        return [walked(each) for each in value] if isinstance(value, list) else value

    return walked(document)


@unhurried
@given(st.lists(st.sampled_from(["So", " it", " is."]), min_size=1), st.booleans())
def test_thinking_of_a_provider_with_details_comes_back_as_it_was(words: list[str], summary: bool) -> None:
    """What OpenRouter makes is carried opaquely, and returned to it alone."""
    kind = "reasoning.summary" if summary else "reasoning.text"
    entry = {
        "type": kind,
        "summary" if summary else "text": "".join(words),
        "signature": "c2ln",
        "format": "anthropic-claude-v1",
        "id": "r-1",
        "index": 0,
    }
    message = {"role": "assistant", "content": "Yes.", "reasoning": "".join(words), "reasoning_details": [entry]}
    body = msgspec.json.encode({"id": "a", "choices": [{"message": message, "finish_reason": "stop"}]})
    answer = codec.decode_answer(body, provider="openrouter")
    thinking = answer.choices[0].parts[0]
    assert isinstance(thinking, Thinking)
    assert thinking.opaque is not None
    told = msgspec.json.decode(codec.encode_answer(answer, Request("m", ())))
    assert told["choices"][0]["message"]["reasoning_details"] == [entry]
