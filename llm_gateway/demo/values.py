"""What passes between the demo provider's dialects, its script and its resources."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Trouble(enum.Enum):
    """A failure that no status code tells: it happens to the connection."""

    MIDSTREAM = "midstream"
    """The connection closes when part of the answer is out."""
    STALL = "stall"
    """The answer stops coming and the connection stays open."""


class Refused(Exception):
    """The call ends in an error of the provider's; each dialect has its own shape for it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        :param param: the request's field that is wrong; shown by OpenAI's dialect only.
        :param code: OpenAI's machine-readable name for the error.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})


class Query(msgspec.Struct, frozen=True):
    """One call, authorised and routed."""

    provider: str
    """The provider that is played, as people write it."""
    body: bytes
    content_type: str
    tail: str
    """What follows the route in the path, such as a model's id."""
    number: int
    """Which call this is since the start, from 1; ids are made from it."""
    now_s: int
    """Unix time."""
    arguments: Mapping[str, str] = {}
    """Those behind the path's question mark."""


class Whole(msgspec.Struct, frozen=True):
    """An answer that is sent at once."""

    body: bytes
    content_type: str = "application/json"
    trouble: Trouble | None = None


class Streamed(msgspec.Struct, frozen=True):
    """An answer that comes one beat after the other."""

    beats: Iterator[bytes]
    """Each is one or more whole events, or a piece of a growing document, written together."""
    trouble: Trouble | None = None
    content_type: str = "text/event-stream; charset=utf-8"


class Tool(msgspec.Struct, frozen=True):
    """A function that the caller offers."""

    name: str
    schema: Mapping[str, Any]
    """JSON Schema of its arguments."""
    description: str = ""


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool that was called before has answered."""

    name: str
    text: str


class Ask(msgspec.Struct, frozen=True):
    """A conversation that waits for the next answer, whatever dialect it came in."""

    provider: str
    model: str
    said: str
    """The text of the last message of the user's."""
    input_tokens: int
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """``auto``, ``none``, ``any``, or ``=`` and the name of the tool that must be called."""
    parallel_tool_calls: bool = True
    tool_results: tuple[ToolResult, ...] = ()
    """Those that the conversation ends with."""
    json_schema: Mapping[str, Any] | None = None
    """The schema that the answer must have; empty where any object will do."""
    max_tokens: int | None = None
    thinks: bool = False
    """Whether the caller wants the model to think before it speaks."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the answer calls."""

    name: str
    arguments: str
    """A JSON object."""
    fragments: tuple[str, ...]
    """The arguments as a stream sends them."""


class Reply(msgspec.Struct, frozen=True):
    """What the provider says next: text, or calls of tools."""

    pieces: tuple[str, ...]
    """The text, cut as a stream sends it."""
    calls: tuple[ToolCall, ...]
    input_tokens: int
    output_tokens: int
    """One for every piece and fragment, so that it agrees with what was sent."""
    was_cut: bool = False
    """Whether ``max_tokens`` ended it."""
    trouble: Trouble | None = None
    thoughts: tuple[str, ...] = ()
    """What the model thought before, cut likewise; their number is in ``output_tokens``."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)


SIGNATURE = "ZGVtbyBwcm92aWRlciwgdGhvdWdodA=="
"""Of every thought, in base64. One that comes back with another one is refused: somebody else has made it."""


def check_signature(signature: object, place: str) -> None:
    """
    :param signature: as it came back with a thought.
    :raises Refused: it was made by somebody else.
    """
    if signature != SIGNATURE:
        raise Refused(400, f"{place}: is not a signature of this provider's.", param=place)
