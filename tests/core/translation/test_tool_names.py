"""Names of tools that the provider's dialect does not take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    ChoiceMode,
    Message,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.core.translation.events import Begun, Delta, PartBegun
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.tool_names import ToolNames
from llm_gateway.core.translation.translation import Translation

STRICT = CODECS[Api.CHAT].tool_name
LONG = "mcp__plugin_" + "x" * 80


def request(*names: str, messages: tuple[Message, ...] = (), **fields: Any) -> Request:
    return Request("m", messages, tools=tuple(Tool(name) for name in names), **fields)


def names_of(asked: Request) -> list[str]:
    written = ToolNames(asked, STRICT, Losses()).written(asked)
    return [tool.name for tool in written.tools]


def test_names_that_are_taken_stay() -> None:
    asked, losses = request("look", "a-b_C9"), Losses()
    names = ToolNames(asked, STRICT, losses)
    assert names.written(asked) is asked
    assert losses.changed == []
    answer = Answer("a", "m", (Choice((ToolCall("1", "look", ""),), None),))
    assert names.answered(answer) is answer
    events = [PartBegun(ToolCall("1", "look", ""))]
    assert names.streamed(events) is events


def test_other_names_are_replaced_everywhere_and_told() -> None:
    said = Message(Role.ASSISTANT, (Text("hm"), ToolCall("1", "files.read", ""), ToolCall("2", "gone.tool", "")))
    heard = Message(Role.USER, (ToolResult("1", (), name="files.read"), ToolResult("2", ())))
    asked = request(
        "look", "files.read", messages=(said, heard), tool_choice=ToolChoice(ChoiceMode.REQUIRED, ("files.read",))
    )
    losses = Losses()
    written = ToolNames(asked, STRICT, losses).written(asked)
    assert [tool.name for tool in written.tools] == ["look", "files_read"]
    assert written.tool_choice == ToolChoice(ChoiceMode.REQUIRED, ("files_read",))
    parts = [part for message in written.messages for part in message.parts]
    assert [getattr(part, "name", None) for part in parts] == [None, "files_read", "gone_tool", "files_read", None]
    assert losses.changed == ["tools[1].name", "messages[0].name"]


def test_answers_have_the_callers_names() -> None:
    names = ToolNames(request("files.read", "look"), STRICT, Losses())
    parts = (Text("hm"), ToolCall("1", "files_read", "{}"), ToolCall("2", "look", "{}"))
    [choice] = names.answered(Answer("a", "m", (Choice(parts, None),))).choices
    assert choice.parts == (Text("hm"), ToolCall("1", "files.read", "{}"), ToolCall("2", "look", "{}"))
    begun, delta = PartBegun(ToolCall("1", "files_read", ""), 1), Delta("{}")
    assert names.streamed([Begun("a", "m"), begun, delta]) == [
        Begun("a", "m"),
        PartBegun(ToolCall("1", "files.read", ""), 1),
        delta,
    ]


def test_names_stay_apart_and_the_same() -> None:
    """Two that would become one do not, and more tools beside them change nothing."""
    first = names_of(request("a.b", "a:b", "a_b"))
    assert first[2] == "a_b"
    assert len(set(first)) == 3
    assert names_of(request("look", "a:b", "a.b", "a_b"))[1:3] == [first[1], first[0]]
    called = Message(Role.ASSISTANT, (ToolCall("1", "a:b", ""), ToolCall("2", "a-.b", "")))
    assert names_of(request("a.b", "a:b")) == names_of(request("a.b", "a:b", messages=(called,)))
    assert names_of(request("a.b", "a:b")) == names_of(request("a:b", "a.b"))[::-1]


def test_long_names_keep_their_beginning() -> None:
    [name] = names_of(request(LONG))
    assert len(name) == 64
    assert name.startswith("mcp__plugin_xxx")


@given(st.lists(st.text(min_size=1, max_size=150), unique=True, max_size=6), st.sampled_from(sorted(CODECS, key=str)))
def test_every_dialect_takes_every_name(names: list[str], api: Api) -> None:
    asked = request(*names)
    written = ToolNames(asked, CODECS[api].tool_name, Losses())
    found = [tool.name for tool in written.written(asked).tools]
    assert len(set(found)) == len(found)
    assert all(CODECS[api].tool_name.fullmatch(name) for name in found)
    answer = Answer("a", "m", (Choice(tuple(ToolCall("1", name, "") for name in found), None),))
    assert [part.name for part in written.answered(answer).choices[0].parts if isinstance(part, ToolCall)] == names


@pytest.mark.parametrize("stream", [False, True])
def test_whole_call_goes_there_and_back(stream: bool) -> None:
    asked = request("files.read", messages=(Message(Role.USER, (Text("Hi"),)),), stream=stream)
    losses = Losses()
    translation = Translation(CODECS[Api.GEMINI], CODECS[Api.CHAT], asked, Destination("gpt", "openai"), losses)
    assert msgspec.json.decode(translation.body)["tools"][0]["function"]["name"] == "files_read"
    assert "tools[0].name" in translation.lost
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "files_read", "arguments": "{}"}}
    if stream:
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
        running = translation.streamed()
        told = running.feed(b"data: %b\n\ndata: [DONE]\n\n" % msgspec.json.encode(chunk)) + running.close()
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
        told = translation.answer(msgspec.json.encode(whole))
    assert b'"files.read"' in told
