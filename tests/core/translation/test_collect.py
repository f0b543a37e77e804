"""A streamed answer put together says what the whole one would have said."""

from __future__ import annotations

import pytest

from llm_gateway.core.translation.collect import StreamFailed, collect, usage_after
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Finish,
    Inline,
    Opaque,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure

SIGNATURE = Opaque("anthropic", "claude", "c2lnbmVk")


def test_every_kind_of_part_is_joined_from_its_deltas() -> None:
    source = Citation(url="https://example.test/a")
    events: list[Event] = [
        Begun("answer-1", "model-1", 1_700_000_000, "standard"),
        UsageSeen(Usage(input=7, output=1)),
        PartBegun(Thinking()),
        Delta("Let me "),
        Delta("see."),
        Delta(opaque=SIGNATURE),
        PartEnded(),
        PartBegun(Text("")),
        Delta("It is "),
        Delta("so."),
        Delta(citation=source),
        PartEnded(),
        PartBegun(ToolCall("call-1", "look", "")),
        Delta('{"at":'),
        Delta("1}"),
        PartEnded(),
        PartBegun(Refusal("")),
        Delta("No."),
        PartEnded(),
        PartBegun(Audio(Inline("audio/wav", ""))),
        Delta("Said", audio="QUJD"),
        Delta(audio="REVG"),
        PartEnded(),
        Finished(Finish(Stop.TOOL_CALLS)),
        UsageSeen(Usage(output=40)),
        Ended(),
    ]

    parts = (
        Thinking("Let me see.", SIGNATURE),
        Text("It is so.", (source,)),
        ToolCall("call-1", "look", '{"at":1}'),
        Refusal("No."),
        Audio(Inline("audio/wav", "QUJDREVG"), transcript="Said"),
    )
    assert collect(events) == Answer(
        "answer-1",
        "model-1",
        (Choice(parts, Finish(Stop.TOOL_CALLS)),),
        Usage(input=7, output=40),
        1_700_000_000,
        "standard",
    )


def test_choices_that_interleave_are_told_apart() -> None:
    events: list[Event] = [
        Begun("a", "m"),
        PartBegun(Text(""), 1),
        PartBegun(Text(""), 0),
        Delta("one", 1, logprobs=(TokenLogprob("one", -0.5),)),
        Delta("zero", 0),
        PartEnded(0),
        PartEnded(1),
        Finished(Finish(Stop.END), 0),
        Finished(Finish(Stop.LENGTH), 1),
        Ended(),
    ]

    assert collect(events).choices == (
        Choice((Text("zero"),), Finish(Stop.END), 0),
        Choice((Text("one"),), Finish(Stop.LENGTH), 1, (TokenLogprob("one", -0.5),)),
    )


def test_cut_stream_keeps_what_came_and_names_no_finish() -> None:
    events: list[Event] = [Begun("a", "m"), PartBegun(Text("")), Delta("half a")]

    assert collect(events).choices == (Choice((Text("half a"),), None),)


def test_error_in_the_stream_is_no_answer() -> None:
    failure = ProviderFailure(529, FailureKind.OVERLOADED, "Overloaded")

    with pytest.raises(StreamFailed) as caught:
        collect([Begun("a", "m"), Failed(failure)])

    assert caught.value.failure is failure


def test_later_usage_replaces_only_what_it_says() -> None:
    assert usage_after(Usage(input=5, cached_input=2), Usage(output=3, cached_input=0)) == Usage(
        input=5, cached_input=0, output=3
    )
