"""What goes over the wire: the call, its answer, and the events of a stream, which can be checked one by one."""

from __future__ import annotations

import json
from itertools import takewhile

VIRTUAL_KEY = "vk-bench"
"""What a client sends."""
REAL_KEY = "sk-bench-real"
"""What the provider wants to see instead; it refuses everything else."""
MODEL = "gpt-5.4-mini"
PATH = "/v1/chat/completions"

EVENTS = 100
"""In each stream, before its end marker."""
LAST_EVENT = b"data: [DONE]\n\n"

_SENTENCE = "A reverse proxy that does not slow its source down has to keep what a slow reader leaves. "
_ANSWERED = _SENTENCE * 8


def call_body(*, stream: bool) -> bytes:
    """A chat call of about 1 KB."""
    messages = [
        {"role": "system", "content": _SENTENCE * 9},
        {"role": "user", "content": "Why does a gateway need back-pressure?"},
    ]
    return json.dumps({"model": MODEL, "stream": stream, "temperature": 0.2, "messages": messages}).encode()


def answer() -> bytes:
    """The answer to a call without a stream, about 1 KB."""
    message = {"role": "assistant", "content": _ANSWERED}
    usage = {"prompt_tokens": 190, "completion_tokens": 150, "total_tokens": 340}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"id": "chatcmpl-bench", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
    ).encode()


def is_answer(body: bytes) -> bool:
    """Whether it says what ``answer`` does; a gateway may have written the JSON around it anew."""
    return _ANSWERED.encode() in body


_START = f'data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","model":"{MODEL}","choices":[{{"index":0,'
_ENDING = b" sixteen letters"
"""Behind the number and the clock, in the content of every event."""
_EVENT = _START.encode() + b'"delta":{"content":"%06d %020d' + _ENDING + b'"},"finish_reason":null}]}\n\n'
_NUMBERS = [b"%06d" % number for number in range(EVENTS)]
_NO_CLOCK = b"%020d" % 0
EVENT_BYTES = len(_EVENT % (0, 0))


def event(number: int, clock_ns: int) -> bytes:
    """
    One event of a stream, about 200 bytes.

    :param number: its place, from 0.
    :param clock_ns: ``time.monotonic_ns()`` at sending, which is one clock for all processes; 0 for not told.
    """
    return _EVENT % (number, clock_ns)


class WrongStream(Exception):
    """An event was lost, repeated, moved or damaged, or the end is missing; the message says which."""


class StreamCheck:
    """Follows the body of one stream, however it is cut into pieces, and looks at every event's number."""

    __slots__ = ("_rest", "events")

    def __init__(self) -> None:
        self._rest = b""
        self.events = 0
        """How many have come, each in its place."""

    def feed(self, data: bytes) -> list[int]:
        """
        :return: the clocks of the events that have now come; none if they do not tell.
        :raises WrongStream: another event came than the next one.
        """
        # Less work than a regular expression: the reader must not be what limits the gateway.
        contents = (self._rest + data).split(_ENDING)
        self._rest = contents.pop()
        numbers = [content[-27:-21] for content in contents]
        expected = _NUMBERS[self.events : self.events + len(numbers)]
        if numbers != expected:
            right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(numbers, expected, strict=False)))
            self.events += right
            raise WrongStream(f"in place of event {self.events} came {numbers[right]!r}")
        if len(self._rest) > 10 * EVENT_BYTES:
            raise WrongStream(f"no event {self.events} in {len(self._rest)} bytes")
        self.events += len(numbers)
        if not contents or contents[0].endswith(_NO_CLOCK):
            return []
        try:
            return [int(content[-20:]) for content in contents]
        except ValueError as error:
            raise WrongStream(f"before event {self.events} a clock was damaged") from error

    def finish(self) -> None:
        """
        :raises WrongStream: the stream is not complete.
        """
        if self.events != EVENTS or b"[DONE]" not in self._rest:
            raise WrongStream(f"the stream ended without its end marker after {self.events} events")
