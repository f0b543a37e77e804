"""Any order of messages that another dialect allows becomes one that this one allows."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.core.translation.conversation import Role, Text, Thinking, Tool, ToolCall, ToolResult
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.errors import BadRequest
from tests.core.translation.messages.asking import HELLO, assistant, system, user, written

CALL = ToolCall("a", "look", "")
OTHER = ToolCall("b", "look", "")
SEEN = ToolResult("a", (Text("seen"),))
SEEN_TOO = ToolResult("b", (Text("seen too"),))

NEW = "claude-opus-5"


def turns(document: dict[str, Any]) -> list[tuple[str, object]]:
    """Roles with their text, or the kinds of their blocks."""
    found: list[tuple[str, object]] = []
    for message in document["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            content = [block.get("text") or block.get("tool_use_id") or block.get("id") for block in content]
        found.append((message["role"], content))
    return found


def test_leading_instructions_go_into_system_whatever_their_role() -> None:
    losses = Losses()

    document = written(system("A"), system("B", role=Role.DEVELOPER), HELLO, losses=losses)

    assert document["system"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert turns(document) == [("user", "Hi")]
    assert losses.changed == losses.dropped == []


def test_one_instruction_is_a_text() -> None:
    assert written(system("A"), HELLO)["system"] == "A"


def test_later_instructions_are_said_by_the_user_and_that_is_told() -> None:
    losses = Losses()

    document = written(HELLO, assistant("Yes?"), user("Go"), system("Be brief."), user("on"), losses=losses)

    assert turns(document) == [
        ("user", "Hi"),
        ("assistant", "Yes?"),
        ("user", ["Go", "<system>\nBe brief.\n</system>", "on"]),
    ]
    assert losses.changed == ["messages[3].role"]


def test_models_that_take_instructions_in_the_middle_get_them_there() -> None:
    losses = Losses()
    said = (HELLO, system("A"), system("B"), assistant("Yes?"), user("Go"), system("C"))

    document = written(*said, model=NEW, losses=losses)

    assert turns(document) == [
        ("user", "Hi"),
        ("system", ["A", "B"]),
        ("assistant", "Yes?"),
        ("user", "Go"),
        ("system", "C"),
    ]
    assert losses.changed == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Something of the user's follows.
        ((HELLO, system("A"), user("on")), [("user", ["Hi", "<system>\nA\n</system>", "on"])]),
        # Something of the assistant's stands before it.
        (
            (HELLO, assistant("Yes?"), system("A"), user("on")),
            [("user", "Hi"), ("assistant", "Yes?"), ("user", ["<system>\nA\n</system>", "on"])],
        ),
        # The assistant says nothing.
        ((HELLO, system("A"), assistant(" "), user("on")), [("user", ["Hi", "<system>\nA\n</system>", "on"])]),
    ],
)
def test_even_there_they_stand_only_between_a_user_and_the_assistant(said: Any, expected: object) -> None:
    assert turns(written(*said, model=NEW)) == expected


def test_neighbours_of_one_role_are_joined() -> None:
    document = written(user("a"), user("b"), assistant("c"), assistant("d"), user("e"))

    assert turns(document) == [("user", ["a", "b"]), ("assistant", ["c", "d"]), ("user", "e")]


def test_results_come_first_in_the_turn_behind_their_calls() -> None:
    losses = Losses()
    said = (HELLO, assistant("Wait.", CALL), assistant(OTHER), user("And?", SEEN), user(SEEN_TOO), user("Well?"))

    document = written(*said, tools=(Tool("look"),), losses=losses)

    assert turns(document) == [
        ("user", "Hi"),
        ("assistant", ["Wait.", "a", "b"]),
        ("user", ["a", "b", "And?", "Well?"]),
    ]
    assert losses.changed == []


def test_instructions_between_calls_and_results_do_not_part_them() -> None:
    document = written(HELLO, assistant(CALL), system("S"), user(SEEN))

    assert turns(document)[2] == ("user", ["a", "<system>\nS\n</system>"])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            (HELLO, user(SEEN)),
            "messages[1].content[0]: is the result of a call that is not in the conversation before it.",
        ),
        ((HELLO, assistant(CALL), user("No")), "messages[1].content[0]: is a call that has no result behind it."),
        ((HELLO, assistant(CALL)), "messages[1].content[0]: is a call that has no result behind it."),
        (
            (HELLO, assistant(CALL), user(SEEN), assistant("So."), user(SEEN)),
            "messages[4].content[0]: is a result that does not follow its call.",
        ),
        ((user(CALL),), "messages[0].content[0]: only the assistant calls tools."),
        ((HELLO, assistant(SEEN)), "messages[1].content[0]: the assistant has no results of tools."),
    ],
)
def test_calls_and_results_that_do_not_fit_are_refused(said: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        written(*said)

    assert caught.value.message == message


def test_ids_with_other_letters_are_rewritten_alike_in_call_and_result() -> None:
    call = ToolCall("functions.look:0|x", "look", "")
    document = written(HELLO, assistant(call), user(ToolResult("functions.look:0|x", ())))

    assert turns(document)[1:] == [("assistant", ["functions_look_0_x"]), ("user", ["functions_look_0_x"])]


def test_ids_that_come_again_are_told_apart() -> None:
    said = (HELLO, assistant(CALL), user(SEEN), assistant(CALL), user(SEEN))

    assert [content for _, content in turns(written(*said))[1:]] == [["a"], ["a"], ["a_2"], ["a_2"]]


@pytest.mark.parametrize("said", [(system("S"),), (assistant("Hello!"), user("Hi"))])
def test_somebody_else_begins(said: Any) -> None:
    losses = Losses()

    assert turns(written(*said, losses=losses))[0] == ("user", "Begin.")
    assert losses.changed == ["messages"]


def test_last_word_of_the_assistant_is_continued_where_the_model_can() -> None:
    losses = Losses()

    assert turns(written(HELLO, assistant("So \n"), losses=losses))[-1] == ("assistant", "So")
    assert losses.changed == []
    assert turns(written(HELLO, assistant("So "), model=NEW, losses=losses))[-1] == ("user", "Continue.")
    assert losses.changed == ["messages"]


def test_blank_texts_and_messages_are_not_sent() -> None:
    document = written(user("Hi", "", " \n"), assistant(""), user(""), assistant("Yes?", " "), user("on"))

    assert turns(document) == [("user", "Hi"), ("assistant", "Yes?"), ("user", "on")]


def test_what_cannot_be_an_instruction_is_named() -> None:
    losses = Losses(OnUnsupported.DROP)

    document = written(system("S", Thinking("hm")), HELLO, losses=losses)

    assert document["system"] == "S"
    assert losses.dropped == ["messages[0].content[1]"]
