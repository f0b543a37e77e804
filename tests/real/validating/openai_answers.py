"""What the provider of OpenAI's dialects is told to answer: one value for all forms in which that can be said."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = [
    "Answered",
    "Block",
    "Broken",
    "Called",
    "Cited",
    "Counted",
    "Failing",
    "Play",
    "Ran",
    "Refusing",
    "Said",
    "Thought",
    "Wrote",
    "pieces",
]

Json = dict[str, Any]

_PIECE = 7
"""Characters in a delta of a text; enough that words and JSON break anywhere."""


@attrs.frozen
class Cited:
    """A page of the web that a passage of a text is from."""

    url: str
    title: str
    start: int
    end: int


@attrs.frozen
class Said:
    """A text."""

    text: str
    citations: tuple[Cited, ...] = ()
    logprobs: tuple[Json, ...] = ()


@attrs.frozen
class Refusing:
    """The model says that it will not."""

    text: str


@attrs.frozen
class Thought:
    """The model's reasoning: what is shown of it, and what is sealed of it."""

    text: str
    seal: str | None = None
    id: str = "rs_01"


@attrs.frozen
class Called:
    """A call of a function, with the arguments as the model wrote them."""

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None
    """Google's, from its interface that speaks this dialect."""


@attrs.frozen
class Wrote:
    """A call of a custom tool."""

    id: str
    name: str
    input: str


@attrs.frozen
class Ran:
    """The Responses API only: a search of the web that the provider did itself."""

    query: str


Block = Said | Refusing | Thought | Called | Wrote | Ran


@attrs.frozen
class Counted:
    """Tokens."""

    input: int = 21
    output: int = 17
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    def of_chat(self) -> Json:
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {
                "cached_tokens": self.cached,
                "cache_write_tokens": self.written,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def of_response(self) -> Json:
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.written},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@attrs.frozen
class Answered:
    """An answer that comes to its end."""

    blocks: tuple[Block, ...]
    stop: str = "stop"
    """``stop``, ``length`` or ``content_filter``; calls are known from the blocks."""
    usage: Counted = Counted()
    others: tuple[tuple[Block, ...], ...] = ()
    """Chat Completions only: what the other choices are made of."""
    mixed: bool = False
    """Chat Completions only: whether the fragments of several calls come in turns."""
    id: str = "B9MBs8CjcvOU2jLn4n570S5qMJKcT"


@attrs.frozen
class Failing:
    """An error in place of an answer."""

    status: int
    message: str = "no"
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = attrs.Factory(dict)

    def error(self) -> Json:
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}


@attrs.frozen
class Broken:
    """A stream that does not come to its end."""

    answer: Answered
    events: int
    """How many of the answer's events come."""
    failing: Failing | None = None
    """The error behind them; without one the connection is closed."""
    failed: bool = False
    """The Responses API only: whether the response is said to have failed, rather than the stream."""


Play = Answered | Failing | Broken


def pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
