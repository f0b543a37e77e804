"""Answers taken apart."""

from __future__ import annotations

from hypothesis import given

from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import Answer, Text
from llm_gateway.core.translation.events import Delta
from llm_gateway.core.translation.explode import exploded
from tests.core.translation.strategies import Reach, answers

EVERYTHING = Reach(codec="chat", thinking=True, opaque="anthropic", redacted=True, refusals=True, custom_tools=True)


@given(answers(EVERYTHING))
def test_exploded_answer_is_the_same_when_collected(answer: Answer) -> None:
    assert collect(exploded(answer)) == answer


@given(answers(EVERYTHING))
def test_text_comes_in_deltas(answer: Answer) -> None:
    """Encoders of streams look nowhere else for it."""
    said = "".join(part.text for choice in answer.choices for part in choice.parts if isinstance(part, Text))
    sent = "".join(event.text for event in exploded(answer) if isinstance(event, Delta))
    assert all(character in sent for character in said)
