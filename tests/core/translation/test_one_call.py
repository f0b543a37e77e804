"""Callers who want one call of a tool at a time get one, whatever the model did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import Answer, Choice, Finish, Part, Stop, Text, Thinking, ToolCall
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.one_call import OneCall, with_one_call

PARTS: tuple[Part, ...] = (
    Thinking("Two."),
    ToolCall("a", "f", '{"x":1}'),
    ToolCall("b", "f", '{"x":1}'),
    Text("So."),
    ToolCall("c", "g", "{}"),
)


def answer(*choices: tuple[Part, ...]) -> Answer:
    finish = Finish(Stop.TOOL_CALLS)
    return Answer("1", "m", tuple(Choice(parts, finish, index) for index, parts in enumerate(choices)))


def test_first_call_of_each_choice_stays_with_all_else() -> None:
    kept = with_one_call(answer(PARTS, (Text("No."),), PARTS[2:]))
    assert [choice.parts for choice in kept.choices] == [
        (PARTS[0], PARTS[1], PARTS[3]),
        (Text("No."),),
        (PARTS[2], PARTS[3]),
    ]
    assert kept.choices[0].finish == Finish(Stop.TOOL_CALLS)


def test_equal_calls_are_two() -> None:
    call = ToolCall("a", "f", "{}")
    same = ToolCall("a", "f", "{}")
    assert with_one_call(answer((call, same))).choices[0].parts == (call,)


@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=6), min_size=1, max_size=3), st.integers(1, 9))
def test_stream_comes_to_the_same(drawn: list[list[Part]], step: int) -> None:
    whole = answer(*map(tuple, drawn))
    events, one = list(exploded(whole)), OneCall()
    kept = [event for at in range(0, len(events), step) for event in one.keep(events[at : at + step])]
    assert collect(kept) == collect(exploded(with_one_call(whole)))
