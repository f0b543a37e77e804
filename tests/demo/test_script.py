"""The demo provider's rules: what is said to what."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from llm_gateway.demo.script import reply_to
from llm_gateway.demo.values import Ask, Refused, Tool, ToolResult, Trouble

ASK = Ask(provider="OpenAI", model="gpt-demo", said="Hello", input_tokens=7)
WEATHER = Tool(
    "get_weather", {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
)
TIME = Tool("getTime", {})
WRITE = Tool("Write", {"properties": {"path": {"type": "string"}}})
PLAYED = "played by the gateway's built-in demo provider"


def said(text: str, **more: Any) -> Ask:
    return replace(ASK, said=text, **more)


def calls(ask: Ask) -> list[str]:
    return [call.name for call in reply_to(ask).calls]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hello", f"Hello! I am gpt-demo, {PLAYED}. You said: Hello"),
        ("", f"Hello! I am gpt-demo, {PLAYED}. You said: nothing"),
        ("x" * 600, f"Hello! I am gpt-demo, {PLAYED}. You said: {'x' * 500} ..."),
        ("Please identify yourself.", f"I am gpt-demo by OpenAI, {PLAYED}."),
        ("who are you?", f"I am gpt-demo by OpenAI, {PLAYED}."),
        ("Which model is this", f"I am gpt-demo by OpenAI, {PLAYED}."),
        ("Count to 4, please", "1 2 3 4"),
        ("what does error 404 mean?", f"Hello! I am gpt-demo, {PLAYED}. You said: what does error 404 mean?"),
        ("error 399", f"Hello! I am gpt-demo, {PLAYED}. You said: error 399"),
        ("error 600", f"Hello! I am gpt-demo, {PLAYED}. You said: error 600"),
    ],
)
def test_text_answers(text: str, answer: str) -> None:
    reply = reply_to(said(text))
    assert (reply.text, reply.calls, reply.trouble) == (answer, (), None)


@pytest.mark.parametrize("text", ["error 503", " Error 503. ", "<reminder>\nlong\n</reminder>\nERROR 503\n"])
def test_error_is_asked_for_in_the_last_line(text: str) -> None:
    with pytest.raises(Refused) as caught:
        reply_to(said(text))
    assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})


@pytest.mark.parametrize(("status", "retried"), [(400, False), (429, True), (500, False), (529, True), (599, False)])
def test_only_busy_errors_say_when_to_try_again(status: int, retried: bool) -> None:
    with pytest.raises(Refused) as caught:
        reply_to(said(f"error {status}"))
    assert ("retry-after" in caught.value.headers) is retried


@pytest.mark.parametrize("trouble", list(Trouble))
def test_trouble_comes_with_enough_text_to_be_cut(trouble: Trouble) -> None:
    reply = reply_to(said(f"error {trouble.value}"))
    assert reply.trouble is trouble
    assert len(reply.pieces) > 10


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("call get_weather now", ["get_weather"]),
        ("get weather", ["get_weather"]),
        ("How is the WEATHER?", ["get_weather"]),
        ("weather and getTime", ["get_weather", "getTime"]),
        ("what time is it", ["getTime"]),
        ("get me some", []),
        ("whether or not", []),
        ("write me a poem", []),
        ("use Write", ["Write"]),
        ("Rewrite it", []),
    ],
)
def test_tools_are_called_when_the_message_names_them(text: str, named: list[str]) -> None:
    assert calls(said(text, tools=(WEATHER, TIME, WRITE))) == named


@pytest.mark.parametrize(
    ("choice", "text", "called"),
    [
        ("any", "hello", ["get_weather"]),
        ("any", "the time", ["getTime"]),
        ("=getTime", "the weather", ["getTime"]),
        ("none", "the weather", []),
        ("auto", "hello", []),
    ],
)
def test_tool_choice_is_obeyed(choice: str, text: str, called: list[str]) -> None:
    assert calls(said(text, tools=(WEATHER, TIME), tool_choice=choice)) == called


def test_one_call_at_a_time_where_parallel_calls_are_off() -> None:
    assert calls(said("weather, time", tools=(WEATHER, TIME), parallel_tool_calls=False)) == ["get_weather"]


def test_forced_tool_must_be_offered() -> None:
    with pytest.raises(Refused, match="'x' is not among the tools"):
        reply_to(said("hi", tools=(TIME,), tool_choice="=x"))


def test_arguments_are_streamed_in_fragments_and_counted() -> None:
    reply = reply_to(said("weather in San Jose", tools=(WEATHER,)))
    [call] = reply.calls
    assert call.arguments == "".join(call.fragments) == '{"city":"San Jose","days":1}'
    assert len(call.fragments) > 1
    assert reply.output_tokens == 1 + len(call.fragments)


def test_tool_results_are_answered_in_text_and_call_nothing_again() -> None:
    results = (ToolResult("get_weather", "18 degrees"), ToolResult("getTime", ""))
    reply = reply_to(said("weather", tools=(WEATHER,), tool_choice="any", tool_results=results))
    assert reply.calls == ()
    assert reply.text.startswith("get_weather answered: 18 degrees getTime answered: nothing\n")


def test_json_is_answered_where_it_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert reply_to(said("in Oslo", json_schema=schema)).text == '{"city":"Oslo"}'
    assert reply_to(said("hi", json_schema={})).text.startswith('{"answer":"Hello! I am gpt-demo')


@pytest.mark.parametrize("limit", [1, 3, 4, 5])
def test_token_limit_cuts_the_text(limit: int) -> None:
    reply = reply_to(said("count to 4", max_tokens=limit))
    assert reply.text.split() == ["1", "2", "3", "4"][:limit]
    assert (reply.was_cut, reply.output_tokens, reply.input_tokens) == (limit < 4, min(limit, 4), 7)


@pytest.mark.parametrize("text", ["a  b\n\nc ", "\t x", "日本語" * 30, "one"])
def test_pieces_make_up_the_text(text: str) -> None:
    reply = reply_to(said("w", tool_results=(ToolResult("t", text),)))
    assert "".join(reply.pieces) == reply.text
    assert text.strip() in reply.text
    assert max(map(len, reply.pieces)) <= 30
