"""Long requests: what they cost grows with them and not with their square. Everything else waits meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    Citation,
    Finish,
    Part,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.gemini.sources import Span, written_grounding
from llm_gateway.core.translation.losses import OnUnsupported
from llm_gateway.core.translation.spelling import SpelledLosses, Spelling
from llm_gateway.core.translation.translation import Translation
from tests.core.translation.fates import CODEC

Json = dict[str, Any]

DESTINATIONS = {
    "chat": Destination("gpt-4.1", "openai", 100, False, "openai"),
    "responses": Destination("gpt-5.4", "openai", 100, True, "openai"),
    "messages": Destination("claude-sonnet-5-5", "anthropic", 100, True, "anthropic"),
    "gemini": Destination("gemini-3.8-flash", "gemini", 100, True, "gemini"),
}

GO: Json = {"role": "user", "content": "go"}
WORD: Json = {"role": "user", "parts": [{"text": "go"}]}


def chat_calls(ids: Sequence[str]) -> list[Json]:
    """A turn for each, in which a tool is called and answers."""
    function = {"name": "f", "arguments": "{}"}
    return [
        turn
        for each in ids
        for turn in (
            {"role": "assistant", "tool_calls": [{"id": each, "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": each, "content": "r"},
        )
    ]


def functions(names: Sequence[str]) -> list[Json]:
    return [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]


def google(names: Sequence[str], ids: bool) -> list[Json]:
    """A turn that calls a function of each name, and the results from the last one to the first."""
    calls = [{"name": name, "args": {}, **({"id": name} if ids else {})} for name in names]
    results = [{**call, "args": None, "response": {}} for call in reversed(calls)]
    return [
        WORD,
        {"role": "model", "parts": [{"functionCall": call} for call in calls]},
        {"role": "user", "parts": [{"functionResponse": result} for result in results]},
    ]


def numbered(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


SHAPES: Mapping[str, tuple[str, Callable[[int], Json]]] = {
    "instructions among messages": (
        "responses",
        lambda n: {"input": [GO, *[{"role": "developer", "content": "d"}] * n]},
    ),
    "instructions between turns": (
        "chat",
        lambda n: {"messages": [GO, {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}] * n},
    ),
    "calls of one id": ("chat", lambda n: {"messages": [GO, *chat_calls(["c"] * n)]}),
    "calls of ids that have to be changed": (
        "chat",
        lambda n: {"messages": [GO, *chat_calls([f"c{'.' * (i % 9)}{i}" for i in range(n)])]},
    ),
    "tools of names that have to be changed": (
        "gemini",
        lambda n: {
            "contents": [WORD],
            "tools": [{"functionDeclarations": [{"name": f"f.{'.' * (i % 7)}{i // 7}"} for i in range(n)]}],
        },
    ),
    "results in another order, by ids": ("gemini", lambda n: {"contents": google(numbered(n), ids=True)}),
    "results in another order, by names": ("gemini", lambda n: {"contents": google(numbered(n), ids=False)}),
    "tools": ("chat", lambda n: {"messages": [GO], "tools": functions(numbered(n))}),
    "marks for the cache": (
        "messages",
        lambda n: {
            "max_tokens": 9,
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}] * n,
                }
            ],
        },
    ),
    "thoughts": (
        "messages",
        lambda n: {
            "max_tokens": 9,
            "messages": [
                GO,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}] * n},
                GO,
            ],
        },
    ),
}


def lines_run(work: Callable[[], object]) -> int:
    """
    :return: how many lines of Python it takes, which, unlike its time, is the same on every machine.
    """
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    ("shape", "provider"),
    [(shape, other) for shape, (caller, _) in SHAPES.items() for other in DESTINATIONS if other != caller],
)
def test_work_grows_with_the_request_and_not_faster(shape: str, provider: str) -> None:
    caller, made = SHAPES[shape]

    def work(count: int) -> int:
        body = msgspec.json.encode({"model": "m", **made(count)})

        def translate() -> None:
            asked = CODEC[caller].decode_request(body, model="m", stream=False)
            losses = SpelledLosses(OnUnsupported.DROP, Spelling.of_request(asked, body))
            Translation(CODEC[caller], CODEC[provider], asked, DESTINATIONS[provider], losses)
            losses.named()

        return lines_run(translate)

    # What does not depend on the length is in both.
    small, large = work(40), work(240)
    assert large < 6.5 * small


@pytest.mark.parametrize("caller", DESTINATIONS)
def test_work_grows_with_the_answer_and_not_faster(caller: str) -> None:
    """With sources, thoughts and calls, whole and streamed."""
    asks: Json = {"model": "m", "max_tokens": 9, "messages": [GO], "input": [GO], "contents": [WORD]}
    names = {"chat": ("messages",), "responses": ("input",), "messages": ("messages", "max_tokens")}
    body = {name: asks[name] for name in ("model", *names.get(caller, ("contents",)))}
    asked = CODEC[caller].decode_request(msgspec.json.encode(body), model="m", stream=True)

    def work(count: int) -> int:
        cited = tuple(Citation(url=f"https://a.test/{number}", start=0, end=1) for number in range(count))
        parts: tuple[Part, ...] = (
            *(Thinking("t") for _ in range(count)),
            Text("text", citations=cited),
            *(ToolCall(f"c{number}", "f", "{}") for number in range(count)),
        )
        answer = Answer("a", "m", (Choice(parts, Finish(Stop.TOOL_CALLS)),))

        def encode() -> None:
            CODEC[caller].encode_answer(answer, asked)
            CODEC[caller].stream_encoder(asked).encode(exploded(answer))

        return lines_run(encode)

    small, large = work(20), work(120)
    assert large < 6.5 * small


def test_sources_are_looked_up_and_not_looked_for() -> None:
    """What is compared with each other counts, which no line of Python shows."""
    compared = 0

    class Url(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    spans = [Span(Citation(url=Url(f"https://a.test/{number}")), 0, 0, 1, "t") for number in range(200)]
    written = written_grounding([*spans, *spans])
    assert len(written["groundingChunks"]) == 200  # type: ignore[arg-type]  # a list
    assert compared < 2_000
